//! Giving up power: after the ports are bound, root is dropped, then the process locks itself in.
//!
//! Promise: by the time the first octet of a stranger is read, this process can start no other program, and (where the kernel has
//! Landlock) can open no file but those the configuration names. Everything here runs before the first thread is started, since Linux
//! keeps these things per thread.

use std::io::{self, Cursor};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus,
    path_beneath_rules,
};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Gid, Resource, Rlimit, Uid, getrlimit, setrlimit};

/// What could be had of this kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Confinement {
    /// The user we became, if we were root.
    pub became: Option<String>,
    /// `full`, `partial` or `none`, and why.
    pub landlock: &'static str,
    /// Whether the system call filter is in force.
    pub seccomp: bool,
    /// What Landlock leaves within reach; none where there is no Landlock.
    reach: Option<Reach>,
}

impl Confinement {
    /// None at all.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self { became: None, landlock: "none", seccomp: false, reach: None }
    }

    /// The first folder of `wanted` that is out of reach for as long as this process lives, if there is one: what a new configuration names
    /// and the one at the start did not.
    #[must_use]
    pub(crate) fn out_of_reach(&self, wanted: &Reach) -> Option<PathBuf> {
        let had = self.reach.as_ref()?;
        let within = |folders: &[PathBuf], path: &Path| folders.iter().any(|folder| path.starts_with(folder));
        let written = wanted.write.iter().find(|path| !within(&had.write, &resolved(path)));
        let read = wanted.read.iter().find(|path| {
            let path = resolved(path);
            path.exists() && !within(&had.read, &path) && !within(&had.write, &path)
        });
        written.or(read).cloned()
    }
}

/// A path without links, as far as it is there.
fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let there = absolute.ancestors().find_map(|above| Some((above, std::fs::canonicalize(above).ok()?)));
    match there {
        Some((above, real)) => absolute.strip_prefix(above).map_or(real.clone(), |rest| real.join(rest)),
        None => absolute,
    }
}

/// What the process may still touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    #[cfg(target_arch = "x86_64")]
    "fork",
    #[cfg(target_arch = "x86_64")]
    "vfork",
    "execve",
    "execveat",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "mount",
    "umount2",
    "pivot_root",
    "chroot",
    "setns",
    "unshare",
    "bpf",
    "perf_event_open",
    "kexec_load",
    "kexec_file_load",
    "init_module",
    "finit_module",
    "delete_module",
    "keyctl",
    "add_key",
    "request_key",
    "userfaultfd",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "personality",
    "reboot",
    "swapon",
    "swapoff",
    "acct",
    "settimeofday",
    "clock_settime",
    "adjtimex",
    "sethostname",
    "setdomainname",
    "quotactl",
    "open_by_handle_at",
    "name_to_handle_at",
    "kcmp",
    "mknodat",
    "move_pages",
    "migrate_pages",
];

struct User {
    uid: Uid,
    gid: Gid,
    /// What it is a member of besides.
    groups: Vec<Gid>,
}

fn user(name: &str) -> io::Result<User> {
    // The user must be in the local file: a directory service would have to be asked over a network before the sandbox stands.
    let passwd = std::fs::read_to_string("/etc/passwd")?;
    let fields = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.first() == Some(&name))
        .ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("there is no user {name:?}; make it with: useradd --system {name}"))
        })?;
    let number = |index: usize| fields.get(index).and_then(|field| field.parse::<u32>().ok());
    match (number(2), number(3)) {
        (Some(0), _) => Err(io::Error::other(format!("user {name:?} is root; name another one in [server] user"))),
        (Some(uid), Some(gid)) => {
            let groups = groups_of(name, &std::fs::read_to_string("/etc/group").unwrap_or_default());
            Ok(User { uid: Uid::from_raw(uid), gid: Gid::from_raw(gid), groups })
        }
        _ => Err(io::Error::other(format!("user {name:?} has no numbers in /etc/passwd"))),
    }
}

/// The groups that have a user among their members, by the local file as well. An operator adds the user to the group of a filter whose socket is
/// not for everybody. That of root stays behind with root.
fn groups_of(name: &str, file: &str) -> Vec<Gid> {
    let number = |line: &str| {
        let mut fields = line.split(':');
        let gid = fields.nth(2)?.parse::<u32>().ok()?;
        (gid != 0 && fields.next()?.split(',').any(|member| member.trim() == name)).then(|| Gid::from_raw(gid))
    };
    file.lines().filter_map(number).take(GROUPS_MAX).collect()
}

/// More no user has; the kernel takes 65,536.
const GROUPS_MAX: usize = 1_024;

/// How deep below the data directory we look for what is to be handed over; nothing of ours lies deeper.
const DEPTH_MAX: usize = 16;

