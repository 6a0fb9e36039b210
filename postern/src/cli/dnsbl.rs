//! `postern dnsbl`: how lists are that are asked by DNS.

use clap::Subcommand;

use crate::cli::print::{table, when};
use crate::control::dnsbl::DnsLists;

#[derive(Subcommand)]
pub(crate) enum DnsblVerb {
    /// Each list: whether it works, how quick it is, and whom it would have refused.
    Status,
}

/// Shows them.
pub(crate) fn print(lists: &DnsLists) {
    if lists.lists.is_empty() {
        say!("no lists are asked; name some: [[policy.dnsbl]]");
        return;
    }
    let mut shown =
        table(&["list", "of", "mode", "state", "asked", "listed", "no answer", "unusable", "median", "slowest", "would refuse"]);
    for list in &lists.lists {
        let time = |millis: Option<u32>| millis.map(|millis| format!("{millis} ms")).unwrap_or_default();
        let would = match list.mode.as_str() {
            "observe" => format!("{} ({} known good, {} accepted)", list.would_refuse, list.known_good, list.accepted),
            _ => String::new(),
        };
        shown.add_row([
            list.zone.clone(),
            list.target.clone(),
            list.mode.clone(),
            list.state.clone(),
            list.asked.to_string(),
            list.listed.to_string(),
            (list.silent + list.failed).to_string(),
            list.unusable.to_string(),
            time(list.median_ms),
            time(list.slowest_ms),
            would,
        ]);
    }
    say!("{shown}");
    for list in &lists.lists {
        if let Some(why) = &list.why {
            let (since, until) = (list.since.map(when).unwrap_or_default(), list.until.map(when).unwrap_or_default());
            say!("PARKED       {} since {since}, looked at again {until}: {why}", list.zone);
        }
    }
}
