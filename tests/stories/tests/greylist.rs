//! Greylisting: strangers with something against them are told to come again, once, and nobody else is.

use postern_testkit::program::text;

use crate::prelude::*;

/// A server that delays whoever is on a list, so long.
fn greylisting(delay: &str, keys: &str) -> Postern {
    let mut postern = Setup::new().prepare();
    postern.account(ALICE, PASSWORD);
    let file = postern.folder().join("list.txt");
    std::fs::write(&file, format!("127.0.0.0/8 1.0 ; doubtful\n{keys}")).unwrap();
    postern.change(|setup| {
        setup
            .with("policy.rules.greylist", "mode", "\"enforce\"")
            .with("policy.greylist", "delay", &format!("{delay:?}"))
            .table(&format!("[[policy.list]]\nfile = {file:?}\n"))
    });
    postern.start();
    postern
}

/// What is said at RCPT.
fn rcpt(postern: &Postern, from: &str, to: &str) -> Reply {
    let mut client = postern.stranger();
    client.expect(&format!("MAIL FROM:<{from}>"), 250);
    client.command(&format!("RCPT TO:<{to}>"))
}

#[test]
fn who_comes_for_the_first_time_is_told_how_long_to_wait_and_still_after_a_kill() {
    let mut postern = greylisting("1h", "");
    for _ in 0..2 {
        let reply = rcpt(&postern, STRANGER, ALICE);
        assert_eq!(reply.codes(), "451 4.7.1", "{reply:?}");
        assert!(reply.text().contains("minutes") && reply.text().contains("(ref "), "{reply:?}");
        assert_eq!(rcpt(&postern, STRANGER, "nobody@here.test").code, 550, "who is not there is not worth waiting for");
        postern.kill();
        postern.start();
    }
    // The hour is over for the server that is told it was none: it knows from before the kill who came.
    postern.change(|setup| setup.with("policy.greylist", "delay", "\"0s\""));
    postern.reload("reloaded");
    assert_eq!(rcpt(&postern, "other@there.test", ALICE).code, 451, "another sender comes for the first time");
    assert_eq!(rcpt(&postern, STRANGER, ALICE).code, 250);
    assert_eq!(rcpt(&postern, "third@there.test", BOB).code, 250, "its network is known now");
    postern.kill();
    postern.start();
    postern.change(|setup| setup.with("policy.greylist", "delay", "\"1h\""));
    postern.reload("reloaded");
    assert_eq!(rcpt(&postern, "fourth@there.test", BOB).code, 250, "and after a restart");
}

#[test]
fn accounts_postmaster_allowed_names_and_trusted_networks_are_never_delayed_nor_is_good_mail() {
    let mut postern = greylisting("1h", "sender:friend@there.test allow\nrecipient:bob@here.test allow\n");
    for (from, to) in [(STRANGER, "postmaster@here.test"), ("friend@there.test", ALICE), (STRANGER, BOB)] {
        let reply = rcpt(&postern, from, to);
        assert_eq!(reply.code, 250, "{from} {to}: {reply:?}");
    }
    assert_eq!(rcpt(&postern, STRANGER, ALICE).code, 451);
    postern.change(|setup| setup.with("policy.greylist", "when_points", "1.1"));
    postern.reload("reloaded");
    assert_eq!(rcpt(&postern, STRANGER, ALICE).code, 250, "with too little against it");
    postern.change(|setup| {
        setup.with("policy.greylist", "when_points", "0.0").with("server", "trusted_networks", "[\"127.0.0.0/8\"]")
    });
    postern.reload("reloaded");
    assert_eq!(rcpt(&postern, STRANGER, ALICE).code, 250, "of a trusted network");
    from_alice(&postern, BOB, "of an account");
}

#[test]
fn a_rule_that_is_observed_or_not_asked_for_delays_nobody_and_the_trail_and_the_figures_tell() {
    let mut postern = greylisting("1h", "");
    postern.change(|setup| setup.with("policy.rules.greylist", "mode", "\"observe\""));
    postern.reload("reloaded");
    let mut client = postern.stranger();
    let id = queued_as(&client.mail(STRANGER, &[ALICE], &message(STRANGER, ALICE, "observed")));
    client.expect("QUIT", 221);
    let trail = until("the trail", LONG, || {
        let output = postern.run(&["explain", &id]);
        output.status.success().then(|| text(&output))
    });
    assert!(trail.contains("greylist") && trail.contains("it is to come again in 60 minutes"), "{trail}");
    let metrics = crate::metrics::ask(&postern, "/metrics");
    assert!(metrics.contains("postern_greylisted_total{why=\"delayed\"} 1"), "{metrics}");
    let mut plain = greylisting("1h", "");
    plain.change(|setup| setup.with("policy.rules.greylist", "mode", "\"off\""));
    plain.reload("reloaded");
    assert_eq!(rcpt(&plain, STRANGER, ALICE).code, 250);
}

#[test]
fn who_is_remembered_can_be_seen_counted_and_forgotten() {
    let mut postern = greylisting("1h", "");
    assert_eq!(rcpt(&postern, STRANGER, ALICE).code, 451);
    let listed = postern.json(&["greylist", "list"]);
    let row = &listed["rows"][0];
    assert_eq!((&row["network"], &row["known"]), (&"127.0.0.0/24".into(), &false.into()), "{listed}");
    let stats = postern.json(&["greylist", "stats"]);
    assert_eq!((&stats["waiting"], &stats["known"], &stats["rows"]), (&1.into(), &0.into(), &serde_json::Value::Null), "{stats}");
    assert!(
        postern.order(&["greylist", "list"]).contains("waiting") && postern.order(&["greylist", "stats"]).contains("enforce")
    );
    let exit = |postern: &Postern, address: &str| postern.run(&["greylist", "forget", address]).status.code().unwrap();
    assert_eq!((exit(&postern, "192.0.2.1"), exit(&postern, "nonsense")), (3, 2));
    assert_eq!(exit(&postern, "127.0.0.9"), 0);
    postern.kill();
    postern.start();
    assert_eq!(postern.json(&["greylist", "stats"])["waiting"], 0, "and it stays forgotten");
    assert!(postern.order(&["audit", "show"]).contains("greylist forget 127.0.0.9"));
}
