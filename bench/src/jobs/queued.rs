//! What a long queue costs in memory, and how long a start with it takes.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use postern_spool::{RealDisk, read_records_once};

use super::Job;
use crate::compare::Bench;
use crate::load::{Load, now};
use crate::machine::resident_kib;
use crate::report::{Goal, Section, Series, number};
use crate::server::{Kind, Server, Setup};

/// Octets of each message.
const SIZE: usize = 512;
/// Filling may take this long.
const FILL_MAX: Duration = Duration::from_secs(1_800);
/// Memory is looked at when the server has had time to put things in order.
const SETTLE: Duration = Duration::from_secs(3);

/// All files below a folder.
fn files(folder: &Path) -> io::Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            match entry.file_type()? {
                kind if kind.is_dir() => folders.push(entry.path()),
                kind if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Makes the kernel forget what it holds of them, as after a boot.
fn forget(folder: &Path) -> io::Result<()> {
    for path in files(folder)? {
        rustix::fs::fadvise(File::open(path)?, 0, None, rustix::fs::Advice::DontNeed)?;
    }
    Ok(())
}

/// Reads every file once, in pieces of 1 MiB: octets and seconds.
fn read_once(folder: &Path) -> io::Result<(u64, f64)> {
    let began = now();
    let mut buffer = vec![0; 1024 * 1024];
    let mut octets = 0;
    for path in files(folder)? {
        let mut file = File::open(path)?;
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                count => octets += u64::try_from(count).unwrap_or(0),
            }
        }
    }
    Ok((octets, began.elapsed().as_secs_f64()))
}

/// Reads, checks and decodes every record once and does nothing with it: seconds.
fn decode_once(folder: &Path) -> io::Result<f64> {
    let began = now();
    read_records_once(&RealDisk, folder)?;
    Ok(began.elapsed().as_secs_f64())
}

/// One start with the queue.
struct Start {
    cold: bool,
    octets: u64,
    /// Seconds to read the spool's files once.
    read: f64,
    /// Seconds to read, check and decode every record once on one thread.
    decoded: f64,
    /// Seconds until the server greets.
    ready: f64,
    /// Octets for each message, afterwards.
    memory: f64,
}

fn start(bench: &Bench, server: &mut Server, spool: &Path, cold: bool, each: impl Fn(u64) -> f64) -> Result<Start, String> {
    let text = |error: io::Error| error.to_string();
    server.stop();
    bench.wait_for_quiet();
    if cold {
        forget(spool).map_err(text)?;
    }
    let (octets, read) = read_once(spool).map_err(text)?;
    if cold {
        forget(spool).map_err(text)?;
    }
    let decoded = decode_once(spool).map_err(text)?;
    if cold {
        forget(spool).map_err(text)?;
    }
    server.start_again()?;
    let ready = server.ready_after.as_secs_f64();
    std::thread::sleep(SETTLE);
    eprintln!("  files read in {} s, records in {} s, ready after {} s", number(read), number(decoded), number(ready));
    Ok(Start { cold, octets, read, decoded, ready, memory: each(resident_kib(server.root)) })
}

#[expect(clippy::cast_precision_loss, reason = "figures for people to read")]
pub(super) fn run(bench: &Bench, job: &Job) -> Result<Section, String> {
    let mut server = bench.start(Kind::Postern, &Setup::default())?;
    std::thread::sleep(SETTLE);
    let empty = resident_kib(server.root);
    let fill = Load::new(server.address, 50, SIZE).pipelined().unique().in_all(bench.queued).for_seconds(FILL_MAX);
    let sample = bench.sample(&server, fill)?;
    std::thread::sleep(SETTLE);
    let count = sample.taken.messages as f64;
    let each = |kib: u64| kib.saturating_sub(empty) as f64 * 1024.0 / count;
    let filled = each(resident_kib(server.root));
    let spool = server.folder.join("data/spool");

    let mut starts = Vec::new();
    for _ in 0..bench.rounds {
        for cold in [true, false] {
            starts.push(start(bench, &mut server, &spool, cold, each)?);
        }
    }
    let octets = starts.first().map_or(0, |start| start.octets);
    let series =
        |cold: bool, figure: &dyn Fn(&Start) -> f64| Series::of(starts.iter().filter(|start| start.cold == cold).map(figure));
    let ready = |cold: bool| series(cold, &|start| start.ready).median();
    let times = |cold: bool| ready(cold) / series(cold, &|start| start.read).median();
    let times_records = |cold: bool| ready(cold) / series(cold, &|start| start.decoded).median();
    let row = |name: &str, cold: bool| {
        vec![
            name.to_owned(),
            series(cold, &|start| start.read).show(),
            series(cold, &|start| start.decoded).show(),
            series(cold, &|start| start.ready).show(),
            number(times(cold)),
            number(times_records(cold)),
            series(cold, &|start| start.memory).show(),
        ]
    };
    Ok(Section {
        job: job.name,
        title: job.title,
        how: format!(
            "{} messages of {SIZE} octets, each to a recipient of its own, taken at {}/s, {} MiB on disk; {} octets of memory each once they were taken. Then started again: the time until it \
greets, against reading the spool's files once, and against reading its records once: reading, checking and decoding each on one thread, with nothing done with it.",
            number(count),
            number(sample.rate()),
            number(octets as f64 / 1_048_576.0),
            number(filled),
        ),
        conditions: bench.conditions(job, &[sample.seen.others], sample.troubles()),
        head: vec![
            "started with the spool",
            "reading its files once, s",
            "reading its records once, s",
            "ready after, s",
            "times the files",
            "times the records",
            "octets of memory a message",
        ],
        rows: vec![row("from the disk", true), row("from the kernel's memory", false)],
        goals: vec![
            Goal::at_most(300.0, "octets of memory for a queued message, once taken", filled),
            Goal::at_most(
                300.0,
                "octets of memory for a queued message, after a start",
                series(true, &|start| start.memory).median(),
            ),
            Goal::at_most(3.0, "times reading the spool's files once until ready, from the disk", times(true)),
            Goal::at_most(3.0, "times reading its records once until ready, from the disk", times_records(true)),
            Goal::at_most(3.0, "times reading the spool's files once until ready, from the kernel's memory", times(false)),
            Goal::at_most(3.0, "times reading its records once until ready, from the kernel's memory", times_records(false)),
        ],
    })
}
