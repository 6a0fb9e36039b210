//! What comes back late: mail leaves with a sender of its own for each recipient, a report that names it is read, teaches, and reaches whoever sent the
//! message; a complaint keeps the account from writing again; whoever makes a token up is refused.

use crate::prelude::*;

fn town() -> (Postern, Sink) {
    let sink = Sink::start();
    let setup = Setup::new().route(&["*"], sink.port()).with("outbound.verp", "enabled", "true").with(
        "reports",
        "complaints_at",
        &format!("\"{BOB}\""),
    );
    (with_alice(setup), sink)
}

/// `MAIL FROM:<bounce+x@here.test> SIZE=..`, the address of it.
fn sender(from: &str) -> String {
    from.trim_start_matches('<').split('>').next().unwrap().to_owned()
}

/// A report on delivery, as some other server writes it.
fn report(to: &str, about: &str, action: &str, status: &str, diagnostic: &str) -> String {
    format!(
        "From: Mail Delivery Subsystem <MAILER-DAEMON@mx.there.test>\r\nTo: {to}\r\nSubject: Undeliverable\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\n\
         Message-ID: <1@mx.there.test>\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nIt did not work.\r\n\
         --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.there.test\r\n\r\nFinal-Recipient: rfc822; {about}\r\n\
         Action: {action}\r\nStatus: {status}\r\nDiagnostic-Code: smtp; {diagnostic}\r\n\r\n--b--\r\n"
    )
}

fn bring(postern: &Postern, to: &str, message: &str) -> Reply {
    let mut client = postern.stranger();
    client.mail("", &[to], message)
}

fn leaves(postern: &Postern, sink: &Sink, to: &str, subject: &str) -> String {
    from_alice(postern, to, subject);
    sender(&sink.wait_for_subject(subject).from)
}

fn rcpt(postern: &Postern, to: &str) -> Reply {
    let mut client = alice(postern);
    client.expect(&format!("MAIL FROM:<{ALICE}>"), 250);
    client.command(&format!("RCPT TO:<{to}>"))
}

#[test]
fn a_report_that_comes_late_reaches_the_sender_and_teaches_that_its_recipient_is_gone() {
    let (mut postern, sink) = town();
    let first = leaves(&postern, &sink, "gone@there.test", "first");
    let second = leaves(&postern, &sink, "gone@there.test", "second");
    assert!(first.starts_with("bounce+") && first.ends_with("@here.test") && first != second, "{first} {second}");
    assert!(!first.contains("gone"), "{first}");
    let unknown = "550 5.1.1 The email account that you tried to reach does not exist";
    // A restart forgets no token.
    postern.restart();
    assert_eq!(bring(&postern, &first, &report(&first, "gone@there.test", "failed", "5.1.1", unknown)).code, 250);
    let came = postern.maildir(ALICE).wait_for(1, LONG).remove(0);
    assert!(came.header("Subject") == "Undeliverable" && came.header("Return-Path") == "<>", "{}", came.0);
    assert_eq!(rcpt(&postern, "gone@there.test").code, 250, "it is the first");
    assert_eq!(
        bring(&postern, &second.to_uppercase(), &report(&second, "GONE@there.test", "failed", "5.1.1", unknown)).code,
        250
    );
    postern.wait_for_log("is suppressed from now on");
    assert_eq!(rcpt(&postern, "gone@there.test").codes(), "550 5.1.1");
    let listed = postern.json(&["suppression", "check", "gone@there.test"]);
    assert!(listed["entries"][0]["evidence"].as_str().unwrap().contains("reported later: 5.1.1"), "{listed}");
}

#[test]
fn a_report_about_somebody_else_about_us_or_about_nothing_is_handed_on_and_suppresses_nobody() {
    let (postern, sink) = town();
    let address = leaves(&postern, &sink, "carol@there.test", "hello");
    let unknown = "550 5.1.1 no such user";
    let all = [
        // Carol's mail is sent on to somebody who is gone.
        report(&address, "elsewhere@other.test", "failed", "5.1.1", unknown),
        report(&address, "carol@there.test", "delayed", "4.1.1", unknown),
        report(
            &address,
            "carol@there.test",
            "failed",
            "5.1.1",
            "550 5.1.1 your IP is blocked using zen.spamhaus.org, no such user",
        ),
        message("carol@there.test", &address, "I am on holiday"),
    ];
    for (number, text) in all.iter().cycle().take(8).enumerate() {
        assert_eq!(bring(&postern, &address, text).code, 250);
        let _ = postern.maildir(ALICE).wait_for(number + 1, LONG);
    }
    assert_eq!(postern.run(&["suppression", "check", "carol@there.test"]).status.code(), Some(3));
}

