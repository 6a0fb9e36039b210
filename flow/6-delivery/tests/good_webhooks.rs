//! Messages posted to applications that are in a hurry, or are not there.
#![allow(clippy::unwrap_used, reason = "test code")]

mod peer;

use peer::*;
use postern_delivery::{Delivery, InlineBody, Message, Webhook};
use postern_mail::envelope::{DsnRequest, MessageId};
use postern_mail::{Mailbox, Outcome, Recipient, Secret};

async fn post(delivery: &Delivery, peer: &Peer, body: Vec<u8>) -> Vec<Outcome> {
    let hook = Webhook {
        place: peer.hop().place,
        tls: false,
        authority: "peer.example".into(),
        path: "/".into(),
        secret: Secret::new(b"secret".to_vec()),
    };
    let to = Mailbox::parse("a@x.example").unwrap();
    let recipients = [Recipient::restored_from_spool(to, false, DsnRequest::default())];
    let message = Message { id: MessageId(1), envelope: &envelope(), recipients: &recipients, body: &InlineBody(body) };
    delivery.post(&hook, message).await
}

#[tokio::test]
async fn a_url_that_leads_back_to_us_bounces_nothing() {
    let peer = Peer::start(Vec::new()).await;
    let mut settings = settings();
    settings.own_addresses.push(peer.address);
    assert_eq!(briefs(&post(&delivery(settings), &peer, BODY.to_vec()).await), ["deferred Destination 4.3.5"]);
    peer.done().await;
}

#[tokio::test]
async fn an_answer_that_comes_before_all_was_read_is_taken() {
    let (done, end) = tokio::sync::oneshot::channel::<()>();
    let peer = Peer::start(vec![script(|mut talk| async move {
        talk.hear("POST / HTTP/1.1").await;
        talk.say("HTTP/1.1 410 Gone\ncontent-length: 0\n\n").await;
        // It reads no more, and keeps the connection.
        let _ = end.await;
    })])
    .await;
    let delivery = delivery(settings());
    let posted = post(&delivery, &peer, vec![b'x'; 32 << 20]);
    let outcomes = tokio::time::timeout(std::time::Duration::from_secs(10), posted).await.unwrap();
    assert_eq!(briefs(&outcomes), ["bounced Recipient 5.1.1"]);
    done.send(()).unwrap();
    peer.done().await;
}
