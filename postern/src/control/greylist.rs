//! The words of `postern greylist` on the control socket.

use serde::{Deserialize, Serialize};

/// Something of greylisting.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum GreyOrder {
    /// Who is remembered.
    List {
        /// At most so many.
        limit: usize,
    },
    /// Whoever is at this address comes for the first time again, and his network with him.
    Forget {
        /// The address.
        address: String,
    },
    /// How many are remembered.
    Stats,
}

/// What is remembered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Remembered {
    /// The mode of the rule: `enforce`, `observe` or `off`.
    pub mode: String,
    /// Who were told to come again, and have not.
    pub waiting: usize,
    /// Networks that came back.
    pub known: usize,
    /// Octets that this takes at most.
    pub octets: usize,
    /// Octets it may take: `policy.greylist.memory`.
    pub memory: u64,
    /// The newest first; only where they were asked for.
    pub rows: Option<Vec<Row>>,
    /// There are more than these.
    pub more: bool,
}

/// One of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    /// Its network.
    pub network: String,
    /// It came back; else it is waited for.
    pub known: bool,
    /// When it was last seen, or came first, in milliseconds since 1970.
    pub at: u64,
}
