//! Who a message is from: asked for at the end of its body, told to the rules and to whoever reads the message. Promise: accounts, relay networks and trusted
//! networks are not asked about, and what could not be read or found out delays no message beyond `policy.authenticity.timeout`.

use std::net::IpAddr;
use std::sync::Arc;

use postern_config::{Config, DmarcQuarantine};
use postern_lookup::{Authors, MessageAsked};
use postern_mail::authenticity::Authenticity;
use postern_mail::client::ListenerKind;
use postern_mail::fact::ClientFacts;
use postern_mail::message::auth_results::{About, authentication_results, received_spf};
use postern_mail::message::headers::Headers;
use postern_mail::{Domain, Envelope, Mailbox};
use postern_policy::rules::authenticity::{Quarantine, Settings};
use postern_smtp::machine::TraceFacts;
use postern_spool::Writer;

use crate::wire::{Live, live};

#[expect(clippy::cast_possible_truncation, reason = "checked to be within a thousand")]
fn tenths(points: f64) -> i16 {
    (points.clamp(-999.0, 999.0) * 10.0).round() as i16
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

fn is_asked_about(live: &Live, client: &ClientFacts, envelope: &Envelope) -> bool {
    let address: IpAddr = client.address.to_canonical();
    live.config.policy.authenticity.enabled
        && client.listener == ListenerKind::Mx
        && envelope.account.is_none()
        && !live.policy.trusted_networks.iter().any(|network| network.contains(&address))
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

/// The message without the trace field that we have put in front of it.
fn as_it_came(stored: &[u8]) -> &[u8] {
    let mut at = 0;
    while let Some(rest) = stored.get(at..).filter(|rest| !rest.is_empty()) {
        if at > 0 && !matches!(rest.first(), Some(b' ' | b'\t')) {
            return rest;
        }
        at += rest.iter().position(|b| *b == b'\n').map_or(rest.len(), |end| end + 1);
    }
    &[]
}

/// Looks it up, and puts the results in front of the message.
pub(crate) async fn examine(
    live: &Arc<Live>,
    client: &ClientFacts,
    (envelope, trace, headers): (&Envelope, &TraceFacts, &Headers),
    writer: &mut Writer,
) -> Option<Authenticity> {
    if !is_asked_about(live, client, envelope) {
        return None;
    }
    let stored = match writer.read_back(live::size(live.config.limits.message_size).saturating_add(64 << 10)).await {
        Ok(stored) => as_it_came(&stored).to_vec(),
        Err(outage) => {
            tracing::warn!(%outage, "a message could not be read back, and its signatures are not looked at");
            Vec::new()
        }
    };
    let helo = trace.helo.to_string();
    let asked = MessageAsked {
        client: client.address,
        helo: helo.clone(),
        from: envelope.from.clone(),
        receiver: Arc::clone(&live.hostname),
        authors: authors(headers),
        within: live.config.policy.authenticity.timeout,
    };
    let found = live.authenticator.examine(asked, stored).await;
    let about = About { hostname: &live.hostname, client: client.address, helo: &helo, from: &envelope.from };
    if let Some(field) = received_spf(&about, &found) {
        writer.put_in_front(field.as_bytes());
    }
    writer.put_in_front(authentication_results(&about, &found).as_bytes());
    Some(found)
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

    #[test]
    fn our_own_trace_field_is_no_part_of_what_came() {
        assert_eq!(as_it_came(b"Received: from x\r\n\tby y\r\nSubject: z\r\n\r\nbody\r\n"), b"Subject: z\r\n\r\nbody\r\n");
        assert_eq!(as_it_came(b"Received: from x\r\n"), b"");
    }
}
