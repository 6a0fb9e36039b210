//! Lists that are asked by DNS: real ones, served by rbldnsd behind unbound, and ones that lie, are blocked or silent. A listed client is refused at MAIL
//! and told why; a broken list refuses nobody.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use postern_testkit::dns::TestDns;
use postern_testkit::peers::Unbound;
use postern_testkit::peers::rbldnsd::Rbldnsd;

use crate::prelude::*;

/// Clients come from here.
const LISTED: &str = "127.0.0.66";
const CLEAN: &str = "127.0.0.77";

fn asking(server: SocketAddr) -> Setup {
    Setup::new().with("dns", "servers", &format!("[\"{server}\"]")).with("policy", "lookup_deadline", "\"1s\"").with(
        "policy",
        "lookup_park",
        "\"1h\"",
    )
}

fn list(zone: &str, keys: &str) -> String {
    format!("[[policy.dnsbl]]\nzone = \"{zone}\"\npoints = {{ \"127.0.0.2\" = 10.0, \"127.0.0.10-127.0.0.11\" = 4.0 }}\n{keys}\n")
}

const ENFORCED: &str = "mode = \"enforce\"";

fn connect(postern: &Postern, from: &str) -> SmtpClient {
    let mut client = SmtpClient::connect_from(from.parse::<IpAddr>().unwrap(), postern.mx());
    client.expect_reply(220);
    client.ehlo();
    client
}

fn mail(postern: &Postern, from: &str) -> Reply {
    connect(postern, from).command(&format!("MAIL FROM:<{STRANGER}>"))
}

/// The state of a list, once it was probed.
fn state(postern: &Postern, zone: &str) -> serde_json::Value {
    until("the probe of a list", LONG, || {
        let status = postern.json(&["dnsbl", "status"]);
        let lists = status["lists"].as_array().unwrap();
        lists.iter().find(|list| list["zone"] == zone && list["state"] != "unproven").cloned()
    })
}

/// A list on the test's own name server that is as it should be.
fn right(dns: &TestDns, zone: &str) {
    dns.address_of(&format!("2.0.0.127.{zone}"), "127.0.0.2");
}

