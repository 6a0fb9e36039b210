//! New sending addresses: how much each may send to each provider on each day of its first weeks. Promise: an address never sends a
//! provider more than its plan allows, a plan survives a restart as a line of text, and what a new address may not send an old one does.
//!
//! A provider trusts an address by what it has seen of it. Mail of a new one that comes all at once is taken for a hacked machine's.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;

use postern_mail::envelope::UnixMillis;

const DAY: u64 = 86_400_000;
/// Counters kept at most: addresses times providers. More are not counted but refused, so that a full table cannot be a way around.
const COUNTERS_MAX: usize = 4_096;

/// How much on which day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// When the address began; days are counted from here, each 24 hours.
    pub began: UnixMillis,
    /// Messages to one provider on the first day, the second, and so on; after the last there is no limit.
    pub days: Vec<u32>,
}

impl Plan {
    /// Each day twice the one before, until `most`: `first` 50 and `most` 100,000 take eleven days.
    #[must_use]
    pub fn doubling(began: UnixMillis, first: u32, most: u32) -> Self {
        let days = std::iter::successors(Some(first.max(1)), |day| day.checked_mul(2)).take_while(|day| *day < most);
        Self { began, days: days.collect() }
    }

    fn day(&self, now: UnixMillis) -> u64 {
        now.0.saturating_sub(self.began.0) / DAY
    }

    /// `None`: as much as any other address.
    fn allowance(&self, now: UnixMillis) -> Option<u32> {
        self.days.get(usize::try_from(self.day(now)).ok()?).copied()
    }

    /// When the next day begins.
    fn next_day(&self, now: UnixMillis) -> UnixMillis {
        UnixMillis(self.began.0.saturating_add((self.day(now) + 1).saturating_mul(DAY)))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Count {
    day: u64,
    sent: u32,
}

/// The plans of all addresses that have one, and what they have used.
#[derive(Debug, Default)]
pub struct WarmUp {
    plans: BTreeMap<IpAddr, Plan>,
    counts: BTreeMap<(IpAddr, Arc<str>), Count>,
}

/// Which address a message is sent from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// This one. It is counted already.
    From(IpAddr),
    /// None has anything left for the provider before this.
    NotBefore(UnixMillis),
}

impl WarmUp {
    /// With the plans of the configuration.
    #[must_use]
    pub fn new(plans: impl IntoIterator<Item = (IpAddr, Plan)>) -> Self {
        Self { plans: plans.into_iter().collect(), counts: BTreeMap::new() }
    }

    /// Picks an address for one message to a provider, and counts it. New addresses with something left go first, or they would never
    /// be known; what is above their plan goes to warm ones.
    pub fn pick(&mut self, now: UnixMillis, provider: &Arc<str>, addresses: &[IpAddr]) -> Option<Sender> {
        let mut warm = None;
        let mut not_before: Option<UnixMillis> = None;
        for address in addresses {
            let Some((plan, most)) = self.plans.get(address).and_then(|plan| Some((plan, plan.allowance(now)?))) else {
                warm = warm.or(Some(*address));
                continue;
            };
            let (day, next) = (plan.day(now), plan.next_day(now));
            if self.count(*address, provider, day, most) {
                return Some(Sender::From(*address));
            }
            not_before = Some(not_before.map_or(next, |other| other.min(next)));
        }
        warm.map(Sender::From).or(not_before.map(Sender::NotBefore))
    }

    fn count(&mut self, address: IpAddr, provider: &Arc<str>, day: u64, most: u32) -> bool {
        let key = (address, provider.clone());
        if !self.counts.contains_key(&key) && self.counts.len() >= COUNTERS_MAX {
            return false;
        }
        let count = self.counts.entry(key).or_insert(Count { day, sent: 0 });
        if count.day < day {
            *count = Count { day, sent: 0 };
        }
        let is_allowed = count.sent < most;
        count.sent += u32::from(is_allowed);
        is_allowed
    }

    /// Forgets counters of days that are over.
    pub fn tidy(&mut self, now: UnixMillis) {
        let plans = &self.plans;
        self.counts.retain(|(address, _), count| plans.get(address).is_some_and(|plan| plan.day(now) <= count.day));
    }

