//! Waits, ages, and waking up.

use super::*;

#[test]
fn a_deferred_message_is_due_again_after_growing_waits() {
    let mut scheduler = Scheduler::new(settings(), 1);
    scheduler.insert(START, ticket(1, &mx("a.example"))).unwrap();
    let mut now = START;
    for (number, minutes) in (1..).zip([5, 10, 20, 40]) {
        let attempt = due(&mut scheduler, now).remove(0);
        assert_eq!(attempt.number, number);
        let again = now.plus(MINUTES(minutes));
        let expected = Disposition::Again { due: again, number, warn_delay: false };
        assert_eq!(scheduler.finished(now, &attempt, GREYLISTED), expected);
        assert!(due(&mut scheduler, UnixMillis(again.0 - 1)).is_empty());
        assert_eq!(scheduler.next_wakeup(now), Some(again));
        now = again;
    }
}

#[test]
fn a_ticket_that_was_tried_before_a_restart_goes_on_counting() {
    let mut scheduler = Scheduler::new(settings(), 1);
    let later = START.plus(MINUTES(7));
    scheduler.insert(START, Ticket { due: later, attempts: 3, ..ticket(1, &mx("a.example")) }).unwrap();
    assert!(due(&mut scheduler, START).is_empty());
    let attempt = due(&mut scheduler, later).remove(0);
    assert_eq!(attempt.number, 4);
    let again = Disposition::Again { due: later.plus(MINUTES(40)), number: 4, warn_delay: false };
    assert_eq!(scheduler.finished(later, &attempt, GREYLISTED), again);
}

#[test]
fn jitter_spreads_what_failed_together_and_the_seed_decides_it() {
    let waits = |seed| {
        let wide = Shaping { window_first: 200, window_max: 200, pace_per_minute: 0 };
        let mut scheduler = Scheduler::new(SchedulerSettings { shaping: wide, ..SchedulerSettings::default() }, seed);
        for id in 0..200 {
            scheduler.insert(START, ticket(id, &mx("a.example"))).unwrap();
        }
        let mut waits = Vec::new();
        for attempt in due(&mut scheduler, START) {
            let Disposition::Again { due, .. } = scheduler.finished(START, &attempt, GREYLISTED) else { panic!("deferred") };
            waits.push(due.since(START).as_secs());
        }
        waits
    };
    let one = waits(1);
    assert_eq!(one.len(), 200);
    assert!(one.iter().all(|wait| (270..=331).contains(wait)), "5 min ± 10 %, and up to the next second");
    assert!(one.iter().min().unwrap() + 40 < *one.iter().max().unwrap());
    assert_eq!(one, waits(1));
    assert_ne!(one, waits(2));
}

#[test]
fn a_message_expires_with_the_deferral_that_finds_it_too_old() {
    let mut scheduler = Scheduler::new(settings(), 1);
    scheduler.insert(START, ticket(1, &mx("a.example"))).unwrap();
    let attempt = due(&mut scheduler, START).remove(0);
    let end = START.plus(HOURS(120));
    assert_eq!(scheduler.finished(end, &attempt, GREYLISTED), Disposition::Expired);
    assert_nothing_is_left(&mut scheduler, end);
}

#[test]
fn a_sender_hears_of_a_delay_once_even_when_it_came_during_an_attempt() {
    let mut scheduler = Scheduler::new(settings(), 1);
    scheduler.insert(START, ticket(1, &mx("a.example"))).unwrap();
    let attempt = due(&mut scheduler, START).remove(0);
    let late = START.plus(HOURS(5));
    assert_eq!(notices(&mut scheduler, late), [], "what is out is left to its end");
    let Disposition::Again { due: again, warn_delay, .. } = scheduler.finished(late, &attempt, GREYLISTED) else { panic!() };
    assert!(warn_delay);
    let attempt = due(&mut scheduler, again).remove(0);
    let Disposition::Again { warn_delay, .. } = scheduler.finished(again, &attempt, GREYLISTED) else { panic!() };
    assert!(!warn_delay);
    assert_eq!(notices(&mut scheduler, again), []);
    let end = START.plus(HOURS(121));
    assert_eq!(notices(&mut scheduler, end), [(1, NoticeKind::Expired)]);
    assert_nothing_is_left(&mut scheduler, end);
}

