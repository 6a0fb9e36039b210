//! Local lists: who is in one is turned away before the greeting, with a reason and a reference; lists change without a gap, end when they should, and
//! come from and go to others in their formats.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use postern_testkit::mmdb::{Record, database};
use postern_testkit::peers::rbldnsd::Rbldnsd;
use postern_testkit::program::{run, text};

use crate::prelude::*;

/// Every client of a test comes from here.
const US: &str = "127.0.0.1";

/// A file beside the configuration, put in the place of an older one as a whole.
fn write(postern: &Postern, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
    let file = postern.folder().join(name);
    let partial = file.with_extension("new");
    std::fs::write(&partial, contents).unwrap();
    std::fs::rename(&partial, &file).unwrap();
    file
}

/// A server with one list in a file.
fn with_list(contents: &str, keys: &str) -> Postern {
    let mut postern = Setup::new().prepare();
    let file = write(&postern, "list.txt", contents);
    postern.change(|setup| {
        setup.with("policy", "lists_check_interval", "\"1h\"").table(&format!("[[policy.list]]\nfile = {file:?}\n{keys}\n"))
    });
    postern.start();
    postern
}

/// What a client hears first.
fn greeting(postern: &Postern) -> Reply {
    SmtpClient::connect(postern.mx()).reply()
}

fn reference(reply: &Reply) -> String {
    let text = reply.text();
    let (_, rest) = text.rsplit_once("(ref ").unwrap_or_else(|| panic!("no reference in {text}"));
    rest.trim_end_matches(')').to_owned()
}

#[test]
fn a_listed_client_is_told_why_before_the_greeting_and_let_go() {
    let postern = with_list("# ours\n127.0.0.0/8 ; a test of ours\n", "");
    let mut client = SmtpClient::connect(postern.mx());
    let reply = client.reply();
    assert_eq!(reply.codes(), "554 5.7.1");
    assert!(reply.text().contains("a test of ours"), "{}", reply.text());
    assert_eq!(client.reply_or_end(), None, "the connection is closed behind it");
    // By default a list keeps strangers' mail out and no customer.
    assert_eq!(SmtpClient::connect(postern.submission()).reply().code, 220);
    // The reference in the reply leads to the list and the entry.
    let id = reference(&reply);
    let explained = until("the reason", LONG, || {
        let output = postern.run(&["explain", &id]);
        output.status.success().then(|| text(&output))
    });
    for words in ["list_block", "127.0.0.0/8", "list.txt", "a test of ours"] {
        assert!(explained.contains(words), "{words}\n{explained}");
    }
    let what_if = postern.order(&["explain", "--from", STRANGER, "--to", ALICE, "--ip", US]);
    assert!(what_if.contains("list_block") && what_if.contains("127.0.0.0/8"), "{what_if}");
    let tested = postern.json(&["list", "test", US]);
    assert_eq!((tested["v"].as_u64(), &tested["decided"]["decision"]), (Some(1), &"hang up".into()));
    assert_eq!(tested["matches"][0]["subject"], "127.0.0.0/8");
    assert_eq!(postern.json(&["list", "test", "192.0.2.1"])["decided"]["decision"], "pass");
    let elsewhere = postern.json(&["list", "test", US, "--listener", "submission"]);
    assert_eq!(elsewhere["matches"].as_array().map(Vec::len), Some(0));
}

#[test]
fn a_flood_of_listed_clients_costs_no_handshake_and_one_record() {
    let postern = with_list("127.0.0.0/8 ; a flood\n", "listeners = [\"mx\", \"submissions\"]");
    assert!(greeting(&postern).text().contains("(ref "), "the first can ask why");
    // Unless a new minute has just begun, the next is only counted, and its reference is its address.
    let rest: Vec<Reply> = (0..4).map(|_| greeting(&postern)).collect();
    assert!(rest.iter().filter(|reply| !reply.text().ends_with("(ref 127.0.0.1/32)")).count() <= 1, "{rest:?}");
    assert!(rest.iter().all(|reply| reply.codes() == "554 5.7.1" && reply.text().contains("(ref ")), "{rest:?}");
    let explained = postern.order(&["explain", "127.0.0.1/32"]);
    assert!(explained.contains("listed    on mx: ") && explained.contains("a flood"), "{explained}");
    assert_eq!(SmtpClient::connect(postern.submissions()).reply_or_end(), None, "closed before the handshake");
}

