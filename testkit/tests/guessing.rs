//! Password guessing as a simulation: the guard of the accounts, a clock that is turned by hand, and attackers of every kind. What is shown is
//! how many guesses are verified in an hour, who is accused, and that an owner is never turned away.
//!
//! Each run prints its seed; `POSTERN_SEED` repeats one.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a panic is a failed test")]

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use postern_mail::Offence;
use postern_mail::client::Subnet;
use postern_mail::envelope::UnixMillis;
use postern_mail::guess::{Ending, Guess, GuessRuling, Tag};
use postern_outcome::{AuthGuard, GuardSettings};

const HOUR: Duration = Duration::from_secs(3600);

/// The guard with its default settings, the accounts, and what came of it all.
struct Town {
    guard: AuthGuard,
    now: UnixMillis,
    chance: u64,
    /// Accounts are numbers; this is the right password of each.
    familiar: HashSet<(u64, Subnet)>,
    /// Somebody takes the accused off the net for good.
    bans: bool,
    verified: u32,
    accused: HashSet<(IpAddr, Offence)>,
    banned: HashSet<Subnet>,
}

#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Right(Duration),
    Wrong,
    Refused,
}

fn right_password(account: u64) -> u64 {
    1_000_000_000 + account
}

impl Town {
    fn new(bans: bool) -> Self {
        let seed = std::env::var("POSTERN_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0x5eed_0001);
        println!("POSTERN_SEED={seed}");
        let auth = postern_config::Auth::default();
        let settings = GuardSettings {
            failures_per_address: auth.failures_per_address,
            failures_per_address_daily: auth.failures_per_address_daily,
            failures_per_network: auth.failures_per_network,
            failures_per_account: auth.failures_per_account,
            repeats_per_address: auth.repeats_per_address,
            spray_accounts: auth.spray_accounts,
            window: auth.window,
            slowed_longest: auth.slowed_longest,
        };
        Self {
            guard: AuthGuard::new(settings, usize::try_from(auth.remembered_failures).unwrap()),
            now: UnixMillis(1_800_000_000_000),
            chance: seed,
            familiar: HashSet::new(),
            bans,
            verified: 0,
            accused: HashSet::new(),
            banned: HashSet::new(),
        }
    }

    /// xorshift64.
    fn roll(&mut self, below: u64) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance % below
    }

    fn attempt(&mut self, client: IpAddr, account: u64, password: u64) -> Heard {
        if self.banned.contains(&Subnet::host(client)) {
            return Heard::Refused;
        }
        let home = (account, Subnet::network(client));
        let is_familiar = self.familiar.contains(&home);
        let guess = Guess { client, account: Tag::new(account), password: Some(Tag::new(password)), is_familiar };
        let (ruling, early) = self.guard.before(self.now, &guess, false);
        let mut heard = Heard::Refused;
        let mut late = None;
        if let GuessRuling::Verify { after } = ruling {
            self.verified += 1;
            let is_right = password == right_password(account);
            late = self.guard.after(self.now, &guess, false, if is_right { Ending::Right } else { Ending::Wrong });
            heard = if is_right { Heard::Right(after) } else { Heard::Wrong };
            if is_right {
                self.familiar.insert(home);
            }
        }
        for accusation in [early, late].into_iter().flatten() {
            self.accused.insert((accusation.client, accusation.offence));
            if self.bans {
                self.banned.insert(Subnet::host(accusation.client));
            }
        }
        heard
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.plus(time);
    }

    fn report(&self, what: &str) {
        println!("{what}: {} verified in an hour, {} accused", self.verified, self.accused.len());
    }
}

/// The number'th address of a botnet: each in a network of its own.
fn bot(number: u64) -> IpAddr {
    Ipv4Addr::from(0x0a00_0001 + ((number as u32) << 8)).into()
}

const OWNER_AT_HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
const ATTACKER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 66));

