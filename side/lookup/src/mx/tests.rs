//! Mail exchangers: order, null MX, and a domain whose address must not be used behind its MX.

use hickory_resolver::proto::rr::RecordType;

use super::*;
use crate::LookupSettings;
use crate::test_server::{Says, TestServer, Zone};

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn exchange(name: &str, preference: u16, addresses: &[&str]) -> Exchange {
    let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
    Exchange { name: domain(name), preference, addresses }
}

async fn ask(zone: Zone, about: &str) -> Result<MxAnswer, LookupFailure> {
    TestServer::start(zone).await.resolver().exchangers(&domain(about)).await
}

#[tokio::test]
async fn exchangers_come_best_first_with_their_addresses() {
    let zone = Zone::new()
        .mx("d.test.", 20, "second.test.")
        .mx("d.test.", 10, "first.test.")
        .mx("d.test.", 30, "third.test.")
        .a("first.test.", 60, "192.0.2.1")
        .aaaa("first.test.", "2001:db8::1")
        .a("second.test.", 60, "192.0.2.2")
        .aaaa("third.test.", "2001:db8::3");
    let exchangers = vec![
        exchange("first.test", 10, &["2001:db8::1", "192.0.2.1"]),
        exchange("second.test", 20, &["192.0.2.2"]),
        exchange("third.test", 30, &["2001:db8::3"]),
    ];
    assert_eq!(ask(zone, "d.test").await, Ok(MxAnswer::Exchangers { exchangers, implicit: false, secure: false }));
}

#[tokio::test]
async fn a_domain_without_mx_is_its_own_exchanger() {
    let zone = Zone::new().a("d.test.", 60, "192.0.2.1");
    let exchangers = vec![exchange("d.test", 0, &["192.0.2.1"])];
    assert_eq!(ask(zone, "d.test").await, Ok(MxAnswer::Exchangers { exchangers, implicit: true, secure: false }));
}

#[tokio::test]
async fn a_null_mx_says_no_even_where_the_domain_has_an_address() {
    let zone = Zone::new().mx("d.test.", 0, ".").a("d.test.", 60, "192.0.2.1");
    assert_eq!(ask(zone, "d.test").await, Ok(MxAnswer::NullMx));
}

#[tokio::test]
async fn a_root_beside_other_exchangers_is_skipped() {
    let zone = Zone::new().mx("d.test.", 0, ".").mx("d.test.", 10, "h.test.").a("h.test.", 60, "192.0.2.1");
    let exchangers = vec![exchange("h.test", 10, &["192.0.2.1"])];
    assert_eq!(ask(zone, "d.test").await, Ok(MxAnswer::Exchangers { exchangers, implicit: false, secure: false }));
}

#[tokio::test]
async fn exchangers_that_do_not_exist_or_are_addresses_are_skipped() {
    let zone = Zone::new()
        .mx("d.test.", 5, "nobody.test.")
        .mx("d.test.", 6, "192.0.2.99.")
        .a("192.0.2.99.", 60, "192.0.2.99")
        .mx("d.test.", 7, "h.test.")
        .a("h.test.", 60, "192.0.2.1");
    let exchangers = vec![exchange("h.test", 7, &["192.0.2.1"])];
    assert_eq!(ask(zone, "d.test").await, Ok(MxAnswer::Exchangers { exchangers, implicit: false, secure: false }));
}

#[tokio::test]
async fn useless_mx_records_do_not_lead_to_the_domains_own_address() {
    let zone = Zone::new().mx("d.test.", 5, "nobody.test.").a("d.test.", 60, "192.0.2.1");
    assert_eq!(ask(zone, "d.test").await, Err(LookupFailure::NoMail));
}

#[tokio::test]
async fn an_exchanger_that_could_not_be_looked_up_makes_the_failure_temporary() {
    let zone = Zone::new()
        .mx("d.test.", 5, "nobody.test.")
        .mx("d.test.", 6, "h.test.")
        .says("h.test.", RecordType::A, Says::ServFail)
        .says("h.test.", RecordType::AAAA, Says::ServFail);
    let failure = ask(zone, "d.test").await.unwrap_err();
    assert!(matches!(failure, LookupFailure::Temporary(_)), "{failure:?}");
}

#[tokio::test]
async fn a_domain_that_does_not_exist_and_one_that_cannot_be_asked_for_differ() {
    assert_eq!(ask(Zone::new(), "nobody.test").await, Err(LookupFailure::NoSuchDomain));
    let failure = ask(Zone::new().says("d.test.", RecordType::MX, Says::ServFail), "d.test").await.unwrap_err();
    assert!(matches!(failure, LookupFailure::Temporary(_)), "{failure:?}");
}

#[tokio::test]
async fn an_alias_is_processed_as_if_it_were_the_name() {
    let zone = Zone::new().alias("d.test.", 60, "real.test.").mx("real.test.", 10, "h.test.").a("h.test.", 60, "192.0.2.1");
    let exchangers = vec![exchange("h.test", 10, &["192.0.2.1"])];
    assert_eq!(ask(zone, "d.test").await, Ok(MxAnswer::Exchangers { exchangers, implicit: false, secure: false }));
}

#[tokio::test]
async fn a_domain_with_very_many_exchangers_costs_a_bounded_number_of_questions() {
    let mut zone = Zone::new();
    for number in 0..60u16 {
        let host = format!("h{number}.test.");
        zone = zone.mx("d.test.", number, &host).a(&host, 60, "192.0.2.1");
    }
    let server = TestServer::start(zone).await;
    let Ok(MxAnswer::Exchangers { exchangers, .. }) = server.resolver().exchangers(&domain("d.test")).await else {
        panic!("no exchangers")
    };
    assert_eq!(exchangers.len(), LookupSettings::default().exchangers_max);
    assert_eq!(exchangers[0].name, domain("h0.test"));
    assert_eq!(server.asked("h59.test.", RecordType::A), 0);
}

#[test]
fn hosts_of_equal_preference_take_turns_and_better_ones_stay_in_front() {
    let hosts = || ["a", "b", "c"].map(|name| exchange(&format!("{name}.example"), 20, &["192.0.2.1"]));
    let order = |chance| {
        let mut all: Vec<_> = std::iter::once(exchange("best.example", 10, &["192.0.2.1"])).chain(hosts()).collect();
        shuffle_equals(&mut all, chance);
        all.iter().map(|exchange| exchange.name.to_string()).collect::<Vec<_>>()
    };
    let mut first = std::collections::HashSet::new();
    for chance in 0..64 {
        let order = order(chance);
        assert_eq!(order.first().map(String::as_str), Some("best.example"));
        first.insert(order.get(1).cloned());
    }
    assert_eq!(first.len(), 3, "each of the three comes first at some time");
    assert_eq!(order(7), order(7), "chance is an argument");
}
