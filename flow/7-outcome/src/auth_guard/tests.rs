//! What is counted, what is not, and who is heard.

use super::*;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const WINDOW: Duration = Duration::from_secs(900);

fn settings() -> GuardSettings {
    GuardSettings {
        failures_per_address: 5,
        failures_per_address_daily: 20,
        failures_per_network: 50,
        failures_per_account: 20,
        repeats_per_address: 120,
        spray_accounts: 10,
        window: WINDOW,
        slowed_longest: Duration::from_secs(8),
    }
}

fn guard() -> AuthGuard {
    AuthGuard::new(settings(), 4096)
}

fn guess(client: &str, account: u64, password: u64) -> Guess {
    Guess { client: client.parse().unwrap(), account: Tag::new(account), password: Some(Tag::new(password)), is_familiar: false }
}

/// Asks, and where it is to be verified, tells that it was wrong.
fn wrong(guard: &mut AuthGuard, now: UnixMillis, guess: &Guess) -> (GuessRuling, Option<Accusation>) {
    let (ruling, accusation) = guard.before(now, guess, false);
    match ruling {
        GuessRuling::Verify { .. } => (ruling, guard.after(now, guess, false, Ending::Wrong)),
        _ => (ruling, accusation),
    }
}

fn is_heard(ruling: GuessRuling) -> bool {
    matches!(ruling, GuessRuling::Verify { .. })
}

#[test]
fn one_address_is_heard_five_times_and_then_accused_and_unheard() {
    let mut guard = guard();
    for number in 1..=5 {
        let (ruling, accusation) = wrong(&mut guard, NOW, &guess("192.0.2.1", 1, number));
        assert!(is_heard(ruling), "{number}");
        assert_eq!(accusation.is_some(), number == 5, "{number}");
        if let Some(accusation) = accusation {
            assert_eq!(accusation.offence, Offence::AuthGuess);
            assert_eq!(accusation.evidence, "5 wrong passwords from 192.0.2.1/32 within 15 min");
        }
    }
    assert_eq!(guard.before(NOW, &guess("192.0.2.1", 2, 9), false).0, GuessRuling::Refuse(Unheard::Address));
    assert!(is_heard(guard.before(NOW, &guess("192.0.2.2", 2, 9), false).0), "a neighbour is another address");
    let later = NOW.plus(WINDOW * 2);
    assert!(is_heard(guard.before(later, &guess("192.0.2.1", 2, 9), false).0), "it fades");
}

#[test]
fn rotating_through_a_64_is_one_address_and_through_a_48_one_network() {
    let mut guard = guard();
    for number in 0..5 {
        assert!(is_heard(wrong(&mut guard, NOW, &guess(&format!("2001:db8:1:2::{number}"), number, number)).0));
    }
    assert_eq!(wrong(&mut guard, NOW, &guess("2001:db8:1:2::99", 9, 9)).0, GuessRuling::Refuse(Unheard::Address));
    let mut heard = 5;
    for number in 100..400 {
        heard += u64::from(is_heard(wrong(&mut guard, NOW, &guess(&format!("2001:db8:1:{number}::1"), number, number)).0));
    }
    assert_eq!(heard, 50);
    let unheard = guard.before(NOW, &guess("2001:db8:1:500::1", 9, 9), false).0;
    assert_eq!(unheard, GuessRuling::Refuse(Unheard::Network));
}

#[test]
fn patience_does_not_help_one_address() {
    let mut guard = guard();
    let mut heard = 0;
    // One guess each eleven minutes never makes five in a quarter of an hour.
    for number in 0..130 {
        let now = NOW.plus(Duration::from_secs(660) * u32::try_from(number).unwrap());
        heard += u32::from(is_heard(wrong(&mut guard, now, &guess("192.0.2.1", number, number)).0));
    }
    assert!(heard <= 22, "{heard} in a day");
}

