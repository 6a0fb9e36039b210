//! Local lists of names: each is refused at the command that has it, with a reason and a reference; an allowance is one of lists alone; names come from
//! files and commands, and go to others as a zone.

use std::path::PathBuf;

use postern_testkit::dns::TestDns;
use postern_testkit::peers::rbldnsd::Rbldnsd;
use postern_testkit::program::{run, text};

use crate::prelude::*;

fn with_list(setup: Setup, contents: &str, keys: &str) -> (Postern, PathBuf) {
    let mut postern = setup.prepare();
    let file = postern.folder().join("names.txt");
    std::fs::write(&file, contents).unwrap();
    postern.change(|setup| {
        setup.with("policy", "lists_check_interval", "\"1h\"").table(&format!("[[policy.list]]\nfile = {file:?}\n{keys}\n"))
    });
    postern.start();
    (postern, file)
}

fn helo(postern: &Postern, name: &str) -> SmtpClient {
    let mut client = SmtpClient::connect(postern.mx());
    client.expect_reply(220);
    client.expect(&format!("EHLO {name}"), 250);
    client
}

fn mail(postern: &Postern, helo_name: &str, from: &str) -> Reply {
    helo(postern, helo_name).command(&format!("MAIL FROM:<{from}>"))
}

/// The reply to a whole message with this author and this text.
fn data(postern: &Postern, author: &str, body: &str) -> Reply {
    postern.stranger().mail(STRANGER, &[ALICE], &format!("From: <{author}>\nSubject: x\n\n{body}\n"))
}

fn refused(reply: &Reply, words: &str) {
    assert_eq!(reply.codes(), "550 5.7.1", "{reply:?}");
    assert!(reply.text().contains(words) && reply.text().contains("(ref "), "{reply:?}");
}

#[test]
fn each_kind_of_name_is_refused_where_it_is_said_and_names_beside_it_pass() {
    let dns = TestDns::start();
    dns.ptr("127.0.0.1", "host7.dyn.isp.test").address_of("host7.dyn.isp.test", "127.0.0.1");
    let list = "helo:.forged.test ; call yourself by your name\nsender:@bad.test ; spam\nsender:friend@bad.test allow\n\
        recipient:bob@here.test ; he left\nfrom:boss@bank.test ; not the bank\nlink:evil.test/pay ; phishing\nworst.test ; the worst\n\
        ptr:.dyn.isp.test 1.0 ; dial-up\n";
    let (mut postern, file) =
        with_list(Setup::new().dns(&dns).with("policy.authenticity", "enabled", "true"), list, "of = \"domain\"");
    refused(&mail(&postern, "x.forged.test", STRANGER), "the helo x.forged.test is in a list of this server: call yourself");
    refused(&mail(&postern, "mail.there.test", "any@bad.test"), "the sender any@bad.test is in a list of this server: spam");
    refused(&mail(&postern, "mail.there.test", "any@worst.test"), "the worst");
    for (name, from) in [("mail.there.test", "friend@bad.test"), ("notforged.test", "any@sub.bad.test"), ("there.test", "")] {
        assert_eq!(mail(&postern, name, from).code, 250, "{name} {from}");
    }
    let mut client = postern.stranger();
    client.expect(&format!("MAIL FROM:<{STRANGER}>"), 250);
    refused(&client.command(&format!("RCPT TO:<{BOB}>")), "he left");
    client.expect(&format!("RCPT TO:<{ALICE}>"), 250);
    refused(&data(&postern, "boss@bank.test", "pay"), "not the bank");
    let phishing = data(&postern, STRANGER, "see https://evil.test/pay/now?id=7 please");
    refused(&phishing, "the link evil.test is in a list of this server: phishing");
    refused(&data(&postern, STRANGER, "see https://www.worst.test/ please"), "the worst");
    for passes in ["see https://evil.test/payment", "see https://notworst.test/", "bank.test"] {
        assert_eq!(data(&postern, STRANGER, passes).code, 250, "{passes}");
    }
    let trail = postern.order(&["explain", &reference(&phishing)]);
    assert!(trail.contains("block link:evil.test/pay (link evil.test) in"), "{trail}");
    assert!(trail.contains("1.0 ptr:.dyn.isp.test (ptr host7.dyn.isp.test) in"), "{trail}");
    // What the same list says of customers is said where it is told to be looked at.
    postern.terminate();
    postern.account(ALICE, PASSWORD);
    postern.change(|setup| {
        setup
            .without_tables()
            .table(&format!("[[policy.list]]\nfile = {file:?}\nof = \"domain\"\nlisteners = [\"submission\"]\n"))
    });
    postern.start();
    assert_eq!(mail(&postern, "x.forged.test", "any@bad.test").code, 250);
    let mut client = alice(&postern);
    client.expect(&format!("MAIL FROM:<{ALICE}>"), 250);
    refused(&client.command(&format!("RCPT TO:<{BOB}>")), "he left");
}

