//! Who is taken for a crowd, and who is not.

use super::*;

const START: UnixMillis = UnixMillis(1_700_000_000_000);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn many(crowd: &mut Crowd, now: UnixMillis, client: &str) {
    for n in 0..NAMES_MIN {
        crowd.hello(now, ip(client), &format!("mx{n}.example"));
    }
}

#[test]
fn many_names_from_one_private_address_are_a_crowd_and_told_once_an_hour() {
    let mut crowd = Crowd::default();
    assert_eq!(crowd.shared(START), None);
    many(&mut crowd, START, "172.17.0.1");
    assert_eq!(crowd.to_be_told(START), Some(ip("172.17.0.1")));
    assert_eq!(crowd.to_be_told(START), None);
    let later = START.plus(HOUR);
    many(&mut crowd, later, "172.17.0.1");
    assert_eq!(crowd.to_be_told(later), Some(ip("172.17.0.1")));
}

#[test]
fn one_client_with_one_name_is_no_crowd_however_often_it_comes() {
    let mut crowd = Crowd::default();
    for _ in 0..1000 {
        crowd.hello(START, ip("10.0.0.2"), "Scanner");
        crowd.hello(START, ip("10.0.0.2"), "scanner");
    }
    assert_eq!(crowd.shared(START), None);
}

#[test]
fn a_second_address_shows_that_addresses_are_told_apart() {
    let mut crowd = Crowd::default();
    many(&mut crowd, START, "172.17.0.1");
    crowd.hello(START, ip("127.0.0.1"), "health");
    assert!(crowd.shared(START).is_some(), "loopback says nothing");
    crowd.hello(START, ip("192.0.2.1"), "mx.example");
    assert_eq!(crowd.shared(START), None);
    // It is remembered for an hour after its own.
    let later = START.plus(HOUR);
    many(&mut crowd, later, "172.17.0.1");
    assert_eq!(crowd.shared(later), None);
    let later = START.plus(HOUR * 2);
    many(&mut crowd, later, "172.17.0.1");
    assert!(crowd.shared(later).is_some());
}

#[test]
fn a_public_address_is_no_translation_of_ours() {
    let mut crowd = Crowd::default();
    many(&mut crowd, START, "192.0.2.1");
    assert_eq!(crowd.shared(START), None);
    let private = ["10.1.2.3", "172.31.0.1", "192.168.0.1", "100.64.0.1", "169.254.1.1", "fd00::1", "fe80::1", "::ffff:10.0.0.1"];
    assert!(private.iter().all(|address| is_private(ip(address))));
    assert!(!["172.32.0.1", "100.128.0.1", "2001:db8::1", "127.0.0.1"].iter().any(|address| is_private(ip(address))));
}

#[test]
fn containers_beside_ours_and_clients_of_the_other_family_hide_no_crowd() {
    let mut crowd = Crowd::default();
    for sibling in ["172.17.0.3", "172.17.0.4"] {
        crowd.hello(START, ip(sibling), "webmail");
    }
    crowd.hello(START, ip("2001:db8::1"), "mx.example");
    many(&mut crowd, START, "172.17.0.1");
    assert_eq!(crowd.shared(START), Some(ip("172.17.0.1")));
    assert!(crowd.is_shared(START, ip("::ffff:172.17.0.1")) && !crowd.is_shared(START, ip("172.17.0.3")));
}

#[test]
fn a_private_network_with_many_clients_is_no_crowd() {
    let mut crowd = Crowd::default();
    many(&mut crowd, START, "10.0.0.1");
    assert!(crowd.shared(START).is_some());
    for host in 2..=PRIVATE_MAX {
        crowd.hello(START, ip(&format!("10.0.0.{host}")), "desk");
    }
    assert_eq!(crowd.shared(START), None);
    assert!(!crowd.may_be_everybodys(START, ip("10.0.0.1")));
}

#[test]
fn a_private_address_may_be_everybodys_until_a_public_one_was_seen_lately() {
    let mut crowd = Crowd::default();
    let gateway = ip("172.17.0.1");
    assert!(crowd.may_be_everybodys(START, gateway));
    assert!(!crowd.may_be_everybodys(START, ip("127.0.0.1")) && !crowd.may_be_everybodys(START, ip("192.0.2.1")));
    crowd.seen(START, ip("2001:db8::1"));
    assert!(crowd.may_be_everybodys(START, gateway), "of another family");
    crowd.seen(START, ip("192.0.2.1"));
    assert!(!crowd.may_be_everybodys(START, gateway));
    assert!(crowd.may_be_everybodys(START.plus(HOUR * 2), gateway), "and not for ever");
}

#[test]
fn what_is_long_ago_says_nothing_of_now() {
    let mut crowd = Crowd::default();
    many(&mut crowd, START, "172.17.0.1");
    assert_eq!(crowd.shared(START.plus(HOUR * 2)), None);
}
