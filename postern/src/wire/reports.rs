//! Reports to others about mail in their name: what is counted, and when it is sent. Promise: nothing here holds up a message; who did not ask for reports and
//! agree to them gets none; and a report is forgotten only when it is safe in the spool.

mod facts;
pub(crate) mod received;
mod send;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postern_config::Config;
use postern_mail::fact::ClientFacts;
use postern_mail::message::headers::Headers;
use postern_mail::{Domain, Envelope, Mailbox, Verdict};
use postern_policy::facts::Found;
use postern_reports::{Book, BookLimits, Night, Pace, Record, Singles};
use postern_state::{ReportRows, StateFailure};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::wire::{Live, Server, clock, live, report, stopped};

pub(crate) use send::send_now;

/// Messages that wait to be counted. Beyond it they are not, and that is told.
const SEEN_MAX: usize = 1024;
/// Messages whose domains are asked about at the same time.
const ASKED_AT_ONCE: usize = 64;
/// How often counts are written, and it is looked for what is due.
const TICK: Duration = Duration::from_secs(5);

/// A message, as far as reports tell of it.
struct Seen {
    /// A record for each author.
    records: Vec<(Domain, Record)>,
    /// Where it is to be told of by itself.
    failure: Option<Box<send::Failing>>,
}

/// What is counted and what was sent.
pub(crate) struct Reporting {
    book: Mutex<Book>,
    rows: ReportRows,
    seen: mpsc::Sender<Seen>,
    lost: AtomicU64,
    /// Of aggregate reports.
    pace: Mutex<Pace>,
    /// Of those of single messages.
    singles: Mutex<(Pace, Singles)>,
    /// One at a time writes, in the order of what changed: a row that was forgotten must not be written after that.
    keeping: tokio::sync::Mutex<()>,
    /// One at a time looks for what is due.
    sending: tokio::sync::Mutex<()>,
    seed: u64,
    /// Of what others report.
    pub(crate) reader: received::Reader,
}

fn limits(config: &Config) -> BookLimits {
    let own = &config.reports;
    BookLimits { octets_max: live::size(own.memory), rows_max: live::number(own.rows_max) }
}

pub(crate) fn night(config: &Config) -> Night {
    let own = &config.reports;
    Night { hour: u64::from(own.hour), spread: own.spread, per_minute: own.per_minute, per_night: own.per_night }
}

/// Whom reports are from.
pub(crate) fn sender(config: &Config) -> Mailbox {
    config.reports.dmarc_from.clone().unwrap_or_else(|| Mailbox::postmaster_of(config.server.hostname.clone()))
}

/// Messages that were seen and are still to be counted.
pub(crate) struct Waiting(mpsc::Receiver<Seen>);

impl Reporting {
    /// With what was counted before the restart. Blocks.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) fn open(rows: ReportRows, config: &Config) -> Result<(Self, Waiting), StateFailure> {
        let mut book = Book::new(limits(config));
        rows.load(|key, value| {
            if let Err(why) = book.load(key, value) {
                tracing::warn!(why, "a row of a report does not read and is left out");
            }
        })?;
        let reader = received::Reader::open(rows.of_others())?;
        let (seen, waiting) = mpsc::channel(SEEN_MAX);
        let reporting = Self {
            book: Mutex::new(book),
            rows,
            seen,
            lost: AtomicU64::new(0),
            pace: Mutex::default(),
            singles: Mutex::default(),
            keeping: tokio::sync::Mutex::default(),
            sending: tokio::sync::Mutex::default(),
            seed: report::seed(),
            reader,
        };
        Ok((reporting, Waiting(waiting)))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Whoever died within has counted a message or not.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a report may be sent now, and counts it.
    fn may_send(&self, night: &Night) -> bool {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).take(night, clock().0)
    }

    /// Whether a domain may be told of a single message now, and counts it.
    fn may_tell(&self, night: &Night, domain: &Domain) -> bool {
        let mut locked = self.singles.lock().unwrap_or_else(PoisonError::into_inner);
        let (pace, singles) = &mut *locked;
        singles.take(domain, clock().0) && pace.take(night, clock().0)
    }

    /// Writes what was counted since the last time.
    pub(crate) async fn keep(&self) {
        let _in_order = self.keeping.lock().await;
        let changes: Vec<_> = self.book().changes().into_iter().map(|change| (change.key, change.value)).collect();
        if changes.is_empty() {
            return;
        }
        let rows = self.rows.clone();
        match tokio::task::spawn_blocking(move || rows.keep(changes)).await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => tracing::error!(%failure, "counts for reports could not be written"),
            Err(error) => tracing::error!(%error, "counts for reports could not be written"),
        }
    }
}

