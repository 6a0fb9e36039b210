//! The server under test: the binary as it is shipped, with a configuration written for the test.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::client::SmtpClient;
use crate::maildir::Maildir;
use crate::peers::setup::Setup;
use crate::peers::{allow, open_folder, workspace};
use crate::program::{Program, is_root, run, text};
use crate::wait::LONG;

/// The binary: `POSTERN_BIN`, or what `cargo build` made last, with optimisation or without.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn binary() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    std::env::var_os("POSTERN_BIN")
        .map(PathBuf::from)
        .or_else(|| {
            let built = ["release/postern", "debug/postern"].map(|built| target.join(built)).into_iter();
            built.filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path))).max().map(|(_, path)| path)
        })
        .expect("the binary under test: cargo build --release --bin postern")
}

/// The server under test, running or not.
pub struct Postern {
    // Before the folder, so that it ends before its files do.
    program: Option<Program>,
    setup: Setup,
    folder: TempDir,
}

impl Postern {
    /// Writes the configuration into a new folder without starting the server.
    pub(crate) fn prepare(setup: Setup) -> Self {
        let postern = Self { program: None, setup, folder: open_folder() };
        postern.write_configuration();
        postern
    }

    fn write_configuration(&self) {
        let file = self.configuration_file();
        std::fs::write(&file, self.setup.toml(&self.data_dir())).expect("the configuration is written");
        // Read again at a reload, when the server is root no longer.
        allow(&file, 0o644);
    }

    /// Its configuration file.
    #[must_use]
    pub fn configuration_file(&self) -> PathBuf {
        self.folder.path().join("postern.toml")
    }

    /// A folder of the test's own beside the server's data.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where its data live.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Where it takes mail from strangers.
    #[must_use]
    pub fn mx(&self) -> SocketAddr {
        self.setup.mx()
    }

    /// Where it takes mail from accounts after STARTTLS.
    #[must_use]
    pub fn submission(&self) -> SocketAddr {
        self.setup.submission()
    }

    /// Where it takes mail from accounts with TLS from the first byte.
    #[must_use]
    pub fn submissions(&self) -> SocketAddr {
        self.setup.submissions()
    }

    /// Where it shows metrics.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.setup.http()
    }

    /// Starts it, again or for the first time, and waits until it listens.
    ///
    /// # Panics
    /// When it does not; shows why.
    pub fn start(&mut self) {
        let mut command = self.command(&["serve"]);
        self.start_by(command.stdin(Stdio::null()));
    }

    /// Starts it by a command of the test's own.
    ///
    /// # Panics
    /// When it does not get ready; shows why.
    pub fn start_by(&mut self, command: &mut Command) {
        let program = Program::start("postern", command);
        // Its ports are bound long before anybody is greeted, so they tell nothing.
        let _ = program.wait_for_line(0, "ready", LONG);
        self.program = Some(program);
    }

    /// The binary with these words and its configuration.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(words).arg("--config").arg(self.configuration_file()).current_dir(self.folder.path());
        command
    }

    /// Runs the binary with these words and its configuration.
    ///
    /// # Panics
    /// When it does not end.
    #[must_use]
    pub fn run(&self, words: &[&str]) -> Output {
        run(&mut self.command(words), "", LONG)
    }

    /// Runs a command that must succeed, and gives what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn order(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "postern {}: {}\n{}", words.join(" "), output.status, text(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs a command with `--json` that must succeed, and gives what it printed.
    ///
    /// # Panics
    /// When it fails or prints no JSON.
    #[must_use]
    pub fn json(&self, words: &[&str]) -> serde_json::Value {
        let printed = self.order(&[words, &["--json"]].concat());
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("postern {}: {error}: {printed}", words.join(" ")))
    }

    /// Makes an account with this password.
    ///
    /// # Panics
    /// When it is refused.
    pub fn account(&self, address: &str, password: &str) {
        let mut command = self.command(&["account", "add", address, "--password-stdin"]);
        let output = run(&mut command, &format!("{password}\n"), LONG);
        assert!(output.status.success(), "account add {address}: {}", text(&output));
    }

    /// The messages of `queue list --json`.
    ///
    /// # Panics
    /// When it prints no list of messages.
    #[must_use]
    pub fn queue(&self) -> Vec<serde_json::Value> {
        let printed = self.json(&["queue", "list"]);
        printed["messages"].as_array().unwrap_or_else(|| panic!("no messages in {printed}")).clone()
    }

    /// The running program.
    ///
    /// # Panics
    /// When it does not run.
    pub fn program(&mut self) -> &mut Program {
        self.program.as_mut().expect("the server runs")
    }

    /// Starts it without waiting for anything.
    #[must_use]
    pub fn start_and_look_away(&self) -> Program {
        Program::start("postern", self.command(&["serve"]).stdin(Stdio::null()))
    }

    /// What it has logged since it was started.
    #[must_use]
    pub fn log(&self) -> String {
        self.program.as_ref().map(Program::said).unwrap_or_default()
    }

    /// Waits for a line in its log.
    ///
    /// # Panics
    /// When it does not come.
    pub fn wait_for_log(&mut self, words: &str) -> String {
        self.program().wait_for_line(0, words, LONG)
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut program) = self.program.take() {
            program.kill();
        }
    }

    /// SIGTERM. It goes on until it ends by itself.
    ///
    /// # Panics
    /// When it does not run.
    pub fn tell_to_stop(&mut self) {
        self.program().signal(Signal::TERM);
    }

    /// Waits for its end, and gives what it has logged.
    ///
    /// # Panics
    /// When it does not end well.
    pub fn wait_for_end(&mut self) -> String {
        let mut program = self.program.take().expect("the server runs");
        let status = program.wait(LONG);
        assert!(status.success(), "{status}:\n{}", program.said());
        program.said()
    }

    /// SIGTERM, and waits for its end.
    ///
    /// # Panics
    /// When it does not end well.
    pub fn terminate(&mut self) {
        self.tell_to_stop();
        let _ = self.wait_for_end();
    }

    /// SIGTERM, and starts it again.
    ///
    /// # Panics
    /// When either fails.
    pub fn restart(&mut self) {
        self.terminate();
        self.start();
    }

    /// Changes the configuration file; a reload or a restart is to follow.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn change(&mut self, change: impl FnOnce(Setup) -> Setup) {
        self.setup = change(self.setup.clone());
        self.write_configuration();
    }

    /// SIGHUP, and waits for these words in the log.
    ///
    /// # Panics
    /// When they are not said.
    pub fn reload(&mut self, until_it_says: &str) -> String {
        let program = self.program();
        let before = program.lines_said();
        program.signal(Signal::HUP);
        program.wait_for_line(before, until_it_says, LONG)
    }

    /// The Maildir of an address of a domain that says nothing else.
    ///
    /// # Panics
    /// When the address has no `@`.
    #[must_use]
    pub fn maildir(&self, address: &str) -> Maildir {
        let (local, domain) = address.split_once('@').expect("an address");
        Maildir::at(self.data_dir().join("mail").join(domain).join(local))
    }

    /// A stranger's connection after EHLO.
    #[must_use]
    pub fn stranger(&self) -> SmtpClient {
        SmtpClient::hello(self.mx())
    }

    /// Lets the server write into a folder of the test, when it is root no longer.
    ///
    /// # Panics
    /// When that is not allowed.
    pub fn share(&self, folder: &Path) {
        std::fs::create_dir_all(folder).expect("a folder");
        if is_root() {
            allow(folder, 0o777);
        }
    }
}
