//! A listener on loopback with real sessions behind it and a host that only writes down what it is told.
//!
//! Promise: nothing here decides, so what a test sees is the doing of the listener; every wait has a bound.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code, shared by several test programs: a panic is a failed test"
)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use postern_listener::pump::Ended;
use postern_listener::{
    Ceiling, CeilingSettings, CertificateSlot, Conversations, Door, Host, Listener, OldestVersion, PumpSettings, bind,
    server_config,
};
use postern_mail::client::ListenerKind;
use postern_mail::envelope::{Admission, MessageId};
use postern_mail::fact::{Answer, ClientFacts, Mechanism, Question, TlsFacts};
use postern_mail::proof::{Committed, Hosted};
use postern_mail::{Domain, Envelope, Outage, Reply};
use postern_session::{Hurry, Session, SessionSettings};
use postern_smtp::machine::TraceFacts;
use postern_testkit::certificate;
use postern_testkit::wait::LONG;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConnection, StreamOwned};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

/// Longer than any test takes: what has this limit is not what ends a connection here.
const NEVER: Duration = Duration::from_secs(600);

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Committed {
        to: usize,
        body: Vec<u8>,
    },
    Discarded {
        body: usize,
    },
    /// It is all there, and is looked at.
    Judged,
    /// It was dropped with its host, and nobody said so: never right.
    Forgotten,
    TurnedAway(&'static str, SocketAddr),
    Ended(Ended, SocketAddr),
}

/// How the server of a test is.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) kind: ListenerKind,
    pub(crate) session: SessionSettings,
    pub(crate) pump: PumpSettings,
    pub(crate) ceiling: CeilingSettings,
    pub(crate) proxies: Vec<ipnet::IpNet>,
    pub(crate) door: Door,
    pub(crate) greeting_delay: Duration,
    pub(crate) tls: bool,
    /// What the kernel holds for a client that does not read, in octets.
    pub(crate) send_buffer: Option<usize>,
    /// How long the host takes for each piece of a body.
    pub(crate) slow_disk: Duration,
    /// What ends the next session from outside.
    pub(crate) cut_off: Arc<Mutex<Option<oneshot::Receiver<Reply>>>>,
    /// Messages are judged when the test lets one more be.
    pub(crate) judgements: Option<Arc<Semaphore>>,
}

impl Setting {
    pub(crate) fn new() -> Self {
        Self {
            kind: ListenerKind::Mx,
            session: SessionSettings {
                hostname: Domain::parse("here.example").unwrap(),
                message_size: 1_000_000,
                recipients_per_message: 100,
                recipients_per_submission: 100,
                messages_per_connection: 100,
                faults_per_session: 10,
                recipients_unknown_per_session: 10,
                idle_commands_per_session: u32::MAX,
                hurry: Hurry { command_timeout: NEVER, data_timeout: NEVER, faults_per_session: 1 },
                command_timeout: NEVER,
                data_timeout: NEVER,
                transaction_timeout: NEVER,
                session_timeout: NEVER,
                tls_available: true,
                mechanisms: vec![Mechanism::Plain],
            },
            pump: PumpSettings {
                hostname: "here.example".into(),
                handshake_timeout: NEVER,
                write_timeout: NEVER,
                hurried_timeout: NEVER,
                data_rate_min: 0,
                data_rate_grace: NEVER,
                data_rate_max: 0,
                bytes_max: u64::MAX,
                judged_long: NEVER,
            },
            ceiling: CeilingSettings {
                connections: 100,
                reserved: 0,
                connections_per_listener: 100,
                connections_per_host: 100,
                connections_per_network: 100,
                connections_per_minute_per_host: 10_000,
                connections_per_minute_per_network: 10_000,
                handshakes_per_minute_per_host: 10_000,
                known_networks: Vec::new(),
                known_for: NEVER,
                stress_at: 1.0,
                stress_until: 1.0,
                counter_bytes: 4096,
            },
            proxies: Vec::new(),
            door: Door::Open,
            greeting_delay: Duration::ZERO,
            tls: true,
            send_buffer: None,
            slow_disk: Duration::ZERO,
            cut_off: Arc::default(),
            judgements: None,
        }
    }

