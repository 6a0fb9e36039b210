//! Conversations nobody wrote. Promise: a failing case is printed, shrunk, and kept as a seed.

use std::time::Instant;

use postern_mail::envelope::MessageId;
use postern_mail::fact::{Answer, ClientFacts, TlsFacts};
use postern_mail::proof::{Authenticated, Committed, Hosted};
use postern_mail::trouble::Fault;
use postern_mail::{Outage, Reply};
use postern_smtp::machine::{Action, BodyEnd, Input, Machine};
use proptest::prelude::*;

use super::pump::{Pump, Taken};
use super::transcript;
use super::world::World;
use crate::Session;

/// Cuts a segment at the given places, counted from the last cut.
fn cut(segment: &[u8], cuts: &[usize], turn: &mut usize) -> Vec<Vec<u8>> {
    let (mut pieces, mut rest) = (Vec::new(), segment);
    while !rest.is_empty() {
        let len = cuts[*turn % cuts.len()].clamp(1, rest.len());
        *turn += 1;
        pieces.push(rest[..len].to_vec());
        rest = &rest[len..];
    }
    pieces
}

/// What a client might send in one go. Nothing here depends on what lies behind it in the buffer.
const WORDS: &[&str] = &[
    "EHLO client.example\r\n",
    "HELO client.example\r\n",
    "MAIL FROM:<x@there.example>\r\n",
    "MAIL FROM:<x@there.example> SIZE=999999\r\n",
    "RCPT TO:<a@here.example>\r\n",
    "RCPT TO:<b@here.example>\r\n",
    "RCPT TO:<nobody@here.example>\r\n",
    "MAIL FROM:<x@there.example>\r\nRCPT TO:<a@here.example>\r\n",
    "DATA\r\n",
    "hello\r\n.\r\n",
    "..\r\n.hello\r\n",
    ".\r\n",
    "\n",
    "half a li",
    "BDAT 7\r\nBDAT x\n",
    "BDAT 6\r\nQUIT\r\n",
    "BDAT 6 LAST\r\nRSET\r\n",
    "BDAT 0 LAST\r\n",
    "BDAT 99\r\n",
    "RSET\r\n",
    "NOOP\r\n",
    "STARTTLS\r\n",
    "AUTH PLAIN AGFubgBzZWNyZXQ=\r\n",
    "AUTH LOGIN\r\n",
    "YW5u\r\n",
    "*\r\n",
    "VRFY ann\r\n",
    "nonsense\r\n",
    "QUIT\r\n",
];

#[derive(Clone, Debug)]
enum Event {
    Bytes(&'static str),
    TimedOut,
    Stopping,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        60 => proptest::sample::select(WORDS).prop_map(Event::Bytes),
        1 => Just(Event::TimedOut),
        1 => Just(Event::Stopping),
    ];
    proptest::collection::vec(event, 1..40)
}

const WORLDS: &[&[&str]] = &[
    &["listener mx", "recipient a@here.example passes", "recipient b@here.example relayed"],
    &["listener mx", "limit message_size 10", "limit faults 3", "recipient a@here.example passes"],
    &["listener mx", "recipient a@here.example passes", "message refused bad_header"],
    &["listener submission", "auth challenge more", "auth ok ann@here.example", "recipient a@here.example passes"],
    &["listener submissions", "auth ok ann@here.example", "recipient a@here.example passes", "commit fails full"],
    &["listener submissions", "auth denied", "limit faults 99"],
];

fn worlds() -> impl Strategy<Value = World> {
    proptest::sample::select(WORLDS).prop_map(|lines| {
        let mut world = World::new();
        lines.iter().for_each(|line| world.given(line));
        world
    })
}

