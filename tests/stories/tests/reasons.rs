//! `postern explain` and `postern audit`: why something was decided, what would have changed it, and who changed what.

use postern_testkit::program::text;
use serde_json::Value;

use crate::prelude::*;

/// The reference at the end of a refusal.
fn reference(reply: &Reply) -> String {
    let text = reply.text();
    let (_, rest) = text.rsplit_once("(ref ").unwrap_or_else(|| panic!("no reference: {text}"));
    rest.trim_end().trim_end_matches(')').to_owned()
}

/// What is known of it, once the session's record is there.
fn explained(postern: &Postern, id: &str) -> Value {
    until("the reasons", LONG, || {
        let output = postern.run(&["explain", id, "--json"]);
        output.status.success().then(|| serde_json::from_slice(&output.stdout).expect("JSON"))
    })
}

fn steps<'a>(explained: &'a Value, stage: &str) -> Vec<&'a Value> {
    explained["steps"].as_array().unwrap().iter().filter(|step| step["stage"] == stage).collect()
}

#[test]
fn a_refusal_carries_a_reference_that_leads_to_rules_values_and_what_would_have_changed_it() {
    let mut postern = with_alice(Setup::new());
    let mut stranger = postern.stranger();
    stranger.expect("MAIL FROM:<stranger@there.test>", 250);
    let refused = stranger.command("RCPT TO:<carol@elsewhere.test>");
    assert_eq!(refused.code, 550, "{refused:?}");
    stranger.expect("QUIT", 221);
    let id = reference(&refused);
    postern.wait_for_log(&id);
    let all = explained(&postern, &id);
    assert_eq!(all["v"], 1);
    let step = steps(&all, "recipient")[0];
    assert_eq!((&step["decision"], &step["decided_by"]), (&"refuse".into(), &"relay".into()), "{all}");
    assert!(step["rules"][1]["because"].as_str().unwrap().contains("neither authenticated nor in a relay network"), "{all}");
    assert!(step["would_change"][0]["guards"].as_str().unwrap().contains("open relay"), "{all}");
    assert_eq!(steps(&all, "hello").len(), 1, "{all}");
    let words = postern.order(&["explain", &id]);
    for part in
        ["decided by relay", "without relay, which cannot be switched off", "what helps: authenticate", "<carol@elsewhere.test>"]
    {
        assert!(words.contains(part), "{part}: {words}");
    }
    let traced = postern.order(&["trace", "carol@elsewhere.test"]);
    assert!(traced.contains(&id), "trace leads to explain: {traced}");
    assert_eq!(postern.run(&["explain", "0000000000"]).status.code(), Some(3));
    assert_eq!(postern.run(&["explain", "0000000000000"]).status.code(), Some(3));
    assert_eq!(postern.run(&["explain", "what"]).status.code(), Some(2));
    assert_eq!(postern.run(&["explain"]).status.code(), Some(2));
}

#[test]
fn what_the_protocol_refuses_carries_a_reference_too_that_leads_to_what_was_said() {
    let postern = Setup::new().start();
    let mut client = SmtpClient::connect(postern.mx());
    client.expect_reply(220);
    let out_of_order = client.command("RCPT TO:<alice@here.test>");
    let unknown = client.command("XYZZY");
    assert!(out_of_order.code >= 500 && unknown.code >= 500, "{out_of_order:?} {unknown:?}");
    assert_eq!(reference(&out_of_order), reference(&unknown), "a session has one");
    client.expect("QUIT", 221);
    let explained = explained(&postern, &reference(&unknown)).to_string();
    for said in [&out_of_order, &unknown] {
        let text = said.text();
        let words = text.split_once(" (ref ").unwrap().0;
        assert!(explained.contains(words.split_once(' ').map_or(words, |(_, words)| words)), "{words}: {explained}");
    }
}

