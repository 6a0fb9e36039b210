//! Pebble, an ACME authority for tests: proves names by asking them, and refuses good requests now and then, so that clients learn to ask again.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::issuer::Authority;
use crate::peers::{allow, open_folder, unpacked};
use crate::program::Program;
use crate::wait::{LONG, free_port, loopback};

/// A running authority.
pub struct Pebble {
    program: Program,
    folder: TempDir,
    port: u16,
}

fn binary() -> PathBuf {
    unpacked().join("usr/bin/pebble")
}

impl Pebble {
    /// Whether it can be run here.
    ///
    /// # Errors
    /// What to install.
    pub fn here() -> Result<(), &'static str> {
        if binary().exists() { Ok(()) } else { Err("pebble: cargo xtask packages") }
    }

    /// Starts it. It asks names at `http`, finds them by `dns`, and gives certificates that last for `seconds`.
    ///
    /// # Panics
    /// When it does not start; shows why.
    #[must_use]
    pub fn start(http: SocketAddr, dns: SocketAddr, seconds: u64) -> Self {
        let folder = open_folder();
        let (path, port) = (folder.path(), free_port());
        Authority::new(path, "ca.pem").write_server(path);
        let configuration = serde_json::json!({ "pebble": {
            "listenAddress": loopback(port).to_string(),
            "managementListenAddress": "",
            "certificate": path.join("server.pem"),
            "privateKey": path.join("server-key.pem"),
            "httpPort": http.port(),
            "tlsPort": 1,
            "certificateValidityPeriod": seconds,
        } });
        let file = path.join("pebble.json");
        std::fs::write(&file, configuration.to_string()).expect("pebble.json");
        let mut command = std::process::Command::new(binary());
        command.arg("-config").arg(&file).arg("-dnsserver").arg(dns.to_string());
        command.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", "10");
        let mut program = Program::start("pebble", &mut command);
        program.wait_for_port(loopback(port), LONG);
        Self { program, folder, port }
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> String {
        format!("https://127.0.0.1:{}/dir", self.port)
    }

    /// Writes the authority of its own certificate into a folder.
    ///
    /// # Panics
    /// When it cannot.
    #[must_use]
    pub fn authority_in(&self, folder: &Path) -> PathBuf {
        let file = folder.join("pebble-ca.pem");
        std::fs::copy(self.folder.path().join("ca.pem"), &file).expect("pebble-ca.pem");
        allow(&file, 0o644);
        file
    }

    /// What it said so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.program.said()
    }
}
