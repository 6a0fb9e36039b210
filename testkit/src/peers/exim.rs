//! Exim with a spool and a configuration of its own: takes mail for `exim.test` into a Maildir, sends all other mail to one port, with
//! BDAT where that is offered.

use std::net::SocketAddr;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::maildir::Maildir;
use crate::peers::private::{View, possible};
use crate::peers::{open_folder, unpacked};
use crate::program::Program;
use crate::wait::{LONG, free_port, loopback, until};

/// Exim's own user; its number is nobody's on this machine.
const USER: (&str, u32) = ("Debian-exim", 64_101);

/// A running Exim.
pub struct Exim {
    _program: Program,
    folder: TempDir,
    port: u16,
}

fn binary() -> PathBuf {
    unpacked().join("usr/sbin/exim4")
}

impl Exim {
    /// Whether it can be run here.
    ///
    /// # Errors
    /// What to install.
    pub fn here() -> Result<(), &'static str> {
        if binary().exists() { possible() } else { Err("exim4-daemon-light: cargo xtask packages") }
    }

    /// Starts it. Mail for other domains goes to `next_hop`.
    ///
    /// # Panics
    /// When it does not start; shows why.
    #[must_use]
    pub fn start(next_hop: SocketAddr) -> Self {
        let folder = open_folder();
        let (path, port) = (folder.path(), free_port());
        for part in ["spool", "log", "mail"] {
            std::fs::create_dir(path.join(part)).expect("a folder");
            std::os::unix::fs::chown(path.join(part), Some(USER.1), Some(USER.1)).expect("chown");
        }
        // Deliveries stay with Exim's own user: with -C it gives up the right to become another.
        let configuration = format!(
            "exim_path = {exim}\nprimary_hostname = exim.test\nspool_directory = {path}/spool\nlog_file_path = {path}/log/%slog\n\
             pid_file_path = {path}/spool/exim.pid\nlocal_interfaces = 127.0.0.1\ndaemon_smtp_ports = {port}\nhost_lookup =\n\
             rfc1413_query_timeout = 0s\nacl_smtp_rcpt = everything\nkeep_environment =\nchunking_advertise_hosts = *\n\
             dsn_advertise_hosts = *\nsmtputf8_advertise_hosts = *\nlog_selector = +smtp_confirmation\n\
             begin acl\neverything:\n  accept\n\
             begin routers\nhere:\n  driver = accept\n  domains = exim.test\n  transport = keep\n\
             onward:\n  driver = manualroute\n  route_list = * {ip}::{next}\n  self = send\n  transport = send\n\
             begin transports\nsend:\n  driver = smtp\n  hosts_try_chunking = *\n\
             keep:\n  driver = appendfile\n  directory = {path}/mail\n  maildir_format\n  create_directory\n  user = {user}\n\
             begin retry\n* * F,1h,1m\n",
            exim = binary().display(),
            path = path.display(),
            ip = next_hop.ip(),
            next = next_hop.port(),
            user = USER.0,
        );
        let file = path.join("exim.conf");
        std::fs::write(&file, configuration).expect("exim.conf");
        let view = View::with_users(path, &[USER]);
        let mut program = Program::start("exim", view.command(&binary()).arg("-C").arg(&file).args(["-bdf", "-q10m"]));
        program.wait_for_port(loopback(port), LONG);
        Self { folder, port, _program: program }
    }

    /// Where it takes mail for everybody.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        loopback(self.port)
    }

    /// All mail for `exim.test`.
    #[must_use]
    pub fn maildir(&self) -> Maildir {
        Maildir::at(self.folder.path().join("mail"))
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        ["mainlog", "rejectlog", "paniclog"]
            .iter()
            .filter_map(|name| std::fs::read_to_string(self.folder.path().join("log").join(name)).ok())
            .collect()
    }

    /// Waits for a line in its log.
    ///
    /// # Panics
    /// When it does not come.
    #[must_use]
    pub fn wait_for_log(&self, words: &str) -> String {
        let what = format!("{words:?} in the log of Exim");
        until(&what, LONG, || self.log().lines().find(|line| line.contains(words)).map(str::to_owned))
    }
}

impl Drop for Exim {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- exim logged:\n{}\n----", self.log());
        }
    }
}
