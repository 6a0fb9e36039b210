//! Stories: recorded, told, bounded in number and age, and dropped rather than waited for.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::mpsc;

use postern_mail::client::ListenerKind;
use postern_mail::outcome::{Evidence, Outcome, Scope};
use postern_mail::{Mailbox, Reply, ReversePath, Secret, Status};
use tempfile::TempDir;

use super::*;
use crate::backend::{Change, Durability, Row};

const DAY: u64 = 86_400_000;
const NOW: u64 = 1_800_000_000_000;

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

fn accepted(id: u64, from: &str, to: &[&str]) -> Event {
    Event::Accepted {
        id: MessageId(id),
        from: if from.is_empty() { ReversePath::Null } else { ReversePath::Mailbox(mailbox(from)) },
        recipients: to.iter().map(|text| mailbox(text)).collect(),
        account: None,
        client: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        size: 4096,
    }
}

fn delivered(id: u64, to: &str) -> Event {
    let evidence = Evidence { by: "mx.example [192.0.2.1]".into(), text: "250 ok".into() };
    let outcome = Outcome::Delivered { evidence, dsn_passed_on: false };
    let age = Duration::from_millis(250);
    Event::Attempted { id: MessageId(id), recipient: mailbox(to), outcome, number: 1, age, next: None }
}

fn refused(address: &str) -> Event {
    Event::Refused {
        at: "RCPT",
        reply: Reply::no_such_recipient("no"),
        because: "recipient: unknown".into(),
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        listener: ListenerKind::Mx,
        address: Some(address.into()),
    }
}

fn start_on(folder: &TempDir, settings: HistorySettings) -> (Store, History) {
    let store = Store::open(folder.path()).unwrap();
    let settings = HistorySettings { gather: Duration::ZERO, ..settings };
    let history = History::start(&store, &settings, |failure| panic!("{failure}")).unwrap();
    (store, history)
}

fn start(settings: HistorySettings) -> (TempDir, Store, History) {
    let folder = tempfile::tempdir().unwrap();
    let (store, history) = start_on(&folder, settings);
    (folder, store, history)
}

fn rows(store: &Store, space: Keyspace) -> usize {
    store.backend().scan(space, b"", None, Order::Ascending, usize::MAX).unwrap().len()
}

#[test]
fn the_story_of_a_message_is_told_in_order_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (store, history) = start_on(&folder, HistorySettings::default());
    history.record(UnixMillis(NOW), accepted(7, "a@x.example", &["b@y.example"]));
    history.record(UnixMillis(NOW), accepted(8, "other@x.example", &["b@y.example"]));
    history.flush();
    history.record(UnixMillis(NOW + 250), delivered(7, "b@y.example"));
    history.record(UnixMillis(NOW + 251), Event::Finished { id: MessageId(7) });
    drop((history, store));
    let (_store, history) = start_on(&folder, HistorySettings::default());
    let story = history.trace(MessageId(7)).unwrap();
    assert_eq!(story.iter().map(|entry| entry.at - NOW).collect::<Vec<_>>(), [0, 250, 251]);
    assert!(matches!(&story[0].what, What::Accepted { from, to, .. } if from == "a@x.example" && to == &["b@y.example"]));
    assert!(matches!(&story[1].what, What::Attempted { result, by, .. } if result == "delivered" && by.contains("mx.example")));
    assert_eq!(story[2].what, What::Finished);
    assert_eq!(history.trace(MessageId(9)).unwrap(), []);
}

#[test]
fn every_kind_of_event_reads_back_as_it_was_written() {
    let evidence = || Evidence { by: "h\r\n".into(), text: "4\u{0} \"x\"\n{}".into() };
    let status = Status::new(4, 4, 1);
    let outcomes = [
        Outcome::Deferred { scope: Scope::Host, status, evidence: evidence() },
        Outcome::Bounced { scope: Scope::Recipient, status: Status::new(5, 1, 1), evidence: evidence() },
        Outcome::Expired { status, evidence: evidence() },
    ];
    let attempts = outcomes.into_iter().map(|outcome| Event::Attempted {
        id: MessageId(1),
        recipient: mailbox("\"odd one\"@[192.0.2.1]"),
        outcome,
        number: 3,
        age: Duration::from_secs(9),
        next: Some(UnixMillis(NOW)),
    });
    let ordered = Event::Ordered { id: MessageId(1), what: "hold", reason: "line\nend".into() };
    let others = [accepted(1, "", &["a@b.example"]), ordered, refused("<odd\r\n250 ok>"), delivered(1, "a@b.example")];
    let mut lines = Vec::new();
    let entries: Vec<Entry> = attempts.chain(others).map(|event| Entry::of(UnixMillis(NOW), &event)).collect();
    for entry in &entries {
        entry.write(&mut lines);
    }
    assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), entries.len(), "no text adds a line");
    assert_eq!(Entry::read(&lines).collect::<Vec<_>>(), entries);
}

