//! Whether the client's address has a name that has the address, as points.
//!
//! Promise: by itself it never decides. When it cannot know (temperror): nothing is held against the sender.

use postern_mail::authenticity::{AuthResult, Iprev};
use postern_mail::{Effect, Finding, RuleName};

use super::authenticity::Settings;

/// As it stands in trails.
pub const REVERSE_DNS: RuleName = "reverse_dns";

/// Judges the client's name.
#[must_use]
pub fn judge(iprev: &Iprev, settings: &Settings) -> Finding {
    let name = iprev.name.as_str();
    let (tenths, because) = match iprev.result {
        AuthResult::Pass => (0, format!("{name} is confirmed")),
        AuthResult::Fail => (settings.reverse_dns_points, format!("the address is not one of {name}'s")),
        AuthResult::PermError => (settings.reverse_dns_points, "the address has no name".to_owned()),
        _ => (0, "the name could not be found out".to_owned()),
    };
    match tenths {
        0 => Finding::pass(REVERSE_DNS, because),
        tenths => Finding { rule: REVERSE_DNS, says: Effect::Points(tenths), because, reply: None },
    }
}
