//! Bytes on a real socket: whatever the segments are, the same is understood; replies come together; the last one arrives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]

mod common;

use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Event, Raw, Setting, codes};
use postern_listener::pump::Ended;
use postern_mail::Reply;
use postern_testkit::wait::{LONG, until};
use tokio::sync::{Semaphore, oneshot};

/// One session with everything in it. Nothing depends on what lies behind it in the segment.
const SESSION: &[&str] = &[
    "NOOP\r\n",
    "MAIL FROM:<x@there.example>\r\n",
    "RCPT TO:<a@here.example>\r\n",
    "RCPT TO:<b@here.example>\r\n",
    "DATA\r\n",
    "Subject: one\r\n\r\n..dotted\r\n.\r\n",
    "MAIL FROM:<x@there.example>\r\nRCPT TO:<a@here.example>\r\nBDAT 9\r\nSubject: BDAT 8 LAST\r\ntwo\r\n.\r\n",
    "BDAT 6\r\nQUIT\r\n",
    "nonsense\r\n",
    "QUIT\r\n",
];

/// Replies and events of a client that sends like this and waits for the reply of DATA.
fn hold(mut send: impl FnMut(&mut Raw, &str)) -> (Vec<String>, Vec<Event>) {
    let server = Setting::new().serve();
    let mut client = server.client();
    let mut lines = Vec::new();
    for group in [&SESSION[..5], &SESSION[5..]] {
        send(&mut client, &group.concat());
        if group[0] == "NOOP\r\n" {
            lines.extend((0..5).map(|_| client.line().unwrap()));
        }
    }
    lines.extend(client.lines_to_the_end());
    drop(client);
    let mut events = Vec::new();
    while !matches!(events.last(), Some(Event::Ended(..))) {
        events.push(server.event());
    }
    assert!(matches!(events.pop(), Some(Event::Ended(Ended::Closed, _))));
    (lines, events)
}

#[test]
fn a_client_that_sends_octet_by_octet_is_understood_like_one_that_sends_all_at_once() {
    let at_once = hold(|client, text| client.send(text));
    let one_by_one = hold(|client, text| text.as_bytes().chunks(1).for_each(|octet| client.send(octet)));
    assert_eq!(at_once, one_by_one);
    assert_eq!(codes(&at_once.0), ["250", "250", "250", "250", "354", "250", "250", "250", "250", "250", "503", "500", "221"]);
    let bodies: Vec<_> = at_once.1.into_iter().collect();
    assert_eq!(
        bodies,
        [
            Event::Committed { to: 2, body: b"Subject: one\r\n\r\n.dotted\r\n".to_vec() },
            Event::Committed { to: 1, body: b"Subject: two\r\n.\r\n".to_vec() },
        ]
    );
}

/// A host that reads reply by reply has nothing to gain from our sending them one by one, and we have much to lose.
#[test]
fn the_replies_of_a_pipelined_group_come_in_one_segment() {
    let server = Setting::new().serve();
    let mut client = server.client();
    client.send("MAIL FROM:<x@there.example>\r\nRCPT TO:<a@here.example>\r\nRCPT TO:<b@here.example>\r\nDATA\r\n");
    // No second write follows the first, so one read, after the wait for the first octet, gives all.
    let mut octet = [0; 1];
    client.stream.peek(&mut octet).unwrap();
    client.read_some();
    client.stream.set_nonblocking(true).unwrap();
    let lines: Vec<_> = (0..4).map(|_| client.line().unwrap()).collect();
    assert_eq!(codes(&lines), ["250", "250", "250", "354"]);
}

#[test]
fn a_flood_of_commands_is_answered_in_order_and_in_bounded_pieces() {
    let server = Setting::new().serve();
    let mut client = server.client();
    let mut writer = client.second();
    let flood = std::thread::spawn(move || writer.send("NOOP\r\n".repeat(50_000) + "QUIT\r\n"));
    for _ in 0..50_000 {
        client.expect("250 ");
    }
    client.expect("221 ");
    flood.join().unwrap();
}

