//! `postern explain` about mail that nobody has sent finds out what the server would: who it is from, what lists say of it, and where its links lead. It is
//! only a question, and what is decided about the same mail when it comes is the same.

use postern_testkit::dns::TestDns;
use postern_testkit::peers::dkim::{Key, dkimpy, here};
use serde_json::{Value, json};

use crate::prelude::*;

const PROXY: &str = "proxy_protocol_from = [\"127.0.0.1/32\"]";

/// A bank with a policy, a list of clients and one of links.
fn town() -> (TestDns, Setup) {
    let dns = TestDns::start();
    dns.txt("_dmarc.bank.test", "v=DMARC1; p=reject").txt("bank.test", "v=spf1 ip4:192.0.2.1 -all");
    for (zone, entry) in [("bl.test", "66.2.0.192"), ("links.test", "shop.test")] {
        let test_point = if zone == "links.test" { "test" } else { "2.0.0.127" };
        dns.address_of(&format!("{test_point}.{zone}"), "127.0.0.2").address_of(&format!("{entry}.{zone}"), "127.0.0.2");
    }
    let list = |kind: &str, zone: &str| {
        format!("[[policy.{kind}]]\nzone = \"{zone}\"\npoints = {{ \"127.0.0.2\" = 10.0 }}\nmode = \"enforce\"\n")
    };
    let setup = Setup::new()
        .dns(&dns)
        .mx_listener(PROXY)
        .with("policy.authenticity", "enabled", "true")
        .table(&list("dnsbl", "bl.test"))
        .table(&list("uribl", "links.test"));
    (dns, setup)
}

fn usable(postern: &Postern) {
    until("the probes of both lists", LONG, || {
        let status = postern.json(&["dnsbl", "status"]);
        status["lists"].as_array().unwrap().iter().all(|list| list["state"] == "usable").then_some(())
    });
}

/// What the real thing would be told.
fn really(postern: &Postern, client: &str, from: &str, text: &str) -> Reply {
    let mut session = SmtpClient::connect(postern.mx());
    session.send(format!("PROXY TCP4 {client} 127.0.0.1 4711 25\r\n"));
    session.expect_reply(220);
    session.expect("EHLO client.there.test", 250);
    session.mail(from, &[ALICE], text)
}

struct Answered(Value);

impl Answered {
    fn step(&self, stage: &str) -> &Value {
        self.0["steps"].as_array().unwrap().iter().find(|step| step["stage"] == stage).unwrap()
    }

    fn rule(&self, stage: &str, rule: &str) -> String {
        let rules = self.step(stage)["rules"].as_array().unwrap();
        rules.iter().filter(|one| one["rule"] == rule).map(|one| format!("{} {}", one["says"], one["because"])).collect()
    }
}

fn asked(postern: &Postern, client: &str, from: &str, text: Option<&str>) -> Answered {
    let file = postern.folder().join("message");
    let mut words = vec!["explain", "--from", from, "--to", ALICE, "--ip", client, "--helo", "client.there.test"];
    if let Some(text) = text {
        // As files are here: with LF.
        std::fs::write(&file, text.replace("\r\n", "\n")).unwrap();
        words.extend(["--file", file.to_str().unwrap()]);
    }
    Answered(postern.json(&words))
}

#[test]
fn forged_and_genuine_mail_is_told_apart_before_it_is_sent() {
    require!(here());
    let (dns, setup) = town();
    let key = Key::ed25519();
    dns.txt("s._domainkey.bank.test", &key.record);
    let postern = setup.start();
    let text = message("a@bank.test", ALICE, "account").replace('\n', "\r\n");
    let forged = asked(&postern, "192.0.2.7", "x@there.test", Some(&text));
    assert_eq!(forged.step("message")["decided_by"], "dmarc", "{}", forged.0);
    let reply = really(&postern, "192.0.2.7", "x@there.test", &text);
    let told = forged.step("message")["reply"].as_str().unwrap();
    let words = |text: &str| text.split_once(" (ref ").map_or(text.to_owned(), |(words, _)| words.to_owned());
    assert_eq!(words(told), words(&format!("{} {}", reply.code, reply.text())));
    // SPF speaks for one client, and a signature for the message, whoever brings it.
    let by_spf = asked(&postern, "192.0.2.1", "a@bank.test", Some(&text));
    assert!(by_spf.rule("message", "dmarc").contains("pass by SPF for bank.test"), "{}", by_spf.0);
    let sign = json!({"do": "sign", "message": text, "selector": "s", "domain": "bank.test", "key": key.of_dkimpy,
        "algorithm": key.algorithm, "header": "simple", "body": "simple", "fields": ["From", "Subject"]});
    let signed = format!("{}{text}", dkimpy(dns.address(), &[sign])[0].as_str().unwrap());
    let genuine = asked(&postern, "192.0.2.7", "x@there.test", Some(&signed));
    assert!(genuine.rule("message", "dmarc").contains("pass by DKIM for bank.test"), "{}", genuine.0);
    assert_eq!(really(&postern, "192.0.2.7", "x@there.test", &signed).code, 250);
    // Asking alone has brought nothing into the queue, nor anybody's message into the history.
    assert_eq!(postern.maildir(ALICE).wait_for(1, LONG).len(), 1);
}

#[test]
fn lists_are_asked_about_the_client_and_the_links() {
    let (_dns, setup) = town();
    let mut postern = setup.start();
    usable(&postern);
    let listed = asked(&postern, "192.0.2.66", STRANGER, None);
    assert_eq!(listed.step("sender")["decision"], "refuse", "{}", listed.0);
    assert!(listed.rule("sender", "dnsbl").contains("bl.test"), "{}", listed.0);
    assert_eq!(asked(&postern, "192.0.2.67", STRANGER, None).step("sender")["decision"], "pass");
    let text = format!("{}\nBuy at https://www.shop.test/now\n", message(STRANGER, ALICE, "offer"));
    let offer = asked(&postern, "192.0.2.67", STRANGER, Some(&text));
    assert!(offer.step("message")["rules"].to_string().contains("links.test"), "{}", offer.0);
    assert_eq!(offer.step("message")["decision"], "refuse", "{}", offer.0);
    assert_eq!(really(&postern, "192.0.2.67", STRANGER, &text).code, 550);
    // Of filters there is none, and so nothing to say of them.
    assert!(!offer.0["by"].as_str().unwrap().contains("filters"), "{}", offer.0);
    postern.change(|setup| setup.table("[[policy.clamav]]\naddress = \"127.0.0.1:1\"\n"));
    postern.reload("reloaded");
    let filtered = asked(&postern, "192.0.2.67", STRANGER, Some(&text));
    assert!(
        filtered.0["by"].as_str().unwrap().ends_with("filters are not asked, only about mail that has come"),
        "{}",
        filtered.0
    );
    // An account is asked about by nobody.
    postern.terminate();
    let offline = asked(&postern, "192.0.2.66", STRANGER, Some(&text));
    assert!(offline.0["by"].as_str().unwrap().ends_with("nothing is looked up, since no server is running"), "{}", offline.0);
    assert_eq!(offline.step("sender")["decision"], "pass", "{}", offline.0);
}
