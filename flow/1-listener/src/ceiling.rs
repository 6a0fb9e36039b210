//! Ceilings on connections: in all, for strangers, per listener, per host, per network, per minute; and on TLS handshakes. Promise: checked before a byte
//! is read; a flood of strangers leaves a part to the clients we know; the memory of the counters is bounded by the connections that are open and by
//! [`CeilingSettings::counter_bytes`].

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use postern_mail::Tally;
use postern_mail::client::Subnet;
use postern_mail::envelope::UnixMillis;

const MINUTE: Duration = Duration::from_secs(60);
/// How long it is remembered who was turned away.
const HOUR: Duration = Duration::from_secs(3600);
/// What a message that was taken counts towards being known. Large, so that it has not faded to nothing before its time.
const DELIVERED: u32 = 1_000;
/// What a login counts: where there is no room for all, customers are forgotten last.
const LOGGED_IN: u32 = 1_000_000;

/// How many connections there may be.
#[derive(Clone, Debug, PartialEq)]
pub struct CeilingSettings {
    /// Open at a time, over all listeners.
    pub connections: usize,
    /// Of these, kept for clients that are known.
    pub reserved: usize,
    /// Open at a time on one listener; known clients are not held by it.
    pub connections_per_listener: usize,
    /// Open at a time from one host (/32, /64).
    pub connections_per_host: usize,
    /// Open at a time from one network (/24, /48); known clients are not held by it.
    pub connections_per_network: usize,
    /// New ones in a minute from one host.
    pub connections_per_minute_per_host: u32,
    /// New ones in a minute from one network; known clients are not held by it.
    pub connections_per_minute_per_network: u32,
    /// TLS handshakes in a minute of one host; known clients are not held by it.
    pub handshakes_per_minute_per_host: u32,
    /// Whose clients are always known.
    pub known_networks: Vec<IpNet>,
    /// How long a client stays known after it logged in or delivered.
    pub known_for: Duration,
    /// Strangers hold this share of what they may have: stress begins.
    pub stress_at: f64,
    /// They hold no more than this share: it is over.
    pub stress_until: f64,
    /// For each of the five counters by host or network that outlive a connection. Taken when the ceiling is made, and not changed after.
    pub counter_bytes: usize,
}

impl CeilingSettings {
    /// What strangers may have together.
    fn for_strangers(&self) -> usize {
        self.connections.saturating_sub(self.reserved)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a count"
    )]
    fn share(&self, share: f64) -> usize {
        (self.for_strangers() as f64 * share) as usize
    }
}

/// Why a connection is not taken, or a handshake not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Full {
    /// The server as a whole.
    Server,
    /// Only what is kept for known clients is left.
    Reserve,
    /// This listener.
    Listener,
    /// This host.
    Host,
    /// This network.
    Network,
    /// This host comes too often.
    HostRate,
    /// This network comes too often.
    NetworkRate,
    /// This host shakes hands too often.
    Handshakes,
}

impl Full {
    const ALL: [Self; 8] = [
        Self::Server,
        Self::Reserve,
        Self::Listener,
        Self::Host,
        Self::Network,
        Self::HostRate,
        Self::NetworkRate,
        Self::Handshakes,
    ];

    /// What it is set to.
    fn limit(self, settings: &CeilingSettings) -> u64 {
        match self {
            Self::Server => settings.connections as u64,
            Self::Reserve => settings.reserved as u64,
            Self::Listener => settings.connections_per_listener as u64,
            Self::Host => settings.connections_per_host as u64,
            Self::Network => settings.connections_per_network as u64,
            Self::HostRate => settings.connections_per_minute_per_host.into(),
            Self::NetworkRate => settings.connections_per_minute_per_network.into(),
            Self::Handshakes => settings.handshakes_per_minute_per_host.into(),
        }
    }

    /// For metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "connections",
            Self::Reserve => "connections_reserved",
            Self::Listener => "connections_per_listener",
            Self::Host => "connections_per_address",
            Self::Network => "connections_per_network",
            Self::HostRate => "connections_per_minute_per_address",
            Self::NetworkRate => "connections_per_minute_per_network",
            Self::Handshakes => "handshakes_per_minute_per_address",
        }
    }
}

