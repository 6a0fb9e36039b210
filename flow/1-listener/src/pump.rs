//! Moves bytes between a socket and a [`Machine`], and keeps its deadlines.
//!
//! Promises: the machine sees whole lines and clean bodies, whatever the segments were; replies are gathered and flushed before the pump waits; a
//! deadline counts for the whole line, not for its next octet; in a body, a client that falls behind the smallest data rate is gone.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use postern_mail::envelope::Envelope;
use postern_mail::fact::{Answer, Question};
use postern_mail::proof::Committed;
use postern_mail::trouble::Outage;
use postern_smtp::body::{Cleanliness, DataDecoder, DataProgress};
use postern_smtp::chunk::ChunkReader;
use postern_smtp::line::{Framing, LineFramer};
use postern_smtp::machine::{Action, BodyEnd, Input, Machine, TraceFacts};
use postern_smtp::reply_lines::write_reply;
use rustls::ServerConfig;
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use crate::stream::Stream;
use crate::tls;

/// Answers questions and takes bodies: the rest of the path, as the pump sees it.
pub trait Host: Send {
    /// Finds something out.
    fn ask(&mut self, question: Question) -> impl Future<Output = Answer> + Send;
    /// A message begins. What goes wrong is remembered and comes out of [`Host::commit`].
    fn open(&mut self, envelope: Box<Envelope>, trace: Box<TraceFacts>);
    /// A piece of its body. What goes wrong is remembered and comes out of [`Host::commit`].
    fn body(&mut self, piece: &[u8]) -> impl Future<Output = ()> + Send;
    /// Makes it durable.
    fn commit(&mut self) -> impl Future<Output = Result<Committed, Outage>> + Send;
    /// Forgets it.
    fn discard(&mut self);
}

/// Time and size limits of the pump itself; those of the conversation belong to the machine.
#[derive(Clone, Debug)]
pub struct PumpSettings {
    /// From the first to the last octet of a TLS handshake.
    pub handshake_timeout: Duration,
    /// For the client to take what we write.
    pub write_timeout: Duration,
    /// In a body, octets a second at least, counted from its start.
    pub data_rate_min: u64,
    /// The rate is not asked for this long, so that a slow start is no fault.
    pub data_rate_grace: Duration,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The machine closed it.
    Closed,
    /// The client went away.
    Gone,
    /// A time limit ran out in which the machine had no word: TLS or writing.
    TimedOut,
    /// The TLS handshake failed.
    HandshakeFailed,
}

#[expect(clippy::disallowed_methods, reason = "the pump is the hand that reads the clock for its machine")]
fn now() -> Instant {
    Instant::now()
}

/// What the octets that come next are.
enum Expect {
    Line,
    Data { decoder: DataDecoder, limit: u64, bytes: u64, started: Instant },
    Chunk { reader: ChunkReader, size: u64, keep: bool, last: bool, started: Instant },
}

enum Filled {
    Bytes,
    Gone,
    TimedOut,
    Stopping,
}

/// One connection.
pub(crate) struct Pump<M, H> {
    stream: Stream,
    machine: M,
    host: H,
    settings: Arc<PumpSettings>,
    tls: Option<Arc<ServerConfig>>,
    stop: watch::Receiver<bool>,
    said_stopping: bool,
    input: Vec<u8>,
    used: usize,
    output: Vec<u8>,
    framer: LineFramer,
    clean: Cleanliness,
    actions: Vec<Action>,
}