#[test]
fn messages_in_a_blocked_lane_are_late_and_expire_without_being_tried() {
    let mut scheduler = Scheduler::new(settings(), 1);
    for id in 0..50 {
        scheduler.insert(START, ticket(id, &mx("dead.example"))).unwrap();
    }
    let mut now = START;
    let (mut late, mut gone) = (Vec::new(), Vec::new());
    while let Some(wake) = scheduler.next_wakeup(now) {
        now = wake;
        for attempt in due(&mut scheduler, now) {
            match scheduler.finished(now, &attempt, SILENT) {
                Disposition::Again { warn_delay: true, .. } => late.push(attempt.id.0),
                Disposition::Expired => gone.push(attempt.id.0),
                _ => {}
            }
        }
        for (id, kind) in notices(&mut scheduler, now) {
            let (list, from) = if kind == NoticeKind::Delayed { (&mut late, 4) } else { (&mut gone, 120) };
            list.push(id);
            assert!(now >= START.plus(HOURS(from)) && now <= START.plus(HOURS(from) + MINUTES(1)));
        }
    }
    late.sort_unstable();
    gone.sort_unstable();
    assert_eq!(late, (0..50).collect::<Vec<u64>>(), "each sender hears of the delay once");
    assert_eq!(gone, (0..50).collect::<Vec<u64>>(), "each message expires once");
    assert_nothing_is_left(&mut scheduler, now);
}

#[test]
fn no_more_notices_come_at_once_than_asked_for_and_none_is_lost() {
    let mut scheduler = Scheduler::new(settings(), 1);
    for id in 0..10 {
        scheduler.insert(START, ticket(id, &mx("a.example"))).unwrap();
    }
    // Late and too old at once: the warning comes first, the end after its grace.
    let end = START.plus(HOURS(121));
    let mut all = Vec::new();
    for expected in [4, 8, 10, 10] {
        scheduler.notices(end, 4, &mut all);
        assert_eq!(all.len(), expected);
    }
    let after_grace = end.plus(HOURS(4) + MINUTES(1));
    for expected in [14, 18, 20, 20] {
        assert_eq!(scheduler.is_empty(), all.len() == 20);
        scheduler.notices(after_grace, 4, &mut all);
        assert_eq!(all.len(), expected);
    }
    assert_nothing_is_left(&mut scheduler, after_grace);
}

#[test]
fn what_a_restart_finds_too_old_gets_one_attempt_and_no_second_warning() {
    let mut scheduler = Scheduler::new(settings(), 1);
    let old = START.plus(HOURS(200));
    scheduler.insert(old, ticket(1, &mx("a.example"))).unwrap();
    scheduler.insert(old, ticket(2, &mx("b.example"))).unwrap();
    let attempts = due(&mut scheduler, old);
    assert_eq!(notices(&mut scheduler, old), []);
    assert_eq!(scheduler.finished(old, &attempts[0], GREYLISTED), Disposition::Expired);
    assert_eq!(scheduler.finished(old, &attempts[1], Report::WORKED), Disposition::Done);
}

#[test]
fn what_a_restart_finds_too_old_and_nothing_can_try_expires_after_its_grace() {
    let mut scheduler = Scheduler::new(SchedulerSettings { concurrency_total: 0, ..settings() }, 1);
    let old = START.plus(HOURS(200));
    scheduler.insert(old, ticket(1, &mx("a.example"))).unwrap();
    assert_eq!(notices(&mut scheduler, old.plus(HOURS(3))), []);
    assert_eq!(notices(&mut scheduler, old.plus(HOURS(4) + MINUTES(1))), [(1, NoticeKind::Expired)]);
}