/// A message was judged.
pub(crate) fn note(
    server: &Server,
    live: &Live,
    (client, envelope, headers): (&ClientFacts, &Envelope, &Headers),
    found: &Found,
    verdict: &Verdict,
) {
    let own = &live.config.reports;
    let Some(authenticity) = found.authenticity.as_deref().filter(|_| own.dmarc || own.failures) else { return };
    // Else two servers would report on each other's reports for ever.
    let is_report = |address: &Mailbox| *address == sender(&live.config);
    if envelope.recipients.iter().all(|recipient| is_report(recipient.address())) {
        return;
    }
    let records = facts::records(client.address, &envelope.from, authenticity, verdict);
    if records.is_empty() {
        return;
    }
    let is_failing = own.failures
        && !is_automatic(envelope, headers)
        && records.iter().any(|(_, record)| record.dkim != "pass" || record.spf != "pass");
    let failure =
        is_failing.then(|| Box::new(send::Failing::of(&live.hostname, (client, envelope, headers), authenticity, verdict)));
    if server.reports.seen.try_send(Seen { records, failure }).is_err() {
        server.reports.lost.fetch_add(1, Ordering::Relaxed);
    }
}

/// A report on a report would be answered by one.
fn is_automatic(envelope: &Envelope, headers: &Headers) -> bool {
    let says = |name, what: fn(&str) -> bool| headers.named(name).any(|field| field.text().is_none_or(|text| what(text.trim())));
    envelope.from.mailbox().is_none()
        // RFC 3834 §5: whatever is no person's says so.
        || says("Auto-Submitted", |text| !text.eq_ignore_ascii_case("no"))
        || says("Content-Type", |text| text.to_ascii_lowercase().starts_with("multipart/report"))
}

/// Finds out who wants to know of a message, and counts it.
async fn take_up(server: Arc<Server>, seen: Seen) {
    let live = server.live.load_full();
    for (author, record) in seen.records {
        let published = match live.authenticator.published(&author, live.config.dns.timeout).await {
            Ok(Some(published)) => published,
            Ok(None) => continue,
            Err(_) => {
                server.reports.lost.fetch_add(1, Ordering::Relaxed);
                continue;
            }
        };
        if live.config.reports.dmarc && !published.destinations.is_empty() {
            server.reports.book().count(clock(), &published, &record);
        }
        if let Some(failing) = seen.failure.as_deref() {
            send::failure(&server, &live, &published, (&author, &record), failing).await;
        }
    }
}

/// Counts until the server stops.
pub(crate) async fn count(server: Arc<Server>, Waiting(mut waiting): Waiting, mut stopping: watch::Receiver<bool>) {
    let mut asked = JoinSet::new();
    loop {
        tokio::select! {
            Some(seen) = waiting.recv(), if asked.len() < ASKED_AT_ONCE => {
                asked.spawn(take_up(Arc::clone(&server), seen));
            }
            Some(_) = asked.join_next(), if !asked.is_empty() => {}
            () = stopped(&mut stopping) => return,
        }
    }
}

/// Writes counts and sends what is due, until the server stops.
pub(crate) async fn watch(server: Arc<Server>, mut stopping: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(TICK);
    // Beside the writing, which must not wait for the DNS of others.
    let mut sending = JoinSet::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                upkeep(&server).await;
                if sending.is_empty() {
                    let server = Arc::clone(&server);
                    sending.spawn(async move { send::due(&server).await });
                }
            }
            Some(_) = sending.join_next(), if !sending.is_empty() => {}
            () = stopped(&mut stopping) => return,
        }
    }
}

async fn upkeep(server: &Server) {
    let live = server.live.load_full();
    let (given_up, turned_away) = {
        let mut book = server.reports.book();
        book.adjust(limits(&live.config));
        (book.sweep(clock()), book.turned_away())
    };
    let lost = server.reports.lost.swap(0, Ordering::Relaxed) + turned_away;
    if lost > 0 {
        tracing::warn!(messages = lost, "messages are in no report: there was no room, or no answer of DNS in time");
    }
    for domain in given_up {
        tracing::warn!(%domain, "a report could not be sent for days and is given up");
    }
    server.reports.keep().await;
}

#[cfg(test)]
mod tests;
