//! Head: what DNS answered, for as long as it may be remembered (RFC 1035 §3.2.1, RFC 2308 §5). Promise: never more than the given
//! number of answers, and none after its time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use hickory_resolver::proto::rr::{RData, RecordType};
use postern_mail::Domain;

/// What a name server said about a name and a type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// At least one record.
    Records(Vec<RData>),
    /// The name exists, without a record of this type.
    NoData,
    /// The name does not exist (NXDOMAIN).
    NoSuchName,
}

type Key = (Domain, RecordType);

struct Entry<T> {
    answer: T,
    until: Instant,
}

/// Two generations: when the young one is half of what is allowed it becomes the old one, and the old one is forgotten. That bounds the
/// whole without a list of who was used last, and what is asked often moves back into the young one.
pub(crate) struct Cache<T> {
    young: HashMap<Key, Entry<T>>,
    old: HashMap<Key, Entry<T>>,
    entries_max: usize,
}

impl<T: Clone> Cache<T> {
    pub(crate) fn new(entries_max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), entries_max }
    }

    /// What is remembered, if its time has not come.
    pub(crate) fn find(&mut self, now: Instant, name: &Domain, kind: RecordType) -> Option<T> {
        let key = (name.clone(), kind);
        if let Some(entry) = self.young.get(&key) {
            return (now < entry.until).then(|| entry.answer.clone());
        }
        let entry = self.old.remove(&key).filter(|entry| now < entry.until)?;
        let answer = entry.answer.clone();
        self.insert(key, entry);
        Some(answer)
    }

    /// Remembers an answer for `time_to_live`; zero means not at all (RFC 1035 §3.2.1).
    pub(crate) fn keep(&mut self, now: Instant, name: Domain, kind: RecordType, answer: T, time_to_live: Duration) {
        if let Some(until) = now.checked_add(time_to_live).filter(|until| *until > now) {
            self.insert((name, kind), Entry { answer, until });
        }
    }

    fn insert(&mut self, key: Key, entry: Entry<T>) {
        if self.young.len() >= self.entries_max / 2 && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        if self.entries_max > 1 {
            self.young.insert(key, entry);
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    #[expect(clippy::disallowed_methods, reason = "any instant serves as the start of a test")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn an_answer_is_remembered_to_the_end_of_its_time_and_no_longer() {
        let (now, mut cache) = (start(), Cache::new(10));
        cache.keep(now, name("a.test"), RecordType::A, Answer::NoData, Duration::from_secs(1));
        let almost = now + Duration::from_millis(999);
        assert_eq!(cache.find(almost, &name("a.test"), RecordType::A), Some(Answer::NoData));
        assert_eq!(cache.find(almost, &name("a.test"), RecordType::AAAA), None, "another type is another question");
        assert_eq!(cache.find(now + Duration::from_secs(1), &name("a.test"), RecordType::A), None);
    }

    #[test]
    fn a_time_to_live_of_zero_is_not_remembered() {
        let (now, mut cache) = (start(), Cache::new(10));
        cache.keep(now, name("a.test"), RecordType::A, Answer::NoData, Duration::ZERO);
        assert_eq!(cache.find(now, &name("a.test"), RecordType::A), None);
    }

    #[test]
    fn never_more_answers_than_allowed_and_the_used_one_stays() {
        let (now, mut cache) = (start(), Cache::new(10));
        let day = Duration::from_secs(86_400);
        cache.keep(now, name("used.test"), RecordType::A, Answer::NoSuchName, day);
        for number in 0..1_000 {
            cache.keep(now, name(&format!("n{number}.test")), RecordType::A, Answer::NoData, day);
            assert!(cache.len() <= 10, "{} answers", cache.len());
            assert_eq!(cache.find(now, &name("used.test"), RecordType::A), Some(Answer::NoSuchName));
        }
    }
}
