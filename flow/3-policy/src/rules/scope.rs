//! An account, and each of its credentials, may do what it was given for and nothing else.
//!
//! Promise: what either scope refuses is refused, in words that name the part; a quota that is used up is told with the time it is free
//! again. When it cannot know who a message is from (a header section that cannot be read) and the scope names senders: refused. Mail of
//! other servers has no account, so no scope.

use postern_mail::fact::ClientFacts;
use postern_mail::message::headers::Headers;
use postern_mail::scope::{Breach, QuotaFull};
use postern_mail::{Finding, Mailbox, Reply, ReversePath, RuleName};

use crate::facts::ScopeFacts;

/// As it stands in trails.
pub const SCOPE: RuleName = "scope";

/// Judges MAIL FROM: listener, network, time, sender, told size, and how many messages there have been.
#[must_use]
pub fn judge_sender(scope: Option<ScopeFacts<'_>>, client: &ClientFacts, from: &ReversePath, size: Option<u64>) -> Finding {
    let Some(scope) = scope else { return nobody() };
    let narrowed = &scope.narrowed;
    let judged = narrowed
        .place(scope.now, client)
        .and_then(|()| narrowed.sender(from))
        .and_then(|()| size.map_or(Ok(()), |octets| narrowed.size(octets)));
    finding(judged, scope, "the sender, the place and the time are within it")
}

/// Judges RCPT TO: the recipient, and how many there have been. Place and time again, since the scope may have changed or ended.
#[must_use]
pub fn judge_recipient(scope: Option<ScopeFacts<'_>>, client: &ClientFacts, to: &Mailbox) -> Finding {
    let Some(scope) = scope else { return nobody() };
    let judged = scope.narrowed.place(scope.now, client).and_then(|()| scope.narrowed.recipient(to));
    finding(judged, scope, "the recipient is within it")
}

/// Judges, at the end of the body, From, Sender and the size as it was received. Place and time again: a body may come slowly.
#[must_use]
pub fn judge_message(scope: Option<ScopeFacts<'_>>, client: &ClientFacts, headers: &Headers, size: u64) -> Finding {
    let Some(scope) = scope else { return nobody() };
    let narrowed = &scope.narrowed;
    let names_senders = narrowed.account.senders.is_some() || narrowed.credential.is_some_and(|scope| scope.senders.is_some());
    let judged = match (headers.from_addresses(), headers.sender_address()) {
        (Ok(from), Ok(sender)) => from.iter().chain(sender.iter()).try_for_each(|author| narrowed.author(author)),
        (Err(fault), _) | (_, Err(fault)) if names_senders => {
            return Finding::refuse(SCOPE, fault.words(), Reply::bad_header(fault.words()));
        }
        _ => Ok(()),
    };
    let judged = narrowed.place(scope.now, client).and(judged).and_then(|()| narrowed.size(size));
    finding(judged, scope, "From, Sender and the size are within it")
}

fn nobody() -> Finding {
    Finding::pass(SCOPE, "no account, so no scope")
}

fn finding(judged: Result<(), Breach>, scope: ScopeFacts<'_>, fine: &str) -> Finding {
    match (judged, scope.full) {
        (Err(breach), _) => {
            let because = format!("{}: {}", breach.part, breach.words);
            Finding::refuse(SCOPE, because, Reply::out_of_scope(&breach))
        }
        (Ok(()), Some(full)) => used_up(&full, scope),
        (Ok(()), None) => Finding::pass(SCOPE, fine),
    }
}

fn used_up(full: &QuotaFull, scope: ScopeFacts<'_>) -> Finding {
    let because = format!("{}: {} used up, free again in {} s", full.part, full.limit, full.free_at.since(scope.now).as_secs());
    Finding::defer(SCOPE, because, Reply::quota_full(full, scope.now))
}
