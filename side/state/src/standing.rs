//! Head: what is decided and known of an account or a credential beyond what proves it: its scope, whether it is in use, from where.
//! Promise: a row without any of this, as older versions wrote it, reads as "no restriction, nothing known"; and what is kept of the
//! places a credential was used from is coarse (a network, an hour) and bounded.

use postern_mail::client::ListenerKind;
use postern_mail::envelope::UnixMillis;
use postern_mail::netset::Network;
use postern_mail::scope::{AccountScope, Addresses, Quota};
use serde::{Deserialize, Serialize};

/// Places remembered of one credential; the one that was not seen for longest is forgotten first.
pub const PLACES_MAX: usize = 16;
const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// Where a credential was good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// A network such as `192.0.2.0/24`; later also a country, from a database.
    pub place: String,
    /// Milliseconds since 1970, to the hour.
    pub first: u64,
    /// Milliseconds since 1970, to the hour.
    pub last: u64,
}

/// What is decided and known of a credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// What it may do; within what its account may.
    pub scope: AccountScope,
    /// Since when it is refused because nobody used it.
    pub disabled: Option<UnixMillis>,
    /// When notice was given that it will be.
    pub noticed: Option<UnixMillis>,
    /// When that was last taken back.
    pub enabled: Option<UnixMillis>,
    /// Where it was good.
    pub places: Vec<Place>,
    /// Where it was last right, and its scope refused it.
    pub strayed: Option<Place>,
}

/// To the hour.
fn coarse(now: UnixMillis) -> u64 {
    now.0 - now.0 % HOUR
}

impl Standing {
    /// Remembers that it was right where its scope refuses it. True when that is news: at most once an hour, from however many places it comes,
    /// since whoever has the password chooses them, and each is written down and told.
    pub fn stray(&mut self, now: UnixMillis, place: &str) -> bool {
        let at = coarse(now);
        match &mut self.strayed {
            Some(seen) if seen.last == at => false,
            Some(seen) if seen.place == place => {
                seen.last = at;
                true
            }
            other => {
                *other = Some(Place { place: place.to_owned(), first: at, last: at });
                true
            }
        }
    }

    /// True when this place is not known to have been seen within the hour.
    #[must_use]
    pub fn is_news(&self, now: UnixMillis, place: &str) -> bool {
        self.places.iter().find(|seen| seen.place == place).is_none_or(|seen| now.0.saturating_sub(seen.last) >= HOUR)
    }

    /// Remembers a place. True when it is new, and now more new ones were seen within a day than `new_max` and than were known before:
    /// said once for each new place from then on.
    pub fn note(&mut self, now: UnixMillis, place: &str, new_max: u32) -> bool {
        if let Some(seen) = self.places.iter_mut().find(|seen| seen.place == place) {
            seen.last = coarse(now);
            return false;
        }
        if self.places.len() >= PLACES_MAX
            && let Some(oldest) = self.places.iter().enumerate().min_by_key(|(_, seen)| seen.last).map(|(at, _)| at)
        {
            self.places.remove(oldest);
        }
        self.places.push(Place { place: place.to_owned(), first: coarse(now), last: coarse(now) });
        self.is_unusual(now, new_max)
    }

    /// True when more places were new within the last day than `new_max` and than were known before.
    #[must_use]
    pub fn is_unusual(&self, now: UnixMillis, new_max: u32) -> bool {
        let new = self.places.iter().filter(|seen| now.0.saturating_sub(seen.first) < DAY).count();
        new > usize::try_from(new_max).unwrap_or(usize::MAX) && new > self.places.len() - new
    }
}

/// A scope as it is kept, and as it is shown to programs. It only grows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScopeRow {
    /// Kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listeners: Option<Vec<String>>,
    /// CIDR.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub networks: Option<Vec<String>>,
    /// Addresses and domains.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub senders: Option<Vec<String>>,
    /// Addresses and domains.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipients: Option<Vec<String>>,
    /// A count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages_per_hour: Option<u32>,
    /// A count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages_per_day: Option<u32>,
    /// A count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipients_per_hour: Option<u32>,
    /// A count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipients_per_day: Option<u32>,
    /// Octets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_size: Option<u64>,
    /// Milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<u64>,
    /// Milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<u64>,
}

fn texts<T: ToString>(list: Option<&Vec<T>>) -> Option<Vec<String>> {
    list.map(|list| list.iter().map(ToString::to_string).collect())
}

fn parsed<T>(list: Option<Vec<String>>, parse: impl Fn(&str) -> Option<T>) -> Result<Option<Vec<T>>, String> {
    let read = |text: String| parse(&text).ok_or_else(|| format!("a scope does not read: {text:?}"));
    list.map(|list| list.into_iter().map(read).collect()).transpose()
}

impl ScopeRow {
    /// As it is kept.
    #[must_use]
    pub fn of(scope: &AccountScope) -> Self {
        Self {
            listeners: texts(scope.listeners.as_ref()),
            networks: texts(scope.networks.as_ref()),
            senders: texts(scope.senders.as_ref()),
            recipients: texts(scope.recipients.as_ref()),
            messages_per_hour: scope.quota.messages_per_hour,
            messages_per_day: scope.quota.messages_per_day,
            recipients_per_hour: scope.quota.recipients_per_hour,
            recipients_per_day: scope.quota.recipients_per_day,
            message_size: scope.message_bytes_max,
            valid_from: scope.valid_from.map(|at| at.0),
            valid_until: scope.valid_until.map(|at| at.0),
        }
    }

