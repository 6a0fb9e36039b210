//! One lane per destination, and fair turns: within a lane between accounts, between lanes one message each. Promise: who is next is
//! known at once however much is waiting, and a lane that may not send costs nothing until it may.
//!
//! `settle` is the one place that decides where a lane stands; whatever changes a lane calls it afterwards.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};

use postern_mail::attempt::{Destination, LaneId};
use postern_mail::envelope::UnixMillis;

use crate::groups::Groups;
use crate::lane::{Ahead, Class, InLane, InPlace, Lane, PerClass, Place, Share, Turn, bulk_limit};
use crate::pace::Pace;
use crate::settings::SchedulerSettings;
use crate::store::{Index, Link, List, NOWHERE, Slab, Slot, spread};
use crate::ticket::Queued;
use crate::window::Window;

/// One in this many attempts may be a probe of a silent destination, so that however many destinations are dead, and however long
/// each takes to say so, the living have the rest.
const PROBES_SHARE: usize = 4;

/// All lanes.
#[derive(Debug)]
pub(crate) struct Lanes {
    pub(crate) cells: Slab<Lane>,
    pub(crate) groups: Groups,
    by_destination: Index,
    /// Strangers choose destinations, so they must not be able to choose hashes.
    hasher: RandomState,
    turns: Slab<Turn>,
    by_account: Index,
    ready: PerClass<List<InPlace>>,
    ready_to_probe: List<InPlace>,
    probes_out: usize,
    bulk_out: usize,
    share: Share,
    empty: List<InPlace>,
    asleep: BTreeSet<(UnixMillis, Slot)>,
    /// The name of the next new lane. Names are not reused (before 2^32 of them), since connections are kept by them.
    next_name: u32,
}

impl Lanes {
    pub(crate) fn new() -> Self {
        Self {
            cells: Slab::new(),
            groups: Groups::new(),
            by_destination: Index::new(),
            hasher: RandomState::new(),
            turns: Slab::new(),
            by_account: Index::new(),
            ready: PerClass::new(List::new(), List::new()),
            ready_to_probe: List::new(),
            probes_out: 0,
            bulk_out: 0,
            share: Share::default(),
            empty: List::new(),
            asleep: BTreeSet::new(),
            next_name: 0,
        }
    }

    pub(crate) fn hasher(&self) -> RandomState {
        self.hasher.clone()
    }

    pub(crate) fn get(&self, lane: Slot) -> Option<&Lane> {
        self.cells.get(lane)
    }

    pub(crate) fn get_mut(&mut self, lane: Slot) -> Option<&mut Lane> {
        self.cells.get_mut(lane)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &Lane)> {
        self.cells.iter()
    }

    pub(crate) fn find(&self, destination: &Destination) -> Option<Slot> {
        let is_it = |slot| self.get(slot).is_some_and(|lane: &Lane| lane.destination == *destination);
        self.by_destination.find(self.hasher.hash_one(destination), is_it)
    }

    /// The lane of a destination, made where there is none. It must get a ticket next, or be settled.
    pub(crate) fn open(&mut self, destination: Destination, settings: &SchedulerSettings) -> Option<Slot> {
        if let Some(lane) = self.find(&destination) {
            return Some(lane);
        }
        let shaping = settings.shaping_of(&destination);
        let hash = self.hasher.hash_one(&destination);
        let slot = self.cells.insert(Lane {
            name: LaneId(self.next_name),
            destination,
            window: Window::new(shaping),
            pace: Pace::new(shaping.pace_per_minute),
            trouble: None,
            waiting: 0,
            active: 0,
            bulk_active: 0,
            group: NOWHERE,
            is_probe_out: false,
            share: Share::default(),
            tickets: 0,
            turns: PerClass::new(List::new(), List::new()),
            place: Place::Idle,
            link: Link::LOOSE,
        })?;
        self.by_destination.insert(hash, slot);
        self.next_name = self.next_name.wrapping_add(1);
        Some(slot)
    }

