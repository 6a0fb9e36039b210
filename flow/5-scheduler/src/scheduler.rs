//! The scheduler itself. Promise: every ticket is in exactly one state, and the lists, counts and calendars agree with it, because
//! only `enter` and `leave` change a state.

use std::collections::HashMap;

use postern_mail::attempt::{Attempt, LaneId, Ticket};
use postern_mail::envelope::{MessageId, UnixMillis};

use crate::accounts::Accounts;
use crate::chance::Chance;
use crate::expiry::Mark;
use crate::lane::Ahead;
use crate::lanes::Lanes;
use crate::settings::SchedulerSettings;
use crate::store::{Calendar, Slot};
use crate::ticket::{ByAge, ByTurn, Notes, Queued, State, Tickets, UNWATCHED};
use crate::words::{Counts, Disposition, LastTrouble, Notice, NoticeKind, Rejected, Report, Shows};

/// How many deferred tickets one call of [`Scheduler::due`] lets come back to their lanes. What is left comes back with the next call,
/// which [`Scheduler::next_wakeup`] asks for at once; so the half million messages of one lane never make a pause.
const RETURNS_PER_CALL: usize = 4_096;

/// More tickets than this cannot be numbered.
const TICKETS_LIMIT: usize = 1 << 31;

/// Decides who is next, when, and how many at once. Has one owner and no lock.
#[derive(Debug)]
pub struct Scheduler {
    pub(crate) settings: SchedulerSettings,
    pub(crate) chance: Chance,
    pub(crate) tickets: Tickets,
    pub(crate) lanes: Lanes,
    accounts: Accounts,
    /// The groups that have counted attempts, by ticket: a lane may belong to another before they end. As many as are out at most.
    pub(crate) counted: HashMap<Slot, Slot>,
    /// Deferred tickets by second.
    deferred: Calendar<ByTurn>,
    /// Tickets by the minute at which their age matters.
    ages: Calendar<ByAge>,
    counts: Counts,
}

impl Scheduler {
    /// An empty scheduler. The seed decides the jitter of every wait.
    #[must_use]
    pub fn new(settings: SchedulerSettings, seed: u64) -> Self {
        Self {
            settings,
            chance: Chance::new(seed),
            tickets: Tickets::new(),
            lanes: Lanes::new(),
            accounts: Accounts::new(),
            counted: HashMap::new(),
            deferred: Calendar::new(),
            ages: Calendar::new(),
            counts: Counts::default(),
        }
    }

