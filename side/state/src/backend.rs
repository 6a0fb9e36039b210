//! Where the small facts are kept: rows of bytes in a few ordered keyspaces. This trait is all the rest knows of the engine.

pub mod local;
pub(crate) mod rehearsal;

use crate::trouble::StateFailure;

/// A set of rows ordered by key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Keyspace {
    /// About the store itself.
    Meta,
    /// One row per account.
    Accounts,
    /// The events of messages, by message id.
    History,
    /// Which messages an address was part of.
    Addresses,
    /// Refusals, by time.
    Refusals,
    /// Records of decisions, by session.
    Trails,
    /// Entries of lists made by commands, by subject.
    Lists,
    /// One row per network that is or was banned.
    Bans,
    /// How much each account has sent.
    Quotas,
    /// What is counted for reports to others.
    Reports,
    /// Who was told to come again, and networks that did.
    Greylist,
    /// What reports of others have said.
    ReportsRead,
    /// Policies of other domains on TLS, and what is counted of it.
    Tls,
    /// Addresses that are not written to.
    Suppression,
    /// Senders that mail left with, each for one recipient.
    Returns,
    /// What accounts did, for the guard of accounts.
    Reputation,
}

impl Keyspace {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Meta,
        Self::Accounts,
        Self::History,
        Self::Addresses,
        Self::Refusals,
        Self::Trails,
        Self::Lists,
        Self::Bans,
        Self::Quotas,
        Self::Reports,
        Self::Greylist,
        Self::ReportsRead,
        Self::Tls,
        Self::Suppression,
        Self::Returns,
        Self::Reputation,
    ];

    /// Its name on disk.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Accounts => "accounts",
            Self::History => "history",
            Self::Addresses => "addresses",
            Self::Refusals => "refusals",
            Self::Trails => "trails",
            Self::Lists => "lists",
            Self::Bans => "bans",
            Self::Quotas => "quotas",
            Self::Reports => "reports",
            Self::Greylist => "greylist",
            Self::ReportsRead => "reports-read",
            Self::Tls => "tls",
            Self::Suppression => "suppression",
            Self::Returns => "returns",
            Self::Reputation => "reputation",
        }
    }
}

/// One change of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Writes a row, over an older one.
    Put(Keyspace, Vec<u8>, Vec<u8>),
    /// Removes a row, if it is there.
    Remove(Keyspace, Vec<u8>),
}

/// What a finished write means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It survives a power cut.
    Synced,
    /// It survives the death of the process; a power cut may take the last seconds.
    Buffered,
}

/// Which end of a range comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Lowest key first.
    Ascending,
    /// Highest key first.
    Descending,
}

/// A key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// The engine. All calls may block on the disk.
pub trait Backend: Send + Sync {
    /// One row.
    ///
    /// # Errors
    /// When the disk fails.
    fn read(&self, space: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StateFailure>;

    /// The rows from `from` on, up to but without `before` (`None`: to the end), at most `limit`.
    ///
    /// # Errors
    /// When the disk fails.
    fn scan(
        &self,
        space: Keyspace,
        from: &[u8],
        before: Option<&[u8]>,
        order: Order,
        limit: usize,
    ) -> Result<Vec<Row>, StateFailure>;

    /// All changes or none.
    ///
    /// # Errors
    /// Every failure is [`StateFailure::Poisoned`].
    fn write(&self, changes: Vec<Change>, durability: Durability) -> Result<(), StateFailure>;
}
