//! Head: how the TLS of sessions with other domains' hosts went, counted by domain and day until it is reported (RFC 8460 §4). Promise: it never takes
//! more than so many domains and rows, and what finds no room is counted without its details.

use std::collections::{BTreeMap, BTreeSet};

use postern_mail::envelope::UnixMillis;
use postern_mail::message::date::StandardDate;
use postern_mail::{Domain, TlsBasis, TlsSession};
use serde::{Deserialize, Serialize};

use crate::book::DAY;
use crate::mail::Reporter;
use crate::tls::{DateRange, FailureDetail, Policy, PolicyResult, Summary, TlsReport};

/// Days after which a report that could not be sent is given up.
const DAYS_KEPT: u64 = 3;
/// Characters of a reason that are kept.
const REASON_MAX: usize = 200;
/// Octets of a line of a policy, or of a host, that are kept: a stranger wrote it, and may have written one line of all that a policy may be long.
const LINE_OCTETS_MAX: usize = 512;
/// What rows of this begin with.
const ROW: u8 = b'r';

/// What it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsLimits {
    /// Domains and days.
    pub entries_max: usize,
    /// Kinds of failure of one of them.
    pub rows_max: usize,
    /// Octets of text in all. Beyond them sessions are counted without what policies and failures say.
    pub octets_max: usize,
}

/// A policy as it was applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Its lines, or the records.
    pub strings: Vec<String>,
    /// The hosts it names.
    pub hosts: Vec<String>,
}

/// What is known of a domain and a day under one kind of policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Under {
    strings: Vec<String>,
    hosts: Vec<String>,
    good: u64,
    bad: u64,
    details: Vec<FailureDetail>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    /// By `policy-type`.
    policies: BTreeMap<String, Under>,
    #[serde(skip)]
    not_before: u64,
}

type Period = (u64, Domain);

/// A domain and a day, taken out to be told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsCounted {
    period: Period,
    entry: Entry,
}

/// The book.
#[derive(Debug)]
pub struct TlsBook {
    limits: TlsLimits,
    entries: BTreeMap<Period, Entry>,
    dirty: BTreeSet<Period>,
    turned_away: u64,
    /// Of text in all entries.
    octets: usize,
}

/// Up to so many octets, whole characters.
fn cut(mut lines: Vec<String>) -> Vec<String> {
    for line in &mut lines {
        line.truncate(line.floor_char_boundary(LINE_OCTETS_MAX));
        line.shrink_to_fit();
    }
    lines
}

fn key((begin, domain): &Period) -> Vec<u8> {
    [&[ROW], begin.to_be_bytes().as_slice(), domain.as_str().as_bytes()].concat()
}

impl TlsBook {
    /// An empty one.
    #[must_use]
    pub fn new(limits: TlsLimits) -> Self {
        Self { limits, entries: BTreeMap::new(), dirty: BTreeSet::new(), turned_away: 0, octets: 0 }
    }

    /// Takes up a row that was kept; others' rows are left alone.
    ///
    /// # Errors
    /// Why it does not read.
    pub fn load(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let Some((&ROW, rest)) = key.split_first() else { return Ok(()) };
        let (begin, name) = rest.split_first_chunk::<8>().ok_or("its key is too short")?;
        let name = std::str::from_utf8(name).map_err(|error| error.to_string())?;
        let domain = Domain::parse(name).map_err(|fault| fault.to_string())?;
        let entry: Entry = serde_json::from_slice(value).map_err(|error| error.to_string())?;
        self.octets = self.octets.saturating_add(entry.octets());
        self.entries.insert((u64::from_be_bytes(*begin), domain), entry);
        Ok(())
    }

