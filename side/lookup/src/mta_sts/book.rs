//! Head: policies that are known, for how long, and when they are asked for again. Promise: a policy that holds is never lost because a new one cannot
//! be had, and what is remembered is bounded.

use std::collections::HashMap;
use std::time::Duration;

use postern_mail::Domain;
use postern_mail::envelope::UnixMillis;

use super::{Mode, StsFault, StsPolicy};

/// RFC 8461 §3.3: after a failure nobody is asked again for at least five minutes.
const AGAIN_AFTER: Duration = Duration::from_secs(300);
/// RFC 8461 §3.3, §10.2: a policy is looked at again each day, so that nobody who shuts us off for as long as mail is rare can outlast it.
const REFRESH_AFTER: Duration = Duration::from_secs(86_400);
/// The longest text of a policy is 64 KiB; of most it is 200 octets.
const TEXT_MAX: usize = 64 * 1024;

#[derive(Clone, Debug)]
struct Held {
    id: Box<str>,
    policy: StsPolicy,
    /// Until when it holds.
    until: UnixMillis,
    /// When it was last known to be the domain's.
    seen: UnixMillis,
}

/// What to do about a domain.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Go by this, or by none.
    Use(Option<StsPolicy>),
    /// A policy could not be had of late; there is none, for this reason.
    Failed(StsFault),
    /// Ask for the policy of this id.
    Fetch(Box<str>),
}

/// The policies that are known.
#[derive(Debug)]
pub struct Book {
    held: HashMap<Domain, Held>,
    failed: HashMap<Domain, (Box<str>, UnixMillis, StsFault)>,
    entries_max: usize,
    octets: usize,
    octets_max: usize,
    max_age_max: Duration,
    changed: Vec<(Domain, Option<Vec<u8>>)>,
}

impl Book {
    /// One with nothing in it, for so many policies of `max_age_max` at most.
    #[must_use]
    pub fn new(entries_max: usize, max_age_max: Duration) -> Self {
        let octets_max = entries_max.saturating_mul(1024).max(TEXT_MAX);
        let (held, failed, changed) = (HashMap::new(), HashMap::new(), Vec::new());
        Self { held, failed, entries_max, octets: 0, octets_max, max_age_max, changed }
    }

    /// What to do, when a domain's record has this id; `None`: it has no record, or the record cannot be had.
    pub fn next(&mut self, now: UnixMillis, domain: &Domain, id: Option<&str>) -> Next {
        let held = self.held.get_mut(domain).filter(|held| now < held.until);
        let Some(id) = id else {
            // RFC 8461 §3.1, §5.1: a policy that holds goes on holding when its record is gone.
            return Next::Use(held.map(|held| held.policy.clone()));
        };
        if let Some(held) = &held
            && *held.id == *id
        {
            return Next::Use(Some(held.policy.clone()));
        }
        if let Some((failed, at, fault)) = self.failed.get(domain)
            && **failed == *id
            && now < at.plus(AGAIN_AFTER)
        {
            return held.map_or_else(|| Next::Failed(fault.clone()), |held| Next::Use(Some(held.policy.clone())));
        }
        Next::Fetch(id.into())
    }

    /// What came of asking; gives what holds from now on.
    pub fn fetched(&mut self, now: UnixMillis, domain: &Domain, id: &str, came: Result<StsPolicy, StsFault>) -> Next {
        match came {
            Ok(policy) => {
                self.failed.remove(domain);
                self.keep(
                    domain.clone(),
                    Held { id: id.into(), until: self.until(now, &policy), seen: now, policy: policy.clone() },
                );
                Next::Use(Some(policy))
            }
            Err(fault) => {
                if self.failed.len() >= self.entries_max {
                    self.failed.retain(|_, (_, at, _)| now < at.plus(AGAIN_AFTER));
                }
                if self.failed.len() < self.entries_max {
                    self.failed.insert(domain.clone(), (id.into(), now, fault.clone()));
                }
                let held = self.held.get(domain).filter(|held| now < held.until);
                held.map_or(Next::Failed(fault), |held| Next::Use(Some(held.policy.clone())))
            }
        }
    }

