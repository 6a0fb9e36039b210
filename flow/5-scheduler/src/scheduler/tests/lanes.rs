//! Fairness, windows and paces.

use super::*;

/// Tries one message at a time, everything works; gives ids in order.
fn work_off_singly(scheduler: &mut Scheduler, now: UnixMillis, most: usize) -> Vec<u64> {
    let mut order = Vec::new();
    while order.len() < most {
        let attempts = due(scheduler, now);
        let Some(attempt) = attempts.first() else { break };
        order.push(attempt.id.0);
        assert_eq!(scheduler.finished(now, attempt, Report::WORKED), Disposition::Done);
    }
    order
}

fn with_messages(settings: SchedulerSettings, count: u64, destination: &Destination) -> Scheduler {
    let mut scheduler = Scheduler::new(settings, 1);
    for id in 0..count {
        scheduler.insert(START, ticket(id, destination)).unwrap();
    }
    scheduler
}

fn one_at_a_time() -> SchedulerSettings {
    SchedulerSettings { concurrency_total: 1, ..settings() }
}

#[test]
fn an_account_with_a_long_queue_does_not_delay_another_with_one_message() {
    let mut scheduler = Scheduler::new(one_at_a_time(), 1);
    let lane = mx("big.example");
    let [bulk, few, single]: [Arc<str>; 3] = ["bulk".into(), "few".into(), "single".into()];
    for id in 0..100_000 {
        scheduler.insert(START, from_account(id, &lane, &bulk)).unwrap();
    }
    for id in 200_000..200_003 {
        scheduler.insert(START, from_account(id, &lane, &few)).unwrap();
    }
    scheduler.insert(START, from_account(300_000, &lane, &single)).unwrap();
    let order = work_off_singly(&mut scheduler, START, 9);
    assert_eq!(order, [0, 200_000, 300_000, 1, 200_001, 2, 200_002, 3, 4]);
}

#[test]
fn a_lane_with_a_long_queue_does_not_delay_another() {
    let mut scheduler = with_messages(one_at_a_time(), 1_000, &mx("big.example"));
    scheduler.insert(START, ticket(5_000, &mx("small.example"))).unwrap();
    scheduler.insert(START, ticket(6_000, &mx("other.example"))).unwrap();
    assert_eq!(work_off_singly(&mut scheduler, START, 5), [0, 5_000, 6_000, 1, 2]);
}

#[test]
fn a_dead_lane_with_half_a_million_costs_one_attempt_a_wait_and_slows_nobody() {
    let (dead, live) = (mx("dead.example"), mx("live.example"));
    let mut scheduler = with_messages(settings(), 500_000, &dead);
    let (mut tries_of_dead, mut most_out_at_dead, mut delivered) = (0, 0, 0);
    for minute in 0..240 {
        let now = START.plus(MINUTES(minute));
        for id in 0..100 {
            let id = 1_000_000 + minute * 100 + id;
            scheduler.insert(now, Ticket { received: now, due: now, ..ticket(id, &live) }).unwrap();
        }
        loop {
            let attempts = due(&mut scheduler, now);
            if attempts.is_empty() {
                break;
            }
            most_out_at_dead = most_out_at_dead.max(attempts.iter().filter(|a| a.destination == dead).count());
            for attempt in attempts {
                if attempt.destination == dead {
                    tries_of_dead += 1;
                    scheduler.finished(now, &attempt, SILENT);
                } else {
                    delivered += 1;
                    scheduler.finished(now, &attempt, Report::WORKED);
                }
            }
        }
        assert_eq!(delivered, (minute + 1) * 100, "all live mail of minute {minute} went at once");
    }
    // The first window of five finds out; then probes after 1, 3, 7, 15, 31 minutes and every 30 after that.
    assert_eq!(most_out_at_dead, 5);
    assert_eq!(tries_of_dead, 5 + 5 + 6);
    assert!(scheduler.counts().deferred <= 16, "what was not tried has no wait of its own");
}

