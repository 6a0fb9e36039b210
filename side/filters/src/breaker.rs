//! Head: whether a filter is worth asking. Promise: after [`FAILURES`] failures in a row it is left alone for a while, which doubles up to
//! [`LONGEST`], and then one message tries it; a success makes it as good as new. What fails on the messages of one client alone is no failure of
//! the filter: nobody shuts it for all by what he sends.

use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Failures in a row that shut it.
pub(crate) const FAILURES: u32 = 3;
/// Clients that are remembered of a filter that fails.
const CLIENTS_MAX: usize = 64;
const FIRST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, Default)]
pub(crate) struct Breaker {
    failures: u32,
    /// Whose messages it failed on since it last succeeded, as many as count.
    clients: Vec<IpAddr>,
    shut_until: Option<Instant>,
}

impl Breaker {
    /// Whether to ask. Who is told yes while it was shut is the one who tries; the others are told no until it has.
    pub(crate) fn ask(&mut self, now: Instant) -> bool {
        match self.shut_until {
            Some(until) if now < until => false,
            Some(_) => {
                self.shut_until = Some(now + self.pause());
                true
            }
            None => true,
        }
    }

    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// True when this failure shut it. With whose message it was, where it failed on a message and not before it was shown one.
    pub(crate) fn failed(&mut self, now: Instant, client: Option<IpAddr>) -> bool {
        if let Some(client) = client.map(network) {
            if self.clients.contains(&client) {
                // The next message tries it.
                self.shut_until = self.shut_until.map(|_| now);
                return false;
            }
            if self.clients.len() < CLIENTS_MAX {
                self.clients.push(client);
            }
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures < FAILURES {
            return false;
        }
        let was_open = self.shut_until.is_none();
        self.shut_until = Some(now + self.pause());
        was_open
    }

    /// That it is not asked was not its fault nor a success: whoever was to try it did not, and the next does.
    pub(crate) fn untried(&mut self, now: Instant) {
        self.shut_until = self.shut_until.map(|_| now);
    }

    fn pause(&self) -> Duration {
        let doublings = self.failures.saturating_sub(FAILURES).min(8);
        (FIRST * 2_u32.pow(doublings)).min(LONGEST)
    }
}

/// What one client may have of addresses.
fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test may begin at any time")]
    fn a_filter_that_fails_again_and_again_is_left_alone_and_then_tried_by_one() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut breaker = Breaker::default();
        assert!(!breaker.failed(start, None) && !breaker.failed(start, None));
        assert!(breaker.ask(start));
        assert!(breaker.failed(start, None), "the third shuts it");
        assert!(!breaker.ask(at(4)));
        assert!(breaker.ask(at(5)), "one tries");
        assert!(!breaker.ask(at(5)), "the others do not");
        assert!(!breaker.failed(at(5), None), "it was shut already");
        assert!(!breaker.ask(at(14)), "the pause doubled");
        assert!(breaker.ask(at(15)));
        breaker.succeeded();
        assert!(breaker.ask(at(15)) && breaker.ask(at(15)));
        for _ in 0..100 {
            breaker.failed(at(20), None);
        }
        assert!(!breaker.ask(at(79)) && breaker.ask(at(80)), "the pause has a longest");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test may begin at any time")]
    fn one_client_alone_does_not_shut_a_filter_by_its_messages() {
        let start = Instant::now();
        let client = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        let mut breaker = Breaker::default();
        for number in 0..100 {
            let (four, six) = (client("192.0.2.7"), client(&format!("2001:db8::{number}")));
            assert!(!breaker.failed(start, four) && !breaker.failed(start, six), "two clients, whatever they send");
        }
        assert!(breaker.ask(start));
        assert!(breaker.failed(start, client("192.0.2.8")), "a third");
        let later = start + FIRST;
        assert!(breaker.ask(later));
        assert!(!breaker.failed(later, client("192.0.2.7")), "who is known to fail decides nothing");
        assert!(breaker.ask(later), "the next one tries");
    }
}
