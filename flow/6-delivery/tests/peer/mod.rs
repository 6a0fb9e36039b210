//! A scripted next hop on loopback: each connection it takes is played by the next script; a connection too many finds nobody.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "test code; each file uses its own part of this"
)]

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use postern_delivery::{Delivery, InlineBody, Message, NextHop, Roots, Settings, Timeouts, TlsClient};
use postern_mail::envelope::{DsnRequest, MessageId};
use postern_mail::{Envelope, Mailbox, Outcome, Recipient, ReversePath};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

pub type Script = Box<dyn FnOnce(Talk) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// A script from an async closure.
pub fn script<F: Future<Output = ()> + Send + 'static>(play: impl FnOnce(Talk) -> F + Send + 'static) -> Script {
    Box::new(move |talk| Box::pin(play(talk)))
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// The peer's end of a connection.
pub struct Talk(BufReader<Box<dyn Duplex>>);

impl Talk {
    fn new(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self(BufReader::new(Box::new(stream)))
    }

    /// Sends lines, given without their CRLF.
    pub async fn say(&mut self, lines: &str) {
        let text: String = lines.lines().map(|line| format!("{}\r\n", line.trim())).collect();
        // The client may be gone by now; whether that is right, the outcome shows.
        let _ = self.0.get_mut().write_all(text.as_bytes()).await;
        let _ = self.0.get_mut().flush().await;
    }

    /// Sends octets as they are; false when the client is gone.
    pub async fn say_raw(&mut self, bytes: &[u8]) -> bool {
        self.0.get_mut().write_all(bytes).await.is_ok()
    }

    /// The next line, which must begin like this.
    pub async fn hear(&mut self, begin: &str) -> String {
        let line = self.line().await;
        assert!(line.starts_with(begin), "{begin:?} expected, {line:?} heard");
        line
    }

    /// The next line without its CRLF; empty at the end.
    pub async fn line(&mut self) -> String {
        let mut line = String::new();
        let _ = self.0.read_line(&mut line).await;
        line.trim_end_matches("\r\n").to_owned()
    }

    /// Exactly so many octets.
    pub async fn hear_bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    /// A body behind DATA, un-stuffed, without the dot.
    pub async fn hear_dotted(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let mut line = Vec::new();
            assert!(self.0.read_until(b'\n', &mut line).await.unwrap() > 0, "the body has no end");
            match line.as_slice() {
                b".\r\n" => return body,
                [b'.', rest @ ..] => body.extend_from_slice(rest),
                whole => body.extend_from_slice(whole),
            }
        }
    }

    /// Greets, and offers these keywords.
    pub async fn greet(&mut self, keywords: &[&str]) {
        self.say("220 peer.example").await;
        self.offer(keywords).await;
    }

    /// Answers EHLO or LHLO with these keywords.
    pub async fn offer(&mut self, keywords: &[&str]) {
        let hello = self.line().await;
        assert!(hello == "EHLO us.example" || hello == "LHLO us.example", "{hello:?}");
        let mut lines = vec!["peer.example"];
        lines.extend(keywords);
        let last = lines.len() - 1;
        let text: Vec<_> =
            lines.iter().enumerate().map(|(at, line)| format!("250{}{line}", if at < last { '-' } else { ' ' })).collect();
        self.say(&text.join("\n")).await;
    }

    /// Takes a message to one recipient in the BDAT form and gives its body.
    pub async fn take(&mut self) -> Vec<u8> {
        self.hear("MAIL FROM:<s@us.example>").await;
        self.hear("RCPT TO:").await;
        let body = self.hear_chunk().await;
        self.say("250 2.1.0 ok\n250 2.1.5 ok\n250 2.0.0 taken").await;
        body
    }

    /// A BDAT LAST and its octets.
    pub async fn hear_chunk(&mut self) -> Vec<u8> {
        let line = self.hear("BDAT ").await;
        let count = line.strip_prefix("BDAT ").and_then(|rest| rest.strip_suffix(" LAST")).unwrap();
        self.hear_bytes(count.parse().unwrap()).await
    }

    /// Everything up to the end.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = self.0.read_to_end(&mut rest).await;
        rest
    }

    /// Reads until the client goes.
    pub async fn until_gone(&mut self) {
        let _ = self.0.read_to_end(&mut Vec::new()).await;
    }

    /// The connection itself.
    pub fn into_stream(self) -> impl AsyncRead + AsyncWrite + Send + Unpin {
        self.0.into_inner()
    }

    /// Says that nothing more will be said, and reads on until the client goes.
    pub async fn refuse_more(&mut self) {
        let _ = self.0.get_mut().shutdown().await;
        self.until_gone().await;
    }

    /// Answers STARTTLS and shakes hands.
    pub async fn secure(mut self, acceptor: &TlsAcceptor) -> Self {
        self.hear("STARTTLS").await;
        self.say("220 2.0.0 go ahead").await;
        Self::new(acceptor.accept(self.0.into_inner()).await.unwrap())
    }
}

