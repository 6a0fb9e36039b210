//! A pump without a socket: frames bytes as the real one does, answers questions from a table, and checks that the session asks for
//! nothing that makes no sense. Promise: it decides nothing, so what a transcript shows is the session's doing.

use std::collections::VecDeque;
use std::time::Instant;

use postern_mail::envelope::{Admission, BodyKind, Envelope, MessageId, Return};
use postern_mail::fact::{Answer, ClientFacts, Question, TlsFacts};
use postern_mail::proof::{Committed, Hosted, RelayPermit};
use postern_mail::{Outage, Reply, Secret};
use postern_smtp::body::{Cleanliness, DataDecoder, DataProgress};
use postern_smtp::chunk::ChunkReader;
use postern_smtp::line::{Framing, LineFramer};
use postern_smtp::machine::{Action, BodyEnd, Input, Machine, TraceFacts};

use super::world::{Say, World};
use crate::Session;

/// What the pump reads at this moment.
enum Reading {
    Lines,
    Data {
        decoder: DataDecoder,
        limit: u64,
        bytes: u64,
    },
    Chunk {
        reader: ChunkReader,
        size: u64,
        keep: bool,
        last: bool,
    },
    /// Waits for a handshake that never ends.
    Handshake,
    Nothing,
}

/// A message between `OpenMessage` and `Commit` or `Discard`.
struct Open {
    envelope: Box<Envelope>,
    trace: Box<TraceFacts>,
    body: Vec<u8>,
    clean: Cleanliness,
}

/// A message that was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) envelope: String,
    pub(super) body: Vec<u8>,
    pub(super) protocol: String,
}

pub(super) struct Pump<'a> {
    pub(super) session: Session,
    pub(super) now: Instant,
    pub(super) replies: VecDeque<Reply>,
    pub(super) taken: Vec<Taken>,
    /// SASL responses as the answerer saw them.
    pub(super) credentials: Vec<Vec<u8>>,
    world: &'a World,
    auth: VecDeque<Say>,
    buffer: Vec<u8>,
    framer: LineFramer,
    reading: Reading,
    open: Option<Open>,
    /// MAIL was accepted, and the host holds what it set aside for the message until it is committed or discarded.
    holds: bool,
}

fn secured(world: &World) -> TlsFacts {
    TlsFacts {
        version: "TLSv1.3",
        cipher: "TLS13_AES_256_GCM_SHA384".into(),
        exporter: world.exporter.then(|| Box::new([7; 32])),
        certificate: None,
    }
}

