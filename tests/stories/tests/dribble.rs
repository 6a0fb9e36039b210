//! A client that sends an octet now and then, wherever it does so, is gone within the time that is configured.

use std::time::{Duration, Instant};

use crate::prelude::*;

/// Every limit of time but the one that a test is about.
fn patient() -> Setup {
    ["command_timeout", "data_timeout", "transaction_timeout", "session_timeout", "handshake_timeout"]
        .iter()
        .fold(Setup::new(), |setup, limit| setup.with("limits", limit, "\"5m\""))
        .with("limits", "data_rate_min", "\"0B/s\"")
}

/// Sends one octet after another until the server has had enough, and gives what it said.
fn dribble(mut client: SmtpClient, octet: u8) -> Vec<String> {
    let (began, mut sent) = (Instant::now(), 0);
    until("the end of the connection", LONG, || {
        sent += 1;
        client.try_send(&[octet]).err()
    });
    assert!(sent > 3, "it was dropped at once");
    assert!(began.elapsed() > Duration::from_millis(500), "it had its time");
    std::iter::from_fn(|| client.try_reply().ok()).map(|reply| reply.codes()).collect()
}

#[test]
fn in_a_command() {
    let postern = patient().with("limits", "command_timeout", "\"1s\"").start();
    dribble(postern.stranger(), b'N');
}

#[test]
fn in_auth() {
    let postern = with_alice(patient().with("limits", "command_timeout", "\"1s\""));
    let mut client = SmtpClient::hello_tls(postern.submission());
    client.expect("AUTH PLAIN", 334);
    dribble(client, b'A');
}

#[test]
fn in_the_tls_handshake() {
    let postern = patient().with("limits", "handshake_timeout", "\"1s\"").start();
    let mut client = postern.stranger();
    client.expect("STARTTLS", 220);
    // The head of a record that announces sixteen thousand octets of a hello.
    client.send([0x16, 0x03, 0x01, 0x40, 0x00, 0x01, 0x00, 0x3f, 0xfc, 0x03, 0x03]);
    dribble(client, 0);
    let mut client = SmtpClient::connect(postern.submissions());
    client.send([0x16, 0x03, 0x01, 0x40, 0x00, 0x01, 0x00, 0x3f, 0xfc, 0x03, 0x03]);
    dribble(client, 0);
}

fn in_mail(postern: &Postern) -> SmtpClient {
    let mut client = postern.stranger();
    client.expect("MAIL FROM:<stranger@there.test>", 250);
    client.expect("RCPT TO:<alice@here.test>", 250);
    client
}

#[test]
fn in_data() {
    // Slower than the smallest rate; and just fast enough for it, until the time of the transaction is over.
    let slow = patient().with("limits", "data_rate_min", "\"1MiB/s\"").with("limits", "data_rate_grace", "\"1s\"");
    let long = patient().with("limits", "transaction_timeout", "\"1s\"");
    for setup in [slow, long] {
        let postern = setup.start();
        let mut client = in_mail(&postern);
        client.expect("DATA", 354);
        dribble(client, b'x');
        assert!(postern.queue().is_empty());
    }
}

#[test]
fn in_a_chunk() {
    let slow = patient().with("limits", "data_rate_min", "\"1MiB/s\"").with("limits", "data_rate_grace", "\"1s\"");
    let postern = slow.start();
    let mut client = in_mail(&postern);
    client.send("BDAT 1000000 LAST\r\n");
    dribble(client, b'x');
    assert!(postern.queue().is_empty());
}

#[test]
fn in_a_chunk_that_is_thrown_away() {
    let slow = patient().with("limits", "data_rate_min", "\"1MiB/s\"").with("limits", "data_rate_grace", "\"1s\"");
    let postern = slow.start();
    let mut client = postern.stranger();
    client.send("BDAT 1000000 LAST\r\n");
    dribble(client, b'x');
}

#[test]
fn in_a_proxy_header() {
    let setup = patient().with("limits", "handshake_timeout", "\"1s\"");
    let postern = setup.mx_listener("proxy_protocol_from = [\"127.0.0.1/32\"]").start();
    let mut client = SmtpClient::connect(postern.mx());
    // Version 2, announcing more than comes.
    client.send(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x01\x00");
    dribble(client, 0);
}

/// Whole commands now and then, each in time, hold a place as well as octets do.
#[test]
fn with_whole_commands() {
    let setup = patient().with("limits", "session_timeout", "\"1s\"").with("limits", "idle_commands_per_session", "1000000");
    let postern = setup.start();
    let mut client = postern.stranger();
    let began = Instant::now();
    let last = until("the end of the session", LONG, || {
        client.try_send(b"NOOP\r\n").ok()?;
        client.reply_or_end().filter(|reply| reply.code != 250)
    });
    assert_eq!(last.codes(), "421 4.4.2");
    assert!(began.elapsed() > Duration::from_millis(500) && began.elapsed() < LONG);
}
