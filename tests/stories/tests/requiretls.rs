//! REQUIRETLS (RFC 8689): a message that asks for TLS all the way goes on under TLS to a host that keeps the promise, or comes back.

use crate::prelude::*;

fn send(postern: &Postern, to: &str) -> Reply {
    let mut client = alice(postern);
    client.expect(&format!("MAIL FROM:<{ALICE}> REQUIRETLS"), 250);
    client.expect(&format!("RCPT TO:<{to}>"), 250);
    client.data(&message(ALICE, to, "secret"))
}

#[test]
fn it_is_offered_and_taken_under_tls_only() {
    let postern = Setup::new().start();
    let mut client = SmtpClient::connect(postern.mx());
    client.expect_reply(220);
    assert!(!client.ehlo().contains(&"REQUIRETLS".to_owned()));
    assert_eq!(client.command("MAIL FROM:<stranger@there.test> REQUIRETLS").code / 100, 5);
    client.starttls();
    assert!(client.ehlo().contains(&"REQUIRETLS".to_owned()));
    client.expect("MAIL FROM:<stranger@there.test> REQUIRETLS", 250);
}

#[test]
fn a_host_that_does_not_offer_it_gets_nothing() {
    let (clear, secure) = (Sink::start(), Behaviour::default().tls().start());
    let setup = Setup::new().route(&["clear.test"], clear.port()).route(&["secure.test"], secure.port());
    let postern = with_alice(setup.with("outbound.retry", "give_up", "\"2s\""));
    for to in ["carol@clear.test", "carol@secure.test"] {
        assert_eq!(send(&postern, to).code, 250);
    }
    let reports = postern.maildir(ALICE).wait_for(2, LONG);
    assert!(reports.iter().all(|report| report.0.contains("Action: failed")), "{reports:?}");
    // RFC 8689 §5: a report tells no more of the message than its header.
    assert!(reports.iter().all(|report| !report.0.contains("Hello from secret")), "{reports:?}");
    assert!(clear.messages().is_empty() && secure.messages().is_empty());
}
