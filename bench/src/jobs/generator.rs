//! Whether our generator of load gives the figures that another one gives: the same load, in alternation, against the same servers.
//!
//! Promise: nothing else here needs the other one; both run as programs of their own, so that neither has an advantage.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Job;
use crate::compare::Bench;
use crate::machine::Watch;
use crate::report::{Goal, Section, Series};
use crate::server::{Kind, Server, Setup};

/// How far the two may be apart.
const APART_MAX: f64 = 0.15;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    OneAConnection,
    Pipelined,
}

impl Shape {
    const ALL: [Self; 2] = [Self::OneAConnection, Self::Pipelined];

    fn name(self) -> &'static str {
        match self {
            Self::OneAConnection => "one a connection",
            Self::Pipelined => "pipelined",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Ours,
    Other,
}

struct Run {
    kind: Kind,
    shape: Shape,
    which: Which,
    rate: f64,
    others: f64,
}

/// Options that both know; each takes the one of the two for the time that is its own, and ignores the other.
fn arguments(address: SocketAddr, shape: Shape, seconds: u64) -> Vec<String> {
    let mut words = vec!["load".to_owned()];
    for (name, value) in [
        ("--target", address.to_string()),
        ("--sessions", "20".to_owned()),
        ("--messages", "100000000".to_owned()),
        ("--per-session", if shape == Shape::Pipelined { "0" } else { "1" }.to_owned()),
        ("--size", "4096".to_owned()),
        ("--from", "load@src.test".to_owned()),
        ("--to", "rcpt@sink.test".to_owned()),
        ("--threads", "2".to_owned()),
        ("--seconds", seconds.to_string()),
        ("--max-seconds", seconds.to_string()),
    ] {
        words.extend([name.to_owned(), value]);
    }
    words.extend((shape == Shape::Pipelined).then(|| "--pipelining".to_owned()));
    words
}

/// Messages a second, as the program says in the last line that it prints.
fn rate(text: &str) -> Option<f64> {
    let said: serde_json::Value = text.lines().rev().find_map(|line| serde_json::from_str(line).ok())?;
    ["rate", "msgs_per_s"].iter().find_map(|name| said.get(name)?.as_f64())
}

fn once(bench: &Bench, program: &Path, server: &Server, shape: Shape) -> Result<(f64, f64), String> {
    bench.wait_for_quiet();
    let watch = Watch::start(server.roots());
    let mut command = Command::new(program);
    command.args(arguments(server.address, shape, bench.seconds.as_secs())).stdin(Stdio::null());
    let output = command.output().map_err(|error| format!("{}: {error}", program.display()))?;
    let seen = watch.stop();
    let text = String::from_utf8_lossy(&output.stdout);
    let rate = rate(&text).ok_or_else(|| {
        format!("{} said {} and no rate: {}", program.display(), output.status, String::from_utf8_lossy(&output.stderr).trim())
    })?;
    Ok((rate, seen.others))
}

pub(super) fn run(bench: &Bench, job: &Job) -> Result<Section, String> {
    let other = bench.other.as_deref().ok_or("this needs another generator: --other PATH")?;
    let kinds = bench.of(&[Kind::Sink, Kind::Postern]);
    let servers: Vec<Server> = kinds.iter().map(|kind| bench.start(*kind, &Setup::default())).collect::<Result<_, _>>()?;
    let mut runs = Vec::new();
    for round in 0..bench.rounds {
        for server in &servers {
            for shape in Shape::ALL {
                // Each is first as often as the other.
                let order = if round.is_multiple_of(2) { [Which::Ours, Which::Other] } else { [Which::Other, Which::Ours] };
                for which in order {
                    let program = if which == Which::Ours { &bench.site.bench } else { other };
                    let (rate, others) = once(bench, program, server, shape)?;
                    eprintln!("  {:20} {:20} {which:?}: {rate:.0}/s", server.kind.name(), shape.name());
                    runs.push(Run { kind: server.kind, shape, which, rate, others });
                }
            }
        }
    }
    let series = |kind: Kind, shape: Shape, which: Which| {
        Series::of(runs.iter().filter(|run| (run.kind, run.shape, run.which) == (kind, shape, which)).map(|run| run.rate))
    };
    let ratio = |kind: Kind, shape: Shape| series(kind, shape, Which::Ours).median() / series(kind, shape, Which::Other).median();
    let mut rows = Vec::new();
    for kind in &kinds {
        for shape in Shape::ALL {
            rows.push(vec![
                kind.name().to_owned(),
                shape.name().to_owned(),
                series(*kind, shape, Which::Ours).show(),
                series(*kind, shape, Which::Other).show(),
                format!("{:.2}", ratio(*kind, shape)),
            ]);
        }
    }
    let goal = |kind: Kind, shape: Shape, what: &'static str| Goal::at_most(APART_MAX, what, (ratio(kind, shape) - 1.0).abs());
    let others: Vec<f64> = runs.iter().map(|run| run.others).collect();
    Ok(Section {
        job: job.name,
        title: job.title,
        how: "Messages a second by our generator and by another generator: 4 KiB, 20 sessions, one message a connection or long pipelined connections; both as programs of \
their own with two threads, in alternation against the same servers. The other generator counts as other work on the machine."
            .to_owned(),
        conditions: bench.conditions(job, &others, 0),
        head: vec!["", "", "ours: /s", "another: /s", "ratio"],
        rows,
        goals: vec![
            goal(Kind::Sink, Shape::OneAConnection, "apart, sink, one a connection"),
            goal(Kind::Sink, Shape::Pipelined, "apart, sink, pipelined"),
            goal(Kind::Postern, Shape::OneAConnection, "apart, postern, one a connection"),
            goal(Kind::Postern, Shape::Pipelined, "apart, postern, pipelined"),
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_read_from_the_last_line_by_either_name() {
        assert_eq!(rate("starting\n{\"rate\": 12.5}\n"), Some(12.5));
        assert_eq!(rate("{\"rate\": 1}\n{\"msgs_per_s\": 9000}\n"), Some(9000.0));
        assert_eq!(rate("no target\n"), None);
    }

    #[test]
    fn our_own_program_knows_all_the_options_it_is_given() {
        let address = SocketAddr::from(([127, 0, 0, 1], 25));
        let words = arguments(address, Shape::Pipelined, 4);
        let options = crate::Options::parse(words.get(1..).unwrap_or_default()).expect("options");
        assert!(options.flag("pipelining") && options.loopback("target") == Ok(address));
        assert_eq!(options.number("seconds", 0), Ok(4));
    }
}
