//! Lanes that share a provider, and mail that gives way.

use std::collections::HashSet;

use super::*;
use crate::admit::Admission;
use crate::lane::Place;
use crate::providers::{Provider, Providers};
use crate::words::Trouble;

fn with_provider(connections: u32, per_minute: Option<u32>) -> SchedulerSettings {
    let mut providers = Providers::default();
    providers.set(Provider {
        name: "p".into(),
        exchangers: vec!["*.p.example".into()],
        connections: Some(connections),
        messages_per_minute: per_minute,
    });
    SchedulerSettings { providers, ..settings() }
}

fn at_p() -> Vec<Arc<str>> {
    vec!["mx1.p.example".into(), "mx2.p.example".into()]
}

/// What may go on of what is due.
fn admitted(scheduler: &mut Scheduler, now: UnixMillis, exchangers: &[Arc<str>]) -> Vec<Attempt> {
    let mut attempts = due(scheduler, now);
    attempts.retain(|attempt| scheduler.admit(now, attempt, exchangers) == Admission::Go);
    attempts
}

#[test]
fn all_domains_of_a_provider_share_its_window_from_the_first_moment_on() {
    let mut scheduler = Scheduler::new(with_provider(3, None), 1);
    for id in 0..1_000 {
        scheduler.insert(START, ticket(id, &mx(&format!("d{id}.example")))).unwrap();
    }
    let first = admitted(&mut scheduler, START, &at_p());
    assert_eq!(first.len(), 3);
    let mut done: HashSet<u64> = HashSet::new();
    let mut out = first;
    while let Some(attempt) = out.pop() {
        assert!(done.insert(attempt.id.0), "nothing is sent twice");
        assert_eq!(attempt.number, 1, "being sent back is no attempt");
        assert_eq!(scheduler.finished(START, &attempt, Report::WORKED), Disposition::Done);
        // Who was sent back before knows the way now; who was not finds out.
        out.extend(admitted(&mut scheduler, START, &at_p()));
        assert!(out.len() <= 3);
    }
    assert_eq!(done.len(), 1_000);
    assert_nothing_is_left(&mut scheduler, START);
}

#[test]
fn a_dead_provider_costs_one_attempt_a_wait_over_all_its_domains() {
    let mut scheduler = Scheduler::new(with_provider(4, None), 1);
    for id in 0..10_000 {
        scheduler.insert(START, ticket(id, &mx(&format!("d{}.example", id % 500)))).unwrap();
    }
    let mut tries = 0;
    for minute in 0..240 {
        let now = START.plus(MINUTES(minute));
        loop {
            let attempts = admitted(&mut scheduler, now, &at_p());
            if attempts.is_empty() && scheduler.next_wakeup(now) != Some(now) {
                break;
            }
            for attempt in attempts {
                tries += 1;
                scheduler.finished(now, &attempt, SILENT);
            }
        }
    }
    // As for one dead lane: the first window, then probes after 1, 3, 7, 15, 31 minutes and every 30 after that.
    assert_eq!(tries, 4 + 5 + 6);
    let scheduled = scheduler.summary(START, 1);
    assert!(scheduled[0].provider.as_deref() == Some("p") && scheduled[0].window == 1);
}

