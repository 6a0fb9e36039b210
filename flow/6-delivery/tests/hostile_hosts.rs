//! Deliveries to hosts that are slow, broken, or out to harm. Whatever they do: one outcome per recipient, after a bounded time, and never
//! `Delivered` without a positive reply to the whole body.
#![allow(clippy::unwrap_used, reason = "test code")]

mod peer;

use peer::*;
use postern_delivery::{BodyPieces, BodySource, BoxFuture, HostAddresses, HostTls, Message, NextHop, Place, Settings};
use postern_mail::envelope::{DsnRequest, MessageId};
use postern_mail::{Mailbox, Recipient};

async fn against(play: Script) -> Vec<String> {
    let peer = Peer::start(vec![play]).await;
    let outcomes = send(&delivery(settings()), &peer.hop(), &["a@x.example"]).await;
    peer.done().await;
    briefs(&outcomes)
}

#[tokio::test]
async fn a_silent_host_costs_its_time_limit_and_the_next_one_is_tried() {
    let silent = Peer::start(vec![script(|mut talk| async move {
        talk.say_raw(b"22").await;
        talk.until_gone().await;
    })])
    .await;
    let willing = Peer::start(vec![script(|mut talk| async move {
        talk.greet(FAST).await;
        talk.take().await;
    })])
    .await;
    let host = |address: std::net::SocketAddr| HostAddresses {
        name: "peer.example".into(),
        addresses: vec![address.ip()],
        port: address.port(),
        preference: 0,
        tls: HostTls::NOTHING,
    };
    let hop = NextHop { place: Place::Hosts(vec![host(silent.address), host(willing.address)]), ..willing.hop() };
    assert_eq!(briefs(&send(&delivery(impatient()), &hop, &["a@x.example"]).await), ["delivered"]);
    silent.done().await;
    willing.done().await;
}

#[tokio::test]
async fn a_host_that_falls_silent_in_the_middle_is_given_up() {
    let peer = Peer::start(vec![script(|mut talk| async move {
        talk.greet(FAST).await;
        talk.until_gone().await;
    })])
    .await;
    assert_eq!(briefs(&send(&delivery(impatient()), &peer.hop(), &["a@x.example"]).await), ["deferred Host 4.4.2"]);
    peer.done().await;
}

#[tokio::test]
async fn an_attempt_ends_in_time_however_each_step_is_spread() {
    let peer = Peer::start(vec![script(|mut talk| async move {
        talk.greet(FAST).await;
        talk.hear("MAIL").await;
        talk.hear("RCPT").await;
        talk.hear_chunk().await;
        talk.say("250 ok").await;
        talk.until_gone().await;
    })])
    .await;
    let mut settings = settings();
    settings.timeouts.attempt = std::time::Duration::from_millis(300);
    assert_eq!(briefs(&send(&delivery(settings), &peer.hop(), &["a@x.example"]).await), ["deferred Host 4.4.2"]);
    peer.done().await;
}

#[tokio::test]
async fn a_connection_closed_in_the_middle_defers() {
    let closes = script(|mut talk| async move {
        talk.greet(FAST).await;
        talk.hear("MAIL").await;
        talk.hear("RCPT").await;
        talk.hear_chunk().await;
        talk.say("250 ok\n250 ok").await;
    });
    assert_eq!(against(closes).await, ["deferred Host 4.4.2"]);
}

#[tokio::test]
async fn endless_reply_lines_are_cut_off() {
    let endless = script(|mut talk| async move {
        talk.say("220 peer").await;
        talk.hear("EHLO").await;
        while talk.say_raw(b"250-again\r\n").await {}
    });
    assert_eq!(against(endless).await, ["deferred Host 4.5.0"]);
    let one_line = script(|mut talk| async move { while talk.say_raw(&[b'2'; 4096]).await {} });
    assert_eq!(against(one_line).await, ["deferred Host 4.5.0"]);
}

#[tokio::test]
async fn a_reply_that_is_not_smtp_ends_the_connection() {
    for garbage in
        [&b"HTTP/1.1 400 Bad Request\r\n"[..], b"220 bare line feed\n", b"220 bare\rreturn\r\n", b"\0\0\0\r\n", b"999 x\r\n"]
    {
        let play = script(move |mut talk| async move {
            talk.say_raw(garbage).await;
            talk.until_gone().await;
        });
        assert_eq!(against(play).await, ["deferred Host 4.5.0"], "{garbage:?}");
    }
}

