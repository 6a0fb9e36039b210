//! What connections cost that do nothing, and whether others are served meanwhile.

use super::Job;
use crate::compare::{Bench, Sample};
use crate::hold::hold;
use crate::load::Load;
use crate::machine::resident_kib;
use crate::report::{Goal, Section, Series};
use crate::server::{Kind, Setup};

/// Each in a network of its own.
const SOURCES: u32 = 250;

struct Round {
    kind: Kind,
    calm: Sample,
    beside: Sample,
    held: f64,
    seconds: f64,
    /// Growth of the server's resident memory, KiB for each connection.
    each: f64,
}

/// A server started for this alone: memory that an earlier round has left behind would hide what this one takes.
#[expect(clippy::cast_precision_loss, reason = "figures for people to read")]
fn round(bench: &Bench, kind: Kind) -> Result<Round, String> {
    let server = bench.start(kind, &Setup::default())?;
    let good = || Load::new(server.address, 1, 4096).for_seconds(bench.seconds);
    let calm = bench.sample(&server, good())?;
    let before = resident_kib(server.root);
    let held = bench.runtime.block_on(hold(server.address, bench.idle, SOURCES));
    let after = resident_kib(server.root);
    let beside = bench.sample(&server, good())?;
    if held.failed > 0 {
        eprintln!("  {} of {} connections were not welcomed", held.failed, bench.idle);
    }
    let count = held.streams.len() as f64;
    let each = after.saturating_sub(before) as f64 / count;
    Ok(Round { kind, calm, beside, held: count, seconds: held.took.as_secs_f64(), each })
}

pub(super) fn run(bench: &Bench, job: &Job) -> Result<Section, String> {
    let kinds = bench.of(&[Kind::Postern, Kind::Sink]);
    let mut rounds = Vec::new();
    for _ in 0..bench.rounds {
        for kind in &kinds {
            rounds.push(round(bench, *kind)?);
        }
    }
    let series =
        |kind: Kind, figure: &dyn Fn(&Round) -> f64| Series::of(rounds.iter().filter(|round| round.kind == kind).map(figure));
    let row = |kind: &Kind| {
        let show = |figure: &dyn Fn(&Round) -> f64| series(*kind, figure).show();
        vec![
            kind.name().to_owned(),
            show(&|round| round.held),
            show(&|round| round.seconds),
            show(&|round| round.each),
            show(&|round| round.calm.rate()),
            show(&|round| round.calm.latency(0.99)),
            show(&|round| round.beside.rate()),
            show(&|round| round.beside.latency(0.99)),
        ]
    };
    let median = |figure: &dyn Fn(&Round) -> f64| series(Kind::Postern, figure).median();
    let is_served = median(&|round| round.beside.rate()) > 0.0;
    let times = median(&|round| round.beside.latency(0.99)) / median(&|round| round.calm.latency(0.99));
    // A client that is not served at all waits for ever.
    let growth = if is_served { times } else { f64::INFINITY };
    let others: Vec<f64> = rounds.iter().flat_map(|round| [round.calm.seen.others, round.beside.seen.others]).collect();
    Ok(Section {
        job: job.name,
        title: job.title,
        how: format!(
            "Connections from {SOURCES} networks that say EHLO and then nothing; a good client sends 4 KiB messages in one session, one a connection, before and meanwhile. \
Growth of the server's resident memory. Postfix is left out: it serves nobody with 5,000 of them."
        ),
        conditions: bench.conditions(
            job,
            &others,
            rounds.iter().map(|round| round.calm.troubles() + round.beside.troubles()).sum(),
        ),
        head: vec!["", "held", "opened in s", "KiB each", "calm: /s", "calm: p99 ms", "meanwhile: /s", "meanwhile: p99 ms"],
        rows: kinds.iter().map(row).collect(),
        goals: vec![
            Goal::at_most(6.0, "KiB for each idle connection", median(&|round| round.each)),
            Goal::at_most(3.0, "times the calm p99 for a good client", growth),
        ],
    })
}
