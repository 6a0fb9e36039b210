//! Deliveries to hosts that keep to the rules: one write per message, kept connections, limits, LMTP, TLS.
#![allow(clippy::unwrap_used, reason = "test code")]

mod peer;

use peer::*;
use postern_delivery::{
    Credentials, Delivery, HostAddresses, HostTls, Inquiry, NextHop, Place, Protocol, Roots, Settings, TlsClient, TlsPolicy,
};
use postern_mail::{Mailbox, Secret};

#[tokio::test]
async fn two_messages_share_a_connection_and_need_no_reset() {
    let peer = Peer::start(vec![script(|mut talk| async move {
        talk.greet(FAST).await;
        assert_eq!(talk.take().await, BODY);
        assert_eq!(talk.take().await, BODY);
        talk.hear("QUIT").await;
    })])
    .await;
    let delivery = delivery(settings());
    for _ in 0..2 {
        assert_eq!(briefs(&send(&delivery, &peer.hop(), &["a@x.example"]).await), ["delivered"]);
    }
    assert_eq!((delivery.kept(), delivery.counts().opened, delivery.counts().reused), (1, 1, 1));
    delivery.close_all().await;
    assert_eq!(delivery.kept(), 0);
    peer.done().await;
}

#[tokio::test]
async fn an_answer_about_a_recipient_waits_for_nothing_that_comes_after_it() {
    let peer = Peer::start(vec![script(|mut talk| async move {
        talk.greet(FAST).await;
        talk.hear("MAIL FROM:<>").await;
        talk.say("250 2.1.0 ok").await;
        talk.hear("RCPT TO:<a@x.example>").await;
        talk.say("550 5.1.1 nobody").await;
        // The transaction is open still, and whatever comes next ends it first.
        talk.hear("RSET").await;
        talk.say("250 2.0.0 ok").await;
        assert_eq!(talk.take().await, BODY);
    })])
    .await;
    let delivery = delivery(settings());
    let asked = delivery.ask(&peer.hop(), &Mailbox::parse("a@x.example").unwrap()).await;
    assert_eq!(asked, Inquiry::Refused("550 5.1.1 nobody".to_owned()));
    assert_eq!(briefs(&send(&delivery, &peer.hop(), &["a@x.example"]).await), ["delivered"]);
    peer.done().await;
}

#[tokio::test]
async fn envelope_and_small_body_go_out_before_any_reply() {
    let peer = Peer::start(vec![script(|mut talk| async move {
        talk.greet(FAST).await;
        // Nothing is answered before the body is here whole.
        assert_eq!(talk.take().await, BODY);
    })])
    .await;
    assert_eq!(briefs(&send(&delivery(settings()), &peer.hop(), &["a@x.example"]).await), ["delivered"]);
    peer.done().await;
}

#[tokio::test]
async fn a_host_without_extensions_gets_everything_step_by_step_and_dots_doubled() {
    let peer = Peer::start(vec![script(|mut talk| async move {
        talk.say("220 old.example").await;
        talk.hear("EHLO").await;
        talk.say("500 what?").await;
        talk.hear("HELO us.example").await;
        talk.say("250 old.example").await;
        assert_eq!(talk.line().await, "MAIL FROM:<s@us.example>");
        talk.say("250 ok").await;
        talk.hear("RCPT TO:<a@x.example>").await;
        talk.say("250 ok").await;
        talk.hear("DATA").await;
        talk.say("354 go").await;
        assert_eq!(talk.hear_dotted().await, BODY);
        talk.say("250 taken").await;
    })])
    .await;
    assert_eq!(briefs(&send(&delivery(settings()), &peer.hop(), &["a@x.example"]).await), ["delivered"]);
    peer.done().await;
}

#[tokio::test]
async fn recipients_of_one_message_may_fare_differently() {
    let peer = Peer::start(vec![script(|mut talk| async move {
        talk.greet(FAST).await;
        talk.hear("MAIL").await;
        for _ in 0..3 {
            talk.hear("RCPT").await;
        }
        talk.hear_chunk().await;
        talk.say("250 ok\n550 5.1.1 no such user\n250 ok\n451 4.7.1 grey\n250 2.0.0 taken").await;
    })])
    .await;
    let outcomes = send(&delivery(settings()), &peer.hop(), &["a@x.example", "b@x.example", "c@x.example"]).await;
    assert_eq!(briefs(&outcomes), ["bounced Recipient 5.1.1", "delivered", "deferred Recipient 4.7.1"]);
    assert_eq!(&*outcomes[0].evidence().text, "550 5.1.1 no such user");
    assert_eq!(&*outcomes[0].evidence().by, format!("peer.example [127.0.0.1]:{}", peer.address.port()));
    peer.done().await;
}