    /// Back to a scope.
    ///
    /// # Errors
    /// What does not read. A part that is not understood must not be taken for one that does not restrict.
    pub fn read(self) -> Result<AccountScope, String> {
        Ok(AccountScope {
            listeners: parsed(self.listeners, |name| ListenerKind::parse(name).ok())?,
            networks: parsed(self.networks, |text| Network::parse(text).ok())?,
            senders: parsed(self.senders, Addresses::parse)?,
            recipients: parsed(self.recipients, Addresses::parse)?,
            quota: Quota {
                messages_per_hour: self.messages_per_hour,
                messages_per_day: self.messages_per_day,
                recipients_per_hour: self.recipients_per_hour,
                recipients_per_day: self.recipients_per_day,
            },
            message_bytes_max: self.message_size,
            valid_from: self.valid_from.map(UnixMillis),
            valid_until: self.valid_until.map(UnixMillis),
        })
    }
}

/// A standing as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StandingRow {
    scope: ScopeRow,
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    noticed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    places: Vec<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strayed: Option<Place>,
}

impl StandingRow {
    pub(crate) fn of(standing: &Standing) -> Self {
        Self {
            scope: ScopeRow::of(&standing.scope),
            disabled: standing.disabled.map(|at| at.0),
            noticed: standing.noticed.map(|at| at.0),
            enabled: standing.enabled.map(|at| at.0),
            places: standing.places.clone(),
            strayed: standing.strayed.clone(),
        }
    }

    pub(crate) fn read(self) -> Result<Standing, String> {
        Ok(Standing {
            scope: self.scope.read()?,
            disabled: self.disabled.map(UnixMillis),
            noticed: self.noticed.map(UnixMillis),
            enabled: self.enabled.map(UnixMillis),
            places: self.places,
            strayed: self.strayed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_reads_back_and_one_that_does_not_read_is_an_error() {
        let row = ScopeRow {
            listeners: Some(vec!["submission".into()]),
            networks: Some(vec!["192.0.2.0/24".into()]),
            senders: Some(vec!["a@b.example".into(), "*.c.example".into()]),
            messages_per_hour: Some(5),
            valid_until: Some(9),
            ..ScopeRow::default()
        };
        assert_eq!(ScopeRow::of(&row.clone().read().unwrap()), row);
        assert!(ScopeRow { networks: Some(vec!["everywhere".into()]), ..ScopeRow::default() }.read().is_err());
        assert!(ScopeRow { listeners: Some(vec!["imap".into()]), ..ScopeRow::default() }.read().is_err());
    }

    #[test]
    fn what_is_kept_of_places_is_no_finer_than_an_hour() {
        let mut standing = Standing::default();
        let now = UnixMillis(10 * DAY + 3 * HOUR + 1_234_567);
        standing.note(now, "192.0.2.0/24", 3);
        assert!(standing.stray(now, "198.51.100.0/24") && !standing.stray(UnixMillis(now.0 + 1), "198.51.100.0/24"));
        assert!(standing.stray(UnixMillis(now.0 + HOUR), "198.51.100.0/24"));
        standing.note(UnixMillis(now.0 + 2 * HOUR), "192.0.2.0/24", 3);
        for place in standing.places.iter().chain(&standing.strayed) {
            assert_eq!((place.first % HOUR, place.last % HOUR), (0, 0), "{place:?}");
        }
        assert_eq!(StandingRow::of(&standing).read().unwrap(), standing);
    }

    #[test]
    fn out_of_its_scope_from_two_places_by_turns_is_news_once_an_hour() {
        let mut standing = Standing::default();
        let turn = |standing: &mut Standing, n: u64, place: &str| standing.stray(UnixMillis(10 * DAY + n * 60_000), place);
        let news = (0..120).filter(|n| {
            let place = if n % 2 == 0 { "198.51.100.0/24" } else { "203.0.113.0/24" };
            turn(&mut standing, *n, place)
        });
        assert_eq!(news.collect::<Vec<_>>(), [0, 60]);
    }

    #[test]
    fn more_new_networks_in_a_day_than_were_known_are_unusual_and_what_is_kept_is_bounded() {
        let mut standing = Standing::default();
        let later = UnixMillis(10 * DAY);
        for known in 0..4 {
            standing.note(UnixMillis(known), &format!("192.0.{known}.0/24"), 3);
        }
        let said: Vec<bool> = (10..16).map(|n| standing.note(later, &format!("192.0.{n}.0/24"), 3)).collect();
        assert_eq!(said, [false, false, false, false, true, true], "more than three, and more than the four known before");
        assert!(!standing.note(later, "192.0.15.0/24", 3), "one that is known is no news");
        for many in 0..1000 {
            standing.note(UnixMillis(later.0 + many), &format!("198.51.{many}.0/24"), 3);
        }
        assert_eq!(standing.places.len(), PLACES_MAX);
        assert!(standing.is_unusual(later, 3) && !standing.is_unusual(UnixMillis(later.0 + 2 * DAY), 3));
    }
}
