//! Greylisting of the running server. Promise: nobody is told to wait before that is written down, so that a restart makes no one wait anew; a store that
//! fails delays nobody.

use std::sync::{Arc, Mutex, PoisonError};

use postern_config::Config;
use postern_mail::greylist::GreySaid;
use postern_mail::{Mailbox, ReversePath};
use postern_outcome::greylist::{GreyKey, GreySettings, Greylist};
use postern_policy::rules::greylist::{Candidate, is_asked};
use postern_state::{GreyRows, StateFailure, Store};

use crate::wire::{Live, Server, clock, lists, live};

/// What is remembered, in memory and on disk.
pub(crate) struct Keeper {
    book: Mutex<Greylist>,
    rows: Arc<GreyRows>,
}

impl Keeper {
    /// Reads what was kept. Blocks on the disk.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) fn open(store: &Store) -> Result<Self, StateFailure> {
        let rows = GreyRows::of(store);
        let (seed, kept) = rows.load()?;
        Ok(Self { book: Mutex::new(Greylist::restored(seed, kept)), rows: Arc::new(rows) })
    }
}

fn settings(config: &Config) -> GreySettings {
    let own = &config.policy.greylist;
    GreySettings { delay: own.delay, window: own.window, known_for: own.known_for, memory: live::size(own.memory) }
}

/// At RCPT: `None` for whoever is not to be delayed whatever is remembered.
pub(crate) async fn ask(
    server: &Server,
    live: &Live,
    who: Candidate<'_>,
    (from, to): (&ReversePath, &Mailbox),
) -> Option<GreySaid> {
    if !is_asked(&live.policy, &who) {
        return None;
    }
    // Only now is it worth to find out.
    let address = who.client.address;
    let is_known = server.ceiling.is_known(clock(), address) || lists::allows(server, who.client);
    if !is_asked(&live.policy, &Candidate { is_known, ..who }) {
        return None;
    }
    let (sender, recipient) = (from.to_string(), to.to_string());
    let (said, changes) = {
        let mut book = server.greylist.book.lock().unwrap_or_else(PoisonError::into_inner);
        let key = GreyKey { client: address, sender: &sender, recipient: &recipient };
        (book.attempt(clock(), &settings(&live.config), key), book.take_changes())
    };
    server.metrics.greylisted(match said {
        GreySaid::Known => "known",
        GreySaid::Back(_) => "back",
        GreySaid::Wait(_) => "delayed",
    });
    if !changes.is_empty() {
        let rows = Arc::clone(&server.greylist.rows);
        let kept = tokio::task::spawn_blocking(move || rows.keep(&changes)).await;
        if let Some(error) = kept.map_or_else(|error| Some(error.to_string()), |kept| kept.err().map(|error| error.to_string())) {
            tracing::error!(error, "what greylisting remembers could not be written; nobody is delayed for it");
            return None;
        }
    }
    Some(said)
}
