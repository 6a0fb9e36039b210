//! How fast the spool is, on the disk under a directory: `cargo run --release -p postern-spool --example throughput -- DIR [JOB]`.
//! Jobs: `small`, `medium`, `beside`, `large`, `many`, `recover`; all of them without one. `recover` measures what `many` left behind.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use postern_mail::address::{Mailbox, ReversePath};
use postern_mail::envelope::{BodyKind, DsnRequest, Envelope, Recipient, UnixMillis};
use postern_spool::{RealDisk, Spool, SpoolSettings};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const RUN: Duration = Duration::from_secs(4);
const MANY: u64 = 1_000_000;

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a stopwatch")]
    Instant::now()
}

fn envelope() -> Result<Envelope, Failure> {
    let mailbox = |text: &str| Mailbox::parse(text).map_err(|fault| fault.to_string());
    let recipient = Recipient::restored_from_spool(mailbox("someone@example.net")?, false, DsnRequest::default());
    Ok(Envelope {
        from: ReversePath::Mailbox(mailbox("sender@example.org")?),
        recipients: vec![recipient],
        body: BodyKind::EightBitMime,
        smtputf8: false,
        require_tls: false,
        ret: None,
        envid: None,
        account: Some("sender@example.org".into()),
        client: Some([192, 0, 2, 1].into()),
        received: UnixMillis(1_800_000_000_000),
    })
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0) * 1024
}

fn cpu_seconds() -> f64 {
    let usage = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks: u64 = usage.split_whitespace().skip(13).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}

fn open(dir: &Path) -> Result<Spool, Failure> {
    let settings = SpoolSettings { dir: dir.to_owned(), ..SpoolSettings::default() };
    Ok(Spool::open(settings, Arc::new(RealDisk), &mut |_| {})?.0)
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let index = sorted.len() * percent / 100;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// So many tasks, each with one message after the other: committed, then finished.
async fn load(spool: &Spool, tasks: usize, bytes: usize, until: Instant) -> Result<Vec<Duration>, Failure> {
    let envelope = Arc::new(envelope()?);
    let body: Arc<[u8]> = vec![b'x'; bytes].into();
    let mut running = Vec::new();
    for _ in 0..tasks {
        let (spool, envelope, body) = (spool.clone(), Arc::clone(&envelope), Arc::clone(&body));
        running.push(tokio::spawn(async move {
            let mut latencies = Vec::new();
            while now() < until {
                let begun = now();
                let mut writer = spool.begin()?;
                writer.write(&body).await?;
                let id = writer.commit(&envelope).await?.id();
                latencies.push(begun.elapsed());
                spool.finish(id).await?;
            }
            Ok::<_, Failure>(latencies)
        }));
    }
    let mut all = Vec::new();
    for task in running {
        all.extend(task.await??);
    }
    all.sort_unstable();
    Ok(all)
}

async fn rate(dir: &Path, tasks: usize, bytes: usize) -> Result<(), Failure> {
    let spool = open(dir)?;
    load(&spool, tasks, bytes, now() + Duration::from_secs(1)).await?;
    let (groups, cpu) = (spool.stats().groups, cpu_seconds());
    let latencies = load(&spool, tasks, bytes, now() + RUN).await?;
    let stats = spool.stats();
    let (messages, syncs) = (latencies.len() as f64, (stats.groups - groups) as f64);
    println!(
        "{tasks:>4} waiting x {bytes:>6} B: {:>8.0} messages/s, {:>5.0} syncs/s, p50 {:>8.2?} p99 {:>8.2?} max {:>8.2?}, {:.3} CPU s/1000",
        messages / RUN.as_secs_f64(),
        syncs / RUN.as_secs_f64(),
        percentile(&latencies, 50),
        percentile(&latencies, 99),
        percentile(&latencies, 100),
        (cpu_seconds() - cpu) / messages * 1_000.0,
    );
    tokio::task::spawn_blocking(move || spool.close()).await?;
    Ok(())
}

/// Small messages while, in turn, nothing else and a 25 MiB message after the other arrives.
async fn beside(dir: &Path) -> Result<(), Failure> {
    let spool = open(dir)?;
    load(&spool, 20, 4_096, now() + Duration::from_secs(1)).await?;
    for round in 0..3 {
        let calm = load(&spool, 20, 4_096, now() + RUN).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let large = Arc::new(AtomicU64::new(0));
        let (other, ended, count) = (spool.clone(), Arc::clone(&stop), Arc::clone(&large));
        let arriving = tokio::spawn(async move {
            let (envelope, piece) = (envelope()?, vec![b'y'; 16 << 10]);
            while !ended.load(Ordering::Relaxed) {
                let mut writer = other.begin()?;
                for number in 0..(25 << 20) / piece.len() {
                    writer.write(&piece).await?;
                    // A timer's tick is about a millisecond: this is the pace of a gigabit line.
                    if number % 8 == 0 {
                        tokio::time::sleep(Duration::from_micros(100)).await;
                    }
                }
                let id = writer.commit(&envelope).await?.id();
                other.finish(id).await?;
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, Failure>(())
        });
        let busy = load(&spool, 20, 4_096, now() + RUN).await?;
        stop.store(true, Ordering::Relaxed);
        arriving.await??;
        println!(
            "round {round}: calm {:.0}/s p50 {:.2?} p99 {:.2?}; beside {} x 25 MiB: {:.0}/s p50 {:.2?} p99 {:.2?}",
            calm.len() as f64 / RUN.as_secs_f64(),
            percentile(&calm, 50),
            percentile(&calm, 99),
            large.load(Ordering::Relaxed),
            busy.len() as f64 / RUN.as_secs_f64(),
            percentile(&busy, 50),
            percentile(&busy, 99),
        );
    }
    tokio::task::spawn_blocking(move || spool.close()).await?;
    Ok(())
}

/// A long queue of small messages: what an entry costs in memory.
async fn many(dir: &Path) -> Result<(), Failure> {
    let spool = open(dir)?;
    let before = resident();
    let left = Arc::new(AtomicU64::new(MANY));
    let mut running = Vec::new();
    let begun = now();
    for _ in 0..1_000 {
        let (spool, left) = (spool.clone(), Arc::clone(&left));
        running.push(tokio::spawn(async move {
            let (envelope, body) = (envelope()?, [b'z'; 300]);
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                let mut writer = spool.begin()?;
                writer.write(&body).await?;
                writer.commit(&envelope).await?;
            }
            Ok::<_, Failure>(())
        }));
    }
    for task in running {
        task.await??;
    }
    let grown = resident().saturating_sub(before);
    println!(
        "{MANY} queued in {:.1?}, {:.0} MB of log; resident memory grew by {:.0} B a message",
        begun.elapsed(),
        spool.stats().log_bytes as f64 / 1e6,
        grown as f64 / MANY as f64
    );
    tokio::task::spawn_blocking(move || spool.close()).await?;
    Ok(())
}

/// A hundred sessions with 50 MiB each, at once.
async fn large(dir: &Path) -> Result<(), Failure> {
    let spool = open(dir)?;
    let (before, begun) = (resident(), now());
    let highest = Arc::new(AtomicU64::new(0));
    let mut running = Vec::new();
    for _ in 0..100 {
        let (spool, highest) = (spool.clone(), Arc::clone(&highest));
        running.push(tokio::spawn(async move {
            let (envelope, piece) = (envelope()?, vec![b'y'; 16 << 10]);
            let mut writer = spool.begin()?;
            for number in 0..(50 << 20) / piece.len() {
                writer.write(&piece).await?;
                if number % 64 == 0 {
                    highest.fetch_max(resident(), Ordering::Relaxed);
                }
            }
            let id = writer.commit(&envelope).await?.id();
            spool.finish(id).await?;
            Ok::<_, Failure>(())
        }));
    }
    for task in running {
        task.await??;
    }
    let grown = highest.load(Ordering::Relaxed).saturating_sub(before) as f64 / 1e6;
    println!("100 x 50 MiB at once in {:.1?}: resident memory rose by at most {grown:.0} MB", begun.elapsed());
    tokio::task::spawn_blocking(move || spool.close()).await?;
    Ok(())
}

/// Takes the log out of the system's memory, so that it is read from the disk as after a start of the machine.
fn forget(dir: &Path) -> Result<(), Failure> {
    for entry in std::fs::read_dir(dir.join("log"))? {
        let file = std::fs::File::open(entry?.path())?;
        file.sync_all()?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    }
    Ok(())
}

fn read_once(dir: &Path) -> Result<(u64, Duration), Failure> {
    use std::io::Read;
    let (begun, mut bytes, mut buffer) = (now(), 0, vec![0; 4 << 20]);
    for entry in std::fs::read_dir(dir.join("log"))? {
        let mut file = std::fs::File::open(entry?.path())?;
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                count => bytes += count as u64,
            }
        }
    }
    Ok((bytes, begun.elapsed()))
}

