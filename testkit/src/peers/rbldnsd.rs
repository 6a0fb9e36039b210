//! rbldnsd with zones of its own, and questions to it.

use std::net::{IpAddr, UdpSocket};
use std::process::Command;

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use tempfile::TempDir;

use crate::peers::{allow, have, open_folder};
use crate::program::Program;
use crate::wait::{LONG, free_port, loopback, until};

/// A running rbldnsd.
pub struct Rbldnsd {
    _program: Program,
    _folder: TempDir,
    port: u16,
}

/// The zone's name.
const ZONE: &str = "bl.test";

impl Rbldnsd {
    /// Whether it is here.
    ///
    /// # Errors
    /// What to install.
    pub fn here() -> Result<(), &'static str> {
        have("rbldnsd", "rbldnsd")
    }

    /// Starts it with a zone of this type: `ip4set`, `ip4trie`, `ip6trie`, `dnset`.
    ///
    /// # Panics
    /// When it does not start, or does not like the zone; shows why.
    #[must_use]
    pub fn start(kind: &str, zone: &str) -> Self {
        Self::start_with(&[(ZONE, kind, zone)])
    }

    /// Starts it with zones: their names, types and contents.
    ///
    /// # Panics
    /// When it does not start, or does not like a zone; shows why.
    #[must_use]
    pub fn start_with(zones: &[(&str, &str, &str)]) -> Self {
        let (folder, port) = (open_folder(), free_port());
        for (name, _, contents) in zones {
            let file = folder.path().join(name);
            std::fs::write(&file, contents).expect("a zone");
            allow(&file, 0o644);
        }
        let mut command = Command::new("/usr/sbin/rbldnsd");
        command.args(["-n", "-f", "-r"]).arg(folder.path()).args(["-b", &format!("127.0.0.1/{port}")]);
        if crate::program::is_root() {
            command.args(["-u", "nobody"]);
        }
        let program =
            Program::start("rbldnsd", command.args(zones.iter().map(|(name, kind, _)| format!("{name}:{kind}:{name}"))));
        let rbldnsd = Self { _program: program, _folder: folder, port };
        // It answers a question about any other zone as well, with a refusal.
        until("rbldnsd to answer", LONG, || rbldnsd.try_ask("2.0.0.127", RecordType::A).map(drop));
        let said = rbldnsd._program.said();
        assert!(!said.contains("invalid") && !said.contains("warning"), "{said}");
        rbldnsd
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> std::net::SocketAddr {
        loopback(self.port)
    }

    fn try_ask(&self, reversed: &str, kind: RecordType) -> Option<Vec<String>> {
        let socket = UdpSocket::bind("127.0.0.1:0").ok()?;
        let mut query = Message::new(7, MessageType::Query, OpCode::Query);
        query.add_query(Query::query(Name::from_ascii(format!("{reversed}.{ZONE}.")).ok()?, kind));
        socket.connect(loopback(self.port)).ok()?;
        socket.send(&query.to_vec().ok()?).ok()?;
        socket.set_read_timeout(Some(std::time::Duration::from_secs(1))).ok()?;
        let mut buffer = [0; 2048];
        let length = socket.recv(&mut buffer).ok()?;
        let answer = Message::from_vec(&buffer[..length]).ok()?;
        Some(
            answer
                .answers
                .iter()
                .map(|record| match &record.data {
                    RData::A(address) => address.to_string(),
                    RData::TXT(text) => text.to_string(),
                    other => other.to_string(),
                })
                .collect(),
        )
    }

    fn ask(&self, address: &str, kind: RecordType) -> Vec<String> {
        let reversed = match address.parse().expect("an address") {
            IpAddr::V4(v4) => {
                let [a, b, c, d] = v4.octets();
                format!("{d}.{c}.{b}.{a}")
            }
            IpAddr::V6(v6) => {
                let digits = format!("{:032x}", u128::from(v6));
                digits.chars().rev().map(String::from).collect::<Vec<_>>().join(".")
            }
        };
        until("an answer of rbldnsd", LONG, || self.try_ask(&reversed, kind))
    }

    /// What it says of an address: its A record, if it is listed.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn listed(&self, address: &str) -> Option<String> {
        self.ask(address, RecordType::A).pop()
    }

    /// What it says of a name: its A record, if it is listed.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn name_listed(&self, name: &str) -> Option<String> {
        until("an answer of rbldnsd", LONG, || self.try_ask(name, RecordType::A)).pop()
    }

    /// Its reason for a name.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn name_reason(&self, name: &str) -> Option<String> {
        until("an answer of rbldnsd", LONG, || self.try_ask(name, RecordType::TXT)).pop()
    }

    /// Its reason for an address.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn reason(&self, address: &str) -> Option<String> {
        self.ask(address, RecordType::TXT).pop()
    }
}
