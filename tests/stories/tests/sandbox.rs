//! What the process may still do once it serves strangers: nothing as root, no other program, few files.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use postern_testkit::peers::root;

use crate::prelude::*;

/// A field of `/proc/PID/task/*/status`, of every thread.
fn of_every_thread(pid: u32, field: &str) -> Vec<String> {
    std::fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok())
        .map(|status| {
            let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_else(|| panic!("{field} in {status}"));
            line.trim_start_matches(':').split_whitespace().collect::<Vec<_>>().join(" ")
        })
        .collect()
}

#[test]
fn every_thread_is_without_new_privileges_and_filtered() {
    let mut postern = Setup::new().start();
    from_stranger(&postern, ALICE, "so that every thread exists");
    let _ = postern.maildir(ALICE).wait_for(1, LONG);
    let pid = postern.program().pid();
    let threads = of_every_thread(pid, "NoNewPrivs");
    assert!(threads.len() > 2);
    assert!(threads.iter().all(|value| value == "1"), "{threads:?}");
    // 2: a filter is in force.
    assert!(of_every_thread(pid, "Seccomp").iter().all(|value| value == "2"));
}

#[test]
fn slow_hashes_give_way_in_the_server_that_has_locked_itself_in() {
    let mut postern = Setup::new().start();
    let tasks = std::fs::read_dir(format!("/proc/{}/task", postern.program().pid())).unwrap();
    let stats = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    // Behind the name in brackets: the state is field 3, the niceness field 19.
    let hashers: Vec<i32> = stats
        .filter_map(|stat| stat.split_once("(hash) ").map(|(_, fields)| fields.split(' ').nth(16).unwrap().parse().unwrap()))
        .collect();
    assert!(!hashers.is_empty() && hashers.iter().all(|niceness| *niceness >= 10), "{hashers:?}");
}

#[test]
fn root_is_dropped_in_every_thread() {
    require!(root());
    let mut postern = Setup::new().start();
    let pid = postern.program().pid();
    for field in ["Uid", "Gid"] {
        let values = of_every_thread(pid, field);
        assert!(values.iter().all(|value| value.split(' ').all(|id| id != "0")), "{field}: {values:?}");
    }
    for field in ["CapEff", "CapPrm"] {
        let values = of_every_thread(pid, field);
        assert!(values.iter().all(|value| value == "0000000000000000"), "{field}: {values:?}");
    }
    assert!(of_every_thread(pid, "Groups").iter().all(String::is_empty));
}

#[test]
fn a_user_that_does_not_exist_is_an_error_and_not_root() {
    require!(root());
    let postern = Setup::new().with("server", "user", "\"no-such-user\"").prepare();
    let output = postern.run(&["serve"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no-such-user"));
}

fn open_to_others(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let metadata = entry.path().symlink_metadata().unwrap();
        if metadata.mode() & 0o007 == 0 {
            continue;
        }
        if metadata.is_dir() {
            open_to_others(&entry.path(), found);
        } else {
            found.push(format!("{} {:o}", entry.path().display(), metadata.mode()));
        }
    }
}

#[test]
fn other_users_of_the_machine_read_neither_mail_nor_keys() {
    let postern = with_alice(Setup::new());
    from_stranger(&postern, ALICE, "private");
    let _ = postern.maildir(ALICE).wait_for(1, LONG);
    let data = postern.data_dir();
    let mut found = Vec::new();
    if data.metadata().unwrap().mode() & 0o007 != 0 {
        open_to_others(&data, &mut found);
    }
    assert!(found.is_empty(), "{found:#?}");
}
