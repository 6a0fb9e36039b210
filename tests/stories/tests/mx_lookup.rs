//! Where mail goes without a route (RFC 5321 §5.1): by preference, to the domain itself where there is no MX, nowhere with a null MX
//! (RFC 7505).

use std::net::SocketAddr;

use postern_testkit::dns::TestDns;
use postern_testkit::wait::free_port;

use crate::prelude::*;

/// Mail exchangers have one port and an address each.
fn exchanger(address: &str, port: u16) -> Sink {
    Behaviour::default().start_at(SocketAddr::new(address.parse().unwrap(), port))
}

fn by_mx(dns: &TestDns, port: u16) -> Postern {
    with_alice(Setup::new().dns(dns).with("outbound", "port", &port.to_string()).with("outbound.retry", "give_up", "\"3s\""))
}

#[test]
fn the_lowest_preference_is_asked_first_and_the_next_when_it_is_down() {
    let (dns, port) = (TestDns::start(), free_port());
    let (second, third) = (exchanger("127.0.0.12", port), exchanger("127.0.0.13", port));
    dns.mx("there.test", 30, "mx3.there.test").mx("there.test", 10, "mx1.there.test").mx("there.test", 20, "mx2.there.test");
    dns.address_of("mx1.there.test", "127.0.0.11")
        .address_of("mx2.there.test", "127.0.0.12")
        .address_of("mx3.there.test", "127.0.0.13");
    let postern = by_mx(&dns, port);
    from_alice(&postern, "carol@there.test", "first is down");
    let _ = second.wait_for_subject("first is down");

    let first = exchanger("127.0.0.11", port);
    until("the first to be asked again", LONG, || {
        from_alice(&postern, "carol@there.test", "first is back");
        until("a delivery", LONG, || postern.queue().is_empty().then_some(()));
        (!first.messages().is_empty()).then_some(())
    });
    assert!(third.messages().is_empty());
}

#[test]
fn a_domain_without_mx_takes_its_mail_itself() {
    let (dns, port) = (TestDns::start(), free_port());
    let sink = exchanger("127.0.0.14", port);
    dns.address_of("implicit.test", "127.0.0.14");
    let postern = by_mx(&dns, port);
    from_alice(&postern, "carol@implicit.test", "implicit");
    let _ = sink.wait_for_subject("implicit");
}

#[test]
fn mail_to_nowhere_comes_back_at_once() {
    let (dns, port) = (TestDns::start(), free_port());
    dns.mx("null.test", 0, ".").mx("broken.test", 10, "nowhere.broken.test");
    let postern = by_mx(&dns, port);
    for (to, status) in [("carol@null.test", "5.1.10"), ("carol@gone.test", "5.1.2")] {
        from_alice(&postern, to, to);
        let report = until(to, LONG, || {
            postern
                .maildir(ALICE)
                .messages()
                .into_iter()
                .find(|report| report.0.contains(&format!("; {to}")) || report.0.contains(&format!(";{to}")))
        });
        assert!(report.0.contains(&format!("Status: {status}")), "{}", report.0);
    }
}

#[test]
fn mail_waits_while_the_name_server_fails_or_is_silent() {
    let (dns, port) = (TestDns::start(), free_port());
    let sink = exchanger("127.0.0.15", port);
    dns.fails("failing.test").silent("silent.test");
    let mut postern = by_mx(&dns, port);
    for domain in ["failing.test", "silent.test"] {
        from_alice(&postern, &format!("carol@{domain}"), domain);
        postern.wait_for_log(&format!("to=\"carol@{domain}\""));
        assert!(postern.maildir(ALICE).messages().is_empty(), "a deferral is told to nobody");
        dns.forget(domain).address_of(domain, "127.0.0.15");
        let _ = sink.wait_for_subject(domain);
    }
}

#[test]
fn an_address_literal_is_the_host_itself() {
    let (dns, port) = (TestDns::start(), free_port());
    let sink = exchanger("127.0.0.16", port);
    let postern = by_mx(&dns, port);
    from_alice(&postern, "carol@[127.0.0.16]", "literal");
    let _ = sink.wait_for_subject("literal");
}

#[test]
fn ipv6_is_used_where_it_is_given() {
    let (dns, port) = (TestDns::start(), free_port());
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("skipped: this machine has no IPv6");
        return;
    }
    let sink = exchanger("::1", port);
    dns.mx("six.test", 10, "mx.six.test").address_of("mx.six.test", "::1");
    let postern = by_mx(&dns, port);
    from_alice(&postern, "carol@six.test", "six");
    let _ = sink.wait_for_subject("six");
}
