//! The story of each message, for `postern trace`. Promise: recording never waits and never fails the caller; what does not fit is
//! dropped and counted, and what is kept is bounded by age and by number.
//!
//! Events go through a bounded queue to a thread of their own, which gathers them for a moment and writes all events of a message that
//! came within it as one row of JSON lines. Nothing is synced: a power cut may take the last seconds of the story, never the mail.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | history | message id, time, count | lines |
//! | addresses | address, 0, message id | nothing |
//! | refusals | time, count | a line |
//! | trails | session, time, count | a record of decisions, see `3-policy` |
//! | meta | `trails` | how many records there are, and their octets |
//! | meta | `history` | how many messages and refusals there are |

pub mod story;
pub mod trails;

mod writer;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use postern_mail::MessageId;
use postern_mail::envelope::UnixMillis;
use postern_mail::event::Event;

use crate::backend::{Backend, Keyspace, Order};
use crate::store::Store;
use crate::trouble::StateFailure;
use story::{Entry, What, message_key, search_form};
use trails::Trail;
use writer::{Job, Writer};

/// Rows read for one trace; a message with more events than that is shown by its first ones.
pub const ROWS_PER_TRACE_MAX: usize = 10_000;

const REFUSALS_PER_READ: usize = 1_000;

/// How much is kept, and how much may wait.
#[derive(Clone, Debug)]
pub struct HistorySettings {
    /// Older messages and refusals are forgotten.
    pub keep_for: Duration,
    /// Beyond this many messages the oldest are forgotten earlier. About 700 octets on disk each.
    pub messages_max: u64,
    /// Beyond this many refusals the oldest are forgotten earlier. All of them are read to find an address.
    pub refusals_max: u64,
    /// Older records of decisions are forgotten.
    pub trails_keep: Duration,
    /// Beyond this many records of decisions the oldest are forgotten earlier; 0 keeps none.
    pub trails_max: u64,
    /// Beyond this many octets of records the oldest are forgotten earlier, so that strangers who make long ones cannot fill the disk.
    pub trails_bytes_max: u64,
    /// What may wait for the writer: events, and their recipients, together.
    pub waiting_max: usize,
    /// How long the writer gathers before it writes.
    pub gather: Duration,
}

impl Default for HistorySettings {
    fn default() -> Self {
        Self {
            keep_for: Duration::from_secs(30 * 24 * 3600),
            messages_max: 2_000_000,
            refusals_max: 50_000,
            trails_keep: Duration::from_secs(30 * 24 * 3600),
            trails_max: 1_000_000,
            trails_bytes_max: 1 << 30,
            waiting_max: 50_000,
            gather: Duration::from_millis(100),
        }
    }
}

/// Figures for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryFigures {
    /// Events written since the start.
    pub written: u64,
    /// Events dropped since the start, because the writer was behind, the history paused, or the disk failed.
    pub dropped: u64,
}

/// What a search by address found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Messages from or to it, the newest first.
    pub messages: Vec<MessageId>,
    /// Refusals that were about it, the newest first.
    pub refusals: Vec<Entry>,
}

#[derive(Default)]
struct Shared {
    waiting: AtomicUsize,
    dropped: AtomicU64,
    written: AtomicU64,
    paused: AtomicBool,
}

/// The history. Dropping it writes what waits and ends its thread.
pub struct History {
    queue: Option<SyncSender<Job>>,
    shared: Arc<Shared>,
    backend: Arc<dyn Backend>,
    waiting_max: usize,
    keeps_trails: bool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// How many places an event takes in the queue: nearly all that is big in one is its recipients.
fn weight(event: &Event) -> usize {
    match event {
        Event::Accepted { recipients, .. } => 1 + recipients.len(),
        _ => 1,
    }
}

impl History {
    /// Starts the writer. `on_fatal` is called once, from its thread, should the store fail for good; the process must end then.
    ///
    /// # Errors
    /// When the store cannot be read, or no thread be made.
    pub fn start(
        store: &Store,
        settings: &HistorySettings,
        on_fatal: impl FnOnce(StateFailure) + Send + 'static,
    ) -> Result<Self, StateFailure> {
        let shared = Arc::new(Shared::default());
        let backend = Arc::clone(store.backend());
        let writer = Writer::new(Arc::clone(&backend), settings.clone(), Arc::clone(&shared))?;
        // Every job but a flush weighs at least one, so the channel itself is never what is full first.
        let (queue, jobs) = sync_channel(settings.waiting_max.saturating_add(1));
        let thread = std::thread::Builder::new()
            .name("history".into())
            .spawn(move || {
                if let Err(failure) = writer.run(&jobs) {
                    on_fatal(failure);
                }
            })
            .map_err(|e| StateFailure::Disk(format!("no thread for the history: {e}")))?;
        let thread = Mutex::new(Some(thread));
        let (waiting_max, keeps_trails) = (settings.waiting_max, settings.trails_max > 0);
        Ok(Self { queue: Some(queue), shared, backend, waiting_max, keeps_trails, thread })
    }