    /// Counts a ticket that entered the scheduler.
    pub(crate) fn enter(&mut self, lane: Slot) {
        if let Some(lane) = self.get_mut(lane) {
            lane.tickets = lane.tickets.saturating_add(1);
        }
    }

    /// Counts a ticket that left the scheduler.
    pub(crate) fn leave(&mut self, lane: Slot) {
        if let Some(lane) = self.get_mut(lane) {
            lane.tickets = lane.tickets.saturating_sub(1);
        }
    }

    /// Lets a ticket wait for its account's turn; `ahead` of everything else of its class in its lane, or last.
    pub(crate) fn queue(&mut self, tickets: &mut Slab<Queued>, slot: Slot, ahead: Ahead) {
        let Some((lane, account, class)) = tickets.get(slot).map(Queued::turn) else { return };
        let Some(found) = self.cells.get_mut(lane) else { return };
        let turns = found.turns.of_mut(class);
        let turn = match find_turn(&self.turns, &self.by_account, turns, (lane, account, class)) {
            Some(turn) => turn,
            None => {
                let new = Turn { lane, account, link: Link::LOOSE, waiting: List::new(), class, is_indexed: false };
                let Some(turn) = self.turns.insert(new) else { return };
                if let Some(other) = turns.first() {
                    index_turn(&mut self.turns, &mut self.by_account, other);
                    index_turn(&mut self.turns, &mut self.by_account, turn);
                }
                turns.push_last(&mut self.turns, turn);
                turn
            }
        };
        found.waiting = found.waiting.saturating_add(1);
        if ahead == Ahead::OfAll {
            turns.remove(&mut self.turns, turn);
            turns.push_first(&mut self.turns, turn);
        }
        let Some(turn) = self.turns.get_mut(turn) else { return };
        match ahead {
            Ahead::OfAll => turn.waiting.push_first(tickets, slot),
            Ahead::OfNone => turn.waiting.push_last(tickets, slot),
        }
    }

    /// Takes a waiting ticket out of its turn.
    pub(crate) fn unqueue(&mut self, tickets: &mut Slab<Queued>, slot: Slot) {
        let Some((lane, account, class)) = tickets.get(slot).map(Queued::turn) else { return };
        let Some(found) = self.cells.get_mut(lane) else { return };
        let turns = found.turns.of(class);
        let Some(turn) = find_turn(&self.turns, &self.by_account, turns, (lane, account, class)) else { return };
        found.waiting = found.waiting.saturating_sub(1);
        if let Some(turn) = self.turns.get_mut(turn) {
            turn.waiting.remove(tickets, slot);
        }
        self.drop_turn_if_over(turn);
    }

    /// Takes the next ticket of a lane, if it may go: the account whose turn it is gives one message and goes to the end.
    pub(crate) fn take(&mut self, now: UnixMillis, tickets: &mut Slab<Queued>, lane: Slot, total: usize) -> Option<Slot> {
        let found = self.cells.get_mut(lane)?;
        let group = self.groups.get(found.group);
        // Probes are few, and are counted by themselves.
        let is_probe = found.place == Place::ReadyToProbe;
        let has_room = |class| class == Class::Single || is_probe || self.bulk_out < bulk_limit(total);
        let class = found.next_class(|class| has_room(class) && group.is_none_or(|group| group.may_go(now, class)))?;
        let bulk_waits = found.has(Class::Bulk);
        let Some(turn) = found.turns.of_mut(class).pop_first(&mut self.turns) else {
            // Cannot be; but a lane that is wrong about what waits must not be asked for it for ever.
            found.waiting = 0;
            return None;
        };
        found.share.count(class, bulk_waits);
        found.turns.of_mut(class).push_last(&mut self.turns, turn);
        found.waiting = found.waiting.saturating_sub(1);
        let ticket = self.turns.get_mut(turn)?.waiting.pop_first(tickets);
        self.drop_turn_if_over(turn);
        ticket
    }

