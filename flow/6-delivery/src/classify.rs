//! Head: reads a reply or a failure as an [`Outcome`] with its [`Scope`]. Promise: a peer's 2yz never becomes trouble here and a failure
//! of the network never becomes a bounce; what is doubtful is deferred.

use std::time::Duration;

use postern_mail::outcome::Evidence;
use postern_mail::trouble::Fault;
use postern_mail::{Outcome, ReplyCode, Scope, Status, TlsFailure};

/// How far the conversation had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// No connection yet.
    Connect,
    /// Waiting for 220.
    Greeting,
    /// EHLO, HELO or LHLO.
    Hello,
    /// STARTTLS and its handshake.
    StartTls,
    /// AUTH.
    Auth,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA, before the body.
    Data,
    /// The body, or the reply after it.
    Body,
}

impl Stage {
    /// What was being done, in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Connect => "connecting",
            Self::Greeting => "waiting for the greeting",
            Self::Hello => "saying hello",
            Self::StartTls => "starting TLS",
            Self::Auth => "authenticating",
            Self::Mail => "giving the sender",
            Self::Rcpt => "giving a recipient",
            Self::Data => "announcing the message",
            Self::Body => "sending the message",
        }
    }
}

/// What went wrong without a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nobody listens there.
    Refused,
    /// No way there, or any other error of the network while connecting.
    Unreachable(String),
    /// Nothing happened for this long.
    TimedOut(Duration),
    /// The connection ended or broke.
    Lost(String),
    /// The peer's reply is not SMTP.
    NotSmtp(Fault),
    /// A reply that makes no sense at this point.
    OutOfPlace(ReplyCode),
    /// Octets came in clear behind the reply to STARTTLS: somebody may be writing answers into the connection.
    Injected,
    /// The handshake failed.
    Handshake(String),
    /// The certificate is not one of those that the policy allows.
    Certificate(TlsFailure, String),
    /// The domain's own policy forbids this host, or cannot be found out.
    Closed(Status, TlsFailure, String),
    /// The message asks for REQUIRETLS, and nothing proves that the host is one of the domain's (RFC 8689 §4.2.1).
    NotNamed,
    /// The same, and what might prove it could not be asked: the next try may.
    NamedUnknown,
    /// TLS is asked for by policy, and the host has none.
    TlsNotOffered,
    /// The message asks for REQUIRETLS, and the host does not offer it (RFC 8689 §4.2.1).
    RequireTlsNotOffered,
    /// Credentials are configured, and the host offers no mechanism of ours.
    AuthNotOffered,
}

impl Failure {
    fn words(&self) -> String {
        match self {
            Self::Refused => "connection refused".to_owned(),
            Self::Unreachable(why) => format!("cannot connect: {why}"),
            Self::TimedOut(after) => format!("no answer within {} s", after.as_secs()),
            Self::Lost(why) => format!("connection lost: {why}"),
            Self::NotSmtp(fault) => format!("the reply is not SMTP: {fault}"),
            Self::OutOfPlace(code) => format!("reply {} makes no sense here", code.0),
            Self::Injected => "octets in clear behind the reply to STARTTLS".to_owned(),
            Self::Handshake(why) | Self::Certificate(_, why) => format!("TLS: {why}"),
            Self::Closed(_, _, why) => why.clone(),
            Self::NotNamed => {
                "REQUIRETLS is required, and neither DNSSEC nor MTA-STS says that this host is the domain's".to_owned()
            }
            Self::NamedUnknown => {
                "REQUIRETLS is required, and it could not be found out whether this host is the domain's (MTA-STS)".to_owned()
            }
            Self::TlsNotOffered => "TLS is required here and not offered".to_owned(),
            Self::RequireTlsNotOffered => "REQUIRETLS is required and not offered".to_owned(),
            Self::AuthNotOffered => "no AUTH mechanism in common under TLS".to_owned(),
        }
    }

    fn status(&self) -> Status {
        match self {
            // RFC 3463 §3.5: 4.1 no answer from host, 4.2 bad connection.
            Self::Refused | Self::Unreachable(_) => Status::new(4, 4, 1),
            Self::TimedOut(_) | Self::Lost(_) => Status::new(4, 4, 2),
            // RFC 3463 §3.6: 5.0 other protocol status.
            Self::NotSmtp(_) | Self::OutOfPlace(_) => Status::new(4, 5, 0),
            // RFC 3463 §3.8: 7.4 security features not supported, 7.5 cryptographic failure.
            Self::NotNamed | Self::TlsNotOffered | Self::RequireTlsNotOffered | Self::AuthNotOffered => Status::new(4, 7, 4),
            // RFC 3463 §3.5: 4.3 directory server failure.
            Self::NamedUnknown => Status::new(4, 4, 3),
            Self::Closed(status, ..) => *status,
            Self::Injected | Self::Handshake(_) | Self::Certificate(..) => Status::new(4, 7, 5),
        }
    }
}

/// Peer text and our own words are cut to this many characters in evidence.
pub const EVIDENCE_CHARS_MAX: usize = 512;

/// Evidence with its text made printable and cut.
#[must_use]
pub fn evidence(by: &str, text: &str) -> Evidence {
    let text: String = text.chars().take(EVIDENCE_CHARS_MAX).map(|c| if c.is_control() { '?' } else { c }).collect();
    Evidence { by: by.into(), text: text.into_boxed_str() }
}