#[test]
fn a_more_particular_allowance_and_a_trusted_network_let_in_and_an_observed_list_has_no_effect() {
    let mut postern = with_list("127.0.0.0/8 ; wide\n", "");
    assert_eq!(greeting(&postern).code, 554);
    postern.order(&["list", "add", US, "--allow", "--reason", "it is us"]);
    assert_eq!(greeting(&postern).code, 220);
    assert!(postern.order(&["list", "test", US]).contains("list_allow"));
    postern.order(&["list", "remove", US]);
    assert_eq!(greeting(&postern).code, 554);
    postern.change(|setup| setup.with("server", "trusted_networks", "[\"127.0.0.1/32\"]"));
    postern.reload("reloaded");
    assert_eq!(greeting(&postern).code, 220);
    let observed = with_list("127.0.0.0/8 ; wide\n", "mode = \"observe\"\nlisteners = [\"mx\", \"submission\"]");
    assert_eq!(greeting(&observed).code, 220);
    let tested = observed.json(&["list", "test", US]);
    assert_eq!((&tested["matches"][0]["observed"], &tested["decided"]["decision"]), (&true.into(), &"pass".into()));
}

#[test]
fn lists_are_replaced_without_a_gap_while_clients_come() {
    const CLIENTS: usize = 4;
    let filler: String = (0..20_000_u32).map(|n| format!("10.{}.{}.0/24 ; filler\n", n >> 8 & 255, n & 255)).collect();
    let list = |round: usize| format!("{filler}127.0.0.0/8 ; round {round}\n");
    let mut postern = with_list(&list(0), "");
    let (stop, turned_away) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mx = postern.mx();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let reply = SmtpClient::connect(mx).reply();
                    assert_eq!(reply.code, 554, "a gap: {reply:?}");
                    turned_away.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for round in 1..=5 {
            let before = turned_away.load(Ordering::SeqCst);
            write(&postern, "list.txt", list(round));
            postern.reload("reloaded changes=");
            until("clients in this round", LONG, || (turned_away.load(Ordering::SeqCst) > before + CLIENTS).then_some(()));
        }
        stop.store(true, Ordering::SeqCst);
    });
    assert!(greeting(&postern).text().contains("round 5"));
}

#[test]
fn a_broken_list_is_told_by_line_and_column_and_the_old_one_stays() {
    let mut postern = with_list("127.0.0.0/8 ; old\n", "");
    write(&postern, "list.txt", "127.0.0.1 allow\n10.0.0.1/8\n192.0.2.300\n");
    let told = postern.run(&["reload"]);
    assert_eq!(told.status.code(), Some(1));
    for words in ["list.txt:2:1:", "the network is 10.0.0.0/8", "list.txt:3:1:"] {
        assert!(text(&told).contains(words), "{words}\n{}", text(&told));
    }
    assert!(greeting(&postern).text().contains("old"));
    let checked = postern.run(&["config", "check"]);
    assert!(checked.status.code() == Some(1) && text(&checked).contains("list.txt:3:1:"), "{}", text(&checked));
    postern.terminate();
    // No mail at all would be worse than mail without one list.
    postern.start();
    postern.wait_for_log("running without a list until it is mended");
    assert_eq!(greeting(&postern).code, 220);
}

#[test]
fn a_changed_file_is_taken_up_by_itself_and_a_broken_one_is_told_once() {
    let mut postern = with_list("192.0.2.1\n", "");
    postern.change(|setup| setup.with("policy", "lists_check_interval", "\"1s\""));
    postern.restart();
    assert_eq!(greeting(&postern).code, 220);
    write(&postern, "list.txt", "127.0.0.1 ; by itself\n");
    postern.wait_for_log("list taken up");
    assert!(greeting(&postern).text().contains("by itself"));
    write(&postern, "list.txt", "nonsense\n");
    postern.wait_for_log("a changed list is not taken");
    assert!(greeting(&postern).text().contains("by itself"));
    write(&postern, "list.txt", "192.0.2.2\n");
    until("the list that is right again", LONG, || (greeting(&postern).code == 220).then_some(()));
    assert_eq!(postern.log().matches("a changed list is not taken").count(), 1);
}