#[test]
fn when_a_dead_provider_is_asked_again_one_of_its_lanes_moves_and_the_others_are_not_looked_at() {
    let mut scheduler = Scheduler::new(with_provider(4, None), 1);
    for id in 0..2_000 {
        scheduler.insert(START, ticket(id, &mx(&format!("d{id}.example")))).unwrap();
    }
    loop {
        let attempts = admitted(&mut scheduler, START, &at_p());
        if attempts.is_empty() && scheduler.next_wakeup(START) != Some(START) {
            break;
        }
        for attempt in attempts {
            scheduler.finished(START, &attempt, SILENT);
        }
    }
    let parked =
        |scheduler: &Scheduler| scheduler.lanes.iter().filter(|(_, lane)| matches!(lane.place, Place::Parked(_))).count();
    let before = parked(&scheduler);
    assert!(before > 1_500);
    let later = START.plus(MINUTES(1));
    scheduler.lanes.wake(later);
    assert_eq!(parked(&scheduler), before - 1);
    let probe = admitted(&mut scheduler, later, &at_p());
    assert_eq!((probe.len(), parked(&scheduler)), (1, before - 1));
    // Whoever was to ask is taken away: another asks.
    scheduler.finished(later, &probe[0], SILENT);
    let later = later.plus(MINUTES(2));
    scheduler.lanes.wake(later);
    let prober = scheduler.lanes.iter().find(|(_, lane)| lane.place == Place::ReadyToProbe).map(|(slot, _)| slot).unwrap();
    let (_, its) = scheduler.tickets.cells.iter().find(|(_, ticket)| ticket.lane == prober).unwrap();
    scheduler.remove(later, its.id);
    assert_eq!(due(&mut scheduler, later).len(), 1);
}

#[test]
fn what_is_wrong_with_one_domain_is_not_laid_on_its_provider() {
    let mut scheduler = Scheduler::new(with_provider(4, None), 1);
    let (bad, good) = (mx("bad.example"), mx("good.example"));
    for (id, lane) in [(1, &bad), (2, &good)] {
        scheduler.insert(START, ticket(id, lane)).unwrap();
    }
    for attempt in admitted(&mut scheduler, START, &at_p()) {
        scheduler.finished(START, &attempt, Report::WORKED);
    }
    scheduler.insert(START, ticket(3, &bad)).unwrap();
    let attempt = due(&mut scheduler, START).pop().unwrap();
    // Its exchangers could not be looked up this time.
    scheduler.finished(START, &attempt, SILENT);
    scheduler.insert(START, ticket(4, &bad)).unwrap();
    scheduler.insert(START, ticket(5, &good)).unwrap();
    assert_eq!(ids(&due(&mut scheduler, START)), [5]);
}

/// Fifty messages of a stranger's domain at the provider meet this; gives the provider's window afterwards.
fn window_after(scheduler: &mut Scheduler, first: u64, report: Report) -> u16 {
    let stranger = mx("stranger.example");
    for id in first..first + 50 {
        scheduler.insert(START, ticket(id, &stranger)).unwrap();
    }
    for _ in 0..50 {
        for attempt in admitted(scheduler, START, &at_p()) {
            scheduler.finished(START, &attempt, report);
        }
    }
    scheduler.lanes.groups.cells.iter().map(|(_, group)| group.window.limit()).next().unwrap()
}

#[test]
fn what_a_domain_asks_of_its_hosts_and_what_they_say_of_it_is_no_trouble_of_its_provider() {
    let of = |scope, status: (u8, u16, u16)| {
        let status = Status::new(status.0, status.1, status.2);
        Report { trouble: Some(Trouble::of(scope, status)), deferred: true }
    };
    for report in [
        // A policy that does not name them, a certificate that is not for them, no TLS where it is asked for, no TLSA records to be had.
        of(Scope::Host, (4, 7, 5)),
        of(Scope::Host, (4, 7, 4)),
        of(Scope::Host, (4, 4, 3)),
        // A grey list, at the end of the data or before.
        of(Scope::Destination, (4, 7, 1)),
        of(Scope::Destination, (4, 7, 0)),
    ] {
        let mut scheduler = Scheduler::new(with_provider(4, None), 1);
        assert_eq!(window_after(&mut scheduler, 0, report), 4, "{report:?}");
        scheduler.insert(START, ticket(100, &mx("other.example"))).unwrap();
        assert_eq!(ids(&admitted(&mut scheduler, START, &at_p())).last(), Some(&100), "{report:?} stops nobody else");
    }
    for report in [BUSY_HOST, of(Scope::Destination, (4, 7, 28)), SILENT] {
        let mut scheduler = Scheduler::new(with_provider(4, None), 1);
        assert_eq!(window_after(&mut scheduler, 0, report), 1, "{report:?} is theirs");
    }
}