    /// Counts sessions. `applied`: what the policies of this kind were.
    pub fn count(&mut self, now: UnixMillis, domain: &Domain, sessions: &[TlsSession], applied: impl Fn(TlsBasis) -> Applied) {
        let period = (now.0 / 1000 / DAY * DAY, domain.clone());
        if sessions.is_empty() {
            return;
        }
        if self.entries.len() >= self.limits.entries_max && !self.entries.contains_key(&period) {
            self.turned_away = self.turned_away.saturating_add(sessions.len() as u64);
            return;
        }
        let is_full = self.octets >= self.limits.octets_max;
        let rows_max = if is_full { 0 } else { self.limits.rows_max };
        let entry = self.entries.entry(period.clone()).or_default();
        self.octets = self.octets.saturating_sub(entry.octets());
        for session in sessions {
            let under = entry.policies.entry(session.basis.as_str().to_owned()).or_default();
            // A policy that changes within the day is told as it was last.
            if !is_full {
                let Applied { strings, hosts } = applied(session.basis);
                if !strings.is_empty() {
                    (under.strings, under.hosts) = (cut(strings), cut(hosts));
                }
            }
            match &session.failure {
                None => under.good = under.good.saturating_add(1),
                Some((what, why)) => {
                    under.bad = under.bad.saturating_add(1);
                    let why: String = why.chars().filter(|c| !c.is_control()).take(REASON_MAX).collect();
                    let detail = FailureDetail {
                        result_type: what.as_str().to_owned(),
                        receiving_mx_hostname: Some(session.host.to_string()).filter(|host| !host.is_empty()),
                        receiving_ip: session.address.map(|address| address.to_string()),
                        failure_reason_code: Some(why).filter(|why| !why.is_empty()),
                        ..FailureDetail::default()
                    };
                    under.fail(detail, rows_max);
                }
            }
        }
        self.octets = self.octets.saturating_add(entry.octets());
        self.dirty.insert(period);
    }

    /// Periods there are, those of the past first.
    #[must_use]
    pub fn periods(&self) -> Vec<(u64, Domain)> {
        self.entries.keys().cloned().collect()
    }

    /// The last second of a period.
    #[must_use]
    pub fn end_of(begin: u64) -> u64 {
        begin.saturating_add(DAY - 1)
    }

    /// Whether it is to be tried.
    #[must_use]
    pub fn may_try(&self, begin: u64, domain: &Domain, now: UnixMillis) -> bool {
        self.entries.get(&(begin, domain.clone())).is_some_and(|entry| entry.not_before <= now.0 / 1000)
    }

    /// Not before then.
    pub fn postpone(&mut self, begin: u64, domain: &Domain, until: UnixMillis) {
        if let Some(entry) = self.entries.get_mut(&(begin, domain.clone())) {
            entry.not_before = until.0 / 1000;
        }
    }

    /// A period as it is now.
    #[must_use]
    pub fn show(&self, begin: u64, domain: &Domain) -> Option<TlsCounted> {
        let period = (begin, domain.clone());
        self.entries.get(&period).map(|entry| TlsCounted { period: period.clone(), entry: entry.clone() })
    }

    /// Takes what was told out again; what was counted meanwhile stays.
    pub fn forget(&mut self, told: &TlsCounted) {
        self.dirty.insert(told.period.clone());
        let Some(mut entry) = self.remove(&told.period) else { return };
        if entry.without(&told.entry) {
            self.octets = self.octets.saturating_add(entry.octets());
            self.entries.insert(told.period.clone(), entry);
        }
    }

    fn remove(&mut self, period: &Period) -> Option<Entry> {
        let entry = self.entries.remove(period)?;
        self.octets = self.octets.saturating_sub(entry.octets());
        Some(entry)
    }

    /// Gives up what could not be told for days.
    pub fn sweep(&mut self, now: UnixMillis) -> usize {
        let today = now.0 / 1000 / DAY;
        let over: Vec<Period> = self.entries.keys().filter(|(begin, _)| begin / DAY + DAYS_KEPT < today).cloned().collect();
        for period in &over {
            self.remove(period);
            self.dirty.insert(period.clone());
        }
        over.len()
    }

    /// Sessions that found no room since it was asked last.
    pub fn turned_away(&mut self) -> u64 {
        std::mem::take(&mut self.turned_away)
    }

    /// Rows to be kept, or with no value to be forgotten.
    pub fn changes(&mut self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let row = |period: Period| {
            let value = self.entries.get(&period).and_then(|entry| serde_json::to_vec(entry).ok());
            (key(&period), value)
        };
        std::mem::take(&mut self.dirty).into_iter().map(row).collect()
    }
}

fn alike(one: &FailureDetail, other: &FailureDetail) -> bool {
    FailureDetail { failed_session_count: 0, ..one.clone() } == FailureDetail { failed_session_count: 0, ..other.clone() }
}

impl Under {
    fn fail(&mut self, detail: FailureDetail, rows_max: usize) {
        if let Some(known) = self.details.iter_mut().find(|known| alike(known, &detail)) {
            known.failed_session_count = known.failed_session_count.saturating_add(1);
        } else if self.details.len() < rows_max {
            self.details.push(FailureDetail { failed_session_count: 1, ..detail });
        } else {
            // Without host and words there are as many kinds as RFC 8460 §4.3 has.
            let bare = FailureDetail { result_type: detail.result_type, ..FailureDetail::default() };
            match self.details.iter_mut().find(|known| alike(known, &bare)) {
                Some(known) => known.failed_session_count = known.failed_session_count.saturating_add(1),
                None => self.details.push(FailureDetail { failed_session_count: 1, ..bare }),
            }
        }
    }
}

