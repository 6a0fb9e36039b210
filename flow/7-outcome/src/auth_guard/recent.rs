//! What was seen lately, by key. Promise: never more than `entries_max` entries; what was not touched for longest goes first.
//!
//! Two generations: when the younger is full it becomes the older, and the older is dropped; what is touched moves to the younger. So an
//! entry that is touched now and then stays, whatever flood goes by, and what is dropped was not touched while half of the room was filled
//! with others.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem;

/// A bounded map that forgets what nobody asks for.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    younger: HashMap<K, V>,
    older: HashMap<K, V>,
    half: usize,
}

impl<K: Hash + Eq + Copy, V> Recent<K, V> {
    pub(super) fn new(entries_max: usize) -> Self {
        Self { younger: HashMap::new(), older: HashMap::new(), half: (entries_max / 2).max(1) }
    }

    /// Without touching it.
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.younger.get(key).or_else(|| self.older.get(key))
    }

    /// What is known of a key, or what is made of nothing; touched.
    pub(super) fn touch(&mut self, key: K, fresh: impl FnOnce() -> V) -> &mut V {
        let known = self.younger.remove(&key).or_else(|| self.older.remove(&key));
        if self.younger.len() >= self.half {
            self.older = mem::take(&mut self.younger);
        }
        self.younger.entry(key).or_insert_with(|| known.unwrap_or_else(fresh))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.younger.len() + self.older.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_new_keys_is_bounded_and_leaves_what_is_touched() {
        let mut recent = Recent::new(100);
        for key in 0..10_000_u32 {
            recent.touch(key + 1, || key);
            *recent.touch(0, || 7) += 0;
            assert!(recent.len() <= 101, "{}", recent.len());
        }
        assert_eq!((recent.get(&0), recent.get(&1)), (Some(&7), None));
    }
}
