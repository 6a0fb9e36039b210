//! An account, and each of its credentials, may do what it was given for and nothing else.
//!
//! Promise: what either scope refuses is refused, in words that name the part; a quota that is used up is told with the time it is free
//! again. When it cannot know who a message is from (a header section that cannot be read) and the scope names senders: refused. Mail of
//! other servers has no account, so no scope, and nothing is found.

use postern_mail::envelope::UnixMillis;
use postern_mail::fact::ClientFacts;
use postern_mail::message::headers::Headers;
use postern_mail::scope::{Breach, Narrowed, QuotaFull};
use postern_mail::{Finding, Mailbox, Reply, ReversePath, RuleName};

use crate::decide::Panel;
use crate::facts::ScopeSaid;

/// As it stands in trails.
pub const SCOPE: RuleName = "scope";

/// Both scopes, and when they are asked.
#[derive(Clone, Copy, Debug)]
pub struct Scopes<'a> {
    /// Of the account and its credential.
    pub narrowed: Narrowed<'a>,
    /// The time.
    pub now: UnixMillis,
}

impl Scopes<'_> {
    /// At MAIL FROM: listener, network, time, sender and told size; `full` when there have been as many messages as may be.
    #[must_use]
    pub fn sender(&self, client: &ClientFacts, from: &ReversePath, size: Option<u64>, full: Option<QuotaFull>) -> ScopeSaid {
        let judged = self
            .narrowed
            .place(self.now, client)
            .and_then(|()| self.narrowed.sender(from))
            .and_then(|()| size.map_or(Ok(()), |octets| self.narrowed.size(octets)));
        self.said(judged, full)
    }

    /// At RCPT TO: the recipient; `full` when there have been as many as may be. Place and time again, since the scope may have changed or
    /// ended.
    #[must_use]
    pub fn recipient(&self, client: &ClientFacts, to: &Mailbox, full: Option<QuotaFull>) -> ScopeSaid {
        self.said(self.narrowed.place(self.now, client).and_then(|()| self.narrowed.recipient(to)), full)
    }

    /// At the end of the body: From, Sender and the size as it was received. Place and time again: a body may come slowly.
    #[must_use]
    pub fn message(&self, client: &ClientFacts, headers: &Headers, size: u64) -> ScopeSaid {
        let Narrowed { account, credential } = self.narrowed;
        let names_senders = account.senders.is_some() || credential.is_some_and(|scope| scope.senders.is_some());
        let judged = match (headers.from_addresses(), headers.sender_address()) {
            (Ok(from), Ok(sender)) => from.iter().chain(sender.iter()).try_for_each(|author| self.narrowed.author(author)),
            (Err(fault), _) | (_, Err(fault)) if names_senders => return ScopeSaid::Unreadable(fault),
            _ => Ok(()),
        };
        self.said(self.narrowed.place(self.now, client).and(judged).and_then(|()| self.narrowed.size(size)), None)
    }

    fn said(&self, judged: Result<(), Breach>, full: Option<QuotaFull>) -> ScopeSaid {
        match (judged, full) {
            (Err(breach), _) => ScopeSaid::Outside(breach),
            (Ok(()), Some(quota)) => ScopeSaid::Full { quota, now: self.now },
            (Ok(()), None) => ScopeSaid::Within,
        }
    }
}

/// Judges what the scopes said.
#[must_use]
pub fn judge<'a>(panel: Panel<'a>, said: Option<&ScopeSaid>) -> Panel<'a> {
    let Some(said) = said else { return panel };
    panel.rule(SCOPE, || match said {
        ScopeSaid::Within => Finding::pass(SCOPE, "within it"),
        ScopeSaid::Outside(breach) => {
            Finding::refuse(SCOPE, format!("{}: {}", breach.part, breach.words), Reply::out_of_scope(breach))
        }
        ScopeSaid::Unreadable(fault) => Finding::refuse(SCOPE, fault.words(), Reply::bad_header(fault.words())),
        ScopeSaid::Full { quota, now } => {
            let wait = quota.free_at.since(*now).as_secs();
            let because = format!("{}: {} used up, free again in {wait} s", quota.part, quota.limit);
            Finding::defer(SCOPE, because, Reply::quota_full(quota, *now))
        }
    })
}
