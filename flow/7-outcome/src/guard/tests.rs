//! The guard of accounts, by single promises; what it does over months is in testkit/src/guard_sim.rs.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::*;

const START: u64 = 1_767_571_200_000;
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

fn guard() -> (Guard, Arc<str>) {
    (Guard::new(GuardOfAccountsSettings::default(), 7), "alice@here.test".into())
}

fn home() -> Option<Subnet> {
    Some(Subnet::network(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))))
}

fn key(id: u64) -> RecipientKey {
    RecipientKey(sketch::key(7, &[&id.to_be_bytes()]))
}

/// One message to these, from home.
fn send(guard: &mut Guard, account: &Arc<str>, at: u64, to: impl IntoIterator<Item = u64>) -> Ruling {
    let to: Vec<To> = to.into_iter().map(|id| To { key: key(id), is_ours: false }).collect();
    guard.judge(UnixMillis(at), account, Sending { to: &to, from: home(), country: None, is_listed: false })
}

/// A past of so many days, each with six messages to the same six people.
fn with_a_past(days: u64) -> (Guard, Arc<str>, u64) {
    let (mut guard, account) = guard();
    for day in 0..days {
        for turn in 0..6 {
            let ruling = send(&mut guard, &account, START + day * DAY + turn * HOUR, [turn]);
            assert_eq!(ruling.step, GuardStep::None);
        }
    }
    (guard, account, START + days * DAY + HOUR)
}

#[test]
fn a_flood_to_strangers_is_held_before_fifty_and_the_words_have_the_numbers() {
    let (mut guard, account, now) = with_a_past(40);
    let mut left = 0;
    for turn in 0..200 {
        let ruling = send(&mut guard, &account, now + turn * 1000, [1000 + turn]);
        if ruling.step >= GuardStep::Hold {
            assert!(
                ruling.said.because.contains("recipients never written to before in the last hour"),
                "{}",
                ruling.said.because
            );
        } else {
            left += 1;
        }
    }
    assert!(left <= 50, "{left}");
    assert_eq!(guard.step(&account), GuardStep::Suspend);
}

#[test]
fn one_message_to_a_hundred_strangers_is_held_itself() {
    let (mut guard, account, now) = with_a_past(40);
    assert!(send(&mut guard, &account, now, 1000..1100).step >= GuardStep::Hold);
}

#[test]
fn those_it_always_writes_to_and_those_of_ours_are_no_strangers() {
    let (mut guard, account, now) = with_a_past(40);
    for turn in 0..30 {
        assert_eq!(send(&mut guard, &account, now + turn * MINUTE, [turn % 6]).step, GuardStep::None);
    }
    let ours: Vec<To> = (500..530).map(|id| To { key: key(id), is_ours: true }).collect();
    let sending = Sending { to: &ours, from: home(), country: None, is_listed: false };
    let ruling = guard.judge(UnixMillis(now + DAY), &account, sending);
    assert!(!ruling.said.because.contains("never written"), "{}", ruling.said.because);
}

#[test]
fn who_is_slowed_down_waits_for_longer_with_each_recipient_and_never_for_more_than_an_hour() {
    let (mut guard, account, now) = with_a_past(40);
    let mut slots = Vec::new();
    // Much mail to those it knows.
    for turn in 0..2000 {
        let ruling = send(&mut guard, &account, now + turn, [turn % 6]);
        if let Some(slot) = ruling.not_before {
            assert_eq!(ruling.step, GuardStep::Slow);
            slots.push(slot.0.saturating_sub(now + turn));
        }
    }
    assert!(slots.len() > 1000 && slots.windows(2).all(|pair| pair[1] + 2 >= pair[0]), "each later than the one before");
    assert!(slots.iter().all(|wait| *wait <= HOUR));
}

#[test]
fn a_person_takes_it_back_in_one_act_and_a_suspension_ends_by_nothing_else() {
    let (mut guard, account, now) = with_a_past(40);
    send(&mut guard, &account, now, 1000..1300);
    assert_eq!(guard.step(&account), GuardStep::Suspend);
    assert_eq!(send(&mut guard, &account, now + 90 * DAY, [1]).step, GuardStep::Suspend);
    assert!(guard.clear(UnixMillis(now + 90 * DAY), &account));
    guard.released(&account, &[key(1000)]);
    let ruling = send(&mut guard, &account, now + 90 * DAY, [1, 1000]);
    assert_eq!((ruling.step, ruling.said.standing), (GuardStep::None, GuardStep::None), "{}", ruling.said.because);
    assert!(!ruling.said.because.contains("1 recipients never"), "whom it was let write to is no stranger");
    assert!(!guard.clear(UnixMillis(now), "nobody@here.test"));
}

