//! How old a message may get. Promise: a sender is told once that a message is late, and a message is given up only when it is as
//! old as configured.

use std::time::Duration;

use postern_mail::envelope::UnixMillis;

/// Ages at which something must be said to the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// A message this old is given up. RFC 5321 §4.5.4.1: the giving-up time should be at least four to five days.
    pub give_up: Duration,
    /// A message this old is late, and its sender is told so once; `None` is never.
    pub warn_after: Option<Duration>,
    /// What enters or is released at an age past `give_up` has this long for one attempt more: we were down, or a person held it, and
    /// neither is the receiver's doing.
    pub grace: Duration,
}

/// What happens at an age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Late,
    GiveUp,
}

impl Expiry {
    /// The next mark of a message that enters or comes back at `now`.
    ///
    /// Past the first mark no warning is given: an earlier run has given it, and where we were down instead, a second warning
    /// after every restart would be worse than none.
    pub(crate) fn next_mark(&self, now: UnixMillis, received: UnixMillis) -> (Mark, UnixMillis) {
        let given_up = received.plus(self.give_up);
        match self.warn_after.map(|age| received.plus(age)) {
            Some(late) if now < late && late < given_up => (Mark::Late, late),
            _ if self.is_over(now, received) => (Mark::GiveUp, now.plus(self.grace)),
            _ => (Mark::GiveUp, given_up),
        }
    }

    /// True when a message is late.
    pub(crate) fn is_late(&self, now: UnixMillis, received: UnixMillis) -> bool {
        self.warn_after.is_some_and(|age| now >= received.plus(age))
    }

    /// True when a message that was just deferred must not be tried again.
    pub(crate) fn is_over(&self, now: UnixMillis, received: UnixMillis) -> bool {
        now >= received.plus(self.give_up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPIRY: Expiry = Expiry {
        give_up: Duration::from_millis(1_000),
        warn_after: Some(Duration::from_millis(100)),
        grace: Duration::from_millis(50),
    };
    const RECEIVED: UnixMillis = UnixMillis(5_000);

    #[test]
    fn the_first_mark_is_the_warning_and_the_second_the_end() {
        assert_eq!(EXPIRY.next_mark(RECEIVED, RECEIVED), (Mark::Late, UnixMillis(5_100)));
        assert_eq!(EXPIRY.next_mark(UnixMillis(5_100), RECEIVED), (Mark::GiveUp, UnixMillis(6_000)));
        assert_eq!((EXPIRY.is_over(UnixMillis(5_999), RECEIVED), EXPIRY.is_over(UnixMillis(6_000), RECEIVED)), (false, true));
    }

    #[test]
    fn what_comes_in_too_old_has_a_grace() {
        assert_eq!(EXPIRY.next_mark(UnixMillis(9_000), RECEIVED), (Mark::GiveUp, UnixMillis(9_050)));
    }

    #[test]
    fn without_a_warning_age_there_is_only_the_end() {
        let silent = Expiry { warn_after: None, ..EXPIRY };
        assert_eq!(silent.next_mark(RECEIVED, RECEIVED), (Mark::GiveUp, UnixMillis(6_000)));
        assert!(!silent.is_late(UnixMillis(u64::MAX), RECEIVED));
    }
}
