//! Clients that are slow, in every way there is, are gone in time. The limits are milliseconds; what is waited for is the end itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

mod common;

use std::time::{Duration, Instant};

use common::{Event, Raw, Setting};
use postern_listener::pump::Ended;

const SOON: Duration = Duration::from_millis(40);

#[test]
fn a_silent_client_is_told_and_gone() {
    let mut setting = Setting::new();
    setting.session.command_timeout = SOON;
    let server = setting.serve();
    let mut client = server.connect();
    client.expect("220 ");
    client.expect("421 4.4.2");
    assert_eq!(client.line(), None);
    assert_eq!(server.ended(), Ended::Closed);
}

/// An octet every now and then resets no clock: the limit is the line's.
#[test]
fn a_line_that_dribbles_in_is_cut_off_at_the_limit_of_the_line() {
    let mut setting = Setting::new();
    setting.session.command_timeout = Duration::from_millis(200);
    let server = setting.serve();
    let mut client = server.connect();
    client.expect("220 ");
    client.stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    // Reading with a short limit is the pause between two octets; a thousand of them are fifty times the limit of the line.
    let octets = (0..1000).take_while(|_| {
        client.send("N");
        std::io::Read::read(&mut &client.stream, &mut [0; 1]).is_err()
    });
    assert!(octets.count() < 999, "the server waited on");
    assert_eq!(server.ended(), Ended::Closed);
}

#[test]
fn a_line_without_end_that_never_falls_silent_is_cut_off_too() {
    let mut setting = Setting::new();
    setting.session.command_timeout = Duration::from_millis(100);
    let server = setting.serve();
    let client = server.connect();
    let flood = std::thread::spawn(move || {
        let mut stream = &client.stream;
        while std::io::Write::write_all(&mut stream, &[b'x'; 65536]).is_ok() {}
    });
    assert_eq!(server.ended(), Ended::Closed);
    flood.join().unwrap();
}

#[test]
fn a_body_below_the_smallest_rate_is_cut_off_and_discarded() {
    let mut setting = Setting::new();
    (setting.pump.data_rate_min, setting.pump.data_rate_grace) = (1000, Duration::from_millis(50));
    let server = setting.serve();
    let mut client = server.client();
    client.begin_data();
    client.send("Subject: slow\r\n");
    client.expect("421 4.4.2");
    assert_eq!(server.event(), Event::Discarded { body: 15 });
    assert_eq!(server.ended(), Ended::Closed);
}

#[test]
fn a_chunk_below_the_smallest_rate_is_cut_off_and_discarded() {
    let mut setting = Setting::new();
    (setting.pump.data_rate_min, setting.pump.data_rate_grace) = (1000, Duration::from_millis(50));
    let server = setting.serve();
    let mut client = server.client();
    client.send("MAIL FROM:<x@there.example>\r\nRCPT TO:<a@here.example>\r\nBDAT 100 LAST\r\nSubject");
    client.expect("250 2.1.0");
    client.expect("250 2.1.5");
    client.expect("421 4.4.2");
    assert_eq!(server.event(), Event::Discarded { body: 7 });
}

#[test]
fn a_client_does_not_fall_behind_because_our_disk_is_slow() {
    let mut setting = Setting::new();
    (setting.pump.data_rate_min, setting.pump.data_rate_grace) = (1000, Duration::from_millis(400));
    setting.slow_disk = Duration::from_millis(500);
    let server = setting.serve();
    let mut client = server.client();
    client.begin_data();
    client.send("Subject: patient\r\n");
    // The disk takes longer than the grace; only then the rest comes.
    client.stream.set_read_timeout(Some(Duration::from_millis(600))).unwrap();
    assert!(std::io::Read::read(&mut &client.stream, &mut [0; 1]).is_err(), "nothing is said yet");
    client.stream.set_read_timeout(Some(postern_testkit::wait::LONG)).unwrap();
    client.send(".\r\n");
    client.expect("250 2.0.0");
}

#[test]
fn a_transaction_has_an_end_however_patiently_its_body_comes() {
    let mut setting = Setting::new();
    setting.session.transaction_timeout = Duration::from_millis(150);
    let server = setting.serve();
    let client = {
        let mut client = server.client();
        client.begin_data();
        client
    };
    let flood = std::thread::spawn(move || {
        let mut stream = &client.stream;
        while std::io::Write::write_all(&mut stream, &b"line\r\n".repeat(10_000)).is_ok() {}
    });
    assert_eq!(server.ended(), Ended::Closed);
    flood.join().unwrap();
    assert!(!server.events().contains(&Event::Forgotten));
}

#[test]
fn a_client_that_never_reads_is_gone_within_the_write_limit() {
    let mut setting = Setting::new();
    setting.pump.write_timeout = Duration::from_millis(100);
    setting.send_buffer = Some(4096);
    let server = setting.serve();
    let client = server.connect();
    socket2::SockRef::from(&client.stream).set_recv_buffer_size(4096).unwrap();
    let flood = std::thread::spawn(move || {
        let mut stream = &client.stream;
        while std::io::Write::write_all(&mut stream, &b"NOOP\r\n".repeat(1000)).is_ok() {}
    });
    assert_eq!(server.ended(), Ended::TimedOut);
    flood.join().unwrap();
}

