//! Mail that goes in a circle (RFC 5321 §6.3).
//!
//! Promise: a message that passed more than `received_max` servers, or was in the mailbox of one of its recipients before, is not taken
//! again. When it cannot know (a header section that is malformed or too long): what could be read is judged; trace fields stand
//! first, so a loop shows in it all the same.

use std::collections::HashSet;

use postern_mail::message::headers::Headers;
use postern_mail::{Finding, Mailbox, Recipient, Reply, RuleName};

/// As it stands in trails.
pub const LOOPS: RuleName = "loops";

/// Where nothing is configured. RFC 5321 §6.3: at least 100, which is the default of the configuration too.
pub const RECEIVED_MAX: usize = 100;

/// Judges the trace fields of a message as it came.
///
/// The whole message is refused when one recipient loops: there is one reply for all of them, and its sender learns from it, while a
/// copy kept for the others would let the loop go on.
#[must_use]
pub fn judge(headers: &Headers, recipients: &[Recipient], received_max: usize) -> Finding {
    let passed = headers.received_count();
    if passed > received_max {
        return Finding::refuse(LOOPS, format!("{passed} Received fields, of {received_max} allowed"), Reply::loop_detected());
    }
    // RFC 5321 §6.3: our own delivery leaves the mailbox's name in the message, so its coming back to the same one is a circle. Only
    // our own mailboxes are compared: what a relayed message did elsewhere before is for the servers there to judge.
    let ours: HashSet<&Mailbox> = recipients.iter().filter(|r| r.is_hosted()).map(Recipient::address).collect();
    match headers.delivered_to().find(|before| ours.contains(before)) {
        Some(mailbox) => Finding::refuse(LOOPS, format!("was delivered to {mailbox} before"), Reply::loop_detected()),
        None => Finding::pass(LOOPS, format!("{passed} Received fields, of {received_max} allowed")),
    }
}
