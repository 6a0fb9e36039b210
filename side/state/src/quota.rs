//! How much each account and credential has sent: reserved at MAIL and RCPT, counted before a message is made durable, given back when it
//! comes to nothing.
//!
//! Promise: counted and reserved together never exceed a limit, however many sessions ask at once. A count is written before the message it
//! is about is committed, so the death of the process at any moment costs at most what was being committed then, and in the direction that
//! lets less through. A power cut may cost what was counted within the last second: rows are handed to the system for each message and synced
//! once a second, since a sync for each message would double the syncs of the server, and nobody who abuses an account cuts our power.
//!
//! Bounded: so many keys, and a few dozen numbers for each. When there are too many, nobody is forgotten who still counts; a new one waits.

mod window;

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use postern_mail::envelope::UnixMillis;
use postern_mail::scope::{Part, Quota, QuotaFull, UNLIMITED};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::backend::{Backend, Change, Durability, Keyspace, Order};
use crate::quota::window::{DAY, HOUR, Window};
use crate::store::Store;
use crate::trouble::StateFailure;

/// Accounts and credentials with something to count. About 1 KiB each at the worst.
pub const KEYS_MAX: usize = 200_000;
/// Messages that wait for their counts to be written: more than there are connections.
const JOBS_MAX: usize = 65_536;
/// Messages whose counts are written together.
const TOGETHER_MAX: usize = 1_024;
/// How much of the counts a power cut may cost.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// How long one waits that found everything reserved, and nothing counted yet.
const SOON: Duration = Duration::from_secs(60);

/// Whose count, and how much there is.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Stays the same over restarts.
    pub key: Arc<str>,
    /// Parts that are not set do not limit.
    pub quota: Quota,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counter {
    messages_hour: Window,
    messages_day: Window,
    recipients_hour: Window,
    recipients_day: Window,
    messages_reserved: u32,
    recipients_reserved: u32,
}

/// The form of the row. It only grows.
#[derive(Serialize, Deserialize)]
struct CounterRow {
    mh: Vec<(u64, u32)>,
    md: Vec<(u64, u32)>,
    rh: Vec<(u64, u32)>,
    rd: Vec<(u64, u32)>,
}

/// Where a count went, for taking it back.
#[derive(Clone, Copy, Debug)]
struct Slots([u64; 4]);

impl Counter {
    fn check(&self, quota: &Quota, now: UnixMillis, messages: u32, recipients: u32) -> Result<(), QuotaFull> {
        let parts = [
            (Part::MessagesPerHour, quota.messages_per_hour, &self.messages_hour, HOUR, self.messages_reserved, messages),
            (Part::MessagesPerDay, quota.messages_per_day, &self.messages_day, DAY, self.messages_reserved, messages),
            (
                Part::RecipientsPerHour,
                quota.recipients_per_hour,
                &self.recipients_hour,
                HOUR,
                self.recipients_reserved,
                recipients,
            ),
            (Part::RecipientsPerDay, quota.recipients_per_day, &self.recipients_day, DAY, self.recipients_reserved, recipients),
        ];
        for (part, limit, window, span, reserved, wanted) in parts {
            let Some(limit) = limit.filter(|limit| *limit != UNLIMITED && wanted > 0) else { continue };
            let after = window.sum(span, now).saturating_add(reserved).saturating_add(wanted);
            if after > limit {
                let free_at = window.free_at(span, now, after - limit).unwrap_or_else(|| now.plus(SOON));
                return Err(QuotaFull { part, limit, free_at });
            }
        }
        Ok(())
    }

    fn count(&mut self, now: UnixMillis, messages: u32, recipients: u32) -> Slots {
        Slots([
            self.messages_hour.add(HOUR, now, messages),
            self.messages_day.add(DAY, now, messages),
            self.recipients_hour.add(HOUR, now, recipients),
            self.recipients_day.add(DAY, now, recipients),
        ])
    }

    fn take(&mut self, Slots([mh, md, rh, rd]): Slots, messages: u32, recipients: u32) {
        self.messages_hour.take(mh, messages);
        self.messages_day.take(md, messages);
        self.recipients_hour.take(rh, recipients);
        self.recipients_day.take(rd, recipients);
    }

