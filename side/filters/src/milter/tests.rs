//! A filter in a script: right ones, and every lie.

use postern_mail::client::ListenerKind;
use postern_mail::filter::FilterWord;
use postern_mail::{Mailbox, ReversePath};
use proptest::prelude::*;

use super::machine::{Agreed, agree};
use super::packet::{action, step};
use super::*;
use crate::Change;

const MESSAGE: &[u8] = b"Subject: one\r\n two\r\nX:no space\r\n\r\nbody\r\n";

fn with<T>(message: &[u8], test: impl FnOnce(&Told<'_>) -> T) -> T {
    let from = ReversePath::Mailbox(Mailbox::parse("a@there.example").unwrap());
    let recipients = [Mailbox::parse("b@here.example").unwrap(), Mailbox::parse("c@here.example").unwrap()];
    test(&Told {
        hostname: "mx.here.example",
        id: "001",
        client: "192.0.2.7".parse().unwrap(),
        port: 25,
        client_name: None,
        listener: ListenerKind::Mx,
        helo: "there.example",
        tls: Some(("TLSv1.3", "TLS13_AES_256_GCM_SHA384")),
        account: None,
        from: &from,
        recipients: &recipients,
        message,
    })
}

fn agreed(actions: u32, steps: u32) -> Agreed {
    agree(Reply::Negotiated { version: 6, actions, steps, macros: Vec::new() }).unwrap()
}

/// The commands in what was written, without macros.
fn commands(out: &[u8]) -> String {
    let (mut rest, mut found) = (out, String::new());
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        let (packet, tail) = tail.split_at(u32::from_be_bytes(*length) as usize);
        found.extend((packet[0] != b'D').then_some(char::from(packet[0])));
        rest = tail;
    }
    found
}

/// Runs a conversation with these replies, each given when one is waited for.
fn run(steps: u32, actions: u32, replies: &[Reply]) -> (String, Result<Opinion, String>) {
    with(MESSAGE, |told| {
        let mut machine = Machine::new(told, agreed(actions, steps), 1_000);
        let (mut out, mut replies) = (Vec::new(), replies.iter().cloned());
        loop {
            match machine.next(&mut out) {
                Next::Go => {}
                Next::Done => return (commands(&out), machine.opinion()),
                Next::Wait => loop {
                    match machine.take(replies.next().unwrap_or(Reply::Continue)) {
                        Ok(true) => break,
                        Ok(false) => {}
                        Err(why) => return (commands(&out), Err(why)),
                    }
                },
            }
        }
    })
}

fn code(text: &str) -> Reply {
    Reply::Code(text.to_owned())
}

#[test]
fn a_filter_hears_everything_in_order_and_only_what_it_did_not_decline() {
    assert_eq!(run(0, 0, &[]).0, "CHMRRTLLNBE");
    assert_eq!(run(step::NO_CONNECT | step::NO_HEADERS | step::NO_RCPT | step::NO_DATA, 0, &[]).0, "HMNBE");
    assert_eq!(run(step::ALL & !step::LEADING_SPACE, 0, &[]).0, "E");
}

#[test]
fn a_filter_of_an_older_version_is_not_told_of_data() {
    for (version, wanted) in [(2, "CHMRRLLNBE"), (3, "CHMRRLLNBE"), (4, "CHMRRTLLNBE")] {
        with(MESSAGE, |told| {
            let agreed = agree(Reply::Negotiated { version, actions: 0, steps: 0, macros: Vec::new() }).unwrap();
            let (mut machine, mut out) = (Machine::new(told, agreed, 0), Vec::new());
            loop {
                match machine.next(&mut out) {
                    Next::Done => break,
                    Next::Go => {}
                    Next::Wait => drop(machine.take(Reply::Continue)),
                }
            }
            assert_eq!(commands(&out), wanted, "version {version}");
        });
    }
}

#[test]
fn what_a_filter_does_not_answer_is_not_waited_for() {
    let silent = step::SILENT_CONNECT | step::SILENT_HELO | step::SILENT_MAIL | step::SILENT_RCPT | step::SILENT_DATA;
    let (commands, opinion) = run(silent | step::SILENT_HEADER | step::SILENT_EOH | step::SILENT_BODY, 0, &[Reply::Reject]);
    assert_eq!(commands, "CHMRRTLLNBE", "the first reply is to the end");
    assert!(matches!(opinion.unwrap().word, FilterWord::Refuse(_)));
}

