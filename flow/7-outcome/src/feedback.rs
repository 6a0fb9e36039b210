//! What an attempt teaches the scheduler. Promise: trouble is never understated, so that a window shrinks when any recipient showed
//! that the host or the destination is in trouble.

use postern_mail::{Outcome, Scope};

/// One attempt in short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Feedback {
    /// The destination did its work: it took the message, or refused it for a reason of the recipient or message.
    pub worked: bool,
    /// The widest reach of a deferral or refusal.
    pub trouble: Option<Scope>,
    /// At least one recipient is to be tried again.
    pub deferred: bool,
}

/// Sums up the outcomes of one attempt.
#[must_use]
pub fn feedback<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Feedback {
    let mut sum = Feedback::default();
    for outcome in outcomes {
        match outcome {
            Outcome::Delivered { .. } => sum.worked = true,
            Outcome::Bounced { scope, .. } => {
                sum.worked |= matches!(scope, Scope::Recipient | Scope::Message);
                sum.trouble = widest(sum.trouble, *scope);
            }
            Outcome::Deferred { scope, .. } => {
                sum.deferred = true;
                sum.trouble = widest(sum.trouble, *scope);
            }
            // Giving up is a matter of our patience; it teaches nothing new about the destination.
            Outcome::Expired { .. } => {}
        }
    }
    sum
}

const fn reach(scope: Scope) -> u8 {
    match scope {
        Scope::Recipient => 0,
        Scope::Message => 1,
        Scope::Host => 2,
        Scope::Destination => 3,
    }
}

fn widest(so_far: Option<Scope>, scope: Scope) -> Option<Scope> {
    Some(so_far.filter(|before| reach(*before) >= reach(scope)).unwrap_or(scope))
}

#[cfg(test)]
mod tests {
    use postern_mail::Status;
    use postern_mail::outcome::Evidence;

    use super::*;

    fn evidence() -> Evidence {
        Evidence { by: "mx.there.example".into(), text: "whatever".into() }
    }

    fn delivered() -> Outcome {
        Outcome::Delivered { evidence: evidence(), dsn_passed_on: false }
    }

    fn bounced(scope: Scope) -> Outcome {
        Outcome::Bounced { scope, status: Status::new(5, 0, 0), evidence: evidence() }
    }

    fn deferred(scope: Scope) -> Outcome {
        Outcome::Deferred { scope, status: Status::new(4, 0, 0), evidence: evidence() }
    }

    #[test]
    fn the_widest_trouble_counts_in_any_order() {
        for outcomes in [
            [deferred(Scope::Recipient), deferred(Scope::Destination), delivered()],
            [delivered(), deferred(Scope::Destination), deferred(Scope::Recipient)],
        ] {
            let expected = Feedback { worked: true, trouble: Some(Scope::Destination), deferred: true };
            assert_eq!(feedback(&outcomes), expected);
        }
    }

    #[test]
    fn a_refused_recipient_shows_a_destination_at_work() {
        let expected = Feedback { worked: true, trouble: Some(Scope::Recipient), deferred: false };
        assert_eq!(feedback(&[bounced(Scope::Recipient)]), expected);
        assert!(!feedback(&[bounced(Scope::Destination)]).worked);
        assert!(!feedback(&[deferred(Scope::Recipient)]).worked);
    }

    #[test]
    fn nothing_ended_teaches_nothing() {
        assert_eq!(feedback(&[]), Feedback::default());
    }
}
