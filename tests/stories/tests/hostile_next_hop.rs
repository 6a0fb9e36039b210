//! A next hop that lies, floods and injects: mail waits or comes back, and nothing the host says becomes more than text.

use crate::prelude::*;

/// A sink that says this instead of its usual reply to the first command that begins so.
fn saying(begins: &'static str, reply: String) -> Sink {
    Behaviour::default()
        .answering(move |heard| {
            let fits = if begins.is_empty() { heard.line.is_empty() } else { heard.line.starts_with(begins) };
            if heard.connection == 0 && fits { Say::This(reply.clone()) } else { Say::Usual }
        })
        .start()
}

#[test]
fn no_reply_however_long_or_broken_loses_the_message_or_the_server() {
    let endless = "250-more\r\n".repeat(300_000);
    let replies = [
        "2".repeat(3_000_000),
        endless + "250 done",
        "250 one\n250 two".to_owned(),
        "nonsense".to_owned(),
        "250".to_owned() + &"\0".repeat(100),
        "999 what".to_owned(),
        "250-one\r\n550 two".to_owned(),
        String::new(),
        "100 continue".to_owned(),
    ];
    let sinks: Vec<Sink> = ["", "EHLO", "MAIL", "RCPT"]
        .into_iter()
        .flat_map(|stage| replies.iter().map(move |reply| saying(stage, reply.clone())))
        .collect();
    let mut setup = Setup::new();
    for (number, sink) in sinks.iter().enumerate() {
        setup = setup.route(&[&format!("hop{number}.test")], sink.port());
    }
    let short = ["greeting", "hello", "mail", "recipient"];
    let setup = short.iter().fold(setup, |setup, step| setup.with("outbound.timeouts", step, "\"2s\""));
    let postern = with_alice(setup);
    let mut client = alice(&postern);
    for number in 0..sinks.len() {
        let to = format!("carol@hop{number}.test");
        assert_eq!(client.mail(ALICE, &[&to], &message(ALICE, &to, &to)).code, 250);
    }
    for (number, sink) in sinks.iter().enumerate() {
        let _ = sink.wait_for_subject(&format!("carol@hop{number}.test"));
    }
}

#[test]
fn a_reply_injects_nothing_into_report_or_log() {
    let evil = "550-5.1.1 no\r\n550-Content-Type: text/html\r\n550 5.1.1 \x1b[31mred\x07 <b>\u{202e}bold\u{202c}</b>";
    let sink = Behaviour::default()
        .answering(move |heard| if heard.line.starts_with("RCPT") { Say::this(evil) } else { Say::Usual })
        .start();
    let mut postern = with_alice(Setup::new().route(&["*"], sink.port()));
    from_alice(&postern, "carol@there.test", "injected");
    let report = postern.maildir(ALICE).wait_for(1, LONG).remove(0);
    assert!(!report.0.contains('\x1b') && !report.0.contains('\x07'), "{}", report.0);
    assert!(!report.0.lines().any(|line| line.starts_with("Content-Type: text/html")), "{}", report.0);
    let line = postern.wait_for_log("bounced");
    assert!(!line.contains('\x1b') && !line.contains('\x07'), "{line}");
    assert!(!postern.order(&["trace", "carol@there.test"]).contains('\x1b'));
}

#[test]
fn clear_text_behind_starttls_is_not_taken_for_an_answer() {
    let sink = Behaviour::default()
        .tls()
        .answering(|heard| {
            if heard.connection == 0 && heard.line == "STARTTLS" { Say::this("220 go\r\n250 injected") } else { Say::Usual }
        })
        .start();
    let postern = with_alice(Setup::new().route_with(&["*"], sink.port(), "tls = \"require\""));
    from_alice(&postern, "carol@there.test", "not injected");
    assert!(sink.wait_for_subject("not injected").tls);
    assert!(sink.connections() >= 2);
}