#[test]
fn a_token_that_was_made_up_is_refused_at_rcpt_and_each_recipient_has_his_own() {
    let (postern, sink) = town();
    let mut client = alice(&postern);
    let reply = client.mail(ALICE, &["a@there.test", "b@there.test"], &message(ALICE, "a@there.test", "two"));
    assert_eq!(reply.code, 250);
    let both = sink.wait_for(2);
    assert_eq!(both.iter().map(|one| one.to.len()).collect::<Vec<_>>(), [1, 1]);
    assert_ne!(sender(&both[0].from), sender(&both[1].from));
    let right = sender(&both[0].from);
    let token = right.strip_prefix("bounce+").unwrap().split('@').next().unwrap();
    assert!(both[0].message().0.starts_with(&format!("X-Return-Token: {token}\r\n")), "{}", both[0].message().0);
    let mut stranger = postern.stranger();
    stranger.expect("MAIL FROM:<>", 250);
    stranger.expect(&format!("RCPT TO:<{right}>"), 250);
    for place in [0, 14, token.len() - 1] {
        let mut forged = token.to_owned().into_bytes();
        forged[place] = if forged[place] == b'2' { b'3' } else { b'2' };
        let forged = String::from_utf8(forged).unwrap();
        assert_eq!(stranger.command(&format!("RCPT TO:<bounce+{forged}@here.test>")).codes(), "550 5.1.1", "{forged}");
    }
    // Mail of strangers and of ours to ourselves has the sender it came with.
    from_alice(&postern, BOB, "inside");
    assert_eq!(postern.maildir(BOB).wait_for(1, LONG)[0].header("Return-Path"), format!("<{ALICE}>"));
}

#[test]
fn whoever_complains_gets_no_more_of_that_account_and_a_complaint_that_was_made_up_harms_nobody() {
    let (mut postern, sink) = town();
    let address = leaves(&postern, &sink, "carol@there.test", "offer");
    let token = address.strip_prefix("bounce+").unwrap().split('@').next().unwrap().to_owned();
    let complaint = |fields: &str, original: &str| {
        format!(
            "From: fbl@provider.test\r\nTo: {BOB}\r\nSubject: complaint\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\nMessage-ID: <2@provider.test>\r\n\
             MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=feedback-report; boundary=\"b\"\r\n\r\n\
             --b\r\nContent-Type: text/plain\r\n\r\nA complaint.\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\n\
             User-Agent: Provider/1\r\nVersion: 1\r\n{fields}\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n{original}From: {ALICE}\r\nSubject: offer\r\n\r\nhi\r\n--b--\r\n"
        )
    };
    let bring = |postern: &Postern, text: &str| {
        let mut client = postern.stranger();
        assert_eq!(client.mail("fbl@provider.test", &[BOB], text).code, 250);
    };
    let forged = format!("X-Return-Token: {}\r\n", token.replace(|c: char| c != '0', "1"));
    bring(&postern, &complaint("Feedback-Type: abuse", &forged));
    bring(&postern, &complaint("Feedback-Type: abuse", ""));
    bring(&postern, &complaint("Feedback-Type: not-spam", &format!("X-Return-Token: {token}\r\n")));
    let _ = postern.maildir(BOB).wait_for(3, LONG);
    assert_eq!(rcpt(&postern, "carol@there.test").code, 250);

    let bad = complaint("Feedback-Type: abuse", &format!("X-Return-Token: {token}\r\n"));
    let against = |postern: &Postern| postern.json(&["reputation", "show", ALICE])["accounts"][0]["signals"].clone();
    bring(&postern, &bad);
    postern.wait_for_log("somebody complained");
    let _ = postern.maildir(BOB).wait_for(4, LONG);
    let once = against(&postern);
    assert!(once.to_string().contains("complain"), "{once}");
    bring(&postern, &bad);
    let _ = postern.maildir(BOB).wait_for(5, LONG);
    assert_eq!(against(&postern), once, "the same complaint is not a second one");
    let reply = rcpt(&postern, "carol@there.test");
    assert!(reply.codes() == "550 5.1.0" && reply.text().contains("complained"), "{reply:?}");
    postern.account(BOB, PASSWORD);
    let mut bob = SmtpClient::logged_in(postern.submission(), BOB, PASSWORD);
    bob.expect(&format!("MAIL FROM:<{BOB}>"), 250);
    bob.expect("RCPT TO:<carol@there.test>", 250);

    // Another provider leaves the message out and tells its sender.
    let other = leaves(&postern, &sink, "dave@there.test", "other offer");
    bring(&postern, &complaint(&format!("Feedback-Type: abuse\r\nOriginal-Mail-From: <{other}>"), ""));
    let _ = postern.maildir(BOB).wait_for(6, LONG);
    assert_eq!(rcpt(&postern, "dave@there.test").codes(), "550 5.1.0");
    postern.restart();
    assert_eq!(rcpt(&postern, "dave@there.test").codes(), "550 5.1.0");
}

