//! An hour of strangers, at made-up times.

use super::*;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const LATER: Duration = Duration::from_secs(600);

fn settings() -> StrangerSettings {
    StrangerSettings {
        messages_per_hour: 3,
        recipients_per_hour: 10,
        kib_per_hour: 100,
        faults_per_hour: 5,
        recipients_unknown_per_hour: 7,
        network_factor: 2,
        known_factor: 10,
        counter_bytes: 4096,
    }
}

fn at(address: &str) -> Stranger {
    Stranger::new(address.parse().unwrap(), false)
}

fn minutes(count: u64) -> UnixMillis {
    NOW.plus(Duration::from_secs(60 * count))
}

#[test]
fn a_host_and_its_network_have_so_many_messages_in_an_hour() {
    let mut strangers = Strangers::new(settings());
    for _ in 0..3 {
        assert!(strangers.message(NOW, at("192.0.2.1")).is_ok());
    }
    assert_eq!(strangers.message(NOW, at("192.0.2.1")), Err(UsedUp::Messages));
    for _ in 0..3 {
        assert!(strangers.message(NOW, at("192.0.2.2")).is_ok());
    }
    assert_eq!(strangers.message(NOW, at("192.0.2.3")), Err(UsedUp::Messages), "the network has had twice what one may");
    assert!(strangers.message(NOW, at("198.51.100.1")).is_ok());
    assert!(strangers.message(minutes(121), at("192.0.2.1")).is_ok());
}

#[test]
fn a_rotating_ipv6_client_is_one_host() {
    let mut strangers = Strangers::new(settings());
    let taken = (0..10).filter(|n| strangers.message(NOW, at(&format!("2001:db8::{n}"))).is_ok());
    assert_eq!(taken.count(), 3);
}

#[test]
fn recipients_and_octets_are_counted_when_they_are_settled() {
    let mut strangers = Strangers::new(StrangerSettings { messages_per_hour: 100, ..settings() });
    let client = at("192.0.2.1");
    assert_eq!(strangers.message(NOW, client), Ok(10));
    strangers.settle(NOW, client, Used { recipients: 9, kib: 99 });
    assert_eq!(strangers.message(NOW, client), Ok(1));
    strangers.settle(NOW, client, Used { recipients: 1, kib: 1 });
    assert_eq!(strangers.message(NOW, client), Err(UsedUp::Bytes));
}

#[test]
fn a_known_client_has_more() {
    let mut strangers = Strangers::new(settings());
    let client = Stranger::new("192.0.2.1".parse().unwrap(), true);
    assert_eq!((0..100).filter(|_| strangers.message(NOW, client).is_ok()).count(), 30);
}

#[test]
fn faults_add_up_over_sessions_and_the_one_that_is_too_many_is_told_of() {
    let mut strangers = Strangers::new(settings());
    let client = at("192.0.2.1");
    assert_eq!(strangers.misbehaved(NOW, client, &[(Offence::Syntax, 3), (Offence::RefusedRelay, 2)]), []);
    let accused = strangers.misbehaved(NOW, client, &[(Offence::Syntax, 1), (Offence::RefusedRelay, 2)]);
    let [Accused { of, offence, evidence }] = accused.as_slice() else { panic!("{accused:?}") };
    assert_eq!((of.to_string().as_str(), *offence), ("192.0.2.1/32", Offence::RefusedRelay));
    assert_eq!(evidence, "8 faults of 192.0.2.1/32 within an hour, the last 3 in one session");
    assert_eq!(strangers.misbehaved(minutes(121), client, &[(Offence::Syntax, 5)]), [], "an hour later it is forgiven");
}

#[test]
fn harvesting_is_counted_apart() {
    let mut strangers = Strangers::new(settings());
    let did = [(Offence::UnknownRecipient, 7), (Offence::Syntax, 5)];
    assert_eq!(strangers.misbehaved(NOW, at("192.0.2.1"), &did), []);
    let accused = strangers.misbehaved(NOW, at("192.0.2.1"), &[(Offence::UnknownRecipient, 1), (Offence::Syntax, 0)]);
    assert_eq!(accused.iter().map(|accused| accused.offence).collect::<Vec<_>>(), [Offence::UnknownRecipient]);
}

#[test]
fn many_hosts_of_one_network_that_each_do_little_are_seen_as_a_network() {
    let mut strangers = Strangers::new(settings());
    let accused: Vec<_> = (1..=11)
        .flat_map(|n| strangers.misbehaved(NOW, at(&format!("192.0.2.{n}")), &[(Offence::EarlyTalk, 1)]))
        .map(|accused| accused.of.to_string())
        .collect();
    assert_eq!(accused, ["192.0.2.0/24"]);
}

