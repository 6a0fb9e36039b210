//! Bans: a client that is not let in hears one line and no more, an operator reads why, and neither a kill nor a reload changes it unasked.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use postern_testkit::program::text;

use crate::prelude::*;

/// Where all clients of the tests come from.
const US: &str = "127.0.0.1";

/// All that is said to a client that says nothing.
fn heard(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut heard = Vec::new();
    // The end may come as a reset.
    let _ = stream.read_to_end(&mut heard);
    String::from_utf8(heard).unwrap()
}

#[test]
fn a_banned_client_hears_one_line_until_its_ban_is_lifted() {
    let postern = Setup::new().start();
    let added = postern.json(&["ban", "add", US, "--for", "2h", "--reason", "spam"]);
    assert_eq!((added["v"].as_u64(), added["did"].as_str()), (Some(1), Some("banned")));
    assert_eq!(heard(postern.mx()), "421 4.7.1 postern.test 127.0.0.1 is banned here, reference 127.0.0.1/32\r\n");
    assert_eq!(heard(postern.submissions()), "", "behind implicit TLS nothing is said in clear");
    let listed = postern.json(&["ban", "list"]);
    let ban = &listed["bans"][0];
    assert_eq!(
        (ban["network"].as_str(), ban["evidence"].as_str(), ban["by"].as_str()),
        (Some("127.0.0.1/32"), Some("spam"), Some("person"))
    );
    assert_eq!(ban["until"].as_u64().unwrap() - ban["since"].as_u64().unwrap(), 7_200_000);
    for what in [US, "127.0.0.1/32"] {
        let explained = postern.order(&["ban", "explain", what]);
        for words in [
            "127.0.0.1 is banned",
            "by a person",
            "spam",
            "refused   2 connections",
            "never, as far as",
            "postern ban remove 127.0.0.1/32",
        ] {
            assert!(explained.contains(words), "{words}: {explained}");
        }
    }
    // The reference leads there, however it is quoted, and so does a question of "what if".
    for reference in ["127.0.0.1/32", "(ref 127.0.0.1/32)"] {
        assert!(postern.order(&["explain", reference]).contains("127.0.0.1 is banned"));
    }
    let what_if = ["explain", "--from", STRANGER, "--to", ALICE, "--ip", US];
    let decided = |answer: &serde_json::Value| answer["steps"][0]["decided_by"].as_str().map(str::to_owned);
    assert_eq!(decided(&postern.json(&what_if)).as_deref(), Some("bans"));
    let other = ["explain", "--from", STRANGER, "--to", ALICE, "--ip", "127.0.0.2"];
    assert_eq!(decided(&postern.json(&other)), None);
    assert!(postern.order(&["status"]).contains("banned       1 networks"));
    assert!(postern.order(&["ban", "remove", US, "--dry-run"]).contains("would lift"));
    assert!(heard(postern.mx()).starts_with("421"));
    postern.order(&["ban", "remove", US, "--reason", "a mistake"]);
    from_stranger(&postern, ALICE, "let in again");
    assert_eq!(postern.json(&["ban", "explain", US])["banned"], false);
    assert_eq!(postern.run(&["ban", "remove", US]).status.code(), Some(3));
    assert_eq!(postern.run(&["ban", "add", "somebody"]).status.code(), Some(2));
    assert_eq!(postern.run(&["ban", "add", US, "--for", "soon"]).status.code(), Some(2));
}

#[test]
fn a_ban_is_there_after_a_kill_and_so_is_its_end() {
    let mut postern = Setup::new().start();
    postern.order(&["ban", "add", "127.0.0.0/24", "--reason", "the whole of it"]);
    postern.order(&["ban", "add", "198.51.100.7"]);
    postern.order(&["ban", "remove", "198.51.100.7"]);
    postern.kill();
    postern.start();
    assert!(heard(postern.mx()).starts_with("421 4.7.1"));
    let listed = postern.json(&["ban", "list"]);
    assert_eq!(listed["bans"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["bans"][0]["evidence"], "the whole of it");
    assert!(listed["bans"][0]["until"].is_null());
    // Of the address itself there is nothing to lift, and it is said what there is.
    let output = postern.run(&["ban", "remove", US]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output).contains("127.0.0.0/24 is; lift that one"), "{}", text(&output));
    postern.order(&["ban", "remove", "127.0.0.0/24"]);
    postern.kill();
    postern.start();
    from_stranger(&postern, ALICE, "after the second kill");
}

