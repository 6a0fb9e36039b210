//! Bind and accept. Promise: the ceilings are asked before anything is read or allocated for a client.

mod arrivals;

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ipnet::IpNet;
use postern_mail::Reply;
use postern_mail::client::ListenerKind;
use postern_mail::envelope::UnixMillis;
use postern_mail::fact::ClientFacts;
use postern_smtp::machine::{Conduct, Machine};
use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use self::arrivals::Arrivals;
use crate::ceiling::{Arrival, Ceiling, Full, Place};
use crate::proxy_protocol;
use crate::pump::{Ended, Host, Pump, PumpSettings};
use crate::shed;

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
    /// It is banned and comes so often that it hears nothing, and the connection is reset.
    Reset,
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
    /// What a client did wrong, told once when it has gone.
    fn behaved(&self, _client: &ClientFacts, _conduct: Conduct) {}
}

/// One bound address.
pub struct Listener {
    /// The socket, bound already.
    pub socket: StdListener,
    /// What it is for.
    pub kind: ListenerKind,
    /// Which of the configured listeners it belongs to: those with the same number share a ceiling.
    pub number: u16,
    /// Proxies whose word on the client's address is believed, and required.
    pub proxies: Arc<[IpNet]>,
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
        (mut stop, alive): (watch::Receiver<bool>, mpsc::Sender<()>),
    ) -> io::Result<()> {
        shed::resetting(&self.socket);
        let mut arrivals = Arrivals::new(self.socket);
        loop {
            let next = tokio::select! {
                biased;
                _ = stop.wait_for(|stopping| *stopping) => return Ok(()),
                next = arrivals.next() => next?,
            };
            let (stream, peer) = match next {
                Ok(pair) => pair,
                Err(error) if is_about_one_client(&error) => continue,
                Err(error) => {
                    // Out of file descriptors or memory: wait for some to come back rather than spin.
                    tracing::warn!(%error, listener = %self.kind, "accepting a connection failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let entrance = Entrance { kind: self.kind, number: self.number, conversations: &*conversations };
            let is_proxy = proxy_protocol::is_listed(&self.proxies, peer.ip());
            // Who is not a proxy of ours speaks for itself, and a header from it is no command.
            let stream = if is_proxy { Some(stream) } else { entrance.through_the_door(stream, peer) };
            let Some(stream) = stream else {
                arrivals.turned_away();
                continue;
            };
            shed::orderly(&stream);
            let place = if is_proxy { ceiling.enter_unnamed() } else { ceiling.enter(entrance.arrival(peer)) };
            let place = match place {
                Ok(place) => place,
                Err(full) => {
                    entrance.turn_away(&ceiling, (stream, peer), full);
                    continue;
                }
            };
            let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) else { continue };
            let connection = Connection {
                kind: self.kind,
                number: self.number,
                conversations: Arc::clone(&conversations),
                stop: stop.clone(),
                alive: alive.clone(),
            };
            // The futures are spawned as they are: one that wraps another would set aside its room twice.
            if is_proxy {
                tokio::spawn(connection.behind_proxy(place, stream, peer));
            } else {
                tokio::spawn(connection.admit(place, stream, peer, Vec::new()));
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
    number: u16,
    conversations: Arc<C>,
    stop: watch::Receiver<bool>,
    /// Held until the connection has ended.
    alive: mpsc::Sender<()>,
}

/// The time by which connections are counted.
#[expect(clippy::disallowed_methods, reason = "the listener is the hand that reads the clock")]
pub(crate) fn clock() -> UnixMillis {
    UnixMillis::from_system(SystemTime::now())
}

/// Where a client stands before anything is set aside for it.
struct Entrance<'a, C> {
    kind: ListenerKind,
    number: u16,
    conversations: &'a C,
}

impl<C: Conversations> Entrance<'_, C> {
    fn facts(&self, client: SocketAddr) -> ClientFacts {
        ClientFacts { address: client.ip().to_canonical(), port: client.port(), listener: self.kind }
    }

    fn arrival(&self, client: SocketAddr) -> Arrival {
        let handshake = self.kind == ListenerKind::Submissions;
        Arrival { now: clock(), address: client.ip().to_canonical(), listener: self.number, handshake }
    }

    fn turn_away(&self, ceiling: &Ceiling, (stream, client): (StdStream, SocketAddr), full: Full) {
        let facts = self.facts(client);
        ceiling.turns_away(clock(), facts.address, full);
        self.conversations.turned_away(&facts, full.as_str());
        // Behind implicit TLS a clear reply would only look like a broken handshake.
        if self.kind != ListenerKind::Submissions {
            shed::say(&stream, &Reply::too_many_connections(&self.conversations.hostname(), facts.address));
        }
    }

    /// Shuts a banned client out: at most one write, no task, no buffer.
    fn through_the_door(&self, stream: StdStream, client: SocketAddr) -> Option<StdStream> {
        match self.conversations.door(&self.facts(client)) {
            Door::Open => return Some(stream),
            Door::Shut(word) => {
                shed::orderly(&stream);
                if let Some(reply) = word.filter(|_| self.kind != ListenerKind::Submissions) {
                    shed::say(&stream, &reply);
                }
            }
            // As it was accepted, see `shed::resetting`.
            Door::Reset => {}
        }
        None
    }
}

impl<C: Conversations> Connection<C> {
    fn entrance(&self) -> Entrance<'_, C> {
        Entrance { kind: self.kind, number: self.number, conversations: &*self.conversations }
    }

    async fn behind_proxy(mut self, place: Place, stream: TcpStream, peer: SocketAddr) {
        let mut buffer = Vec::new();
        let settings = self.conversations.pump_settings();
        let limit = settings.limit(Some(&place), settings.handshake_timeout);
        let header = tokio::select! {
            header = timeout(limit, proxy_protocol::read(&stream, peer, &mut buffer)) => header,
            _ = self.stop.wait_for(|stopping| *stopping) => return,
        };
        match header {
            Ok(Ok(client)) => {
                let entrance = self.entrance();
                // It leaves the runtime and comes back: the door and the ceiling are the same for both kinds of clients.
                let Ok(stream) = stream.into_std() else { return };
                let Some(stream) = entrance.through_the_door(stream, client) else { return };
                let ceiling = place.ceiling();
                match place.named(entrance.arrival(client)) {
                    Ok(place) => {
                        let Ok(stream) = TcpStream::from_std(stream) else { return };
                        tokio::spawn(self.admit(place, stream, client, buffer));
                    }
                    Err(full) => entrance.turn_away(&ceiling, (stream, client), full),
                }
            }
            Ok(Err(why)) => self.conversations.turned_away(&self.entrance().facts(peer), why),
            Err(_) => self.conversations.turned_away(&self.entrance().facts(peer), "no PROXY header in time"),
        }
    }

    /// Gives the conversation as a future to be run.
    fn admit(
        self,
        place: Place,
        stream: TcpStream,
        client: SocketAddr,
        buffer: Vec<u8>,
    ) -> impl Future<Output = ()> + Send + use<C> {
        let facts = self.entrance().facts(client);
        // Replies are gathered by the pump; waiting for more of them in the kernel would only delay.
        let _ = stream.set_nodelay(true);
        let Self { kind, conversations, stop, alive, .. } = self;
        let mut pump = Pump::new(
            (stream, buffer),
            conversations.begin(&facts),
            conversations.pump_settings(),
            conversations.tls(facts.listener),
            stop,
        );
        pump.takes(place);
        async move {
            let implicit_tls = kind == ListenerKind::Submissions;
            let delay = conversations.greeting_delay();
            if !implicit_tls && !delay.is_zero() && pump.hears_early_talk(delay).await {
                conversations.turned_away(&facts, "talked before the greeting");
                conversations.behaved(&facts, Conduct { early: true, ..Conduct::default() });
                pump.refuse(Reply::improper_pipelining()).await;
            } else {
                let ended = pump.run(implicit_tls).await;
                conversations.ended(&facts, ended);
                let conduct = pump.conduct();
                if conduct != Conduct::default() {
                    conversations.behaved(&facts, conduct);
                }
            }
            // The place is given back first: whoever waits for the last connection sees none.
            drop(pump);
            drop(alive);
        }
    }
}

#[cfg(test)]
mod tests;
