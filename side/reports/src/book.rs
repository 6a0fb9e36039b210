//! What is counted until it is reported: a row for messages that are alike, by domain and day. Promise: it never takes more memory than it may, a message
//! that finds no room is counted as missing in its domain's report, and what changed is told once, so that it can be kept.
//!
//! Rows are kept under keys that begin with the day and the moment counting began, so that what is reported is forgotten without touching what came meanwhile.

use std::collections::{BTreeMap, HashMap};

use postern_mail::envelope::UnixMillis;
use postern_mail::published::{Destination, Policies, Published};
use postern_mail::{Domain, Mailbox};
use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Policy, Record};
use crate::mail::Reporter;

/// Seconds of a day.
pub const DAY: u64 = 86_400;
/// Days after which a report that could not be sent is given up.
const DAYS_KEPT: u64 = 3;
/// What an entry costs besides its texts.
const OVERHEAD: usize = 128;

/// What it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookLimits {
    /// Octets of all rows together.
    pub octets_max: usize,
    /// Rows of one domain and day.
    pub rows_max: usize,
}

/// A row to be kept, or with no value to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowChange {
    /// Its key.
    pub key: Vec<u8>,
    /// What is in it.
    pub value: Option<Vec<u8>>,
}

/// As it is kept; it only grows.
#[derive(Clone, Serialize, Deserialize)]
struct Head {
    policy: Policy,
    organization: String,
    to: Vec<(String, Option<u64>)>,
    #[serde(default)]
    missing: u64,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    count: u64,
    dirty: bool,
}

#[derive(Clone)]
struct Day {
    head: Option<Head>,
    head_dirty: bool,
    rows: HashMap<Box<str>, Row>,
    /// Seconds since 1970; it is not tried before.
    not_before: u64,
}

/// All there is to say about a domain.
pub struct Counted {
    begin: u64,
    domain: Domain,
    day: Day,
}

/// Where counting began, and of whom.
type Period = (u64, Domain);

/// The book.
pub struct Book {
    limits: BookLimits,
    days: BTreeMap<Period, Day>,
    /// Where counting goes on today.
    current: HashMap<Domain, u64>,
    octets: usize,
    gone: Vec<Vec<u8>>,
    turned_away: u64,
}

fn key(begin: u64, domain: &Domain, row: Option<&str>) -> Vec<u8> {
    let mut key = begin.to_be_bytes().to_vec();
    key.extend_from_slice(domain.as_str().as_bytes());
    key.push(0);
    key.extend_from_slice(row.unwrap_or_default().as_bytes());
    key
}

fn same_day(begin: u64, now: u64) -> bool {
    begin / DAY == now / DAY
}

impl Day {
    fn empty() -> Self {
        Self { head: None, head_dirty: false, rows: HashMap::new(), not_before: 0 }
    }

    fn octets(&self) -> usize {
        OVERHEAD * 4 + self.rows.keys().map(|row| row.len() + OVERHEAD).sum::<usize>()
    }

    fn messages(&self) -> u64 {
        self.rows.values().map(|row| row.count).sum()
    }
}

impl Book {
    /// An empty one.
    #[must_use]
    pub fn new(limits: BookLimits) -> Self {
        Self { limits, days: BTreeMap::new(), current: HashMap::new(), octets: 0, gone: Vec::new(), turned_away: 0 }
    }

    /// Other limits; what is already there stays.
    pub fn adjust(&mut self, limits: BookLimits) {
        self.limits = limits;
    }

    /// Takes up a row that was kept.
    ///
    /// # Errors
    /// Why it does not read.
    pub fn load(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let (begin, rest) = key.split_first_chunk::<8>().ok_or("its key is too short")?;
        let split = rest.iter().position(|octet| *octet == 0).ok_or("its key has no end of the domain")?;
        let (domain, row) = rest.split_at(split);
        let text = |octets: &[u8]| std::str::from_utf8(octets).map(str::to_owned).map_err(|error| error.to_string());
        let domain = Domain::parse(&text(domain)?).map_err(|fault| fault.to_string())?;
        let begin = u64::from_be_bytes(*begin);
        let row = text(row.get(1..).unwrap_or_default())?;
        let count = if row.is_empty() {
            None
        } else {
            serde_json::from_str::<Record>(&row).map_err(|error| error.to_string())?;
            Some(u64::from_be_bytes(value.try_into().map_err(|_| "its count is not a number")?))
        };
        let head =
            if row.is_empty() { Some(serde_json::from_slice::<Head>(value).map_err(|error| error.to_string())?) } else { None };
        let newest = self.current.entry(domain.clone()).or_insert(begin);
        *newest = (*newest).max(begin);
        let mut grown = 0;
        let day = self.days.entry((begin, domain)).or_insert_with(|| {
            grown += OVERHEAD * 4;
            Day::empty()
        });
        if let Some(count) = count {
            grown += row.len() + OVERHEAD;
            day.rows.insert(row.into(), Row { count, dirty: false });
        } else {
            day.head = head;
        }
        self.octets += grown;
        Ok(())
    }

