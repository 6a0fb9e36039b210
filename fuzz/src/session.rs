//! A whole session at a pump without a socket: bytes come in pieces, questions are answered by what they ask about.
//!
//! The first octet says what is true around the session, the second where it is told to stop or its time runs out; the rest is what the
//! client sends. A patient client waits for each reply; another sends everything at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use postern_mail::client::ListenerKind;
use postern_mail::envelope::{Admission, MessageId, UnixMillis};
use postern_mail::fact::{Answer, ClientCertificate, ClientFacts, Mechanism, Question, TlsFacts};
use postern_mail::proof::{Authenticated, Committed, Hosted, RelayPermit};
use postern_mail::trouble::Fault;
use postern_mail::{Domain, Outage, Reply, Secret};
use postern_session::{Hurry, Session, SessionSettings};
use postern_smtp::body::{Cleanliness, DataDecoder, DataProgress};
use postern_smtp::chunk::ChunkReader;
use postern_smtp::line::{Framing, LineFramer};
use postern_smtp::machine::{Action, BodyEnd, Input, Machine};
use postern_smtp::reply_lines::{ReplyReader, write_reply};

/// What is true around a session.
#[derive(Clone, Copy, Debug)]
struct World {
    listener: ListenerKind,
    patient: bool,
    commit_fails: bool,
    refuses_messages: bool,
    message_size: u64,
    /// Before the how many'th line it happens; never for 0.
    moment: u8,
    /// The time runs out, rather than the server stops.
    times_out: bool,
}

impl World {
    fn of(first: u8, second: u8) -> Self {
        Self {
            listener: match first & 3 {
                0 | 3 => ListenerKind::Mx,
                1 => ListenerKind::Submission,
                _ => ListenerKind::Submissions,
            },
            patient: first & 4 != 0,
            commit_fails: first & 8 != 0,
            refuses_messages: first & 16 != 0,
            message_size: if first & 32 != 0 { 12 } else { 400 },
            moment: second & 15,
            times_out: second & 64 != 0,
        }
    }

    fn settings(self) -> SessionSettings {
        let hour = Duration::from_secs(3600);
        SessionSettings {
            hostname: Domain::parse("here.example").expect("a domain"),
            message_size: self.message_size,
            recipients_per_message: 3,
            recipients_per_submission: 4,
            messages_per_connection: 4,
            faults_per_session: 6,
            recipients_unknown_per_session: 2,
            idle_commands_per_session: 20,
            hurry: Hurry { command_timeout: hour, data_timeout: hour, faults_per_session: 1 },
            command_timeout: hour,
            data_timeout: hour,
            transaction_timeout: hour,
            session_timeout: hour,
            tls_available: self.moment != 15,
            mechanisms: vec![
                Mechanism::External,
                Mechanism::ScramSha256Plus,
                Mechanism::ScramSha256,
                Mechanism::Plain,
                Mechanism::Login,
            ],
        }
    }
}

enum Reading {
    Lines,
    Data { decoder: DataDecoder, limit: u64, bytes: u64 },
    Chunk { reader: ChunkReader, size: u64, keep: bool, last: bool },
    Nothing,
}

/// A message that was committed.
#[derive(Debug, PartialEq, Eq)]
struct Taken {
    envelope: String,
    body: Vec<u8>,
}

struct Open {
    envelope: String,
    body: Vec<u8>,
    clean: Cleanliness,
}

struct Pump {
    world: World,
    session: Session,
    now: Instant,
    /// Everything that was said, as it goes over the wire.
    said: Vec<u8>,
    last: Option<Reply>,
    taken: Vec<Taken>,
    buffer: Vec<u8>,
    /// Octets that are still to come.
    to_come: usize,
    framer: LineFramer,
    reading: Reading,
    open: Option<Open>,
    /// MAIL was accepted, and the host holds what it set aside for the message until it is committed or discarded.
    holds: bool,
    lines: u8,
    challenges: u8,
    tls: bool,
}

fn secured(moment: u8) -> TlsFacts {
    let certificate =
        ClientCertificate { fingerprint: [moment; 32], addresses: Vec::new(), until: UnixMillis(u64::from(moment)), epoch: 0 };
    TlsFacts {
        version: "TLSv1.3",
        cipher: "TLS13_AES_256_GCM_SHA384".into(),
        exporter: Some(Box::new([7; 32])),
        certificate: moment.is_multiple_of(2).then(|| Box::new(certificate)),
    }
}

impl Pump {
    fn open(world: World, now: Instant, to_come: usize) -> Self {
        let client = ClientFacts { address: [192, 0, 2, 7].into(), port: 40_000, listener: world.listener };
        let mut pump = Self {
            world,
            session: Session::new(Arc::new(world.settings()), client),
            now,
            said: Vec::new(),
            last: None,
            taken: Vec::new(),
            buffer: Vec::new(),
            to_come,
            framer: LineFramer::default(),
            reading: Reading::Lines,
            open: None,
            holds: false,
            lines: 0,
            challenges: 0,
            tls: false,
        };
        if world.listener == ListenerKind::Submissions {
            pump.tls = true;
            pump.feed(Input::Secured(secured(pump.world.moment)));
        }
        pump.feed(Input::Opened);
        pump
    }

