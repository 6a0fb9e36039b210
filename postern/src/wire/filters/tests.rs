//! What filters are told, what is done of what they want, and room for the messages they see.

use std::path::Path;

use postern_listener::{Conversations as _, Host as _};
use postern_mail::client::ListenerKind;
use postern_mail::fact::{Answer, Question};
use postern_mail::{Envelope, HeloName, Recipient, ReversePath};

use super::*;
use crate::wire::inbound::{Gate, Inbound};
use crate::wire::tests::{Town, mailbox};

/// A session of a relay network, whose mail only filters look at.
pub(super) fn session(town: &Town) -> Inbound {
    let client = ClientFacts { address: "192.0.2.1".parse().unwrap(), port: 1, listener: ListenerKind::Mx };
    Gate(Arc::clone(&town.server)).begin(&client).1
}

/// Hands in a message, up to its commit.
pub(super) async fn hand_in(inbound: &mut Inbound, to: &[&str], message: &[u8]) {
    let from = ReversePath::Mailbox(mailbox("a@there.test"));
    let answer = inbound.ask(Question::Sender { from: from.clone(), who: None, size: None }).await;
    assert!(matches!(answer, Answer::Pass), "{answer:?}");
    let mut recipients = Vec::new();
    for to in to.iter().map(|to| mailbox(to)) {
        let asked = Question::Recipient { to: to.clone(), from: from.clone(), who: None };
        let Answer::Admitted(admission) = inbound.ask(asked).await else { panic!("{to} is not admitted") };
        recipients.push(Recipient::admitted(to, &admission, postern_mail::envelope::DsnRequest::default()));
    }
    let helo = HeloName::parse("there.test").unwrap();
    inbound.open(Box::new(Envelope::plain(from, recipients)), Box::new(TraceFacts { helo, esmtp: true, tls: None, who: None }));
    inbound.body(message).await;
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_be_read_back_is_not_taken_without_its_filters() {
    let milter = "[[policy.milter]]\naddress = \"127.0.0.1:9\"\n";
    let relay = "server.relay_networks = [\"192.0.2.0/24\"]\nspool.body_inline_max = \"4KiB\"\n";
    for (broken, filters) in [(false, milter), (true, milter), (true, "")] {
        let town = Town::new(&format!("{relay}{filters}"));
        let mut inbound = session(&town);
        let message = format!("Subject: large\r\n\r\n{}", "0123456789\r\n".repeat(2_000));
        hand_in(&mut inbound, &["x@there.test"], message.as_bytes()).await;
        let bodies: Vec<_> = files(town.folder()).into_iter().filter(|path| path.to_string_lossy().contains("bod")).collect();
        assert_eq!(bodies.len(), 1, "{bodies:?}");
        if broken {
            std::fs::File::options().write(true).open(&bodies[0]).unwrap().set_len(1).unwrap();
        }
        let answer = inbound.ask(Question::Message).await;
        assert!(matches!(answer, Answer::Pass), "what could not be stored is told at its commit: {answer:?}");
        let committed = inbound.commit().await;
        // Without filters nobody reads it here.
        assert_eq!(committed.is_err(), broken && !filters.is_empty(), "{committed:?}");
    }
}

#[test]
fn what_filters_made_of_a_message_is_not_taken_where_it_could_not_be_sent() {
    assert!(sendable(b"A: 1\r\n\r\nbody\r\n").is_ok());
    for bad in [b"A: 1\r\n\r\nbody\n".as_slice(), b"A: \0\r\n\r\n", b"A: 1\r\n\r\nbody\r"] {
        assert!(matches!(sendable(bad), Err(Outage::Service(_))), "{bad:?}");
    }
}

#[tokio::test]
async fn one_client_leaves_room_for_others_and_who_finds_none_is_told_to_come_again() {
    let rooms = Rooms::of(100, Duration::from_millis(50));
    let client = |text: &str| text.parse::<IpAddr>().unwrap();
    let large = rooms.room(client("2001:db8::1"), 1 << 30).await.unwrap();
    assert!(matches!(rooms.room(client("2001:db8::2"), 10).await, Err(Outage::Overload)), "its share is used");
    let other = rooms.room(client("192.0.2.7"), 40 << 10).await.unwrap();
    assert!(matches!(rooms.room(client("192.0.2.8"), 40 << 10).await, Err(Outage::Overload)), "all is used");
    drop((large, other));
    assert!(rooms.room(client("2001:db8::2"), 10).await.is_ok());
    assert_eq!(rooms.of_clients.lock().unwrap().len(), 1, "who has nothing here is forgotten");
}

#[test]
fn only_a_name_that_leads_back_to_the_client_is_told() {
    use postern_mail::authenticity::{Authenticity, Iprev};
    for (result, told) in [(AuthResult::Pass, Some("mail.there.example")), (AuthResult::Fail, None)] {
        let iprev = Some(Iprev { result, name: "mail.there.example".into() });
        let found = Found { authenticity: Some(Box::new(Authenticity { iprev, ..Authenticity::default() })), ..Found::default() };
        assert_eq!(client_name(&found), told);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_that_a_filter_adds_is_refused_where_it_is_suppressed() {
    let town = Town::new("server.relay_networks = [\"192.0.2.0/24\"]\n");
    let (server, live) = (&town.server, town.server.live.load_full());
    let gone = (&mailbox("gone@there.test"), "network:192.0.2.0/24");
    let _ = crate::wire::suppression::asked_for_no_more(
        server,
        &live,
        gone,
        (postern_mail::suppression::Cause::Complained, "said so"),
    )
    .await;
    let client = ClientFacts { address: "192.0.2.1".parse().unwrap(), port: 1, listener: ListenerKind::Mx };
    let trace = TraceFacts { helo: HeloName::parse("there.test").unwrap(), esmtp: true, tls: None, who: None };
    let mut envelope = Envelope::plain(ReversePath::Null, Vec::new());
    let changes = ["gone@there.test", "other@there.test"].map(|to| postern_filters::Change::AddRecipient(to.to_owned()));
    let mut came = postern_filters::Came { changes: changes.to_vec(), ..postern_filters::Came::default() };
    let recipients = Recipients { envelope: &mut envelope, named: &mut None, reservation: None };
    recipients.change((server, &live), (&client, &trace), &mut came).await;
    let to: Vec<String> = envelope.recipients.iter().map(|to| to.address().to_string()).collect();
    assert_eq!(to, ["other@there.test"]);
}