#[tokio::test]
async fn a_421_after_mail_is_the_hosts_trouble() {
    let play = script(|mut talk| async move {
        talk.greet(&["PIPELINING"]).await;
        talk.hear("MAIL").await;
        talk.say("421 4.3.2 shutting down").await;
    });
    assert_eq!(against(play).await, ["deferred Host 4.3.2"]);
}

#[tokio::test]
async fn a_reply_injected_before_the_handshake_ends_it_without_going_on_in_clear() {
    let peer = Peer::start(vec![script(|mut talk| async move {
        talk.greet(&["STARTTLS"]).await;
        talk.hear("STARTTLS").await;
        talk.say("220 go\n250-peer.example\n250 AUTH PLAIN").await;
        talk.until_gone().await;
    })])
    .await;
    let delivery = delivery(settings());
    assert_eq!(briefs(&send(&delivery, &peer.hop(), &["a@x.example"]).await), ["deferred Host 4.7.5"]);
    assert_eq!((delivery.counts().opened, delivery.counts().tls_fallbacks), (1, 0));
    peer.done().await;
}

#[tokio::test]
async fn a_354_after_all_recipients_were_refused_gets_a_lone_dot_and_the_connection_lives_on() {
    let peer = Peer::start(vec![script(|mut talk| async move {
        talk.greet(&["PIPELINING"]).await;
        talk.hear("MAIL").await;
        talk.hear("RCPT").await;
        talk.hear("DATA").await;
        talk.say("250 ok\n550 5.1.1 no\n354 go").await;
        assert_eq!(talk.line().await, ".");
        talk.say("554 5.5.1 nobody").await;
        // The next message begins with a clean slate.
        talk.hear("RSET").await;
        talk.hear("MAIL").await;
        talk.hear("RCPT").await;
        talk.hear("DATA").await;
        talk.say("250 ok\n250 ok\n250 ok\n354 go").await;
        assert_eq!(talk.hear_dotted().await, BODY);
        talk.say("250 taken").await;
    })])
    .await;
    let delivery = delivery(settings());
    assert_eq!(briefs(&send(&delivery, &peer.hop(), &["a@x.example"]).await), ["bounced Recipient 5.1.1"]);
    assert_eq!(briefs(&send(&delivery, &peer.hop(), &["b@x.example"]).await), ["delivered"]);
    peer.done().await;
}

#[tokio::test]
async fn a_host_that_refuses_a_body_halfway_is_heard_before_the_connection_breaks() {
    let body = "0123456789abcdef\r\n".repeat(500_000).into_bytes();
    let peer = Peer::start(vec![script(|mut talk| async move {
        talk.greet(&["PIPELINING"]).await;
        talk.hear("MAIL").await;
        talk.hear("RCPT").await;
        talk.say("250 ok\n250 ok").await;
        talk.hear("DATA").await;
        talk.say("354 go").await;
        talk.hear_bytes(100_000).await;
        talk.say("552 5.3.4 too big").await;
        // Half-closed: no reset that would take the reply with it.
        talk.refuse_more().await;
    })])
    .await;
    let outcomes = send_body(&delivery(settings()), &peer.hop(), &["a@x.example"], &envelope(), &body).await;
    assert_eq!(briefs(&outcomes), ["bounced Message 5.3.4"]);
    peer.done().await;
}

#[tokio::test]
async fn a_body_cut_short_by_the_host_is_never_delivered_even_if_it_says_so() {
    let body = "0123456789abcdef\r\n".repeat(500_000).into_bytes();
    let peer = Peer::start(vec![script(|mut talk| async move {
        talk.greet(&["PIPELINING", "CHUNKING"]).await;
        talk.hear("MAIL").await;
        talk.hear("RCPT").await;
        talk.say("250 ok\n250 ok").await;
        talk.hear("BDAT").await;
        talk.say("250 taken").await;
    })])
    .await;
    let outcomes = send_body(&delivery(settings()), &peer.hop(), &["a@x.example"], &envelope(), &body).await;
    assert_eq!(briefs(&outcomes), ["deferred Host 4.4.2"]);
    peer.done().await;
}

