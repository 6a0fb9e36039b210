//! The scheduler on a virtual clock.

use std::sync::Arc;
use std::time::Duration;

use postern_mail::attempt::Destination;
use postern_mail::{Domain, Scope, Status};

use super::*;
use crate::backoff::Backoff;
use crate::settings::Shaping;
use crate::words::Trouble;

mod clock;
mod groups;
mod lanes;
mod model;
mod orders;

const START: UnixMillis = UnixMillis(1_700_000_000_000);
const MINUTES: fn(u64) -> Duration = |n| Duration::from_secs(60 * n);
const HOURS: fn(u64) -> Duration = |n| Duration::from_secs(3_600 * n);

const SILENT: Report = Report { trouble: Some(Trouble::of(Scope::Destination, Status::new(4, 4, 1))), deferred: true };
const BUSY_HOST: Report = Report { trouble: Some(Trouble::of(Scope::Host, Status::new(4, 3, 2))), deferred: true };
const GREYLISTED: Report = Report { trouble: Some(Trouble::of(Scope::Recipient, Status::new(4, 7, 1))), deferred: true };
/// A grey list that answers after the data.
const GREY_AT_THE_END: Report = Report { trouble: Some(Trouble::of(Scope::Destination, Status::new(4, 7, 1))), deferred: true };
/// The domain's policy on TLS forbids the host.
const NOT_SAFE: Report = Report { trouble: Some(Trouble::of(Scope::Host, Status::new(4, 7, 5))), deferred: true };
const BOUNCED: Report = Report { trouble: Some(Trouble::of(Scope::Recipient, Status::new(5, 1, 1))), deferred: false };

fn exact(first: Duration, longest: Duration) -> Backoff {
    Backoff { first, factor: 2.0, longest, jitter: 0.0 }
}

/// Waits without jitter, so that tests can say when.
fn settings() -> SchedulerSettings {
    SchedulerSettings {
        retry: exact(MINUTES(5), HOURS(4)),
        lane_memory: MINUTES(15),
        lane_retry: exact(MINUTES(1), MINUTES(30)),
        ..SchedulerSettings::default()
    }
}

fn mx(name: &str) -> Destination {
    Destination::Mx(Domain::parse(name).unwrap())
}

fn ticket(id: u64, destination: &Destination) -> Ticket {
    Ticket {
        id: MessageId(id),
        destination: destination.clone(),
        account: None,
        received: START,
        due: START,
        attempts: 0,
        is_bulk: false,
    }
}

fn from_account(id: u64, destination: &Destination, account: &Arc<str>) -> Ticket {
    Ticket { account: Some(account.clone()), ..ticket(id, destination) }
}

fn due(scheduler: &mut Scheduler, now: UnixMillis) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    scheduler.due(now, &mut attempts);
    attempts
}

fn notices(scheduler: &mut Scheduler, now: UnixMillis) -> Vec<(u64, NoticeKind)> {
    let mut notices = Vec::new();
    scheduler.notices(now, 1_000_000, &mut notices);
    notices.into_iter().map(|notice| (notice.id.0, notice.kind)).collect()
}

fn ids(attempts: &[Attempt]) -> Vec<u64> {
    attempts.iter().map(|attempt| attempt.id.0).collect()
}

/// Nothing of a queue that was worked off is left but remembered lanes, and after their time not even those.
fn assert_nothing_is_left(scheduler: &mut Scheduler, now: UnixMillis) {
    assert_eq!(scheduler.counts(), Counts::default());
    assert!(scheduler.is_empty());
    assert_eq!((scheduler.deferred.next(), scheduler.ages.next(), scheduler.lanes.next_wake()), (None, None, None));
    assert_eq!((scheduler.accounts.len(), scheduler.lanes.turns_open(), scheduler.lanes.probes_out()), (0, 0, 0));
    assert_eq!(scheduler.next_wakeup(now), None);
    assert!(scheduler.counted.is_empty());
    assert!(due(scheduler, now.plus(scheduler.settings.lane_memory)).is_empty());
    assert_eq!((scheduler.lanes.len(), scheduler.lanes.groups.cells.len()), (0, 0));
}