#[test]
fn a_line_of_a_newer_version_is_left_out() {
    let known = br#"{"at":5,"event":"finished","more":true}"#;
    let lines = [&known[..], b"\n{\"at\":6,\"event\":\"teleported\"}\n"].concat();
    assert_eq!(Entry::read(&lines).collect::<Vec<_>>(), [Entry { at: 5, what: What::Finished }]);
}

#[test]
fn messages_are_found_by_sender_recipient_and_account_in_any_case_the_newest_first() {
    let (_folder, _store, history) = start(HistorySettings::default());
    for id in 1..=5 {
        history.record(UnixMillis(NOW + id), accepted(id, "Alice@x.example", &["bob@y.example", "carol@y.example"]));
    }
    history.record(UnixMillis(NOW + 9), accepted(9, "", &["alice@x.example"]));
    let mut submitted = accepted(10, "info@x.example", &["z@y.example"]);
    if let Event::Accepted { account, .. } = &mut submitted {
        *account = Some("alice@x.example".into());
    }
    history.record(UnixMillis(NOW + 10), submitted);
    let found = |address: &str, limit| -> Vec<u64> {
        history.find(address, limit).unwrap().messages.into_iter().map(|id| id.0).collect()
    };
    assert_eq!(found("alice@X.example", 10), [10, 9, 5, 4, 3, 2, 1]);
    assert_eq!(found("<carol@y.example>", 2), [5, 4]);
    assert_eq!(found("alice@x.exampl", 10), [0; 0], "a part of an address is another address");
}

#[test]
fn refusals_are_found_by_the_address_they_were_about() {
    let (_folder, _store, history) = start(HistorySettings::default());
    for number in 0..5 {
        history.record(UnixMillis(NOW + number), refused("<Nobody@y.example>"));
        history.record(UnixMillis(NOW + number), refused("<else@y.example>"));
    }
    let found = history.find("nobody@y.example", 3).unwrap();
    assert_eq!(found.refusals.iter().map(|entry| entry.at - NOW).collect::<Vec<_>>(), [4, 3, 2]);
    assert_eq!(found.messages, []);
}

#[test]
fn what_is_too_old_is_forgotten_with_its_addresses() {
    let (_folder, store, history) = start(HistorySettings::default());
    history.record(UnixMillis(NOW), accepted(1, "a@x.example", &["b@y.example"]));
    history.record(UnixMillis(NOW), refused("<b@y.example>"));
    history.record(UnixMillis(NOW + 2), accepted(2, "a@x.example", &["b@y.example"]));
    history.record(UnixMillis(NOW + 10 * DAY), delivered(2, "b@y.example"));
    history.flush();
    history.record(UnixMillis(NOW + 31 * DAY), accepted(3, "a@x.example", &["b@y.example"]));
    assert_eq!(history.trace(MessageId(1)).unwrap(), []);
    assert_eq!(history.trace(MessageId(2)).unwrap().len(), 2, "its last event is recent enough");
    let found = history.find("b@y.example", 10).unwrap();
    assert_eq!((found.messages, found.refusals.len()), (vec![MessageId(3), MessageId(2)], 0));
    assert_eq!((rows(&store, Keyspace::Addresses), rows(&store, Keyspace::Refusals)), (4, 0));
}

