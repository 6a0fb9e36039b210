//! Whether all clients seem to come from one private address, as behind the address translation of a container host. Promise: while they do,
//! that address is not banned on anybody's account, since it would be everybody's; a single client of a private network is not taken for a crowd.
//!
//! A crowd is: in this hour and the one before, every client had the same private address, and gave at least [`NAMES_MIN`] different names in
//! EHLO. Loopback says nothing either way: health checks of the machine come from there.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;
use std::time::Duration;

use postern_mail::envelope::UnixMillis;

/// Different names in EHLO that one program on one machine does not give.
pub const NAMES_MIN: usize = 5;
/// How long what was seen counts; it is told once in so long.
const HOUR: Duration = Duration::from_secs(3600);

#[derive(Clone, Copy, Debug, Default)]
struct Hour {
    /// The only address so far.
    only: Option<IpAddr>,
    /// There was another one.
    mixed: bool,
    names: [Option<u64>; NAMES_MIN],
}

impl Hour {
    fn name(&mut self, name: u64) {
        if !self.names.contains(&Some(name))
            && let Some(free) = self.names.iter_mut().find(|known| known.is_none())
        {
            *free = Some(name);
        }
    }
}

/// What was seen of all clients.
#[derive(Debug)]
pub struct Crowd {
    began: UnixMillis,
    hours: [Hour; 2],
    told: Option<UnixMillis>,
}

impl Default for Crowd {
    fn default() -> Self {
        Self { began: UnixMillis(0), hours: [Hour::default(); 2], told: None }
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
            *self = Self { began: now, told: self.told, ..Self::default() };
        } else if passed >= HOUR {
            let [current, _] = self.hours;
            self.hours = [Hour::default(), current];
            self.began = now;
        }
    }

    /// A client said EHLO or HELO.
    pub fn hello(&mut self, now: UnixMillis, client: IpAddr, name: &str) {
        let client = client.to_canonical();
        if client.is_loopback() {
            return;
        }
        self.turn(now);
        let [current, _] = &mut self.hours;
        match current.only {
            None => current.only = Some(client),
            Some(only) if only != client => current.mixed = true,
            Some(_) => {}
        }
        if !current.mixed {
            let mut hasher = DefaultHasher::new();
            name.to_ascii_lowercase().hash(&mut hasher);
            current.name(hasher.finish());
        }
    }

    /// The address behind which everybody seems to be.
    #[must_use]
    pub fn shared(&self, now: UnixMillis) -> Option<IpAddr> {
        let fresh = now.since(self.began);
        let [mut current, before] = self.hours;
        if fresh >= HOUR * 2 || current.mixed || before.mixed {
            return None;
        }
        let only = current.only.or(before.only)?;
        if before.only.is_some_and(|earlier| earlier != only) || !is_private(only) {
            return None;
        }
        for name in before.names.into_iter().flatten() {
            current.name(name);
        }
        current.names.iter().all(Option::is_some).then_some(only)
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