impl Entry {
    /// Of text.
    fn octets(&self) -> usize {
        let of_under = |under: &Under| -> usize {
            let lines = under.strings.iter().chain(&under.hosts).map(String::len);
            let of_detail = |detail: &FailureDetail| {
                let texts = [&detail.receiving_mx_hostname, &detail.receiving_ip, &detail.failure_reason_code];
                texts.into_iter().flatten().map(String::len).sum::<usize>()
            };
            lines.chain(under.details.iter().map(of_detail)).sum()
        };
        self.policies.values().map(of_under).sum()
    }

    /// Takes away what was told; whether anything is left.
    fn without(&mut self, told: &Self) -> bool {
        for (kind, told) in &told.policies {
            let Some(under) = self.policies.get_mut(kind) else { continue };
            (under.good, under.bad) = (under.good.saturating_sub(told.good), under.bad.saturating_sub(told.bad));
            for detail in &told.details {
                if let Some(known) = under.details.iter_mut().find(|known| alike(known, detail)) {
                    known.failed_session_count = known.failed_session_count.saturating_sub(detail.failed_session_count);
                }
            }
            under.details.retain(|detail| detail.failed_session_count > 0);
        }
        self.policies.retain(|_, under| under.good > 0 || under.bad > 0);
        !self.policies.is_empty()
    }
}

impl TlsCounted {
    /// Sessions in it.
    #[must_use]
    pub fn sessions(&self) -> u64 {
        self.entry.policies.values().map(|under| under.good.saturating_add(under.bad)).fold(0, u64::saturating_add)
    }