    fn drop_turn_if_over(&mut self, turn: Slot) {
        let Some(found) = self.turns.get(turn).filter(|turn| turn.waiting.is_empty()) else { return };
        if found.is_indexed {
            self.by_account.remove(turn_hash(found.lane, found.account), turn);
        }
        let class = found.class;
        if let Some(lane) = self.cells.get_mut(found.lane) {
            lane.turns.of_mut(class).remove(&mut self.turns, turn);
        }
        self.turns.remove(turn);
    }

    /// Puts a lane where it belongs now.
    pub(crate) fn settle(&mut self, now: UnixMillis, slot: Slot) {
        let Some(lane) = self.cells.get(slot) else { return };
        let place = lane.rightful_place(now, &self.groups.cells);
        self.put(slot, place);
    }

    /// Takes a lane out of whatever it stands in, until it is settled.
    pub(crate) fn take_off(&mut self, slot: Slot) {
        self.put(slot, Place::Idle);
    }

    fn put(&mut self, slot: Slot, place: Place) {
        let Some(lane) = self.cells.get_mut(slot) else { return };
        let old = std::mem::replace(&mut lane.place, place);
        if old == place {
            return;
        }
        match old {
            Place::Idle | Place::Parked(_) => {}
            Place::Ready(class) => self.ready.of_mut(class).remove(&mut self.cells, slot),
            Place::ReadyToProbe => self.ready_to_probe.remove(&mut self.cells, slot),
            Place::Asleep(until) => {
                self.asleep.remove(&(until, slot));
            }
            Place::Empty(_) => self.empty.remove(&mut self.cells, slot),
        }
        self.groups.count_place(&mut self.cells, slot, (old, place));
        match place {
            Place::Idle | Place::Parked(_) => {}
            Place::Ready(class) => self.ready.of_mut(class).push_last(&mut self.cells, slot),
            Place::ReadyToProbe => self.ready_to_probe.push_last(&mut self.cells, slot),
            Place::Asleep(until) => {
                self.asleep.insert((until, slot));
            }
            Place::Empty(_) => self.empty.push_last(&mut self.cells, slot),
        }
    }

    /// The lane whose turn it is, of `total` attempts that may be out. Probes go first, since few may be out at once. The next lane is
    /// next when this one was [`settle_behind`](Self::settle_behind).
    pub(crate) fn next_ready(&self, total: usize) -> Option<Slot> {
        let may_probe = self.probes_out < (total / PROBES_SHARE).max(1);
        self.ready_to_probe.first().filter(|_| may_probe).or_else(|| {
            let single = self.ready.of(Class::Single).first();
            let bulk = self.ready.of(Class::Bulk).first().filter(|_| self.bulk_out < bulk_limit(total));
            match self.share.next(single.is_some(), bulk.is_some())? {
                Class::Single => single,
                Class::Bulk => bulk,
            }
        })
    }

    /// Counts an attempt that goes out. Gives the group that has counted it too.
    pub(crate) fn go_out(&mut self, now: UnixMillis, slot: Slot, class: Class) -> Option<Slot> {
        let bulk_waits = !self.ready.of(Class::Bulk).is_empty();
        self.share.count(class, bulk_waits);
        let lane = self.cells.get_mut(slot)?;
        lane.active = lane.active.saturating_add(1);
        if class == Class::Bulk {
            lane.bulk_active = lane.bulk_active.saturating_add(1);
            self.bulk_out += 1;
        }
        if lane.window.is_silent() || self.groups.get(lane.group).is_some_and(|group| group.window.is_silent()) {
            lane.is_probe_out = true;
            self.probes_out += 1;
        }
        self.count_in_group(now, slot, class)
    }