#[test]
fn the_same_wrong_password_again_is_one_fault_and_any_other_is_one_more() {
    let mut guard = guard();
    for minute in 0..(24 * 60) {
        let now = NOW.plus(Duration::from_secs(60) * minute);
        let (ruling, accusation) = wrong(&mut guard, now, &guess("192.0.2.1", 1, 7));
        assert_eq!((ruling, accusation), (GuessRuling::Verify { after: Duration::ZERO }, None), "minute {minute}");
    }
    let now = NOW.plus(DAY);
    assert!(is_heard(guard.before(now, &guess("192.0.2.1", 1, 8), false).0), "and the right one is heard");
}

#[test]
fn a_flood_of_the_same_wrong_password_is_no_longer_verified() {
    let mut guard = guard();
    let heard = (0..1000).filter(|_| is_heard(wrong(&mut guard, NOW, &guess("192.0.2.1", 1, 7)).0)).count();
    assert_eq!(heard, 121);
    assert_eq!(guard.before(NOW, &guess("192.0.2.1", 1, 7), false).0, GuessRuling::Refuse(Unheard::Repeated));
    assert!(is_heard(guard.before(NOW, &guess("192.0.2.1", 1, 8), false).0), "the owner beside it has it right");
}

#[test]
fn strangers_are_slowed_and_then_refused_for_the_account_and_its_owner_is_not() {
    let mut guard = guard();
    let mut delays = Vec::new();
    for number in 0..30_u64 {
        let ruling = wrong(&mut guard, NOW, &guess(&format!("10.0.{number}.1"), 1, number)).0;
        match ruling {
            GuessRuling::Verify { after } => delays.push(after),
            other => assert_eq!(other, GuessRuling::Refuse(Unheard::Account)),
        }
    }
    assert_eq!(delays.len(), 20);
    assert!(delays[..11].iter().all(Duration::is_zero) && delays[11] == SLOWED_FIRST, "{delays:?}");
    assert_eq!(delays.last(), Some(&Duration::from_secs(8)));
    let owner = Guess { is_familiar: true, ..guess("192.0.2.1", 1, 99) };
    assert_eq!(guard.before(NOW, &owner, false).0, GuessRuling::Verify { after: Duration::ZERO });
    assert!(is_heard(guard.before(NOW, &guess("10.0.0.1", 2, 99), false).0), "and other accounts are not touched");
}

fn at_home(client: &str, account: u64, password: u64) -> Guess {
    Guess { is_familiar: true, ..guess(client, account, password) }
}

#[test]
fn guessing_within_a_familiar_network_is_slow_and_its_owner_is_heard_beside_it() {
    let mut guard = guard();
    let mut last = Duration::ZERO;
    for number in 0..15 {
        let (ruling, accusation) = wrong(&mut guard, NOW, &at_home("192.0.2.1", 1, number));
        let GuessRuling::Verify { after } = ruling else { panic!("{ruling:?}") };
        assert!(accusation.is_none() && after >= last);
        last = after;
    }
    assert_eq!(last, Duration::from_secs(8));
    let claim = |password| at_home("192.0.2.1", 1, password);
    let at_once = (100..150).filter(|password| is_heard(guard.before(NOW, &claim(*password), false).0)).count();
    assert_eq!(at_once, 2);
    assert!(is_heard(guard.before(NOW, &at_home("192.0.2.2", 1, 99), false).0), "the owner in the next room");
    assert_eq!(guard.before(NOW, &claim(160), false).0, GuessRuling::AskAgain { after: AGAIN }, "the owner at the same address");
    assert_eq!(guard.at_last(NOW, &claim(160)), GuessRuling::Verify { after: Duration::ZERO }, "is heard in the end");
    assert_eq!(guard.at_last(NOW, &guess("192.0.2.1", 1, 98)), GuessRuling::Refuse(Unheard::Crowd), "a stranger is not");
}

