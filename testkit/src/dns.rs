//! A name server on loopback: says what it is told to, over UDP and TCP, and remembers what it was asked.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
pub use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, PTR, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record};

/// Seconds that every answer may be remembered: as short as is honoured.
const TTL: u32 = 1;

#[derive(Default)]
struct Zones {
    records: BTreeMap<(String, RecordType), Vec<Record>>,
    failing: BTreeSet<String>,
    failing_otherwise: BTreeSet<String>,
    existing: BTreeSet<String>,
    not_remembered: bool,
    silent: BTreeSet<String>,
    asked: Vec<(String, RecordType)>,
    mute: bool,
    stopped: bool,
}

/// A running name server. What it has no word for does not exist.
pub struct TestDns {
    address: SocketAddr,
    zones: Arc<Mutex<Zones>>,
}

/// Any octets in labels, for zones of suites; a name that cannot be is the root.
fn name(text: &str) -> Name {
    let labels = text.trim_end_matches('.').split('.').map(str::as_bytes).filter(|label| !label.is_empty());
    let mut name = Name::from_labels(labels).unwrap_or_default();
    name.set_fqdn(true);
    name
}

/// As it is written in zones: without the escapes of other writings.
fn asked_name(name: &Name) -> String {
    let labels: Vec<_> = name.iter().map(|label| String::from_utf8_lossy(label).to_ascii_lowercase()).collect();
    labels.join(".")
}

fn key(text: &str) -> String {
    text.trim_end_matches('.').to_ascii_lowercase()
}

impl Zones {
    fn ttl(&self) -> u32 {
        if self.not_remembered { 0 } else { TTL }
    }

    fn answer(&mut self, query: &[u8]) -> Option<Vec<u8>> {
        let query = Message::from_vec(query).ok()?;
        let question = query.queries.first()?.clone();
        let (owner, kind) = (asked_name(question.name()), question.query_type());
        self.asked.push((owner.clone(), kind));
        if self.mute || self.silent.contains(&owner) {
            return None;
        }
        let mut response = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
        response.metadata.recursion_available = true;
        response.add_query(question);
        let alias = self.records.get(&(owner.clone(), RecordType::CNAME));
        match self.records.get(&(owner.clone(), kind)).or(alias) {
            _ if self.failing.contains(&owner) => response.metadata.response_code = ResponseCode::ServFail,
            Some(records) => {
                response.add_answers(records.iter().cloned());
            }
            None if self.failing_otherwise.contains(&owner) => response.metadata.response_code = ResponseCode::ServFail,
            None => {
                if !self.existing.contains(&owner) && !self.records.keys().any(|(known, _)| *known == owner) {
                    response.metadata.response_code = ResponseCode::NXDomain;
                }
                let ttl = self.ttl();
                let authority = SOA::new(name("ns.test"), name("root.test"), 1, 60, 60, 60, ttl);
                response.add_authority(Record::from_rdata(name("test"), ttl, RData::SOA(authority)));
            }
        }
        response.to_vec().ok()
    }
}

