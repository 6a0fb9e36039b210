//! Mail for `reports.read_at`, handed in without sockets.

use postern_listener::{Conversations as _, Host as _};
use postern_mail::client::ListenerKind;
use postern_mail::envelope::DsnRequest;
use postern_mail::fact::{Answer, ClientFacts, Question};
use postern_mail::{HeloName, Recipient, ReversePath};
use postern_reports::Totals;
use postern_smtp::machine::TraceFacts;

use super::*;
use crate::wire::inbound::{Gate, Inbound};
use crate::wire::tests::{Town, mailbox};

const TOWN: &str = "server.relay_networks = [\"192.0.2.0/24\"]\nreports.read_at = \"dmarc@there.test\"\n";

async fn handed_in(town: &Town) -> Inbound {
    let client = ClientFacts { address: "192.0.2.1".parse().unwrap(), port: 1, listener: ListenerKind::Mx };
    let mut inbound = Gate(Arc::clone(&town.server)).begin(&client).1;
    let (from, to) = (ReversePath::Mailbox(mailbox("a@there.test")), mailbox("dmarc@there.test"));
    let _sender = inbound.ask(Question::Sender { from: from.clone(), who: None, size: None }).await;
    let asked = inbound.ask(Question::Recipient { to: to.clone(), from: from.clone(), who: None }).await;
    let Answer::Admitted(admission) = asked else { panic!("{asked:?}") };
    let recipients = vec![Recipient::admitted(to, &admission, DsnRequest::default())];
    let helo = HeloName::parse("there.test").unwrap();
    inbound.open(Box::new(Envelope::plain(from, recipients)), Box::new(TraceFacts { helo, esmtp: true, tls: None, who: None }));
    inbound.body(b"From: a@there.test\r\n\r\nno report\r\n").await;
    inbound
}

async fn until(server: &Server, enough: impl Fn(Totals) -> bool) -> Totals {
    let counted = async {
        loop {
            let totals = server.reports.reader.received().totals();
            if enough(totals) {
                return totals;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), counted).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_is_in_the_queue_before_what_it_reports_is_counted() {
    let mut town = Town::new(TOWN);
    let server = Arc::clone(&town.server);
    // A store that takes its time.
    let store = server.reports.reader.keeping.lock().await;
    let mut inbound = handed_in(&town).await;
    let committed = tokio::time::timeout(Duration::from_secs(20), inbound.commit()).await;
    assert!(committed.unwrap().is_ok());
    assert!(town.orders.recv().await.is_some(), "the scheduler has it");
    assert_eq!(server.reports.reader.received().totals(), Totals::default());
    drop(store);
    assert_eq!(until(&server, |totals| totals.unreadable == 1).await.skipped, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_to_be_counted_is_bounded_and_what_found_no_room_is_told() {
    let town = Town::new(TOWN);
    let server = Arc::clone(&town.server);
    let store = server.reports.reader.keeping.lock().await;
    let others = Arc::clone(&server.reports.reader.waiting);
    let others = others.try_acquire_many_owned(u32::try_from(WAITING_MAX - 2 * WAITING_MIN).unwrap()).unwrap();
    for _ in 0..5 {
        count(&server, Looked::Unreadable);
    }
    drop((store, others));
    let totals = until(&server, |totals| totals.unreadable == 2).await;
    assert_eq!(totals.skipped, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_that_is_held_is_told_as_not_read() {
    let town = Town::new(TOWN);
    let server = Arc::clone(&town.server);
    let writer = server.spool.begin().unwrap();
    let looked = look(&server, &server.live.load_full(), (&writer, 0), true).await;
    count(&server, looked);
    assert_eq!(until(&server, |totals| totals.skipped == 1).await.unreadable, 0);
}
