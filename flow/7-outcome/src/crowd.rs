//! Whether all clients seem to come from one private address, as behind the address translation of a container host. Promise: while they do,
//! that address is not banned on anybody's account, since it would be everybody's; a single client of a private network is not taken for a crowd.
//!
//! A crowd is: one private address that gave at least [`NAMES_MIN`] different names in EHLO in this hour or the one before, while no public address
//! of its family was seen for two hours. Other private addresses, of containers beside ours, say nothing, unless there are [`PRIVATE_MAX`] of
//! them: then addresses are told apart. Loopback says nothing either way: health checks of the machine come from there.
//!
//! Until a public address was seen, nobody knows what a private one stands for: it is not banned either.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;
use std::time::Duration;

use postern_mail::envelope::UnixMillis;

/// Different names in EHLO that one program on one machine does not give.
pub const NAMES_MIN: usize = 5;
/// So many private addresses within an hour are clients of a private network, not everybody behind one.
pub const PRIVATE_MAX: usize = 8;
/// How long what was seen counts; it is told once in so long.
const HOUR: Duration = Duration::from_secs(3600);

type Names = [Option<u64>; NAMES_MIN];

fn note(names: &mut Names, name: u64) {
    if !names.contains(&Some(name))
        && let Some(free) = names.iter_mut().find(|known| known.is_none())
    {
        *free = Some(name);
    }
}

/// Private addresses, and the names they gave.
#[derive(Clone, Copy, Debug, Default)]
struct Hour([Option<(IpAddr, Names)>; PRIVATE_MAX]);

impl Hour {
    fn names(&self, of: IpAddr) -> Names {
        self.0.iter().flatten().find(|(address, _)| *address == of).map(|(_, names)| *names).unwrap_or_default()
    }

    fn note(&mut self, client: IpAddr, name: u64) {
        let place = self.0.iter().position(|seen| seen.is_none_or(|(address, _)| address == client));
        if let Some(seen) = place.and_then(|place| self.0.get_mut(place)) {
            note(&mut seen.get_or_insert((client, Names::default())).1, name);
        }
    }

    fn is_full(&self) -> bool {
        self.0.iter().all(Option::is_some)
    }
}

/// What was seen of all clients.
#[derive(Debug)]
pub struct Crowd {
    began: UnixMillis,
    hours: [Hour; 2],
    /// When a public address was seen last, of IPv4 and of IPv6.
    public: [Option<UnixMillis>; 2],
    told: Option<UnixMillis>,
}

impl Default for Crowd {
    fn default() -> Self {
        Self { began: UnixMillis(0), hours: [Hour::default(); 2], public: [None; 2], told: None }
    }
}

/// Addresses that are given out inside a network, and so by a translation too: RFC 1918, RFC 6598, RFC 4193, link-local.
#[must_use]
pub fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private() || v4.is_link_local() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

impl Crowd {
    fn turn(&mut self, now: UnixMillis) {
        let passed = now.since(self.began);
        if passed >= HOUR * 2 {
            (self.began, self.hours) = (now, [Hour::default(); 2]);
        } else if passed >= HOUR {
            let [current, _] = self.hours;
            self.hours = [Hour::default(), current];
            self.began = now;
        }
    }

    /// A client was there, be it that it was turned away.
    pub fn seen(&mut self, now: UnixMillis, client: IpAddr) {
        let client = client.to_canonical();
        if client.is_loopback() || is_private(client) {
            return;
        }
        let [v4, v6] = &mut self.public;
        *(if client.is_ipv4() { v4 } else { v6 }) = Some(now);
    }

    /// A client said EHLO or HELO.
    pub fn hello(&mut self, now: UnixMillis, client: IpAddr, name: &str) {
        let client = client.to_canonical();
        self.seen(now, client);
        if !is_private(client) {
            return;
        }
        self.turn(now);
        let mut hasher = DefaultHasher::new();
        name.to_ascii_lowercase().hash(&mut hasher);
        let [current, _] = &mut self.hours;
        current.note(client, hasher.finish());
    }

    /// True where addresses of this family were seen that only clients of their own can have.
    fn tells_apart(&self, now: UnixMillis, client: IpAddr) -> bool {
        let [v4, v6] = self.public;
        let public = if client.is_ipv4() { v4 } else { v6 };
        let is_lan = now.since(self.began) < HOUR * 2 && self.hours.iter().any(Hour::is_full);
        is_lan || public.is_some_and(|seen| now.since(seen) < HOUR * 2)
    }

    /// True for a private address as long as nothing shows that others have addresses of their own.
    #[must_use]
    pub fn may_be_everybodys(&self, now: UnixMillis, client: IpAddr) -> bool {
        let client = client.to_canonical();
        is_private(client) && !self.tells_apart(now, client)
    }

    /// True for an address behind which everybody seems to be.
    #[must_use]
    pub fn is_shared(&self, now: UnixMillis, client: IpAddr) -> bool {
        let client = client.to_canonical();
        if now.since(self.began) >= HOUR * 2 || !self.may_be_everybodys(now, client) {
            return false;
        }
        let [current, before] = &self.hours;
        let mut names = current.names(client);
        before.names(client).into_iter().flatten().for_each(|name| note(&mut names, name));
        names.iter().all(Option::is_some)
    }

    /// The address behind which everybody seems to be.
    #[must_use]
    pub fn shared(&self, now: UnixMillis) -> Option<IpAddr> {
        let seen = self.hours.iter().flat_map(|hour| hour.0.iter().flatten());
        seen.map(|(address, _)| *address).find(|address| self.is_shared(now, *address))
    }

    /// As [`Crowd::shared`], once an hour: when it is to be told.
    pub fn to_be_told(&mut self, now: UnixMillis) -> Option<IpAddr> {
        let shared = self.shared(now)?;
        if self.told.is_some_and(|told| now.since(told) < HOUR) {
            return None;
        }
        self.told = Some(now);
        Some(shared)
    }
}

#[cfg(test)]
mod tests;