    /// Counts an attempt that came back. A probe is always alone, so it is what came back if one was out.
    pub(crate) fn come_back(&mut self, slot: Slot, class: Class) {
        let Some(lane) = self.cells.get_mut(slot) else { return };
        lane.active = lane.active.saturating_sub(1);
        if class == Class::Bulk {
            lane.bulk_active = lane.bulk_active.saturating_sub(1);
            self.bulk_out = self.bulk_out.saturating_sub(1);
        }
        if std::mem::take(&mut lane.is_probe_out) {
            self.probes_out = self.probes_out.saturating_sub(1);
        }
    }

    /// Like `settle`, but a lane that is still ready goes behind the others; and its group is settled with it.
    pub(crate) fn settle_behind(&mut self, now: UnixMillis, slot: Slot) {
        if self.get(slot).is_some_and(|lane| matches!(lane.place, Place::Ready(_))) {
            self.take_off(slot);
        }
        self.settle_with_group(now, slot);
    }

    /// Settles a lane and what it shares with others.
    pub(crate) fn settle_with_group(&mut self, now: UnixMillis, slot: Slot) {
        self.settle(now, slot);
        if let Some(group) = self.get(slot).map(|lane| lane.group).filter(|group| *group != NOWHERE) {
            self.settle_group(now, group);
        }
    }

    /// Readies the lanes whose wait is over.
    pub(crate) fn wake(&mut self, now: UnixMillis) {
        while let Some((_, slot)) = self.asleep.first().copied().filter(|(until, _)| *until <= now) {
            self.settle_with_group(now, slot);
        }
        self.wake_groups(now);
    }

    /// When the next lane's or group's wait is over.
    pub(crate) fn next_wake(&self) -> Option<UnixMillis> {
        let lane = self.asleep.first().map(|(until, _)| *until);
        lane.into_iter().chain(self.groups.next_wake()).min()
    }

    /// Forgets empty lanes that were kept for long enough, or that are too many.
    pub(crate) fn forget(&mut self, now: UnixMillis, settings: &SchedulerSettings) {
        while let Some(slot) = self.empty.first() {
            let Some(Place::Empty(since)) = self.get(slot).map(|lane| lane.place) else { return };
            if self.cells.len() <= settings.lanes_max && now.since(since) < settings.lane_memory {
                return;
            }
            self.empty.remove(&mut self.cells, slot);
            if let Some(lane) = self.cells.get(slot) {
                self.by_destination.remove(self.hasher.hash_one(&lane.destination), slot);
            }
            if let Some(lane) = self.cells.remove(slot)
                && lane.group != NOWHERE
            {
                self.groups.lose_lane(lane.group);
            }
        }
    }
}

fn find_turn(
    turns: &Slab<Turn>,
    by_account: &Index,
    of_lane: &List<InLane>,
    (lane, account, class): (Slot, u32, Class),
) -> Option<Slot> {
    let is_it = |slot| turns.get(slot).is_some_and(|turn| turn.lane == lane && turn.account == account && turn.class == class);
    match of_lane.only() {
        Some(only) => is_it(only).then_some(only),
        None if of_lane.is_empty() => None,
        None => by_account.find(turn_hash(lane, account), is_it),
    }
}

fn index_turn(turns: &mut Slab<Turn>, by_account: &mut Index, slot: Slot) {
    if let Some(turn) = turns.get_mut(slot).filter(|turn| !turn.is_indexed) {
        turn.is_indexed = true;
        by_account.insert(turn_hash(turn.lane, turn.account), slot);
    }
}

fn turn_hash(lane: Slot, account: u32) -> u64 {
    spread(spread(u64::from(lane)) ^ u64::from(account))
}

#[cfg(test)]
impl Lanes {
    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }

    pub(crate) fn probes_out(&self) -> usize {
        self.probes_out
    }

    pub(crate) fn turns_open(&self) -> usize {
        self.turns.len()
    }
}
