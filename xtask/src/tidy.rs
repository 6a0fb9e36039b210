//! The rules of the house that the compiler does not know: who may import whom, who holds which power, who mints a proof, and what a file must
//! begin with.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Outcome, root};

/// Folders with code of ours.
const FOLDERS: &[&str] = &["base", "flow", "side", "postern", "testkit", "tests", "xtask", "bench", "fuzz"];

/// What a file without the power must not mention. Names of types rather than paths: an import in braces does not spell the path.
const POWERS: &[(&str, &[&str])] = &[
    ("net", &["TcpStream", "TcpListener", "UdpSocket", "UnixStream", "UnixListener", "tokio::net"]),
    ("disk", &["std::fs", "tokio::fs", "File::open", "File::create", "rustix::fs"]),
    ("clock", &["Instant::now(", "SystemTime::now(", ".elapsed()", "tokio::time"]),
    ("random", &["rand::fill", "SecureRandom", "SystemRandom", "getrandom"]),
    ("env", &["std::env", "env::var"]),
    ("spawn", &["std::process::Command", "Command::new("]),
];

/// Libraries that are a power by themselves: a crate that holds none must not depend on them.
const POWERFUL: &[&str] =
    &["tokio", "rustix", "socket2", "fjall", "axum", "hickory-resolver", "tempfile", "jiff", "mimalloc", "tracing"];

/// Which file alone may make a proof.
const MINTS: &[(&str, &[&str])] = &[
    ("mint_after_sync", &["base/mail/src/proof.rs", "flow/4-spool/src/"]),
    ("RelayPermit::mint_by_rule", &["base/mail/src/proof.rs", "flow/3-policy/src/rules/relay.rs"]),
    ("Hosted::mint_by_rule", &["base/mail/src/proof.rs", "flow/3-policy/src/rules/recipient.rs"]),
    ("mint_after_verification", &["base/mail/src/proof.rs", "side/state/src/authenticate.rs"]),
    ("restored_from_record", &["base/mail/src/proof.rs", "flow/3-policy/src/record"]),
    ("recipient_of_record", &["base/mail/src/envelope.rs", "flow/3-policy/src/record"]),
    ("Reply::recorded", &["base/mail/src/reply.rs", "flow/3-policy/src/record"]),
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

/// A file's code and its unit tests. Only a module that is written out begins the tests: an import or a module of another file that is there
/// for tests only has code behind it.
fn split_at_tests(source: &str) -> (&str, &str) {
    source.find("#[cfg(test)]\nmod ").filter(|at| opens_a_block(source, *at)).map_or((source, ""), |at| source.split_at(at))
}

fn opens_a_block(source: &str, at: usize) -> bool {
    source.get(at..).and_then(|rest| rest.lines().nth(1)).is_some_and(|line| line.ends_with('{'))
}

struct Crate {
    folder: String,
    name: String,
    powers: Vec<String>,
    /// What it depends on in the server; what only its tests use does not count.
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
            .map(|table| table.keys().cloned().collect())
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

/// Steps never import steps; sides never import steps; words import only words below them; the test kit is in nothing that is shipped.
fn may_import(folder: &str, import: &str) -> bool {
    let words = ["postern-mail", "postern-smtp", "postern-config"];
    match folder {
        _ if !import.starts_with("postern") => true,
        "base/mail" => false,
        "base/smtp" | "base/config" => import == "postern-mail",
        _ if folder.starts_with("flow/") || folder.starts_with("side/") => words.contains(&import),
        "postern" => import != "postern-testkit",
        _ => true,
    }
}

fn check_crate(one: &Crate, complaints: &mut Vec<String>) {
    for import in &one.imports {
        if !may_import(&one.folder, import) {
            complaints.push(format!("{}/Cargo.toml: {} may not import {import}", one.folder, one.name));
        }
        // The fuzz targets are in no server and declare no powers.
        if one.powers.is_empty() && one.folder != "fuzz" && POWERFUL.contains(&import.as_str()) {
            complaints.push(format!("{}/Cargo.toml: {} holds no power, so it may not import {import}", one.folder, one.name));
        }
    }
}

fn check_file(file: &str, source: &str, powers: &[String], complaints: &mut Vec<String>) {
    if !source.starts_with("//!") {
        complaints.push(format!("{file}: begins without `//!` saying what it is for"));
    }
    if !is_test(file) {
        check_powers_and_proofs(file, source, powers, complaints);
    }
    // This program names what it looks for.
    if file.starts_with("xtask/") {
        return;
    }
    let code_lines = split_at_tests(source).0.lines().count();
    for (number, line) in source.lines().enumerate() {
        let at = format!("{file}:{}", number + 1);
        for mark in ["FIXME", "XXX", "todo!(", "unimplemented!("] {
            if line.contains(mark) {
                complaints.push(format!("{at}: stray {mark}"));
            }
        }
        if line.contains("TODO") && !line.contains('§') {
            complaints.push(format!("{at}: TODO without the section of a standard it is missing from"));
        }
        // Examples are stopwatches, and a stopwatch may wait.
        let in_test = (is_test(file) && !file.contains("/examples/")) || number >= code_lines;
        if in_test && line.contains("sleep(") && !line.contains("tidy: ") && !file.starts_with("bench/") {
            complaints.push(format!("{at}: a test waits for an event, never for time"));
        }
    }
    check_paths(file, source, complaints);
}

fn check_powers_and_proofs(file: &str, source: &str, powers: &[String], complaints: &mut Vec<String>) {
    let head = source.starts_with("//! Head:");
    for (number, line) in split_at_tests(source).0.lines().enumerate() {
        let at = format!("{file}:{}", number + 1);
        if line.trim_start().starts_with("//") {
            continue;
        }
        for (power, marks) in POWERS {
            if (head || powers.iter().all(|held| held != power)) && marks.iter().any(|mark| line.contains(mark)) {
                let holder = if head { "head" } else { "crate" };
                complaints.push(format!("{at}: needs the power {power:?}, which this {holder} does not hold"));
            }
        }
        for (mint, places) in MINTS {
            if line.contains(mint) && places.iter().all(|place| !file.starts_with(place)) {
                complaints.push(format!("{at}: `{mint}` may only be called in {}", places.join(" or ")));
            }
        }
    }
}

fn check_paths(file: &str, text: &str, complaints: &mut Vec<String>) {
    for (number, line) in text.lines().enumerate() {
        if ["/work/", "/root/", "/home/"].iter().any(|path| line.contains(path)) {
            complaints.push(format!("{file}:{}: a path of one machine", number + 1));
        }
    }
}

/// Paths of ours that a page names between backticks.
fn named_paths(page: &str) -> impl Iterator<Item = &str> {
    // Every second piece stands between two backticks; blocks of code are three of them and come out as pieces of several lines.
    page.split('`').skip(1).step_by(2).filter(|piece| {
        let ours = FOLDERS
            .iter()
            .chain(&["docs", "packaging"])
            .any(|folder| piece.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')));
        ours && piece.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b))
    })
}

/// Targets of links of a page to other pages of ours, as they are written.
fn linked_paths(page: &str) -> impl Iterator<Item = &str> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    targets
        .map(|target| target.split_once('#').map_or(target, |(path, _)| path))
        .filter(|path| !path.is_empty() && !path.contains(':'))
}