    fn is_over(&self, now: UnixMillis) -> bool {
        self.messages_reserved == 0
            && self.recipients_reserved == 0
            && self.messages_day.is_over(DAY, now)
            && self.recipients_day.is_over(DAY, now)
            && self.messages_hour.is_over(HOUR, now)
            && self.recipients_hour.is_over(HOUR, now)
    }

    /// True when something was moved.
    fn settle(&mut self, now: UnixMillis) -> bool {
        let hours = [&mut self.messages_hour, &mut self.recipients_hour].map(|window| window.settle(HOUR, now));
        let days = [&mut self.messages_day, &mut self.recipients_day].map(|window| window.settle(DAY, now));
        hours.into_iter().chain(days).any(|moved| moved)
    }

    fn to_row(&self) -> Result<Vec<u8>, String> {
        let row = CounterRow {
            mh: self.messages_hour.0.clone(),
            md: self.messages_day.0.clone(),
            rh: self.recipients_hour.0.clone(),
            rd: self.recipients_day.0.clone(),
        };
        serde_json::to_vec(&row).map_err(|error| error.to_string())
    }

    fn from_row(row: &[u8]) -> Result<Self, String> {
        let row: CounterRow = serde_json::from_slice(row).map_err(|error| error.to_string())?;
        Ok(Self {
            messages_hour: Window(row.mh),
            messages_day: Window(row.md),
            recipients_hour: Window(row.rh),
            recipients_day: Window(row.rd),
            ..Self::default()
        })
    }
}

struct Table {
    counters: HashMap<Arc<str>, Counter>,
    /// Counters whose rows are older than they are.
    dirty: HashSet<Arc<str>>,
    /// When it was last looked for counters that are over.
    swept: UnixMillis,
}

impl Table {
    /// Forgets what no longer counts.
    fn sweep(&mut self, now: UnixMillis) {
        self.swept = now;
        let Self { counters, dirty, .. } = self;
        counters.retain(|key, counter| {
            let moved = counter.settle(now);
            let over = counter.is_over(now);
            if over || moved {
                dirty.insert(Arc::clone(key));
            }
            !over
        });
    }
}