    /// Records an event. Never blocks.
    pub fn record(&self, at: UnixMillis, event: Event) {
        self.hand_over(weight(&event), Job::Record(at, event));
    }

    /// Records what was decided in a session, or in a piece of it. Never blocks.
    pub fn record_trail(&self, at: UnixMillis, trail: Trail) {
        if self.keeps_trails {
            self.hand_over(trail.weight(), Job::Trail(at, trail));
        }
    }

    /// False where no record of decisions is kept, so that none need be made.
    #[must_use]
    pub fn keeps_trails(&self) -> bool {
        self.keeps_trails
    }

    fn hand_over(&self, weight: usize, job: Job) {
        let waiting = self.shared.waiting.fetch_add(weight, Ordering::Relaxed);
        let fits = waiting.saturating_add(weight) <= self.waiting_max && !self.shared.paused.load(Ordering::Relaxed);
        let sent = fits && self.queue.as_ref().is_some_and(|queue| queue.try_send(job).is_ok());
        if !sent {
            self.shared.waiting.fetch_sub(weight, Ordering::Relaxed);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// While paused, events are dropped and counted. For when the disk is nearly full: the store must not be what fills it.
    pub fn pause(&self, paused: bool) {
        self.shared.paused.store(paused, Ordering::Relaxed);
    }

    /// Waits until everything recorded before is written. Blocks.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.queue.as_ref().is_some_and(|queue| queue.send(Job::Flush(done)).is_ok()) {
            // An error means that the writer has ended: there is nothing more to wait for.
            let _ended = wait.recv();
        }
    }

    /// Figures since the start.
    #[must_use]
    pub fn figures(&self) -> HistoryFigures {
        HistoryFigures {
            written: self.shared.written.load(Ordering::Relaxed),
            dropped: self.shared.dropped.load(Ordering::Relaxed),
        }
    }

    /// The whole story of a message, in order; empty when nothing is known of it. Blocks.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn trace(&self, id: MessageId) -> Result<Vec<Entry>, StateFailure> {
        self.flush();
        let before = id.0.checked_add(1).map(u64::to_be_bytes);
        let before = before.as_ref().map(|key| key.as_slice());
        let rows = self.backend.scan(Keyspace::History, &message_key(id), before, Order::Ascending, ROWS_PER_TRACE_MAX)?;
        let mut entries: Vec<Entry> = rows.iter().flat_map(|(_, lines)| Entry::read(lines)).collect();
        // Rows are in order already; events of different threads within one row may not be. The sort is stable.
        entries.sort_by_key(|entry| entry.at);
        Ok(entries)
    }

    /// The newest messages from or to an address, or submitted by the account of this name, and the newest refusals about it; at most
    /// `limit` of each. Blocks.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn find(&self, address: &str, limit: usize) -> Result<Found, StateFailure> {
        self.flush();
        let wanted = search_form(address);
        let (from, before) = (writer::address_key(&wanted, None), writer::past_address(&wanted));
        let rows = self.backend.scan(Keyspace::Addresses, &from, Some(&before), Order::Descending, limit)?;
        let id = |key: &[u8]| Some(MessageId(u64::from_be_bytes(*key.last_chunk()?)));
        let messages = rows.iter().filter_map(|(key, _)| id(key)).collect();
        Ok(Found { messages, refusals: self.refusals_about(&wanted, limit)? })
    }

    /// Refusals have no index: there are few, a stranger makes them, and a person seldom asks.
    fn refusals_about(&self, wanted: &str, limit: usize) -> Result<Vec<Entry>, StateFailure> {
        let is_about =
            |entry: &Entry| matches!(&entry.what, What::Refused { address: Some(address), .. } if search_form(address) == wanted);
        let mut found = Vec::new();
        let mut before: Option<Vec<u8>> = None;
        while found.len() < limit {
            let rows = self.backend.scan(Keyspace::Refusals, b"", before.as_deref(), Order::Descending, REFUSALS_PER_READ)?;
            let Some((last, _)) = rows.last() else { break };
            before = Some(last.clone());
            found.extend(rows.iter().flat_map(|(_, line)| Entry::read(line)).filter(is_about));
        }
        found.truncate(limit);
        Ok(found)
    }
}

impl Drop for History {
    fn drop(&mut self) {
        drop(self.queue.take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It has written what waited; a panic in it was reported by its thread.
            let _ended = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
