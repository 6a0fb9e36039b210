//! What the threads of a spool share. Promise: one lock, held for moments and never across a disk operation; and once something the disk
//! should have kept may be lost, everything fails from then on.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use postern_mail::proof::Committed;
use postern_mail::{MessageId, Outage};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::disk::{Disk, is_full, is_out_of_files};
use crate::index::{Index, Place};
use crate::log::{Log, Paths};
use crate::settings::SpoolSettings;
use crate::workers::Workers;

/// How long notes gather when the disk is full.
const FULL_DELAY: Duration = Duration::from_secs(1);

/// A message that waits for its sync.
pub(crate) struct Accept {
    pub(crate) id: MessageId,
    /// The record's payload in two parts, so that a body is copied only once: into its group.
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<u8>,
    pub(crate) in_file: bool,
    pub(crate) done: oneshot::Sender<Result<Committed, Outage>>,
    /// Its place in the bounded queue; given back when it is durable.
    pub(crate) waiting: OwnedSemaphorePermit,
}

impl Accept {
    pub(crate) fn payload(&self) -> usize {
        self.head.len() + self.body.len()
    }
}

/// Something that may wait a little to be written: nobody waits for it.
pub(crate) struct Note {
    pub(crate) id: MessageId,
    pub(crate) what: NoteKind,
    pub(crate) waiting: Option<OwnedSemaphorePermit>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoteKind {
    /// What it says is in [`Notes::progress`], so that a later one replaces an earlier.
    Progress,
    Finished {
        in_file: bool,
    },
}

/// Notes in the order they came.
pub(crate) struct Notes {
    pub(crate) queue: VecDeque<Note>,
    /// Progress not written yet.
    pub(crate) progress: HashMap<MessageId, Arc<[u8]>>,
    /// Progress in the group that is being written.
    pub(crate) in_flight: HashMap<MessageId, Arc<[u8]>>,
    /// When the oldest of the queue came.
    pub(crate) since: Option<Instant>,
    /// Notes ever queued, and ever made durable.
    pub(crate) queued: u64,
    pub(crate) durable: u64,
}

impl Notes {
    fn push(&mut self, note: Note) {
        if self.since.is_none() {
            #[expect(clippy::disallowed_methods, reason = "a note waits for a group for a bounded time")]
            let now = Instant::now();
            self.since = Some(now);
        }
        self.queued += 1;
        self.queue.push_back(note);
    }

    /// Progress that is not in the index yet, newest first.
    pub(crate) fn progress_of(&self, id: MessageId) -> Option<&Arc<[u8]>> {
        self.progress.get(&id).or_else(|| self.in_flight.get(&id))
    }
}

/// A live message on its way from the oldest segment to the head.
pub(crate) struct Move {
    pub(crate) id: MessageId,
    pub(crate) from: Place,
    /// The progress record that `head` repeats.
    pub(crate) progress: Option<Place>,
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl Move {
    pub(crate) fn payload(&self) -> usize {
        self.head.len() + self.body.len()
    }
}

/// Waits until so many notes are durable.
pub(crate) struct Flush {
    pub(crate) notes: u64,
    pub(crate) done: oneshot::Sender<Result<(), Outage>>,
}

/// Everything behind the lock.
pub(crate) struct State {
    pub(crate) index: Index,
    pub(crate) log: Log,
    pub(crate) accepts: VecDeque<Accept>,
    pub(crate) notes: Notes,
    pub(crate) moves: VecDeque<Move>,
    /// Moves not durable or given up yet.
    pub(crate) moves_open: usize,
    pub(crate) flushes: Vec<Flush>,
    /// Body files nobody needs any more.
    pub(crate) removals: Vec<MessageId>,
    /// The committer writes what waits and ends.
    pub(crate) stopping: bool,
    /// The committer has ended; so may the upkeep thread, without which the last groups might have had no segment to go to.
    pub(crate) stopped: bool,
    /// The committer waits to be woken. Waking costs a system call, so it is only done when it is needed.
    pub(crate) idle: bool,
    pub(crate) failed: Option<Outage>,
    pub(crate) groups: u64,
    pub(crate) accepted: u64,
    pub(crate) cleaned: u64,
}

impl State {
    pub(crate) fn new(index: Index, log: Log) -> Self {
        let notes = Notes {
            queue: VecDeque::new(),
            progress: HashMap::new(),
            in_flight: HashMap::new(),
            since: None,
            queued: 0,
            durable: 0,
        };
        Self {
            index,
            log,
            accepts: VecDeque::new(),
            notes,
            moves: VecDeque::new(),
            moves_open: 0,
            flushes: Vec::new(),
            removals: Vec::new(),
            stopping: false,
            stopped: false,
            idle: false,
            failed: None,
            groups: 0,
            accepted: 0,
            cleaned: 0,
        }
    }

    /// Takes a message out of the queue; its Finished record rides on a later group.
    pub(crate) fn finish(&mut self, id: MessageId, waiting: Option<OwnedSemaphorePermit>) {
        let Some(place) = self.index.remove(id) else { return };
        self.log.count_out(place);
        self.notes.progress.remove(&id);
        self.notes.push(Note { id, what: NoteKind::Finished { in_file: place.in_file }, waiting });
    }

