//! Rules on `[[dkim]]`.

use std::time::Duration;

use postern_mail::Domain;
use postern_mail::message::signed_fields;

use super::{Findings, twice};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// The day and two letters are still to come in the label.
const SELECTOR_BYTES_MAX: usize = 40;

pub(super) fn dkim(findings: &mut Findings<'_>) {
    let config = findings.config;
    let place = |index: usize, key: &str| format!("dkim[{}].{key}", index + 1);
    for (first, later) in twice(config.dkim.iter().map(|own| &own.domain)) {
        let line = findings.line(&place(first, "domain"));
        findings.error(&place(later, "domain"), &format!("is there already (line {line})"));
    }
    for (index, own) in config.dkim.iter().enumerate() {
        let is_label =
            own.selector.len() <= SELECTOR_BYTES_MAX && !own.selector.contains('.') && Domain::parse(&own.selector).is_ok();
        if !is_label {
            findings.error(&place(index, "selector"), "is no label of DNS of at most 40 letters, digits and hyphens");
        }
        let is_name =
            |name: &&String| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':' && byte != b';');
        if let Some(name) = own.headers.iter().find(|name| !is_name(name)) {
            findings.error(&place(index, "headers"), &format!("{name:?} is no name of a header field"));
        }
        if !own.expires_after.is_zero() && own.expires_after < DAY {
            findings.error(&place(index, "expires_after"), "is shorter than mail waits; 1d at least, or 0s for no end");
        }
        // RFC 6376 §5.4.
        if !own.headers.iter().any(|name| name.eq_ignore_ascii_case("From")) {
            findings.error(&place(index, "headers"), "From is missing; a signature must cover it");
        }
        if let Some(name) = own.headers.iter().find(|name| signed_fields::never(name)) {
            findings.error(&place(index, "headers"), &format!("{name} is changed on the way, and every signature with it"));
        }
        let folded = own.headers.iter().map(|name| name.to_ascii_lowercase());
        if let Some((first, _)) = twice(folded).first() {
            let name = own.headers.get(*first).cloned().unwrap_or_default();
            findings
                .error(&place(index, "headers"), &format!("{name} is there twice; once is enough, all of its fields are signed"));
        }
    }
}
