//! Starts and stops the servers that are compared, each with its data in a folder of its own on the same disk.
//!
//! Promise: only processes started here are ended, by their number; folders are removed when a server is dropped.

use std::fs;
use std::io::Write as _;
use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::load::now;
use crate::machine;
use crate::{dovecot, postern, postfix};

/// How long a server may take to greet, and to end.
const START_MAX: Duration = Duration::from_secs(180);
const STOP_MAX: Duration = Duration::from_secs(60);
/// Between two looks whether it has.
const LOOK: Duration = Duration::from_millis(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Postern,
    Postfix,
    /// Postfix that puts everything into its hold queue.
    PostfixHold,
    Sink,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Postern, Self::Postfix, Self::PostfixHold, Self::Sink];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Postern => "postern",
            Self::Postfix => "Postfix",
            Self::PostfixHold => "Postfix, hold queue",
            Self::Sink => "sink",
        }
    }
}

/// How a server is set up; what is not said here is its default, but for limits on clients, since all load comes from few addresses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    /// Where it relays to. Without one, it keeps what it takes.
    pub(crate) next_hop: Option<SocketAddr>,
    pub(crate) tls: bool,
    /// Clients are strangers, limits are the defaults, Postfix has postscreen before it; a second port takes mail from these accounts, after
    /// STARTTLS and a password. With `tls`.
    pub(crate) accounts: Vec<String>,
    /// Clients are strangers, and lists are asked about them. Without, nothing is asked in the DNS.
    pub(crate) lists: Option<Lists>,
}

/// Where lists are asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lists {
    pub(crate) resolver: SocketAddr,
    /// One of them never answers.
    pub(crate) with_silent: bool,
}

/// Where the programs are and where data may be put.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) postern: PathBuf,
    /// This program, which is the sink too.
    pub(crate) bench: PathBuf,
    pub(crate) folder: PathBuf,
}

/// A server that runs.
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    /// Where accounts log in, with [`Setup::accounts`].
    pub(crate) submission: SocketAddr,
    /// The process all others descend from.
    pub(crate) root: u32,
    pub(crate) folder: PathBuf,
    child: Child,
    /// What the server asks whether a password is right.
    helper: Option<Child>,
    /// From start to greeting.
    pub(crate) ready_after: Duration,
    command: (PathBuf, Vec<String>),
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A certificate and its key for `localhost`, ECDSA P-256, in PEM.
pub(crate) fn certificate(folder: &Path) -> io::Result<(PathBuf, PathBuf)> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).map_err(io::Error::other)?;
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    fs::write(&certificate, made.cert.pem())?;
    fs::write(&key, made.signing_key.serialize_pem())?;
    Ok((certificate, key))
}

fn greets(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else { return false };
    let mut greeting = [0; 3];
    // A server may take the connection long before it is ready to greet, which is what is waited for.
    stream.set_read_timeout(Some(START_MAX)).is_ok() && stream.read_exact(&mut greeting).is_ok() && &greeting == b"220"
}

fn spawn(program: &Path, arguments: &[String], folder: &Path) -> Result<Child, String> {
    let log = fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).map_err(|error| error.to_string())?;
    let error_log = log.try_clone().map_err(|error| error.to_string())?;
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(error_log)
        .spawn()
        .map_err(|error| format!("{}: {error}", program.display()))
}

/// Started before Postfix, which looks for its socket.
fn start_dovecot(folder: &Path, accounts: &[String]) -> Result<Child, String> {
    let config = dovecot::configure(folder, accounts).map_err(|error| format!("{}: {error}", folder.display()))?;
    let arguments = ["-F".to_owned(), "-c".to_owned(), config.display().to_string()];
    let mut child = spawn(&dovecot::program()?, &arguments, folder)?;
    let began = now();
    while !dovecot::socket(folder).exists() {
        if began.elapsed() > STOP_MAX || !matches!(child.try_wait(), Ok(None)) {
            end_helper(&mut child);
            let log = fs::read_to_string(folder.join("dovecot/log")).unwrap_or_default();
            return Err(format!("Dovecot did not start; its log:\n{log}"));
        }
        std::thread::sleep(LOOK);
    }
    Ok(child)
}

fn end_helper(helper: &mut Child) {
    let tree = machine::tree(helper.id());
    signal(helper.id(), Signal::TERM);
    let began = now();
    while matches!(helper.try_wait(), Ok(None)) {
        if began.elapsed() > STOP_MAX {
            tree.iter().for_each(|pid| signal(*pid, Signal::KILL));
            let _ = helper.wait();
            break;
        }
        std::thread::sleep(LOOK);
    }
}

