//! Head: the client's side of the conversation as two machines without sockets: [`hello`] from the greeting to a usable session,
//! [`transaction`] one message for some recipients. Replies go in; octets to send and what to wait for come out.
//!
//! Promise: credentials come out only after the handshake; a body comes out only when the peer is bound to read it as one; and however
//! the replies fall, every recipient of a transaction is settled once.

pub(crate) mod hello;
mod login;
pub(crate) mod transaction;

use postern_mail::{Outcome, TlsFailure};
use postern_smtp::extension::Offered;
use postern_smtp::reply_lines::ReceivedReply;

use crate::classify::{self, Failure, Stage};
use crate::next_hop::Protocol;
use crate::tls_policy::Security;

/// Why a conversation does not go on.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// The peer said so.
    Reply(Stage, ReceivedReply),
    /// It did not even say so.
    Failure(Stage, Failure),
}

impl Trouble {
    pub(crate) fn outcome(&self, by: &str) -> Outcome {
        match self {
            Self::Reply(stage, reply) => classify::of_reply(*stage, reply.code, reply.status, by, &text(reply)),
            Self::Failure(stage, failure) => classify::of_failure(*stage, failure, by),
        }
    }

    /// True when the way there is not as safe as it must be: what REQUIRETLS returns a message for.
    pub(crate) fn is_about_tls(&self) -> bool {
        match self {
            Self::Reply(stage, _) => *stage == Stage::StartTls,
            Self::Failure(_, failure) => {
                matches!(
                    failure,
                    Failure::Handshake(_)
                        | Failure::Certificate(..)
                        | Failure::NotNamed
                        | Failure::TlsNotOffered
                        | Failure::RequireTlsNotOffered
                )
            }
        }
    }

    /// What of it is TLS's, in the words of reports on that.
    pub(crate) fn tls_failure(&self) -> Option<(TlsFailure, String)> {
        match self {
            // RFC 8460 §4.3.1: a host that takes STARTTLS back is one that does not have it.
            Self::Reply(Stage::StartTls, reply) => Some((TlsFailure::NotOffered, text(reply))),
            Self::Failure(_, failure) => match failure {
                Failure::TlsNotOffered => Some((TlsFailure::NotOffered, String::new())),
                Failure::Certificate(what, why) | Failure::Closed(_, what, why) => Some((*what, why.clone())),
                Failure::Handshake(why) => Some((TlsFailure::Validation, why.clone())),
                Failure::Injected => Some((TlsFailure::Validation, "octets in clear behind the reply to STARTTLS".to_owned())),
                _ => None,
            },
            Self::Reply(..) => None,
        }
    }

    /// True when there was TLS, and only the offer of REQUIRETLS was missing.
    pub(crate) fn lacks_require_tls(&self) -> bool {
        matches!(self, Self::Failure(_, Failure::RequireTlsNotOffered))
    }

    /// True when the peer waits for a SASL response that it will not get.
    pub(crate) fn leaves_a_challenge(&self) -> bool {
        matches!(self, Self::Reply(Stage::Auth, reply) if reply.code.0 == 334)
    }
}

/// A reply on one line, as evidence.
pub(crate) fn text(reply: &ReceivedReply) -> String {
    let status = reply.status.map(|status| format!(" {status}")).unwrap_or_default();
    format!("{}{status} {}", reply.code.0, reply.lines.join(" / "))
}

/// What is known of a peer once the hello is over.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) offered: Offered,
    pub(crate) security: Security,
    pub(crate) protocol: Protocol,
    /// We have proved to it who we are.
    pub(crate) authenticated: bool,
}
