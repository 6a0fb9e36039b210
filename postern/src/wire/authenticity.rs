//! Who a message is from: asked for at the end of its body, told to the rules and to whoever reads the message. Promise: accounts, relay networks and trusted
//! networks are not asked about, and what could not be read or found out delays no message beyond `policy.authenticity.timeout`.

use std::sync::Arc;

use postern_config::{Config, DmarcQuarantine};
use postern_lookup::{Authors, MessageAsked, ReadMessage};
use postern_mail::authenticity::Authenticity;
use postern_mail::fact::ClientFacts;
use postern_mail::message::auth_results::{About, authentication_results, received_spf};
use postern_mail::message::headers::Headers;
use postern_mail::{Domain, Envelope, Mailbox, Points, ReversePath};
use postern_policy::rules::authenticity::{Quarantine, Settings};

use crate::wire::Live;

fn tenths(points: f64) -> i16 {
    Points::nearest(points).0
}

/// What the rules go by.
#[must_use]
pub(crate) fn settings(config: &Config) -> Settings {
    let own = &config.policy.authenticity;
    Settings {
        spf_fail_points: tenths(own.spf_fail_points),
        spf_softfail_points: tenths(own.spf_softfail_points),
        dkim_fail_points: tenths(own.dkim_fail_points),
        quarantine: match own.dmarc_quarantine {
            DmarcQuarantine::Hold => Quarantine::Hold,
            DmarcQuarantine::Points => Quarantine::Points(tenths(own.dmarc_quarantine_points)),
        },
        reverse_dns_points: tenths(own.reverse_dns_points),
        arc_trusted: config.policy.arc_trusted.clone(),
    }
}

/// `_dmarc.` before a longer name is no name any more, and its policy could not be asked for.
const DOMAIN_BYTES_MAX: usize = 253 - "_dmarc.".len();

/// Whose policy is asked for. A header section that is malformed elsewhere is read all the same: what is wrong with it is for other rules.
fn authors(headers: &Headers, from: &ReversePath) -> Authors {
    let mailboxes = match headers.authors() {
        Ok(mailboxes) => mailboxes,
        Err(fault) => return Authors::Nobody(fault.words()),
    };
    let mut domains: Vec<Domain> = mailboxes.iter().filter_map(Mailbox::domain).cloned().collect();
    domains.sort_unstable();
    domains.dedup();
    if domains.iter().any(|domain| domain.as_str().len() > DOMAIN_BYTES_MAX) {
        return Authors::Nobody("a domain of the From field is too long to have a policy");
    }
    let is_report = *from == ReversePath::Null && headers.is_from_mail_system();
    if domains.is_empty() && !is_report { Authors::Nobody("the From field names no domain") } else { Authors::Domains(domains) }
}

/// Looks it up: what was found, and the fields for those who read the message. `None`: it is switched off.
pub(crate) async fn examine(
    live: &Live,
    client: &ClientFacts,
    (envelope, helo, headers): (&Envelope, &str, &Headers),
    message: Option<ReadMessage<'_>>,
) -> Option<(Authenticity, Vec<u8>)> {
    if !live.config.policy.authenticity.enabled {
        return None;
    }
    let asked = MessageAsked {
        client: client.address,
        helo: helo.to_owned(),
        from: envelope.from.clone(),
        receiver: Arc::clone(&live.hostname),
        authors: authors(headers, &envelope.from),
        within: live.config.policy.authenticity.timeout,
    };
    let found = live.authenticator.examine(&asked, message).await;
    let about = About { hostname: &live.hostname, client: client.address, helo, from: &envelope.from };
    let mut fields = authentication_results(&about, &found).into_bytes();
    fields.extend(received_spf(&about, &found).unwrap_or_default().into_bytes());
    Some((found, fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_author_is_read_though_another_line_is_malformed_and_two_from_fields_are_nobody() {
        let of = |section: &str| authors(&Headers::parse(section.as_bytes()), &ReversePath::Null);
        let one = Authors::Domains(vec![Domain::parse("a.test").unwrap()]);
        assert_eq!(of("From: x@a.test\r\n\r\n"), one);
        assert_eq!(of("not a field\r\nFrom: x@a.test, y@A.TEST\r\n\r\n"), one);
        for nobody in [
            "Subject: x\r\n\r\n",
            "From: x@a.test\r\nFrom: y@b.test\r\n\r\n",
            "not a field\r\nFrom: x@a.test\r\nFrom: y@b.test\r\n\r\n",
            "From: nobody\r\n\r\n",
            "From : ceo@bank.test\r\nFrom: x@a.test\r\n\r\n",
        ] {
            assert!(matches!(of(nobody), Authors::Nobody(_)), "{nobody}");
        }
        assert_eq!(of("From: x@[192.0.2.1]\r\n\r\n"), Authors::Nobody("the From field names no domain"));
    }

    #[test]
    fn a_domain_below_which_no_policy_can_be_asked_for_is_no_author() {
        let label = "a".repeat(63);
        let of = |last: usize| {
            let section = format!("From: a@{label}.{label}.{label}.{}.bank.test\r\n\r\n", "b".repeat(last));
            authors(&Headers::parse(section.as_bytes()), &ReversePath::Null)
        };
        // 246 and 247 octets.
        assert!(matches!(of(44), Authors::Domains(_)));
        assert_eq!(of(45), Authors::Nobody("a domain of the From field is too long to have a policy"));
    }

    #[test]
    fn a_report_of_a_mail_system_needs_no_domain_and_other_mail_does() {
        let headers = Headers::parse(b"From: Mail Delivery System <MAILER-DAEMON>\r\n\r\n");
        assert_eq!(authors(&headers, &ReversePath::Null), Authors::Domains(Vec::new()));
        let sender = ReversePath::Mailbox(Mailbox::parse("x@a.test").unwrap());
        assert_eq!(authors(&headers, &sender), Authors::Nobody("the From field names no domain"));
    }
}