fn converse(world: &World, events: &[Event], cuts: &[usize]) -> (Vec<Reply>, Vec<Taken>) {
    let (mut pump, mut turn) = (Pump::open(world), 0);
    for event in events {
        match event {
            Event::Bytes(bytes) => cut(bytes.as_bytes(), cuts, &mut turn).iter().for_each(|piece| pump.receive(piece)),
            Event::TimedOut if !pump.is_closed() => {
                pump.feed(Input::TimedOut);
                assert!(pump.is_closed(), "a time-out ends every session");
            }
            Event::Stopping if !pump.is_closed() => pump.feed(Input::Stopping),
            Event::TimedOut | Event::Stopping => {}
        }
    }
    (pump.replies.drain(..).collect(), pump.taken)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Any split of the same bytes gives the same replies and the same messages.
    #[test]
    fn a_transcript_goes_the_same_at_any_split(cuts in proptest::collection::vec(1_usize..20, 1..8)) {
        for transcript in transcript::all().iter().filter(|transcript| !transcript.depends_on_segments()) {
            let mut turn = 0;
            transcript.run(&mut |segment| cut(segment, &cuts, &mut turn));
        }
    }

    /// The pump checks that what the session asks for makes sense; here it does so for words in any order, at any split.
    #[test]
    fn any_conversation_goes_the_same_at_any_split(
        world in worlds(),
        events in events(),
        cuts in proptest::collection::vec(1_usize..12, 1..8),
    ) {
        prop_assert_eq!(converse(&world, &events, &[usize::MAX]), converse(&world, &events, &cuts));
    }

    /// Even a pump that lost its mind cannot make the session panic, keep a message open past its end, or speak after it.
    #[test]
    fn no_sequence_of_inputs_breaks_the_session(
        world in worlds(),
        inputs in proptest::collection::vec(0_usize..24, 1..60),
    ) {
        let client = ClientFacts { address: "192.0.2.7".parse().unwrap(), port: 40_000, listener: world.listener };
        let mut session = Session::new(world.settings.clone().into(), client);
        #[expect(clippy::disallowed_methods, reason = "a test needs one moment to begin at")]
        let now = Instant::now();
        let (mut open, mut closed) = (false, false);
        for number in inputs {
            let mut actions = Vec::new();
            session.on(now, input(number), &mut actions);
            session.patience(now);
            for action in actions {
                prop_assert!(!closed);
                match action {
                    Action::OpenMessage(envelope, _) => {
                        prop_assert!(!open && !envelope.recipients.is_empty());
                        open = true;
                    }
                    Action::Commit | Action::Discard => {
                        prop_assert!(open);
                        open = false;
                    }
                    Action::ReadChunk { keep, .. } => prop_assert_eq!(keep, open),
                    Action::ReadData { .. } => prop_assert!(open),
                    Action::Close => {
                        prop_assert!(!open);
                        closed = true;
                    }
                    Action::Reply(_) | Action::Ask(_) | Action::StartTls(_) => {}
                }
            }
        }
    }
}

fn input(number: usize) -> Input<'static> {
    let line = |text: &'static str| Input::Line { text: text.as_bytes(), more: false };
    match number {
        0 => Input::Opened,
        1 => Input::Secured(TlsFacts { version: "TLSv1.3", cipher: "x".into(), exporter: None, certificate: None }),
        2 | 3 => Input::Answer(Answer::Pass),
        4 => Input::Answer(Answer::Admitted(postern_mail::envelope::Admission::Hosted(Hosted::mint_by_rule()))),
        5 => Input::Answer(Answer::Refuse(Reply::relay_denied())),
        6 => Input::Answer(Answer::Challenge(vec![1])),
        7 => Input::Answer(Answer::Authenticated { who: Authenticated::mint_after_verification("a".into(), "b".into()) }),
        8 => Input::Answer(Answer::Denied(None)),
        9 | 10 => Input::BodyEnded(BodyEnd::Whole { bytes: 6 }),
        11 => Input::BodyEnded(BodyEnd::TooBig),
        12 => Input::BodyEnded(BodyEnd::Broken(Fault::BareLf)),
        13 => Input::Committed(Ok(Committed::mint_after_sync(MessageId(1)))),
        14 => Input::Committed(Err(Outage::DiskFull)),
        15 => Input::Broken(Fault::LineTooLong),
        16 => Input::Stopping,
        17 => line("EHLO client.example"),
        18 => line("MAIL FROM:<x@there.example>"),
        19 => line("RCPT TO:<a@here.example>"),
        20 => line("DATA"),
        21 => line("BDAT 6"),
        22 => line("BDAT 6 LAST"),
        23 => Input::Hurry(true),
        _ => line("STARTTLS"),
    }
}
