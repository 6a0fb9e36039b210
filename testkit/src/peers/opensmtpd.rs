//! OpenSMTPD with a queue and a configuration of its own: takes mail for everybody and sends all of it to one port.

use std::net::SocketAddr;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::peers::private::{View, possible};
use crate::peers::{allow, open_folder, unpacked};
use crate::program::Program;
use crate::wait::{LONG, free_port, loopback};

/// Its own users; their numbers are nobody's on this machine.
const USERS: &[(&str, u32)] = &[("opensmtpd", 64_102), ("opensmtpq", 64_103)];

/// A running OpenSMTPD.
pub struct OpenSmtpd {
    program: Program,
    _folder: TempDir,
    port: u16,
}

fn binary() -> PathBuf {
    unpacked().join("usr/sbin/smtpd")
}

impl OpenSmtpd {
    /// Whether it can be run here.
    ///
    /// # Errors
    /// What to install.
    pub fn here() -> Result<(), &'static str> {
        if binary().exists() { possible() } else { Err("opensmtpd: cargo xtask packages") }
    }

    /// Starts it. All mail goes to `next_hop`.
    ///
    /// # Panics
    /// When it does not start; shows why.
    #[must_use]
    pub fn start(next_hop: SocketAddr) -> Self {
        let folder = open_folder();
        let (path, port) = (folder.path(), free_port());
        let configuration = format!(
            "listen on 127.0.0.1 port {port} hostname opensmtpd.test\naction \"onward\" relay host smtp://{next_hop}\n\
             match from any for any action \"onward\"\n"
        );
        let file = path.join("smtpd.conf");
        std::fs::write(&file, configuration).expect("smtpd.conf");
        allow(&file, 0o600);
        // A name server that is not there refuses at once, where one that is silent costs five seconds for each client.
        let view = View::with_users(path, USERS)
            .place_text("resolv.conf", "nameserver 127.0.0.1\n", "/etc/resolv.conf")
            .place(&unpacked().join("usr/libexec"), "/usr/libexec")
            .empty("/var/spool", &["smtpd"])
            .empty("/run", &[])
            .empty("/var/lib", &["opensmtpd/empty"]);
        let mut program = Program::start("opensmtpd", view.command(&binary()).arg("-d").arg("-f").arg(&file));
        program.wait_for_port(loopback(port), LONG);
        Self { _folder: folder, port, program }
    }

    /// Where it takes mail for everybody.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        loopback(self.port)
    }

    /// Waits for a line in its log.
    ///
    /// # Panics
    /// When it does not come.
    #[must_use]
    pub fn wait_for_log(&self, words: &str) -> String {
        self.program.wait_for_line(0, words, LONG)
    }
}
