//! One lane: what waits for one destination, and where it stands. Promise: bulk mail neither takes the turn of other mail nor the last
//! quarter of the attempts a lane may have out, and still has one turn in [`BULK_SHARE`].

use postern_mail::attempt::{Destination, LaneId};
use postern_mail::envelope::UnixMillis;

use crate::groups::Group;
use crate::pace::Pace;
use crate::store::{Link, List, NOWHERE, Slab, Slot, Threaded};
use crate::ticket::ByTurn;
use crate::window::Window;
use crate::words::LastTrouble;

/// Where both kinds of mail wait, every such turn is one of bulk mail.
const BULK_SHARE: u8 = 8;

/// How urgent a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Somebody waits for it.
    Single,
    /// One of many alike.
    Bulk,
}

/// One of something for each class.
#[derive(Debug)]
pub(crate) struct PerClass<T>([T; 2]);

impl<T> PerClass<T> {
    pub(crate) const fn new(single: T, bulk: T) -> Self {
        Self([single, bulk])
    }

    pub(crate) fn of(&self, class: Class) -> &T {
        let [single, bulk] = &self.0;
        match class {
            Class::Single => single,
            Class::Bulk => bulk,
        }
    }

    pub(crate) fn of_mut(&mut self, class: Class) -> &mut T {
        let [single, bulk] = &mut self.0;
        match class {
            Class::Single => single,
            Class::Bulk => bulk,
        }
    }
}

/// Whose turn it is between the classes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Share(u8);

impl Share {
    /// The class that goes next, of those that have something and may.
    pub(crate) fn next(self, single: bool, bulk: bool) -> Option<Class> {
        match (single, bulk) {
            (true, true) if self.0 + 1 >= BULK_SHARE => Some(Class::Bulk),
            (true, _) => Some(Class::Single),
            (false, true) => Some(Class::Bulk),
            (false, false) => None,
        }
    }

    /// One of this class went. Only turns that bulk mail waited for count.
    pub(crate) fn count(&mut self, class: Class, bulk_waited: bool) {
        self.0 = match class {
            Class::Single if bulk_waited => (self.0 + 1).min(BULK_SHARE),
            Class::Single => self.0,
            Class::Bulk => 0,
        };
    }
}

/// Of so many attempts, how many may be of bulk mail.
pub(crate) fn bulk_limit(limit: usize) -> usize {
    limit - limit / 4
}

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
    /// Of the active ones, those of bulk mail.
    pub(crate) bulk_active: u16,
    /// The provider it shares with other lanes, or [`NOWHERE`].
    pub(crate) group: Slot,
    /// The one attempt that is out is a probe.
    pub(crate) is_probe_out: bool,
    pub(crate) share: Share,
    /// All its tickets, those that wait, are active, deferred or held.
    pub(crate) tickets: u32,
    /// The accounts with something waiting, in the order of their turns.
    pub(crate) turns: PerClass<List<InLane>>,
    pub(crate) place: Place,
    pub(crate) link: Link,
}

/// Where a lane stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nothing waits, or as many are out as may be: something must end or arrive first.
    Idle,
    /// In the ring of lanes whose next message may go now.
    Ready(Class),
    /// In the ring of silent lanes whose probe may go now.
    ReadyToProbe,
    /// It could go, but its group may not.
    Parked(Class),
    /// Its next message may go then.
    Asleep(UnixMillis),
    /// Without tickets since then; only remembered.
    Empty(UnixMillis),
}

/// What one account has waiting in one lane.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) lane: Slot,
    pub(crate) account: u32,
    pub(crate) link: Link,
    pub(crate) waiting: List<ByTurn>,
    pub(crate) class: Class,
    /// It is in the index. The only turn of a lane need not be: most lanes never see a second account.
    pub(crate) is_indexed: bool,
}

/// The thread through the turns of one lane.
#[derive(Debug)]
pub(crate) struct InLane;
impl Threaded<Turn> for InLane {
    fn link(node: &mut Turn) -> &mut Link {
        &mut node.link
    }
}

/// The thread through the lanes that are ready, ready to probe, parked, or empty.
#[derive(Debug)]
pub(crate) struct InPlace;
impl Threaded<Lane> for InPlace {
    fn link(node: &mut Lane) -> &mut Link {
        &mut node.link
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

    pub(crate) fn has(&self, class: Class) -> bool {
        !self.turns.of(class).is_empty()
    }

    /// The class of its next message, of those that `may` go.
    pub(crate) fn next_class(&self, may: impl Fn(Class) -> bool) -> Option<Class> {
        let limit = usize::from(self.window.limit());
        let bulk = self.has(Class::Bulk) && usize::from(self.bulk_active) < bulk_limit(limit);
        self.share.next(self.has(Class::Single) && may(Class::Single), bulk && may(Class::Bulk))
    }

    pub(crate) fn rightful_place(&self, now: UnixMillis, groups: &Slab<Group>) -> Place {
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
            return Place::Asleep(from);
        }
        // What is ready is sorted by the most urgent message, whose turn it is inside of the lane is another matter.
        let Some(class) = self.next_class(|class| class == Class::Single || !self.has(Class::Single)) else {
            return Place::Idle;
        };
        let group = groups.get(self.group).filter(|_| self.group != NOWHERE);
        let is_prober = self.place == Place::ReadyToProbe;
        if group.is_some_and(|group| !group.may_go(now, class) || (group.has_prober() && !is_prober)) {
            Place::Parked(class)
        } else if self.window.is_silent() || group.is_some_and(|group| group.window.is_silent()) {
            Place::ReadyToProbe
        } else {
            Place::Ready(class)
        }
    }
}
