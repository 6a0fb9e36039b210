//! Rate per destination. Promise: over any stretch of time no more than the rate goes out, and at most one second's worth above it.

use postern_mail::envelope::UnixMillis;

/// How many microseconds' worth may go at once: a caller who comes late catches up this much.
const BURST: u64 = 1_000_000;

/// When the next message may go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Microseconds between two messages; 0 is no limit.
    apart: u32,
    /// Microseconds since 1970: when the next one would go at an even pace.
    next: u64,
}

impl Pace {
    pub(crate) fn new(per_minute: u32) -> Self {
        let apart = 60_000_000_u32.checked_div(per_minute).map_or(0, |apart| apart.max(1));
        Self { apart, next: 0 }
    }

    /// Keeps what was counted, at another rate.
    pub(crate) fn change(&mut self, per_minute: u32) {
        self.apart = Self::new(per_minute).apart;
    }

    /// Nothing ever waits.
    pub(crate) fn is_unlimited(&self) -> bool {
        self.apart == 0
    }

    /// The next message must wait for this; it may be past.
    pub(crate) fn next(&self) -> UnixMillis {
        if self.apart == 0 { UnixMillis(0) } else { UnixMillis(self.next.div_ceil(1_000)) }
    }

    /// One message goes now.
    pub(crate) fn count(&mut self, now: UnixMillis) {
        if self.apart > 0 {
            let apart = u64::from(self.apart);
            let earliest = now.0.saturating_mul(1_000).saturating_sub(BURST.saturating_sub(apart));
            self.next = self.next.max(earliest).saturating_add(apart);
        }
    }

    /// One that was counted did not go after all.
    pub(crate) fn uncount(&mut self) {
        self.next = self.next.saturating_sub(u64::from(self.apart));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent_in_a_minute(per_minute: u32, step: u64) -> u32 {
        let mut pace = Pace::new(per_minute);
        let mut sent = 0;
        for now in (1_000_000..1_060_000).step_by(usize::try_from(step).unwrap()).map(UnixMillis) {
            while pace.next() <= now && sent < 100_000 {
                pace.count(now);
                sent += 1;
            }
        }
        sent
    }

    #[test]
    fn a_minute_holds_what_it_should_however_often_someone_looks() {
        assert_eq!(sent_in_a_minute(1, 100), 1);
        for rate in [60, 600, 6_000, 40_000] {
            for step in [1, 10, 100] {
                let sent = sent_in_a_minute(rate, step);
                assert!((rate * 98 / 100..=rate + rate / 60).contains(&sent), "{sent} at {rate} looking every {step} ms");
            }
        }
    }

    #[test]
    fn without_a_rate_nothing_waits() {
        assert_eq!(sent_in_a_minute(0, 100), 100_000);
    }
}
