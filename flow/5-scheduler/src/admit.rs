//! Where an attempt says which hosts its destination turned out to have. Promise: however many destinations of one provider are
//! found out about at the same moment, no more of them go on than the provider's window and pace allow; the others wait in the queue
//! as if they had not been tried.

use std::hash::BuildHasher;
use std::sync::Arc;

use postern_mail::attempt::Attempt;
use postern_mail::envelope::UnixMillis;

use crate::lane::Ahead;
use crate::scheduler::Scheduler;
use crate::store::{NOWHERE, Slot};
use crate::ticket::{Notes, State, UNWATCHED};

/// Whether an attempt may go on to its hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may; [`finished`](Scheduler::finished) is to be called when it ends.
    Go,
    /// Not now. The attempt is over without having been one, and nothing more is to be said of it.
    Wait,
}

impl Scheduler {
    /// Learns the exchangers of an attempt's destination, which may be those of others too. Its lane shares window and pace with
    /// theirs from now on. To be called before a connection is made; without names the lane stands on its own.
    pub fn admit(&mut self, now: UnixMillis, attempt: &Attempt, exchangers: &[Arc<str>]) -> Admission {
        let Some((slot, lane)) = self.active(attempt.id, attempt.lane) else { return Admission::Go };
        let hasher = self.lanes.hasher();
        let key = self.settings.providers.key(exchangers, |hosts| hasher.hash_one(hosts));
        let shaping = match &key {
            Some(key) => self.settings.shaping_of_group(key.name()),
            None => self.settings.shaping_of(&attempt.destination),
        };
        self.lanes.join(now, lane, key, shaping);
        let group = self.lanes.get(lane).map_or(NOWHERE, |lane| lane.group);
        let Some(ticket) = self.tickets.get_mut(slot) else { return Admission::Go };
        let class = ticket.class();
        // Counted where its lane led when it was handed out, and it leads elsewhere now.
        if let Some(other) = self.counted.get(&slot).copied().filter(|counted| *counted != group) {
            self.counted.remove(&slot);
            self.lanes.groups.uncount(other, class);
            self.lanes.settle_group(now, other);
        }
        if group == NOWHERE {
            return Admission::Go;
        }
        if !self.counted.contains_key(&slot) {
            if !self.lanes.groups.get(group).is_some_and(|group| group.may_go(now, class)) {
                self.give_back(now, slot, lane);
                return Admission::Wait;
            }
            self.counted.extend(self.lanes.count_in_group(now, lane, class).map(|group| (slot, group)));
        }
        ticket.notes.add(Notes::ADMITTED);
        self.lanes.settle_with_group(now, lane);
        Admission::Go
    }

    /// Puts an attempt back as if it had not been made, with the orders that came meanwhile.
    fn give_back(&mut self, now: UnixMillis, slot: Slot, lane: Slot) {
        self.leave(slot);
        let Some(ticket) = self.tickets.get_mut(slot) else { return };
        ticket.attempts = ticket.attempts.saturating_sub(1);
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.pace.uncount();
        }
        if ticket.notes.has(Notes::REMOVE) {
            self.forget(now, slot);
        } else if ticket.notes.has(Notes::HOLD) {
            ticket.notes.drop(Notes::HOLD);
            self.unwatch(slot);
            self.enter(slot, State::Held, Ahead::OfNone);
        } else {
            if ticket.mark == UNWATCHED {
                self.watch(now, slot);
            }
            self.enter(slot, State::Waiting, Ahead::OfAll);
        }
        self.lanes.settle_with_group(now, lane);
    }
}
