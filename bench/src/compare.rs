//! Runs the jobs: servers side by side, in alternation, in one run on one machine.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::jobs::{self, JOBS, Job};
use crate::load::{Load, Taken};
use crate::machine::{self, Seen, Watch};
use crate::report::{self, Section};
use crate::server::{Kind, Server, Setup, Site};
use crate::{Options, load, runtime};

/// After a run, so that work put off by the server is counted as its own.
const SETTLE: Duration = Duration::from_millis(500);

/// What a run of the jobs needs.
pub(crate) struct Bench {
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) site: Site,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) rounds: u64,
    pub(crate) seconds: Duration,
    /// How long to wait for the machine to become quiet, before each measurement.
    patience: Duration,
    /// Idle connections held.
    pub(crate) idle: u64,
    /// Messages in the queue for the job on memory and start-up.
    pub(crate) queued: u64,
    /// Sessions that send 50 MiB at once.
    pub(crate) large: u64,
    /// Another generator of load, to compare ours with.
    pub(crate) other: Option<PathBuf>,
}

/// One measurement.
pub(crate) struct Sample {
    pub(crate) taken: Taken,
    pub(crate) seen: Seen,
}

#[expect(clippy::cast_precision_loss, reason = "figures for people to read")]
impl Sample {
    pub(crate) fn rate(&self) -> f64 {
        self.taken.rate()
    }

    /// CPU seconds of the server for 1,000 messages.
    pub(crate) fn processor(&self) -> f64 {
        self.seen.processor_seconds * 1000.0 / self.taken.messages as f64
    }

    /// In milliseconds.
    pub(crate) fn latency(&self, quantile: f64) -> f64 {
        self.taken.latencies.value_at_quantile(quantile) as f64 / 1000.0
    }

    /// Messages that were not answered as they should have been.
    pub(crate) fn troubles(&self) -> u64 {
        self.taken.failed + self.taken.stalled
    }
}

impl Bench {
    fn from_options(options: &Options) -> Result<Self, String> {
        let quick = options.flag("quick");
        let or_quick = |full: u64, short: u64| if quick { short } else { full };
        let bench = std::env::current_exe().map_err(|error| error.to_string())?;
        let beside = bench.parent().unwrap_or(Path::new("."));
        let target = beside.parent().unwrap_or(beside);
        let postern = options.text("postern", &beside.join("postern").display().to_string());
        let folder = PathBuf::from(options.text("dir", &target.join("bench").display().to_string()));
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let folder = folder.canonicalize().map_err(|error| error.to_string())?;
        let without = options.text("without", "").to_lowercase();
        let kinds = Kind::ALL
            .into_iter()
            .filter(|kind| !without.split(',').any(|name| kind.name().to_lowercase().split(',').next() == Some(name)))
            .collect();
        Ok(Self {
            runtime: runtime(usize::try_from(options.number("threads", 2)?).unwrap_or(2))?,
            site: Site { postern: PathBuf::from(postern), bench, folder },
            kinds,
            rounds: options.number("rounds", or_quick(3, 1))?.clamp(1, 100),
            seconds: Duration::from_secs(options.number("seconds", or_quick(4, 2))?.clamp(1, 600)),
            patience: Duration::from_secs(options.number("patience", or_quick(30, 2))?.min(600)),
            idle: options.number("idle", or_quick(10_000, 1_000))?.min(60_000),
            queued: options.number("queued", or_quick(1_000_000, 20_000))?.min(10_000_000),
            large: options.number("large", or_quick(100, 10))?.clamp(1, 1_000),
            other: options.flag("other").then(|| PathBuf::from(options.text("other", ""))),
        })
    }

    /// Those of these servers that take part.
    pub(crate) fn of(&self, kinds: &[Kind]) -> Vec<Kind> {
        kinds.iter().copied().filter(|kind| self.kinds.contains(kind)).collect()
    }

    pub(crate) fn start(&self, kind: Kind, setup: &Setup) -> Result<Server, String> {
        Server::start(kind, &self.site, setup)
    }

    pub(crate) fn wait_for_quiet(&self) {
        machine::wait_for_quiet(self.patience);
    }