#[test]
fn an_entry_of_a_command_is_in_force_at_once_survives_a_kill_and_ends_when_it_should() {
    let mut postern = Setup::new().start();
    postern.order(&["list", "add", "127.0.0.0/8", "--for", "1h", "--reason", "hammering"]);
    let reply = greeting(&postern);
    assert!(reply.code == 554 && reply.text().contains("hammering"), "{reply:?}");
    // What an operator blocks by hand is blocked on every listener.
    assert_eq!(SmtpClient::connect(postern.submission()).reply().code, 554);
    postern.kill();
    postern.start();
    assert_eq!(greeting(&postern).code, 554);
    let listed = postern.json(&["list", "export"]);
    assert_eq!(listed["entries"][0]["reason"], "hammering");
    postern.order(&["list", "add", "127.0.0.0/8", "--for", "3s"]);
    assert_eq!(greeting(&postern).code, 554);
    until("the end of the entry", LONG, || (greeting(&postern).code == 220).then_some(()));
    let audit = postern.order(&["audit", "show"]);
    assert!(audit.contains("list add 127.0.0.0/8 until"), "acts are in the audit log: {audit}");
}

#[test]
fn commands_tell_wrong_use_from_nothing_found_and_work_without_a_server() {
    let mut postern = Setup::new().prepare();
    assert!(postern.order(&["list", "add", "192.0.2.0/24", "2001:db8::/32", "--points", "-1.5"]).contains("2 entries"));
    postern.start();
    let code = |words: &[&str]| postern.run(&[&["list"], words].concat()).status.code();
    assert_eq!(code(&["add", "192.0.2.300"]), Some(2));
    assert_eq!(code(&["add", "10.1.2.3/8"]), Some(2));
    assert_eq!(code(&["add", "192.0.2.1", "--until", "2020-01-01"]), Some(2));
    assert_eq!(code(&["add", "192.0.2.1", "--points", "lots"]), Some(2));
    assert_eq!(code(&["add", "192.0.2.1", "--allow", "--block"]), Some(2));
    assert_eq!(code(&["remove", "198.51.100.1"]), Some(3));
    assert_eq!(code(&["test", "nobody"]), Some(2));
    assert_eq!(code(&["export", "--list", "/nowhere"]), Some(3));
    postern.order(&["list", "add", US, "--dry-run"]);
    postern.order(&["list", "remove", "192.0.2.0/24", "--dry-run"]);
    assert_eq!(greeting(&postern).code, 220);
    assert_eq!(postern.order(&["list", "export"]), "192.0.2.0/24 -1.5\n2001:db8::/32 -1.5\n");
    // There is no database that knows where AS64500 is.
    assert!(postern.order(&["list", "add", "AS64500"]).contains("policy.asn_file is not set"));
    assert!(postern.order(&["list", "show"]).contains("postern list"));
}

#[test]
fn what_others_publish_is_imported_and_what_we_know_is_exported() {
    let postern = Setup::new().start();
    let drop = write(&postern, "drop.txt", "; Published\n1.10.16.0/20 ; SBL256894\n2a06:e480::/29 ; SBL301771\n");
    let file = drop.to_str().unwrap();
    assert!(postern.order(&["list", "import", file, "--format", "drop", "--dry-run"]).contains("2 entries would be"));
    postern.order(&["list", "import", file, "--format", "drop", "--for", "30d"]);
    let zone = ":127.0.0.2:Listed, see https://bl.test/$\n192.0.2.1-3\n!192.0.2.2\n";
    let output = run(&mut postern.command(&["list", "import", "-", "--format", "rbldnsd"]), zone, LONG);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(postern.json(&["list", "test", "192.0.2.3"])["matches"][0]["reason"], "Listed, see https://bl.test/192.0.2.2/31");
    assert_eq!(postern.json(&["list", "test", "192.0.2.2"])["decided"]["decision"], "pass");
    assert_eq!(postern.json(&["list", "test", "2a06:e480::1"])["matches"][0]["reason"], "SBL301771");
    let exported = postern.order(&["list", "export", "--format", "drop"]);
    assert!(exported.contains("1.10.16.0/20 ; SBL256894\n") && !exported.contains("192.0.2.2/32"), "{exported}");
    let nowhere = run(&mut postern.command(&["list", "import", "-"]), "AS64500\n", LONG);
    assert!(text(&nowhere).contains("policy.asn_file is not set"), "a warning of the server is passed on: {}", text(&nowhere));
    let wrong = run(&mut postern.command(&["list", "import", "-"]), "192.0.2.9\nx\n", LONG);
    assert!(wrong.status.code() == Some(1) && text(&wrong).contains("-:2:1:"), "{}", text(&wrong));
    assert_eq!(postern.json(&["list", "test", "192.0.2.9"])["matches"].as_array().map(Vec::len), Some(0), "all or nothing");
}