#[test]
fn what_was_accepted_has_its_reasons_too_and_trace_and_explain_lead_to_each_other() {
    let postern = with_alice(Setup::new());
    let mut client = alice(&postern);
    let first = queued_as(&client.mail(ALICE, &[BOB], &message(ALICE, BOB, "first")));
    let second = queued_as(&client.mail(ALICE, &[BOB], &message(ALICE, BOB, "second")));
    let one = explained(&postern, &first);
    assert_eq!(one["messages"], serde_json::json!([first]), "only what is about it: {one}");
    assert_eq!(steps(&one, "auth")[0]["decision"], "authenticated", "{one}");
    assert_eq!(steps(&one, "message")[0]["decision"], "pass", "{one}");
    let two = explained(&postern, &second);
    assert_eq!(two["messages"], serde_json::json!([second]), "{two}");
    assert_eq!(two["session"], one["session"]);
    let session = one["session"].as_str().unwrap();
    assert!(postern.order(&["trace", &first]).contains(session));
    assert!(postern.order(&["explain", &first]).contains(&format!("postern trace {first}")));
    client.expect("QUIT", 221);
    assert_eq!(explained(&postern, session)["messages"].as_array().unwrap().len(), 2);
}

#[test]
fn real_sessions_judged_again_from_their_records_come_out_the_same_and_a_change_of_settings_shows() {
    let mut postern = with_alice(Setup::new());
    let mut stranger = postern.stranger();
    stranger.mail(STRANGER, &[ALICE], &message(STRANGER, ALICE, "in"));
    stranger.expect("MAIL FROM:<>", 250);
    let refused = stranger.command("RCPT TO:<nobody@here.test>");
    stranger.expect("QUIT", 221);
    let mut client = alice(&postern);
    let forged = client.mail(ALICE, &[BOB], &message("boss@here.test", BOB, "forged"));
    assert_eq!(forged.code, 550, "{forged:?}");
    client.expect("QUIT", 221);
    for id in [reference(&refused), reference(&forged)] {
        let all = explained(&postern, &id);
        let judged: Vec<&Value> = ["sender", "recipient", "message"].iter().flat_map(|stage| steps(&all, stage)).collect();
        assert!(!judged.is_empty() && judged.iter().all(|step| step["same_today"] == true), "the same verdicts: {all}");
    }
    // The same facts under other rules.
    postern.change(|setup| setup.with("policy.rules.sender_identity", "mode", "\"observe\""));
    postern.reload("reloaded");
    let all = explained(&postern, &reference(&forged));
    assert_eq!(steps(&all, "message")[0]["today"], "pass", "{all}");
    let mut client = alice(&postern);
    let taken = queued_as(&client.mail(ALICE, &[BOB], &message("boss@here.test", BOB, "watched")));
    let all = explained(&postern, &taken);
    let step = steps(&all, "message")[0];
    let observed = step["rules"].as_array().unwrap().iter().find(|rule| rule["rule"] == "sender_identity").unwrap();
    assert_eq!((&observed["mode"], &observed["says"]), (&"observe".into(), &"refuse".into()), "{all}");
    assert_eq!(step["would_change"][0]["mode"], "enforce", "{all}");
}

#[test]
fn what_if_is_answered_by_the_running_server_and_from_the_configuration_alone() {
    let mut postern = with_alice(Setup::new());
    for running in [true, false] {
        if !running {
            postern.terminate();
        }
        let ask = |more: &[&str]| {
            postern.json(
                &[&["explain", "--from", "alice@here.test", "--to", "carol@elsewhere.test", "--ip", "192.0.2.9"], more].concat(),
            )
        };
        assert_eq!(steps(&ask(&[]), "recipient")[0]["decided_by"], "relay");
        let own = ask(&["--account", ALICE]);
        assert!(own["steps"].as_array().unwrap().iter().all(|step| step["decision"] == "pass"), "{own}");
        let other = postern.json(&["explain", "--from", BOB, "--to", ALICE, "--ip", "192.0.2.9", "--account", ALICE]);
        assert_eq!(steps(&other, "sender")[0]["decided_by"], "sender_identity");
        let wrong = postern.run(&["explain", "--from", "x", "--to", ALICE, "--ip", "192.0.2.9"]);
        assert_eq!(wrong.status.code(), Some(2), "{}", text(&wrong));
    }
}