#[test]
fn a_listed_client_is_refused_at_mail_and_told_why_by_real_lists_behind_a_real_resolver() {
    require!(Rbldnsd::here(), Unbound::here());
    let right = ":127.0.0.2:Listed, see https://bl.test/$\n127.0.0.2\n127.0.0.66\n:127.0.0.10:dynamic\n127.0.0.67\n:127.0.0.9:other\n127.0.0.68\n";
    let rbldnsd = Rbldnsd::start_with(&[
        ("bl.test", "ip4trie", right),
        ("world.test", "ip4trie", ":127.0.0.2:all\n0.0.0.0/0\n"),
        ("nobody.test", "ip4trie", ":127.0.0.2:none\n192.0.2.1\n"),
        ("blocked.test", "ip4trie", ":127.255.255.254:Error: open resolver\n0.0.0.0/0\n"),
        ("dbl.test", "dnset", ":127.0.0.2:spam domain\ntest\n.spammer.test\n"),
        ("six.test", "ip6trie", ":127.0.0.2:six\n0:0:0:0:0:ffff:7f00:2/128\n2001:db8::/32\n"),
    ]);
    let zones = ["bl.test", "world.test", "nobody.test", "blocked.test", "dbl.test", "six.test"];
    let unbound = Unbound::start(&zones.map(|zone| (zone, rbldnsd.address())));
    let setup = zones
        .iter()
        .filter(|zone| **zone != "dbl.test")
        .fold(asking(unbound.address()), |setup, zone| setup.table(&list(zone, ENFORCED)));
    let mut postern = setup
        .table(&list("dbl.test", &format!("{ENFORCED}\ntarget = \"mail_from\"")))
        .mx_listener("proxy_protocol_from = [\"127.0.0.99/32\"]")
        .start();
    for zone in zones {
        let parked = ["world.test", "nobody.test", "blocked.test"].contains(&zone);
        assert_eq!(state(&postern, zone)["state"], if parked { "parked" } else { "usable" }, "{zone}");
    }
    for words in ["lists everybody", "lists nobody", "it answers 127.255.255.254"] {
        postern.wait_for_log(words);
    }
    let refused = mail(&postern, LISTED);
    assert_eq!(refused.codes(), "550 5.7.1");
    let told = "127.0.0.66 is listed by bl.test: \"Listed, see https://bl.test/127.0.0.66\"";
    assert!(refused.text().contains(told), "{refused:?}");
    assert_eq!(mail(&postern, CLEAN).code, 250, "broken lists refuse nobody");
    assert_eq!(mail(&postern, "127.0.0.67").code, 250, "4 points are not enough");
    assert_eq!(mail(&postern, "127.0.0.68").code, 250, "a code that is not written down is worth nothing");
    // Of the domain of the sender.
    let mut client = connect(&postern, CLEAN);
    let refused = client.command("MAIL FROM:<a@mail.spammer.test>");
    assert!(refused.codes() == "550 5.7.1" && refused.text().contains("mail.spammer.test is listed by dbl.test"), "{refused:?}");
    assert_eq!(client.command("MAIL FROM:<a@good.test>").code, 250);
    // Of an IPv6 address, as a proxy tells of it.
    let mut client = SmtpClient::connect_from("127.0.0.99".parse().unwrap(), postern.mx());
    client.send("PROXY TCP6 2001:db8::66 ::1 4711 25\r\n");
    client.expect_reply(220);
    client.ehlo();
    let refused = client.command(&format!("MAIL FROM:<{STRANGER}>"));
    assert!(refused.text().contains("2001:db8::66 is listed by six.test"), "{refused:?}");
    // The reference leads to the list, the code and the reason.
    let id = refused.text().rsplit_once("(ref ").unwrap().1.trim_end_matches(')').to_owned();
    drop(client);
    let explained = until("the reason", LONG, || {
        let output = postern.run(&["explain", &id]);
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    });
    assert!(explained.contains("six.test (127.0.0.2)") && explained.contains("world.test"), "{explained}");
}

#[test]
fn a_blocked_resolver_refuses_nobody_and_the_list_is_parked_with_an_alert() {
    let dns = TestDns::start();
    // A key stands before the zone in every question, and nowhere else.
    right(&dns, "k3y.bl.test");
    dns.address_of("66.0.0.127.k3y.bl.test", "127.255.255.254");
    let mut postern = asking(dns.address()).table(&list("bl.test", &format!("{ENFORCED}\nkey = \"k3y\""))).start();
    assert_eq!(state(&postern, "bl.test")["state"], "usable");
    assert_eq!(mail(&postern, LISTED).code, 250);
    postern.wait_for_log("a DNS list is parked");
    let parked = state(&postern, "bl.test");
    assert_eq!((&parked["state"], &parked["unusable"]), (&"parked".into(), &1.into()), "{parked}");
    assert!(parked["why"].as_str().unwrap().contains("127.255.255.254") && parked["until"].is_u64(), "{parked}");
    assert_eq!(mail(&postern, CLEAN).code, 250);
    assert!(postern.order(&["dnsbl", "status"]).contains("PARKED"));
    assert!(!postern.log().contains("k3y") && !postern.json(&["dnsbl", "status"]).to_string().contains("k3y"));
}

#[test]
fn a_silent_list_costs_one_deadline_and_then_nothing() {
    let dns = TestDns::start();
    for owner in ["2.0.0.127.bl.test", "1.0.0.127.bl.test", "66.0.0.127.bl.test"] {
        dns.silent(owner);
    }
    right(&dns, "other.test");
    dns.address_of("66.0.0.127.other.test", "127.0.0.2").txt("66.0.0.127.other.test", "ask us");
    let postern = asking(dns.address()).table(&list("bl.test", ENFORCED)).table(&list("other.test", ENFORCED)).start();
    let began = Instant::now();
    let refused = mail(&postern, LISTED);
    assert!(refused.text().contains("listed by other.test"), "another list is heard all the same: {refused:?}");
    assert!(began.elapsed().as_millis() < 2_500, "{:?}", began.elapsed());
    assert_eq!(state(&postern, "bl.test")["state"], "parked");
    let began = Instant::now();
    assert_eq!(mail(&postern, LISTED).code, 550);
    assert!(began.elapsed().as_millis() < 900, "{:?}", began.elapsed());
}

