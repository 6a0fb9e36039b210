//! Lists threaded through the cells of a slab: first in, first out, and anything can leave from the middle. Promise: a cell is in
//! at most one list per thread, and every operation touches at most three cells.

use std::marker::PhantomData;

use super::slab::{NOWHERE, Slab, Slot};

/// One cell's place in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    before: Slot,
    after: Slot,
}

impl Link {
    pub(crate) const LOOSE: Self = Self { before: NOWHERE, after: NOWHERE };
}

/// Says which link of a `T` a list runs through. A `T` may be in several lists at once, each through a thread of its own.
pub(crate) trait Threaded<T> {
    fn link(node: &mut T) -> &mut Link;
}

/// A list along the thread `V`.
#[derive(Debug)]
pub(crate) struct List<V> {
    first: Slot,
    last: Slot,
    thread: PhantomData<V>,
}

impl<V> List<V> {
    pub(crate) const fn new() -> Self {
        Self { first: NOWHERE, last: NOWHERE, thread: PhantomData }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first == NOWHERE
    }

    pub(crate) fn first(&self) -> Option<Slot> {
        (self.first != NOWHERE).then_some(self.first)
    }

    /// The one that is alone in the list.
    pub(crate) fn only(&self) -> Option<Slot> {
        self.first().filter(|first| *first == self.last)
    }

    pub(crate) fn push_last<T>(&mut self, slab: &mut Slab<T>, slot: Slot)
    where
        V: Threaded<T>,
    {
        let Some(node) = slab.get_mut(slot) else { return };
        *V::link(node) = Link { before: self.last, after: NOWHERE };
        match slab.get_mut(self.last) {
            Some(last) => V::link(last).after = slot,
            None => self.first = slot,
        }
        self.last = slot;
    }

    pub(crate) fn push_first<T>(&mut self, slab: &mut Slab<T>, slot: Slot)
    where
        V: Threaded<T>,
    {
        let Some(node) = slab.get_mut(slot) else { return };
        *V::link(node) = Link { before: NOWHERE, after: self.first };
        match slab.get_mut(self.first) {
            Some(first) => V::link(first).before = slot,
            None => self.last = slot,
        }
        self.first = slot;
    }

    /// Takes `slot` out, which must be in this list.
    pub(crate) fn remove<T>(&mut self, slab: &mut Slab<T>, slot: Slot)
    where
        V: Threaded<T>,
    {
        let Some(node) = slab.get_mut(slot) else { return };
        let link = std::mem::replace(V::link(node), Link::LOOSE);
        match slab.get_mut(link.before) {
            Some(before) => V::link(before).after = link.after,
            None => self.first = link.after,
        }
        match slab.get_mut(link.after) {
            Some(after) => V::link(after).before = link.before,
            None => self.last = link.before,
        }
    }

    pub(crate) fn pop_first<T>(&mut self, slab: &mut Slab<T>) -> Option<Slot>
    where
        V: Threaded<T>,
    {
        let slot = self.first()?;
        self.remove(slab, slot);
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    struct Thread;
    impl Threaded<Link> for Thread {
        fn link(node: &mut Link) -> &mut Link {
            node
        }
    }

    proptest! {
        #[test]
        fn a_list_keeps_the_order_of_a_plain_queue(steps in prop::collection::vec((0..4_u8, any::<prop::sample::Index>()), 0..200)) {
            let (mut slab, mut list, mut plain) = (Slab::new(), List::<Thread>::new(), VecDeque::new());
            for (step, pick) in steps {
                match step {
                    0 => {
                        let slot = slab.insert(Link::LOOSE).unwrap();
                        list.push_last(&mut slab, slot);
                        plain.push_back(slot);
                    }
                    1 => {
                        let slot = slab.insert(Link::LOOSE).unwrap();
                        list.push_first(&mut slab, slot);
                        plain.push_front(slot);
                    }
                    2 if !plain.is_empty() => {
                        let slot = plain.remove(pick.index(plain.len())).unwrap();
                        list.remove(&mut slab, slot);
                        slab.remove(slot);
                    }
                    _ => {
                        let slot = list.pop_first(&mut slab);
                        prop_assert_eq!(slot, plain.pop_front());
                        slot.map(|slot| slab.remove(slot));
                    }
                }
                prop_assert_eq!(list.is_empty(), plain.is_empty());
            }
            while let Some(slot) = list.pop_first(&mut slab) {
                prop_assert_eq!(Some(slot), plain.pop_front());
            }
            prop_assert!(plain.is_empty());
        }
    }
}
