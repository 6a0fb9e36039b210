//! What became of one recipient, and how far the reason reaches.

use crate::reply::Status;

/// How far a reason reaches: what else would fail for the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// This recipient only.
    Recipient,
    /// This message, to any recipient.
    Message,
    /// This host; another of the same destination may do.
    Host,
    /// The whole destination.
    Destination,
}

/// What was said, by whom: evidence for a report, a log line, and a classifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Host name and address, or the path of a mailbox; empty when nobody was reached.
    pub by: Box<str>,
    /// The reply as it came, made printable, at most 512 characters; or what failed in our words.
    pub text: Box<str>,
}

/// What became of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The next hop took responsibility.
    Delivered {
        /// Who, and what it said.
        evidence: Evidence,
        /// True when the next hop offered DSN, so that reporting success is its task (RFC 3461 §5.2.1).
        dsn_passed_on: bool,
    },
    /// Try again.
    Deferred {
        /// How far it reaches.
        scope: Scope,
        /// RFC 3463.
        status: Status,
        /// Who, and what it said.
        evidence: Evidence,
    },
    /// Never.
    Bounced {
        /// How far it reaches.
        scope: Scope,
        /// RFC 3463.
        status: Status,
        /// Who, and what it said.
        evidence: Evidence,
    },
    /// Tried for as long as is configured.
    Expired {
        /// The last reason.
        status: Status,
        /// The last evidence.
        evidence: Evidence,
    },
}

impl Outcome {
    /// True when this recipient needs no more work.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Deferred { .. })
    }

    /// Who said what.
    #[must_use]
    pub fn evidence(&self) -> &Evidence {
        match self {
            Self::Delivered { evidence, .. }
            | Self::Deferred { evidence, .. }
            | Self::Bounced { evidence, .. }
            | Self::Expired { evidence, .. } => evidence,
        }
    }
}
