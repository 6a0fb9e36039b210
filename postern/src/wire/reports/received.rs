//! Reports of others, read as they come to `reports.read_at`. Promise: one at a time is unpacked, within [`LIMITS`]; whatever is in it, the mail goes its way and does not
//! wait to be counted; and only what is in the spool is counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postern_config::Config;
use postern_mail::{Domain, Envelope};
use postern_reports::{Digest, Limits, Received, read};
use postern_spool::Writer;
use postern_state::{ReportRows, StateFailure};
use tokio::sync::Semaphore;

use crate::control::reports::{ReportsRead, Row};
use crate::wire::{Live, Server, clock, examine, live};

/// Far above what the largest domains get in a day from one reporter.
const LIMITS: Limits = Limits { octets_max: 16 << 20, records_max: 50_000 };
/// For those before it.
const WITHIN: Duration = Duration::from_secs(10);
/// Rows of reports that wait to be counted; mail beyond them is told as not read.
const WAITING_MAX: usize = 200_000;
/// What a mail that waits takes at least.
const WAITING_MIN: usize = 64;
/// Rows that are shown at once.
const SHOWN_MAX: usize = 1000;

/// What they have said until now.
pub(crate) struct Reader {
    received: Mutex<Received>,
    rows: ReportRows,
    place: Semaphore,
    waiting: Arc<Semaphore>,
    /// Mail that found no room to wait.
    lost: AtomicU64,
    /// Rows are written in the order in which they change.
    keeping: tokio::sync::Mutex<()>,
}

/// What was found in a mail.
pub(crate) enum Looked {
    Said(Digest),
    Unreadable,
    Skipped,
}

impl Reader {
    /// With what was kept. Blocks.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn open(rows: ReportRows) -> Result<Self, StateFailure> {
        let mut received = Received::default();
        rows.load(|key, value| {
            if let Err(why) = received.load(key, value) {
                tracing::warn!(why, "a row of what reports have said does not read and is left out");
            }
        })?;
        Ok(Self {
            received: Mutex::new(received),
            rows,
            place: Semaphore::new(1),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            lost: AtomicU64::new(0),
            keeping: tokio::sync::Mutex::default(),
        })
    }

    fn received(&self) -> MutexGuard<'_, Received> {
        // Whoever died within has counted a report or not.
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For `postern reports show`.
    pub(crate) fn shown(&self, config: &Config, domain: Option<&str>) -> ReportsRead {
        let received = self.received();
        let mut rows: Vec<Row> = received
            .rows()
            .into_iter()
            .filter(|(told, _)| domain.is_none_or(|domain| told.domain.eq_ignore_ascii_case(domain)))
            .take(SHOWN_MAX + 1)
            .map(|(told, sum)| Row {
                domain: told.domain.clone(),
                source: told.source.map(|source| source.to_string()),
                result: told.result.clone(),
                messages: sum.messages,
                last: sum.last,
            })
            .collect();
        let more = rows.len() > SHOWN_MAX;
        rows.truncate(SHOWN_MAX);
        let totals = received.totals();
        ReportsRead {
            read_at: config.reports.read_at.as_ref().map(ToString::to_string),
            reports: totals.reports,
            unreadable: totals.unreadable,
            again: totals.again,
            skipped: totals.skipped,
            without_room: totals.without_room,
            rows,
            more,
        }
    }
}

/// Whether a mail is read, by whom it is for before aliases are followed.
pub(crate) fn is_read(config: &Config, envelope: &Envelope) -> bool {
    let own = config.reports.read_at.as_ref();
    own.is_some_and(|own| envelope.recipients.iter().any(|recipient| recipient.address() == own))
}

/// The nearest domain of ours: others have no reason to be told of to us.
fn own(config: &Config, domain: &Domain) -> Option<Domain> {
    let all = config.domains.iter().map(|own| &own.name).chain(config.dkim.iter().map(|own| &own.domain));
    let above = all.chain([&config.server.hostname]).filter(|own| domain.is_within(own));
    above.max_by_key(|own| own.as_str().len()).cloned()
}

/// Reads a mail that is about to be taken. One that is held is not read, and that is counted: a person may let it go or not, and nothing reads it then.
pub(crate) async fn look(server: &Server, live: &Live, (writer, ours): (&Writer, usize), is_held: bool) -> Looked {
    if is_held {
        return Looked::Skipped;
    }
    let Ok(Ok(_place)) = tokio::time::timeout(WITHIN, server.reports.reader.place.acquire()).await else {
        return Looked::Skipped;
    };
    let most = live::size(live.config.limits.message_size).saturating_add(64 << 10);
    let Ok(octets) = writer.read_back(most).await else { return Looked::Skipped };
    let found = examine::at_length(octets.len(), || {
        read(octets.get(ours..).unwrap_or_default(), &LIMITS)
            .map(|reports| Digest::of(&reports, &|domain| own(&live.config, domain)))
    });
    match found {
        Ok(digest) => Looked::Said(digest),
        Err(error) => {
            tracing::debug!(%error, "mail for reports.read_at has no report that reads");
            Looked::Unreadable
        }
    }
}

/// Counts it, once the mail is safe and on its way. Nobody waits for that: it may change all rows.
pub(crate) fn count(server: &Arc<Server>, looked: Looked) {
    let reader = &server.reports.reader;
    let rows = if let Looked::Said(digest) = &looked { digest.rows() } else { 0 };
    let wanted = u32::try_from(rows.clamp(WAITING_MIN, WAITING_MAX)).unwrap_or(u32::MAX);
    let Ok(room) = Arc::clone(&reader.waiting).try_acquire_many_owned(wanted) else {
        reader.lost.fetch_add(1, Ordering::Relaxed);
        return;
    };
    let server = Arc::clone(server);
    tokio::spawn(async move {
        let reader = &server.reports.reader;
        let _in_order = reader.keeping.lock().await;
        let of_others = Arc::clone(&server);
        let counted = tokio::task::spawn_blocking(move || {
            let reader = &of_others.reports.reader;
            // Written with what is counted now: each of them gives the totals as they are.
            for _ in 0..reader.lost.swap(0, Ordering::Relaxed) {
                let _totals = reader.received().miss(true);
            }
            let changes = match &looked {
                Looked::Said(digest) => reader.received().add(clock(), digest),
                Looked::Unreadable => reader.received().miss(false),
                Looked::Skipped => reader.received().miss(true),
            };
            reader.rows.keep(changes.into_iter().map(|change| (change.key, change.value)).collect())
        });
        match counted.await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => tracing::error!(%failure, "what reports say could not be written"),
            Err(error) => tracing::error!(%error, "what reports say could not be written"),
        }
        drop(room);
    });
}

#[cfg(test)]
mod tests;