/// A client at the door.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// When.
    pub now: UnixMillis,
    /// Who.
    pub address: IpAddr,
    /// The number of the listener it came to.
    pub listener: u16,
    /// It begins with a TLS handshake.
    pub handshake: bool,
}

/// All counts, and the settings they are held to: whoever comes takes one lock.
#[derive(Debug)]
struct Counts {
    settings: CeilingSettings,
    open: usize,
    strangers: usize,
    listeners: HashMap<u16, usize>,
    hosts: HashMap<Subnet, usize>,
    networks: HashMap<Subnet, usize>,
    host_rates: Tally<Subnet>,
    network_rates: Tally<Subnet>,
    handshakes: Tally<Subnet>,
    /// Hosts; and of homes that were written down, networks.
    known: Tally<Subnet>,
    /// Hosts that were turned away, and at which ceiling.
    turned_away: Tally<(Subnet, Full)>,
}

/// Counts open connections.
#[derive(Debug)]
pub struct Ceiling {
    counts: Mutex<Counts>,
    stressed: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
struct Client {
    /// Its host and network are made from it when they are wanted: a place is held by every connection, and is to be small.
    address: IpAddr,
    listener: u16,
    is_known: bool,
    /// It was remembered for a message of this connection: once is enough.
    delivered: bool,
}

impl Client {
    fn host(self) -> Subnet {
        Subnet::host(self.address)
    }

    fn network(self) -> Subnet {
        Subnet::network(self.address)
    }
}

/// A place under the ceiling, given back when dropped.
#[derive(Debug)]
pub struct Place {
    ceiling: Arc<Ceiling>,
    /// Whose it is, once that is known.
    of: Option<Client>,
}

/// What changed with a place that was taken or given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stress {
    Begins { strangers: usize, of: usize },
    IsOver { strangers: usize, of: usize },
}

impl Ceiling {
    /// With these limits.
    #[must_use]
    pub fn new(settings: CeilingSettings) -> Arc<Self> {
        let tally = || Tally::new(Tally::<Subnet>::entries_in(settings.counter_bytes));
        let (host_rates, network_rates, handshakes, known) = (tally(), tally(), tally(), tally());
        let turned_away = Tally::new(Tally::<(Subnet, Full)>::entries_in(settings.counter_bytes));
        let counts = Counts {
            settings,
            open: 0,
            strangers: 0,
            listeners: HashMap::new(),
            hosts: HashMap::new(),
            networks: HashMap::new(),
            host_rates,
            network_rates,
            handshakes,
            known,
            turned_away,
        };
        Arc::new(Self { counts: Mutex::new(counts), stressed: AtomicBool::new(false) })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Counters stay usable after a panic elsewhere: each update below is complete before the lock is let go.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// New limits; what is open stays open.
    pub fn adjust(&self, settings: CeilingSettings) {
        let mut counts = self.lock();
        counts.settings = settings;
        self.weigh(counts);
    }

    /// Connections open now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.lock().open
    }

    /// Strangers hold so much of what they may have that they are to be hurried.
    #[must_use]
    pub fn is_stressed(&self) -> bool {
        self.stressed.load(Ordering::Relaxed)
    }

    /// Memory of the counters that outlive a connection, in octets.
    #[must_use]
    pub fn counter_bytes(&self) -> usize {
        let counts = self.lock();
        let of_hosts = [&counts.host_rates, &counts.network_rates, &counts.handshakes, &counts.known];
        of_hosts.iter().map(|tally| tally.bytes()).sum::<usize>() + counts.turned_away.bytes()
    }

    /// A client of our own networks, or one that logged in or delivered not long ago.
    #[must_use]
    pub fn is_known(&self, now: UnixMillis, address: IpAddr) -> bool {
        self.lock().is_known(now, address)
    }

    /// Networks accounts were proven from, and when last, as they were written down before this start. Until `known_for` has passed, the reserve is
    /// open to clients from there: those that are known by themselves were forgotten. Where a network is held to a limit of its own, so are these.
    pub fn take_up_homes(&self, now: UnixMillis, homes: impl IntoIterator<Item = (Subnet, UnixMillis)>) {
        let mut counts = self.lock();
        let window = counts.settings.known_for;
        for (network, last) in homes.into_iter().filter(|(_, last)| now.since(*last) < window) {
            counts.known.add(last, network, LOGGED_IN, window);
        }
    }

