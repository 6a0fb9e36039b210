//! Who a message is from: asked for at the end of its body, told to the rules and to whoever reads the message. Promise: accounts, relay networks and trusted
//! networks are not asked about, and what could not be read or found out delays no message beyond `policy.authenticity.timeout`.

use std::sync::Arc;

use postern_config::{Config, DmarcQuarantine};
use postern_lookup::{Authors, MessageAsked, ReadMessage};
use postern_mail::authenticity::Authenticity;
use postern_mail::fact::ClientFacts;
use postern_mail::message::auth_results::{About, authentication_results, received_spf};
use postern_mail::message::headers::Headers;
use postern_mail::{Domain, Envelope, Mailbox, Points};
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

/// Whose policy is asked for. A header section that is malformed elsewhere is read all the same: what is wrong with it is for other rules.
fn authors(headers: &Headers) -> Authors {
    let mailboxes = match headers.from_addresses() {
        Ok(mailboxes) => mailboxes,
        Err(fault) => {
            let sole = Headers::recorded(&from_fields(headers), None);
            match sole.from_addresses() {
                Ok(mailboxes) => mailboxes,
                Err(own) if headers.fault().is_some() => return Authors::Nobody(own.words()),
                Err(_) => return Authors::Nobody(fault.words()),
            }
        }
    };
    let mut domains: Vec<Domain> = mailboxes.iter().filter_map(Mailbox::domain).cloned().collect();
    domains.sort_unstable();
    domains.dedup();
    if domains.is_empty() { Authors::Nobody("the From field names no domain") } else { Authors::Domains(domains) }
}

fn from_fields(headers: &Headers) -> Vec<u8> {
    headers.named("From").flat_map(|field| [b"From:", field.raw, b"\r\n"].concat()).collect()
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
        authors: authors(headers),
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
        let of = |section: &str| authors(&Headers::parse(section.as_bytes()));
        let one = Authors::Domains(vec![Domain::parse("a.test").unwrap()]);
        assert_eq!(of("From: x@a.test\r\n\r\n"), one);
        assert_eq!(of("not a field\r\nFrom: x@a.test, y@A.TEST\r\n\r\n"), one);
        for nobody in [
            "Subject: x\r\n\r\n",
            "From: x@a.test\r\nFrom: y@b.test\r\n\r\n",
            "not a field\r\nFrom: x@a.test\r\nFrom: y@b.test\r\n\r\n",
            "From: nobody\r\n\r\n",
        ] {
            assert!(matches!(of(nobody), Authors::Nobody(_)), "{nobody}");
        }
        assert_eq!(of("From: x@[192.0.2.1]\r\n\r\n"), Authors::Nobody("the From field names no domain"));
    }
}
