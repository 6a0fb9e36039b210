//! Mail to domains whose zones are signed (RFC 7672), by a real name server and a resolver that validates.

use std::net::SocketAddr;

use postern_testkit::peers::signed_dns::{Signed, SignedDns, Zone, tlsa_3_1_1};
use postern_testkit::wait::free_port;

use crate::prelude::*;

/// Mail exchangers have one port and an address each.
fn exchanger(last: u8, port: u16, tls: bool) -> Sink {
    let behaviour = if tls { Behaviour::default().tls() } else { Behaviour::default() };
    behaviour.start_at(SocketAddr::from(([127, 0, 0, last], port)))
}

fn record(port: u16, tlsa: &str) -> String {
    format!("_{port}._tcp.mx TLSA {tlsa}\n")
}

fn zone(name: &'static str, last: u8, records: &str, signed: Signed) -> Zone {
    Zone { name, records: format!("@ MX 10 mx\nmx A 127.0.0.{last}\n{records}"), signed }
}

fn sending(dns: &SignedDns, port: u16) -> Postern {
    let servers = format!("[\"{}\"]", dns.address());
    let setup = Setup::new().with("dns", "servers", &servers).with("outbound", "port", &port.to_string());
    with_alice(setup.with("reports", "tls", "true"))
}

fn wrong() -> String {
    format!("3 1 1 {}", "a5".repeat(32))
}

#[test]
fn mail_goes_only_to_the_certificate_that_a_signed_zone_names_and_waits_without_it() {
    require!(SignedDns::here());
    let port = free_port();
    let right = exchanger(21, port, true);
    let (wrong_one, stripped, bogus) = (exchanger(22, port, true), exchanger(23, port, false), exchanger(24, port, true));
    let (unusable, unsigned) = (exchanger(25, port, true), exchanger(26, port, true));
    let digest = tlsa_3_1_1(&bogus.certificate());
    let hex = digest.rsplit_once(' ').unwrap().1.to_owned();
    let wants = "_smtp._tls TXT \"v=TLSRPTv1; rua=mailto:tls@reports.test\"\n";
    let dns = SignedDns::start(&[
        zone("right.test", 21, &record(port, &tlsa_3_1_1(&right.certificate())), Signed::Well),
        zone("wrong.test", 22, &record(port, &wrong()), Signed::Well),
        zone("stripped.test", 23, &format!("{}{wants}", record(port, &wrong())), Signed::Well),
        // Somebody on the way has changed the record, but cannot sign it.
        zone("bogus.test", 24, &record(port, &digest), Signed::ThenChanged(hex, "a5".repeat(32))),
        zone("unusable.test", 25, &record(port, &format!("1 1 1 {}", "a5".repeat(32))), Signed::Well),
        zone("unsigned.test", 26, &record(port, &wrong()), Signed::Not),
    ]);
    let mut postern = sending(&dns, port);
    for domain in ["right", "wrong", "stripped", "bogus", "unusable", "unsigned"] {
        from_alice(&postern, &format!("carol@{domain}.test"), domain);
    }
    assert!(right.wait_for_subject("right").tls);
    let line = postern.wait_for_log("to=\"carol@right.test\"");
    assert!(line.contains("delivered") && line.contains("(DANE)"), "{line}\n{}", dns.said());
    assert!(unusable.wait_for_subject("unusable").tls);
    assert!(unsigned.wait_for_subject("unsigned").tls, "nothing that is not signed forbids it");
    let expected = [
        ("wrong", "no TLSA record of the domain matches the certificate"),
        ("stripped", "TLS is required here and not offered"),
        ("bogus", "what DNS says of its certificate (DANE) cannot be found out"),
    ];
    for (domain, why) in expected {
        let line = postern.wait_for_log(&format!("to=\"carol@{domain}.test\""));
        assert!(line.contains("deferred") && line.contains(why), "{line}\n{}", dns.said());
    }
    for (sink, name) in [(&wrong_one, "wrong"), (&stripped, "stripped"), (&bogus, "bogus")] {
        assert!(sink.messages().is_empty(), "{name}");
        assert!(!sink.lines().iter().any(|line| line.starts_with("MAIL")), "{name}: {:?}", sink.lines());
    }
    assert_eq!(bogus.connections(), 0);
    assert_eq!(postern.queue().len(), 3);
    // And the domain that asks for it is told that somebody takes STARTTLS away.
    let told = postern.json(&["reports", "send", "--now", "--dry-run"]);
    let one = &told["reports"][0];
    assert_eq!((&one["domain"], &one["about_tls"], &one["rows"]), (&"stripped.test".into(), &true.into(), &1.into()), "{told}");
    assert_eq!(told["reports"].as_array().unwrap().len(), 1, "{told}");
}

#[test]
fn without_dane_the_same_records_forbid_nothing() {
    require!(SignedDns::here());
    let port = free_port();
    let sink = exchanger(27, port, true);
    let dns = SignedDns::start(&[zone("off.test", 27, &record(port, &wrong()), Signed::Well)]);
    let servers = format!("[\"{}\"]", dns.address());
    let setup = Setup::new().with("dns", "servers", &servers).with("outbound", "port", &port.to_string());
    let postern = with_alice(setup.with("outbound", "dane", "false"));
    from_alice(&postern, "carol@off.test", "off");
    let _ = sink.wait_for_subject("off");
}