    /// A client is turned away at this ceiling, and may ask why within the hour.
    pub fn turns_away(&self, now: UnixMillis, address: IpAddr, full: Full) {
        self.lock().turned_away.add(now, (Subnet::host(address), full), 1, HOUR);
    }

    /// At which ceilings connections of this host were turned away within the last hour: each with how many, and what the ceiling is now.
    #[must_use]
    pub fn turned_away(&self, now: UnixMillis, address: IpAddr) -> Vec<(Full, u32, u64)> {
        let (host, counts) = (Subnet::host(address), self.lock());
        let of = |full| (full, counts.turned_away.get(now, (host, full), HOUR), full.limit(&counts.settings));
        Full::ALL.into_iter().map(of).filter(|(_, times, _)| *times > 0).collect()
    }

    /// Takes a place for a client.
    ///
    /// # Errors
    /// Which ceiling is reached.
    pub fn enter(self: &Arc<Self>, arrival: Arrival) -> Result<Place, Full> {
        let mut counts = self.lock();
        if counts.open >= counts.settings.connections {
            return Err(Full::Server);
        }
        let client = counts.take(arrival)?;
        counts.open += 1;
        self.weigh(counts);
        Ok(Place { ceiling: Arc::clone(self), of: Some(client) })
    }

    /// Takes a place for a client whose address is still to come, from the proxy it stands behind. Until then nobody knows whether it is a stranger,
    /// and it is held by nothing but the ceiling of the whole server.
    ///
    /// # Errors
    /// The server as a whole is full.
    pub fn enter_unnamed(self: &Arc<Self>) -> Result<Place, Full> {
        let mut counts = self.lock();
        if counts.open >= counts.settings.connections {
            return Err(Full::Server);
        }
        counts.open += 1;
        Ok(Place { ceiling: Arc::clone(self), of: None })
    }

    /// Looks whether stress begins or is over, lets go of the lock, and says so.
    fn weigh(&self, counts: MutexGuard<'_, Counts>) {
        let change = counts.stress(self.is_stressed());
        if let Some(change) = change {
            // Under the lock, so that the flag and the counts agree.
            self.stressed.store(matches!(change, Stress::Begins { .. }), Ordering::Relaxed);
        }
        drop(counts);
        match change {
            Some(Stress::Begins { strangers, of }) => {
                tracing::warn!(strangers, of, "stress: strangers have less time and fewer faults");
            }
            Some(Stress::IsOver { strangers, of }) => tracing::warn!(strangers, of, "stress is over"),
            None => {}
        }
    }
}

fn of<K: std::hash::Hash + Eq>(map: &HashMap<K, usize>, key: &K) -> usize {
    map.get(key).copied().unwrap_or(0)
}

fn give_back<K: std::hash::Hash + Eq>(map: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = map.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            map.remove(key);
        }
    }
}

impl Counts {
    fn is_known(&self, now: UnixMillis, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.settings.known_networks.iter().any(|network| network.contains(&address))
            || self.known.get(now, Subnet::host(address), self.settings.known_for) > 0
    }

    /// Counts a client in, where it may come.
    fn take(&mut self, arrival: Arrival) -> Result<Client, Full> {
        let Arrival { now, address, listener, handshake } = arrival;
        let (host, network) = (Subnet::host(address), Subnet::network(address));
        let is_known = self.is_known(now, address);
        let is_at_home = self.known.get(now, network, self.settings.known_for) > 0;
        // Each try counts, also one that is turned away: whoever goes on hammering stays out.
        let host_rate = self.host_rates.add(now, host, 1, MINUTE);
        let settings = &self.settings;
        let is_hammering = host_rate > settings.connections_per_minute_per_host;
        // What a host tries beyond its own rate is its own doing, and uses nothing up that its neighbours share.
        let network_rate = if is_hammering { 0 } else { self.network_rates.add(now, network, 1, MINUTE) };
        let full = if is_hammering {
            Some(Full::HostRate)
        } else if of(&self.hosts, &host) >= settings.connections_per_host {
            Some(Full::Host)
        } else if is_known {
            // What strangers beside it do is not held against it.
            None
        } else if network_rate > settings.connections_per_minute_per_network {
            Some(Full::NetworkRate)
        } else if of(&self.networks, &network) >= settings.connections_per_network {
            Some(Full::Network)
        } else if is_at_home {
            None
        } else if of(&self.listeners, &listener) >= settings.connections_per_listener {
            Some(Full::Listener)
        } else if self.strangers >= settings.for_strangers() {
            Some(Full::Reserve)
        } else {
            None
        };
        let client = Client { address, listener, is_known: is_known || is_at_home, delivered: false };
        if let Some(full) = full {
            return Err(full);
        }
        if handshake && !self.may_shake_hands(now, client) {
            return Err(Full::Handshakes);
        }
        *self.hosts.entry(host).or_default() += 1;
        *self.networks.entry(network).or_default() += 1;
        *self.listeners.entry(listener).or_default() += 1;
        self.strangers += usize::from(!client.is_known);
        Ok(client)
    }

