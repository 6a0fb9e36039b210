//! Who may come in, at made-up times.

use super::*;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

fn settings() -> CeilingSettings {
    CeilingSettings {
        connections: 4,
        reserved: 0,
        connections_per_listener: 100,
        connections_per_host: 2,
        connections_per_network: 3,
        connections_per_minute_per_host: 100,
        connections_per_minute_per_network: 100,
        handshakes_per_minute_per_host: 100,
        known_networks: vec!["10.9.0.0/16".parse().unwrap()],
        known_for: Duration::from_secs(3600),
        stress_at: 0.75,
        stress_until: 0.5,
        counter_bytes: 8 * 40,
    }
}

fn from(address: &str) -> Arrival {
    Arrival { now: NOW, address: address.parse().unwrap(), listener: 0, handshake: false }
}

fn after(wait: u64, address: &str) -> Arrival {
    Arrival { now: NOW.plus(Duration::from_secs(wait)), ..from(address) }
}

fn full(ceiling: &Arc<Ceiling>, arrival: Arrival) -> Option<Full> {
    ceiling.enter(arrival).err()
}

#[test]
fn each_ceiling_is_reached_and_a_place_comes_back() {
    let ceiling = Ceiling::new(settings());
    let first = ceiling.enter(from("192.0.2.1")).unwrap();
    let _second = ceiling.enter(from("192.0.2.1")).unwrap();
    assert_eq!(full(&ceiling, from("192.0.2.1")), Some(Full::Host));
    let _third = ceiling.enter(from("192.0.2.2")).unwrap();
    assert_eq!(full(&ceiling, from("192.0.2.3")), Some(Full::Network));
    let _fourth = ceiling.enter(from("198.51.100.1")).unwrap();
    assert_eq!(full(&ceiling, from("203.0.113.1")), Some(Full::Server));
    drop(first);
    assert!(ceiling.enter(from("192.0.2.1")).is_ok());
}

#[test]
fn who_was_turned_away_is_remembered_for_an_hour_and_no_more_of_them_than_there_is_room_for() {
    let ceiling = Ceiling::new(CeilingSettings { counter_bytes: 8 * 100, ..settings() });
    let (turned, asked) = ("192.0.2.7".parse().unwrap(), "192.0.2.7".parse().unwrap());
    for full in [Full::Host, Full::Host, Full::NetworkRate] {
        ceiling.turns_away(NOW, turned, full);
    }
    assert_eq!(ceiling.turned_away(NOW, asked), [(Full::Host, 2, 2), (Full::NetworkRate, 1, 100)]);
    assert_eq!(ceiling.turned_away(NOW, "192.0.2.8".parse().unwrap()), []);
    assert_eq!(ceiling.turned_away(NOW.plus(2 * HOUR), asked), []);
    let before = ceiling.counter_bytes();
    for n in 0..100_000_u32 {
        ceiling.turns_away(NOW, std::net::Ipv4Addr::from(0x0b00_0000 | n).into(), Full::Server);
    }
    assert!(ceiling.counter_bytes() <= before.max(5 * 800), "{} octets", ceiling.counter_bytes());
}

#[test]
fn a_rotating_ipv6_client_is_one_host() {
    let ceiling = Ceiling::new(settings());
    let _places: Vec<_> = (1..=2).map(|n| ceiling.enter(from(&format!("2001:db8::{n}"))).unwrap()).collect();
    assert_eq!(full(&ceiling, from("2001:db8::3")), Some(Full::Host));
}

#[test]
fn the_reserve_is_for_clients_of_our_networks_and_for_those_that_delivered() {
    let ceiling = Ceiling::new(CeilingSettings { reserved: 2, ..settings() });
    ceiling.enter(from("203.0.113.7")).unwrap().delivered(NOW);
    let _strangers = [ceiling.enter(from("192.0.2.1")).unwrap(), ceiling.enter(from("198.51.100.1")).unwrap()];
    assert_eq!(full(&ceiling, from("203.0.113.1")), Some(Full::Reserve));
    let ours = ceiling.enter(from("10.9.1.1")).unwrap();
    let delivered = ceiling.enter(from("203.0.113.7")).unwrap();
    assert_eq!(full(&ceiling, from("10.9.1.2")), Some(Full::Server));
    drop((ours, delivered));
    // Those of the reserve who left have left nothing to strangers.
    assert_eq!(full(&ceiling, from("203.0.113.1")), Some(Full::Reserve));
}

