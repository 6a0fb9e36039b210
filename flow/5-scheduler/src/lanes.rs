//! One lane per destination, and fair turns: within a lane between accounts, between lanes one message each. Promise: who is next is
//! known at once however much is waiting, and a lane that may not send costs nothing until it may.
//!
//! `settle` is the one place that decides where a lane stands; whatever changes a lane calls it afterwards.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};

use postern_mail::attempt::{Destination, LaneId};
use postern_mail::envelope::UnixMillis;

use crate::pace::Pace;
use crate::settings::SchedulerSettings;
use crate::store::{Index, Link, List, Slab, Slot, Threaded, spread};
use crate::ticket::{ByTurn, Queued};
use crate::window::Window;
use crate::words::LastTrouble;

/// One in this many attempts may be a probe of a silent destination, so that however many destinations are dead, and however long
/// each takes to say so, the living have the rest.
const PROBES_SHARE: usize = 4;

/// Where a group of messages goes.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) name: LaneId,
    pub(crate) destination: Destination,
    pub(crate) window: Window,
    pub(crate) pace: Pace,
    pub(crate) trouble: Option<LastTrouble>,
    pub(crate) waiting: u32,
    pub(crate) active: u32,
    /// The one attempt that is out is a probe.
    is_probe_out: bool,
    /// All its tickets, those that wait, are active, deferred or held.
    tickets: u32,
    /// The accounts with something waiting, in the order of their turns.
    turns: List<InLane>,
    place: Place,
    link: Link,
}

/// Where a lane stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing waits, or as many are out as may be: something must end or arrive first.
    Idle,
    /// In the ring of lanes whose next message may go now.
    Ready,
    /// In the ring of silent lanes whose probe may go now.
    ReadyToProbe,
    /// Its next message may go then.
    Asleep(UnixMillis),
    /// Without tickets since then; only remembered.
    Empty(UnixMillis),
}

/// What one account has waiting in one lane.
#[derive(Debug)]
struct Turn {
    lane: Slot,
    account: u32,
    link: Link,
    waiting: List<ByTurn>,
    /// It is in the index. The only turn of a lane need not be: most lanes never see a second account.
    is_indexed: bool,
}

/// The thread through the turns of one lane.
#[derive(Debug)]
struct InLane;
impl Threaded<Turn> for InLane {
    fn link(node: &mut Turn) -> &mut Link {
        &mut node.link
    }
}

/// The thread through the lanes that are ready, ready to probe, or empty.
#[derive(Debug)]
struct InPlace;
impl Threaded<Lane> for InPlace {
    fn link(node: &mut Lane) -> &mut Link {
        &mut node.link
    }
}

/// All lanes.
#[derive(Debug)]
pub(crate) struct Lanes {
    cells: Slab<Lane>,
    by_destination: Index,
    /// Strangers choose destinations, so they must not be able to choose hashes.
    hasher: RandomState,
    turns: Slab<Turn>,
    by_account: Index,
    ready: List<InPlace>,
    ready_to_probe: List<InPlace>,
    probes_out: usize,
    empty: List<InPlace>,
    asleep: BTreeSet<(UnixMillis, Slot)>,
    /// The name of the next new lane. Names are not reused (before 2^32 of them), since connections are kept by them.
    next_name: u32,
}