#[test]
fn bans_are_seen_to_without_a_running_server() {
    let mut postern = Setup::new().prepare();
    assert_eq!(postern.order(&["ban", "list"]).trim(), "nobody is banned");
    postern.order(&["ban", "add", US]);
    assert_eq!(postern.json(&["ban", "list"])["bans"][0]["network"], "127.0.0.1/32");
    postern.start();
    assert!(heard(postern.mx()).starts_with("421"));
    postern.terminate();
    postern.order(&["ban", "remove", US]);
    postern.start();
    from_stranger(&postern, ALICE, "lifted while it was down");
}

#[test]
fn open_sessions_of_a_banned_client_end_and_those_of_accounts_go_on() {
    let postern = with_alice(Setup::new());
    let mut idle = postern.stranger();
    let mut busy = postern.stranger();
    busy.expect(&format!("MAIL FROM:<{STRANGER}>"), 250);
    busy.expect(&format!("RCPT TO:<{ALICE}>"), 250);
    busy.expect("DATA", 354);
    busy.send("Subject: cut off\r\n\r\nnot all of it");
    let mut customer = alice(&postern);
    postern.order(&["ban", "add", US]);
    for client in [&mut idle, &mut busy] {
        assert_eq!(client.reply().codes(), "421 4.7.1");
        assert!(client.replies_until_closed().is_empty());
    }
    let reply = customer.mail(ALICE, &[BOB], &message(ALICE, BOB, "goes on"));
    assert_eq!(reply.code, 250, "{reply:?}");
    let _ = postern.maildir(BOB).wait_for_subject("goes on", LONG);
    assert!(postern.maildir(ALICE).messages().is_empty());
}

#[test]
fn what_a_banned_client_hears_is_a_setting() {
    let mut postern = Setup::new().with("auth", "ban_reply", "\"554\"").start();
    postern.order(&["ban", "add", US]);
    assert!(heard(postern.mx()).starts_with("554 5.7.1 "));
    postern.change(|setup| setup.with("auth", "ban_reply", "\"none\""));
    postern.reload("reloaded");
    assert_eq!(heard(postern.mx()), "");
}

#[test]
fn a_trusted_network_is_never_banned() {
    let mut postern = Setup::new().with("server", "trusted_networks", "[\"127.0.0.0/24\"]").start();
    let output = postern.run(&["ban", "add", US]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("trusted_networks"), "{}", text(&output));
    // A wider one may be, and leaves it out.
    postern.order(&["ban", "add", "127.0.0.0/8"]);
    from_stranger(&postern, ALICE, "trusted");
    assert!(postern.order(&["ban", "explain", US]).contains("is not banned and never will be"));
    // What is trusted no more is banned with the rest.
    postern.change(|setup| setup.with("server", "trusted_networks", "[]"));
    postern.reload("reloaded");
    assert!(heard(postern.mx()).starts_with("421"));
}

#[test]
fn behind_a_proxy_the_client_is_banned_and_never_the_proxy() {
    let postern = Setup::new().mx_listener("proxy_protocol_from = [\"127.0.0.1/32\"]").start();
    let output = postern.run(&["ban", "add", US]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("proxy"), "{}", text(&output));
    postern.order(&["ban", "add", "192.0.2.0/28"]);
    let greeted = |address: &str| {
        let mut client = SmtpClient::connect(postern.mx());
        client.send(format!("PROXY TCP4 {address} 127.0.0.1 4711 25\r\n"));
        client.reply()
    };
    let refused = greeted("192.0.2.7");
    assert_eq!(refused.codes(), "421 4.7.1");
    assert!(refused.text().contains("192.0.2.7 is banned here, reference 192.0.2.0/28"), "{refused:?}");
    assert_eq!(greeted("192.0.2.16").code, 220);
}

#[test]
fn bans_and_what_they_refuse_are_counted() {
    let postern = Setup::new().start();
    postern.order(&["ban", "add", "198.51.100.0/24"]);
    postern.order(&["ban", "add", US]);
    for _ in 0..3 {
        assert!(heard(postern.mx()).starts_with("421"));
    }
    let metrics = until("the gauge to be taken", LONG, || {
        let mut stream = TcpStream::connect(postern.http()).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.contains("postern_bans_active 2").then_some(answer)
    });
    assert!(metrics.contains("postern_connections_turned_away_total{why=\"banned\"} 3"), "{metrics}");
    assert!(metrics.contains("postern_bans_total{why=\"order\"} 2"), "{metrics}");
}