/// Keywords under which everything goes in one write.
pub const FAST: &[&str] = &["PIPELINING", "CHUNKING", "8BITMIME", "ENHANCEDSTATUSCODES"];

pub struct Peer {
    pub address: SocketAddr,
    playing: JoinHandle<()>,
}

impl Peer {
    pub async fn start(scripts: Vec<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let playing = tokio::spawn(async move {
            let mut played = Vec::new();
            for script in scripts {
                let (stream, _) = listener.accept().await.unwrap();
                played.push(tokio::spawn(script(Talk::new(stream))));
            }
            drop(listener);
            for script in played {
                script.await.unwrap();
            }
        });
        Self { address, playing }
    }

    pub fn hop(&self) -> NextHop {
        NextHop::at("peer.example", self.address)
    }

    /// Every script was played to its end, and none found anything wrong.
    pub async fn done(self) {
        tokio::time::timeout(Duration::from_secs(20), self.playing).await.expect("a script never ended").unwrap();
    }
}

/// One connection over a socket in the file system.
pub fn unix_peer(path: &std::path::Path, script: Script) -> JoinHandle<()> {
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        script(Talk::new(stream)).await;
    })
}

/// A certificate for `name` of its own making: its PEM, and a server that has it.
pub fn certificate(name: &str) -> (Vec<u8>, TlsAcceptor) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    (made.cert.pem().into_bytes(), TlsAcceptor::from(Arc::new(config)))
}

pub fn settings() -> Settings {
    let patient = Duration::from_secs(15);
    let timeouts = Timeouts {
        connect: patient,
        greeting: patient,
        hello: patient,
        handshake: patient,
        mail: patient,
        recipient: patient,
        data_start: patient,
        data_piece: patient,
        data_end: patient,
        attempt: Duration::from_secs(60),
    };
    Settings { timeouts, ..Settings::new(&postern_config::Outbound::default(), "us.example", Vec::new()) }
}

/// With time limits that a silent peer reaches at once.
pub fn impatient() -> Settings {
    let mut settings = settings();
    let short = Duration::from_millis(100);
    settings.timeouts.greeting = short;
    settings.timeouts.hello = short;
    settings.timeouts.mail = short;
    settings
}

pub fn delivery(settings: Settings) -> Delivery {
    Delivery::new(settings, TlsClient::new(&Roots::Platform).unwrap())
}

pub fn envelope() -> Envelope {
    Envelope::plain(ReversePath::Mailbox(Mailbox::parse("s@us.example").unwrap()), Vec::new())
}

pub const BODY: &[u8] = b"Subject: hello\r\n\r\nhello\r\n.dot\r\n";

pub async fn send(delivery: &Delivery, hop: &NextHop, to: &[&str]) -> Vec<Outcome> {
    send_body(delivery, hop, to, &envelope(), BODY).await
}

pub async fn send_body(delivery: &Delivery, hop: &NextHop, to: &[&str], envelope: &Envelope, body: &[u8]) -> Vec<Outcome> {
    let recipient = |to: &&str| Recipient::restored_from_spool(Mailbox::parse(to).unwrap(), false, DsnRequest::default());
    let recipients: Vec<_> = to.iter().map(recipient).collect();
    let body = InlineBody(body.to_vec());
    let message = Message { id: MessageId(1), envelope, recipients: &recipients, body: &body };
    let outcomes = delivery.deliver(hop, message).await;
    assert_eq!(outcomes.len(), to.len(), "one outcome per recipient");
    outcomes
}

/// An outcome in a word or three.
pub fn brief(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Delivered { .. } => "delivered".to_owned(),
        Outcome::Deferred { scope, status, .. } => format!("deferred {scope:?} {status}"),
        Outcome::Bounced { scope, status, .. } => format!("bounced {scope:?} {status}"),
        Outcome::Expired { .. } => "expired".to_owned(),
    }
}

pub fn briefs(outcomes: &[Outcome]) -> Vec<String> {
    outcomes.iter().map(brief).collect()
}
