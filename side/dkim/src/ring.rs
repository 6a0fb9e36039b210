//! Head: the keys of one domain, and which of them signs. Promise: there is never more than one pair that signs, none takes over before its records were seen, and
//! one that took its turn is remembered until nobody can need its records any more.

use serde::{Deserialize, Serialize};

/// Two keys, one of each algorithm, that take turns together. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// What its selectors begin with.
    pub name: String,
    /// The public halves, in the order of [`Algorithm::BOTH`](crate::Algorithm::BOTH): what is published is known without the private ones.
    pub public: Vec<String>,
    /// When it was made.
    pub made: u64,
    /// When both records were first seen.
    #[serde(default)]
    pub seen: Option<u64>,
    /// Since when it signs, or did.
    #[serde(default)]
    pub signs_since: Option<u64>,
    /// When another one took over.
    #[serde(default)]
    pub retired: Option<u64>,
}

/// Where a pair stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits for its records to be published.
    Made,
    /// It signs, though nobody can verify it: the first of a domain, whose records have not been seen yet.
    SigningUnseen,
    /// It signs.
    Signing,
    /// It does not sign any more, and its records are still needed for what it signed.
    Retired,
    /// Its records can go.
    Over,
}

impl State {
    /// In a word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::SigningUnseen => "signing, not published",
            Self::Signing => "signing",
            Self::Retired => "retired",
            Self::Over => "over",
        }
    }
}

/// The pairs of a domain, in the order in which they were made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ring {
    /// See above.
    pub pairs: Vec<Pair>,
}

impl Ring {
    /// A name for the next pair: the prefix and the day, such as `p20261124`, with a letter where there is one of that day.
    #[must_use]
    pub fn name_for(&self, prefix: &str, day: &str) -> String {
        let is_taken = |name: &str| self.pairs.iter().any(|pair| pair.name == name);
        let plain = format!("{prefix}{day}");
        // The last letters are the algorithms'.
        let more = ('a'..='z').filter(|letter| !matches!(letter, 'e' | 'r')).map(|letter| format!("{plain}{letter}"));
        std::iter::once(plain.clone())
            .chain(more)
            .find(|name| !is_taken(name))
            .unwrap_or_else(|| format!("{plain}{}", self.pairs.len()))
    }

    /// One more. The first signs at once: mail that nobody can verify is worth no less than mail without a signature (RFC 6376 §6.1), and nothing else could sign.
    pub fn add(&mut self, name: String, public: Vec<String>, now: u64) {
        let signs_since = self.pairs.is_empty().then_some(now);
        self.pairs.push(Pair { name, public, made: now, seen: None, signs_since, retired: None });
    }

    /// The pair that signs.
    #[must_use]
    pub fn signing(&self) -> Option<&Pair> {
        self.pairs.iter().find(|pair| pair.signs_since.is_some() && pair.retired.is_none())
    }

    /// The pair that is to sign once its records are seen.
    #[must_use]
    pub fn next(&self) -> Option<&Pair> {
        self.pairs.iter().find(|pair| pair.signs_since.is_none() && pair.retired.is_none())
    }

    /// Both records of a pair were seen. True when it takes over by that.
    pub fn seen(&mut self, name: &str, now: u64) -> bool {
        let Some(pair) = self.pairs.iter_mut().find(|pair| pair.name == name) else { return false };
        pair.seen.get_or_insert(now);
        self.next().is_some_and(|next| next.name == name) && self.take_over(now)
    }

    /// The next pair signs from now on, whether its records were seen or not. False: there is none.
    pub fn take_over(&mut self, now: u64) -> bool {
        let Some(next) = self.next().map(|next| next.name.clone()) else { return false };
        for pair in &mut self.pairs {
            if pair.name == next {
                pair.signs_since = Some(now);
            } else if pair.signs_since.is_some() {
                pair.retired.get_or_insert(now);
            }
        }
        true
    }

    /// It is time for a new pair. Zero: that is for a person to say.
    #[must_use]
    pub fn is_due(&self, now: u64, rotate_after: u64) -> bool {
        let signs_since = self.signing().and_then(|pair| pair.signs_since);
        rotate_after > 0 && self.next().is_none() && signs_since.is_some_and(|since| since.saturating_add(rotate_after) <= now)
    }

    /// Where a pair stands.
    #[must_use]
    pub fn state(pair: &Pair, now: u64, overlap: u64) -> State {
        match pair {
            Pair { retired: Some(retired), .. } if retired.saturating_add(overlap) <= now => State::Over,
            Pair { retired: Some(_), .. } => State::Retired,
            Pair { signs_since: None, .. } => State::Made,
            Pair { seen: None, .. } => State::SigningUnseen,
            Pair { .. } => State::Signing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400_000;

    fn states(ring: &Ring, now: u64) -> Vec<State> {
        ring.pairs.iter().map(|pair| Ring::state(pair, now, 7 * DAY)).collect()
    }

    #[test]
    fn a_pair_takes_over_when_it_was_seen_and_the_one_before_it_is_kept_for_the_overlap() {
        let mut ring = Ring::default();
        assert!(ring.signing().is_none() && !ring.is_due(DAY, 1));
        ring.add("p1".to_owned(), Vec::new(), 0);
        assert_eq!(states(&ring, 0), [State::SigningUnseen]);
        assert!(!ring.seen("p1", 5), "it signs already");
        assert_eq!(states(&ring, 5), [State::Signing]);
        ring.add("p2".to_owned(), Vec::new(), DAY);
        assert_eq!(ring.signing().unwrap().name, "p1");
        assert!(!ring.seen("p1", 2 * DAY), "that says nothing of the next");
        assert_eq!(states(&ring, 2 * DAY), [State::Signing, State::Made]);
        assert!(ring.seen("p2", 3 * DAY));
        assert!(!ring.seen("p2", 4 * DAY), "once");
        assert_eq!(ring.signing().unwrap().name, "p2");
        assert_eq!(states(&ring, 10 * DAY - 1), [State::Retired, State::Signing]);
        assert_eq!(states(&ring, 10 * DAY), [State::Over, State::Signing]);
        assert!(!ring.seen("p1", 11 * DAY), "what has had its turn has no other");
        assert_eq!(ring.pairs.iter().filter(|pair| pair.signs_since.is_some() && pair.retired.is_none()).count(), 1);
    }

    #[test]
    fn a_new_pair_is_due_by_the_age_of_the_one_that_signs_and_once() {
        let mut ring = Ring::default();
        ring.add("p1".to_owned(), Vec::new(), DAY);
        assert!(!ring.is_due(100 * DAY, 0));
        assert!(!ring.is_due(91 * DAY - 1, 90 * DAY) && ring.is_due(91 * DAY, 90 * DAY));
        ring.add("p2".to_owned(), Vec::new(), 91 * DAY);
        assert!(!ring.is_due(200 * DAY, 90 * DAY), "one waits already");
        assert!(ring.take_over(200 * DAY) && !ring.take_over(200 * DAY));
        assert!(!ring.is_due(201 * DAY, 90 * DAY));
    }

    #[test]
    fn names_are_not_used_twice() {
        let mut ring = Ring::default();
        let mut names = Vec::new();
        for _ in 0..40 {
            let name = ring.name_for("p", "20261124");
            ring.add(name.clone(), Vec::new(), 0);
            names.push(name);
        }
        assert_eq!(names.first().map(String::as_str), Some("p20261124"));
        assert_eq!(names.get(1).map(String::as_str), Some("p20261124a"));
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 40);
    }
}