/// Pages for people: at the top, in `docs/` and in `packaging/`.
fn pages() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["", "docs", "docs/decisions", "packaging"] {
        let entries = fs::read_dir(root().join(folder)).into_iter().flatten().flatten();
        let is_text = |path: &Path| {
            let known = |ending: &&str| path.extension().is_some_and(|ours| ours == *ending);
            path.ends_with("Containerfile") || ["md", "toml", "service", "socket"].iter().any(known)
        };
        found.extend(entries.map(|entry| entry.path()).filter(|path| is_text(path)));
    }
    found.sort();
    found
}

fn check_page(file: &str, page: &str, exists: impl Fn(&str) -> bool, complaints: &mut Vec<String>) {
    check_paths(file, page, complaints);
    for path in named_paths(page).filter(|path| !exists(path)) {
        complaints.push(format!("{file}: names `{path}`, which is not there"));
    }
    // Links begin where the page stands. Other files have brackets and parentheses of their own.
    let folder = file.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
    for path in linked_paths(page).filter(|path| file.ends_with(".md") && !exists(&format!("{folder}{path}"))) {
        complaints.push(format!("{file}: links to {path}, which is not there"));
    }
}

/// Checks everything and lists all complaints.
pub(crate) fn check() -> Outcome {
    let mut complaints = Vec::new();
    let crates = crates()?;
    let architecture = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap_or_default();
    for one in &crates {
        check_crate(one, &mut complaints);
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
    for path in pages() {
        let file = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        let page = fs::read_to_string(&path).map_err(|error| format!("{file}: {error}"))?;
        // Generated from comments that name files as their authors think of them.
        let exists = |named: &str| root().join(named).exists() || file == "docs/rfc.md";
        check_page(&file, &page, exists, &mut complaints);
    }
    for complaint in &complaints {
        eprintln!("tidy: {complaint}");
    }
    if complaints.is_empty() { Ok(()) } else { Err(format!("tidy: {} complaints", complaints.len())) }
}

#[cfg(test)]
mod tests;