    pub(crate) fn serve(self) -> Server {
        Server::start(self)
    }
}

/// What the hosts share.
struct World {
    setting: Setting,
    tls: Option<Arc<rustls::ServerConfig>>,
    events: SyncSender<Event>,
    /// TLS as the session was told of it with its last message or AUTH.
    tls_seen: Mutex<Option<TlsFacts>>,
    exporter_seen: Mutex<Option<[u8; 32]>>,
    committed: AtomicUsize,
    senders: AtomicUsize,
}

impl World {
    fn note(&self, event: Event) {
        self.events.try_send(event).expect("a test looks at its events");
    }
}

struct Open {
    to: usize,
    body: Vec<u8>,
}

pub(crate) struct Recorder {
    world: Arc<World>,
    open: Option<Open>,
}

impl Host for Recorder {
    async fn ask(&mut self, question: Question) -> Answer {
        match question {
            Question::Recipient { .. } => Answer::Admitted(Admission::Hosted(Hosted::mint_by_rule())),
            Question::Message => {
                if let Some(judgements) = &self.world.setting.judgements {
                    self.world.note(Event::Judged);
                    judgements.acquire().await.unwrap().forget();
                }
                Answer::Pass
            }
            Question::AuthStart { exporter, .. } => {
                *self.world.exporter_seen.lock().unwrap() = exporter.as_deref().copied();
                Answer::Denied(None)
            }
            Question::Sender { .. } => {
                self.world.senders.fetch_add(1, Ordering::Relaxed);
                Answer::Pass
            }
            _ => Answer::Pass,
        }
    }

    fn open(&mut self, envelope: Box<Envelope>, trace: Box<TraceFacts>) {
        assert!(self.open.is_none(), "one message at a time");
        *self.world.tls_seen.lock().unwrap() = trace.tls;
        self.open = Some(Open { to: envelope.recipients.len(), body: Vec::new() });
    }

    async fn body(&mut self, piece: &[u8]) {
        if !self.world.setting.slow_disk.is_zero() {
            tokio::time::sleep(self.world.setting.slow_disk).await; // tidy: this is the slow disk the test is about
        }
        self.open.as_mut().expect("a piece belongs to a message").body.extend_from_slice(piece);
    }

    async fn commit(&mut self) -> Result<Committed, Outage> {
        let Open { to, body } = self.open.take().expect("only an open message is committed");
        self.world.note(Event::Committed { to, body });
        let id = self.world.committed.fetch_add(1, Ordering::Relaxed);
        Ok(Committed::mint_after_sync(MessageId(id as u64)))
    }

    fn cut_off(&mut self) -> Option<oneshot::Receiver<Reply>> {
        self.world.setting.cut_off.lock().unwrap().take()
    }

    fn discard(&mut self) {
        if let Some(open) = self.open.take() {
            self.world.note(Event::Discarded { body: open.body.len() });
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if self.open.is_some() {
            self.world.note(Event::Forgotten);
        }
    }
}

struct Gate(Arc<World>);

fn address(client: &ClientFacts) -> SocketAddr {
    SocketAddr::new(client.address, client.port)
}

impl Conversations for Gate {
    type Machine = Session;
    type Host = Recorder;

    fn door(&self, _: &ClientFacts) -> Door {
        self.0.setting.door.clone()
    }

    fn begin(&self, client: &ClientFacts) -> (Session, Recorder) {
        let session = Session::new(Arc::new(self.0.setting.session.clone()), client.clone());
        (session, Recorder { world: Arc::clone(&self.0), open: None })
    }

    fn pump_settings(&self) -> Arc<PumpSettings> {
        Arc::new(self.0.setting.pump.clone())
    }

