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
    /// What others have reported.
    Show {
        /// About this domain only.
        domain: Option<String>,
    },
}

/// What others have reported to `reports.read_at`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ReportsRead {
    /// Where they are read; nowhere unless it is set.
    pub read_at: Option<String>,
    /// Reports that were counted.
    pub reports: u64,
    /// Mail without a report that reads.
    pub unreadable: u64,
    /// Reports that had come before.
    pub again: u64,
    /// Mail that there was no time to read.
    pub skipped: u64,
    /// Messages told of without a row.
    pub without_room: u64,
    /// Those with the most messages first.
    pub rows: Vec<Row>,
    /// There are more than these.
    pub more: bool,
}

/// What is told of one client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    /// In whose name it sent.
    pub domain: String,
    /// The client, where it is told.
    pub source: Option<String>,
    /// What became of it.
    pub result: String,
    /// How many.
    pub messages: u64,
    /// When it was told last, in milliseconds since 1970.
    pub last: u64,
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
