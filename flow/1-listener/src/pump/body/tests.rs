//! How long a body that comes very fast is left to wait.

use super::*;

const MIB: u64 = 1 << 20;

fn pace_of(bytes: u64, began: Instant) -> Pace {
    Pace { began, bytes }
}

#[test]
fn a_large_body_that_comes_faster_than_the_largest_rate_is_paused_until_it_does_not() {
    let began = now();
    let pace = pace_of(9 * MIB, began);
    let pause = pace.pause(began, 16 * MIB).unwrap();
    assert_eq!(pause, Duration::from_millis(500));
    assert_eq!(pace.pause(began + pause, 16 * MIB), None);
}

#[test]
fn the_first_mebibyte_is_taken_as_fast_as_it_comes() {
    let began = now();
    assert_eq!(pace_of(MIB, began).pause(began, 1), None);
    assert!(pace_of(MIB + 1, began).pause(began, 1).is_some());
}

#[test]
fn a_pause_too_short_for_a_timer_is_put_off() {
    let began = now();
    assert_eq!(pace_of(MIB + 1000, began).pause(began, 64 * MIB), None);
}

#[test]
fn without_a_largest_rate_nothing_is_paused() {
    let began = now();
    assert_eq!(pace_of(u64::MAX, began).pause(began, 0), None);
}
