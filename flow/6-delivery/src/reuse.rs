//! Connections kept for the next message. Head: what is kept and for how long; the connections themselves are somebody else's words here.
//! Promise: never more than the two limits, and a connection given out was put in less than the idle time ago.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

struct Idle<C> {
    since: Instant,
    connection: C,
}

/// A shelf of idle connections by what they can be used for.
pub(crate) struct Shelf<K, C> {
    kept: HashMap<K, Vec<Idle<C>>>,
    count: usize,
    count_max: usize,
    per_key_max: usize,
    idle_max: Duration,
}

impl<K: Hash + Eq + Clone, C> Shelf<K, C> {
    pub(crate) fn new(count_max: usize, per_key_max: usize, idle_max: Duration) -> Self {
        Self { kept: HashMap::new(), count: 0, count_max, per_key_max, idle_max }
    }

    /// The connection used last for this key: the ones used less often may then grow too old.
    pub(crate) fn take(&mut self, now: Instant, key: &K) -> Option<C> {
        let kept = self.kept.get_mut(key)?;
        let last = kept.pop();
        if kept.is_empty() {
            self.kept.remove(key);
        }
        let last = last?;
        self.count -= 1;
        // All under it are older still; `expire` takes them.
        (now.saturating_duration_since(last.since) < self.idle_max).then_some(last.connection)
    }

    /// Keeps a connection; gives it back when there is no room for it.
    pub(crate) fn put(&mut self, now: Instant, key: K, connection: C) -> Option<C> {
        if self.count >= self.count_max || self.per_key_max == 0 || self.idle_max.is_zero() {
            return Some(connection);
        }
        let kept = self.kept.entry(key).or_default();
        if kept.len() >= self.per_key_max {
            return Some(connection);
        }
        kept.push(Idle { since: now, connection });
        self.count += 1;
        None
    }

    /// Takes out what has been idle for too long.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<C> {
        let mut old = Vec::new();
        self.kept.retain(|_, kept| {
            // Put in order of time, so the old ones stand first.
            let idle_max = self.idle_max;
            let fresh = kept.partition_point(|idle| now.saturating_duration_since(idle.since) >= idle_max);
            old.extend(kept.drain(..fresh).map(|idle| idle.connection));
            !kept.is_empty()
        });
        self.count -= old.len();
        old
    }

    /// Takes everything out.
    pub(crate) fn clear(&mut self) -> Vec<C> {
        self.count = 0;
        self.kept.drain().flat_map(|(_, kept)| kept).map(|idle| idle.connection).collect()
    }

    /// How many are kept.
    pub(crate) fn len(&self) -> usize {
        self.count
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test needs some moment to count from")]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(10);

    #[test]
    fn the_connection_used_last_comes_first_and_only_for_its_key() {
        let now = Instant::now();
        let mut shelf = Shelf::new(10, 10, IDLE);
        assert_eq!(shelf.put(now, "a", 1), None);
        assert_eq!(shelf.put(now, "a", 2), None);
        assert_eq!(shelf.take(now, &"b"), None);
        assert_eq!(shelf.take(now, &"a"), Some(2));
        assert_eq!(shelf.take(now, &"a"), Some(1));
        assert_eq!(shelf.take(now, &"a"), None);
        assert!(shelf.kept.is_empty(), "no key outlives its connections");
    }

    #[test]
    fn both_limits_hold() {
        let now = Instant::now();
        let mut shelf = Shelf::new(3, 2, IDLE);
        assert_eq!(shelf.put(now, "a", 1), None);
        assert_eq!(shelf.put(now, "a", 2), None);
        assert_eq!(shelf.put(now, "a", 3), Some(3));
        assert_eq!(shelf.put(now, "b", 4), None);
        assert_eq!(shelf.put(now, "c", 5), Some(5));
        assert_eq!(shelf.len(), 3);
        assert_eq!(shelf.clear().len(), 3);
        assert_eq!(shelf.len(), 0);
    }

    #[test]
    fn what_was_idle_too_long_is_closed_and_never_given_out() {
        let start = Instant::now();
        let mut shelf = Shelf::new(10, 10, IDLE);
        assert_eq!(shelf.put(start, "a", 1), None);
        assert_eq!(shelf.put(start + IDLE / 2, "a", 2), None);
        assert_eq!(shelf.expire(start + IDLE), [1]);
        assert_eq!(shelf.take(start + IDLE * 2, &"a"), None);
        assert_eq!(shelf.len(), 0);
    }
}