#[test]
fn who_asks_for_what_a_silent_provider_has_not_makes_its_pause_no_longer_and_a_grey_list_ends_it() {
    let not_safe = Report { trouble: Some(Trouble::of(Scope::Host, Status::new(4, 7, 5))), deferred: true };
    let grey = Report { trouble: Some(Trouble::of(Scope::Destination, Status::new(4, 7, 1))), deferred: true };
    for (report, out) in [(not_safe, 1), (grey, 2)] {
        let mut scheduler = Scheduler::new(with_provider(4, None), 1);
        for id in 0..4 {
            scheduler.insert(START, ticket(id, &mx("dead.example"))).unwrap();
        }
        for attempt in admitted(&mut scheduler, START, &at_p()) {
            scheduler.finished(START, &attempt, SILENT);
        }
        let later = START.plus(MINUTES(1));
        scheduler.insert(later, ticket(10, &mx("stranger.example"))).unwrap();
        let probe = admitted(&mut scheduler, later, &at_p());
        assert_eq!(ids(&probe), [10]);
        scheduler.finished(later, &probe[0], report);
        for id in 20..23 {
            scheduler.insert(later, ticket(id, &mx(&format!("other{id}.example")))).unwrap();
        }
        assert_eq!(admitted(&mut scheduler, later, &at_p()).len(), out, "{report:?}");
    }
}

#[test]
fn who_is_sent_back_has_used_up_nothing_of_the_pace_of_its_destination() {
    let shaping = Shaping { pace_per_minute: 1, ..Shaping::default() };
    let mut scheduler = Scheduler::new(SchedulerSettings { shaping, ..with_provider(1, Some(6_000)) }, 1);
    for id in 0..2 {
        scheduler.insert(START, ticket(id, &mx(&format!("d{id}.example")))).unwrap();
    }
    let first = admitted(&mut scheduler, START, &at_p());
    assert_eq!(first.len(), 1);
    scheduler.finished(START, &first[0], Report::WORKED);
    let soon = START.plus(Duration::from_secs(1));
    assert_eq!(admitted(&mut scheduler, soon, &at_p()).len(), 1, "it need not wait for another minute");
}

#[test]
fn the_latest_trouble_is_shown_whether_it_is_the_providers_or_the_lanes() {
    let mut scheduler = Scheduler::new(with_provider(4, None), 1);
    let lane = mx("a.example");
    for (id, report, shown) in [(1, BUSY_HOST, (4, 3, 2)), (2, BOUNCED, (5, 1, 1)), (3, BUSY_HOST, (4, 3, 2))] {
        let now = START.plus(HOURS(id));
        scheduler.insert(now, Ticket { received: now, due: now, ..ticket(100 + id, &lane) }).unwrap();
        for attempt in admitted(&mut scheduler, now, &at_p()) {
            scheduler.finished(now, &attempt, report);
        }
        let trouble = scheduler.summary(now, 1)[0].trouble.unwrap().status;
        assert_eq!((trouble.class, trouble.subject, trouble.detail), shown);
    }
}

#[test]
fn a_provider_has_its_rate_over_all_its_domains() {
    let mut scheduler = Scheduler::new(with_provider(20, Some(60)), 1);
    for id in 0..600 {
        scheduler.insert(START, ticket(id, &mx(&format!("d{id}.example")))).unwrap();
    }
    let (mut now, mut sent) = (START, 0);
    while now < START.plus(MINUTES(5)) {
        for attempt in admitted(&mut scheduler, now, &at_p()) {
            sent += 1;
            scheduler.finished(now, &attempt, Report::WORKED);
        }
        now = scheduler.next_wakeup(now).unwrap().max(UnixMillis(now.0 + 1));
    }
    assert!((298..=301).contains(&sent), "{sent} in five minutes");
}

