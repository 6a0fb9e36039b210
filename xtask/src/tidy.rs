//! The rules of the house that the compiler does not know: who may import whom, who holds which power, who mints a proof, and what a file must
//! begin with.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Outcome, root};

/// Folders with code of ours.
const FOLDERS: &[&str] = &["base", "flow", "side", "postern", "testkit", "tests", "xtask", "bench", "fuzz"];

/// What a file without the power must not mention.
const POWERS: &[(&str, &[&str])] = &[
    ("net", &["std::net::TcpStream", "std::net::TcpListener", "std::net::UdpSocket", "UnixStream", "UnixListener", "tokio::net"]),
    ("disk", &["std::fs", "File::open", "File::create", "rustix::fs"]),
    ("clock", &["Instant::now(", "SystemTime::now(", "tokio::time"]),
    ("random", &["rand::fill", "SecureRandom", "getrandom"]),
    ("env", &["std::env", "env::var"]),
    ("spawn", &["std::process::Command", "Command::new("]),
];

/// Which file alone may make a proof.
const MINTS: &[(&str, &[&str])] = &[
    ("mint_after_sync", &["base/mail/src/proof.rs", "flow/4-spool/src/"]),
    ("RelayPermit::mint_by_rule", &["base/mail/src/proof.rs", "flow/3-policy/src/rules/relay.rs"]),
    ("Hosted::mint_by_rule", &["base/mail/src/proof.rs", "flow/3-policy/src/rules/recipient.rs"]),
    ("mint_after_verification", &["base/mail/src/proof.rs", "side/state/src/authenticate.rs"]),
    ("restored_from_spool", &["base/mail/src/envelope.rs", "flow/4-spool/src/"]),
    ("Recipient::of_report", &["base/mail/src/envelope.rs", "postern/src/wire/report.rs"]),
    ("redirected_by_alias", &["base/mail/src/envelope.rs", "postern/src/wire/routing.rs"]),
];