    /// Changes the settings. Windows keep what they learnt, within the new bounds; waits that have begun are not changed.
    pub fn reload(&mut self, now: UnixMillis, settings: SchedulerSettings) {
        self.settings = settings;
        let slots: Vec<Slot> = self.lanes.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            if let Some(lane) = self.lanes.cells.get_mut(slot) {
                let shaping = self.settings.shaping_of(&lane.destination);
                let group = self.lanes.groups.get(lane.group).map(|group| self.settings.shaping_of_group(group.name()));
                lane.window.change(group.unwrap_or(shaping));
                lane.pace.change(shaping.pace_per_minute);
            }
            self.lanes.settle(now, slot);
        }
        let settings = &self.settings;
        self.lanes.reshape_groups(now, |name| settings.shaping_of_group(name));
    }

    /// Takes a ticket: it waits for its turn, or for its time when that is yet to come.
    ///
    /// # Errors
    /// [`Rejected`] when the queue is full, or when this message is in this lane already.
    pub fn insert(&mut self, now: UnixMillis, ticket: Ticket) -> Result<LaneId, Rejected> {
        if self.len() >= self.settings.tickets_max.min(TICKETS_LIMIT) {
            return Err(Rejected::Full);
        }
        let lane = self.lanes.open(ticket.destination, &self.settings).ok_or(Rejected::Full)?;
        if self.tickets.of(ticket.id).any(|slot| self.tickets.get(slot).is_some_and(|other| other.lane == lane)) {
            return Err(Rejected::Twice);
        }
        let mut queued = Queued::new(ticket.id, ticket.received, second_from(ticket.due), lane);
        queued.attempts = ticket.attempts;
        if ticket.is_bulk {
            queued.notes.add(Notes::BULK);
        }
        let Some(slot) = self.tickets.insert(queued) else {
            self.lanes.settle(now, lane);
            return Err(Rejected::Full);
        };
        self.lanes.enter(lane);
        let account = self.accounts.enter(ticket.account);
        if let Some(queued) = self.tickets.get_mut(slot) {
            queued.account = account;
        }
        let state = if ticket.due <= now { State::Waiting } else { State::Deferred };
        self.enter(slot, state, Ahead::OfNone);
        self.watch(now, slot);
        self.lanes.settle_with_group(now, lane);
        self.lanes.forget(now, &self.settings);
        Ok(self.lanes.get(lane).map_or(LaneId(u32::MAX), |lane| lane.name))
    }

    /// Hands out what may be tried now: as much as windows, paces and the total allow, one message per lane and account in turn.
    /// To be called after each `insert` and `finished` (or a batch of them) and at [`next_wakeup`](Self::next_wakeup).
    pub fn due(&mut self, now: UnixMillis, attempts: &mut Vec<Attempt>) {
        self.return_deferred(now);
        self.lanes.wake(now);
        while self.counts.active < self.settings.concurrency_total {
            let Some(lane) = self.lanes.next_ready(self.settings.concurrency_total) else { break };
            if let Some(attempt) = self.hand_out(now, lane) {
                attempts.push(attempt);
            }
            self.lanes.settle_behind(now, lane);
        }
        self.lanes.forget(now, &self.settings);
    }

    fn hand_out(&mut self, now: UnixMillis, lane: Slot) -> Option<Attempt> {
        let slot = self.lanes.take(now, &mut self.tickets.cells, lane, self.settings.concurrency_total)?;
        self.counts.waiting = self.counts.waiting.saturating_sub(1);
        self.enter(slot, State::Active, Ahead::OfNone);
        let ticket = self.tickets.get_mut(slot)?;
        if let Some(group) = self.lanes.go_out(now, lane, ticket.class()) {
            self.counted.insert(slot, group);
        }
        ticket.attempts = ticket.attempts.saturating_add(1);
        let lane = self.lanes.get_mut(lane)?;
        lane.pace.count(now);
        Some(Attempt {
            id: ticket.id,
            lane: lane.name,
            destination: lane.destination.clone(),
            received: ticket.received,
            number: ticket.attempts,
        })
    }

    fn return_deferred(&mut self, now: UnixMillis) {
        for _ in 0..RETURNS_PER_CALL {
            let Some(slot) = self.deferred.pop(&mut self.tickets.cells, second_of(now)) else { return };
            self.counts.deferred = self.counts.deferred.saturating_sub(1);
            self.enter(slot, State::Waiting, Ahead::OfNone);
            if let Some(lane) = self.tickets.get(slot).map(|ticket| ticket.lane) {
                self.lanes.settle_with_group(now, lane);
            }
        }
    }

    /// Takes back an attempt, learns from it, and says what becomes of the message in this lane.
    pub fn finished(&mut self, now: UnixMillis, attempt: &Attempt, report: Report) -> Disposition {
        let Some((slot, lane)) = self.active(attempt.id, attempt.lane) else { return Disposition::Unknown };
        let is_admitted = self.tickets.get(slot).is_some_and(|ticket| ticket.notes.has(Notes::ADMITTED));
        let group = self.counted.get(&slot).copied();
        self.leave(slot);
        self.learn(now, (lane, group.filter(|_| is_admitted)), report);
        let disposition = if report.deferred { self.after_deferral(now, slot) } else { Disposition::Done };
        if matches!(disposition, Disposition::Done | Disposition::Expired | Disposition::Removed) {
            self.forget(now, slot);
        }
        self.lanes.settle_with_group(now, lane);
        if let Some(group) = group {
            self.lanes.settle_group(now, group);
        }
        disposition
    }

    /// What the hosts of a group say of themselves or of us, they say to all its lanes: a lane learns only what concerns itself. What a
    /// domain asks of its hosts, and what they say of it, is no trouble of others.
    fn learn(&mut self, now: UnixMillis, (lane, group): (Slot, Option<Slot>), report: Report) {
        let Some(lane) = self.lanes.cells.get_mut(lane) else { return };
        let wait = &self.settings.lane_retry;
        let trouble = report.trouble.map(|trouble| LastTrouble { at: now, scope: trouble.scope, status: trouble.status });
        lane.trouble = trouble.or(lane.trouble);
        if let Some(group) = group.and_then(|group| self.lanes.groups.get_mut(group)) {
            let of_group = match report.trouble.map(|trouble| trouble.shows) {
                None | Some(Shows::Trouble) => Some(report),
                Some(Shows::TheyAnswer) => Some(report.as_answer()),
                Some(Shows::Nothing) => None,
            };
            if let Some(report) = of_group {
                group.window.learn(now, report, group.active, wait, &mut self.chance);
            }
            if report.trouble.is_some_and(|trouble| trouble.shows == Shows::Trouble) {
                group.trouble = trouble;
                return;
            }
        }
        lane.window.learn(now, report, lane.active, wait, &mut self.chance);
    }

    pub(crate) fn active(&self, id: MessageId, lane: LaneId) -> Option<(Slot, Slot)> {
        self.tickets.of(id).find_map(|slot| {
            let ticket = self.tickets.get(slot).filter(|ticket| ticket.state == State::Active)?;
            (self.lanes.get(ticket.lane)?.name == lane).then_some((slot, ticket.lane))
        })
    }

    fn after_deferral(&mut self, now: UnixMillis, slot: Slot) -> Disposition {
        let Some(ticket) = self.tickets.get_mut(slot) else { return Disposition::Unknown };
        let number = ticket.attempts;
        if ticket.notes.has(Notes::REMOVE) {
            return Disposition::Removed;
        }
        if self.settings.expiry.is_over(now, ticket.received) {
            return Disposition::Expired;
        }
        ticket.due = second_from(now.plus(self.settings.retry.wait(number, &mut self.chance)));
        let due = time_of_second(ticket.due);
        if ticket.notes.has(Notes::HOLD) {
            ticket.notes.drop(Notes::HOLD);
            self.unwatch(slot);
            self.enter(slot, State::Held, Ahead::OfNone);
            return Disposition::Held { number };
        }
        let warn_delay = !ticket.notes.has(Notes::WARNED) && self.settings.expiry.is_late(now, ticket.received);
        if warn_delay || ticket.mark == UNWATCHED {
            self.unwatch(slot);
            self.watch(now, slot);
        }
        self.enter(slot, State::Deferred, Ahead::OfNone);
        Disposition::Again { due, number, warn_delay }
    }

    /// Says which messages grew late or too old while they waited, at most `most` of them; those too old are gone with this. Attempts
    /// that are out are left to [`finished`](Self::finished), and what is held does not age. Up to a minute late.
    pub fn notices(&mut self, now: UnixMillis, most: usize, notices: &mut Vec<Notice>) {
        let mut said = 0;
        while said < most {
            let Some(slot) = self.ages.pop(&mut self.tickets.cells, minute_of(now)) else { return };
            let Some(ticket) = self.tickets.get_mut(slot) else { continue };
            ticket.mark = UNWATCHED;
            if ticket.state == State::Active {
                continue;
            }
            let kind = if ticket.notes.has(Notes::WARNED) { NoticeKind::Expired } else { NoticeKind::Delayed };
            if let Some(lane) = self.lanes.get(ticket.lane) {
                let (id, received, attempts) = (ticket.id, ticket.received, ticket.attempts);
                notices.push(Notice { id, lane: lane.name, destination: lane.destination.clone(), received, attempts, kind });
                said += 1;
            }
            match kind {
                NoticeKind::Delayed => self.watch(now, slot),
                NoticeKind::Expired => self.discard(now, slot),
            }
        }
    }

    /// When [`due`](Self::due) or [`notices`](Self::notices) will have something, if nothing is inserted or finished before; `now` when
    /// they have something already. `None`: nothing until then.
    #[must_use]
    pub fn next_wakeup(&self, now: UnixMillis) -> Option<UnixMillis> {
        if self.counts.active < self.settings.concurrency_total
            && self.lanes.next_ready(self.settings.concurrency_total).is_some()
        {
            return Some(now);
        }
        let deferred = self.deferred.next().map(time_of_second);
        let age = self.ages.next().map(|minute| UnixMillis(u64::from(minute) * MINUTE));
        [deferred, age, self.lanes.next_wake()].into_iter().flatten().min().map(|at| at.max(now))
    }

    /// How many tickets are queued, in any state.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tickets.cells.len()
    }

    /// True when nothing is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many tickets are in which state.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Puts a ticket that is in no state into one. The lane must be settled afterwards.
    pub(crate) fn enter(&mut self, slot: Slot, state: State, ahead: Ahead) {
        let Some(ticket) = self.tickets.get_mut(slot) else { return };
        ticket.state = state;
        let due = ticket.due;
        let count = self.counts_of(state);
        *count = count.saturating_add(1);
        match state {
            State::Waiting => self.lanes.queue(&mut self.tickets.cells, slot, ahead),
            State::Deferred => self.deferred.add(&mut self.tickets.cells, slot, due),
            State::Active | State::Held => {}
        }
    }

    /// Takes a ticket out of its state. It must enter another, or be forgotten; and the lane must be settled.
    pub(crate) fn leave(&mut self, slot: Slot) {
        let Some((state, lane, due)) = self.tickets.get(slot).map(|ticket| (ticket.state, ticket.lane, ticket.due)) else {
            return;
        };
        let count = self.counts_of(state);
        *count = count.saturating_sub(1);
        match state {
            State::Waiting => self.lanes.unqueue(&mut self.tickets.cells, slot),
            State::Deferred => self.deferred.remove(&mut self.tickets.cells, slot, due),
            State::Active => self.come_back(slot, lane),
            State::Held => {}
        }
    }

    fn come_back(&mut self, slot: Slot, lane: Slot) {
        let Some(ticket) = self.tickets.get_mut(slot) else { return };
        ticket.notes.drop(Notes::ADMITTED);
        let class = ticket.class();
        self.lanes.come_back(lane, class);
        if let Some(group) = self.counted.remove(&slot) {
            self.lanes.groups.uncount(group, class);
        }
    }

    fn counts_of(&mut self, state: State) -> &mut usize {
        match state {
            State::Waiting => &mut self.counts.waiting,
            State::Deferred => &mut self.counts.deferred,
            State::Active => &mut self.counts.active,
            State::Held => &mut self.counts.held,
        }
    }

    /// Removes a ticket in whatever state.
    pub(crate) fn discard(&mut self, now: UnixMillis, slot: Slot) {
        self.leave(slot);
        self.forget(now, slot);
    }

    /// Removes a ticket that has left its state.
    pub(crate) fn forget(&mut self, now: UnixMillis, slot: Slot) {
        self.unwatch(slot);
        if let Some(ticket) = self.tickets.remove(slot) {
            self.accounts.leave(ticket.account);
            self.lanes.leave(ticket.lane);
            self.lanes.settle_with_group(now, ticket.lane);
        }
    }

    /// Looks at a ticket's age again when it next matters.
    pub(crate) fn watch(&mut self, now: UnixMillis, slot: Slot) {
        let Some(ticket) = self.tickets.get_mut(slot) else { return };
        let (mark, at) = self.settings.expiry.next_mark(now, ticket.received);
        if mark == Mark::GiveUp {
            ticket.notes.add(Notes::WARNED);
        }
        let minute = minute_from(at);
        ticket.mark = minute;
        self.ages.add(&mut self.tickets.cells, slot, minute);
    }

    /// Does not look at a ticket's age any more.
    pub(crate) fn unwatch(&mut self, slot: Slot) {
        let Some(ticket) = self.tickets.get_mut(slot) else { return };
        let minute = std::mem::replace(&mut ticket.mark, UNWATCHED);
        if minute != UNWATCHED {
            self.ages.remove(&mut self.tickets.cells, slot, minute);
        }
    }
}

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60_000;
/// The last tick of a calendar: a time past it (in 2106, or what an overflow made) waits until then.
const LAST_TICK: u32 = UNWATCHED - 1;

/// The second that has begun.
pub(crate) fn second_of(now: UnixMillis) -> u32 {
    tick(now.0 / SECOND)
}

/// The first second that is not before `at`.
fn second_from(at: UnixMillis) -> u32 {
    tick(at.0.div_ceil(SECOND))
}

fn time_of_second(second: u32) -> UnixMillis {
    UnixMillis(u64::from(second) * SECOND)
}

fn minute_of(now: UnixMillis) -> u32 {
    tick(now.0 / MINUTE)
}

fn minute_from(at: UnixMillis) -> u32 {
    tick(at.0.div_ceil(MINUTE))
}

fn tick(ticks: u64) -> u32 {
    u32::try_from(ticks).unwrap_or(LAST_TICK).min(LAST_TICK)
}

#[cfg(test)]
mod tests;
