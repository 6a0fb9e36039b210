//! The door of the spool. Promise: every way in and out is here, and each says what it guarantees when it returns.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use postern_mail::envelope::Envelope;
use postern_mail::{MessageId, Outage};
use tokio::sync::{Semaphore, oneshot, watch};

use crate::disk::Disk;
use crate::format::{FORMAT, SpoolError, check_format};
use crate::log::Paths;
use crate::progress::Progress;
use crate::reader::{self, LoadError, Stored};
use crate::record::encode_progress;
use crate::recover::{Found, Recovered, RecoveredMessage, recover};
use crate::settings::SpoolSettings;
use crate::shared::{Flush, Shared, State};
use crate::workers::Workers;
use crate::writer::Writer;
use crate::{committer, upkeep};

/// Ends the threads when the last handle goes.
struct Threads {
    shared: Arc<Shared>,
    handles: Mutex<Vec<JoinHandle<()>>>,
}

/// The queue on disk. Clones are handles of the same one.
#[derive(Clone)]
pub struct Spool {
    shared: Arc<Shared>,
    threads: Arc<Threads>,
}

/// Figures for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolStats {
    /// In the queue.
    pub messages: usize,
    /// Octets of the queue's records in the log; bodies in files of their own not counted.
    pub live_bytes: u64,
    /// Octets of the log, garbage included.
    pub log_bytes: u64,
    /// Segments in use.
    pub segments: usize,
    /// Segments prepared or freed.
    pub segments_waiting: usize,
    /// Groups written since start, each with one sync.
    pub groups: u64,
    /// Messages accepted since start.
    pub accepted: u64,
    /// Octets moved by cleaning since start.
    pub cleaned_bytes: u64,
    /// Finished and progress records that wait to be written.
    pub notes_waiting: usize,
    /// Octets of free disk when last looked at.
    pub free_space: u64,
}

impl Spool {
    /// Opens a spool, or makes a new one, and calls `on_message` for every message in it, the newest first.
    ///
    /// # Errors
    /// When the settings do not fit each other, another process has it, a newer postern wrote it, or the disk says no. Damage is no
    /// error: it is told in [`Recovered::damage`], and what is left is served.
    pub fn open(
        settings: SpoolSettings,
        disk: Arc<dyn Disk>,
        on_message: &mut dyn FnMut(RecoveredMessage),
    ) -> Result<(Self, Recovered), SpoolError> {
        let (shared, report) = prepare(settings, disk, on_message)?;
        let failed = |source| SpoolError::Disk { dir: shared.settings.dir.display().to_string(), source };
        let threads = Arc::new(Threads { shared: Arc::clone(&shared), handles: Mutex::new(Vec::new()) });
        for (name, run) in [("spool-commit", committer::run as fn(&Shared)), ("spool-upkeep", upkeep::run)] {
            let shared = Arc::clone(&shared);
            let handle = std::thread::Builder::new().name(name.to_owned()).spawn(move || run(&shared)).map_err(failed)?;
            threads.handles.lock().unwrap_or_else(PoisonError::into_inner).push(handle);
        }
        Ok((Self { shared, threads }, report))
    }

    /// Begins a message: it has a name from here on, and costs nothing yet.
    ///
    /// # Errors
    /// As [`Spool::check_room`].
    pub fn begin(&self) -> Result<Writer, Outage> {
        self.check_room()?;
        Ok(Writer::new(Arc::clone(&self.shared)))
    }

    /// Whether a message may come at all; looks at a cached figure.
    ///
    /// # Errors
    /// [`Outage::DiskFull`] below the watermark, so that the sender hears it before it sends a body; [`Outage::Disk`] when the spool has
    /// failed.
    pub fn check_room(&self) -> Result<(), Outage> {
        self.shared.room()
    }

