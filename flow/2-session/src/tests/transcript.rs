//! Transcripts: conversations as text. The language, line by line:
//!
//! ```text
//! # a comment; the first one is the title
//! given ...      what is true around the session, see `world.rs`; `given after EHLO x` is said first and not shown
//! C: text        the client sends this, with \r \n \0 \t \\ \xNN and {text*N} for N times text. Lines without an S: between them
//!                arrive in one segment.
//! S: 250 2.1.0   the next line of a reply begins so; a reply of many lines may be shown by its code alone
//! closed         the connection is closed
//! timeout        the client keeps us waiting
//! stopping       the server is told to stop
//! handshake      a handshake that stalled is done
//! taken ...      the next message that was committed has this envelope
//! body ...       ... and this content
//! by ...         ... and came by this protocol, from a client of this name
//! heard ...      the answerer saw this SASL response
//! ```
//!
//! Promise: a transcript shows everything: a reply, message or SASL response it does not name fails it.

use std::collections::VecDeque;
use std::path::PathBuf;

use postern_mail::Reply;
use postern_smtp::machine::Input;
use postern_smtp::reply_lines::write_reply;

use super::pump::Pump;
use super::world::World;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Client(Vec<u8>),
    Server(String),
    Closed,
    TimedOut,
    Stopping,
    Handshake,
    Taken(String),
    Body(Vec<u8>),
    By(String),
    Heard(Vec<u8>),
}

pub(super) struct Transcript {
    pub(super) name: String,
    world: World,
    steps: Vec<Step>,
}

/// All transcripts, in the order of their names.
pub(super) fn all() -> Vec<Transcript> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("transcripts");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            Transcript::parse(name, &std::fs::read_to_string(&path).unwrap())
        })
        .collect()
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match (c, rest.chars().next()) {
            ('\\', Some(escape)) => {
                rest = &rest[escape.len_utf8()..];
                match escape {
                    'r' => bytes.push(b'\r'),
                    'n' => bytes.push(b'\n'),
                    't' => bytes.push(b'\t'),
                    '0' => bytes.push(0),
                    'x' => {
                        bytes.push(u8::from_str_radix(&rest[..2], 16).unwrap());
                        rest = &rest[2..];
                    }
                    other => bytes.extend_from_slice(other.to_string().as_bytes()),
                }
            }
            ('{', _) => {
                let (inner, behind) = rest.split_once('}').unwrap();
                let (piece, times) = inner.rsplit_once('*').unwrap();
                bytes.extend(unescape(piece).repeat(times.parse().unwrap()));
                rest = behind;
            }
            _ => bytes.extend_from_slice(c.to_string().as_bytes()),
        }
    }
    bytes
}

impl Transcript {
    fn parse(name: String, text: &str) -> Self {
        let (mut world, mut steps) = (World::new(), Vec::new());
        let mut joins = false;
        for line in text.lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let step = match word {
                "" | "#" => continue,
                "given" => {
                    world.given(rest.trim());
                    continue;
                }
                "C:" => match steps.last_mut() {
                    Some(Step::Client(segment)) if joins => {
                        segment.extend(unescape(rest));
                        continue;
                    }
                    _ => Step::Client(unescape(rest)),
                },
                "S:" => Step::Server(rest.to_owned()),
                "closed" => Step::Closed,
                "timeout" => Step::TimedOut,
                "stopping" => Step::Stopping,
                "handshake" => Step::Handshake,
                "taken" => Step::Taken(rest.trim().to_owned()),
                "body" => Step::Body(unescape(rest)),
                "by" => Step::By(rest.trim().to_owned()),
                "heard" => Step::Heard(unescape(rest)),
                other => panic!("{name}: {other}"),
            };
            joins = matches!(step, Step::Client(_));
            steps.push(step);
        }
        Self { name, world, steps }
    }

    /// RFC 2920 §3.1 is about what had arrived at a moment, so such a conversation depends on its segments.
    pub(super) fn depends_on_segments(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Server(line) if line.starts_with("554 5.5.0")))
    }

    /// Runs it; `split` cuts each segment into the pieces that arrive. Gives every reply that was made.
    pub(super) fn run(&self, split: &mut dyn FnMut(&[u8]) -> Vec<Vec<u8>>) -> Vec<Reply> {
        let name = &self.name;
        let mut pump = Pump::open(&self.world);
        let mut replies = Vec::new();
        for line in &self.world.prelude {
            pump.receive(format!("{line}\r\n").as_bytes());
        }
        if !self.world.prelude.is_empty() {
            replies.extend(pump.replies.drain(..));
            pump.credentials.clear();
        }
        let (mut said, mut heard, mut read) = (VecDeque::new(), 0, 0);
        for step in &self.steps {
            for reply in pump.replies.drain(..) {
                said.push_back(printed(&reply));
                replies.push(reply);
            }
            match step {
                Step::Server(expected) => expect_line(name, &mut said, expected),
                Step::Client(_) | Step::TimedOut | Step::Stopping | Step::Handshake | Step::Closed => {
                    assert!(said.is_empty(), "{name}: before {step:?} the server also said {said:?}");
                }
                _ => {}
            }
            match step {
                Step::Server(_) => {}
                Step::Client(bytes) => {
                    assert!(!pump.is_closed(), "{name}: closed before {step:?}");
                    split(bytes).iter().for_each(|piece| pump.receive(piece));
                }
                Step::TimedOut => pump.feed(Input::TimedOut),
                Step::Stopping => pump.feed(Input::Stopping),
                Step::Handshake => pump.shake_hands(),
                Step::Closed => assert!(pump.is_closed(), "{name}: still open"),
                Step::Taken(envelope) => {
                    let taken = pump.taken.get(read).unwrap_or_else(|| panic!("{name}: nothing was taken"));
                    assert_eq!(&taken.envelope, envelope, "{name}");
                    read += 1;
                }
                Step::Body(body) => assert_eq!(printable(&pump.taken[read - 1].body), printable(body), "{name}"),
                Step::By(protocol) => assert_eq!(&pump.taken[read - 1].protocol, protocol, "{name}"),
                Step::Heard(response) => {
                    assert_eq!(pump.credentials.get(heard).map(|heard| printable(heard)), Some(printable(response)), "{name}");
                    heard += 1;
                }
            }
        }
        said.extend(pump.replies.iter().map(printed));
        replies.extend(pump.replies.drain(..));
        assert!(said.is_empty(), "{name}: the server also said {said:?}");
        assert_eq!(pump.taken.len(), read, "{name}: {:?}", pump.taken);
        assert_eq!(pump.credentials.len(), heard, "{name}: {:?}", pump.credentials);
        let stays_open = self.steps.iter().all(|step| *step != Step::Closed);
        assert_eq!(stays_open, !pump.is_closed(), "{name}: open at the end, or not said to be closed");
        replies
    }
}

fn printable(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn printed(reply: &Reply) -> VecDeque<String> {
    let mut bytes = Vec::new();
    write_reply(reply, &mut bytes);
    String::from_utf8(bytes).unwrap().split_terminator("\r\n").map(str::to_owned).collect()
}

fn expect_line(name: &str, said: &mut VecDeque<VecDeque<String>>, expected: &str) {
    let Some(reply) = said.front_mut() else { panic!("{name}: the server did not say {expected}") };
    let is_whole = expected.len() == 3 && reply.iter().all(|line| line.starts_with(expected));
    assert!(is_whole || reply[0].starts_with(expected), "{name}: expected {expected}, the server said {said:?}");
    reply.pop_front();
    if is_whole || reply.is_empty() {
        said.pop_front();
    }
}
