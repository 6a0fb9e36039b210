//! The words of `postern dkim` on the control socket. Promise: no private key stands in them.

use serde::{Deserialize, Serialize};

/// Something of keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DkimOrder {
    /// All records, and whether they are out.
    Show {
        /// Of this domain; else of all.
        domain: Option<String>,
    },
    /// New keys.
    Rotate {
        /// For this domain.
        domain: String,
        /// They sign at once, seen or not.
        unseen: bool,
        /// Only say what would be done.
        dry_run: bool,
    },
}

/// Keys of some domains.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DkimKeys {
    /// In the order of the configuration.
    pub domains: Vec<DkimDomain>,
    /// What was done.
    pub done: Option<String>,
}

/// Keys of one domain.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DkimDomain {
    /// Which.
    pub domain: String,
    /// In the order in which they were made.
    pub keys: Vec<DkimKey>,
}

/// One key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DkimKey {
    /// The `s=` of its signatures.
    pub selector: String,
    /// The `a=` of its signatures.
    pub algorithm: String,
    /// `made`, `signing`, `signing, not published`, `retired` or `over`.
    pub state: String,
    /// Milliseconds since 1970.
    pub made: u64,
    /// Milliseconds since 1970.
    pub signs_since: Option<u64>,
    /// When others took over, in milliseconds since 1970.
    pub retired: Option<u64>,
    /// `published`, `missing`, `revoked`, or what is wrong; nothing where nobody could tell.
    pub published: Option<String>,
    /// The name of its record, without a dot at the end.
    pub name: String,
    /// The text of its record, as one.
    pub value: String,
    /// The text in strings of at most 255 characters, in quotes.
    pub quoted: String,
    /// The record as a line of a zone file.
    pub zone_line: String,
    /// What is to be done.
    pub advice: Option<String>,
}
