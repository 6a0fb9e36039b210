//! Reports on TLS to the domains that ask for them (RFC 8460): what is counted, and when it is sent. Promise: nothing here holds up a message, nobody is
//! written to unless `[reports] tls` says so, and a report is forgotten only when it is safe in the spool.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postern_delivery::{HostRule, NextHop, Place, TlsPolicy};
use postern_lookup::TlsReportTo;
use postern_mail::attempt::Destination;
use postern_mail::{Domain, Envelope, TlsBasis, TlsSession, Tlsa};
use postern_reports::{Applied, Night, Pace, Reporter, TlsBook, TlsLimits};
use postern_state::ReportRows;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::control::reports::Told;
use crate::wire::reports::{night, sender};
use crate::wire::{Live, Server, clock, report, stopped};

/// How often counts are written, and it is looked for what is due.
const TICK: Duration = Duration::from_secs(5);
/// Domains and days that are counted at the same time, each with so many kinds of failure, and with so much text in all.
const LIMITS: TlsLimits = TlsLimits { entries_max: 20_000, rows_max: 50, octets_max: 32 << 20 };
/// How long a report waits that could not be told.
const AGAIN_AFTER: Duration = Duration::from_secs(3600);
/// How long one waits for which there were enough in this minute.
const ENOUGH_FOR: Duration = Duration::from_secs(60);

/// What is counted and what was sent.
pub(crate) struct TlsReports {
    book: Mutex<TlsBook>,
    rows: ReportRows,
    pace: Mutex<Pace>,
    /// One at a time writes, in the order of what changed.
    keeping: tokio::sync::Mutex<()>,
    /// One at a time sends.
    sending: tokio::sync::Mutex<()>,
    seed: u64,
}

impl TlsReports {
    /// With what was counted before the restart. Blocks.
    ///
    /// # Errors
    /// In words, when the store fails.
    pub(crate) fn open(rows: ReportRows) -> Result<Self, String> {
        let mut book = TlsBook::new(LIMITS);
        let load = |key: &[u8], value: &[u8]| {
            if let Err(why) = book.load(key, value) {
                tracing::warn!(why, "a count of TLS does not read and is left out");
            }
        };
        rows.load(load).map_err(|failure| failure.to_string())?;
        let (pace, keeping, sending) = (Mutex::default(), tokio::sync::Mutex::default(), tokio::sync::Mutex::default());
        Ok(Self { book: Mutex::new(book), rows, pace, keeping, sending, seed: report::seed() })
    }

    fn book(&self) -> MutexGuard<'_, TlsBook> {
        // Whoever died within has counted a session or not.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn may_send(&self, night: &Night) -> bool {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).take(night, clock().0)
    }

    /// Writes what was counted since the last time.
    pub(crate) async fn keep(&self) {
        let _in_order = self.keeping.lock().await;
        let changes = self.book().changes();
        if changes.is_empty() {
            return;
        }
        let rows = self.rows.clone();
        match tokio::task::spawn_blocking(move || rows.keep(changes)).await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => tracing::error!(%failure, "counts of TLS could not be written"),
            Err(error) => tracing::error!(%error, "counts of TLS could not be written"),
        }
    }
}

/// Sessions were begun for a message to a domain.
pub(crate) fn note(
    server: &Server,
    live: &Live,
    (destination, hop): (&Destination, &NextHop),
    envelope: &Envelope,
    told: &[TlsSession],
) {
    let Destination::Mx(domain) = destination else { return };
    // Else two servers would report on each other's reports for ever.
    let of_a_report = envelope.from.mailbox().is_some_and(|from| *from == sender(&live.config));
    if !live.config.reports.tls || told.is_empty() || of_a_report {
        return;
    }
    server.tls_reports.book().count(clock(), domain, told, |basis| applied(server, domain, hop, basis));
}

/// RFC 8460 §4.4: the policy in its own words.
fn applied(server: &Server, domain: &Domain, hop: &NextHop, basis: TlsBasis) -> Applied {
    match basis {
        TlsBasis::Nothing => Applied::default(),
        TlsBasis::Sts => server.sts.words(domain).map_or_else(Applied::default, |policy| Applied {
            strings: policy.text.lines().filter(|line| !line.is_empty()).take(20).map(str::to_owned).collect(),
            hosts: policy.mx.iter().take(20).cloned().collect(),
        }),
        TlsBasis::Dane => {
            let Place::Hosts(hosts) = &hop.place else { return Applied::default() };
            let records = hosts.iter().flat_map(|host| match &host.tls.rule {
                HostRule::Demand(TlsPolicy::Dane(set)) => set.records.iter().map(in_words).collect(),
                _ => Vec::new(),
            });
            Applied { strings: records.take(20).collect(), hosts: Vec::new() }
        }
    }
}

/// RFC 6698 §2.2: as a zone has it.
fn in_words(record: &Tlsa) -> String {
    let hex: String = record.data.iter().take(64).map(|octet| format!("{octet:02x}")).collect();
    format!("{} {} {} {hex}", record.usage, record.selector, record.matching)
}

