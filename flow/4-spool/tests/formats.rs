//! Data directories of the versions that were released. `format-1` was written by version 1 of this code, `format-2` by version 2; they
//! must open in every later one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{ROOT, accept, body, content, envelope, open, settings, wait};
use postern_mail::reply::Status;
use postern_spool::{Progress, Reason, read_records_once};
use postern_testkit::faulty_disk::FaultyDisk;

/// What a later stage puts before a message.
const FRONT: &[u8] = b"Authentication-Results: here.example; none\r\n";
const FILES: [&str; 4] = ["format", "log", "bodies", "damaged"];

fn stored(version: u32) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/format-{version}"))
}

fn progress() -> Progress {
    let mut progress =
        Progress { attempts: 3, delay_reported: true, held: Some("a person looks at it".into()), ..Progress::fresh(2) };
    progress.recipients[1].last =
        Some(Reason { status: Some(Status::new(4, 2, 2)), by: "mx.example.net".into(), text: "452 4.2.2 mailbox full".into() });
    progress
}

/// Copies a stored directory onto a disk in memory.
fn load(version: u32) -> FaultyDisk {
    let disk = FaultyDisk::new();
    for name in FILES {
        let path = stored(version).join(name);
        if path.is_file() {
            disk.put(&Path::new(ROOT).join(name), std::fs::read(path).unwrap());
            continue;
        }
        for entry in std::fs::read_dir(path).into_iter().flatten() {
            let entry = entry.unwrap();
            disk.put(&Path::new(ROOT).join(name).join(entry.file_name()), std::fs::read(entry.path()).unwrap());
        }
    }
    disk
}

#[test]
fn a_spool_of_format_1_opens_with_everything_in_it_and_is_of_format_2_from_then_on() {
    let disk = load(1);
    let (spool, report, found) = open(settings(), Arc::new(disk.clone())).unwrap();
    assert_eq!(disk.files()[&Path::new(ROOT).join("format")], b"postern-spool 2\n");
    assert!(report.damage.is_empty() && !report.torn_tail, "{report:?}");
    let sizes: Vec<u64> = found.iter().map(|message| message.size).collect();
    assert_eq!(sizes, [9_000, 700]);
    assert_eq!(found[0].progress, Progress::fresh(2));
    assert_eq!(found[1].progress, progress());
    for message in &found {
        assert_eq!(message.envelope, envelope(2));
    }
    assert_eq!(wait(content(&spool, found[0].id)), body(3, 9_000));
    assert_eq!(wait(content(&spool, found[1].id)), body(1, 700));
    wait(accept(&spool, &body(4, 100))).unwrap();
}

#[test]
fn a_spool_of_format_2_opens_with_what_was_put_in_front_of_a_body_in_a_file() {
    let (spool, report, found) = open(settings(), Arc::new(load(2))).unwrap();
    assert!(report.damage.is_empty() && !report.torn_tail, "{report:?}");
    let in_file = found.iter().find(|message| message.size == 9_000 + FRONT.len() as u64).unwrap();
    assert_eq!(wait(content(&spool, in_file.id)), [FRONT, &body(3, 9_000)].concat());
}

#[test]
fn reading_the_records_once_finds_every_message_and_changes_nothing() {
    let disk = load(1);
    let before = disk.files();
    // Two in the queue, and one that is finished and not cleaned away.
    assert_eq!(read_records_once(&disk, Path::new(ROOT)).unwrap(), 3);
    assert_eq!(disk.files(), before);
}

/// Writes `tests/format-N` anew; only for a new version, never again for a released one.
#[test]
#[ignore = "writes the directory that the other tests read"]
fn write_the_directory_of_this_version() {
    let disk = FaultyDisk::new();
    let (spool, ..) = open(settings(), Arc::new(disk.clone())).unwrap();
    wait(async {
        let first = accept(&spool, &body(1, 700)).await.unwrap();
        let second = accept(&spool, &body(2, 800)).await.unwrap();
        let mut writer = spool.begin().unwrap();
        writer.write(&body(3, 9_000)).await.unwrap();
        writer.put_in_front(FRONT);
        writer.commit(&envelope(2)).await.unwrap();
        spool.record(first, &progress()).await.unwrap();
        spool.finish(second).await.unwrap();
        spool.flush().await.unwrap();
    });
    spool.close();
    for (path, bytes) in disk.files() {
        let inside = path.strip_prefix(ROOT).unwrap();
        let unused = inside.starts_with("log") && !inside.ends_with("0000000001.seg");
        if !unused && inside != Path::new("lock") {
            let path = stored(2).join(inside);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }
}
