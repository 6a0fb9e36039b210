//! Real filters, each in a folder of its own and on a port of loopback.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::peers::tools::python;
use crate::peers::{have, open_folder, workspace};
use crate::program::Program;
use crate::wait::{LONG, free_port, loopback};

/// What rspamd takes for spam beyond doubt.
pub const GTUBE: &str = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";

/// A running filter.
pub struct Filter {
    program: Program,
    folder: TempDir,
    /// Where it listens, as a milter where it is one.
    pub port: u16,
    /// Where it listens for HTTP.
    pub http: Option<u16>,
}

impl Filter {
    pub(crate) fn start(name: &str, command: &mut Command, folder: TempDir, (port, http): (u16, Option<u16>)) -> Self {
        let mut program = Program::start(name, command);
        for port in http.into_iter().chain([port]) {
            program.wait_for_port(loopback(port), LONG);
        }
        Self { program, folder, port, http }
    }

    /// What it has written.
    #[must_use]
    pub fn said(&self) -> String {
        self.program.said()
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.program.kill();
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }
}

/// Whether milters can be written in Python.
///
/// # Errors
/// What to install.
pub fn pymilter() -> Result<(), &'static str> {
    let has_it = |python| Command::new(python).args(["-c", "import Milter"]).output().is_ok_and(|output| output.status.success());
    let there = python().is_some_and(has_it);
    if there { Ok(()) } else { Err("python3-milter") }
}

/// A milter that does what the Subject says.
#[must_use]
pub fn every_action() -> Filter {
    let port = free_port();
    let mut command = Command::new(python().expect("python3"));
    command.arg(workspace().join("testkit/src/peers/every_action.py")).arg(format!("inet:{port}@127.0.0.1"));
    Filter::start("every_action.py", &mut command, open_folder(), (port, None))
}

/// Whether `OpenDKIM` is here.
///
/// # Errors
/// What to install.
pub fn opendkim_here() -> Result<(), &'static str> {
    have("opendkim", "opendkim").and(have("openssl", "openssl"))
}

/// `OpenDKIM`, which signs what an account of `there.example` sends and verifies the rest by the same key.
///
/// # Panics
/// When it does not start.
#[must_use]
pub fn opendkim() -> Filter {
    let (folder, port) = (open_folder(), free_port());
    let path = folder.path();
    let key = path.join("key.pem");
    let openssl = |words: &[&str]| {
        let output = Command::new("openssl").args(words).arg(&key).output().expect("openssl");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    openssl(&["genrsa", "-out"]);
    let public: String = openssl(&["rsa", "-pubout", "-in"]).lines().filter(|line| !line.starts_with('-')).collect();
    std::fs::write(path.join("keys"), format!("s._domainkey.there.example v=DKIM1; k=rsa; p={public}\n")).expect("a file");
    let settings = format!(
        "Socket inet:{port}@127.0.0.1\nSyslog no\nRequireSafeKeys no\nTestPublicKeys {}\nAuthservID mx.here.example\nMode sv\n\
         Domain there.example\nSelector s\nKeyFile {}\nCanonicalization relaxed/simple\nInternalHosts 192.0.2.250\nAlwaysAddARHeader yes\n",
        path.join("keys").display(),
        key.display()
    );
    let conf = path.join("opendkim.conf");
    std::fs::write(&conf, settings).expect("a file");
    let mut command = Command::new("/usr/sbin/opendkim");
    command.arg("-f").arg("-x").arg(&conf);
    Filter::start("opendkim", &mut command, folder, (port, None))
}

/// rspamd that asks nobody: a normal worker with HTTP, and its proxy as a milter.
///
/// # Panics
/// When it does not start.
#[must_use]
pub fn rspamd() -> Filter {
    let (folder, http, milter) = (open_folder(), free_port(), free_port());
    let path = folder.path();
    let text = format!(
        r#"options {{
  pidfile = "{dir}/rspamd.pid"; tempdir = "{dir}"; filters = "regexp";
  dns {{ nameserver = ["127.0.0.1:9"]; timeout = 0.1s; retransmits = 1; }}
  gtube_patterns = "all"; url_tld = "{dir}/tld"; disable_hyperscan = true;
}}
logging {{ type = "console"; level = "warning"; }}
actions {{ reject = 15; add_header = 6; }}
metric {{ name = "default"; }}
lua = "/usr/share/rspamd/rules/rspamd.lua";
modules {{ path = "/usr/share/rspamd/plugins/milter_headers.lua"; }}
milter_headers {{ use = ["x-spamd-result"]; skip_local = false; skip_authenticated = false; extended_spam_headers = true; }}
worker "normal" {{ bind_socket = "127.0.0.1:{http}"; count = 1; }}
worker "rspamd_proxy" {{ bind_socket = "127.0.0.1:{milter}"; count = 1; milter = yes; timeout = 10s;
  upstream "local" {{ default = yes; hosts = "127.0.0.1:{http}"; }} }}
"#,
        dir = path.display()
    );
    // The long list of suffixes would be compiled for half a minute.
    std::fs::write(path.join("tld"), "example\ntest\n").expect("a file");
    std::fs::write(path.join("rspamd.conf"), text).expect("a file");
    let mut command = Command::new("/usr/bin/rspamd");
    command.args(["-f", "--insecure", "-c"]).arg(path.join("rspamd.conf"));
    Filter::start("rspamd", &mut command, folder, (milter, Some(http)))
}
