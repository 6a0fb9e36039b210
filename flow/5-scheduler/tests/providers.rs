//! Fifty thousand recipients on a virtual clock: what providers and those who wait see of the scheduler.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, dead_code, reason = "a test may stop")]

mod simulation;

use simulation::{Result, Setting, percentile, run};

const SETTING: Setting = Setting { recipients: 50_000, domains: 2_500, single_every: 10, dead: (0, 0), hours: 12 };

fn assert_within_limits(result: &Result) {
    assert!(result.out_most <= 200);
    assert!(result.rounds < 1_000_000, "{} rounds: the scheduler wants to be asked for nothing", result.rounds);
    for (name, seen) in &result.seen {
        assert!(seen.open_limit.is_none_or(|limit| seen.open_most <= limit), "{name}: {} connections at once", seen.open_most);
        // The rate, and one second's worth for who comes late, and what a lookup took while the second went on.
        let minute = seen.minute_limit.map(|limit| usize::try_from(limit + limit / 60 + 2).unwrap());
        assert!(minute.is_none_or(|limit| seen.minute_most <= limit), "{name}: {} messages in a minute", seen.minute_most);
    }
}

#[test]
fn a_dead_provider_with_half_of_all_waiting_slows_nobody_and_no_provider_sees_more_than_its_limits() {
    let alone = run(&SETTING);
    let beside = run(&Setting { dead: (50_000, 2_000), ..SETTING });
    assert_within_limits(&alone);
    assert_within_limits(&beside);
    let (mut last_alone, mut last_beside) = (0, 0);
    for (name, seen) in alone.seen.iter().filter(|(_, seen)| seen.delivered > 0) {
        let other = &beside.seen[name];
        assert_eq!((seen.delivered, other.delivered), (seen.recipients, other.recipients), "all of {name} is taken");
        // Who lies at random is answered with waits at random: there, one run is no measure for another.
        if !name.contains("lying") && !["qq", "t-online", "hosts.example"].contains(&&**name) {
            assert!(other.drained * 100 <= seen.drained * 105, "{name}: {} ms instead of {}", other.drained, seen.drained);
            last_alone = last_alone.max(seen.drained);
            last_beside = last_beside.max(other.drained);
        }
    }
    assert!(last_beside * 100 <= last_alone * 103);
    let dead = &beside.seen["dead"];
    assert_eq!(dead.delivered, 0);
    assert!(dead.open_most <= 20 && dead.hour_most <= 4, "{} tries in an hour at a dead host", dead.hour_most);
    assert!(dead.tries < 60, "{} tries for 50,000 messages", dead.tries);
}

#[test]
fn what_somebody_waits_for_does_not_wait_for_what_nobody_does() {
    let result = run(&SETTING);
    let (single, bulk) = (&result.single_waits, &result.bulk_waits);
    assert!(single.len() > 4_000 && bulk.len() > 40_000);
    assert!(percentile(single, 90) <= 1_000, "90 % within {} ms", percentile(single, 90));
    assert!(percentile(bulk, 50) > 60_000, "bulk mail is a flood here, or nothing is shown");
    let all_bulk = result.seen.values().filter(|seen| seen.delivered > 0).all(|seen| seen.delivered == seen.recipients);
    assert!(all_bulk, "and bulk mail is not left behind");
}
