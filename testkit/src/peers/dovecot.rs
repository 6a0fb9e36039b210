//! Dovecot as LMTP server, over TCP and a socket in the file system: takes mail for everybody into Maildirs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::maildir::Maildir;
use crate::peers::{have, open_folder, root, user};
use crate::program::Program;
use crate::wait::{LONG, free_port, loopback};

/// A running Dovecot.
pub struct Dovecot {
    program: Program,
    folder: TempDir,
    port: u16,
}

impl Dovecot {
    /// Whether it can be run here.
    ///
    /// # Errors
    /// What to install.
    pub fn here() -> Result<(), &'static str> {
        have("dovecot", "dovecot-core")?;
        if !std::path::Path::new("/usr/lib/dovecot/lmtp").exists() {
            return Err("dovecot-lmtpd");
        }
        root()
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it does not start; shows why.
    #[must_use]
    pub fn start() -> Self {
        let folder = open_folder();
        let (path, port) = (folder.path(), free_port());
        let (uid, gid) = user("nobody").expect("a user of Debian's");
        for part in ["run", "mail"] {
            std::fs::create_dir(path.join(part)).expect("a folder");
        }
        std::os::unix::fs::chown(path.join("mail"), Some(uid), Some(gid)).expect("chown");
        let configuration = format!(
            "base_dir = {path}/run\nstate_dir = {path}/run\nlog_path = /dev/stderr\nprotocols = lmtp\nssl = no\n\
             mail_location = maildir:~/Maildir\nfirst_valid_uid = 1\npostmaster_address = postmaster@dovecot.test\n\
             hostname = dovecot.test\nmail_fsync = never\n\
             passdb {{\n  driver = static\n  args = nopassword=y\n}}\n\
             userdb {{\n  driver = static\n  args = uid={uid} gid={gid} home={path}/mail/%d/%n allow_all_users=yes\n}}\n\
             service lmtp {{\n  inet_listener lmtp {{\n    address = 127.0.0.1\n    port = {port}\n  }}\n\
             \x20 unix_listener lmtp {{\n    mode = 0666\n  }}\n}}\n\
             service anvil {{\n  chroot =\n}}\n",
            path = path.display(),
        );
        let file = path.join("dovecot.conf");
        std::fs::write(&file, configuration).expect("dovecot.conf");
        let mut program = Program::start("dovecot", Command::new("/usr/sbin/dovecot").args(["-F", "-c"]).arg(&file));
        program.wait_for_port(loopback(port), LONG);
        Self { folder, port, program }
    }

    /// Where it speaks LMTP over TCP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        loopback(self.port)
    }

    /// Where it speaks LMTP over a socket in the file system.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("run/lmtp")
    }

    /// The Maildir of an address.
    ///
    /// # Panics
    /// When the address has no `@`.
    #[must_use]
    pub fn maildir(&self, address: &str) -> Maildir {
        let (local, domain) = address.split_once('@').expect("an address");
        Maildir::at(self.folder.path().join("mail").join(domain).join(local).join("Maildir"))
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