    fn may_shake_hands(&mut self, now: UnixMillis, client: Client) -> bool {
        let handshakes = self.handshakes.add(now, client.host(), 1, MINUTE);
        client.is_known || handshakes <= self.settings.handshakes_per_minute_per_host
    }

    fn stress(&self, is_stressed: bool) -> Option<Stress> {
        let (strangers, of) = (self.strangers, self.settings.for_strangers());
        if is_stressed {
            (strangers <= self.settings.share(self.settings.stress_until)).then_some(Stress::IsOver { strangers, of })
        } else {
            // One stranger is no crowd, however few there may be.
            let at = self.settings.share(self.settings.stress_at).max(2);
            (strangers >= at).then_some(Stress::Begins { strangers, of })
        }
    }
}

impl Place {
    /// That it is of.
    pub(crate) fn ceiling(&self) -> Arc<Ceiling> {
        Arc::clone(&self.ceiling)
    }

    /// The same place, now that the client's address is known.
    ///
    /// # Errors
    /// Which ceiling is reached; the place is given back.
    pub fn named(mut self, arrival: Arrival) -> Result<Self, Full> {
        let ceiling = Arc::clone(&self.ceiling);
        let mut counts = ceiling.lock();
        // An error drops `self` at the end, which takes the lock again: so it is let go of first.
        match counts.take(arrival) {
            Ok(client) => {
                self.of = Some(client);
                ceiling.weigh(counts);
                Ok(self)
            }
            Err(full) => {
                drop(counts);
                Err(full)
            }
        }
    }

    /// Its client logged in: it counts as known from here on, and when it comes again.
    pub fn logged_in(&mut self, now: UnixMillis) {
        self.remember(now, LOGGED_IN);
        let Some(client) = self.of.as_mut().filter(|client| !client.is_known) else { return };
        client.is_known = true;
        let mut counts = self.ceiling.lock();
        counts.strangers = counts.strangers.saturating_sub(1);
        self.ceiling.weigh(counts);
    }

    /// It is a stranger's, or nobody knows yet whose, and the server is under stress. Takes no lock, so it may be asked for each line.
    #[must_use]
    pub fn is_hurried(&self) -> bool {
        self.ceiling.is_stressed() && self.of.is_none_or(|client| !client.is_known)
    }

    /// A message of its client was taken: it is known when it comes again.
    pub fn delivered(&mut self, now: UnixMillis) {
        if let Some(client) = self.of.as_mut().filter(|client| !client.delivered) {
            client.delivered = true;
            self.remember(now, DELIVERED);
        }
    }

    fn remember(&self, now: UnixMillis, amount: u32) {
        let Some(client) = self.of else { return };
        let mut counts = self.ceiling.lock();
        let window = counts.settings.known_for;
        counts.known.add(now, client.host(), amount, window);
    }

    /// Counts a TLS handshake that its client asks for.
    ///
    /// # Errors
    /// It has asked too often.
    pub fn shakes_hands(&self, now: UnixMillis) -> Result<(), Full> {
        let Some(client) = self.of else { return Ok(()) };
        if self.ceiling.lock().may_shake_hands(now, client) { Ok(()) } else { Err(Full::Handshakes) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.ceiling.lock();
        counts.open = counts.open.saturating_sub(1);
        if let Some(client) = self.of {
            give_back(&mut counts.hosts, &client.host());
            give_back(&mut counts.networks, &client.network());
            give_back(&mut counts.listeners, &client.listener);
            if !client.is_known {
                counts.strangers = counts.strangers.saturating_sub(1);
            }
        }
        self.ceiling.weigh(counts);
    }
}

#[cfg(test)]
mod tests;
