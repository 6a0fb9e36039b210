//! Addresses outside ASCII (RFC 6531): in, on, and back where they cannot go on.

use postern_testkit::maildir::Maildir;

use crate::prelude::*;

const SENDER: &str = "jörg@here.test";

/// His Maildir: what is not plain ASCII is escaped in the names of folders.
fn maildir(postern: &Postern) -> Maildir {
    postern.maildir("j%C3%B6rg@here.test")
}

fn with_joerg(sink: &Sink) -> Postern {
    let mut postern = Setup::default().domain("here.test", &["jörg", "alice"]).route(&["*"], sink.port()).prepare();
    postern.account(ALICE, PASSWORD);
    postern.start();
    postern.order(&["account", "scope", ALICE, "--may-send-as", SENDER, "--may-send-as", ALICE]);
    postern
}

fn send(postern: &Postern, to: &str) -> Reply {
    let mut client = alice(postern);
    client.expect(&format!("MAIL FROM:<{SENDER}> SMTPUTF8"), 250);
    let reply = client.command(&format!("RCPT TO:<{to}>"));
    if reply.code != 250 {
        return reply;
    }
    client.data(&format!("From: <{SENDER}>\nTo: <{to}>\nSubject: Grüße\n\nhallo\n"))
}

#[test]
fn a_name_outside_ascii_goes_to_a_mailbox_here_and_to_a_host_that_knows_smtputf8() {
    let sink = Sink::start();
    let postern = with_joerg(&sink);
    assert_eq!(send(&postern, SENDER).code, 250);
    let here = maildir(&postern).wait_for_subject("Grüße", LONG);
    assert_eq!(here.header("Return-Path"), format!("<{SENDER}>"));

    assert_eq!(send(&postern, "carol@bücher.test").code, 250);
    let there = sink.wait_for_subject("Grüße");
    assert!(there.from.starts_with(&format!("<{SENDER}>")) && there.from.contains("SMTPUTF8"), "{there:?}");
    assert_eq!(there.to.len(), 1);
}

#[test]
fn mail_that_needs_smtputf8_comes_back_from_a_host_that_does_not_know_it() {
    let sink = Behaviour::default().offering(&["PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SIZE", "DSN"]).start();
    let postern = with_joerg(&sink);
    assert_eq!(send(&postern, "carol@there.test").code, 250);
    let report = maildir(&postern).wait_for(1, LONG).remove(0);
    // RFC 6531 §3.5 and RFC 5504: 5.6.7, and never a guess at another address.
    assert!(report.0.contains("Status: 5.6.7"), "{}", report.0);
    assert!(sink.messages().is_empty());
}

#[test]
fn without_smtputf8_such_an_address_is_refused() {
    let sink = Sink::start();
    let postern = with_joerg(&sink);
    let mut client = alice(&postern);
    // RFC 6531 §3.5 has a code for each of the two.
    assert_eq!(client.command(&format!("MAIL FROM:<{SENDER}>")).codes(), "550 5.6.7");
    client.expect(&format!("MAIL FROM:<{ALICE}>"), 250);
    assert_eq!(client.command(&format!("RCPT TO:<{SENDER}>")).codes(), "553 5.6.7");
    let mut stranger = postern.stranger();
    stranger.send(b"MAIL FROM:<\xff@there.test> SMTPUTF8\r\n");
    assert_eq!(stranger.reply().code / 100, 5);
}
