//! An account sends only as itself: in the envelope, in From and in Sender (RFC 6409 §6.1).
//!
//! Promise: no message leaves with an author its account does not own. When it cannot know whose an address is (the account store does
//! not answer): 451. When it cannot know who a message is from (From missing, repeated, unreadable, or a header section that readers
//! may differ about): refused with the reason, since a From we do not see is a From we cannot check.
//!
//! Mail from other servers and from relay networks has no account, so it is not judged here.

use postern_mail::fact::Fact;
use postern_mail::message::headers::{HeaderFault, Headers};
use postern_mail::{Finding, Mailbox, Outage, Reply, ReversePath, RuleName};

use crate::facts::{Identity, OwnedAddresses};

/// As it stands in trails.
pub const SENDER_IDENTITY: RuleName = "sender_identity";

/// Judges MAIL FROM. RFC 6409 §6.1: a sender the account has no right to is refused at MAIL.
#[must_use]
pub fn judge_envelope(from: &ReversePath, identity: Option<Identity<'_>>) -> Finding {
    let Some(identity) = identity else { return nobody() };
    let owned = match known(identity) {
        Ok(owned) => owned,
        Err(finding) => return finding,
    };
    match from {
        ReversePath::Null => Finding::pass(SENDER_IDENTITY, "the null sender is nobody's"),
        ReversePath::Mailbox(mailbox) => match foreign(identity, owned, mailbox, "envelope sender") {
            Some(finding) => finding,
            None => Finding::pass(SENDER_IDENTITY, format!("{mailbox} belongs to {}", identity.who.account())),
        },
    }
}

/// Judges From and Sender (RFC 6409 §6.3). Every address in either must be the account's own: RFC 5322 §3.6.2 lets a secretary send for an author,
/// which would let any account send for any author.
///
/// RFC 6409 §8.1 TODO: a Sender field is not added where From names several authors and there is none.
#[must_use]
pub fn judge_header(headers: &Headers, identity: Option<Identity<'_>>) -> Finding {
    let Some(identity) = identity else { return nobody() };
    let owned = match known(identity) {
        Ok(owned) => owned,
        Err(finding) => return finding,
    };
    let (from, sender) = match (headers.from_addresses(), headers.sender_address()) {
        (Ok(from), Ok(sender)) => (from, sender),
        (Err(fault), _) | (_, Err(fault)) => return malformed(fault),
    };
    let strangers = from
        .iter()
        .map(|mailbox| (mailbox, "From"))
        .chain(sender.iter().map(|mailbox| (mailbox, "Sender")))
        .find_map(|(mailbox, which)| foreign(identity, owned, mailbox, which));
    strangers.unwrap_or_else(|| Finding::pass(SENDER_IDENTITY, format!("From and Sender belong to {}", identity.who.account())))
}

fn nobody() -> Finding {
    Finding::pass(SENDER_IDENTITY, "no account, so no addresses of its own")
}

fn known(identity: Identity<'_>) -> Result<&OwnedAddresses, Finding> {
    match identity.owned {
        Fact::Known(owned) => Ok(owned),
        Fact::Unavailable(outage) => Err(unavailable(outage)),
    }
}

fn unavailable(outage: &Outage) -> Finding {
    Finding::defer(SENDER_IDENTITY, format!("cannot look up the account's addresses: {outage}"), Reply::outage(outage))
}

fn foreign(identity: Identity<'_>, owned: &OwnedAddresses, mailbox: &Mailbox, which: &str) -> Option<Finding> {
    if owned.contains(mailbox) {
        return None;
    }
    let account = identity.who.account();
    let because = format!("{which} {mailbox} does not belong to {account}");
    Some(Finding::refuse(SENDER_IDENTITY, because, Reply::sender_not_owned(account, which)))
}

fn malformed(fault: HeaderFault) -> Finding {
    Finding::refuse(SENDER_IDENTITY, fault.words(), Reply::bad_header(fault.words()))
}