#[test]
fn a_zone_that_was_exported_is_served_by_rbldnsd_as_it_was_meant() {
    require!(Rbldnsd::here());
    let postern = with_list(
        "192.0.2.0/24 ; bad $ network; ask us\n192.0.2.128/25 allow\n198.51.100.7\n203.0.113.0/24 until 2020-01-01\n2001:db8::/32 ; six\n!2001:db8:1::/48\n",
        "",
    );
    let file = postern.folder().join("list.txt");
    let export = |words: &[&str]| postern.order(&[&["list", "export", "--list", file.to_str().unwrap()], words].concat());
    let zone = export(&["--format", "rbldnsd"]);
    for kind in ["ip4set", "ip4trie"] {
        let rbldnsd = Rbldnsd::start(kind, &zone);
        assert_eq!(rbldnsd.listed("192.0.2.1").as_deref(), Some("127.0.0.2"), "{kind}");
        assert_eq!(rbldnsd.reason("192.0.2.1").as_deref(), Some("bad $ network; ask us"), "{kind}");
        assert_eq!(rbldnsd.listed("198.51.100.7").as_deref(), Some("127.0.0.2"), "{kind}");
        assert_eq!(rbldnsd.reason("198.51.100.7"), None, "{kind}");
        for other in ["192.0.2.129", "198.51.100.8", "203.0.113.1", "127.0.0.1"] {
            assert_eq!(rbldnsd.listed(other), None, "{kind} {other}");
        }
    }
    let six = Rbldnsd::start("ip6trie", &export(&["--format", "rbldnsd", "--ipv6"]));
    assert_eq!(six.listed("2001:db8::1").as_deref(), Some("127.0.0.2"));
    assert_eq!(six.reason("2001:db8:2::1").as_deref(), Some("six"));
    assert_eq!((six.listed("2001:db8:1::1"), six.listed("2001:db9::1")), (None, None));
    // Read back, it says the same.
    let postern = with_list(&zone, "format = \"rbldnsd\"");
    let matches = |address: &str| postern.json(&["list", "test", address])["decided"]["decision"].as_str().unwrap().to_owned();
    assert_eq!(["192.0.2.1", "192.0.2.129", "198.51.100.7", "127.0.0.2"].map(matches), ["hang up", "pass", "hang up", "pass"]);
}

#[test]
fn a_zone_written_by_hand_says_the_same_here_and_in_rbldnsd() {
    require!(Rbldnsd::here());
    let zone = "$SOA 1h ns.bl.test hostmaster.bl.test 0 1h 1h 1w 1h\n$NS 1h ns.bl.test\n$1 See https://bl.test\n\
        127.0.0.2\n:127.0.0.3:$1/$ please\n10.1-3\n10.2.0.0/16 :4:the office of $\n!10.3.3.3\n10.9.9.1-9 # a range\n172.16/12 no $$ here\n192.0.2 :5:\n";
    let rbldnsd = Rbldnsd::start("ip4set", zone);
    let postern = with_list(zone, "format = \"rbldnsd\"");
    for address in [
        "10.1.0.1",
        "10.2.3.4",
        "10.3.3.3",
        "10.3.3.4",
        "10.4.0.0",
        "10.9.9.0",
        "10.9.9.5",
        "10.9.9.10",
        "172.31.255.255",
        "172.32.0.0",
        "192.0.2.77",
        "192.0.3.1",
    ] {
        let tested = postern.json(&["list", "test", address]);
        let listed = tested["decided"]["decision"] == "hang up";
        assert_eq!(listed, rbldnsd.listed(address).is_some(), "{address}: {tested}");
        if listed {
            let reason = tested["matches"][0]["reason"].as_str().unwrap();
            assert_eq!(reason, rbldnsd.reason(address).unwrap_or_default(), "{address}");
        }
    }
}

