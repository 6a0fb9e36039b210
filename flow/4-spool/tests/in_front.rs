//! What is read back and put in front of a message once it is all there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::sync::Arc;

use common::{body, content, envelope, open, settings, wait};
use postern_testkit::faulty_disk::FaultyDisk;

/// In the log, and in a file of its own.
const LENGTHS: [usize; 3] = [0, 700, 9_000];

#[test]
fn a_message_is_read_back_before_it_is_committed_whether_it_is_in_memory_or_in_a_file() {
    let (spool, ..) = open(settings(), Arc::new(FaultyDisk::new())).unwrap();
    for length in LENGTHS {
        let written = body(7, length);
        wait(async {
            let mut writer = spool.begin().unwrap();
            writer.write(&written).await.unwrap();
            assert_eq!(writer.size(), length as u64);
            for max in [0, 1, 699, 4_096, 8_999, usize::MAX] {
                let read = writer.read_back(max).await.unwrap();
                assert_eq!(&*read, &written[..max.min(length)], "{length} octets, the first {max}");
            }
            let id = writer.commit(&envelope(1)).await.unwrap().id();
            assert_eq!(content(&spool, id).await, written);
        });
    }
}

#[test]
fn what_is_put_in_front_stands_in_front_now_and_after_a_start_and_what_came_later_stands_first() {
    let disk = FaultyDisk::new();
    let (spool, ..) = open(settings(), Arc::new(disk.clone())).unwrap();
    let ids: Vec<_> = LENGTHS
        .iter()
        .map(|length| {
            wait(async {
                let mut writer = spool.begin().unwrap();
                writer.write(&body(7, *length)).await.unwrap();
                writer.put_in_front(b"Second: field\r\n");
                writer.put_in_front(b"First: field\r\n");
                writer.commit(&envelope(1)).await.unwrap().id()
            })
        })
        .collect();
    let as_it_should_be = |length| [b"First: field\r\nSecond: field\r\n".as_slice(), &body(7, length)].concat();
    for (id, length) in ids.iter().zip(LENGTHS) {
        assert_eq!(wait(content(&spool, *id)), as_it_should_be(length));
    }
    spool.close();
    let (spool, _, found) = open(settings(), Arc::new(disk)).unwrap();
    for (id, length) in ids.iter().zip(LENGTHS) {
        let message = found.iter().find(|message| message.id == *id).unwrap();
        assert_eq!(message.size, as_it_should_be(length).len() as u64);
        assert_eq!(wait(content(&spool, *id)), as_it_should_be(length));
    }
}

#[test]
fn a_message_may_be_held_from_its_first_moment_and_is_after_a_start() {
    let disk = FaultyDisk::new();
    let (spool, ..) = open(settings(), Arc::new(disk.clone())).unwrap();
    let ids: Vec<_> = LENGTHS
        .iter()
        .map(|length| {
            wait(async {
                let mut writer = spool.begin().unwrap();
                writer.write(&body(7, *length)).await.unwrap();
                writer.hold("a person looks at it");
                writer.commit(&envelope(2)).await.unwrap().id()
            })
        })
        .collect();
    for id in &ids {
        let (_, progress, _) = wait(spool.load_envelope(*id)).unwrap();
        assert_eq!((progress.held.as_deref(), progress.open().count()), (Some("a person looks at it"), 2));
    }
    spool.close();
    let (_spool, _, found) = open(settings(), Arc::new(disk)).unwrap();
    assert_eq!(found.len(), ids.len());
    for message in found {
        assert_eq!(message.progress.held.as_deref(), Some("a person looks at it"));
    }
}

#[test]
fn a_message_that_is_not_to_leave_before_a_moment_is_not_after_a_start_either() {
    let disk = FaultyDisk::new();
    let (spool, ..) = open(settings(), Arc::new(disk.clone())).unwrap();
    let due = postern_mail::envelope::UnixMillis(1_900_000_000_000);
    wait(async {
        let mut writer = spool.begin().unwrap();
        writer.write(&body(7, 100)).await.unwrap();
        writer.not_before(due);
        writer.commit(&envelope(2)).await.unwrap()
    });
    spool.close();
    let (_spool, _, found) = open(settings(), Arc::new(disk)).unwrap();
    assert_eq!((found[0].progress.due, &found[0].progress.held), (due, &None));
}

#[test]
fn a_message_is_rewritten_as_a_whole_whether_it_was_or_becomes_one_in_a_file() {
    let disk = FaultyDisk::new();
    let (spool, ..) = open(settings(), Arc::new(disk.clone())).unwrap();
    let mut expected = Vec::new();
    for (before, after) in LENGTHS.into_iter().flat_map(|before| LENGTHS.map(|after| (before, after))) {
        wait(async {
            let mut writer = spool.begin().unwrap();
            writer.write(&body(7, before)).await.unwrap();
            writer.put_in_front(b"Gone: field\r\n");
            writer.rewrite(&body(8, after)).await.unwrap();
            writer.put_in_front(b"Kept: field\r\n");
            expected.push((writer.commit(&envelope(1)).await.unwrap().id(), after));
        });
    }
    spool.close();
    let (spool, report, found) = open(settings(), Arc::new(disk)).unwrap();
    assert!(report.damage.is_empty() && found.len() == expected.len(), "{report:?}");
    for (id, after) in expected {
        assert_eq!(wait(content(&spool, id)), [b"Kept: field\r\n".as_slice(), &body(8, after)].concat());
    }
}
