//! The scheduler's owner: one task that takes orders, hands out what is due, and never waits for a delivery.
//!
//! Promise: the scheduler is touched by this task alone, so it needs no lock.

use std::sync::Arc;
use std::time::Duration;

use postern_mail::MessageId;
use postern_mail::attempt::{Attempt, Destination, Ticket};
use postern_scheduler::{Admission, Counts, Disposition, LaneSummary, Notice, Rejected, Report, Scheduler, SchedulerSettings};
use tokio::sync::{mpsc, oneshot, watch};

use crate::wire::{Server, clock, deliver, stopped};

/// Orders that wait for the dispatcher; whoever sends more waits.
pub(crate) const ORDERS_MAX: usize = 4096;
/// Orders taken before due work is handed out.
const ORDERS_AT_ONCE: usize = 256;
/// Notices of one round.
const NOTICES_AT_ONCE: usize = 64;

/// What the dispatcher is asked to do.
pub(crate) enum Order {
    /// A message is there.
    Insert(Vec<Ticket>),
    /// The same, and a person is to look at it before it goes on.
    InsertHeld(Vec<Ticket>),
    /// An attempt has found its hosts.
    Admit {
        /// Which.
        attempt: Attempt,
        /// Their names; none where they are nobody else's.
        exchangers: Vec<Arc<str>>,
        /// Whether it may go on.
        answer: oneshot::Sender<Admission>,
    },
    /// An attempt ended.
    Finished {
        /// Which.
        attempt: Attempt,
        /// How.
        report: Report,
        /// What becomes of it.
        answer: oneshot::Sender<Disposition>,
    },
    /// A person wants something of one message; the answer is in how many lanes it was found.
    Steer(Steering, MessageId, oneshot::Sender<usize>),
    /// Try everything for a destination now.
    RetryDestination(Destination, oneshot::Sender<usize>),
    /// How the lanes are.
    Summary(usize, oneshot::Sender<(Counts, Vec<LaneSummary>)>),
    /// New settings.
    Reload(Box<SchedulerSettings>),
}

/// What a person can do to a message in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Steering {
    /// Keep it back.
    Hold,
    /// Let it go on.
    Release,
    /// Now.
    Retry,
    /// Forget it.
    Remove,
}

fn insert(scheduler: &mut Scheduler, ticket: Ticket) {
    let id = ticket.id;
    if let Err(Rejected::Full) = scheduler.insert(clock(), ticket) {
        tracing::error!(%id, "the scheduler cannot number more: the message stays in the spool and is scheduled after a restart");
    }
}

fn carry_out(scheduler: &mut Scheduler, order: Order) {
    let now = clock();
    match order {
        Order::Insert(tickets) => {
            for ticket in tickets {
                insert(scheduler, ticket);
            }
        }
        Order::InsertHeld(tickets) => {
            for ticket in tickets {
                let id = ticket.id;
                insert(scheduler, ticket);
                // In the same order, so that nothing is tried between the two.
                scheduler.hold(now, id);
            }
        }
        Order::Admit { attempt, exchangers, answer } => {
            let _ = answer.send(scheduler.admit(now, &attempt, &exchangers));
        }
        Order::Finished { attempt, report, answer } => {
            let _ = answer.send(scheduler.finished(now, &attempt, report));
        }
        Order::Steer(what, id, answer) => {
            let lanes = match what {
                Steering::Hold => scheduler.hold(now, id),
                Steering::Release => scheduler.release(now, id),
                Steering::Retry => scheduler.retry(now, id),
                Steering::Remove => scheduler.remove(now, id),
            };
            let _ = answer.send(lanes);
        }
        Order::RetryDestination(destination, answer) => {
            let _ = answer.send(scheduler.retry_destination(now, &destination));
        }
        Order::Summary(most, answer) => {
            let _ = answer.send((scheduler.counts(), scheduler.summary(now, most)));
        }
        Order::Reload(settings) => scheduler.reload(now, *settings),
    }
}

/// Runs until told to stop, then goes on answering orders while `alive` deliveries end, without starting any.
pub(crate) async fn run(
    server: Arc<Server>,
    mut scheduler: Scheduler,
    mut orders: mpsc::Receiver<Order>,
    (mut stop, alive): (watch::Receiver<bool>, mpsc::Sender<()>),
) {
    let mut alive = Some(alive);
    let mut due: Vec<Attempt> = Vec::new();
    let mut notices: Vec<Notice> = Vec::new();
    loop {
        let now = clock();
        if let Some(alive) = &alive {
            scheduler.due(now, &mut due);
            for attempt in due.drain(..) {
                let (server, alive) = (Arc::clone(&server), alive.clone());
                tokio::spawn(async move {
                    deliver::attempt(server, attempt).await;
                    drop(alive);
                });
            }
            scheduler.notices(now, NOTICES_AT_ONCE, &mut notices);
            for notice in notices.drain(..) {
                let (server, alive) = (Arc::clone(&server), alive.clone());
                tokio::spawn(async move {
                    deliver::notice(server, notice).await;
                    drop(alive);
                });
            }
        }
        let wait = match scheduler.next_wakeup(now) {
            Some(at) if alive.is_some() => Duration::from_millis(at.0.saturating_sub(now.0)).min(Duration::from_secs(3600)),
            _ => Duration::from_secs(3600),
        };
        tokio::select! {
            biased;
            order = orders.recv() => {
                let Some(order) = order else { return };
                carry_out(&mut scheduler, order);
                for _ in 0..ORDERS_AT_ONCE {
                    let Ok(order) = orders.try_recv() else { break };
                    carry_out(&mut scheduler, order);
                }
            }
            () = stopped(&mut stop), if alive.is_some() => alive = None,
            () = tokio::time::sleep(wait) => {}
        }
    }
}
