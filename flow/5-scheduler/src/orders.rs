//! What a person may ask of the queue. Promise: an order on a message that is being tried takes effect when the attempt ends, and is
//! not lost.

use postern_mail::attempt::Destination;
use postern_mail::envelope::{MessageId, UnixMillis};

use crate::lane::Ahead;
use crate::scheduler::{Scheduler, second_of};
use crate::store::Slot;
use crate::ticket::{Notes, State};

impl Scheduler {
    /// Keeps a message from being tried and from ageing until it is released. Gives how many of its tickets (one per lane) this
    /// changed; those that were held already are not counted.
    pub fn hold(&mut self, now: UnixMillis, id: MessageId) -> usize {
        self.each_of(now, id, Self::hold_ticket)
    }

    /// Ends a hold: the message goes on where it was, and has the grace of [`Expiry`](crate::Expiry) when it grew too old meanwhile.
    /// Gives how many of its tickets this changed.
    pub fn release(&mut self, now: UnixMillis, id: MessageId) -> usize {
        self.each_of(now, id, Self::release_ticket)
    }

    /// Makes a message due now and first in its lane, and lets a lane that waits for a silent destination send one probe at once.
    /// A held message stays held, and one that is being tried is being tried. Gives how many of its tickets this changed.
    pub fn retry(&mut self, now: UnixMillis, id: MessageId) -> usize {
        self.each_of(now, id, Self::retry_ticket)
    }

    /// Removes a message. Where it is being tried, `finished` says [`Removed`](crate::Disposition::Removed) unless the attempt finished
    /// it. Gives how many of its tickets there were.
    pub fn remove(&mut self, now: UnixMillis, id: MessageId) -> usize {
        self.each_of(now, id, Self::remove_ticket)
    }

    /// Makes everything in a lane due now that waits for its time, and lets the lane send a probe at once. Gives how many messages that
    /// were deferred now wait for their turn. Looks at the whole queue, so it is for a person, not for a program.
    pub fn retry_destination(&mut self, now: UnixMillis, destination: &Destination) -> usize {
        let Some(lane) = self.lanes.find(destination) else { return 0 };
        let is_deferred_here = |state, at| state == State::Deferred && at == lane;
        let deferred: Vec<Slot> = self
            .tickets
            .cells
            .iter()
            .filter_map(|(slot, ticket)| is_deferred_here(ticket.state, ticket.lane).then_some(slot))
            .collect();
        for slot in &deferred {
            self.leave(*slot);
            self.enter(*slot, State::Waiting, Ahead::OfNone);
        }
        self.probe_now(lane);
        self.lanes.settle_with_group(now, lane);
        deferred.len()
    }

    fn each_of(&mut self, now: UnixMillis, id: MessageId, order: fn(&mut Self, UnixMillis, Slot) -> bool) -> usize {
        let slots: Vec<Slot> = self.tickets.of(id).collect();
        let mut changed = 0;
        for slot in slots {
            let lane = self.tickets.get(slot).map(|ticket| ticket.lane);
            changed += usize::from(order(self, now, slot));
            if let Some(lane) = lane {
                self.lanes.settle_with_group(now, lane);
            }
        }
        changed
    }

    fn hold_ticket(&mut self, _now: UnixMillis, slot: Slot) -> bool {
        let Some(ticket) = self.tickets.get_mut(slot) else { return false };
        match ticket.state {
            State::Held => false,
            State::Active => {
                let is_new = !ticket.notes.has(Notes::HOLD);
                ticket.notes.add(Notes::HOLD);
                is_new
            }
            State::Waiting | State::Deferred => {
                self.leave(slot);
                self.unwatch(slot);
                self.enter(slot, State::Held, Ahead::OfNone);
                true
            }
        }
    }

    fn release_ticket(&mut self, now: UnixMillis, slot: Slot) -> bool {
        let Some(ticket) = self.tickets.get_mut(slot) else { return false };
        match ticket.state {
            State::Waiting | State::Deferred => false,
            State::Active => {
                let was_ordered = ticket.notes.has(Notes::HOLD);
                ticket.notes.drop(Notes::HOLD);
                was_ordered
            }
            State::Held => {
                let state = if ticket.due <= second_of(now) { State::Waiting } else { State::Deferred };
                self.leave(slot);
                self.watch(now, slot);
                self.enter(slot, state, Ahead::OfNone);
                true
            }
        }
    }

    fn retry_ticket(&mut self, _now: UnixMillis, slot: Slot) -> bool {
        let Some(ticket) = self.tickets.get(slot) else { return false };
        let lane = ticket.lane;
        match ticket.state {
            State::Held | State::Active => false,
            State::Waiting | State::Deferred => {
                self.leave(slot);
                self.enter(slot, State::Waiting, Ahead::OfAll);
                self.probe_now(lane);
                true
            }
        }
    }

    fn remove_ticket(&mut self, now: UnixMillis, slot: Slot) -> bool {
        let Some(ticket) = self.tickets.get_mut(slot) else { return false };
        match ticket.state {
            State::Active => ticket.notes.add(Notes::REMOVE),
            State::Waiting | State::Deferred | State::Held => self.discard(now, slot),
        }
        true
    }

    fn probe_now(&mut self, lane: Slot) {
        let Some(lane) = self.lanes.get_mut(lane) else { return };
        lane.window.probe_now();
        let group = lane.group;
        if let Some(group) = self.lanes.groups.get_mut(group) {
            group.window.probe_now();
        }
    }
}
