//! The words of `postern reports` on the control socket.

use serde::{Deserialize, Serialize};

/// Something of reports.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ReportsOrder {
    /// Send what was counted, without waiting for the night.
    Send {
        /// Only say what would be sent.
        dry_run: bool,
    },
}

/// What was sent, or would be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ReportsSent {
    /// It was; else it is only said.
    pub sent: bool,
    /// `reports.dmarc` or `reports.tls`: whether anything is counted.
    pub enabled: bool,
    /// Whom they are from.
    pub from: String,
    /// Each of them, those with the most messages first.
    pub reports: Vec<Told>,
    /// There are more than these.
    pub more: bool,
}

/// One report.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Told {
    /// About whom.
    pub domain: String,
    /// Seconds since 1970.
    pub begin: u64,
    /// Seconds since 1970.
    pub end: u64,
    /// Messages in it.
    pub messages: u64,
    /// In so many rows.
    pub rows: u64,
    /// Messages that are in no row.
    pub missing: u64,
    /// Who gets it.
    pub to: Vec<String>,
    /// Who does not, and why.
    pub not_to: Vec<String>,
    /// Of the mail.
    pub octets: u64,
    /// The message it is in.
    pub id: Option<String>,
    /// Tried again later.
    pub later: bool,
    /// It is on TLS; `messages` are sessions.
    #[serde(default)]
    pub about_tls: bool,
}
