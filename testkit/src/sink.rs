//! An SMTP or LMTP server inside the test: keeps what it is sent, and behaves as badly as it is told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustls::{ServerConnection, StreamOwned};

use crate::certificate;
use crate::maildir::Message;
use crate::wait::LONG;

/// A message as the sink got it.
#[derive(Clone, Debug)]
pub struct Received {
    /// The line of EHLO, HELO or LHLO.
    pub hello: String,
    /// What followed `MAIL FROM:`.
    pub from: String,
    /// What followed each accepted `RCPT TO:`.
    pub to: Vec<String>,
    /// Dots removed, line ends as they came.
    pub body: Vec<u8>,
    /// It came under TLS.
    pub tls: bool,
    /// It came in chunks (RFC 3030).
    pub chunked: bool,
    /// On the how many'th connection, from 0.
    pub connection: usize,
}

impl Received {
    /// The message as text.
    #[must_use]
    pub fn message(&self) -> Message {
        Message(String::from_utf8_lossy(&self.body).into_owned())
    }
}

/// What the sink has just heard, for a script to answer.
#[derive(Debug)]
pub struct Heard<'a> {
    /// A command line; empty for a new connection, `.` for the end of a message.
    pub line: &'a str,
    /// On the how many'th connection, from 0.
    pub connection: usize,
    /// How many messages have been kept so far.
    pub kept: usize,
}

/// What a script answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Say {
    /// What a well-behaved server says.
    Usual,
    /// This, without CRLF; a refusal of a message or recipient when it begins with 4 or 5.
    This(String),
    /// Nothing: it closes the connection.
    Close,
    /// Nothing, for as long as the client waits.
    Stall,
    /// The message is kept, but instead of a reply the connection is closed.
    KeepAndClose,
}

impl Say {
    /// A reply.
    #[must_use]
    pub fn this(reply: &str) -> Self {
        Self::This(reply.to_owned())
    }
}

type Script = Box<dyn Fn(&Heard<'_>) -> Say + Send + Sync>;

/// What a sink is like before it starts.
pub struct Behaviour {
    extensions: Vec<String>,
    lmtp: bool,
    tls: bool,
    named: String,
    config: Option<Arc<rustls::ServerConfig>>,
    script: Script,
}

impl Default for Behaviour {
    fn default() -> Self {
        let extensions = ["PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SIZE", "DSN", "CHUNKING", "SMTPUTF8"];
        Self {
            extensions: extensions.map(str::to_owned).to_vec(),
            lmtp: false,
            tls: false,
            named: "sink.example".to_owned(),
            config: None,
            script: Box::new(|_| Say::Usual),
        }
    }
}

impl Behaviour {
    /// Offers these extensions and no others; STARTTLS comes with [`Behaviour::tls`].
    #[must_use]
    pub fn offering(mut self, extensions: &[&str]) -> Self {
        self.extensions = extensions.iter().map(|&extension| extension.to_owned()).collect();
        self
    }

    /// Speaks LMTP (RFC 2033).
    #[must_use]
    pub fn lmtp(mut self) -> Self {
        self.lmtp = true;
        self
    }

    /// Offers STARTTLS.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Offers STARTTLS with a certificate for this name.
    #[must_use]
    pub fn tls_as(mut self, name: &str) -> Self {
        name.clone_into(&mut self.named);
        self.tls()
    }

    /// Offers STARTTLS with this.
    #[must_use]
    pub fn tls_config(mut self, config: Arc<rustls::ServerConfig>) -> Self {
        self.config = Some(config);
        self.tls()
    }

    /// Answers by a script.
    #[must_use]
    pub fn answering(mut self, script: impl Fn(&Heard<'_>) -> Say + Send + Sync + 'static) -> Self {
        self.script = Box::new(script);
        self
    }

    /// Starts it on a free port.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn start(self) -> Sink {
        self.start_at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Starts it at this address.
    ///
    /// # Panics
    /// When it is taken.
    #[must_use]
    pub fn start_at(self, address: SocketAddr) -> Sink {
        let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("sink at {address}: {error}"));
        let shared = Arc::new(Shared {
            address: listener.local_addr().unwrap(),
            tls: self.tls.then(|| match &self.config {
                Some(config) => (Arc::clone(config), Vec::new()),
                None => certificate::server_and_certificate(&self.named),
            }),
            behaviour: self,
            kept: Mutex::default(),
            more: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut kept = accepting.kept.lock().unwrap();
                if kept.stopped {
                    return;
                }
                let number = kept.connections;
                kept.connections += 1;
                drop(kept);
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || Conversation::begin(stream, &shared, number));
            }
        });
        Sink { shared }
    }
}

