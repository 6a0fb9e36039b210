//! Guessing passwords: who guesses is heard a few times, and the owner of the account always (RFC 4954 §9).

use crate::prelude::*;

/// One attempt from `source`, with a connection of its own; the code it got, be it in the greeting.
fn attempt(postern: &Postern, source: &str, account: &str, password: &str) -> u16 {
    let mut client = SmtpClient::connect_from(source.parse().unwrap(), postern.submission());
    let greeting = client.reply();
    if greeting.code != 220 {
        return greeting.code;
    }
    client.ehlo();
    client.starttls();
    client.ehlo();
    client.auth_plain(account, password).code
}

#[test]
fn one_address_is_heard_five_times_whether_there_is_such_an_account_or_not() {
    let postern = with_alice(Setup::new());
    for (source, account) in [("127.1.1.1", ALICE), ("127.1.2.1", "nobody@here.test")] {
        let codes: Vec<u16> = (0..7).map(|number| attempt(&postern, source, account, &format!("wrong {number}"))).collect();
        assert_eq!(codes, [535, 535, 535, 535, 535, 421, 421], "{account}");
    }
    for client in ["127.1.1.1", "127.1.2.1"] {
        let explained = postern.order(&["ban", "explain", client]);
        assert!(explained.contains(&format!("5 wrong passwords from {client}/32 within 15 min")), "{explained}");
    }
    assert_eq!(attempt(&postern, "127.1.1.2", ALICE, PASSWORD), 235, "a neighbour is not it");
}

#[test]
fn an_owner_is_heard_from_a_known_network_while_strangers_are_refused_for_the_account() {
    let setup = Setup::new().with("auth", "failures_per_account", "4").with("auth", "slowed_longest", "\"0s\"").with(
        "auth",
        "remembered",
        "\"0s\"",
    );
    let postern = with_alice(setup);
    assert_eq!(attempt(&postern, "127.2.0.1", ALICE, PASSWORD), 235);
    for account in [ALICE, "nobody@here.test"] {
        let codes: Vec<u16> =
            (1..=6).map(|number| attempt(&postern, &format!("127.3.{number}.1"), account, &format!("wrong {number}"))).collect();
        assert_eq!(codes, [535, 535, 535, 535, 454, 454], "{account}");
    }
    assert_eq!(attempt(&postern, "127.3.9.1", ALICE, PASSWORD), 454, "nobody knows who this is");
    assert_eq!(attempt(&postern, "127.2.0.200", ALICE, PASSWORD), 235, "the owner, known by the network");
}

#[test]
fn a_phone_with_an_old_password_is_one_fault() {
    let postern = with_alice(Setup::new());
    for _ in 0..12 {
        assert_eq!(attempt(&postern, "127.4.0.1", ALICE, "the old password"), 535);
    }
    assert_eq!(attempt(&postern, "127.4.0.1", ALICE, PASSWORD), 235);
}

#[test]
fn one_password_on_many_accounts_is_one_attack() {
    let postern = with_alice(Setup::new().with("auth", "spray_accounts", "3"));
    for number in 0..3 {
        assert_eq!(attempt(&postern, &format!("127.5.{number}.1"), &format!("user{number}@here.test"), "Summer2026"), 535);
    }
    assert_eq!(attempt(&postern, "127.5.9.1", ALICE, "Summer2026"), 454);
    assert_eq!(attempt(&postern, "127.5.9.1", ALICE, PASSWORD), 235);
}

#[test]
fn a_known_network_is_known_after_a_restart() {
    let setup = Setup::new().with("auth", "failures_per_account", "2").with("auth", "slowed_longest", "\"0s\"");
    let mut postern = with_alice(setup);
    assert_eq!(attempt(&postern, "127.6.0.1", ALICE, PASSWORD), 235);
    postern.restart();
    for number in 1..=2 {
        assert_eq!(attempt(&postern, &format!("127.7.{number}.1"), ALICE, &format!("wrong {number}")), 535);
    }
    assert_eq!(attempt(&postern, "127.7.9.1", ALICE, PASSWORD), 454);
    assert_eq!(attempt(&postern, "127.6.0.2", ALICE, PASSWORD), 235);
}

#[test]
fn behind_one_address_with_an_owner_a_guesser_is_refused_and_nobody_is_banned() {
    let postern = with_alice(Setup::new());
    assert_eq!(attempt(&postern, "127.8.0.1", ALICE, PASSWORD), 235);
    let codes: Vec<u16> = (0..7)
        .map(|number| attempt(&postern, "127.8.0.1", &format!("user{number}@here.test"), &format!("wrong {number}")))
        .collect();
    assert_eq!(codes, [535, 535, 535, 535, 535, 421, 421]);
    assert_eq!(attempt(&postern, "127.8.0.1", ALICE, PASSWORD), 235, "who lives there");
    let explained = postern.order(&["ban", "explain", "127.8.0.1"]);
    assert!(explained.contains("is not banned") && explained.contains("5 wrong passwords"), "{explained}");
}

#[test]
fn who_is_kept_out_by_a_scope_makes_nobodys_home_of_where_it_comes_from() {
    let postern = with_alice(Setup::new());
    postern.order(&["account", "scope", ALICE, "--networks", "192.0.2.0/24"]);
    attempt(&postern, "127.9.0.1", ALICE, PASSWORD);
    for number in 0..5 {
        attempt(&postern, "127.9.0.1", &format!("user{number}@here.test"), &format!("wrong {number}"));
    }
    let explained = postern.order(&["ban", "explain", "127.9.0.1"]);
    assert!(explained.contains("127.9.0.1 is banned"), "{explained}");
}

#[test]
fn homes_go_with_the_account_and_with_its_password_and_a_person_is_told_what_they_spare() {
    let postern = with_alice(Setup::new());
    let explain = || postern.order(&["ban", "explain", "127.10.0.1"]);
    let spares = |explained: &str| explained.contains("not banned for guessing passwords: accounts log in from its network");
    for (order, again) in [(["account", "password", ALICE], true), (["account", "remove", ALICE], false)] {
        assert!(!spares(&explain()), "{}", explain());
        if again {
            assert_eq!(attempt(&postern, "127.10.0.1", ALICE, PASSWORD), 235);
            assert!(spares(&explain()), "{}", explain());
        }
        postern.order(&order);
    }
    assert!(!spares(&explain()), "{}", explain());
}
