//! Whether a transaction may begin at all, and the null sender.
//!
//! Promise: on a submission listener nobody sends without being known. When it cannot know: there is nothing here it could fail to know.
//!
//! The null sender on submission is for an account's reports and automatic replies, which must use it (RFC 8098 §3 for disposition
//! notifications, RFC 3834 §3.3 for automatic replies). At MAIL nothing tells them apart from anything else, so an authenticated
//! client may begin; at the end of the body the header must show that it is one. From is checked as ever, so that the mail has a name.
//! Anything else with a null sender would hide from its sender, and from us, that its recipients do not exist.

use postern_mail::message::headers::Headers;
use postern_mail::{Finding, Reply, ReversePath, RuleName};

use crate::facts::{MessageFacts, SenderFacts};
use crate::policy::Policy;
use crate::rules::relay;

/// As it stands in trails.
pub const SENDER: RuleName = "sender";

/// Judges MAIL FROM.
#[must_use]
pub fn judge(policy: &Policy, facts: &SenderFacts<'_>) -> Finding {
    if facts.client.listener.is_submission() {
        // RFC 6409 §3.3, §4.3: a submission server asks who it is, except where the network itself tells.
        match (facts.identity, relay::network_of(&policy.relay_networks, facts.client.address)) {
            (Some(identity), _) => Finding::pass(SENDER, format!("authenticated as {}", identity.who.account())),
            (None, Some(network)) => Finding::pass(SENDER, format!("{} is in the relay network {network}", facts.client.address)),
            (None, None) => Finding::refuse(SENDER, "submission without AUTH", Reply::authentication_required()),
        }
    } else {
        // RFC 5321 §4.5.5, §6.1: reports come with the null sender and are always heard. A sender at an address literal is legal
        // (RFC 5321 §4.1.3), and reports can go there.
        Finding::pass(SENDER, format!("mail from another server, as {}", facts.from))
    }
}

/// Judges, at the end of the body, what an account sent with the null sender.
#[must_use]
pub fn judge_message(facts: &MessageFacts<'_>) -> Finding {
    match (&facts.envelope.from, facts.client.listener.is_submission()) {
        (ReversePath::Mailbox(_), _) => Finding::pass(SENDER, "reports have somewhere to go"),
        (ReversePath::Null, false) => Finding::pass(SENDER, "a report from another server"),
        (ReversePath::Null, true) if is_automatic(facts.headers) => Finding::pass(SENDER, "a report or an automatic reply"),
        (ReversePath::Null, true) => {
            let because = "null sender, but neither a report nor an automatic reply";
            Finding::refuse(SENDER, because, Reply::null_sender_not_automatic())
        }
    }
}

/// True for `Auto-Submitted` other than `no` (RFC 3834 §5), and for `multipart/report` (RFC 6522 §3).
fn is_automatic(headers: &Headers) -> bool {
    let begins = |value: Option<String>, word: &str| {
        let value = value.unwrap_or_default();
        let first = value.split([';', ' ', '\t', '(']).next().unwrap_or_default();
        first.eq_ignore_ascii_case(word)
    };
    let automatic = headers.named("Auto-Submitted").any(|field| !begins(field.text(), "no") && !begins(field.text(), ""));
    automatic || headers.named("Content-Type").any(|field| begins(field.text(), "multipart/report"))
}
