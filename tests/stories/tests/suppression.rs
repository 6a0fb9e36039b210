//! Who is not written to any more: what a next hop says of a recipient is remembered, what it says of us is not held against him, and a person can see
//! it, take it back and order it.

use postern_testkit::program::text;

use crate::prelude::*;

/// Refuses by the local part of the recipient.
fn town() -> (Postern, Sink) {
    let sink = Behaviour::default()
        .answering(|heard| match heard.line.strip_prefix("RCPT TO:<").and_then(|rest| rest.split('@').next()) {
            Some("gone") => Say::this("550 5.1.1 <gone@there.test>: Recipient address rejected: User unknown"),
            Some("blocked") => {
                Say::this("550 5.1.1 service unavailable, client host [192.0.2.1] blocked using zen.spamhaus.org; user unknown")
            }
            Some("full") => Say::this("552 5.2.2 mailbox is full"),
            _ => Say::Usual,
        })
        .start();
    (with_alice(Setup::new().route(&["*"], sink.port())), sink)
}

fn rcpt(postern: &Postern, to: &str) -> Reply {
    let mut client = alice(postern);
    client.expect(&format!("MAIL FROM:<{ALICE}>"), 250);
    client.command(&format!("RCPT TO:<{to}>"))
}

/// Sends, and waits for the report on it.
fn bounces(postern: &Postern, to: &str, subject: &str, reports: usize) {
    from_alice(postern, to, subject);
    let _ = postern.maildir(ALICE).wait_for(reports, LONG);
}

fn exit(postern: &Postern, words: &[&str]) -> Option<i32> {
    postern.run(words).status.code()
}

#[test]
fn an_address_that_bounced_twice_is_refused_at_rcpt_over_a_restart_too_until_a_person_lifts_it() {
    let (mut postern, sink) = town();
    bounces(&postern, "gone@there.test", "first", 1);
    let once = postern.json(&["suppression", "check", "gone@there.test"]);
    assert_eq!((&once["bounces"], once["entries"].as_array().unwrap().len()), (&1.into(), 0), "{once}");
    bounces(&postern, "gone@there.test", "second", 2);
    postern.wait_for_log("is suppressed from now on");
    let reply = rcpt(&postern, "Gone@THERE.test");
    assert_eq!(reply.codes(), "550 5.1.1", "{reply:?}");
    assert!(reply.text().contains("suppressed") && reply.text().contains("since") && reply.text().contains("until"), "{reply:?}");
    assert!(reply.text().contains("an administrator can lift it") && reply.text().contains("(ref "), "{reply:?}");
    assert_eq!(rcpt(&postern, "carol@there.test").code, 250);

    // Who explains it has it from the record of the session.
    let reference = reply.text().rsplit_once("(ref ").unwrap().1.trim_end_matches(')').to_owned();
    let why = until("the record", LONG, || {
        let output = postern.run(&["explain", &reference]);
        output.status.success().then(|| text(&output))
    });
    assert!(why.contains("suppressed") && why.contains("postern suppression"), "{why}");

    postern.restart();
    assert_eq!(rcpt(&postern, "gone@there.test").codes(), "550 5.1.1");
    let listed = postern.json(&["suppression", "list"]);
    let entry = &listed["entries"][0];
    assert_eq!((&entry["address"], &entry["cause"], &entry["times"]), (&"gone@there.test".into(), &"bounced".into(), &2.into()));
    assert!(entry["evidence"].as_str().unwrap().contains("User unknown") && entry["until"].is_number(), "{listed}");
    assert_eq!(exit(&postern, &["suppression", "remove", "gone@there.test", "--account", ALICE]), Some(3));
    postern.order(&["suppression", "remove", "gone@there.test", "--reason", "he is back"]);
    assert!(postern.order(&["audit", "show"]).contains("suppression remove gone@there.test"));
    assert_eq!(rcpt(&postern, "gone@there.test").code, 250);
    assert_eq!(exit(&postern, &["suppression", "check", "gone@there.test"]), Some(3));
    drop(sink);
}

#[test]
fn what_is_said_of_us_and_of_a_full_mailbox_suppresses_nobody() {
    let (postern, _sink) = town();
    for (number, to) in ["blocked@there.test", "blocked@there.test", "blocked@there.test", "full@there.test", "full@there.test"]
        .iter()
        .enumerate()
    {
        bounces(&postern, to, &format!("try {number}"), number + 1);
    }
    assert_eq!(exit(&postern, &["suppression", "check", "blocked@there.test"]), Some(3));
    assert_eq!(rcpt(&postern, "blocked@there.test").code, 250);
    assert_eq!(rcpt(&postern, "full@there.test").code, 250);
}

