//! How long, how wide, how many, and who never.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
const START: UnixMillis = UnixMillis(1_700_000_000_000);

fn settings() -> BanSettings {
    BanSettings { first: MINUTE * 10, factor: 2.0, longest: DAY * 7, memory: DAY * 30, widen_at: 4, bans_max: 1000 }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn net(text: &str) -> Subnet {
    text.parse().unwrap()
}

fn book() -> Bans {
    Bans::new(settings(), Vec::new())
}

fn sparing(network: &str, reason: SparedAs) -> Bans {
    Bans::new(settings(), vec![Spared { network: net(network), reason }])
}

fn guess(bans: &mut Bans, now: UnixMillis, client: &str) -> Judged {
    bans.offence(now, ip(client), Offence::AuthGuess, "5 wrong passwords".to_owned()).0
}

#[test]
fn bans_double_from_ten_minutes_to_a_week() {
    let mut bans = book();
    let mut now = START;
    let mut lengths = Vec::new();
    for _ in 0..13 {
        assert_eq!(guess(&mut bans, now, "192.0.2.1"), Judged::Banned);
        let until = bans.active(now, ip("192.0.2.1")).unwrap().until.unwrap();
        lengths.push(until.since(now).as_secs() / 60);
        now = until;
    }
    assert_eq!(lengths, [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10_080, 10_080, 10_080]);
}

#[test]
fn what_was_done_while_banned_makes_nothing_longer() {
    let mut bans = book();
    assert_eq!(guess(&mut bans, START, "192.0.2.1"), Judged::Banned);
    assert_eq!(guess(&mut bans, START.plus(MINUTE), "192.0.2.1"), Judged::AlreadyBanned);
    assert_eq!(bans.active(START, ip("192.0.2.1")).unwrap().times, 1);
}

#[test]
fn an_ended_ban_counts_until_it_is_forgotten() {
    let mut bans = book();
    guess(&mut bans, START, "192.0.2.1");
    let end = START.plus(MINUTE * 10);
    assert!(bans.active(end, ip("192.0.2.1")).is_none());
    let (ended, changes) = bans.sweep(end);
    assert_eq!(ended, [net("192.0.2.1")]);
    assert!(changes.is_empty());
    assert!(bans.sweep(end.plus(MINUTE)).0.is_empty(), "an end is told once");
    // Just within the memory it is the second, just behind it the first again.
    let (ended, changes) = bans.sweep(end.plus(DAY * 30));
    assert!(ended.is_empty());
    assert_eq!(changes, [BanChange::Forget(net("192.0.2.1"))]);
    guess(&mut bans, end.plus(DAY * 30), "192.0.2.1");
    assert_eq!(bans.about(ip("192.0.2.1"))[0].times, 1);
    guess(&mut bans, end.plus(DAY * 59), "192.0.2.1");
    assert_eq!(bans.about(ip("192.0.2.1"))[0].times, 2);
}

#[test]
fn a_rotating_ipv6_client_is_banned_as_one() {
    let mut bans = book();
    guess(&mut bans, START, "2001:db8:1:2::1");
    assert!(bans.active(START, ip("2001:db8:1:2:ffff::9")).is_some());
    assert!(bans.active(START, ip("2001:db8:1:3::1")).is_none());
}

#[test]
fn a_mapped_address_is_its_ipv4_address() {
    let mut bans = book();
    guess(&mut bans, START, "::ffff:192.0.2.1");
    assert!(bans.active(START, ip("192.0.2.1")).is_some());
}

#[test]
fn new_settings_hold_for_bans_that_are_there() {
    let mut bans = book();
    let hosts: Vec<String> = (0..64).map(|host| format!("10.0.{host}.1")).collect();
    for host in &hosts {
        guess(&mut bans, START, host);
    }
    let shorter = BanSettings { longest: MINUTE, bans_max: 32, ..settings() };
    let changes = bans.adjust(START, shorter, Vec::new());
    assert_eq!(changes.len(), 64, "each is kept as it is now");
    assert!(bans.list(START).all(|ban| ban.until == Some(START.plus(MINUTE))));
    guess(&mut bans, START, "192.0.2.1");
    assert_eq!(bans.len(), 30, "there is room for a sixteenth and one more");
}

#[test]
fn a_host_among_customers_is_banned_alone() {
    let mut bans = book();
    for last in 1..=8 {
        let (judged, _) = bans.offence_of_one(START, ip(&format!("192.0.2.{last}")), Offence::AuthGuess, String::new());
        assert_eq!(judged, Judged::Banned);
    }
    assert!(bans.active(START, ip("192.0.2.99")).is_none());
}

#[test]
fn many_banned_neighbours_ban_their_network() {
    let mut bans = book();
    for last in 1..=3 {
        guess(&mut bans, START, &format!("192.0.2.{last}"));
        guess(&mut bans, START, &format!("2001:db8:1:{last}::1"));
    }
    assert!(bans.active(START, ip("192.0.2.200")).is_none());
    guess(&mut bans, START, "192.0.2.4");
    guess(&mut bans, START, "2001:db8:1:4::1");
    let ban = bans.active(START, ip("192.0.2.200")).unwrap();
    assert_eq!((ban.of, ban.cause), (net("192.0.2.0/24"), Cause::Neighbours));
    assert!(ban.evidence.contains("4 hosts") && ban.evidence.contains("192.0.2.4/32"), "{}", ban.evidence);
    assert_eq!(bans.active(START, ip("2001:db8:1:ffff::1")).unwrap().of, net("2001:db8:1::/48"));
    assert!(bans.active(START, ip("192.0.3.1")).is_none());
}

#[test]
fn neighbours_whose_bans_have_ended_do_not_count() {
    let mut bans = book();
    for last in 1..=3 {
        guess(&mut bans, START, &format!("192.0.2.{last}"));
    }
    let later = START.plus(MINUTE * 11);
    guess(&mut bans, later, "192.0.2.4");
    assert!(bans.active(later, ip("192.0.2.200")).is_none());
}

#[test]
fn a_network_that_holds_something_spared_is_never_banned_as_a_whole() {
    let mut bans = sparing("192.0.2.128/25", SparedAs::Trusted);
    for last in 1..=20 {
        assert_eq!(guess(&mut bans, START, &format!("192.0.2.{last}")), Judged::Banned);
    }
    assert!(bans.active(START, ip("192.0.2.200")).is_none());
}

#[test]
fn trusted_networks_proxies_and_own_addresses_are_never_banned() {
    for reason in [SparedAs::Trusted, SparedAs::Proxy, SparedAs::Own] {
        let mut bans = sparing("192.0.2.0/24", reason);
        assert_eq!(guess(&mut bans, START, "192.0.2.1"), Judged::Spared(reason));
        assert!(bans.is_empty());
    }
    let mut bans = sparing("2001:db8::1/128", SparedAs::Own);
    assert_eq!(guess(&mut bans, START, "2001:db8::2"), Judged::Banned);
    assert!(bans.active(START, ip("2001:db8::1")).is_none() && bans.active(START, ip("2001:db8::3")).is_none());
}

#[test]
fn a_network_that_becomes_trusted_is_let_in_at_once() {
    let mut bans = book();
    guess(&mut bans, START, "192.0.2.1");
    let trusted = vec![Spared { network: net("192.0.2.0/24"), reason: SparedAs::Trusted }];
    assert_eq!(bans.adjust(START, settings(), trusted), [BanChange::Forget(net("192.0.2.1"))]);
    assert!(bans.active(START, ip("192.0.2.1")).is_none());
}

#[test]
fn a_person_bans_any_network_for_a_time_or_until_it_is_lifted() {
    let mut bans = book();
    let (ban, changes) = bans.order(START, net("198.51.100.0/22"), None, "spam".to_owned()).unwrap();
    assert_eq!((ban.by(), ban.until), (By::Person, None));
    assert_eq!(changes, [BanChange::Put(ban)]);
    assert!(bans.active(START.plus(DAY * 9999), ip("198.51.103.255")).is_some());
    bans.order(START, net("198.51.100.0/22"), Some(MINUTE), "spam".to_owned()).unwrap();
    assert!(bans.active(START.plus(MINUTE), ip("198.51.103.255")).is_none());
    bans.order(START, net("203.0.113.9"), None, String::new()).unwrap();
    assert_eq!(bans.liftable(START, net("203.0.113.0/24"), false), []);
    assert_eq!(bans.liftable(START, net("203.0.113.0/24"), true).len(), 1);
    assert_eq!(bans.lift(net("203.0.113.9")), [BanChange::Forget(net("203.0.113.9"))]);
    assert!(bans.lift(net("203.0.113.9")).is_empty());
}

#[test]
fn an_order_against_something_spared_is_refused_with_its_reason() {
    let mut bans = sparing("192.0.2.0/24", SparedAs::Proxy);
    let refused = bans.order(START, net("192.0.2.1"), None, String::new()).unwrap_err();
    assert!(matches!(refused, OrderRefused::Spared(Spared { reason: SparedAs::Proxy, .. })));
    // A wider one stands; who stands at the door asks `spares` as well.
    bans.order(START, net("192.0.0.0/16"), None, String::new()).unwrap();
    assert!(bans.spares(ip("192.0.2.1")).is_some());
}

#[test]
fn when_there_is_no_room_what_has_ended_goes_first_and_orders_never() {
    let mut bans = Bans::new(BanSettings { bans_max: 8, widen_at: 0, ..settings() }, Vec::new());
    for last in 0..4 {
        bans.order(START, net(&format!("10.0.0.{last}")), None, String::new()).unwrap();
    }
    assert_eq!(bans.order(START, net("10.0.0.9"), None, String::new()).unwrap_err(), OrderRefused::TooMany(4));
    guess(&mut bans, START, "192.0.2.1");
    let later = START.plus(MINUTE * 11);
    for last in 2..=5 {
        guess(&mut bans, later.plus(Duration::from_secs(last)), &format!("192.0.2.{last}"));
    }
    assert!(bans.about(ip("192.0.2.1")).is_empty(), "it had ended");
    guess(&mut bans, later.plus(MINUTE), "192.0.2.6");
    assert!(bans.about(ip("192.0.2.2")).is_empty(), "it would have ended first");
    assert_eq!(bans.list(later).filter(|ban| ban.by() == By::Person).count(), 4);
    assert_eq!(bans.len(), 8);
}

#[test]
fn after_a_restart_all_is_as_before_and_nothing_lasts_longer_than_the_longest() {
    let mut bans = book();
    guess(&mut bans, START, "192.0.2.1");
    bans.order(START, net("203.0.113.0/24"), None, "spam".to_owned()).unwrap();
    let kept: Vec<Ban> = bans.list(START).cloned().collect();
    let mut again = book();
    assert!(again.load(START, kept.clone()).is_empty());
    assert_eq!(again.list(START).cloned().collect::<Vec<_>>(), kept);
    // The clock was set back by a year.
    let mut early = book();
    let before = UnixMillis(START.0 - 365 * 86_400_000);
    assert_eq!(early.load(before, kept).len(), 1);
    assert!(early.active(before.plus(DAY * 7), ip("192.0.2.1")).is_none());
    assert!(early.active(before.plus(DAY * 7), ip("203.0.113.1")).is_some());
}

proptest! {
    /// Whatever happens in whatever order: never more records than there may be, no automatic ban without an end or longer than the longest, and
    /// nothing spared is covered by an automatic ban.
    #[test]
    fn no_order_of_events_breaks_a_promise(
        events in prop::collection::vec((0_u8..5, any::<u8>(), 0_u64..4_000_000), 1..400),
        bans_max in 4_usize..40,
        widen_at in 0_u32..6,
    ) {
        let spared = vec![Spared { network: net("10.0.0.64/26"), reason: SparedAs::Trusted }];
        let mut bans = Bans::new(BanSettings { bans_max, widen_at, ..settings() }, spared);
        let mut now = START;
        for (what, last, later) in events {
            now = UnixMillis(now.0 + later);
            let client = IpAddr::V4(Ipv4Addr::new(10, 0, u8::from(what == 1), last));
            match what {
                0 | 1 => drop(bans.offence(now, client, Offence::Syntax, String::new())),
                2 => drop(bans.order(now, Subnet::host(client), Some(MINUTE), String::new())),
                3 => drop(bans.lift(Subnet::host(client))),
                _ => drop(bans.sweep(now)),
            }
            prop_assert!(bans.len() <= bans_max);
            for ban in bans.list(now).filter(|ban| ban.by() == By::Automatic) {
                prop_assert!(ban.left(now).is_some_and(|left| left <= DAY * 7));
                prop_assert!(!ban.of.meets(&net("10.0.0.64/26")));
            }
        }
    }
}
