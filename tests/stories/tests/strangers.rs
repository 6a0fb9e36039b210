//! A flood of strangers, whatever they do, shuts nobody out but strangers; and what they did is remembered for a while.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};

use crate::prelude::*;

/// Addresses of networks that have nothing to do with each other.
const HERE: [u8; 4] = [127, 0, 0, 1];
const THERE: [u8; 4] = [127, 0, 2, 1];
const CUSTOMER: [u8; 4] = [127, 0, 3, 1];

fn from(source: [u8; 4], address: SocketAddr) -> SmtpClient {
    SmtpClient::connect_from(IpAddr::from(source), address)
}

fn greeted(source: [u8; 4], address: SocketAddr) -> SmtpClient {
    let mut client = from(source, address);
    client.expect_reply(220);
    client.ehlo();
    client
}

fn logged_in(source: [u8; 4], postern: &Postern) -> SmtpClient {
    let mut client = greeted(source, postern.submission());
    client.starttls();
    client.ehlo();
    assert_eq!(client.auth_plain(ALICE, PASSWORD).code, 235);
    client
}

/// The codes of what is said to a client that comes. Whoever is refused can say by what.
fn heard(source: [u8; 4], address: SocketAddr) -> String {
    let reply = from(source, address).reply();
    assert!(reply.code < 400 || ["(ref ", "reference "].iter().any(|word| reply.text().contains(word)), "{reply:?}");
    reply.codes()
}

fn let_in(source: [u8; 4], address: SocketAddr) {
    until("it is let in", LONG, || {
        let mut client = from(source, address);
        client.reply_or_end().filter(|reply| reply.code == 220)
    });
}