fn reference(reply: &Reply) -> String {
    let text = reply.text();
    text.rsplit_once("(ref ").expect("a reference").1.trim_end_matches(')').to_owned()
}

#[test]
fn an_allowance_of_a_name_opens_no_relay_and_makes_no_mailbox() {
    let list =
        "recipient:.elsewhere.test allow\nrecipient:nobody@here.test allow\nsender:stranger@there.test allow\nhelo:.test allow\n";
    let (postern, _) = with_list(Setup::new(), list, "");
    let mut client = helo(&postern, "mail.there.test");
    client.expect(&format!("MAIL FROM:<{STRANGER}>"), 250);
    for to in ["carol@elsewhere.test", "nobody@here.test"] {
        assert_eq!(client.command(&format!("RCPT TO:<{to}>")).code, 550, "{to}");
    }
}

#[test]
fn points_of_names_of_all_stages_are_added_up_and_an_observed_list_has_none() {
    let list = "sender:stranger@there.test 4.0\nrecipient:alice@here.test 3.0\nlink:odd.test 3.0\n";
    let (mut postern, file) = with_list(Setup::new(), list, "");
    assert_eq!(data(&postern, STRANGER, "nothing").code, 250, "held at most");
    let reply = data(&postern, STRANGER, "http://odd.test/");
    assert_eq!(reply.code, 550, "{reply:?}");
    assert!(postern.order(&["explain", &reference(&reply)]).contains("10.0 points, refused at 10.0"));
    postern.change(|setup| {
        setup
            .without_tables()
            .domain("here.test", &["alice", "bob"])
            .table(&format!("[[policy.list]]\nfile = {file:?}\nmode = \"observe\"\n"))
    });
    postern.reload("reloaded");
    assert_eq!(data(&postern, STRANGER, "http://odd.test/").code, 250);
}

#[test]
fn a_name_of_a_command_is_in_force_at_once_survives_a_kill_and_is_tested_and_taken_out() {
    let mut postern = Setup::new().start();
    postern.order(&["list", "add", "sender:@bad.test", "link:evil.test/pay", "--for", "1h", "--reason", "spam"]);
    refused(&mail(&postern, "there.test", "a@bad.test"), "spam");
    postern.kill();
    postern.start();
    refused(&mail(&postern, "there.test", "a@bad.test"), "spam");
    let tested = postern.json(&["list", "test", "sender:a@bad.test"]);
    assert_eq!(
        (&tested["matches"][0]["subject"], &tested["decided"]["decision"], &tested["decided"]["stage"]),
        (&"sender:@bad.test".into(), &"refuse".into(), &"sender".into())
    );
    assert_eq!(postern.json(&["list", "test", "link:http://evil.test/pay/x"])["decided"]["decision"], "refuse");
    assert_eq!(postern.json(&["list", "test", "link:http://evil.test/"])["matches"], serde_json::json!([]));
    let would = postern.json(&["explain", "--from", "a@bad.test", "--to", ALICE, "--ip", "192.0.2.1"]);
    assert!(would.to_string().contains("list_block"), "{would}");
    postern.order(&["list", "remove", "sender:bad.test"]);
    assert_eq!(mail(&postern, "there.test", "a@bad.test").code, 250);
    for wrong in ["sender:a b", "mail:x", "link:a@b/c"] {
        assert_eq!(postern.run(&["list", "add", wrong]).status.code(), Some(2), "{wrong}");
    }
    assert_eq!(postern.run(&["list", "test", "domain:bad.test"]).status.code(), Some(2));
    let exported = postern.order(&["list", "export"]);
    assert!(exported.starts_with("link:evil.test/pay block until ") && exported.ends_with(" ; spam\n"), "{exported}");
    // A feed of plain names, with a kind for all of them.
    let output = run(&mut postern.command(&["list", "import", "-", "--of", "from"]), "worse.test\n.worst.test\n", LONG);
    assert!(output.status.success(), "{}", text(&output));
    refused(&data(&postern, "x@www.worst.test", "hello"), "the from x@www.worst.test");
}

