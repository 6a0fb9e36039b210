//! What scheduler and delivery hand to each other.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::domain::Domain;
use crate::envelope::{MessageId, UnixMillis};

/// Where a group of recipients goes, as one lane of the scheduler: everything in a lane can share a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Destination {
    /// The mail exchangers of a domain (RFC 5321 §5.1).
    Mx(Domain),
    /// An address literal.
    Literal(IpAddr),
    /// The `index`-th `[[route]]` of the configuration, by its host and port so that a reload does not mix lanes up.
    Route {
        /// Host name or address.
        host: Arc<str>,
        /// TCP port.
        port: u16,
    },
    /// How a hosted domain delivers: `lmtp`, `maildir`, `relay` or `discard`.
    Hosted(Domain),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mx(domain) => write!(f, "mx:{domain}"),
            Self::Literal(address) => write!(f, "address:{address}"),
            Self::Route { host, port } => write!(f, "route:{host}:{port}"),
            Self::Hosted(domain) => write!(f, "hosted:{domain}"),
        }
    }
}

/// A lane's number within one run of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneId(pub u32);

/// Enters the scheduler: one message, for the recipients of one lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Which message.
    pub id: MessageId,
    /// Which lane.
    pub destination: Destination,
    /// Whose turn it takes; `None` is mail from other servers and reports.
    pub account: Option<Arc<str>>,
    /// When it was accepted: expiry counts from here.
    pub received: UnixMillis,
    /// Not before this.
    pub due: UnixMillis,
    /// How often it was tried already.
    pub attempts: u16,
    /// One of many alike (a newsletter): it goes behind what somebody waits for.
    pub is_bulk: bool,
}

/// Leaves the scheduler: try this now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Which message.
    pub id: MessageId,
    /// Which lane, to be given back when it ends.
    pub lane: LaneId,
    /// Where to.
    pub destination: Destination,
    /// When it was accepted.
    pub received: UnixMillis,
    /// 1 for the first.
    pub number: u16,
}