/// Every file below our folders that ends like this.
pub(crate) fn sources(endings: &[&str]) -> Result<Vec<PathBuf>, String> {
    fn walk(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) -> std::io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                if !path.ends_with("target") && !path.ends_with("corpus") {
                    walk(&path, endings, found)?;
                }
            } else if path.extension().is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted)) {
                found.push(path);
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    for folder in FOLDERS {
        let folder = root().join(folder);
        if folder.exists() {
            walk(&folder, endings, &mut found).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
    }
    found.sort();
    Ok(found)
}

/// True for code that never runs in the server.
fn is_test(file: &str) -> bool {
    ["/tests/", "/tests.rs", "tests/", "testkit/", "xtask/", "bench/", "fuzz/", "/examples/", "/benches/"]
        .iter()
        .any(|mark| file.contains(mark) || file.starts_with(mark))
}

/// The part of a file before its unit tests.
fn without_tests(source: &str) -> &str {
    source.split("#[cfg(test)]").next().unwrap_or(source)
}

struct Crate {
    folder: String,
    name: String,
    powers: Vec<String>,
    imports: Vec<String>,
}

fn crates() -> Result<Vec<Crate>, String> {
    let mut all = Vec::new();
    for path in sources(&["toml"])?.into_iter().filter(|path| path.ends_with("Cargo.toml")) {
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let manifest: toml::Table = text.parse().map_err(|error| format!("{}: {error}", path.display()))?;
        let Some(package) = manifest.get("package").and_then(toml::Value::as_table) else { continue };
        let powers = package
            .get("metadata")
            .and_then(|metadata| metadata.get("postern"))
            .and_then(|postern| postern.get("powers"))
            .and_then(toml::Value::as_array)
            .map(|powers| powers.iter().filter_map(toml::Value::as_str).map(str::to_owned).collect())
            .unwrap_or_default();
        let imports = manifest
            .get("dependencies")
            .and_then(toml::Value::as_table)
            .map(|table| table.keys().filter(|name| name.starts_with("postern")).cloned().collect())
            .unwrap_or_default();
        let folder = path
            .parent()
            .and_then(|folder| folder.strip_prefix(root()).ok())
            .map(|f| f.display().to_string())
            .unwrap_or_default();
        let name = package.get("name").and_then(toml::Value::as_str).unwrap_or_default().to_owned();
        all.push(Crate { folder, name, powers, imports });
    }
    Ok(all)
}

/// Steps never import steps; sides never import steps; words import only words below them.
fn may_import(folder: &str, import: &str) -> bool {
    let words = ["postern-mail", "postern-smtp", "postern-config"];
    match folder {
        "base/mail" => false,
        "base/smtp" | "base/config" => import == "postern-mail",
        _ if folder.starts_with("flow/") || folder.starts_with("side/") => words.contains(&import),
        _ => true,
    }
}

fn check_file(file: &str, source: &str, powers: &[String], complaints: &mut Vec<String>) {
    if !source.starts_with("//!") {
        complaints.push(format!("{file}: begins without `//!` saying what it is for"));
    }
    let test = is_test(file);
    let code = without_tests(source);
    let head = source.starts_with("//! Head:");
    for (number, line) in code.lines().enumerate() {
        let at = format!("{file}:{}", number + 1);
        let trimmed = line.trim_start();
        if !test && !trimmed.starts_with("//") {
            for (power, marks) in POWERS {
                if (head || powers.iter().all(|held| held != power)) && marks.iter().any(|mark| line.contains(mark)) {
                    complaints.push(format!(
                        "{at}: needs the power {power:?}, which this {} does not hold",
                        if head { "head" } else { "crate" }
                    ));
                }
            }
        }
        if !file.starts_with("xtask/") {
            for (mint, places) in MINTS {
                if !test
                    && line.contains(mint)
                    && places.iter().all(|place| !file.starts_with(place))
                    && !trimmed.starts_with("//")
                {
                    complaints.push(format!("{at}: `{mint}` may only be called in {}", places.join(" or ")));
                }
            }
            for mark in ["FIXME", "XXX", "todo!(", "unimplemented!("] {
                if line.contains(mark) {
                    complaints.push(format!("{at}: stray {mark}"));
                }
            }
            if line.contains("TODO") && !line.contains('§') {
                complaints.push(format!("{at}: TODO without the section of a standard it is missing from"));
            }
        }
    }
    if !file.starts_with("xtask/") {
        for (number, line) in source.lines().enumerate() {
            if test && line.contains("sleep(") && !line.contains("tidy: ") && !file.starts_with("bench/") {
                complaints.push(format!("{file}:{}: a test waits for an event, never for time", number + 1));
            }
            if ["/work/", "/root/", "/home/"].iter().any(|path| line.contains(path)) {
                complaints.push(format!("{file}:{}: a path of one machine", number + 1));
            }
        }
    }
}

/// Checks everything and lists all complaints.
pub(crate) fn check() -> Outcome {
    let mut complaints = Vec::new();
    let crates = crates()?;
    let architecture = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap_or_default();
    for one in &crates {
        for import in one.imports.iter().filter(|import| !may_import(&one.folder, import)) {
            complaints.push(format!("{}/Cargo.toml: {} may not import {import}", one.folder, one.name));
        }
        if !architecture.contains(&format!("`{}`", one.folder)) {
            complaints.push(format!("docs/ARCHITECTURE.md does not name `{}`", one.folder));
        }
    }
    for path in sources(&["rs"])? {
        let file = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        let source = fs::read_to_string(&path).map_err(|error| format!("{file}: {error}"))?;
        let home = crates.iter().filter(|one| file.starts_with(&format!("{}/", one.folder))).max_by_key(|one| one.folder.len());
        check_file(&file, &source, home.map(|one| one.powers.as_slice()).unwrap_or_default(), &mut complaints);
    }
    for complaint in &complaints {
        eprintln!("tidy: {complaint}");
    }
    if complaints.is_empty() { Ok(()) } else { Err(format!("tidy: {} complaints", complaints.len())) }
}
