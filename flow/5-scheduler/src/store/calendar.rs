//! What is due when: one list per tick of a clock the caller counts in. Promise: the next tick with anything in it is known at
//! once, and a cell can be crossed out without a search. Memory beside the cells grows with distinct ticks, not with cells.

use std::collections::BTreeMap;

use super::list::{List, Threaded};
use super::slab::{Slab, Slot};

/// A point in time in the unit of the calendar.
pub(crate) type Tick = u32;

/// Cells by the tick they wait for.
#[derive(Debug)]
pub(crate) struct Calendar<V> {
    ticks: BTreeMap<Tick, List<V>>,
}

impl<V> Calendar<V> {
    pub(crate) const fn new() -> Self {
        Self { ticks: BTreeMap::new() }
    }

    pub(crate) fn add<T>(&mut self, slab: &mut Slab<T>, slot: Slot, tick: Tick)
    where
        V: Threaded<T>,
    {
        self.ticks.entry(tick).or_insert_with(List::new).push_last(slab, slot);
    }

    /// Crosses out `slot`, which was added for `tick`.
    pub(crate) fn remove<T>(&mut self, slab: &mut Slab<T>, slot: Slot, tick: Tick)
    where
        V: Threaded<T>,
    {
        if let Some(list) = self.ticks.get_mut(&tick) {
            list.remove(slab, slot);
            if list.is_empty() {
                self.ticks.remove(&tick);
            }
        }
    }

    /// The earliest tick with anything in it.
    pub(crate) fn next(&self) -> Option<Tick> {
        self.ticks.first_key_value().map(|(tick, _)| *tick)
    }

    /// Takes out one cell whose tick is not after `now`, the earliest first.
    pub(crate) fn pop<T>(&mut self, slab: &mut Slab<T>, now: Tick) -> Option<Slot>
    where
        V: Threaded<T>,
    {
        let mut earliest = self.ticks.first_entry().filter(|entry| *entry.key() <= now)?;
        let slot = earliest.get_mut().pop_first(slab);
        if earliest.get().is_empty() {
            earliest.remove();
        }
        slot
    }
}