#[test]
fn a_person_can_suppress_an_address_for_one_account_and_take_lists_of_them_in_and_out() {
    let (mut postern, _sink) = town();
    postern.account(BOB, PASSWORD);
    let add = ["suppression", "add", "carol@there.test", "--account", ALICE, "--reason", "she asked me"];
    postern.order(&[&add[..], &["--dry-run"]].concat());
    assert_eq!(rcpt(&postern, "carol@there.test").code, 250);
    postern.order(&add);
    let reply = rcpt(&postern, "carol@there.test");
    assert!(reply.codes() == "550 5.1.0" && reply.text().contains("until that is taken back"), "{reply:?}");
    let mut bob = SmtpClient::logged_in(postern.submission(), BOB, PASSWORD);
    bob.expect(&format!("MAIL FROM:<{BOB}>"), 250);
    bob.expect("RCPT TO:<carol@there.test>", 250);
    // What would be decided is what is decided.
    let asked = [
        "explain",
        "--ip",
        "127.0.0.1",
        "--listener",
        "submission",
        "--account",
        ALICE,
        "--from",
        ALICE,
        "--to",
        "carol@there.test",
    ];
    let would = postern.run(&asked);
    assert!(text(&would).contains("carol@there.test is suppressed, for this account"), "{}", text(&would));
    // Strangers and mail to ourselves are none of its business.
    postern.order(&["suppression", "add", BOB]);
    assert_eq!(rcpt(&postern, BOB).code, 250);

    let file = postern.folder().join("suppressed.tsv");
    std::fs::write(
        &file,
        "# moved over\ndave@there.test\nerin@there.test\tcomplained\t\t\t\tby telephone\nold@there.test\tbounced\t\t1\t2\n",
    )
    .unwrap();
    let said = postern.order(&["suppression", "import", file.to_str().unwrap()]);
    assert!(said.contains("2 addresses are suppressed") && said.contains("the end of 1 is over"), "{said}");
    assert_eq!(rcpt(&postern, "erin@there.test").codes(), "550 5.1.0");
    let exported = postern.order(&["suppression", "export"]);
    assert_eq!(exported.lines().count(), 4, "{exported}");
    assert!(exported.contains("erin@there.test\tcomplained\t\t"), "{exported}");
    postern.order(&["suppression", "remove", "erin@there.test"]);
    std::fs::write(&file, &exported).unwrap();
    postern.order(&["suppression", "import", file.to_str().unwrap()]);
    let again: Vec<String> = postern.order(&["suppression", "export"]).lines().map(str::to_owned).collect();
    assert_eq!(again.len(), 4, "{again:?}");
    // Not one of a file with a mistake is taken.
    std::fs::write(&file, "frank@there.test\nno address\n").unwrap();
    assert_eq!(exit(&postern, &["suppression", "import", file.to_str().unwrap()]), Some(1));
    assert_eq!(rcpt(&postern, "frank@there.test").code, 250);
    postern.restart();
    assert_eq!(rcpt(&postern, "erin@there.test").codes(), "550 5.1.0");
}

#[test]
fn mistyped_domains_are_refused_where_that_is_wanted_and_traps_and_offices_always() {
    let sink = Sink::start();
    let setup = Setup::new()
        .route(&["*"], sink.port())
        .with("policy.rules.mistyped", "mode", "\"enforce\"")
        .with("outbound.hygiene", "traps", "[\"trap@there.test\"]")
        .with("outbound", "bulk_accounts", &format!("[\"{ALICE}\"]"));
    let postern = with_alice(setup);
    let reply = rcpt(&postern, "carol@gmial.com");
    assert!(reply.codes() == "550 5.1.2" && reply.text().contains("did you mean carol@gmail.com?"), "{reply:?}");
    assert_eq!(rcpt(&postern, "trap@there.test").codes(), "550 5.7.1");
    assert_eq!(rcpt(&postern, "sales@there.test").codes(), "550 5.7.1");
    assert_eq!(rcpt(&postern, "carol@there.test").code, 250);
    // Who may not relay hears nothing of it.
    let mut stranger = postern.stranger();
    stranger.expect(&format!("MAIL FROM:<{STRANGER}>"), 250);
    assert!(stranger.command("RCPT TO:<carol@gmial.com>").text().contains("relaying denied"));
}

#[test]
fn an_address_that_takes_mail_after_all_is_forgiven_what_bounced() {
    let tries = std::sync::atomic::AtomicUsize::new(0);
    let sink = Behaviour::default()
        .answering(move |heard| match heard.line {
            line if line.starts_with("RCPT") && tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 => {
                Say::this("550 5.1.1 no such user")
            }
            _ => Say::Usual,
        })
        .start();
    let mut postern = with_alice(Setup::new().route(&["*"], sink.port()));
    bounces(&postern, "new@there.test", "too early", 1);
    assert_eq!(exit(&postern, &["suppression", "check", "new@there.test"]), Some(0));
    from_alice(&postern, "new@there.test", "in time");
    let _ = sink.wait_for_subject("in time");
    until("what bounced to be forgotten", LONG, || {
        (exit(&postern, &["suppression", "check", "new@there.test"]) == Some(3)).then_some(())
    });
    postern.restart();
    assert_eq!(exit(&postern, &["suppression", "check", "new@there.test"]), Some(3));
}

#[test]
fn what_becomes_of_strangers_mail_that_an_alias_sends_on_teaches_nothing() {
    let sink = Behaviour::default()
        .answering(
            |heard| if heard.line.starts_with("RCPT TO:<gone@") { Say::this("550 5.1.1 no such user") } else { Say::Usual },
        )
        .start();
    let aliases = "aliases = { away = [\"gone@there.test\"] }";
    let setup = Setup::default().domain_with("here.test", &["alice"], aliases).route(&["*"], sink.port());
    let postern = with_alice(setup);
    for number in 1..=3 {
        from_stranger(&postern, "away@here.test", "on");
        // The report to the stranger.
        let _ = sink.wait_for(number);
    }
    assert_eq!(exit(&postern, &["suppression", "check", "gone@there.test"]), Some(3));
}
