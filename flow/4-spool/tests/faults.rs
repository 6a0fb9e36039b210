//! Disks that say no, fall short, fill up, or change what they keep; and everything else that must not lose mail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{Ledger, ROOT, accept, body, body_files, content, envelope, open, settings, wait};
use postern_mail::Outage;
use postern_spool::{Disk, DiskFile, LoadError, Progress, RealDisk, Reason, RecipientState, SpoolError, SpoolSettings};
use postern_testkit::faulty_disk::FaultyDisk;

/// Some work that ends at the first error; large and small, notes and a flush.
async fn work(spool: &postern_spool::Spool, ledger: &Ledger) -> Result<(), Outage> {
    for name in 0..8 {
        let id = ledger.accept(spool, name, if name % 4 == 1 { 9_000 } else { 2_500 }).await?;
        ledger.record(spool, id, 1).await?;
        if name % 2 == 0 {
            ledger.finish(spool, id).await?;
        }
        if name % 3 == 0 {
            ledger.flush(spool).await?;
        }
    }
    Ok(())
}

/// The failing disk is met by a run, the next run starts without a power cut, works, and then the power goes.
fn survives(prepare: &dyn Fn(&FaultyDisk), context: &str) -> bool {
    let (disk, ledger) = (FaultyDisk::new(), Ledger::default());
    // Opening is not the subject: it fails or it does not.
    let (spool, ..) = open(settings(), Arc::new(disk.clone())).unwrap();
    prepare(&disk);
    let outcome = wait(work(&spool, &ledger));
    if outcome.is_err() {
        assert!(spool.begin().is_err(), "{context}: nothing more is taken after a failure");
        assert!(matches!(wait(spool.poisoned()), Outage::Disk(_)), "{context}");
        assert!(wait(spool.flush()).is_err(), "{context}");
    }
    spool.close();
    let next = disk.after_kill();
    let (spool, report, found) = open(settings(), Arc::new(next.clone())).unwrap();
    assert!(report.damage.is_empty(), "{context}: {:?}", report.damage);
    wait(ledger.check(&spool, &found));
    ledger.settle(&spool, &found);
    wait(async {
        let id = ledger.accept(&spool, 50, 700).await.unwrap();
        ledger.record(&spool, id, 4).await.unwrap();
        ledger.flush(&spool).await.unwrap();
    });
    drop(spool);
    for seed in 0..4 {
        let (spool, report, found) = open(settings(), Arc::new(next.survivors(seed))).unwrap();
        assert!(report.damage.is_empty(), "{context}, then a cut with seed {seed}: {:?}", report.damage);
        wait(ledger.check(&spool, &found));
    }
    outcome.is_err()
}

#[test]
fn whichever_sync_fails_nothing_is_acknowledged_by_it_and_nothing_before_it_is_lost() {
    let mut failures = 0;
    for count in 1..60 {
        failures += u32::from(survives(&|disk| disk.fail_sync(count), &format!("sync {count} failed")));
    }
    assert!(failures > 20, "{failures}");
}

#[test]
fn whichever_write_fails_nothing_is_acknowledged_by_it_and_nothing_before_it_is_lost() {
    let mut failures = 0;
    for count in 1..40 {
        failures += u32::from(survives(&|disk| disk.fail_write(count), &format!("write {count} failed")));
    }
    assert!(failures > 15, "{failures}");
}

#[test]
fn short_writes_are_continued() {
    assert!(!survives(&FaultyDisk::write_short, "short writes"));
}

