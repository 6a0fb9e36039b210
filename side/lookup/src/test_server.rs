//! A name server on loopback for tests: says what it is told to, counts what it is asked.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, SOA, TLSA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;

use crate::{LookupSettings, Resolver};

pub(crate) enum Says {
    Records(Vec<Record>),
    ServFail,
    Nothing,
}

#[derive(Default)]
pub(crate) struct Zone {
    answers: HashMap<(String, RecordType), Says>,
    negative_seconds: u32,
    validated: Option<Vec<String>>,
}

pub(crate) fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

impl Zone {
    pub(crate) fn new() -> Self {
        Self { answers: HashMap::new(), negative_seconds: 60, validated: None }
    }

    pub(crate) fn negative_seconds(mut self, seconds: u32) -> Self {
        self.negative_seconds = seconds;
        self
    }

    pub(crate) fn says(mut self, owner: &str, kind: RecordType, says: Says) -> Self {
        self.answers.insert((owner.to_owned(), kind), says);
        self
    }

    fn record(mut self, owner: &str, kind: RecordType, record: Record) -> Self {
        match self.answers.entry((owner.to_owned(), kind)).or_insert_with(|| Says::Records(Vec::new())) {
            Says::Records(records) => records.push(record),
            other => *other = Says::Records(vec![record]),
        }
        self
    }

    pub(crate) fn a(self, owner: &str, seconds: u32, address: &str) -> Self {
        let record = Record::from_rdata(name(owner), seconds, RData::A(A(address.parse().unwrap())));
        self.record(owner, RecordType::A, record)
    }

    pub(crate) fn aaaa(self, owner: &str, address: &str) -> Self {
        let record = Record::from_rdata(name(owner), 60, RData::AAAA(AAAA(address.parse().unwrap())));
        self.record(owner, RecordType::AAAA, record)
    }

    pub(crate) fn mx(self, owner: &str, preference: u16, exchange: &str) -> Self {
        let record = Record::from_rdata(name(owner), 60, RData::MX(MX::new(preference, name(exchange))));
        self.record(owner, RecordType::MX, record)
    }

    pub(crate) fn tlsa(self, owner: &str, usage: u8, selector: u8, matching: u8, data: &[u8]) -> Self {
        let tlsa = TLSA::new(usage.into(), selector.into(), matching.into(), data.to_vec());
        self.record(owner, RecordType::TLSA, Record::from_rdata(name(owner), 60, RData::TLSA(tlsa)))
    }

    /// Says that it has validated all answers but those about these names.
    pub(crate) fn validated_but(mut self, insecure: &[&str]) -> Self {
        self.validated = Some(insecure.iter().map(|&name| name.to_owned()).collect());
        self
    }

    /// An alias, given without the records of its target, for every type asked for.
    pub(crate) fn alias(mut self, owner: &str, seconds: u32, target: &str) -> Self {
        for kind in [RecordType::A, RecordType::AAAA, RecordType::MX, RecordType::CNAME] {
            let record = Record::from_rdata(name(owner), seconds, RData::CNAME(CNAME(name(target))));
            self = self.record(owner, kind, record);
        }
        self
    }

    fn answer(&self, query: &Message) -> Option<Message> {
        let mut response = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
        let question = query.queries.first()?.clone();
        response.add_query(question.clone());
        let owner = question.name().to_ascii().to_ascii_lowercase();
        let asked = query.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok);
        response.metadata.authentic_data = asked && self.validated.as_ref().is_some_and(|insecure| !insecure.contains(&owner));
        let zone = || {
            let soa = SOA::new(name("ns.test."), name("root.test."), 1, 1, 1, 1, self.negative_seconds);
            Record::from_rdata(name("test."), self.negative_seconds, RData::SOA(soa))
        };
        match self.answers.get(&(owner.clone(), question.query_type())) {
            Some(Says::Records(records)) => {
                response.add_answers(records.iter().cloned());
            }
            Some(Says::ServFail) => response.metadata.response_code = ResponseCode::ServFail,
            Some(Says::Nothing) => return None,
            None => {
                if !self.answers.keys().any(|(known, _)| *known == owner) {
                    response.metadata.response_code = ResponseCode::NXDomain;
                }
                response.add_authority(zone());
            }
        }
        Some(response)
    }
}

pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<(String, RecordType)>>>,
}

impl TestServer {
    pub(crate) async fn start(zone: Zone) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                let Ok(query) = Message::from_vec(&buffer[..length]) else { continue };
                let question = &query.queries[0];
                log.lock().unwrap().push((question.name().to_ascii().to_ascii_lowercase(), question.query_type()));
                if let Some(response) = zone.answer(&query) {
                    socket.send_to(&response.to_vec().unwrap(), from).await.unwrap();
                }
            }
        });
        Self { address, asked }
    }

    /// How often it was asked about a name and a type.
    pub(crate) fn asked(&self, owner: &str, kind: RecordType) -> usize {
        self.asked.lock().unwrap().iter().filter(|(name, asked)| name == owner && *asked == kind).count()
    }

    pub(crate) fn resolver(&self) -> Resolver {
        self.resolver_within(Duration::from_secs(10))
    }

    /// One that believes what the server has validated.
    pub(crate) fn believing(&self) -> Resolver {
        Resolver::new(LookupSettings { servers: vec![self.address], dnssec: true, ..LookupSettings::default() }).unwrap()
    }

    pub(crate) fn resolver_within(&self, timeout: Duration) -> Resolver {
        let settings = LookupSettings { servers: vec![self.address], timeout, ..LookupSettings::default() };
        Resolver::new(settings).unwrap()
    }
}