#[test]
fn a_hold_ends_by_itself_after_a_day_when_little_speaks_against_it_any_more() {
    let (mut guard, account, now) = with_a_past(40);
    send(&mut guard, &account, now, 1000..1050);
    assert_eq!(guard.step(&account), GuardStep::Hold);
    assert_eq!(send(&mut guard, &account, now + 20 * HOUR, [1]).step, GuardStep::Hold, "not yet");
    assert_eq!(send(&mut guard, &account, now + 6 * DAY, [1]).step, GuardStep::None);
}

#[test]
fn a_thief_teaches_it_nothing() {
    let (mut guard, account, now) = with_a_past(40);
    let held = |guard: &mut Guard, at: u64, first: u64| {
        (0..100_u64).filter(|turn| send(guard, &account, at + turn * 1000, [first + turn]).step < GuardStep::Hold).count()
    };
    let first = held(&mut guard, now, 1000);
    let later = held(&mut guard, now + 10 * DAY, 5000);
    assert!(later <= first, "{later} after {first}");
}

#[test]
fn a_newsletter_somebody_vouches_for_goes_and_what_receivers_say_of_it_counts_all_the_same() {
    let (mut guard, account, now) = with_a_past(40);
    guard.trust(UnixMillis(now), &account, UnixMillis(now + DAY));
    for turn in 0..800 {
        assert_eq!(send(&mut guard, &account, now + turn * 1000, [10_000 + turn]).step, GuardStep::None);
    }
    for turn in 0..200 {
        guard.told(UnixMillis(now + HOUR), &account, key(10_000 + turn), News::Refused(Refusal::CalledSpam));
    }
    assert!(guard.step(&account) >= GuardStep::Slow);
    let standing = guard.standing(UnixMillis(now + HOUR), &account).unwrap();
    assert!(standing.signals.iter().any(|signal| signal.name == "replies"), "{standing:?}");
    assert!(standing.trusted_until.is_some());
}

#[test]
fn the_same_wrong_address_a_thousand_times_is_one_wrong_address() {
    let (mut guard, account, now) = with_a_past(40);
    for turn in 0..1000 {
        let ruling = guard.told(UnixMillis(now + turn * 1000), &account, key(5), News::Refused(Refusal::UnknownRecipient));
        assert_eq!(ruling, None);
    }
}

#[test]
fn receivers_that_refuse_mail_of_the_whole_server_are_held_against_no_single_account() {
    let (mut guard, account, now) = with_a_past(40);
    let tell = |guard: &mut Guard, account: &Arc<str>, count: u64| {
        for turn in 0..count {
            let news = if turn % 3 == 0 { News::Refused(Refusal::CalledSpam) } else { News::Taken };
            guard.told(UnixMillis(now + turn), account, key(turn), news);
        }
    };
    let mut alone = with_a_past(40).0;
    tell(&mut alone, &account, 60);
    assert!(alone.step(&account) >= GuardStep::Slow, "one account is refused and no other");
    for other in 0..10 {
        let name: Arc<str> = format!("other{other}@here.test").into();
        send(&mut guard, &name, now, [1]);
        tell(&mut guard, &name, 60);
    }
    tell(&mut guard, &account, 60);
    assert_eq!(guard.step(&account), GuardStep::None, "all are");
}

#[test]
fn traps_and_complaints_and_listed_links_have_points_of_their_own() {
    for (news, count) in [(News::Trapped, 2), (News::Complained, 6)] {
        let (mut guard, account, now) = with_a_past(40);
        for turn in 0..count {
            guard.told(UnixMillis(now), &account, key(turn), news);
        }
        assert!(guard.step(&account) >= GuardStep::Slow, "{news:?}");
    }
    let (mut guard, account, now) = with_a_past(40);
    let to = [To { key: key(1), is_ours: false }];
    let sending = Sending { to: &to, from: home(), country: None, is_listed: true };
    let points: Vec<Points> = (0..3).map(|turn| guard.judge(UnixMillis(now + turn), &account, sending).said.points).collect();
    assert!(points.windows(2).all(|pair| pair[1] > pair[0]), "{points:?}");
}

