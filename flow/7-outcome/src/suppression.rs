//! Who is not written to any more: addresses that bounced often enough, complained, unsubscribed, or that a person named.
//!
//! Promise: no address is suppressed by a machine for what was said about us ([`crate::bounce`]), nor without an end for a bounce; what is
//! remembered is bounded, and of it bounces are forgotten first, the oldest before the others. What people asked for is never forgotten to make room.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use postern_mail::Mailbox;
use postern_mail::envelope::UnixMillis;
use postern_mail::suppression::{
    Cause, EVIDENCE_CHARS_MAX, Suppressed, SuppressionChange, SuppressionKey, SuppressionRow, folded,
};

/// When there is no room, so many of what may be forgotten are forgotten at once: one in this many.
const FORGOTTEN_AT_ONCE: usize = 16;

/// How it is done.
#[derive(Clone, Copy, Debug)]
pub struct SuppressionSettings {
    /// Bounces that suppress an address; 0: none do.
    pub after: u32,
    /// A bounce counts for so long.
    pub within: Duration,
    /// An address that bounced is suppressed for so long.
    pub bounced_for: Duration,
    /// Most entries there may be.
    pub entries_max: usize,
}

/// What is remembered of a key; its evidence is on disk.
#[derive(Clone, Copy, Debug)]
struct Slot {
    cause: Cause,
    since: UnixMillis,
    until: Option<UnixMillis>,
    times: u32,
    in_force: bool,
}

impl Slot {
    fn is_over(&self, now: UnixMillis) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// What came of something that was learnt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learnt {
    /// What is to be kept.
    pub changes: Vec<SuppressionChange>,
    /// The address is suppressed now, and was not before.
    pub suppressed: bool,
    /// There was no room, and nothing that may be forgotten.
    pub no_room: bool,
}

/// The book.
#[derive(Debug, Default)]
pub struct Suppressions {
    slots: BTreeMap<SuppressionKey, Slot>,
}

