//! nsd with zones that are signed, unsigned or tampered with, and unbound before it, which validates.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::peers::{allow, have, open_folder};
use crate::program::{self, Program};
use crate::wait::{LONG, free_port, loopback};

/// A zone: its name, its records in the master file's writing, and what is done to it.
pub struct Zone {
    /// Its name.
    pub name: &'static str,
    /// All but SOA and NS.
    pub records: String,
    /// How it is signed.
    pub signed: Signed,
}

/// How a zone is signed.
pub enum Signed {
    /// The resolver has its key.
    Well,
    /// Not at all.
    Not,
    /// The resolver has its key, and this text of it was replaced by that one afterwards.
    ThenChanged(String, String),
}

/// Both, running.
pub struct SignedDns {
    nsd: Program,
    unbound: Program,
    _folder: TempDir,
    port: u16,
}

fn tool(folder: &Path, program: &str, words: &[&str]) -> String {
    let output = program::run(Command::new(program).current_dir(folder).args(words), "", LONG);
    assert!(output.status.success(), "{program} {words:?}: {}", program::text(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl SignedDns {
    /// Whether all of it is here.
    ///
    /// # Errors
    /// What to install.
    pub fn here() -> Result<(), &'static str> {
        have("nsd", "nsd")?;
        have("ldns-signzone", "ldnsutils")?;
        have("unbound", "unbound")
    }

    /// Signs the zones and starts both.
    ///
    /// # Panics
    /// When a zone does not read or a program does not start; shows why.
    #[must_use]
    pub fn start(zones: &[Zone]) -> Self {
        let folder = open_folder();
        let (inner, port) = (free_port(), free_port());
        let path = folder.path().display();
        let mut nsd = format!(
            "server:\n ip-address: 127.0.0.1@{inner}\n username: \"\"\n chroot: \"\"\n zonesdir: \"{path}\"\n pidfile: \"\"\n \
             xfrdfile: \"{path}/xfrd\"\n xfrdir: \"{path}\"\n zonelistfile: \"{path}/list\"\n server-count: 1\n verbosity: 1\n\
             remote-control:\n control-enable: no\n"
        );
        let mut unbound = format!(
            "server:\n interface: 127.0.0.1\n port: {port}\n do-daemonize: no\n use-syslog: no\n logfile: \"\"\n username: \"\"\n chroot: \"\"\n \
             directory: \"{path}\"\n pidfile: \"\"\n module-config: \"validator iterator\"\n do-not-query-localhost: no\n do-ip6: no\n \
             num-threads: 1\n val-log-level: 2\n local-zone: \"test.\" nodefault\n"
        );
        let mut stubs = String::new();
        for Zone { name, records, signed } in zones {
            let file = format!("{name}.zone");
            let text = format!("$ORIGIN {name}.\n$TTL 60\n@ SOA ns root 1 60 60 3600 1\n@ NS ns\nns A 127.0.0.1\n{records}\n");
            std::fs::write(folder.path().join(&file), text).expect("a zone");
            let served = if matches!(signed, Signed::Not) {
                file
            } else {
                let key = tool(folder.path(), "ldns-keygen", &["-a", "ECDSAP256SHA256", "-k", name]);
                tool(folder.path(), "ldns-signzone", &["-f", &format!("{file}.signed"), &file, &key]);
                let _ = writeln!(unbound, " trust-anchor-file: \"{path}/{key}.ds\"");
                format!("{file}.signed")
            };
            if let Signed::ThenChanged(from, to) = signed {
                let whole = std::fs::read_to_string(folder.path().join(&served)).expect("a signed zone");
                assert!(whole.contains(from), "{from:?} is not in it:\n{whole}");
                std::fs::write(folder.path().join(&served), whole.replace(from, to)).expect("a zone");
            }
            let _ = write!(nsd, "zone:\n name: \"{name}\"\n zonefile: \"{served}\"\n");
            let _ = write!(stubs, "stub-zone:\n name: \"{name}\"\n stub-addr: 127.0.0.1@{inner}\n");
        }
        let _ = write!(unbound, "remote-control:\n control-enable: no\n{stubs}");
        for (name, text) in [("nsd.conf", nsd), ("unbound.conf", unbound)] {
            std::fs::write(folder.path().join(name), text).expect("a configuration");
            allow(&folder.path().join(name), 0o644);
        }
        let start = |program: &str, words: &[&str]| {
            Program::start(program, Command::new(format!("/usr/sbin/{program}")).current_dir(folder.path()).args(words))
        };
        let mut nsd = start("nsd", &["-d", "-c", "nsd.conf"]);
        nsd.wait_for_port(loopback(inner), LONG);
        let unbound = start("unbound", &["-d", "-c", "unbound.conf"]);
        let _ = unbound.wait_for_line(0, "start of service", LONG);
        Self { nsd, unbound, _folder: folder, port }
    }

    /// Where the resolver listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        loopback(self.port)
    }

    /// What both have said, for a test that has failed.
    #[must_use]
    pub fn said(&self) -> String {
        format!("{}\n{}", self.nsd.said(), self.unbound.said())
    }
}

/// The record `3 1 1` of a certificate, as OpenSSL makes it.
///
/// # Panics
/// When OpenSSL cannot read it.
#[must_use]
pub fn tlsa_3_1_1(certificate: &[u8]) -> String {
    let folder = open_folder();
    std::fs::write(folder.path().join("certificate.der"), certificate).expect("a certificate");
    tool(folder.path(), "openssl", &["x509", "-inform", "der", "-in", "certificate.der", "-noout", "-pubkey", "-out", "key.pem"]);
    tool(folder.path(), "openssl", &["pkey", "-pubin", "-in", "key.pem", "-outform", "der", "-out", "key.der"]);
    let digest = tool(folder.path(), "openssl", &["dgst", "-sha256", "-r", "key.der"]);
    format!("3 1 1 {}", digest.split_whitespace().next().unwrap_or_default())
}
