//! Greylisting of the running server. Promise: nobody is told to wait before that is written down, so that a restart makes no one wait anew; a store that
//! fails delays nobody.

use std::sync::{Arc, Mutex, PoisonError};

use postern_config::Config;
use postern_mail::greylist::{GreyChange, GreyRow, GreySaid};
use postern_mail::{Mailbox, ReversePath};
use postern_outcome::greylist::{GreyKey, GreySettings, Greylist};
use postern_policy::rules::greylist::{Candidate, is_asked};
use postern_state::{GreyRows, StateFailure, Store};

use crate::control::Answer;
use crate::control::greylist::{GreyOrder, Remembered, Row};
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
    if let Err(error) = keep(server, changes).await {
        tracing::error!(error, "what greylisting remembers could not be written; nobody is delayed for it");
        return None;
    }
    Some(said)
}

async fn keep(server: &Server, changes: Vec<GreyChange>) -> Result<(), String> {
    if changes.is_empty() {
        return Ok(());
    }
    let rows = Arc::clone(&server.greylist.rows);
    let kept = tokio::task::spawn_blocking(move || rows.keep(&changes)).await;
    kept.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

/// An order of a person.
pub(crate) async fn carry_out(server: &Server, order: GreyOrder) -> Answer {
    let book = || server.greylist.book.lock().unwrap_or_else(PoisonError::into_inner);
    let limit = match order {
        GreyOrder::Stats => None,
        GreyOrder::List { limit } => Some(limit),
        GreyOrder::Forget { address } => {
            let Ok(of) = address.trim().parse() else {
                return Answer::Failed { exit: 2, error: "that is no address".to_owned() };
            };
            let (count, changes) = {
                let mut book = book();
                (book.forget_network(of), book.take_changes())
            };
            return match keep(server, changes).await {
                Err(error) => Answer::failed(error),
                Ok(()) if count == 0 => Answer::nothing("nothing is remembered of its network"),
                Ok(()) => Answer::Done { text: format!("the network of {of} comes for the first time again") },
            };
        }
    };
    let (config, book) = (&server.live.load().config, book());
    let (waiting, known) = book.counts();
    let shown = |row: GreyRow| match row {
        GreyRow::Waiting(_, of, at) => Row { network: of.to_string(), known: false, at: at.0 },
        GreyRow::Known(of, at) => Row { network: of.to_string(), known: true, at: at.0 },
    };
    Answer::Greylist(Remembered {
        mode: config.policy.modes().of(postern_policy::rules::greylist::GREYLIST).as_str().to_owned(),
        waiting,
        known,
        octets: book.octets(),
        memory: config.policy.greylist.memory.0,
        more: limit.is_some_and(|limit| waiting + known > limit),
        rows: limit.map(|limit| book.rows(limit).into_iter().map(shown).collect()),
    })
}
