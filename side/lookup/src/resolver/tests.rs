//! Questions to a name server that is silent, wrong, slow or right, and what is remembered of its answers.

use std::time::Duration;

use hickory_resolver::proto::rr::RecordType;

use super::*;
use crate::test_server::{Says, TestServer, Zone};

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[tokio::test]
async fn addresses_come_with_ipv6_first() {
    let server = TestServer::start(Zone::new().a("h.test.", 60, "192.0.2.1").aaaa("h.test.", "2001:db8::1")).await;
    let found = server.resolver().addresses(&domain("h.test")).await;
    assert_eq!(found, Ok(vec![ip("2001:db8::1"), ip("192.0.2.1")]));
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_told_from_one_without_addresses() {
    let server = TestServer::start(Zone::new().mx("mail.test.", 0, "h.test.")).await;
    let resolver = server.resolver();
    assert_eq!(resolver.addresses(&domain("nobody.test")).await, Err(LookupFailure::NoSuchDomain));
    assert_eq!(resolver.addresses(&domain("mail.test")).await, Err(LookupFailure::NoMail));
}

#[tokio::test]
async fn a_failing_server_is_a_temporary_failure_and_is_not_remembered() {
    let zone = Zone::new().says("h.test.", RecordType::A, Says::ServFail).says("h.test.", RecordType::AAAA, Says::ServFail);
    let server = TestServer::start(zone).await;
    let resolver = server.resolver();
    for _ in 0..2 {
        let failure = resolver.addresses(&domain("h.test")).await.unwrap_err();
        assert!(matches!(failure, LookupFailure::Temporary(Outage::Dns(_))), "{failure:?}");
    }
    assert_eq!(server.asked("h.test.", RecordType::A), 2);
}

#[tokio::test]
async fn a_silent_server_is_a_temporary_failure_within_the_time_limit() {
    let zone = Zone::new().says("h.test.", RecordType::A, Says::Nothing).says("h.test.", RecordType::AAAA, Says::Nothing);
    let server = TestServer::start(zone).await;
    let failure = server.resolver_within(Duration::from_millis(150)).addresses(&domain("h.test")).await.unwrap_err();
    assert!(matches!(failure, LookupFailure::Temporary(Outage::Dns(_))), "{failure:?}");
}

#[tokio::test]
async fn one_known_family_is_enough_when_the_other_is_silent() {
    let zone = Zone::new().a("h.test.", 60, "192.0.2.1").says("h.test.", RecordType::AAAA, Says::ServFail);
    let server = TestServer::start(zone).await;
    assert_eq!(server.resolver().addresses(&domain("h.test")).await, Ok(vec![ip("192.0.2.1")]));
}

#[tokio::test]
async fn no_name_is_special() {
    let mut zone = Zone::new();
    for special in ["localhost.", "a.localhost.", "b.invalid.", "c.example.", "d.test.", "e.local.", "f.onion."] {
        zone = zone.a(special, 60, "192.0.2.7");
    }
    let server = TestServer::start(zone).await;
    let resolver = server.resolver();
    for special in ["localhost", "a.localhost", "b.invalid", "c.example", "d.test", "e.local", "f.onion"] {
        assert_eq!(resolver.addresses(&domain(special)).await, Ok(vec![ip("192.0.2.7")]), "{special}");
    }
}

#[tokio::test]
async fn a_time_to_live_of_one_second_is_honoured() {
    let server = TestServer::start(Zone::new().a("h.test.", 1, "192.0.2.1")).await;
    let (resolver, now, host) = (server.resolver(), clock(), domain("h.test"));
    for (milliseconds, asked) in [(0, 1), (900, 1), (1_000, 2), (1_500, 2), (2_100, 3)] {
        resolver.addresses_at(now + Duration::from_millis(milliseconds), &host).await.unwrap();
        assert_eq!(server.asked("h.test.", RecordType::A), asked, "after {milliseconds} ms");
    }
    assert_eq!(server.asked("h.test.", RecordType::AAAA), 1, "that there is none was said for a minute");
}

#[tokio::test]
async fn that_a_name_does_not_exist_is_remembered_for_as_long_as_the_zone_says() {
    let server = TestServer::start(Zone::new().negative_seconds(5)).await;
    let (resolver, now) = (server.resolver(), clock());
    for (seconds, asked) in [(0, 1), (4, 1), (5, 2)] {
        resolver.addresses_at(now + Duration::from_secs(seconds), &domain("nobody.test")).await.unwrap_err();
        assert_eq!(server.asked("nobody.test.", RecordType::A), asked, "after {seconds} s");
    }
}

#[tokio::test]
async fn an_alias_is_followed_and_lives_as_short_as_its_shortest_link() {
    let zone = Zone::new().alias("www.test.", 2, "h.test.").a("h.test.", 60, "192.0.2.1");
    let server = TestServer::start(zone).await;
    let (resolver, now, host) = (server.resolver(), clock(), domain("www.test"));
    for (seconds, asked) in [(0, 1), (1, 1), (2, 2)] {
        let found = resolver.addresses_at(now + Duration::from_secs(seconds), &host).await;
        assert_eq!(found, Ok(vec![ip("192.0.2.1")]));
        assert_eq!(server.asked("www.test.", RecordType::A), asked, "after {seconds} s");
    }
}

#[tokio::test]
async fn aliases_in_a_circle_end_in_a_temporary_failure() {
    let server = TestServer::start(Zone::new().alias("a.test.", 60, "b.test.").alias("b.test.", 60, "a.test.")).await;
    let failure = server.resolver().addresses(&domain("a.test")).await.unwrap_err();
    assert!(matches!(failure, LookupFailure::Temporary(_)), "{failure:?}");
    assert!(server.asked("a.test.", RecordType::A) <= ALIASES_MAX);
}

#[tokio::test]
async fn addresses_that_no_host_can_have_are_left_out_and_the_rest_is_bounded() {
    let mut zone = Zone::new().a("h.test.", 60, "0.0.0.0").a("h.test.", 60, "224.0.0.1").aaaa("h.test.", "::");
    for last in 1..=40 {
        zone = zone.a("h.test.", 60, &format!("192.0.2.{last}"));
    }
    let server = TestServer::start(zone).await;
    let found = server.resolver().addresses(&domain("h.test")).await.unwrap();
    assert_eq!(found.len(), LookupSettings::default().addresses_max);
    assert_eq!(found[0], ip("192.0.2.1"));
}

#[test]
fn a_resolver_needs_a_server_or_the_systems_own() {
    let settings = LookupSettings { servers: vec!["127.0.0.1:5353".parse().unwrap()], ..LookupSettings::default() };
    assert_eq!(Resolver::new(settings).unwrap().servers, 1);
}