#[test]
fn a_client_that_logs_in_gives_its_place_among_strangers_back_and_is_known_for_a_while() {
    let ceiling = Ceiling::new(CeilingSettings { reserved: 3, ..settings() });
    let mut place = ceiling.enter(from("192.0.2.1")).unwrap();
    assert_eq!(full(&ceiling, from("198.51.100.1")), Some(Full::Reserve));
    place.logged_in(NOW);
    let stranger = ceiling.enter(from("198.51.100.1")).unwrap();
    drop(place);
    assert_eq!(full(&ceiling, from("198.51.100.2")), Some(Full::Reserve), "what a customer leaves is kept for customers");
    assert!(ceiling.enter(after(1800, "192.0.2.1")).is_ok());
    assert_eq!(full(&ceiling, after(3 * 3600, "192.0.2.1")), Some(Full::Reserve), "it is forgotten in the end");
    drop(stranger);
}

#[test]
fn after_a_restart_the_reserve_is_open_to_the_networks_accounts_were_proven_from() {
    let ceiling = Ceiling::new(CeilingSettings { reserved: 3, ..settings() });
    let now = from("192.0.2.1").now;
    let home = |address: &str| Subnet::network(address.parse().unwrap());
    ceiling.take_up_homes(now, [(home("192.0.2.1"), now), (home("198.51.100.1"), UnixMillis(0))]);
    let limit = settings().connections - 3;
    let strangers: Vec<_> = (1..=limit).map(|n| ceiling.enter(from(&format!("203.0.{n}.1"))).unwrap()).collect();
    assert_eq!(full(&ceiling, from("198.51.100.1")), Some(Full::Reserve), "too long ago");
    let _at_home = ceiling.enter(from("192.0.2.99")).unwrap();
    assert!(!ceiling.is_known(now, "192.0.2.99".parse().unwrap()), "its limits are a stranger's");
    drop(strangers);
}

#[test]
fn a_flood_of_deliveries_does_not_make_us_forget_who_logged_in() {
    let ceiling = Ceiling::new(settings());
    ceiling.enter(from("192.0.2.1")).unwrap().logged_in(NOW);
    for n in 0..10_000_u32 {
        let address = IpAddr::from(std::net::Ipv4Addr::from(0x0a00_0000 + n * 256));
        ceiling.enter(Arrival { address, ..from("10.0.0.0") }).unwrap().delivered(NOW);
    }
    assert!(ceiling.is_known(NOW, "192.0.2.1".parse().unwrap()));
}

#[test]
fn one_listener_does_not_take_the_connections_of_the_others() {
    let ceiling = Ceiling::new(CeilingSettings { connections_per_listener: 1, ..settings() });
    let place = ceiling.enter(from("192.0.2.1")).unwrap();
    assert_eq!(full(&ceiling, from("198.51.100.1")), Some(Full::Listener));
    assert!(ceiling.enter(Arrival { listener: 1, ..from("198.51.100.1") }).is_ok());
    assert!(ceiling.enter(from("10.9.1.1")).is_ok(), "a known client is not held by it");
    drop(place);
    assert!(ceiling.enter(from("198.51.100.1")).is_ok());
}

#[test]
fn coming_too_often_is_noticed_and_forgiven_little_by_little() {
    let ceiling = Ceiling::new(CeilingSettings { connections_per_minute_per_host: 3, ..settings() });
    for _ in 0..3 {
        drop(ceiling.enter(from("192.0.2.1")).unwrap());
    }
    assert_eq!(full(&ceiling, from("192.0.2.1")), Some(Full::HostRate));
    assert!(ceiling.enter(from("192.0.2.2")).is_ok());
    assert_eq!(full(&ceiling, after(61, "192.0.2.1")), Some(Full::HostRate), "a minute after a burst most of it still counts");
    assert!(ceiling.enter(after(119, "192.0.2.1")).is_ok());
}

#[test]
fn a_network_that_comes_too_often_is_noticed_and_its_known_clients_are_not_held_by_it() {
    let ceiling = Ceiling::new(CeilingSettings { connections_per_minute_per_network: 3, ..settings() });
    for n in 1..=3 {
        drop(ceiling.enter(from(&format!("192.0.2.{n}"))).unwrap());
        drop(ceiling.enter(from(&format!("10.9.0.{n}"))).unwrap());
    }
    assert_eq!(full(&ceiling, from("192.0.2.4")), Some(Full::NetworkRate));
    assert!(ceiling.enter(from("10.9.0.4")).is_ok());
}

