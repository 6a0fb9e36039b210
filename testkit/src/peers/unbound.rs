//! unbound as the resolver between the server under test and lists on loopback.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;

use tempfile::TempDir;

use crate::peers::{allow, have, open_folder};
use crate::program::Program;
use crate::wait::{LONG, free_port, loopback};

/// A running unbound.
pub struct Unbound {
    _program: Program,
    _folder: TempDir,
    port: u16,
}

impl Unbound {
    /// Whether it is here.
    ///
    /// # Errors
    /// What to install.
    pub fn here() -> Result<(), &'static str> {
        have("unbound", "unbound")
    }

    /// Starts it. Each zone is asked for at its own name server; of anything else it knows nothing.
    ///
    /// # Panics
    /// When it does not start; shows why.
    #[must_use]
    pub fn start(zones: &[(&str, SocketAddr)]) -> Self {
        let (folder, port) = (open_folder(), free_port());
        let mut text = format!(
            "server:\n interface: 127.0.0.1\n port: {port}\n do-daemonize: no\n use-syslog: no\n logfile: \"\"\n username: \"\"\n chroot: \"\"\n \
             directory: \"{}\"\n pidfile: \"\"\n module-config: \"iterator\"\n do-not-query-localhost: no\n do-ip6: no\n verbosity: 1\n \
             num-threads: 1\n local-zone: \"test.\" nodefault\n local-zone: \".\" static\nremote-control:\n control-enable: no\n",
            folder.path().display()
        );
        for (zone, _) in zones {
            text = text
                .replace("local-zone: \".\" static", &format!("local-zone: \"{zone}\" transparent\n local-zone: \".\" static"));
        }
        for (zone, server) in zones {
            let _ = write!(text, "stub-zone:\n name: \"{zone}\"\n stub-addr: {}@{}\n", server.ip(), server.port());
        }
        let file = folder.path().join("unbound.conf");
        std::fs::write(&file, text).expect("a configuration");
        allow(&file, 0o644);
        let program = Program::start("unbound", Command::new("/usr/sbin/unbound").args(["-d", "-c"]).arg(&file));
        let _ = program.wait_for_line(0, "start of service", LONG);
        Self { _program: program, _folder: folder, port }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        loopback(self.port)
    }
}