#[test]
fn a_destination_that_moved_does_not_wait_for_the_provider_it_left() {
    let mut scheduler = Scheduler::new(with_provider(2, None), 1);
    let lane = mx("moved.example");
    for id in 0..10 {
        scheduler.insert(START, ticket(id, &lane)).unwrap();
    }
    let out = admitted(&mut scheduler, START, &at_p());
    assert_eq!(out.len(), 2);
    for attempt in &out {
        scheduler.finished(START, attempt, SILENT);
    }
    let later = START.plus(MINUTES(1));
    let probe = due(&mut scheduler, later);
    assert_eq!(probe.len(), 1);
    assert_eq!(scheduler.admit(later, &probe[0], &[]), Admission::Go);
    scheduler.finished(later, &probe[0], Report::WORKED);
    assert!(due(&mut scheduler, later).len() >= 2, "its own window is open");
}

#[test]
fn destinations_that_move_to_and_fro_take_no_more_of_a_provider_than_its_window() {
    let mut scheduler = Scheduler::new(with_provider(3, None), 1);
    let elsewhere: Vec<Arc<str>> = vec!["mx.elsewhere.example".into()];
    for id in 0..400 {
        scheduler.insert(START, ticket(id, &mx(&format!("d{}.example", id % 8)))).unwrap();
    }
    let (mut at_provider, mut at_other) = (Vec::new(), Vec::new());
    for round in 0..200 {
        for attempt in due(&mut scheduler, START) {
            let to_provider = (attempt.id.0 + round) % 2 == 0;
            let (hosts, out) = if to_provider { (at_p(), &mut at_provider) } else { (elsewhere.clone(), &mut at_other) };
            if scheduler.admit(START, &attempt, &hosts) == Admission::Go {
                out.push(attempt);
            }
        }
        assert!(at_provider.len() <= 3, "{} at the provider", at_provider.len());
        // The oldest of both ends; what is out longest saw most moves.
        for out in [&mut at_provider, &mut at_other] {
            if !out.is_empty() {
                scheduler.finished(START, &out.remove(0), Report::WORKED);
            }
        }
    }
    assert!(scheduler.len() < 100, "{} are left: what is out is forgotten nowhere", scheduler.len());
}

#[test]
fn what_a_stranger_left_behind_elsewhere_is_neither_room_nor_trouble_of_the_provider_he_moves_to() {
    let mut scheduler = Scheduler::new(with_provider(4, None), 1);
    let lane = mx("stranger.example");
    for id in 0..8 {
        scheduler.insert(START, ticket(id, &lane)).unwrap();
    }
    let tarpit: Vec<Arc<str>> = vec!["mx.tarpit.example".into()];
    let mut stuck = admitted(&mut scheduler, START, &tarpit);
    assert_eq!(stuck.len(), 5);
    scheduler.finished(START, &stuck.pop().unwrap(), Report::WORKED);
    let moved = admitted(&mut scheduler, START, &at_p());
    assert!(!moved.is_empty());
    for attempt in &moved {
        scheduler.finished(START, attempt, Report::WORKED);
    }
    for id in 100..110 {
        scheduler.insert(START, ticket(id, &mx(&format!("d{id}.example")))).unwrap();
    }
    let others = admitted(&mut scheduler, START, &at_p());
    assert_eq!(others.len(), 4, "all the room there is");
    for attempt in &stuck {
        scheduler.finished(START, attempt, SILENT);
    }
    for attempt in &others {
        scheduler.finished(START, attempt, Report::WORKED);
    }
    assert_eq!(admitted(&mut scheduler, START, &at_p()).len(), 4, "what was silent was another");
}

#[test]
fn a_destination_that_left_a_provider_has_its_own_window_again() {
    let mut scheduler = Scheduler::new(with_provider(1, None), 1);
    let lane = mx("moved.example");
    for id in 0..100 {
        scheduler.insert(START, ticket(id, &lane)).unwrap();
    }
    for attempt in admitted(&mut scheduler, START, &at_p()) {
        scheduler.finished(START, &attempt, Report::WORKED);
    }
    for _ in 0..30 {
        for attempt in admitted(&mut scheduler, START, &[]) {
            scheduler.finished(START, &attempt, Report::WORKED);
        }
    }
    assert!(scheduler.summary(START, 1)[0].window > 1, "the provider's limit of one is not its own");
}

