//! Clients that others have written: `swaks`, `gsasl`, `openssl s_client`, and Python's reader of messages.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::maildir::Message;
use crate::peers::have;
use crate::program::{run, text};
use crate::wait::LONG;

/// Whether `swaks` with TLS is here.
///
/// # Errors
/// What to install.
pub fn have_swaks() -> Result<(), &'static str> {
    have("swaks", "swaks")?;
    let tls = Command::new("perl").args(["-MNet::SSLeay", "-e", "1"]).output().is_ok_and(|output| output.status.success());
    if tls { Ok(()) } else { Err("libnet-ssleay-perl") }
}

/// Runs `swaks` and gives the conversation and whether all went well.
#[must_use]
pub fn swaks(server: SocketAddr, words: &[&str]) -> (bool, String) {
    let mut command = Command::new("swaks");
    command.args(["--server", &server.to_string(), "--timeout", "20", "--helo", "client.example"]).args(words);
    let output = run(&mut command, "", LONG * 2);
    (output.status.success(), text(&output))
}

/// Whether `gsasl` is here.
///
/// # Errors
/// What to install.
pub fn have_gsasl() -> Result<(), &'static str> {
    have("gsasl", "gsasl")
}

/// Logs in to a submission port of `localhost` by `gsasl`, STARTTLS first, trusting a certificate in PEM; gives the conversation and
/// whether it got in.
#[must_use]
pub fn gsasl(server: SocketAddr, trusted: &Path, mechanism: &str, (account, password): (&str, &str)) -> (bool, String) {
    let mut command = Command::new("gsasl");
    command.args(["--smtp", "--starttls", "--verbose", "--mechanism", mechanism]).arg("--x509-ca-file").arg(trusted);
    if !mechanism.ends_with("-PLUS") {
        command.arg("--no-cb");
    }
    command.args(["--authentication-id", account, "--password", password, "localhost"]).arg(server.port().to_string());
    let output = run(&mut command, "", LONG);
    (output.status.success(), text(&output))
}

/// Whether `curl` is here.
///
/// # Errors
/// What to install.
pub fn have_curl() -> Result<(), &'static str> {
    have("curl", "curl")
}

/// Whether `openssl` is here.
///
/// # Errors
/// What to install.
pub fn have_openssl() -> Result<(), &'static str> {
    have("openssl", "openssl")
}

/// Runs `openssl s_client`, with this on its standard input.
#[must_use]
pub fn openssl_s_client(server: SocketAddr, words: &[&str], input: &str) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &server.to_string()]).args(words);
    text(&run(&mut command, input, LONG))
}

/// The system's Python, which has what the system's packages bring; another one that stands before it in the path has not.
pub(crate) fn python() -> Option<PathBuf> {
    ["/usr/bin/python3", "/usr/local/bin/python3"].map(PathBuf::from).into_iter().find(|path| path.exists())
}

/// Whether Python is here.
///
/// # Errors
/// What to install.
pub fn have_python() -> Result<(), &'static str> {
    python().map(|_| ()).ok_or("python3")
}

/// What Python's own reader of mail makes of a message: the type of each part, in order, one a line, and then its complaints.
///
/// # Panics
/// When there is no Python.
#[must_use]
pub fn parts_by_python(message: &Message) -> Vec<String> {
    const READER: &str = "import sys, email, email.policy\n\
        message = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)\n\
        for part in message.walk():\n\
        \x20   print(part.get_content_type())\n\
        \x20   for defect in part.defects: print('defect:', defect)\n";
    let output = run(Command::new(python().expect("python3")).args(["-c", READER]), &message.0, LONG);
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}
