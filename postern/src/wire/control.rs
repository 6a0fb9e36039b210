//! Carries out what people order over the control socket in the data directory. Promise: only the server's own user can reach it, an
//! order is bounded in size and time, and every change of a message's fate is in its history.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use postern_mail::attempt::Destination;
use postern_mail::envelope::UnixMillis;
use postern_mail::event::Event;
use postern_mail::outcome::{Evidence, Outcome};
use postern_mail::{Domain, Envelope, Host, Mailbox, MessageId, Scope, SessionId, Status as StatusCode};
use postern_outcome::{DelayNotice, Ended, Reach, reports_due};
use postern_scheduler::{Counts, LaneSummary};
use postern_spool::{Progress, RecipientState};
use postern_state::history::story::{Entry, What};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::control::dnsbl::DnsLists;
use crate::control::reports::ReportsOrder;
use crate::control::reputation;
use crate::control::{
    Answer, Change, Lane, Message, ORDER_BYTES_MAX, ORDER_TIMEOUT, Order, QueueOrder, Recipient, Selection, Status, Story,
    carry_out_account,
};
use crate::scopes::{Habits, Used};
use crate::wire::dispatch::{self, Steering};
use crate::wire::reload::Reloader;
use crate::wire::{Server, bans, clock, greylist, guard, report, reports, routing, signing, stopped, suppression, what_if};
use crate::{acts, dns_plan, explained, lists, replay};

/// Orders carried out at a time.
const ORDERS_AT_ONCE: usize = 8;

/// Where the socket of a server with this data directory is.
#[must_use]
pub(crate) fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}

/// Begins to listen.
///
/// # Errors
/// When the socket cannot be made.
pub(crate) fn listen(
    server: Arc<Server>,
    reloader: Arc<Reloader>,
    data_dir: &Path,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), String> {
    let path = socket_path(data_dir);
    let words = |error: std::io::Error| format!("{}: {error}", path.display());
    // The spool's lock is ours, so a socket that is left is that of a server that was killed.
    let _ = fs::remove_file(&path);
    let listener = UnixListener::bind(&path).map_err(words)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(words)?;
    let places = Arc::new(tokio::sync::Semaphore::new(ORDERS_AT_ONCE));
    tokio::spawn(async move {
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "control socket");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
                () = stopped(&mut stopping) => return,
            };
            let (server, reloader, places) = (Arc::clone(&server), Arc::clone(&reloader), Arc::clone(&places));
            tokio::spawn(async move {
                let Ok(_place) = places.acquire().await else { return };
                let _ = timeout(ORDER_TIMEOUT, converse(&server, &reloader, stream)).await;
            });
        }
    });
    Ok(())
}