    fn until(&self, now: UnixMillis, policy: &StsPolicy) -> UnixMillis {
        now.plus(policy.max_age.min(self.max_age_max))
    }

    /// Policies that are to be looked at again, with what was their id. `none` needs no second look: it forbids nothing.
    pub fn stale(&mut self, now: UnixMillis) -> Vec<Domain> {
        let over: Vec<Domain> =
            self.held.iter().filter(|(_, held)| now >= held.until).map(|(domain, _)| domain.clone()).collect();
        over.into_iter().for_each(|domain| self.forget(&domain));
        let is_old =
            |held: &Held| held.policy.mode != Mode::None && now >= held.seen.plus(REFRESH_AFTER.min(held.policy.max_age / 2));
        self.held.iter().filter(|(_, held)| is_old(held)).map(|(domain, _)| domain.clone()).collect()
    }

    fn forget(&mut self, domain: &Domain) {
        if let Some(gone) = self.held.remove(domain) {
            self.octets -= gone.policy.text.len();
            self.changed.push((domain.clone(), None));
        }
    }

    fn keep(&mut self, domain: Domain, held: Held) {
        let new = held.policy.text.len();
        let old = self.held.get(&domain).map_or(0, |old| old.policy.text.len());
        let fits = |book: &Self| {
            (book.held.len() < book.entries_max || book.held.contains_key(&domain)) && book.octets - old + new <= book.octets_max
        };
        while !fits(self) {
            // What ends first is missed least.
            let first = self.held.iter().filter(|(other, _)| **other != domain).min_by_key(|(_, held)| held.until);
            let Some(first) = first.map(|(domain, _)| domain.clone()) else { return };
            self.forget(&first);
        }
        self.octets = self.octets - old + new;
        self.changed.push((domain.clone(), Some(held.row())));
        self.held.insert(domain, held);
    }

    /// What changed since it was asked last, to be written: no row where something was forgotten.
    pub fn changes(&mut self) -> Vec<(Domain, Option<Vec<u8>>)> {
        std::mem::take(&mut self.changed)
    }

    /// Takes up a row that was written.
    ///
    /// # Errors
    /// In words, where it does not read.
    pub fn load(&mut self, domain: Domain, row: &[u8]) -> Result<(), String> {
        let held = Held::read(row).ok_or("its row does not read")?;
        self.keep(domain, held);
        // It is written already; the row of one that found no room is not gone yet.
        self.changed.retain(|(_, row)| row.is_none());
        Ok(())
    }

    /// The policy that was held last, to be told of.
    #[must_use]
    pub fn words(&self, domain: &Domain) -> Option<&StsPolicy> {
        self.held.get(domain).map(|held| &held.policy)
    }

    /// How many are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

impl Held {
    fn row(&self) -> Vec<u8> {
        format!("{} {} {}\n{}", self.until.0, self.seen.0, self.id, self.policy.text).into_bytes()
    }

