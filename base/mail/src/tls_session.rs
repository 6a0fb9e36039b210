//! How the TLS of one session with a mail host went, in the words of RFC 8460. Promise: a word that is in a report of ours is in that document.

use std::net::IpAddr;
use std::sync::Arc;

/// What the TLS of a host was measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TlsBasis {
    /// RFC 7672.
    Dane,
    /// RFC 8461.
    Sts,
    /// The domain says nothing of it.
    Nothing,
}

impl TlsBasis {
    /// RFC 8460 §4.4, `policy-type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dane => "tlsa",
            Self::Sts => "sts",
            Self::Nothing => "no-policy-found",
        }
    }
}

/// What failed (RFC 8460 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TlsFailure {
    /// The host offers no STARTTLS.
    NotOffered,
    /// The certificate, or the host, is not one that the policy names.
    Mismatch,
    /// The certificate's time is over or has not come.
    Expired,
    /// Nobody we believe vouches for it.
    NotTrusted,
    /// Anything else.
    Validation,
    /// No TLSA record is of any use.
    TlsaInvalid,
    /// The name server has no valid answer about the records.
    DnssecInvalid,
    /// The policy could not be fetched.
    PolicyFetch,
    /// The policy does not read.
    PolicyInvalid,
    /// The certificate of the policy's host is not good.
    PolicyHost,
}

impl TlsFailure {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::NotOffered,
        Self::Mismatch,
        Self::Expired,
        Self::NotTrusted,
        Self::Validation,
        Self::TlsaInvalid,
        Self::DnssecInvalid,
        Self::PolicyFetch,
        Self::PolicyInvalid,
        Self::PolicyHost,
    ];

    /// RFC 8460 §4.4, `result-type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotOffered => "starttls-not-supported",
            Self::Mismatch => "certificate-host-mismatch",
            Self::Expired => "certificate-expired",
            Self::NotTrusted => "certificate-not-trusted",
            Self::Validation => "validation-failure",
            Self::TlsaInvalid => "tlsa-invalid",
            Self::DnssecInvalid => "dnssec-invalid",
            Self::PolicyFetch => "sts-policy-fetch-error",
            Self::PolicyInvalid => "sts-policy-invalid",
            Self::PolicyHost => "sts-webpki-invalid",
        }
    }
}

/// One session, or one host that was not spoken to for the sake of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSession {
    /// What it was measured by.
    pub basis: TlsBasis,
    /// The host's name.
    pub host: Arc<str>,
    /// Where it was reached; none where nobody was asked.
    pub address: Option<IpAddr>,
    /// What failed, and in which words; none: encrypted, and as the policy wants it.
    pub failure: Option<(TlsFailure, Box<str>)>,
}