#[test]
fn a_verdict_ends_the_conversation_wherever_it_comes() {
    for (reply, wanted) in [(Reply::Accept, FilterWord::Pass), (Reply::Discard, FilterWord::Discard)] {
        let (commands, opinion) = run(0, 0, &[Reply::Continue, reply]);
        assert_eq!((commands.as_str(), opinion.unwrap().word), ("CH", wanted));
    }
    let (commands, opinion) =
        run(0, 0, &[Reply::Continue, Reply::Continue, Reply::Continue, Reply::Continue, code("550 5.1.1 not c")]);
    let opinion = opinion.unwrap();
    assert_eq!(commands, "CHMRR");
    assert!(matches!(&opinion.word, FilterWord::Refuse(reply) if reply.text() == "not c" && reply.code.0 == 550));
    assert!(opinion.words.ends_with("of c@here.example"), "{}", opinion.words);
}

#[test]
fn a_reply_of_several_lines_and_doubled_per_cent_signs_is_told_as_it_is_meant() {
    let opinion = run(0, 0, &[code("451-4.7.1 100%% full\r\n451 4.7.1 later")]).1.unwrap();
    assert!(matches!(opinion.word, FilterWord::Defer(reply) if reply.lines().eq(["100% full", "later"])));
    for bad in ["250 fine", "", "abc", "55", "ä50 x"] {
        assert!(run(0, 0, &[code(bad)]).1.is_err(), "{bad}");
    }
}

#[test]
fn changes_count_only_at_the_end_and_only_when_agreed_on() {
    let change = || Reply::Change(Change::Add { name: b"X".to_vec(), value: b"v".to_vec() });
    let until_the_end = |last: &[Reply]| [vec![Reply::Continue; 10], last.to_vec()].concat();
    let good = run(0, action::ADD_HEADERS, &until_the_end(&[change(), Reply::Progress, Reply::Accept])).1.unwrap();
    assert_eq!(good.changes.len(), 1);
    assert!(run(0, action::CHANGE_BODY, &until_the_end(&[change()])).1.is_err(), "not agreed on");
    assert!(run(0, action::ADD_HEADERS, &[change()]).1.is_err(), "too early");
    let body = |octets: usize| Reply::Change(Change::Body(vec![b'x'; octets]));
    let two = run(0, action::CHANGE_BODY, &until_the_end(&[body(600), body(400), Reply::Continue])).1.unwrap();
    assert_eq!(two.changes, [Change::Body(vec![b'x'; 1_000])]);
    assert!(run(0, action::CHANGE_BODY, &until_the_end(&[body(600), body(401)])).1.is_err(), "too large");
    let written = |octets: &[u8]| {
        run(0, action::CHANGE_BODY, &until_the_end(&[Reply::Change(Change::Body(octets.to_vec())), Reply::Accept])).1
    };
    assert_eq!(written(b"a\nb\r").unwrap().changes, [Change::Body(b"a\r\nb\r\n".to_vec())], "lines as mail has them");
    assert!(written(b"a\0b").is_err(), "a NUL could not be sent on");
    let many = until_the_end(&vec![change(); 1_001]);
    assert!(run(0, action::ADD_HEADERS, &many).1.is_err(), "too many");
    let held = run(0, action::QUARANTINE, &until_the_end(&[Reply::Quarantine("why".into()), Reply::Continue])).1.unwrap();
    assert_eq!((held.word, held.words.as_str()), (FilterWord::Hold, "quarantine: why"));
    assert!(run(0, 0, &until_the_end(&[Reply::Quarantine(String::new())])).1.is_err());
}

#[test]
fn the_rest_of_a_body_is_skipped_for_whoever_has_seen_enough() {
    let large = [b"A: 1\r\n\r\n".as_slice(), &vec![b'x'; 200_000]].concat();
    with(&large, |told| {
        let mut machine = Machine::new(told, agreed(0, step::SKIP | step::SILENT_HEADER), 0);
        let mut out = Vec::new();
        loop {
            match machine.next(&mut out) {
                Next::Done => break,
                Next::Go => {}
                Next::Wait => {
                    let reply = if commands(&out).ends_with('B') { Reply::Skip } else { Reply::Continue };
                    machine.take(reply).unwrap();
                }
            }
        }
        assert_eq!(commands(&out), "CHMRRTLNBE");
    });
    assert!(run(0, 0, &[Reply::Skip]).1.is_err());
}