struct Shared {
    backend: Arc<dyn Backend>,
    table: Mutex<Table>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Table> {
        // Numbers are changed one after the other; whoever died between two has counted too much, if anything.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the writer that somebody waits; without a listener, that there is something to write some time.
type Job = Option<oneshot::Sender<Result<(), StateFailure>>>;

/// All counts.
pub struct Quotas {
    shared: Arc<Shared>,
    jobs: SyncSender<Job>,
}

impl Quotas {
    /// Reads all counts, and starts the writer.
    ///
    /// # Errors
    /// When the disk fails, a row does not read, or no thread can be had.
    pub fn open(store: &Store) -> Result<Arc<Self>, StateFailure> {
        let backend = Arc::clone(store.backend());
        let mut table = Table { counters: HashMap::new(), dirty: HashSet::new(), swept: UnixMillis(0) };
        for (key, row) in backend.scan(Keyspace::Quotas, b"", None, Order::Ascending, KEYS_MAX)? {
            let words = |why: String| StateFailure::Corrupt(format!("quota of {}: {why}", postern_mail::Quoted(&key)));
            let counter = Counter::from_row(&row).map_err(words)?;
            let name = std::str::from_utf8(&key).map_err(|error| words(error.to_string()))?;
            table.counters.insert(name.into(), counter);
        }
        let shared = Arc::new(Shared { backend, table: Mutex::new(table) });
        let (jobs, waiting) = sync_channel(JOBS_MAX);
        let writing = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("quotas".to_owned())
            .spawn(move || write(&writing, &waiting))
            .map_err(|error| StateFailure::Disk(error.to_string()))?;
        Ok(Arc::new(Self { shared, jobs }))
    }

    /// Takes one message out of every claim, or out of none.
    ///
    /// # Errors
    /// Which of them is used up.
    pub fn reserve(self: &Arc<Self>, now: UnixMillis, claims: &[Claim]) -> Result<Reservation, QuotaFull> {
        let mut reservation = Reservation { quotas: Arc::clone(self), keys: Vec::new(), messages: 0, recipients: 0 };
        self.change(now, claims, 1, 0)?;
        reservation.keys = claims.iter().map(|claim| Arc::clone(&claim.key)).collect();
        reservation.messages = 1;
        Ok(reservation)
    }

    fn change(&self, now: UnixMillis, claims: &[Claim], messages: u32, recipients: u32) -> Result<(), QuotaFull> {
        let mut locked = self.shared.lock();
        let table = &mut *locked;
        for claim in claims {
            match table.counters.get_mut(&claim.key) {
                Some(counter) => {
                    if counter.settle(now) {
                        table.dirty.insert(Arc::clone(&claim.key));
                    }
                    counter.check(&claim.quota, now, messages, recipients)?;
                }
                None => Counter::default().check(&claim.quota, now, messages, recipients)?,
            }
        }
        if table.counters.len().saturating_add(claims.len()) > KEYS_MAX && now.since(table.swept) >= SOON {
            table.sweep(now);
        }
        for claim in claims {
            if !table.counters.contains_key(&claim.key) && table.counters.len() >= KEYS_MAX {
                return Err(QuotaFull { part: Part::MessagesPerHour, limit: 0, free_at: now.plus(SOON) });
            }
        }
        for claim in claims {
            let counter = table.counters.entry(Arc::clone(&claim.key)).or_default();
            counter.messages_reserved = counter.messages_reserved.saturating_add(messages);
            counter.recipients_reserved = counter.recipients_reserved.saturating_add(recipients);
        }
        Ok(())
    }

    fn give_back(&self, keys: &[Arc<str>], messages: u32, recipients: u32) {
        let mut table = self.shared.lock();
        for key in keys {
            if let Some(counter) = table.counters.get_mut(key) {
                counter.messages_reserved = counter.messages_reserved.saturating_sub(messages);
                counter.recipients_reserved = counter.recipients_reserved.saturating_sub(recipients);
            }
        }
    }

    /// What counts now: messages in the hour and in the day, recipients in the hour and in the day. For people to look at.
    #[must_use]
    pub fn used(&self, now: UnixMillis, key: &str) -> [u32; 4] {
        self.shared.lock().counters.get(key).map_or([0; 4], |counter| {
            [
                counter.messages_hour.sum(HOUR, now),
                counter.messages_day.sum(DAY, now),
                counter.recipients_hour.sum(HOUR, now),
                counter.recipients_day.sum(DAY, now),
            ]
        })
    }

    /// Forgets what no longer counts. To be called now and then.
    pub fn sweep(&self, now: UnixMillis) {
        self.shared.lock().sweep(now);
        let _full = self.jobs.try_send(None);
    }
}

/// What one transaction may use. Dropping it gives everything back.
pub struct Reservation {
    quotas: Arc<Quotas>,
    keys: Vec<Arc<str>>,
    messages: u32,
    recipients: u32,
}

impl Reservation {
    /// One recipient more. The claims are those of the beginning, with the limits as they are now.
    ///
    /// # Errors
    /// Which of them is used up.
    pub fn recipient(&mut self, now: UnixMillis, claims: &[Claim]) -> Result<(), QuotaFull> {
        // Of every key, also of one whose limits were lifted meanwhile: what is given back at the end is given back to each of them.
        let limits = |key: &Arc<str>| claims.iter().find(|claim| claim.key == *key).map(|claim| claim.quota).unwrap_or_default();
        let known: Vec<Claim> = self.keys.iter().map(|key| Claim { key: Arc::clone(key), quota: limits(key) }).collect();
        self.quotas.change(now, &known, 0, 1)?;
        self.recipients = self.recipients.saturating_add(1);
        Ok(())
    }

    /// Keeps so many of its recipients, and gives the others back.
    pub fn keep_recipients(&mut self, recipients: u32) {
        let rest = self.recipients.saturating_sub(recipients);
        self.quotas.give_back(&self.keys, 0, rest);
        self.recipients -= rest;
    }

    /// Recipients so far.
    #[must_use]
    pub fn recipients(&self) -> u32 {
        self.recipients
    }

    /// Turns it into counts, and has them written. The message may be made durable when this returns.
    ///
    /// # Errors
    /// When they could not be written; the message must not be taken then.
    pub async fn count(mut self, now: UnixMillis) -> Result<Counted, StateFailure> {
        let (keys, messages, recipients) = (std::mem::take(&mut self.keys), self.messages, self.recipients);
        let quotas = Arc::clone(&self.quotas);
        if keys.is_empty() {
            return Ok(Counted { quotas, slots: Vec::new(), messages, recipients });
        }
        let slots = {
            let mut table = quotas.shared.lock();
            let Table { counters, dirty, .. } = &mut *table;
            keys.into_iter()
                .map(|key| {
                    let counter = counters.entry(Arc::clone(&key)).or_default();
                    counter.messages_reserved = counter.messages_reserved.saturating_sub(messages);
                    counter.recipients_reserved = counter.recipients_reserved.saturating_sub(recipients);
                    let slots = counter.count(now, messages, recipients);
                    dirty.insert(Arc::clone(&key));
                    (key, slots)
                })
                .collect()
        };
        let counted = Counted { quotas: Arc::clone(&quotas), slots, messages, recipients };
        let (done, written) = oneshot::channel();
        let lost = || StateFailure::Disk("the writer of quotas is gone or far behind".into());
        let outcome = match quotas.jobs.try_send(Some(done)) {
            Ok(()) => written.await.unwrap_or_else(|_| Err(lost())),
            Err(_) => Err(lost()),
        };
        match outcome {
            Ok(()) => Ok(counted),
            Err(failure) => {
                counted.take_back();
                Err(failure)
            }
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.keys.is_empty() {
            self.quotas.give_back(&self.keys, self.messages, self.recipients);
        }
    }
}

/// What one message has used.
pub struct Counted {
    quotas: Arc<Quotas>,
    slots: Vec<(Arc<str>, Slots)>,
    messages: u32,
    recipients: u32,
}

impl Counted {
    /// The message came to nothing. Should the server die before that is written, the count stays.
    pub fn take_back(self) {
        {
            let mut table = self.quotas.shared.lock();
            let Table { counters, dirty, .. } = &mut *table;
            for (key, slots) in &self.slots {
                if let Some(counter) = counters.get_mut(key) {
                    counter.take(*slots, self.messages, self.recipients);
                    dirty.insert(Arc::clone(key));
                }
            }
        }
        let _full = self.quotas.jobs.try_send(None);
    }
}

#[expect(clippy::disallowed_methods, reason = "this thread keeps its own time, for the sync of each second")]
fn now() -> Instant {
    Instant::now()
}

/// Writes what changed, as often as somebody waits for it: whoever comes while it writes is written next, together.
fn write(shared: &Shared, jobs: &Receiver<Job>) {
    let mut unsynced: Option<Instant> = None;
    loop {
        let first = match unsynced {
            None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(since) => jobs.recv_timeout(SYNC_EVERY.saturating_sub(now().saturating_duration_since(since))),
        };
        let waiting: Vec<_> = match first {
            Ok(first) => std::iter::once(first).chain(jobs.try_iter().take(TOGETHER_MAX)).flatten().collect(),
            Err(RecvTimeoutError::Timeout) => Vec::new(),
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let (keys, changes) = changes(&mut shared.lock());
        let outcome = match changes {
            Ok(changes) if changes.is_empty() => Ok(()),
            Ok(changes) => {
                unsynced.get_or_insert_with(now);
                shared.backend.write(changes, Durability::Buffered)
            }
            Err(why) => Err(StateFailure::Corrupt(why)),
        };
        if outcome.is_err() {
            // Somebody else's count may be among them, who asks only after this: it is not written yet, and must not be told to be.
            shared.lock().dirty.extend(keys);
        }
        for done in waiting {
            let told = match &outcome {
                Ok(()) => Ok(()),
                Err(failure) => Err(StateFailure::Disk(failure.to_string())),
            };
            // Whoever waited may have gone.
            let _gone = done.send(told);
        }
        if unsynced.is_some_and(|since| now().saturating_duration_since(since) >= SYNC_EVERY) {
            unsynced = None;
            let mark = vec![Change::Put(Keyspace::Meta, b"quotas_synced".to_vec(), Vec::new())];
            if let Err(failure) = shared.backend.write(mark, Durability::Synced) {
                tracing::error!(%failure, "quotas could not be synced");
            }
        }
    }
}

fn changes(table: &mut Table) -> (HashSet<Arc<str>>, Result<Vec<Change>, String>) {
    let dirty = std::mem::take(&mut table.dirty);
    let row = |key: &Arc<str>| {
        let name = key.as_bytes().to_vec();
        Ok(match table.counters.get(key) {
            Some(counter) => Change::Put(Keyspace::Quotas, name, counter.to_row()?),
            None => Change::Remove(Keyspace::Quotas, name),
        })
    };
    let changes = dirty.iter().map(row).collect();
    (dirty, changes)
}

#[cfg(test)]
mod tests;
