//! Where every message is. Promise: an entry points at a record that is durable, and costs at most 64 octets with everything around it.
//!
//! The index is split into shards only so that growing is never a long stop: a hash map of a million entries that doubles would hold
//! up everybody for tens of milliseconds.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use postern_mail::MessageId;

const SHARDS: u64 = 64;

/// Spreads message ids over a map. They are ours and no stranger can choose them, so a multiplication does.
#[derive(Clone, Copy, Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0 ^ u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        let product = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ (product >> 32);
    }
}

/// A map by message id.
type IdMap = HashMap<MessageId, Place, BuildHasherDefault<IdHasher>>;

/// A record in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Generation of the segment.
    pub(crate) segment: u32,
    /// Records begin on multiples of eight, which lets 32 bits reach 32 GiB.
    eighths: u32,
    /// Header and padding included.
    pub(crate) bytes: u32,
    /// Its body is a file of its own.
    pub(crate) in_file: bool,
}

impl Place {
    pub(crate) fn new(segment: u32, offset: u64, bytes: usize, in_file: bool) -> Self {
        // Both are bounded by the size of a segment, which settings bound to 8 GiB; a place that did not fit would fail to validate.
        let eighths = u32::try_from(offset / 8).unwrap_or(u32::MAX);
        Self { segment, eighths, bytes: u32::try_from(bytes).unwrap_or(u32::MAX), in_file }
    }

    pub(crate) fn offset(&self) -> u64 {
        u64::from(self.eighths) * 8
    }
}

/// Part of the index.
#[derive(Default)]
struct Shard {
    messages: IdMap,
    /// Only of those that have any and were not moved since.
    progress: IdMap,
}

/// All messages, and the progress of those that have any.
pub(crate) struct Index {
    shards: Vec<Shard>,
}

impl Index {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Shard::default()).collect() }
    }

    fn number(id: MessageId) -> usize {
        usize::try_from(id.0 % SHARDS).unwrap_or(0)
    }

    fn shard(&self, id: MessageId) -> Option<&Shard> {
        self.shards.get(Self::number(id))
    }

    fn shard_mut(&mut self, id: MessageId) -> Option<&mut Shard> {
        self.shards.get_mut(Self::number(id))
    }

    pub(crate) fn place(&self, id: MessageId) -> Option<Place> {
        self.shard(id)?.messages.get(&id).copied()
    }

    pub(crate) fn insert(&mut self, id: MessageId, place: Place) {
        if let Some(shard) = self.shard_mut(id) {
            shard.messages.insert(id, place);
        }
    }

    pub(crate) fn remove(&mut self, id: MessageId) -> Option<Place> {
        let shard = self.shard_mut(id)?;
        shard.progress.remove(&id);
        shard.messages.remove(&id)
    }

    pub(crate) fn progress(&self, id: MessageId) -> Option<Place> {
        self.shard(id)?.progress.get(&id).copied()
    }

    pub(crate) fn set_progress(&mut self, id: MessageId, place: Option<Place>) {
        let Some(shard) = self.shard_mut(id) else { return };
        match place {
            Some(place) => shard.progress.insert(id, place),
            None => shard.progress.remove(&id),
        };
    }

    /// Forgets progress of messages that are not there.
    pub(crate) fn drop_orphaned_progress(&mut self) {
        for Shard { messages, progress } in &mut self.shards {
            progress.retain(|id, _| messages.contains_key(id));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.messages.len()).sum()
    }

    pub(crate) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// The messages of one shard.
    pub(crate) fn of_shard(&self, shard: usize) -> impl Iterator<Item = (MessageId, Place)> {
        self.shards.get(shard).into_iter().flat_map(|shard| &shard.messages).map(|(id, place)| (*id, *place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_stays_small() {
        assert!(size_of::<(MessageId, Place)>() <= 24);
    }

    #[test]
    fn the_longest_offset_of_the_largest_segment_fits() {
        let place = Place::new(1, (8 << 30) - 8, 32, false);
        assert_eq!(place.offset(), (8 << 30) - 8);
    }

    #[test]
    fn removing_a_message_forgets_its_progress() {
        let mut index = Index::new();
        let place = Place::new(1, 64, 32, false);
        index.insert(MessageId(5), place);
        index.set_progress(MessageId(5), Some(place));
        assert_eq!(index.remove(MessageId(5)), Some(place));
        assert_eq!((index.progress(MessageId(5)), index.len()), (None, 0));
    }
}
