//! Outcomes as events for log, metrics and history.

use postern_mail::attempt::Attempt;
use postern_mail::envelope::UnixMillis;
use postern_mail::event::Event;
use postern_mail::{Mailbox, Outcome};

/// An attempt ended for one recipient. `next` is when it is tried again, and is only told of an outcome that is not final.
#[must_use]
pub fn attempted(attempt: &Attempt, recipient: &Mailbox, outcome: &Outcome, now: UnixMillis, next: Option<UnixMillis>) -> Event {
    Event::Attempted {
        id: attempt.id,
        recipient: recipient.clone(),
        outcome: outcome.clone(),
        number: attempt.number,
        age: now.since(attempt.received),
        next: next.filter(|_| !outcome.is_final()),
    }
}

/// What a deferral becomes when the time for trying is over (RFC 5321 §4.5.4.1). Final outcomes stay what they are.
#[must_use]
pub fn expired(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Deferred { status, evidence, .. } => Outcome::Expired { status, evidence },
        last => last,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use postern_mail::attempt::{Destination, LaneId};
    use postern_mail::outcome::Evidence;
    use postern_mail::{Domain, MessageId, Scope, Status};

    use super::*;

    fn deferred() -> Outcome {
        let evidence = Evidence { by: "mx.there.example".into(), text: "450 4.2.1 later".into() };
        Outcome::Deferred { scope: Scope::Recipient, status: Status::new(4, 2, 1), evidence }
    }

    #[test]
    fn an_event_tells_the_age_and_the_next_try_only_where_there_is_one() {
        let attempt = Attempt {
            id: MessageId(7),
            lane: LaneId(1),
            destination: Destination::Mx(Domain::parse("there.example").unwrap()),
            received: UnixMillis(1_000),
            number: 2,
        };
        let recipient = Mailbox::parse("b@there.example").unwrap();
        for (outcome, expected) in [(deferred(), Some(UnixMillis(9_000))), (expired(deferred()), None)] {
            let event = attempted(&attempt, &recipient, &outcome, UnixMillis(5_000), Some(UnixMillis(9_000)));
            let Event::Attempted { id, number, age, next, .. } = event else { panic!("{event:?}") };
            assert_eq!((id, number, age, next), (MessageId(7), 2, Duration::from_secs(4), expected));
        }
    }

    #[test]
    fn only_a_deferral_expires() {
        assert!(matches!(expired(deferred()), Outcome::Expired { status: Status { class: 4, .. }, .. }));
        let delivered = Outcome::Delivered { evidence: Evidence { by: "x".into(), text: "250 ok".into() }, dsn_passed_on: false };
        assert_eq!(expired(delivered.clone()), delivered);
    }
}
