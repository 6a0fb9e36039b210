//! The thread that writes the history. Promise: memory is given back for every event taken, and the tables do not grow past their limits
//! by more than what one gathering brings.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};

use postern_mail::MessageId;
use postern_mail::envelope::UnixMillis;
use postern_mail::event::Event;

use super::story::{Entry, What, message_key};
use super::trails::{Room, Trail, Trails};
use super::{HistorySettings, Shared, weight};
use crate::backend::{Backend, Change, Durability, Keyspace, Order, Row};
use crate::trouble::StateFailure;

const COUNTS_KEY: &[u8] = b"history";
/// Events written together at most.
const GATHERED_MAX: usize = 10_000;
/// Rows looked at for one piece of forgetting.
const SWEPT_AT_ONCE: usize = 1_000;
/// Looking for what is too old reads rows, so it is not done with every write. In milliseconds of the events' own time.
const AGE_SWEEP_EVERY: u64 = 60_000;

/// What the writer is asked to do.
pub(super) enum Job {
    Record(UnixMillis, Event),
    Trail(UnixMillis, Trail),
    /// Write what came before, then say so.
    Flush(SyncSender<()>),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    messages: u64,
    refusals: u64,
}

impl Counts {
    fn read(text: &[u8]) -> Option<Self> {
        let (messages, refusals) = std::str::from_utf8(text).ok()?.split_once(' ')?;
        Some(Self { messages: messages.parse().ok()?, refusals: refusals.parse().ok()? })
    }

    fn put(self) -> Change {
        Change::Put(Keyspace::Meta, COUNTS_KEY.to_vec(), format!("{} {}", self.messages, self.refusals).into_bytes())
    }
}

/// `address`, a zero octet (no address holds one), and the message.
pub(super) fn address_key(address: &str, id: Option<MessageId>) -> Vec<u8> {
    let mut key = Vec::with_capacity(address.len() + 9);
    key.extend_from_slice(address.as_bytes());
    key.push(0);
    if let Some(id) = id {
        key.extend_from_slice(&message_key(id));
    }
    key
}

/// Behind the last key of an address.
pub(super) fn past_address(address: &str) -> Vec<u8> {
    let mut key = address.as_bytes().to_vec();
    key.push(1);
    key
}

pub(super) struct Writer {
    backend: Arc<dyn Backend>,
    settings: HistorySettings,
    shared: Arc<Shared>,
    counts: Counts,
    /// Tells rows of one millisecond apart.
    row: u32,
    /// Where forgetting goes on, so that it does not wade through what it has removed.
    oldest_message: Vec<u8>,
    oldest_refusal: Vec<u8>,
    /// When to look for what is too old again.
    next_age_sweep: u64,
    trails: Trails,
}

impl Writer {
    pub(super) fn new(backend: Arc<dyn Backend>, settings: HistorySettings, shared: Arc<Shared>) -> Result<Self, StateFailure> {
        let counts = match backend.read(Keyspace::Meta, COUNTS_KEY)? {
            None => Counts::default(),
            Some(text) => {
                Counts::read(&text).ok_or_else(|| StateFailure::Corrupt("the counts of the history do not read".into()))?
            }
        };
        let (oldest_message, oldest_refusal) = (Vec::new(), Vec::new());
        let trails = Trails::open(&*backend)?;
        Ok(Self { backend, settings, shared, counts, row: 0, oldest_message, oldest_refusal, next_age_sweep: 0, trails })
    }

