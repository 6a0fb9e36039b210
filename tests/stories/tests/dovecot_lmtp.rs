//! Mail for a hosted domain reaches Dovecot by LMTP (RFC 2033), over TCP and over a socket in the file system.

use postern_testkit::peers::Dovecot;

use crate::prelude::*;

fn arrives(dovecot: &Dovecot, address: &str) {
    let deliver = format!("deliver = {{ kind = \"lmtp\", address = \"{address}\" }}");
    let postern = Setup::without_domains().domain_with("here.test", &["alice"], &deliver).start();
    from_stranger(&postern, ALICE, address);
    let message = dovecot.maildir(ALICE).wait_for_subject(address, LONG);
    assert_eq!(message.header("Return-Path"), format!("<{STRANGER}>"));
    // The one we wrote lies below Dovecot's own.
    let received = message.headers("Received");
    assert!(received.iter().any(|line| line.contains("by postern.test") && line.contains("client.example")), "{received:?}");
    assert!(message.body().contains("Hello from"));
}

#[test]
fn mail_reaches_dovecot_over_tcp() {
    require!(Dovecot::here());
    let dovecot = Dovecot::start();
    arrives(&dovecot, &dovecot.address().to_string());
}

#[test]
fn mail_reaches_dovecot_over_a_socket_in_the_file_system() {
    require!(Dovecot::here());
    let dovecot = Dovecot::start();
    arrives(&dovecot, &format!("unix:{}", dovecot.socket().display()));
}

#[test]
fn each_recipient_has_an_outcome_of_its_own() {
    // RFC 2033 §4.2: one reply for each recipient; here the second is out of space for now.
    let sink = Behaviour::default()
        .lmtp()
        .answering(|heard| {
            if heard.line.starts_with("RCPT TO:<bob@") && heard.kept == 0 { Say::this("452 4.2.2 full") } else { Say::Usual }
        })
        .start();
    let deliver = format!("deliver = {{ kind = \"lmtp\", address = \"{}\" }}", sink.address());
    let postern = Setup::without_domains().domain_with("here.test", &["alice", "bob"], &deliver).start();
    let mut client = postern.stranger();
    assert_eq!(client.mail(STRANGER, &[ALICE, BOB], &message(STRANGER, ALICE, "both")).code, 250);
    let received = sink.wait_for(2);
    assert_eq!(received[0].to, [format!("<{ALICE}>")]);
    assert_eq!(received[1].to, [format!("<{BOB}>")]);
}
