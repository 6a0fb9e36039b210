//! A few threads that do what blocks, for tasks that must not. Promise: at most [`QUEUE_MAX`] jobs wait; further ones are waited for by
//! the task that brings them, not stored.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use postern_mail::Outage;
use tokio::sync::{Semaphore, oneshot};

/// Jobs that may wait for a thread.
const QUEUE_MAX: usize = 64;

type Job = Box<dyn FnOnce() + Send>;

/// A small pool.
pub(crate) struct Workers {
    queue: Mutex<Option<SyncSender<Job>>>,
    places: Arc<Semaphore>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        // The lock is held while waiting; the others wait for the lock instead of the queue, which is the same.
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}

impl Workers {
    pub(crate) fn start(name: &str, count: usize) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel::<Job>(QUEUE_MAX);
        let jobs = Arc::new(Mutex::new(jobs));
        let mut threads = Vec::with_capacity(count);
        for _ in 0..count {
            let jobs = Arc::clone(&jobs);
            threads.push(std::thread::Builder::new().name(name.to_owned()).spawn(move || work(&jobs))?);
        }
        Ok(Self { queue: Mutex::new(Some(queue)), places: Arc::new(Semaphore::new(QUEUE_MAX)), threads: Mutex::new(threads) })
    }

    /// Runs `job` on one of the threads. A caller that goes away meanwhile does not stop it.
    pub(crate) async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, Outage> {
        let closed = || Outage::Disk("the spool is closed".into());
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| closed())?;
        let (answer, wait) = oneshot::channel();
        let job: Job = Box::new(move || {
            drop(place);
            let _ = answer.send(job());
        });
        // A place in the semaphore is a place in the queue, so this does not block.
        match &*self.queue.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(queue) => queue.try_send(job).map_err(|_| closed())?,
            None => return Err(closed()),
        }
        wait.await.map_err(|_| Outage::Bug("a disk thread of the spool died".into()))
    }

    /// Finishes what waits and ends the threads.
    pub(crate) fn stop(&self) {
        self.places.close();
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        for thread in std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner)) {
            let _ = thread.join();
        }
    }
}