#[test]
fn who_guesses_at_all_accounts_of_a_familiar_network_is_accused_once_and_one_at_a_time_from_then_on() {
    let mut guard = AuthGuard::new(GuardSettings { slowed_longest: Duration::ZERO, ..settings() }, 4096);
    let accused: Vec<u64> =
        (0..40).filter(|number| wrong(&mut guard, NOW, &at_home("192.0.2.1", *number, *number)).1.is_some()).collect();
    assert_eq!(accused, [19], "the twentieth");
    let claims: Vec<_> = (100..200).map(|number| guard.before(NOW, &at_home("192.0.2.1", number, number), false).0).collect();
    let heard: Vec<_> = claims.into_iter().filter(|ruling| is_heard(*ruling)).collect();
    assert_eq!(heard, vec![GuessRuling::Verify { after: SLOWED_AT_LEAST }; 4]);
    assert_eq!(guard.at_last(NOW, &at_home("192.0.2.1", 300, 1)), GuessRuling::Refuse(Unheard::Crowd));
    assert_eq!(
        guard.before(NOW, &at_home("192.0.2.2", 1, 1), false).0,
        GuessRuling::Verify { after: Duration::ZERO },
        "a neighbour"
    );
}

#[test]
fn a_familiar_client_that_repeats_itself_without_end_is_no_longer_verified() {
    let mut guard = guard();
    let heard = (0..1000).filter(|_| is_heard(wrong(&mut guard, NOW, &at_home("192.0.2.1", 1, 7)).0)).count();
    assert_eq!(heard, 121);
    assert!(is_heard(guard.before(NOW, &at_home("192.0.2.1", 1, 8), false).0), "and is heard with another one");
}

#[test]
fn who_hammers_on_an_account_that_strangers_guess_is_accused_though_nothing_is_verified() {
    let mut guard = guard();
    for number in 0..20 {
        wrong(&mut guard, NOW, &guess(&format!("10.0.{number}.1"), 1, number));
    }
    let hammer = |guard: &mut AuthGuard, client: &str, password| {
        let (ruling, accusation) = wrong(guard, NOW, &guess(client, 1, password));
        assert_eq!(ruling, GuessRuling::Refuse(Unheard::Account));
        accusation
    };
    let accused = (0..20).filter(|number| hammer(&mut guard, "10.9.9.9", 100 + number).is_some()).count();
    assert_eq!(accused, 1, "with the twentieth");
    for _ in 0..1000 {
        assert_eq!(hammer(&mut guard, "192.0.2.9", 99), None, "an owner's program that comes again and again");
    }
}

#[test]
fn nobody_is_accused_for_what_its_neighbours_did() {
    let mut guard = guard();
    for number in 0..49 {
        wrong(&mut guard, NOW, &guess(&format!("198.51.100.{number}"), number, number));
    }
    assert_eq!(wrong(&mut guard, NOW, &guess("198.51.100.200", 100, 100)), (GuessRuling::Verify { after: Duration::ZERO }, None));
    assert_eq!(guard.before(NOW, &guess("198.51.100.201", 1, 1), false).0, GuessRuling::Refuse(Unheard::Network));
}

#[test]
fn who_did_much_of_what_fills_its_network_is_accused() {
    let mut guard = guard();
    for number in 0..47 {
        wrong(&mut guard, NOW, &guess(&format!("198.51.100.{number}"), number, number));
    }
    let accused: Vec<bool> =
        (100..103).map(|number| wrong(&mut guard, NOW, &guess("198.51.100.200", number, number)).1.is_some()).collect();
    assert_eq!(accused, [false, false, true]);
}

