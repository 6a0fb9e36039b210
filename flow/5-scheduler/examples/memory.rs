//! What a queued ticket costs in memory and time: `cargo run --release -p postern-scheduler --example memory`.
//!
//! Resident memory is read from `/proc`, so that what the allocator rounds up is counted too; time is the processor's, so that a busy
//! machine does not disturb it. Each row runs in a fresh process:
//! memory given back by an earlier row would otherwise hide what a later one takes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a measurement may stop")]

use std::sync::Arc;

use postern_mail::Domain;
use postern_mail::attempt::{Attempt, Destination, Ticket};
use postern_mail::envelope::{MessageId, UnixMillis};
use postern_scheduler::{Report, Scheduler, SchedulerSettings};

const TICKETS: u64 = 1_000_000;
/// Tickets made at a time, outside of what is timed.
const BATCH: u64 = 10_000;
const START: UnixMillis = UnixMillis(1_700_000_000_000);

/// Lanes, accounts, and whether the tickets are deferred.
const ROWS: [(u64, u64, bool); 8] = [
    (1, 1, false),
    (1, 10_000, false),
    (10_000, 1, false),
    (50_000, 1, false),
    (50_000, 1, true),
    (50_000, 100, false),
    (50_000, 100, true),
    (1_000_000, 1_000, false),
];

fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

/// Seconds this process has had a processor.
fn spent() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn main() {
    match std::env::args().nth(1) {
        Some(row) => measure(ROWS[row.parse::<usize>().unwrap()]),
        None => {
            println!(
                "{TICKETS} tickets    lanes accounts deferred | octets/ticket | insert/s  due+finished/s | summary of 20 lanes"
            );
            for row in 0..ROWS.len() {
                let itself = std::env::current_exe().unwrap();
                std::process::Command::new(itself).arg(row.to_string()).status().unwrap();
            }
        }
    }
}

fn measure((lanes, accounts, is_deferred): (u64, u64, bool)) {
    let destinations: Vec<Destination> =
        (0..lanes).map(|n| Destination::Mx(Domain::parse(&format!("mail{n}.example.org")).unwrap())).collect();
    let names: Vec<Arc<str>> = (0..accounts).map(|n| Arc::from(format!("account-{n}@example.org"))).collect();
    let mut scheduler = Scheduler::new(SchedulerSettings::default(), 1);
    let due = if is_deferred { UnixMillis(START.0 + 3_600_000) } else { START };

    let mut pick = 0x2545_F491_4F6C_DD1D_u64;
    let mut ticket = |id| {
        pick ^= pick << 13;
        pick ^= pick >> 7;
        pick ^= pick << 17;
        // The first round visits every lane, the rest go anywhere.
        let lane = if id < lanes { id } else { pick % lanes };
        Ticket {
            id: MessageId(START.0 * 1_000 + id),
            destination: destinations[usize::try_from(lane).unwrap()].clone(),
            account: Some(names[usize::try_from(pick >> 32).unwrap() % names.len()].clone()),
            received: UnixMillis(START.0 + id / 1_000),
            due: UnixMillis(due.0 + if is_deferred { pick % 14_400_000 } else { 0 }),
            attempts: 0,
            is_bulk: false,
        }
    };

    let before = resident();
    let mut inserting = 0.0;
    for batch in 0..TICKETS / BATCH {
        let tickets: Vec<Ticket> = (batch * BATCH..(batch + 1) * BATCH).map(&mut ticket).collect();
        let clock = spent();
        for ticket in tickets {
            scheduler.insert(START, ticket).unwrap();
        }
        inserting += spent() - clock;
    }
    let octets = resident().saturating_sub(before) as f64 / TICKETS as f64;

    let clock = spent();
    assert!(!scheduler.summary(START, 20).is_empty());
    let summary = (spent() - clock) * 1_000.0;

    let now = UnixMillis(START.0 + 6 * 3_600_000);
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut worked_off = 0;
    let clock = spent();
    while worked_off < TICKETS {
        scheduler.due(now, &mut attempts);
        for attempt in attempts.drain(..) {
            scheduler.finished(now, &attempt, Report::WORKED);
            worked_off += 1;
        }
    }
    let working_off = spent() - clock;
    println!(
        "{:>19}{lanes:>9} {accounts:>8} {is_deferred:>8} | {octets:>13.1} | {:>8.0}  {:>14.0} | {summary:>6.1} ms",
        "",
        TICKETS as f64 / inserting,
        TICKETS as f64 / working_off,
    );
}
