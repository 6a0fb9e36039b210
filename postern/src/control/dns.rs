//! The words of `postern dns` on the control socket.

use serde::{Deserialize, Serialize};

/// Records of a domain.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DnsOrder {
    /// Which.
    pub domain: String,
    /// Look whether they are out.
    pub check: bool,
}

/// What is to be published, and what is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DnsPlan {
    /// For which domain.
    pub domain: String,
    /// It was looked whether they are out.
    pub checked: bool,
    /// In the order in which one would publish them.
    pub records: Vec<DnsRecord>,
}

/// One record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DnsRecord {
    /// Without a dot at the end.
    pub name: String,
    /// `MX`, `A`, `AAAA`, `PTR` or `TXT`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it should say; of a TXT record the text as one.
    pub value: String,
    /// The record as a line of a zone file.
    pub zone_line: String,
    /// What it is for.
    pub why: String,
    /// `published`, `missing`, `differs` or `unknown`; nothing where it was not looked.
    pub state: Option<String>,
    /// What stands there instead, or beside it.
    pub found: Vec<String>,
    /// What to think of that.
    pub note: Option<String>,
}

impl DnsPlan {
    /// Something is to be done.
    #[must_use]
    pub(crate) fn is_wrong(&self) -> bool {
        self.records.iter().any(|record| record.state.as_deref().is_some_and(|state| state != "published"))
    }
}
