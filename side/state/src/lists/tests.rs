//! What lists from files and from commands say, what happens when files change or are wrong, and what survives a restart.

use std::sync::atomic::{AtomicBool, Ordering};

use postern_testkit::mmdb::{Record, database};
use tempfile::TempDir;

use super::*;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

struct Desk {
    folder: TempDir,
    store: Store,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        Self { folder, store }
    }

    /// A list file, put in the place of an older one as a whole, as programs do that fetch lists.
    fn file(&self, name: &str, text: &str) -> ListSettings {
        let file = self.folder.path().join(name);
        let partial = file.with_extension("new");
        fs::write(&partial, text).unwrap();
        fs::rename(&partial, &file).unwrap();
        ListSettings {
            file,
            format: Format::Text,
            of: None,
            action: Action::Block,
            mode: Mode::Enforce,
            listeners: vec![ListenerKind::Mx],
        }
    }

    fn settings(&self, lists: Vec<ListSettings>) -> FileSettings {
        FileSettings { lists, asns: None, countries: None, entries_max: 1000 }
    }

    fn lists(&self, lists: Vec<ListSettings>) -> Lists {
        let all = Lists::open(&self.store).unwrap();
        all.put(Files::read(self.settings(lists)).unwrap());
        all
    }
}

fn told(lists: &Lists, address: &str, listener: ListenerKind) -> Vec<String> {
    let listed = lists.listed(address.parse().unwrap(), listener, NOW);
    listed
        .iter()
        .map(|listed| {
            let list = listed.list.rsplit('/').next().unwrap();
            let observed = if listed.observed { " (observed)" } else { "" };
            format!("{list}: {} {} {}{observed}", listed.action, listed.subject, listed.reason).trim_end().to_owned()
        })
        .collect()
}

fn own(action: Action, reason: &str, until: Option<UnixMillis>) -> OwnEntry {
    OwnEntry { action, reason: reason.into(), until }
}

fn subject(text: &str) -> Subject {
    Subject::parse(text).unwrap()
}

#[test]
fn each_list_has_its_say_where_it_is_looked_at_and_in_its_mode() {
    let desk = Desk::new();
    let watched = ListSettings { mode: Mode::Observe, ..desk.file("watched", "192.0.2.7 ; seen\n") };
    let off = ListSettings { mode: Mode::Off, ..desk.file("off", "0.0.0.0/0\n") };
    let everywhere = vec![ListenerKind::Mx, ListenerKind::Submission];
    let scores = ListSettings {
        action: Action::Score(45),
        listeners: everywhere,
        ..desk.file("scores", "192.0.2.0/24\n192.0.2.7 allow\n")
    };
    let lists = desk.lists(vec![desk.file("blocked", "192.0.2.0/24 ; bad\n"), watched, off, scores]);
    assert_eq!(
        told(&lists, "192.0.2.7", ListenerKind::Mx),
        ["blocked: block 192.0.2.0/24 bad", "watched: block 192.0.2.7 seen (observed)", "scores: allow 192.0.2.7"]
    );
    assert_eq!(told(&lists, "::ffff:192.0.2.8", ListenerKind::Submission), ["scores: 4.5 192.0.2.0/24"]);
    assert!(told(&lists, "203.0.113.1", ListenerKind::Mx).is_empty());
}

#[test]
fn as_numbers_and_countries_are_found_by_the_databases_and_networks_before_them() {
    let desk = Desk::new();
    let asns = desk.folder.path().join("asns");
    fs::write(&asns, database("GeoLite2-ASN", &[("192.0.0.0/16", Record::Asn(64_500))])).unwrap();
    let countries = desk.folder.path().join("countries");
    fs::write(&countries, database("GeoLite2-Country", &[("192.0.2.0/24", Record::Country("DE"))])).unwrap();
    let list = desk.file("l", "AS64500 ; their network\nDE 2.0 ; their country\n192.0.3.3 exempt\n");
    let lists = Lists::open(&desk.store).unwrap();
    let blind = Files::read(desk.settings(vec![list.clone()])).unwrap().blind_spots();
    assert!(blind[0].contains("policy.asn_file") && blind[1].contains("policy.country_file"), "{blind:?}");
    let settings = FileSettings { asns: Some(asns), countries: Some(countries), ..desk.settings(vec![list]) };
    lists.put(Files::read(settings).unwrap());
    assert_eq!(lists.blind_spots(), Vec::<String>::new());
    assert_eq!(told(&lists, "192.0.2.1", ListenerKind::Mx), ["l: block AS64500 their network"]);
    assert_eq!(told(&lists, "192.0.3.3", ListenerKind::Mx), ["l: exempt 192.0.3.3"]);
    assert!(told(&lists, "203.0.113.1", ListenerKind::Mx).is_empty());
}

