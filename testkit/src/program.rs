//! A program under test: started in a process group of its own, its words kept, all of it killed when the test ends.

use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::wait::until;

/// What a program has written so far, both streams together.
#[derive(Default)]
struct Said {
    lines: Mutex<Lines>,
    more: Condvar,
}

impl Said {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    streams_ended: usize,
}

/// A running program.
pub struct Program {
    name: String,
    child: Child,
    said: Arc<Said>,
    ended: Option<ExitStatus>,
}

/// Keeps what comes out of a stream, until it ends.
fn keep(from: impl Read + Send + 'static, said: Arc<Said>) {
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while matches!(from.read_until(b'\n', &mut line), Ok(1..)) {
            said.lines().lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
            said.more.notify_all();
            line.clear();
        }
        said.lines().streams_ended += 1;
        said.more.notify_all();
    });
}

impl Program {
    /// Starts it. Its standard input is what `command` says, or nothing.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(name: &str, command: &mut Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let said = Arc::new(Said::default());
        keep(child.stdout.take().unwrap(), Arc::clone(&said));
        keep(child.stderr.take().unwrap(), Arc::clone(&said));
        Self { name: name.to_owned(), child, said, ended: None }
    }

    fn pid_of_group(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed()).unwrap()
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its end, when it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap();
        }
        self.ended
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it goes on.
    pub fn wait(&mut self, at_most: Duration) -> ExitStatus {
        let what = format!("{} to end", self.name);
        until(&what, at_most, || self.ended())
    }

    /// Sends a signal to the program, not to its children.
    pub fn signal(&self, signal: Signal) {
        let _ = kill_process(self.pid_of_group(), signal);
    }

    /// SIGKILL to it and its children, and waits until it is gone.
    pub fn kill(&mut self) {
        if self.ended.is_none() {
            let _ = kill_process_group(self.pid_of_group(), Signal::KILL);
            self.ended = self.child.wait().ok();
        }
    }

    /// All it has written.
    #[must_use]
    pub fn said(&self) -> String {
        self.said.lines().lines.join("\n")
    }

    /// How many lines it has written, to look only at later ones.
    #[must_use]
    pub fn lines_said(&self) -> usize {
        self.said.lines().lines.len()
    }

    /// Waits for a line with these words in it, from the `from`th on, and gives it.
    ///
    /// # Panics
    /// When there is none within the time; shows what it said instead.
    #[must_use]
    pub fn wait_for_line(&self, from: usize, words: &str, at_most: Duration) -> String {
        let end = Instant::now() + at_most;
        let mut lines = self.said.lines();
        loop {
            if let Some(line) = lines.lines.iter().skip(from).find(|line| line.contains(words)) {
                return line.clone();
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || lines.streams_ended == 2 {
                let what = if left.is_zero() { format!("within {at_most:?}") } else { "before its end".to_owned() };
                let said = lines.lines.join("\n");
                drop(lines);
                panic!("{} did not say {words:?} {what}, but:\n{said}", self.name);
            }
            lines = self.said.more.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until somebody listens at an address, or shows why nobody does.
    ///
    /// # Panics
    /// When nobody does within the time, or the program ends.
    pub fn wait_for_port(&mut self, address: std::net::SocketAddr, at_most: Duration) {
        let end = Instant::now() + at_most;
        until("a listener", at_most + Duration::from_secs(1), || {
            if let Some(status) = self.ended() {
                panic!("{} ended ({status}) before it listened on {address}:\n{}", self.name, self.said());
            }
            assert!(Instant::now() < end, "{} does not listen on {address}:\n{}", self.name, self.said());
            crate::wait::listens(address).then_some(())
        });
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("---- {} said:\n{}\n----", self.name, self.said());
        }
    }
}

/// Runs a program to its end with this on its standard input.
///
/// # Panics
/// When it cannot be run, or does not end within the time.
#[must_use]
pub fn run(command: &mut Command, input: &str, at_most: Duration) -> Output {
    use std::io::Write as _;
    let name = format!("{command:?}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
    let (mut stdin, mut stdout, mut stderr) =
        (child.stdin.take().unwrap(), child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let input = input.to_owned();
    let feed = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let collect = |from: &mut dyn Read| {
        let mut all = Vec::new();
        let _ = from.read_to_end(&mut all);
        all
    };
    let errors = std::thread::spawn(move || collect(&mut stderr));
    let words = std::thread::spawn(move || collect(&mut stdout));
    let end = Instant::now() + at_most;
    let status = until(&name, at_most + Duration::from_secs(1), || {
        if Instant::now() > end {
            let _ = kill_process_group(Pid::from_raw(child.id().cast_signed()).unwrap(), Signal::KILL);
        }
        child.try_wait().unwrap()
    });
    let _ = feed.join().unwrap();
    Output { status, stdout: words.join().unwrap(), stderr: errors.join().unwrap() }
}

/// Both streams of an output as text, to be searched or shown.
#[must_use]
pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Where a program is installed, if it is.
#[must_use]
pub fn installed(name: &str) -> bool {
    ["/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/local/bin"].iter().any(|folder| Path::new(folder).join(name).exists())
}

/// Whether this test runs as root.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
