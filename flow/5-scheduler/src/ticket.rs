//! One queued ticket, as small as it can be said. Promise: 56 octets, whatever it waits for.

use postern_mail::envelope::{MessageId, UnixMillis};

use crate::lane::Class;
use crate::store::{Index, Link, NOWHERE, Slab, Slot, Threaded, spread};

/// A ticket in the queue.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) id: MessageId,
    pub(crate) received: UnixMillis,
    /// Not before this, in seconds since 1970. Good until 2106.
    pub(crate) due: u32,
    /// When its age must be looked at next, in minutes since 1970; [`UNWATCHED`] when nobody looks.
    pub(crate) mark: u32,
    pub(crate) lane: Slot,
    pub(crate) account: u32,
    /// The next ticket of the same message, in another lane.
    sibling: Slot,
    /// Its place in its account's turn while it waits, among its due second while it is deferred.
    by_turn: Link,
    /// Its place among its minute.
    by_age: Link,
    pub(crate) attempts: u16,
    pub(crate) state: State,
    pub(crate) notes: Notes,
}

/// Nobody looks at its age.
pub(crate) const UNWATCHED: u32 = u32::MAX;

/// Where a ticket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Waiting,
    Deferred,
    Active,
    Held,
}

/// What to remember of a ticket: orders that take effect when its attempt ends, and what was said already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Notes(u8);

impl Notes {
    /// Hold it when its attempt ends.
    pub(crate) const HOLD: Self = Self(1);
    /// Remove it when its attempt ends.
    pub(crate) const REMOVE: Self = Self(2);
    /// The sender was told that it is late, or will not be.
    pub(crate) const WARNED: Self = Self(4);
    /// It is one of many alike.
    pub(crate) const BULK: Self = Self(8);
    /// Its attempt has found the hosts of the group that has counted it, so what they say is said by them.
    pub(crate) const ADMITTED: Self = Self(16);

    pub(crate) fn has(self, note: Self) -> bool {
        self.0 & note.0 != 0
    }

    pub(crate) fn add(&mut self, note: Self) {
        self.0 |= note.0;
    }

    pub(crate) fn drop(&mut self, note: Self) {
        self.0 &= !note.0;
    }
}

/// The thread of turns and due seconds.
#[derive(Debug)]
pub(crate) struct ByTurn;
/// The thread of ages.
#[derive(Debug)]
pub(crate) struct ByAge;

impl Threaded<Queued> for ByTurn {
    fn link(node: &mut Queued) -> &mut Link {
        &mut node.by_turn
    }
}
impl Threaded<Queued> for ByAge {
    fn link(node: &mut Queued) -> &mut Link {
        &mut node.by_age
    }
}

impl Queued {
    pub(crate) fn class(&self) -> Class {
        if self.notes.has(Notes::BULK) { Class::Bulk } else { Class::Single }
    }

    /// Whose turn it waits for, and where.
    pub(crate) fn turn(&self) -> (Slot, u32, Class) {
        (self.lane, self.account, self.class())
    }

    /// A ticket that is in no list yet.
    pub(crate) fn new(id: MessageId, received: UnixMillis, due: u32, lane: Slot) -> Self {
        Self {
            id,
            received,
            due,
            mark: UNWATCHED,
            lane,
            account: 0,
            sibling: NOWHERE,
            by_turn: Link::LOOSE,
            by_age: Link::LOOSE,
            attempts: 0,
            state: State::Held,
            notes: Notes::default(),
        }
    }
}

/// All tickets, found by their message. Promise: an id and a lane name at most one ticket.
#[derive(Debug)]
pub(crate) struct Tickets {
    pub(crate) cells: Slab<Queued>,
    by_id: Index,
}

impl Tickets {
    pub(crate) fn new() -> Self {
        Self { cells: Slab::new(), by_id: Index::new() }
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Queued> {
        self.cells.get(slot)
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Queued> {
        self.cells.get_mut(slot)
    }

    /// The tickets of a message, in no order.
    pub(crate) fn of(&self, id: MessageId) -> impl Iterator<Item = Slot> {
        let mut at = self.first_of(id);
        std::iter::from_fn(move || {
            let here = at?;
            at = self.get(here).map(|ticket| ticket.sibling).filter(|next| *next != NOWHERE);
            Some(here)
        })
    }

    /// Adds a ticket that is not in here.
    pub(crate) fn insert(&mut self, ticket: Queued) -> Option<Slot> {
        let id = ticket.id;
        let first = self.first_of(id);
        let slot = self.cells.insert(ticket)?;
        match first {
            None => self.by_id.insert(spread(id.0), slot),
            Some(first) => {
                self.by_id.replace(spread(id.0), first, slot);
                self.set_sibling(slot, first);
            }
        }
        Some(slot)
    }

    /// Removes a ticket that is in no list any more.
    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Queued> {
        let (id, sibling) = self.get(slot).map(|ticket| (ticket.id, ticket.sibling))?;
        let before = self.of(id).take_while(|at| *at != slot).last();
        match before {
            Some(before) => self.set_sibling(before, sibling),
            None if sibling == NOWHERE => self.by_id.remove(spread(id.0), slot),
            None => self.by_id.replace(spread(id.0), slot, sibling),
        }
        self.cells.remove(slot)
    }

    fn first_of(&self, id: MessageId) -> Option<Slot> {
        self.by_id.find(spread(id.0), |slot| self.get(slot).is_some_and(|ticket| ticket.id == id))
    }

    fn set_sibling(&mut self, slot: Slot, sibling: Slot) {
        if let Some(ticket) = self.get_mut(slot) {
            ticket.sibling = sibling;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_takes_56_octets() {
        assert_eq!(size_of::<Option<Queued>>(), 56);
    }

    #[test]
    fn the_tickets_of_a_message_are_found_whichever_of_them_leave() {
        for leave in 0..8_u32 {
            let mut tickets = Tickets::new();
            let other = tickets.insert(Queued::new(MessageId(2), UnixMillis(0), 0, 9)).unwrap();
            let slots: Vec<Slot> =
                (0..3).map(|lane| tickets.insert(Queued::new(MessageId(1), UnixMillis(0), 0, lane)).unwrap()).collect();
            let mut left: Vec<Slot> = slots.iter().copied().filter(|slot| tickets.get(*slot).unwrap().lane & 3 != 3).collect();
            for (lane, slot) in slots.iter().enumerate().filter(|(lane, _)| leave >> lane & 1 == 1) {
                assert_eq!(tickets.remove(*slot).map(|ticket| ticket.lane as usize), Some(lane));
                left.retain(|at| at != slot);
            }
            let mut found: Vec<Slot> = tickets.of(MessageId(1)).collect();
            found.sort_unstable();
            assert_eq!(found, left, "after {leave:b} left");
            assert_eq!(tickets.of(MessageId(2)).collect::<Vec<_>>(), [other]);
        }
    }
}