#[tokio::test]
async fn a_kept_connection_that_died_is_replaced_without_counting_as_a_failure() {
    // It dies at once; or only when it is used; or says goodbye in answer to MAIL.
    for how in 0..3 {
        let peer = Peer::start(vec![
            script(move |mut talk| async move {
                talk.greet(FAST).await;
                talk.take().await;
                if how > 0 {
                    talk.hear("MAIL").await;
                }
                if how == 2 {
                    talk.say("421 4.4.2 idle for too long").await;
                    talk.until_gone().await;
                }
            }),
            script(|mut talk| async move {
                talk.greet(FAST).await;
                talk.take().await;
            }),
        ])
        .await;
        let delivery = delivery(settings());
        for _ in 0..2 {
            assert_eq!(briefs(&send(&delivery, &peer.hop(), &["a@x.example"]).await), ["delivered"], "way {how} to die");
        }
        assert_eq!(delivery.counts().opened, 2);
        peer.done().await;
    }
}

#[tokio::test]
async fn a_fresh_connection_that_dies_counts() {
    let play = script(|mut talk| async move {
        talk.greet(FAST).await;
        talk.hear("MAIL").await;
    });
    assert_eq!(against(play).await, ["deferred Host 4.4.2"]);
}

#[tokio::test]
async fn a_message_that_must_not_be_sent_never_leaves() {
    for dirty in [&b"Subject: x\r\n\r\nsmuggled\n.\nMAIL FROM:<x@y>\r\n"[..], b"a\rb\r\n", b"a\0b\r\n"] {
        for at_once_bytes_max in [1000, 0] {
            let peer = Peer::start(vec![script(|mut talk| async move {
                talk.greet(&[]).await;
                loop {
                    let line = talk.line().await;
                    match line.as_str() {
                        "" | "QUIT" => break,
                        "DATA" => talk.say("354 go").await,
                        line if line.starts_with("MAIL ") || line.starts_with("RCPT ") => talk.say("250 ok").await,
                        other => panic!("{other:?} left"),
                    }
                }
            })])
            .await;
            let settings = Settings { at_once_bytes_max, ..settings() };
            let delivery = delivery(settings);
            let outcomes = send_body(&delivery, &peer.hop(), &["a@x.example"], &envelope(), dirty).await;
            assert_eq!(briefs(&outcomes), ["bounced Message 5.6.0"], "{dirty:?}");
            delivery.close_all().await;
            peer.done().await;
        }
    }
}

/// A body that does not have the length it says.
struct Lying(u64);

impl BodySource for Lying {
    fn size(&self) -> u64 {
        self.0
    }

    fn open(&self) -> BoxFuture<'_, std::io::Result<Box<dyn BodyPieces + '_>>> {
        Box::pin(async { Ok(Box::new(Once(Some(BODY))) as Box<dyn BodyPieces>) })
    }
}

struct Once(Option<&'static [u8]>);

impl BodyPieces for Once {
    fn append_next<'a>(&'a mut self, into: &'a mut Vec<u8>) -> BoxFuture<'a, std::io::Result<usize>> {
        let piece = self.0.take().unwrap_or_default();
        into.extend_from_slice(piece);
        Box::pin(async { Ok(piece.len()) })
    }
}

#[tokio::test]
async fn a_body_of_another_length_than_announced_is_never_read_as_commands() {
    for (size, at_once_bytes_max) in [(5, 1000), (5, 0), (500, 1000), (500, 0)] {
        let peer = Peer::start(vec![script(move |mut talk| async move {
            talk.greet(FAST).await;
            let mut line = talk.line().await;
            if line.starts_with("MAIL") {
                talk.hear("RCPT").await;
                talk.say("250 ok\n250 ok").await;
                line = talk.line().await;
            }
            if line.starts_with("BDAT") {
                assert!(talk.rest().await.len() < usize::try_from(size).unwrap(), "the chunk is never filled");
            } else {
                assert!(line.is_empty() || line == "QUIT", "{line:?}");
            }
        })])
        .await;
        let delivery = delivery(Settings { at_once_bytes_max, ..settings() });
        let to = [Recipient::restored_from_spool(Mailbox::parse("a@x.example").unwrap(), false, DsnRequest::default())];
        let message = Message { id: MessageId(1), envelope: &envelope(), recipients: &to, body: &Lying(size) };
        let outcomes = delivery.deliver(&peer.hop(), message).await;
        assert_eq!(briefs(&outcomes), ["deferred Message 4.3.0"], "{size} announced");
        delivery.close_all().await;
        peer.done().await;
    }
}
