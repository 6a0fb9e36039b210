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

use crate::ceiling::{Ceiling, Full, Place};
use crate::proxy_protocol;
use crate::pump::{Ended, Host, Pump, PumpSettings};
use crate::shed::turn_away;

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

/// Whether a client may come in at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Door {
    /// It may.
    Open,
    /// It is banned. Said once where there is anything to say, never waited for.
    Shut(Option<Reply>),
}

/// Begins conversations: the rest of the server, as the listener sees it.
pub trait Conversations: Send + Sync + 'static {
    /// The protocol.
    type Machine: Machine + Send;
    /// The path behind it.
    type Host: Host;

    /// Asked about each client before anything else is done for it, so it must cost next to nothing.
    fn door(&self, _client: &ClientFacts) -> Door {
        Door::Open
    }
    /// A client is there.
    fn begin(&self, client: &ClientFacts) -> (Self::Machine, Self::Host);
    /// Limits in force for the next connection.
    fn pump_settings(&self) -> Arc<PumpSettings>;
    /// TLS in force for the next connection to such a listener; none when it is not to be had.
    fn tls(&self, kind: ListenerKind) -> Option<Arc<ServerConfig>>;
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
                Err(error) if is_about_one_client(&error) => continue,
                Err(error) => {
                    // Out of file descriptors or memory: wait for some to come back rather than spin.
                    tracing::warn!(%error, listener = %self.kind, "accepting a connection failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let is_proxy = proxy_protocol::is_listed(&self.proxies, peer.ip());
            // Before anything is set up for it. Not a proxy of ours: it speaks for itself, and a header from it is no command.
            let stream =
                if is_proxy { Some(stream) } else { through_the_door(&*conversations, self.kind, &counters, stream, peer) };
            let Some(stream) = stream else { continue };
            let connection = Connection {
                kind: self.kind,
                conversations: Arc::clone(&conversations),
                counters: Arc::clone(&counters),
                stop: stop.clone(),
                alive: alive.clone(),
            };
            // The futures are spawned as they are: one that wraps another would set aside its room twice.
            if is_proxy {
                match ceiling.enter_unnamed() {
                    Ok(place) => drop(tokio::spawn(connection.behind_proxy(place, stream, peer))),
                    Err(full) => connection.turn_away(stream, peer, full.as_str()),
                }
            } else {
                let place = ceiling.enter(now(), peer.ip().to_canonical());
                if let Some(work) = connection.admit(place, stream, peer, Vec::new()) {
                    tokio::spawn(work);
                }
            }
        }
    }
}

/// True for what went wrong with one connection while it waited to be accepted, and says nothing about the next.
fn is_about_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkDown, NetworkUnreachable, TimedOut,
    };
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | HostUnreachable | Interrupted | NetworkDown | NetworkUnreachable | TimedOut
    )
}

struct Connection<C> {
    kind: ListenerKind,
    conversations: Arc<C>,
    counters: Arc<Counters>,
    stop: watch::Receiver<bool>,
    /// Held until the connection has ended.
    alive: mpsc::Sender<()>,
}

#[expect(clippy::disallowed_methods, reason = "the listener is the hand that reads the clock")]
fn now() -> Instant {
    Instant::now()
}

fn facts(client: SocketAddr, listener: ListenerKind) -> ClientFacts {
    ClientFacts { address: client.ip().to_canonical(), port: client.port(), listener }
}

/// Shuts a banned client out: at most one write, no task, no buffer.
fn through_the_door<C: Conversations>(
    conversations: &C,
    kind: ListenerKind,
    counters: &Counters,
    stream: TcpStream,
    client: SocketAddr,
) -> Option<TcpStream> {
    let Door::Shut(word) = conversations.door(&facts(client, kind)) else { return Some(stream) };
    counters.turned_away.fetch_add(1, Ordering::Relaxed);
    if let Some(reply) = word.filter(|_| kind != ListenerKind::Submissions) {
        turn_away(stream, &reply);
    }
    None
}

impl<C: Conversations> Connection<C> {
    fn facts(&self, client: SocketAddr) -> ClientFacts {
        facts(client, self.kind)
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

    async fn behind_proxy(mut self, place: Place, stream: TcpStream, peer: SocketAddr) {
        let mut buffer = Vec::new();
        let limit = self.conversations.pump_settings().handshake_timeout;
        let header = tokio::select! {
            header = timeout(limit, proxy_protocol::read(&stream, peer, &mut buffer)) => header,
            _ = self.stop.wait_for(|stopping| *stopping) => return,
        };
        match header {
            Ok(Ok(client)) => {
                let Self { kind, conversations, counters, .. } = &self;
                let Some(stream) = through_the_door(&**conversations, *kind, counters, stream, client) else { return };
                let place = place.named(now(), client.ip().to_canonical());
                if let Some(work) = self.admit(place, stream, client, buffer) {
                    tokio::spawn(work);
                }
            }
            Ok(Err(why)) => self.conversations.turned_away(&self.facts(peer), why),
            Err(_) => self.conversations.turned_away(&self.facts(peer), "no PROXY header in time"),
        }
    }

    /// Gives the conversation as a future to be run, where there is a place for it.
    fn admit(
        self,
        place: Result<Place, Full>,
        stream: TcpStream,
        client: SocketAddr,
        buffer: Vec<u8>,
    ) -> Option<impl Future<Output = ()> + Send + use<C>> {
        let place = match place {
            Ok(place) => place,
            Err(full) => {
                self.turn_away(stream, client, full.as_str());
                return None;
            }
        };
        self.counters.accepted.fetch_add(1, Ordering::Relaxed);
        let facts = self.facts(client);
        // Replies are gathered by the pump; waiting for more of them in the kernel would only delay.
        let _ = stream.set_nodelay(true);
        let Self { kind, conversations, counters, stop, alive, .. } = self;
        let mut pump = Pump::new(
            (stream, buffer),
            conversations.begin(&facts),
            conversations.pump_settings(),
            conversations.tls(facts.listener),
            stop,
        );
        Some(async move {
            let implicit_tls = kind == ListenerKind::Submissions;
            let delay = conversations.greeting_delay();
            if !implicit_tls && !delay.is_zero() && pump.hears_early_talk(delay).await {
                counters.early_talkers.fetch_add(1, Ordering::Relaxed);
                conversations.turned_away(&facts, "talked before the greeting");
                pump.refuse(&Reply::improper_pipelining()).await;
            } else {
                let ended = pump.run(implicit_tls).await;
                conversations.ended(&facts, ended);
            }
            drop((place, alive));
        })
    }
}

#[cfg(test)]
mod tests;
