//! What binds a host, by a name server that says what it has validated.

use super::*;
use crate::MxAnswer;
use crate::test_server::{Says, TestServer, Zone};

const DIGEST: [u8; 32] = [7; 32];

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn zone() -> Zone {
    Zone::new().mx("d.test.", 10, "mx.d.test.").a("mx.d.test.", 60, "192.0.2.1").tlsa("_25._tcp.mx.d.test.", 3, 1, 1, &DIGEST)
}

async fn ask(zone: Zone, host: &str) -> Result<Option<TlsaSet>, LookupFailure> {
    TestServer::start(zone).await.believing().tlsa(&domain("d.test"), &domain(host), 25).await
}

async fn bases(zone: Zone, host: &str) -> Vec<String> {
    let found = ask(zone, host).await.unwrap();
    found.into_iter().flat_map(|set| [set.base].into_iter().chain(set.also)).map(|name| name.to_string()).collect()
}

#[tokio::test]
async fn a_host_of_a_signed_zone_is_bound_by_its_records() {
    let found = ask(zone().validated_but(&[]), "mx.d.test").await.unwrap().unwrap();
    assert_eq!((found.base, found.also), (domain("mx.d.test"), vec![domain("d.test")]));
    assert_eq!(*found.records, [Tlsa { usage: 3, selector: 1, matching: 1, data: DIGEST.into() }]);
}

#[tokio::test]
async fn exchangers_say_whether_they_were_validated() {
    for (zone, expected) in [(zone().validated_but(&[]), true), (zone().validated_but(&["d.test."]), false), (zone(), false)] {
        let answer = TestServer::start(zone).await.believing().exchangers(&domain("d.test")).await;
        assert!(matches!(answer, Ok(MxAnswer::Exchangers { secure, .. }) if secure == expected), "{answer:?}");
    }
}

#[tokio::test]
async fn nobody_is_bound_by_what_was_not_validated() {
    assert_eq!(ask(zone(), "mx.d.test").await, Ok(None));
    assert_eq!(ask(zone().validated_but(&["_25._tcp.mx.d.test."]), "mx.d.test").await, Ok(None));
    let server = TestServer::start(zone().validated_but(&["mx.d.test."])).await;
    assert_eq!(server.believing().tlsa(&domain("d.test"), &domain("mx.d.test"), 25).await, Ok(None));
    assert_eq!(server.asked("_25._tcp.mx.d.test.", RecordType::TLSA), 0, "its name servers are not bothered");
}

#[tokio::test]
async fn a_resolver_that_is_not_to_believe_takes_no_bit_for_a_proof() {
    let server = TestServer::start(zone().validated_but(&[])).await;
    assert_eq!(server.resolver().tlsa(&domain("d.test"), &domain("mx.d.test"), 25).await, Ok(None));
    let with = |servers: &[&str], trust_ad: &[&str]| {
        let settings = crate::LookupSettings {
            servers: servers.iter().map(|server| server.parse().unwrap()).collect(),
            trust_ad: trust_ad.iter().map(|server| server.parse().unwrap()).collect(),
            dnssec: true,
            ..crate::LookupSettings::default()
        };
        Resolver::new(settings).unwrap().is_believed()
    };
    assert!(with(&["127.0.0.1:53", "[::1]:53"], &[]));
    assert!(!with(&["127.0.0.1:53", "192.0.2.53:53"], &[]), "the answer may be from the other one");
    assert!(with(&["127.0.0.1:53", "192.0.2.53:53"], &["192.0.2.53"]));
}

#[tokio::test]
async fn silence_and_failure_are_not_taken_for_none() {
    let owner = "_25._tcp.mx.d.test.";
    let failing = Zone::new().a("mx.d.test.", 60, "192.0.2.1").says(owner, RecordType::TLSA, Says::ServFail).validated_but(&[]);
    assert!(matches!(ask(failing, "mx.d.test").await, Err(LookupFailure::Temporary(_))));
    let none = Zone::new().a("mx.d.test.", 60, "192.0.2.1").validated_but(&[]);
    assert_eq!(ask(none, "mx.d.test").await, Ok(None));
}

#[tokio::test]
async fn an_address_that_fails_when_it_is_asked_for_again_is_not_taken_for_none() {
    let fails = |zone: Zone, name: &str| zone.says(name, RecordType::A, Says::ServFail).validated_but(&[]);
    let bound = || Zone::new().mx("d.test.", 10, "mx.d.test.").tlsa("_25._tcp.mx.d.test.", 3, 1, 1, &DIGEST);
    assert!(matches!(ask(fails(bound(), "mx.d.test."), "mx.d.test").await, Err(LookupFailure::Temporary(_))));
    // One family is enough, and a host that has no secure address needs no answer of the other.
    let other_fails = |zone: Zone| zone.says("mx.d.test.", RecordType::AAAA, Says::ServFail);
    assert!(ask(other_fails(zone()).validated_but(&[]), "mx.d.test").await.unwrap().is_some());
    assert_eq!(ask(other_fails(zone()).validated_but(&["mx.d.test."]), "mx.d.test").await, Ok(None));
}

#[tokio::test]
async fn an_alias_is_bound_by_its_target_and_else_by_itself() {
    let alias = || Zone::new().alias("mx.d.test.", 60, "host.e.test.").a("host.e.test.", 60, "192.0.2.1");
    let at_target = || alias().tlsa("_25._tcp.host.e.test.", 3, 1, 1, &DIGEST);
    assert_eq!(bases(at_target().validated_but(&[]), "mx.d.test").await, ["host.e.test", "d.test", "mx.d.test"]);
    let at_itself = || alias().tlsa("_25._tcp.mx.d.test.", 3, 1, 1, &DIGEST);
    assert_eq!(bases(at_itself().validated_but(&[]), "mx.d.test").await, ["mx.d.test", "d.test"]);
    assert_eq!(bases(at_itself().validated_but(&["host.e.test."]), "mx.d.test").await, ["mx.d.test", "d.test"]);
    assert!(bases(at_target().validated_but(&["host.e.test."]), "mx.d.test").await.is_empty());
    assert!(bases(at_itself().validated_but(&["mx.d.test."]), "mx.d.test").await.is_empty());
}

#[tokio::test]
async fn records_without_use_leave_the_duty_to_encrypt() {
    let zone = Zone::new().a("mx.d.test.", 60, "192.0.2.1").tlsa("_25._tcp.mx.d.test.", 1, 1, 1, &DIGEST).validated_but(&[]);
    let found = ask(zone, "mx.d.test").await.unwrap().unwrap();
    assert!(found.records.is_empty());
}
