//! Deliveries to hosts whose certificates DNS names (RFC 7672), or whose domain asks for more than the next hop's policy does.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod peer;

use std::sync::Arc;

use peer::*;
use postern_delivery::{
    Delivery, HostAddresses, HostRule, HostTls, InlineBody, Message, Named, NextHop, Place, Roots, TlsClient, TlsPolicy,
};
use postern_mail::envelope::{DsnRequest, MessageId};
use postern_mail::{Mailbox, Recipient, Status, TlsBasis, TlsFailure, TlsSession, Tlsa, TlsaSet};

/// A host that offers STARTTLS and takes one message under it.
fn under_tls(acceptor: tokio_rustls::TlsAcceptor) -> Script {
    script(move |mut talk| async move {
        talk.greet(&["STARTTLS"]).await;
        let mut talk = talk.secure(&acceptor).await;
        talk.offer(FAST).await;
        talk.take().await;
    })
}

fn by_dns(peer: &Peer, record: Tlsa) -> NextHop {
    let name = |text| postern_mail::Domain::parse(text).unwrap();
    let set = TlsaSet { base: name("peer.example"), also: vec![name("x.example")], records: vec![record].into() };
    let rule = HostRule::Demand(TlsPolicy::Dane(Arc::new(set)));
    let host = HostAddresses {
        name: "peer.example".into(),
        addresses: vec![peer.address.ip()],
        port: peer.address.port(),
        preference: 0,
        tls: HostTls { basis: TlsBasis::Dane, rule, named: Named::Surely },
    };
    NextHop { place: Place::Hosts(vec![host]), ..peer.hop() }
}

fn whole_certificate(pem: &[u8]) -> Tlsa {
    use rustls::pki_types::pem::PemObject as _;
    let der = rustls::pki_types::CertificateDer::from_pem_slice(pem).unwrap();
    Tlsa { usage: 3, selector: 0, matching: 0, data: der.to_vec().into() }
}

async fn told(hop: &NextHop) -> (Vec<String>, String, Vec<TlsSession>) {
    told_by(&delivery(settings()), hop).await
}

async fn told_by(delivery: &Delivery, hop: &NextHop) -> (Vec<String>, String, Vec<TlsSession>) {
    let (envelope, body, mut told) = (envelope(), InlineBody(BODY.to_vec()), Vec::new());
    let to = [Recipient::restored_from_spool(Mailbox::parse("a@x.example").unwrap(), false, DsnRequest::default())];
    let message = Message { id: MessageId(1), envelope: &envelope, recipients: &to, body: &body };
    let outcomes = delivery.deliver_and_tell(hop, message, &mut told).await;
    (briefs(&outcomes), outcomes[0].evidence().by.to_string(), told)
}

#[tokio::test]
async fn a_certificate_that_dns_names_is_verified_without_any_authority_and_said_to_be() {
    let (pem, acceptor) = certificate("somebody.else.example");
    let peer = Peer::start(vec![under_tls(acceptor)]).await;
    let (outcomes, by, told) = told(&by_dns(&peer, whole_certificate(&pem))).await;
    assert_eq!(outcomes, ["delivered"]);
    assert!(by.ends_with(" (DANE)"), "{by}");
    let said: Vec<_> = told.iter().map(|session| (session.basis, &session.failure)).collect();
    assert_eq!(said, [(TlsBasis::Dane, &None)]);
    peer.done().await;
}

#[tokio::test]
async fn a_certificate_that_dns_does_not_name_gets_no_mail_and_no_clear_text() {
    let (other, _) = certificate("peer.example");
    let (_, acceptor) = certificate("peer.example");
    let peer = Peer::start(vec![script(move |mut talk| async move {
        talk.greet(&["STARTTLS"]).await;
        talk.hear("STARTTLS").await;
        talk.say("220 go").await;
        assert!(acceptor.accept(talk.into_stream()).await.is_err());
    })])
    .await;
    let (outcomes, _, told) = told(&by_dns(&peer, whole_certificate(&other))).await;
    assert_eq!(outcomes, ["deferred Host 4.7.5"]);
    assert!(matches!(told.as_slice(), [TlsSession { failure: Some((TlsFailure::NotTrusted, _)), .. }]), "{told:?}");
    peer.done().await;
}

#[tokio::test]
async fn a_host_that_has_lost_its_starttls_gets_nothing_where_dns_names_its_certificate() {
    let (pem, _) = certificate("peer.example");
    let peer = Peer::start(vec![script(|mut talk| async move {
        talk.greet(&["PIPELINING"]).await;
        talk.hear("QUIT").await;
    })])
    .await;
    let (outcomes, _, told) = told(&by_dns(&peer, whole_certificate(&pem))).await;
    assert_eq!(outcomes, ["deferred Host 4.7.4"]);
    assert!(matches!(told.as_slice(), [TlsSession { failure: Some((TlsFailure::NotOffered, _)), .. }]), "{told:?}");
    peer.done().await;
}

#[tokio::test]
async fn a_host_that_the_domain_forbids_is_not_connected_to() {
    let peer = Peer::start(Vec::new()).await;
    let (pem, _) = certificate("peer.example");
    let mut hop = by_dns(&peer, whole_certificate(&pem));
    if let Place::Hosts(hosts) = &mut hop.place {
        hosts[0].tls.rule =
            HostRule::Closed(Status::new(4, 4, 3), TlsFailure::DnssecInvalid, "its records cannot be asked for".into());
    }
    let (outcomes, _, told) = told(&hop).await;
    assert_eq!(outcomes, ["deferred Host 4.4.3"]);
    assert!(
        matches!(told.as_slice(), [TlsSession { address: None, failure: Some((TlsFailure::DnssecInvalid, _)), .. }]),
        "{told:?}"
    );
    peer.done().await;
}

#[tokio::test]
async fn what_is_only_observed_is_delivered_and_told() {
    let (trusted, _) = certificate("peer.example");
    let (_, acceptor) = certificate("peer.example");
    let peer = Peer::start(vec![under_tls(acceptor)]).await;
    let hop = NextHop { tls: TlsPolicy::Observe, ..peer.hop() };
    let delivery = Delivery::new(settings(), TlsClient::new(&Roots::Pem(trusted)).unwrap());
    let (outcomes, _, told) = told_by(&delivery, &hop).await;
    assert_eq!(outcomes, ["delivered"]);
    assert!(matches!(told.as_slice(), [TlsSession { failure: Some(_), .. }]), "{told:?}");
    peer.done().await;
}

#[tokio::test]
async fn a_message_that_requires_tls_does_not_go_to_a_host_that_anybody_could_have_named() {
    let peer = Peer::start(Vec::new()).await;
    let mut hop = peer.hop();
    if let Place::Hosts(hosts) = &mut hop.place {
        hosts[0].tls.named = Named::ByNobody;
    }
    let mut envelope = envelope();
    envelope.require_tls = true;
    let outcomes = send_body(&delivery(settings()), &hop, &["a@x.example"], &envelope, BODY).await;
    assert_eq!(briefs(&outcomes), ["bounced Message 5.7.10"]);
    peer.done().await;
}