    fn tls(&self, _: ListenerKind) -> Option<Arc<rustls::ServerConfig>> {
        self.0.tls.clone()
    }

    fn hostname(&self) -> Arc<str> {
        "here.example".into()
    }

    fn greeting_delay(&self) -> Duration {
        self.0.setting.greeting_delay
    }

    fn turned_away(&self, client: &ClientFacts, why: &'static str) {
        self.0.note(Event::TurnedAway(why, address(client)));
    }

    fn ended(&self, client: &ClientFacts, how: Ended) {
        self.0.note(Event::Ended(how, address(client)));
    }
}

/// A server that runs until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) ceiling: Arc<Ceiling>,
    world: Arc<World>,
    events: Receiver<Event>,
    stop: watch::Sender<bool>,
    alive: mpsc::Receiver<()>,
    runtime: Runtime,
}

fn certificate() -> Arc<CertifiedKey> {
    let (chain, key) = certificate::self_signed("here.example");
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    Arc::new(CertifiedKey::from_der(chain, key, &rustls::crypto::aws_lc_rs::default_provider()).unwrap())
}

impl Server {
    fn start(setting: Setting) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let socket = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        if let Some(octets) = setting.send_buffer {
            socket2::SockRef::from(&socket).set_send_buffer_size(octets).unwrap();
        }
        let bound = socket.local_addr().unwrap();
        let tls =
            setting.tls.then(|| server_config(Arc::new(CertificateSlot::new(certificate())), OldestVersion::Tls12).unwrap());
        let (events_in, events) = sync_channel(100_000);
        let ceiling = Ceiling::new(setting.ceiling.clone());
        let listener = Listener { socket, kind: setting.kind, number: 0, proxies: setting.proxies.clone().into() };
        let world = Arc::new(World {
            setting,
            tls,
            events: events_in,
            tls_seen: Mutex::default(),
            exporter_seen: Mutex::default(),
            committed: AtomicUsize::new(0),
            senders: AtomicUsize::new(0),
        });
        let (stop, stopping) = watch::channel(false);
        let (alive_in, alive) = mpsc::channel(1);
        let gate = Arc::new(Gate(Arc::clone(&world)));
        runtime.spawn(listener.serve(gate, Arc::clone(&ceiling), (stopping, alive_in)));
        Self { address: bound, ceiling, world, events, stop, alive, runtime }
    }

    /// The next thing that happened.
    #[track_caller]
    pub(crate) fn event(&self) -> Event {
        self.events.recv_timeout(LONG).expect("something happens in time")
    }

    /// How the next connection to end did, whatever happened before.
    #[track_caller]
    pub(crate) fn ended(&self) -> Ended {
        loop {
            if let Event::Ended(how, _) = self.event() {
                return how;
            }
        }
    }

    /// Everything that has happened and was not looked at.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.try_iter().collect()
    }

    pub(crate) fn tls_seen(&self) -> Option<TlsFacts> {
        self.world.tls_seen.lock().unwrap().clone()
    }

    pub(crate) fn exporter_seen(&self) -> Option<[u8; 32]> {
        *self.world.exporter_seen.lock().unwrap()
    }

    /// How many MAIL commands were looked at.
    pub(crate) fn senders_asked(&self) -> usize {
        self.world.senders.load(Ordering::Relaxed)
    }

    /// Tells the server to stop.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until the listener and all its connections have ended.
    #[track_caller]
    pub(crate) fn wait_until_all_ended(&mut self) {
        let alive = &mut self.alive;
        let last = self.runtime.block_on(async { tokio::time::timeout(LONG, alive.recv()).await });
        assert_eq!(last, Ok(None), "every connection ends");
    }

    /// Drops what could tell the server to stop, and gives what a client hears of that.
    pub(crate) fn forget_stop(self, mut client: Raw) -> Vec<String> {
        let Self { stop, mut alive, runtime, .. } = self;
        drop(stop);
        let heard = codes(&client.lines_to_the_end()).into_iter().map(str::to_owned).collect();
        drop(client);
        assert_eq!(runtime.block_on(async { tokio::time::timeout(LONG, alive.recv()).await }), Ok(None));
        heard
    }

    /// Connects without saying anything.
    pub(crate) fn connect(&self) -> Raw {
        Raw::connect(self.address)
    }

    /// A client that has been greeted and has said EHLO.
    pub(crate) fn client(&self) -> Raw {
        let mut client = self.connect();
        client.expect("220 ");
        client.send("EHLO client.example\r\n");
        client.expect_last("250 ");
        client
    }
}