    /// What must outlive a restart, a line for each counter: address, provider, day, messages.
    #[must_use]
    pub fn save(&self) -> String {
        let mut text = String::new();
        for ((address, provider), count) in &self.counts {
            let _ = writeln!(text, "{address}\t{provider}\t{}\t{}", count.day, count.sent);
        }
        text
    }

    /// Takes back what was saved; lines that are none, or of addresses without a plan, are passed over.
    pub fn restore(&mut self, text: &str) {
        for line in text.lines().take(COUNTERS_MAX) {
            let mut fields = line.split('\t');
            let (Some(address), Some(provider), Some(day), Some(sent)) =
                (fields.next(), fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let (Ok(address), Ok(day), Ok(sent)) = (address.parse::<IpAddr>(), day.parse(), sent.parse()) else { continue };
            if self.plans.contains_key(&address) {
                self.counts.insert((address, provider.into()), Count { day, sent });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const BEGAN: UnixMillis = UnixMillis(1_700_000_000_000);
    const NEW: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const OLD: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    fn on(day: u64) -> UnixMillis {
        UnixMillis(BEGAN.0 + day * DAY + 1)
    }

    fn warm_up() -> WarmUp {
        WarmUp::new([(NEW, Plan::doubling(BEGAN, 50, 400))])
    }

    fn sent_from_new(warm_up: &mut WarmUp, now: UnixMillis, provider: &str, tries: u32) -> usize {
        let provider = provider.into();
        (0..tries).filter(|_| warm_up.pick(now, &provider, &[NEW, OLD]) == Some(Sender::From(NEW))).count()
    }

    #[test]
    fn a_new_address_sends_each_provider_what_the_day_allows_and_the_rest_overflows() {
        let mut warm_up = warm_up();
        for (day, allowed) in [(0, 50), (1, 100), (2, 200), (3, 1_000), (30, 1_000)] {
            assert_eq!(sent_from_new(&mut warm_up, on(day), "google", 1_000), allowed, "day {day}");
            assert_eq!(sent_from_new(&mut warm_up, on(day), "yahoo", 1_000), allowed, "day {day}");
        }
    }

    #[test]
    fn with_no_warm_address_mail_waits_for_the_next_day() {
        let mut warm_up = warm_up();
        let provider = "google".into();
        for _ in 0..50 {
            assert_eq!(warm_up.pick(on(0), &provider, &[NEW]), Some(Sender::From(NEW)));
        }
        assert_eq!(warm_up.pick(on(0), &provider, &[NEW]), Some(Sender::NotBefore(UnixMillis(BEGAN.0 + DAY))));
        assert_eq!(warm_up.pick(on(0), &provider, &[]), None, "the system's choice");
    }

    #[test]
    fn a_restart_gives_nobody_a_second_allowance() {
        let mut before = warm_up();
        assert_eq!(sent_from_new(&mut before, on(1), "google", 70), 70);
        let mut after = warm_up();
        after.restore(&format!("{}what\tis\tthis\n10.0.0.1\tgoogle\t1\t5\n", before.save()));
        assert_eq!(after.save(), before.save());
        assert_eq!(sent_from_new(&mut after, on(1), "google", 1_000), 30);
        assert_eq!(sent_from_new(&mut after, BEGAN, "google", 1_000), 0, "a clock that goes back gives nothing back");
    }

    #[test]
    fn counters_are_bounded_and_a_full_table_is_no_way_around() {
        let mut warm_up = warm_up();
        for n in 0..COUNTERS_MAX + 100 {
            sent_from_new(&mut warm_up, on(0), &format!("p{n}"), 1);
        }
        assert_eq!(warm_up.counts.len(), COUNTERS_MAX);
        assert_eq!(sent_from_new(&mut warm_up, on(0), "one more", 10), 0);
        warm_up.tidy(on(1));
        assert!(warm_up.counts.is_empty());
        assert_eq!(sent_from_new(&mut warm_up, on(1), "one more", 10), 10);
    }
}
