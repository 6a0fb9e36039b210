//! Head: counts of the last hour and the last day, in a handful of slots. Promise: within any stretch as long as the window, no more is
//! counted out than was counted in: a slot goes as a whole, once all of it is older than the window. So the window is up to one slot too
//! long, never too short.

use postern_mail::envelope::UnixMillis;

/// How long a window is, and how finely it is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    slots: u64,
    slot_millis: u64,
}

/// An hour, to five minutes.
pub(crate) const HOUR: Span = Span { slots: 12, slot_millis: 300_000 };
/// A day, to the hour.
pub(crate) const DAY: Span = Span { slots: 24, slot_millis: 3_600_000 };

/// Counts by slot, oldest first; at most `slots + 1` of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window(pub(crate) Vec<(u64, u32)>);

impl Window {
    /// What was counted under a clock that was ahead counts from now on as if it were of now. Left where it is, it would shut the account
    /// until the day that clock has told. A clock that is wrong twice, far back and right again, costs what was counted before. True when
    /// something was moved.
    pub(crate) fn settle(&mut self, span: Span, now: UnixMillis) -> bool {
        let current = now.0 / span.slot_millis;
        let from = self.0.partition_point(|(slot, _)| *slot <= current.saturating_add(1));
        let ahead = self.0.split_off(from).into_iter().fold(0_u32, |sum, (_, count)| sum.saturating_add(count));
        if ahead == 0 {
            return false;
        }
        match self.0.last_mut() {
            Some((slot, sum)) if *slot >= current => *sum = sum.saturating_add(ahead),
            _ => self.0.push((current, ahead)),
        }
        true
    }

    /// A clock that was set back a little must not make room.
    fn slot(&self, span: Span, now: UnixMillis) -> u64 {
        let slot = now.0 / span.slot_millis;
        self.0.last().map_or(slot, |(newest, _)| slot.max(*newest))
    }

    /// What counts now.
    pub(crate) fn sum(&self, span: Span, now: UnixMillis) -> u32 {
        let current = self.slot(span, now);
        self.0.iter().filter(|(slot, _)| slot + span.slots >= current).fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Counts; gives the slot, for taking it back.
    pub(crate) fn add(&mut self, span: Span, now: UnixMillis, count: u32) -> u64 {
        let current = self.slot(span, now);
        self.0.retain(|(slot, _)| slot + span.slots >= current);
        match self.0.last_mut() {
            Some((slot, sum)) if *slot == current => *sum = sum.saturating_add(count),
            _ => self.0.push((current, count)),
        }
        current
    }

    /// Takes a count back.
    pub(crate) fn take(&mut self, slot: u64, count: u32) {
        for (_, sum) in self.0.iter_mut().filter(|(at, _)| *at == slot) {
            *sum = sum.saturating_sub(count);
        }
    }

    /// When `count` of what counts now will have gone; `None`: there is not so much.
    pub(crate) fn free_at(&self, span: Span, now: UnixMillis, count: u32) -> Option<UnixMillis> {
        let current = self.slot(span, now);
        let mut gone = 0_u32;
        for (slot, sum) in self.0.iter().filter(|(slot, _)| slot + span.slots >= current) {
            gone = gone.saturating_add(*sum);
            if gone >= count {
                return Some(UnixMillis((slot + span.slots + 1).saturating_mul(span.slot_millis)));
            }
        }
        None
    }

    /// True when nothing counts any more.
    pub(crate) fn is_over(&self, span: Span, now: UnixMillis) -> bool {
        self.sum(span, now) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;

    #[test]
    fn no_hour_ever_holds_more_than_was_counted_out() {
        // One every minute for a day, and at each minute the true count of the last 60 minutes.
        let mut window = Window::default();
        for minute in 0..1440_u64 {
            window.add(HOUR, UnixMillis(minute * MINUTE), 1);
            let true_count = u32::try_from((minute + 1).min(60)).unwrap();
            assert!(window.sum(HOUR, UnixMillis(minute * MINUTE)) >= true_count);
            assert!(window.0.len() <= 13, "bounded");
        }
    }

    #[test]
    fn what_is_told_to_be_free_is_free_then_and_not_before() {
        let mut window = Window::default();
        window.add(HOUR, UnixMillis(7 * MINUTE), 2);
        window.add(HOUR, UnixMillis(31 * MINUTE), 3);
        let now = UnixMillis(40 * MINUTE);
        for (count, left) in [(1, 3), (2, 3), (3, 0), (5, 0)] {
            let free = window.free_at(HOUR, now, count).unwrap();
            assert!(window.sum(HOUR, UnixMillis(free.0 - 1)) > left && window.sum(HOUR, free) == left);
        }
        assert_eq!(window.free_at(HOUR, now, 6), None);
    }

    #[test]
    fn a_clock_that_was_a_year_ahead_locks_nobody_out_for_longer_than_the_window() {
        let now = UnixMillis(600 * MINUTE);
        let mut window = Window::default();
        window.add(HOUR, now, 1);
        window.add(HOUR, UnixMillis(now.0 + 365 * 1440 * MINUTE), 2);
        window.add(HOUR, UnixMillis(now.0 + (365 * 1440 + 10) * MINUTE), 4);
        assert!(window.settle(HOUR, now) && !window.settle(HOUR, now));
        assert!(window.sum(HOUR, now) >= 6, "what was sent still counts");
        let free = window.free_at(HOUR, now, 1).unwrap();
        assert!(free.0 <= now.0 + 65 * MINUTE, "and no longer than if it had been sent now");
        assert_eq!(window.sum(HOUR, free), 0);
        window.add(HOUR, UnixMillis(now.0 - 4 * MINUTE), 1);
        assert!(!window.settle(HOUR, UnixMillis(now.0 - 4 * MINUTE)), "a clock that is corrected by minutes moves nothing");
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_room_and_what_is_taken_back_does() {
        let mut window = Window::default();
        let slot = window.add(HOUR, UnixMillis(600 * MINUTE), 4);
        assert_eq!(window.sum(HOUR, UnixMillis(0)), 4);
        window.take(slot, 3);
        assert_eq!(window.sum(HOUR, UnixMillis(600 * MINUTE)), 1);
    }
}