#[test]
fn a_phone_that_proves_an_old_password_by_scram_is_one_fault_of_its_address() {
    let mut guard = guard();
    let phone = Guess { password: None, ..guess("192.0.2.1", 1, 0) };
    for minute in 0..24 * 60 {
        assert_eq!(wrong(&mut guard, NOW.plus(Duration::from_secs(60) * minute), &phone).1, None, "minute {minute}");
    }
    let now = NOW.plus(DAY);
    assert!(is_heard(guard.before(now, &guess("192.0.2.1", 1, 8), false).0), "the right password in the clear, beside it");
    guard.after(now, &guess("192.0.2.1", 1, 8), false, Ending::Right);
    for account in 2..=4 {
        assert_eq!(wrong(&mut guard, now, &Guess { password: None, ..guess("192.0.2.1", account, 0) }).1, None);
    }
    let more: Vec<bool> = (5..=6)
        .map(|account| wrong(&mut guard, now, &Guess { password: None, ..guess("192.0.2.1", account, 0) }).1.is_some())
        .collect();
    assert!(more.contains(&true), "one account after the other is guessing");
}

#[test]
fn who_is_pardoned_is_heard_at_once() {
    let mut guard = guard();
    for number in 0..5 {
        wrong(&mut guard, NOW, &guess("192.0.2.1", 1, number));
    }
    assert_eq!(guard.held(NOW, "192.0.2.1".parse().unwrap())[0], "5 wrong passwords from 192.0.2.1/32 within 15 min");
    guard.pardon(Subnet::host("192.0.2.2".parse().unwrap()));
    assert_eq!(guard.before(NOW, &guess("192.0.2.1", 2, 9), false).0, GuessRuling::Refuse(Unheard::Address));
    guard.pardon(Subnet::host("192.0.2.1".parse().unwrap()));
    assert!(is_heard(guard.before(NOW, &guess("192.0.2.1", 2, 9), false).0));
    for host in 1..=10 {
        for number in 0..5 {
            wrong(&mut guard, NOW, &guess(&format!("198.51.100.{host}"), number, number + host * 10));
        }
    }
    assert_eq!(guard.before(NOW, &guess("198.51.100.99", 1, 1), false).0, GuessRuling::Refuse(Unheard::Network));
    guard.pardon(Subnet::network("198.51.100.1".parse().unwrap()));
    assert!(is_heard(guard.before(NOW, &guess("198.51.100.99", 1, 1), false).0));
    assert!(guard.held(NOW, "198.51.100.1".parse().unwrap()).is_empty());
}

#[test]
fn many_at_once_are_heard_no_more_than_one_after_the_other() {
    let mut guard = guard();
    let claims: Vec<Guess> = (0..100).map(|number| guess("192.0.2.1", number, number)).collect();
    let rulings: Vec<_> = claims.iter().map(|claim| guard.before(NOW, claim, false).0).collect();
    assert_eq!(rulings.iter().filter(|ruling| is_heard(**ruling)).count(), 5);
    assert!(rulings[5..].iter().all(|ruling| matches!(ruling, GuessRuling::AskAgain { .. })));
    for claim in &claims[..5] {
        assert_eq!(guard.after(NOW, claim, false, Ending::Right), None);
    }
    assert!(is_heard(guard.before(NOW, &claims[9], false).0), "they were right, so there is room again");
}

#[test]
fn workers_that_start_at_once_with_one_password_are_one_claim() {
    let mut guard = guard();
    for _ in 0..100 {
        assert!(is_heard(guard.before(NOW, &guess("192.0.2.1", 1, 1), false).0));
    }
    for _ in 0..100 {
        guard.after(NOW, &guess("192.0.2.1", 1, 1), false, Ending::Unverified);
    }
    assert_eq!((guard.pending.len(), guard.pending.of_host(&guess("192.0.2.1", 1, 1))), (0, 0));
}

#[test]
fn a_network_that_becomes_known_while_claims_are_verified_leaves_nothing_pending() {
    let mut guard = guard();
    let stranger = guess("192.0.2.1", 1, 1);
    let known = Guess { is_familiar: true, ..stranger };
    guard.before(NOW, &stranger, false);
    guard.before(NOW, &known, false);
    guard.after(NOW, &stranger, false, Ending::Right);
    guard.after(NOW, &known, false, Ending::Right);
    assert_eq!((guard.pending.of_host(&stranger), guard.pending.of_familiar(&known)), (0, 0));
}