async fn converse(server: &Arc<Server>, reloader: &Reloader, stream: UnixStream) -> std::io::Result<()> {
    let who = stream.peer_cred().map_or_else(|_| "unknown".to_owned(), |peer| format!("uid:{}", peer.uid()));
    let (input, mut output) = stream.into_split();
    let mut line = String::new();
    BufReader::new(input.take(ORDER_BYTES_MAX as u64)).read_line(&mut line).await?;
    let answer = match serde_json::from_str::<Order>(&line) {
        Ok(order) => audited(server, reloader, order, who).await,
        Err(error) => Answer::Failed { exit: 2, error: format!("the server does not know this order: {error}") },
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    output.write_all(&text).await
}

/// Carries out an order; what changes anything is in the audit log before it is answered.
async fn audited(server: &Arc<Server>, reloader: &Reloader, order: Order, who: String) -> Answer {
    let act = acts::act(&order);
    let (order, reason) = if let Order::Because { order, reason } = order { (*order, reason) } else { (order, String::new()) };
    let answer = carry_out(server, reloader, order, &reason).await;
    let Some((what, reason)) = act else { return answer };
    acts::answered(server.audit(who, what, reason, acts::result(&answer)).await, answer)
}

/// What was decided about a session or a message, and why.
fn explain(server: &Server, id: &str) -> Answer {
    let id = id.trim().trim_start_matches("(ref ").trim_end_matches(')');
    let (session, message) = match (id.parse::<SessionId>(), id.parse::<MessageId>()) {
        (Ok(session), _) => (Some(session), None),
        (_, Ok(message)) => {
            let judged = |entry: &Entry| match &entry.what {
                What::Judged { session } => session.parse().ok(),
                _ => None,
            };
            match server.history.trace(message) {
                Ok(story) => (story.iter().find_map(judged), Some(message)),
                Err(failure) => return Answer::failed(failure.to_string()),
            }
        }
        _ => return Answer::Failed { exit: 2, error: format!("{id:?} is neither the reference of a refusal nor a message id") },
    };
    let pieces = session.map_or(Ok(Vec::new()), |session| server.history.trails(session));
    match pieces.map(|pieces| explained::joined(&pieces, message)) {
        Err(failure) => Answer::failed(failure.to_string()),
        Ok(Some(record)) => Answer::Explained(Box::new(explained::session(&record, &server.live.load().policy))),
        Ok(None) => Answer::nothing(
            "nothing is known of it: the session may still run, be older than history.trails_keep, or have come to nothing; a message of our own making was judged by no rule",
        ),
    }
}

async fn carry_out(server: &Arc<Server>, reloader: &Reloader, order: Order, reason: &str) -> Answer {
    match order {
        Order::Because { .. } => Answer::Failed { exit: 2, error: "an order has one reason".to_owned() },
        Order::Explain { id } => {
            let server = Arc::clone(server);
            tokio::task::spawn_blocking(move || explain(&server, &id))
                .await
                .unwrap_or_else(|error| Answer::failed(error.to_string()))
        }
        Order::WhatIf(asked) => what_if::carry_out(server, Box::new(asked)).await,
        Order::Status => status(server).await,
        Order::Reload => match reloader.reload().await {
            Ok(changes) => Answer::Done { text: format!("reloaded, {} changes", changes.len()) },
            Err(what) => Answer::failed(format!("nothing was changed:\n{what}")),
        },
        Order::Account(order) => {
            let accounts = Arc::clone(&server.accounts);
            let habits = Habits::of(&server.live.load().config);
            let forgotten = order.makes_strange().map(str::to_owned);
            let removed = order.removes().map(str::to_owned);
            let (authenticator, keeping) = (Arc::clone(&server.authenticator), Arc::clone(server));
            let carried_out = move || {
                let answer = carry_out_account(&accounts, clock(), &habits, order);
                if let Some(account) = forgotten.filter(|_| !matches!(answer, Answer::Failed { .. })) {
                    authenticator.forget_homes(&account);
                }
                if let Some(account) = removed.filter(|_| !matches!(answer, Answer::Failed { .. })) {
                    guard::forget(&keeping, &account);
                }
                answer
            };
            let carried_out = tokio::task::spawn_blocking(carried_out).await;
            let mut answer = carried_out.unwrap_or_else(|error| Answer::failed(error.to_string()));
            answer.fill_used(|account| Used::of(&server.quotas, clock(), account));
            answer
        }
        Order::List(order) => {
            let server = Arc::clone(server);
            let carried_out = move || lists::carry_out(&server.lists, &server.live.load().policy, clock(), order);
            tokio::task::spawn_blocking(carried_out).await.unwrap_or_else(|error| Answer::failed(error.to_string()))
        }
        Order::DnsLists => Answer::DnsLists(DnsLists::of(&server.dnsbl.lists(), &server.live.load().policy.dns_lists)),
        Order::Dkim(order) => {
            let live = server.live.load_full();
            signing::carry_out(&server.signing, &live.config, &live.resolver, order).await
        }
        Order::Dns(order) => dns_plan::carry_out(&server.signing, &server.live.load_full().config, order).await,
        Order::Reports(ReportsOrder::Send { dry_run }) => Answer::ReportsSent(reports::send_now(server, dry_run).await),
        Order::Reports(ReportsOrder::Show { domain }) => {
            Answer::ReportsRead(server.reports.reader.shown(&server.live.load().config, domain.as_deref()))
        }
        Order::Greylist(order) => greylist::carry_out(server, order).await,
        Order::Policy(order) => {
            let server = Arc::clone(server);
            let carried_out = move || replay::carry_out(&server.history, &server.live.load().config, &order);
            tokio::task::spawn_blocking(carried_out).await.unwrap_or_else(|error| Answer::failed(error.to_string()))
        }
        Order::Reputation(order) => reputation::carry_out(server, order, reason).await,
        Order::Ban(order) => bans::carry_out(server, order).await,
        Order::Suppression(order) => suppression::carry_out(server, order).await,
        Order::Queue(QueueOrder::List(which)) => match select(server, &which).await {
            Ok((messages, more)) => Answer::Messages { messages: messages.into_iter().map(|(_, view)| view).collect(), more },
            Err(answer) => answer,
        },
        Order::Queue(QueueOrder::Show { id }) => {
            let which = Selection { ids: vec![id], limit: 1, ..Selection::default() };
            match select(server, &which).await {
                Ok((messages, _)) if messages.is_empty() => {
                    Answer::nothing("there is no such message in the queue; try postern trace")
                }
                Ok((messages, more)) => Answer::Messages { messages: messages.into_iter().map(|(_, view)| view).collect(), more },
                Err(answer) => answer,
            }
        }
        Order::Queue(QueueOrder::Summary { limit }) => match lanes(server, limit).await {
            Some((_, lanes)) => Answer::Lanes { lanes: lanes.into_iter().map(lane).collect() },
            None => Answer::failed("the server is stopping"),
        },
        Order::Queue(QueueOrder::Change { what, which, reason, dry_run }) => change(server, what, &which, &reason, dry_run).await,
        Order::Trace { what, limit } => {
            let server = Arc::clone(server);
            tokio::task::spawn_blocking(move || trace(&server, &what, limit))
                .await
                .unwrap_or_else(|error| Answer::failed(error.to_string()))
        }
    }
}

async fn lanes(server: &Server, limit: usize) -> Option<(Counts, Vec<LaneSummary>)> {
    let (answer, summary) = oneshot::channel();
    server.dispatcher.send(dispatch::Order::Summary(limit, answer)).await.ok()?;
    summary.await.ok()
}

fn lane(summary: LaneSummary) -> Lane {
    Lane {
        destination: summary.destination.to_string(),
        provider: summary.provider.map(|name| name.to_string()),
        waiting: summary.counts.waiting,
        deferred: summary.counts.deferred,
        active: summary.counts.active,
        held: summary.counts.held,
        window: summary.window,
        paused_until: summary.blocked_until.map(|at| at.0),
        oldest: summary.oldest.map(|at| at.0),
        trouble: summary.trouble.map(|trouble| format!("{} {:?}", trouble.status, trouble.scope)),
    }
}

async fn status(server: &Server) -> Answer {
    let Some((counts, _)) = lanes(server, 0).await else { return Answer::failed("the server is stopping") };
    let stats = server.spool.stats();
    Answer::Status(Box::new(Status {
        hostname: server.live.load().hostname.to_string(),
        uptime_seconds: server.began.elapsed().as_secs(),
        listeners: server.listeners.iter().map(|(kind, address)| format!("{kind} {address}")).collect(),
        connections: server.ceiling.open(),
        messages: stats.messages,
        waiting: counts.waiting,
        deferred: counts.deferred,
        active: counts.active,
        held: counts.held,
        live_bytes: stats.live_bytes,
        free_bytes: stats.free_space,
        accepting: server.spool.check_room().map_or_else(|outage| format!("no: {outage}"), |()| "yes".to_owned()),
        landlock: server.confinement.landlock.to_owned(),
        seccomp: server.confinement.seccomp,
        bans: server.bans.active(),
        warnings: server.bans.warnings(clock()),
    }))
}

fn view(server: &Server, id: MessageId, envelope: &Envelope, progress: &Progress, size: u64) -> Message {
    let live = server.live.load();
    let word = |state: RecipientState| match state {
        RecipientState::Open => "open",
        RecipientState::Delivered => "delivered",
        RecipientState::Bounced => "bounced",
        RecipientState::Expired => "expired",
        RecipientState::Dropped => "dropped",
    };
    Message {
        id: id.to_string(),
        from: envelope.from.to_string(),
        account: envelope.account.as_ref().map(ToString::to_string),
        size,
        received: envelope.received.0,
        attempts: progress.attempts,
        due: progress.due.0.max(envelope.received.0),
        held: progress.held.as_ref().map(ToString::to_string),
        recipients: envelope
            .recipients
            .iter()
            .zip(&progress.recipients)
            .map(|(recipient, state)| Recipient {
                address: recipient.address().to_string(),
                state: word(state.state).to_owned(),
                destination: routing::destination(&live.config, recipient.address()).to_string(),
                reason: state.last.as_ref().map(|reason| match reason.status {
                    Some(status) => format!("{status} {}", reason.text),
                    None => reason.text.to_string(),
                }),
            })
            .collect(),
    }
}

fn matches(which: &Selection, message: &Message, now: u64) -> bool {
    let domain_of = |address: &str| address.rsplit_once('@').map(|(_, domain)| domain.to_ascii_lowercase());
    let wanted = |field: &Option<String>, holds: &dyn Fn(&str) -> bool| field.as_deref().is_none_or(holds);
    wanted(&which.account, &|account| message.account.as_deref() == Some(account))
        && wanted(&which.domain, &|domain| {
            let open = message.recipients.iter().filter(|recipient| recipient.state == "open");
            open.into_iter().any(|recipient| domain_of(&recipient.address).as_deref() == Some(&domain.to_ascii_lowercase()))
        })
        && wanted(&which.from, &|from| message.from.trim_matches(['<', '>']) == from.trim_matches(['<', '>']))
        && which.older_than.is_none_or(|seconds| now.saturating_sub(message.received) >= seconds.saturating_mul(1000))
        && wanted(&which.reason, &|text| {
            let lower = text.to_lowercase();
            let reasons = message.recipients.iter().filter_map(|recipient| recipient.reason.as_ref()).chain(&message.held);
            reasons.into_iter().any(|reason| reason.to_lowercase().contains(&lower))
        })
        && (!which.held || message.held.is_some())
}

/// Messages that fit, oldest first, and whether there are more than the limit.
pub(crate) async fn select(server: &Server, which: &Selection) -> Result<(Vec<(MessageId, Message)>, bool), Answer> {
    let mut ids = Vec::with_capacity(which.ids.len());
    for text in &which.ids {
        let id: MessageId = text.parse().map_err(|_| Answer::Failed { exit: 2, error: format!("{text:?} is no message id") })?;
        ids.push(id);
    }
    if which.ids.is_empty() {
        ids = server.spool.ids();
        ids.sort_unstable();
    }
    let now = clock().0;
    let mut found = Vec::new();
    for id in ids {
        // What left the queue while we looked is not in it.
        let Ok((envelope, progress, size)) = server.spool.load_envelope(id).await else { continue };
        let message = view(server, id, &envelope, &progress, size);
        if matches(which, &message, now) {
            if found.len() >= which.limit {
                return Ok((found, true));
            }
            found.push((id, message));
        }
    }
    Ok((found, false))
}

async fn steer(server: &Server, what: Steering, id: MessageId) -> usize {
    let (answer, lanes) = oneshot::channel();
    if server.dispatcher.send(dispatch::Order::Steer(what, id, answer)).await.is_err() {
        return 0;
    }
    lanes.await.unwrap_or(0)
}

/// A lane that is one domain's alone, and so is told at once, without looking at its messages one by one. Behind a route it may be
/// shared with domains that nobody spoke of.
fn own_lane(server: &Server, domain: &str) -> Option<Destination> {
    let domain = Domain::parse(domain).ok()?;
    let destination = routing::destination_of_host(&server.live.load().config, &Host::Name(domain));
    matches!(destination, Destination::Mx(_) | Destination::Hosted(_)).then_some(destination)
}

async fn retry_lane(server: &Server, destination: Destination) -> Answer {
    let words = destination.to_string();
    let (answer, retried) = oneshot::channel();
    if server.dispatcher.send(dispatch::Order::RetryDestination(destination, answer)).await.is_err() {
        return Answer::failed("the server is stopping");
    }
    match retried.await.unwrap_or(0) {
        0 => Answer::nothing("no deferred message fits"),
        count => Answer::Done { text: format!("retry: {count} deferred messages for {words}") },
    }
}

pub(crate) async fn change(server: &Server, what: Change, which: &Selection, reason: &str, dry_run: bool) -> Answer {
    let only_domain = Selection { domain: which.domain.clone(), limit: which.limit, ..Selection::default() };
    if let (Change::Retry, false, Some(domain)) = (what, dry_run, &which.domain)
        && *which == only_domain
        && let Some(destination) = own_lane(server, domain)
    {
        return retry_lane(server, destination).await;
    }
    let (messages, more) = match select(server, which).await {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    if messages.is_empty() {
        return Answer::nothing("no message in the queue fits");
    }
    if dry_run {
        return Answer::Messages { messages: messages.into_iter().map(|(_, view)| view).collect(), more };
    }
    let mut done = 0_usize;
    for (id, _) in &messages {
        match change_one(server, what, *id, reason).await {
            Ok(()) => {
                done += 1;
                server.emit(Event::Ordered { id: *id, what: what.as_str(), reason: reason.to_owned() });
            }
            Err(error) => return Answer::failed(format!("{id}: {error}; {done} messages before it were changed")),
        }
    }
    // What a person was told is done must be done after a crash too: dropped mail stays dropped, held mail held.
    if let Err(outage) = server.spool.flush().await {
        return Answer::failed(format!("{done} messages were changed, but that may be forgotten at a restart: {outage}"));
    }
    let rest = if more { "; there are more, give --limit" } else { "" };
    Answer::Done { text: format!("{}: {done} messages{rest}", what.as_str()) }
}

/// Holds what waits of an account and came since then; gives how many messages.
pub(crate) async fn hold_since(server: &Server, account: &str, since: UnixMillis, reason: &str) -> usize {
    let which = Selection { account: Some(account.to_owned()), limit: usize::MAX, ..Selection::default() };
    let Ok((messages, _)) = select(server, &which).await else { return 0 };
    let mut held = 0;
    for (id, message) in messages {
        if message.held.is_none() && message.received >= since.0 && change_one(server, Change::Hold, id, reason).await.is_ok() {
            server.emit(Event::Ordered { id, what: Change::Hold.as_str(), reason: reason.to_owned() });
            held += 1;
        }
    }
    held
}

async fn change_one(server: &Server, what: Change, id: MessageId, reason: &str) -> Result<(), String> {
    match what {
        Change::Hold => {
            keep(server, id, Some(reason)).await?;
            steer(server, Steering::Hold, id).await;
        }
        Change::Release => {
            keep(server, id, None).await?;
            steer(server, Steering::Release, id).await;
        }
        Change::Retry => {
            steer(server, Steering::Retry, id).await;
        }
        Change::Drop => {
            steer(server, Steering::Remove, id).await;
            server.spool.finish(id).await.map_err(|outage| outage.to_string())?;
        }
        Change::Bounce => {
            bounce(server, id, reason).await?;
            steer(server, Steering::Remove, id).await;
            server.spool.finish(id).await.map_err(|outage| outage.to_string())?;
        }
    }
    Ok(())
}

async fn keep(server: &Server, id: MessageId, held: Option<&str>) -> Result<(), String> {
    let _lock = server.lock_progress(id).await;
    let (_, mut progress, _) = server.spool.load_envelope(id).await.map_err(|error| error.to_string())?;
    progress.held = held.map(|reason| if reason.is_empty() { "held by hand" } else { reason }.into());
    server.spool.record(id, &progress).await.map_err(|outage| outage.to_string())
}

/// Tells the sender that the open recipients will not get it.
async fn bounce(server: &Server, id: MessageId, reason: &str) -> Result<(), String> {
    let live = server.live.load_full();
    let stored = server.spool.load(id).await.map_err(|error| error.to_string())?;
    let text = if reason.is_empty() { "returned by the administrator" } else { reason };
    let evidence = Evidence { by: "".into(), text: text.into() };
    let outcome = Outcome::Bounced { scope: Scope::Message, status: StatusCode::new(5, 0, 0), evidence };
    let ended: Vec<Ended<'_>> = stored
        .progress
        .open()
        .filter_map(|index| stored.envelope.recipients.get(index))
        .map(|recipient| Ended { recipient, outcome: &outcome, reach: Reach::NextHop })
        .collect();
    match reports_due(&stored.envelope, &ended, DelayNotice::NotDue) {
        None => Ok(()),
        Some(due) => report::send(server, &live, id, &stored, &due).await.map_err(|outage| outage.to_string()),
    }
}

fn trace(server: &Server, what: &str, limit: usize) -> Answer {
    let what = what.trim_matches(['<', '>']);
    server.history.flush();
    let story = |id: MessageId| -> Result<Story, String> {
        let entries = server.history.trace(id).map_err(|failure| failure.to_string())?;
        let entries = entries.iter().filter_map(|entry| serde_json::to_value(entry).ok()).collect();
        Ok(Story { id: id.to_string(), entries, queued: server.spool.contains(id) })
    };
    let found = match what.parse::<MessageId>() {
        Ok(id) => story(id).map(|story| (vec![story], Vec::new())),
        Err(_) if Mailbox::parse(what).is_ok() => server.history.find(what, limit).map_err(|f| f.to_string()).and_then(|found| {
            let stories = found.messages.into_iter().map(story).collect::<Result<Vec<_>, _>>()?;
            let refusals = found.refusals.iter().filter_map(|entry| serde_json::to_value(entry).ok()).collect();
            Ok((stories, refusals))
        }),
        Err(_) => return Answer::Failed { exit: 2, error: format!("{what:?} is neither a message id nor an address") },
    };
    match found {
        Err(error) => Answer::failed(error),
        Ok((stories, refusals)) if refusals.is_empty() && stories.iter().all(|s| s.entries.is_empty() && !s.queued) => {
            Answer::nothing("nothing is known of it; the history may be shorter than that")
        }
        Ok((stories, refusals)) => Answer::Stories { stories, refusals },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_shown_with_the_provider_whose_window_it_shares() {
        let summary = |provider: Option<&str>| LaneSummary {
            destination: Destination::Mx(Domain::parse("a.example").unwrap()),
            provider: provider.map(Arc::from),
            counts: Counts::default(),
            window: 1,
            blocked_until: None,
            oldest: None,
            trouble: None,
        };
        assert!(lane(summary(Some("google"))).leads_to().ends_with("a.example (google)"));
        assert!(lane(summary(None)).leads_to().ends_with("a.example"));
    }
}
