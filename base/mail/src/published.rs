//! What a domain publishes for DMARC (RFC 9989), as far as reports tell of it. Promise: plain, bounded values; addresses are mailboxes and nothing else.

use crate::authenticity::Disposition;
use crate::{Domain, Mailbox};

/// Destinations of one record that are looked at; more are not.
pub const DESTINATIONS_MAX: usize = 5;

/// What a domain asks to be done with mail that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policies {
    /// For itself.
    pub p: Disposition,
    /// For domains below it.
    pub sp: Disposition,
    /// For names below it that do not exist.
    pub np: Disposition,
}

/// Where reports are to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Whom to.
    pub address: Mailbox,
    /// Larger ones are not wanted.
    pub octets_max: Option<u64>,
}

/// The record that applies to an author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Where it stands.
    pub domain: Domain,
    /// The organizational domain of that.
    pub organization: Domain,
    /// `p=`, `sp=`, `np=`.
    pub policies: Policies,
    /// `adkim=s`.
    pub strict_dkim: bool,
    /// `aspf=s`.
    pub strict_spf: bool,
    /// `fo=`.
    pub failure_options: &'static str,
    /// `t=y`.
    pub testing: bool,
    /// `rua=`.
    pub destinations: Vec<Destination>,
    /// `ruf=`. Of a public suffix there are none: RFC 9991 leaves single messages to those who own them.
    pub failure_destinations: Vec<Destination>,
}