    /// Reads a message, off the async workers.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub async fn load(&self, id: MessageId) -> Result<Stored, LoadError> {
        let shared = Arc::clone(&self.shared);
        self.shared.readers.run(move || reader::load(&shared, id)).await?
    }

    /// Reads a message without its body, off the async workers. The number is the body's length.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub async fn load_envelope(&self, id: MessageId) -> Result<(Envelope, Progress, u64), LoadError> {
        let shared = Arc::clone(&self.shared);
        self.shared.readers.run(move || reader::load_envelope(&shared, id)).await?
    }

    /// Notes how far a message has come. Durable within `finished_delay`, or after [`Spool::flush`]; loading the message gives the new
    /// progress at once. Waits when very many notes wait. A message that is not in the queue is left alone.
    ///
    /// # Errors
    /// [`Outage::Disk`] when the spool has failed; the message will be found at the next start with older progress.
    pub async fn record(&self, id: MessageId, progress: &Progress) -> Result<(), Outage> {
        let max = self.shared.settings.progress_bytes_max();
        let fitting = |progress: &Progress| encode_progress(progress).filter(|bytes| bytes.len() <= max);
        let Some(encoded) = fitting(progress).or_else(|| fitting(&progress.without_reasons())) else {
            return Err(Outage::Bug(format!("progress of {id} is too long")));
        };
        let waiting = self.noting().await?;
        self.note(|state| state.record(id, encoded.into(), waiting))
    }

    /// Takes a message out of the queue. It is gone at once; durably within `finished_delay`, or after [`Spool::flush`]. Waits when very
    /// many notes wait. A message that is not in the queue is left alone.
    ///
    /// # Errors
    /// [`Outage::Disk`] when the spool has failed; the message will be found again at the next start.
    pub async fn finish(&self, id: MessageId) -> Result<(), Outage> {
        let waiting = self.noting().await?;
        self.note(|state| state.finish(id, Some(waiting)))
    }

    /// The committer is only woken for the first note of those that will share a group.
    fn note(&self, change: impl FnOnce(&mut State)) -> Result<(), Outage> {
        let mut state = self.shared.lock();
        if let Some(outage) = &state.failed {
            return Err(outage.clone());
        }
        if state.stopping {
            return Err(Outage::Disk("the spool is closed".into()));
        }
        let first = state.notes.since.is_none();
        change(&mut state);
        if first {
            self.shared.wake(&mut state);
        }
        Ok(())
    }

    async fn noting(&self) -> Result<tokio::sync::OwnedSemaphorePermit, Outage> {
        let permit = Arc::clone(&self.shared.noting).acquire_owned().await;
        permit.or_else(|_| self.shared.alive().and(Err(Outage::Disk("the spool is closed".into()))))
    }

    /// Waits until everything recorded and finished so far is durable.
    ///
    /// # Errors
    /// [`Outage::DiskFull`] when there is no room left even for notes: they stay in memory until there is. [`Outage::Disk`] when the spool
    /// has failed.
    pub async fn flush(&self) -> Result<(), Outage> {
        let (done, answer) = oneshot::channel();
        {
            let mut state = self.shared.lock();
            if let Some(outage) = &state.failed {
                return Err(outage.clone());
            }
            let notes = state.notes.queued;
            state.flushes.push(Flush { notes, done });
            self.shared.wake(&mut state);
        }
        answer.await.unwrap_or_else(|_| Err(Outage::Disk("the spool is closed".into())))
    }

    /// All messages, in order of their names.
    #[must_use]
    pub fn ids(&self) -> Vec<MessageId> {
        let shards = self.shared.lock().index.shards();
        let mut ids = Vec::new();
        for shard in 0..shards {
            ids.extend(self.shared.lock().index.of_shard(shard).map(|(id, _)| id));
        }
        ids.sort_unstable();
        ids
    }

    /// Whether a message is in the queue.
    #[must_use]
    pub fn contains(&self, id: MessageId) -> bool {
        self.shared.lock().index.place(id).is_some()
    }

    /// Messages in the queue.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.lock().index.len()
    }

    /// True when the queue is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Figures for metrics.
    #[must_use]
    pub fn stats(&self) -> SpoolStats {
        let state = self.shared.lock();
        let (live_bytes, log_bytes) = state.log.weight();
        SpoolStats {
            messages: state.index.len(),
            live_bytes,
            log_bytes,
            segments: state.log.segments.len(),
            segments_waiting: state.log.ready.len() + state.log.spare.len(),
            groups: state.groups,
            accepted: state.accepted,
            cleaned_bytes: state.cleaned,
            notes_waiting: state.notes.queue.len(),
            free_space: self.shared.free_space.load(Ordering::Relaxed),
        }
    }

    /// Waits until the spool has failed, and says why. The process should end then: only a new start finds out what the disk holds.
    pub async fn poisoned(&self) -> Outage {
        let mut failure = self.shared.failure.subscribe();
        let outage = match failure.wait_for(Option::is_some).await {
            Ok(outage) => outage.clone(),
            Err(_) => None,
        };
        outage.unwrap_or_else(|| Outage::Disk("the spool is closed".into()))
    }

    /// Writes what waits and ends the threads. Other handles get errors from then on. Blocks.
    pub fn close(self) {
        self.threads.stop();
    }
}

