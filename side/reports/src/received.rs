//! Head: what reports of others say, added up by domain, client and result. Promise: strangers write these reports, so rows are bounded, no domain has more than its
//! share of them, domains that are not ours have one row for each result together, no row is given up for a new one before it is old, and names in them are names; what had no room is counted.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;

use postern_mail::Domain;
use postern_mail::envelope::UnixMillis;
use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Record};
use crate::arf::Complaint;
use crate::book::RowChange;
use crate::read::Report;

/// Rows in all.
pub const ROWS_MAX: usize = 20_000;
/// Rows of one domain.
pub const ROWS_OF_DOMAIN_MAX: usize = ROWS_MAX / 8;
/// A row of which nothing was told for so long makes room.
const KEPT_MILLIS: u64 = 90 * 86_400_000;
/// Reports that are known again when they come a second time, after a restart too. They are told by hashes, so that a newer version of this program may count
/// one again.
const KNOWN_MAX: usize = 1024;
const TOTALS: &[u8] = b"totals";
const KNOWN: &[u8] = b"known";

/// Of whom something is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// About whom, or which domain of ours above; `?` where the report has no domain that reads, or one that is not ours.
    pub domain: String,
    /// Who sent it, where that is told.
    pub source: Option<IpAddr>,
    /// `pass`, or `fail` and what was done; of complaints what they are.
    pub result: String,
}

/// How often, and when last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// Messages.
    pub messages: u64,
    /// When the last report of it came, in milliseconds since 1970.
    pub last: u64,
}

/// Of all reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Reports that were counted.
    pub reports: u64,
    /// Mail that has no report in it, or one that does not read.
    pub unreadable: u64,
    /// Reports that had come before.
    pub again: u64,
    /// Mail that nobody had time to read, or that is held.
    pub skipped: u64,
    /// Messages told of, for which there was no row.
    pub without_room: u64,
}

/// What reports of one mail say.
#[derive(Clone, Debug, Default)]
pub struct Digest(Vec<(u64, BTreeMap<Subject, u64>)>);

impl Digest {
    /// Adds up what they say of domains of ours, which `ours` tells, those above included: whoever writes reports names as many others as he likes, and as
    /// many below.
    #[must_use]
    pub fn of(reports: &[Report], ours: &dyn Fn(&Domain) -> Option<Domain>) -> Self {
        Self(reports.iter().map(|report| one(report, ours)).collect())
    }
}

/// Of all domains that are not ours together, nobody asks who sent it.
fn subject(domain: &str, source: Option<IpAddr>, result: String, ours: &dyn Fn(&Domain) -> Option<Domain>) -> Subject {
    let (domain, source) = match Domain::parse(domain) {
        Ok(domain) => ours(&domain).map_or_else(|| ("?".to_owned(), None), |own| (own.to_string(), source)),
        Err(_) => ("?".to_owned(), source),
    };
    Subject { domain, source, result }
}

impl Digest {
    /// Rows it is about.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.0.iter().map(|(_, sums)| sums.len()).sum()
    }
}

fn result(record: &Record) -> String {
    if record.passes() {
        return "pass".to_owned();
    }
    let done = ["none", "quarantine", "reject"].into_iter().find(|done| *done == record.disposition);
    format!("fail, {}", done.unwrap_or("other"))
}

fn one(report: &Report, ours: &dyn Fn(&Domain) -> Option<Domain>) -> (u64, BTreeMap<Subject, u64>) {
    let mut hasher = DefaultHasher::new();
    let mut sums: BTreeMap<Subject, u64> = BTreeMap::new();
    match report {
        Report::Aggregate(report) => {
            let Aggregate { org_name, report_id, begin, policy, .. } = &**report;
            (org_name, report_id, begin, &policy.domain).hash(&mut hasher);
            for record in &report.records {
                let told = subject(&policy.domain, Some(record.source), result(record), ours);
                let sum = sums.entry(told).or_default();
                *sum = sum.saturating_add(record.count);
            }
        }
        Report::Tls(report) => {
            (&report.organization_name, &report.report_id, &report.date_range.start_datetime).hash(&mut hasher);
            for of in &report.policies {
                let counts = [
                    ("TLS as asked for", of.summary.total_successful_session_count),
                    ("TLS failed", of.summary.total_failure_session_count),
                ];
                for (result, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
                    let told = subject(&of.policy.policy_domain, None, result.to_owned(), ours);
                    let sum = sums.entry(told).or_default();
                    *sum = sum.saturating_add(count);
                }
            }
        }
        Report::Complaint(complaint) => {
            let Complaint { feedback_type, message_id, source_ip, arrival_date, rcpt_to, reported_domain, .. } = &**complaint;
            (feedback_type, message_id, source_ip, arrival_date, rcpt_to).hash(&mut hasher);
            let known = ["abuse", "fraud", "virus", "auth-failure", "not-spam"].into_iter().find(|known| known == feedback_type);
            let domain = reported_domain.first().map_or("", String::as_str);
            let source = source_ip.trim_matches(['[', ']']).parse().ok();
            let told = subject(domain, source, known.unwrap_or("other").to_owned(), ours);
            sums.insert(told, complaint.incidents);
        }
    }
    (hasher.finish(), sums)
}

