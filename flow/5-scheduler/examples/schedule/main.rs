//! A million recipients at fifty thousand domains on a virtual clock: `cargo xtask schedule-plot`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, dead_code, reason = "a measurement may stop")]

use std::path::Path;

use simulation::{Setting, percentile, run};

mod plot;
#[path = "../../tests/simulation/mod.rs"]
mod simulation;

fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let picture = arguments.next();
    let recipients = arguments.next().map_or(1_000_000, |text| text.parse().unwrap());
    let setting = Setting { recipients, domains: recipients / 20, single_every: 10, dead: (0, 0), hours: 12 };
    let result = run(&setting);
    println!(
        "{} recipients, {} domains; {} left after {} hours; {} attempts sent back for their turn; {} out at most; {} MiB resident",
        recipients,
        setting.domains,
        result.left,
        setting.hours,
        result.sent_back,
        result.out_most,
        resident() >> 20
    );
    println!(
        "{:<14} {:>10} {:>10} {:>10} {:>9} {:>9} {:>11} {:>11} {:>10}",
        "hosts", "recipients", "delivered", "tries", "drained", "open most", "limit", "minute most", "limit"
    );
    for (name, seen) in &result.seen {
        let limit = |limit: Option<u32>| limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string());
        println!(
            "{name:<14} {:>10} {:>10} {:>10} {:>7} s {:>9} {:>11} {:>11} {:>10}; {} tries in the worst hour after the first",
            seen.recipients,
            seen.delivered,
            seen.tries,
            seen.drained / 1_000,
            seen.open_most,
            limit(seen.open_limit),
            seen.minute_most,
            limit(seen.minute_limit),
            seen.hour_most
        );
    }
    println!("{} rounds", result.rounds);
    for (what, waits) in [("waited for", &result.single_waits), ("bulk", &result.bulk_waits)] {
        let [half, most, nearly, all] = [50, 90, 99, 100].map(|of| percentile(waits, of));
        println!("first try of what is {what}: 50 % within {half} ms, 90 % {most} ms, 99 % {nearly} ms, all {all} ms");
    }
    if let Some(path) = picture.filter(|path| path != "-") {
        std::fs::write(Path::new(&path), plot::draw(&result.seen)).unwrap();
    }
}