fn cut(evidence: &str) -> Box<str> {
    evidence.chars().take(EVIDENCE_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().into()
}

impl Suppressions {
    /// From rows that were kept.
    #[must_use]
    pub fn restored(rows: impl IntoIterator<Item = SuppressionRow>) -> Self {
        let slot = |row: &SuppressionRow| Slot {
            cause: row.cause,
            since: row.since,
            until: row.until,
            times: row.times,
            in_force: row.in_force,
        };
        Self { slots: rows.into_iter().map(|row| (row.key.clone(), slot(&row))).collect() }
    }

    /// What is said of an address for mail of an account. What holds for the account is told before what holds for everybody.
    #[must_use]
    pub fn about(&self, now: UnixMillis, to: &Mailbox, account: Option<&str>) -> Option<Suppressed> {
        if self.slots.is_empty() {
            return None;
        }
        let address = folded(to);
        let of = |account: Option<Arc<str>>| {
            let key = SuppressionKey { address: address.clone(), account };
            let slot = self.slots.get(&key).filter(|slot| slot.in_force && !slot.is_over(now))?;
            Some(Suppressed { cause: slot.cause, since: slot.since, until: slot.until, of_account: key.account.is_some() })
        };
        account.and_then(|account| of(Some(account.into()))).or_else(|| of(None))
    }

    /// Its host said for good that it does not exist. That is a fact about the address, whoever wrote.
    pub fn bounced(&mut self, now: UnixMillis, settings: &SuppressionSettings, to: &Mailbox, evidence: &str) -> Learnt {
        if settings.after == 0 {
            return Learnt::default();
        }
        let key = SuppressionKey::new(to, None);
        let known = self.slots.get(&key).copied().filter(|slot| !slot.is_over(now));
        // What people asked for says more than a bounce, and lasts longer.
        if known.is_some_and(|slot| slot.cause != Cause::Bounced) {
            return Learnt::default();
        }
        let times = known.map_or(0, |slot| slot.times).saturating_add(1);
        let in_force = times >= settings.after || known.is_some_and(|slot| slot.in_force);
        let until = now.plus(if in_force { settings.bounced_for } else { settings.within });
        let slot = Slot { cause: Cause::Bounced, since: now, until: Some(until), times, in_force };
        let mut learnt = self.put(now, settings, key, slot, evidence);
        learnt.suppressed &= in_force && !known.is_some_and(|slot| slot.in_force);
        learnt
    }

    /// It bounced before. Nearly always there is nothing of the kind.
    #[must_use]
    pub fn has_bounced(&self, to: &Mailbox) -> bool {
        let is_bounce = |slot: &Slot| slot.cause == Cause::Bounced;
        !self.slots.is_empty() && self.slots.get(&SuppressionKey::new(to, None)).is_some_and(is_bounce)
    }

    /// It took a message: whatever bounced before, it exists.
    pub fn delivered(&mut self, to: &Mailbox) -> Vec<SuppressionChange> {
        if !self.has_bounced(to) {
            return Vec::new();
        }
        let key = SuppressionKey::new(to, None);
        self.slots.remove(&key);
        vec![SuppressionChange::Forget(key)]
    }

    /// Somebody wants it so: its owner by a complaint or by unsubscribing, or a person of ours. An entry that is there is replaced.
    pub fn add(
        &mut self,
        now: UnixMillis,
        settings: &SuppressionSettings,
        key: SuppressionKey,
        (cause, until): (Cause, Option<UnixMillis>),
        evidence: &str,
    ) -> Learnt {
        let was = self.slots.get(&key).is_some_and(|slot| slot.in_force && !slot.is_over(now));
        let slot = Slot { cause, since: now, until, times: 0, in_force: true };
        let mut learnt = self.put(now, settings, key, slot, evidence);
        learnt.suppressed &= !was;
        learnt
    }

    /// Takes an entry back; none: there was none. What did not bounce often enough yet is forgotten with it.
    pub fn remove(&mut self, key: &SuppressionKey) -> Option<SuppressionChange> {
        self.slots.remove(key).map(|_| SuppressionChange::Forget(key.clone()))
    }

    fn put(
        &mut self,
        now: UnixMillis,
        settings: &SuppressionSettings,
        key: SuppressionKey,
        slot: Slot,
        evidence: &str,
    ) -> Learnt {
        let mut changes = Vec::new();
        if self.slots.len() >= settings.entries_max.max(1) && !self.slots.contains_key(&key) {
            changes = self.make_room(now);
            if changes.is_empty() {
                return Learnt { no_room: true, ..Learnt::default() };
            }
        }
        self.slots.insert(key.clone(), slot);
        let Slot { cause, since, until, times, in_force } = slot;
        changes.push(SuppressionChange::Put(SuppressionRow {
            key,
            cause,
            since,
            until,
            times,
            in_force,
            evidence: cut(evidence),
        }));
        Learnt { changes, suppressed: true, no_room: false }
    }

    /// What is over; then bounces, those that suppress nobody yet before the others, the oldest first.
    fn make_room(&mut self, now: UnixMillis) -> Vec<SuppressionChange> {
        let mut old: Vec<(bool, bool, UnixMillis, SuppressionKey)> = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.is_over(now) || slot.cause == Cause::Bounced)
            .map(|(key, slot)| (!slot.is_over(now), slot.in_force, slot.since, key.clone()))
            .collect();
        old.sort_unstable();
        let over = old.iter().take_while(|(lasts, ..)| !lasts).count();
        old.truncate(over.max(self.slots.len() / FORGOTTEN_AT_ONCE).max(1));
        for (.., key) in &old {
            self.slots.remove(key);
        }
        old.into_iter().map(|(.., key)| SuppressionChange::Forget(key)).collect()
    }

    /// Keys in force of an address: that of everybody first, then those of single accounts.
    pub fn of_address<'a>(&'a self, now: UnixMillis, to: &Mailbox) -> impl Iterator<Item = &'a SuppressionKey> + use<'a> {
        let first = SuppressionKey::new(to, None);
        let address = first.address.clone();
        let there = self.slots.range(first..).take_while(move |(key, _)| key.address == address);
        there.filter(move |(_, slot)| slot.in_force && !slot.is_over(now)).map(|(key, _)| key)
    }

    /// Keys in force, in order, behind one.
    pub fn keys<'a>(
        &'a self,
        now: UnixMillis,
        after: Option<&SuppressionKey>,
    ) -> impl Iterator<Item = &'a SuppressionKey> + use<'a> {
        let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.clone()));
        let there = self.slots.range((from, Bound::Unbounded));
        there.filter(move |(_, slot)| slot.in_force && !slot.is_over(now)).map(|(key, _)| key)
    }

    /// Bounces of an address that do not suppress it yet.
    #[must_use]
    pub fn times(&self, now: UnixMillis, to: &Mailbox) -> u32 {
        self.slots.get(&SuppressionKey::new(to, None)).filter(|slot| !slot.is_over(now)).map_or(0, |slot| slot.times)
    }

    /// How many entries there are, in force or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Nobody is suppressed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

#[cfg(test)]
mod tests;
