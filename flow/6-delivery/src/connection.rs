//! A connection to a next hop: octets out, replies in, each within its time. Promise: nothing that came in clear is read after the
//! handshake, and no wait is without end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use postern_mail::TlsFailure;
use postern_smtp::extension::Offered;
use postern_smtp::reply_lines::{ReceivedReply, ReplyReader};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::classify::{Failure, Stage};
use crate::connect::Dialed;
use crate::dialogue::hello::{Hello, Proof, Step};
use crate::dialogue::{Peer, Trouble};
use crate::next_hop::{Protocol, TlsPolicy};
use crate::settings::Timeouts;
use crate::tls_policy::{Secured, Security, TlsClient, TlsWish};

/// Octets asked for in one read: replies are short.
const READ_BYTES: usize = 4096;
/// Capacity an idle connection may keep for writing.
const IDLE_OUT_BYTES: usize = 8192;
/// How long a goodbye may take; nobody waits for its answer.
const GOODBYE: Duration = Duration::from_secs(1);

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// Octets both ways, and replies out of them.
pub(crate) struct Wire {
    stream: Stream,
    reader: ReplyReader,
    read: Vec<u8>,
    /// Of `read`, what was consumed already.
    consumed: usize,
    /// To be sent.
    pub(crate) out: Vec<u8>,
}

impl Wire {
    fn new(stream: Stream) -> Self {
        Self { stream, reader: ReplyReader::default(), read: Vec::new(), consumed: 0, out: Vec::new() }
    }

    /// Sends what is in `out`.
    pub(crate) async fn flush(&mut self, limit: Duration) -> Result<(), Failure> {
        if self.out.is_empty() {
            return Ok(());
        }
        let write = async {
            self.stream.write_all(&self.out).await?;
            self.stream.flush().await
        };
        let written = timeout(limit, write).await;
        self.out.clear();
        match written {
            Err(_) => Err(Failure::TimedOut(limit)),
            Ok(Err(error)) => Err(Failure::Lost(error.to_string())),
            Ok(Ok(())) => Ok(()),
        }
    }

    /// The next reply, whole within `limit`: a peer that dribbles gets no more time than one that is silent.
    pub(crate) async fn reply(&mut self, limit: Duration) -> Result<ReceivedReply, Failure> {
        timeout(limit, self.read_reply()).await.unwrap_or(Err(Failure::TimedOut(limit)))
    }

    async fn read_reply(&mut self) -> Result<ReceivedReply, Failure> {
        loop {
            let fresh = self.read.get(self.consumed..).unwrap_or_default();
            let (taken, reply) = self.reader.read(fresh).map_err(Failure::NotSmtp)?;
            self.consumed += taken;
            if let Some(reply) = reply {
                return Ok(reply);
            }
            // All of it was consumed: the buffer begins anew and never grows.
            self.read.clear();
            self.consumed = 0;
            self.read.reserve(READ_BYTES);
            match self.stream.read_buf(&mut self.read).await {
                Ok(0) => return Err(Failure::Lost("closed by the host".to_owned())),
                Ok(_) => {}
                Err(error) => return Err(Failure::Lost(error.to_string())),
            }
        }
    }

    /// True when something was read that no reply was made of yet.
    fn holds_unread(&self) -> bool {
        self.consumed < self.read.len() || !self.reader.is_idle()
    }
}

/// A session that can take mail.
pub(crate) struct Connection {
    pub(crate) wire: Wire,
    pub(crate) peer: Peer,
    /// How the host is named in evidence.
    pub(crate) by: Arc<str>,
    pub(crate) messages_left: u32,
    /// RSET must come before the next MAIL.
    pub(crate) dirty: bool,
    /// What is wrong with its certificate, where that is only noted.
    pub(crate) doubt: Option<(TlsFailure, String)>,
}

/// What a hello needs to know.
pub(crate) struct Introduction<'a> {
    pub(crate) hostname: Arc<str>,
    pub(crate) protocol: Protocol,
    pub(crate) wish: TlsWish,
    pub(crate) tls: &'a TlsPolicy,
    pub(crate) credentials: Option<Proof>,
    /// For SNI and the certificate.
    pub(crate) name: &'a str,
    pub(crate) by: Arc<str>,
    pub(crate) messages_max: u32,
}

