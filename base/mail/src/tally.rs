//! A counter for many keys within a window of time: how often an address came, how many octets a network sent. Promise: its memory is bounded
//! when it is made, whoever it is that comes; what is forgotten first is what has faded most, so a flood of new keys does not wash away the one
//! that is near its limit.
//!
//! **How it counts.** Two buckets a key: this window and the one before, of which the share that still lies within the last window counts. Steady
//! traffic is counted exactly. What came in one burst may be counted for up to two windows, and the share of it that is taken off too early
//! never lets more than twice a limit through in any one window.
//!
//! **What is forgotten.** A key may stand in sixteen places, chosen by its hash with a secret seed. When all are taken, the one with the smallest
//! count by now gives way, and of equals the one that began first. So a new key costs at most one that stands no higher than any of fifteen
//! others; a key near its limit goes only when all its neighbours are nearer still. While the table can still grow, it grows
//! instead.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::time::Duration;

use crate::envelope::UnixMillis;

/// Places that are looked at together.
const SET: usize = 8;
/// Sets of a table that has just been made.
const SETS_FIRST: usize = 8;

/// Counts by key. Give each limit a tally of its own: what is near a limit of ten must not compete with what is far from one of thousands.
#[derive(Debug)]
pub struct Tally<K> {
    /// Whole sets only; grows up to `sets_max`.
    slots: Vec<Option<Slot<K>>>,
    sets_max: usize,
    taken: usize,
    seed: RandomState,
}

#[derive(Clone, Copy, Debug)]
struct Slot<K> {
    key: K,
    /// When the window of `current` began.
    start: UnixMillis,
    /// The window it was last counted with, in milliseconds; more than 49 days are not told apart.
    window: u32,
    before: u32,
    current: u32,
}

impl<K: Copy> Slot<K> {
    /// Moves its two buckets on to `now`.
    fn advanced(mut self, now: UnixMillis, window: Duration) -> Self {
        // At least a millisecond, so that there is something to divide by.
        let window = window.max(Duration::from_millis(1));
        self.window = u32::try_from(window.as_millis()).unwrap_or(u32::MAX);
        if now < self.start {
            // The system's clock was set back: what was counted stands, and fades from here.
            self.start = now;
        }
        let elapsed = now.since(self.start);
        if elapsed >= window.saturating_mul(2) {
            (self.before, self.current, self.start) = (0, 0, now);
        } else if elapsed >= window {
            (self.before, self.current, self.start) = (self.current, 0, self.start.plus(window));
        }
        self
    }

    /// What lies within the last window, about. To be asked of an advanced one.
    fn sum(&self, now: UnixMillis) -> u32 {
        let window = u64::from(self.window.max(1));
        let elapsed = u64::try_from(now.since(self.start).as_millis()).unwrap_or(u64::MAX);
        let share = u64::from(self.before) * window.saturating_sub(elapsed) / window;
        self.current.saturating_add(u32::try_from(share).unwrap_or(u32::MAX))
    }

    /// What is left of it by now, with the window it was counted with.
    fn left(&self, now: UnixMillis) -> u32 {
        self.advanced(now, Duration::from_millis(u64::from(self.window))).sum(now)
    }
}

impl<K: Hash + Eq + Copy> Tally<K> {
    /// For at most this many keys, rounded down to whole sets of eight, and never fewer than eight. It begins small and grows as it is needed.
    #[must_use]
    pub fn new(entries_max: usize) -> Self {
        let sets_max = (entries_max / SET).max(1);
        let mut tally = Self { slots: Vec::new(), sets_max, taken: 0, seed: RandomState::new() };
        tally.slots.resize(sets_max.min(SETS_FIRST) * SET, None);
        tally
    }

    /// How many keys fit into this much memory.
    #[must_use]
    pub const fn entries_in(bytes: usize) -> usize {
        bytes / size_of::<Option<Slot<K>>>()
    }

    /// The most keys that are remembered.
    #[must_use]
    pub fn entries_max(&self) -> usize {
        self.sets_max * SET
    }

    /// Counts `amount` for `key` and gives the sum within the last `window`, with it.
    pub fn add(&mut self, now: UnixMillis, key: K, amount: u32, window: Duration) -> u32 {
        let hash = self.seed.hash_one(key);
        let place = match self.find(hash, &key) {
            Some(place) => place,
            None => self.make_room(now, hash),
        };
        let Some(slot) = self.slots.get_mut(place) else { return amount };
        let known = slot.filter(|slot| slot.key == key);
        if slot.is_none() {
            self.taken += 1;
        }
        let fresh = Slot { key, start: now, window: 0, before: 0, current: 0 };
        let mut counted = known.unwrap_or(fresh).advanced(now, window);
        counted.current = counted.current.saturating_add(amount);
        *slot = Some(counted);
        counted.sum(now)
    }