impl<'a> Pump<'a> {
    pub(super) fn open(world: &'a World) -> Self {
        let client = ClientFacts { address: "192.0.2.7".parse().unwrap(), port: 40_000, listener: world.listener };
        #[expect(clippy::disallowed_methods, reason = "a test needs one moment to begin at")]
        let now = Instant::now();
        let mut pump = Self {
            session: Session::new(world.settings.clone().into(), client),
            now,
            replies: VecDeque::new(),
            taken: Vec::new(),
            credentials: Vec::new(),
            world,
            auth: world.auth.iter().cloned().collect(),
            buffer: Vec::new(),
            framer: LineFramer::default(),
            reading: Reading::Lines,
            open: None,
            holds: false,
        };
        if world.tls {
            pump.feed(Input::Secured(secured(world)));
        }
        pump.feed(Input::Opened);
        pump
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.reading, Reading::Nothing)
    }

    /// The handshake that stalled is done after all.
    pub(super) fn shake_hands(&mut self) {
        assert!(matches!(self.reading, Reading::Handshake));
        self.reading = Reading::Lines;
        self.feed(Input::Secured(secured(self.world)));
    }

    /// Bytes arrive.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        while self.frame() {}
    }

    /// One input and everything that comes of it.
    pub(super) fn feed(&mut self, input: Input<'_>) {
        let mut next = Some(self.step(input));
        while let Some(action) = next {
            next = action.map(|input| self.step(input));
        }
    }

    /// Feeds one input, carries out the actions, and gives the input that answers the last of them.
    fn step(&mut self, input: Input<'_>) -> Option<Input<'static>> {
        let mut actions = Vec::new();
        self.session.on(self.now, input, &mut actions);
        let mut next = None;
        for action in actions {
            assert!(!self.is_closed(), "nothing is done after Close: {action:?}");
            assert!(next.is_none(), "only the last action waits for an input: {action:?}");
            next = self.carry_out(action);
        }
        assert_eq!(self.session.is_closed(), self.is_closed());
        next
    }

    fn carry_out(&mut self, action: Action) -> Option<Input<'static>> {
        match action {
            Action::Reply(reply) => self.replies.push_back(reply),
            Action::Ask(question) => {
                let is_sender = matches!(question, Question::Sender { .. });
                assert!(!is_sender || !self.holds, "one transaction at a time");
                let answer = self.answer(question);
                self.holds |= is_sender && matches!(answer, Answer::Pass);
                return Some(Input::Answer(answer));
            }
            Action::StartTls(ready) => {
                self.replies.push_back(ready);
                self.buffer.clear();
                self.framer = LineFramer::default();
                if self.world.handshake_stalls {
                    self.reading = Reading::Handshake;
                } else {
                    return Some(Input::Secured(secured(self.world)));
                }
            }
            Action::OpenMessage(envelope, trace) => {
                assert!(self.open.is_none(), "one message at a time");
                assert!(!envelope.recipients.is_empty(), "a message has a recipient");
                self.open = Some(Open { envelope, trace, body: Vec::new(), clean: Cleanliness::new() });
            }
            Action::ReadData { limit } => {
                assert!(self.open.is_some(), "a body needs an open message");
                self.reading = Reading::Data { decoder: DataDecoder::new(), limit, bytes: 0 };
            }
            Action::ReadChunk { size, keep, last } => {
                assert_eq!(keep, self.open.is_some(), "a chunk is kept in an open message and dropped without one");
                assert!(keep || !self.holds, "a chunk that is dropped ends the transaction");
                self.reading = Reading::Chunk { reader: ChunkReader::new(size), size, keep, last };
            }
            Action::Commit => return Some(Input::Committed(self.commit())),
            // Also comes where a transaction ends before its message is open.
            Action::Discard => (self.open, self.holds) = (None, false),
            Action::Close => {
                assert!(self.open.is_none() && !self.holds, "a transaction is discarded before the session closes");
                self.reading = Reading::Nothing;
            }
        }
        None
    }

    fn commit(&mut self) -> Result<Committed, Outage> {
        self.holds = false;
        let open = self.open.take().expect("only an open message is committed");
        if let Some(outage) = &self.world.commit_fails {
            return Err(outage.clone());
        }
        let tls = if open.trace.tls.is_some() { "S" } else { "" };
        let who = if open.trace.who.is_some() { "A" } else { "" };
        let protocol = if open.trace.esmtp { format!("ESMTP{tls}{who}") } else { "SMTP".to_owned() };
        self.taken.push(Taken {
            envelope: describe(&open.envelope),
            body: open.body,
            protocol: format!("{protocol} {}", open.trace.helo),
        });
        Ok(Committed::mint_after_sync(MessageId(self.taken.len() as u64)))
    }

    fn answer(&mut self, question: Question) -> Answer {
        let world = self.world;
        let say = match &question {
            Question::Connect => world.connect.clone(),
            Question::Hello(name) => world.hello.get(name.as_str()).cloned(),
            Question::Sender { from, .. } => world.senders.get(&from.to_string()).cloned(),
            Question::Recipient { to, .. } => {
                let unknown = || Say::Refuse(Reply::no_such_recipient(&to.to_string()));
                Some(world.recipients.get(&to.to_string()).cloned().unwrap_or_else(unknown))
            }
            Question::Message => world.message.clone(),
            Question::AuthAbort => world.abort.clone(),
            Question::AuthStart { initial, .. } => {
                self.auth = world.auth.iter().cloned().collect();
                self.auth_step(initial.as_ref())
            }
            Question::AuthNext(response) => self.auth_step(Some(response)),
        };
        match say {
            None => Answer::Pass,
            Some(Say::Pass) if matches!(question, Question::Recipient { .. }) => {
                Answer::Admitted(Admission::Hosted(Hosted::mint_by_rule()))
            }
            Some(Say::Pass) => Answer::Pass,
            Some(Say::Relay) => Answer::Admitted(Admission::Relay(RelayPermit::mint_by_rule())),
            Some(Say::Refuse(reply)) => Answer::Refuse(reply),
            Some(Say::Hangup(reply)) => Answer::Hangup(reply),
            Some(Say::Challenge(bytes)) => Answer::Challenge(bytes),
            Some(Say::Authenticated(who)) => Answer::Authenticated { who },
            Some(Say::Denied) => Answer::Denied(None),
        }
    }

    fn auth_step(&mut self, response: Option<&Secret>) -> Option<Say> {
        self.credentials.extend(response.map(|response| response.expose().to_vec()));
        Some(self.auth.pop_front().unwrap_or(Say::Denied))
    }

    /// Takes one input off the buffer; false when there is none.
    fn frame(&mut self) -> bool {
        match &mut self.reading {
            Reading::Nothing | Reading::Handshake => {
                self.buffer.clear();
                false
            }
            Reading::Lines => self.frame_line(),
            Reading::Data { decoder, limit, bytes } => {
                let open = self.open.as_mut().unwrap();
                let (mut received, limit) = (*bytes, *limit);
                let (consumed, progress) = decoder.decode(&self.buffer, &mut |piece| {
                    received += piece.len() as u64;
                    if received <= limit {
                        open.body.extend_from_slice(piece);
                    }
                });
                *bytes = received;
                self.buffer.drain(..consumed);
                let end = match progress {
                    DataProgress::More => return false,
                    DataProgress::End if received > limit => BodyEnd::TooBig,
                    DataProgress::End => BodyEnd::Whole { bytes: received },
                    DataProgress::Broken(fault) => BodyEnd::Broken(fault),
                };
                self.body_ended(end)
            }
            Reading::Chunk { reader, size, keep, last } => {
                let (size, last) = (*size, *last);
                let piece = if *keep {
                    let open = self.open.as_mut().unwrap();
                    reader.take(&self.buffer, &mut open.clean).inspect(|piece| open.body.extend_from_slice(piece))
                } else {
                    Ok(reader.skip(&self.buffer))
                };
                let done = reader.is_done();
                let end = match piece.map(<[u8]>::len) {
                    Err(fault) => Err(fault),
                    Ok(consumed) => {
                        self.buffer.drain(..consumed);
                        match &self.open {
                            _ if !done => return false,
                            Some(open) if last => open.clean.finish(),
                            _ => Ok(()),
                        }
                    }
                };
                self.body_ended(end.map_or_else(BodyEnd::Broken, |()| BodyEnd::Whole { bytes: size }))
            }
        }
    }

    fn body_ended(&mut self, end: BodyEnd) -> bool {
        self.reading = Reading::Lines;
        self.feed(Input::BodyEnded(end));
        true
    }

    fn frame_line(&mut self) -> bool {
        match self.framer.frame(&self.buffer, self.session.line_bytes_max()) {
            Framing::More => return false,
            Framing::Line { len, consumed } => {
                let line = self.buffer[..len].to_vec();
                self.buffer.drain(..consumed);
                let more = !self.buffer.is_empty();
                self.feed(Input::Line { text: &line, more });
            }
            Framing::Skip { consumed } => {
                self.buffer.drain(..consumed);
            }
            Framing::TooLong { consumed } => {
                self.buffer.drain(..consumed);
                self.feed(Input::Broken(postern_mail::trouble::Fault::LineTooLong));
            }
            Framing::Broken(fault) => self.feed(Input::Broken(fault)),
        }
        true
    }
}