impl<M: Machine, H: Host> Pump<M, H> {
    pub(crate) fn new(
        (stream, input): (Stream, Vec<u8>),
        (machine, host): (M, H),
        settings: Arc<PumpSettings>,
        tls: Option<Arc<ServerConfig>>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            stream,
            machine,
            host,
            settings,
            tls,
            stop,
            said_stopping: false,
            input,
            used: 0,
            output: Vec::new(),
            framer: LineFramer::default(),
            clean: Cleanliness::new(),
            actions: Vec::new(),
        }
    }

    /// Runs the conversation to its end. With `implicit_tls` the handshake comes before the greeting.
    pub(crate) async fn run(mut self, implicit_tls: bool) -> Ended {
        if implicit_tls && let Err(ended) = self.handshake().await {
            return ended;
        }
        self.feed(Input::Opened);
        let mut expect = Expect::Line;
        loop {
            match self.carry_out(&mut expect).await {
                Ok(()) => {}
                Err(ended) => return ended,
            }
            let outcome = match &mut expect {
                Expect::Line => self.next_line().await,
                Expect::Data { .. } | Expect::Chunk { .. } => {
                    let body = std::mem::replace(&mut expect, Expect::Line);
                    // Boxed: a connection that only waits for a command does not carry the state of one that receives a body.
                    Box::pin(self.next_body(body)).await
                }
            };
            if let Err(ended) = outcome {
                return ended;
            }
        }
    }

    fn feed(&mut self, input: Input<'_>) {
        self.machine.on(now(), input, &mut self.actions);
    }

    /// Carries out what the machine wants, until it wants input.
    async fn carry_out(&mut self, expect: &mut Expect) -> Result<(), Ended> {
        while !self.actions.is_empty() {
            for action in std::mem::take(&mut self.actions) {
                match action {
                    Action::Reply(reply) => write_reply(&reply, &mut self.output),
                    Action::Ask(question) => {
                        let answer = self.host.ask(question).await;
                        self.feed(Input::Answer(answer));
                    }
                    Action::StartTls => {
                        self.flush().await?;
                        // RFC 3207 §4.2: nothing that came in clear is read after the handshake.
                        self.forget_input();
                        self.handshake().await?;
                    }
                    Action::OpenMessage(envelope, trace) => {
                        self.clean = Cleanliness::new();
                        self.host.open(envelope, trace);
                    }
                    Action::ReadData { limit } => {
                        *expect = Expect::Data { decoder: DataDecoder::new(), limit, bytes: 0, started: now() };
                    }
                    Action::ReadChunk { size, keep, last } => {
                        *expect = Expect::Chunk { reader: ChunkReader::new(size), size, keep, last, started: now() };
                    }
                    Action::Commit => {
                        let result = self.host.commit().await;
                        self.feed(Input::Committed(result));
                    }
                    Action::Discard => self.host.discard(),
                    Action::Close => {
                        self.flush().await?;
                        self.part().await;
                        return Err(Ended::Closed);
                    }
                }
            }
        }
        Ok(())
    }

    fn forget_input(&mut self) {
        self.input = Vec::new();
        self.used = 0;
        self.framer = LineFramer::default();
    }

    async fn handshake(&mut self) -> Result<(), Ended> {
        let Some(config) = self.tls.clone() else { return Err(Ended::HandshakeFailed) };
        // The socket moves into the TLS session; a failed handshake leaves nothing to go back to.
        let Stream::Plain(socket) = std::mem::replace(&mut self.stream, Stream::Parked) else {
            return Err(Ended::HandshakeFailed);
        };
        let accept = Box::pin(TlsAcceptor::from(config).accept(socket));
        let session = match timeout(self.settings.handshake_timeout, accept).await {
            Ok(Ok(session)) => session,
            Ok(Err(_)) => return Err(Ended::HandshakeFailed),
            Err(_) => return Err(Ended::TimedOut),
        };
        let facts = tls::facts(&session);
        self.stream = Stream::Tls(Box::new(session));
        self.feed(Input::Secured(facts));
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Ended> {
        if self.output.is_empty() {
            return Ok(());
        }
        let output = std::mem::take(&mut self.output);
        match timeout(self.settings.write_timeout, self.stream.write(&output)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ended::Gone),
            Err(_) => Err(Ended::TimedOut),
        }
    }

    /// Takes leave so that our last reply arrives: closing with unread input would make the kernel reset the connection, and the reply could be
    /// lost with it. Bounded in time and octets.
    async fn part(&mut self) {
        const LINGER: Duration = Duration::from_secs(1);
        const LINGER_BYTES_MAX: usize = 256 * 1024;
        if self.stream.finish().await.is_err() {
            return;
        }
        let drain = async {
            let mut drained = 0;
            while drained < LINGER_BYTES_MAX {
                self.input.clear();
                match self.stream.read(&mut self.input).await {
                    Ok(0) | Err(_) => return,
                    Ok(count) => drained += count,
                }
            }
        };
        let _ = timeout(LINGER, drain).await;
    }

    /// Waits for more octets, after flushing what we have to say.
    async fn fill(&mut self, deadline: Instant) -> Result<Filled, Ended> {
        self.flush().await?;
        if self.used > 0 {
            self.input.drain(..self.used);
            self.used = 0;
        }
        let Self { stream, input, stop, said_stopping, .. } = self;
        tokio::select! {
            biased;
            read = stream.read(input) => Ok(match read {
                Ok(0) | Err(_) => Filled::Gone,
                Ok(_) => Filled::Bytes,
            }),
            _ = stop.wait_for(|stopping| *stopping), if !*said_stopping => {
                *said_stopping = true;
                Ok(Filled::Stopping)
            }
            () = sleep_until(deadline.into()) => Ok(Filled::TimedOut),
        }
    }

    /// Feeds the machine its next line, or what came instead of it.
    async fn next_line(&mut self) -> Result<(), Ended> {
        let mut deadline = None;
        loop {
            let buffered = self.input.get(self.used..).unwrap_or_default();
            match self.framer.frame(buffered, self.machine.line_bytes_max()) {
                Framing::Line { len, consumed } => {
                    let text = buffered.get(..len).unwrap_or_default();
                    let more = buffered.len() > consumed;
                    self.machine.on(now(), Input::Line { text, more }, &mut self.actions);
                    self.used += consumed;
                    return Ok(());
                }
                Framing::TooLong { consumed } => {
                    self.used += consumed;
                    self.feed(Input::Broken(postern_mail::trouble::Fault::LineTooLong));
                    return Ok(());
                }
                Framing::Broken(fault) => {
                    self.feed(Input::Broken(fault));
                    return Ok(());
                }
                Framing::Skip { consumed } => self.used += consumed,
                Framing::More => {
                    let moment = now();
                    let until = *deadline.get_or_insert_with(|| {
                        let patience = self.machine.patience(moment);
                        let line = moment + patience.command;
                        patience.until.map_or(line, |until| until.min(line))
                    });
                    match self.fill(until).await? {
                        Filled::Bytes => {}
                        Filled::Gone => return Err(Ended::Gone),
                        Filled::TimedOut => {
                            self.feed(Input::TimedOut);
                            return Ok(());
                        }
                        Filled::Stopping => {
                            self.feed(Input::Stopping);
                            if !self.actions.is_empty() {
                                return Ok(());
                            }
                        }
                    }
                }
            }
        }
    }

    /// When the next piece of a body must be there: soon, within the transaction, and not behind the smallest rate.
    fn body_deadline(&self, started: Instant, bytes: u64) -> Instant {
        let moment = now();
        let patience = self.machine.patience(moment);
        let piece = moment + patience.command;
        let settings = &self.settings;
        let rate = match bytes.checked_div(settings.data_rate_min) {
            Some(seconds) => started + settings.data_rate_grace + Duration::from_secs(seconds.min(1 << 30)),
            None => piece,
        };
        let nearest = piece.min(rate);
        patience.until.map_or(nearest, |until| until.min(nearest))
    }

    /// Reads a body or a chunk to its end and feeds the machine what came of it.
    async fn next_body(&mut self, mut expect: Expect) -> Result<(), Ended> {
        loop {
            let end = match &mut expect {
                Expect::Line => return Ok(()),
                Expect::Data { decoder, limit, bytes, .. } => self.decode_data(decoder, *limit, bytes).await,
                Expect::Chunk { reader, size, keep, last, .. } => self.decode_chunk(reader, *size, *keep, *last).await,
            };
            if let Some(end) = end {
                self.feed(Input::BodyEnded(end));
                return Ok(());
            }
            let deadline = match &expect {
                Expect::Line => return Ok(()),
                Expect::Data { bytes, started, .. } => self.body_deadline(*started, *bytes),
                Expect::Chunk { reader, size, started, .. } => {
                    self.body_deadline(*started, size.saturating_sub(reader.remaining()))
                }
            };
            match self.fill(deadline).await? {
                Filled::Bytes => {}
                Filled::Gone => {
                    // RFC 5321 §4.1.1.4: a body that never ended was never accepted.
                    self.host.discard();
                    return Err(Ended::Gone);
                }
                Filled::TimedOut => {
                    self.host.discard();
                    self.feed(Input::TimedOut);
                    return Ok(());
                }
                Filled::Stopping => self.feed(Input::Stopping),
            }
        }
    }

    async fn decode_data(&mut self, decoder: &mut DataDecoder, limit: u64, bytes: &mut u64) -> Option<BodyEnd> {
        let buffered = self.input.get(self.used..).unwrap_or_default();
        let mut pieces: Vec<&[u8]> = Vec::new();
        let (consumed, progress) = decoder.decode(buffered, &mut |piece| pieces.push(piece));
        self.used += consumed;
        for piece in pieces {
            let was_within = *bytes <= limit;
            *bytes = bytes.saturating_add(piece.len() as u64);
            if *bytes <= limit {
                self.host.body(piece).await;
            } else if was_within {
                self.host.discard();
            }
        }
        match progress {
            DataProgress::More => None,
            DataProgress::Broken(fault) => Some(BodyEnd::Broken(fault)),
            DataProgress::End if *bytes > limit => Some(BodyEnd::TooBig),
            DataProgress::End => Some(BodyEnd::Whole { bytes: *bytes }),
        }
    }

    async fn decode_chunk(&mut self, reader: &mut ChunkReader, size: u64, keep: bool, last: bool) -> Option<BodyEnd> {
        let buffered = self.input.get(self.used..).unwrap_or_default();
        if keep {
            match reader.take(buffered, &mut self.clean) {
                Ok(piece) => {
                    self.used += piece.len();
                    self.host.body(piece).await;
                }
                Err(fault) => return Some(BodyEnd::Broken(fault)),
            }
        } else {
            // What is thrown away need not be clean.
            self.used += reader.skip(buffered).len();
        }
        if !reader.is_done() {
            return None;
        }
        match self.clean.finish() {
            Err(fault) if keep && last => Some(BodyEnd::Broken(fault)),
            _ => Some(BodyEnd::Whole { bytes: size }),
        }
    }
}
