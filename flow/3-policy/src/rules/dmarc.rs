//! What the author's domain asks for (RFC 9989).
//!
//! Promise: where the domain says so, mail that is not proven to be its own is refused or held, and mail without an author whose domain could be asked is
//! refused, so that leaving From out is no way around it. When it cannot know: it defers where the domain is known to ask for refusal (temperror), since whoever
//! forges it may have picked an identifier that cannot be looked up; else it passes, since a broken zone is not the sender's fault and points of other rules
//! still count.

use postern_mail::authenticity::{AuthResult, Authenticity, Disposition, Dmarc};
use postern_mail::{Decision, Effect, Finding, Reply, RuleName};

use super::authenticity::{Quarantine, Settings};

/// As it stands in trails.
pub const DMARC: RuleName = "dmarc";

/// True for a domain that has asked for something, of mail that fails.
pub(super) fn is_against(dmarc: &Dmarc) -> bool {
    dmarc.result == AuthResult::Fail && dmarc.asked != Disposition::None
}

/// True for a domain that asks for refusal, of mail of which it could not be found out whether it is proven.
pub(super) fn is_open(dmarc: &Dmarc) -> bool {
    dmarc.result == AuthResult::TempError && dmarc.asked == Disposition::Reject
}

/// Judges every author domain; the strictest decides.
#[must_use]
pub fn judge(found: &Authenticity, settings: &Settings) -> Finding {
    let nobody = found.no_author.as_str();
    if !nobody.is_empty() {
        return Finding::refuse(DMARC, nobody, Reply::no_author(nobody));
    }
    let word = |dmarc: &Dmarc| {
        let testing = if dmarc.testing { ", testing" } else { "" };
        let by = match (dmarc.aligned_spf, dmarc.aligned_dkim) {
            (true, true) => " by SPF and DKIM",
            (true, false) => " by SPF",
            (false, true) => " by DKIM",
            (false, false) => "",
        };
        let why = if dmarc.why.as_str().is_empty() { String::new() } else { format!(": {}", dmarc.why) };
        format!("{}{by} for {} (p={}{testing}){why}", dmarc.result, dmarc.domain, dmarc.asked.as_str())
    };
    let because = found.dmarc.iter().map(word).collect::<Vec<_>>().join("; ");
    // RFC 9989: with t=y what is asked for is one step milder, which has been done where it was looked up.
    let against = found.dmarc.iter().filter(|dmarc| is_against(dmarc)).max_by_key(|dmarc| dmarc.asked);
    if against.is_none_or(|dmarc| dmarc.asked != Disposition::Reject)
        && let Some(open) = found.dmarc.iter().find(|dmarc| is_open(dmarc))
    {
        return Finding::defer(DMARC, because, Reply::not_yet_authentic(open.domain.as_str()));
    }
    match against {
        Some(dmarc) if dmarc.asked == Disposition::Reject => {
            Finding::refuse(DMARC, because, Reply::not_authentic(dmarc.domain.as_str(), dmarc.why.as_str()))
        }
        Some(_) => match settings.quarantine {
            Quarantine::Hold => Finding { rule: DMARC, says: Effect::Wants(Decision::Hold), because, reply: None },
            Quarantine::Points(tenths) => Finding { rule: DMARC, says: Effect::Points(tenths), because, reply: None },
        },
        None => Finding::pass(DMARC, because),
    }
}
