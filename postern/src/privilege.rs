//! Giving up power: after the ports are bound, root is dropped, then the process locks itself in.
//!
//! Promise: by the time the first octet of a stranger is read, this process can start no other program, and (where the kernel has
//! Landlock) can open no file but those the configuration names. Everything here runs before the first thread is started, since Linux
//! keeps these things per thread.

use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus,
    path_beneath_rules,
};
use rustix::process::{Gid, Uid};

/// What could be had of this kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Confinement {
    /// The user we became, if we were root.
    pub became: Option<String>,
    /// `full`, `partial` or `none`, and why.
    pub landlock: &'static str,
    /// Whether the system call filter is in force.
    pub seccomp: bool,
}

/// What the process may still touch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reach {
    /// Read and write: data directory, mailboxes.
    pub write: Vec<PathBuf>,
    /// Read: configuration, certificates, password files.
    pub read: Vec<PathBuf>,
}

/// System calls a mail server never needs and an intruder wants: starting programs, looking into other processes, kernel
/// modules, mounts, namespaces, clocks. A list of what is refused, not of what is allowed: an allow-list breaks with every
/// library that learns a new call, and then gets turned off.
const REFUSED_CALLS: &[&str] = &[
    "execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev", "mount", "umount2", "pivot_root",
    "chroot", "setns", "unshare", "bpf", "perf_event_open", "kexec_load", "kexec_file_load", "init_module", "finit_module",
    "delete_module", "keyctl", "add_key", "request_key", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register",
    "personality", "reboot", "swapon", "swapoff", "acct", "settimeofday", "clock_settime", "adjtimex", "sethostname",
    "setdomainname", "quotactl", "open_by_handle_at", "name_to_handle_at", "kcmp", "mknodat", "move_pages", "migrate_pages",
];

struct User {
    uid: Uid,
    gid: Gid,
}

fn user(name: &str) -> io::Result<User> {
    // The user must be in the local file: a directory service would have to be asked over a network before the sandbox stands.
    let passwd = std::fs::read_to_string("/etc/passwd")?;
    let fields = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.first() == Some(&name))
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no user {name:?}; make it with: useradd --system {name}")))?;
    let number = |index: usize| fields.get(index).and_then(|field| field.parse::<u32>().ok());
    match (number(2), number(3)) {
        (Some(0), _) => Err(io::Error::other(format!("user {name:?} is root; name another one in [server] user"))),
        (Some(uid), Some(gid)) => Ok(User { uid: Uid::from_raw(uid), gid: Gid::from_raw(gid) }),
        _ => Err(io::Error::other(format!("user {name:?} has no numbers in /etc/passwd"))),
    }
}

/// Hands everything below a folder to the user the server will run as, when root made it. Links are handed over themselves, never what they
/// lead to.
///
/// # Errors
/// The disk's; a user that does not exist is no error here, but when the server starts.
pub(crate) fn hand_over(to: &str, folder: &Path) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let Ok(user) = user(to) else { return Ok(()) };
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        rustix::fs::chown(&folder, Some(user.uid), Some(user.gid))?;
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
                rustix::fs::chownat(rustix::fs::CWD, entry.path(), Some(user.uid), Some(user.gid), flags)?;
            }
        }
    }
    Ok(())
}

/// Drops root, if we are root. Returns the name of the user we became.
///
/// # Errors
/// When the user does not exist, or the kernel refuses: then the server must not start.
pub(crate) fn drop_root(to: &str, data_dir: &Path) -> io::Result<Option<String>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let user = user(to)?;
    std::fs::create_dir_all(data_dir)?;
    hand_over(to, data_dir)?;
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(user.gid, user.gid, user.gid)?;
    rustix::thread::set_thread_res_uid(user.uid, user.uid, user.uid)?;
    if rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).is_ok() {
        return Err(io::Error::other("root could be taken back after it was dropped"));
    }
    Ok(Some(to.to_owned()))
}

/// Lets the process have as many open files as it may: one for each connection, each segment of the log, each mailbox being written.
/// Gives how many that is.
#[must_use]
pub(crate) fn raise_file_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok() { maximum } else { current }
}

/// Locks the process in: no new privileges, Landlock, seccomp. What the kernel lacks is reported, not an error.
#[must_use]
pub(crate) fn confine(reach: &Reach, became: Option<String>) -> Confinement {
    let no_new = rustix::thread::set_no_new_privs(true).is_ok();
    let landlock = if no_new { landlock(reach).unwrap_or("none: the rules were refused") } else { "none: no_new_privs was refused" };
    Confinement { became, landlock, seccomp: no_new && seccomp().is_ok() }
}

fn landlock(reach: &Reach) -> Result<&'static str, landlock::RulesetError> {
    let abi = ABI::V5;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .create()?
        .add_rules(path_beneath_rules(&reach.read, AccessFs::from_read(abi) & !AccessFs::Execute))?
        .add_rules(path_beneath_rules(&reach.write, AccessFs::from_all(abi) & !AccessFs::Execute))?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => "full",
        RulesetStatus::PartiallyEnforced => "partial: the kernel is older than the rules",
        RulesetStatus::NotEnforced => "none: the kernel has no Landlock",
    })
}

fn seccomp() -> Result<(), Box<dyn std::error::Error>> {
    let rules: Vec<_> = REFUSED_CALLS.iter().map(|call| serde_json::json!({ "syscall": call })).collect();
    let filter = serde_json::json!({
        "postern": { "mismatch_action": "allow", "match_action": { "errno": 1 }, "filter": rules }
    });
    let programs = seccompiler::compile_from_json(Cursor::new(filter.to_string()), std::env::consts::ARCH.try_into()?)?;
    for program in programs.values() {
        seccompiler::apply_filter_all_threads(program)?;
    }
    Ok(())
}
