//! Every configuration that a page or a package shows loads, so that nobody copies one that does not.

#![expect(clippy::unwrap_used, reason = "test code outside a test function")]

use std::fs;
use std::path::{Path, PathBuf};

use postern_config::{Config, Machine, load};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Files in a folder of the repository that end like this, with their text.
fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let entries = fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut found: Vec<(String, String)> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|its| its == ending))
        .map(|path| (path.display().to_string(), fs::read_to_string(&path).unwrap()))
        .collect();
    found.sort();
    found
}

/// Blocks of a page that say they are TOML; all of ours are configurations.
fn blocks(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<String> = None;
    for line in page.lines() {
        match (&mut open, line.trim_end()) {
            (None, "```toml") => open = Some(String::new()),
            (Some(_), "```") => found.extend(open.take()),
            (Some(block), line) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, _) => {}
        }
    }
    found
}

fn loaded(name: &str, text: &str) -> Config {
    load(text, name, &Machine::named("mx.example.org")).unwrap_or_else(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        panic!("{name} does not load:\n{}\n{text}", lines.join("\n"))
    })
}

#[test]
fn the_configurations_of_the_package_load_without_a_warning() {
    let all = files("packaging", "toml");
    assert!(!all.is_empty(), "there is no example in packaging/");
    for (name, text) in all {
        let warnings: Vec<String> = loaded(&name, &text).warnings().iter().map(ToString::to_string).collect();
        assert!(warnings.is_empty(), "{name}: {warnings:?}");
    }
}

/// Sockets are handed over by number, so a wrong order would put one kind of listener on another's port.
#[test]
fn the_socket_unit_binds_what_the_example_configuration_names_in_its_order() {
    let unit = fs::read_to_string(root().join("packaging/postern.socket")).unwrap();
    let handed_over: Vec<&str> = unit.lines().filter_map(|line| line.strip_prefix("ListenStream=")).collect();
    let example = fs::read_to_string(root().join("packaging/postern.toml")).unwrap();
    let listeners = loaded("postern.toml", &example).listeners;
    let wanted: Vec<String> = listeners.iter().flat_map(|listener| &listener.bind).map(ToString::to_string).collect();
    assert_eq!(handed_over, wanted);
}

#[test]
fn the_configurations_of_all_pages_load() {
    let mut count = 0;
    for folder in ["", "docs", "docs/decisions"] {
        for (name, page) in files(folder, "md") {
            for block in blocks(&page) {
                loaded(&name, &block);
                count += 1;
            }
        }
    }
    assert!(count > 0, "no page shows a configuration; is the search wrong?");
}

#[test]
fn a_block_of_another_kind_is_no_configuration() {
    assert_eq!(blocks("a\n```toml\nx = 1\n```\nb\n```sh\nls\n```\n"), ["x = 1\n"]);
}