#[derive(Default)]
struct Kept {
    messages: Vec<Received>,
    lines: Vec<String>,
    connections: usize,
    stopped: bool,
}

struct Shared {
    address: SocketAddr,
    behaviour: Behaviour,
    tls: Option<(Arc<rustls::ServerConfig>, Vec<u8>)>,
    kept: Mutex<Kept>,
    more: Condvar,
}

/// A running sink.
pub struct Sink {
    shared: Arc<Shared>,
}

impl Sink {
    /// A well-behaved SMTP sink.
    #[must_use]
    pub fn start() -> Self {
        Behaviour::default().start()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.shared.address.port()
    }

    /// Its certificate, as DER; nothing where it has none.
    #[must_use]
    pub fn certificate(&self) -> Vec<u8> {
        self.shared.tls.as_ref().map(|(_, certificate)| certificate.clone()).unwrap_or_default()
    }

    /// All messages so far.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn messages(&self) -> Vec<Received> {
        self.shared.kept.lock().unwrap().messages.clone()
    }

    /// Every command line so far, of all connections.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.shared.kept.lock().unwrap().lines.clone()
    }

    /// How many connections there have been.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.kept.lock().unwrap().connections
    }

    /// Waits until it has at least so many messages.
    ///
    /// # Panics
    /// When they do not come.
    #[must_use]
    pub fn wait_for(&self, count: usize) -> Vec<Received> {
        self.wait_until(&format!("{count} messages"), LONG, |sink| (sink.messages.len() >= count).then(|| sink.messages.clone()))
    }

    /// Waits until it has heard a line that begins like this so many times.
    ///
    /// # Panics
    /// When it does not.
    pub fn wait_for_line(&self, begins: &str, times: usize) {
        let heard = |kept: &Kept| kept.lines.iter().filter(|line| line.starts_with(begins)).count() >= times;
        self.wait_until(&format!("{times} lines {begins:?}"), LONG, |kept| heard(kept).then_some(()));
    }

    /// Waits for a message with this Subject.
    ///
    /// # Panics
    /// When it does not come.
    #[must_use]
    pub fn wait_for_subject(&self, subject: &str) -> Received {
        self.wait_until(&format!("{subject:?}"), LONG, |kept| {
            kept.messages.iter().find(|received| received.message().header("Subject") == subject).cloned()
        })
    }

    fn wait_until<T>(&self, what: &str, at_most: Duration, look: impl Fn(&Kept) -> Option<T>) -> T {
        let end = Instant::now() + at_most;
        let mut kept = self.shared.kept.lock().unwrap();
        loop {
            if let Some(found) = look(&kept) {
                return found;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let heard = kept.lines.join("\n");
                drop(kept);
                panic!("the sink waited {at_most:?} for {what}; it has heard:\n{heard}");
            }
            kept = self.shared.more.wait_timeout(kept, left).unwrap().0;
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Ok(mut kept) = self.shared.kept.lock() {
            kept.stopped = true;
        }
        // Wakes the thread that accepts, so that it sees the order and lets the port go.
        let _ = TcpStream::connect_timeout(&self.shared.address, Duration::from_secs(1));
    }
}