/// An envelope on one line: only what is not the default is named.
fn describe(envelope: &Envelope) -> String {
    let mut words = vec![envelope.from.to_string(), "->".to_owned()];
    for recipient in &envelope.recipients {
        words.push(format!("<{}>", recipient.address()));
        if !recipient.is_hosted() {
            words.push("relayed".to_owned());
        }
        if let Some(notify) = recipient.dsn().notify {
            let names = [(notify.success, "success"), (notify.failure, "failure"), (notify.delay, "delay")];
            let names: Vec<&str> = names.into_iter().filter(|(on, _)| *on).map(|(_, name)| name).collect();
            words.push(format!("notify={}", if names.is_empty() { "never".to_owned() } else { names.join(",") }));
        }
        words.extend(recipient.dsn().original.as_ref().map(|original| format!("orcpt={original}")));
    }
    words.extend((envelope.body == BodyKind::EightBitMime).then(|| "8bitmime".to_owned()));
    words.extend(envelope.smtputf8.then(|| "smtputf8".to_owned()));
    words.extend(envelope.require_tls.then(|| "requiretls".to_owned()));
    words.extend(envelope.ret.map(|ret| format!("ret={}", if ret == Return::Full { "full" } else { "hdrs" })));
    words.extend(envelope.envid.as_ref().map(|envid| format!("envid={envid}")));
    words.extend(envelope.account.as_ref().map(|account| format!("account={account}")));
    words.join(" ")
}