    /// The sum for `key` within the last `window`; nothing is counted.
    #[must_use]
    pub fn get(&self, now: UnixMillis, key: K, window: Duration) -> u32 {
        let place = self.find(self.seed.hash_one(key), &key);
        let slot = place.and_then(|place| self.slots.get(place).copied().flatten());
        slot.map_or(0, |slot| slot.advanced(now, window).sum(now))
    }

    /// Keys that count for something within the last `window`, each with the time when its count began. Looks at all.
    pub fn counting(&self, now: UnixMillis, window: Duration) -> impl Iterator<Item = (K, UnixMillis)> {
        let slots = self.slots.iter().flatten();
        slots.filter(move |slot| slot.advanced(now, window).sum(now) > 0).map(move |slot| (slot.key, slot.start.min(now)))
    }

    /// Takes a key out: it was pardoned.
    pub fn forget(&mut self, key: K) {
        if let Some(place) = self.find(self.seed.hash_one(key), &key)
            && let Some(slot) = self.slots.get_mut(place)
            && slot.take().is_some()
        {
            self.taken -= 1;
        }
    }

    /// Takes out all keys of which this is true. Looks at each.
    pub fn forget_where(&mut self, mut is_meant: impl FnMut(&K) -> bool) {
        for slot in &mut self.slots {
            if slot.as_ref().is_some_and(|known| is_meant(&known.key)) {
                *slot = None;
                self.taken = self.taken.saturating_sub(1);
            }
        }
    }

    /// Keys that are remembered, those among them that have faded wholly and whose place nobody wanted yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.taken
    }

    /// True when nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.taken == 0
    }

    /// Memory held now, in octets.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Option<Slot<K>>>()
    }

    /// The two sets a key may stand in, as the numbers of their first places.
    fn sets(&self, hash: u64) -> [usize; 2] {
        let sets = (self.slots.len() / SET).max(1);
        let [low, high] = [hash & u64::from(u32::MAX), hash >> 32].map(|half| usize::try_from(half).unwrap_or_default() % sets);
        [low * SET, high * SET]
    }

    fn places(&self, hash: u64) -> impl Iterator<Item = usize> + use<K> {
        self.sets(hash).into_iter().flat_map(|first| first..first + SET)
    }

    fn find(&self, hash: u64, key: &K) -> Option<usize> {
        self.places(hash).find(|place| matches!(self.slots.get(*place), Some(Some(slot)) if slot.key == *key))
    }

    /// A place for a new key: an empty one, else one that has faded wholly, else one in a larger table, else the most faded one.
    fn make_room(&mut self, now: UnixMillis, hash: u64) -> usize {
        let (place, left) = self.most_faded(now, hash);
        if left == 0 || self.slots.len() >= self.entries_max() {
            return place;
        }
        self.grow(now);
        self.most_faded(now, hash).0
    }

    /// Of the places a key may stand in, an empty one of the emptier set, else the one with the smallest count; and that count.
    fn most_faded(&self, now: UnixMillis, hash: u64) -> (usize, u32) {
        let empty = |first: &usize| {
            let set = self.slots.get(*first..first + SET).unwrap_or_default();
            set.iter().filter(|slot| slot.is_none()).count()
        };
        let [one, other] = self.sets(hash);
        let emptier = if empty(&other) > empty(&one) { other } else { one };
        if let Some(place) = (emptier..emptier + SET).find(|place| matches!(self.slots.get(*place), Some(None))) {
            return (place, 0);
        }
        let standing = self.places(hash).filter_map(|place| {
            let slot = self.slots.get(place)?.as_ref()?;
            Some((slot.left(now), slot.start, place))
        });
        standing.min().map_or((one, 0), |(left, _, place)| (place, left))
    }

    /// Twice the sets. Rare: it happens as often as the table can be doubled.
    fn grow(&mut self, now: UnixMillis) {
        let sets = (self.slots.len() / SET).saturating_mul(2).min(self.sets_max);
        let mut slots = Vec::with_capacity(sets * SET);
        slots.resize(sets * SET, None);
        let old = std::mem::replace(&mut self.slots, slots);
        self.taken = 0;
        for slot in old.into_iter().flatten().filter(|slot| slot.left(now) > 0) {
            let (place, _) = self.most_faded(now, self.seed.hash_one(slot.key));
            if let Some(room) = self.slots.get_mut(place) {
                self.taken += usize::from(room.is_none());
                *room = Some(slot);
            }
        }
    }
}

#[cfg(test)]
mod tests;