/// A host that is banned already, or that cannot be, goes on: behind one translated address stand people who did nothing.
#[test]
fn what_one_host_does_beyond_its_own_limit_is_not_held_against_its_network() {
    let mut strangers = Strangers::new(settings());
    for (offence, limit) in [(Offence::Syntax, 5), (Offence::UnknownRecipient, 7)] {
        let accused: Vec<_> = (0..100).flat_map(|_| strangers.misbehaved(NOW, at("192.0.2.1"), &[(offence, 3)])).collect();
        assert!(!accused.is_empty() && accused.iter().all(|accused| accused.of.to_string() == "192.0.2.1/32"), "{accused:?}");
        assert_eq!(
            strangers.misbehaved(NOW, at("192.0.2.2"), &[(offence, limit)]),
            [],
            "twice the limit of one is the network's"
        );
        let accused = strangers.misbehaved(NOW, at("192.0.2.3"), &[(offence, 1)]);
        assert_eq!(accused.iter().map(|accused| accused.of.to_string()).collect::<Vec<_>>(), ["192.0.2.0/24"]);
    }
}

#[test]
fn a_network_is_refused_for_its_time_and_so_is_no_other() {
    let mut strangers = Strangers::new(settings());
    let address: IpAddr = "192.0.2.1".parse().unwrap();
    let of = Subnet::network(address);
    assert!(strangers.refuse(NOW, of, LATER));
    assert!(!strangers.refuse(minutes(9), of, LATER), "it is refused already");
    assert!(strangers.refuses(minutes(9), "192.0.2.2".parse().unwrap(), LATER), "all of the network");
    assert!(!strangers.refuses(minutes(9), "192.0.3.2".parse().unwrap(), LATER));
    assert!(!strangers.refuses(minutes(10).plus(Duration::from_millis(1)), address, LATER), "what was said first stands");
    assert!(strangers.refuse(minutes(22), of, LATER));
    assert!(strangers.refuses(minutes(31), address, LATER), "a second time is as long");
    assert!(!strangers.refuses(minutes(33), address, LATER));
}

#[test]
fn who_is_refused_is_listed_with_why_and_until_when_and_is_let_in_by_a_pardon() {
    let mut strangers = Strangers::new(settings());
    for n in 1..=11 {
        strangers.misbehaved(NOW, at(&format!("192.0.2.{n}")), &[(Offence::EarlyTalk, 1), (Offence::UnknownRecipient, 1)]);
    }
    let address: IpAddr = "192.0.2.1".parse().unwrap();
    strangers.refuse(NOW, Subnet::network(address), LATER);
    let refused = strangers.refused(minutes(5), LATER);
    let why = "11 faults of 192.0.2.0/24 within an hour, 11 unknown recipients of 192.0.2.0/24 within an hour".to_owned();
    assert_eq!(refused, [Refused { of: Subnet::network(address), why, until: NOW.plus(LATER) }]);
    assert!(strangers.refused(minutes(11), LATER).is_empty());
    let held = strangers.held(NOW, address, LATER);
    assert!(held.contains(&"1 faults of 192.0.2.1/32 within an hour".to_owned()), "{held:?}");
    assert!(held.contains(&"192.0.2.0/24 is refused for its faults".to_owned()), "{held:?}");
    strangers.pardon(Subnet::host(address));
    assert!(strangers.refuses(NOW, address, LATER), "what its network did is not pardoned with one host");
    assert!(!strangers.held(NOW, address, LATER).iter().any(|held| held.contains("192.0.2.1/32")));
    strangers.pardon(Subnet::network(address));
    assert!(!strangers.refuses(NOW, address, LATER) && strangers.held(NOW, address, LATER).is_empty());
    assert!(strangers.refused(NOW, LATER).is_empty());
}

#[test]
fn memory_is_bounded_however_many_come() {
    let mut strangers = Strangers::new(settings());
    for n in 0..3_000_u32 {
        let client = Stranger::new(std::net::Ipv4Addr::from(0x0a00_0000 + n * 256).into(), false);
        let _ = strangers.message(NOW, client);
        strangers.settle(NOW, client, Used { recipients: 1, kib: 1 });
        strangers.misbehaved(NOW, client, &[(Offence::Syntax, 1), (Offence::UnknownRecipient, 1)]);
        strangers.refuse(NOW, client.host, LATER);
    }
    assert!((8 * 4096..=11 * 4096).contains(&strangers.bytes()), "{}", strangers.bytes());
}