#[test]
fn countries_and_as_numbers_are_known_by_a_database_and_missed_without_one() {
    let mut postern = with_list("DE 2.0 ; just so\nAS64500 ; their network\n", "");
    assert_eq!(greeting(&postern).code, 220);
    let checked = text(&postern.run(&["config", "check"]));
    assert!(checked.contains("policy.asn_file is not set") && checked.contains("policy.country_file is not set"), "{checked}");
    let asns = write(&postern, "asn.mmdb", database("GeoLite2-ASN", &[("127.0.0.0/8", Record::Asn(64_500))]));
    let countries = write(&postern, "country.mmdb", database("GeoLite2-Country", &[("127.0.0.0/8", Record::Country("DE"))]));
    postern.change(|setup| {
        setup.with("policy", "asn_file", &format!("{asns:?}")).with("policy", "country_file", &format!("{countries:?}"))
    });
    postern.reload("reloaded");
    assert!(greeting(&postern).text().contains("their network"));
    let tested = postern.order(&["list", "test", US]);
    assert!(tested.contains("AS64500"), "{tested}");
    write(&postern, "asn.mmdb", "no database");
    assert!(postern.reload("reload refused").contains("not in the MMDB format"));
    assert_eq!(greeting(&postern).code, 554);
}

/// A message of a stranger for Alice, and what was said at its end or, where that was refused, at MAIL.
fn send(postern: &Postern) -> Reply {
    let mut client = postern.stranger();
    let reply = client.command(&format!("MAIL FROM:<{STRANGER}>"));
    if reply.code != 250 {
        return reply;
    }
    client.expect(&format!("RCPT TO:<{ALICE}>"), 250);
    client.data(&format!("X-Spam-Flag: NO\r\n{}", message(STRANGER, ALICE, "points")))
}

#[test]
fn points_mark_hold_or_refuse_a_message_and_the_held_one_is_let_go_by_hand() {
    for (points, code) in [("3.9", 250), ("4.0", 250), ("6.0", 250), ("10.0", 550)] {
        let mut postern = with_list("127.0.0.0/8\n", &format!("points = {points}"));
        let reply = send(&postern);
        assert_eq!(reply.code, code, "{points}: {reply:?}");
        if code == 550 {
            assert!(reply.text().contains("list_score"), "{reply:?}");
            let explained = until("the reason", LONG, || {
                let output = postern.run(&["explain", &reference(&reply)]);
                output.status.success().then(|| text(&output))
            });
            assert!(explained.contains("10.0 points, refused at 10.0: list_score 10.0"), "{explained}");
            continue;
        }
        if points == "6.0" {
            let list = postern.order(&["held", "list"]);
            assert!(list.contains("score: 6.0 points, held at 6.0: list_score 6.0"), "{list}");
            postern.restart();
            assert!(postern.maildir(ALICE).messages().is_empty(), "what is held is held after a restart");
            assert_eq!(postern.run(&["held", "discard", "--held"]).status.code(), Some(2), "discarding asks for a reason");
            assert_eq!(postern.run(&["held", "release"]).status.code(), Some(2), "all of them must be said");
            assert_eq!(postern.run(&["held", "release", "--from", "nobody@there.test"]).status.code(), Some(3));
            postern.order(&["held", "release", "--reason-like", "list_score"]);
        }
        let mail = postern.maildir(ALICE).wait_for_subject("points", LONG).0.replace("\r\n", "\n");
        assert_eq!(mail.contains(&format!("X-Spam-Flag: YES\nX-Spam-Score: {points}\n")), points != "3.9", "{points}: {mail}");
        assert!(!mail.contains("X-Spam-Flag: NO"), "a mark of the sender's own is taken out: {mail}");
    }
}