#[test]
fn never_more_messages_and_refusals_than_configured_also_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let settings = HistorySettings { messages_max: 10, refusals_max: 4, ..HistorySettings::default() };
    let mut id = 0;
    for _ in 0..3 {
        let (store, history) = start_on(&folder, settings.clone());
        for _ in 0..30 {
            id += 1;
            history.record(UnixMillis(NOW + id), accepted(id, "a@x.example", &["b@y.example"]));
            history.record(UnixMillis(NOW + id), delivered(id, "b@y.example"));
            history.record(UnixMillis(NOW + id), refused("<b@y.example>"));
            if id % 7 == 0 {
                history.flush();
            }
        }
        history.flush();
        assert!(rows(&store, Keyspace::Addresses) <= 20, "{} rows", rows(&store, Keyspace::Addresses));
        assert!(rows(&store, Keyspace::Refusals) <= 4);
        let found = history.find("b@y.example", 100).unwrap().messages;
        assert_eq!(found, (id - 9..=id).rev().map(MessageId).collect::<Vec<_>>());
        assert_eq!(history.trace(MessageId(id)).unwrap().len(), 2);
    }
}

/// An engine whose writes wait to be let go, or fail.
struct Held {
    go: Mutex<mpsc::Receiver<Result<(), StateFailure>>>,
}

impl Backend for Held {
    fn read(&self, _: Keyspace, _: &[u8]) -> Result<Option<Vec<u8>>, StateFailure> {
        Ok(None)
    }

    fn scan(&self, _: Keyspace, _: &[u8], _: Option<&[u8]>, _: Order, _: usize) -> Result<Vec<Row>, StateFailure> {
        Ok(Vec::new())
    }

    fn write(&self, _: Vec<Change>, _: Durability) -> Result<(), StateFailure> {
        self.go.lock().unwrap().recv().unwrap_or(Ok(()))
    }
}

fn held(settings: HistorySettings) -> (History, mpsc::SyncSender<Result<(), StateFailure>>, mpsc::Receiver<StateFailure>) {
    let (let_go, go) = mpsc::sync_channel(100);
    let (fatal, failures) = mpsc::sync_channel(1);
    // The layout's version is written at the start.
    let_go.send(Ok(())).unwrap();
    let store = Store::over(Arc::new(Held { go: Mutex::new(go) }), Secret::new(vec![0; 32])).unwrap();
    let settings = HistorySettings { gather: Duration::ZERO, ..settings };
    let history = History::start(&store, &settings, move |failure| fatal.send(failure).unwrap()).unwrap();
    (history, let_go, failures)
}

#[test]
fn when_the_writer_is_behind_events_are_dropped_and_counted_and_nobody_waits() {
    let (history, let_go, _failures) = held(HistorySettings { waiting_max: 10, ..HistorySettings::default() });
    for id in 0..100 {
        history.record(UnixMillis(NOW), delivered(id, "b@y.example"));
    }
    assert_eq!(history.figures(), HistoryFigures { written: 0, dropped: 90 });
    drop(let_go);
    history.flush();
    assert_eq!(history.figures(), HistoryFigures { written: 10, dropped: 90 });
    history.record(UnixMillis(NOW), delivered(1, "b@y.example"));
    history.flush();
    assert_eq!(history.figures(), HistoryFigures { written: 11, dropped: 90 }, "there is room again");
}

#[test]
fn an_event_takes_as_much_of_the_queue_as_it_has_recipients() {
    let (history, let_go, _failures) = held(HistorySettings { waiting_max: 10, ..HistorySettings::default() });
    history.record(UnixMillis(NOW), accepted(1, "a@x.example", &["b@y.example"; 10]));
    assert_eq!(history.figures().dropped, 1);
    history.record(UnixMillis(NOW), accepted(1, "a@x.example", &["b@y.example"; 9]));
    history.record(UnixMillis(NOW), delivered(1, "b@y.example"));
    assert_eq!(history.figures().dropped, 2);
    drop(let_go);
}

#[test]
fn a_lost_store_is_reported_once_and_recording_goes_on_without_effect() {
    let (history, let_go, failures) = held(HistorySettings::default());
    let_go.send(Err(StateFailure::Poisoned("disk gone".into()))).unwrap();
    history.record(UnixMillis(NOW), delivered(1, "b@y.example"));
    assert!(failures.recv().unwrap().is_fatal());
    history.flush();
    history.record(UnixMillis(NOW), delivered(2, "b@y.example"));
    assert_eq!(history.figures(), HistoryFigures { written: 0, dropped: 2 });
}

#[test]
fn a_paused_history_drops_and_counts() {
    let (_folder, store, history) = start(HistorySettings::default());
    history.pause(true);
    history.record(UnixMillis(NOW), delivered(1, "b@y.example"));
    history.pause(false);
    history.record(UnixMillis(NOW), delivered(2, "b@y.example"));
    history.flush();
    assert_eq!((history.figures(), rows(&store, Keyspace::History)), (HistoryFigures { written: 1, dropped: 1 }, 1));
}