/// From here on, what this process makes is for its own user alone: mail, accounts, keys, and the control socket from the moment it is
/// bound.
pub(crate) fn keep_private() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

/// Raises the limit of open files as far as the system lets us, and says where it is.
#[must_use]
pub(crate) fn open_files_max() -> usize {
    let now = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX))
}

/// Hands over what root made below a folder, to the user the server will run as.
///
/// That user may have been taken over, and the folder is its own: nothing in it may talk root into giving away something else. So links are
/// not followed, each thing is looked at and handed over as the same open file, and what has a second name elsewhere is left alone.
fn hand_over(folder: &OwnedFd, user: &User, depth: usize) -> io::Result<()> {
    give(folder, user)?;
    if depth >= DEPTH_MAX {
        return Ok(());
    }
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let thing = match rustix::fs::openat(folder, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
            Ok(thing) => thing,
            // Taken away while we looked.
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(error.into()),
        };
        match FileType::from_raw_mode(rustix::fs::fstat(&thing)?.st_mode) {
            FileType::Directory => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                match rustix::fs::openat(&thing, ".", flags, Mode::empty()) {
                    Ok(below) => hand_over(&below, user, depth + 1)?,
                    // Root without the power over other users' files: then this is another user's, and so the server's own already.
                    Err(Errno::ACCESS) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            _ => give(&thing, user)?,
        }
    }
    Ok(())
}

/// Only what root owns is given: the rest is the user's already, or somebody's who knows why.
fn give(thing: &OwnedFd, user: &User) -> io::Result<()> {
    let found = rustix::fs::fstat(thing)?;
    let is_folder = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
    if found.st_uid == 0 && (is_folder || found.st_nlink == 1) {
        rustix::fs::chownat(thing, "", Some(user.uid), Some(user.gid), AtFlags::EMPTY_PATH)?;
    }
    Ok(())
}

/// Makes folders that the server will write to, while it can. What it makes belongs to the user it will run as; in folders that are not
/// root's nothing is made as root, since their owner could turn its steps elsewhere.
fn make_folders(folders: &[PathBuf], user: &User) -> io::Result<()> {
    for folder in folders {
        let missing: Vec<&Path> = folder.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).collect();
        let Some(above) = missing.last().and_then(|highest| highest.parent()) else { continue };
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        if rustix::fs::stat(above)?.st_uid != 0 {
            continue;
        }
        for path in missing.into_iter().rev() {
            std::fs::create_dir(path)?;
            rustix::fs::chownat(rustix::fs::CWD, path, Some(user.uid), Some(user.gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
    }
    Ok(())
}

/// Drops root, if we are root. Returns the name of the user we became. The first of `folders`, which the server will write to, is the data
/// directory: what root made in it is handed over.
///
/// # Errors
/// When the user does not exist, or the kernel refuses: then the server must not start.
pub(crate) fn drop_root(to: &str, folders: &[PathBuf]) -> io::Result<Option<String>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let user = user(to)?;
    make_folders(folders, &user)?;
    if let Some(data_dir) = folders.first() {
        // A link in its place is the operator's own.
        match rustix::fs::open(data_dir, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(data_dir) => hand_over(&data_dir, &user, 0)?,
            // Not there yet, or another user's: then the server's own already, since this is root, if one without power over others' files.
            Err(Errno::NOENT | Errno::ACCESS) => {}
            Err(error) => return Err(error.into()),
        }
    }
    rustix::thread::set_thread_groups(&user.groups)?;
    rustix::thread::set_thread_res_gid(user.gid, user.gid, user.gid)?;
    rustix::thread::set_thread_res_uid(user.uid, user.uid, user.uid)?;
    if rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).is_ok() {
        return Err(io::Error::other("root could be taken back after it was dropped"));
    }
    Ok(Some(to.to_owned()))
}

/// Locks the process in: no new privileges, Landlock, seccomp. What the kernel lacks is reported, not an error.
#[must_use]
pub(crate) fn confine(mut reach: Reach, became: Option<String>) -> Confinement {
    // Landlock names folders, not paths: one that is not there now is out of reach when it comes.
    for folders in [&mut reach.write, &mut reach.read] {
        *folders = folders.iter().filter_map(|folder| std::fs::canonicalize(folder).ok()).collect();
    }
    let no_new = rustix::thread::set_no_new_privs(true).is_ok();
    let landlock =
        if no_new { landlock(&reach).unwrap_or("none: the rules were refused") } else { "none: no_new_privs was refused" };
    let reach = Some(reach).filter(|_| !landlock.starts_with("none"));
    Confinement { became, landlock, seccomp: no_new && seccomp().is_ok(), reach }
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

#[cfg(test)]
mod tests;
