//! Keys, and what others make of signatures: dkimpy, and `OpenDKIM` as a milter that verifies.

use std::net::SocketAddr;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::peers::filters::Filter;
use crate::peers::{have, open_folder, workspace};
use crate::program::{run, text};
use crate::wait::{LONG, free_port};

const PYTHON: &str = "/usr/bin/python3";

/// A key of a domain.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its private half: PKCS #8 in PEM.
    pub pem: String,
    /// The same as dkimpy takes it.
    pub of_dkimpy: String,
    /// Its name in a signature.
    pub algorithm: &'static str,
    /// What the domain publishes.
    pub record: String,
}

fn openssl(words: &[&str], input: &str) -> Vec<u8> {
    let output = run(Command::new("openssl").args(words), input, LONG);
    assert!(output.status.success(), "{}", text(&output));
    output.stdout
}

/// The last octets of an Ed25519 key in DER are the key itself.
fn last_32(der: &[u8]) -> String {
    STANDARD.encode(&der[der.len() - 32..])
}

impl Key {
    /// RSA with so many bits.
    ///
    /// # Panics
    /// Without `openssl`.
    #[must_use]
    pub fn rsa(bits: u32) -> Self {
        let words = ["genpkey", "-algorithm", "RSA", "-pkeyopt", &format!("rsa_keygen_bits:{bits}")];
        let pem = String::from_utf8(openssl(&words, "")).expect("PEM");
        let public = openssl(&["pkey", "-pubout", "-outform", "DER"], &pem);
        let of_dkimpy = String::from_utf8(openssl(&["pkey", "-traditional"], &pem)).expect("PEM");
        Self { pem, of_dkimpy, algorithm: "rsa-sha256", record: format!("v=DKIM1; k=rsa; p={}", STANDARD.encode(public)) }
    }

    /// Ed25519 (RFC 8463).
    ///
    /// # Panics
    /// Without `openssl`.
    #[must_use]
    pub fn ed25519() -> Self {
        let pem = String::from_utf8(openssl(&["genpkey", "-algorithm", "ed25519"], "")).expect("PEM");
        let of_dkimpy = last_32(&openssl(&["pkey", "-outform", "DER"], &pem));
        let public = last_32(&openssl(&["pkey", "-pubout", "-outform", "DER"], &pem));
        Self { pem, of_dkimpy, algorithm: "ed25519-sha256", record: format!("v=DKIM1; k=ed25519; p={public}") }
    }
}

/// Whether dkimpy and `OpenDKIM` are here.
///
/// # Errors
/// What to install.
pub fn here() -> Result<(), &'static str> {
    have("openssl", "openssl").and(have("opendkim", "opendkim"))?;
    let there = Command::new(PYTHON).args(["-c", "import dkim, dns.resolver, nacl"]).output();
    if there.is_ok_and(|output| output.status.success()) { Ok(()) } else { Err("python3-dkim python3-nacl") }
}

/// Has dkimpy answer these, with this name server.
///
/// # Panics
/// When it fails.
#[must_use]
pub fn dkimpy(dns: SocketAddr, asked: &[Value]) -> Vec<Value> {
    let input: String = asked.iter().map(|ask| format!("{ask}\n")).collect();
    let mut command = Command::new(PYTHON);
    command.arg(workspace().join("testkit/src/peers/dkimpy.py")).arg(dns.port().to_string());
    let output = run(&mut command, &input, LONG);
    assert!(output.status.success(), "{}", text(&output));
    let answers: Vec<Value> =
        String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(answers.len(), asked.len(), "{}", text(&output));
    answers
}

/// `OpenDKIM`, which verifies by these keys and says so as `opendkim.test`.
///
/// # Panics
/// When it does not start.
#[must_use]
pub fn opendkim_verifying(keys: &[(String, String)]) -> Filter {
    let (folder, port) = (open_folder(), free_port());
    let path = folder.path();
    let lines: String = keys.iter().map(|(name, record)| format!("{name} {record}\n")).collect();
    std::fs::write(path.join("keys"), lines).expect("a file");
    let settings = format!(
        "Socket inet:{port}@127.0.0.1\nSyslog no\nTestPublicKeys {}\nAuthservID opendkim.test\nMode v\nOn-Default accept\nAlwaysAddARHeader yes\n",
        path.join("keys").display(),
    );
    let conf = path.join("opendkim.conf");
    std::fs::write(&conf, settings).expect("a file");
    let mut command = Command::new("/usr/sbin/opendkim");
    command.arg("-f").arg("-x").arg(&conf);
    Filter::start("opendkim", &mut command, folder, (port, None))
}