#[test]
fn hosts_that_nobody_knows_are_one_place_too_and_a_list_with_others_is_another() {
    let mut scheduler = Scheduler::new(settings(), 1);
    for id in 0..300 {
        scheduler.insert(START, ticket(id, &mx(&format!("d{id}.example")))).unwrap();
    }
    let hosts: [Vec<Arc<str>>; 2] = [vec!["b.example".into(), "a.example".into()], vec!["A.example.".into(), "c.example".into()]];
    let mut out = [0, 0];
    for attempt in due(&mut scheduler, START) {
        let which = usize::from(attempt.id.0 % 2 == 0);
        out[which] += usize::from(scheduler.admit(START, &attempt, &hosts[which]) == Admission::Go);
    }
    assert_eq!(out, [5, 5], "the first window each");
}

#[test]
fn orders_that_came_while_hosts_were_looked_up_hold() {
    let mut scheduler = Scheduler::new(with_provider(1, None), 1);
    for id in 0..4 {
        scheduler.insert(START, ticket(id, &mx(&format!("d{id}.example")))).unwrap();
    }
    let attempts = due(&mut scheduler, START);
    scheduler.remove(START, MessageId(1));
    scheduler.hold(START, MessageId(2));
    let went: Vec<Admission> = attempts.iter().map(|attempt| scheduler.admit(START, attempt, &at_p())).collect();
    assert_eq!(went, [Admission::Go, Admission::Wait, Admission::Wait, Admission::Wait]);
    assert_eq!(scheduler.counts(), Counts { waiting: 1, deferred: 0, active: 1, held: 1 });
}

fn bulk(id: u64, destination: &Destination) -> Ticket {
    Ticket { is_bulk: true, ..ticket(id, destination) }
}

#[test]
fn bulk_mail_goes_behind_and_has_one_turn_in_eight() {
    let mut scheduler = Scheduler::new(SchedulerSettings { concurrency_total: 1, ..settings() }, 1);
    let lane = mx("a.example");
    for id in 0..100 {
        scheduler.insert(START, bulk(id, &lane)).unwrap();
    }
    for id in 1_000..1_100 {
        scheduler.insert(START, ticket(id, &lane)).unwrap();
    }
    let mut order = Vec::new();
    for _ in 0..80 {
        let attempt = due(&mut scheduler, START).pop().unwrap();
        order.push(attempt.id.0);
        scheduler.finished(START, &attempt, Report::WORKED);
    }
    assert!(order.iter().take(7).all(|id| *id >= 1_000));
    assert_eq!(order.iter().filter(|id| **id < 1_000).count(), 10);
}

#[test]
fn bulk_mail_leaves_a_quarter_of_a_lane_a_provider_and_the_whole_to_others() {
    let mut scheduler = Scheduler::new(SchedulerSettings { concurrency_total: 40, ..with_provider(8, None) }, 1);
    let lane = mx("a.example");
    for id in 0..500 {
        scheduler.insert(START, bulk(id, &lane)).unwrap();
    }
    let mut out = due(&mut scheduler, START);
    assert_eq!(out.len(), 4, "all but one of the first five");
    for id in 0..500 {
        scheduler.insert(START, bulk(1_000 + id, &mx(&format!("d{id}.example")))).unwrap();
    }
    out.extend(due(&mut scheduler, START));
    assert_eq!(out.len(), 30, "three quarters of the whole");
    let admitted = out.iter().filter(|attempt| scheduler.admit(START, attempt, &at_p()) == Admission::Go).count();
    assert_eq!(admitted, 4, "the provider's first window is five");
    scheduler.insert(START, ticket(5_000, &lane)).unwrap();
    assert!(ids(&due(&mut scheduler, START)).contains(&5_000), "what somebody waits for goes at once");
}
