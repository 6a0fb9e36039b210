//! Policies of other domains on TLS (MTA-STS): asked for when mail goes there, kept over restarts, looked at again each day. Promise: no policy that
//! holds is forgotten because its domain cannot be asked, and one domain is asked once at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postern_config::{Config, TlsMode};
use postern_lookup::mta_sts::{Book, Next};
use postern_lookup::{Fetcher, Resolver, StsFault, StsPolicy};
use postern_mail::Domain;
use postern_state::ReportRows;
use rustls::ClientConfig;
use tokio::sync::watch;

use crate::wire::{Live, Server, clock, live, stopped};

/// How often it is looked for policies to be fetched again.
const TICK: Duration = Duration::from_secs(600);
/// Turns that may be left lying when nobody has them any more.
const TURNS_KEPT: usize = 256;
/// What rows of this begin with.
const ROW: u8 = b'p';

/// What is known.
pub(crate) struct Policies {
    book: Mutex<Book>,
    rows: ReportRows,
    /// Domains that are being asked: one at a time asks one of them, and no domain makes others wait.
    turns: Mutex<HashMap<Domain, Arc<tokio::sync::Mutex<()>>>>,
    /// Written in the order of what changed.
    keeping: tokio::sync::Mutex<()>,
}

/// What a domain asks for.
pub(crate) enum Asked {
    Nothing,
    /// Nothing is known, and whether it has one could not be found out.
    Unknown,
    Policy(StsPolicy),
    /// It has one, and it cannot be had.
    Failed(StsFault),
}

/// Who fetches.
pub(crate) fn fetcher(config: &Config, resolver: &Resolver, tls: Arc<ClientConfig>) -> Option<Fetcher> {
    let own = &config.outbound.mta_sts;
    let wanted = own.enabled && config.outbound.enabled && config.outbound.tls != TlsMode::None;
    wanted.then(|| Fetcher::new(resolver.clone(), tls, own.port, own.private_networks))
}

impl Policies {
    /// With those that were known before the restart. Blocks.
    ///
    /// # Errors
    /// In words, when the store fails.
    pub(crate) fn open(rows: ReportRows, config: &Config) -> Result<Self, String> {
        let own = &config.outbound.mta_sts;
        let mut book = Book::new(live::number(own.policies_max), own.longest);
        let load = |key: &[u8], value: &[u8]| {
            let Some((&ROW, name)) = key.split_first() else { return };
            let domain = std::str::from_utf8(name).ok().and_then(|name| Domain::parse(name).ok());
            if let Err(why) = domain.ok_or("its key is no domain".to_owned()).and_then(|domain| book.load(domain, value)) {
                tracing::warn!(why, "a policy of MTA-STS does not read and is left out");
            }
        };
        rows.load(load).map_err(|failure| failure.to_string())?;
        Ok(Self { book: Mutex::new(book), rows, turns: Mutex::default(), keeping: tokio::sync::Mutex::default() })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Whoever died within has taken a policy up or not.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a domain asks for now.
    pub(crate) async fn of(&self, live: &Live, domain: &Domain) -> Asked {
        let Some(fetcher) = &live.policy_hosts else { return Asked::Nothing };
        // While the record cannot be had, what is known holds.
        let id = fetcher.id(domain).await;
        let next = self.book().next(clock(), domain, id.as_ref().ok().and_then(Option::as_deref));
        if id.is_err() && matches!(next, Next::Use(None)) {
            return Asked::Unknown;
        }
        let Next::Fetch(id) = next else { return asked(next) };
        let turn = self.turn(domain);
        let _turn = turn.lock().await;
        // Somebody else may have asked meanwhile.
        let next = self.book().next(clock(), domain, Some(&id));
        match next {
            Next::Fetch(id) => asked(self.fetch(fetcher, domain, &id).await),
            next => asked(next),
        }
    }

    /// The policy a domain had last.
    pub(crate) fn words(&self, domain: &Domain) -> Option<StsPolicy> {
        self.book().words(domain).cloned()
    }

    fn turn(&self, domain: &Domain) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.len() >= TURNS_KEPT {
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        Arc::clone(turns.entry(domain.clone()).or_default())
    }

    async fn fetch(&self, fetcher: &Fetcher, domain: &Domain, id: &str) -> Next {
        let came = fetcher.policy(domain).await;
        match &came {
            Ok(policy) => {
                tracing::info!(%domain, mode = ?policy.mode, max_age_s = policy.max_age.as_secs(), "a policy of MTA-STS")
            }
            Err(StsFault { failure, why }) => {
                tracing::info!(%domain, what = failure.as_str(), why, "a policy of MTA-STS could not be had; what was known holds");
            }
        }
        let next = self.book().fetched(clock(), domain, id, came);
        self.keep().await;
        next
    }

    async fn keep(&self) {
        let _in_order = self.keeping.lock().await;
        let row = |(domain, value): (Domain, Option<Vec<u8>>)| ([&[ROW], domain.as_str().as_bytes()].concat(), value);
        let changes: Vec<_> = self.book().changes().into_iter().map(row).collect();
        let rows = self.rows.clone();
        if let Ok(Err(failure)) = tokio::task::spawn_blocking(move || rows.keep(changes)).await {
            tracing::error!(%failure, "a policy of MTA-STS could not be written");
        }
    }
}

fn asked(next: Next) -> Asked {
    match next {
        Next::Use(Some(policy)) => Asked::Policy(policy),
        Next::Failed(fault) => Asked::Failed(fault),
        Next::Use(None) | Next::Fetch(_) => Asked::Nothing,
    }
}

/// RFC 8461 §3.3: fetches policies again before they end, also where no mail goes meanwhile, until the server stops.
pub(crate) async fn refresh(server: Arc<Server>, mut stopping: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopped(&mut stopping) => return,
            _ = ticks.tick() => {}
        }
        let live = server.live.load_full();
        let Some(fetcher) = &live.policy_hosts else { continue };
        let stale = server.sts.book().stale(clock());
        for domain in stale {
            if let Ok(Some(id)) = fetcher.id(&domain).await {
                let turn = server.sts.turn(&domain);
                let _turn = turn.lock().await;
                server.sts.fetch(fetcher, &domain, &id).await;
            }
            if *stopping.borrow() {
                return;
            }
        }
        server.sts.keep().await;
    }
}