#[test]
fn one_address_on_one_account_gets_five_guesses_and_twenty_a_day_where_nobody_bans() {
    for (bans, most) in [(true, 5), (false, 20)] {
        let mut town = Town::new(bans);
        for second in 0..3600 {
            town.attempt(ATTACKER, 1, second);
            town.pass(Duration::from_secs(1));
        }
        town.report("1 address on 1 account");
        assert!((5..=most).contains(&town.verified), "{}", town.verified);
        assert_eq!(town.accused, HashSet::from([(ATTACKER, Offence::AuthGuess)]));
    }
}

#[test]
fn one_address_on_ten_thousand_accounts_fares_the_same() {
    for (bans, most) in [(true, 5), (false, 20)] {
        let mut town = Town::new(bans);
        for number in 0..10_000 {
            town.attempt(ATTACKER, number, 50_000 + number);
            town.pass(HOUR / 10_000);
        }
        town.report("1 address on 10,000 accounts");
        assert!((5..=most).contains(&town.verified), "{}", town.verified);
        assert_eq!(town.accused, HashSet::from([(ATTACKER, Offence::AuthGuess)]));
    }
}

#[test]
fn ten_thousand_addresses_on_one_account_get_some_guesses_and_its_owner_is_never_refused_or_slowed() {
    let mut town = Town::new(true);
    assert!(matches!(town.attempt(OWNER_AT_HOME, 1, right_password(1)), Heard::Right(_)));
    let mut owner_logins = 0;
    for number in 0..36_000 {
        let client = bot(town.roll(10_000));
        town.attempt(client, 1, number);
        town.pass(HOUR / 36_000);
        if number % 600 == 0 {
            owner_logins += 1;
            let neighbour = Ipv4Addr::new(192, 0, 2, (number / 600) as u8);
            assert_eq!(town.attempt(neighbour.into(), 1, right_password(1)), Heard::Right(Duration::ZERO));
        }
    }
    town.verified -= owner_logins + 1;
    town.report("10,000 addresses on 1 account");
    assert!((20..=100).contains(&town.verified), "{}", town.verified);
    assert!(matches!(town.attempt(bot(20_000), 2, right_password(2)), Heard::Right(_)), "other accounts are not touched");
}

#[test]
fn one_password_on_all_accounts_is_verified_ten_times_and_everybody_who_takes_part_is_accused() {
    let mut town = Town::new(true);
    let sprayed = right_password(77);
    assert!(matches!(town.attempt(OWNER_AT_HOME, 77, sprayed), Heard::Right(_)));
    town.verified = 0;
    let mut accounts: Vec<u64> = (0..10_000).filter(|account| *account != 77).collect();
    for place in (1..accounts.len()).rev() {
        let other = town.roll(place as u64 + 1) as usize;
        accounts.swap(place, other);
    }
    for (number, account) in accounts.into_iter().enumerate() {
        town.attempt(bot(number as u64 % 1000), account, sprayed);
        town.pass(HOUR / 10_000);
    }
    town.report("1 password on 9,999 accounts from 1,000 addresses");
    assert_eq!(town.verified, 10);
    assert_eq!(town.accused.len(), 1000);
    assert!(town.accused.iter().all(|(_, offence)| *offence == Offence::Spray));
    assert_eq!(town.attempt(OWNER_AT_HOME, 77, sprayed), Heard::Right(Duration::ZERO), "whose password it is");
}

#[test]
fn a_phone_with_an_old_password_that_tries_each_minute_is_one_fault_at_home_and_elsewhere() {
    let mut town = Town::new(true);
    assert!(matches!(town.attempt(OWNER_AT_HOME, 1, right_password(1)), Heard::Right(_)));
    let elsewhere = bot(1);
    for minute in 0..3 * 24 * 60 {
        for client in [OWNER_AT_HOME, elsewhere] {
            assert_eq!(town.attempt(client, 1, 4711), Heard::Wrong, "minute {minute}");
        }
        town.pass(Duration::from_secs(60));
    }
    assert!(town.accused.is_empty());
    for client in [OWNER_AT_HOME, elsewhere] {
        assert_eq!(town.attempt(client, 1, right_password(1)), Heard::Right(Duration::ZERO));
    }
}