impl TestDns {
    /// Starts it without any names.
    ///
    /// # Panics
    /// When there is no port that is free for UDP and TCP.
    #[must_use]
    pub fn start() -> Self {
        let address = crate::wait::loopback(crate::wait::free_port());
        let (datagrams, streams) = (UdpSocket::bind(address).unwrap(), TcpListener::bind(address).unwrap());
        let zones = Arc::new(Mutex::new(Zones::default()));
        let udp = Arc::clone(&zones);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = datagrams.recv_from(&mut buffer) {
                let mut zones = udp.lock().unwrap();
                if zones.stopped {
                    return;
                }
                if let Some(answer) = zones.answer(&buffer[..length]) {
                    let _ = datagrams.send_to(&answer, from);
                }
            }
        });
        let tcp = Arc::clone(&zones);
        std::thread::spawn(move || {
            for mut stream in streams.incoming().flatten() {
                if tcp.lock().unwrap().stopped {
                    return;
                }
                let zones = Arc::clone(&tcp);
                std::thread::spawn(move || -> std::io::Result<()> {
                    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
                    loop {
                        let mut length = [0; 2];
                        stream.read_exact(&mut length)?;
                        let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
                        stream.read_exact(&mut query)?;
                        let answer = zones.lock().unwrap().answer(&query);
                        if let Some(answer) = answer {
                            stream.write_all(&(answer.len() as u16).to_be_bytes())?;
                            stream.write_all(&answer)?;
                        }
                    }
                });
            }
        });
        Self { address, zones }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn add(&self, owner: &str, data: RData) -> &Self {
        let mut zones = self.zones.lock().unwrap();
        let record = Record::from_rdata(name(owner), zones.ttl(), data);
        zones.records.entry((key(owner), record.record_type())).or_default().push(record);
        self
    }

    /// A mail exchanger. `.` as exchange is the null MX (RFC 7505).
    pub fn mx(&self, owner: &str, preference: u16, exchange: &str) -> &Self {
        self.add(owner, RData::MX(MX::new(preference, name(exchange))))
    }

    /// An address of either family.
    ///
    /// # Panics
    /// When it is none.
    pub fn address_of(&self, owner: &str, address: &str) -> &Self {
        match address.parse().unwrap() {
            IpAddr::V4(address) => self.add(owner, RData::A(A(address))),
            IpAddr::V6(address) => self.add(owner, RData::AAAA(AAAA(address))),
        }
    }

    /// A text record.
    pub fn txt(&self, owner: &str, text: &str) -> &Self {
        self.add(owner, RData::TXT(TXT::new(vec![text.to_owned()])))
    }

    /// A text record of several strings of any octets.
    pub fn txt_strings(&self, owner: &str, strings: &[Vec<u8>]) -> &Self {
        let strings: Vec<&[u8]> = strings.iter().map(Vec::as_slice).collect();
        self.add(owner, RData::TXT(TXT::from_bytes(strings)))
    }

    /// A pointer, wherever it stands.
    pub fn ptr_at(&self, owner: &str, target: &str) -> &Self {
        self.add(owner, RData::PTR(PTR(name(target))))
    }

    /// The name of an address.
    ///
    /// # Panics
    /// When it is no address.
    pub fn ptr(&self, address: &str, target: &str) -> &Self {
        let owner = Name::from(address.parse::<IpAddr>().unwrap()).to_ascii();
        self.add(&owner, RData::PTR(PTR(name(target))))
    }

    /// An alias.
    pub fn cname(&self, owner: &str, target: &str) -> &Self {
        self.add(owner, RData::CNAME(CNAME(name(target))))
    }

    /// From now on SERVFAIL for this name.
    ///
    /// # Panics
    /// Never.
    pub fn fails(&self, owner: &str) -> &Self {
        self.zones.lock().unwrap().failing.insert(key(owner));
        self
    }

    /// From now on SERVFAIL for this name, but for the records it has.
    ///
    /// # Panics
    /// Never.
    pub fn fails_otherwise(&self, owner: &str) -> &Self {
        self.zones.lock().unwrap().failing_otherwise.insert(key(owner));
        self
    }

    /// A name without a record.
    ///
    /// # Panics
    /// Never.
    pub fn exists(&self, owner: &str) -> &Self {
        self.zones.lock().unwrap().existing.insert(key(owner));
        self
    }

    /// Forgets all names. What is told from now on may not be remembered by whoever asks.
    ///
    /// # Panics
    /// Never.
    pub fn clear(&self) -> &Self {
        let mut zones = self.zones.lock().unwrap();
        *zones = Zones { not_remembered: true, asked: std::mem::take(&mut zones.asked), ..Zones::default() };
        drop(zones);
        self
    }

    /// From now on no answer for this name.
    ///
    /// # Panics
    /// Never.
    pub fn silent(&self, owner: &str) -> &Self {
        self.zones.lock().unwrap().silent.insert(key(owner));
        self
    }

    /// No answer about anything, or answers again.
    ///
    /// # Panics
    /// Never.
    pub fn mute(&self, mute: bool) -> &Self {
        self.zones.lock().unwrap().mute = mute;
        self
    }

    /// Forgets all it was told about this name.
    ///
    /// # Panics
    /// Never.
    pub fn forget(&self, owner: &str) -> &Self {
        let mut zones = self.zones.lock().unwrap();
        let owner = key(owner);
        zones.failing.remove(&owner);
        zones.silent.remove(&owner);
        zones.records.retain(|(known, _), _| *known != owner);
        drop(zones);
        self
    }

    /// How often it was asked for this type of this name.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn asked(&self, owner: &str, kind: RecordType) -> usize {
        let asked = (key(owner), kind);
        self.zones.lock().unwrap().asked.iter().filter(|one| **one == asked).count()
    }
}

impl Drop for TestDns {
    fn drop(&mut self) {
        if let Ok(mut zones) = self.zones.lock() {
            zones.stopped = true;
        }
        // Wakes both threads, so that they see the order.
        let _ = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(&[0], self.address));
        let _ = std::net::TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}
