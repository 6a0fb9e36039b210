//! Who gets in, and what happens to those inside when the server stops.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

mod common;

use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;
use std::time::Duration;

use common::{Event, Server, Setting};
use postern_listener::Door;
use postern_listener::pump::Ended;
use postern_mail::Reply;
use postern_mail::client::ListenerKind;
use postern_testkit::wait::{LONG, until};

fn one_place(setting: impl FnOnce(&mut Setting)) -> Server {
    let mut ours = Setting::new();
    ours.ceiling.connections_per_host = 1;
    ours.pump.handshake_timeout = Duration::from_millis(40);
    setting(&mut ours);
    ours.serve()
}

fn place_comes_back(server: &Server) {
    until("the place comes back", LONG, || (server.ceiling.open() == 0).then_some(()));
}

#[test]
fn a_client_over_the_ceiling_is_told_and_the_others_are_not_disturbed() {
    let server = one_place(|_| {});
    let mut first = server.client();
    let mut second = server.connect();
    second.expect("421 4.4.5");
    assert_eq!(second.line(), None);
    assert!(matches!(server.event(), Event::TurnedAway("connections_per_address", _)));
    first.send("NOOP\r\n");
    first.expect("250 ");
    assert_eq!(server.events(), [], "it is told of once");
}

#[test]
fn who_is_shut_out_hears_why_and_an_orderly_end_and_who_comes_without_end_is_reset() {
    let shut = |door| Setting { door, ..Setting::new() }.serve();
    let server = shut(Door::Shut(Some(Reply::too_many_connections("here.example", [192, 0, 2, 7].into()))));
    let mut told = server.connect();
    told.expect("421 ");
    assert_eq!(told.line(), None);
    let server = shut(Door::Shut(None));
    assert_eq!(server.connect().line(), None);
    let server = shut(Door::Reset);
    // The first may come before the listener is served, which ends in order. The reset may come before the connection is seen to stand.
    let end = |_| TcpStream::connect(server.address).and_then(|mut client| client.read(&mut [0]));
    let ends: Vec<_> = (0..100).map(end).skip_while(Result::is_ok).take(9).map(|end| end.unwrap_err().kind()).collect();
    assert_eq!(ends, [ErrorKind::ConnectionReset; 9]);
}

#[test]
fn a_client_that_comes_too_often_is_told() {
    let server = one_place(|setting| {
        setting.ceiling.connections_per_host = 100;
        setting.ceiling.connections_per_minute_per_host = 2;
    });
    let _inside = [server.client(), server.client()];
    server.connect().expect("421 ");
    assert!(matches!(server.event(), Event::TurnedAway("connections_per_minute_per_address", _)));
}

#[test]
fn a_handshake_too_many_is_refused_in_place_of_220_and_costs_none() {
    let mut setting = Setting::new();
    setting.ceiling.handshakes_per_minute_per_host = 0;
    let server = setting.serve();
    let mut client = server.client();
    client.send("STARTTLS\r\n");
    client.expect("421 4.7.0");
    assert_eq!(client.line(), None);
    assert_eq!(server.ended(), Ended::HandshakeRefused);
}

#[test]
fn a_connection_sends_so_many_octets_and_no_more_and_the_message_is_not_kept() {
    let mut setting = Setting::new();
    setting.pump.bytes_max = 100_000;
    let server = setting.serve();
    let mut client = server.client();
    client.begin_data();
    client.send("0123456789abcdef0123456789abcd\r\n".repeat(4000));
    client.expect("421 4.7.0");
    assert_eq!(client.line(), None);
    assert!(matches!(server.event(), Event::Discarded { .. }));
    assert_eq!(server.ended(), Ended::TooManyBytes);
}

#[test]
fn under_stress_strangers_are_hurried_and_when_it_is_over_they_are_not() {
    let mut setting = Setting::new();
    setting.ceiling.connections = 3;
    setting.session.hurry.command_timeout = Duration::from_millis(100);
    let server = setting.serve();
    let (mut first, mut second) = (server.client(), server.client());
    let mut third = server.client();
    assert!(server.ceiling.is_stressed());
    third.expect("421 4.4.2");
    drop(third);
    until("stress is over", LONG, || (!server.ceiling.is_stressed()).then_some(()));
    for client in [&mut first, &mut second] {
        client.send("NOOP\r\nQUIT\r\n");
        client.expect("250 ");
        client.expect("221 ");
    }
}

#[test]
fn a_client_over_the_ceiling_of_an_implicit_listener_hears_nothing_in_clear() {
    let server = one_place(|setting| {
        setting.kind = ListenerKind::Submissions;
        setting.pump.handshake_timeout = Duration::from_secs(600);
    });
    let _first = server.connect();
    until("the first is in", LONG, || (server.ceiling.open() == 1).then_some(()));
    assert_eq!(server.connect().read_some(), 0);
}

#[test]
fn the_place_comes_back_after_quit() {
    let server = one_place(|_| {});
    for _ in 0..3 {
        let mut client = server.client();
        client.send("QUIT\r\n");
        client.expect("221 ");
        drop(client);
        place_comes_back(&server);
    }
}

#[test]
fn the_place_comes_back_when_the_client_is_gone() {
    let server = one_place(|_| {});
    for data in [false, true] {
        let mut client = server.client();
        if data {
            client.begin_data();
        }
        drop(client);
        place_comes_back(&server);
    }
}

#[test]
fn the_place_comes_back_after_a_fault_of_framing() {
    let server = one_place(|_| {});
    let mut client = server.client();
    client.send("NOOP\n");
    client.expect("5");
    drop(client);
    place_comes_back(&server);
}