#[tokio::test]
async fn who_is_too_many_for_one_transaction_comes_again_at_once() {
    let peer = Peer::start(vec![script(|mut talk| async move {
        talk.greet(FAST).await;
        talk.hear("MAIL").await;
        talk.hear("RCPT TO:<a@").await;
        talk.hear("RCPT TO:<b@").await;
        talk.hear_chunk().await;
        talk.say("250 ok\n250 ok\n452 4.5.3 too many\n250 taken").await;
        talk.hear("MAIL").await;
        talk.hear("RCPT TO:<b@").await;
        talk.hear_chunk().await;
        talk.say("250 ok\n250 ok\n250 taken").await;
    })])
    .await;
    let outcomes = send(&delivery(settings()), &peer.hop(), &["a@x.example", "b@x.example"]).await;
    assert_eq!(briefs(&outcomes), ["delivered", "delivered"]);
    peer.done().await;
}

#[tokio::test]
async fn the_limits_a_host_announces_are_kept() {
    let one = || {
        script(|mut talk| async move {
            talk.greet(&["PIPELINING", "CHUNKING", "LIMITS RCPTMAX=1 MAILMAX=2"]).await;
            talk.take().await;
            talk.take().await;
            talk.hear("QUIT").await;
        })
    };
    let peer = Peer::start(vec![one(), one()]).await;
    let to = ["a@x.example", "b@x.example", "c@x.example", "d@x.example"];
    assert_eq!(briefs(&send(&delivery(settings()), &peer.hop(), &to).await), ["delivered"; 4]);
    peer.done().await;
}

#[tokio::test]
async fn a_host_that_closes_after_each_message_gets_the_rest_over_another_connection() {
    let one = || {
        script(|mut talk| async move {
            talk.greet(&["PIPELINING", "CHUNKING", "LIMITS RCPTMAX=1"]).await;
            talk.take().await;
        })
    };
    let peer = Peer::start(vec![one(), one(), one()]).await;
    let to = ["a@x.example", "b@x.example", "c@x.example"];
    assert_eq!(briefs(&send(&delivery(settings()), &peer.hop(), &to).await), ["delivered"; 3]);
    peer.done().await;
}

#[tokio::test]
async fn a_large_body_is_streamed_in_both_forms() {
    let body = "0123456789abcdef\r\n.begins with a dot\r\n".repeat(40_000).into_bytes();
    for keywords in [&["PIPELINING", "CHUNKING", "SIZE"][..], &["PIPELINING"], &[]] {
        let expected = body.clone();
        let pipelining = keywords.contains(&"PIPELINING");
        let chunking = keywords.contains(&"CHUNKING");
        let peer = Peer::start(vec![script(move |mut talk| async move {
            talk.greet(keywords).await;
            talk.hear("MAIL").await;
            if pipelining {
                talk.hear("RCPT").await;
                talk.say("250 ok\n250 ok").await;
            } else {
                talk.say("250 ok").await;
                talk.hear("RCPT").await;
                talk.say("250 ok").await;
            }
            let heard = if chunking {
                talk.hear_chunk().await
            } else {
                talk.hear("DATA").await;
                talk.say("354 go").await;
                talk.hear_dotted().await
            };
            assert!(heard == expected, "the body is changed");
            talk.say("250 taken").await;
        })])
        .await;
        let settings = Settings { at_once_bytes_max: 1000, ..settings() };
        let outcomes = send_body(&delivery(settings), &peer.hop(), &["a@x.example"], &envelope(), &body).await;
        assert_eq!(briefs(&outcomes), ["delivered"], "{keywords:?}");
        peer.done().await;
    }
}

#[tokio::test]
async fn the_next_host_is_tried_when_one_does_not_answer() {
    let refusing = Peer::start(vec![]).await;
    let refused = refusing.address;
    refusing.done().await;
    let unwilling = Peer::start(vec![script(|mut talk| async move {
        talk.say("554 5.3.2 not today").await;
        talk.until_gone().await;
    })])
    .await;
    let willing = Peer::start(vec![script(|mut talk| async move {
        talk.greet(FAST).await;
        talk.take().await;
    })])
    .await;
    let host = |address: std::net::SocketAddr, preference| HostAddresses {
        name: "peer.example".into(),
        addresses: vec![address.ip()],
        port: address.port(),
        preference,
        tls: HostTls::NOTHING,
    };
    let hosts = vec![host(refused, 10), host(unwilling.address, 20), host(willing.address, 30)];
    let hop = NextHop { place: Place::Hosts(hosts), ..willing.hop() };
    assert_eq!(briefs(&send(&delivery(settings()), &hop, &["a@x.example"]).await), ["delivered"]);
    unwilling.done().await;
    willing.done().await;
}

