//! One attempt, from the spool to outcomes and back into the spool.
//!
//! Promise: a message leaves the spool only when each of its recipients has come to an end and every report about that is durable. A crash
//! at any line means a second try, never a loss.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use postern_config::Deliver;
use postern_delivery::{BodyPieces, BodySource, BoxFuture, InlinePieces, Message, maildir};
use postern_mail::attempt::{Attempt, Destination, Ticket};
use postern_mail::event::Event;
use postern_mail::outcome::Evidence;
use postern_mail::{Envelope, MessageId, Outcome, Recipient, Scope, Status};
use postern_outcome::{DelayNotice, Ended, Reach, record, reports_due};
use postern_scheduler::{Disposition, Notice, NoticeKind, Report};
use postern_spool::{Body, BodyFile, LoadError, Progress, Reason, RecipientState, Stored};
use tokio::sync::oneshot;

use crate::wire::dispatch::Order;
use crate::wire::routing::Way;
use crate::wire::{Live, Server, admit, clock, guard, outward, report, returns, routing, signing, suppression, tls_reports};

/// When a report cannot be stored, or a message not be read, it is taken up again after this.
const REPORT_RETRY: Duration = Duration::from_secs(600);

/// The spool's body as delivery wants it.
struct SpooledBody<'a> {
    body: &'a Body,
    size: u64,
}

