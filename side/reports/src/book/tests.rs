//! The book, with a disk beside it that outlives it.

use postern_mail::authenticity::Disposition;

use super::*;

const LIMITS: BookLimits = BookLimits { octets_max: 1 << 20, rows_max: 100 };
/// A noon.
const NOON: u64 = 20_000 * DAY * 1000 + 43_200_000;

fn published(domain: &str) -> Published {
    let domain = Domain::parse(domain).unwrap();
    let none = Disposition::None;
    Published {
        destinations: vec![Destination { address: Mailbox::parse(&format!("rua@{domain}")).unwrap(), octets_max: Some(1000) }],
        organization: domain.clone(),
        domain,
        policies: Policies { p: Disposition::Reject, sp: none, np: none },
        strict_dkim: true,
        strict_spf: false,
        failure_options: "1",
        testing: false,
        failure_destinations: Vec::new(),
    }
}

fn record(source: &str) -> Record {
    Record { disposition: "none".to_owned(), header_from: "a.test".to_owned(), ..Record::of(source.parse().unwrap()) }
}

fn report(counted: &Counted, now: u64) -> Aggregate {
    let from = Mailbox::parse("d@here.test").unwrap();
    counted.report(&Reporter { hostname: "mx.test", org_name: "us", from: &from, now: UnixMillis(now), seed: 1 })
}

/// What is on disk after these changes, and a book that begins with it.
fn restarted(disk: &mut BTreeMap<Vec<u8>, Vec<u8>>, book: &mut Book) -> Book {
    for change in book.changes() {
        match change.value {
            Some(value) => drop(disk.insert(change.key, value)),
            None => assert!(disk.remove(&change.key).is_some(), "what is forgotten was kept"),
        }
    }
    let mut fresh = Book::new(LIMITS);
    for (key, value) in &*disk {
        fresh.load(key, value).unwrap();
    }
    fresh
}

#[test]
fn messages_that_are_alike_are_one_row_and_days_and_domains_are_apart_also_after_a_restart() {
    let (mut book, mut disk) = (Book::new(LIMITS), BTreeMap::new());
    for _ in 0..3 {
        book.count(UnixMillis(NOON), &published("a.test"), &record("192.0.2.1"));
    }
    book.count(UnixMillis(NOON), &published("a.test"), &record("192.0.2.2"));
    book.count(UnixMillis(NOON), &published("b.test"), &record("192.0.2.1"));
    let mut book = restarted(&mut disk, &mut book);
    book.count(UnixMillis(NOON), &published("a.test"), &record("192.0.2.1"));
    book.count(UnixMillis(NOON + DAY * 1000), &published("a.test"), &record("192.0.2.1"));
    let mut book = restarted(&mut disk, &mut book);
    let periods = book.periods();
    assert_eq!(periods.len(), 3);
    let (begin, domain) = periods[0].clone();
    assert_eq!((begin, domain.as_str()), (20_000 * DAY, "a.test"), "the one with the most messages is first");
    assert_eq!(book.published(begin, &domain).unwrap().destinations, published("a.test").destinations);
    let counted = book.take(begin, &domain, UnixMillis(NOON + DAY * 1000)).unwrap();
    let told = report(&counted, NOON + DAY * 1000);
    assert_eq!(told.records.iter().map(|record| record.count).collect::<Vec<_>>(), [4, 1]);
    assert_eq!((told.begin, told.end), (20_000 * DAY, 20_001 * DAY - 1));
    assert_eq!((told.policy.p.as_str(), told.policy.adkim.as_deref()), ("reject", Some("s")));
    book.forget(&counted);
    assert_eq!(restarted(&mut disk, &mut book).periods().len(), 2);
}

#[test]
fn a_report_in_the_middle_of_a_day_ends_there_and_the_next_begins_behind_it_also_after_a_restart() {
    let (mut book, mut disk) = (Book::new(LIMITS), BTreeMap::new());
    book.count(UnixMillis(NOON), &published("a.test"), &record("192.0.2.1"));
    let mut book = restarted(&mut disk, &mut book);
    let domain = Domain::parse("a.test").unwrap();
    let counted = book.take(20_000 * DAY, &domain, UnixMillis(NOON)).unwrap();
    let first = report(&counted, NOON);
    book.count(UnixMillis(NOON + 5000), &published("a.test"), &record("192.0.2.1"));
    book.forget(&counted);
    let mut book = restarted(&mut disk, &mut book);
    book.count(UnixMillis(NOON + 6000), &published("a.test"), &record("192.0.2.1"));
    let periods = book.periods();
    assert_eq!(periods.len(), 1);
    let second = report(&book.take(periods[0].0, &domain, UnixMillis(NOON + 9000)).unwrap(), NOON + 9000);
    assert!(second.begin > first.end, "{second:?}");
    assert_eq!((first.messages(), second.messages()), (1, 2));
    assert_ne!(first.report_id, second.report_id);
}

#[test]
fn what_cannot_be_told_goes_back_and_is_given_up_after_days() {
    let (mut book, mut disk) = (Book::new(LIMITS), BTreeMap::new());
    book.count(UnixMillis(NOON), &published("a.test"), &record("192.0.2.1"));
    let mut book = restarted(&mut disk, &mut book);
    let domain = Domain::parse("a.test").unwrap();
    let tomorrow = UnixMillis(NOON + DAY * 1000);
    let counted = book.take(20_000 * DAY, &domain, tomorrow).unwrap();
    assert!(book.periods().is_empty());
    book.put_back(counted);
    assert_eq!(book.periods().len(), 1);
    assert!(book.sweep(UnixMillis(NOON + 3 * DAY * 1000)).is_empty());
    assert_eq!(book.sweep(UnixMillis(NOON + 4 * DAY * 1000)), [domain]);
    assert_eq!((book.octets, restarted(&mut disk, &mut book).periods().len(), disk.len()), (0, 0, 0));
}

#[test]
fn rows_without_room_are_counted_as_missing_and_memory_has_an_end() {
    let mut book = Book::new(BookLimits { rows_max: 2, ..LIMITS });
    for n in 0..10 {
        book.count(UnixMillis(NOON), &published("a.test"), &record(&format!("192.0.2.{n}")));
    }
    let counted = book.take(20_000 * DAY, &Domain::parse("a.test").unwrap(), UnixMillis(NOON)).unwrap();
    let told = report(&counted, NOON);
    assert_eq!(told.messages(), 2);
    assert!(told.errors[0].contains("incomplete: 8"), "{:?}", told.errors);
    let mut book = Book::new(LIMITS);
    for n in 0..10_000 {
        book.count(UnixMillis(NOON), &published(&format!("d{n}.test")), &record("192.0.2.1"));
    }
    assert!(book.octets <= LIMITS.octets_max && book.turned_away() > 8_000);
}
