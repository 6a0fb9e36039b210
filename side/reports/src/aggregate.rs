//! An aggregate report as values, the same for those we write and those we read. Promise: writing one and reading it gives the same.

use std::net::IpAddr;

use postern_mail::published::{Policies, Published};
use serde::{Deserialize, Serialize};

/// What a domain published, as it is told in reports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Where the record stands.
    pub domain: String,
    /// `treewalk` or `psl`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery: Option<String>,
    /// `p=`.
    pub p: String,
    /// `sp=`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sp: Option<String>,
    /// `np=`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub np: Option<String>,
    /// `fo=`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fo: Option<String>,
    /// `adkim=`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adkim: Option<String>,
    /// `aspf=`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aspf: Option<String>,
    /// `t=`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub testing: Option<String>,
}

impl From<&Published> for Policy {
    fn from(published: &Published) -> Self {
        let Policies { p, sp, np } = published.policies;
        let alignment = |strict: bool| Some(if strict { "s" } else { "r" }.to_owned());
        Self {
            domain: published.domain.to_string(),
            discovery: Some("treewalk".to_owned()),
            p: p.as_str().to_owned(),
            sp: Some(sp.as_str().to_owned()),
            np: Some(np.as_str().to_owned()),
            fo: Some(published.failure_options.to_owned()),
            adkim: alignment(published.strict_dkim),
            aspf: alignment(published.strict_spf),
            testing: Some(if published.testing { "y" } else { "n" }.to_owned()),
        }
    }
}

/// Why what was done is not what the domain asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// `local_policy`, `trusted_forwarder`, `policy_test_mode` and so on.
    pub kind: String,
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// A signature.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DkimLine {
    /// `d=`.
    pub domain: String,
    /// `s=`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub selector: String,
    /// As RFC 8601 names it.
    pub result: String,
}

/// A check of SPF.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpfLine {
    /// Whose record was read.
    pub domain: String,
    /// As RFC 8601 names it.
    pub result: String,
}

/// Messages that are alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The client.
    pub source: IpAddr,
    /// How many messages.
    #[serde(default)]
    pub count: u64,
    /// `none`, `pass`, `quarantine` or `reject`.
    pub disposition: String,
    /// `pass` or `fail`: by an aligned signature.
    pub dkim: String,
    /// `pass` or `fail`: by an aligned sender.
    pub spf: String,
    /// Why the disposition is another than the domain's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
    /// The domain of the From field.
    pub header_from: String,
    /// The domain of MAIL FROM; empty for the null sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope_from: Option<String>,
    /// The domain of RCPT TO.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope_to: Option<String>,
    /// Signatures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dkim_results: Vec<DkimLine>,
    /// Checks of SPF.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spf_results: Vec<SpfLine>,
}

impl Record {
    /// One message from a client, with nothing known of it.
    #[must_use]
    pub fn of(source: IpAddr) -> Self {
        let none = String::new;
        Self {
            source,
            count: 1,
            disposition: none(),
            dkim: none(),
            spf: none(),
            reasons: Vec::new(),
            header_from: none(),
            envelope_from: None,
            envelope_to: None,
            dkim_results: Vec::new(),
            spf_results: Vec::new(),
        }
    }

    /// It is what it says it is.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.dkim == "pass" || self.spf == "pass"
    }
}

/// A report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aggregate {
    /// Who reports.
    pub org_name: String,
    /// Whom to ask about it.
    pub email: String,
    /// More of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra_contact_info: Option<String>,
    /// By which it is told from others.
    pub report_id: String,
    /// Seconds since 1970.
    pub begin: u64,
    /// Seconds since 1970.
    pub end: u64,
    /// What went wrong; with us also that something is missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// The program that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator: Option<String>,
    /// What the domain published.
    pub policy: Policy,
    /// What came in its name.
    pub records: Vec<Record>,
    /// Records that could not be read.
    #[serde(default)]
    pub unread: u64,
}

impl Aggregate {
    /// Messages in it.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.records.iter().fold(0, |sum, record| sum.saturating_add(record.count))
    }
}