#[test]
fn a_zone_of_names_is_served_by_rbldnsd_as_it_was_meant_and_read_as_rbldnsd_reads_it() {
    require!(Rbldnsd::here());
    let list = "alone.test ; only $ itself\n.wide.test ; all of it\ngood.wide.test allow\n*.under.test\nsender:@bad.test\nlink:evil.test/pay\nended.test until 2020-01-01\n";
    let (postern, file) = with_list(Setup::new(), list, "of = \"domain\"");
    let zone = postern.order(&["list", "export", "--format", "rbldnsd", "--of", "domain", "--list", file.to_str().unwrap()]);
    let rbldnsd = Rbldnsd::start("dnset", &zone);
    let names = [
        ("alone.test", true),
        ("x.alone.test", false),
        ("wide.test", true),
        ("x.y.wide.test", true),
        ("good.wide.test", false),
        ("x.good.wide.test", true),
        ("under.test", false),
        ("x.under.test", true),
        ("bad.test", false),
        ("evil.test", false),
        ("ended.test", false),
        ("test", true),
        ("invalid", false),
    ];
    for (name, listed) in names {
        assert_eq!(rbldnsd.name_listed(name).is_some(), listed, "{name} by rbldnsd");
    }
    assert_eq!(rbldnsd.name_reason("alone.test").as_deref(), Some("only $ itself"));
    assert_eq!(rbldnsd.name_reason("x.wide.test").as_deref(), Some("all of it"));
    // Read back, it says the same.
    let (again, _) = with_list(Setup::new(), &zone, "of = \"helo\"\nformat = \"rbldnsd\"");
    for (name, listed) in names.into_iter().filter(|(name, _)| name.contains('.')) {
        let reply = mail(&again, name, STRANGER);
        assert_eq!(reply.code == 550, listed, "{name} by us: {reply:?}");
    }
}

#[test]
fn names_of_the_new_file_are_tried_on_what_was_and_what_was_said_of_links_is_kept() {
    let (mut postern, file) = with_list(Setup::new(), "link:odd.test 1.0 ; odd\n", "");
    queued_as(&data(&postern, STRANGER, "http://odd.test/"));
    let replayed = || {
        until("the record", LONG, || {
            let replayed =
                serde_json::from_slice::<serde_json::Value>(&postern.run(&["policy", "replay", "--json"]).stdout).ok()?;
            (replayed["messages"] == 1).then_some(replayed)
        })
    };
    let same = replayed();
    assert_eq!(same["same"], same["decisions"], "{same}");
    std::fs::write(&file, "link:odd.test 1.0 ; odd\nsender:stranger@there.test ; spam\n").unwrap();
    let blocked = replayed();
    assert_eq!((&blocked["changed"], &blocked["messages_turned_away"]), (&1.into(), &1.into()), "{blocked}");
    assert_eq!(blocked["changes"][0]["would_be"]["rule"], "list_block", "{blocked}");
    std::fs::write(&file, "recipient:alice@here.test ; not now\n").unwrap();
    assert_eq!(replayed()["changes"][0]["stage"], "recipient");
    postern.terminate();
}