impl Lanes {
    pub(crate) fn new() -> Self {
        Self {
            cells: Slab::new(),
            by_destination: Index::new(),
            hasher: RandomState::new(),
            turns: Slab::new(),
            by_account: Index::new(),
            ready: List::new(),
            ready_to_probe: List::new(),
            probes_out: 0,
            empty: List::new(),
            asleep: BTreeSet::new(),
            next_name: 0,
        }
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
            is_probe_out: false,
            tickets: 0,
            turns: List::new(),
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

    /// Lets a ticket wait for its account's turn; `ahead` of everything else in its lane, or last.
    pub(crate) fn queue(&mut self, tickets: &mut Slab<Queued>, slot: Slot, ahead: Ahead) {
        let Some((lane, account)) = tickets.get(slot).map(|ticket| (ticket.lane, ticket.account)) else { return };
        let Some(found) = self.cells.get_mut(lane) else { return };
        let turn = match find_turn(&self.turns, &self.by_account, &found.turns, (lane, account)) {
            Some(turn) => turn,
            None => {
                let new = Turn { lane, account, link: Link::LOOSE, waiting: List::new(), is_indexed: false };
                let Some(turn) = self.turns.insert(new) else { return };
                if let Some(other) = found.turns.first() {
                    index_turn(&mut self.turns, &mut self.by_account, other);
                    index_turn(&mut self.turns, &mut self.by_account, turn);
                }
                found.turns.push_last(&mut self.turns, turn);
                turn
            }
        };
        found.waiting = found.waiting.saturating_add(1);
        if ahead == Ahead::OfAll {
            found.turns.remove(&mut self.turns, turn);
            found.turns.push_first(&mut self.turns, turn);
        }
        let Some(turn) = self.turns.get_mut(turn) else { return };
        match ahead {
            Ahead::OfAll => turn.waiting.push_first(tickets, slot),
            Ahead::OfNone => turn.waiting.push_last(tickets, slot),
        }
    }

    /// Takes a waiting ticket out of its turn.
    pub(crate) fn unqueue(&mut self, tickets: &mut Slab<Queued>, slot: Slot) {
        let Some((lane, account)) = tickets.get(slot).map(|ticket| (ticket.lane, ticket.account)) else { return };
        let Some(found) = self.cells.get_mut(lane) else { return };
        let Some(turn) = find_turn(&self.turns, &self.by_account, &found.turns, (lane, account)) else { return };
        found.waiting = found.waiting.saturating_sub(1);
        if let Some(turn) = self.turns.get_mut(turn) {
            turn.waiting.remove(tickets, slot);
        }
        self.drop_turn_if_over(turn);
    }

    /// Takes the next ticket of a lane: the account whose turn it is gives one message and goes to the end.
    pub(crate) fn take(&mut self, tickets: &mut Slab<Queued>, lane: Slot) -> Option<Slot> {
        let found = self.cells.get_mut(lane)?;
        let Some(turn) = found.turns.pop_first(&mut self.turns) else {
            // Cannot be; but a lane that is wrong about what waits must not be asked for it for ever.
            found.waiting = 0;
            return None;
        };
        found.turns.push_last(&mut self.turns, turn);
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
        if let Some(lane) = self.cells.get_mut(found.lane) {
            lane.turns.remove(&mut self.turns, turn);
        }
        self.turns.remove(turn);
    }

    /// Puts a lane where it belongs now.
    pub(crate) fn settle(&mut self, now: UnixMillis, slot: Slot) {
        let Some(lane) = self.cells.get_mut(slot) else { return };
        let place = lane.rightful_place(now);
        let old = std::mem::replace(&mut lane.place, place);
        if old == place {
            return;
        }
        match old {
            Place::Idle => {}
            Place::Ready => self.ready.remove(&mut self.cells, slot),
            Place::ReadyToProbe => self.ready_to_probe.remove(&mut self.cells, slot),
            Place::Asleep(until) => {
                self.asleep.remove(&(until, slot));
            }
            Place::Empty(_) => self.empty.remove(&mut self.cells, slot),
        }
        match place {
            Place::Idle => {}
            Place::Ready => self.ready.push_last(&mut self.cells, slot),
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
        self.ready_to_probe.first().filter(|_| may_probe).or_else(|| self.ready.first())
    }

    /// Counts an attempt that goes out.
    pub(crate) fn go_out(&mut self, slot: Slot) {
        let Some(lane) = self.cells.get_mut(slot) else { return };
        lane.active = lane.active.saturating_add(1);
        if lane.window.is_silent() {
            lane.is_probe_out = true;
            self.probes_out += 1;
        }
    }

    /// Counts an attempt that came back. A probe is always alone, so it is what came back if one was out.
    pub(crate) fn come_back(&mut self, slot: Slot) {
        let Some(lane) = self.cells.get_mut(slot) else { return };
        lane.active = lane.active.saturating_sub(1);
        if std::mem::take(&mut lane.is_probe_out) {
            self.probes_out = self.probes_out.saturating_sub(1);
        }
    }

    /// Like `settle`, but a lane that is still ready goes behind the others.
    pub(crate) fn settle_behind(&mut self, now: UnixMillis, slot: Slot) {
        if let Some(lane) = self.cells.get_mut(slot).filter(|lane| lane.place == Place::Ready) {
            lane.place = Place::Idle;
            self.ready.remove(&mut self.cells, slot);
        }
        self.settle(now, slot);
    }

    /// Readies the lanes whose wait is over.
    pub(crate) fn wake(&mut self, now: UnixMillis) {
        while let Some((_, slot)) = self.asleep.first().copied().filter(|(until, _)| *until <= now) {
            self.settle(now, slot);
        }
    }

    /// When the next lane's wait is over.
    pub(crate) fn next_wake(&self) -> Option<UnixMillis> {
        self.asleep.first().map(|(until, _)| *until)
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
            self.cells.remove(slot);
        }
    }
}

/// Whether a ticket goes before others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ahead {
    OfAll,
    OfNone,
}

impl Lane {
    pub(crate) fn tickets(&self) -> u32 {
        self.tickets
    }

    fn rightful_place(&self, now: UnixMillis) -> Place {
        if self.tickets == 0 {
            return match self.place {
                Place::Empty(since) => Place::Empty(since),
                _ => Place::Empty(now),
            };
        }
        if self.waiting == 0 || self.active >= u32::from(self.window.limit()) {
            return Place::Idle;
        }
        let from = self.window.blocked_until().max(self.pace.next());
        if from > now {
            Place::Asleep(from)
        } else if self.window.is_silent() {
            Place::ReadyToProbe
        } else {
            Place::Ready
        }
    }
}

fn find_turn(turns: &Slab<Turn>, by_account: &Index, of_lane: &List<InLane>, (lane, account): (Slot, u32)) -> Option<Slot> {
    let is_it = |slot| turns.get(slot).is_some_and(|turn| turn.lane == lane && turn.account == account);
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