/// A socket and what was read from it.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

impl Raw {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect_timeout(&address, LONG).unwrap())
    }

    /// With a socket of the test's own.
    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_write_timeout(Some(LONG)).unwrap();
        Self { stream, read: Vec::new() }
    }

    /// The same connection, for another thread to write to.
    pub(crate) fn second(&self) -> Self {
        Self { stream: self.stream.try_clone().unwrap(), read: Vec::new() }
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// A line without its CRLF, or `None` at the end.
    #[track_caller]
    pub(crate) fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.read.windows(2).position(|two| two == b"\r\n") {
                let line = self.read.drain(..end + 2).take(end).collect();
                return Some(String::from_utf8(line).unwrap());
            }
            if self.read_some() == 0 {
                assert!(self.read.is_empty(), "half a line: {:?}", self.read);
                return None;
            }
        }
    }

    /// Reads once.
    #[track_caller]
    pub(crate) fn read_some(&mut self) -> usize {
        let mut buffer = [0; 64 * 1024];
        let count = self.stream.read(&mut buffer).unwrap();
        self.read.extend_from_slice(&buffer[..count]);
        count
    }

    /// The next line begins like this.
    #[track_caller]
    pub(crate) fn expect(&mut self, beginning: &str) -> String {
        let line = self.line();
        assert!(line.as_ref().is_some_and(|line| line.starts_with(beginning)), "{beginning:?} expected, not {line:?}");
        line.unwrap()
    }

    /// The last line of the next reply begins like this.
    #[track_caller]
    pub(crate) fn expect_last(&mut self, beginning: &str) {
        loop {
            let line = self.line().expect("a reply");
            if line.as_bytes()[3] != b'-' {
                assert!(line.starts_with(beginning), "{beginning:?} expected, not {line:?}");
                return;
            }
        }
    }

    /// All lines until the server closes.
    #[track_caller]
    pub(crate) fn lines_to_the_end(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.line()).collect()
    }

    /// From MAIL to the 354.
    #[track_caller]
    pub(crate) fn begin_data(&mut self) {
        self.send("MAIL FROM:<x@there.example>\r\nRCPT TO:<a@here.example>\r\nDATA\r\n");
        self.expect("250 2.1.0");
        self.expect("250 2.1.5");
        self.expect("354 ");
    }
}

/// Shakes hands on a socket that has read everything before. `first` goes out in front of it, in one write with its first octets.
pub(crate) fn secure_behind(client: Raw, first: &[u8]) -> StreamOwned<ClientConnection, TcpStream> {
    let name = ServerName::try_from("here.example").unwrap();
    let mut connection = ClientConnection::new(certificate::trusting_client(), name).unwrap();
    let mut stream = client.stream;
    let mut hello = first.to_vec();
    connection.write_tls(&mut hello).unwrap();
    stream.write_all(&hello).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).unwrap();
    }
    StreamOwned::new(connection, stream)
}

/// A beginning of what a test expects as the whole of a connection's replies: the codes.
pub(crate) fn codes(lines: &[String]) -> Vec<&str> {
    lines.iter().filter(|line| line.as_bytes()[3] != b'-').map(|line| &line[..3]).collect()
}

/// What our own reply looks like on the wire.
pub(crate) fn wire(reply: &Reply) -> Vec<u8> {
    let mut out = Vec::new();
    postern_smtp::reply_lines::write_reply(reply, &mut out);
    out
}
