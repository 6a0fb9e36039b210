//! `postern config`: what is wrong, all of it at once; what holds, and why; what would change.

use postern_testkit::peers::open_folder;
use postern_testkit::program::text;

use crate::prelude::*;

#[test]
fn every_error_is_told_at_once_with_its_place_and_what_would_be_right() {
    let postern = Setup::new().prepare();
    let wrong = "[limts]\nconnections = 5\n[limits]\nconnections = \"many\"\nmessage_size = \"50 MB?\"\n\
        [[listener]]\nkind = \"mx\"\nbind = [\"127.0.0.1:99999\"]\n[[domain]]\nname = \"here..test\"\nrecipients = \"any\"\n";
    std::fs::write(postern.configuration_file(), wrong).unwrap();
    let output = postern.run(&["config", "check"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output);
    for place in [":1:", ":4:", ":5:", ":8:", ":10:"] {
        assert!(said.contains(&format!("postern.toml{place}")), "{place} in {said}");
    }
    assert!(said.contains("did you mean \"limits\""), "{said}");
    assert!(said.contains("message_size = \"50MiB\""), "{said}");
    let output = postern.run(&["serve"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("here..test"), "{}", text(&output));
}

#[test]
fn every_setting_is_shown_with_its_default_and_where_it_comes_from() {
    let postern = Setup::new().with("limits", "message_size", "\"7MiB\"").prepare();
    let shown = postern.order(&["config", "show"]);
    let line = shown.lines().find(|line| line.contains("limits.message_size")).expect("the setting");
    assert!(line.contains("7MiB") && line.contains("50MiB") && line.contains("line "), "{line}");
    assert!(shown.contains("limits.recipients_per_message"));
    let changed = postern.order(&["config", "show", "--changed"]);
    assert!(changed.contains("limits.message_size") && !changed.contains("limits.recipients_per_message "), "{changed}");
    assert_eq!(postern.json(&["config", "show"])["v"], 1);
}

#[test]
fn output_that_nobody_reads_to_its_end_is_no_failure() {
    let postern = Setup::new().prepare();
    let (read, written) = std::io::pipe().unwrap();
    drop(read);
    let output = postern.command(&["config", "show"]).stdout(written).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output));
}

#[test]
fn a_difference_is_told_setting_by_setting() {
    let postern = Setup::new().prepare();
    let other = open_folder();
    let file = other.path().join("new.toml");
    let text = std::fs::read_to_string(postern.configuration_file()).unwrap();
    std::fs::write(&file, text.replace("\"alice\", ", "")).unwrap();
    let diff = postern.order(&["config", "diff", file.to_str().unwrap()]);
    assert!(diff.contains("recipients") && diff.contains("alice"), "{diff}");
}

#[test]
fn no_password_is_shown() {
    let keys = "tls = \"verify\"\ncredentials = { user = \"u\", password = \"very-secret\" }";
    let postern = Setup::new().route_with(&["*"], 25, keys).prepare();
    for words in [&["config", "show"][..], &["config", "show", "--json"], &["config", "check"]] {
        assert!(!text(&postern.run(words)).contains("very-secret"), "{words:?}");
    }
}
