//! What lanes share that lead to the same hosts: a provider's window and pace. Promise: over all its domains a provider never has
//! more attempts out than its window, nor more messages in a minute than its pace; and a lane that waits for its provider costs
//! nothing until it may go.
//!
//! A lane joins a group when its exchangers are known, which an attempt says once it has looked them up
//! ([`Scheduler::admit`](crate::Scheduler::admit)). Lanes that could go while their group may not are parked in the group, which lets
//! as many out as it has room for.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use postern_mail::envelope::UnixMillis;

use crate::lane::{Class, InPlace, Lane, PerClass, Place, Share, bulk_limit};
use crate::lanes::Lanes;
use crate::pace::Pace;
use crate::settings::Shaping;
use crate::store::{List, NOWHERE, Slab, Slot};
use crate::window::Window;
use crate::words::LastTrouble;

/// What makes lanes belong together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// A provider that is known by name.
    Named(Arc<str>),
    /// The very same set of hosts, by a hash that strangers cannot choose.
    Hosts(u64),
}

impl Key {
    /// How a provider is called, where it has a name.
    pub(crate) fn name(&self) -> Option<&Arc<str>> {
        match self {
            Self::Named(name) => Some(name),
            Self::Hosts(_) => None,
        }
    }
}

/// Lanes with the same hosts.
#[derive(Debug)]
pub(crate) struct Group {
    key: Key,
    pub(crate) window: Window,
    pub(crate) pace: Pace,
    pub(crate) trouble: Option<LastTrouble>,
    pub(crate) active: u32,
    bulk_active: u32,
    /// Lanes that belong to it.
    lanes: u32,
    /// Its lanes that are in a ring of ready ones.
    ready: PerClass<u32>,
    /// Its lanes that are ready to probe. One is enough, since one may go.
    probing: u32,
    parked: PerClass<List<InPlace>>,
    share: Share,
    asleep: Option<UnixMillis>,
}

impl Group {
    /// How a provider is called, where it has a name.
    pub(crate) fn name(&self) -> Option<&Arc<str>> {
        self.key.name()
    }

    /// One more attempt may go out now.
    pub(crate) fn may_go(&self, now: UnixMillis, class: Class) -> bool {
        let limit = usize::from(self.window.limit());
        let is_bulk_full = class == Class::Bulk && self.bulk_active as usize >= bulk_limit(limit);
        (self.active as usize) < limit && !is_bulk_full && self.opens_at() <= now
    }

    /// It is silent, and a lane of it that is to find out whether it still is stands ready.
    pub(crate) fn has_prober(&self) -> bool {
        self.window.is_silent() && self.probing > 0
    }

    fn opens_at(&self) -> UnixMillis {
        self.window.blocked_until().max(self.pace.next())
    }

    fn go_out(&mut self, class: Class) {
        self.active = self.active.saturating_add(1);
        self.bulk_active = self.bulk_active.saturating_add(u32::from(class == Class::Bulk));
    }
}

/// All groups.
#[derive(Debug)]
pub(crate) struct Groups {
    pub(crate) cells: Slab<Group>,
    by_key: HashMap<Key, Slot>,
    /// Groups with parked lanes that may go at a time to come.
    asleep: BTreeSet<(UnixMillis, Slot)>,
}

impl Groups {
    pub(crate) fn new() -> Self {
        Self { cells: Slab::new(), by_key: HashMap::new(), asleep: BTreeSet::new() }
    }

    pub(crate) fn get(&self, group: Slot) -> Option<&Group> {
        self.cells.get(group)
    }

    pub(crate) fn get_mut(&mut self, group: Slot) -> Option<&mut Group> {
        self.cells.get_mut(group)
    }

    pub(crate) fn next_wake(&self) -> Option<UnixMillis> {
        self.asleep.first().map(|(at, _)| *at)
    }

    /// The group of that key, made where there is none. It must get a lane next.
    fn open(&mut self, key: Key, shaping: Shaping) -> Option<Slot> {
        if let Some(slot) = self.by_key.get(&key) {
            return Some(*slot);
        }
        let slot = self.cells.insert(Group {
            key: key.clone(),
            window: Window::new(shaping),
            pace: Pace::new(shaping.pace_per_minute),
            trouble: None,
            active: 0,
            bulk_active: 0,
            lanes: 0,
            ready: PerClass::new(0, 0),
            probing: 0,
            parked: PerClass::new(List::new(), List::new()),
            share: Share::default(),
            asleep: None,
        })?;
        self.by_key.insert(key, slot);
        Some(slot)
    }

    /// An attempt is over that this group has counted, or turned out to go elsewhere. The group must be settled.
    pub(crate) fn uncount(&mut self, slot: Slot, class: Class) {
        if let Some(group) = self.get_mut(slot) {
            group.active = group.active.saturating_sub(1);
            group.bulk_active = group.bulk_active.saturating_sub(u32::from(class == Class::Bulk));
        }
        self.forget_unused(slot);
    }

    /// A lane left.
    pub(crate) fn lose_lane(&mut self, slot: Slot) {
        if let Some(group) = self.cells.get_mut(slot) {
            group.lanes = group.lanes.saturating_sub(1);
        }
        self.forget_unused(slot);
    }

    /// A group without lanes is forgotten, once nothing is out that it has counted.
    fn forget_unused(&mut self, slot: Slot) {
        if self.get(slot).is_none_or(|group| group.lanes > 0 || group.active > 0) {
            return;
        }
        if let Some(group) = self.cells.remove(slot) {
            self.by_key.remove(&group.key);
            if let Some(at) = group.asleep {
                self.asleep.remove(&(at, slot));
            }
            if self.by_key.is_empty() {
                self.by_key.shrink_to_fit();
            }
        }
    }

