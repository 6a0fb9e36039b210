//! Head: whose turn it is to have a password hashed. Promise: strangers never hold up known clients for longer than one hash, and no network
//! of strangers holds up another.
//!
//! Known clients and strangers wait in lanes of their own, each with room of its own. Where there is more than one place to hash, one is kept
//! from strangers. Known clients go first, but every fourth turn is a stranger's, where one waits. In a lane, networks take turns.

use std::collections::{HashMap, VecDeque};

use postern_mail::client::Subnet;

/// A waiting stranger gets a turn after so many of known clients.
const KNOWN_IN_A_ROW: u32 = 3;
/// One network of strangers takes at most this part of the room.
const SHARE_OF_STRANGERS: usize = 8;
/// The same of known clients: more, since there may be a whole office behind one address, and never all.
const SHARE_OF_KNOWN: usize = 4;

/// Who wants to be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// From a network its account was proven from before.
    Known,
    /// Anybody else.
    Stranger,
}

/// What became of a wish for a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entered {
    Now,
    Waits,
    Full,
}

#[derive(Debug, Default)]
struct Lane {
    order: VecDeque<Subnet>,
    by_network: HashMap<Subnet, VecDeque<u64>>,
    waiting: usize,
    running: usize,
}

impl Lane {
    fn push(&mut self, network: Subnet, ticket: u64) {
        let queue = self.by_network.entry(network).or_default();
        if queue.is_empty() {
            self.order.push_back(network);
        }
        queue.push_back(ticket);
        self.waiting += 1;
    }

    fn pop(&mut self) -> Option<u64> {
        let network = self.order.pop_front()?;
        let queue = self.by_network.get_mut(&network)?;
        let ticket = queue.pop_front()?;
        if queue.is_empty() {
            self.by_network.remove(&network);
        } else {
            self.order.push_back(network);
        }
        self.waiting -= 1;
        Some(ticket)
    }

    fn remove(&mut self, network: Subnet, ticket: u64) {
        let Some(queue) = self.by_network.get_mut(&network) else { return };
        let before = queue.len();
        queue.retain(|other| *other != ticket);
        self.waiting -= before - queue.len();
        if queue.is_empty() {
            self.by_network.remove(&network);
            self.order.retain(|other| *other != network);
        }
    }

    fn of_network(&self, network: Subnet) -> usize {
        self.by_network.get(&network).map_or(0, VecDeque::len)
    }
}

/// Those who wait, and how many are served.
#[derive(Debug)]
pub(crate) struct Line {
    at_once: usize,
    strangers_at_once: usize,
    waiting_max: usize,
    known: Lane,
    strangers: Lane,
    known_in_a_row: u32,
}

impl Line {
    pub(crate) fn new(at_once: usize, waiting_max: usize) -> Self {
        let at_once = at_once.max(1);
        let (known, strangers) = (Lane::default(), Lane::default());
        Self { at_once, strangers_at_once: (at_once - 1).max(1), waiting_max, known, strangers, known_in_a_row: 0 }
    }

    fn lane(&mut self, class: Class) -> &mut Lane {
        match class {
            Class::Known => &mut self.known,
            Class::Stranger => &mut self.strangers,
        }
    }

    fn may_run(&self, class: Class) -> bool {
        let is_free = self.known.running + self.strangers.running < self.at_once;
        is_free && (class == Class::Known || self.strangers.running < self.strangers_at_once)
    }

    /// Somebody wants a turn; `ticket` is his number.
    pub(crate) fn enter(&mut self, class: Class, network: Subnet, ticket: u64) -> Entered {
        let may_run = self.may_run(class);
        let part = if class == Class::Known { SHARE_OF_KNOWN } else { SHARE_OF_STRANGERS };
        let (room, share) = (self.waiting_max, (self.waiting_max / part).max(1));
        let lane = self.lane(class);
        if may_run && lane.waiting == 0 {
            lane.running += 1;
            return Entered::Now;
        }
        if lane.waiting >= room || lane.of_network(network) >= share {
            return Entered::Full;
        }
        lane.push(network, ticket);
        Entered::Waits
    }

    /// A turn is over.
    pub(crate) fn leave(&mut self, class: Class) {
        let lane = self.lane(class);
        lane.running = lane.running.saturating_sub(1);
    }

