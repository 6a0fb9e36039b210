//! Hold, release, retry and remove, in each state.

use super::*;

const ONE: MessageId = MessageId(1);

fn waiting() -> Scheduler {
    let mut scheduler = Scheduler::new(settings(), 1);
    scheduler.insert(START, ticket(1, &mx("a.example"))).unwrap();
    scheduler
}

fn active() -> (Scheduler, Attempt) {
    let mut scheduler = waiting();
    let attempt = due(&mut scheduler, START).remove(0);
    (scheduler, attempt)
}

fn deferred() -> Scheduler {
    let (mut scheduler, attempt) = active();
    scheduler.finished(START, &attempt, GREYLISTED);
    scheduler
}

#[test]
fn a_held_message_is_not_tried_and_does_not_age_until_it_is_released() {
    for mut scheduler in [waiting(), deferred()] {
        assert_eq!(scheduler.hold(START, ONE), 1);
        assert_eq!(scheduler.hold(START, ONE), 0, "already held");
        assert_eq!(scheduler.counts(), Counts { held: 1, ..Counts::default() });
        assert_eq!(scheduler.next_wakeup(START), None);
        let old = START.plus(HOURS(300));
        assert!(due(&mut scheduler, old).is_empty());
        assert_eq!(notices(&mut scheduler, old), []);
        assert_eq!(scheduler.release(old, ONE), 1);
        assert_eq!(scheduler.release(old, ONE), 0);
        assert_eq!(notices(&mut scheduler, old), [], "it has its grace");
        assert_eq!(ids(&due(&mut scheduler, old)), [1]);
    }
}

#[test]
fn a_message_released_early_still_waits_for_its_time() {
    let mut scheduler = deferred();
    scheduler.hold(START, ONE);
    scheduler.release(START, ONE);
    assert_eq!(scheduler.next_wakeup(START), Some(START.plus(MINUTES(5))));
    assert_eq!(notices(&mut scheduler, START.plus(HOURS(5))), [(1, NoticeKind::Delayed)], "and ages again");
}

#[test]
fn a_hold_on_a_message_being_tried_takes_effect_when_the_attempt_ends() {
    let (mut scheduler, attempt) = active();
    assert_eq!(scheduler.hold(START, ONE), 1);
    assert_eq!(scheduler.counts().active, 1);
    assert_eq!(scheduler.finished(START, &attempt, GREYLISTED), Disposition::Held { number: 1 });
    assert_eq!(scheduler.counts().held, 1);
    scheduler.release(START, ONE);
    assert_eq!(scheduler.next_wakeup(START), Some(START.plus(MINUTES(5))));

    let (mut scheduler, attempt) = active();
    scheduler.hold(START, ONE);
    assert_eq!(scheduler.finished(START, &attempt, Report::WORKED), Disposition::Done, "delivered is delivered");
    assert_nothing_is_left(&mut scheduler, START);
}

#[test]
fn a_release_takes_back_a_hold_that_has_not_taken_effect() {
    let (mut scheduler, attempt) = active();
    scheduler.hold(START, ONE);
    assert_eq!(scheduler.release(START, ONE), 1);
    assert!(matches!(scheduler.finished(START, &attempt, GREYLISTED), Disposition::Again { .. }));
}

#[test]
fn a_removed_message_is_gone_from_every_state() {
    let mut held = waiting();
    held.hold(START, ONE);
    for mut scheduler in [waiting(), deferred(), held] {
        assert_eq!(scheduler.remove(START, ONE), 1);
        assert_eq!(scheduler.remove(START, ONE), 0);
        assert_nothing_is_left(&mut scheduler, START);
    }
    for (report, end) in [(GREYLISTED, Disposition::Removed), (Report::WORKED, Disposition::Done)] {
        let (mut scheduler, attempt) = active();
        assert_eq!(scheduler.remove(START, ONE), 1);
        assert_eq!(scheduler.finished(START, &attempt, report), end);
        assert_eq!(scheduler.finished(START, &attempt, report), Disposition::Unknown);
        assert_nothing_is_left(&mut scheduler, START);
    }
}

#[test]
fn a_retry_makes_a_deferred_message_due_now() {
    let mut scheduler = deferred();
    assert_eq!(scheduler.retry(START, ONE), 1);
    let attempts = due(&mut scheduler, START);
    assert_eq!((ids(&attempts), attempts[0].number), (vec![1], 2));
    assert_eq!(scheduler.retry(START, ONE), 0, "it is being tried");
    assert!(matches!(scheduler.finished(START, &attempts[0], GREYLISTED), Disposition::Again { number: 2, .. }));
}

#[test]
fn a_retry_leaves_a_held_message_held() {
    let mut scheduler = waiting();
    scheduler.hold(START, ONE);
    assert_eq!(scheduler.retry(START, ONE), 0);
    assert!(due(&mut scheduler, START).is_empty());
}

#[test]
fn a_retry_goes_first_and_probes_a_silent_lane() {
    let mut scheduler = Scheduler::new(settings(), 1);
    for id in 0..100 {
        scheduler.insert(START, ticket(id, &mx("a.example"))).unwrap();
    }
    for attempt in due(&mut scheduler, START) {
        scheduler.finished(START, &attempt, SILENT);
    }
    assert!(due(&mut scheduler, START).is_empty());
    assert_eq!(scheduler.retry(START, MessageId(77)), 1);
    assert_eq!(scheduler.retry(START, MessageId(78)), 1);
    let probe = due(&mut scheduler, START);
    assert_eq!(ids(&probe), [78], "one probe only");
    scheduler.finished(START, &probe[0], SILENT);
    assert!(due(&mut scheduler, START.plus(MINUTES(1))).is_empty(), "silence has grown to two minutes");
}

#[test]
fn a_destination_is_retried_as_a_whole() {
    let (a, b) = (mx("a.example"), mx("b.example"));
    let mut scheduler = Scheduler::new(settings(), 1);
    for id in 0..20 {
        let destination = if id % 2 == 0 { &a } else { &b };
        scheduler.insert(START, Ticket { due: START.plus(HOURS(1)), ..ticket(id, destination) }).unwrap();
    }
    scheduler.hold(START, MessageId(0));
    assert_eq!(scheduler.retry_destination(START, &mx("unknown.example")), 0);
    assert_eq!(scheduler.retry_destination(START, &a), 9);
    let attempts = due(&mut scheduler, START);
    assert_eq!(attempts.len(), 5);
    assert!(attempts.iter().all(|attempt| attempt.destination == a));
    assert_eq!(scheduler.counts(), Counts { waiting: 4, deferred: 10, active: 5, held: 1 });
}

#[test]
fn an_order_reaches_every_lane_of_a_message_and_no_other_message() {
    let mut scheduler = Scheduler::new(settings(), 1);
    for name in ["a.example", "b.example", "c.example"] {
        scheduler.insert(START, ticket(1, &mx(name))).unwrap();
        scheduler.insert(START, ticket(2, &mx(name))).unwrap();
    }
    assert_eq!(scheduler.hold(START, ONE), 3);
    assert_eq!(ids(&due(&mut scheduler, START)), [2, 2, 2]);
    assert_eq!(scheduler.remove(START, ONE), 3);
    assert_eq!(scheduler.counts(), Counts { active: 3, ..Counts::default() });
    assert_eq!(scheduler.hold(START, MessageId(9)), 0);
}
