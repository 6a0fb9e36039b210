//! Moves bytes between a socket and a [`Machine`], and keeps its deadlines.
//!
//! Promises: the machine sees whole lines and clean bodies, whatever the segments were; replies are gathered, within a bound, and flushed before
//! the pump waits; a deadline counts for the whole line, not for its next octet; in a body, a client that falls behind the smallest data rate is
//! gone, and one that floods waits; no connection takes more octets than it may; however a connection ends, no message stays open with the host.

mod body;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use postern_mail::Reply;
use postern_mail::envelope::Envelope;
use postern_mail::fact::{Answer, Question};
use postern_mail::proof::Committed;
use postern_mail::trouble::{Fault, Outage};
use postern_smtp::body::Cleanliness;
use postern_smtp::line::{Framing, LineFramer};
use postern_smtp::machine::{Action, Conduct, Input, Machine, TraceFacts};
use postern_smtp::reply_lines::write_reply;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep_until, timeout};

use crate::accept::clock;
use crate::ceiling::Place;
use crate::pump::body::{Body, Pace};
use crate::stream::Stream;
use crate::tls;

/// Replies gathered before they are written although more commands wait: what a client that never reads can make us hold, and one reply.
const OUTPUT_BYTES_MAX: usize = 16 * 1024;
/// How long we take leave.
const LINGER: Duration = Duration::from_secs(1);
/// What a client may still send meanwhile, in octets.
const LINGER_BYTES_MAX: usize = 256 * 1024;

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
    /// A refusal is about to be said, whoever made it: with what its client may ask by.
    fn refusing(&mut self, reply: Reply) -> Reply {
        reply
    }
    /// Forgets it. May also come when none is open.
    fn discard(&mut self);
    /// Resolves when this client is not served any more, however far it has come; asked for once. The message is not taken then.
    fn cut_off(&mut self) -> Option<oneshot::Receiver<Reply>> {
        None
    }
    /// After a login: resolves when what it gave has ended, with what the client is then told.
    fn revoked(&mut self) -> Option<Revocation> {
        None
    }
}

/// See [`Host::revoked`]. Boxed: only a few connections have one.
pub type Revocation = Pin<Box<dyn Future<Output = Reply> + Send>>;

async fn revocation(of: &mut Option<Revocation>) -> Box<Reply> {
    match of {
        Some(ends) => Box::new(ends.await),
        None => std::future::pending().await,
    }
}

/// Time and size limits of the pump itself; those of the conversation belong to the machine.
#[derive(Clone, Debug)]
pub struct PumpSettings {
    /// What we call ourselves where the pump has a word of its own.
    pub hostname: Box<str>,
    /// From the first to the last octet of a TLS handshake.
    pub handshake_timeout: Duration,
    /// For the client to take what we write.
    pub write_timeout: Duration,
    /// For each of these, and for a PROXY header, at most, while strangers are to be hurried.
    pub hurried_timeout: Duration,
    /// In a body, octets a second at least, counted from its start.
    pub data_rate_min: u64,
    /// The rate is not asked for this long, so that a slow start is no fault.
    pub data_rate_grace: Duration,
    /// Of a message, octets a second at most, behind its first MiB; 0: as many as come.
    pub data_rate_max: u64,
    /// Octets that one connection may send us, whatever they are.
    pub bytes_max: u64,
    /// A message that was judged for longer is committed only if its client has not reset the connection meanwhile.
    pub judged_long: Duration,
}

