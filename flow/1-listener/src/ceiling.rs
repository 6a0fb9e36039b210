//! Ceilings on connections: in all, per host, per network, and per minute. Promise: checked before a byte is read; the memory of the counters is
//! bounded by the connections that are open and by [`CeilingSettings::rates_max`].

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use postern_mail::client::Subnet;

/// How many connections there may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CeilingSettings {
    /// Open at a time, over all listeners.
    pub connections: usize,
    /// Open at a time from one host (/32, /64).
    pub connections_per_host: usize,
    /// Open at a time from one network (/24, /48).
    pub connections_per_network: usize,
    /// New ones in a minute from one host.
    pub connections_per_minute_per_host: u32,
    /// Hosts whose rate is remembered; when there are more, the ones whose minute is over are forgotten first, then all.
    pub rates_max: usize,
}

/// Why a connection is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Full {
    /// The server as a whole.
    Server,
    /// This host.
    Host,
    /// This network.
    Network,
    /// This host comes too often.
    Rate,
}

impl Full {
    /// For metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "connections",
            Self::Host => "connections_per_address",
            Self::Network => "connections_per_network",
            Self::Rate => "connections_per_minute_per_address",
        }
    }
}

#[derive(Debug)]
struct Rate {
    since: Instant,
    count: u32,
}

#[derive(Debug, Default)]
struct Counts {
    open: usize,
    hosts: HashMap<Subnet, usize>,
    networks: HashMap<Subnet, usize>,
    rates: HashMap<Subnet, Rate>,
}

/// Counts open connections.
#[derive(Debug)]
pub struct Ceiling {
    settings: Mutex<CeilingSettings>,
    counts: Mutex<Counts>,
}