#[test]
fn the_place_comes_back_after_a_time_limit() {
    let server = one_place(|setting| setting.session.session_timeout = Duration::from_millis(40));
    let mut client = server.connect();
    assert!(!client.lines_to_the_end().is_empty());
    drop(client);
    place_comes_back(&server);
}

#[test]
fn the_place_comes_back_after_a_handshake_that_fails_and_one_that_never_comes() {
    let server = one_place(|_| {});
    for answer in ["", "no handshake\r\n"] {
        let mut client = server.client();
        client.send("STARTTLS\r\n");
        client.expect("220 ");
        client.send(answer);
        place_comes_back(&server);
    }
}

#[test]
fn the_place_comes_back_from_an_early_talker() {
    let server = one_place(|setting| setting.greeting_delay = Duration::from_secs(600));
    let mut client = server.connect();
    client.send("EHLO client.example\r\n");
    client.expect("5");
    assert_eq!(client.line(), None);
    drop(client);
    assert!(matches!(server.event(), Event::TurnedAway("talked before the greeting", _)));
    place_comes_back(&server);
    assert_eq!(server.events(), [], "it is told of once, and no session ends");
}

#[test]
fn a_client_that_waits_for_the_greeting_gets_it() {
    let server = one_place(|setting| setting.greeting_delay = Duration::from_millis(60));
    let mut client = server.client();
    client.send("QUIT\r\n");
    client.expect("221 ");
}

/// While it takes leave of a client that holds on, the connection still counts: or a ceiling could be passed by quitting.
#[test]
fn a_client_that_lingers_after_the_last_reply_keeps_its_place() {
    let server = one_place(|_| {});
    let mut client = server.client();
    client.send("QUIT\r\n");
    client.expect("221 ");
    assert_eq!(client.line(), None);
    server.connect().expect("421 ");
    assert_eq!(server.ended(), Ended::Closed);
    place_comes_back(&server);
}

#[test]
fn a_server_that_stops_tells_idle_clients_and_takes_no_new_ones() {
    let mut server = Setting::new().serve();
    let (mut idle, mut in_mail) = (server.client(), server.client());
    in_mail.send("MAIL FROM:<x@there.example>\r\n");
    in_mail.expect("250 ");
    server.stop();
    for client in [&mut idle, &mut in_mail] {
        client.expect("421 4.3.2");
        assert_eq!(client.line(), None);
    }
    drop((idle, in_mail));
    server.wait_until_all_ended();
    assert!(std::net::TcpStream::connect(server.address).is_err());
}

#[test]
fn a_server_that_stops_finishes_the_message_under_way() {
    let mut server = Setting::new().serve();
    let mut client = server.client();
    client.begin_data();
    client.send("first half\r\n");
    server.stop();
    // The listener has noticed once it takes nobody any more.
    until("the listener closes", LONG, || std::net::TcpStream::connect(server.address).is_err().then_some(()));
    client.send("second half\r\n.\r\n");
    client.expect("250 2.0.0");
    client.expect("421 4.3.2");
    assert_eq!(client.line(), None);
    drop(client);
    assert_eq!(server.event(), Event::Committed { to: 1, body: b"first half\r\nsecond half\r\n".to_vec() });
    server.wait_until_all_ended();
}

#[test]
fn a_server_that_stops_does_not_wait_for_handshakes_greetings_or_proxies() {
    let long = Duration::from_secs(600);
    let settings: [fn(&mut Setting); 3] = [
        |setting| setting.kind = ListenerKind::Submissions,
        |setting| setting.greeting_delay = Duration::from_secs(600),
        |setting| setting.proxies = vec!["127.0.0.1/32".parse().unwrap()],
    ];
    for change in settings {
        let mut setting = Setting::new();
        setting.pump.handshake_timeout = long;
        change(&mut setting);
        let mut server = setting.serve();
        let client = server.connect();
        until("it is in", LONG, || (server.ceiling.open() == 1).then_some(()));
        server.stop();
        drop(std::thread::spawn(move || client.stream.peek(&mut [0; 1])));
        server.wait_until_all_ended();
    }
}

#[test]
fn a_server_that_stops_does_not_wait_for_a_handshake_after_starttls() {
    let mut server = Setting::new().serve();
    let mut client = server.client();
    client.send("STARTTLS\r\n");
    client.expect("220 ");
    server.stop();
    assert_eq!(client.line(), None);
    server.wait_until_all_ended();
    assert_eq!(server.ended(), Ended::Closed);
}

#[test]
fn a_client_that_never_falls_silent_cannot_keep_the_server_from_stopping() {
    let mut server = Setting::new().serve();
    let client = server.client();
    let mut reader = client.stream.try_clone().unwrap();
    let flood = std::thread::spawn(move || {
        let mut stream = &client.stream;
        while std::io::Write::write_all(&mut stream, &b"NOOP\r\n".repeat(10_000)).is_ok() {}
    });
    let listen = std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    server.stop();
    server.wait_until_all_ended();
    flood.join().unwrap();
    drop(listen.join().unwrap());
}

#[test]
fn the_server_stops_when_whoever_could_tell_it_to_is_gone() {
    let (address, ended) = {
        let server = Setting::new().serve();
        let mut client = server.client();
        client.send("NOOP\r\n");
        client.expect("250 ");
        (server.address, server.forget_stop(client))
    };
    assert_eq!(ended, ["421"]);
    assert!(std::net::TcpStream::connect(address).is_err());
}
