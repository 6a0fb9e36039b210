//! The words of `postern suppression` on the control socket.

use postern_mail::suppression::SuppressionRow;
use serde::{Deserialize, Serialize};

/// Entries in one order and in one answer.
pub(crate) const ENTRIES_AT_ONCE: usize = 5_000;

/// Something of suppression.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SuppressionOrder {
    /// Entries in their order.
    List {
        /// Of this account, and none for everybody; else all.
        account: Option<String>,
        /// Behind this address and account.
        after: Option<(String, Option<String>)>,
        /// At most so many.
        limit: usize,
    },
    /// More of them.
    Add {
        /// Which; those that are there are replaced.
        entries: Vec<Entry>,
        /// Why, as evidence where the entry has none.
        reason: String,
        /// Only say what would be.
        dry_run: bool,
    },
    /// One less.
    Remove {
        /// Which address.
        address: String,
        /// For one account; else for everybody.
        account: Option<String>,
        /// Why, for the audit log.
        reason: String,
        /// Only say what would be.
        dry_run: bool,
    },
    /// What is said of an address.
    Check {
        /// Which.
        address: String,
        /// For mail of this account.
        account: Option<String>,
    },
}

impl SuppressionOrder {
    /// For the audit log: what it changes, and why.
    pub(crate) fn act(&self) -> Option<(String, String)> {
        let of = |account: &Option<String>| account.as_ref().map(|account| format!(" for {account}")).unwrap_or_default();
        match self {
            Self::Add { entries, reason, dry_run: false } => {
                let what = match entries.as_slice() {
                    [one] => format!("suppression add {}{}", one.address, of(&one.account)),
                    many => format!("suppression add of {} addresses", many.len()),
                };
                Some((what, reason.clone()))
            }
            Self::Remove { address, account, reason, dry_run: false } => {
                Some((format!("suppression remove {address}{}", of(account)), reason.clone()))
            }
            _ => None,
        }
    }
}

/// An address that is not written to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Which.
    pub address: String,
    /// For whom; none: for everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// `bounced`, `complained`, `unsubscribed` or `by-hand`.
    pub cause: String,
    /// Milliseconds since 1970.
    pub since: u64,
    /// Milliseconds since 1970; none: until a person takes it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// How often it bounced.
    #[serde(default)]
    pub times: u32,
    /// What was said, or why a person wants it.
    #[serde(default)]
    pub evidence: String,
}

impl From<&SuppressionRow> for Entry {
    fn from(row: &SuppressionRow) -> Self {
        Self {
            address: row.key.address.to_string(),
            account: row.key.account.as_deref().map(str::to_owned),
            cause: row.cause.as_str().to_owned(),
            since: row.since.0,
            until: row.until.map(|until| until.0),
            times: row.times,
            evidence: row.evidence.to_string(),
        }
    }
}

/// Entries, as they are or as an order has changed them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Suppressions {
    /// In the order of addresses.
    pub entries: Vec<Entry>,
    /// There are more than these.
    pub more: bool,
    /// Bounces of the address that was asked for, where they do not suppress it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounces: Option<u32>,
}