#[test]
fn a_thousand_dead_lanes_leave_most_of_the_attempts_to_the_living() {
    let dead = |n: u64| mx(&format!("dead{n}.example"));
    let mut scheduler = Scheduler::new(SchedulerSettings { concurrency_total: 40, ..settings() }, 1);
    for id in 0..3_000 {
        scheduler.insert(START, ticket(id, &dead(id % 1_000))).unwrap();
    }
    loop {
        let attempts = due(&mut scheduler, START);
        if attempts.is_empty() {
            break;
        }
        for attempt in attempts {
            scheduler.finished(START, &attempt, SILENT);
        }
    }
    // All lanes are silent now, and all may probe at once.
    let now = START.plus(MINUTES(3));
    let probes = due(&mut scheduler, now);
    assert_eq!(probes.len(), 10, "a quarter");
    assert_ne!(scheduler.next_wakeup(now), Some(now), "the other probes wait for these to end");
    for id in 5_000..5_100 {
        scheduler.insert(now, ticket(id, &mx(&format!("live{id}.example")))).unwrap();
    }
    let attempts = due(&mut scheduler, now);
    assert_eq!(attempts.len(), 30);
    assert!(attempts.iter().all(|attempt| attempt.id.0 >= 5_000));
    scheduler.finished(now, &probes[0], SILENT);
    assert!(due(&mut scheduler, now)[0].id.0 < 5_000, "one probe ends, the next goes");
}

#[test]
fn what_follows_an_answered_probe_does_not_count_as_one() {
    let mut scheduler = with_messages(settings(), 100, &mx("a.example"));
    for id in 1_000..1_100 {
        scheduler.insert(START, ticket(id, &mx("b.example"))).unwrap();
    }
    for attempt in due(&mut scheduler, START) {
        scheduler.finished(START, &attempt, SILENT);
    }
    let now = START.plus(MINUTES(1));
    let probes = due(&mut scheduler, now);
    assert_eq!((probes.len(), scheduler.lanes.probes_out()), (2, 2));
    scheduler.finished(now, &probes[0], Report::WORKED);
    for attempt in due(&mut scheduler, now) {
        scheduler.finished(now, &attempt, Report::WORKED);
    }
    assert_eq!(scheduler.lanes.probes_out(), 1, "the probe of the other lane is still out");
}

#[test]
fn a_probe_that_is_answered_opens_the_lane() {
    let mut scheduler = with_messages(settings(), 100, &mx("a.example"));
    let first = due(&mut scheduler, START);
    assert_eq!(first.len(), 5);
    for attempt in &first {
        scheduler.finished(START, attempt, SILENT);
    }
    let before = START.plus(Duration::from_millis(59_999));
    assert!(due(&mut scheduler, before).is_empty());
    assert_eq!(scheduler.next_wakeup(before), Some(START.plus(MINUTES(1))));
    let now = START.plus(MINUTES(1));
    let probe = due(&mut scheduler, now);
    assert_eq!(probe.len(), 1, "one probe");
    // A greylisted message is an answer all the same.
    scheduler.finished(now, &probe[0], GREYLISTED);
    assert_eq!(due(&mut scheduler, now).len(), 2, "as wide as silence left it");
}

#[test]
fn any_answer_of_an_attempt_that_was_out_opens_the_lane_at_once() {
    for answer in [Report::WORKED, GREYLISTED, BOUNCED] {
        let mut scheduler = with_messages(settings(), 100, &mx("a.example"));
        let attempts = due(&mut scheduler, START);
        scheduler.finished(START, &attempts[0], SILENT);
        assert!(due(&mut scheduler, START).is_empty());
        for attempt in &attempts[1..] {
            scheduler.finished(START, attempt, answer);
        }
        assert!(!due(&mut scheduler, START).is_empty());
    }
}

#[test]
fn a_host_in_trouble_keeps_a_silent_lane_shut() {
    let mut scheduler = with_messages(settings(), 100, &mx("a.example"));
    for attempt in due(&mut scheduler, START) {
        scheduler.finished(START, &attempt, SILENT);
    }
    let now = START.plus(MINUTES(1));
    let probe = due(&mut scheduler, now);
    scheduler.finished(now, &probe[0], BUSY_HOST);
    assert_eq!(scheduler.next_wakeup(now), Some(now.plus(MINUTES(2))));
}

fn window(scheduler: &Scheduler) -> u16 {
    scheduler.summary(START, 1)[0].window
}

