//! The threads on which slow hashes run. Promise: they give way to everything else the machine has to do, so that guessing at passwords takes
//! time from guessers and not from mail; and a hash that panics costs its own answer, not the thread.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::io::Errno;
use rustix::process::{getpriority_process, setpriority_process};
use tokio::sync::oneshot;

/// What `nice` takes: a tenth of the share of a thread that does not give way.
const NICENESS: i32 = 10;

type Job = Box<dyn FnOnce() + Send>;

/// So many threads, until this is dropped.
pub(crate) struct Hashers {
    jobs: SyncSender<Job>,
}

/// Of this thread alone, as Linux has it. Where it is not to be had, hashes run like everything else, and the operator should know.
fn give_way() -> Result<(), Errno> {
    match setpriority_process(None, NICENESS) {
        // Who started us gives way more than this already.
        Err(_) if getpriority_process(None).is_ok_and(|niceness| niceness >= NICENESS) => Ok(()),
        done => done,
    }
}

fn work(jobs: &Mutex<Receiver<Job>>, is_first: bool) {
    // What one may not, none may: once is enough.
    if let Err(error) = give_way()
        && is_first
    {
        tracing::warn!(%error, "slow hashes do not give way to mail: the system refuses setpriority");
    }
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // Whoever waits hears of a panic by the end of its channel.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}

impl Hashers {
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        let count = count.max(1);
        let (jobs, waiting) = sync_channel(count);
        let waiting = Arc::new(Mutex::new(waiting));
        for number in 0..count {
            let waiting = Arc::clone(&waiting);
            thread::Builder::new().name("hash".to_owned()).spawn(move || work(&waiting, number == 0))?;
        }
        Ok(Self { jobs })
    }

    /// Runs it on one of the threads. `None` when it panicked, or when more is asked for at once than there are threads and places to wait:
    /// turns see to it that there is not.
    pub(crate) async fn run<T: Send + 'static>(&self, hash: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (answer, asked) = oneshot::channel();
        let job = Box::new(move || {
            let _ = answer.send(hash());
        });
        self.jobs.try_send(job).ok()?;
        asked.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hashes_give_way_and_a_panic_costs_its_own_answer_only() {
        let hashers = Hashers::start(1).unwrap();
        let niceness = || getpriority_process(None).unwrap();
        let ours = niceness();
        assert_eq!(hashers.run(niceness).await, Some(NICENESS.max(ours)));
        assert_eq!(hashers.run(|| -> u8 { panic!("on purpose") }).await, None);
        assert_eq!(hashers.run(|| 7).await, Some(7));
        assert_eq!(niceness(), ours, "nobody else gives way");
    }
}
