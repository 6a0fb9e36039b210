//! The rules on who a message is from, together. Promise: what nobody looked up is not judged: accounts and trusted networks are not checked, and their mail
//! has no such facts.

use postern_mail::Domain;

use super::{arc, dkim, dmarc, reverse_dns, spf};
use crate::decide::Panel;
use crate::facts::MessageFacts;

/// What becomes of mail whose author's domain asks for quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quarantine {
    /// A person looks at it.
    Hold,
    /// Tenths of a point.
    Points(i16),
}

/// What the rules go by; points in tenths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `policy.authenticity.spf_fail_points`.
    pub spf_fail_points: i16,
    /// `policy.authenticity.spf_softfail_points`.
    pub spf_softfail_points: i16,
    /// `policy.authenticity.dkim_fail_points`.
    pub dkim_fail_points: i16,
    /// `policy.authenticity.dmarc_quarantine`.
    pub quarantine: Quarantine,
    /// `policy.authenticity.reverse_dns_points`.
    pub reverse_dns_points: i16,
    /// `policy.arc_trusted`.
    pub arc_trusted: Vec<Domain>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            spf_fail_points: 30,
            spf_softfail_points: 10,
            dkim_fail_points: 0,
            quarantine: Quarantine::Hold,
            reverse_dns_points: 10,
            arc_trusted: Vec::new(),
        }
    }
}

/// Runs them all.
#[must_use]
pub fn judge<'a>(panel: Panel<'a>, facts: &MessageFacts<'_>, settings: &Settings) -> Panel<'a> {
    let Some(found) = facts.found.authenticity.as_deref().filter(|_| facts.identity.is_none()) else { return panel };
    let panel = panel.rule(spf::SPF, || spf::judge(found, settings)).rule(dkim::DKIM, || dkim::judge(found, settings));
    let panel = panel.rule(dmarc::DMARC, || dmarc::judge(found, settings));
    let panel = match &found.arc {
        Some(chain) => panel.rule(arc::ARC, || arc::judge(found, chain, settings)),
        None => panel,
    };
    match &found.iprev {
        Some(iprev) => panel.rule(reverse_dns::REVERSE_DNS, || reverse_dns::judge(iprev, settings)),
        None => panel,
    }
}

#[cfg(test)]
mod tests;
