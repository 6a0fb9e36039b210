//! STARTTLS and implicit TLS: nothing crosses the handshake, and both ends know the same of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

mod common;

use std::io::{Read as _, Write as _};

use common::{Event, Raw, Setting};
use postern_listener::pump::Ended;
use postern_mail::client::ListenerKind;
use postern_testkit::client::SmtpClient;
use rustls::{ClientConnection, StreamOwned};

/// Shakes hands on a socket that has read everything before.
fn secure(client: Raw) -> StreamOwned<ClientConnection, std::net::TcpStream> {
    common::secure_behind(client, b"")
}

/// A whole reply.
fn read_reply(stream: &mut impl std::io::Read) -> String {
    let mut reply = String::new();
    loop {
        let line = read_until(stream, "\r\n");
        reply.push_str(&line);
        if line.as_bytes()[3] != b'-' {
            return reply;
        }
    }
}

fn read_until(stream: &mut impl std::io::Read, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let mut octet = [0; 1];
        assert_eq!(stream.read(&mut octet).unwrap(), 1, "{end:?} expected behind {text:?}");
        text.push(char::from(octet[0]));
    }
    text
}

#[test]
fn what_stands_in_clear_behind_starttls_ends_the_session_and_is_not_obeyed() {
    let server = Setting::new().serve();
    let mut client = server.client();
    client.send("STARTTLS\r\nMAIL FROM:<x@there.example>\r\nRCPT TO:<a@here.example>\r\n");
    let lines = client.lines_to_the_end();
    assert!(matches!(lines.as_slice(), [only] if only.starts_with("554 5.5.0") || only.starts_with("503 5.5.1")), "{lines:?}");
    assert_eq!(server.ended(), Ended::Closed);
}

/// What comes in a segment of its own, behind the reply, is taken for a handshake and is none.
#[test]
fn commands_in_clear_where_the_handshake_should_be_end_the_connection() {
    let server = Setting::new().serve();
    let mut client = server.client();
    client.send("STARTTLS\r\n");
    client.expect("220 ");
    client.send("MAIL FROM:<x@there.example>\r\n");
    let mut rest = Vec::new();
    // An alert may come, or a reset; a reply of SMTP must not.
    let _ = client.stream.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"250") && !rest.starts_with(b"5"), "{rest:?}");
    assert_eq!(server.ended(), Ended::HandshakeFailed);
}

#[test]
fn the_hello_before_the_handshake_is_forgotten() {
    let server = Setting::new().serve();
    let mut client = SmtpClient::hello(server.address);
    client.starttls();
    client.expect("MAIL FROM:<x@there.example>", 503);
    client.ehlo();
    assert_eq!(client.mail("x@there.example", &["a@here.example"], "Subject: secret\n\nhi\n").code, 250);
    let facts = server.tls_seen().expect("the message is known to have come under TLS");
    assert_eq!(facts.version, "TLSv1.3");
    assert!(facts.cipher.starts_with("TLS13_"), "{facts:?}");
}

/// RFC 9266: SCRAM-SHA-256-PLUS stands on this.
#[test]
fn both_ends_export_the_same_octets() {
    for kind in [ListenerKind::Submission, ListenerKind::Submissions] {
        let mut setting = Setting::new();
        setting.kind = kind;
        let server = setting.serve();
        let mut client = server.connect();
        if kind == ListenerKind::Submission {
            client.expect("220 ");
            client.send("EHLO client.example\r\n");
            client.expect_last("250 ");
            client.send("STARTTLS\r\n");
            client.expect("220 ");
        }
        let mut stream = secure(client);
        if kind == ListenerKind::Submissions {
            read_reply(&mut stream);
        }
        stream.write_all(b"EHLO client.example\r\n").unwrap();
        let offered = read_reply(&mut stream);
        assert!(offered.contains("AUTH PLAIN") && !offered.contains("STARTTLS"), "{offered}");
        stream.write_all(b"AUTH PLAIN AGFubgBzZWNyZXQ=\r\n").unwrap();
        read_reply(&mut stream);
        let ours = stream.conn.export_keying_material([0_u8; 32], b"EXPORTER-Channel-Binding", Some(b"")).unwrap();
        assert_eq!(server.exporter_seen(), Some(ours), "{kind}");
    }
}

#[test]
fn a_clear_client_of_an_implicit_listener_hears_no_greeting() {
    let mut setting = Setting::new();
    setting.kind = ListenerKind::Submissions;
    let server = setting.serve();
    let mut client = server.connect();
    client.send("EHLO client.example\r\n");
    let mut heard = Vec::new();
    let _ = client.stream.read_to_end(&mut heard);
    assert!(!heard.windows(4).any(|octets| octets == b"220 "), "{heard:?}");
    assert_eq!(server.ended(), Ended::HandshakeFailed);
}

#[test]
fn without_a_certificate_an_implicit_listener_lets_go_at_once() {
    let mut setting = Setting::new();
    (setting.kind, setting.tls) = (ListenerKind::Submissions, false);
    let server = setting.serve();
    let mut client = server.connect();
    assert_eq!(client.read_some(), 0);
    assert_eq!(server.ended(), Ended::HandshakeFailed);
}

/// A truncation attack must show: QUIT is answered with 221 and close_notify, not with a bare end.
#[test]
fn the_end_of_a_secure_session_is_said() {
    let mut setting = Setting::new();
    setting.kind = ListenerKind::Submissions;
    let server = setting.serve();
    let mut stream = secure(server.connect());
    read_reply(&mut stream);
    stream.write_all(b"QUIT\r\n").unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("without close_notify this is an error");
    assert!(rest.starts_with("221 "), "{rest}");
}

#[test]
fn a_message_under_tls_whose_connection_breaks_is_discarded() {
    let server = Setting::new().serve();
    let mut client = SmtpClient::hello_tls(server.address);
    client.expect("MAIL FROM:<x@there.example>", 250);
    client.expect("RCPT TO:<a@here.example>", 250);
    client.expect("DATA", 354);
    client.send("Subject: half\r\n");
    drop(client);
    assert_eq!(server.event(), Event::Discarded { body: 15 });
    assert_eq!(server.ended(), Ended::Gone);
}

#[test]
fn a_large_message_comes_through_tls_whole() {
    let server = Setting::new().serve();
    let mut client = SmtpClient::hello_tls(server.address);
    let message = "0123456789abcdef0123456789abcdef\n".repeat(10_000);
    assert_eq!(client.mail("x@there.example", &["a@here.example"], &message).code, 250);
    let Event::Committed { to, body } = server.event() else { panic!("a message") };
    assert_eq!((to, body), (1, message.replace('\n', "\r\n").into_bytes()));
}

#[test]
fn old_versions_are_not_spoken() {
    let mut setting = Setting::new();
    setting.kind = ListenerKind::Submissions;
    let server = setting.serve();
    let mut client = server.connect();
    // A ClientHello of TLS 1.1 at most: record and message header, version 3.2, random, no session, one suite, no compression.
    let mut hello = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x13, 1, 0]);
    client.send(hello);
    let mut answer = Vec::new();
    let _ = client.stream.read_to_end(&mut answer);
    assert!(answer.is_empty() || answer[0] == 0x15, "an alert or nothing: {answer:?}");
    assert_eq!(server.ended(), Ended::HandshakeFailed);
}