#[test]
fn an_observed_list_refuses_nobody_and_counts_whom_it_would_have_refused() {
    let dns = TestDns::start();
    right(&dns, "bl.test");
    dns.address_of("66.0.0.127.bl.test", "127.0.0.2");
    let mut postern = asking(dns.address()).table(&list("bl.test", "")).start();
    let mut client = connect(&postern, LISTED);
    assert_eq!(client.mail(STRANGER, &[ALICE], &message(STRANGER, ALICE, "observed")).code, 250);
    assert_eq!(mail(&postern, CLEAN).code, 250);
    let counted = state(&postern, "bl.test");
    assert_eq!(
        (&counted["would_refuse"], &counted["accepted"], &counted["mode"]),
        (&1.into(), &1.into(), &"observe".into()),
        "{counted}"
    );
    // The same for what a list says of a message.
    let observed = "target = \"header_from\"";
    postern.change(|setup| setup.without_tables().domain("here.test", &["alice"]).table(&list("from.test", observed)));
    dns.address_of("test.from.test", "127.0.0.2").address_of("there.test.from.test", "127.0.0.2");
    postern.reload("reloaded changes=");
    let mut client = connect(&postern, CLEAN);
    assert_eq!(client.mail(STRANGER, &[ALICE], &message(STRANGER, ALICE, "observed")).code, 250);
    assert_eq!(state(&postern, "from.test")["would_refuse"], 1);
    // Enforced it refuses; a client that a local list allows, and one of a trusted network, are not asked about.
    postern.change(|setup| {
        setup.without_tables().domain("here.test", &["alice"]).table(&list("bl.test", ENFORCED)).with(
            "server",
            "trusted_networks",
            "[\"127.0.0.77/32\"]",
        )
    });
    dns.address_of("77.0.0.127.bl.test", "127.0.0.2");
    postern.reload("reloaded changes=");
    assert_eq!(mail(&postern, LISTED).code, 550);
    assert_eq!(mail(&postern, CLEAN).code, 250, "trusted");
    postern.order(&["list", "add", LISTED, "--allow"]);
    assert_eq!(mail(&postern, LISTED).code, 250, "allowed");
}

#[test]
fn the_domains_of_from_and_reply_to_and_the_name_of_the_client_are_asked_about() {
    let dns = TestDns::start();
    dns.address_of("test.dbl.test", "127.0.0.2").address_of("spam.test.dbl.test", "127.0.0.2");
    let setup = ["helo", "header_from"].iter().fold(asking(dns.address()), |setup, target| {
        setup.table(&list("dbl.test", &format!("{ENFORCED}\ntarget = \"{target}\"")))
    });
    let postern = setup.start();
    let mut client = connect(&postern, CLEAN);
    client.expect(&format!("MAIL FROM:<{STRANGER}>"), 250);
    client.expect(&format!("RCPT TO:<{ALICE}>"), 250);
    client.expect("DATA", 354);
    client.send("From: a@good.test\r\nReply-To: b@spam.test\r\nSubject: x\r\n\r\nx\r\n.\r\n");
    let refused = client.reply();
    assert!(refused.codes() == "550 5.7.1" && refused.text().contains("spam.test is listed by dbl.test"), "{refused:?}");
    client.expect("EHLO spam.test", 250);
    assert_eq!(client.command(&format!("MAIL FROM:<{STRANGER}>")).code, 550);
    client.expect("EHLO good.test", 250);
    assert_eq!(client.command(&format!("MAIL FROM:<{STRANGER}>")).code, 250);
}