impl Server {
    pub(crate) fn start(kind: Kind, site: &Site, setup: &Setup) -> Result<Self, String> {
        let port = free_port().map_err(|error| error.to_string())?;
        let submission_port = free_port().map_err(|error| error.to_string())?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let submission = SocketAddr::from(([127, 0, 0, 1], submission_port));
        let folder = site.folder.join(format!("{kind:?}-{port}").to_lowercase());
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let text = |error: io::Error| format!("{}: {error}", folder.display());
        let mut helper = None;
        let command = match kind {
            Kind::Postern => {
                let config = postern::configure(&folder, port, submission_port, setup).map_err(text)?;
                (site.postern.clone(), vec!["serve".to_owned(), "--config".to_owned(), config.display().to_string()])
            }
            Kind::Postfix | Kind::PostfixHold => {
                let config =
                    postfix::configure(&folder, port, submission_port, setup, kind == Kind::PostfixHold).map_err(text)?;
                if !setup.accounts.is_empty() {
                    helper = Some(start_dovecot(&folder, &setup.accounts)?);
                }
                postfix::command(&config, setup)?
            }
            Kind::Sink => {
                let mut arguments = vec!["sink".to_owned(), "--listen".to_owned(), address.to_string(), "--seconds".to_owned()];
                arguments.push("86400".to_owned());
                arguments.extend(setup.tls.then(|| "--starttls".to_owned()));
                (site.bench.clone(), arguments)
            }
        };
        let child = spawn(&command.0, &command.1, &folder)?;
        let root = child.id();
        let mut server = Self { kind, address, submission, root, folder, child, helper, ready_after: Duration::ZERO, command };
        server.wait_until_ready()?;
        if kind == Kind::Postern {
            for account in &setup.accounts {
                server.order(&["account", "add", account, "--password-stdin"], &format!("{}\n", dovecot::PASSWORD))?;
            }
        }
        Ok(server)
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let began = now();
        loop {
            if greets(self.address) {
                break;
            }
            let ended = self.child.try_wait().map_err(|error| error.to_string())?;
            if ended.is_some() || began.elapsed() > START_MAX {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(10).collect();
                let tail: Vec<&str> = tail.into_iter().rev().collect();
                return Err(format!("{} did not start; the end of its log:\n{}", self.kind.name(), tail.join("\n")));
            }
            std::thread::sleep(LOOK);
        }
        self.ready_after = began.elapsed();
        self.root = match self.kind {
            Kind::Postfix | Kind::PostfixHold => postfix::master(&self.folder).unwrap_or(self.child.id()),
            _ => self.child.id(),
        };
        Ok(())
    }

    /// The processes that all of the server's descend from.
    pub(crate) fn roots(&self) -> Vec<u32> {
        [self.root].into_iter().chain(self.helper.as_ref().map(Child::id)).collect()
    }

    /// Runs postern's command line beside its server.
    pub(crate) fn run(&self, words: &[&str], input: &str) -> Result<Output, String> {
        let (program, arguments) = &self.command;
        let trouble = |error: io::Error| format!("{}: {error}", program.display());
        let mut child = Command::new(program)
            .args(words)
            .args(arguments.get(1..).unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(trouble)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that reads nothing may have ended; what it says is what counts.
            let _ = stdin.write_all(input.as_bytes());
        }
        child.wait_with_output().map_err(trouble)
    }

    /// The same on the first core only, without input.
    pub(crate) fn run_pinned(&self, words: &[&str]) -> Result<Output, String> {
        let (program, arguments) = &self.command;
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(program).args(words).args(arguments.get(1..).unwrap_or_default());
        command.output().map_err(|error| format!("taskset: {error}"))
    }

    /// The same, for a command that must succeed.
    fn order(&self, words: &[&str], input: &str) -> Result<(), String> {
        let output = self.run(words, input)?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("postern {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
    }

    /// Ends it in order, and waits until it has ended.
    pub(crate) fn stop(&mut self) {
        let tree = machine::tree(self.root);
        signal(self.root, Signal::TERM);
        let began = now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if began.elapsed() > STOP_MAX {
                tree.iter().for_each(|pid| signal(*pid, Signal::KILL));
                let _ = self.child.kill();
                let _ = self.child.wait();
                break;
            }
            std::thread::sleep(LOOK);
        }
        if let Some(mut helper) = self.helper.take() {
            end_helper(&mut helper);
        }
    }

    /// Starts it again with the same data.
    pub(crate) fn start_again(&mut self) -> Result<(), String> {
        self.child = spawn(&self.command.0, &self.command.1, &self.folder)?;
        self.wait_until_ready()
    }
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("{} stays: {error}", self.folder.display());
        }
    }
}
