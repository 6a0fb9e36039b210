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
/// Equal parts that the connections are opened in, with a look at the memory after each.
const STEPS: u64 = 4;

struct Round {
    kind: Kind,
    calm: Sample,
    beside: Sample,
    held: f64,
    seconds: f64,
    /// Resident memory after the start, MiB.
    empty: f64,
    /// Its growth over all steps, KiB for each connection.
    each: f64,
    /// The same in the step where it was most.
    most: f64,
}

/// What grows by how much for each, by least squares over all points: (connections, KiB).
fn slope(points: &[(f64, f64)]) -> f64 {
    let (mut sum_x, mut sum_y, mut count) = (0.0, 0.0, 0.0);
    for (x, y) in points {
        (sum_x, sum_y, count) = (sum_x + x, sum_y + y, count + 1.0);
    }
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let along: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    along / points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum::<f64>()
}

/// The most that each took in one step. Memory that the start itself has left behind is used first, and makes the first steps look cheap.
fn steepest(points: &[(f64, f64)]) -> f64 {
    let steps = points.iter().zip(points.iter().skip(1));
    steps.filter(|(from, to)| to.0 > from.0).map(|(from, to)| (to.1 - from.1) / (to.0 - from.0)).fold(0.0, f64::max)
}

/// Two servers, each started for its part alone. The one that holds the connections has done nothing before: memory that work has left behind
/// is used again, and would hide what they take. So the calm client is measured at the other.
#[expect(clippy::cast_precision_loss, reason = "figures for people to read")]
fn round(bench: &Bench, kind: Kind) -> Result<Round, String> {
    let good = |address| Load::new(address, 1, 4096).for_seconds(bench.seconds);
    let calm = {
        let server = bench.start(kind, &Setup::default())?;
        bench.sample(&server, good(server.address))?
    };
    let server = bench.start(kind, &Setup::default())?;
    let resident = || resident_kib(server.root) as f64;
    let before = resident();
    let (mut held, mut seconds, mut points) = (Vec::new(), 0.0, vec![(0.0, before)]);
    for step in 0..STEPS {
        let part = bench.idle * (step + 1) / STEPS - bench.idle * step / STEPS;
        let more = bench.runtime.block_on(hold(server.address, part, SOURCES));
        if more.failed > 0 {
            eprintln!("  {} of {part} connections were not welcomed", more.failed);
        }
        seconds += more.took.as_secs_f64();
        held.extend(more.streams);
        points.push((held.len() as f64, resident()));
    }
    let memory: Vec<String> = points.iter().map(|(count, kib)| format!("{count:.0}: {:.1}", kib / 1024.0)).collect();
    eprintln!("  {:20} MiB with so many held: {}", kind.name(), memory.join(", "));
    let beside = bench.sample(&server, good(server.address))?;
    Ok(Round {
        kind,
        calm,
        beside,
        held: held.len() as f64,
        seconds,
        empty: before / 1024.0,
        each: slope(&points),
        most: steepest(&points),
    })
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
            show(&|round| round.empty),
            show(&|round| round.each),
            show(&|round| round.most),
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
            "Connections from {SOURCES} networks that say EHLO and then nothing; a good client sends 4 KiB messages in one session, one a connection, at a server that holds none and at the one that holds them. \
Growth of the resident memory of a server that has done nothing before, over {STEPS} equal steps: the slope by least squares, and the steepest step, since memory that the start itself has freed is used first. Postfix is left out: it serves nobody with 5,000 of them."
        ),
        conditions: bench.conditions(
            job,
            &others,
            rounds.iter().map(|round| round.calm.troubles() + round.beside.troubles()).sum(),
        ),
        head: vec![
            "",
            "held",
            "opened in s",
            "MiB empty",
            "KiB each",
            "KiB each, steepest step",
            "calm: /s",
            "calm: p99 ms",
            "meanwhile: /s",
            "meanwhile: p99 ms",
        ],
        rows: kinds.iter().map(row).collect(),
        goals: vec![
            Goal::at_most(6.0, "KiB for each idle connection in the steepest step", median(&|round| round.most)),
            Goal::at_most(3.0, "times the calm p99 for a good client", growth),
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::{slope, steepest};

    #[test]
    fn memory_that_the_start_has_left_behind_does_not_make_connections_cheap() {
        let points = [(0.0, 50_000.0), (2500.0, 50_000.0), (5000.0, 60_000.0), (7500.0, 75_000.0)];
        assert!((steepest(&points) - 6.0).abs() < 1e-9 && slope(&points) < 4.0);
        // A step in which nobody was let in says nothing.
        assert!(steepest(&[(0.0, 1.0), (0.0, 9.0)]) < 1e-9);
    }

    #[test]
    fn the_slope_is_what_each_one_more_takes_and_not_what_an_empty_server_has() {
        let points = [(0.0, 900.0), (2500.0, 900.0 + 2500.0 * 6.0), (5000.0, 900.0 + 5000.0 * 6.0)];
        assert!((slope(&points) - 6.0).abs() < 1e-9);
        // One point that lies off does not decide alone.
        assert!((slope(&[(0.0, 0.0), (1.0, 2.0), (2.0, 2.0), (3.0, 6.0)]) - 1.8).abs() < 1e-9);
    }
}