fn trail(session: u64, message: Option<u64>, bytes: &[u8]) -> trails::Trail {
    trails::Trail { session: postern_mail::SessionId(session), message: message.map(MessageId), bytes: bytes.to_vec() }
}

#[test]
fn the_pieces_of_a_session_come_back_in_order_and_its_messages_lead_to_it() {
    let (_folder, _store, history) = start(HistorySettings::default());
    history.record_trail(UnixMillis(NOW), trail(5, Some(7), b"one"));
    history.record(UnixMillis(NOW), accepted(7, "a@x.example", &["b@y.example"]));
    history.record_trail(UnixMillis(NOW + 1), trail(5, None, b"two"));
    history.record_trail(UnixMillis(NOW), trail(6, None, b"another session"));
    let session = postern_mail::SessionId(5);
    assert_eq!(history.trails(session).unwrap(), [b"one".to_vec(), b"two".to_vec()]);
    let story = history.trace(MessageId(7)).unwrap();
    assert!(story.iter().any(|entry| entry.what == What::Judged { session: session.to_string() }), "{story:?}");
}

#[test]
fn records_of_decisions_are_forgotten_by_number_and_by_age_and_none_are_kept_where_none_are_wanted() {
    let (_folder, store, history) = start(HistorySettings { trails_max: 3, ..HistorySettings::default() });
    for number in 0..20 {
        history.record_trail(UnixMillis(NOW + number), trail(number, None, b"x"));
        history.flush();
    }
    assert!(rows(&store, Keyspace::Trails) <= 4, "{}", rows(&store, Keyspace::Trails));
    assert!(!history.trails(postern_mail::SessionId(19)).unwrap().is_empty());
    history.record_trail(UnixMillis(NOW + 400 * DAY), trail(1 << 60, None, b"x"));
    history.flush();
    assert_eq!(rows(&store, Keyspace::Trails), 1);
    let (_folder, store, history) = start(HistorySettings { trails_max: 0, ..HistorySettings::default() });
    history.record_trail(UnixMillis(NOW), trail(1, None, b"x"));
    history.flush();
    assert_eq!(rows(&store, Keyspace::Trails), 0);
}

#[test]
fn records_of_decisions_are_forgotten_by_their_octets_also_after_a_restart() {
    let settings = || HistorySettings { trails_bytes_max: 10_000, ..HistorySettings::default() };
    let (folder, store, history) = start(settings());
    for number in 0..200 {
        history.record_trail(UnixMillis(NOW + number), trail(number, None, &[0; 1_000]));
        history.flush();
    }
    assert_eq!(rows(&store, Keyspace::Trails), 10);
    drop((store, history));
    let (store, history) = start_on(&folder, settings());
    history.record_trail(UnixMillis(NOW + 500), trail(500, None, &[0; 9_500]));
    history.flush();
    assert_eq!(rows(&store, Keyspace::Trails), 1, "what was kept before counts too");
    assert!(!history.trails(postern_mail::SessionId(500)).unwrap().is_empty());
}

#[test]
fn records_come_in_bounded_batches_in_the_order_of_their_sessions_each_once_and_only_within_the_bounds() {
    let (_folder, _store, history) = start(HistorySettings { trails_max: 10_000, ..HistorySettings::default() });
    let big = |session: u64| [session.to_be_bytes().to_vec(), vec![0; 20_000]].concat();
    for session in (1..=300_u64).rev() {
        history.record_trail(UnixMillis(NOW), trail(session, None, &big(session)));
        if session % 100 == 0 {
            history.flush();
        }
    }
    let (mut from, mut found, mut batches) = (trails::from_session(postern_mail::SessionId(11)), Vec::new(), 0);
    loop {
        let batch = history.batch(&from, postern_mail::SessionId(291)).unwrap();
        assert!(batch.records.len() <= 128, "{}", batch.records.len());
        found.extend(batch.records);
        batches += 1;
        let Some(next) = batch.next else { break };
        from = next;
    }
    assert!(batches >= 3, "{batches}");
    assert_eq!(found, (11..=290).map(big).collect::<Vec<_>>());
    assert_eq!(history.batch(b"\xff", postern_mail::SessionId(291)).unwrap(), trails::Batch::default());
}