/// RFC 3030 §2: what is refused is still consumed, also where it looks like commands, also across segments.
#[test]
fn a_refused_chunk_is_thrown_away_to_its_last_octet() {
    let server = Setting::new().serve();
    let mut client = server.client();
    client.send("BDAT 27\r\nMAIL FROM:<x");
    client.send("@there.exa");
    client.send("mple>NOOP\r\n");
    client.expect("503 ");
    client.expect("250 ");
    assert_eq!(server.events(), []);
}

#[test]
fn a_chunk_across_many_segments_is_kept_whole() {
    let server = Setting::new().serve();
    let mut client = server.client();
    client.send("MAIL FROM:<x@there.example>\r\nRCPT TO:<a@here.example>\r\nBDAT 12");
    client.send("\r\nab");
    client.send("c\r");
    client.send("\n.\r\nNOOPBDAT 0 LAST\r\n");
    for code in ["250 2.1.0", "250 2.1.5", "250 ", "250 2.0.0"] {
        client.expect(code);
    }
    assert_eq!(server.event(), Event::Committed { to: 1, body: b"abc\r\n.\r\nNOOP".to_vec() });
}

/// RFC 5321 §4.5.3.1.9: the client talks on to the dot, and what comes after it is a command again.
#[test]
fn a_body_over_the_limit_is_swallowed_to_its_end() {
    let mut setting = Setting::new();
    setting.session.message_size = 10_000;
    let server = setting.serve();
    let mut client = server.client();
    client.begin_data();
    client.send("MAIL FROM:<y@there.example>\r\n".repeat(5_000));
    assert!(matches!(server.event(), Event::Discarded { body } if body <= 10_000), "given up as soon as it is known");
    client.send(".\r\nNOOP\r\n");
    client.expect("552 5.3.4");
    client.expect("250 ");
    assert_eq!(server.events(), []);
}

#[test]
fn an_end_of_the_stream_within_data_discards_the_message() {
    let server = Setting::new().serve();
    let mut client = server.client();
    client.begin_data();
    client.send("Subject: half\r\n.\r");
    drop(client);
    assert_eq!(server.event(), Event::Discarded { body: 15 });
    assert_eq!(server.ended(), Ended::Gone);
}

#[test]
fn an_end_of_the_stream_between_two_chunks_discards_the_message() {
    let server = Setting::new().serve();
    let mut client = server.client();
    client.send("MAIL FROM:<x@there.example>\r\nRCPT TO:<a@here.example>\r\nBDAT 3\r\nabc");
    for _ in 0..3 {
        client.expect("250 ");
    }
    drop(client);
    assert_eq!(server.event(), Event::Discarded { body: 3 });
    assert_eq!(server.ended(), Ended::Gone);
}

/// `printf ... | nc` closes its side as soon as it has said everything; it still wants to hear.
#[test]
fn a_client_that_has_closed_its_side_still_gets_its_replies() {
    let server = Setting::new().serve();
    let mut client = server.client();
    client.begin_data();
    client.send("hello\r\n.\r\nNOOP\r\n");
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(codes(&client.lines_to_the_end()), ["250", "250"]);
    assert_eq!(server.event(), Event::Committed { to: 1, body: b"hello\r\n".to_vec() });
    assert_eq!(server.ended(), Ended::Gone);
}

/// Closing with unread input makes the kernel send a reset, which can overtake the reply.
#[test]
fn the_last_reply_arrives_although_the_client_talks_on() {
    let server = Setting::new().serve();
    let mut client = server.client();
    client.begin_data();
    client.send("bare\nline feed\r\n");
    // Still talking when the 5xx is said; all of it must be taken, or this socket is reset and the read below fails.
    for _ in 0..100 {
        client.stream.write_all(&[b'x'; 1000]).unwrap();
    }
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    let lines = client.lines_to_the_end();
    assert_eq!(codes(&lines).len(), 1, "{lines:?}");
    assert!(lines[0].starts_with('5'), "{lines:?}");
    assert_eq!(server.event(), Event::Discarded { body: 4 });
    assert_eq!(server.ended(), Ended::Closed);
}