    /// Sends a load once the machine is quiet, and watches the server meanwhile.
    pub(crate) fn sample(&self, server: &Server, load: Load) -> Result<Sample, String> {
        self.wait_for_quiet();
        self.sample_at_once(server, load)
    }

    /// The same without waiting.
    pub(crate) fn sample_at_once(&self, server: &Server, load: Load) -> Result<Sample, String> {
        let load = Arc::new(load);
        let watch = Watch::start(server.roots());
        let taken = self.runtime.block_on(load::run(&load))?;
        let mut seen = watch.stop();
        std::thread::sleep(SETTLE);
        seen.processor_seconds = watch.stop().processor_seconds;
        self.told(server.kind, &taken, seen);
        Ok(Sample { taken, seen })
    }

    /// Progress for whoever waits.
    pub(crate) fn told(&self, kind: Kind, taken: &Taken, seen: Seen) {
        let mut trouble = String::new();
        if taken.failed + taken.stalled > 0 {
            trouble = format!("  failed {} stalled {} ({})", taken.failed, taken.stalled, taken.last_error);
        }
        eprintln!(
            "  {:20} {:>8}/s  {} CPU s  others {:.0} %{trouble}",
            kind.name(),
            report::number(taken.rate()),
            report::number(seen.processor_seconds),
            seen.others * 100.0
        );
    }

    /// When and how a job was run, for its table.
    pub(crate) fn conditions(&self, job: &Job, others: &[f64], troubles: u64) -> String {
        let others = report::Series::of(others.iter().map(|share| share * 100.0));
        let trouble =
            if troubles > 0 { format!(" {troubles} messages failed or were left without an answer.") } else { String::new() };
        format!(
            "`cargo xtask bench --jobs {} --rounds {} --seconds {}{}`, {}; other work on the machine meanwhile, % of its processors: {}; load average at the end {}.{trouble}",
            job.name,
            self.rounds,
            self.seconds.as_secs(),
            (job.options)(self),
            date(),
            others.show(),
            machine::load_average(),
        )
    }
}

/// Today, as `2026-11-24`.
fn date() -> String {
    let output = std::process::Command::new("date").arg("+%Y-%m-%d %H:%M").output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

fn chosen(options: &Options) -> Result<Vec<&'static Job>, String> {
    let names = options.text("jobs", "");
    if names.is_empty() {
        // What needs a program that is not part of this is done only when that is given.
        return Ok(JOBS.iter().filter(|job| job.name != jobs::WITH_OTHER || options.flag("other")).collect());
    }
    names
        .split(',')
        .map(|name| {
            JOBS.iter()
                .find(|job| job.name == name)
                .ok_or_else(|| format!("there is no job {name:?}; there are {}", jobs::names()))
        })
        .collect()
}

fn write(path: &Path, sections: &[Section]) -> Result<(), String> {
    let page = fs::read_to_string(path).unwrap_or_else(|_| "# Speed and memory, measured\n\n".to_owned());
    let texts: Vec<(&str, String)> = sections.iter().map(|section| (section.job, section.markdown())).collect();
    let order: Vec<&str> = JOBS.iter().map(|job| job.name).collect();
    fs::write(path, report::merge(&page, &texts, &order)).map_err(|error| format!("{}: {error}", path.display()))
}

/// Runs the jobs, prints the tables, and writes them into the page that `--out` names. One job that fails does not keep the others from
/// being run.
pub(crate) fn run(options: &Options) -> Result<serde_json::Value, String> {
    let files = machine::raise_open_files();
    let bench = Bench::from_options(options)?;
    let jobs = chosen(options)?;
    let out = options.text("out", "");
    eprintln!("{}; {files} open files allowed", machine::description());
    let mut failed = HashMap::new();
    for job in jobs {
        eprintln!("{}: {}", job.name, job.title);
        match (job.run)(&bench, job) {
            Ok(section) => {
                println!("{}", section.markdown());
                if !out.is_empty() {
                    write(Path::new(&out), &[section])?;
                }
            }
            Err(what) => {
                eprintln!("  {what}");
                failed.insert(job.name, what);
            }
        }
    }
    if failed.is_empty() { Ok(serde_json::json!({ "done": true })) } else { Err(format!("{} jobs failed", failed.len())) }
}
