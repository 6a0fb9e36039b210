//! `postern policy`: a change of policy is tried on what was, before it is in force.

use postern_testkit::program::text;
use serde_json::Value;

use crate::prelude::*;

/// A server on which this has happened, in five sessions: a small and a large message taken, an unknown recipient and relaying refused, one message of
/// Alice's taken and one in another's name refused.
fn with_a_past() -> Postern {
    let postern = with_alice(Setup::new());
    from_stranger(&postern, ALICE, "small");
    let mut client = postern.stranger();
    let large = format!("From: <{STRANGER}>\n\n{}", "a line of text\n".repeat(10_000));
    queued_as(&client.mail(STRANGER, &[ALICE], &large));
    client.expect("QUIT", 221);
    for to in ["nobody@here.test", "carol@elsewhere.test"] {
        let mut client = postern.stranger();
        client.expect("MAIL FROM:<>", 250);
        assert_eq!(client.command(&format!("RCPT TO:<{to}>")).code, 550);
        client.expect("QUIT", 221);
    }
    let mut client = alice(&postern);
    queued_as(&client.mail(ALICE, &[BOB], &message(ALICE, BOB, "own")));
    assert_eq!(client.mail(ALICE, &[BOB], &message("boss@here.test", BOB, "forged")).code, 550);
    client.expect("QUIT", 221);
    postern
}

/// What replaying says, once all sessions are on record.
fn replayed(postern: &Postern) -> Value {
    until("the records", LONG, || {
        let output = postern.run(&["policy", "replay", "--json"]);
        let replayed: Value = serde_json::from_slice(&output.stdout).ok()?;
        let is_all = replayed["sessions"] == 5 && replayed["messages"] == 3;
        // The forged message is in the record of its session, which is written when it ends.
        (is_all && replayed["decisions"].as_u64()? == 16).then_some(replayed)
    })
}

fn change(replayed: &Value, index: usize) -> String {
    let change = &replayed["changes"][index];
    let side = |side: &Value| format!("{} by {}", side["decision"].as_str().unwrap(), side["rule"].as_str().unwrap_or("none"));
    format!(
        "{}: {} -> {}, {}",
        change["stage"].as_str().unwrap(),
        side(&change["was"]),
        side(&change["would_be"]),
        change["count"]
    )
}

#[test]
fn the_same_configuration_decides_everything_again_as_it_was_with_and_without_a_server() {
    let mut postern = with_a_past();
    let running = replayed(&postern);
    assert_eq!(
        (&running["changed"], &running["by_another_rule"], &running["changes"]),
        (&0.into(), &0.into(), &serde_json::json!([]))
    );
    assert_eq!((&running["v"], &running["same"]), (&1.into(), &running["decisions"]), "wholly the same: {running}");
    postern.terminate();
    let offline = replayed(&postern);
    assert_eq!(offline["decisions"], running["decisions"], "{offline}");
    assert_eq!(offline["same"], running["same"], "{offline}");
    let none = postern.run(&["policy", "replay", "--since", "0s"]);
    assert_eq!(none.status.code(), Some(3), "{}", text(&none));
}

#[test]
fn a_changed_configuration_shows_exactly_what_would_be_decided_otherwise_and_nothing_is_changed_by_asking() {
    let mut postern = with_a_past();
    replayed(&postern);
    postern.change(|setup| setup.with("limits", "message_size", "\"100KiB\""));
    let smaller = replayed(&postern);
    assert_eq!((&smaller["changed"], &smaller["messages_turned_away"]), (&1.into(), &1.into()), "{smaller}");
    assert!(change(&smaller, 0).ends_with("pass by none -> refuse by size, 1"), "{smaller}");
    let example = &smaller["changes"][0]["examples"][0];
    assert!(example["about"].as_str().unwrap().contains(STRANGER), "{smaller}");
    let words = postern.order(&["policy", "replay"]);
    assert!(words.contains("refuse by size") && words.contains(example["session"].as_str().unwrap()), "{words}");
    postern.change(|setup| setup.with("policy.rules.sender_identity", "mode", "\"observe\""));
    let observing = replayed(&postern);
    assert_eq!(observing["changed"], 2, "{observing}");
    let all = [change(&observing, 0), change(&observing, 1)];
    assert!(all.contains(&"message: refuse by sender_identity -> pass by none, 1".to_owned()), "{all:?}");
    // The server goes on by what it began with.
    let mut client = alice(&postern);
    assert_eq!(client.mail(ALICE, &[BOB], &message("boss@here.test", BOB, "forged")).code, 550);
    client.expect("QUIT", 221);
}

