//! Head: whether a filter is worth asking. Promise: after [`FAILURES`] failures in a row it is left alone for a while, which doubles up to
//! [`LONGEST`], and then one message tries it; a success makes it as good as new.

use std::time::{Duration, Instant};

/// Failures in a row that shut it.
pub(crate) const FAILURES: u32 = 3;
const FIRST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Breaker {
    failures: u32,
    shut_until: Option<Instant>,
}

impl Breaker {
    /// Whether to ask. Who is told yes while it was shut is the one who tries; the others are told no until it has.
    pub(crate) fn ask(&mut self, now: Instant) -> bool {
        match self.shut_until {
            Some(until) if now < until => false,
            Some(_) => {
                self.shut_until = Some(now + self.pause());
                true
            }
            None => true,
        }
    }

    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// True when this failure shut it.
    pub(crate) fn failed(&mut self, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        if self.failures < FAILURES {
            return false;
        }
        let was_open = self.shut_until.is_none();
        self.shut_until = Some(now + self.pause());
        was_open
    }

    fn pause(&self) -> Duration {
        let doublings = self.failures.saturating_sub(FAILURES).min(8);
        (FIRST * 2_u32.pow(doublings)).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test may begin at any time")]
    fn a_filter_that_fails_again_and_again_is_left_alone_and_then_tried_by_one() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut breaker = Breaker::default();
        assert!(!breaker.failed(start) && !breaker.failed(start));
        assert!(breaker.ask(start));
        assert!(breaker.failed(start), "the third shuts it");
        assert!(!breaker.ask(at(4)));
        assert!(breaker.ask(at(5)), "one tries");
        assert!(!breaker.ask(at(5)), "the others do not");
        assert!(!breaker.failed(at(5)), "it was shut already");
        assert!(!breaker.ask(at(14)), "the pause doubled");
        assert!(breaker.ask(at(15)));
        breaker.succeeded();
        assert!(breaker.ask(at(15)) && breaker.ask(at(15)));
        for _ in 0..100 {
            breaker.failed(at(20));
        }
        assert!(!breaker.ask(at(79)) && breaker.ask(at(80)), "the pause has a longest");
    }
}
