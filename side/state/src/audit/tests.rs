//! The chain: what breaks it, where, and what only a kept hash can show.

use std::fs;

use super::*;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

fn log(acts: u64) -> (tempfile::TempDir, PathBuf, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let audit = Audit::open(folder.path(), NOW, Keep::default()).unwrap();
    let hashes = (0..acts)
        .map(|number| {
            let what = format!("queue hold {number}");
            audit.append(NOW, Act { who: "uid:0", what: &what, reason: "\"odd\"\n\u{202e}", result: "done" }).unwrap()
        })
        .collect();
    let file = path(folder.path());
    (folder, file, hashes)
}

fn broken(file: &Path) -> String {
    verify(file, None, |_| {}).unwrap_err().to_string()
}

fn lines(file: &Path) -> Vec<String> {
    fs::read_to_string(file).unwrap().lines().map(|line| format!("{line}\n")).collect()
}

#[test]
fn an_untouched_log_verifies_and_goes_on_after_a_restart() {
    let (folder, file, hashes) = log(3);
    let audit = Audit::open(folder.path(), NOW, Keep::default()).unwrap();
    let head = audit.append(NOW, Act { who: "signal", what: "reload", reason: "", result: "done" }).unwrap();
    let mut whats = Vec::new();
    let verified = verify(&file, Some(&hashes[1]), |entry| whats.push(entry.what)).unwrap();
    assert_eq!(verified, Verified { entries: 4, first: 1, head, kept: Some(2) });
    assert_eq!(whats, ["queue hold 0", "queue hold 1", "queue hold 2", "reload"]);
}

#[test]
fn a_changed_entry_is_found() {
    let (_folder, file, _) = log(4);
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("queue hold 1", "queue hold 9")).unwrap();
    assert!(broken(&file).contains("at entry 2: it was changed"), "{}", broken(&file));
}

#[test]
fn a_removed_entry_and_two_that_changed_places_are_found() {
    let (_folder, file, _) = log(4);
    let whole = lines(&file);
    fs::write(&file, [&whole[..1], &whole[2..]].concat().concat()).unwrap();
    assert!(broken(&file).contains("at entry 2: it does not follow"), "{}", broken(&file));
    fs::write(&file, whole[1..].concat()).unwrap();
    assert!(broken(&file).contains("at entry 1"), "{}", broken(&file));
    fs::write(&file, [&whole[0], &whole[2], &whole[1], &whole[3]].map(String::as_str).concat()).unwrap();
    assert!(broken(&file).contains("at entry 2: it does not follow"), "{}", broken(&file));
}

#[test]
fn a_log_that_was_cut_off_is_found_only_with_a_hash_that_was_kept() {
    let (_folder, file, hashes) = log(4);
    fs::write(&file, lines(&file)[..2].concat()).unwrap();
    assert_eq!(verify(&file, None, |_| {}).unwrap().entries, 2, "nothing in the file tells that there was more");
    assert_eq!(verify(&file, Some(&hashes[3]), |_| {}), Err(Broken::Missing { entries: 2, first: 1 }));
    assert_eq!(verify(&file, Some(&hashes[1]), |_| {}).unwrap().kept, Some(2));
}

#[test]
fn a_last_line_torn_by_a_crash_is_cut_off_and_that_is_said() {
    let (folder, file, _) = log(3);
    let whole = fs::read_to_string(&file).unwrap();
    for keep in [1, 20, 100] {
        let torn = format!("{whole}{}", &whole[..keep]);
        fs::write(&file, torn).unwrap();
        assert_eq!(verify(&file, None, |_| {}), Err(Broken::Torn { entry: 3 }));
        drop(Audit::open(folder.path(), NOW, Keep::default()).unwrap());
        let mut last = None;
        assert_eq!(verify(&file, None, |entry| last = Some(entry)).unwrap().entries, 4);
        assert!(last.unwrap().result.contains(&format!("{keep} octets of an unfinished entry")));
    }
}

#[test]
fn a_broken_chain_stays_broken_when_it_goes_on() {
    let (folder, file, _) = log(3);
    let whole = lines(&file);
    fs::write(&file, [&whole[..2], &["nonsense\n".to_owned()]].concat().concat()).unwrap();
    Audit::open(folder.path(), NOW, Keep::default())
        .unwrap()
        .append(NOW, Act { who: "a", what: "b", reason: "", result: "" })
        .unwrap();
    assert!(broken(&file).contains("at entry 3: it is not an entry"), "{}", broken(&file));
}

