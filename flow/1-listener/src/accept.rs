//! Bind and accept. Promise: the ceilings are asked before anything is read or allocated for a client.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use postern_mail::Reply;
use postern_mail::client::ListenerKind;
use postern_mail::fact::ClientFacts;
use postern_smtp::machine::Machine;
use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::ceiling::{Ceiling, Full};
use crate::proxy_protocol;
use crate::pump::{Ended, Host, Pump, PumpSettings};
use crate::shed::turn_away;
use crate::stream::Stream;

/// Connections the kernel may hold before we take them: bursts wait there instead of being lost.
const BACKLOG: i32 = 4096;

/// Binds one address. Done as root before privileges are dropped.
///
/// # Errors
/// When the address is taken or not ours.
pub fn bind(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // IPv4 has its own listener; a mapped address would be counted as another client.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Begins conversations: the rest of the server, as the listener sees it.
pub trait Conversations: Send + Sync + 'static {
    /// The protocol.
    type Machine: Machine + Send;
    /// The path behind it.
    type Host: Host;

    /// A client is there.
    fn begin(&self, client: &ClientFacts) -> (Self::Machine, Self::Host);
    /// Limits in force for the next connection.
    fn pump_settings(&self) -> Arc<PumpSettings>;
    /// TLS in force for the next connection; none when it is not to be had.
    fn tls(&self) -> Option<Arc<ServerConfig>>;
    /// What we call ourselves.
    fn hostname(&self) -> Arc<str>;
    /// How long a client must wait for the greeting; one that talks first is sent away. Zero: no wait.
    fn greeting_delay(&self) -> Duration;
    /// A client was turned away.
    fn turned_away(&self, client: &ClientFacts, why: &'static str);
    /// A conversation ended.
    fn ended(&self, client: &ClientFacts, how: Ended);
}

/// One bound address.
pub struct Listener {
    /// The socket, bound already.
    pub socket: StdListener,
    /// What it is for.
    pub kind: ListenerKind,
    /// Proxies whose word on the client's address is believed, and required.
    pub proxies: Arc<[IpNet]>,
}

/// What all listeners share.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections taken.
    pub accepted: AtomicU64,
    /// Connections turned away at a ceiling.
    pub turned_away: AtomicU64,
    /// Early talkers.
    pub early_talkers: AtomicU64,
}

impl Listener {
    /// Accepts until told to stop. `alive` is held by each connection, so that the caller knows when the last has ended.
    ///
    /// # Errors
    /// When the socket cannot be given to the runtime.
    pub async fn serve<C: Conversations>(
        self,
        conversations: Arc<C>,
        ceiling: Arc<Ceiling>,
        counters: Arc<Counters>,
        (mut stop, alive): (watch::Receiver<bool>, mpsc::Sender<()>),
    ) -> io::Result<()> {
        let socket = TcpListener::from_std(self.socket)?;
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stop.wait_for(|stopping| *stopping) => return Ok(()),
                accepted = socket.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(pair) => pair,
                Err(error) => {
                    // Out of file descriptors or memory: wait for some to come back rather than spin.
                    tracing::warn!(%error, listener = %self.kind, "accepting a connection failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let connection = Connection {
                kind: self.kind,
                conversations: Arc::clone(&conversations),
                ceiling: Arc::clone(&ceiling),
                counters: Arc::clone(&counters),
                stop: stop.clone(),
            };
            if self.proxies.is_empty() {
                if let Some(work) = connection.admit(stream, peer, Vec::new()) {
                    let alive = alive.clone();
                    tokio::spawn(async move {
                        work.await;
                        drop(alive);
                    });
                }
            } else if proxy_protocol::is_listed(&self.proxies, peer.ip()) {
                let alive = alive.clone();
                tokio::spawn(async move {
                    connection.behind_proxy(stream, peer).await;
                    drop(alive);
                });
            } else {
                connection.turn_away(stream, peer, "not a listed proxy");
            }
        }
    }
}

struct Connection<C> {
    kind: ListenerKind,
    conversations: Arc<C>,
    ceiling: Arc<Ceiling>,
    counters: Arc<Counters>,
    stop: watch::Receiver<bool>,
}

#[expect(clippy::disallowed_methods, reason = "the listener is the hand that reads the clock")]
fn now() -> Instant {
    Instant::now()
}

impl<C: Conversations> Connection<C> {
    fn facts(&self, client: SocketAddr) -> ClientFacts {
        ClientFacts { address: client.ip().to_canonical(), port: client.port(), listener: self.kind }
    }

    fn turn_away(&self, stream: TcpStream, client: SocketAddr, why: &'static str) {
        self.counters.turned_away.fetch_add(1, Ordering::Relaxed);
        self.conversations.turned_away(&self.facts(client), why);
        if self.kind == ListenerKind::Submissions {
            // Behind implicit TLS a clear reply would only look like a broken handshake.
            return;
        }
        turn_away(stream, &Reply::too_many_connections(&self.conversations.hostname()));
    }

    async fn behind_proxy(self, stream: TcpStream, peer: SocketAddr) {
        let mut buffer = Vec::new();
        let limit = self.conversations.pump_settings().handshake_timeout;
        match timeout(limit, proxy_protocol::read(&stream, peer, &mut buffer)).await {
            Ok(Ok(client)) => {
                if let Some(work) = self.admit(stream, client, buffer) {
                    work.await;
                }
            }
            Ok(Err(why)) => self.conversations.turned_away(&self.facts(peer), why),
            Err(_) => self.conversations.turned_away(&self.facts(peer), "no PROXY header in time"),
        }
    }

    /// Asks the ceilings, then gives the conversation as a future to be run.
    fn admit(self, stream: TcpStream, client: SocketAddr, buffer: Vec<u8>) -> Option<impl Future<Output = ()> + Send> {
        let place = match self.ceiling.enter(now(), client.ip().to_canonical()) {
            Ok(place) => place,
            Err(full) => {
                self.turn_away(stream, client, Full::as_str(full));
                return None;
            }
        };
        self.counters.accepted.fetch_add(1, Ordering::Relaxed);
        let facts = self.facts(client);
        // Replies are gathered by the pump; waiting for more of them in the kernel would only delay.
        let _ = stream.set_nodelay(true);
        let (machine, host) = self.conversations.begin(&facts);
        let settings = self.conversations.pump_settings();
        let tls = self.conversations.tls();
        let delay = self.conversations.greeting_delay();
        Some(async move {
            if !delay.is_zero() && self.kind != ListenerKind::Submissions && talks_early(&stream, delay, !buffer.is_empty()).await
            {
                self.counters.early_talkers.fetch_add(1, Ordering::Relaxed);
                self.conversations.turned_away(&facts, "talked before the greeting");
                turn_away(stream, &Reply::improper_pipelining());
                return;
            }
            let implicit_tls = self.kind == ListenerKind::Submissions;
            let pump = Pump::new((Stream::Plain(stream), buffer), (machine, host), settings, tls, self.stop.clone());
            let ended = pump.run(implicit_tls).await;
            self.conversations.ended(&facts, ended);
            drop(place);
        })
    }
}

/// RFC 5321 §4.3.1: the client waits for the greeting. One that does not is a program that never reads replies. A clear connection only: under
/// implicit TLS the client talks first by design.
async fn talks_early(stream: &TcpStream, delay: Duration, buffered: bool) -> bool {
    buffered || matches!(timeout(delay, stream.peek(&mut [0; 1])).await, Ok(Ok(count)) if count > 0)
}
