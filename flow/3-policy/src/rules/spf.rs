//! What SPF says (RFC 7208), as points.
//!
//! Promise: SPF alone refuses nothing, since it fails for whoever forwards mail. When it cannot know (temperror, permerror, no record): nothing is held
//! against the sender.

use postern_mail::authenticity::{AuthResult, Authenticity};
use postern_mail::{Effect, Finding, RuleName};

use super::authenticity::Settings;

/// As it stands in trails.
pub const SPF: RuleName = "spf";

/// Judges MAIL FROM where there is one, else HELO; a HELO name that fails by itself counts too.
#[must_use]
pub fn judge(found: &Authenticity, settings: &Settings) -> Finding {
    let checked = [&found.spf_mail, &found.spf_helo].into_iter().flatten();
    let points = |result| match result {
        AuthResult::Fail => settings.spf_fail_points,
        AuthResult::SoftFail => settings.spf_softfail_points,
        _ => 0,
    };
    let worst = checked.clone().map(|spf| points(spf.result)).max_by_key(|points| points.unsigned_abs()).unwrap_or(0);
    let words: Vec<String> = checked
        .map(|spf| {
            let explained =
                if spf.explanation.as_str().is_empty() { String::new() } else { format!(", which says: {}", spf.explanation) };
            format!("{} for {} ({}){explained}", spf.result, spf.domain, spf.why)
        })
        .collect();
    let because = if words.is_empty() { "nothing was checked".to_owned() } else { words.join("; ") };
    match worst {
        0 => Finding::pass(SPF, because),
        tenths => Finding { rule: SPF, says: Effect::Points(tenths), because, reply: None },
    }
}