#[test]
fn a_window_grows_by_one_for_each_window_of_successes_up_to_its_most() {
    let mut scheduler = with_messages(settings(), 1_000, &mx("a.example"));
    let mut sizes = Vec::new();
    for _ in 0..20 {
        let attempts = due(&mut scheduler, START);
        sizes.push(attempts.len());
        for attempt in attempts {
            scheduler.finished(START, &attempt, Report::WORKED);
        }
    }
    assert_eq!(sizes[..16], [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
    assert_eq!(sizes[16..], [20; 4]);
}

#[test]
fn a_window_set_to_nothing_is_still_one() {
    let shut = Shaping { window_first: 0, window_max: 0, pace_per_minute: 0 };
    let mut scheduler = with_messages(SchedulerSettings { shaping: shut, ..settings() }, 10, &mx("a.example"));
    assert_eq!(due(&mut scheduler, START).len(), 1);
}

#[test]
fn a_window_halves_once_for_what_was_out_together_and_never_drops_below_one() {
    let mut scheduler = with_messages(settings(), 1_000, &mx("a.example"));
    let mut sizes = Vec::new();
    for _ in 0..5 {
        let attempts = due(&mut scheduler, START);
        for attempt in &attempts {
            scheduler.finished(START, attempt, BUSY_HOST);
        }
        sizes.push((attempts.len(), window(&scheduler)));
    }
    assert_eq!(sizes, [(5, 2), (2, 1), (1, 1), (1, 1), (1, 1)]);
}

#[test]
fn silence_shuts_a_lane_even_when_a_host_was_in_trouble_just_before() {
    let mut scheduler = with_messages(settings(), 100, &mx("a.example"));
    let attempts = due(&mut scheduler, START);
    scheduler.finished(START, &attempts[0], BUSY_HOST);
    scheduler.finished(START, &attempts[1], SILENT);
    for attempt in &attempts[2..] {
        scheduler.finished(START, attempt, SILENT);
    }
    assert_eq!(scheduler.next_wakeup(START), Some(START.plus(MINUTES(1))), "and what was out together is one silence");
}

#[test]
fn trouble_of_a_recipient_or_a_message_leaves_the_window_alone() {
    let mut scheduler = with_messages(settings(), 100, &mx("a.example"));
    let of_message = Report { trouble: Some(Trouble::of(Scope::Message, Status::new(4, 3, 1))), deferred: true };
    for report in [GREYLISTED, of_message, BOUNCED] {
        for attempt in due(&mut scheduler, START) {
            scheduler.finished(START, &attempt, report);
        }
        assert_eq!(window(&scheduler), 5);
    }
}

#[test]
fn a_destination_that_refuses_for_good_is_slowed_and_not_blocked() {
    let mut scheduler = with_messages(settings(), 100, &mx("a.example"));
    let refused = Report { trouble: Some(Trouble::of(Scope::Destination, Status::new(5, 7, 1))), deferred: false };
    for attempt in due(&mut scheduler, START) {
        assert_eq!(scheduler.finished(START, &attempt, refused), Disposition::Done);
    }
    assert_eq!(due(&mut scheduler, START).len(), 2);
}

#[test]
fn the_total_is_never_passed() {
    let mut scheduler = Scheduler::new(SchedulerSettings { concurrency_total: 7, ..settings() }, 1);
    for id in 0..100 {
        scheduler.insert(START, ticket(id, &mx(&format!("d{}.example", id % 10)))).unwrap();
    }
    let first = due(&mut scheduler, START);
    assert_eq!((first.len(), scheduler.counts().active), (7, 7));
    assert!(due(&mut scheduler, START).is_empty());
    assert_ne!(scheduler.next_wakeup(START), Some(START), "nothing can be had until one ends");
    scheduler.finished(START, &first[0], Report::WORKED);
    assert_eq!(due(&mut scheduler, START).len(), 1);
}

#[test]
fn a_pace_holds_and_wakes_at_the_right_time() {
    let slow = mx("slow.example");
    let mut settings = SchedulerSettings { concurrency_total: 1_000, ..settings() };
    settings.shaped.insert(slow.clone(), Shaping { window_first: 500, window_max: 500, pace_per_minute: 30 });
    let mut scheduler = with_messages(settings, 100, &slow);
    let (mut now, mut sent) = (START, 0);
    while now < START.plus(MINUTES(1)) {
        let attempts = due(&mut scheduler, now);
        sent += attempts.len();
        for attempt in attempts {
            scheduler.finished(now, &attempt, Report::WORKED);
        }
        now = scheduler.next_wakeup(now).unwrap();
    }
    assert_eq!(sent, 30);
}

#[test]
fn a_reload_changes_windows_and_paces_of_lanes_that_stand() {
    let mut scheduler = with_messages(settings(), 100, &mx("a.example"));
    let narrow = Shaping { window_first: 1, window_max: 3, pace_per_minute: 0 };
    scheduler.reload(START, SchedulerSettings { shaping: narrow, ..settings() });
    let attempts = due(&mut scheduler, START);
    assert_eq!(attempts.len(), 3);
    let paced = Shaping { pace_per_minute: 1, ..narrow };
    scheduler.reload(START, SchedulerSettings { shaping: paced, ..settings() });
    for attempt in &attempts {
        scheduler.finished(START, attempt, Report::WORKED);
    }
    assert_eq!(due(&mut scheduler, START).len(), 1);
    assert_eq!(scheduler.next_wakeup(START), Some(START.plus(MINUTES(1))));
}

#[test]
fn a_lanes_window_outlives_its_mail_for_a_while_and_its_name_is_not_used_again() {
    let lane = mx("a.example");
    let mut scheduler = Scheduler::new(settings(), 1);
    let name = scheduler.insert(START, ticket(1, &lane)).unwrap();
    let attempt = due(&mut scheduler, START).remove(0);
    scheduler.finished(START, &attempt, Report { deferred: false, ..BUSY_HOST });
    let soon = START.plus(MINUTES(10));
    assert_eq!(scheduler.insert(soon, ticket(2, &lane)), Ok(name));
    assert_eq!(window(&scheduler), 2);
    assert_eq!(scheduler.remove(soon, MessageId(2)), 1);
    let late = soon.plus(MINUTES(15));
    due(&mut scheduler, late);
    let renamed = scheduler.insert(late, ticket(3, &lane)).unwrap();
    assert_ne!(renamed, name);
    assert_eq!(window(&scheduler), 5);
}

#[test]
fn with_too_many_lanes_the_one_empty_for_longest_is_forgotten_first() {
    let mut scheduler = Scheduler::new(SchedulerSettings { lanes_max: 3, ..settings() }, 1);
    let lane = |n: u64| mx(&format!("d{n}.example"));
    let names: Vec<LaneId> = (0..3).map(|n| scheduler.insert(START, ticket(n, &lane(n))).unwrap()).collect();
    for id in [1, 0, 2] {
        scheduler.remove(START, MessageId(id));
    }
    scheduler.insert(START, ticket(3, &lane(3))).unwrap();
    assert_eq!(scheduler.insert(START, ticket(4, &lane(0))), Ok(names[0]), "still remembered");
    assert_ne!(scheduler.insert(START, ticket(5, &lane(1))), Ok(names[1]), "emptied first, so forgotten first");
    for id in 10..20 {
        scheduler.insert(START, ticket(id, &lane(id))).unwrap();
    }
    assert_eq!(scheduler.lanes.len(), 13, "lanes with mail are kept however many");
}

#[test]
fn a_full_queue_takes_no_more_and_a_message_enters_a_lane_once() {
    let mut scheduler = Scheduler::new(SchedulerSettings { tickets_max: 2, ..settings() }, 1);
    assert!(scheduler.insert(START, ticket(1, &mx("a.example"))).is_ok());
    assert_eq!(scheduler.insert(START, ticket(1, &mx("a.example"))), Err(Rejected::Twice));
    assert!(scheduler.insert(START, ticket(1, &mx("b.example"))).is_ok());
    assert_eq!(scheduler.insert(START, ticket(2, &mx("c.example"))), Err(Rejected::Full));
    assert_eq!(scheduler.len(), 2);
    scheduler.remove(START, MessageId(1));
    assert_nothing_is_left(&mut scheduler, START);
}

#[test]
fn a_summary_shows_the_fullest_lanes_and_no_more_than_asked() {
    let mut scheduler = Scheduler::new(settings(), 1);
    for id in 0..10 {
        scheduler.insert(START, Ticket { received: UnixMillis(START.0 - id), ..ticket(id, &mx("full.example")) }).unwrap();
    }
    for id in 20..22 {
        scheduler.insert(START, ticket(id, &mx("half.example"))).unwrap();
    }
    scheduler.insert(START, ticket(30, &mx("small.example"))).unwrap();
    for attempt in due(&mut scheduler, START).iter().filter(|attempt| attempt.id.0 < 3) {
        scheduler.finished(START, attempt, SILENT);
    }
    scheduler.hold(START, MessageId(9));
    let summary = scheduler.summary(START, 2);
    assert_eq!(summary.len(), 2);
    assert_eq!(summary[0].destination, mx("full.example"));
    assert_eq!(summary[0].counts, Counts { waiting: 4, deferred: 3, active: 2, held: 1 });
    assert_eq!(summary[0].blocked_until, Some(START.plus(MINUTES(1))));
    assert_eq!(summary[0].oldest, Some(UnixMillis(START.0 - 9)));
    assert_eq!(summary[0].trouble, Some(LastTrouble { at: START, scope: Scope::Destination, status: Status::new(4, 4, 1) }));
    assert_eq!((summary[1].counts.active, summary[1].trouble), (2, None));
}