fn metrics(postern: &Postern) -> String {
    let mut stream = TcpStream::connect(postern.http()).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn has_metric(postern: &Postern, name: &str, label: &str, value: u32) {
    until(&format!("{name} {label} {value}"), LONG, || {
        let line = |line: &str| line.contains(name) && line.contains(label) && line.ends_with(&format!(" {value}"));
        metrics(postern).lines().any(line).then_some(())
    });
}

#[test]
fn a_flood_of_strangers_leaves_the_reserve_to_customers_and_to_who_delivered_before() {
    let postern = with_alice(Setup::new().with("limits", "connections", "6").with("limits", "connections_reserved", "3"));
    logged_in(CUSTOMER, &postern).expect("QUIT", 221);
    let mut before = greeted(THERE, postern.mx());
    assert_eq!(before.mail(STRANGER, &[ALICE], &message(STRANGER, ALICE, "before")).code, 250);
    before.expect("QUIT", 221);
    drop(before);
    let mut flood = Vec::new();
    until("strangers have all that is theirs", LONG, || {
        let mut client = from(HERE, postern.mx());
        let code = client.reply().code;
        flood.push(client);
        (code == 421).then_some(())
    });
    assert_eq!(heard([127, 0, 4, 1], postern.mx()), "421 4.4.5");
    assert_eq!(heard([127, 0, 4, 1], postern.submission()), "421 4.4.5");
    let mut again = greeted(THERE, postern.mx());
    assert_eq!(again.mail(STRANGER, &[ALICE], &message(STRANGER, ALICE, "again")).code, 250);
    let mut alice = logged_in(CUSTOMER, &postern);
    assert_eq!(alice.mail(ALICE, &[BOB], &message(ALICE, BOB, "served")).code, 250);
    has_metric(&postern, "connections_turned_away_total", "why=\"connections_reserved\"", 3);
}

#[test]
fn who_logs_in_takes_no_place_from_strangers_any_more() {
    let postern = with_alice(Setup::new().with("limits", "connections", "4").with("limits", "connections_reserved", "2"));
    let _stranger = greeted(HERE, postern.mx());
    let mut alice = greeted(CUSTOMER, postern.submission());
    assert_eq!(heard(HERE, postern.mx()), "421 4.4.5");
    alice.starttls();
    alice.ehlo();
    assert_eq!(alice.auth_plain(ALICE, PASSWORD).code, 235);
    let _another = greeted(HERE, postern.mx());
}

#[test]
fn trusted_and_relay_networks_are_known() {
    let setup = Setup::new().with("limits", "connections", "4").with("limits", "connections_reserved", "2");
    let networks =
        setup.with("server", "trusted_networks", "[\"127.0.2.0/24\"]").with("server", "relay_networks", "[\"127.0.3.0/24\"]");
    let postern = networks.start();
    let _flood = [greeted(HERE, postern.mx()), greeted(HERE, postern.mx())];
    assert_eq!(heard(HERE, postern.mx()), "421 4.4.5");
    let _ours = [greeted(THERE, postern.mx()), greeted(CUSTOMER, postern.mx())];
}

#[test]
fn a_flood_on_one_listener_leaves_the_others_alone() {
    let postern = Setup::new().with("limits", "connections_per_listener", "2").start();
    let _flood = [greeted(HERE, postern.mx()), greeted(HERE, postern.mx())];
    assert_eq!(heard(THERE, postern.mx()), "421 4.4.5");
    let _other = greeted(HERE, postern.submission());
    has_metric(&postern, "connections_turned_away_total", "why=\"connections_per_listener\"", 1);
}

#[test]
fn a_network_comes_so_often_in_a_minute_and_no_more() {
    let postern = Setup::new().with("limits", "connections_per_minute_per_network", "3").start();
    for host in 1..=3 {
        drop(greeted([127, 0, 2, host], postern.mx()));
    }
    assert_eq!(heard([127, 0, 2, 4], postern.mx()), "421 4.4.5");
    drop(greeted(CUSTOMER, postern.mx()));
    has_metric(&postern, "connections_turned_away_total", "why=\"connections_per_minute_per_network\"", 1);
}

#[test]
fn an_address_shakes_hands_so_often_in_a_minute_and_no_more() {
    let postern = with_alice(Setup::new().with("limits", "handshakes_per_minute_per_address", "2"));
    greeted(HERE, postern.mx()).starttls();
    from(HERE, postern.submissions()).handshake();
    let mut client = greeted(HERE, postern.mx());
    assert_eq!(client.command("STARTTLS").codes(), "421 4.7.0");
    assert_eq!(client.reply_or_end(), None);
    // Behind implicit TLS nothing is said in clear.
    assert_eq!(from(HERE, postern.submissions()).reply_or_end(), None);
    // It is asked for nothing else: mail in clear is taken, and who is known goes on.
    assert_eq!(greeted(HERE, postern.mx()).mail(STRANGER, &[ALICE], &message(STRANGER, ALICE, "clear")).code, 250);
    (0..5).for_each(|_| drop(logged_in(HERE, &postern)));
    has_metric(&postern, "connections_turned_away_total", "why=\"handshakes_per_minute_per_address\"", 1);
    has_metric(&postern, "connections_ended_total", "why=\"handshakes_per_minute_per_address\"", 1);
}

#[test]
fn a_stranger_has_so_many_messages_in_an_hour_over_all_its_connections() {
    let setup = Setup::new().with("limits", "messages_per_hour", "2").with("limits", "network_factor", "2");
    let postern = with_alice(setup.with("limits", "known_factor", "1"));
    for number in 0..2 {
        let mut client = greeted(HERE, postern.mx());
        assert_eq!(client.mail(STRANGER, &[ALICE], &message(STRANGER, ALICE, &format!("number {number}"))).code, 250);
    }
    let mut client = greeted(HERE, postern.mx());
    assert_eq!(client.command("MAIL FROM:<stranger@there.test>").codes(), "451 4.7.1");
    // The whole network has twice that, others are not concerned, and accounts have quotas of their own.
    for host in 2..=3 {
        greeted([127, 0, 0, host], postern.mx()).expect("MAIL FROM:<stranger@there.test>", 250);
    }
    assert_eq!(greeted([127, 0, 0, 4], postern.mx()).command("MAIL FROM:<stranger@there.test>").codes(), "451 4.7.1");
    greeted(THERE, postern.mx()).expect("MAIL FROM:<stranger@there.test>", 250);
    logged_in(HERE, &postern).expect("MAIL FROM:<alice@here.test>", 250);
    has_metric(&postern, "limits_reached_total", "limit=\"messages_per_hour\"", 2);
}

#[test]
fn a_stranger_has_so_many_recipients_in_an_hour_and_keeps_those_that_were_accepted() {
    let setup = Setup::new().with("limits", "recipients_per_hour", "3").with("limits", "known_factor", "1");
    let postern = setup.start();
    from_stranger(&postern, ALICE, "one");
    let mut client = postern.stranger();
    client.expect("MAIL FROM:<stranger@there.test>", 250);
    client.expect("RCPT TO:<alice@here.test>", 250);
    client.expect("RCPT TO:<bob@here.test>", 250);
    assert_eq!(client.command("RCPT TO:<postmaster@here.test>").codes(), "450 4.7.1");
    assert_eq!(client.data(&message(STRANGER, BOB, "two")).code, 250);
    let _ = postern.maildir(BOB).wait_for_subject("two", LONG);
    has_metric(&postern, "limits_reached_total", "limit=\"recipients_per_hour\"", 1);
}

#[test]
fn a_stranger_has_so_many_octets_in_an_hour_and_in_one_connection() {
    for (limit, codes, elsewhere) in [("bytes_per_hour", "452 4.7.1", 452), ("bytes_per_connection", "452 4.4.5", 250)] {
        let postern = Setup::new().with("limits", limit, "\"1MiB\"").with("limits", "known_factor", "1").start();
        let large = format!("{}\n{}", message(STRANGER, ALICE, "large"), "0123456789abcde\n".repeat(1 << 16));
        let mut client = postern.stranger();
        assert_eq!(client.mail(STRANGER, &[ALICE], &large).code, 250);
        assert_eq!(client.command("MAIL FROM:<stranger@there.test>").codes(), codes, "{limit}");
        client.expect("QUIT", 221);
        postern.stranger().expect("MAIL FROM:<stranger@there.test>", elsewhere);
        has_metric(&postern, "limits_reached_total", &format!("limit=\"{limit}\""), if elsewhere == 250 { 1 } else { 2 });
    }
}

#[test]
fn octets_that_are_only_refused_come_to_an_end_too() {
    let setup = Setup::new().with("limits", "bytes_per_connection", "\"1MiB\"").with("limits", "message_size", "\"64KiB\"");
    let postern = setup.start();
    let mut client = postern.stranger();
    client.expect("MAIL FROM:<stranger@there.test>", 250);
    client.expect("RCPT TO:<alice@here.test>", 250);
    client.expect("DATA", 354);
    let piece = "0123456789abcd\r\n".repeat(1 << 12);
    until("it is cut off", LONG, || client.try_send(piece.as_bytes()).err());
    has_metric(&postern, "connections_ended_total", "why=\"bytes_per_connection\"", 1);
    assert!(postern.queue().is_empty());
}

#[test]
fn faults_are_remembered_over_sessions_and_who_made_too_many_is_banned_for_a_while() {
    let setup = Setup::new().with("limits", "faults_per_hour", "5").with("auth", "ban_first", "\"2s\"");
    let mut postern = with_alice(setup);
    for _ in 0..2 {
        let mut client = greeted(THERE, postern.mx());
        (0..3).for_each(|_| client.expect("JUNK", 500).lines.clear());
        client.expect("QUIT", 221);
        assert_eq!(client.reply_or_end(), None);
    }
    let offence = postern.wait_for_log("cause=syntax");
    assert!(offence.contains("network=127.0.2.1/32") && offence.contains("6 faults of 127.0.2.1/32"), "{offence}");
    until("it is refused", LONG, || (heard(THERE, postern.mx()) == "421 4.7.1").then_some(()));
    assert_eq!(from(THERE, postern.submissions()).reply_or_end(), None);
    drop(greeted([127, 0, 2, 2], postern.mx()));
    let_in(THERE, postern.mx());
    has_metric(&postern, "limits_reached_total", "limit=\"faults_per_hour\"", 1);
}

#[test]
fn harvesting_and_relaying_are_remembered_and_what_an_account_does_is_not_its_address_s() {
    let setup = Setup::new().with("limits", "recipients_unknown_per_hour", "3").with("limits", "faults_per_hour", "3");
    let mut postern = with_alice(setup.with("limits", "known_factor", "1"));
    for (source, to, offence) in [(THERE, "nobody@here.test", "unknown_recipient"), (HERE, "x@elsewhere.test", "refused_relay")] {
        let mut client = greeted(source, postern.mx());
        client.expect("MAIL FROM:<stranger@there.test>", 250);
        (0..4).for_each(|_| client.expect(&format!("RCPT TO:<{to}>"), 550).lines.clear());
        drop(client);
        let _ = postern.wait_for_log(&format!("cause={offence}"));
        until("it is refused", LONG, || (heard(source, postern.mx()) == "421 4.7.1").then_some(()));
    }
    let mut alice = logged_in(CUSTOMER, &postern);
    alice.expect("MAIL FROM:<alice@here.test>", 250);
    (0..4).for_each(|_| alice.expect("RCPT TO:<nobody@here.test>", 550).lines.clear());
    (0..4).for_each(|_| alice.expect("JUNK", 500).lines.clear());
    alice.expect("QUIT", 221);
    assert_eq!(alice.reply_or_end(), None);
    drop(logged_in(CUSTOMER, &postern));
}

#[test]
fn a_network_is_refused_for_what_its_hosts_do_together_but_not_who_is_known_in_it() {
    let setup = Setup::new().with("limits", "faults_per_hour", "5").with("limits", "network_factor", "1");
    let mut postern = with_alice(setup);
    logged_in([127, 0, 2, 9], &postern).expect("QUIT", 221);
    let sessions: Vec<_> = (1..=5).map(|host| greeted([127, 0, 2, host], postern.mx())).collect();
    for mut client in sessions {
        (0..3).for_each(|_| client.expect("JUNK", 500).lines.clear());
    }
    has_metric(&postern, "limits_reached_total", "limit=\"faults_per_hour\"", 4);
    let refused = postern.wait_for_log("refused before the greeting");
    assert!(refused.contains("of=127.0.2.0/24"), "{refused}");
    until("it is refused", LONG, || (heard([127, 0, 2, 3], postern.mx()) == "421 4.7.0").then_some(()));
    drop(logged_in([127, 0, 2, 9], &postern));
    let log = postern.log();
    assert!(!log.contains("cause="), "what a network did is no one host's offence");
    assert_eq!(log.matches("refused before the greeting").count(), 1, "{log}");
}

#[test]
fn who_talks_before_the_greeting_again_and_again_is_banned() {
    let setup = Setup::new().with("limits", "greeting_delay", "\"300ms\"").with("limits", "faults_per_hour", "1");
    let mut postern = setup.start();
    for _ in 0..2 {
        let mut client = from(THERE, postern.mx());
        client.send("EHLO client.example\r\n");
        let told = client.reply();
        assert_eq!(told.codes(), "554 5.5.0");
        assert!(told.text().contains("(ref "), "{told:?}");
    }
    let _ = postern.wait_for_log("cause=early_talk");
    until("it is refused", LONG, || (heard(THERE, postern.mx()) == "421 4.7.1").then_some(()));
}

#[test]
fn trusted_clients_are_never_remembered_for_faults() {
    let setup = Setup::new().with("limits", "faults_per_hour", "1").with("limits", "messages_per_hour", "1");
    let postern = setup.with("server", "trusted_networks", "[\"127.0.2.0/24\"]").start();
    for _ in 0..3 {
        let mut client = greeted(THERE, postern.mx());
        (0..3).for_each(|_| client.expect("JUNK", 500).lines.clear());
        client.expect("MAIL FROM:<stranger@there.test>", 250);
        client.expect("QUIT", 221);
        assert_eq!(client.reply_or_end(), None);
    }
    drop(greeted(THERE, postern.mx()));
}

#[test]
fn commands_that_do_nothing_come_to_an_end() {
    let postern = Setup::new().with("limits", "idle_commands_per_session", "10").start();
    for command in ["NOOP", "RSET", "VRFY alice", "EXPN list", "HELP", "EHLO client.example"] {
        let mut client = SmtpClient::connect(postern.mx());
        client.expect_reply(220);
        let replies: Vec<_> = (0..=10).map(|_| client.command(command).codes()).collect();
        assert_eq!(replies.last().map(String::as_str), Some("421 4.7.0"), "{command}: {replies:?}");
        assert!(replies[..10].iter().all(|reply| !reply.starts_with("421")), "{command}: {replies:?}");
        assert_eq!(client.reply_or_end(), None);
    }
    // A message that is taken begins it anew.
    let mut client = postern.stranger();
    for number in 0..3 {
        (0..6).for_each(|_| client.expect("RSET", 250).lines.clear());
        assert_eq!(client.mail(STRANGER, &[ALICE], &message(STRANGER, ALICE, &format!("number {number}"))).code, 250);
    }
    has_metric(&postern, "limits_reached_total", "limit=\"idle_commands_per_session\"", 6);
}

#[test]
fn under_stress_strangers_have_less_time_and_fewer_faults_until_it_is_over() {
    let setup = Setup::new()
        .with("limits", "connections", "8")
        .with("limits", "connections_per_listener", "8")
        .with("limits", "connections_reserved", "0")
        .with("limits", "stress_command_timeout", "\"1s\"")
        .with("limits", "stress_faults_per_session", "1");
    let mut postern = with_alice(setup);
    let mut flood: Vec<_> = (0..4).map(|_| greeted(HERE, postern.mx())).collect();
    // She comes as a stranger.
    let mut alice = greeted(CUSTOMER, postern.submission());
    flood.push(greeted(HERE, postern.mx()));
    let begins = postern.wait_for_log("stress: strangers");
    assert!(begins.contains("strangers=6 of=8"), "{begins}");
    has_metric(&postern, "postern_stress", "", 1);
    let mut hurried = greeted(HERE, postern.mx());
    let mut clumsy = greeted(THERE, postern.mx());
    clumsy.expect("JUNK", 500);
    clumsy.expect("JUNK", 421);
    alice.starttls();
    alice.ehlo();
    assert_eq!(alice.auth_plain(ALICE, PASSWORD).code, 235);
    assert_eq!(hurried.reply().codes(), "421 4.4.2");
    // Those who were there before are hurried from their next command on; who logged in is not.
    flood[0].expect("NOOP", 250);
    assert_eq!(flood[0].reply().codes(), "421 4.4.2");
    alice.expect("NOOP", 250);
    flood.clear();
    let _ = postern.wait_for_log("stress is over");
    has_metric(&postern, "postern_stress", "", 0);
    assert_eq!(postern.log().matches("stress: strangers").count(), 1);
    assert_eq!(postern.log().matches("stress is over").count(), 1);
    has_metric(&postern, "limits_reached_total", "limit=\"command_timeout\"", 3);
    has_metric(&postern, "limits_reached_total", "limit=\"faults_per_session\"", 1);
}

#[test]
fn each_limit_within_a_session_is_counted_by_the_name_of_its_setting() {
    let setup = Setup::new()
        .with("limits", "messages_per_connection", "1")
        .with("limits", "recipients_per_message", "1")
        .with("limits", "message_size", "\"64KiB\"")
        .with("limits", "recipients_unknown_per_session", "1");
    let postern = setup.start();
    let mut client = postern.stranger();
    client.expect("MAIL FROM:<stranger@there.test> SIZE=100000", 552);
    client.expect("MAIL FROM:<stranger@there.test>", 250);
    client.expect("RCPT TO:<alice@here.test>", 250);
    client.expect("RCPT TO:<bob@here.test>", 452);
    client.expect("RSET", 250);
    client.expect("MAIL FROM:<stranger@there.test>", 452);
    client.expect("QUIT", 221);
    let mut client = postern.stranger();
    client.expect("MAIL FROM:<stranger@there.test>", 250);
    client.expect("RCPT TO:<nobody@here.test>", 550);
    client.expect("RCPT TO:<no-one@here.test>", 421);
    drop(client);
    for limit in ["message_size", "recipients_per_message", "messages_per_connection", "recipients_unknown_per_session"] {
        has_metric(&postern, "limits_reached_total", &format!("limit=\"{limit}\""), 1);
    }
    until("the memory of the counters to be shown", LONG, || {
        let shown = metrics(&postern);
        let bytes: u32 =
            shown.lines().find(|line| line.starts_with("postern_counters_bytes "))?.rsplit(' ').next()?.parse().ok()?;
        (1..32 << 20).contains(&bytes).then_some(())
    });
}