#[test]
fn a_full_disk_refuses_new_mail_and_lets_the_queue_get_emptier() {
    let disk = FaultyDisk::new();
    let (spool, ..) = open(settings(), Arc::new(disk.clone())).unwrap();
    let ledger = Ledger::default();
    wait(async {
        let mut ids = vec![ledger.accept(&spool, 1, 3_000).await.unwrap()];
        // A log needs two segments to go around in; the watermark sees to it that there is room for the second.
        while spool.stats().segments_waiting == 0 {
            tokio::task::yield_now().await;
        }
        disk.limit_to(disk.used() + 4_096);
        let refused = loop {
            match ledger.accept(&spool, 2, 3_000).await {
                Ok(id) => ids.push(id),
                Err(outage) => break outage,
            }
            assert!(ids.len() < 100, "a full disk has an end");
        };
        assert_eq!(refused, Outage::DiskFull);
        for id in &ids {
            ledger.record(&spool, *id, 1).await.unwrap();
        }
        ledger.flush(&spool).await.unwrap();
        for id in &ids {
            ledger.finish(&spool, *id).await.unwrap();
        }
        ledger.flush(&spool).await.unwrap();
        // Nothing was poisoned, and the freed segments serve again without a larger disk.
        let mut tries = 0;
        while ledger.accept(&spool, 3, 3_000).await.is_err() {
            tries += 1;
            assert!(tries < 1_000_000, "the freed space never came back: {:?}", spool.stats());
            tokio::task::yield_now().await;
        }
    });
    spool.close();
    let (spool, report, found) = open(settings(), Arc::new(disk)).unwrap();
    assert!(report.damage.is_empty());
    wait(ledger.check(&spool, &found));
}

#[test]
fn a_large_body_that_does_not_fit_the_disk_is_refused_alone() {
    let disk = FaultyDisk::new();
    let (spool, ..) = open(settings(), Arc::new(disk.clone())).unwrap();
    wait(accept(&spool, &body(1, 100))).unwrap();
    // Room for the segments that are being prepared, but not for this body.
    disk.limit_to(disk.used() + (200 << 10));
    assert_eq!(wait(accept(&spool, &body(2, 900_000))), Err(Outage::DiskFull));
    assert!(spool.stats().messages == 1);
}

#[test]
fn below_the_watermark_nothing_is_begun() {
    let disk = FaultyDisk::new();
    disk.limit_to(1 << 20);
    let settings = SpoolSettings { free_space_min: 2 << 20, ..settings() };
    let (spool, ..) = open(settings, Arc::new(disk)).unwrap();
    assert_eq!(spool.check_room(), Err(Outage::DiskFull));
    assert!(spool.begin().is_err());
}

fn three_messages() -> (FaultyDisk, Vec<postern_mail::MessageId>) {
    let disk = FaultyDisk::new();
    let (spool, ..) = open(settings(), Arc::new(disk.clone())).unwrap();
    let ids = (1..=3).map(|name| wait(accept(&spool, &body(name, 2_000))).unwrap()).collect();
    spool.close();
    (disk, ids)
}

fn first_segment() -> PathBuf {
    PathBuf::from(format!("{ROOT}/log/0000000001.seg"))
}

#[test]
fn a_damaged_group_in_the_middle_is_told_of_and_set_aside_and_the_rest_is_served() {
    let (disk, ids) = three_messages();
    // Each message is a group of one block; the second lies at the third block.
    disk.corrupt(&first_segment(), 2 * 4_096 + 1_000, &[0xff; 64]);
    let (spool, report, found) = open(settings(), Arc::new(disk.clone())).unwrap();
    assert_eq!(report.damage.len(), 1);
    assert_eq!(report.damage[0].set_aside.as_deref(), Some("0000000001.seg"));
    assert_eq!(found.iter().map(|m| m.id).collect::<Vec<_>>(), [ids[2], ids[0]]);
    assert!(matches!(wait(spool.load(ids[1])), Err(LoadError::NotFound)));
    assert!(disk.files().contains_key(Path::new(&format!("{ROOT}/damaged/0000000001.seg"))));
    assert_eq!(wait(content(&spool, ids[2])), body(3, 2_000));
}

#[test]
fn single_records_of_a_damaged_group_are_salvaged() {
    let (disk, ids) = three_messages();
    // Only the group's header is gone; the record in it is whole.
    disk.corrupt(&first_segment(), 2 * 4_096, &[0; 16]);
    let (spool, report, found) = open(settings(), Arc::new(disk)).unwrap();
    assert_eq!((report.damage.len(), found.len()), (1, 3));
    assert_eq!(wait(content(&spool, ids[1])), body(2, 2_000));
}

