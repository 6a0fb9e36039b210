//! What many large messages at once cost in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::Job;
use crate::compare::Bench;
use crate::load::Load;
use crate::machine::resident_kib;
use crate::report::{Goal, Section, number};
use crate::server::{Kind, Server, Setup};

const SIZE: usize = 50 * 1024 * 1024;
/// All of them must be through by then.
const TIME_MAX: Duration = Duration::from_secs(600);
/// Between two looks at the memory.
const LOOK: Duration = Duration::from_millis(20);

/// Looks at a server's memory again and again until it is dropped.
struct Peak {
    kib: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Peak {
    fn of(root: u32) -> Self {
        let (kib, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (most, ended) = (Arc::clone(&kib), Arc::clone(&over));
        std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                most.fetch_max(resident_kib(root), Ordering::Relaxed);
                std::thread::sleep(LOOK);
            }
        });
        Self { kib, over }
    }
}

impl Drop for Peak {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// The disk must hold all of them, and as much again.
fn room(server: &Server, count: u64) -> Result<(), String> {
    let disk = rustix::fs::statvfs(&server.folder).map_err(|error| error.to_string())?;
    let need = count.saturating_mul(u64::try_from(SIZE).unwrap_or(u64::MAX)).saturating_mul(2);
    if disk.f_bavail.saturating_mul(disk.f_frsize) < need {
        return Err(format!("{} MiB of free disk are needed", need / 1_048_576));
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "figures for people to read")]
pub(super) fn run(bench: &Bench, job: &Job) -> Result<Section, String> {
    let server = bench.start(Kind::Postern, &Setup::default())?;
    room(&server, bench.large)?;
    let load = || Load::new(server.address, bench.large, SIZE).in_all(bench.large).for_seconds(TIME_MAX);
    // Once with small ones, so that what the first connections cost is not counted as the cost of large messages.
    bench.sample(&server, Load::new(server.address, bench.large, 4096).in_all(bench.large * 10))?;
    let before = resident_kib(server.root);
    let peak = Peak::of(server.root);
    let sample = bench.sample(&server, load())?;
    let growth = peak.kib.load(Ordering::Relaxed).saturating_sub(before) as f64 / 1024.0;
    let octets = sample.taken.messages as f64 * SIZE as f64;
    Ok(Section {
        job: job.name,
        title: job.title,
        how: format!(
            "{} sessions send 50 MiB each at the same time. Growth of the server's resident memory at its peak, over what it had after as many small ones.",
            bench.large
        ),
        conditions: bench.conditions(job, &[sample.seen.others], sample.troubles()),
        head: vec!["", "messages taken", "MiB/s", "memory before, MiB", "growth, MiB", "CPU s a GiB"],
        rows: vec![vec![
            server.kind.name().to_owned(),
            number(sample.taken.messages as f64),
            number(octets / 1_048_576.0 / sample.taken.seconds),
            number(before as f64 / 1024.0),
            number(growth),
            number(sample.seen.processor_seconds / (octets / 1_073_741_824.0)),
        ]],
        goals: vec![Goal::at_most(100.0, "MiB of growth", growth)],
    })
}