#[test]
fn what_if_is_judged_by_the_file_that_is_named_and_says_so() {
    let mut postern = with_alice(Setup::new());
    let from_bob = ["explain", "--from", BOB, "--to", ALICE, "--ip", "192.0.2.9", "--account", ALICE];
    let asked = |postern: &Postern| {
        let all = postern.json(&from_bob);
        (steps(&all, "sender")[0]["decision"].clone(), all["by"].as_str().unwrap().to_owned())
    };
    let (decision, by) = asked(&postern);
    assert!(decision == "refuse" && by.ends_with("as it is in force"), "{decision} {by}");
    postern.change(|setup| setup.with("policy.rules.sender_identity", "mode", "\"observe\""));
    let (decision, by) = asked(&postern);
    assert!(decision == "pass" && by.contains("1 settings other than the configuration in force"), "{decision} {by}");
    let mut client = alice(&postern);
    assert_eq!(client.command("MAIL FROM:<bob@here.test>").code, 550, "asking changes nothing");
    postern.terminate();
    let (decision, by) = asked(&postern);
    assert!(decision == "pass" && by.ends_with("no server is running"), "{decision} {by}");
}

#[test]
fn every_order_that_changes_something_is_in_the_audit_log_with_who_and_why() {
    let mut postern = with_alice(Setup::new());
    postern.order(&["account", "disable", ALICE, "--reason", "left the company"]);
    postern.order(&["account", "enable", ALICE]);
    postern.order(&["reload", "--reason", "new rules"]);
    postern.reload("reloaded");
    assert_eq!(postern.run(&["account", "disable", "nobody@here.test"]).status.code(), Some(3));
    postern.order(&["queue", "list"]);
    let entries = until("the signal's entry", LONG, || {
        let shown = postern.json(&["audit", "show"])["entries"].as_array().unwrap().clone();
        (shown.len() == 6).then_some(shown)
    });
    let told = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
    assert!(told(&entries[0], "who").starts_with("local:"), "before the server ran: {entries:?}");
    assert!(told(&entries[0], "what").starts_with("account add alice@here.test"), "{entries:?}");
    assert!(told(&entries[1], "who").starts_with("uid:"), "{entries:?}");
    assert_eq!(
        (told(&entries[1], "what"), told(&entries[1], "reason")),
        ("account disable alice@here.test".into(), "left the company".into())
    );
    assert_eq!(told(&entries[3], "reason"), "new rules");
    assert!(entries.iter().any(|entry| told(entry, "result").starts_with("failed")), "{entries:?}");
    assert!(entries.iter().any(|entry| told(entry, "who") == "signal"), "{entries:?}");
    assert!(!text(&postern.run(&["audit", "show"])).contains(PASSWORD));
    let verified = postern.json(&["audit", "verify"]);
    assert_eq!((&verified["whole"], &verified["entries"]), (&true.into(), &6.into()), "{verified}");
    let head = verified["head"].as_str().unwrap().to_owned();
    postern.order(&["audit", "verify", "--head", &head]);
    postern.terminate();
    let file = postern.data_dir().join("state/audit.log");
    let whole = std::fs::read_to_string(&file).unwrap();
    let cut: String = whole.lines().take(4).map(|line| format!("{line}\n")).collect();
    std::fs::write(&file, cut).unwrap();
    assert_eq!(postern.run(&["audit", "verify"]).status.code(), Some(0), "only a kept hash shows it");
    let missing = postern.run(&["audit", "verify", "--head", &head]);
    assert_eq!(missing.status.code(), Some(1), "{}", text(&missing));
    std::fs::write(&file, whole.replace("left the company", "was let go today")).unwrap();
    let broken = postern.run(&["audit", "verify"]);
    assert!(text(&broken).contains("at entry 2: it was changed"), "{}", text(&broken));
}

#[test]
fn a_rule_that_guards_the_server_cannot_be_switched_off() {
    let postern = Setup::new().with("policy.rules.relay", "mode", "\"off\"").prepare();
    let checked = postern.run(&["config", "check"]);
    assert_eq!(checked.status.code(), Some(1));
    assert!(text(&checked).contains("open relay"), "{}", text(&checked));
}

#[test]
fn a_wrong_password_carries_a_reference_too() {
    let postern = with_alice(Setup::new());
    let mut client = SmtpClient::hello_tls(postern.submission());
    let denied = client.auth_plain(ALICE, "wrong password");
    assert_eq!(denied.code, 535);
    let id = reference(&denied);
    client.expect("QUIT", 221);
    assert!(explained(&postern, &id).to_string().contains("wrong credentials"));
}