fn recover(dir: &Path) -> Result<(), Failure> {
    for cold in [false, true, false, true] {
        let forget_if = || if cold { forget(dir) } else { Ok(()) };
        forget_if()?;
        let (bytes, reading) = read_once(dir)?;
        forget_if()?;
        let before = resident();
        let mut recipients = 0;
        let settings = SpoolSettings { dir: dir.to_owned(), ..SpoolSettings::default() };
        let (spool, report) =
            Spool::open(settings, Arc::new(RealDisk), &mut |message| recipients += message.envelope.recipients.len())?;
        println!(
            "{}: {} messages ({recipients} recipients) recovered in {:.2?}; reading the {:.0} MB once takes {reading:.2?}; {:.0} B resident a message",
            if cold { "from disk" } else { "from memory" },
            report.messages,
            report.duration,
            bytes as f64 / 1e6,
            resident().saturating_sub(before) as f64 / report.messages.max(1) as f64,
        );
        spool.close();
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().ok_or("which directory?")?);
    let job = arguments.next();
    let wanted = |name: &str| job.as_deref().is_none_or(|job| job == name);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (rates, queue) = (dir.join("rates"), dir.join("many"));
    std::fs::create_dir_all(&dir)?;
    if wanted("small") {
        for tasks in [1, 20, 100, 1_000] {
            runtime.block_on(rate(&rates, tasks, 4_096))?;
        }
    }
    if wanted("medium") {
        for tasks in [20, 100] {
            runtime.block_on(rate(&rates, tasks, 100 << 10))?;
        }
    }
    if wanted("beside") {
        runtime.block_on(beside(&rates))?;
    }
    if wanted("large") {
        runtime.block_on(large(&rates))?;
    }
    if wanted("many") {
        let _ = std::fs::remove_dir_all(&queue);
        runtime.block_on(many(&queue))?;
    }
    if wanted("recover") {
        recover(&queue)?;
    }
    Ok(())
}