#[tokio::test]
async fn a_domain_that_takes_no_mail_is_not_connected_to() {
    let hop = NextHop { place: Place::NullMx, protocol: Protocol::Smtp, tls: TlsPolicy::None, credentials: None };
    assert_eq!(briefs(&send(&delivery(settings()), &hop, &["a@x.example"]).await), ["bounced Destination 5.1.10"]);
}

#[tokio::test]
async fn lmtp_over_a_socket_reports_each_recipient() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lmtp");
    let store = unix_peer(
        &path,
        script(|mut talk| async move {
            talk.say("220 store").await;
            talk.offer(&["PIPELINING"]).await;
            talk.hear("MAIL").await;
            for _ in 0..3 {
                talk.hear("RCPT").await;
            }
            talk.hear("DATA").await;
            talk.say("250 ok\n250 ok\n550 5.1.1 no\n250 ok\n354 go").await;
            assert_eq!(talk.hear_dotted().await, BODY, "no Return-Path is added");
            talk.say("250 2.0.0 filed\n452 4.2.2 full").await;
        }),
    );
    let hop = NextHop::lmtp_socket(path);
    let outcomes = send(&delivery(settings()), &hop, &["a@x.example", "b@x.example", "c@x.example"]).await;
    assert_eq!(briefs(&outcomes), ["delivered", "bounced Recipient 5.1.1", "deferred Recipient 4.2.2"]);
    store.await.unwrap();
}

/// A host that offers STARTTLS and takes one message under it.
fn under_tls(acceptor: tokio_rustls::TlsAcceptor, keywords: &'static [&'static str]) -> Script {
    script(move |mut talk| async move {
        talk.greet(&["STARTTLS"]).await;
        let mut talk = talk.secure(&acceptor).await;
        talk.offer(keywords).await;
        talk.take().await;
    })
}

fn verifying(pem: Vec<u8>) -> Delivery {
    Delivery::new(settings(), TlsClient::new(&Roots::Pem(pem)).unwrap())
}

#[tokio::test]
async fn any_certificate_will_do_unless_it_must_be_verified() {
    for tls in [TlsPolicy::Opportunistic, TlsPolicy::Require] {
        let (_, acceptor) = certificate("somebody.else.example");
        let peer = Peer::start(vec![under_tls(acceptor, FAST)]).await;
        let hop = NextHop { tls: tls.clone(), ..peer.hop() };
        assert_eq!(briefs(&send(&delivery(settings()), &hop, &["a@x.example"]).await), ["delivered"]);
        peer.done().await;
    }
}

#[tokio::test]
async fn a_verified_host_has_the_right_name_from_a_trusted_authority() {
    let (pem, acceptor) = certificate("peer.example");
    let peer = Peer::start(vec![under_tls(acceptor, FAST)]).await;
    let hop = NextHop { tls: TlsPolicy::Verify, ..peer.hop() };
    assert_eq!(briefs(&send(&verifying(pem), &hop, &["a@x.example"]).await), ["delivered"]);
    peer.done().await;
}

#[tokio::test]
async fn a_wrong_name_or_an_unknown_authority_gets_no_mail_and_no_clear_text() {
    let (trusted, _) = certificate("peer.example");
    let (wrong_name, wrong_name_acceptor) = certificate("mx.other.example");
    let (_, unknown_acceptor) = certificate("peer.example");
    for (roots, acceptor) in [(wrong_name, wrong_name_acceptor), (trusted, unknown_acceptor)] {
        let peer = Peer::start(vec![script(move |mut talk| async move {
            talk.greet(&["STARTTLS"]).await;
            talk.hear("STARTTLS").await;
            talk.say("220 go").await;
            let _ = acceptor.accept(talk.into_stream()).await.map(drop);
        })])
        .await;
        let hop = NextHop { tls: TlsPolicy::Verify, ..peer.hop() };
        assert_eq!(briefs(&send(&verifying(roots), &hop, &["a@x.example"]).await), ["deferred Host 4.7.5"]);
        peer.done().await;
    }
}

#[tokio::test]
async fn a_failed_handshake_falls_back_to_clear_once_where_that_is_allowed() {
    let peer = Peer::start(vec![
        script(|mut talk| async move {
            talk.greet(&["STARTTLS"]).await;
            talk.hear("STARTTLS").await;
            talk.say("220 go").await;
            talk.say("this is not TLS at all").await;
            talk.until_gone().await;
        }),
        script(|mut talk| async move {
            talk.greet(&["STARTTLS", "PIPELINING", "CHUNKING"]).await;
            talk.take().await;
        }),
    ])
    .await;
    let delivery = delivery(settings());
    assert_eq!(briefs(&send(&delivery, &peer.hop(), &["a@x.example"]).await), ["delivered"]);
    assert_eq!(delivery.counts().tls_fallbacks, 1);
    peer.done().await;
}

