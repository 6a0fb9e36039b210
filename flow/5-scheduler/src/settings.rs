//! What an operator may set, as plain values. `base/config` owns the keys and their documentation; the binary fills this in.
//! The defaults here are what the tests of this crate speak about.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use postern_mail::attempt::Destination;

use crate::backoff::Backoff;
use crate::expiry::Expiry;
use crate::providers::Providers;

/// How the scheduler behaves.
#[derive(Clone, Debug)]
pub struct SchedulerSettings {
    /// Tickets queued at most; about 80 octets each.
    pub tickets_max: usize,
    /// Attempts out at most, over all lanes.
    pub concurrency_total: usize,
    /// Lanes remembered at most. A lane with tickets is never forgotten, so a queue for more destinations than this has as many lanes
    /// as it needs; empty lanes are then forgotten at once, the one that has been empty for longest first.
    pub lanes_max: usize,
    /// How long an empty lane's window and trouble are remembered.
    pub lane_memory: Duration,
    /// How a lane behaves that has no shaping of its own.
    pub shaping: Shaping,
    /// Lanes that behave differently.
    pub shaped: HashMap<Destination, Shaping>,
    /// Who is known by the names of its exchangers, and how the lanes that lead there behave together.
    pub providers: Providers,
    /// How long a message waits after it was deferred.
    pub retry: Backoff,
    /// How long a lane waits after its destination gave no answer.
    pub lane_retry: Backoff,
    /// How old a message may get.
    pub expiry: Expiry,
}

/// How many at once and how fast, for one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shaping {
    /// Attempts at once, before anything is known of the destination; at least 1.
    pub window_first: u32,
    /// Attempts at once, however well it goes; at least 1, at most 65,535.
    pub window_max: u32,
    /// Messages a minute; 0 is no limit.
    pub pace_per_minute: u32,
}

impl Default for Shaping {
    fn default() -> Self {
        Self { window_first: 5, window_max: 20, pace_per_minute: 0 }
    }
}

impl Default for SchedulerSettings {
    fn default() -> Self {
        Self {
            tickets_max: 4_000_000,
            concurrency_total: 200,
            lanes_max: 100_000,
            lane_memory: Duration::from_secs(10 * 60),
            shaping: Shaping::default(),
            shaped: HashMap::new(),
            providers: Providers::shipped().clone(),
            retry: Backoff {
                first: Duration::from_secs(5 * 60),
                factor: 2.0,
                longest: Duration::from_secs(4 * 3600),
                jitter: 0.1,
            },
            lane_retry: Backoff {
                first: Duration::from_secs(60),
                factor: 2.0,
                longest: Duration::from_secs(30 * 60),
                jitter: 0.1,
            },
            expiry: Expiry {
                give_up: Duration::from_secs(5 * 24 * 3600),
                warn_after: Some(Duration::from_secs(4 * 3600)),
                grace: Duration::from_secs(4 * 3600),
            },
        }
    }
}

impl SchedulerSettings {
    /// How all lanes of a group behave together.
    pub(crate) fn shaping_of_group(&self, provider: Option<&Arc<str>>) -> Shaping {
        provider.and_then(|name| self.providers.get(name)).map_or(self.shaping, |provider| provider.shaping(self.shaping))
    }

    /// How a lane to `destination` behaves.
    #[must_use]
    pub fn shaping_of(&self, destination: &Destination) -> Shaping {
        self.shaped.get(destination).copied().unwrap_or(self.shaping)
    }
}
