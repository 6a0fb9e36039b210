//! Authors of strangers' mail: who is forged by a line that only some programs read, or by an identifier that nobody can look up, does not get in; and good
//! mail whose From is written badly does.

use postern_testkit::dns::TestDns;

use crate::prelude::*;

#[test]
fn no_way_of_writing_from_gets_round_the_policy_of_an_author_and_common_mistakes_pass() {
    let dns = TestDns::start();
    dns.txt("_dmarc.bank.test", "v=DMARC1; p=reject").txt("bank.test", "v=spf1 -all").fails("old.bank.test");
    let postern = Setup::new().dns(&dns).with("policy.authenticity", "enabled", "true").start();
    let send = |sender: &str, from: &str, subject: &str| {
        let text = message("x@attacker.test", ALICE, subject).replace("From: <x@attacker.test>\n", from);
        assert!(text.starts_with(from), "{text}");
        postern.stranger().mail(sender, &[ALICE], &text)
    };
    for from in [
        "From : <ceo@bank.test>\nFrom: <x@attacker.test>\n",
        " From: <ceo@bank.test>\nFrom: <x@attacker.test>\n",
        "From: ceo@bank.test <x@attacker.test>\n",
        "From: =?utf-8?q?ceo=40bank.test?=@attacker.test\n",
        "From: The Chief\n",
    ] {
        let refused = send("x@attacker.test", from, "forged");
        assert_eq!(refused.codes(), "550 5.7.1", "{from}: {refused:?}");
    }
    // Whoever forges may pick a name below the forged that cannot be looked up.
    let later = send("x@old.bank.test", "From: <ceo@bank.test>\n", "later");
    assert_eq!(later.codes(), "451 4.7.1", "{later:?}");
    for (sender, from, subject) in [
        ("x@shop.test", "From: info@shop.test <info@shop.test>\n", "an address as its own name"),
        ("x@shop.test", "From: Muster, Anna <a@shop.test>\n", "a comma in a name"),
        ("", "From: Mail Delivery System <MAILER-DAEMON>\n", "a bounce"),
    ] {
        let taken = send(sender, from, subject);
        assert_eq!(taken.code, 250, "{from}: {taken:?}");
        let _ = postern.maildir(ALICE).wait_for_subject(subject, LONG);
    }
}