    /// As it is told.
    #[must_use]
    pub fn report(&self, reporter: &Reporter<'_>) -> TlsReport {
        let (begin, domain) = &self.period;
        let moment = |seconds: u64| StandardDate(UnixMillis(seconds.saturating_mul(1000))).to_string();
        let result = |(kind, under): (&String, &Under)| PolicyResult {
            policy: Policy {
                policy_type: kind.clone(),
                policy_string: under.strings.clone(),
                policy_domain: domain.to_string(),
                mx_host: under.hosts.clone(),
            },
            summary: Summary { total_successful_session_count: under.good, total_failure_session_count: under.bad },
            failure_details: under.details.clone(),
        };
        TlsReport {
            organization_name: reporter.org_name.to_owned(),
            date_range: DateRange { start_datetime: moment(*begin), end_datetime: moment(TlsBook::end_of(*begin)) },
            contact_info: reporter.from.to_string(),
            report_id: reporter.tls_id(reporter.now, domain.as_str()),
            policies: self.entry.policies.iter().map(result).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use postern_mail::{Mailbox, TlsFailure};

    use super::*;

    const NOW: UnixMillis = UnixMillis(20_000 * 86_400_000 + 5);

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    fn session(basis: TlsBasis, host: &str, failure: Option<(TlsFailure, &str)>) -> TlsSession {
        let failure = failure.map(|(what, why)| (what, why.into()));
        TlsSession { basis, host: host.into(), address: "192.0.2.1".parse().ok(), failure }
    }

    fn applied(basis: TlsBasis) -> Applied {
        match basis {
            TlsBasis::Sts => Applied { strings: vec!["version: STSv1".to_owned()], hosts: vec!["*.a.test".to_owned()] },
            _ => Applied::default(),
        }
    }

    fn book(entries_max: usize, rows_max: usize) -> TlsBook {
        TlsBook::new(TlsLimits { entries_max, rows_max, octets_max: 10_000 })
    }

    fn report(book: &TlsBook, name: &str) -> TlsReport {
        let from = Mailbox::parse("tls@us.test").unwrap();
        let reporter = Reporter { hostname: "mx.us.test", org_name: "Us", from: &from, now: NOW, seed: 7 };
        book.show(20_000 * 86_400, &domain(name)).unwrap().report(&reporter)
    }

    #[test]
    fn however_long_policies_are_the_book_has_an_end() {
        let long = |_| Applied { strings: vec!["é".repeat(30_000); 20], hosts: vec!["h".repeat(9_000)] };
        let mut book = book(1_000, 10);
        for number in 0..100 {
            let failed = session(TlsBasis::Sts, &format!("mx{number}.a.test"), Some((TlsFailure::NotOffered, "why")));
            book.count(NOW, &domain(&format!("d{number}.test")), &[failed], long);
        }
        // One entry may go over what all may have; the next ones have no text.
        assert!(book.octets < 10_000 + 22 * LINE_OCTETS_MAX, "{}", book.octets);
        assert_eq!(book.octets, book.entries.values().map(Entry::octets).sum::<usize>());
        assert_eq!(report(&book, "d99.test").sessions(), (1, 1), "it is counted all the same");
        for (begin, name) in book.periods() {
            let told = book.show(begin, &name).unwrap();
            book.forget(&told);
        }
        assert_eq!(book.octets, 0);
    }

    #[test]
    fn sessions_are_counted_by_policy_and_failures_by_kind() {
        let mut book = book(10, 10);
        let failed = || session(TlsBasis::Sts, "mx.a.test", Some((TlsFailure::NotOffered, "")));
        let good = session(TlsBasis::Sts, "mx.a.test", None);
        book.count(NOW, &domain("a.test"), &[good.clone(), good, failed(), failed()], applied);
        book.count(NOW, &domain("a.test"), &[session(TlsBasis::Nothing, "mx.a.test", None)], applied);
        let report = report(&book, "a.test");
        assert_eq!(report.sessions(), (5, 2));
        let [none, sts] = report.policies.as_slice() else { panic!("{report:?}") };
        assert_eq!((none.policy.policy_type.as_str(), none.summary.total_successful_session_count), ("no-policy-found", 1));
        assert_eq!(
            (sts.policy.policy_string.as_slice(), sts.policy.mx_host.as_slice()),
            (&["version: STSv1".to_owned()][..], &["*.a.test".to_owned()][..])
        );
        let [detail] = sts.failure_details.as_slice() else { panic!("{sts:?}") };
        assert_eq!((detail.result_type.as_str(), detail.failed_session_count), ("starttls-not-supported", 2));
        assert_eq!(report.date_range.start_datetime, "2024-10-04T00:00:00Z");
        assert_eq!(report.date_range.end_datetime, "2024-10-04T23:59:59Z");
    }

    #[test]
    fn what_finds_no_room_is_counted_without_its_details() {
        let mut book = book(1, 2);
        for number in 0..50 {
            let why = format!("reason {number}");
            book.count(
                NOW,
                &domain("a.test"),
                &[session(TlsBasis::Dane, "mx.a.test", Some((TlsFailure::Expired, &why)))],
                applied,
            );
        }
        let report = report(&book, "a.test");
        assert_eq!(report.sessions(), (50, 50));
        let counts: Vec<u64> = report.policies[0].failure_details.iter().map(|detail| detail.failed_session_count).collect();
        assert_eq!(counts, [1, 1, 48]);
        book.count(NOW, &domain("b.test"), &[session(TlsBasis::Nothing, "mx.b.test", None)], applied);
        assert_eq!((book.periods().len(), book.turned_away()), (1, 1));
    }

    #[test]
    fn what_was_told_is_gone_and_what_came_meanwhile_is_not() {
        let (mut book, a) = (book(10, 10), domain("a.test"));
        let failed = || session(TlsBasis::Dane, "mx.a.test", Some((TlsFailure::Expired, "old")));
        book.count(NOW, &a, &[failed(), session(TlsBasis::Sts, "mx.a.test", None)], applied);
        let told = book.show(20_000 * 86_400, &a).unwrap();
        book.count(NOW, &a, &[failed()], applied);
        book.forget(&told);
        let left = report(&book, "a.test");
        assert_eq!((left.sessions(), left.policies.len()), ((1, 1), 1));
        book.forget(&book.show(20_000 * 86_400, &a).unwrap());
        assert!(book.periods().is_empty());
    }

    #[test]
    fn rows_bring_back_what_was_counted_and_old_ones_are_given_up() {
        let (mut first, a) = (book(10, 10), domain("a.test"));
        first.count(NOW, &a, &[session(TlsBasis::Sts, "mx.a.test", None)], applied);
        let mut second = book(10, 10);
        for (key, value) in first.changes() {
            second.load(&key, &value.unwrap()).unwrap();
        }
        assert!(first.changes().is_empty());
        assert_eq!(report(&second, "a.test"), report(&first, "a.test"));
        assert!(second.load(b"pother", b"").is_ok() && second.load(b"r", b"").is_err());
        assert_eq!(second.sweep(UnixMillis(NOW.0 + 3 * 86_400_000)), 0);
        assert_eq!(second.sweep(UnixMillis(NOW.0 + 4 * 86_400_000)), 1);
        assert!(matches!(second.changes().as_slice(), [(_, None)]));
    }
}