    fn is_closed(&self) -> bool {
        matches!(self.reading, Reading::Nothing)
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.to_come -= bytes.len();
        self.buffer.extend_from_slice(bytes);
        while !self.is_closed() && self.frame() {}
    }

    fn feed(&mut self, input: Input<'_>) {
        let mut next = self.step(input);
        while let Some(input) = next {
            next = self.step(input);
        }
    }

    fn step(&mut self, input: Input<'_>) -> Option<Input<'static>> {
        assert!(!self.is_closed(), "nothing is fed after Close");
        let mut actions = Vec::new();
        self.session.on(self.now, input, &mut actions);
        let mut next = None;
        for action in actions {
            assert!(!self.is_closed(), "nothing is done after Close: {action:?}");
            assert!(next.is_none(), "only the last action waits for an input: {action:?}");
            next = self.carry_out(action);
        }
        assert_eq!(self.session.is_closed(), self.is_closed());
        let _ = self.session.patience(self.now);
        next
    }

    fn carry_out(&mut self, action: Action) -> Option<Input<'static>> {
        match action {
            Action::Reply(reply) => self.say(reply),
            Action::Ask(question) => {
                let is_sender = matches!(question, Question::Sender { .. });
                assert!(!is_sender || !self.holds, "one transaction at a time");
                let answer = self.answer(question);
                self.holds |= is_sender && matches!(answer, Answer::Pass);
                return Some(Input::Answer(answer));
            }
            Action::StartTls(ready) => {
                self.say(ready);
                assert!(!self.tls, "TLS begins once");
                assert!(self.world.patient || self.buffer.is_empty() && self.to_come == 0, "nothing is behind STARTTLS");
                self.tls = true;
                return Some(Input::Secured(secured(self.world.moment)));
            }
            Action::OpenMessage(envelope, trace) => {
                assert!(self.open.is_none(), "one message at a time");
                assert!(!envelope.recipients.is_empty(), "a message has a recipient");
                assert!(envelope.recipients.len() <= 4);
                assert_eq!(trace.tls.is_some(), self.tls);
                assert_eq!(trace.who.as_ref().map(Authenticated::account), envelope.account.as_ref());
                let envelope = format!("{envelope:?}");
                self.open = Some(Open { envelope, body: Vec::new(), clean: Cleanliness::new() });
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
            // Also comes at the end of a transaction that has not opened its message yet.
            Action::Discard => (self.open, self.holds) = (None, false),
            Action::Close => {
                assert!(self.open.is_none() && !self.holds, "a transaction is discarded before the session closes");
                self.reading = Reading::Nothing;
            }
        }
        None
    }

    fn say(&mut self, reply: Reply) {
        let from = self.said.len();
        write_reply(&reply, &mut self.said);
        let wire = &self.said[from..];
        let read = ReplyReader::default().read(wire).expect("what we say is a reply");
        let (consumed, heard) = (read.0, read.1.expect("a whole one"));
        assert_eq!((consumed, heard.code), (wire.len(), reply.code), "and one only");
        self.last = Some(reply);
    }

    fn commit(&mut self) -> Result<Committed, Outage> {
        self.holds = false;
        let Open { envelope, body, .. } = self.open.take().expect("only an open message is committed");
        assert!(body.len() as u64 <= self.world.message_size, "a message within the limit");
        let mut clean = Cleanliness::new();
        assert!(clean.scan(&body).is_ok() && clean.finish().is_ok(), "what is taken is clean");
        if self.world.commit_fails {
            return Err(Outage::DiskFull);
        }
        self.taken.push(Taken { envelope, body });
        Ok(Committed::mint_after_sync(MessageId(self.taken.len() as u64)))
    }

    fn answer(&mut self, question: Question) -> Answer {
        match question {
            Question::AuthAbort if self.challenges % 2 == 0 => Answer::Denied(None),
            Question::Connect | Question::AuthAbort => Answer::Pass,
            Question::Hello(name) if name.as_str().starts_with('h') => Answer::Hangup(Reply::no_service("here.example")),
            Question::Hello(name) if name.as_str().starts_with('r') => Answer::Refuse(Reply::relay_denied()),
            Question::Hello(_) => Answer::Pass,
            Question::Sender { from, .. } => match from.to_string().as_bytes().get(1) {
                Some(b'r') => Answer::Refuse(Reply::outage(&Outage::DiskFull)),
                Some(b'h') => Answer::Hangup(Reply::too_many_connections("here.example", [192, 0, 2, 7].into())),
                _ => Answer::Pass,
            },
            Question::Recipient { to, .. } => match to.to_string().as_bytes().first() {
                Some(b'n') => Answer::Refuse(Reply::no_such_recipient(&to.to_string())),
                Some(b'r') => Answer::Refuse(Reply::relay_denied()),
                Some(b'o') => Answer::Admitted(Admission::Relay(RelayPermit::mint_by_rule())),
                _ => Answer::Admitted(Admission::Hosted(Hosted::mint_by_rule())),
            },
            Question::Message if self.world.refuses_messages => Answer::Refuse(Reply::bad_header("refused")),
            Question::Message => Answer::Pass,
            Question::AuthStart { mechanism, initial, exporter, certificate } => {
                assert_eq!(certificate.is_some(), mechanism == Mechanism::External, "it is shown to whom it concerns");
                assert!(self.tls && self.world.listener.is_submission(), "AUTH is for submission under TLS");
                assert_eq!(exporter.as_deref(), Some(&[7; 32]));
                self.challenges = 0;
                self.credentials(initial.as_ref())
            }
            Question::AuthNext(response) => self.credentials(Some(&response)),
        }
    }

    fn credentials(&mut self, response: Option<&Secret>) -> Answer {
        self.challenges += 1;
        match response.and_then(|response| response.expose().first().copied()) {
            Some(b'o') => Answer::Authenticated {
                who: Authenticated::mint_after_verification("ann@here.example".into(), "password".into()),
            },
            Some(b'n') => Answer::Denied(None),
            _ if self.challenges > 2 => Answer::Denied(None),
            _ => Answer::Challenge(b"more".to_vec()),
        }
    }

    /// Takes one input off the buffer; false when there is none.
    fn frame(&mut self) -> bool {
        match &mut self.reading {
            Reading::Nothing => false,
            Reading::Lines => self.frame_line(),
            Reading::Data { decoder, limit, bytes } => {
                let open = self.open.as_mut().expect("a body has a message");
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
                let taken = match self.open.as_mut().filter(|_| *keep) {
                    Some(open) => {
                        let piece = reader.take(&self.buffer, &mut open.clean);
                        piece.inspect(|piece| open.body.extend_from_slice(piece)).map(<[u8]>::len)
                    }
                    None => Ok(reader.skip(&self.buffer).len()),
                };
                let done = reader.is_done();
                let end = match taken {
                    Err(fault) => BodyEnd::Broken(fault),
                    Ok(consumed) => {
                        self.buffer.drain(..consumed);
                        match &self.open {
                            _ if !done => return false,
                            Some(open) if last && open.clean.finish().is_err() => BodyEnd::Broken(Fault::BareCr),
                            _ => BodyEnd::Whole { bytes: size },
                        }
                    }
                };
                self.body_ended(end)
            }
        }
    }

    fn body_ended(&mut self, end: BodyEnd) -> bool {
        self.reading = Reading::Lines;
        self.feed(Input::BodyEnded(end));
        true
    }

    fn frame_line(&mut self) -> bool {
        let framing = self.framer.frame(&self.buffer, self.session.line_bytes_max());
        if let Framing::Line { .. } | Framing::TooLong { .. } = framing {
            self.lines = self.lines.saturating_add(1);
            if self.lines == self.world.moment {
                self.feed(if self.world.times_out { Input::TimedOut } else { Input::Stopping });
                if self.is_closed() {
                    return false;
                }
            }
        }
        match framing {
            Framing::More => return false,
            Framing::Line { len, consumed } => {
                let line: Vec<u8> = self.buffer.drain(..consumed).take(len).collect();
                let more = !self.world.patient && self.to_come + self.buffer.len() > 0;
                self.feed(Input::Line { text: &line, more });
            }
            Framing::Skip { consumed } => drop(self.buffer.drain(..consumed)),
            Framing::TooLong { consumed } => {
                self.buffer.drain(..consumed);
                self.feed(Input::Broken(Fault::LineTooLong));
            }
            Framing::Broken(fault) => self.feed(Input::Broken(fault)),
        }
        true
    }
}

/// What came of a session.
#[derive(Debug, PartialEq, Eq)]
struct Heard {
    said: String,
    taken: Vec<Taken>,
    closed: bool,
}

fn converse(world: World, now: Instant, pieces: &[&[u8]]) -> Heard {
    let mut pump = Pump::open(world, now, pieces.iter().map(|piece| piece.len()).sum());
    for piece in pieces {
        if pump.is_closed() {
            break;
        }
        pump.receive(piece);
    }
    let closed = pump.is_closed();
    assert!(closed || pump.last.is_none_or(|reply| reply.code.0 != 421), "421 closes");
    Heard { said: String::from_utf8(pump.said).expect("our replies are text"), taken: pump.taken, closed }
}

/// The property.
pub fn check(data: &[u8]) {
    let [first, second, rest @ ..] = data else { return };
    #[allow(clippy::disallowed_methods, reason = "a session needs one moment to be at")]
    let now = Instant::now();
    let world = World::of(*first, *second);
    let (pieces, whole) = crate::split(rest);
    let heard = converse(world, now, &[whole]);
    assert_eq!(converse(world, now, &pieces), heard, "a split never matters");
    let said_queued = heard.said.matches("250 2.0.0 queued").count();
    assert!(said_queued <= heard.taken.len(), "no 250 without the spool's proof");
}