    /// Counts a message; `count` of the record does not matter. `published` is what was found just now, and the last one of a day is what is reported.
    pub fn count(&mut self, now: UnixMillis, published: &Published, record: &Record) {
        let now = now.0 / 1000;
        let Ok(row) = serde_json::to_string(&Record { count: 0, ..record.clone() }) else { return };
        let begin = match self.current.get(&published.domain) {
            Some(begin) if same_day(*begin, now) || *begin > now => *begin,
            _ => now / DAY * DAY,
        };
        let period = (begin, published.domain.clone());
        if !self.days.contains_key(&period) {
            if self.octets + OVERHEAD * 4 > self.limits.octets_max {
                self.turned_away += 1;
                return;
            }
            self.octets += OVERHEAD * 4;
            self.current.insert(published.domain.clone(), begin);
        }
        let day = self.days.entry(period).or_insert_with(Day::empty);
        let policy = Policy::from(published);
        let to: Vec<_> = published.destinations.iter().map(|one| (one.address.to_string(), one.octets_max)).collect();
        let missing = day.head.as_ref().map_or(0, |head| head.missing);
        if day.head.as_ref().is_none_or(|head| head.policy != policy || head.to != to) {
            day.head = Some(Head { policy, organization: published.organization.to_string(), to, missing });
            day.head_dirty = true;
        }
        if let Some(known) = day.rows.get_mut(row.as_str()) {
            known.count = known.count.saturating_add(1);
            known.dirty = true;
            return;
        }
        let grown = row.len() + OVERHEAD;
        if day.rows.len() >= self.limits.rows_max || self.octets + grown > self.limits.octets_max {
            if let Some(head) = &mut day.head {
                head.missing = head.missing.saturating_add(1);
                day.head_dirty = true;
            }
            return;
        }
        self.octets += grown;
        day.rows.insert(row.into(), Row { count: 1, dirty: true });
    }

    /// What is to be written since the last time.
    pub fn changes(&mut self) -> Vec<RowChange> {
        let mut changes: Vec<RowChange> = self.gone.drain(..).map(|key| RowChange { key, value: None }).collect();
        for ((begin, domain), day) in &mut self.days {
            if std::mem::take(&mut day.head_dirty)
                && let Some(value) = day.head.as_ref().and_then(|head| serde_json::to_vec(head).ok())
            {
                changes.push(RowChange { key: key(*begin, domain, None), value: Some(value) });
            }
            for (row, count) in day.rows.iter_mut().filter(|(_, count)| count.dirty) {
                count.dirty = false;
                changes.push(RowChange { key: key(*begin, domain, Some(row)), value: Some(count.count.to_be_bytes().to_vec()) });
            }
        }
        changes
    }

    /// Messages of domains that found no room at all since the last time.
    pub fn turned_away(&mut self) -> u64 {
        std::mem::take(&mut self.turned_away)
    }

    /// Each domain and when counting for it began, those with the most messages first.
    #[must_use]
    pub fn periods(&self) -> Vec<(u64, Domain)> {
        let mut all: Vec<_> =
            self.days.iter().filter(|(_, day)| !day.rows.is_empty()).map(|(of, day)| (day.messages(), of)).collect();
        all.sort_by(|(a, a_of), (b, b_of)| b.cmp(a).then(a_of.cmp(b_of)));
        all.into_iter().map(|(_, of)| of.clone()).collect()
    }

    /// What a domain published last, as far as finding out who wants its report needs it.
    #[must_use]
    pub fn published(&self, begin: u64, domain: &Domain) -> Option<Published> {
        use postern_mail::authenticity::Disposition;

        let head = self.days.get(&(begin, domain.clone()))?.head.as_ref()?;
        let one = |(address, octets_max): &(String, Option<u64>)| {
            Some(Destination { address: Mailbox::parse(address).ok()?, octets_max: *octets_max })
        };
        let none = Disposition::None;
        Some(Published {
            domain: domain.clone(),
            organization: Domain::parse(&head.organization).ok()?,
            policies: Policies { p: none, sp: none, np: none },
            strict_dkim: false,
            strict_spf: false,
            failure_options: "0",
            testing: false,
            destinations: head.to.iter().filter_map(one).collect(),
            failure_destinations: Vec::new(),
        })
    }

