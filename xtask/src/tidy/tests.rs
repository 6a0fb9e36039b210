//! Each rule of the house, broken once.

use super::*;

fn complaints(file: &str, source: &str, powers: &[&str]) -> Vec<String> {
    let powers: Vec<String> = powers.iter().map(|power| (*power).to_owned()).collect();
    let mut complaints = Vec::new();
    check_file(file, source, &powers, &mut complaints);
    complaints
}

fn one(folder: &str, powers: &[&str], imports: &[&str]) -> Vec<String> {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let one = Crate { folder: folder.to_owned(), name: "it".to_owned(), powers: owned(powers), imports: owned(imports) };
    let mut complaints = Vec::new();
    check_crate(&one, &mut complaints);
    complaints
}

#[test]
fn a_step_may_import_words_and_no_other_step() {
    assert!(one("flow/2-session", &[], &["postern-mail", "postern-smtp", "base64"]).is_empty());
    assert_eq!(one("flow/2-session", &[], &["postern-spool"]).len(), 1);
    assert_eq!(one("side/lookup", &["net"], &["postern-policy"]).len(), 1);
    assert_eq!(one("base/smtp", &[], &["postern-config"]).len(), 1);
    assert_eq!(one("base/mail", &[], &["postern-smtp"]).len(), 1);
}

#[test]
fn the_test_kit_is_not_shipped() {
    assert!(one("postern", &["net"], &["postern-spool", "postern-session"]).is_empty());
    assert_eq!(one("postern", &["net"], &["postern-testkit"]).len(), 1);
    assert_eq!(one("flow/4-spool", &["disk"], &["postern-testkit"]).len(), 1);
}

#[test]
fn a_crate_without_powers_does_not_import_a_runtime() {
    assert_eq!(one("flow/5-scheduler", &[], &["tokio"]).len(), 1);
    assert!(one("flow/6-delivery", &["net"], &["tokio"]).is_empty());
}

#[test]
fn a_file_says_what_it_is_for() {
    assert_eq!(complaints("flow/2-session/src/a.rs", "use std::io;\n", &[]).len(), 1);
    assert!(complaints("flow/2-session/src/a.rs", "//! A.\nuse std::io;\n", &[]).is_empty());
}

#[test]
fn a_power_is_found_however_it_is_imported() {
    let source = "//! A.\nuse std::net::{IpAddr, TcpStream};\n";
    assert_eq!(complaints("flow/3-policy/src/a.rs", source, &[]).len(), 1);
    assert!(complaints("flow/1-listener/src/a.rs", source, &["net"]).is_empty());
}

#[test]
fn a_head_within_a_hand_is_held_to_the_rule_for_heads() {
    let source = "//! Head: A.\nfn a() { let now = Instant::now(); }\n";
    assert_eq!(complaints("flow/6-delivery/src/a.rs", source, &["clock", "net"]).len(), 1);
}

#[test]
fn a_power_named_in_a_comment_or_used_in_a_test_is_none() {
    let source = "//! A.\n// Not a TcpStream.\n#[cfg(test)]\nmod tests {\n    fn a() { TcpStream::connect(1); }\n}\n";
    assert!(complaints("flow/3-policy/src/a.rs", source, &[]).is_empty());
    assert!(complaints("flow/3-policy/src/a/tests.rs", "//! A.\nuse std::fs;\n", &[]).is_empty());
}

#[test]
fn code_behind_a_module_declared_for_tests_is_still_code() {
    let source = "//! A.\n#[cfg(test)]\nmod tests;\n\nfn a() { std::fs::remove_file(1); }\n";
    assert_eq!(complaints("flow/3-policy/src/a.rs", source, &[]).len(), 1);
}

#[test]
fn a_proof_is_minted_in_one_place() {
    let source = "//! A.\nfn a() { RelayPermit::mint_by_rule() }\n";
    assert!(complaints("flow/3-policy/src/rules/relay.rs", source, &[]).is_empty());
    assert_eq!(complaints("postern/src/wire/inbound.rs", source, &[]).len(), 1);
}

#[test]
fn leftovers_and_sleeping_tests_are_found() {
    assert_eq!(complaints("flow/2-session/src/a.rs", "//! A.\n// FIXME\n", &[]).len(), 1);
    assert_eq!(complaints("flow/2-session/src/a.rs", "//! A.\n// TODO later\n", &[]).len(), 1);
    assert!(complaints("flow/2-session/src/a.rs", "//! A.\n// RFC 5321 §4.1 TODO: what\n", &[]).is_empty());
    assert_eq!(complaints("flow/2-session/src/a/tests.rs", "//! A.\nthread::sleep(x);\n", &[]).len(), 1);
    let within = "//! A.\n#[cfg(test)]\nmod tests {\n    fn a() { thread::sleep(x); }\n}\n";
    assert_eq!(complaints("flow/2-session/src/a.rs", within, &[]).len(), 1);
}

#[test]
fn a_page_names_only_files_that_are_there() {
    let page = "Read `base/mail` and `flow/9-nowhere/src/lib.rs`, run `cargo xtask tidy`, see `docs/*.md`.\n";
    let mut complaints = Vec::new();
    check_page("README.md", page, |path| path == "base/mail", &mut complaints);
    assert_eq!(complaints, ["README.md: names `flow/9-nowhere/src/lib.rs`, which is not there"]);
}

#[test]
fn a_link_leads_somewhere_from_where_its_page_stands() {
    let page = "[a](../flow.svg) [b](#here) [c](https://example.org/x) [d](gone.md#part)\n";
    let mut complaints = Vec::new();
    check_page("docs/decisions/README.md", page, |path| path == "docs/decisions/../flow.svg", &mut complaints);
    assert_eq!(complaints, ["docs/decisions/README.md: links to gone.md, which is not there"]);
}

#[test]
fn a_page_has_no_path_of_one_machine() {
    let mut complaints = Vec::new();
    check_page("README.md", "see /root/notes\n", |_| true, &mut complaints);
    assert_eq!(complaints.len(), 1);
}