    /// Writes until nobody can record any more. Fails only when the store is lost.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) -> Result<(), StateFailure> {
        while let Ok(first) = jobs.recv() {
            // Sleeping costs one wake-up for all that comes meanwhile; waiting on the queue would cost one for each.
            if !matches!(first, Job::Flush(_)) && !self.settings.gather.is_zero() {
                std::thread::sleep(self.settings.gather);
            }
            let (mut gathered, mut trails) = (Vec::new(), Vec::new());
            let mut waiting = Vec::new();
            for job in std::iter::once(first).chain(jobs.try_iter().take(GATHERED_MAX)) {
                match job {
                    Job::Record(at, event) => gathered.push((at, event)),
                    Job::Trail(at, trail) => trails.push((at, trail)),
                    Job::Flush(done) => waiting.push(done),
                }
            }
            self.write(&gathered, trails)?;
            for done in waiting {
                // Whoever asked may have gone.
                let _gone = done.send(());
            }
        }
        Ok(())
    }

    fn write(&mut self, gathered: &[(UnixMillis, Event)], trails: Vec<(UnixMillis, Trail)>) -> Result<(), StateFailure> {
        let times = gathered.iter().map(|(at, _)| *at).chain(trails.iter().map(|(at, _)| *at));
        let Some(now) = times.max() else { return Ok(()) };
        let trails_weight: usize = trails.iter().map(|(_, trail)| trail.weight()).sum();
        let trails_count = trails.len();
        let mut changes = Vec::with_capacity((gathered.len() + trails_count) * 2);
        // In the order messages first appear, each with the time of its last event here: by that a row is old enough to be forgotten.
        let mut rows: Vec<(MessageId, UnixMillis, Vec<u8>)> = Vec::new();
        let mut places: HashMap<MessageId, usize> = HashMap::new();
        for (at, event) in gathered {
            let entry = Entry::of(*at, event);
            let Some(id) = event.message() else {
                self.refused(&entry, &mut changes);
                continue;
            };
            if matches!(entry.what, What::Accepted { .. }) {
                self.counts.messages += 1;
            }
            for address in entry.addresses() {
                changes.push(Change::Put(Keyspace::Addresses, address_key(&address, Some(id)), Vec::new()));
            }
            let place = *places.entry(id).or_insert_with(|| {
                rows.push((id, *at, Vec::new()));
                rows.len() - 1
            });
            if let Some((_, latest, lines)) = rows.get_mut(place) {
                *latest = (*latest).max(*at);
                entry.write(lines);
            }
        }
        for (at, trail) in trails {
            // So that `trace` leads to `explain`. Mostly the message's acceptance is in the same row.
            if let Some(id) = trail.message {
                let place = *places.entry(id).or_insert_with(|| {
                    rows.push((id, at, Vec::new()));
                    rows.len() - 1
                });
                if let Some((_, latest, lines)) = rows.get_mut(place) {
                    *latest = (*latest).max(at);
                    Entry { at: at.0, what: What::Judged { session: trail.session.to_string() } }.write(lines);
                }
            }
            let row = self.next_row();
            self.trails.put(at, row, trail, &mut changes);
        }
        for (id, at, lines) in rows {
            let mut key = message_key(id).to_vec();
            key.extend_from_slice(&at.0.to_be_bytes());
            key.extend_from_slice(&self.next_row());
            if key < self.oldest_message {
                self.oldest_message.clone_from(&key);
            }
            changes.push(Change::Put(Keyspace::History, key, lines));
        }
        let written = changes.len();
        changes.push(self.counts.put());
        let outcome = self.backend.write(changes, Durability::Buffered);
        let weight: usize = gathered.iter().map(|(_, event)| weight(event)).sum();
        self.shared.waiting.fetch_sub(weight + trails_weight, Ordering::Relaxed);
        let events = u64::try_from(gathered.len() + trails_count).unwrap_or(u64::MAX);
        let counter = if outcome.is_ok() { &self.shared.written } else { &self.shared.dropped };
        counter.fetch_add(events, Ordering::Relaxed);
        outcome?;
        self.sweep(now, written)
    }

    fn refused(&mut self, entry: &Entry, changes: &mut Vec<Change>) {
        let mut key = entry.at.to_be_bytes().to_vec();
        key.extend_from_slice(&self.next_row());
        let mut line = Vec::new();
        entry.write(&mut line);
        self.counts.refusals += 1;
        if key < self.oldest_refusal {
            self.oldest_refusal.clone_from(&key);
        }
        changes.push(Change::Put(Keyspace::Refusals, key, line));
    }

    fn next_row(&mut self) -> [u8; 4] {
        self.row = self.row.wrapping_add(1);
        self.row.to_be_bytes()
    }

    /// Forgets what is too old or too many. Goes on for as long as there is more to forget than was just written twice over, so that the
    /// tables shrink to their limits, and a pause of the server does not lead to one endless sweep.
    fn sweep(&mut self, now: UnixMillis, written: usize) -> Result<(), StateFailure> {
        let kept = u64::try_from(self.settings.keep_for.as_millis()).unwrap_or(u64::MAX);
        let cutoff = if now.0 >= self.next_age_sweep { now.0.saturating_sub(kept) } else { 0 };
        let mut swept = 0;
        while swept <= written.saturating_mul(2) {
            let mut changes = Vec::new();
            self.sweep_messages(cutoff, &mut changes)?;
            self.sweep_refusals(cutoff, &mut changes)?;
            let trails_kept = u64::try_from(self.settings.trails_keep.as_millis()).unwrap_or(u64::MAX);
            let trails_cutoff = if cutoff > 0 { now.0.saturating_sub(trails_kept) } else { 0 };
            let most = Room { count: self.settings.trails_max, octets: self.settings.trails_bytes_max };
            self.trails.sweep(&*self.backend, most, trails_cutoff, &mut changes)?;
            if changes.is_empty() {
                if cutoff > 0 {
                    self.next_age_sweep = now.0.saturating_add(AGE_SWEEP_EVERY);
                }
                break;
            }
            swept += changes.len();
            changes.push(self.counts.put());
            self.backend.write(changes, Durability::Buffered)?;
        }
        Ok(())
    }

    /// The oldest rows, as many as are worth reading: one per thing too many (most messages are one row; for the others the sweep comes
    /// round again), or a whole piece when looking by age.
    fn oldest(&self, space: Keyspace, from: &[u8], too_many: u64, cutoff: u64) -> Result<Vec<Row>, StateFailure> {
        let by_number = usize::try_from(too_many).unwrap_or(SWEPT_AT_ONCE);
        let limit = if cutoff > 0 { SWEPT_AT_ONCE } else { by_number.min(SWEPT_AT_ONCE) };
        if limit == 0 { Ok(Vec::new()) } else { self.backend.scan(space, from, None, Order::Ascending, limit) }
    }

    /// Ids grow with time, so the oldest messages are the first rows.
    fn sweep_messages(&mut self, cutoff: u64, changes: &mut Vec<Change>) -> Result<(), StateFailure> {
        let too_many = self.counts.messages.saturating_sub(self.settings.messages_max);
        let rows = self.oldest(Keyspace::History, &self.oldest_message, too_many, cutoff)?;
        for message in rows.chunk_by(|(one, _), (other, _)| one.get(..8) == other.get(..8)) {
            // A message whose last event is recent enough is kept whole. One cut off by the end of this piece may lose its first rows
            // early; it is among the oldest there are.
            let latest = message.iter().filter_map(|(key, _)| row_time(key)).max().unwrap_or(0);
            if self.counts.messages <= self.settings.messages_max && latest >= cutoff {
                break;
            }
            for (key, lines) in message {
                self.forget(key, lines, changes);
            }
        }
        Ok(())
    }

    fn sweep_refusals(&mut self, cutoff: u64, changes: &mut Vec<Change>) -> Result<(), StateFailure> {
        let too_many = self.counts.refusals.saturating_sub(self.settings.refusals_max);
        for (key, _) in self.oldest(Keyspace::Refusals, &self.oldest_refusal, too_many, cutoff)? {
            let time = key.first_chunk().map_or(0, |time| u64::from_be_bytes(*time));
            if self.counts.refusals <= self.settings.refusals_max && time >= cutoff {
                break;
            }
            self.counts.refusals = self.counts.refusals.saturating_sub(1);
            self.oldest_refusal = past(&key);
            changes.push(Change::Remove(Keyspace::Refusals, key));
        }
        Ok(())
    }

    fn forget(&mut self, key: &[u8], lines: &[u8], changes: &mut Vec<Change>) {
        let id = key.first_chunk().map(|id| MessageId(u64::from_be_bytes(*id)));
        for entry in Entry::read(lines).filter(|entry| matches!(entry.what, What::Accepted { .. })) {
            self.counts.messages = self.counts.messages.saturating_sub(1);
            for address in entry.addresses() {
                changes.push(Change::Remove(Keyspace::Addresses, address_key(&address, id)));
            }
        }
        self.oldest_message = past(key);
        changes.push(Change::Remove(Keyspace::History, key.to_vec()));
    }
}

/// The time in a row's key, behind the id.
fn row_time(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(*key.get(8..)?.first_chunk()?))
}

fn past(key: &[u8]) -> Vec<u8> {
    let mut key = key.to_vec();
    key.push(0);
    key
}