    /// It could not be told now: not before then again. Forgotten by a restart.
    pub fn postpone(&mut self, begin: u64, domain: &Domain, until: UnixMillis) {
        if let Some(day) = self.days.get_mut(&(begin, domain.clone())) {
            day.not_before = until.0 / 1000;
        }
    }

    /// Whether it is to be tried.
    #[must_use]
    pub fn may_try(&self, begin: u64, domain: &Domain, now: UnixMillis) -> bool {
        self.days.get(&(begin, domain.clone())).is_some_and(|day| day.not_before <= now.0 / 1000)
    }

    /// A period as it is now; it stays in the book.
    #[must_use]
    pub fn show(&self, begin: u64, domain: &Domain) -> Option<Counted> {
        let day = self.days.get(&(begin, domain.clone()))?.clone();
        Some(Counted { begin, domain: domain.clone(), day })
    }

    /// When the report of a period ends: with its day.
    #[must_use]
    pub fn end_of(begin: u64) -> u64 {
        begin / DAY * DAY + DAY - 1
    }

    /// Takes a period out, to be reported. Counting goes on in another one, also today.
    pub fn take(&mut self, begin: u64, domain: &Domain, now: UnixMillis) -> Option<Counted> {
        let day = self.days.remove(&(begin, domain.clone()))?;
        self.octets = self.octets.saturating_sub(day.octets());
        if self.current.get(domain) == Some(&begin) {
            self.current.remove(domain);
            let now = now.0 / 1000;
            if same_day(begin, now) {
                // Also after a restart, so that no two reports are of the same time.
                let after = now.max(begin) + 1;
                let head = day.head.clone().map(|head| Head { missing: 0, ..head });
                self.current.insert(domain.clone(), after);
                self.octets += OVERHEAD * 4;
                self.days.insert((after, domain.clone()), Day { head, head_dirty: true, ..Day::empty() });
            }
        }
        Some(Counted { begin, domain: domain.clone(), day })
    }

    /// It could not be reported: another time.
    pub fn put_back(&mut self, counted: Counted) {
        self.octets += counted.day.octets();
        self.days.insert((counted.begin, counted.domain), counted.day);
    }

    /// It is reported, or will never be: its rows are to be forgotten.
    pub fn forget(&mut self, counted: &Counted) {
        self.gone.push(key(counted.begin, &counted.domain, None));
        self.gone.extend(counted.day.rows.keys().map(|row| key(counted.begin, &counted.domain, Some(row))));
    }

    /// Gives up what is too old to be told, and lets go of days without messages. Returns of which domains something was given up.
    pub fn sweep(&mut self, now: UnixMillis) -> Vec<Domain> {
        let today = now.0 / 1000 / DAY;
        let over: Vec<Period> = self
            .days
            .iter()
            .filter(|((begin, _), day)| begin / DAY + if day.rows.is_empty() { 1 } else { DAYS_KEPT + 1 } <= today)
            .map(|(of, _)| of.clone())
            .collect();
        let mut given_up = Vec::new();
        for (begin, domain) in over {
            if let Some(counted) = self.take(begin, &domain, now) {
                self.forget(&counted);
                if !counted.day.rows.is_empty() {
                    given_up.push(domain);
                }
            }
        }
        given_up
    }
}

impl Counted {
    /// Messages that are in no row.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.day.head.as_ref().map_or(0, |head| head.missing)
    }

    /// Whom it is about.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The report, ending now or with its day.
    #[must_use]
    pub fn report(&self, reporter: &Reporter<'_>) -> Aggregate {
        let end = Book::end_of(self.begin).min(reporter.now.0 / 1000).max(self.begin);
        let mut records: Vec<Record> = self
            .day
            .rows
            .iter()
            .filter_map(|(row, count)| Some(Record { count: count.count, ..serde_json::from_str(row).ok()? }))
            .collect();
        records.sort_by(|a, b| b.count.cmp(&a.count).then(a.source.cmp(&b.source)).then(a.header_from.cmp(&b.header_from)));
        let missing = self.missing();
        let errors = if missing == 0 {
            Vec::new()
        } else {
            vec![format!("incomplete: {missing} more messages came that there was no room to count by rows")]
        };
        Aggregate {
            org_name: reporter.org_name.to_owned(),
            email: reporter.from.to_string(),
            extra_contact_info: None,
            report_id: reporter.report_id(self.domain.as_str(), self.begin, end),
            begin: self.begin,
            end,
            errors,
            generator: Some("postern".to_owned()),
            policy: self.day.head.as_ref().map(|head| head.policy.clone()).unwrap_or_default(),
            records,
            unread: 0,
        }
    }
}

#[cfg(test)]
mod tests;