#[test]
fn rotating_through_a_48_is_one_network() {
    let mut town = Town::new(true);
    for number in 0..36_000_u64 {
        let host = town.roll(65_536);
        let client = Ipv6Addr::from((0x2001_0db8_0001_u128 << 80) | (u128::from(host) << 64) | u128::from(number));
        town.attempt(client.into(), number, number);
        town.pass(HOUR / 36_000);
    }
    town.report("a /48 of addresses");
    assert!((50..=250).contains(&town.verified), "{}", town.verified);
}

/// Many claims at once from one address, and when each has ended; then the owner, who has waited for as long as anybody may.
fn owner_beside(attacker: IpAddr, password: impl Fn(u64) -> Option<Tag>) {
    let mut town = Town::new(true);
    assert!(matches!(town.attempt(OWNER_AT_HOME, 1, right_password(1)), Heard::Right(_)));
    let account = Tag::new(1);
    let claim = |client, password| Guess { client, account, password, is_familiar: true };
    let owner = claim(OWNER_AT_HOME, Some(Tag::new(right_password(1))));
    let (mut pending, mut next, mut verified): (Vec<(UnixMillis, Guess)>, u64, u32) = (Vec::new(), 0, 0);
    for step in 0..36_000_u32 {
        let now = town.now;
        let (ended, open): (Vec<_>, Vec<_>) = pending.into_iter().partition(|(until, _)| *until <= now);
        pending = open;
        for (_, guess) in ended {
            town.guard.after(now, &guess, false, Ending::Wrong);
        }
        // Fifty connections that guess as fast as they are heard.
        while pending.len() < 50 {
            next += 1;
            let guess = claim(attacker, password(next));
            let GuessRuling::Verify { after } = town.guard.before(now, &guess, false).0 else { break };
            verified += 1;
            pending.push((now.plus(after + Duration::from_millis(100)), guess));
        }
        if step % 600 == 0 {
            let asked = town.guard.before(now, &owner, false).0;
            let ruling = if matches!(asked, GuessRuling::AskAgain { .. }) { town.guard.at_last(now, &owner) } else { asked };
            let GuessRuling::Verify { after } = ruling else { panic!("the owner is refused: {ruling:?} after {verified}") };
            assert!(after <= Duration::from_secs(8), "{after:?}");
            town.guard.after(now, &owner, false, Ending::Right);
        }
        town.pass(HOUR / 36_000);
    }
    println!("{attacker} beside the owner: {verified} verified in an hour");
    assert!(verified <= 500, "{verified}");
}

#[test]
fn an_owner_is_heard_while_a_neighbour_guesses_over_fifty_connections() {
    let neighbour = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 66));
    owner_beside(neighbour, |number| Some(Tag::new(number)));
    owner_beside(neighbour, |_| None);
}

#[test]
fn a_phone_that_proves_an_old_password_by_scram_is_accused_of_nothing() {
    let mut town = Town::new(true);
    let phone = Guess { client: bot(1), account: Tag::new(1), password: None, is_familiar: false };
    for _ in 0..3 * 24 * 60 {
        let (ruling, early) = town.guard.before(town.now, &phone, false);
        let late = match ruling {
            GuessRuling::Verify { .. } => town.guard.after(town.now, &phone, false, Ending::Wrong),
            _ => None,
        };
        assert_eq!((early, late), (None, None));
        town.pass(Duration::from_secs(60));
    }
    assert!(matches!(town.attempt(bot(1), 1, right_password(1)), Heard::Right(_)), "the right one, in the clear");
}