#[test]
fn a_client_on_a_list_that_the_new_file_names_would_not_have_been_let_in_and_what_came_behind_is_no_change_of_its_own() {
    let postern = with_a_past();
    replayed(&postern);
    let list = postern.data_dir().join("blocked.txt");
    std::fs::write(&list, "127.0.0.0/8 ; testing\n").unwrap();
    let file = list.to_str().unwrap().to_owned();
    let text = std::fs::read_to_string(postern.configuration_file()).unwrap();
    std::fs::write(postern.configuration_file(), format!("{text}\n[[policy.list]]\nfile = {file:?}\n")).unwrap();
    let blocked = postern.json(&["policy", "replay"]);
    assert_eq!(
        change(&blocked, 0),
        "connect: pass by none -> hang up by list_block, 4",
        "submission is not looked at: {blocked}"
    );
    assert_eq!((&blocked["changed"], &blocked["messages_turned_away"]), (&4.into(), &2.into()), "{blocked}");
}

#[test]
fn points_of_lists_and_their_limits_are_those_of_the_new_file() {
    let postern = with_a_past();
    replayed(&postern);
    let list = postern.data_dir().join("doubtful.txt");
    std::fs::write(&list, "127.0.0.0/8 ; testing\n").unwrap();
    let file = list.to_str().unwrap().to_owned();
    let text = std::fs::read_to_string(postern.configuration_file()).unwrap();
    let with = |points: &str| {
        std::fs::write(postern.configuration_file(), format!("{text}\n[[policy.list]]\nfile = {file:?}\npoints = {points}\n"))
            .unwrap();
        postern.json(&["policy", "replay"])
    };
    let held = with("7.0");
    assert!(change(&held, 0).starts_with("message: pass by none -> hold by score"), "{held}");
    assert_eq!(held["messages_turned_away"], 0, "{held}");
    let refused = with("11.0");
    assert!(change(&refused, 0).starts_with("sender: pass by none -> refuse by score"), "{refused}");
}

#[test]
fn a_broken_file_is_refused_with_the_place_of_each_error_and_a_difference_of_policy_is_told_without_other_settings() {
    let mut postern = with_alice(Setup::new());
    let old = postern.data_dir().join("old.toml");
    std::fs::copy(postern.configuration_file(), &old).unwrap();
    postern.change(|setup| setup.with("limits", "message_size", "\"100KiB\"").with("limits", "faults_per_session", "7"));
    let (old, new) = (old.to_str().unwrap().to_owned(), postern.configuration_file().to_str().unwrap().to_owned());
    for words in [&["policy", "diff", &old, &new][..], &["policy", "diff", &new]] {
        let told = postern.order(words);
        assert!(told.contains("limits.message_size: \"50MiB\" -> \"100KiB\""), "{told}");
        assert!(!told.contains("faults_per_session"), "{told}");
    }
    std::fs::write(postern.configuration_file(), "[limts]\n[limits]\nconnections = \"many\"\n").unwrap();
    let broken = postern.run(&["policy", "replay"]);
    assert_eq!(broken.status.code(), Some(2));
    assert!(text(&broken).contains("postern.toml:1:") && text(&broken).contains("postern.toml:3:"), "{}", text(&broken));
}