/// A place under the ceiling, given back when dropped.
#[derive(Debug)]
pub struct Place {
    ceiling: Arc<Ceiling>,
    /// Its host and network, once they are known.
    of: Option<(Subnet, Subnet)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Counters stay usable after a panic elsewhere: each update below is complete before the lock is let go.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ceiling {
    /// With these limits.
    #[must_use]
    pub fn new(settings: CeilingSettings) -> Arc<Self> {
        Arc::new(Self { settings: Mutex::new(settings), counts: Mutex::default() })
    }

    /// New limits; what is open stays open.
    pub fn adjust(&self, settings: CeilingSettings) {
        *lock(&self.settings) = settings;
    }

    /// Connections open now.
    #[must_use]
    pub fn open(&self) -> usize {
        lock(&self.counts).open
    }

    /// Takes a place for a client.
    ///
    /// # Errors
    /// Which ceiling is reached.
    pub fn enter(self: &Arc<Self>, now: Instant, address: IpAddr) -> Result<Place, Full> {
        self.enter_unnamed()?.named(now, address)
    }

    /// Takes a place for a client whose address is still to come, from the proxy it stands behind.
    ///
    /// # Errors
    /// The server as a whole is full.
    pub fn enter_unnamed(self: &Arc<Self>) -> Result<Place, Full> {
        let connections = lock(&self.settings).connections;
        let mut counts = lock(&self.counts);
        if counts.open >= connections {
            return Err(Full::Server);
        }
        counts.open += 1;
        Ok(Place { ceiling: Arc::clone(self), of: None })
    }
}

impl Counts {
    /// Counts a new connection of this host; false when it comes too often.
    fn is_within_rate(&mut self, now: Instant, host: Subnet, settings: &CeilingSettings) -> bool {
        let minute = Duration::from_secs(60);
        if self.rates.len() >= settings.rates_max && !self.rates.contains_key(&host) {
            self.rates.retain(|_, rate| now.duration_since(rate.since) < minute);
            if self.rates.len() >= settings.rates_max {
                self.rates.clear();
            }
        }
        let rate = self.rates.entry(host).or_insert(Rate { since: now, count: 0 });
        if now.duration_since(rate.since) >= minute {
            *rate = Rate { since: now, count: 0 };
        }
        rate.count = rate.count.saturating_add(1);
        rate.count <= settings.connections_per_minute_per_host
    }
}

impl Place {
    /// The same place, now that the client's address is known.
    ///
    /// # Errors
    /// Which ceiling is reached; the place is given back.
    pub fn named(mut self, now: Instant, address: IpAddr) -> Result<Self, Full> {
        let (host, network) = (Subnet::host(address), Subnet::network(address));
        let settings = lock(&self.ceiling.settings).clone();
        let mut counts = lock(&self.ceiling.counts);
        let of = |map: &HashMap<Subnet, usize>, key: &Subnet| map.get(key).copied().unwrap_or(0);
        let full = if !counts.is_within_rate(now, host, &settings) {
            Some(Full::Rate)
        } else if of(&counts.hosts, &host) >= settings.connections_per_host {
            Some(Full::Host)
        } else if of(&counts.networks, &network) >= settings.connections_per_network {
            Some(Full::Network)
        } else {
            None
        };
        if full.is_none() {
            *counts.hosts.entry(host).or_default() += 1;
            *counts.networks.entry(network).or_default() += 1;
            self.of = Some((host, network));
        }
        // Let go before `self` is dropped on an error, which takes the lock again.
        drop(counts);
        full.map_or(Ok(self), Err)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = lock(&self.ceiling.counts);
        counts.open = counts.open.saturating_sub(1);
        let Some((host, network)) = self.of else { return };
        let Counts { hosts, networks, .. } = &mut *counts;
        for (map, key) in [(hosts, host), (networks, network)] {
            if let Some(count) = map.get_mut(&key) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    map.remove(&key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> CeilingSettings {
        CeilingSettings {
            connections: 4,
            connections_per_host: 2,
            connections_per_network: 3,
            connections_per_minute_per_host: 100,
            rates_max: 8,
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[expect(clippy::disallowed_methods, reason = "a starting point for made-up times")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn each_ceiling_is_reached_and_a_place_comes_back() {
        let ceiling = Ceiling::new(settings());
        let now = start();
        let first = ceiling.enter(now, ip("192.0.2.1")).unwrap();
        let _second = ceiling.enter(now, ip("192.0.2.1")).unwrap();
        assert_eq!(ceiling.enter(now, ip("192.0.2.1")).unwrap_err(), Full::Host);
        let _third = ceiling.enter(now, ip("192.0.2.2")).unwrap();
        assert_eq!(ceiling.enter(now, ip("192.0.2.3")).unwrap_err(), Full::Network);
        let _fourth = ceiling.enter(now, ip("198.51.100.1")).unwrap();
        assert_eq!(ceiling.enter(now, ip("203.0.113.1")).unwrap_err(), Full::Server);
        drop(first);
        assert!(ceiling.enter(now, ip("192.0.2.1")).is_ok());
    }

    #[test]
    fn a_rotating_ipv6_client_is_one_host() {
        let ceiling = Ceiling::new(settings());
        let now = start();
        let _places: Vec<_> = (1..=2).map(|n| ceiling.enter(now, ip(&format!("2001:db8::{n}"))).unwrap()).collect();
        assert_eq!(ceiling.enter(now, ip("2001:db8::3")).unwrap_err(), Full::Host);
    }

    #[test]
    fn coming_too_often_is_noticed_and_forgiven_after_a_minute() {
        let ceiling = Ceiling::new(CeilingSettings { connections_per_minute_per_host: 3, ..settings() });
        let now = start();
        for _ in 0..3 {
            drop(ceiling.enter(now, ip("192.0.2.1")).unwrap());
        }
        assert_eq!(ceiling.enter(now, ip("192.0.2.1")).unwrap_err(), Full::Rate);
        assert!(ceiling.enter(now + Duration::from_secs(60), ip("192.0.2.1")).is_ok());
    }

    #[test]
    fn memory_of_rates_is_bounded_and_of_counts_given_back() {
        let ceiling = Ceiling::new(settings());
        let now = start();
        for n in 0..1000_u32 {
            drop(ceiling.enter(now, IpAddr::from(std::net::Ipv4Addr::from(0x0a00_0000 + n))));
        }
        let counts = lock(&ceiling.counts);
        assert!(counts.rates.len() <= 8);
        assert!(counts.hosts.is_empty() && counts.networks.is_empty());
    }
}