/// Everything but the threads that write.
pub(crate) fn prepare(
    settings: SpoolSettings,
    disk: Arc<dyn Disk>,
    on_message: &mut dyn FnMut(RecoveredMessage),
) -> Result<(Arc<Shared>, Recovered), SpoolError> {
    settings.check()?;
    let paths = Paths::new(&settings.dir);
    let failed = |source| SpoolError::Disk { dir: settings.dir.display().to_string(), source };
    #[expect(clippy::disallowed_methods, reason = "start-up says how long it took")]
    let begun = std::time::Instant::now();
    disk.create_dir(&paths.root).map_err(failed)?;
    let lock = disk.lock(&paths.root.join("lock")).map_err(failed)?;
    let lock = lock.ok_or_else(|| SpoolError::Locked(settings.dir.display().to_string()))?;
    for dir in [&paths.log, &paths.bodies, &paths.damaged] {
        disk.create_dir(dir).map_err(failed)?;
    }
    check_format(&*disk, &paths, FORMAT)?;
    let Found { index, log, newest, finished, mut report } = recover(&settings, &paths, &*disk, on_message).map_err(failed)?;
    let free_space = disk.free_space(&paths.root).map_err(failed)?;
    let shared = Arc::new(Shared {
        run: u32::try_from(upkeep::unguessable() >> 40).unwrap_or(0),
        state: Mutex::new(State::new(index, log)),
        work: Condvar::new(),
        chores: Condvar::new(),
        newest: AtomicU64::new(newest.0),
        free_space: AtomicU64::new(free_space),
        log_full: AtomicBool::new(false),
        failure: watch::Sender::new(None),
        waiting: Arc::new(Semaphore::new(settings.waiting_max)),
        noting: Arc::new(Semaphore::new(settings.notes_max)),
        readers: Workers::start("spool-reader", settings.readers).map_err(failed)?,
        writers: Workers::start("spool-writer", settings.writers).map_err(failed)?,
        exclusive: Mutex::new(Some(lock)),
        paths,
        disk,
        settings: settings.clone(),
    });
    for id in finished {
        shared.lock().finish_set_aside(id);
    }
    report.duration = begun.elapsed();
    Ok((shared, report))
}

impl Threads {
    fn stop(&self) {
        self.shared.lock().stopping = true;
        self.shared.work.notify_all();
        self.shared.chores.notify_all();
        let handles = std::mem::take(&mut *self.handles.lock().unwrap_or_else(PoisonError::into_inner));
        // The committer first: the upkeep thread may have to make room for its last groups.
        for handle in handles {
            let _ = handle.join();
            self.shared.lock().stopped = true;
            self.shared.chores.notify_all();
        }
        self.shared.readers.stop();
        self.shared.writers.stop();
        self.shared.waiting.close();
        self.shared.noting.close();
        // Nobody answers these any more.
        self.shared.lock().flushes.clear();
        self.shared.exclusive.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop();
    }
}