/// Commands are a few octets and replies many: what one read brings must not become a heap of replies that nobody takes.
#[test]
fn a_client_that_never_reads_is_not_answered_without_bound() {
    let group = ["HELP\r\n".repeat(5).as_str(), "RSET\r\n", "MAIL FROM:<>\r\n"].concat();
    let in_one_read = 16 * 1024 / group.len();
    let mut setting = Setting::new();
    setting.session.messages_per_connection = 100_000;
    setting.pump.write_timeout = Duration::from_millis(100);
    setting.send_buffer = Some(4096);
    let server = setting.serve();
    // The window is small from the first segment on.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&server.address.into()).unwrap();
    let client = std::net::TcpStream::from(socket);
    let mut client = common::Raw::over(client);
    client.expect("220 ");
    client.send("EHLO client.example\r\n");
    client.expect_last("250 ");
    client.send(group.repeat(in_one_read + 1));
    assert_eq!(server.ended(), Ended::TimedOut);
    let asked = server.senders_asked();
    assert!(asked > 0 && asked < in_one_read * 3 / 4, "{asked} of {in_one_read} groups in one read were answered");
}

#[test]
fn a_handshake_that_does_not_come_is_not_waited_for() {
    let mut setting = Setting::new();
    setting.pump.handshake_timeout = SOON;
    let server = setting.serve();
    let mut client = server.client();
    client.send("STARTTLS\r\n");
    client.expect("220 ");
    assert_eq!(client.line(), None);
    assert_eq!(server.ended(), Ended::TimedOut);
}

#[test]
fn an_implicit_handshake_that_stops_half_way_is_not_waited_for() {
    let mut setting = Setting::new();
    setting.kind = postern_mail::client::ListenerKind::Submissions;
    setting.pump.handshake_timeout = SOON;
    let server = setting.serve();
    let mut client = server.connect();
    // The head of a TLS record that announces more than ever comes.
    client.send([0x16, 0x03, 0x01, 0x01, 0x00, 0x01]);
    assert_eq!(client.read_some(), 0);
    assert_eq!(server.ended(), Ended::TimedOut);
}

/// Two strangers are a crowd, and nothing but the limits of the pump is shorter then.
fn hurrying(setting: &mut Setting) {
    (setting.ceiling.stress_at, setting.ceiling.stress_until) = (0.01, 0.0);
    setting.pump.hurried_timeout = SOON;
}

#[test]
fn under_stress_a_handshake_is_not_waited_for_as_long_as_else() {
    let mut setting = Setting::new();
    hurrying(&mut setting);
    let server = setting.serve();
    let mut client = server.client();
    let _other = server.client();
    client.send("STARTTLS\r\n");
    client.expect("220 ");
    assert_eq!(client.line(), None);
    assert_eq!(server.ended(), Ended::TimedOut);
}

#[test]
fn under_stress_a_client_that_never_reads_is_gone_sooner() {
    let mut setting = Setting::new();
    hurrying(&mut setting);
    setting.send_buffer = Some(4096);
    let server = setting.serve();
    let _other = server.client();
    let client = server.connect();
    socket2::SockRef::from(&client.stream).set_recv_buffer_size(4096).unwrap();
    let flood = std::thread::spawn(move || {
        let mut stream = &client.stream;
        while std::io::Write::write_all(&mut stream, &b"NOOP\r\n".repeat(1000)).is_ok() {}
    });
    assert_eq!(server.ended(), Ended::TimedOut);
    flood.join().unwrap();
}

#[test]
fn under_stress_a_proxy_header_is_not_waited_for_as_long_as_else() {
    let mut setting = Setting::new();
    hurrying(&mut setting);
    setting.proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let server = setting.serve();
    let _strangers = [(), ()].map(|()| {
        let mut client = server.connect();
        client.send("PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n");
        client.expect("220 ");
        client
    });
    let mut late = server.connect();
    late.send("PROXY TCP4 192.");
    assert_eq!(late.line(), None);
    assert!(matches!(server.event(), Event::TurnedAway("no PROXY header in time", _)));
}

/// Sends two MiB with eight a second allowed: one is free, the second takes an eighth of a second.
fn takes_two_mebibytes_at_eight_a_second(begin: impl FnOnce(&mut Raw), send: impl FnOnce(&mut Raw, &str)) {
    let mut setting = Setting::new();
    setting.pump.data_rate_max = 8 << 20;
    setting.session.message_size = 4 << 20;
    let server = setting.serve();
    let mut client = server.client();
    begin(&mut client);
    #[expect(clippy::disallowed_methods, reason = "what is taken too soon is a fault; how much later it is does not matter")]
    let began = Instant::now();
    send(&mut client, &"0123456789abcdef0123456789abcd\r\n".repeat(65_536));
    assert!(began.elapsed() >= Duration::from_millis(120));
    let Event::Committed { body, .. } = server.event() else { panic!("it was not committed") };
    assert_eq!(body.len(), 2 << 20);
}

#[test]
fn a_body_that_comes_faster_than_the_largest_rate_is_taken_at_that_rate_and_whole() {
    takes_two_mebibytes_at_eight_a_second(Raw::begin_data, |client, body| {
        client.send(body);
        client.send(".\r\n");
        client.expect("250 2.0.0");
    });
}

#[test]
fn a_message_in_many_chunks_is_taken_no_faster_than_one_in_a_piece() {
    let begin = |client: &mut Raw| {
        client.send("MAIL FROM:<x@there.example>\r\nRCPT TO:<a@here.example>\r\n");
        client.expect("250 2.1.0");
        client.expect("250 2.1.5");
    };
    takes_two_mebibytes_at_eight_a_second(begin, |client, body| {
        for chunk in body.as_bytes().chunks(128 * 1024) {
            client.send(format!("BDAT {}\r\n{}", chunk.len(), std::str::from_utf8(chunk).unwrap()));
            client.expect("250 2.0.0");
        }
        client.send("BDAT 0 LAST\r\n");
        client.expect("250 2.0.0");
    });
}