#[test]
fn a_mailbox_called_bounce_gets_its_own_mail_and_no_reports_of_others() {
    let sink = Sink::start();
    let setup = Setup::default().domain_with("here.test", &["alice", "bob", "bounce"], "").route(&["*"], sink.port());
    let postern = with_alice(setup.with("outbound.verp", "enabled", "true"));
    let address = leaves(&postern, &sink, "carol@there.test", "hello");
    assert_eq!(bring(&postern, &address, &report(&address, "carol@there.test", "failed", "5.1.1", "550 no")).code, 250);
    let _ = postern.maildir(ALICE).wait_for(1, LONG);
    assert!(postern.maildir("bounce@here.test").messages().is_empty());
    from_stranger(&postern, "bounce+tag@here.test", "for itself");
    let _ = postern.maildir("bounce@here.test").wait_for_subject("for itself", LONG);
}

#[test]
fn what_a_stranger_sends_to_a_token_is_handed_on_as_his_and_not_signed_as_ours() {
    let sink = Sink::start();
    let relayed = format!("deliver = {{ kind = \"relay\", host = \"127.0.0.1\", port = {} }}", sink.port());
    let setup = Setup::default().domain_with("here.test", &["alice", "bob"], &relayed).route(&["*"], sink.port());
    let setup = setup.with("outbound.verp", "enabled", "true").table("[[dkim]]\ndomain = \"here.test\"\n");
    let postern = with_alice(setup);
    from_alice(&postern, "carol@there.test", "ours");
    let ours = sink.wait_for_subject("ours");
    assert_eq!(ours.message().0.matches("DKIM-Signature:").count(), 2, "{}", ours.message().0);
    let forged = format!(
        "From: {ALICE}\r\nTo: {ALICE}\r\nSubject: pay me\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\nMessage-ID: <3@evil.test>\r\n\r\nhi\r\n"
    );
    let mut stranger = postern.stranger();
    assert_eq!(stranger.mail("mallory@evil.test", &[&sender(&ours.from)], &forged).code, 250);
    let handed_on = sink.wait_for_subject("pay me");
    assert!(!handed_on.message().0.contains("DKIM-Signature:"), "{}", handed_on.message().0);
}

#[test]
fn a_host_that_turns_one_recipient_away_at_the_door_is_not_asked_for_each_of_the_others() {
    let sink = Behaviour::default()
        .answering(|heard| if heard.line.starts_with("MAIL") { Say::this("451 4.7.0 not now") } else { Say::Usual })
        .start();
    let setup = Setup::new().route(&["*"], sink.port()).with("outbound.verp", "enabled", "true");
    let postern = with_alice(setup);
    let to = ["a@there.test", "b@there.test", "c@there.test", "d@there.test"];
    let mut client = alice(&postern);
    assert_eq!(client.mail(ALICE, &to, &message(ALICE, "a@there.test", "hello")).code, 250);
    until("all to wait", LONG, || {
        let listed = postern.json(&["queue", "list"]).to_string();
        (listed.matches("not now").count() == to.len()).then_some(())
    });
    assert_eq!(sink.lines().iter().filter(|line| line.starts_with("MAIL")).count(), 1);
}
