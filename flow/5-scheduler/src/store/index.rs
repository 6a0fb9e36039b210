//! From a key to its cell, for keys that are in the cells already. Promise: eight octets a place and no second copy of any key;
//! looking up reads the table and the cell that matches, growing and removing read no cell at all.
//!
//! Places are filled in the order of their tags, which lets the table have any size (it grows by half, not to double) and lets it
//! grow by walking memory forward.

use super::slab::{NOWHERE, Slot};

/// Finds cells by a hash of their key. The caller makes the hash and compares the keys.
#[derive(Debug)]
pub(crate) struct Index {
    places: Vec<Place>,
    used: usize,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    tag: u32,
    slot: Slot,
}

const FREE: Place = Place { tag: 0, slot: NOWHERE };

const PLACES_MIN: usize = 16;

impl Index {
    pub(crate) const fn new() -> Self {
        Self { places: Vec::new(), used: 0 }
    }

    /// The cell with this hash for which `is_it` holds.
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(Slot) -> bool) -> Option<Slot> {
        self.find_place(tag(hash), is_it).and_then(|at| self.places.get(at)).map(|place| place.slot)
    }

    /// Adds a cell that is not in the index.
    pub(crate) fn insert(&mut self, hash: u64, slot: Slot) {
        // At most 7 of 8 places are used, so a probe always ends.
        if (self.used + 1) * 8 > self.places.len() * 7 {
            self.resize((self.places.len() + self.places.len() / 2).max(PLACES_MIN));
        }
        self.put(Place { tag: tag(hash), slot });
        self.used += 1;
    }

    /// Lets the place that knows `old` know `new` instead; the key is the same.
    pub(crate) fn replace(&mut self, hash: u64, old: Slot, new: Slot) {
        if let Some(place) = self.find_place(tag(hash), |slot| slot == old).and_then(|at| self.places.get_mut(at)) {
            place.slot = new;
        }
    }

    /// Forgets a cell.
    pub(crate) fn remove(&mut self, hash: u64, slot: Slot) {
        let Some(mut hole) = self.find_place(tag(hash), |s| s == slot) else { return };
        // Whatever stands behind the hole and would rather stand nearer to its home moves up, so no probe ever meets a gap.
        let mut at = hole;
        loop {
            at = self.after(at);
            let place = self.place(at);
            if place.slot == NOWHERE {
                break;
            }
            let home = self.home(place.tag);
            if self.distance(home, at) >= self.distance(hole, at) {
                self.set(hole, place);
                hole = at;
            }
        }
        self.set(hole, FREE);
        self.used -= 1;
        if self.used * 8 < self.places.len() && self.places.len() > PLACES_MIN {
            self.resize((self.used * 2).max(PLACES_MIN));
        }
    }

    fn find_place(&self, tag: u32, is_it: impl Fn(Slot) -> bool) -> Option<usize> {
        if self.places.is_empty() {
            return None;
        }
        let mut at = self.home(tag);
        loop {
            let place = self.place(at);
            if place.slot == NOWHERE {
                return None;
            }
            if place.tag == tag && is_it(place.slot) {
                return Some(at);
            }
            at = self.after(at);
        }
    }

    fn put(&mut self, place: Place) {
        let mut at = self.home(place.tag);
        while self.place(at).slot != NOWHERE {
            at = self.after(at);
        }
        self.set(at, place);
    }

    fn resize(&mut self, places: usize) {
        let old = std::mem::replace(&mut self.places, vec![FREE; places]);
        for place in old.into_iter().filter(|place| place.slot != NOWHERE) {
            self.put(place);
        }
    }

    /// Tags are spread evenly, so the share of the tag in all tags is the share of the place in all places.
    fn home(&self, tag: u32) -> usize {
        usize::try_from((u64::from(tag) * self.places.len() as u64) >> 32).unwrap_or(0)
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 < self.places.len() { at + 1 } else { 0 }
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.places.len() - from }
    }

    fn place(&self, at: usize) -> Place {
        self.places.get(at).copied().unwrap_or(FREE)
    }

    fn set(&mut self, at: usize, place: Place) {
        if let Some(cell) = self.places.get_mut(at) {
            *cell = place;
        }
    }
}

fn tag(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or(0)
}

/// Spreads a number of our own making, which no stranger chooses, over all hashes.
pub(crate) fn spread(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Few hashes, so that long runs of neighbours come about and wrap around the end of the table.
        #[test]
        fn an_index_agrees_with_a_set(steps in prop::collection::vec((any::<bool>(), 0..60_u32), 0..400)) {
            let hash = |key: u32| u64::MAX - (u64::from(key % 7) << 58);
            let (mut index, mut set) = (Index::new(), HashSet::new());
            for (add, key) in steps {
                if add && set.insert(key) {
                    index.insert(hash(key), key);
                } else if !add && set.remove(&key) {
                    index.remove(hash(key), key);
                }
                for key in 0..60 {
                    prop_assert_eq!(index.find(hash(key), |slot| slot == key).is_some(), set.contains(&key));
                }
            }
        }
    }

    #[test]
    fn an_index_shrinks_with_what_is_in_it() {
        let mut index = Index::new();
        for key in 0..100_000 {
            index.insert(spread(key.into()), key);
        }
        assert!(index.places.len() < 180_000);
        for key in 0..100_000 {
            assert_eq!(index.find(spread(key.into()), |slot| slot == key), Some(key));
            index.remove(spread(key.into()), key);
        }
        assert!(index.places.len() <= PLACES_MIN);
    }
}
