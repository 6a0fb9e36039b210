//! How long to wait before the next try. Promise: waits grow up to a longest one and never leave the bounds of their jitter.

use std::time::Duration;

use crate::chance::Chance;

/// Waits that grow by a factor.
//
// RFC 5321 §4.5.4.1 DEPARTS: it asks for 30 minutes before the first retry; greylisting servers take a message after five, and
// the lane of a destination that does not answer at all waits on its own account.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// Each wait is this many times the one before; below 1 counts as 1.
    pub factor: f64,
    /// But not longer than this, jitter aside.
    pub longest: Duration,
    /// Each wait is up to this share (0 to 1) shorter or longer, so that what failed together is not tried together.
    pub jitter: f64,
}

impl Backoff {
    /// The wait after failure number `failures` (1 is the first).
    pub(crate) fn wait(&self, failures: u16, chance: &mut Chance) -> Duration {
        let plain = self.plain(failures);
        let sway = millis(times(plain, self.jitter.clamp(0.0, 1.0)).unwrap_or_default().min(plain));
        let shortest = millis(plain).saturating_sub(sway);
        Duration::from_millis(shortest.saturating_add(chance.up_to(sway.saturating_mul(2))))
    }

    fn plain(&self, failures: u16) -> Duration {
        let mut wait = self.first.min(self.longest);
        for _ in 1..failures {
            let longer = times(wait, self.factor.max(1.0)).unwrap_or(self.longest).min(self.longest);
            if longer <= wait {
                break;
            }
            wait = longer;
        }
        wait
    }
}

/// `None` when the product is not a duration.
fn times(duration: Duration, factor: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(duration.as_secs_f64() * factor).ok()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RETRY: Backoff =
        Backoff { first: Duration::from_secs(300), factor: 2.0, longest: Duration::from_secs(14_400), jitter: 0.15 };

    #[test]
    fn waits_double_up_to_the_longest() {
        let minutes: Vec<u64> = (1..=8).map(|n| RETRY.plain(n).as_secs() / 60).collect();
        assert_eq!(minutes, [5, 10, 20, 40, 80, 160, 240, 240]);
        assert_eq!(RETRY.plain(u16::MAX), RETRY.longest);
        assert_eq!(RETRY.plain(0), RETRY.first);
    }

    #[test]
    fn jitter_uses_both_sides_of_the_plain_wait() {
        let mut chance = Chance::new(1);
        let waits: Vec<Duration> = (0..1_000).map(|_| RETRY.wait(1, &mut chance)).collect();
        assert!(waits.iter().any(|w| *w < Duration::from_secs(262)) && waits.iter().any(|w| *w > Duration::from_secs(338)));
    }

    proptest! {
        #[test]
        fn jitter_stays_in_its_bounds(seed: u64, failures: u16, first in 1..100_000_u64, longest in 1..1_000_000_u64,
                                      factor in 0.0..10.0, jitter in 0.0..=1.0) {
            let (first, longest) = (Duration::from_millis(first), Duration::from_millis(longest));
            let backoff = Backoff { first, factor, longest, jitter };
            let plain = backoff.plain(failures);
            prop_assert!(plain <= longest);
            let wait = backoff.wait(failures, &mut Chance::new(seed));
            prop_assert!(wait + Duration::from_millis(1) >= plain.mul_f64(1.0 - jitter));
            prop_assert!(wait <= plain.mul_f64(1.0 + jitter) + Duration::from_millis(1));
        }

        #[test]
        fn no_setting_makes_a_wait_overflow(seed: u64, failures: u16, factor in any::<f64>(), jitter in any::<f64>()) {
            let backoff = Backoff { first: Duration::MAX, factor, longest: Duration::MAX, jitter };
            backoff.wait(failures, &mut Chance::new(seed));
        }
    }

    #[test]
    fn a_factor_or_jitter_that_is_no_number_changes_nothing() {
        let odd = Backoff { factor: f64::NAN, jitter: f64::NAN, ..RETRY };
        assert_eq!(odd.wait(9, &mut Chance::new(1)), RETRY.first);
    }
}