impl Connection {
    /// From a fresh socket to a session that can take mail.
    pub(crate) async fn begin(
        dialed: Dialed,
        introduction: Introduction<'_>,
        tls: &TlsClient,
        timeouts: &Timeouts,
    ) -> Result<Self, Trouble> {
        let Introduction { hostname, protocol, wish, tls: policy, credentials, name, by, messages_max } = introduction;
        let mut wire = Wire::new(match dialed {
            Dialed::Tcp(stream) => Stream::Tcp(stream),
            Dialed::Unix(stream) => Stream::Unix(stream),
        });
        let (mut security, mut doubt) = (Security::Clear, None);
        let authenticated = credentials.is_some();
        let mut hello = Hello::new(hostname, protocol, wish, credentials);
        let mut step = Step::Await(Stage::Greeting);
        loop {
            step = match step {
                Step::Await(stage) => {
                    let limit = timeouts.of(stage);
                    let failed = |failure| Trouble::Failure(stage, failure);
                    wire.flush(limit).await.map_err(failed)?;
                    let reply = wire.reply(limit).await.map_err(failed)?;
                    hello.on_reply(reply, &mut wire.out)
                }
                Step::StartTls => {
                    let failed = |failure| Trouble::Failure(Stage::StartTls, failure);
                    (wire, security, doubt) = secure(wire, tls, (name, policy), timeouts.handshake).await.map_err(failed)?;
                    hello.on_secured(&mut wire.out)
                }
                Step::Ready(offered) => {
                    let messages_left = messages_left(&offered, messages_max);
                    // The buffer may hold credentials, which must not wait there for the next message to cover them.
                    wire.out.fill(0);
                    wire.out = Vec::new();
                    let peer = Peer { offered: *offered, security, protocol, authenticated };
                    return Ok(Self { wire, peer, by, messages_left, dirty: false, doubt });
                }
                Step::Stop(trouble) => {
                    // RFC 4954 §4: a challenge that cannot be answered is answered with `*`.
                    let words: &[u8] = if trouble.leaves_a_challenge() { b"*\r\nQUIT\r\n" } else { b"QUIT\r\n" };
                    Self::goodbye(wire, words).await;
                    return Err(*trouble);
                }
            };
        }
    }

    /// True when the peer has neither closed nor said anything since the last reply: a kept connection that has, is over.
    pub(crate) async fn is_quiet(&mut self) -> bool {
        if self.wire.holds_unread() {
            return false;
        }
        let mut space = [0u8; 64];
        let stream = &mut self.wire.stream;
        std::future::poll_fn(|cx| {
            let mut buffer = ReadBuf::new(&mut space);
            Poll::Ready(Pin::new(&mut *stream).poll_read(cx, &mut buffer).is_pending())
        })
        .await
    }

    /// True when a reply is there that nothing was asked for.
    pub(crate) fn holds_unread(&self) -> bool {
        self.wire.holds_unread()
    }

    /// Gives memory back before waiting for the next message.
    pub(crate) fn rest(&mut self) {
        self.wire.out.clear();
        self.wire.out.shrink_to(IDLE_OUT_BYTES);
        if !self.wire.holds_unread() {
            self.wire.read = Vec::new();
            self.wire.consumed = 0;
        }
    }

    /// RFC 5321 §4.1.1.10: says QUIT and closes. RFC 5321 §4.1.1.10 DEPARTS: the answer is not waited for; it could only be in the way
    /// of other work.
    pub(crate) async fn quit(self) {
        Self::goodbye(self.wire, b"QUIT\r\n").await;
    }

    async fn goodbye(mut wire: Wire, words: &[u8]) {
        wire.out.clear();
        wire.out.extend_from_slice(words);
        let _ = wire.flush(GOODBYE).await;
        let _ = timeout(GOODBYE, wire.stream.shutdown()).await;
    }
}

fn messages_left(offered: &Offered, messages_max: u32) -> u32 {
    // RFC 9422 §4.1: no more messages in one session than MAILMAX.
    offered.messages_max.map_or(messages_max, |limit| limit.min(messages_max)).max(1)
}

/// The handshake, on a wire that begins anew.
async fn secure(
    wire: Wire,
    tls: &TlsClient,
    (name, policy): (&str, &TlsPolicy),
    limit: Duration,
) -> Result<(Wire, Security, Option<(TlsFailure, String)>), Failure> {
    // RFC 3207 §4.2: nothing that came in clear counts afterwards. What came behind the 220 can only be an attempt to have it read as if it
    // had come through TLS, so the connection ends here.
    if wire.holds_unread() {
        return Err(Failure::Injected);
    }
    let Stream::Tcp(tcp) = wire.stream else {
        return Err(Failure::Handshake("not a TCP connection".to_owned()));
    };
    let address = tcp.peer_addr().map_err(|error| Failure::Lost(error.to_string()))?.ip();
    let handshake = tls.handshake(tcp, name, address, policy);
    let Secured { stream, security, doubt } =
        timeout(limit, handshake).await.unwrap_or_else(|_| Err(Failure::Handshake("no answer in time".to_owned())))?;
    Ok((Wire::new(Stream::Tls(Box::new(stream))), security, doubt))
}
