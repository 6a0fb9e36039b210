//! How many messages a second: taken in and kept, under TLS, and relayed through.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Job;
use crate::compare::{Bench, Sample};
use crate::load::{self, Load, now};
use crate::machine::{Watch, resident_kib};
use crate::report::{Goal, Section, Series};
use crate::server::{Kind, Server, Setup};
use crate::sink::Background;

/// How long a server may take to send on what it has taken.
const DRAIN_MAX: Duration = Duration::from_secs(120);
/// Between two looks whether the sink has all.
const LOOK: Duration = Duration::from_millis(2);

const ACCEPTED: &str = "Messages a second that were taken and stay in the queue: postern and Postfix have them on disk before they answer, the sink forgets \
them. The next hop is down: Postfix defers what it took, or, in a row of its own, puts it into its hold queue at once and never looks at it again. Time from before the connection to the last reply; CPU seconds of the whole server for 1,000 messages.";

/// The measurements of each server, in the order of the rounds, and its memory at the end.
struct Measured {
    samples: HashMap<Kind, Vec<Sample>>,
    resident: HashMap<Kind, u64>,
}

impl Measured {
    fn series(&self, kind: Kind, figure: impl Fn(&Sample) -> f64) -> Series {
        Series::of(self.samples.get(&kind).into_iter().flatten().map(figure))
    }

    fn rate(&self, kind: Kind) -> f64 {
        self.series(kind, Sample::rate).median()
    }

    /// Our rate in multiples of another's.
    fn times(&self, other: Kind) -> f64 {
        self.rate(Kind::Postern) / self.rate(other)
    }

    fn processor(&self) -> f64 {
        self.series(Kind::Postern, Sample::processor).median()
    }

    #[expect(clippy::cast_precision_loss, reason = "figures for people to read")]
    fn section(&self, bench: &Bench, job: &Job, how: &str, goals: Vec<Goal>) -> Section {
        let row = |kind: &Kind| {
            vec![
                kind.name().to_owned(),
                self.series(*kind, Sample::rate).show(),
                self.series(*kind, |sample| sample.latency(0.5)).show(),
                self.series(*kind, |sample| sample.latency(0.99)).show(),
                self.series(*kind, Sample::processor).show(),
                Series::of(self.resident.get(kind).map(|kib| *kib as f64 / 1024.0)).show(),
            ]
        };
        let all: Vec<&Sample> = self.samples.values().flatten().collect();
        let others: Vec<f64> = all.iter().map(|sample| sample.seen.others).collect();
        Section {
            job: job.name,
            title: job.title,
            how: how.to_owned(),
            conditions: bench.conditions(job, &others, all.iter().map(|sample| sample.troubles()).sum()),
            head: vec!["", "messages/s", "p50 ms", "p99 ms", "CPU s/1,000", "memory MiB"],
            rows: Kind::ALL.iter().filter(|kind| self.samples.contains_key(*kind)).map(row).collect(),
            goals,
        }
    }
}

/// Each server once, then all of them again, so that other work on the machine meets all alike.
fn rounds(
    bench: &Bench,
    kinds: &[Kind],
    setup: &Setup,
    one: impl Fn(&Server) -> Result<Sample, String>,
) -> Result<Measured, String> {
    let servers: Vec<Server> = bench.of(kinds).into_iter().map(|kind| bench.start(kind, setup)).collect::<Result<_, _>>()?;
    let mut samples: HashMap<Kind, Vec<Sample>> = HashMap::new();
    for _ in 0..bench.rounds {
        for server in &servers {
            samples.entry(server.kind).or_default().push(one(server)?);
        }
    }
    let resident = servers.iter().map(|server| (server.kind, resident_kib(server.root))).collect();
    Ok(Measured { samples, resident })
}

fn accept(bench: &Bench, setup: &Setup, load: impl Fn(SocketAddr) -> Result<Load, String>) -> Result<Measured, String> {
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| !setup.tls || *kind != Kind::PostfixHold).collect();
    rounds(bench, &kinds, setup, |server| bench.sample(server, load(server.address)?.for_seconds(bench.seconds)))
}

