//! Strangers without number, and what is remembered of them.

use std::net::Ipv4Addr;
use std::sync::Arc;

use postern_listener::{Arrival, Conversations as _};
use postern_mail::client::ListenerKind;

use super::*;
use crate::wire::inbound::Gate;
use crate::wire::tests::Town;

fn client(number: u32) -> ClientFacts {
    // A network for each of them.
    ClientFacts { address: Ipv4Addr::from(0x1000_0000 + number * 256).into(), port: 1, listener: ListenerKind::Mx }
}

fn harvest() -> Conduct {
    Conduct { recipients_unknown: 1, syntax: 1, ..Conduct::default() }
}

fn is_open(server: &Arc<Server>, client: &ClientFacts) -> bool {
    Gate(Arc::clone(server)).door(client) == Door::Open
}

#[tokio::test]
async fn all_counters_together_stay_within_the_memory_of_the_setting() {
    let town = Town::new("[limits]\ncounters_memory = \"64KiB\"\nfaults_per_hour = 1");
    let server = &town.server;
    for number in 0..1000 {
        let client = client(number);
        let mut place = server
            .ceiling
            .enter(Arrival { now: clock(), address: client.address, listener: 0, handshake: true })
            .expect("one at a time");
        place.logged_in(clock());
        let mut dues = Dues::default();
        let live = server.live.load();
        let _ = dues.message(server, &live, (&client, false), None);
        dues.admitted();
        dues.received(5000);
        dues.end(server);
        behaved(server, &client, harvest());
        behaved(server, &client, harvest());
        assert!(server.counter_bytes() <= 64 * 1024, "{} octets", server.counter_bytes());
    }
    // And most of it is used, or the bound would mean nothing.
    assert!(server.counter_bytes() >= 30 * 1024, "{} octets", server.counter_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_the_limits_and_keeps_what_was_counted() {
    let town = Town::new("[limits]\nfaults_per_hour = 1000");
    let server = &town.server;
    for _ in 0..3 {
        behaved(server, &client(1), harvest());
    }
    assert!(is_open(server, &client(1)));
    town.reload("[limits]\nfaults_per_hour = 3").await.unwrap();
    behaved(server, &client(1), harvest());
    assert!(!is_open(server, &client(1)));
    assert!(is_open(server, &client(2)));
}

#[tokio::test]
async fn a_message_larger_than_a_connection_may_send_is_taken_when_it_is_the_first() {
    let town = Town::new("[limits]\nbytes_per_connection = \"1MiB\"");
    let (server, live) = (&town.server, town.server.live.load());
    let (client, mut dues) = (client(1), Dues::default());
    let message =
        |dues: &mut Dues| dues.message(server, &live, (&client, true), Some(2 << 20)).map_err(|(reply, _)| reply.code.0);
    assert_eq!(message(&mut dues), Ok(()));
    dues.received(1);
    assert_eq!(message(&mut dues), Err(452));
}
