//! What is measured, one kind of job a file, and what is asked of us.

use crate::compare::Bench;
use crate::report::Section;

mod attacks;
mod generator;
mod head_of_line;
mod idle;
mod inspecting;
mod large;
mod queued;
mod replay;
mod throughput;

/// Something to measure.
pub(crate) struct Job {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// Options of the command that count for this job only, as they were.
    pub(crate) options: fn(&Bench) -> String,
    pub(crate) run: fn(&Bench, &Job) -> Result<Section, String>,
}

fn none(_: &Bench) -> String {
    String::new()
}

/// The job that another generator is needed for.
pub(crate) const WITH_OTHER: &str = "generator";

/// All of them, in the order of the page.
pub(crate) const JOBS: &[Job] = &[
    Job { name: "accept-20", title: "4 KiB, 20 sessions, one message a connection", options: none, run: throughput::accept_20 },
    Job {
        name: "accept-100",
        title: "4 KiB, 100 sessions, one message a connection",
        options: none,
        run: throughput::accept_100,
    },
    Job { name: "pipelined", title: "4 KiB, 20 long pipelined connections", options: none, run: throughput::pipelined },
    Job {
        name: "accept-100k",
        title: "100 KiB, 20 sessions, one message a connection",
        options: none,
        run: throughput::accept_100k,
    },
    Job {
        name: "starttls",
        title: "STARTTLS, 4 KiB, 20 sessions, one message a connection",
        options: none,
        run: throughput::starttls,
    },
    Job { name: "relay", title: "Relayed through to a sink, 4 KiB, 20 sessions", options: none, run: throughput::relay },
    Job { name: "head-of-line", title: "Small messages while 25 MiB messages arrive", options: none, run: head_of_line::run },
    Job {
        name: "idle",
        title: "Idle connections, and a good client meanwhile",
        options: |bench| format!(" --idle {}", bench.idle),
        run: idle::run,
    },
    Job {
        name: "queued",
        title: "A long queue: memory, and the start with it",
        options: |bench| format!(" --queued {}", bench.queued),
        run: queued::run,
    },
    Job { name: "inspecting", title: "Looking at strangers' mail: lists, senders, links", options: none, run: inspecting::run },
    Job { name: "replay", title: "Judging recorded sessions again", options: none, run: replay::run },
    Job {
        name: "large",
        title: "50 MiB messages in many sessions at once",
        options: |bench| format!(" --large {}", bench.large),
        run: large::run,
    },
    Job {
        name: "attacks",
        title: "Good clients with accounts while others attack",
        options: |bench| format!(" --idle {}", bench.idle),
        run: attacks::run,
    },
    Job {
        name: WITH_OTHER,
        title: "Our generator of load beside another one",
        options: |_| " --other PATH".to_owned(),
        run: generator::run,
    },
];

pub(crate) fn names() -> String {
    JOBS.iter().map(|job| job.name).collect::<Vec<_>>().join(", ")
}
