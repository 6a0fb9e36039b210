//! Head: when a certificate is asked for. Promise: a certificate is renewed well before it ends; however often the server is started or fails, no more orders
//! are made in a day than it may make, and one that fails is not followed by another at once.

use std::time::Duration;

use postern_mail::envelope::UnixMillis;
use serde::{Deserialize, Serialize};

const DAY: Duration = Duration::from_secs(86_400);
/// After the first failure; doubled with each.
const PAUSE_FIRST: Duration = Duration::from_secs(600);
/// At most.
const PAUSE_LONGEST: Duration = Duration::from_secs(12 * 3_600);

/// How long a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// From then.
    pub from: UnixMillis,
    /// Until then.
    pub until: UnixMillis,
}

/// When to renew. Where the authority suggests a window (RFC 9773 §4.2), a moment within it by `chance`, so that not all its customers come at once; and never
/// later than after two thirds of its life and a little, by `chance` too.
#[must_use]
pub fn renew_at(life: Lifetime, window: Option<Lifetime>, chance: u16) -> UnixMillis {
    let share = |length: u64| (u128::from(length) * u128::from(chance) / 65_536).try_into().unwrap_or(length);
    let length = life.until.0.saturating_sub(life.from.0);
    let own = life.from.0.saturating_add(length / 3 * 2).saturating_add(share(length / 30));
    let suggested = window.map(|window| window.from.0.saturating_add(share(window.until.0.saturating_sub(window.from.0))));
    UnixMillis(suggested.map_or(own, |suggested| suggested.min(own)))
}

/// Orders of late. Kept over restarts: a server that is started again and again asks no more often.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tries {
    /// When orders of the last day began.
    begun: Vec<u64>,
    /// How many have failed since the last that did not.
    failures: u32,
}

impl Tries {
    /// An order is not to begin before this.
    #[must_use]
    pub fn not_before(&self, now: UnixMillis, orders_per_day: usize, chance: u16) -> UnixMillis {
        let day = u64::try_from(DAY.as_millis()).unwrap_or(u64::MAX);
        let mut begun: Vec<u64> = self.begun.iter().copied().filter(|begun| begun.saturating_add(day) > now.0).collect();
        begun.sort_unstable();
        let by_day = begun
            .len()
            .checked_sub(orders_per_day.max(1))
            .and_then(|over| begun.get(over))
            .map(|begun| begun.saturating_add(day));
        let by_failure = self.failures.checked_sub(1).and_then(|doublings| {
            let pause = PAUSE_FIRST.saturating_mul(2_u32.saturating_pow(doublings)).min(PAUSE_LONGEST);
            let pause = pause + pause.mul_f64(f64::from(chance) / 65_536.0 / 5.0);
            self.begun.iter().max().map(|last| UnixMillis(*last).plus(pause).0)
        });
        UnixMillis(by_day.max(by_failure).unwrap_or(0))
    }

    /// An order begins; taken for a failure until it turns out otherwise, so that a crash counts.
    pub fn begin(&mut self, now: UnixMillis) {
        let day = u64::try_from(DAY.as_millis()).unwrap_or(u64::MAX);
        self.begun.retain(|begun| begun.saturating_add(day) > now.0 && *begun <= now.0);
        self.begun.push(now.0);
        self.failures = self.failures.saturating_add(1);
    }

    /// It was good.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_of_its_life_or_when_the_authority_says_earlier() {
        let life = Lifetime { from: UnixMillis(0), until: UnixMillis(90 * 24 * HOUR) };
        assert_eq!(renew_at(life, None, 0), UnixMillis(60 * 24 * HOUR));
        let latest = renew_at(life, None, u16::MAX);
        assert!(latest > UnixMillis(62 * 24 * HOUR) && latest < UnixMillis(63 * 24 * HOUR), "{latest:?}");
        let window = Lifetime { from: UnixMillis(10 * HOUR), until: UnixMillis(20 * HOUR) };
        assert_eq!(renew_at(life, Some(window), 32_768), UnixMillis(15 * HOUR));
        let late = Lifetime { from: UnixMillis(89 * 24 * HOUR), until: UnixMillis(90 * 24 * HOUR) };
        assert_eq!(renew_at(life, Some(late), 0), UnixMillis(60 * 24 * HOUR), "no authority makes it too late");
    }

    #[test]
    fn a_failure_is_waited_after_ever_longer_and_a_day_has_only_so_many_orders() {
        let mut tries = Tries::default();
        assert_eq!(tries.not_before(UnixMillis(HOUR), 3, 0), UnixMillis(0));
        let mut now = UnixMillis(HOUR);
        let mut waits = Vec::new();
        for _ in 0..20 {
            tries.begin(now);
            let next = tries.not_before(now, 1_000, 0);
            waits.push((next.0 - now.0) / 60_000);
            now = next;
        }
        assert_eq!(waits.get(..4).unwrap(), [10, 20, 40, 80]);
        assert_eq!(waits.last(), Some(&720));
        let mut tries = Tries::default();
        for number in 1..=3 {
            tries.begin(UnixMillis(number * HOUR));
            tries.succeeded();
        }
        assert_eq!(tries.not_before(UnixMillis(4 * HOUR), 3, 0), UnixMillis(25 * HOUR), "a day after the first of the three");
        assert_eq!(tries.not_before(UnixMillis(4 * HOUR), 4, 0), UnixMillis(0));
        assert!(tries.not_before(UnixMillis(26 * HOUR), 3, 0).0 <= 26 * HOUR);
    }
}