#[test]
fn an_entry_is_bounded_and_hostile_text_stays_on_its_line() {
    let (folder, file, _) = log(0);
    let audit = Audit::open(folder.path(), NOW, Keep::default()).unwrap();
    let long = "\u{1}\n".repeat(100_000);
    audit.append(NOW, Act { who: &long, what: &long, reason: &long, result: &long }).unwrap();
    assert_eq!(lines(&file).len(), 1);
    assert!(fs::metadata(&file).unwrap().len() < LINE_BYTES_MAX as u64);
    assert!(verify(&file, None, |_| {}).is_ok());
}

#[test]
fn an_entry_that_could_not_be_written_or_taken_back_ends_the_log_until_the_next_start() {
    let (folder, file, _) = log(2);
    let audit = Audit::open(folder.path(), NOW, Keep::default()).unwrap();
    let act = Act { who: "a", what: "b", reason: "", result: "" };
    // A file that cannot be written stands for a disk that says no.
    audit.lock().file = File::open(&file).unwrap();
    assert!(audit.append(NOW, act).is_err());
    audit.lock().file = OpenOptions::new().append(true).open(&file).unwrap();
    assert!(audit.append(NOW, act).unwrap_err().to_string().contains("the next start"));
    assert_eq!(verify(&file, None, |_| {}).unwrap().entries, 2);
    Audit::open(folder.path(), NOW, Keep::default()).unwrap().append(NOW, act).unwrap();
    assert_eq!(verify(&file, None, |_| {}).unwrap().entries, 3);
}

/// Some thousand octets a file, and two full ones.
const SMALL: Keep = Keep { bytes: 2_000, files: 2 };

#[test]
fn the_chain_goes_on_over_files_of_which_the_oldest_go_and_it_is_said_from_where_on_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path());
    let what = "x".repeat(500);
    let mut hashes = Vec::new();
    for _ in 0..20 {
        // Each after a start of its own, for it must find the end of the chain wherever that is.
        let audit = Audit::open(folder.path(), NOW, SMALL).unwrap();
        hashes.push(audit.append(NOW, Act { who: "uid:0", what: &what, reason: "", result: "done" }).unwrap());
        assert!(files(&file).unwrap().iter().all(|file| fs::metadata(file).unwrap().len() <= SMALL.bytes));
    }
    let names = files(&file).unwrap();
    assert_eq!(names.len(), 3, "{names:?}");
    let mut numbers = Vec::new();
    let verified = verify(&file, Some(&hashes[18]), |entry| numbers.push(entry.n)).unwrap();
    assert_eq!(numbers, Vec::from_iter(verified.first..=20), "none is missing where a file ends");
    assert!(verified.first > 1 && verified.entries == 21 - verified.first, "{verified:?}");
    assert_eq!((verified.head.as_str(), verified.kept), (hashes[19].as_str(), Some(19)));
    let first = verified.first;
    assert_eq!(verify(&file, Some(&hashes[0]), |_| {}), Err(Broken::Missing { entries: 21 - first, first }));
    // A file of the middle that was removed breaks the chain, and so does one that is all that is left.
    let middle = fs::read(&names[1]).unwrap();
    fs::remove_file(&names[1]).unwrap();
    assert!(broken(&file).contains("it does not follow"), "{}", broken(&file));
    fs::write(&names[1], &middle).unwrap();
    assert!(verify(&file, None, |_| {}).is_ok());
    fs::remove_file(&names[0]).unwrap();
    fs::remove_file(&names[1]).unwrap();
    assert!(broken(&file).contains("at entry 1: it does not follow"), "{}", broken(&file));
}

#[test]
fn a_log_that_was_set_aside_just_before_a_crash_goes_on_behind_it() {
    let (folder, file, hashes) = log(3);
    files::set_aside(&file, 3, SMALL).unwrap();
    let audit = Audit::open(folder.path(), NOW, SMALL).unwrap();
    audit.append(NOW, Act { who: "signal", what: "reload", reason: "", result: "done" }).unwrap();
    let verified = verify(&file, Some(&hashes[2]), |_| {}).unwrap();
    assert_eq!((verified.entries, verified.first, verified.kept), (4, 1, Some(3)));
}

#[test]
fn a_log_that_cannot_be_set_aside_goes_on_where_it_is() {
    let (folder, file, _) = log(3);
    // What is there already is not written over.
    fs::write(file.with_extension("log.3"), "").unwrap();
    let audit = Audit::open(folder.path(), NOW, Keep { bytes: 1, files: 1 }).unwrap();
    audit.append(NOW, Act { who: "signal", what: "reload", reason: "", result: "done" }).unwrap();
    assert_eq!(lines(&file).len(), 4);
}
