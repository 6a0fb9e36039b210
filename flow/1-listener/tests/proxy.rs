//! The PROXY protocol: believed from listed proxies, required of them, and of nobody else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::time::Duration;

use common::{Event, Server, Setting};
use postern_listener::pump::Ended;
use postern_mail::client::ListenerKind;

fn behind_proxy(setting: impl FnOnce(&mut Setting)) -> Server {
    let mut ours = Setting::new();
    ours.proxies = vec!["127.0.0.0/8".parse().unwrap()];
    setting(&mut ours);
    ours.serve()
}

const V1: &str = "PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n";

/// Signature, version and command, family and transport, length, addresses and ports.
fn v2(command: u8, body: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([0x20 | command, 0x11]);
    header.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    header.extend(body);
    header
}

const BODY: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 1, 0x9c, 0x40, 0, 25];

fn quit_and_tell(server: &Server, header: &[u8], piece: usize) -> Event {
    let mut client = server.connect();
    for piece in header.chunks(piece) {
        client.send(piece);
    }
    client.expect("220 ");
    client.send("QUIT\r\n");
    client.expect("221 ");
    assert_eq!(client.line(), None);
    drop(client);
    server.event()
}

#[test]
fn a_listed_proxy_is_believed_in_both_versions_at_any_split() {
    let server = behind_proxy(|_| {});
    for piece in [1, 7, 1000] {
        for header in [V1.as_bytes().to_vec(), v2(1, &BODY)] {
            let ended = quit_and_tell(&server, &header, piece);
            assert_eq!(ended, Event::Ended(Ended::Closed, "192.0.2.7:40000".parse().unwrap()));
        }
    }
}

#[test]
fn a_health_check_of_the_proxy_is_the_proxy_itself() {
    let server = behind_proxy(|_| {});
    let Event::Ended(Ended::Closed, client) = quit_and_tell(&server, &v2(0, &BODY), 1000) else { panic!("a session") };
    assert!(client.ip().is_loopback(), "{client}");
}

#[test]
fn commands_in_the_segment_of_the_header_are_read() {
    let server = behind_proxy(|_| {});
    let mut client = server.connect();
    client.send(format!("{V1}NOOP\r\nQUIT\r\n"));
    assert_eq!(common::codes(&client.lines_to_the_end()), ["220", "250", "221"]);
}

#[test]
fn a_header_from_anyone_but_a_listed_proxy_is_no_command() {
    let mut setting = Setting::new();
    setting.proxies = vec!["192.0.2.0/24".parse().unwrap()];
    let server = setting.serve();
    let mut client = server.connect();
    client.send(format!("{V1}QUIT\r\n"));
    assert_eq!(common::codes(&client.lines_to_the_end()), ["220", "500", "221"]);
    let Event::Ended(Ended::Closed, client) = server.event() else { panic!("a session") };
    assert!(client.ip().is_loopback(), "it is who it is, whatever it says: {client}");
}

#[test]
fn a_proxy_without_a_header_is_not_served() {
    let server = behind_proxy(|_| {});
    let mut client = server.connect();
    client.send("EHLO client.example\r\n");
    let mut heard = Vec::new();
    let _ = std::io::Read::read_to_end(&mut client.stream, &mut heard);
    assert!(heard.is_empty(), "{heard:?}");
    assert!(matches!(server.event(), Event::TurnedAway("no valid PROXY header from a listed proxy", _)));
}

#[test]
fn a_header_that_is_too_long_is_not_read_to_its_end() {
    let server = behind_proxy(|_| {});
    let mut client = server.connect();
    // It announces more than we take; most of it never comes.
    let mut header = v2(1, &BODY);
    header[14..16].copy_from_slice(&u16::MAX.to_be_bytes());
    header.resize(1100, 0);
    client.send(header);
    let mut heard = Vec::new();
    let _ = std::io::Read::read_to_end(&mut client.stream, &mut heard);
    assert!(heard.is_empty(), "{heard:?}");
    assert!(matches!(server.event(), Event::TurnedAway("no valid PROXY header from a listed proxy", _)));
}

#[test]
fn a_header_that_does_not_come_is_not_waited_for() {
    let server = behind_proxy(|setting| setting.pump.handshake_timeout = Duration::from_millis(40));
    let mut client = server.connect();
    client.send("PROXY TCP4 192.");
    assert_eq!(client.line(), None);
    assert!(matches!(server.event(), Event::TurnedAway("no PROXY header in time", _)));
}

#[test]
fn ceilings_count_the_client_behind_the_proxy() {
    let server = behind_proxy(|setting| setting.ceiling.connections_per_host = 1);
    let mut first = server.connect();
    first.send(V1);
    first.expect("220 ");
    let mut second = server.connect();
    second.send(V1);
    second.expect("421 ");
    let mut other = server.connect();
    other.send(V1.replace("192.0.2.7", "192.0.2.8"));
    other.expect("220 ");
}

/// A proxy that opens connections and says nothing must not be a way round the ceiling of the whole server.
#[test]
fn connections_whose_header_is_still_to_come_count() {
    let server = behind_proxy(|setting| setting.ceiling.connections = 2);
    let silent = [server.connect(), server.connect()];
    let mut third = server.connect();
    third.expect("421 ");
    assert_eq!(server.ceiling.open(), 2);
    drop(silent);
    postern_testkit::wait::until("the places come back", postern_testkit::wait::LONG, || {
        (server.ceiling.open() == 0).then_some(())
    });
}

fn implicit_behind_proxy() -> Server {
    behind_proxy(|setting| setting.kind = ListenerKind::Submissions)
}

#[test]
fn a_handshake_in_the_segment_of_the_header_is_made() {
    let server = implicit_behind_proxy();
    let mut client = BufReader::new(common::secure_behind(server.connect(), V1.as_bytes()));
    let mut line = String::new();
    client.read_line(&mut line).unwrap();
    assert!(line.starts_with("220 "), "{line}");
    client.get_mut().write_all(b"QUIT\r\n").unwrap();
    line.clear();
    client.read_line(&mut line).unwrap();
    assert!(line.starts_with("221 "), "{line}");
    drop(client);
    assert_eq!(server.event(), Event::Ended(Ended::Closed, "192.0.2.7:40000".parse().unwrap()));
}

/// Whoever can write in front of a client's handshake must not speak for the client inside it.
#[test]
fn a_command_in_clear_between_the_header_and_the_handshake_is_no_command_and_there_is_no_session() {
    let server = implicit_behind_proxy();
    let mut client = server.connect();
    let name = rustls::pki_types::ServerName::try_from("here.example").unwrap();
    let mut hello = format!("{V1}EHLO evil.example\r\n").into_bytes();
    rustls::ClientConnection::new(postern_testkit::certificate::trusting_client(), name).unwrap().write_tls(&mut hello).unwrap();
    client.send(hello);
    let mut heard = Vec::new();
    // A reset may follow the alert.
    let _ = client.stream.read_to_end(&mut heard);
    assert!(heard.is_empty() || heard.starts_with(&[0x15, 3]), "an alert or nothing: {heard:?}");
    assert_eq!(server.ended(), Ended::HandshakeFailed);
}
