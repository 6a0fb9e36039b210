//! Handing over, tried as root; without root there is nothing to hand over, and these say so.

use std::os::unix::fs::{MetadataExt as _, symlink};

use super::*;

fn nobody() -> User {
    User { uid: Uid::from_raw(65_534), gid: Gid::from_raw(65_534), groups: Vec::new() }
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: only root can hand anything over");
    }
    root
}

fn hand_over_below(folder: &Path) {
    let open = rustix::fs::open(folder, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    hand_over(&open, &nobody(), 0).unwrap();
}

fn owner(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().uid()
}

#[test]
fn what_root_made_is_handed_over_with_everything_below() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
    std::fs::write(folder.path().join("a/b/file"), "x").unwrap();
    hand_over_below(folder.path());
    for path in ["", "a", "a/b", "a/b/file"] {
        assert_eq!(owner(&folder.path().join(path)), 65_534, "{path}");
    }
}

#[test]
fn a_link_in_the_data_directory_does_not_give_away_what_it_leads_to() {
    if !is_root() {
        return;
    }
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (secret, below) = (elsewhere.path().join("secret"), elsewhere.path().join("below"));
    std::fs::write(&secret, "x").unwrap();
    std::fs::create_dir(&below).unwrap();
    symlink(&secret, folder.path().join("file")).unwrap();
    symlink(&below, folder.path().join("folder")).unwrap();
    // A second name for the same file: nothing tells which of the two root meant.
    std::fs::hard_link(&secret, folder.path().join("second name")).unwrap();
    hand_over_below(folder.path());
    assert_eq!((owner(&secret), owner(&below)), (0, 0));
}

#[test]
fn folders_are_made_for_the_user_but_not_in_folders_of_others() {
    if !is_root() {
        return;
    }
    let (roots, others) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    rustix::fs::chown(others.path(), Some(Uid::from_raw(12_345)), None).unwrap();
    let folders = [roots.path().join("a/b"), others.path().join("a/b")];
    make_folders(&folders, &nobody()).unwrap();
    assert_eq!((owner(&folders[0]), owner(&roots.path().join("a"))), (65_534, 65_534));
    assert!(!others.path().join("a").exists());
}

#[test]
fn every_refused_call_is_known_on_this_machine() {
    // A name that is not known here would make the whole filter fail.
    let rules: Vec<_> = REFUSED_CALLS.iter().map(|call| serde_json::json!({ "syscall": call })).collect();
    let filter = serde_json::json!({ "a": { "mismatch_action": "allow", "match_action": { "errno": 1 }, "filter": rules } });
    seccompiler::compile_from_json(Cursor::new(filter.to_string()), std::env::consts::ARCH.try_into().unwrap()).unwrap();
}

#[test]
fn what_a_new_configuration_names_beyond_the_sandbox_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        std::fs::canonicalize(path).unwrap()
    };
    let (data, etc, other) = (at("data"), at("etc"), at("other"));
    symlink(&other, data.join("link")).unwrap();
    let had = Reach { write: vec![data.clone()], read: vec![etc.clone()] };
    let confinement = Confinement { became: None, landlock: "full", seccomp: true, reach: Some(had) };
    let beyond =
        |write: &[PathBuf], read: &[PathBuf]| confinement.out_of_reach(&Reach { write: write.to_vec(), read: read.to_vec() });
    assert_eq!(beyond(&[data.join("mail/not there yet")], &[etc.join("tls"), data.clone()]), None);
    assert_eq!(beyond(std::slice::from_ref(&other), &[]), Some(other.clone()));
    assert_eq!(beyond(std::slice::from_ref(&etc), &[]), Some(etc.clone()), "what may be read may not be written");
    assert_eq!(beyond(&[], std::slice::from_ref(&other)), Some(other.clone()));
    assert_eq!(beyond(&[data.join("link/mail")], &[]), Some(data.join("link/mail")), "a link leads out");
    let free = Confinement { reach: None, ..confinement.clone() };
    assert_eq!(free.out_of_reach(&Reach { write: vec![other], read: vec![] }), None, "no Landlock, nothing out of reach");
}

#[test]
fn neither_the_unit_nor_our_own_filter_keeps_slow_hashes_from_giving_way() {
    let unit = include_str!("../../../packaging/postern.service");
    let mut allowed = false;
    // As systemd reads them: each line adds to what the lines above have left, or takes from it.
    for line in unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        let (names, adds) = line.strip_prefix('~').map_or((line, true), |names| (names, false));
        if names.split(' ').any(|name| ["setpriority", "@resources", "@system-service"].contains(&name)) {
            allowed = adds;
        }
    }
    assert!(allowed, "{unit}");
    assert!(!REFUSED_CALLS.contains(&"setpriority"));
}

#[test]
fn a_user_keeps_the_groups_it_is_a_member_of_but_not_that_of_root() {
    let file = "root:x:0:postern\nopendkim:x:115:postfix,postern\nposternal:x:116:posternal\nclamav:x:117: postern\nbroken:x:nine:postern\nshort:x:118\n";
    let numbers = |name| groups_of(name, file).into_iter().map(Gid::as_raw).collect::<Vec<_>>();
    assert_eq!(numbers("postern"), [115, 117]);
    assert_eq!(numbers("poster"), [0; 0]);
}