trait Duplex: Read + Write + Send {}
impl<T: Read + Write + Send> Duplex for T {}

struct Conversation<'a> {
    shared: &'a Shared,
    number: usize,
    stream: BufReader<Box<dyn Duplex>>,
    raw: TcpStream,
    tls: bool,
    hello: String,
    from: Option<String>,
    to: Vec<String>,
    chunks: Option<Vec<u8>>,
}

/// The conversation is over.
struct Over;

impl From<std::io::Error> for Over {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

impl<'a> Conversation<'a> {
    fn begin(stream: TcpStream, shared: &'a Shared, number: usize) {
        let _ = stream.set_nodelay(true);
        let Ok(raw) = stream.try_clone() else { return };
        let stream: BufReader<Box<dyn Duplex>> = BufReader::new(Box::new(stream));
        let mut this =
            Self { shared, number, stream, raw, tls: false, hello: String::new(), from: None, to: Vec::new(), chunks: None };
        let _ = this.run();
        let _ = this.raw.shutdown(std::net::Shutdown::Both);
    }

    /// The script's word for this, `usual` where it leaves it to us. `None`: refused.
    fn say(&mut self, line: &str, usual: &str) -> Result<bool, Over> {
        match self.ask(line) {
            Say::Usual => {
                self.write(usual)?;
                Ok(true)
            }
            Say::This(reply) => {
                self.write(&reply)?;
                Ok(reply.starts_with(['2', '3']))
            }
            Say::Close | Say::KeepAndClose => Err(Over),
            Say::Stall => Err(self.stall()),
        }
    }

    fn ask(&self, line: &str) -> Say {
        let kept = self.shared.kept.lock().unwrap().messages.len();
        (self.shared.behaviour.script)(&Heard { line, connection: self.number, kept })
    }

    /// Says nothing until the client has gone.
    fn stall(&mut self) -> Over {
        let mut buffer = [0; 512];
        while matches!(self.stream.read(&mut buffer), Ok(1..)) {}
        Over
    }

    fn write(&mut self, reply: &str) -> Result<(), Over> {
        let stream = self.stream.get_mut();
        stream.write_all(reply.as_bytes())?;
        stream.write_all(b"\r\n")?;
        stream.flush()?;
        Ok(())
    }

    fn line(&mut self) -> Result<Vec<u8>, Over> {
        let mut line = Vec::new();
        if self.stream.read_until(b'\n', &mut line)? == 0 {
            return Err(Over);
        }
        Ok(line)
    }

