//! The real peers that tests and benchmarks talk to, from Debian's packages. Postfix is installed; Exim and OpenSMTPD exclude it as packages,
//! so they are downloaded and unpacked into `target/peers`. Nothing installed is started as a service.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::{Outcome, root, run, run_with};

const INSTALLED: &[(&str, &str)] = &[
    ("swaks", "/usr/bin/swaks"),
    ("libnet-ssleay-perl", "/usr/lib/x86_64-linux-gnu/perl5/5.36/Net/SSLeay.pm"),
    ("gsasl", "/usr/bin/gsasl"),
    ("openssl", "/usr/bin/openssl"),
    ("postfix", "/usr/sbin/postfix"),
    ("dovecot-core", "/usr/sbin/dovecot"),
    ("dovecot-lmtpd", "/usr/lib/dovecot/lmtp"),
    ("iproute2", "/usr/sbin/ip"),
    ("rbldnsd", "/usr/sbin/rbldnsd"),
    ("unbound", "/usr/sbin/unbound"),
    ("nsd", "/usr/sbin/nsd"),
    ("ldnsutils", "/usr/bin/ldns-signzone"),
    ("libxml2-utils", "/usr/bin/xmllint"),
    ("nftables", "/usr/sbin/nft"),
    ("python3", "/usr/bin/python3"),
    ("g++", "/usr/bin/g++"),
    ("rspamd", "/usr/bin/rspamd"),
    ("opendkim", "/usr/sbin/opendkim"),
    ("python3-dkim", "/usr/lib/python3/dist-packages/dkim/__init__.py"),
    ("python3-nacl", "/usr/lib/python3/dist-packages/nacl/__init__.py"),
    ("clamav-daemon", "/usr/sbin/clamd"),
    ("clamav-milter", "/usr/sbin/clamav-milter"),
    ("python3-milter", "/usr/lib/python3/dist-packages/Milter/__init__.py"),
];

/// Package, and a file that shows it was unpacked.
const UNPACKED: &[(&str, &str)] = &[
    // The light daemon speaks TLS and BDAT like the heavy one, without the libraries of databases that no test asks.
    ("exim4-daemon-light", "usr/sbin/exim4"),
    ("opensmtpd", "usr/sbin/smtpd"),
    ("pebble", "usr/bin/pebble"),
];

/// Libraries that the unpacked programs need and nothing else brings.
const LIBRARIES: &[(&str, &str)] = &[
    ("libevent-2.1-7", "/usr/lib/x86_64-linux-gnu/libevent-2.1.so.7"),
    ("libgnutls-dane0", "/usr/lib/x86_64-linux-gnu/libgnutls-dane.so.0"),
    ("libidn12", "/usr/lib/x86_64-linux-gnu/libidn.so.12"),
    ("libnsl2", "/usr/lib/x86_64-linux-gnu/libnsl.so.2"),
    ("libdb5.3", "/usr/lib/x86_64-linux-gnu/libdb-5.3.so"),
];

fn missing() -> Vec<&'static str> {
    INSTALLED
        .iter()
        .chain(LIBRARIES)
        .filter(|(package, file)| !Path::new(file).exists() && !is_installed(package))
        .map(|(package, _)| *package)
        .collect()
}

fn is_installed(package: &str) -> bool {
    Command::new("dpkg-query")
        .args(["-W", "-f", "${db:Status-Status}", package])
        .output()
        .is_ok_and(|output| output.stdout == b"installed")
}

fn may_install() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
        && Path::new("/usr/bin/apt-get").exists()
}

/// Keeps Debian from starting what it installs, for as long as this value lives.
struct NoServices {
    made: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    fn begin() -> Self {
        let made = !Path::new(POLICY).exists()
            && fs::write(POLICY, "#!/bin/sh\nexit 101\n").is_ok()
            && fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755)).is_ok();
        Self { made }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.made {
            let _ = fs::remove_file(POLICY);
        }
    }
}

/// Installs what is missing. Without root or apt it only says what tests will skip.
pub(crate) fn install() -> Outcome {
    let missing = missing();
    let peers = root().join("target/peers");
    let unpack: Vec<_> = UNPACKED.iter().filter(|(_, file)| !peers.join(file).exists()).map(|(package, _)| *package).collect();
    if missing.is_empty() && unpack.is_empty() {
        return Ok(());
    }
    if !may_install() {
        eprintln!("not root, or no apt-get: tests that need {} will be skipped", [missing, unpack].concat().join(", "));
        return Ok(());
    }
    let quiet = [("DEBIAN_FRONTEND", "noninteractive")];
    let _guard = NoServices::begin();
    run_with("apt-get", &["update", "-q"], &quiet)?;
    if !missing.is_empty() {
        run_with("apt-get", &[&["install", "-q", "-y", "--no-install-recommends"], missing.as_slice()].concat(), &quiet)?;
    }
    if !unpack.is_empty() {
        let downloads = peers.join("deb");
        fs::create_dir_all(&downloads).map_err(|error| format!("{}: {error}", downloads.display()))?;
        for package in unpack {
            let status = Command::new("apt-get")
                .args(["download", "-q", package])
                .current_dir(&downloads)
                .status()
                .map_err(|error| format!("apt-get: {error}"))?;
            if !status.success() {
                return Err(format!("apt-get download {package}: {status}"));
            }
        }
        let entries = fs::read_dir(&downloads).map_err(|error| error.to_string())?;
        for entry in entries.flatten() {
            run("dpkg", &["-x", &entry.path().to_string_lossy(), &peers.to_string_lossy()])?;
        }
    }
    Ok(())
}
