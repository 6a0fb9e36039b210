//! What the kernel tells about processes and about the machine: processor time and memory of a server with all its children, and how much
//! of the machine others used meanwhile.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::time::Duration;

use crate::load::now;

/// The kernel counts processor time for users of /proc in hundredths of a second (`USER_HZ`, the same on all machines Linux runs on today).
const TICKS_PER_SECOND: f64 = 100.0;

/// One process, as /proc/PID/stat tells it.
#[derive(Debug, PartialEq)]
struct Process {
    parent: u32,
    /// Its own time and that of the children it has waited for.
    ticks: u64,
}

/// The name may hold spaces and brackets, so the fields are counted from the last bracket.
fn parse_process(stat: &str) -> Option<Process> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let parent = u32::try_from(number(1)?).ok()?;
    Some(Process { parent, ticks: number(11)? + number(12)? + number(13)? + number(14)? })
}

fn processes() -> HashMap<u32, Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return HashMap::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| Some((pid, parse_process(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?)))
        .collect()
}

/// The processes that descend from `root`, itself first.
fn descendants(root: u32, all: &HashMap<u32, Process>) -> Vec<u32> {
    let mut found = vec![root];
    let mut known: HashSet<u32> = found.iter().copied().collect();
    let mut index = 0;
    while let Some(parent) = found.get(index).copied() {
        for (pid, process) in all {
            if process.parent == parent && known.insert(*pid) {
                found.push(*pid);
            }
        }
        index += 1;
    }
    found
}

/// The process and all that descend from it.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    descendants(root, &processes())
}

/// Processor seconds used so far by these processes and everything they started.
#[expect(clippy::cast_precision_loss, reason = "seconds for people to read")]
fn processor_seconds(roots: &[u32]) -> f64 {
    let all = processes();
    let every = roots.iter().flat_map(|root| descendants(*root, &all));
    let ticks: u64 = every.filter_map(|pid| all.get(&pid)).map(|process| process.ticks).sum();
    ticks as f64 / TICKS_PER_SECOND
}

/// A value of /proc/PID/status in KiB.
fn status_kib(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Resident memory of a process and all that descend from it, in KiB. Memory that processes share is counted for each.
pub(crate) fn resident_kib(root: u32) -> u64 {
    let resident = |pid: &u32| status_kib(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmRSS");
    tree(root).iter().filter_map(resident).sum()
}

/// Processor seconds of all cores that were not idle, since the machine was started: the first line of /proc/stat.
#[expect(clippy::cast_precision_loss, reason = "seconds for people to read")]
fn parse_busy(stat: &str) -> Option<f64> {
    let numbers: Vec<u64> = stat.lines().next()?.split_ascii_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal; guest time is within user time. Interrupts are nobody's: most are our own packets.
    let busy: u64 = [0, 1, 2, 7].iter().filter_map(|index| numbers.get(*index)).sum();
    Some(busy as f64 / TICKS_PER_SECOND)
}

fn busy_seconds() -> f64 {
    fs::read_to_string("/proc/stat").ok().and_then(|stat| parse_busy(&stat)).unwrap_or(0.0)
}

pub(crate) fn cores() -> f64 {
    std::thread::available_parallelism().ok().and_then(|count| u32::try_from(count.get()).ok()).map_or(1.0, f64::from)
}

/// Measures a while: what a server used, and what share of the machine neither it nor we used.
pub(crate) struct Watch {
    /// The server's first process, and that of what it asks, if that is another.
    roots: Vec<u32>,
    server: f64,
    ours: f64,
    busy: f64,
    began: std::time::Instant,
}

/// What a [`Watch`] saw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// Of the server and all it started.
    pub(crate) processor_seconds: f64,
    /// Of the machine's processors, from 0 to 1.
    pub(crate) others: f64,
}

impl Watch {
    pub(crate) fn start(roots: Vec<u32>) -> Self {
        let server = processor_seconds(&roots);
        Self { roots, server, ours: own_seconds(), busy: busy_seconds(), began: now() }
    }

    pub(crate) fn stop(&self) -> Seen {
        let (busy, ours, took) = (busy_seconds(), own_seconds(), self.began.elapsed().as_secs_f64());
        let used = (processor_seconds(&self.roots) - self.server).max(0.0);
        let others = (busy - self.busy) - (ours - self.ours) - used;
        Seen { processor_seconds: used, others: (others / (took * cores()).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0) }
    }
}

/// Our own, without the servers we started.
#[expect(clippy::cast_precision_loss, reason = "seconds for people to read")]
fn own_seconds() -> f64 {
    let own = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| {
        let fields: Vec<u64> = stat.rsplit_once(')')?.1.split_ascii_whitespace().map(|word| word.parse().unwrap_or(0)).collect();
        Some(fields.get(11)? + fields.get(12)?)
    });
    own.unwrap_or(0) as f64 / TICKS_PER_SECOND
}

/// Waits until less than a quarter of the machine is used, but no longer than this. True when it became quiet.
pub(crate) fn wait_for_quiet(patience: Duration) -> bool {
    let began = now();
    loop {
        let (busy, at) = (busy_seconds(), now());
        std::thread::sleep(Duration::from_millis(300));
        let share = (busy_seconds() - busy) / (at.elapsed().as_secs_f64() * cores());
        if share < 0.25 {
            return true;
        }
        if began.elapsed() > patience {
            return false;
        }
    }
}

/// The three averages of how many wanted to run.
pub(crate) fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_ascii_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// Processor, cores, memory, kernel and system, for a reader who wants to compare.
pub(crate) fn description() -> String {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':')).map_or("", |(_, name)| name.trim());
    let memory = fs::read_to_string("/proc/meminfo").ok().and_then(|text| status_kib(&text, "MemTotal")).unwrap_or(0) / 1_048_576;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let system = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("").trim_matches('"');
    format!("{} cores of {model}, {memory} GiB, Linux {}, {system}", cores(), kernel.trim())
}

/// As many open files as the kernel lets us have: ten thousand connections need as many. Servers we start inherit it.
pub(crate) fn raise_open_files() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_may_hold_brackets_and_spaces() {
        let stat = "42 (tls) mgr (x) S 7 42 42 0 -1 4194560 1 2 3 4 100 20 3 4 20 0 1 0 5 6 7";
        assert_eq!(parse_process(stat), Some(Process { parent: 7, ticks: 127 }));
    }

    #[test]
    fn a_tree_holds_grandchildren_and_no_strangers() {
        let process = |parent| Process { parent, ticks: 1 };
        let all = HashMap::from([(1, process(0)), (2, process(1)), (3, process(2)), (4, process(0))]);
        let mut found = descendants(1, &all);
        found.sort_unstable();
        assert_eq!(found, [1, 2, 3]);
    }

    #[test]
    fn waiting_for_the_disk_is_not_busy() {
        assert_eq!(parse_busy("cpu  100 0 100 5000 9999 0 50 50 0 0\ncpu0 1"), Some(2.5));
    }

    #[test]
    fn memory_is_read_by_its_whole_name() {
        assert_eq!(status_kib("VmHWM:\t 900 kB\nVmRSSx:\t1 kB\nVmRSS:\t  812 kB\n", "VmRSS"), Some(812));
    }
}