#[test]
fn everything_that_is_wrong_with_all_files_is_told_at_once() {
    let desk = Desk::new();
    let missing = ListSettings { file: desk.folder.path().join("missing"), ..desk.file("x", "") };
    let wrong = vec![desk.file("one", "192.0.2.0/24\nx\n"), missing, desk.file("two", "10.0.0.1/8\n")];
    let settings = FileSettings { asns: Some(desk.folder.path().join("asns")), ..desk.settings(wrong) };
    let told = Files::read(settings).err().unwrap();
    for words in ["one:2:1: ", "missing: ", "two:1:1: ", "the network is 10.0.0.0/8", "asns: the database of AS numbers"] {
        assert!(told.contains(words), "{words}\n{told}");
    }
    let many = FileSettings {
        entries_max: 3,
        ..desk.settings(vec![desk.file("a", "10.0.0.1\n10.0.0.2\n"), desk.file("b", "10.0.0.1\n10.0.0.2\n")])
    };
    assert!(Files::read(many).err().unwrap().contains("b: with it there are more entries than policy.list_entries_max"));
}

/// Looks twice, as the server does.
fn renew(lists: &Lists, looks: &mut Looks) -> Renewed {
    let first = lists.renew(looks);
    if first.unsettled { lists.renew(looks) } else { first }
}

#[test]
fn a_changed_file_is_taken_up_and_a_broken_one_leaves_what_was_there() {
    let desk = Desk::new();
    let (one, two) = (desk.file("one", "192.0.2.1\n"), desk.file("two", "192.0.2.2\n"));
    let lists = desk.lists(vec![one, two]);
    let looks = &mut Looks::default();
    assert_eq!(renew(&lists, looks), Renewed::default());
    let _ = desk.file("one", "192.0.2.1 ; changed\n");
    let renewed = renew(&lists, looks);
    assert!(renewed.taken.len() == 1 && renewed.taken[0].ends_with("one: 1 entries"), "{renewed:?}");
    let kept = || assert_eq!(told(&lists, "192.0.2.1", ListenerKind::Mx), ["one: block 192.0.2.1 changed"]);
    kept();
    // One feed is broken: it is told once, stays as it was, and the other goes on.
    let _ = desk.file("one", "nonsense\n");
    let _ = desk.file("two", "192.0.2.3\n");
    let renewed = renew(&lists, looks);
    assert!(renewed.wrong.len() == 1 && renewed.wrong[0].contains("one:1:1:"), "{renewed:?}");
    kept();
    assert_eq!(told(&lists, "192.0.2.3", ListenerKind::Mx).len(), 1);
    assert_eq!(renew(&lists, looks), Renewed::default(), "told already");
    let _ = desk.file("two", "192.0.2.4\n");
    let renewed = renew(&lists, looks);
    assert!(renewed.taken.len() == 1 && renewed.wrong.is_empty(), "{renewed:?}");
    fs::remove_file(desk.folder.path().join("one")).unwrap();
    assert_eq!(renew(&lists, looks).wrong.len(), 1);
    assert_eq!(renew(&lists, looks), Renewed::default());
    kept();
    let _ = desk.file("one", "192.0.2.9\n");
    assert_eq!(renew(&lists, looks).taken.len(), 1);
    assert!(told(&lists, "192.0.2.1", ListenerKind::Mx).is_empty());
}

