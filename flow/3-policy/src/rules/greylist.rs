//! Greylisting: who is unknown and has something against him already is told to come again.
//!
//! Promise: never are delayed accounts, relay networks, trusted networks, clients that are known to the server, those that a list allows, those that a list
//! by DNS speaks for, and mail to postmaster; it is off unless it is switched on. When it cannot know (nothing is remembered): who comes is new.
//!
//! It is judged at RCPT, where network, sender and recipient are known together and nothing of the message was sent.

use std::time::Duration;

use postern_mail::client::ListenerKind;
use postern_mail::fact::ClientFacts;
use postern_mail::greylist::GreySaid;
use postern_mail::netset::{Action, Listed};
use postern_mail::{Finding, Mailbox, Mode, Points, Reply, RuleName, Scored};

use super::{dnsbl, relay, score};
use crate::policy::Policy;

/// As it stands in trails.
pub const GREYLIST: RuleName = "greylist";

/// Whoever may be delayed.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The connection.
    pub client: &'a ClientFacts,
    /// It logged in.
    pub is_account: bool,
    /// It delivered or logged in not long ago, or a list allows its address, its name or the sender.
    pub is_known: bool,
    /// Who is to receive.
    pub to: &'a Mailbox,
    /// What lists say of the recipient.
    pub listed: &'a [Listed],
    /// Points until now.
    pub points: &'a [Scored],
}

/// True for somebody of whom is to be asked whether he came before.
#[must_use]
pub fn is_asked(policy: &Policy, who: &Candidate<'_>) -> bool {
    let spoken_for = who.points.iter().any(|one| one.rule == dnsbl::DNSBL && one.points < Points(0));
    let allowed = who.listed.iter().any(|listed| !listed.observed && listed.action == Action::Allow);
    policy.modes.of(GREYLIST) != Mode::Off
        && who.client.listener == ListenerKind::Mx
        && !who.is_account
        && !who.is_known
        && !spoken_for
        && !allowed
        && !who.to.local.as_str().eq_ignore_ascii_case("postmaster")
        && !policy.trusts(who.client.address)
        && relay::network_of(&policy.relay_networks, who.client.address).is_none()
        && score::sum(who.points) >= policy.greylist_at
}

/// Judges what is remembered.
#[must_use]
pub fn judge(said: GreySaid) -> Finding {
    match said {
        GreySaid::Known => Finding::pass(GREYLIST, "its network has come back before"),
        GreySaid::Back(waited) => Finding::pass(GREYLIST, format!("it came back after {}", words(waited))),
        GreySaid::Wait(left) => {
            Finding::defer(GREYLIST, format!("it is to come again in {}", words(left)), Reply::greylisted(&words(left)))
        }
    }
}

/// `5 minutes`, rounded up.
fn words(time: Duration) -> String {
    let seconds = time.as_millis().div_ceil(1000);
    match seconds {
        0 | 1 => "a second".to_owned(),
        2..=90 => format!("{seconds} seconds"),
        91..=5400 => format!("{} minutes", seconds.div_ceil(60)),
        _ => format!("{} hours", seconds.div_ceil(3600)),
    }
}

#[cfg(test)]
mod tests;