#[test]
fn a_client_that_talks_on_for_ever_after_the_last_reply_is_left() {
    let server = Setting::new().serve();
    let client = server.client();
    let flood = std::thread::spawn(move || {
        let mut stream = &client.stream;
        let _ = stream.write_all(b"QUIT\r\n");
        while stream.write_all(&[b'x'; 65536]).is_ok() {}
    });
    assert_eq!(server.ended(), Ended::Closed);
    flood.join().unwrap();
    postern_testkit::wait::until("its place comes back", postern_testkit::wait::LONG, || {
        (server.ceiling.open() == 0).then_some(())
    });
}

/// A server whose messages are judged when the test says so, and a client whose message is under judgement.
fn under_judgement(setting: Setting, after: &str, secured: bool) -> (common::Server, Arc<Semaphore>, Raw) {
    let judgements = Arc::new(Semaphore::new(0));
    let mut setting = Setting { judgements: Some(Arc::clone(&judgements)), ..setting };
    setting.pump.judged_long = Duration::ZERO;
    let server = setting.serve();
    let mut client = server.client();
    let message = format!("MAIL FROM:<x@there.example>\r\nRCPT TO:<a@here.example>\r\nBDAT 8 LAST\r\nA: 1\r\n\r\n{after}");
    if secured {
        client.send("STARTTLS\r\n");
        client.expect("220 ");
        let mut session = common::secure_behind(client, b"");
        session.write_all(b"EHLO client.example\r\n").unwrap();
        // A reply of several lines, in one record.
        assert!(session.read(&mut [0; 4_096]).unwrap() > 0);
        session.write_all(message.as_bytes()).unwrap();
        client = Raw::over(session.sock);
    } else {
        client.send(&message);
    }
    assert_eq!(server.event(), Event::Judged);
    (server, judgements, client)
}

#[test]
fn a_message_whose_client_has_reset_the_connection_while_it_was_judged_is_not_taken() {
    for secured in [false, true] {
        let (server, judgements, client) = under_judgement(Setting::new(), "QUIT\r\n", secured);
        let ports = [server.address, client.stream.local_addr().unwrap()].map(|address| format!(":{:04X}", address.port()));
        socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        // Acted on when it has come: the kernel has no such connection any more.
        until("the reset to arrive", LONG, || {
            let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
            let there = table.lines().any(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                fields[1].ends_with(&ports[0]) && fields[2].ends_with(&ports[1]) && fields[3] == "01"
            });
            (!there).then_some(())
        });
        judgements.add_permits(1);
        assert_eq!(server.event(), Event::Discarded { body: 8 }, "secured: {secured}");
        assert_eq!(server.ended(), Ended::Gone);
    }
}

#[test]
fn a_client_that_has_closed_its_side_while_its_message_was_judged_is_told_that_it_is_taken() {
    for after in ["QUIT\r\n", ""] {
        let (server, judgements, mut client) = under_judgement(Setting::new(), after, false);
        client.stream.shutdown(std::net::Shutdown::Write).unwrap();
        judgements.add_permits(1);
        assert!(matches!(server.event(), Event::Committed { to: 1, .. }));
        let told = client.lines_to_the_end();
        let wanted: &[&str] = if after.is_empty() { &["250", "250", "250"] } else { &["250", "250", "250", "221"] };
        assert_eq!(codes(&told), wanted);
    }
}

#[test]
fn a_message_whose_client_is_cut_off_while_it_is_judged_is_not_taken() {
    let (cut, cut_off) = oneshot::channel();
    let setting = Setting { cut_off: Arc::new(Mutex::new(Some(cut_off))), ..Setting::new() };
    let (server, judgements, mut client) = under_judgement(setting, "QUIT\r\n", false);
    cut.send(Reply::too_many_bytes("here.example")).unwrap();
    judgements.add_permits(1);
    assert_eq!(codes(&client.lines_to_the_end()), ["250", "250", "421"]);
    drop(client);
    assert_eq!(server.event(), Event::Discarded { body: 8 });
    assert_eq!(server.ended(), Ended::CutOff);
}