#[test]
fn body_files_are_not_cleaned_up_when_records_were_lost() {
    let disk = FaultyDisk::new();
    let (spool, ..) = open(settings(), Arc::new(disk.clone())).unwrap();
    wait(accept(&spool, &body(1, 9_000))).unwrap();
    wait(accept(&spool, &body(2, 100))).unwrap();
    spool.close();
    disk.corrupt(&first_segment(), 4_096 + 80, &[0xff; 16]);
    let (_spool, report, found) = open(settings(), Arc::new(disk.clone())).unwrap();
    assert_eq!((report.damage.len(), found.len()), (1, 1));
    assert_eq!(body_files(&disk.files()).len(), 1);
}

#[test]
fn a_body_file_outlives_its_message_until_the_end_is_durable() {
    let disk = FaultyDisk::new();
    let patient = SpoolSettings { finished_delay: std::time::Duration::from_secs(3_600), ..settings() };
    let (spool, ..) = open(patient, Arc::new(disk.clone())).unwrap();
    wait(async {
        let id = accept(&spool, &body(1, 9_000)).await.unwrap();
        spool.finish(id).await.unwrap();
        // A discarded message sets the upkeep thread to removing files.
        let mut other = spool.begin().unwrap();
        other.write(&body(2, 9_000)).await.unwrap();
        drop(other);
        while body_files(&disk.files()).len() == 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(body_files(&disk.files()), [id.to_string()]);
    });
    let (_spool, report, found) = open(settings(), Arc::new(disk.after_kill())).unwrap();
    assert_eq!((report.damage.len(), found.len()), (0, 1), "its end was not durable, so it is all there");
}

#[test]
fn closing_writes_what_waits_even_when_it_needs_another_segment() {
    let disk = FaultyDisk::new();
    let (spool, ..) = open(settings(), Arc::new(disk.clone())).unwrap();
    let ledger = Ledger::default();
    wait(async {
        let mut tasks = tokio::task::JoinSet::new();
        for name in 0..60 {
            let (spool, ledger) = (spool.clone(), ledger.clone());
            tasks.spawn(async move { ledger.accept(&spool, name, 3_500).await });
        }
        // All of them are queued when the first is through, and they take several segments.
        tasks.join_next().await.unwrap().unwrap().unwrap();
        tokio::task::spawn_blocking({
            let spool = spool.clone();
            move || spool.close()
        })
        .await
        .unwrap();
        while tasks.join_next().await.is_some() {}
        assert!(spool.finish(postern_mail::MessageId(1)).await.is_err() && ledger.accept(&spool, 99, 10).await.is_err());
    });
    let (spool, _, found) = open(settings(), Arc::new(disk)).unwrap();
    assert!(found.len() >= 30, "{}", found.len());
    wait(ledger.check(&spool, &found));
}

#[test]
fn one_lost_header_of_a_segment_is_made_up_for_by_its_copy() {
    let (disk, _) = three_messages();
    disk.corrupt(&first_segment(), 0, &[0xff; 512]);
    let (_spool, report, found) = open(settings(), Arc::new(disk)).unwrap();
    assert!(report.damage.is_empty());
    assert_eq!(found.len(), 3);
}

#[test]
fn a_segment_without_any_header_is_set_aside_before_it_goes() {
    let (disk, _) = three_messages();
    disk.corrupt(&first_segment(), 0, &[0xff; 512]);
    disk.corrupt(&first_segment(), (72 << 10) - 4_096, &[0xff; 512]);
    let (spool, report, found) = open(settings(), Arc::new(disk.clone())).unwrap();
    assert_eq!((report.damage.len(), found.len()), (1, 0));
    assert!(disk.files().contains_key(Path::new(&format!("{ROOT}/damaged/0000000001.seg"))));
    wait(accept(&spool, &body(9, 100))).unwrap();
}