fn one_a_connection(bench: &Bench, job: &Job, sessions: u64) -> Result<Section, String> {
    let measured = accept(bench, &Setup::default(), |address| Ok(Load::new(address, sessions, 4096)))?;
    let goals = vec![
        Goal::at_least(0.5, "of the sink", measured.times(Kind::Sink)),
        Goal::at_least(4.0, "times Postfix", measured.times(Kind::Postfix)),
        Goal::at_most(0.4, "CPU seconds for 1,000 messages", measured.processor()),
    ];
    Ok(measured.section(bench, job, ACCEPTED, goals))
}

pub(super) fn accept_20(bench: &Bench, job: &Job) -> Result<Section, String> {
    one_a_connection(bench, job, 20)
}

pub(super) fn accept_100(bench: &Bench, job: &Job) -> Result<Section, String> {
    one_a_connection(bench, job, 100)
}

pub(super) fn pipelined(bench: &Bench, job: &Job) -> Result<Section, String> {
    let measured = accept(bench, &Setup::default(), |address| Ok(Load::new(address, 20, 4096).pipelined()))?;
    let goals = vec![
        Goal::at_least(10.0, "times Postfix", measured.times(Kind::Postfix)),
        Goal::at_least(0.35, "of the sink (an aim)", measured.times(Kind::Sink)),
        Goal::at_most(0.4, "CPU seconds for 1,000 messages", measured.processor()),
    ];
    Ok(measured.section(bench, job, ACCEPTED, goals))
}

pub(super) fn accept_100k(bench: &Bench, job: &Job) -> Result<Section, String> {
    let measured = accept(bench, &Setup::default(), |address| Ok(Load::new(address, 20, 100 * 1024)))?;
    let goals = vec![Goal::at_least(3.0, "times Postfix", measured.times(Kind::Postfix))];
    Ok(measured.section(bench, job, ACCEPTED, goals))
}

pub(super) fn starttls(bench: &Bench, job: &Job) -> Result<Section, String> {
    let setup = Setup { tls: true, ..Setup::default() };
    let measured = accept(bench, &setup, |address| Load::new(address, 20, 4096).with_tls())?;
    let goals = vec![Goal::at_least(2.5, "times Postfix", measured.times(Kind::Postfix))];
    let how = format!("{ACCEPTED} A whole TLS 1.3 handshake each time: X25519, ECDSA P-256, nothing resumed.");
    Ok(measured.section(bench, job, &how, goals))
}

/// The rate is that of the whole way: all that was taken, over the time until the sink has it.
fn relay_once(bench: &Bench, server: &Server, sink: &Background) -> Result<Sample, String> {
    bench.wait_for_quiet();
    let load = Arc::new(Load::new(server.address, 20, 4096).for_seconds(bench.seconds));
    let (before, watch, began) = (sink.messages(), Watch::start(server.roots()), now());
    let mut taken = bench.runtime.block_on(load::run(&load))?;
    let due = before + taken.messages;
    while sink.messages() < due && began.elapsed() < DRAIN_MAX {
        std::thread::sleep(LOOK);
    }
    taken.seconds = began.elapsed().as_secs_f64();
    let missing = due.saturating_sub(sink.messages());
    if missing > 0 {
        taken.failed += missing;
        taken.last_error = "not relayed in time".to_owned();
    }
    let seen = watch.stop();
    bench.told(server.kind, &taken, seen);
    Ok(Sample { taken, seen })
}

pub(super) fn relay(bench: &Bench, job: &Job) -> Result<Section, String> {
    let sink = Background::start().map_err(|error| error.to_string())?;
    let setup = Setup { next_hop: Some(sink.address), ..Setup::default() };
    let measured = rounds(bench, &[Kind::Postern, Kind::Postfix], &setup, |server| relay_once(bench, server, &sink))?;
    let goals = vec![Goal::at_least(5.0, "times Postfix", measured.times(Kind::Postfix))];
    let how = "Messages a second from the first connection until the sink behind the server has all that was taken; each is on disk before it is answered. \
p50 and p99 are those of taking in.";
    Ok(measured.section(bench, job, how, goals))
}
