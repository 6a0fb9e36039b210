//! Head: when reports are sent. Promise: never before a day is over, never more than so many in a minute and in a night, and never all at the same moment.

use std::collections::HashMap;
use std::time::Duration;

use postern_mail::Domain;

/// Domains that single messages are told of in one hour.
const DOMAINS_MAX: usize = 10_000;
/// Single messages that one domain is told of in one hour.
const SINGLE_MAX: u32 = 20;
const HOUR: u64 = 3_600_000;
/// Milliseconds of a day.
const DAY: u64 = 86_400_000;
const MINUTE: u64 = 60_000;

/// As it is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Night {
    /// The hour it begins at, UTC.
    pub hour: u64,
    /// Over how long reports are spread.
    pub spread: Duration,
    /// Reports in a minute.
    pub per_minute: u32,
    /// Reports in a night.
    pub per_night: u32,
}

impl Night {
    /// When the report of a day that ends at `end` (in seconds) and a domain is sent: the same moment each time it is asked, and another for each domain.
    #[must_use]
    pub fn sends_at(&self, end: u64, domain: &str, seed: u64) -> u64 {
        let midnight = end.saturating_mul(1000).div_ceil(DAY).saturating_mul(DAY);
        let spread = u64::try_from(self.spread.as_millis()).unwrap_or(u64::MAX);
        // FNV-1a, with chance in front: nobody's name puts him anywhere in particular.
        let (seed, end) = (seed.to_le_bytes(), end.to_le_bytes());
        let hash = seed.iter().chain(domain.as_bytes()).chain(&end);
        let hash = hash.fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3));
        let jitter = if spread == 0 { 0 } else { (hash ^ (hash >> 32)) % spread };
        midnight.saturating_add(self.hour.saturating_mul(HOUR)).saturating_add(jitter)
    }
}

/// What was sent of late.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    minute: (u64, u32),
    night: (u64, u32),
}

impl Pace {
    /// Counts one more, where it may be sent now.
    pub fn take(&mut self, night: &Night, now: u64) -> bool {
        let fresh = |kept: (u64, u32), period: u64| if kept.0 == now / period { kept.1 } else { 0 };
        let (in_minute, in_night) = (fresh(self.minute, MINUTE), fresh(self.night, DAY));
        if in_minute >= night.per_minute || in_night >= night.per_night {
            return false;
        }
        self.minute = (now / MINUTE, in_minute + 1);
        self.night = (now / DAY, in_night + 1);
        true
    }
}

/// Who was told of single messages within the hour: nobody is flooded with them, and nobody uses up what others are to have.
#[derive(Clone, Debug, Default)]
pub struct Singles {
    hour: u64,
    told: HashMap<Domain, u32>,
}

impl Singles {
    /// Counts one more, where the domain may be told of it.
    pub fn take(&mut self, domain: &Domain, now: u64) -> bool {
        if self.hour != now / HOUR {
            self.hour = now / HOUR;
            self.told.clear();
        }
        if self.told.len() >= DOMAINS_MAX && !self.told.contains_key(domain) {
            return false;
        }
        let told = self.told.entry(domain.clone()).or_default();
        *told = told.saturating_add(1);
        *told <= SINGLE_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NIGHT: Night = Night { hour: 2, spread: Duration::from_secs(3600), per_minute: 2, per_night: 3 };

    #[test]
    fn a_report_is_sent_in_the_night_after_its_day_and_each_at_a_moment_of_its_own() {
        let end = 20_000 * 86_400 + 86_399;
        let two = 20_001 * DAY + 2 * 3_600_000;
        let at = |domain: &str| NIGHT.sends_at(end, domain, 7);
        let moments: std::collections::BTreeSet<u64> = (0..50).map(|n| at(&format!("d{n}.test"))).collect();
        assert!(moments.len() > 45, "{moments:?}");
        assert!(moments.iter().all(|at| (two..two + 3_600_000).contains(at)), "{moments:?}");
        assert_eq!(at("a.test"), at("a.test"));
        assert_eq!(Night { spread: Duration::ZERO, ..NIGHT }.sends_at(end, "a.test", 7), two);
    }

    #[test]
    fn a_domain_is_told_of_a_few_single_messages_an_hour_and_others_are_too() {
        let (mut singles, a) = (Singles::default(), Domain::parse("a.test").unwrap());
        assert_eq!((0..100).filter(|_| singles.take(&a, 0)).count(), 20);
        assert!(singles.take(&Domain::parse("b.test").unwrap(), 0));
        assert!(singles.take(&a, HOUR));
        let many = (0..20_000).filter(|n| singles.take(&Domain::parse(&format!("d{n}.test")).unwrap(), HOUR)).count();
        assert_eq!(many, 9_999, "what is remembered has an end");
    }

    #[test]
    fn no_more_go_out_than_a_minute_and_a_night_may_have() {
        let mut pace = Pace::default();
        let sent = |pace: &mut Pace, now| (0..10).filter(|_| pace.take(&NIGHT, now)).count();
        assert_eq!(sent(&mut pace, 0), 2);
        assert_eq!(sent(&mut pace, MINUTE), 1, "three in the night");
        assert_eq!(sent(&mut pace, 2 * MINUTE), 0);
        assert_eq!(sent(&mut pace, DAY), 2);
    }
}
