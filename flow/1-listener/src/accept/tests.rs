//! What one connection costs while it waits. At 10,000 idle clients every octet of it is 10 kB of the server.

use std::mem::size_of_val;

use postern_mail::fact::{Answer, Question};
use postern_mail::proof::Committed;
use postern_mail::{Domain, Envelope, Outage};
use postern_session::{Hurry, Session, SessionSettings};
use postern_smtp::machine::TraceFacts;

use super::*;
use crate::ceiling::CeilingSettings;
use crate::pump::PumpSettings;

/// As large as the one of the server, and with answers that take a lot of room while they are looked for.
struct Large([u64; 12]);

impl Large {
    async fn think(&self) {
        let room = [1_u8; 2000];
        tokio::task::yield_now().await;
        assert_eq!(room.iter().map(|octet| u64::from(*octet)).sum::<u64>() + self.0.iter().sum::<u64>(), 2000);
    }
}

impl Host for Large {
    async fn ask(&mut self, _: Question) -> Answer {
        self.think().await;
        Answer::Pass
    }

    fn open(&mut self, _: Box<Envelope>, _: Box<TraceFacts>) {}

    async fn body(&mut self, _: &[u8]) {
        self.think().await;
    }

    async fn commit(&mut self) -> Result<Committed, Outage> {
        self.think().await;
        Err(Outage::DiskFull)
    }

    fn discard(&mut self) {}
}

struct Gate;

impl Conversations for Gate {
    type Machine = Session;
    type Host = Large;

    fn begin(&self, client: &ClientFacts) -> (Session, Large) {
        let hour = Duration::from_secs(3600);
        let settings = SessionSettings {
            hostname: Domain::parse("here.example").unwrap(),
            message_size: 1000,
            recipients_per_message: 1,
            recipients_per_submission: 1,
            messages_per_connection: 1,
            faults_per_session: 1,
            recipients_unknown_per_session: 1,
            idle_commands_per_session: u32::MAX,
            hurry: Hurry { command_timeout: hour, data_timeout: hour, faults_per_session: 1 },
            command_timeout: hour,
            data_timeout: hour,
            transaction_timeout: hour,
            session_timeout: hour,
            tls_available: false,
            mechanisms: Vec::new(),
        };
        (Session::new(Arc::new(settings), client.clone()), Large([0; 12]))
    }

    fn pump_settings(&self) -> Arc<PumpSettings> {
        let hour = Duration::from_secs(3600);
        Arc::new(PumpSettings {
            hostname: "here.example".into(),
            handshake_timeout: hour,
            write_timeout: hour,
            hurried_timeout: hour,
            data_rate_min: 0,
            data_rate_grace: hour,
            data_rate_max: 0,
            bytes_max: u64::MAX,
            judged_long: hour,
        })
    }

    fn tls(&self, _: ListenerKind) -> Option<Arc<ServerConfig>> {
        None
    }

    fn hostname(&self) -> Arc<str> {
        "here.example".into()
    }

    fn greeting_delay(&self) -> Duration {
        Duration::ZERO
    }

    fn turned_away(&self, _: &ClientFacts, _: &'static str) {}

    fn ended(&self, _: &ClientFacts, _: Ended) {}
}

#[tokio::test]
async fn an_idle_connection_is_small() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (_stop, stopping) = watch::channel(false);
    let (alive, _) = mpsc::channel(1);
    let connection = || Connection {
        kind: ListenerKind::Mx,
        number: 0,
        conversations: Arc::new(Gate),
        stop: stopping.clone(),
        alive: alive.clone(),
    };
    let ceiling = Ceiling::new(CeilingSettings {
        connections: 1,
        reserved: 0,
        connections_per_listener: 1,
        connections_per_host: 1,
        connections_per_network: 1,
        connections_per_minute_per_host: 1,
        connections_per_minute_per_network: 1,
        handshakes_per_minute_per_host: 1,
        known_networks: Vec::new(),
        known_for: Duration::from_secs(1),
        stress_at: 1.0,
        stress_until: 1.0,
        counter_bytes: 1,
    });
    let peer = client.peer_addr().unwrap();
    let place = ceiling.enter(connection().entrance().arrival(peer)).unwrap();
    let work = connection().admit(place, client, peer, Vec::new());
    let pump = size_of::<Pump<Session, Large>>();
    let (machine, host) = (size_of::<Session>(), size_of::<Large>());
    println!("connection {}, of it pump {pump}, of it machine {machine} and host {host} octets", size_of_val(&work));
    assert!(size_of_val(&work) <= 1536, "{} octets", size_of_val(&work));
}
