//! Whether a recipient is ours and exists. The only place that makes a [`Hosted`].
//!
//! Promise: an unknown recipient of a domain of ours is refused while the sender is still there, so that we never send a bounce to
//! somebody who was only named. When it cannot know (a directory that does not answer): 451, the sender comes again.

use postern_mail::proof::Hosted;
use postern_mail::{Finding, Mailbox, Reply, RuleName};

use crate::facts::{Directory, HostedAnswer};

/// As it stands in trails.
pub const RECIPIENT: RuleName = "recipient";

/// What the rule says. `NotOurs` is no finding against the recipient: it is the relay rule's to judge.
#[derive(Debug)]
pub enum Said {
    /// Ours: the finding, and the proof where it exists.
    Ours(Finding, Option<Hosted>),
    /// Somebody else's.
    NotOurs(Finding),
}

/// Judges one recipient.
#[must_use]
pub fn judge(directory: &dyn Directory, to: &Mailbox) -> Said {
    let exists = |because: String| Said::Ours(Finding::pass(RECIPIENT, because), Some(Hosted::mint_by_rule()));
    match directory.hosted(to) {
        HostedAnswer::NotOurs => Said::NotOurs(Finding::pass(RECIPIENT, format!("{} is not a domain of this server", to.host))),
        HostedAnswer::Exists => exists(format!("{to} is a recipient of this server")),
        // RFC 5321 §4.5.1: postmaster is always there, in every domain we take mail for.
        HostedAnswer::Unknown if to.local.as_str().eq_ignore_ascii_case("postmaster") => {
            exists(format!("{to} is always accepted"))
        }
        HostedAnswer::Unknown => {
            let reply = Reply::no_such_recipient(&to.to_string());
            Said::Ours(Finding::refuse(RECIPIENT, format!("no mailbox {to}"), reply), None)
        }
        HostedAnswer::Unavailable(outage) => {
            Said::Ours(Finding::defer(RECIPIENT, format!("cannot look up {to}: {outage}"), Reply::outage(&outage)), None)
        }
    }
}