#[test]
fn a_file_that_has_grown_gets_what_all_others_in_force_leave_and_a_reload_still_goes_through() {
    let desk = Desk::new();
    let settings = FileSettings {
        entries_max: 4,
        ..desk.settings(vec![desk.file("one", "192.0.2.1\n"), desk.file("two", "192.0.2.2\n192.0.2.3\n")])
    };
    let lists = Lists::open(&desk.store).unwrap();
    lists.put(Files::read(settings.clone()).unwrap());
    let looks = &mut Looks::default();
    assert_eq!(renew(&lists, looks), Renewed::default());
    let _ = desk.file("one", "192.0.2.7\n192.0.2.8\n192.0.2.9\n");
    let renewed = renew(&lists, looks);
    assert!(renewed.taken.is_empty() && renewed.wrong[0].contains("policy.list_entries_max"), "{renewed:?}");
    assert_eq!(told(&lists, "192.0.2.1", ListenerKind::Mx), ["one: block 192.0.2.1"], "it stays as it was");
    let _ = desk.file("one", "192.0.2.7\n192.0.2.8\n");
    assert_eq!(renew(&lists, looks).taken.len(), 1, "as many as there may be");
    assert!(lists.read(settings.clone()).is_ok(), "and the next reload finds no more than that");
    // One grows by what the other gives up: a reload takes both.
    let _ = (desk.file("one", "192.0.2.7\n192.0.2.8\n192.0.2.9\n"), desk.file("two", "192.0.2.2\n"));
    assert!(lists.read(settings).is_ok());
}

#[test]
fn a_file_that_is_written_in_place_is_not_taken_before_it_is_whole() {
    use std::io::Write as _;
    let desk = Desk::new();
    let settings = desk.file("l", "192.0.2.0/24\n");
    let lists = desk.lists(vec![settings.clone()]);
    let looks = &mut Looks::default();
    let stays = |renewed: Renewed| {
        assert!(renewed.taken.is_empty(), "{renewed:?}");
        assert_eq!(told(&lists, "192.0.2.1", ListenerKind::Mx).len(), 1);
        assert!(told(&lists, "200.0.0.1", ListenerKind::Mx).is_empty(), "128.0.0.0/1 would be half of all there is");
        renewed
    };
    // As a program does that fetches into the file itself: it is emptied, then filled in pieces.
    let mut file = File::create(&settings.file).unwrap();
    assert!(stays(lists.renew(looks)).unsettled, "it was another one a moment ago");
    let stalled = stays(lists.renew(looks));
    assert!(stalled.wrong[0].contains("it is empty and had 1 entries"), "{stalled:?}");
    assert!(lists.read(desk.settings(vec![settings.clone()])).err().unwrap().contains("it is empty"));
    file.write_all(b"192.0.2.0/24\n128.0.0.0/1").unwrap();
    stays(lists.renew(looks));
    assert!(stays(lists.renew(looks)).wrong[0].contains("l:2:12: the last line has no end"));
    file.write_all(b"6\n").unwrap();
    assert!(stays(lists.renew(looks)).unsettled);
    assert_eq!(lists.renew(looks).taken.len(), 1);
    assert_eq!(told(&lists, "128.0.0.1", ListenerKind::Mx).len(), 1);
    fs::write(&settings.file, "# nobody\n").unwrap();
    assert_eq!(renew(&lists, looks).taken.len(), 1, "emptied on purpose");
}

#[test]
fn a_server_starts_with_the_lists_that_read_and_takes_the_others_up_when_they_are_mended() {
    let desk = Desk::new();
    let asns = desk.folder.path().join("asns");
    fs::write(&asns, "not yet").unwrap();
    let (good, bad) = (desk.file("good", "192.0.2.1\n"), desk.file("bad", "nonsense\n"));
    let settings = FileSettings { asns: Some(asns.clone()), ..desk.settings(vec![bad, good]) };
    let (files, wrong) = Files::read_what_can_be(settings);
    assert!(wrong.len() == 2 && wrong[0].contains("bad:1:1:") && wrong[1].contains("AS numbers"), "{wrong:?}");
    let lists = Lists::open(&desk.store).unwrap();
    lists.put(files);
    let looks = &mut Looks::default();
    assert_eq!(told(&lists, "192.0.2.1", ListenerKind::Mx).len(), 1);
    assert_eq!(renew(&lists, looks), Renewed::default(), "told at the start");
    let _ = desk.file("bad", "192.0.2.2\nAS64500\n");
    assert_eq!(renew(&lists, looks).taken.len(), 1);
    assert_eq!(told(&lists, "192.0.2.2", ListenerKind::Mx).len(), 1);
    fs::write(&asns, database("GeoLite2-ASN", &[("198.51.100.0/24", Record::Asn(64_500))])).unwrap();
    assert_eq!(renew(&lists, looks).wrong, Vec::<String>::new());
    assert_eq!(told(&lists, "198.51.100.1", ListenerKind::Mx).len(), 1);
    assert_eq!(renew(&lists, looks), Renewed::default());
}