#[test]
fn a_swarm_of_networks_is_noticed_and_does_not_wash_away_the_home() {
    let (mut guard, account, now) = with_a_past(40);
    let to = [To { key: key(1), is_ours: false }];
    for turn in 0..60_u8 {
        let from = Some(Subnet::network(IpAddr::V4(Ipv4Addr::new(198, 51, turn, 1))));
        guard.judge(UnixMillis(now + u64::from(turn)), &account, Sending { to: &to, from, country: None, is_listed: false });
    }
    assert!(guard.step(&account) >= GuardStep::Slow);
    guard.clear(UnixMillis(now), &account);
    for turn in 0..15 {
        let ruling = send(&mut guard, &account, now + HOUR + turn, [turn % 6]);
        assert!(!ruling.said.because.contains("first used less than three days ago"), "{}", ruling.said.because);
    }
}

#[test]
fn a_past_is_the_same_after_it_was_written_down_and_read() {
    let (mut guard, account, now) = with_a_past(20);
    send(&mut guard, &account, now, 1000..1030);
    guard.told(UnixMillis(now), &account, key(1000), News::Refused(Refusal::UnknownRecipient));
    let row = guard.row(&account).unwrap();
    let (mut other, _) = super::tests::guard();
    assert!(other.restore(Arc::clone(&account), &row));
    assert_eq!(other.row(&account).unwrap(), row);
    assert_eq!(send(&mut other, &account, now + 1, [1, 2000]), send(&mut guard, &account, now + 1, [1, 2000]));
}

#[test]
fn what_only_observes_puts_nobody_on_a_step_and_learns_whom_was_written_to() {
    let (mut guard, account) = guard();
    guard.adjust(GuardOfAccountsSettings { has_effect: false, ..GuardOfAccountsSettings::default() });
    let ruling = send(&mut guard, &account, START, 0..300);
    assert!(ruling.said.points >= Points(60), "{:?}", ruling.said);
    assert_eq!(guard.step(&account), GuardStep::None);
    assert!((guard.standing(UnixMillis(START), &account).unwrap().of_late[2] - 300.0).abs() < 1.0);
    send(&mut guard, &account, START + 1, 0..300);
    assert!(guard.standing(UnixMillis(START), &account).unwrap().of_late[2] < 310.0, "they are known by then");
}

#[test]
fn the_memory_is_bounded_and_who_stands_on_a_step_is_forgotten_last() {
    let (mut guard, account) = guard();
    guard.adjust(GuardOfAccountsSettings { memory: 200_000, ..GuardOfAccountsSettings::default() });
    send(&mut guard, &account, START, 0..300);
    assert!(guard.step(&account) >= GuardStep::Hold);
    for other in 0..500 {
        let name: Arc<str> = format!("other{other}@here.test").into();
        send(&mut guard, &name, START + other, [other]);
        assert!(guard.bytes() <= 200_000);
    }
    assert!(guard.step(&account) >= GuardStep::Hold);
}

proptest! {
    #[test]
    fn any_octets_are_a_past_or_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let (mut guard, account) = guard();
        if guard.restore(Arc::clone(&account), &bytes) {
            let ruling = send(&mut guard, &account, START, [1]);
            prop_assert!(!ruling.said.because.is_empty());
        }
    }

    #[test]
    fn a_row_with_a_wrong_octet_is_a_past_or_nothing(place in 0_usize..900, octet in any::<u8>()) {
        let (mut one, account, now) = with_a_past(1);
        send(&mut one, &account, now, 100..130);
        let mut row = one.row(&account).unwrap();
        if let Some(at) = row.get_mut(place) {
            *at = octet;
        }
        let (mut guard, _) = guard();
        if guard.restore(Arc::clone(&account), &row) {
            let ruling = send(&mut guard, &account, now, [1]);
            prop_assert!(!ruling.said.because.is_empty());
        }
    }

    #[test]
    fn whoever_was_put_in_a_sketch_is_found(keys in proptest::collection::vec(any::<u64>(), 1..600)) {
        let mut sketch = sketch::Sketch::default();
        keys.iter().for_each(|key| sketch.put(*key));
        prop_assert!(keys.iter().all(|key| sketch.has(*key)));
    }
}

#[test]
fn a_sketch_takes_few_for_known_and_its_memory_is_bounded() {
    let mut sketch = sketch::Sketch::default();
    for id in 0..5000_u64 {
        sketch.put(key(id).0);
    }
    let wrong = (1_000_000..1_010_000_u64).filter(|id| sketch.has(key(*id).0)).count();
    assert!(wrong < 500, "{wrong} of 10,000");
    for id in 0..200_000_u64 {
        sketch.put(key(id).0);
    }
    assert!(sketch.bytes() <= 48 << 10);
}
