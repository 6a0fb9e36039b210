//! What greylisting remembers of each triplet and of each known network, in octets of this process.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a measurement")]

use std::net::Ipv4Addr;
use std::time::Duration;

use postern_mail::envelope::UnixMillis;
use postern_outcome::greylist::{GreyKey, GreySettings, Greylist};

const MANY: u32 = 200_000;

fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

fn main() {
    let settings = GreySettings {
        delay: Duration::from_secs(300),
        window: Duration::from_secs(86_400),
        known_for: Duration::from_secs(30 * 86_400),
        memory: 1 << 30,
    };
    let before = resident();
    let mut book = Greylist::restored(1, []);
    let mut each = |now: u64| {
        for n in 0..MANY {
            // Each of a network of its own: the dearest case.
            let client = Ipv4Addr::from(0x0b00_0000 + (n << 8)).into();
            let _ =
                book.attempt(UnixMillis(now), &settings, GreyKey { client, sender: "a@there.test", recipient: "b@here.test" });
            if n % 64 == 0 {
                drop(book.take_changes());
            }
        }
        (book.counts(), book.octets(), resident() - before)
    };
    for (what, now) in [("waiting", 1_000), ("known", 600_000)] {
        let (counts, reckoned, taken) = each(now);
        let per_row = taken / u64::from(MANY);
        println!("{MANY} {what} {counts:?}: {per_row} octets each, reckoned with {}", reckoned / 200_000);
    }
}
