//! Filters of others that would be left out without a word.

use postern_mail::Mode;
use postern_mail::filter::FILTERS_MAX;

use super::Findings;

pub(super) fn filters(findings: &mut Findings<'_>) {
    let policy = &findings.config.policy;
    // In the order in which they are asked, so that the one named is the first that would not be.
    let clamav = policy.clamav.iter().enumerate().map(|(index, one)| ("clamav", index, one.mode));
    let rspamd = policy.rspamd.iter().enumerate().map(|(index, one)| ("rspamd", index, one.mode));
    let milters = policy.milters.iter().enumerate().map(|(index, one)| ("milter", index, one.mode));
    let mut asked = clamav.chain(rspamd).chain(milters).filter(|(.., mode)| *mode != Mode::Off);
    if let Some((kind, index, _)) = asked.nth(FILTERS_MAX) {
        let path = format!("policy.{kind}[{}]", index + 1);
        findings
            .error(&path, &format!("is one filter too many: {FILTERS_MAX} are asked about a message, this one never would be"));
    }
}