#[tokio::test]
async fn require_never_falls_back_to_clear() {
    let peer = Peer::start(vec![script(|mut talk| async move {
        talk.greet(&["PIPELINING"]).await;
        talk.hear("QUIT").await;
    })])
    .await;
    let hop = NextHop { tls: TlsPolicy::Require, ..peer.hop() };
    assert_eq!(briefs(&send(&delivery(settings()), &hop, &["a@x.example"]).await), ["deferred Host 4.7.4"]);
    peer.done().await;
}

#[tokio::test]
async fn require_tls_goes_only_to_a_verified_host_that_offers_it_too() {
    let mut envelope = envelope();
    envelope.require_tls = true;
    let (pem, acceptor) = certificate("peer.example");
    let with = Peer::start(vec![script({
        let acceptor = acceptor.clone();
        move |mut talk| async move {
            talk.greet(&["STARTTLS"]).await;
            let mut talk = talk.secure(&acceptor).await;
            talk.offer(&["PIPELINING", "CHUNKING", "REQUIRETLS"]).await;
            assert_eq!(talk.hear("MAIL").await, "MAIL FROM:<s@us.example> REQUIRETLS");
            talk.hear("RCPT").await;
            talk.hear_chunk().await;
            talk.say("250 ok\n250 ok\n250 taken").await;
        }
    })])
    .await;
    let outcomes = send_body(&verifying(pem.clone()), &with.hop(), &["a@x.example"], &envelope, BODY).await;
    assert_eq!(briefs(&outcomes), ["delivered"]);
    with.done().await;

    let without = Peer::start(vec![script(move |mut talk| async move {
        talk.greet(&["STARTTLS"]).await;
        let mut talk = talk.secure(&acceptor).await;
        talk.offer(FAST).await;
        talk.until_gone().await;
    })])
    .await;
    let delivery = verifying(pem);
    let outcomes = send_body(&delivery, &without.hop(), &["a@x.example"], &envelope, BODY).await;
    assert_eq!(briefs(&outcomes), ["bounced Message 5.7.30"]);
    delivery.close_all().await;
    without.done().await;

    let clear = Peer::start(vec![script(|mut talk| async move {
        talk.greet(&["PIPELINING", "REQUIRETLS"]).await;
        talk.hear("QUIT").await;
    })])
    .await;
    let outcomes = send_body(&verifying(certificate("x.example").0), &clear.hop(), &["a@x.example"], &envelope, BODY).await;
    assert_eq!(briefs(&outcomes), ["bounced Message 5.7.10"]);
    clear.done().await;
}

#[tokio::test]
async fn who_has_logged_in_says_for_whom_it_speaks() {
    let (_, acceptor) = certificate("peer.example");
    let peer = Peer::start(vec![script(move |mut talk| async move {
        talk.greet(&["STARTTLS"]).await;
        let mut talk = talk.secure(&acceptor).await;
        talk.offer(&["PIPELINING", "CHUNKING", "AUTH PLAIN"]).await;
        talk.hear("AUTH PLAIN ").await;
        talk.say("235 2.7.0 welcome").await;
        assert_eq!(talk.hear("MAIL").await, "MAIL FROM:<s@us.example> AUTH=<>");
        talk.hear("RCPT").await;
        talk.hear_chunk().await;
        talk.say("250 ok\n250 ok\n250 taken").await;
    })])
    .await;
    let outcomes = send_body(&delivery(settings()), &with_password(peer.hop()), &["a@x.example"], &envelope(), BODY).await;
    assert_eq!(briefs(&outcomes), ["delivered"]);
    peer.done().await;
}

#[tokio::test]
async fn a_challenge_that_cannot_be_read_is_cancelled() {
    let (_, acceptor) = certificate("peer.example");
    let peer = Peer::start(vec![script(move |mut talk| async move {
        talk.greet(&["STARTTLS"]).await;
        let mut talk = talk.secure(&acceptor).await;
        talk.offer(&["AUTH SCRAM-SHA-256"]).await;
        talk.hear("AUTH SCRAM-SHA-256 ").await;
        talk.say("334 not=base64").await;
        assert_eq!(talk.line().await, "*");
        assert_eq!(talk.line().await, "QUIT");
    })])
    .await;
    let outcomes = send_body(&delivery(settings()), &with_password(peer.hop()), &["a@x.example"], &envelope(), BODY).await;
    assert!(briefs(&outcomes).iter().all(|brief| brief.starts_with("deferred")), "{:?}", briefs(&outcomes));
    peer.done().await;
}

fn with_password(mut hop: NextHop) -> NextHop {
    hop.credentials = Some(Credentials { user: "us".into(), password: Secret::new(b"secret".to_vec()) }.into());
    hop
}
