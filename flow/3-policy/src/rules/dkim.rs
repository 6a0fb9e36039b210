//! What the signatures come to (RFC 6376), as points.
//!
//! Promise: a signature that does not hold is no worse than none by default (RFC 6376 §6.3), since lists and gateways break it. When it cannot know
//! (temperror): nothing is held against the sender.

use postern_mail::authenticity::{AuthResult, Authenticity};
use postern_mail::{Effect, Finding, RuleName};

use super::authenticity::Settings;

/// As it stands in trails.
pub const DKIM: RuleName = "dkim";

/// Judges them together: one that holds is enough.
#[must_use]
pub fn judge(found: &Authenticity, settings: &Settings) -> Finding {
    let word = |dkim: &postern_mail::authenticity::Dkim| match dkim.why.as_str() {
        "" => format!("{} for {}", dkim.result, dkim.domain),
        why => format!("{} for {} ({why})", dkim.result, dkim.domain),
    };
    let words: Vec<String> = found.dkim.iter().map(word).collect();
    let because = if words.is_empty() { "no signature".to_owned() } else { words.join("; ") };
    let any = |result| found.dkim.iter().any(|dkim| dkim.result == result);
    if settings.dkim_fail_points == 0 || any(AuthResult::Pass) || any(AuthResult::TempError) || !any(AuthResult::Fail) {
        return Finding::pass(DKIM, because);
    }
    Finding { rule: DKIM, says: Effect::Points(settings.dkim_fail_points), because, reply: None }
}