#[test]
fn a_password_tried_on_many_accounts_is_heard_no_more_and_who_goes_on_is_accused() {
    let mut guard = guard();
    for number in 0..10 {
        assert!(is_heard(wrong(&mut guard, NOW, &guess(&format!("10.0.{number}.1"), number, 7)).0));
    }
    let sprayer = |account| guess("10.9.9.9", account, 7);
    for (account, is_accused) in [(100, false), (101, false), (101, false), (102, true)] {
        let (ruling, accusation) = wrong(&mut guard, NOW, &sprayer(account));
        assert_eq!(ruling, GuessRuling::Refuse(Unheard::Sprayed));
        assert_eq!(accusation.map(|accusation| accusation.offence), is_accused.then_some(Offence::Spray), "{account}");
    }
    assert!(
        is_heard(guard.before(NOW, &Guess { is_familiar: true, ..guess("192.0.2.1", 5, 7) }, false).0),
        "known-good is heard"
    );
    assert!(is_heard(guard.before(NOW, &guess("192.0.2.1", 5, 8), false).0), "with another password a stranger is");
    assert!(is_heard(guard.before(NOW.plus(WINDOW), &sprayer(7), false).0), "it ends when nobody goes on");
}

#[test]
fn a_phone_with_a_sprayed_password_does_not_keep_it_sprayed() {
    let mut guard = guard();
    for number in 0..10 {
        wrong(&mut guard, NOW, &guess(&format!("10.0.{number}.1"), number, 7));
    }
    let phone = guess("192.0.2.1", 100, 7);
    let refused = (0..60).filter(|minute| {
        let now = NOW.plus(Duration::from_secs(60) * *minute);
        wrong(&mut guard, now, &phone).0 == GuessRuling::Refuse(Unheard::Sprayed)
    });
    assert_eq!(refused.count(), 15);
}

#[test]
fn a_trusted_network_is_never_accused_but_counts_for_the_account() {
    let mut guard = guard();
    let mut heard = 0;
    for number in 0..100 {
        let claim = guess("10.0.0.1", 1, number);
        let (ruling, accusation) = guard.before(NOW, &claim, true);
        assert_eq!(accusation, None);
        if is_heard(ruling) {
            heard += 1;
            assert_eq!(guard.after(NOW, &claim, true, Ending::Wrong), None);
        }
    }
    assert_eq!(heard, 20);
    assert!(is_heard(guard.before(NOW, &guess("10.0.0.1", 2, 1), true).0));
}

#[test]
fn proofs_that_show_no_password_are_verified_no_more_often_than_an_address_may_be_wrong() {
    let mut guard = guard();
    let claim = Guess { password: None, ..guess("192.0.2.1", 1, 0) };
    let heard = (0..10).filter(|_| is_heard(wrong(&mut guard, NOW, &claim).0)).count();
    assert_eq!(heard, 5);
}

#[test]
fn a_stranger_is_heard_after_neighbours_were_wrong_together_however_often() {
    let mut guard = guard();
    // The same wrong password from two hosts of a network, the first in not being the last out.
    for number in 0..6_u64 {
        let (first, last) = (guess("192.0.2.1", 100 + number, 7), guess("192.0.2.2", 100 + number, 7));
        assert!(is_heard(guard.before(NOW, &first, false).0) && is_heard(guard.before(NOW, &last, false).0));
        assert_eq!(guard.after(NOW, &first, false, Ending::Unverified), None);
        assert_eq!(guard.after(NOW, &last, false, Ending::Unverified), None);
    }
    assert!(is_heard(guard.before(NOW, &guess("192.0.2.1", 9, 9), false).0));
}