#[test]
fn one_host_that_hammers_does_not_use_up_what_its_network_may() {
    let rates = CeilingSettings { connections_per_minute_per_host: 2, connections_per_minute_per_network: 4, ..settings() };
    let ceiling = Ceiling::new(rates);
    let hammered = (0..100).filter(|_| full(&ceiling, from("192.0.2.1")) == Some(Full::HostRate));
    assert_eq!(hammered.count(), 98);
    assert_eq!(full(&ceiling, from("192.0.2.2")), None);
    assert_eq!(full(&ceiling, from("192.0.2.3")), None);
    assert_eq!(full(&ceiling, from("192.0.2.4")), Some(Full::NetworkRate), "what the host was let in with does count");
}

#[test]
fn handshakes_are_counted_whether_they_come_with_the_connection_or_after_starttls() {
    let ceiling = Ceiling::new(CeilingSettings { handshakes_per_minute_per_host: 2, ..settings() });
    let implicit = Arrival { handshake: true, ..from("192.0.2.1") };
    let place = ceiling.enter(from("192.0.2.1")).unwrap();
    drop(ceiling.enter(implicit).unwrap());
    assert_eq!(place.shakes_hands(NOW), Ok(()));
    assert_eq!(place.shakes_hands(NOW), Err(Full::Handshakes));
    assert_eq!(full(&ceiling, implicit), Some(Full::Handshakes));
    assert_eq!(ceiling.open(), 1, "one that may not shake hands holds no place");
    let known = Arrival { handshake: true, ..from("10.9.0.1") };
    assert!((0..5).all(|_| ceiling.enter(known).is_ok()));
}

#[test]
fn a_place_behind_a_proxy_is_a_stranger_s_only_once_it_has_a_name() {
    let ceiling = Ceiling::new(CeilingSettings { reserved: 2, ..settings() });
    let unnamed: Vec<_> = (0..4).map(|_| ceiling.enter_unnamed().unwrap()).collect();
    assert_eq!(ceiling.enter_unnamed().unwrap_err(), Full::Server);
    let strangers = ["192.0.2.1", "198.51.100.1", "203.0.113.1", "203.0.113.2"];
    let named: Vec<_> = unnamed.into_iter().zip(strangers).map(|(place, address)| place.named(from(address))).collect();
    let refused: Vec<_> = named.iter().filter_map(|place| place.as_ref().err()).collect();
    assert_eq!(refused, [&Full::Reserve, &Full::Reserve]);
    drop(refused);
    assert_eq!(ceiling.open(), 2, "a place that is refused comes back");
}

#[test]
fn stress_begins_at_one_share_and_is_over_at_a_lower_one() {
    let ceiling = Ceiling::new(CeilingSettings { connections: 10, reserved: 2, connections_per_network: 10, ..settings() });
    let enter = |n: u8| ceiling.enter(from(&format!("192.0.2.{n}"))).unwrap();
    let mut places: Vec<_> = (1..=5).map(enter).collect();
    assert!(!ceiling.is_stressed());
    places.push(enter(6));
    assert!(ceiling.is_stressed(), "six of eight are three quarters");
    let _known = ceiling.enter(from("10.9.0.1")).unwrap();
    places.pop();
    assert!(ceiling.is_stressed(), "five are still more than half");
    places.pop();
    assert!(!ceiling.is_stressed(), "and known clients do not count");
}

#[test]
fn new_limits_hold_for_what_is_open_and_for_who_comes() {
    let ceiling = Ceiling::new(settings());
    let _places = [ceiling.enter(from("192.0.2.1")).unwrap(), ceiling.enter(from("198.51.100.1")).unwrap()];
    ceiling.adjust(CeilingSettings { connections: 2, ..settings() });
    assert!(ceiling.is_stressed());
    assert_eq!(full(&ceiling, from("203.0.113.1")), Some(Full::Server));
    ceiling.adjust(settings());
    assert!(!ceiling.is_stressed());
}

#[test]
fn memory_of_rates_is_bounded_and_of_counts_given_back() {
    let ceiling = Ceiling::new(settings());
    for n in 0..1000_u32 {
        let address = IpAddr::from(std::net::Ipv4Addr::from(0x0a00_0000 + n));
        drop(ceiling.enter(Arrival { address, handshake: true, ..from("10.0.0.0") }));
    }
    let counts = ceiling.lock();
    for tally in [&counts.host_rates, &counts.network_rates, &counts.handshakes, &counts.known] {
        assert!(tally.len() <= 8 && tally.bytes() <= 8 * 40);
    }
    assert!(counts.hosts.is_empty() && counts.networks.is_empty() && counts.listeners.is_empty());
    assert_eq!((counts.open, counts.strangers), (0, 0));
}