#[test]
fn a_changed_octet_of_a_body_is_an_error_and_never_other_bytes() {
    let disk = FaultyDisk::new();
    let (spool, ..) = open(settings(), Arc::new(disk.clone())).unwrap();
    let small = wait(accept(&spool, &body(1, 2_000))).unwrap();
    let large = wait(accept(&spool, &body(2, 300_000))).unwrap();
    disk.corrupt(&first_segment(), 4_096 + 1_500, b"?");
    disk.corrupt(Path::new(&format!("{ROOT}/bodies/{large}")), 299_000, b"?");
    assert!(matches!(wait(spool.load(small)), Err(LoadError::Damaged { .. })));
    wait(async {
        let mut stored = spool.load(large).await.unwrap();
        assert!(stored.body.next_piece().await.unwrap().is_some(), "the pieces before the last come out");
        assert!(matches!(stored.body.next_piece().await, Err(LoadError::Damaged { .. })));
    });
}

#[test]
fn a_commit_that_nobody_waits_for_any_more_is_not_kept() {
    let disk = FaultyDisk::new();
    let (spool, ..) = open(settings(), Arc::new(disk.clone())).unwrap();
    wait(async {
        for length in [100, 9_000] {
            let mut writer = spool.begin().unwrap();
            writer.write(&body(1, length)).await.unwrap();
            let envelope = envelope(1);
            let mut commit = Box::pin(writer.commit(&envelope));
            // Polled until the message is queued for its group, and then dropped at whatever moment that is.
            for _ in 0..3 {
                tokio::select! {
                    biased;
                    _ = &mut commit => break,
                    () = tokio::task::yield_now() => {}
                }
            }
        }
        accept(&spool, &body(2, 100)).await.unwrap();
        spool.flush().await.unwrap();
    });
    spool.close();
    let (_spool, _, found) = open(settings(), Arc::new(disk.clone())).unwrap();
    // A commit that was ready within three polls was acknowledged, all others must be gone: never more than one is left over by chance.
    assert!(found.iter().any(|m| m.size == 100));
    let large = found.iter().filter(|m| m.size == 9_000).count();
    assert_eq!(body_files(&disk.files()).len(), large);
}

#[test]
fn two_servers_cannot_share_a_spool() {
    let disk = FaultyDisk::new();
    let first = open(settings(), Arc::new(disk.clone())).unwrap();
    assert!(matches!(open(settings(), Arc::new(disk.clone())), Err(SpoolError::Locked(_))));
    drop(first);
    assert!(open(settings(), Arc::new(disk)).is_ok());
}

#[test]
fn two_servers_cannot_share_a_spool_on_a_real_disk() {
    let dir = tempfile::tempdir().unwrap();
    let settings = SpoolSettings { dir: dir.path().join("spool"), ..settings() };
    let first = open(settings.clone(), Arc::new(RealDisk)).unwrap();
    assert!(matches!(open(settings.clone(), Arc::new(RealDisk)), Err(SpoolError::Locked(_))));
    drop(first);
    assert!(open(settings, Arc::new(RealDisk)).is_ok());
}

#[test]
fn a_spool_of_a_newer_format_is_refused_with_a_plain_sentence() {
    let (disk, _) = three_messages();
    disk.put(Path::new(&format!("{ROOT}/format")), b"postern-spool 3\n".to_vec());
    let before = disk.files();
    let Err(error) = open(settings(), Arc::new(disk.clone())) else { panic!("a newer format was opened") };
    assert!(error.to_string().contains("has format 3, and this postern reads formats up to 2"), "{error}");
    assert!(disk.files() == before, "nothing is touched");
}

#[test]
fn a_log_without_its_format_is_refused() {
    let (disk, _) = three_messages();
    postern_spool::Disk::remove(&disk, format!("{ROOT}/format").as_ref()).unwrap();
    assert!(matches!(open(settings(), Arc::new(disk)), Err(SpoolError::NoFormat(_))));
}

#[test]
fn settings_may_change_between_runs() {
    let (disk, ids) = three_messages();
    let larger = SpoolSettings { segment_bytes: 256 << 10, group_bytes_max: 32 << 10, body_inline_max: 8 << 10, ..settings() };
    for settings in [larger, settings()] {
        let (spool, report, found) = open(settings, Arc::new(disk.clone())).unwrap();
        assert!(report.damage.is_empty());
        assert!(found.len() >= 3);
        assert_eq!(wait(content(&spool, ids[0])), body(1, 2_000));
        for name in 0..60 {
            let id = wait(accept(&spool, &body(name, 4_000))).unwrap();
            wait(spool.finish(id)).unwrap();
        }
        spool.close();
    }
    let (_spool, report, found) = open(settings(), Arc::new(disk)).unwrap();
    assert_eq!((report.damage.len(), found.len()), (0, 3));
}