    /// Counts a lane that took its place, or left it.
    pub(crate) fn count_place(&mut self, lanes: &mut Slab<Lane>, lane: Slot, (old, new): (Place, Place)) {
        let Some(group) = lanes.get(lane).and_then(|lane| self.cells.get_mut(lane.group)) else { return };
        match old {
            Place::Ready(class) => {
                let ready = group.ready.of_mut(class);
                *ready = ready.saturating_sub(1);
            }
            Place::ReadyToProbe => group.probing = group.probing.saturating_sub(1),
            Place::Parked(class) => group.parked.of_mut(class).remove(lanes, lane),
            Place::Idle | Place::Asleep(_) | Place::Empty(_) => {}
        }
        match new {
            Place::Ready(class) => {
                let ready = group.ready.of_mut(class);
                *ready = ready.saturating_add(1);
            }
            Place::ReadyToProbe => group.probing = group.probing.saturating_add(1),
            Place::Parked(class) => group.parked.of_mut(class).push_last(lanes, lane),
            Place::Idle | Place::Asleep(_) | Place::Empty(_) => {}
        }
    }

    /// Sets the alarm of a group that is closed for a time while lanes are parked in it.
    fn set_alarm(&mut self, now: UnixMillis, slot: Slot) {
        let Some(group) = self.cells.get_mut(slot) else { return };
        let is_parked = !group.parked.of(Class::Single).is_empty() || !group.parked.of(Class::Bulk).is_empty();
        let is_full = group.active as usize >= usize::from(group.window.limit());
        let alarm = Some(group.opens_at()).filter(|at| is_parked && !is_full && *at > now);
        let old = std::mem::replace(&mut group.asleep, alarm);
        if old == alarm {
            return;
        }
        if let Some(at) = old {
            self.asleep.remove(&(at, slot));
        }
        if let Some(at) = alarm {
            self.asleep.insert((at, slot));
        }
    }
}

impl Lanes {
    /// Lets a lane belong to a group, or to none; `shaping` is what it has there.
    pub(crate) fn join(&mut self, now: UnixMillis, slot: Slot, key: Option<Key>, shaping: Shaping) {
        let Some(old) = self.get(slot).map(|lane| lane.group) else { return };
        let new = key.and_then(|key| self.groups.open(key, shaping)).unwrap_or(NOWHERE);
        if new == old {
            return;
        }
        // Its place is one of its old group; it takes a new one when it is settled.
        self.take_off(slot);
        let Some(lane) = self.cells.get_mut(slot) else { return };
        lane.group = new;
        // What is out stays counted where it was, for it is there that it is.
        if let Some(group) = self.groups.get_mut(new) {
            group.lanes = group.lanes.saturating_add(1);
        }
        lane.window.change(shaping);
        if old != NOWHERE {
            self.groups.lose_lane(old);
            self.settle_group(now, old);
        }
        self.settle(now, slot);
    }

    /// Counts an attempt of a lane in its group, if it has one, and gives that.
    pub(crate) fn count_in_group(&mut self, now: UnixMillis, slot: Slot, class: Class) -> Option<Slot> {
        let of = self.get(slot)?.group;
        let group = self.groups.get_mut(of)?;
        group.go_out(class);
        group.pace.count(now);
        let bulk_waited = !group.parked.of(Class::Bulk).is_empty();
        group.share.count(class, bulk_waited);
        Some(of)
    }

    /// Lets as many parked lanes out as the group has room for, and sees to it that it is looked at again in time. Whatever changes a
    /// group calls this afterwards.
    pub(crate) fn settle_group(&mut self, now: UnixMillis, slot: Slot) {
        while let Some(lane) = self.next_parked(now, slot) {
            let place = self.get(lane).map(|lane| lane.place);
            self.settle(now, lane);
            if self.get(lane).map(|lane| lane.place) == place {
                break;
            }
        }
        self.groups.set_alarm(now, slot);
    }

    fn next_parked(&self, now: UnixMillis, slot: Slot) -> Option<Slot> {
        let group = self.groups.get(slot)?;
        // At an even pace no more than the next one can go; after it this is asked again.
        let room = if group.pace.is_unlimited() { u32::from(group.window.limit()).saturating_sub(group.active) } else { 1 };
        let (singles, bulk) = (*group.ready.of(Class::Single), *group.ready.of(Class::Bulk));
        let single = group.parked.of(Class::Single).first().filter(|_| singles < room && group.may_go(now, Class::Single));
        let bulk = group.parked.of(Class::Bulk).first().filter(|_| singles + bulk < room && group.may_go(now, Class::Bulk));
        match group.share.next(single.is_some(), bulk.is_some())? {
            Class::Single => single,
            Class::Bulk => bulk,
        }
    }

    /// Opens the groups whose wait is over.
    pub(crate) fn wake_groups(&mut self, now: UnixMillis) {
        while let Some((at, slot)) = self.groups.asleep.first().copied().filter(|(at, _)| *at <= now) {
            self.groups.asleep.remove(&(at, slot));
            if let Some(group) = self.groups.get_mut(slot) {
                group.asleep = None;
            }
            self.settle_group(now, slot);
        }
    }

    /// New shaping for all groups.
    pub(crate) fn reshape_groups(&mut self, now: UnixMillis, shaping_of: impl Fn(Option<&Arc<str>>) -> Shaping) {
        let slots: Vec<Slot> = self.groups.cells.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            if let Some(group) = self.groups.get_mut(slot) {
                let shaping = shaping_of(group.name());
                group.window.change(shaping);
                group.pace.change(shaping.pace_per_minute);
            }
            self.settle_group(now, slot);
        }
    }
}
