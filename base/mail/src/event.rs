//! The one record type for the log, the metrics, the history and later the pages. An event is plain data; peer text in it is raw and
//! must go through [`Quoted`](crate::Quoted) where it is printed.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::address::{Mailbox, ReversePath};
use crate::ban::Ban;
use crate::client::{ListenerKind, Subnet};
use crate::envelope::{MessageId, UnixMillis};
use crate::outcome::Outcome;
use crate::reply::Reply;

/// Something happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A message became durable and was acknowledged.
    Accepted {
        /// Which.
        id: MessageId,
        /// MAIL FROM.
        from: ReversePath,
        /// RCPT TO.
        recipients: Vec<Mailbox>,
        /// By whom.
        account: Option<Arc<str>>,
        /// From where; none for reports of our own.
        client: Option<IpAddr>,
        /// Octets with trace headers.
        size: u64,
    },
    /// A sender, a recipient or a message was refused.
    Refused {
        /// At which command: `MAIL`, `RCPT`, `DATA`, `AUTH`, `CONNECT`.
        at: &'static str,
        /// What we said.
        reply: Reply,
        /// Which rule decided, and its evidence.
        because: String,
        /// To whom.
        client: IpAddr,
        /// On which kind of listener.
        listener: ListenerKind,
        /// The address it was about.
        address: Option<Box<str>>,
    },
    /// An attempt ended for one recipient.
    Attempted {
        /// Which message.
        id: MessageId,
        /// Which recipient.
        recipient: Mailbox,
        /// What came of it.
        outcome: Outcome,
        /// The how many'th try.
        number: u16,
        /// Since it was accepted.
        age: Duration,
        /// Not before this, when it was deferred.
        next: Option<UnixMillis>,
    },
    /// Nothing is left to do for a message; it left the spool.
    Finished {
        /// Which.
        id: MessageId,
    },
    /// Something about an account or one of its credentials that its owner or the operator should know.
    Credential {
        /// Whose.
        account: Arc<str>,
        /// `password`, or the name of the app password.
        credential: Arc<str>,
        /// `unused-notice`, `unused-disabled`, `new-networks`, `session-ended`.
        what: &'static str,
        /// In words.
        because: String,
    },
    /// A person changed a message's fate, or a rule held it.
    Ordered {
        /// Which.
        id: MessageId,
        /// `hold`, `release`, `retry`, `bounce`, `drop`.
        what: &'static str,
        /// Why, as given.
        reason: String,
    },
    /// A network was banned, or its ban was changed.
    Banned(Ban),
    /// A ban is over.
    BanLifted {
        /// Of which network.
        of: Subnet,
        /// `ended`, or the words of whoever lifted it.
        because: String,
    },
}

impl Event {
    /// The message it is about, where it is about one.
    #[must_use]
    pub fn message(&self) -> Option<MessageId> {
        match self {
            Self::Accepted { id, .. } | Self::Attempted { id, .. } | Self::Finished { id } | Self::Ordered { id, .. } => {
                Some(*id)
            }
            Self::Refused { .. } | Self::Banned(_) | Self::BanLifted { .. } | Self::Credential { .. } => None,
        }
    }
}