    fn read(row: &[u8]) -> Option<Self> {
        let (first, text) = std::str::from_utf8(row).ok()?.split_once('\n')?;
        let mut words = first.split(' ');
        let mut time = || words.next()?.parse().ok().map(UnixMillis);
        let (until, seen) = (time()?, time()?);
        Some(Self { until, seen, id: words.next()?.into(), policy: StsPolicy::read(text).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use postern_mail::TlsFailure;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    fn policy(days: u64) -> StsPolicy {
        StsPolicy::read(&format!("version: STSv1\nmode: enforce\nmx: mx.a.test\nmax_age: {}\n", days * 86_400)).unwrap()
    }

    fn fault() -> StsFault {
        StsFault { failure: TlsFailure::PolicyFetch, why: "nobody there".into() }
    }

    fn at(days: u64) -> UnixMillis {
        UnixMillis(days * 86_400_000)
    }

    fn book() -> Book {
        Book::new(3, 30 * DAY)
    }

    #[test]
    fn a_policy_is_asked_for_when_its_id_is_new_and_used_until_then() {
        let (mut book, a) = (book(), domain("a.test"));
        assert_eq!(book.next(at(0), &a, None), Next::Use(None));
        assert_eq!(book.next(at(0), &a, Some("1")), Next::Fetch("1".into()));
        assert_eq!(book.fetched(at(0), &a, "1", Ok(policy(10))), Next::Use(Some(policy(10))));
        assert_eq!(book.next(at(1), &a, Some("1")), Next::Use(Some(policy(10))));
        assert_eq!(book.next(at(1), &a, Some("2")), Next::Fetch("2".into()));
    }

    #[test]
    fn what_holds_goes_on_holding_when_the_record_is_gone_or_the_new_policy_cannot_be_had() {
        let (mut book, a) = (book(), domain("a.test"));
        book.fetched(at(0), &a, "1", Ok(policy(10)));
        assert_eq!(book.next(at(9), &a, None), Next::Use(Some(policy(10))));
        assert_eq!(book.fetched(at(9), &a, "2", Err(fault())), Next::Use(Some(policy(10))));
        assert_eq!(book.next(at(9), &a, Some("2")), Next::Use(Some(policy(10))), "not asked again at once");
        assert_eq!(book.next(at(9).plus(AGAIN_AFTER), &a, Some("2")), Next::Fetch("2".into()));
        assert_eq!(book.next(at(10), &a, None), Next::Use(None), "and ends when its time is over");
    }

    #[test]
    fn without_an_old_policy_a_failure_is_none_and_said() {
        let (mut book, a) = (book(), domain("a.test"));
        assert_eq!(book.fetched(at(0), &a, "1", Err(fault())), Next::Failed(fault()));
        assert_eq!(book.next(at(0), &a, Some("1")), Next::Failed(fault()));
        assert_eq!(book.next(at(0), &a, Some("2")), Next::Fetch("2".into()), "a new id is a new try");
    }

    #[test]
    fn no_policy_holds_longer_than_the_ceiling() {
        let (mut book, a) = (book(), domain("a.test"));
        book.fetched(at(0), &a, "1", Ok(policy(300)));
        assert_eq!(book.next(at(29), &a, None), Next::Use(Some(policy(300))));
        assert_eq!(book.next(at(30), &a, None), Next::Use(None));
    }

    #[test]
    fn policies_are_looked_at_again_each_day_and_before_they_end() {
        let (mut book, a) = (book(), domain("a.test"));
        book.fetched(at(0), &a, "1", Ok(policy(10)));
        book.fetched(at(0), &domain("b.test"), "1", Ok(policy(1)));
        assert!(book.stale(UnixMillis(1)).is_empty());
        assert_eq!(book.stale(UnixMillis(43_200_000)), [domain("b.test")], "half of a day is over");
        assert_eq!(book.stale(at(1)), [a]);
        assert_eq!(book.len(), 1, "what is over is forgotten");
    }

    #[test]
    fn rows_bring_back_what_was_known_and_the_number_is_bounded() {
        let mut first = book();
        for (name, days) in [("a.test", 10), ("b.test", 2), ("c.test", 9), ("d.test", 8)] {
            first.fetched(at(0), &domain(name), "1", Ok(policy(days)));
        }
        assert_eq!(first.len(), 3, "what ends first is gone");
        assert_eq!(first.next(at(0), &domain("b.test"), None), Next::Use(None));
        let mut second = book();
        for (domain, row) in first.changes() {
            if let Some(row) = row {
                second.load(domain, &row).unwrap();
            }
        }
        assert_eq!(second.next(at(9), &domain("a.test"), Some("1")), Next::Use(Some(policy(10))));
        assert!(second.load(domain("x.test"), b"garbage").is_err());
        assert_eq!(
            second.changes(),
            [(domain("b.test"), None)],
            "the row of one that found no room goes, and no other is written again"
        );
    }
}
