//! What looking at strangers' mail costs: lists, senders and links, against Postfix with the same lists of clients.

use std::time::Duration;

use super::Job;
use crate::compare::{Bench, Sample};
use crate::load::Load;
use crate::names::Names;
use crate::report::{Goal, Section, Series};
use crate::server::{Kind, Lists, Server, Setup};

/// A name server that is near, and one that has to ask others; with enough sessions that waiting is not what is measured.
const CASES: [(&str, Duration, u64, bool); 3] = [
    ("answers at once", Duration::ZERO, 100, false),
    ("answers after 50 ms", Duration::from_millis(50), 500, false),
    ("answers at once, one list never", Duration::ZERO, 100, true),
];

struct Measured {
    case: usize,
    kind: Kind,
    sample: Sample,
    /// Questions for a message.
    asked: f64,
}

#[expect(clippy::cast_precision_loss, reason = "figures for people to read")]
fn measure(bench: &Bench, case: usize, kind: Kind) -> Result<Measured, String> {
    let (_, delay, sessions, with_silent) = CASES.get(case).copied().ok_or("no such case")?;
    let names = Names::start(delay).map_err(|error| error.to_string())?;
    let setup = Setup { lists: Some(Lists { resolver: names.address, with_silent }), ..Setup::default() };
    let server: Server = bench.start(kind, &setup)?;
    let load = |first| Load::new(server.address, sessions, 4096).by_strangers(first).with_links();
    // The test points are asked for first, and a list that is silent is found out.
    bench.sample(&server, load(0).for_seconds(Duration::from_secs(2)))?;
    let before = names.asked();
    let sample = bench.sample(&server, load(1 << 17).for_seconds(bench.seconds))?;
    let asked = (names.asked() - before) as f64 / sample.taken.messages as f64;
    eprintln!("  {asked:.2} questions a message");
    Ok(Measured { case, kind, sample, asked })
}

pub(super) fn run(bench: &Bench, job: &Job) -> Result<Section, String> {
    let kinds = bench.of(&[Kind::Postern, Kind::Postfix]);
    let mut all = Vec::new();
    for _ in 0..bench.rounds {
        for case in 0..CASES.len() {
            for kind in kinds.iter().filter(|kind| case < 2 || **kind == Kind::Postern) {
                all.push(measure(bench, case, *kind)?);
            }
        }
    }
    let series = |case: usize, kind: Kind, figure: &dyn Fn(&Measured) -> f64| {
        Series::of(all.iter().filter(|one| one.case == case && one.kind == kind).map(figure))
    };
    let rate = |case: usize, kind: Kind| series(case, kind, &|one| one.sample.rate()).median();
    let mut rows = Vec::new();
    for (case, (name, ..)) in CASES.iter().enumerate() {
        for kind in kinds.iter().filter(|kind| case < 2 || **kind == Kind::Postern) {
            let show = |figure: &dyn Fn(&Measured) -> f64| series(case, *kind, figure).show();
            rows.push(vec![
                (*name).to_owned(),
                kind.name().to_owned(),
                show(&|one| one.sample.rate()),
                show(&|one| one.sample.latency(0.5)),
                show(&|one| one.sample.latency(0.99)),
                show(&|one| one.sample.processor()),
                show(&|one| one.asked),
            ]);
        }
    }
    let times = |case: usize| rate(case, Kind::Postern) / rate(case, Kind::Postfix);
    let others: Vec<f64> = all.iter().map(|one| one.sample.seen.others).collect();
    Ok(Section {
        job: job.name,
        title: job.title,
        how: format!(
            "Messages of 4 KiB with three links from strangers, each over a connection and from an address of its own, so that nothing is remembered about the client. \
Both ask two lists of clients at the same name server on loopback, which answers at once or 50 ms after it was asked; 100 sessions, and 500 with the late answers. Postfix does it by `reject_rbl_client` and asks nothing else. postern asks a list of \
links as well, looks up SPF, DKIM, DMARC, ARC and the client's name, reads the message for links, and adds up the points: all that is on by default. In the last case it asks a list of clients besides that never answers \
(`{}`). Filters of others are not asked. CPU seconds of the whole server for 1,000 messages.",
            crate::names::SILENT
        ),
        conditions: bench.conditions(job, &others, all.iter().map(|one| one.sample.troubles()).sum()),
        head: vec!["", "", "messages/s", "p50 ms", "p99 ms", "CPU s/1,000", "questions a message"],
        rows,
        goals: vec![
            Goal::at_least(3.0, "times Postfix, answers at once", times(0)),
            Goal::at_least(3.0, "times Postfix, answers after 50 ms", times(1)),
            Goal::at_least(0.9, "of the rate without a list that never answers", rate(2, Kind::Postern) / rate(0, Kind::Postern)),
        ],
    })
}
