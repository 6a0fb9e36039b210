//! The bans in force, for the door. Promise: an answer costs one short lock and a look into a table for each length of prefix that is in use, however
//! many bans there are; and nobody who is spared is ever turned away.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use postern_mail::client::Subnet;
use postern_mail::envelope::UnixMillis;

/// Clients of one ban that are told so in a minute. Whoever comes more often knows, and words cost more than silence.
const WORDS_PER_MINUTE: u64 = 60;

#[derive(Debug)]
struct Entry {
    until: Option<UnixMillis>,
    refused: AtomicU64,
    /// The minute in which words were last counted, and how many there were.
    minute: AtomicU64,
    words: AtomicU64,
}

impl Entry {
    fn new(until: Option<UnixMillis>) -> Self {
        Self { until, refused: AtomicU64::new(0), minute: AtomicU64::new(0), words: AtomicU64::new(0) }
    }

    /// Counts a client that is turned away; true while there are still words for it. Two clients at the turn of a minute may both begin the
    /// count anew, and then a few more hear something.
    fn turn_away(&self, now: UnixMillis) -> bool {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let minute = now.0 / 60_000;
        if self.minute.swap(minute, Ordering::Relaxed) != minute {
            self.words.store(0, Ordering::Relaxed);
        }
        self.words.fetch_add(1, Ordering::Relaxed) < WORDS_PER_MINUTE
    }
}

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<Subnet, Entry>,
    /// How many entries have a prefix of this length, the widest first.
    v4: BTreeMap<u8, usize>,
    v6: BTreeMap<u8, usize>,
    spared: Vec<Subnet>,
}

impl Inner {
    fn prefixes(&mut self, of: Subnet) -> &mut BTreeMap<u8, usize> {
        if of.address().is_ipv4() { &mut self.v4 } else { &mut self.v6 }
    }
}

/// Networks that are banned now.
#[derive(Debug, Default)]
pub struct BanSet {
    inner: RwLock<Inner>,
    /// Beside the lock, so that a server without bans does not take it.
    len: AtomicUsize,
}

impl BanSet {
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        // Each change below is complete before the lock is let go, so a panic elsewhere leaves nothing half done.
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Networks whose clients are let in whatever else is banned.
    pub fn spare(&self, spared: Vec<Subnet>) {
        self.write().spared = spared;
    }

    /// Bans a network to this time, or changes when its ban ends.
    pub fn put(&self, of: Subnet, until: Option<UnixMillis>) {
        let mut inner = self.write();
        if let Some(entry) = inner.entries.get_mut(&of) {
            entry.until = until;
            return;
        }
        inner.entries.insert(of, Entry::new(until));
        *inner.prefixes(of).entry(of.prefix()).or_default() += 1;
        self.len.store(inner.entries.len(), Ordering::Release);
    }

