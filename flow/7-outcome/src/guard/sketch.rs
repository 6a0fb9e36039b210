//! Whom an account has written to before, as a set that may err: a few bits for each address. Promise: its memory is bounded whatever an account
//! sends; who was put in lately is found again; and of those who were not, fewer than one in twenty are taken for known.
//!
//! It is a row of Bloom filters, each twice as large as the one before, up to a limit. When there would be too many, the oldest is forgotten, so who
//! has not been written to for long becomes a stranger again.

/// Octets of the first filter.
const FIRST: usize = 256;
/// Octets of the largest.
const LARGEST: usize = 16 << 10;
/// Octets of all filters of one account.
const ALL: usize = 48 << 10;
/// Bits of a filter for each address in it.
const BITS_EACH: usize = 10;
/// Bits that are set for an address.
const HASHES: u64 = 5;

#[derive(Clone, Debug, PartialEq)]
struct Filter {
    bits: Vec<u8>,
    /// Addresses put in.
    held: u32,
}

impl Filter {
    fn new(octets: usize) -> Self {
        Self { bits: vec![0; octets], held: 0 }
    }

    fn places(&self, key: u64) -> impl Iterator<Item = usize> + use<> {
        let bits = (self.bits.len() as u64 * 8).max(1);
        // Two halves of one good hash make as many as are needed.
        let (first, second) = (key, key.rotate_left(32) | 1);
        (0..HASHES).map(move |turn| usize::try_from(first.wrapping_add(turn.wrapping_mul(second)) % bits).unwrap_or(0))
    }

    fn has(&self, key: u64) -> bool {
        self.places(key).all(|place| self.bits.get(place / 8).is_some_and(|octet| octet & (1 << (place % 8)) != 0))
    }

    fn put(&mut self, key: u64) {
        for place in self.places(key) {
            if let Some(octet) = self.bits.get_mut(place / 8) {
                *octet |= 1 << (place % 8);
            }
        }
        self.held = self.held.saturating_add(1);
    }

    fn is_full(&self) -> bool {
        self.held as usize * BITS_EACH >= self.bits.len() * 8
    }
}

/// The set.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sketch {
    /// The oldest first.
    filters: Vec<Filter>,
}

impl Sketch {
    /// True for one that was put in, and for few others.
    pub(super) fn has(&self, key: u64) -> bool {
        self.filters.iter().any(|filter| filter.has(key))
    }

    /// Puts one in.
    pub(super) fn put(&mut self, key: u64) {
        if self.filters.last().is_some_and(|filter| filter.has(key)) {
            return;
        }
        if self.filters.last().is_none_or(Filter::is_full) {
            let octets = self.filters.last().map_or(FIRST, |filter| (filter.bits.len() * 2).min(LARGEST));
            self.filters.push(Filter::new(octets));
            while self.bytes() > ALL {
                self.filters.remove(0);
            }
        }
        if let Some(filter) = self.filters.last_mut() {
            filter.put(key);
        }
    }

    /// Addresses put in and not forgotten.
    pub(super) fn len(&self) -> u32 {
        self.filters.iter().fold(0, |sum, filter| sum.saturating_add(filter.held))
    }

    /// Memory, in octets.
    pub(super) fn bytes(&self) -> usize {
        self.filters.iter().map(|filter| filter.bits.len()).sum()
    }

    pub(super) fn write(&self, to: &mut Vec<u8>) {
        to.push(u8::try_from(self.filters.len()).unwrap_or(u8::MAX));
        for filter in &self.filters {
            to.extend_from_slice(&u32::try_from(filter.bits.len()).unwrap_or(0).to_le_bytes());
            to.extend_from_slice(&filter.held.to_le_bytes());
            to.extend_from_slice(&filter.bits);
        }
    }

    pub(super) fn read(from: &mut super::row::Reader<'_>) -> Option<Self> {
        let count = from.u8()?;
        let mut sketch = Self::default();
        for _ in 0..count {
            let (octets, held) = (usize::try_from(from.u32()?).ok()?, from.u32()?);
            if octets == 0 || octets > LARGEST {
                return None;
            }
            sketch.filters.push(Filter { bits: from.octets(octets)?.to_vec(), held });
            if sketch.bytes() > ALL {
                return None;
            }
        }
        Some(sketch)
    }
}

/// Mixes octets into a key for a set: FNV-1a, and a finish that spreads it over all bits. The seed is a secret of this server, so that nobody can look
/// for addresses that are taken for others.
pub(super) fn key(seed: u64, parts: &[&[u8]]) -> u64 {
    let mut hash = seed ^ 0xcbf2_9ce4_8422_2325;
    for part in parts {
        for octet in *part {
            hash = (hash ^ u64::from(octet.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3);
        }
        hash = (hash ^ 0xff).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
