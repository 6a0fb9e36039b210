//! `postern ban mirror`: a process of its own, beside the server, that keeps sets of nftables in step with the bans. The server itself has no
//! power over the kernel's filter, and starts no program.
//!
//! Promises: each step is one transaction of `nft -f`, so that the kernel never sees half a set; nothing but networks, times and ports that have been
//! read and printed anew goes into it, whatever the server says; and when this process ends, bans still end by themselves.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use postern_mail::client::Subnet;

use crate::cli::Stop;
use crate::cli::ask::ask;
use crate::control::bans::{BanOrder, Mirrored};
use crate::control::{Answer, Order};
use crate::offline::Source;
use crate::wire::clock;

/// Between two steps at least, so that a flood of bans does not become a flood of transactions; and between tries to reach the server.
const PAUSE: Duration = Duration::from_secs(1);
/// Each step writes the whole table: with so many networks the pause is as long again.
const NETWORKS_A_SECOND: usize = 10_000;
/// The longest time an element is given. What is banned for longer is written again with any change, and is turned away by the server meanwhile.
const TIMEOUT_MAX: u64 = 366 * 86_400;

/// What the mirror was asked to do.
pub(crate) struct Mirror {
    pub table: String,
    pub once: bool,
    pub dry_run: bool,
}

/// Follows the server until it is stopped.
pub(crate) fn run(source: &Source, mirror: &Mirror) -> Result<(), Stop> {
    if mirror.table.is_empty() || !mirror.table.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(Stop(2, format!("{:?} is no name for a table: letters, digits and _", mirror.table)));
    }
    let mut after = None;
    let mut reached = true;
    let mut pause = PAUSE;
    loop {
        let mirrored = match ask(source, Order::Ban(BanOrder::Mirror { after })) {
            Ok(Answer::BanMirror(mirrored)) => mirrored,
            Ok(Answer::Failed { exit, error }) => return Err(Stop(exit, error)),
            Ok(_) => return Err(Stop(1, "the server gave another answer than was asked for".to_owned())),
            Err(stop) if mirror.once || mirror.dry_run => return Err(stop),
            Err(Stop(_, words)) => {
                // It may be restarting. What is banned stays so meanwhile, and ends by itself.
                if reached {
                    eprintln!("postern: {words}; trying again every second");
                }
                (reached, after) = (false, None);
                std::thread::sleep(PAUSE);
                continue;
            }
        };
        reached = true;
        if after != Some(mirrored.revision) {
            let script = script(&mirror.table, &mirrored, clock().0);
            if mirror.dry_run {
                say!("{}", script.trim_end());
                return Ok(());
            }
            match nft("nft", &script) {
                Ok(()) => {}
                Err(stop) if mirror.once => return Err(stop),
                Err(Stop(_, words)) => {
                    // What the kernel did not take now it may take later: another program may hold the table, or memory may be short.
                    eprintln!("postern: {words}; trying again");
                    std::thread::sleep(pause);
                    continue;
                }
            }
            pause = pause_after(mirrored.banned.len());
            if after.is_none() {
                eprintln!("postern: table inet {} is in step: {} networks", mirror.table, mirrored.banned.len());
            }
            after = Some(mirrored.revision);
        }
        if mirror.once {
            return Ok(());
        }
        std::thread::sleep(pause);
    }
}

/// So that a flood does not keep the kernel busy with writing the same networks again each second.
fn pause_after(networks: usize) -> Duration {
    PAUSE.saturating_mul(u32::try_from(networks / NETWORKS_A_SECOND).unwrap_or(u32::MAX).saturating_add(1))
}