/// The sums.
#[derive(Debug, Default)]
pub struct Received {
    rows: BTreeMap<Subject, Sum>,
    of_domain: HashMap<String, usize>,
    totals: Totals,
    known: VecDeque<u64>,
    swept: u64,
    changed: BTreeSet<Subject>,
}

impl Received {
    /// Takes a row up that was kept.
    ///
    /// # Errors
    /// When it does not read.
    pub fn load(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        if key == TOTALS {
            self.totals = serde_json::from_slice(value).map_err(|error| error.to_string())?;
            return Ok(());
        }
        if key == KNOWN {
            self.known = serde_json::from_slice(value).map_err(|error| error.to_string())?;
            self.known.truncate(KNOWN_MAX);
            return Ok(());
        }
        let told: Subject = serde_json::from_slice(key).map_err(|error| error.to_string())?;
        let sum = serde_json::from_slice(value).map_err(|error| error.to_string())?;
        *self.of_domain.entry(told.domain.clone()).or_default() += 1;
        self.rows.insert(told, sum);
        Ok(())
    }

    /// Counts what a mail says.
    pub fn add(&mut self, now: UnixMillis, digest: &Digest) -> Vec<RowChange> {
        let mut forgotten = Vec::new();
        let counted = self.totals.reports;
        for (id, sums) in &digest.0 {
            if self.known.contains(id) {
                self.totals.again = self.totals.again.saturating_add(1);
                continue;
            }
            if self.known.len() >= KNOWN_MAX {
                self.known.pop_front();
            }
            self.known.push_back(*id);
            self.totals.reports = self.totals.reports.saturating_add(1);
            for (told, messages) in sums {
                if !self.rows.contains_key(told) {
                    if self.rows.len() >= ROWS_MAX {
                        forgotten.extend(self.sweep(now));
                    }
                    let of_domain = self.of_domain.get(&told.domain).copied().unwrap_or(0);
                    if self.rows.len() >= ROWS_MAX || of_domain >= ROWS_OF_DOMAIN_MAX {
                        self.totals.without_room = self.totals.without_room.saturating_add(*messages);
                        continue;
                    }
                    self.of_domain.insert(told.domain.clone(), of_domain + 1);
                }
                let sum = self.rows.entry(told.clone()).or_default();
                *sum = Sum { messages: sum.messages.saturating_add(*messages), last: now.0 };
                self.changed.insert(told.clone());
            }
        }
        let mut changes = self.changes(forgotten);
        if self.totals.reports != counted {
            changes.push(RowChange { key: KNOWN.to_vec(), value: serde_json::to_vec(&self.known).ok() });
        }
        changes
    }

    /// A mail without a report that reads, or that nobody had time for.
    pub fn miss(&mut self, was_skipped: bool) -> Vec<RowChange> {
        let count = if was_skipped { &mut self.totals.skipped } else { &mut self.totals.unreadable };
        *count = count.saturating_add(1);
        self.changes(Vec::new())
    }

    /// At most once a day: it looks at all rows.
    fn sweep(&mut self, now: UnixMillis) -> Vec<Subject> {
        if now.0 < self.swept.saturating_add(86_400_000) {
            return Vec::new();
        }
        self.swept = now.0;
        let old: Vec<Subject> = self
            .rows
            .iter()
            .filter(|(_, sum)| sum.last.saturating_add(KEPT_MILLIS) < now.0)
            .map(|(told, _)| told.clone())
            .collect();
        for told in &old {
            self.rows.remove(told);
            self.changed.remove(told);
            if let Some(count) = self.of_domain.get_mut(&told.domain) {
                *count = count.saturating_sub(1);
            }
        }
        self.of_domain.retain(|_, count| *count > 0);
        old
    }

    fn changes(&mut self, forgotten: Vec<Subject>) -> Vec<RowChange> {
        let key = |told: &Subject| serde_json::to_vec(told).unwrap_or_default();
        let mut changes: Vec<RowChange> = forgotten.iter().map(|told| RowChange { key: key(told), value: None }).collect();
        for told in std::mem::take(&mut self.changed) {
            let value = self.rows.get(&told).and_then(|sum| serde_json::to_vec(sum).ok());
            changes.push(RowChange { key: key(&told), value });
        }
        changes.push(RowChange { key: TOTALS.to_vec(), value: serde_json::to_vec(&self.totals).ok() });
        changes
    }