fn reporter<'a>(live: &'a Live, from: &'a postern_mail::Mailbox) -> Reporter<'a> {
    let org_name = live.config.reports.org_name.as_deref().unwrap_or(&live.hostname);
    Reporter { hostname: &live.hostname, org_name, from, now: clock(), seed: report::seed() }
}

/// One report; `None`: nobody wants it. With `only_say` nothing changes; within `pace` only where it allows one more. Where it is told later, the time
/// until then.
async fn one(
    server: &Server,
    live: &Live,
    (begin, domain): (u64, &Domain),
    (only_say, pace): (bool, Option<&Night>),
) -> Option<(Told, Option<Duration>)> {
    let asked = live.resolver.tls_reports_to(domain).await;
    let counted = server.tls_reports.book().show(begin, domain)?;
    let from = sender(&live.config);
    let reporter = reporter(live, &from);
    let tls = counted.report(&reporter);
    let mut told = Told {
        domain: domain.to_string(),
        begin,
        end: TlsBook::end_of(begin),
        messages: counted.sessions(),
        rows: tls.policies.iter().map(|policy| policy.failure_details.len() as u64).sum(),
        missing: 0,
        to: Vec::new(),
        not_to: Vec::new(),
        octets: 0,
        id: None,
        later: false,
        about_tls: true,
    };
    let TlsReportTo { mail: to, https } = match asked {
        Ok(to) => to,
        Err(failure) => {
            told.not_to.push(failure.to_string());
            told.later = true;
            return Some((told, Some(AGAIN_AFTER)));
        }
    };
    if https > 0 {
        told.not_to.push("reports by HTTPS are not sent yet".to_owned());
    }
    if to.is_empty() {
        if !only_say {
            server.tls_reports.book().forget(&counted);
        }
        return (https > 0).then_some((told, None));
    }
    let mail = reporter.tls(&tls, domain.as_str(), (begin, told.end), &to);
    told.octets = mail.octets.len() as u64;
    told.to = to.iter().map(ToString::to_string).collect();
    if only_say {
        return Some((told, None));
    }
    if pace.is_some_and(|night| !server.tls_reports.may_send(night)) {
        return Some((told, Some(ENOUGH_FOR)));
    }
    match report::put(server, live, (&from, &to), &mail.octets).await {
        Ok(id) => told.id = id.map(|id| id.to_string()),
        Err(outage) => {
            tracing::warn!(%domain, %outage, "a report on TLS could not be stored and is tried again");
            told.later = true;
            return Some((told, Some(AGAIN_AFTER)));
        }
    }
    server.tls_reports.book().forget(&counted);
    server.tls_reports.keep().await;
    tracing::info!(%domain, sessions = told.messages, to = told.to.join(", "), "a report on TLS");
    Some((told, None))
}

/// What is due at this moment.
async fn due(server: &Server) {
    let live = &*server.live.load_full();
    let own = &server.tls_reports;
    let Ok(_alone) = own.sending.try_lock() else { return };
    let (night, now) = (night(&live.config), clock());
    let periods = own.book().periods();
    for (begin, domain) in periods {
        let at = night.sends_at(TlsBook::end_of(begin), domain.as_str(), own.seed);
        if at > now.0 || !own.book().may_try(begin, &domain, now) {
            continue;
        }
        if let Some((_, Some(wait))) = one(server, live, (begin, &domain), (false, Some(&night))).await {
            own.book().postpone(begin, &domain, clock().plus(wait));
        }
    }
}

/// Everything there is, without waiting for the night.
pub(crate) async fn send_now(server: &Server, live: &Live, only_say: bool, most: usize) -> Vec<Told> {
    let _alone = server.tls_reports.sending.lock().await;
    let mut reports = Vec::new();
    let periods = server.tls_reports.book().periods();
    for (begin, domain) in periods.into_iter().take(most) {
        reports.extend(one(server, live, (begin, &domain), (only_say, None)).await.map(|(told, _)| told));
    }
    reports
}

/// Writes counts and sends what is due, until the server stops.
pub(crate) async fn watch(server: Arc<Server>, mut stopping: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // Beside the writing, which must not wait for the DNS of others.
    let mut sending = JoinSet::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            Some(_) = sending.join_next(), if !sending.is_empty() => continue,
            () = stopped(&mut stopping) => return,
        }
        let (given_up, lost) = {
            let mut book = server.tls_reports.book();
            (book.sweep(clock()), book.turned_away())
        };
        if given_up + usize::try_from(lost).unwrap_or(usize::MAX) > 0 {
            tracing::warn!(
                given_up,
                sessions = lost,
                "reports on TLS that could not be sent for days, or sessions there was no room for"
            );
        }
        if sending.is_empty() && server.live.load().config.reports.tls {
            let server = Arc::clone(&server);
            sending.spawn(async move { due(&server).await });
        }
        server.tls_reports.keep().await;
    }
}
