//! What is to be reported to whom (RFC 3461 §5.2). Promise: nothing is ever reported about a message with the null sender (RFC 5321
//! §4.5.5, RFC 3461 §5.2), so reports cannot breed; everybody else hears of each failure they did not decline to hear of.

use postern_mail::envelope::{Notify, Return, UnixMillis};
use postern_mail::outcome::Evidence;
use postern_mail::{Envelope, Mailbox, Outcome, Recipient, Status};

/// What became of a recipient, in the words of RFC 3464 §2.3.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Never.
    Failed,
    /// Not yet.
    Delayed,
    /// In the mailbox.
    Delivered,
    /// At a server that sends no reports of delivery.
    Relayed,
    /// Handed on to the members of an alias, of whom nothing more will be heard.
    Expanded,
}

impl Action {
    /// As the field has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
            Self::Expanded => "expanded",
        }
    }
}

/// How far a delivery went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Into the mailbox: a Maildir, or LMTP.
    Mailbox,
    /// To the next server.
    NextHop,
    /// To the members of an alias.
    Members,
}

/// One recipient at the end of an attempt.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// Which, with what the sender asked of reports.
    pub recipient: &'a Recipient,
    /// What came of it.
    pub outcome: &'a Outcome,
    /// How far a delivery of this recipient goes.
    pub reach: Reach,
}

/// Whether this attempt is the one after which a delay is told. RFC 3461 §5.2.5 leaves the time to us; it is told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DelayNotice {
    /// Too early, or told before.
    NotDue,
    /// Now.
    Due {
        /// When we will give up.
        retry_until: UnixMillis,
    },
}

/// One recipient of a report.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// Which.
    pub recipient: &'a Recipient,
    /// What became of it.
    pub action: Action,
    /// RFC 3464 §2.3.4.
    pub status: Status,
    /// Who said what.
    pub evidence: &'a Evidence,
    /// The time for trying ran out.
    pub expired: bool,
    /// Of a delay.
    pub retry_until: Option<UnixMillis>,
}

/// A report to write: one for all recipients that ended in the same attempt (RFC 3461 §5.2.8).
#[derive(Clone, Debug)]
pub struct ReportDue<'a> {
    /// The reverse path.
    pub to: &'a Mailbox,
    /// At least one.
    pub lines: Vec<Line<'a>>,
}

/// How much of the message a report brings back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// All of it.
    Full,
    /// Its header section.
    Headers,
}

impl ReportDue<'_> {
    /// True for any recipient with this action.
    #[must_use]
    pub fn tells(&self, action: Action) -> bool {
        self.lines.iter().any(|line| line.action == action)
    }

    /// How much of a message of `size` octets is returned. RFC 3461 §4.3: RET is about failures, and other reports return the header
    /// section only. RFC 3461 §6.2: above a size of ours, `full_bytes_max`, a failure returns only the header section too, even for
    /// RET=FULL; whoever was named as the sender by somebody else is not to be sent large mail by us.
    #[must_use]
    pub fn returned(&self, envelope: &Envelope, size: u64, full_bytes_max: u64) -> Returned {
        // RFC 8689 §5: a message that asked for TLS is returned as for RET=HDRS, whatever RET said.
        let all = envelope.ret != Some(Return::Headers) && !envelope.require_tls;
        if self.tells(Action::Failed) && all && size <= full_bytes_max { Returned::Full } else { Returned::Headers }
    }
}

/// What the attempt that just ended has to report, if anything.
#[must_use]
pub fn reports_due<'a>(envelope: &'a Envelope, ended: &[Ended<'a>], delay: DelayNotice) -> Option<ReportDue<'a>> {
    // RFC 5321 §4.5.5, RFC 3461 §5.2: a message with the null sender is a report itself. RFC 3461 §5.2 TODO: postmaster is not told of
    // a report that could not be delivered; only the log and the history are.
    let to = envelope.from.mailbox()?;
    let lines: Vec<Line<'a>> = ended.iter().filter_map(|ended| line(*ended, delay)).collect();
    if lines.is_empty() { None } else { Some(ReportDue { to, lines }) }
}

fn line(ended: Ended<'_>, delay: DelayNotice) -> Option<Line<'_>> {
    // RFC 3461 §4.1: who asked for nothing hears of failures, and may hear of delays.
    let wanted = ended.recipient.dsn().notify.unwrap_or(Notify::DEFAULT);
    let line = |action, status, evidence| Line {
        recipient: ended.recipient,
        action,
        status,
        evidence,
        expired: matches!(ended.outcome, Outcome::Expired { .. }),
        retry_until: None,
    };
    match ended.outcome {
        // RFC 3461 §5.2.6: a failure is told, unless NOTIFY was given without it.
        Outcome::Bounced { status, evidence, .. } if wanted.failure => Some(line(Action::Failed, of_class(5, *status), evidence)),
        // RFC 3463 §2: class 4 is also for a temporary condition that outlasted our patience.
        Outcome::Expired { status, evidence } if wanted.failure => Some(line(Action::Failed, of_class(4, *status), evidence)),
        Outcome::Deferred { status, evidence, .. } if wanted.delay => match delay {
            DelayNotice::NotDue => None,
            DelayNotice::Due { retry_until } => {
                Some(Line { retry_until: Some(retry_until), ..line(Action::Delayed, of_class(4, *status), evidence) })
            }
        },
        Outcome::Delivered { evidence, dsn_passed_on } if wanted.success => {
            let action = match ended.reach {
                // RFC 3461 §5.2.3: in the mailbox is delivered.
                Reach::Mailbox => Action::Delivered,
                // RFC 3461 §5.2.1: a next hop that offered DSN reports for itself.
                Reach::NextHop if *dsn_passed_on => return None,
                // RFC 3461 §5.2.2: one that did not will never tell, so the sender learns that from us.
                Reach::NextHop => Action::Relayed,
                // RFC 3461 §5.2.7.3: an alias with several members is expanded.
                Reach::Members => Action::Expanded,
            };
            Some(line(action, Status::new(2, 0, 0), evidence))
        }
        _ => None,
    }
}

/// The status of an action is of its class, whatever mixture a next hop said (RFC 3464 §2.3.4).
fn of_class(class: u8, status: Status) -> Status {
    if status.class == class { status } else { Status { class, ..status } }
}

#[cfg(test)]
mod tests;
