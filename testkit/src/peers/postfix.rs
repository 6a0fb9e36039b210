//! Postfix with a queue and a configuration of its own: takes mail for `postfix.test` into a Maildir, sends all other mail to one port.

use std::net::SocketAddr;
use std::process::Command;

use tempfile::TempDir;

use crate::maildir::Maildir;
use crate::peers::{have, open_folder, root, user};
use crate::program::{Program, run, text};
use crate::wait::{LONG, free_port, loopback};

/// The services of Postfix that mail between the two servers goes through.
const SERVICES: &str = "\
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
relay unix - - n - - smtp
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
proxymap unix - - n - - proxymap
pickup unix n - n 60 1 pickup
postlog unix-dgram n - n - 1 postlogd
";

/// A running Postfix.
pub struct Postfix {
    folder: TempDir,
    port: u16,
    program: Program,
}

impl Postfix {
    /// Whether it can be run here.
    ///
    /// # Errors
    /// What to install.
    pub fn here() -> Result<(), &'static str> {
        have("postfix", "postfix").and_then(|()| root())
    }

    /// Starts it. Mail for other domains goes to `next_hop`.
    ///
    /// # Panics
    /// When it does not start; shows why.
    #[must_use]
    pub fn start(next_hop: SocketAddr) -> Self {
        Self::start_with(next_hop, "")
    }

    /// Starts it with further lines for its `main.cf`.
    ///
    /// # Panics
    /// When it does not start; shows why.
    #[must_use]
    pub fn start_with(next_hop: SocketAddr, settings: &str) -> Self {
        let folder = open_folder();
        let (path, port) = (folder.path(), free_port());
        for part in ["conf", "queue", "data", "mail"] {
            std::fs::create_dir(path.join(part)).expect("a folder");
        }
        let owner = |part: &str, name: &str| {
            let (uid, gid) = user(name).expect("a user of Debian's");
            std::os::unix::fs::chown(path.join(part), Some(uid), Some(gid)).expect("chown");
        };
        owner("data", "postfix");
        owner("mail", "nobody");
        let (nobody, nogroup) = user("nobody").expect("a user of Debian's");
        let main = format!(
            "compatibility_level = 3.6\nmaillog_file = /dev/stdout\nqueue_directory = {path}/queue\ndata_directory = {path}/data\n\
             command_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\nmail_owner = postfix\nsetgid_group = postdrop\n\
             myhostname = postfix.test\nmydestination =\nmynetworks = 127.0.0.0/8\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n\
             disable_dns_lookups = yes\nsmtpd_peername_lookup = no\nsmtp_host_lookup = native\nrelay_domains =\n\
             smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\nvirtual_mailbox_domains = postfix.test\n\
             virtual_mailbox_base = {path}\nvirtual_mailbox_maps = static:mail/\nvirtual_uid_maps = static:{nobody}\n\
             virtual_gid_maps = static:{nogroup}\nvirtual_minimum_uid = 100\nrelayhost = [{}]:{}\nsmtp_tls_security_level = may\n\
             smtpd_tls_security_level = none\nalias_maps =\nlocal_recipient_maps =\nbiff = no\n{settings}\n",
            next_hop.ip(),
            next_hop.port(),
            path = path.display(),
        );
        std::fs::write(path.join("conf/main.cf"), main).expect("main.cf");
        std::fs::write(path.join("conf/master.cf"), format!("{port} inet n - n - - smtpd\n{SERVICES}")).expect("master.cf");
        let mut program = Program::start("postfix", Self::command(&folder).arg("start-fg"));
        program.wait_for_port(loopback(port), LONG);
        Self { folder, port, program }
    }

    fn command(folder: &TempDir) -> Command {
        let mut command = Command::new("/usr/sbin/postfix");
        command.arg("-c").arg(folder.path().join("conf"));
        command
    }

    /// Where it takes mail for everybody.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        loopback(self.port)
    }

    /// All mail for `postfix.test`.
    #[must_use]
    pub fn maildir(&self) -> Maildir {
        Maildir::at(self.folder.path().join("mail"))
    }

    /// Waits for a line in its log.
    ///
    /// # Panics
    /// When it does not come.
    #[must_use]
    pub fn wait_for_log(&self, words: &str) -> String {
        self.program.wait_for_line(0, words, LONG)
    }

    /// Sends a message by its `sendmail`.
    ///
    /// # Panics
    /// When it refuses.
    pub fn sendmail(&self, from: &str, to: &str, message: &str) {
        let mut command = Command::new("/usr/sbin/sendmail");
        let output = run(command.arg("-C").arg(self.folder.path().join("conf")).args(["-f", from, "--", to]), message, LONG);
        assert!(output.status.success(), "{}", text(&output));
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        // Its master leaves the process group of what started it.
        let _ = Self::command(&self.folder).arg("stop").output();
    }
}