    /// Of all reports.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Each row, those with the most messages first.
    #[must_use]
    pub fn rows(&self) -> Vec<(&Subject, Sum)> {
        let mut rows: Vec<(&Subject, Sum)> = self.rows.iter().map(|(told, sum)| (told, *sum)).collect();
        rows.sort_by(|a, b| b.1.messages.cmp(&a.1.messages).then_with(|| a.0.cmp(b.0)));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: fn(&Domain) -> Option<Domain> = |domain| Some(domain.clone());
    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn report(id: &str, domain: &str, sources: impl Iterator<Item = u32>) -> Report {
        let record = |n: u32| Record {
            header_from: domain.to_owned(),
            disposition: "none".to_owned(),
            ..Record::of(std::net::Ipv4Addr::from(n).into())
        };
        let policy = crate::Policy { domain: domain.to_owned(), ..crate::Policy::default() };
        Report::Aggregate(Box::new(Aggregate {
            report_id: id.to_owned(),
            policy,
            records: sources.map(record).collect(),
            ..Aggregate::default()
        }))
    }

    #[test]
    fn reports_are_added_up_by_domain_client_and_result_once_each_and_outlive_a_restart() {
        let mut received = Received::default();
        let mut kept = BTreeMap::new();
        for (id, domain) in [("a", "there.test"), ("b", "there.test"), ("b", "there.test"), ("c", "<b>\u{1b}")] {
            let changes = received.add(NOW, &Digest::of(&[report(id, domain, 1..=2)], &ANY));
            kept.extend(changes.into_iter().map(|change| (change.key, change.value.unwrap())));
        }
        kept.extend(received.miss(false).into_iter().map(|change| (change.key, change.value.unwrap())));
        let mut again = Received::default();
        kept.iter().for_each(|(key, value)| again.load(key, value).unwrap());
        for one in [&received, &again] {
            let rows = one.rows();
            assert_eq!(rows.len(), 4);
            assert_eq!(
                (rows[0].0.domain.as_str(), rows[0].0.result.as_str(), rows[0].1.messages),
                ("there.test", "fail, none", 2)
            );
            assert_eq!(rows[3].0.domain, "?");
            assert_eq!(one.totals(), Totals { reports: 3, again: 1, unreadable: 1, ..Totals::default() });
        }
        let _ = again.add(NOW, &Digest::of(&[report("a", "there.test", 1..=2)], &ANY));
        assert_eq!((again.totals().reports, again.totals().again), (3, 2), "it is known after a restart");
    }

    #[test]
    fn a_domain_of_a_liar_has_its_share_of_rows_and_old_rows_alone_make_room() {
        let mut received = Received::default();
        let many = u32::try_from(ROWS_OF_DOMAIN_MAX).unwrap();
        let _ = received.add(NOW, &Digest::of(&[report("a", "lies.test", 0..many + 7)], &ANY));
        assert_eq!((received.rows().len(), received.totals().without_room), (ROWS_OF_DOMAIN_MAX, 7));
        for n in 0..7 {
            let _ = received.add(NOW, &Digest::of(&[report("b", &format!("n{n}.test"), 0..many)], &ANY));
        }
        assert_eq!(received.rows().len(), ROWS_MAX);
        let _ = received.add(NOW, &Digest::of(&[report("c", "there.test", 1..2)], &ANY));
        assert_eq!(received.totals().without_room, 8, "nothing is given up for what is new");
        let later = UnixMillis(NOW.0 + KEPT_MILLIS + 1);
        let changes = received.add(later, &Digest::of(&[report("d", "there.test", 1..2)], &ANY));
        assert_eq!(received.rows().len(), 1);
        assert_eq!(changes.iter().filter(|change| change.value.is_none()).count(), ROWS_MAX);
    }

    #[test]
    fn domains_that_are_not_ours_take_no_room_from_ours() {
        let here = Domain::parse("here.test").unwrap();
        let ours = |domain: &Domain| domain.is_within(&here).then(|| here.clone());
        let mut received = Received::default();
        for n in 0..8 {
            let lies = report("a", &format!("x{n}.test"), 0..u32::try_from(ROWS_OF_DOMAIN_MAX).unwrap());
            let _ = received.add(NOW, &Digest::of(&[lies], &ours));
        }
        assert_eq!(received.rows().len(), 1, "one row for all of them");
        for n in 0..8 {
            let _ = received.add(NOW, &Digest::of(&[report("b", &format!("x{n}.here.test"), 1..=2)], &ours));
        }
        let rows: Vec<(String, u64)> = received.rows().iter().map(|(told, sum)| (told.domain.clone(), sum.messages)).collect();
        let [foreign, own @ ..] = rows.as_slice() else { panic!("{rows:?}") };
        assert_eq!((foreign.0.as_str(), foreign.1, own.len(), received.totals().without_room), ("?", 20_000, 2, 0));
    }
}
