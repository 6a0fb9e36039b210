//! Tests of the counter: how it fades, what it forgets, and that its memory ends.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn at(seconds: u64) -> UnixMillis {
    UnixMillis(1_700_000_000_000 + seconds * 1000)
}

#[test]
fn counts_add_up_within_the_window_and_fade_after_it() {
    let mut tally = Tally::new(64);
    assert_eq!(tally.add(at(0), 1_u32, 2, MINUTE), 2);
    assert_eq!(tally.add(at(30), 1, 1, MINUTE), 3);
    assert_eq!(tally.get(at(59), 1, MINUTE), 3);
    assert_eq!(tally.get(at(90), 1, MINUTE), 1, "half of the window before still counts, rounded down");
    assert_eq!(tally.get(at(120), 1, MINUTE), 0);
    assert_eq!(tally.get(at(0), 2, MINUTE), 0, "nobody else's count");
}

#[test]
fn an_amount_without_end_stays_at_the_largest_number() {
    let mut tally = Tally::new(64);
    tally.add(at(0), 1_u32, u32::MAX, MINUTE);
    assert_eq!(tally.add(at(1), 1, u32::MAX, MINUTE), u32::MAX);
}

#[test]
fn a_clock_set_back_neither_forgets_nor_holds_for_ever() {
    let mut tally = Tally::new(64);
    tally.add(at(100_000), 1_u32, 7, MINUTE);
    assert_eq!(tally.add(at(0), 1, 1, MINUTE), 8);
    assert_eq!(tally.get(at(120), 1, MINUTE), 0);
}

#[test]
fn who_is_pardoned_begins_anew() {
    let mut tally = Tally::new(64);
    tally.add(at(0), 1_u32, 7, MINUTE);
    tally.forget(1);
    assert!(tally.is_empty());
    assert_eq!(tally.add(at(1), 1, 1, MINUTE), 1);
}

#[test]
fn a_flood_of_new_keys_does_not_push_out_keys_near_their_limit() {
    let mut tally = Tally::new(1024);
    for key in 0..64_u32 {
        tally.add(at(0), key, 9, MINUTE);
    }
    for key in 1000..50_000_u32 {
        tally.add(at(10), key, 1, MINUTE);
    }
    let kept = (0..64).filter(|key| tally.get(at(10), *key, MINUTE) == 9).count();
    assert_eq!(kept, 64);
}

#[test]
fn what_has_faded_gives_way_to_what_is_fresh() {
    let mut tally = Tally::new(8);
    for key in 0..8_u32 {
        tally.add(at(0), key, 100, MINUTE);
    }
    // 100 a minute and a half ago count for 50, and these for 60.
    for key in 10..17 {
        tally.add(at(90), key, 60, MINUTE);
    }
    for key in 10..17 {
        assert_eq!(tally.get(at(90), key, MINUTE), 60, "{key}");
    }
}

#[test]
fn memory_is_bounded_and_taken_only_as_needed() {
    let mut tally = Tally::new(10_000);
    let small = tally.bytes();
    for key in 0..50_000_u32 {
        tally.add(at(0), key, 1, MINUTE);
    }
    assert!(tally.len() <= 10_000, "{}", tally.len());
    let most = 10_000 * tally.bytes() / tally.slots.len();
    assert!(tally.bytes() <= most && small * 20 < most, "{small} to {}", tally.bytes());
    assert_eq!(Tally::<u32>::entries_in(most), 10_000);
}

#[test]
fn an_entry_for_a_network_is_small() {
    assert!(size_of::<Option<Slot<crate::client::Subnet>>>() <= 40);
}

#[test]
fn nothing_is_lost_while_the_table_can_grow() {
    let mut tally = Tally::new(4096);
    for key in 0..2048_u32 {
        tally.add(at(0), key, 3, MINUTE);
    }
    assert!((0..2048).all(|key| tally.get(at(0), key, MINUTE) == 3));
}

proptest! {
    /// In any window at most twice what was asked for gets through, and no less than was asked for is counted for steady comers.
    #[test]
    fn no_window_lets_more_than_twice_the_limit_through(gaps in prop::collection::vec(0_u64..40, 1..300), limit in 1_u32..20) {
        let mut tally = Tally::new(64);
        let (mut now, mut passed) = (0_u64, Vec::new());
        for gap in gaps {
            now += gap;
            // As a ceiling does: what is refused is not counted.
            if tally.get(at(now), 1_u32, MINUTE) < limit {
                tally.add(at(now), 1, 1, MINUTE);
                passed.push(now);
            }
            let within = passed.iter().filter(|then| **then + 60 > now).count();
            prop_assert!(within <= 2 * limit as usize, "{within} of {limit}");
        }
    }

    #[test]
    fn it_agrees_with_a_map_within_one_window(adds in prop::collection::vec((0_u32..50, 1_u32..100), 0..200)) {
        let mut tally = Tally::new(1024);
        let mut sums: HashMap<u32, u32> = HashMap::new();
        for (key, amount) in adds {
            let sum = sums.entry(key).or_default();
            *sum += amount;
            prop_assert_eq!(tally.add(at(5), key, amount, MINUTE), *sum);
        }
    }
}
