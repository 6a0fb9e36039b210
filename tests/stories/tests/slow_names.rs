//! Names that are slow, and name servers that are dead: the first costs a stranger nothing of somebody else's policy, the second costs nobody ten seconds.

use std::time::{Duration, Instant};

use postern_testkit::dns::TestDns;

use crate::prelude::*;

fn looking_up(dns: &TestDns) -> Setup {
    Setup::new().dns(dns).with("policy.authenticity", "enabled", "true").with("dns", "timeout", "\"60s\"")
}

#[test]
fn a_forger_whose_own_names_are_slow_is_refused_by_the_policy_of_the_forged() {
    let dns = TestDns::start();
    dns.txt("_dmarc.bank.test", "v=DMARC1; p=reject").txt("bank.test", "v=spf1 -all");
    for name in ["evil.test", "client.example", "_dmarc.evil.test", "1.0.0.127.in-addr.arpa", "s._domainkey.evil.test"] {
        dns.silent(name);
    }
    let postern = looking_up(&dns).with("policy.authenticity", "timeout", "\"2s\"").start();
    let text = message("a@bank.test", ALICE, "forged");
    let slow = "DKIM-Signature: v=1; a=rsa-sha256; d=evil.test; s=s; h=From; bh=AAAA; b=AAAA\n";
    let refused = postern.stranger().mail("x@evil.test", &[ALICE], &format!("{slow}{text}"));
    assert_eq!(refused.codes(), "550 5.7.1", "{refused:?}");
    assert!(refused.text().contains("bank.test"), "{refused:?}");
    // With a second author behind whom nobody answers.
    let two = text.replace("From: ", "From: <x@evil.test>, ");
    assert_eq!(postern.stranger().mail("x@evil.test", &[ALICE], &two).codes(), "550 5.7.1");
}

#[test]
fn dead_name_servers_delay_no_message_by_what_may_be_waited_for_slow_ones() {
    let dns = TestDns::start();
    let postern = looking_up(&dns).with("policy.authenticity", "timeout", "\"60s\"").start();
    dns.mute(true);
    for subject in ["first", "second"] {
        let began = Instant::now();
        from_stranger(&postern, ALICE, subject);
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        let delivered = postern.maildir(ALICE).wait_for_subject(subject, LONG);
        assert!(delivered.header("Received-SPF").starts_with("temperror"), "{}", delivered.header("Received-SPF"));
    }
    dns.mute(false);
    from_stranger(&postern, ALICE, "third");
    let delivered = postern.maildir(ALICE).wait_for_subject("third", LONG);
    assert!(delivered.header("Received-SPF").starts_with("none"), "{}", delivered.header("Received-SPF"));
}