    /// Lets a network in again; false when it was not banned.
    pub fn remove(&self, of: Subnet) -> bool {
        let mut inner = self.write();
        if inner.entries.remove(&of).is_none() {
            return false;
        }
        let prefixes = inner.prefixes(of);
        if let Some(count) = prefixes.get_mut(&of.prefix()) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                prefixes.remove(&of.prefix());
            }
        }
        self.len.store(inner.entries.len(), Ordering::Release);
        true
    }

    fn covering(inner: &Inner, now: UnixMillis, client: IpAddr) -> Option<(Subnet, &Entry)> {
        let prefixes = if client.is_ipv4() { &inner.v4 } else { &inner.v6 };
        let found = prefixes.keys().find_map(|prefix| {
            let network = Subnet::around(client, *prefix)?;
            let entry = inner.entries.get(&network)?;
            entry.until.is_none_or(|until| now < until).then_some((network, entry))
        })?;
        (!inner.spared.iter().any(|spared| spared.contains(client))).then_some(found)
    }

    /// The widest ban that keeps this client out.
    #[must_use]
    pub fn covers(&self, now: UnixMillis, client: IpAddr) -> Option<Subnet> {
        if self.is_empty() {
            return None;
        }
        Self::covering(&self.read(), now, client.to_canonical()).map(|(of, _)| of)
    }

    /// As [`BanSet::covers`], and counts that the client was turned away. With it, whether it is to be told so.
    #[must_use]
    pub fn refuses(&self, now: UnixMillis, client: IpAddr) -> Option<(Subnet, bool)> {
        if self.is_empty() {
            return None;
        }
        let inner = self.read();
        let (of, entry) = Self::covering(&inner, now, client.to_canonical())?;
        Some((of, entry.turn_away(now)))
    }

    /// How many connections this ban has turned away since it began, or since the start.
    #[must_use]
    pub fn refused(&self, of: Subnet) -> u64 {
        self.read().entries.get(&of).map_or(0, |entry| entry.refused.load(Ordering::Relaxed))
    }

    /// How many networks are banned.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// True when none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn net(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn a_client_is_found_by_any_prefix_and_the_widest_is_named() {
        let set = BanSet::default();
        assert_eq!(set.covers(NOW, ip("192.0.2.1")), None);
        for network in ["192.0.2.1/32", "192.0.2.0/24", "198.51.96.0/19", "2001:db8:1:2::/64", "2001:db8:2::/48"] {
            set.put(net(network), None);
        }
        assert_eq!(set.covers(NOW, ip("192.0.2.1")), Some(net("192.0.2.0/24")));
        assert_eq!(set.covers(NOW, ip("::ffff:198.51.127.255")), Some(net("198.51.96.0/19")));
        assert_eq!(set.covers(NOW, ip("198.51.128.0")), None);
        assert_eq!(set.covers(NOW, ip("2001:db8:1:2:3::4")), Some(net("2001:db8:1:2::/64")));
        assert_eq!(set.covers(NOW, ip("2001:db8:2:ffff::1")), Some(net("2001:db8:2::/48")));
        assert_eq!(set.covers(NOW, ip("2001:db8:3::1")), None);
        assert!(set.remove(net("192.0.2.0/24")) && !set.remove(net("192.0.2.0/24")));
        assert_eq!(set.covers(NOW, ip("192.0.2.1")), Some(net("192.0.2.1/32")));
        assert_eq!(set.covers(NOW, ip("192.0.2.2")), None);
    }

    #[test]
    fn a_ban_holds_to_its_end_and_no_longer() {
        let set = BanSet::default();
        set.put(net("192.0.2.1/32"), Some(UnixMillis(2_000)));
        assert!(set.covers(UnixMillis(1_999), ip("192.0.2.1")).is_some());
        assert!(set.covers(UnixMillis(2_000), ip("192.0.2.1")).is_none());
        set.put(net("192.0.2.1/32"), None);
        assert!(set.covers(UnixMillis(2_000), ip("192.0.2.1")).is_some());
        assert_eq!(set.len(), 1);
    }

    #[test]
    fn who_is_spared_is_let_in_through_any_ban() {
        let set = BanSet::default();
        set.put(net("10.0.0.0/8"), None);
        set.spare(vec![net("10.1.0.0/16")]);
        assert_eq!(set.refuses(NOW, ip("10.1.2.3")), None);
        assert_eq!(set.refuses(NOW, ip("10.2.2.3")), Some((net("10.0.0.0/8"), true)));
        assert_eq!(set.refused(net("10.0.0.0/8")), 1);
    }

    #[test]
    fn who_comes_without_end_is_told_so_sixty_times_a_minute_and_then_hears_nothing() {
        let set = BanSet::default();
        set.put(net("192.0.2.0/24"), None);
        let told =
            |now: u64| (0..100).filter(|host| set.refuses(UnixMillis(now), ip(&format!("192.0.2.{host}"))).unwrap().1).count();
        assert_eq!((told(1_000), told(59_999), told(60_000)), (60, 0, 60));
        assert_eq!(set.refused(net("192.0.2.0/24")), 300);
    }
}