/// RFC 5321 §3.8: a connection that breaks is as good as a 451. A failure without a reply is always deferred, and always the host's.
#[must_use]
pub fn of_failure(stage: Stage, failure: &Failure, by: &str) -> Outcome {
    let text = format!("{} while {}", failure.words(), stage.words());
    Outcome::Deferred { scope: Scope::Host, status: failure.status(), evidence: evidence(by, &text) }
}

/// A reply that is not what was hoped for. `text` is the reply as it came, with its code.
#[must_use]
pub fn of_reply(stage: Stage, code: ReplyCode, status: Option<Status>, by: &str, text: &str) -> Outcome {
    let evidence = evidence(by, text);
    if !(code.is_transient() || code.is_permanent()) {
        return of_failure(stage, &Failure::OutOfPlace(code), by);
    }
    // RFC 2034 §4: the class of an enhanced code must fit the reply; one that does not is not believed.
    let given = status.filter(|status| u16::from(status.class) == code.0 / 100);
    let mut status = given.unwrap_or_else(|| synthesised(stage, code));
    let scope = scope(stage, code, given);
    // RFC 5321 §4.2: the first digit decides, whatever the text says. RFC 1870 §6.2: 552 returns the message, 452 keeps it.
    // RFC 5321 §4.5.3.1.10: a 552 to RCPT about the number of recipients is to be read as 452.
    let too_many = stage == Stage::Rcpt && code.0 == 552 && given.is_none_or(|s| (s.subject, s.detail) == (5, 3));
    // A password of ours that is refused, or TLS that our policy asks for, is for the operators to mend; no sender's mail bounces for it.
    let ours = matches!(stage, Stage::StartTls | Stage::Auth);
    if code.is_permanent() && !too_many && !ours {
        return Outcome::Bounced { scope, status, evidence };
    }
    if too_many {
        status = Status::new(4, 5, 3);
    }
    status.class = 4;
    Outcome::Deferred { scope, status, evidence }
}

/// True for a recipient that was refused only because the transaction has enough of them: it may come again at once
/// (RFC 5321 §4.5.3.1.10).
#[must_use]
pub fn is_too_many_recipients(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Deferred { status, .. } if (status.subject, status.detail) == (5, 3))
}

/// RFC 3463 §2: what a reply without an enhanced code most likely means, no finer than the reply says.
fn synthesised(stage: Stage, code: ReplyCode) -> Status {
    let at_recipient = stage == Stage::Rcpt;
    let (subject, detail) = match code.0 % 100 {
        21 if code.is_transient() => (3, 2),
        // RFC 7504 §3, §4: 521 and 556.
        21 => (3, 2),
        56 => (1, 10),
        30 | 34 | 38 => (7, 0),
        35 => (7, 8),
        54 if code.is_transient() => (7, 0),
        0..=4 => (5, 0),
        50 if at_recipient && code.is_transient() => (2, 0),
        50 if at_recipient => (1, 0),
        51 if at_recipient && code.is_permanent() => (1, 6),
        52 if code.is_transient() => (3, 1),
        52 if at_recipient => (2, 2),
        52 => (3, 4),
        53 => (1, 3),
        55 => (5, 4),
        _ => (0, 0),
    };
    Status::new(if code.is_transient() { 4 } else { 5 }, subject, detail)
}

fn scope(stage: Stage, code: ReplyCode, given: Option<Status>) -> Scope {
    // RFC 5321 §3.8: 421 ends the connection whatever it was the reply to.
    if code.0 == 421 {
        return Scope::Host;
    }
    // Before MAIL nothing has been said about any message or recipient.
    if stage < Stage::Mail {
        return Scope::Host;
    }
    by_status(stage, given).unwrap_or(match (stage, code.0) {
        (Stage::Rcpt, _) => Scope::Recipient,
        // RFC 5321 §4.2.2: 452 is about the host's storage. RFC 4954 §6: 530 is about us.
        (_, 452) => Scope::Host,
        (Stage::Mail, 530) => Scope::Destination,
        (Stage::Mail, _) if code.is_transient() => Scope::Destination,
        _ => Scope::Message,
    })
}

/// What an enhanced code says of the reach (RFC 3463 §3 and the registry of RFC 5248), where it says anything.
fn by_status(stage: Stage, given: Option<Status>) -> Option<Scope> {
    let Status { class, subject, detail } = given?;
    match (subject, detail) {
        // The sender's address.
        (1, 7..=9) => Some(Scope::Message),
        (1, 1..=6 | 10) | (2, 1..) => Some(Scope::Recipient),
        // RFC 7505 §4.1: 5.7.27: the sender's domain takes no mail, so nobody could answer.
        (7, 27) => Some(Scope::Message),
        (3, 3 | 4) | (4, 6 | 7) | (6, _) => Some(Scope::Message),
        // Of class 5 these are words for "no such mailbox" at some large providers, so the stage decides.
        (3, 1 | 2 | 5) | (4, 1..=5) if class == 4 => Some(Scope::Host),
        (5, 3) if stage == Stage::Rcpt => Some(Scope::Recipient),
        // Our address or our rate, not this message: reverse DNS (RFC 7372 §3.3), network lists, too fast.
        (7, 25 | 28) => Some(Scope::Destination),
        // RFC 3463 §3.8: 7.1 to RCPT is about who may write to whom, which is also how grey lists speak.
        (7, 1) if stage == Stage::Rcpt => Some(Scope::Recipient),
        (7, _) if class == 4 => Some(Scope::Destination),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