#[test]
fn a_value_keeps_its_first_space_only_for_whom_that_was_agreed_with() {
    for (steps, wanted) in [(0, b"Subject\0one\n two\0".as_slice()), (step::LEADING_SPACE, b"Subject\0 one\n two\0")] {
        with(MESSAGE, |told| {
            let mut machine = Machine::new(told, agreed(0, steps | step::SILENT_HEADER), 0);
            let mut out = Vec::new();
            loop {
                match machine.next(&mut out) {
                    Next::Done => break,
                    Next::Go => {}
                    Next::Wait => drop(machine.take(Reply::Continue)),
                }
            }
            assert!(out.windows(wanted.len()).any(|window| window == wanted), "{steps:x}");
            assert!(out.windows(12).any(|window| window == b"LX\0no space\0"), "none is made up");
        });
    }
}

#[test]
fn a_refusal_in_octets_that_are_no_text_is_a_refusal() {
    let refused = packet::read(b"y550 5.7.1 bad \xff name\0").unwrap();
    let opinion = run(0, 0, &[refused]).1.unwrap();
    assert!(matches!(opinion.word, FilterWord::Refuse(_)), "{opinion:?}");
    assert_eq!(packet::read(b"q\xff\0"), Some(Reply::Quarantine("\u{fffd}".to_owned())));
}

/// A filter that answers each packet but macros and the end of the conversation.
async fn patient(mut stream: tokio::net::TcpStream) {
    let negotiated = [b"O".as_slice(), &6_u32.to_be_bytes(), &0_u32.to_be_bytes(), &0_u32.to_be_bytes()].concat();
    stream.set_nodelay(true).unwrap();
    while let Ok(length) = stream.read_u32().await {
        let mut packet = vec![0; length as usize];
        stream.read_exact(&mut packet).await.unwrap();
        let answer = match packet[0] {
            b'D' => continue,
            b'O' => negotiated.as_slice(),
            b'E' => b"a",
            b'Q' => return,
            _ => b"c",
        };
        let length = u32::try_from(answer.len()).unwrap().to_be_bytes();
        stream.write_all(&[&length, answer].concat()).await.unwrap();
    }
}

#[tokio::test]
async fn replies_that_are_owed_are_not_talk_without_end() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let address = LmtpAddress::Tcp { host: postern_config::Target::Address(at.ip()), port: at.port() };
    let from = ReversePath::Null;
    let message = "a:\r\n".repeat(UNOWED_MAX + 1);
    let told = Told {
        hostname: "mx.here.example",
        id: "001",
        client: "192.0.2.7".parse().unwrap(),
        port: 25,
        client_name: None,
        listener: ListenerKind::Mx,
        helo: "there.example",
        tls: None,
        account: None,
        from: &from,
        recipients: &[],
        message: message.as_bytes(),
    };
    let filter = async { patient(listener.accept().await.unwrap().0).await };
    let shown = Shown::default();
    let (opinion, ()) = tokio::join!(ask(&address, &told, 0, &shown), filter);
    assert_eq!(opinion.unwrap().word, FilterWord::Pass);
}

#[test]
fn a_filter_that_wants_what_was_not_offered_is_none() {
    let of = |version, actions, steps| Reply::Negotiated { version, actions, steps, macros: Vec::new() };
    assert!(agree(of(6, 0, 0)).is_ok() && agree(of(2, 0, 0)).is_ok());
    for bad in [of(1, 0, 0), of(7, 0, 0), of(6, 0x200, 0), of(6, 0, 0x800), Reply::Continue] {
        assert!(agree(bad).is_err());
    }
}

fn any_reply() -> impl Strategy<Value = Option<Reply>> {
    proptest::collection::vec(any::<u8>(), 0..40).prop_map(|octets| packet::read(&octets))
}

fn likely_packet() -> impl Strategy<Value = Vec<u8>> {
    let command = proptest::sample::select(b"Ocartdysp4fq+2-ehimb?".to_vec());
    (command, proptest::collection::vec(prop_oneof![Just(0), Just(b'5'), any::<u8>()], 0..30))
        .prop_map(|(command, data)| [&[command], data.as_slice()].concat())
}

proptest! {
    #[test]
    fn any_octets_are_a_reply_or_nothing(reply in any_reply()) {
        let _ = reply;
    }

    #[test]
    fn any_lies_end_in_an_opinion_or_a_failure(
        packets in proptest::collection::vec(likely_packet(), 0..30),
        steps in any::<u32>(),
        actions in any::<u32>(),
    ) {
        let replies: Vec<Reply> = packets.iter().filter_map(|packet| packet::read(packet)).collect();
        let _ = run(steps & step::ALL, actions & action::ALL, &replies);
    }
}
