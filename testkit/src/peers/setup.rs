//! A configuration in the making. What a test does not say has limits and intervals that it does not run into.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use crate::dns::TestDns;
use crate::peers::postern::Postern;
use crate::wait::{free_port, loopback};

/// What every test begins with.
const GIVEN: &[(&str, &str, &str)] = &[
    ("server", "hostname", "\"postern.test\""),
    // Without effect unless the test runs as root.
    ("server", "user", "\"nobody\""),
    ("limits", "connections_per_address", "10000"),
    ("limits", "connections_per_network", "10000"),
    ("limits", "connections_per_minute_per_address", "1000000"),
    ("limits", "connections_per_minute_per_network", "1000000"),
    ("limits", "handshakes_per_minute_per_address", "1000000"),
    ("limits", "messages_per_hour", "1000000"),
    ("limits", "recipients_per_hour", "1000000"),
    ("limits", "bytes_per_hour", "\"1TiB\""),
    ("limits", "faults_per_hour", "1000000"),
    ("limits", "recipients_unknown_per_hour", "1000000"),
    ("limits", "idle_commands_per_session", "1000000"),
    ("spool", "segment_size", "\"1MiB\""),
    ("spool", "group_size_max", "\"128KiB\""),
    ("spool", "body_inline_max", "\"16KiB\""),
    ("spool", "free_space_min", "\"1MiB\""),
    ("outbound", "messages_per_hour", "1000000"),
    ("outbound", "recipients_per_day", "1000000"),
    ("outbound.retry", "first", "\"200ms\""),
    ("outbound.retry", "longest", "\"500ms\""),
    ("outbound.lanes", "pause_first", "\"100ms\""),
    ("outbound.lanes", "pause_longest", "\"300ms\""),
    // A name server that is not there: nothing is asked of the world by accident.
    ("dns", "servers", "[\"127.0.0.1:9\"]"),
    ("dns", "timeout", "\"500ms\""),
    // Without a name server nothing is to be found out about a sender.
    ("policy.authenticity", "enabled", "false"),
];

/// The configuration of a server that is not started yet.
#[derive(Clone, Debug)]
pub struct Setup {
    sections: BTreeMap<String, BTreeMap<String, String>>,
    tables: Vec<String>,
    listeners: [u16; 3],
    http: u16,
    mx_keys: String,
}

impl Default for Setup {
    fn default() -> Self {
        let mut setup = Self {
            sections: BTreeMap::new(),
            tables: Vec::new(),
            listeners: [free_port(), free_port(), free_port()],
            http: free_port(),
            mx_keys: String::new(),
        };
        for (section, key, value) in GIVEN {
            setup.set(section, key, value);
        }
        setup.set("http", "bind", &format!("[\"127.0.0.1:{}\"]", setup.http));
        setup
    }
}

impl Setup {
    /// A server for `here.test` with the mailboxes `alice` and `bob`.
    #[must_use]
    pub fn new() -> Self {
        Self::default().domain("here.test", &["alice", "bob"])
    }

    /// A server for no domain.
    #[must_use]
    pub fn without_domains() -> Self {
        Self::default()
    }

    fn set(&mut self, section: &str, key: &str, value: &str) {
        self.sections.entry(section.to_owned()).or_default().insert(key.to_owned(), value.to_owned());
    }

    /// Sets a key, its value as TOML.
    #[must_use]
    pub fn with(mut self, section: &str, key: &str, value: &str) -> Self {
        self.set(section, key, value);
        self
    }

    /// Adds lines as they are, such as a table of its own.
    #[must_use]
    pub fn table(mut self, toml: &str) -> Self {
        self.tables.push(toml.to_owned());
        self
    }

    /// Takes all domains and routes away, for others to be added.
    #[must_use]
    pub fn without_tables(mut self) -> Self {
        self.tables.clear();
        self
    }

    /// Adds a hosted domain with Maildirs for these.
    #[must_use]
    pub fn domain(self, name: &str, recipients: &[&str]) -> Self {
        self.domain_with(name, recipients, "")
    }

    /// Adds a hosted domain with further keys.
    #[must_use]
    pub fn domain_with(self, name: &str, recipients: &[&str], keys: &str) -> Self {
        self.table(&format!("[[domain]]\nname = \"{name}\"\nrecipients = {recipients:?}\n{keys}\n"))
    }

    /// Sends mail for these domains to a port of loopback.
    #[must_use]
    pub fn route(self, to: &[&str], port: u16) -> Self {
        self.route_with(to, port, "")
    }

    /// Sends mail for these domains to a port of loopback, with further keys.
    #[must_use]
    pub fn route_with(self, to: &[&str], port: u16, keys: &str) -> Self {
        self.table(&format!("[[route]]\nto = {to:?}\nhost = \"127.0.0.1\"\nport = {port}\n{keys}\n"))
    }

    /// Asks this name server.
    #[must_use]
    pub fn dns(self, dns: &TestDns) -> Self {
        self.with("dns", "servers", &format!("[\"{}\"]", dns.address()))
    }

    /// Shows a certificate from files, `certificate.pem` and `key.pem` in this folder.
    #[must_use]
    pub fn certificate_in(self, folder: &Path) -> Self {
        let file = |name: &str| format!("{:?}", folder.join(name).display().to_string());
        self.with("tls", "certificate", &file("certificate.pem")).with("tls", "key", &file("key.pem"))
    }

    /// Adds keys to the `mx` listener.
    #[must_use]
    pub fn mx_listener(mut self, keys: &str) -> Self {
        self.mx_keys = keys.to_owned();
        self
    }

    /// Where it will take mail from strangers.
    #[must_use]
    pub fn mx(&self) -> SocketAddr {
        loopback(self.listeners[0])
    }

    pub(crate) fn submission(&self) -> SocketAddr {
        loopback(self.listeners[1])
    }

    pub(crate) fn submissions(&self) -> SocketAddr {
        loopback(self.listeners[2])
    }

    pub(crate) fn http(&self) -> SocketAddr {
        loopback(self.http)
    }

    /// The configuration as a file.
    #[must_use]
    pub fn toml(&self, data_dir: &Path) -> String {
        let mut toml = String::new();
        for (section, keys) in &self.sections {
            let _ = writeln!(toml, "[{section}]");
            for (key, value) in keys {
                let _ = writeln!(toml, "{key} = {value}");
            }
            if section == "server" {
                let _ = writeln!(toml, "data_dir = {:?}", data_dir.display().to_string());
            }
        }
        let listeners = [
            ("mx", self.mx(), self.mx_keys.as_str()),
            ("submission", self.submission(), ""),
            ("submissions", self.submissions(), ""),
        ];
        for (kind, address, keys) in listeners {
            let _ = writeln!(toml, "[[listener]]\nkind = \"{kind}\"\nbind = [\"{address}\"]\n{keys}");
        }
        for table in &self.tables {
            let _ = writeln!(toml, "{table}");
        }
        toml
    }

    /// Writes it into a new folder without starting the server.
    #[must_use]
    pub fn prepare(self) -> Postern {
        Postern::prepare(self)
    }

    /// Starts the server and waits until it listens.
    ///
    /// # Panics
    /// When it does not; shows why.
    #[must_use]
    pub fn start(self) -> Postern {
        let mut postern = self.prepare();
        postern.start();
        postern
    }
}