impl BodySource for SpooledBody<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn whole(&self) -> Option<&[u8]> {
        match self.body {
            Body::Inline(bytes) => Some(bytes),
            Body::File(_) => None,
        }
    }

    fn open(&self) -> BoxFuture<'_, io::Result<Box<dyn BodyPieces + '_>>> {
        match self.body {
            Body::Inline(bytes) => Box::pin(async move { Ok(Box::new(InlinePieces::of(bytes)) as Box<dyn BodyPieces + '_>) }),
            Body::File(file) => {
                Box::pin(async move { Ok(Box::new(SpooledPieces(file.from_start())) as Box<dyn BodyPieces + '_>) })
            }
        }
    }
}

struct SpooledPieces(BodyFile);

impl BodyPieces for SpooledPieces {
    fn append_next<'a>(&'a mut self, into: &'a mut Vec<u8>) -> BoxFuture<'a, io::Result<usize>> {
        Box::pin(async move {
            match self.0.next_piece().await {
                Ok(Some(piece)) => {
                    into.extend_from_slice(&piece);
                    Ok(piece.len())
                }
                Ok(None) => Ok(0),
                Err(error) => Err(io::Error::other(error.to_string())),
            }
        })
    }
}

/// Gives an attempt back that ended in a panic: the scheduler would take it for running until the next start, and its lane would have one
/// place less.
struct GiveBack {
    server: Arc<Server>,
    attempt: Attempt,
}

impl Drop for GiveBack {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if !std::thread::panicking() {
            return;
        }
        let (server, attempt) = (Arc::clone(&self.server), self.attempt.clone());
        tracing::error!(id = %attempt.id, "an attempt ended in a panic, which is a mistake of ours; the message is tried again later");
        runtime.spawn(async move {
            let disposition = finished(&server, &attempt, Report { trouble: None, deferred: true }).await;
            // It may have been over for the scheduler already, with something left to write. Where the message is gone, the try finds out.
            if matches!(disposition, Disposition::Expired | Disposition::Unknown) {
                take_up_again(&server, &attempt, None).await;
            }
        });
    }
}

/// Does the work of an attempt and sees to it that the scheduler hears of its end, whatever that is.
pub(crate) async fn guarded(server: Arc<Server>, attempt: Attempt, work: impl Future<Output = ()>) {
    let _give_back = GiveBack { server, attempt };
    work.await;
}

/// Tries a message for the recipients of one lane.
pub(crate) async fn attempt(server: Arc<Server>, attempt: Attempt) {
    let work = try_for_lane(Arc::clone(&server), attempt.clone());
    guarded(server, attempt, work).await;
}

async fn try_for_lane(server: Arc<Server>, attempt: Attempt) {
    let live = server.live.load_full();
    let stored = match server.spool.load(attempt.id).await {
        Ok(stored) => stored,
        Err(LoadError::NotFound) => {
            // Taken out by a person in the meantime.
            finished(&server, &attempt, Report::WORKED).await;
            return;
        }
        Err(error) => {
            tracing::error!(id = %attempt.id, %error, "a message cannot be read back; it is tried again later");
            let disposition = finished(&server, &attempt, Report { trouble: None, deferred: true }).await;
            if matches!(disposition, Disposition::Expired) {
                // Nobody can be told that it is given up, so it is not.
                take_up_again(&server, &attempt, None).await;
            }
            return;
        }
    };
    let mine = recipients_of(&live, &stored.envelope, &stored.progress, |destination| *destination == attempt.destination);
    if mine.is_empty() {
        // Routes have changed since it was scheduled: it goes on in other lanes.
        let open = stored.progress.open().filter_map(|index| stored.envelope.recipients.get(index)).map(Recipient::address);
        let tickets =
            routing::tickets(&live.config, attempt.id, &stored.envelope, open, (clock(), attempt.number.saturating_sub(1)));
        finished(&server, &attempt, Report::WORKED).await;
        let _ = server.dispatcher.send(Order::Insert(tickets)).await;
        return;
    }
    let recipients: Vec<Recipient> = mine.iter().filter_map(|index| stored.envelope.recipients.get(*index).cloned()).collect();
    let Some(outcomes) = deliver(&server, &live, &attempt, &stored, &recipients).await else { return };
    conclude(&server, &live, &attempt, &stored, &mine, outcomes).await;
}

/// Indices of open recipients whose lane is wanted.
fn recipients_of(live: &Live, envelope: &Envelope, progress: &Progress, wanted: impl Fn(&Destination) -> bool) -> Vec<usize> {
    progress
        .open()
        .filter(|index| {
            let recipient = envelope.recipients.get(*index);
            recipient.is_some_and(|recipient| wanted(&routing::destination(&live.config, recipient.address())))
        })
        .collect()
}

/// What came back to us has its outcome there; the rest goes its way. `None`: it was not its turn, as the names of its hosts have shown.
async fn deliver(
    server: &Arc<Server>,
    live: &Live,
    attempt: &Attempt,
    stored: &Stored,
    recipients: &[Recipient],
) -> Option<Vec<Outcome>> {
    let taken = returns::take(server, live, stored, recipients).await;
    if taken.iter().all(Option::is_none) {
        return deliver_rest(server, live, attempt, stored, recipients).await;
    }
    let rest: Vec<Recipient> =
        recipients.iter().zip(&taken).filter(|(_, taken)| taken.is_none()).map(|(to, _)| to.clone()).collect();
    let outcomes = if rest.is_empty() { Vec::new() } else { deliver_rest(server, live, attempt, stored, &rest).await? };
    let mut outcomes = outcomes.into_iter();
    Some(taken.into_iter().filter_map(|taken| taken.or_else(|| outcomes.next())).collect())
}

async fn deliver_rest(
    server: &Server,
    live: &Live,
    attempt: &Attempt,
    stored: &Stored,
    recipients: &[Recipient],
) -> Option<Vec<Outcome>> {
    let body = SpooledBody { body: &stored.body, size: stored.size };
    let message = Message { id: attempt.id, envelope: &stored.envelope, recipients, body: &body };
    Some(match routing::way(live, &server.sts, &attempt.destination).await {
        Err(outcome) => vec![outcome; recipients.len()],
        Ok(Way::Discard) => maildir::discard(message),
        Ok(Way::Maildir(template)) => server.maildirs.deliver(&template, message).await,
        Ok(Way::Webhook(hook)) => live.delivery.post(&hook, message).await,
        Ok(Way::Hop(hop)) if !admit::may_go(server, attempt, &hop).await => return None,
        Ok(Way::Hop(mut hop)) => {
            let signed = match signing::signed(server, live, attempt, (&stored.envelope, &body)).await {
                Ok(signed) => signed,
                Err(outcome) => return Some(vec![outcome; recipients.len()]),
            };
            let mut told = Vec::new();
            let relaxed = outward::relax(&mut hop, stored).await;
            let message = Message { body: &signed, ..message };
            let outcomes = Box::pin(returns::deliver(server, live, attempt, (&hop, stored), (message, &mut told))).await;
            if !relaxed {
                tls_reports::note(server, live, (&attempt.destination, &hop), &stored.envelope, &told);
            }
            outcomes
        }
    })
}

async fn finished(server: &Server, attempt: &Attempt, report: Report) -> Disposition {
    let (answer, disposition) = oneshot::channel();
    let order = Order::Finished { attempt: attempt.clone(), report, answer };
    if server.dispatcher.send(order).await.is_err() {
        return Disposition::Unknown;
    }
    disposition.await.unwrap_or(Disposition::Unknown)
}

async fn conclude(server: &Arc<Server>, live: &Live, attempt: &Attempt, stored: &Stored, mine: &[usize], outcomes: Vec<Outcome>) {
    let now = clock();
    let disposition = finished(server, attempt, Report::of(&outcomes)).await;
    let (outcomes, next, warn) = match disposition {
        Disposition::Expired => (outcomes.into_iter().map(record::expired).collect::<Vec<_>>(), None, false),
        Disposition::Again { due, warn_delay, .. } => (outcomes, Some(due), warn_delay),
        _ => (outcomes, None, false),
    };
    for (index, outcome) in mine.iter().zip(&outcomes) {
        if let Some(recipient) = stored.envelope.recipients.get(*index) {
            server.emit(record::attempted(attempt, recipient.address(), outcome, now, next));
        }
    }
    let warn = warn && !stored.progress.delay_reported;
    let delay = if warn {
        DelayNotice::Due { retry_until: stored.envelope.received.plus(live.config.outbound.retry.give_up) }
    } else {
        DelayNotice::NotDue
    };
    let reported = {
        let ended: Vec<Ended<'_>> = mine
            .iter()
            .zip(&outcomes)
            .filter_map(|(index, outcome)| {
                let recipient = stored.envelope.recipients.get(*index)?;
                Some(Ended { recipient, outcome, reach: reach(live, attempt) })
            })
            .collect();
        match reports_due(&stored.envelope, &ended, delay) {
            None => Ok(()),
            // A person took it out while it was tried, and has said what the sender is told.
            Some(_) if matches!(disposition, Disposition::Removed) => Ok(()),
            Some(due) => report::send(server, live, attempt.id, stored, &due).await,
        }
    };
    let mut changes: Vec<(usize, &Outcome)> = mine.iter().copied().zip(&outcomes).collect();
    if let Err(outage) = reported {
        tracing::error!(id = %attempt.id, %outage, "a report could not be stored; what it is about is taken up again later");
        // Who has the message must not get it again with each new try to tell about the others.
        changes.retain(|(_, outcome)| matches!(outcome, Outcome::Delivered { .. }));
        settle(server, attempt.id, &stored.envelope, &changes, |progress| progress.attempts = attempt.number).await;
        take_up_again(server, attempt, stored.envelope.account.clone()).await;
        return;
    }
    settle(server, attempt.id, &stored.envelope, &changes, |progress| {
        progress.attempts = progress.attempts.max(attempt.number);
        progress.due = next.unwrap_or(progress.due);
        progress.delay_reported |= warn;
    })
    .await;
    // Last: nothing is sent twice for it, and what is taken up again is not heard of twice.
    suppression::concluded(server, live, attempt, &stored.envelope, mine.iter().copied().zip(&outcomes)).await;
    guard::told(server, live, stored, mine, &outcomes).await;
}

/// Lets a message into its lane again that has left it although something is left to do. Where it is still in the lane this changes nothing.
async fn take_up_again(server: &Server, attempt: &Attempt, account: Option<Arc<str>>) {
    let is_bulk = admit::is_bulk(&server.live.load().config, account.as_deref());
    let ticket = Ticket {
        id: attempt.id,
        destination: attempt.destination.clone(),
        account,
        received: attempt.received,
        due: clock().plus(REPORT_RETRY),
        attempts: attempt.number,
        is_bulk,
    };
    let _ = server.dispatcher.send(Order::Insert(vec![ticket])).await;
}

/// A mailbox of ours is the end of the way; everything else passes responsibility on (RFC 3464 §2.3.3, `delivered` and `relayed`).
fn reach(live: &Live, attempt: &Attempt) -> Reach {
    match &attempt.destination {
        Destination::Hosted(name) if !matches!(live.config.domain(name).map(|d| &d.deliver), Some(Deliver::Relay { .. })) => {
            Reach::Mailbox
        }
        _ => Reach::NextHop,
    }
}

fn state(outcome: &Outcome) -> RecipientState {
    match outcome {
        Outcome::Delivered { .. } => RecipientState::Delivered,
        Outcome::Deferred { .. } => RecipientState::Open,
        Outcome::Bounced { .. } => RecipientState::Bounced,
        Outcome::Expired { .. } => RecipientState::Expired,
    }
}

fn reason(outcome: &Outcome) -> Reason {
    let status = match outcome {
        Outcome::Delivered { .. } => None,
        Outcome::Deferred { status, .. } | Outcome::Bounced { status, .. } | Outcome::Expired { status, .. } => Some(*status),
    };
    let Evidence { by, text } = outcome.evidence();
    Reason { status, by: by.clone(), text: text.clone() }
}

/// Writes what became of some recipients; when nothing is left to do, the message leaves the spool.
pub(crate) async fn settle(
    server: &Server,
    id: MessageId,
    envelope: &Envelope,
    changes: &[(usize, &Outcome)],
    also: impl FnOnce(&mut Progress),
) {
    let all_final = changes.iter().all(|(_, outcome)| outcome.is_final());
    if !(all_final && changes.len() == envelope.recipients.len()) {
        let _lock = server.lock_progress(id).await;
        let mut progress = match server.spool.load_envelope(id).await {
            Ok((_, progress, _)) => progress,
            Err(LoadError::NotFound) => return,
            Err(error) => {
                tracing::error!(%id, %error, "progress cannot be read back; its recipients may be tried twice");
                return;
            }
        };
        for (index, outcome) in changes {
            if let Some(recipient) = progress.recipients.get_mut(*index) {
                recipient.state = state(outcome);
                recipient.last = Some(reason(outcome));
            }
        }
        also(&mut progress);
        if progress.open().next().is_some() {
            if let Err(outage) = server.spool.record(id, &progress).await {
                tracing::error!(%id, %outage, "progress could not be recorded; its recipients may be tried twice");
            }
            return;
        }
    }
    match server.spool.finish(id).await {
        Ok(()) => server.emit(Event::Finished { id }),
        Err(outage) => tracing::error!(%id, %outage, "a finished message could not be marked so; it may be sent twice"),
    }
}

/// A message in a lane that is not being tried became late, or too old.
pub(crate) async fn notice(server: Arc<Server>, notice: Notice) {
    let live = server.live.load_full();
    let attempt = Attempt {
        id: notice.id,
        lane: notice.lane,
        destination: notice.destination,
        received: notice.received,
        number: notice.attempts,
    };
    let is_expired = matches!(notice.kind, NoticeKind::Expired);
    let stored = match server.spool.load(notice.id).await {
        Ok(stored) => stored,
        Err(LoadError::NotFound) => return,
        Err(error) => {
            tracing::error!(id = %attempt.id, %error, "a message cannot be read back, so its sender is not told how late it is");
            if is_expired {
                take_up_again(&server, &attempt, None).await;
            }
            return;
        }
    };
    let mine = recipients_of(&live, &stored.envelope, &stored.progress, |destination| *destination == attempt.destination);
    let last = |index: &usize| {
        let last = stored.progress.recipients.get(*index).and_then(|recipient| recipient.last.clone());
        let reason = last.unwrap_or(Reason { status: None, by: "".into(), text: "its destination could not be reached".into() });
        let evidence = Evidence { by: reason.by, text: reason.text };
        Outcome::Deferred { scope: Scope::Destination, status: reason.status.unwrap_or(Status::new(4, 4, 7)), evidence }
    };
    let outcomes: Vec<Outcome> =
        mine.iter().map(last).map(|outcome| if is_expired { record::expired(outcome) } else { outcome }).collect();
    let ended: Vec<Ended<'_>> = mine
        .iter()
        .zip(&outcomes)
        .filter_map(|(index, outcome)| {
            let recipient = stored.envelope.recipients.get(*index)?;
            Some(Ended { recipient, outcome, reach: reach(&live, &attempt) })
        })
        .collect();
    let warn = !is_expired && !stored.progress.delay_reported;
    let delay = if warn {
        DelayNotice::Due { retry_until: stored.envelope.received.plus(live.config.outbound.retry.give_up) }
    } else {
        DelayNotice::NotDue
    };
    if let Some(due) = reports_due(&stored.envelope, &ended, delay)
        && let Err(outage) = report::send(&server, &live, attempt.id, &stored, &due).await
    {
        tracing::error!(id = %attempt.id, %outage, "a report could not be stored; what it is about is taken up again later");
        if is_expired {
            take_up_again(&server, &attempt, stored.envelope.account.clone()).await;
        }
        return;
    }
    if is_expired {
        for (index, outcome) in mine.iter().zip(&outcomes) {
            if let Some(recipient) = stored.envelope.recipients.get(*index) {
                server.emit(record::attempted(&attempt, recipient.address(), outcome, clock(), None));
            }
        }
    }
    let changes: Vec<(usize, &Outcome)> = mine.iter().copied().zip(&outcomes).collect();
    settle(&server, attempt.id, &stored.envelope, &changes, |progress| progress.delay_reported |= warn).await;
}