    fn run(&mut self) -> Result<(), Over> {
        self.say("", "220 sink.example ESMTP sink")?;
        loop {
            let line = self.line()?;
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            self.note(&line);
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" | "LHLO" => {
                    self.hello = rest.to_owned();
                    let usual = self.extensions();
                    self.say(&line, &usual)?;
                }
                "HELO" => {
                    self.hello = rest.to_owned();
                    self.say(&line, "250 sink.example")?;
                }
                "STARTTLS" if self.shared.tls.is_some() && !self.tls => {
                    if self.say(&line, "220 2.0.0 go ahead")? {
                        self.start_tls()?;
                    }
                }
                "MAIL" => {
                    if self.say(&line, "250 2.1.0 sender ok")? {
                        self.forget();
                        self.from = Some(rest.split_once(':').map_or("", |(_, path)| path).to_owned());
                    }
                }
                "RCPT" => {
                    if self.say(&line, "250 2.1.5 recipient ok")? {
                        self.to.push(rest.split_once(':').map_or("", |(_, path)| path).to_owned());
                    }
                }
                "DATA" if self.to.is_empty() => self.write("503 5.5.1 no recipients")?,
                "DATA" => {
                    if self.say(&line, "354 go ahead")? {
                        let body = self.body()?;
                        self.finish(body, false)?;
                    }
                }
                "BDAT" => self.chunk(&line, rest)?,
                "RSET" => {
                    self.forget();
                    self.say(&line, "250 2.0.0 ok")?;
                }
                "QUIT" => {
                    self.say(&line, "221 2.0.0 bye")?;
                    return Ok(());
                }
                "NOOP" => drop(self.say(&line, "250 2.0.0 ok")?),
                _ => drop(self.say(&line, "500 5.5.2 what?")?),
            }
        }
    }

    fn note(&self, line: &str) {
        self.shared.kept.lock().unwrap().lines.push(line.to_owned());
        self.shared.more.notify_all();
    }

    fn extensions(&self) -> String {
        let mut keywords = vec!["sink.example".to_owned()];
        keywords.extend(self.shared.behaviour.extensions.iter().cloned());
        if self.shared.tls.is_some() && !self.tls {
            keywords.push("STARTTLS".to_owned());
        }
        let last = keywords.len() - 1;
        let lines = keywords
            .iter()
            .enumerate()
            .map(|(number, keyword)| format!("250{}{keyword}", if number == last { ' ' } else { '-' }));
        lines.collect::<Vec<_>>().join("\r\n")
    }

    fn start_tls(&mut self) -> Result<(), Over> {
        let (config, _) = self.shared.tls.clone().ok_or(Over)?;
        let connection = ServerConnection::new(config).map_err(|_| Over)?;
        self.stream = BufReader::new(Box::new(StreamOwned::new(connection, self.raw.try_clone()?)));
        self.tls = true;
        self.forget();
        Ok(())
    }

    fn forget(&mut self) {
        self.from = None;
        self.to.clear();
        self.chunks = None;
    }

    /// Up to a line with a dot alone. Lines end with CRLF; what ends otherwise is kept as it is, to be found by the test.
    fn body(&mut self) -> Result<Vec<u8>, Over> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let begins_line = body.is_empty() || body.ends_with(b"\r\n");
            match line.strip_prefix(b".") {
                Some(b"\r\n") if begins_line => return Ok(body),
                Some(rest) if begins_line => body.extend_from_slice(rest),
                _ => body.extend_from_slice(&line),
            }
        }
    }

    fn chunk(&mut self, line: &str, rest: &str) -> Result<(), Over> {
        let mut words = rest.split(' ');
        let size: usize = words.next().and_then(|size| size.parse().ok()).ok_or(Over)?;
        let last = words.next().is_some_and(|word| word.eq_ignore_ascii_case("LAST"));
        let mut chunk = vec![0; size];
        self.stream.read_exact(&mut chunk)?;
        if self.to.is_empty() {
            return self.write("503 5.5.1 no recipients");
        }
        let mut body = self.chunks.take().unwrap_or_default();
        body.extend_from_slice(&chunk);
        if last {
            return self.finish(body, true);
        }
        if self.say(line, "250 2.0.0 chunk ok")? {
            self.chunks = Some(body);
        }
        Ok(())
    }

    fn finish(&mut self, body: Vec<u8>, chunked: bool) -> Result<(), Over> {
        let (from, to) = (self.from.take().unwrap_or_default(), std::mem::take(&mut self.to));
        let replies = if self.shared.behaviour.lmtp { to.len() } else { 1 };
        let received = Received { hello: self.hello.clone(), from, to, body, tls: self.tls, chunked, connection: self.number };
        let said = self.ask(".");
        self.forget();
        if matches!(said, Say::Usual | Say::KeepAndClose) {
            self.shared.kept.lock().unwrap().messages.push(received);
            self.shared.more.notify_all();
        }
        let reply = match said {
            Say::Usual => "250 2.0.0 kept".to_owned(),
            Say::This(reply) => reply,
            Say::Close | Say::KeepAndClose => return Err(Over),
            Say::Stall => return Err(self.stall()),
        };
        // RFC 2033 §4.2: after the body, one reply for each recipient that was accepted.
        (0..replies).try_for_each(|_| self.write(&reply))
    }
}