impl PumpSettings {
    /// A limit, as it is for who holds such a place at this moment.
    pub(crate) fn limit(&self, place: Option<&Place>, usual: Duration) -> Duration {
        if place.is_some_and(Place::is_hurried) { usual.min(self.hurried_timeout) } else { usual }
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// We closed it: the machine did, or the server stopped during a handshake.
    Closed,
    /// The client went away.
    Gone,
    /// A time limit ran out in which the machine had no word: TLS or writing.
    TimedOut,
    /// The TLS handshake failed.
    HandshakeFailed,
    /// It failed because the client showed a certificate that is not taken, for this reason.
    CertificateRefused(&'static str),
    /// It was cut off, as [`Host::cut_off`] has it.
    CutOff,
    /// There were too many handshakes of its address, and this one was not made.
    HandshakeRefused,
    /// It sent more octets than a connection may.
    TooManyBytes,
}

#[expect(clippy::disallowed_methods, reason = "the pump is the hand that reads the clock for its machine")]
fn now() -> Instant {
    Instant::now()
}

/// What the octets that come next are.
enum Expect {
    Line,
    Body(Body),
}

/// True once the server stops, or has gone.
fn is_stopping(stop: &mut watch::Receiver<bool>) -> bool {
    stop.has_changed().map_or(true, |changed| changed && *stop.borrow_and_update())
}

enum Filled {
    Bytes,
    Gone,
    TimedOut,
    Stopping,
    Revoked(Box<Reply>),
}

/// Resolves when the client is cut off. Whoever could have done so may let go of it, and then never does.
async fn cut(cut_off: &mut Option<oneshot::Receiver<Reply>>) -> Reply {
    if let Some(waiting) = cut_off {
        match waiting.await {
            Ok(reply) => {
                *cut_off = None;
                return reply;
            }
            Err(_) => *cut_off = None,
        }
    }
    std::future::pending().await
}

/// One connection.
pub(crate) struct Pump<M, H> {
    stream: Stream,
    machine: M,
    host: H,
    settings: Arc<PumpSettings>,
    tls: Option<Arc<ServerConfig>>,
    stop: watch::Receiver<bool>,
    cut_off: Option<oneshot::Receiver<Reply>>,
    /// Under the ceiling; it is told of what makes a client known.
    place: Option<Place>,
    hurried: bool,
    said_stopping: bool,
    revoked: Option<Revocation>,
    input: Vec<u8>,
    used: usize,
    /// Octets read so far.
    bytes: u64,
    output: Vec<u8>,
    framer: LineFramer,
    clean: Cleanliness,
    pace: Pace,
    actions: Vec<Action>,
}

impl<M: Machine, H: Host> Pump<M, H> {
    pub(crate) fn new(
        (socket, input): (TcpStream, Vec<u8>),
        (machine, mut host): (M, H),
        settings: Arc<PumpSettings>,
        tls: Option<Arc<ServerConfig>>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let cut_off = host.cut_off();
        Self {
            cut_off,
            stream: Stream::Plain(socket),
            machine,
            host,
            settings,
            tls,
            stop,
            place: None,
            hurried: false,
            said_stopping: false,
            revoked: None,
            input,
            used: 0,
            bytes: 0,
            output: Vec::new(),
            framer: LineFramer::default(),
            clean: Cleanliness::new(),
            pace: Pace::new(now()),
            actions: Vec::new(),
        }
    }

    /// Holds the connection's place until it ends.
    pub(crate) fn takes(&mut self, place: Place) {
        self.place = Some(place);
    }

    /// What the client did wrong, once it has gone.
    pub(crate) fn conduct(&self) -> Conduct {
        self.machine.conduct()
    }

    /// RFC 5321 §4.3.1: the client waits for the greeting. True for one that does not, which is a program that never reads replies. For a clear
    /// connection only: under implicit TLS the client talks first by design.
    pub(crate) async fn hears_early_talk(&mut self, delay: Duration) -> bool {
        let Stream::Plain(socket) = &self.stream else { return false };
        if !self.input.is_empty() {
            return true;
        }
        let mut first = [0; 1];
        tokio::select! {
            peeked = timeout(delay, socket.peek(&mut first)) => matches!(peeked, Ok(Ok(count)) if count > 0),
            // What the greeting turns into then is for the machine to say.
            _ = self.stop.wait_for(|stopping| *stopping) => false,
        }
    }

    /// Says only this.
    pub(crate) async fn refuse(&mut self, reply: Reply) {
        let reply = self.host.refusing(reply);
        write_reply(&reply, &mut self.output);
        if self.flush().await.is_ok() {
            self.part().await;
        }
    }

    /// Runs the conversation to its end. With `implicit_tls` the handshake comes before the greeting.
    pub(crate) async fn run(&mut self, implicit_tls: bool) -> Ended {
        let Err(ended) = self.converse(implicit_tls).await;
        if ended != Ended::Closed {
            // RFC 5321 §4.1.1.4: a body that never ended was never accepted.
            self.host.discard();
        }
        ended
    }

    async fn converse(&mut self, implicit_tls: bool) -> Result<Infallible, Ended> {
        if implicit_tls {
            self.handshake().await?;
        }
        self.feed(Input::Opened);
        loop {
            match self.carry_out().await? {
                Expect::Line => self.next_line().await?,
                // Boxed: a connection that only waits for a command does not carry the state of one that receives a body.
                Expect::Body(body) => Box::pin(self.next_body(body)).await?,
            }
            if self.output.len() >= OUTPUT_BYTES_MAX {
                self.flush().await?;
            }
        }
    }

    fn feed(&mut self, input: Input<'_>) {
        self.machine.on(now(), input, &mut self.actions);
    }

    /// Carries out what the machine wants, until it wants input; gives what that is. What the host does is boxed, so that a connection that
    /// waits for its client has no room set aside for it.
    async fn carry_out(&mut self) -> Result<Expect, Ended> {
        let mut expect = Expect::Line;
        let mut took_long = false;
        while !self.actions.is_empty() {
            for action in std::mem::take(&mut self.actions) {
                match action {
                    Action::Reply(reply) => {
                        let reply = if reply.is_refusal() { self.host.refusing(reply) } else { reply };
                        write_reply(&reply, &mut self.output);
                    }
                    Action::Ask(question) => {
                        let asked = now();
                        let answer = Box::pin(self.host.ask(question)).await;
                        took_long = now().saturating_duration_since(asked) >= self.settings.judged_long;
                        let logged_in = matches!(answer, Answer::Authenticated { .. });
                        if let (Answer::Authenticated { .. }, Some(place)) = (&answer, &mut self.place) {
                            place.logged_in(clock());
                        }
                        self.feed(Input::Answer(answer));
                        if logged_in {
                            // It was let go while it was being asked about; what was said just before that counts no more.
                            self.cut_off = None;
                            self.revoked = self.host.revoked();
                        }
                    }
                    Action::StartTls(ready) => {
                        if self.place.as_ref().is_some_and(|place| place.shakes_hands(clock()).is_err()) {
                            self.refuse(Reply::too_many_handshakes(&self.settings.hostname)).await;
                            return Err(Ended::HandshakeRefused);
                        }
                        write_reply(&ready, &mut self.output);
                        self.flush().await?;
                        // RFC 3207 §4.2: nothing that came in clear is read after the handshake.
                        self.forget_input();
                        self.handshake().await?;
                    }
                    Action::OpenMessage(envelope, trace) => {
                        self.clean = Cleanliness::new();
                        self.pace = Pace::new(now());
                        self.host.open(envelope, trace);
                    }
                    Action::ReadData { limit } => {
                        expect = Expect::Body(Body::data(now(), limit));
                    }
                    Action::ReadChunk { size, keep, last } => {
                        expect = Expect::Body(Body::chunk(now(), size, keep, last));
                    }
                    // It gave up and comes again: whoever took the message now would deliver it twice.
                    Action::Commit if took_long && self.stream.is_reset() => return Err(Ended::Gone),
                    Action::Commit => {
                        // What came about while it was judged is heard here: nothing was read since.
                        if let Some(reply) = self.cut_off.as_mut().and_then(|waiting| waiting.try_recv().ok()) {
                            self.refuse(reply).await;
                            return Err(Ended::CutOff);
                        }
                        let result = Box::pin(self.host.commit()).await;
                        if let (Ok(_), Some(place)) = (&result, &mut self.place) {
                            place.delivered(clock());
                        }
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
        Ok(expect)
    }

    fn limit(&self, usual: Duration) -> Duration {
        self.settings.limit(self.place.as_ref(), usual)
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
        // What was read in clear is the beginning of the handshake or nothing; behind it, it would be taken for what came under its protection.
        let early = std::mem::take(&mut self.input);
        let accept = tls::accept(config, socket, early.get(self.used..).unwrap_or_default());
        self.forget_input();
        let accept = Box::pin(accept.ok_or(Ended::HandshakeFailed)?);
        let limit = self.limit(self.settings.handshake_timeout);
        let session = tokio::select! {
            accepted = timeout(limit, accept) => match accepted {
                Ok(Ok(session)) => session,
                Ok(Err(error)) => {
                    return Err(tls::certificate_fault(&error).map_or(Ended::HandshakeFailed, Ended::CertificateRefused));
                }
                Err(_) => return Err(Ended::TimedOut),
            },
            // Nothing can be said in the middle of a handshake, and nothing of the client's is under way.
            _ = self.stop.wait_for(|stopping| *stopping), if !self.said_stopping => return Err(Ended::Closed),
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
        match timeout(self.limit(self.settings.write_timeout), self.stream.write(&output)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ended::Gone),
            Err(_) => Err(Ended::TimedOut),
        }
    }

    /// Takes leave so that our last reply arrives: closing with unread input would make the kernel reset the connection, and the reply could be
    /// lost with it. Bounded in time and octets.
    async fn part(&mut self) {
        let farewell = async {
            let mut drained = 0;
            if self.stream.finish().await.is_err() {
                return;
            }
            while drained < LINGER_BYTES_MAX {
                self.input.clear();
                match self.stream.read(&mut self.input).await {
                    Ok(0) | Err(_) => return,
                    Ok(count) => drained += count,
                }
            }
        };
        let _ = timeout(LINGER, farewell).await;
    }

    /// Waits for more octets, after flushing what we have to say.
    async fn fill(&mut self, deadline: Instant) -> Result<Filled, Ended> {
        self.flush().await?;
        if self.used > 0 {
            self.input.drain(..self.used);
            self.used = 0;
        }
        if self.bytes > self.settings.bytes_max {
            Box::pin(self.refuse(Reply::too_many_bytes(&self.settings.hostname))).await;
            return Err(Ended::TooManyBytes);
        }
        let Self { stream, input, bytes, stop, said_stopping, cut_off, revoked, .. } = self;
        // Looked at before each read: a client that never falls silent would keep the wait below from ever getting to it.
        if !*said_stopping && is_stopping(stop) {
            *said_stopping = true;
            return Ok(Filled::Stopping);
        }
        let read = tokio::select! {
            biased;
            // First, since a client that never falls silent is not to outrun it.
            reply = cut(cut_off) => Err(reply),
            // As well.
            reply = revocation(revoked), if revoked.is_some() => {
                *revoked = None;
                Ok(Filled::Revoked(reply))
            }
            read = stream.read(input) => Ok(match read {
                Ok(0) | Err(_) => Filled::Gone,
                Ok(count) => {
                    *bytes = bytes.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
                    Filled::Bytes
                }
            }),
            _ = stop.wait_for(|stopping| *stopping), if !*said_stopping => {
                *said_stopping = true;
                Ok(Filled::Stopping)
            }
            () = sleep_until(deadline.into()) => Ok(Filled::TimedOut),
        };
        match read {
            Ok(filled) => Ok(filled),
            Err(reply) => {
                Box::pin(self.refuse(reply)).await;
                Err(Ended::CutOff)
            }
        }
    }

    /// Before the client is waited for: tells the machine when strangers are to be hurried, and when no more.
    fn hurry(&mut self) {
        let hurried = self.place.as_ref().is_some_and(Place::is_hurried);
        if hurried != self.hurried {
            self.hurried = hurried;
            self.feed(Input::Hurry(hurried));
        }
    }

    /// Feeds the machine its next line, or what came instead of it.
    async fn next_line(&mut self) -> Result<(), Ended> {
        let mut deadline = None;
        self.hurry();
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
                    self.feed(Input::Broken(Fault::LineTooLong));
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
                    // Looked at here too: a line without end that comes fast enough never lets the clock have its turn.
                    let filled = if moment >= until { Filled::TimedOut } else { self.fill(until).await? };
                    match filled {
                        Filled::Bytes => {}
                        Filled::Gone => return Err(Ended::Gone),
                        Filled::TimedOut => {
                            self.feed(Input::TimedOut);
                            return Ok(());
                        }
                        ending @ (Filled::Stopping | Filled::Revoked(_)) => {
                            self.feed(match ending {
                                Filled::Revoked(reply) => Input::Revoked(reply),
                                _ => Input::Stopping,
                            });
                            if !self.actions.is_empty() {
                                return Ok(());
                            }
                        }
                    }
                }
            }
        }
    }
}