    /// Somebody no longer waits.
    pub(crate) fn forsake(&mut self, class: Class, network: Subnet, ticket: u64) {
        self.lane(class).remove(network, ticket);
    }

    /// Who is next, if there is room; he counts as served from now on.
    pub(crate) fn next(&mut self) -> Option<u64> {
        let stranger_waits = self.strangers.waiting > 0 && self.may_run(Class::Stranger);
        let is_strangers_turn = self.known.waiting == 0 || self.known_in_a_row >= KNOWN_IN_A_ROW;
        let class = if stranger_waits && is_strangers_turn { Class::Stranger } else { Class::Known };
        if !self.may_run(class) {
            return None;
        }
        let lane = self.lane(class);
        let ticket = lane.pop()?;
        lane.running += 1;
        self.known_in_a_row = if class == Class::Known { self.known_in_a_row.saturating_add(1) } else { 0 };
        Some(ticket)
    }

    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.known.waiting + self.strangers.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(number: u8) -> Subnet {
        Subnet::network(std::net::IpAddr::V4([10, 0, number, 1].into()))
    }

    #[test]
    fn one_network_of_strangers_does_not_hold_up_another() {
        let mut line = Line::new(1, 64);
        assert_eq!(line.enter(Class::Stranger, network(1), 0), Entered::Now);
        let waits = (1..=100).filter(|ticket| line.enter(Class::Stranger, network(1), *ticket) == Entered::Waits).count();
        assert_eq!(waits, 8, "its share of the room");
        assert_eq!(line.enter(Class::Stranger, network(2), 200), Entered::Waits);
        line.leave(Class::Stranger);
        assert_eq!(line.next(), Some(1));
        line.leave(Class::Stranger);
        assert_eq!(line.next(), Some(200), "each network in turn");
    }

    #[test]
    fn one_network_of_known_clients_does_not_hold_up_another() {
        let mut line = Line::new(1, 64);
        assert_eq!(line.enter(Class::Known, network(1), 0), Entered::Now);
        let waits = (1..=100).filter(|ticket| line.enter(Class::Known, network(1), *ticket) == Entered::Waits).count();
        assert_eq!(waits, 16, "its share of the room");
        assert_eq!(line.enter(Class::Known, network(2), 200), Entered::Waits);
    }

    #[test]
    fn a_known_client_waits_for_one_hash_whatever_waits_before_it() {
        let mut line = Line::new(1, 64);
        line.enter(Class::Stranger, network(1), 0);
        for number in 2..=64 {
            line.enter(Class::Stranger, network(number), u64::from(number));
        }
        assert_eq!(line.enter(Class::Known, network(100), 1000), Entered::Waits);
        line.leave(Class::Stranger);
        assert_eq!(line.next(), Some(1000));
        assert_eq!(line.next(), None, "no place is free");
    }

    #[test]
    fn where_there_are_two_places_one_is_kept_from_strangers() {
        let mut line = Line::new(2, 64);
        assert_eq!(line.enter(Class::Stranger, network(1), 0), Entered::Now);
        assert_eq!(line.enter(Class::Stranger, network(2), 1), Entered::Waits);
        assert_eq!((line.next(), line.enter(Class::Known, network(3), 2)), (None, Entered::Now));
    }

    #[test]
    fn a_flood_of_known_clients_leaves_strangers_every_fourth_turn() {
        let mut line = Line::new(1, 64);
        line.enter(Class::Known, network(1), 0);
        line.enter(Class::Stranger, network(2), 100);
        for ticket in 1..=10 {
            line.enter(Class::Known, network(1), ticket);
        }
        let mut order = Vec::new();
        for _ in 0..4 {
            // The lane of the turn that is over makes no difference while there is one place.
            if line.known.running > 0 {
                line.leave(Class::Known)
            } else {
                line.leave(Class::Stranger)
            }
            order.extend(line.next());
        }
        assert_eq!(order, [1, 2, 3, 100]);
    }

    #[test]
    fn who_leaves_the_line_leaves_nothing_behind() {
        let mut line = Line::new(1, 2);
        line.enter(Class::Stranger, network(1), 0);
        for round in 0..1000 {
            assert_eq!(line.enter(Class::Stranger, network(2), round), Entered::Waits);
            line.forsake(Class::Stranger, network(2), round);
        }
        assert_eq!((line.waiting(), line.strangers.by_network.len(), line.strangers.order.len()), (0, 0, 0));
    }
}