#[test]
fn a_flood_of_returning_messages_comes_back_in_portions() {
    let mut scheduler = Scheduler::new(settings(), 1);
    let later = START.plus(MINUTES(5));
    for id in 0..10_000 {
        scheduler.insert(START, Ticket { due: later, ..ticket(id, &mx("a.example")) }).unwrap();
    }
    let attempts = due(&mut scheduler, later);
    assert_eq!((attempts.len(), scheduler.counts().waiting), (5, RETURNS_PER_CALL - 5));
    assert_eq!(scheduler.next_wakeup(later), Some(later), "the rest is due now");
    due(&mut scheduler, later);
    due(&mut scheduler, later);
    assert_eq!(scheduler.counts().deferred, 0);
}

#[test]
fn times_at_the_end_of_all_time_do_no_harm() {
    let mut scheduler = Scheduler::new(settings(), 1);
    let end = UnixMillis(u64::MAX);
    scheduler.insert(START, Ticket { due: end, received: end, ..ticket(1, &mx("a.example")) }).unwrap();
    scheduler.insert(START, Ticket { due: UnixMillis(0), received: UnixMillis(0), ..ticket(2, &mx("a.example")) }).unwrap();
    for now in [UnixMillis(0), START, end] {
        for attempt in due(&mut scheduler, now) {
            scheduler.finished(now, &attempt, SILENT);
        }
        notices(&mut scheduler, now);
        assert!(scheduler.next_wakeup(now).is_none_or(|wake| wake >= now));
    }
}

#[test]
fn a_time_within_a_second_is_rounded_up_and_never_early() {
    let mut scheduler = Scheduler::new(settings(), 1);
    let later = START.plus(Duration::from_millis(1));
    scheduler.insert(START, Ticket { due: later, ..ticket(1, &mx("a.example")) }).unwrap();
    assert_eq!(scheduler.next_wakeup(START), Some(START.plus(Duration::from_secs(1))));
    let now = START.plus(Duration::from_millis(1_300));
    let attempt = due(&mut scheduler, now).remove(0);
    let again = START.plus(MINUTES(5) + Duration::from_secs(2));
    assert!(matches!(scheduler.finished(now, &attempt, GREYLISTED), Disposition::Again { due, .. } if due == again));
}

#[test]
fn a_delay_told_with_a_deferral_is_not_told_again_by_age() {
    let mut scheduler = Scheduler::new(settings(), 1);
    scheduler.insert(START, ticket(1, &mx("a.example"))).unwrap();
    let attempt = due(&mut scheduler, START).remove(0);
    let late = START.plus(HOURS(5));
    assert!(matches!(scheduler.finished(late, &attempt, GREYLISTED), Disposition::Again { warn_delay: true, .. }));
    assert_eq!(notices(&mut scheduler, late), []);
}

#[test]
fn a_message_still_expires_when_the_clock_was_ahead_for_a_while() {
    let mut scheduler = Scheduler::new(settings(), 1);
    let late = START.plus(HOURS(5));
    scheduler.insert(late, ticket(1, &mx("a.example"))).unwrap();
    let attempt = due(&mut scheduler, late).remove(0);
    assert_eq!(notices(&mut scheduler, START.plus(HOURS(500))), []);
    assert!(matches!(scheduler.finished(late, &attempt, GREYLISTED), Disposition::Again { warn_delay: false, .. }));
    assert_eq!(notices(&mut scheduler, START.plus(HOURS(121))), [(1, NoticeKind::Expired)]);
}

#[test]
fn an_age_wakes_even_when_nothing_else_does() {
    let mut scheduler = Scheduler::new(SchedulerSettings { concurrency_total: 0, ..settings() }, 1);
    scheduler.insert(START, ticket(1, &mx("a.example"))).unwrap();
    let wake = scheduler.next_wakeup(START).unwrap();
    assert!(wake >= START.plus(HOURS(4)) && wake < START.plus(HOURS(4) + MINUTES(1)));
    assert_eq!(notices(&mut scheduler, UnixMillis(wake.0 - 1)), []);
    assert_eq!(notices(&mut scheduler, wake), [(1, NoticeKind::Delayed)]);
}
