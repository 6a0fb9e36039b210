//! What small messages wait for while large ones arrive, one after another.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::Job;
use crate::compare::{Bench, Sample};
use crate::load::{self, Load, Taken};
use crate::report::{Goal, Section, Series};
use crate::server::{Kind, Server, Setup};

const LARGE: usize = 25 * 1024 * 1024;
/// The large messages are on their way before the small ones are counted.
const LEAD: Duration = Duration::from_millis(300);

/// How the small ones come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Small {
    /// 200 a second over 8 long connections: a server with time to spare.
    Paced,
    /// As fast as they are taken, in 20 sessions, one a connection: a busy server.
    Busy,
}

impl Small {
    const ALL: [Self; 2] = [Self::Paced, Self::Busy];

    fn load(self, address: SocketAddr) -> Load {
        match self {
            Self::Paced => Load::new(address, 8, 4096).paced(200),
            Self::Busy => Load::new(address, 20, 4096),
        }
    }
}

/// One session in a thread of its own, so that the generator of the small ones is not what slows them.
fn large(address: SocketAddr, seconds: Duration) -> JoinHandle<Result<Taken, String>> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        runtime.block_on(load::run(&Arc::new(Load::new(address, 1, LARGE).for_seconds(seconds))))
    })
}

struct Pair {
    kind: Kind,
    small: Small,
    calm: Sample,
    beside: Sample,
    large_rate: f64,
}

fn pair(bench: &Bench, server: &Server, small: Small) -> Result<Pair, String> {
    let calm = bench.sample(server, small.load(server.address).for_seconds(bench.seconds))?;
    bench.wait_for_quiet();
    let large = large(server.address, bench.seconds + LEAD);
    std::thread::sleep(LEAD);
    let beside = bench.sample_at_once(server, small.load(server.address).for_seconds(bench.seconds))?;
    let large = large.join().map_err(|_| "the large messages' thread ended".to_owned())??;
    Ok(Pair { kind: server.kind, small, calm, beside, large_rate: large.rate() })
}

pub(super) fn run(bench: &Bench, job: &Job) -> Result<Section, String> {
    let kinds = bench.of(&[Kind::Postern, Kind::Postfix]);
    let servers: Vec<Server> = kinds.iter().map(|kind| bench.start(*kind, &Setup::default())).collect::<Result<_, _>>()?;
    let mut pairs = Vec::new();
    for _ in 0..bench.rounds {
        for small in Small::ALL {
            for server in &servers {
                pairs.push(pair(bench, server, small)?);
            }
        }
    }
    let series = |kind: Kind, small: Small, figure: &dyn Fn(&Pair) -> f64| {
        Series::of(pairs.iter().filter(|pair| pair.kind == kind && pair.small == small).map(figure))
    };
    let mut rows = Vec::new();
    for kind in &kinds {
        for small in Small::ALL {
            let show = |figure: &dyn Fn(&Pair) -> f64| series(*kind, small, figure).show();
            rows.push(vec![
                kind.name().to_owned(),
                if small == Small::Paced { "200/s over 8 connections" } else { "20 sessions, one a connection" }.to_owned(),
                show(&|pair| pair.calm.rate()),
                show(&|pair| pair.calm.latency(0.99)),
                show(&|pair| pair.beside.rate()),
                show(&|pair| pair.beside.latency(0.99)),
                show(&|pair| pair.large_rate),
            ]);
        }
    }
    let growth = |small: Small| {
        let p99 = |figure: &dyn Fn(&Pair) -> f64| series(Kind::Postern, small, figure).median();
        p99(&|pair| pair.beside.latency(0.99)) / p99(&|pair| pair.calm.latency(0.99))
    };
    let samples = || pairs.iter().flat_map(|pair| [&pair.calm, &pair.beside]);
    let others: Vec<f64> = pairs.iter().map(|pair| pair.calm.seen.others).collect();
    Ok(Section {
        job: job.name,
        title: job.title,
        how: "4 KiB messages first alone, then beside one session that sends 25 MiB messages one after another as fast as they are taken. \
The sending of these takes its share of the same processors."
            .to_owned(),
        conditions: bench.conditions(job, &others, samples().map(Sample::troubles).sum()),
        head: vec!["", "small messages", "calm: /s", "calm: p99 ms", "beside: /s", "beside: p99 ms", "25 MiB messages/s"],
        rows,
        goals: vec![
            Goal::at_most(2.0, "times the calm p99, 200/s", growth(Small::Paced)),
            Goal::at_most(2.0, "times the calm p99, busy", growth(Small::Busy)),
        ],
    })
}
