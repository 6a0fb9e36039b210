//! When an address is suppressed, for whom, until when, and what is forgotten.

use super::*;

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
const DAY: Duration = Duration::from_secs(86_400);

fn settings() -> SuppressionSettings {
    SuppressionSettings { after: 2, within: DAY * 30, bounced_for: DAY * 90, entries_max: 100 }
}

fn at(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

#[test]
fn an_address_is_suppressed_for_everybody_by_its_second_bounce_and_for_so_long() {
    let mut book = Suppressions::default();
    let to = at("gone@b.example");
    assert!(!book.bounced(NOW, &settings(), &to, "550").suppressed);
    assert_eq!(book.about(NOW, &to, Some("a@here.example")), None);
    let second = NOW.plus(DAY);
    let learnt = book.bounced(second, &settings(), &to, "550 5.1.1 no such user\r\n");
    assert!(learnt.suppressed);
    assert!(
        matches!(&*learnt.changes, [SuppressionChange::Put(row)] if &*row.evidence == "550 5.1.1 no such user  " && row.times == 2)
    );
    let said = book.about(second, &to, Some("a@here.example")).unwrap();
    assert_eq!((said.cause, said.until, said.of_account), (Cause::Bounced, Some(second.plus(DAY * 90)), false));
    assert_eq!(book.about(second, &at("GONE@B.example"), None).map(|said| said.cause), Some(Cause::Bounced));
    assert_eq!(book.about(second.plus(DAY * 90), &to, None), None, "it ends by itself");
    // A third one lengthens it and is no news.
    assert!(!book.bounced(second.plus(DAY), &settings(), &to, "").suppressed);
    assert_eq!(book.about(second, &to, None).unwrap().until, Some(second.plus(DAY * 91)));
}

#[test]
fn bounces_that_are_far_apart_do_not_add_up_and_zero_switches_it_off() {
    let mut book = Suppressions::default();
    let to = at("rare@b.example");
    book.bounced(NOW, &settings(), &to, "");
    assert!(!book.bounced(NOW.plus(DAY * 31), &settings(), &to, "").suppressed);
    let off = SuppressionSettings { after: 0, ..settings() };
    let mut book = Suppressions::default();
    for _ in 0..9 {
        assert_eq!(book.bounced(NOW, &off, &to, ""), Learnt::default());
    }
}

#[test]
fn whoever_takes_a_message_exists_whatever_bounced_before() {
    let mut book = Suppressions::default();
    let to = at("back@b.example");
    book.bounced(NOW, &settings(), &to, "");
    assert_eq!(book.delivered(&to), vec![SuppressionChange::Forget(SuppressionKey::new(&to, None))]);
    assert!(!book.bounced(NOW, &settings(), &to, "").suppressed, "it is the first one again");
    book.bounced(NOW, &settings(), &to, "");
    book.delivered(&to);
    assert_eq!(book.about(NOW, &to, None), None);
    // What a person asked for is not taken back by that.
    book.add(NOW, &settings(), SuppressionKey::new(&to, None), (Cause::ByHand, None), "");
    assert_eq!(book.delivered(&to), vec![]);
}

#[test]
fn a_complaint_holds_without_end_and_for_the_account_it_was_about_only() {
    let mut book = Suppressions::default();
    let to = at("angry@b.example");
    let key = SuppressionKey::new(&to, Some("news@here.example"));
    assert!(book.add(NOW, &settings(), key.clone(), (Cause::Complained, None), "ARF").suppressed);
    let later = NOW.plus(DAY * 10_000);
    let said = book.about(later, &to, Some("news@here.example")).unwrap();
    assert_eq!((said.cause, said.until, said.of_account), (Cause::Complained, None, true));
    assert_eq!(book.about(NOW, &to, Some("other@here.example")), None);
    assert_eq!(book.about(NOW, &to, None), None);
    assert!(book.remove(&key).is_some() && book.remove(&key).is_none());
    assert_eq!(book.about(NOW, &to, Some("news@here.example")), None);
}

#[test]
fn a_bounce_does_not_shorten_what_a_person_asked_for() {
    let mut book = Suppressions::default();
    let to = at("x@b.example");
    book.add(NOW, &settings(), SuppressionKey::new(&to, None), (Cause::ByHand, None), "");
    for _ in 0..3 {
        assert_eq!(book.bounced(NOW, &settings(), &to, ""), Learnt::default());
    }
    assert_eq!(book.about(NOW, &to, None).unwrap().until, None);
}

#[test]
fn without_room_the_oldest_bounces_are_forgotten_and_never_what_people_asked_for() {
    let mut book = Suppressions::default();
    let settings = settings();
    for number in 0..50_u64 {
        let key = SuppressionKey::new(&at(&format!("hand{number}@b.example")), None);
        book.add(NOW, &settings, key, (Cause::ByHand, None), "");
    }
    for number in 0..1000_u64 {
        let learnt = book.bounced(NOW.plus(Duration::from_secs(number)), &settings, &at(&format!("b{number}@b.example")), "");
        assert!(!learnt.no_room);
        assert!(book.len() <= 100);
    }
    assert_eq!(book.times(NOW, &at("b999@b.example")), 1);
    assert_eq!(book.times(NOW, &at("b10@b.example")), 0);
    for number in 50..100_u64 {
        let key = SuppressionKey::new(&at(&format!("hand{number}@b.example")), None);
        assert!(!book.add(NOW, &settings, key, (Cause::ByHand, None), "").no_room);
    }
    assert_eq!(book.len(), 100);
    let full = book.add(NOW, &settings, SuppressionKey::new(&at("more@b.example"), None), (Cause::ByHand, None), "");
    assert!(full.no_room && full.changes.is_empty() && !full.suppressed);
    assert_eq!(book.keys(NOW, None).count(), 100);
    assert!(book.about(NOW, &at("hand0@b.example"), None).is_some());
}

#[test]
fn keys_are_given_in_order_behind_one_and_only_those_in_force() {
    let mut book = Suppressions::default();
    for name in ["c", "a", "b"] {
        let key = SuppressionKey::new(&at(&format!("{name}@b.example")), None);
        book.add(NOW, &settings(), key, (Cause::Unsubscribed, None), "");
    }
    book.bounced(NOW, &settings(), &at("once@b.example"), "");
    let all: Vec<SuppressionKey> = book.keys(NOW, None).cloned().collect();
    assert_eq!(all.iter().map(|key| &*key.address).collect::<Vec<_>>(), ["a@b.example", "b@b.example", "c@b.example"]);
    assert_eq!(book.keys(NOW, all.first()).count(), 2);
}