#[test]
fn whoever_asks_while_files_change_is_answered_from_a_whole_list() {
    let desk = Desk::new();
    let text = |marker: &str| (0..200).map(|last| format!("192.0.2.{last} ; {marker}\n")).collect::<String>();
    let lists = desk.lists(vec![desk.file("l", &text("first"))]);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut gaps = 0;
            while !stop.load(Ordering::SeqCst) {
                gaps += u32::from(told(&lists, "192.0.2.199", ListenerKind::Mx).is_empty());
            }
            assert_eq!(gaps, 0, "an answer was missing");
        });
        let looks = &mut Looks::default();
        for round in 0..30 {
            let _ = desk.file("l", &text(&format!("round {round}")));
            if round % 3 == 2 {
                let _ = desk.file("l", "192.0.2.0/24 nonsense\n");
            }
            let _ = renew(&lists, looks);
        }
        stop.store(true, Ordering::SeqCst);
    });
    assert!(
        told(&lists, "192.0.2.199", ListenerKind::Mx)[0].ends_with("round 28"),
        "{:?}",
        told(&lists, "192.0.2.199", ListenerKind::Mx)
    );
}

#[test]
fn entries_of_commands_are_kept_over_a_restart_and_end_when_they_should() {
    let desk = Desk::new();
    let lists = desk.lists(Vec::new());
    let later = UnixMillis(NOW.0 + 1000);
    let entries = vec![
        (subject("192.0.2.0/24"), own(Action::Block, "ours; # with marks", Some(later))),
        (subject("192.0.2.7"), own(Action::Allow, "", None)),
        (subject("2001:db8::/32"), own(Action::Score(-15), "a partner", None)),
    ];
    lists.add(NOW, entries).unwrap();
    lists.add(NOW, vec![(subject("192.0.2.7"), own(Action::Exempt, "on second thought", None))]).unwrap();
    drop(lists);
    let Desk { folder, store } = desk;
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    let lists = Lists::open(&store).unwrap();
    assert_eq!(told(&lists, "192.0.2.1", ListenerKind::Submission), ["postern list: block 192.0.2.0/24 ours; # with marks"]);
    assert_eq!(told(&lists, "192.0.2.7", ListenerKind::Mx), ["postern list: exempt 192.0.2.7 on second thought"]);
    assert_eq!(told(&lists, "2001:db8::1", ListenerKind::Mx), ["postern list: -1.5 2001:db8::/32 a partner"]);
    assert!(lists.listed("192.0.2.1".parse().unwrap(), ListenerKind::Mx, later).is_empty());
    assert_eq!(lists.remove(&[subject("192.0.2.7"), subject("AS1")]).unwrap(), 1);
    assert_eq!(lists.own_entry(&subject("192.0.2.7")), None);
    let lists = Lists::open(&store).unwrap();
    assert_eq!(lists.own(None, 10).0.len(), 2);
}

#[test]
fn entries_of_commands_are_bounded_ended_ones_make_room_and_pages_hold_all_of_them() {
    let desk = Desk::new();
    let lists = desk.lists(Vec::new());
    let number = |number: usize| Subject::Asn(u32::try_from(number).unwrap());
    let many = |from: usize, count, until| (from..from + count).map(|at| (number(at), own(Action::Block, "", until))).collect();
    lists.add(NOW, many(0, 10, Some(NOW))).unwrap();
    lists.add(NOW, many(10, OWN_ENTRIES_MAX - 10, None)).unwrap();
    lists.add(NOW, many(OWN_ENTRIES_MAX, 10, None)).unwrap();
    assert!(matches!(lists.add(NOW, many(0, 1, None)), Err(ListFailure::TooMany)));
    assert_eq!(lists.own_entry(&number(0)), None, "all or none");
    let (mut after, mut count) = (None, 0);
    loop {
        let (page, more) = lists.own(after, 30_000);
        count += page.len();
        after = page.last().map(|(subject, _)| subject.clone());
        if !more {
            break;
        }
    }
    assert_eq!(count, OWN_ENTRIES_MAX);
    assert_eq!(lists.summary()[0].entries, OWN_ENTRIES_MAX);
}
