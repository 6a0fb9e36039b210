//! Seals of forwarders (RFC 8617).
//!
//! Promise: only a chain that holds, and whose last sealer the configuration names and says that the author had passed DMARC there, takes back what
//! [`super::dmarc`] said; everybody can seal, and an honest seal on forged mail says that it failed. It never excuses a message without an author. When it cannot know (temperror): nothing is taken back.

use postern_mail::authenticity::{Arc, AuthResult, Authenticity, Dmarc};
use postern_mail::{Effect, Finding, RuleName};

use super::authenticity::Settings;
use super::dmarc::{DMARC, is_against, is_open};

/// As it stands in trails.
pub const ARC: RuleName = "arc";

/// Judges the chain.
#[must_use]
pub fn judge(found: &Authenticity, arc: &Arc, settings: &Settings) -> Finding {
    let sealer = arc.sealers.last();
    let trusted =
        sealer.is_some_and(|last| settings.arc_trusted.iter().any(|own| own.as_str().eq_ignore_ascii_case(last.as_str())));
    let names: Vec<&str> = arc.sealers.iter().map(postern_mail::authenticity::Words::as_str).collect();
    let why = if arc.why.as_str().is_empty() { String::new() } else { format!(" ({})", arc.why) };
    let has_passed = |dmarc: &Dmarc| arc.passed.iter().any(|own| own.as_str().eq_ignore_ascii_case(dmarc.domain.as_str()));
    let mut blamed = found.dmarc.iter().filter(|dmarc| is_against(dmarc) || is_open(dmarc)).peekable();
    let is_blamed = blamed.peek().is_some();
    let passed = blamed.all(has_passed);
    let because = format!(
        "{} of a chain by {}{why}, the last of them {}{}",
        arc.result,
        names.join(", "),
        if trusted { "trusted" } else { "not trusted" },
        if is_blamed && trusted && !passed { ", which has not found DMARC to pass" } else { "" }
    );
    let lifts = arc.result == AuthResult::Pass && trusted && found.no_author.as_str().is_empty() && is_blamed && passed;
    match lifts {
        true => Finding { rule: ARC, says: Effect::Waives(DMARC), because, reply: None },
        false => Finding::pass(ARC, because),
    }
}
