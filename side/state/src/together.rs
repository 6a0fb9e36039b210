//! Equal work that is asked for at the same time is done once. Promise: whoever leads tells everybody who waits what came of it, and where the
//! leader goes away before that, one of those who wait leads instead.
//!
//! There is an entry for each leader, so no more than there are connections; it is gone with him.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

type Running<K, T> = HashMap<K, watch::Sender<Option<T>>>;

/// What is being done.
pub(crate) struct Together<K, T>(Arc<Mutex<Running<K, T>>>);

/// Whose work it is.
pub(crate) enum Joined<K: Hash + Eq, T> {
    /// Of whoever asked.
    Leads(Leader<K, T>),
    /// Somebody else's, who has done it.
    Done(T),
}

/// Does the work.
pub(crate) struct Leader<K: Hash + Eq, T> {
    running: Arc<Mutex<Running<K, T>>>,
    key: K,
    has_told: bool,
}

fn lock<K, T>(running: &Mutex<Running<K, T>>) -> MutexGuard<'_, Running<K, T>> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K, T> Default for Together<K, T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Hash + Eq + Clone, T: Clone> Together<K, T> {
    /// Waits while the same is being done, or leads.
    pub(crate) async fn join(&self, key: &K) -> Joined<K, T> {
        loop {
            let mut outcome = {
                let mut running = lock(&self.0);
                let Some(leader) = running.get(key) else {
                    running.insert(key.clone(), watch::channel(None).0);
                    return Joined::Leads(Leader { running: Arc::clone(&self.0), key: key.clone(), has_told: false });
                };
                leader.subscribe()
            };
            // An error says that the leader has gone without a word: the next round finds another, or leads.
            if let Ok(told) = outcome.wait_for(Option::is_some).await
                && let Some(done) = told.clone()
            {
                return Joined::Done(done);
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.0).values().map(watch::Sender::receiver_count).sum()
    }
}

impl<K: Hash + Eq, T> Leader<K, T> {
    fn taken_out(&self) -> Option<watch::Sender<Option<T>>> {
        lock(&self.running).remove(&self.key)
    }

    /// Tells those who wait.
    pub(crate) fn tell(mut self, outcome: T) {
        // The entry is no longer ours after this: somebody else may lead by the time this value is dropped.
        self.has_told = true;
        if let Some(waiting) = self.taken_out() {
            waiting.send_replace(Some(outcome));
        }
    }
}

impl<K: Hash + Eq, T> Drop for Leader<K, T> {
    fn drop(&mut self) {
        if !self.has_told {
            drop(self.taken_out());
        }
    }
}