    /// A message that start-up set aside: its Finished is written, so that it is not found again.
    pub(crate) fn finish_set_aside(&mut self, id: MessageId) {
        self.notes.push(Note { id, what: NoteKind::Finished { in_file: false }, waiting: None });
    }

    /// Notes how far a message has come. A newer note replaces one that was not written yet.
    pub(crate) fn record(&mut self, id: MessageId, progress: Arc<[u8]>, waiting: OwnedSemaphorePermit) {
        if self.index.place(id).is_none() {
            return;
        }
        if self.notes.progress.insert(id, progress).is_none() {
            self.notes.push(Note { id, what: NoteKind::Progress, waiting: Some(waiting) });
        }
    }
}

/// What the threads of a spool share.
pub(crate) struct Shared {
    pub(crate) settings: SpoolSettings,
    pub(crate) paths: Paths,
    pub(crate) disk: Arc<dyn Disk>,
    /// This run's number in the log.
    pub(crate) run: u32,
    pub(crate) state: Mutex<State>,
    /// The committer waits here.
    pub(crate) work: Condvar,
    /// The upkeep thread waits here.
    pub(crate) chores: Condvar,
    /// The highest message id given out.
    pub(crate) newest: AtomicU64,
    /// Octets of free disk when last looked at.
    pub(crate) free_space: AtomicU64,
    /// A message was refused because the log cannot grow; cleared when it can again.
    pub(crate) log_full: AtomicBool,
    pub(crate) failure: watch::Sender<Option<Outage>>,
    pub(crate) waiting: Arc<Semaphore>,
    pub(crate) noting: Arc<Semaphore>,
    pub(crate) readers: Workers,
    pub(crate) writers: Workers,
    /// No second server may open this spool until this one is closed.
    pub(crate) exclusive: Mutex<Option<Box<dyn Any + Send + Sync>>>,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn newest(&self) -> MessageId {
        MessageId(self.newest.load(Ordering::Relaxed))
    }

    /// Wakes the committer if it sleeps.
    pub(crate) fn wake(&self, state: &mut State) {
        if std::mem::take(&mut state.idle) {
            self.work.notify_one();
        }
    }

    /// The next message id: growing, and unique over restarts because every group keeps the highest one given out.
    pub(crate) fn next_id(&self) -> MessageId {
        #[expect(clippy::disallowed_methods, reason = "ids begin with the time, so that they grow over restarts too")]
        let now = std::time::SystemTime::now();
        let micros = now.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(0));
        let before =
            self.newest.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(micros.max(last.saturating_add(1))));
        MessageId(micros.max(before.unwrap_or(0).saturating_add(1)))
    }

    /// An error when the spool has failed or is closed.
    pub(crate) fn alive(&self) -> Result<(), Outage> {
        match &*self.failure.borrow() {
            Some(outage) => Err(outage.clone()),
            None => Ok(()),
        }
    }

    /// Looks again how much room there is.
    pub(crate) fn look_at_free_space(&self) {
        if let Ok(free) = self.disk.free_space(&self.paths.root) {
            self.free_space.store(free, Ordering::Relaxed);
        }
    }

    pub(crate) fn room(&self) -> Result<(), Outage> {
        self.alive()?;
        let low = self.free_space.load(Ordering::Relaxed) < self.settings.free_space_min;
        if low || self.log_full.load(Ordering::Relaxed) { Err(Outage::DiskFull) } else { Ok(()) }
    }

    /// Nothing is acknowledged from here on. After a write or sync that failed nobody knows what the disk holds, and asking it again would
    /// only bring a false yes; start-up recovery finds out.
    pub(crate) fn fail(&self, outage: Outage) {
        let mut state = self.lock();
        if state.failed.is_none() {
            tracing::error!(%outage, "the spool stops");
            state.failed = Some(outage.clone());
        }
        let accepts = std::mem::take(&mut state.accepts);
        let flushes = std::mem::take(&mut state.flushes);
        state.moves.clear();
        state.moves_open = 0;
        drop(state);
        self.failure.send_modify(|failure| {
            failure.get_or_insert(outage.clone());
        });
        self.waiting.close();
        self.noting.close();
        self.work.notify_all();
        self.chores.notify_all();
        for accept in accepts {
            let _ = accept.done.send(Err(outage.clone()));
        }
        for flush in flushes {
            let _ = flush.done.send(Err(outage.clone()));
        }
    }

    /// What an error on the way of one body means: a full disk, or too many open files, concerns that message, anything else everybody.
    pub(crate) fn body_failed(&self, error: &io::Error) -> Outage {
        if is_full(error) {
            self.free_space.store(0, Ordering::Relaxed);
            return Outage::DiskFull;
        }
        if is_out_of_files(error) {
            // Strangers with many connections can bring this about, and must not bring the spool down with it.
            return Outage::Overload;
        }
        let outage = Outage::Disk(error.to_string());
        self.fail(outage.clone());
        outage
    }

    /// How long a note may wait. On a full disk only the reserve is left for them, and every group takes a block of it, so more of them
    /// gather.
    pub(crate) fn delay(&self, log: &Log) -> Duration {
        if log.full { self.settings.finished_delay.max(FULL_DELAY) } else { self.settings.finished_delay }
    }
}

/// Fails the spool when its thread dies of a panic, so that nobody waits for it for ever.
pub(crate) struct FailOnPanic<'a>(pub(crate) &'a Shared);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(Outage::Bug("a thread of the spool died".into()));
        }
    }
}
