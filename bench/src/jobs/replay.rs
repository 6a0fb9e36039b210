//! How fast recorded sessions are judged again by the rules of another configuration.

use std::process::Command;

use super::Job;
use crate::compare::{Bench, Sample};
use crate::load::{Load, now};
use crate::report::{Goal, Section, Series};
use crate::server::{Kind, Setup};

/// Pins a process, with all of its threads, to the first core.
fn pin(process: u32) -> Result<(), String> {
    let output = Command::new("taskset").args(["-a", "-c", "-p", "0", &process.to_string()]).output();
    let output = output.map_err(|error| format!("taskset: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Sessions a second that accepting came to, and judging again.
struct Round {
    accepted: Sample,
    replayed: f64,
    sessions: f64,
}

#[expect(clippy::cast_precision_loss, reason = "figures for people to read")]
fn round(bench: &Bench) -> Result<Round, String> {
    let server = bench.start(Kind::Postern, &Setup::default())?;
    let accepted = bench.sample(&server, Load::new(server.address, 20, 4096).for_seconds(bench.seconds))?;
    // The server, which reads, and the command, which judges, share one core from here on; the command inherits it.
    pin(server.root)?;
    bench.wait_for_quiet();
    let began = now();
    let output = server.run_pinned(&["policy", "replay", "--json"])?;
    let seconds = began.elapsed().as_secs_f64();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&output.stderr)))?;
    let sessions = told.get("sessions").and_then(serde_json::Value::as_u64).unwrap_or(0) as f64;
    if told.get("changed").and_then(serde_json::Value::as_u64) != Some(0) {
        return Err(format!("the same configuration decided otherwise: {told}"));
    }
    eprintln!("  replayed {sessions} sessions in {seconds:.3} s");
    Ok(Round { accepted, replayed: sessions / seconds, sessions })
}

pub(super) fn run(bench: &Bench, job: &Job) -> Result<Section, String> {
    let rounds: Vec<Round> = (0..bench.rounds).map(|_| round(bench)).collect::<Result<_, _>>()?;
    let series = |figure: &dyn Fn(&Round) -> f64| Series::of(rounds.iter().map(figure));
    let times = series(&|round| round.replayed / round.accepted.rate());
    let others: Vec<f64> = rounds.iter().map(|round| round.accepted.seen.others).collect();
    Ok(Section {
        job: job.name,
        title: job.title,
        how: "Sessions of one 4 KiB message a second that were taken, on all cores, with their records kept; then sessions a second of these records judged \
again by `postern policy replay` with the same configuration, the server that reads them and the command that judges them together on one core."
            .to_owned(),
        conditions: bench.conditions(job, &others, rounds.iter().map(|round| round.accepted.troubles()).sum()),
        head: vec!["accepted/s", "judged again/s", "times", "sessions on record"],
        rows: vec![vec![
            series(&|round| round.accepted.rate()).show(),
            series(&|round| round.replayed).show(),
            times.show(),
            series(&|round| round.sessions).show(),
        ]],
        goals: vec![Goal::at_least(10.0, "times the rate of accepting", times.median())],
    })
}
