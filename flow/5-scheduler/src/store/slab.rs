//! Numbered cells in chunks. Promise: a number stays good until its cell is given back; a chunk that empties is freed.

/// A cell's number. Numbers are reused.
pub(crate) type Slot = u32;

/// The number no cell has.
pub(crate) const NOWHERE: Slot = Slot::MAX;

/// Cells per chunk: small enough that adding one is no pause, large enough that the list of chunks stays in the processor's cache.
const CHUNK: usize = 1 << CHUNK_BITS;
const CHUNK_BITS: u32 = 10;

/// Cells of one kind.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    chunks: Vec<Chunk<T>>,
    /// The chunks with room; the last one is filled first.
    open: Vec<u32>,
    live: usize,
}

#[derive(Debug)]
struct Chunk<T> {
    cells: Vec<Option<T>>,
    free: Vec<u16>,
}

impl<T> Chunk<T> {
    const EMPTY: Self = Self { cells: Vec::new(), free: Vec::new() };

    fn live(&self) -> usize {
        self.cells.len() - self.free.len()
    }
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Self {
        Self { chunks: Vec::new(), open: Vec::new(), live: 0 }
    }

    /// How many cells are in use.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// Puts `value` into a cell. `None` when all numbers are used.
    pub(crate) fn insert(&mut self, value: T) -> Option<Slot> {
        if self.open.is_empty() {
            let number = u32::try_from(self.chunks.len()).ok().filter(|n| *n < NOWHERE >> CHUNK_BITS)?;
            self.chunks.push(Chunk::EMPTY);
            self.open.push(number);
        }
        let number = *self.open.last()?;
        let chunk = self.chunks.get_mut(number as usize)?;
        let at = match chunk.free.pop() {
            Some(at) => at,
            None => {
                if chunk.cells.capacity() == 0 {
                    chunk.cells.reserve_exact(CHUNK);
                }
                chunk.cells.push(None);
                u16::try_from(chunk.cells.len() - 1).ok()?
            }
        };
        *chunk.cells.get_mut(usize::from(at))? = Some(value);
        if chunk.live() == CHUNK {
            self.open.pop();
        }
        self.live += 1;
        Some(number << CHUNK_BITS | u32::from(at))
    }

    /// Empties a cell.
    pub(crate) fn remove(&mut self, slot: Slot) -> Option<T> {
        let (number, at) = parts(slot);
        let chunk = self.chunks.get_mut(number)?;
        let was_full = chunk.live() == CHUNK;
        let value = chunk.cells.get_mut(at)?.take()?;
        chunk.free.push(u16::try_from(at).ok()?);
        self.live -= 1;
        // One empty chunk is kept while it is the only one with room, so that a queue of one message does not allocate for each.
        if chunk.live() == 0 && (self.live > 0 || self.open.len() > 1) {
            *chunk = Chunk::EMPTY;
        }
        if was_full {
            self.open.push(slot >> CHUNK_BITS);
        }
        if self.live == 0 {
            self.forget_chunks();
        }
        Some(value)
    }

    /// With nothing left, all numbers are free again, and one chunk is enough to go on with.
    fn forget_chunks(&mut self) {
        self.chunks.truncate(1);
        self.chunks.shrink_to(1);
        self.open.clear();
        self.open.shrink_to(1);
        if let Some(chunk) = self.chunks.first_mut() {
            chunk.cells.clear();
            chunk.free.clear();
            self.open.push(0);
        }
    }

    /// What is in a cell.
    pub(crate) fn get(&self, slot: Slot) -> Option<&T> {
        let (number, at) = parts(slot);
        self.chunks.get(number)?.cells.get(at)?.as_ref()
    }

    /// What is in a cell.
    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut T> {
        let (number, at) = parts(slot);
        self.chunks.get_mut(number)?.cells.get_mut(at)?.as_mut()
    }

    /// All cells in use, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &T)> {
        (0_u32..).zip(&self.chunks).flat_map(|(number, chunk)| {
            (0_u32..).zip(&chunk.cells).filter_map(move |(at, cell)| Some((number << CHUNK_BITS | at, cell.as_ref()?)))
        })
    }
}

fn parts(slot: Slot) -> (usize, usize) {
    ((slot >> CHUNK_BITS) as usize, slot as usize & (CHUNK - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_finds_its_value_until_it_is_given_back() {
        let mut slab = Slab::new();
        let slots: Vec<Slot> = (0..5_000_u32).map(|n| slab.insert(n).unwrap()).collect();
        for (n, slot) in (0..).zip(&slots) {
            assert_eq!(slab.get(*slot), Some(&n));
        }
        assert_eq!(slab.iter().count(), 5_000);
        for slot in &slots {
            assert!(slab.remove(*slot).is_some());
            assert_eq!(slab.get(*slot), None);
            assert_eq!(slab.remove(*slot), None);
        }
        assert_eq!(slab.len(), 0);
        assert_eq!(slab.get(NOWHERE), None);
    }

    #[test]
    fn chunks_are_freed_as_they_empty_and_used_again() {
        let mut slab = Slab::new();
        let slots: Vec<Slot> = (0..100 * CHUNK).map(|n| slab.insert(n).unwrap()).collect();
        let held = |slab: &Slab<usize>| slab.chunks.iter().filter(|c| c.cells.capacity() > 0).count();
        assert_eq!(held(&slab), 100);
        for slot in slots.iter().skip(1) {
            slab.remove(*slot);
        }
        assert_eq!(held(&slab), 1);
        let again: Vec<Slot> = (0..10 * CHUNK).map(|n| slab.insert(n).unwrap()).collect();
        assert_eq!(slab.len(), 10 * CHUNK + 1);
        assert_eq!(held(&slab), 11);
        for slot in again {
            slab.remove(slot);
        }
        slab.remove(slots[0]);
        assert_eq!((slab.len(), slab.chunks.len()), (0, 1));
    }
}