#[test]
fn ids_grow_over_restarts_even_when_all_messages_are_gone() {
    let disk = FaultyDisk::new();
    let mut last = postern_mail::MessageId(0);
    for _ in 0..3 {
        let (spool, ..) = open(settings(), Arc::new(disk.clone())).unwrap();
        let id = wait(accept(&spool, b"x")).unwrap();
        assert!(id > last);
        last = id;
        wait(spool.finish(id)).unwrap();
        spool.close();
    }
}

#[test]
fn limits_that_do_not_fit_each_other_are_told_before_anything_is_made() {
    let disk = FaultyDisk::new();
    let wrong = SpoolSettings { segment_bytes: 32 << 10, ..settings() };
    assert!(matches!(open(wrong, Arc::new(disk.clone())), Err(SpoolError::Settings(_))));
    assert!(disk.files().is_empty());
}

#[test]
fn messages_are_readable_while_they_are_moved_about() {
    let disk = FaultyDisk::new();
    let (spool, ..) = open(settings(), Arc::new(disk.clone())).unwrap();
    wait(async {
        let first = accept(&spool, &body(1, 3_000)).await.unwrap();
        let large = accept(&spool, &body(2, 9_000)).await.unwrap();
        spool.record(first, &Progress { attempts: 5, ..Progress::fresh(2) }).await.unwrap();
        for name in 3..150 {
            let id = accept(&spool, &body(name, 3_500)).await.unwrap();
            assert!(content(&spool, first).await == body(1, 3_000));
            assert_eq!(spool.load_envelope(first).await.unwrap().1.attempts, 5);
            assert!(content(&spool, large).await == body(2, 9_000));
            spool.finish(id).await.unwrap();
        }
        assert!(spool.stats().cleaned_bytes > 3_000, "{:?}", spool.stats());
        assert!(spool.stats().segments <= 5, "{:?}", spool.stats());
    });
}

#[test]
fn long_replies_of_next_hops_never_keep_what_became_of_recipients_from_being_recorded() {
    let (spool, ..) = open(settings(), Arc::new(FaultyDisk::new())).unwrap();
    wait(async {
        let writer = spool.begin().unwrap();
        let id = writer.commit(&envelope(100)).await.unwrap().id();
        let mut progress = Progress::fresh(100);
        for recipient in &mut progress.recipients {
            let text = "x".repeat(postern_spool::REASON_BYTES_MAX);
            recipient.last = Some(Reason { status: None, by: "mx.example".into(), text: text.into() });
        }
        progress.recipients[7].state = RecipientState::Delivered;
        spool.record(id, &progress).await.unwrap();
        let (_, kept, _) = spool.load_envelope(id).await.unwrap();
        assert_eq!(kept.recipients[7].state, RecipientState::Delivered);
        assert_eq!(kept.open().count(), 99);
    });
}

/// A disk on which no file can be opened any more.
struct OutOfFiles(FaultyDisk);

impl Disk for OutOfFiles {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir(path)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        // Segments of the log can be made, bodies cannot.
        if path.starts_with(Path::new(ROOT).join("bodies")) {
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error()));
        }
        self.0.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.0.open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.0.list(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.sync_dir(dir)
    }

    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        self.0.free_space(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        self.0.lock(path)
    }
}

#[test]
fn too_many_open_files_refuse_large_messages_and_do_not_stop_the_spool() {
    let (spool, ..) = open(settings(), Arc::new(OutOfFiles(FaultyDisk::new()))).unwrap();
    wait(async {
        assert_eq!(accept(&spool, &body(1, 9_000)).await.unwrap_err(), Outage::Overload);
        accept(&spool, &body(2, 700)).await.expect("a small one needs no file");
    });
}