/// The whole of the table, as one transaction.
fn script(table: &str, mirrored: &Mirrored, now: u64) -> String {
    let read = |text: &String| text.parse::<Subnet>().ok();
    let banned: Vec<(Subnet, Option<u64>)> =
        mirrored.banned.iter().filter_map(|(text, until)| read(text).map(|network| (network, *until))).collect();
    let spared: Vec<Subnet> = mirrored.spared.iter().filter_map(read).collect();
    let ports: Vec<String> = mirrored.ports.iter().map(ToString::to_string).collect();
    let mut script = format!("add table inet {table}\n");
    // A `String` never refuses what is written into it.
    for (family, kind) in [("4", "ipv4_addr"), ("6", "ipv6_addr")] {
        let _ = writeln!(script, "add set inet {table} banned{family} {{ type {kind}; flags interval, timeout; }}");
        let _ = writeln!(script, "add set inet {table} spared{family} {{ type {kind}; flags interval; auto-merge; }}");
        let _ = writeln!(script, "flush set inet {table} banned{family}\nflush set inet {table} spared{family}");
    }
    let _ = writeln!(script, "add chain inet {table} input {{ type filter hook input priority -10; policy accept; }}");
    let _ = writeln!(script, "flush chain inet {table} input");
    if !ports.is_empty() {
        // Before anything else: whatever is banned, who is spared comes in, and so does what belongs to a connection of a client that has
        // logged in since.
        let rules = [
            "ip saddr @spared4 return".to_owned(),
            "ip6 saddr @spared6 return".to_owned(),
            format!("tcp dport {{ {} }} tcp flags & (syn | ack) == syn ip saddr @banned4 drop", ports.join(", ")),
            format!("tcp dport {{ {} }} tcp flags & (syn | ack) == syn ip6 saddr @banned6 drop", ports.join(", ")),
        ];
        for rule in rules {
            let _ = writeln!(script, "add rule inet {table} input {rule}");
        }
    }
    let is_v4 = |network: &Subnet| network.address().is_ipv4();
    for (family, v4) in [("4", true), ("6", false)] {
        let element = |(network, until): &(Subnet, Option<u64>)| match until {
            None => Some(network.to_string()),
            // Rounded up: the kernel counts in seconds here, and the server would let nobody in before.
            Some(until) if *until > now => Some(format!("{network} timeout {}s", (until - now).div_ceil(1000).min(TIMEOUT_MAX))),
            Some(_) => None,
        };
        elements(
            &mut script,
            table,
            &format!("banned{family}"),
            banned.iter().filter(|(n, _)| is_v4(n) == v4).filter_map(element),
        );
        elements(&mut script, table, &format!("spared{family}"), spared.iter().filter(|n| is_v4(n) == v4).map(Subnet::to_string));
    }
    script
}

fn elements(script: &mut String, table: &str, set: &str, elements: impl Iterator<Item = String>) {
    let elements: Vec<String> = elements.collect();
    if !elements.is_empty() {
        let _ = writeln!(script, "add element inet {table} {set} {{ {} }}", elements.join(", "));
    }
}

fn nft(program: &str, script: &str) -> Result<(), Stop> {
    let failed = |what: String| Stop(1, format!("nft: {what}"));
    let mut child = Command::new(program)
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("{error}; it comes with the package nftables")))?;
    // Its input is closed before it is waited for.
    let written = child.stdin.take().map_or(Ok(()), |mut input| input.write_all(script.as_bytes()));
    // Waited for whatever came of it, or each try would leave a dead process; and one that fails has said why, which says more than a closed pipe.
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        return Err(failed(format!("{status}; the kernel's sets are as they were before")));
    }
    written.map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_networks_times_and_ports_goes_into_the_script() {
        let mirrored = Mirrored {
            revision: 1,
            banned: vec![
                ("192.0.2.0/24".to_owned(), Some(11_500)),
                ("198.51.100.7/32".to_owned(), None),
                ("203.0.113.1/32".to_owned(), Some(9_000)),
                ("2001:db8::/64".to_owned(), None),
                ("2001:db8:1::/64".to_owned(), Some(u64::MAX)),
                ("192.0.2.1 }\nflush ruleset\n".to_owned(), None),
            ],
            spared: vec!["10.0.0.0/8".to_owned(), "x".to_owned()],
            ports: vec![25, 465],
        };
        let script = script("postern", &mirrored, 10_000);
        assert!(!script.contains("ruleset"), "{script}");
        assert!(script.contains("banned4 { 192.0.2.0/24 timeout 2s, 198.51.100.7/32 }"), "{script}");
        assert!(script.contains("banned6 { 2001:db8::/64, 2001:db8:1::/64 timeout 31622400s }"), "{script}");
        assert!(script.contains("spared4 { 10.0.0.0/8 }"), "{script}");
        assert!(!script.contains("203.0.113.1"), "it has ended: {script}");
        assert!(script.contains("dport { 25, 465 }"), "{script}");
    }

    #[test]
    fn a_program_that_fails_before_it_has_read_all_is_waited_for_and_its_end_is_told() {
        // More than fits into a pipe.
        let script = "add table inet postern\n".repeat(100_000);
        let Err(Stop(1, words)) = nft("false", &script) else { panic!("it is believed") };
        assert!(words.contains("exit status: 1"), "{words}");
        let Err(Stop(1, words)) = nft("true", &script) else { panic!("it has not read the script") };
        assert!(words.contains("Broken pipe"), "{words}");
    }

    #[test]
    fn the_more_networks_there_are_the_less_often_they_are_written() {
        assert_eq!((pause_after(0), pause_after(9_999), pause_after(100_000)), (PAUSE, PAUSE, PAUSE * 11));
    }
}
