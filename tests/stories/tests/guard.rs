//! The guard of accounts in the whole server: what a stolen password sends is held before fifty have left, its sessions end, one act of a person takes it back,
//! and nothing is lost on the way.

use serde_json::Value;

use crate::prelude::*;

/// Alice's server, which has learned for as long as it needs to, and the world.
fn town(behaviour: Behaviour) -> (Postern, Sink) {
    let sink = behaviour.start();
    let setup = Setup::new()
        .route(&["*"], sink.port())
        .with("outbound", "messages_per_hour", "1000")
        .with("outbound.guard", "learn", "\"0s\"")
        .with("outbound.guard", "pace", "\"10ms\"");
    (with_alice(setup), sink)
}

/// Hands a message in; the reply to the first command that was not taken, or to its end. `None`: the server has closed.
fn try_mail(client: &mut SmtpClient, to: &str, subject: &str) -> Option<Reply> {
    let text = message(ALICE, to, subject);
    for line in [format!("MAIL FROM:<{ALICE}>\r\n"), format!("RCPT TO:<{to}>\r\n"), "DATA\r\n".to_owned()] {
        client.try_send(line.as_bytes()).ok()?;
        let reply = client.try_reply().ok()?;
        if reply.code >= 400 {
            return Some(reply);
        }
    }
    client.try_send(format!("{}\r\n.\r\n", text.trim_end().replace("\r\n", "\n").replace('\n', "\r\n")).as_bytes()).ok()?;
    client.try_reply().ok()
}

/// As many messages as are taken, each to somebody else.
fn spree(postern: &Postern, most: usize) -> Vec<String> {
    let mut client = alice(postern);
    let mut taken = Vec::new();
    for turn in 0..most {
        match try_mail(&mut client, &format!("victim{turn}@far{}.test", turn % 7), &format!("offer {turn}")) {
            Some(reply) if reply.code == 250 => taken.push(queued_as(&reply)),
            _ => break,
        }
    }
    taken
}

fn held(postern: &Postern) -> Vec<Value> {
    let output = postern.run(&["held", "list", "--json"]);
    if output.status.code() == Some(3) {
        return Vec::new();
    }
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    list["messages"].as_array().unwrap().clone()
}

fn standing(postern: &Postern) -> Value {
    postern.json(&["reputation", "show", ALICE])["accounts"][0].clone()
}

#[test]
fn of_what_a_stolen_password_sends_at_most_fifty_leave_the_rest_is_held_and_one_act_brings_all_of_it_on_its_way() {
    let (mut postern, sink) = town(Behaviour::default());
    let taken = spree(&postern, 200);
    assert!(taken.len() > 50 && taken.len() < 200, "its session ends before it is through: {}", taken.len());
    postern.wait_for_log("guard-suspend");
    // It can log in no more.
    until("the log-in to be refused", LONG, || {
        let reply = SmtpClient::hello_tls(postern.submission()).auth_plain(ALICE, PASSWORD);
        (reply.code == 535).then_some(())
    });
    let account = standing(&postern);
    assert_eq!(account["step"], "suspend", "{account}");
    assert!(account["signals"].to_string().contains("never written to before"), "{account}");
    // All that was taken is here or there.
    let waiting = until("the rest to be held", LONG, || {
        let waiting = held(&postern);
        (waiting.len() + sink.messages().len() >= taken.len()).then_some(waiting)
    });
    let left = sink.messages().len();
    assert!(left <= 50, "{left} left");
    assert_eq!(left + waiting.len(), taken.len());
    assert!(waiting.iter().all(|one| one["account"] == ALICE && one["held"].as_str().unwrap().starts_with("guard: held")));
    let listed = postern.order(&["held", "list"]);
    assert!(listed.contains(&format!("{}  {ALICE}  \"guard\"", waiting.len())), "{listed}");
    // Why, in the words of the evidence.
    let id = waiting.last().unwrap()["id"].as_str().unwrap();
    let why = until("the reasons", LONG, || {
        let output = postern.run(&["explain", id]);
        output.status.success().then(|| postern_testkit::program::text(&output))
    });
    assert!(why.contains("guard") && why.contains("never written to before"), "{why}");
    // It outlives a restart.
    postern.restart();
    assert_eq!(standing(&postern)["step"], "suspend");
    assert_eq!(SmtpClient::hello_tls(postern.submission()).auth_plain(ALICE, PASSWORD).code, 535);
    assert_eq!(held(&postern).len(), waiting.len());
    // A part of it, then all.
    let rehearsed = postern.order(&["reputation", "clear", ALICE, "--release", "--dry-run"]);
    assert!(rehearsed.contains(&format!("{} of its messages let go", waiting.len())), "{rehearsed}");
    let part = postern.order(&["reputation", "clear", ALICE, "--release", "--at-most", "5", "--reason", "it was us"]);
    assert!(part.contains("5 messages are let go, and more are held"), "{part}");
    let _ = sink.wait_for(left + 5);
    assert_eq!(held(&postern).len(), waiting.len() - 5);
    postern.order(&["reputation", "clear", ALICE, "--release", "--reason", "it was us"]);
    let arrived = sink.wait_for(taken.len());
    let mut subjects: Vec<String> = arrived.iter().map(|one| one.message().header("Subject")).collect();
    subjects.sort();
    subjects.dedup();
    assert_eq!(subjects.len(), taken.len(), "each of them once");
    assert_eq!(standing(&postern)["step"], "none");
    from_alice(&postern, "friend@far1.test", "all is well");
    let _ = sink.wait_for_subject("all is well");
    // Another account of the same name is another one.
    postern.order(&["account", "remove", ALICE]);
    assert_eq!(postern.run(&["reputation", "show", ALICE]).status.code(), Some(3));
    let audit = postern.order(&["audit", "show"]);
    assert!(audit.contains(&format!("reputation clear {ALICE} --release")), "{audit}");
}

#[test]
fn an_ordinary_day_is_not_held_nor_a_newsletter_that_somebody_vouched_for() {
    let (postern, sink) = town(Behaviour::default());
    for turn in 0..12 {
        from_alice(&postern, &format!("friend{}@far.test", turn % 5), &format!("note {turn}"));
    }
    let _ = sink.wait_for(12);
    let vouched = postern.order(&["reputation", "trust", ALICE, "--for", "1d", "--reason", "newsletter"]);
    assert!(vouched.contains("is trusted"), "{vouched}");
    assert_eq!(spree(&postern, 120).len(), 120);
    let _ = sink.wait_for(132);
    assert!(held(&postern).is_empty());
    assert_eq!(standing(&postern)["step"], "none");
}

#[test]
fn receivers_that_know_nobody_of_whom_an_account_writes_to_have_it_held_sooner() {
    let unknown = |heard: &postern_testkit::sink::Heard<'_>| {
        if heard.line.starts_with("RCPT") { Say::this("550 5.1.1 no such user") } else { Say::Usual }
    };
    let (mut postern, _sink) = town(Behaviour::default().answering(unknown));
    let mut client = alice(&postern);
    for turn in 0..25 {
        let reply = try_mail(&mut client, &format!("victim{turn}@far.test"), "offer").unwrap();
        assert_eq!(reply.code, 250);
        // Until its report is there, so that what was said is counted before the next one comes.
        let id = queued_as(&reply);
        until("its end", LONG, || {
            let story = postern.order(&["trace", &id]);
            (story.contains("5.1.1") || story.contains("guard: held")).then_some(())
        });
        if standing(&postern)["step"] == "hold" {
            assert!(turn < 24, "{turn}");
            break;
        }
    }
    let account = standing(&postern);
    assert_eq!(account["step"], "hold", "{account}");
    assert!(account["signals"].to_string().contains("do not exist"), "{account}");
    postern.wait_for_log("guard-hold");
}

#[test]
fn a_guard_that_only_observes_holds_nothing_and_says_what_it_would_have_done() {
    let sink = Behaviour::default().start();
    let setup = Setup::new().route(&["*"], sink.port()).with("outbound.guard", "learn", "\"0s\"").with(
        "outbound.guard",
        "mode",
        "\"observe\"",
    );
    let postern = with_alice(setup);
    let taken = spree(&postern, 80);
    assert_eq!(taken.len(), 80);
    let _ = sink.wait_for(80);
    assert!(held(&postern).is_empty());
    let why = until("the reasons", LONG, || {
        let output = postern.run(&["explain", taken.last().unwrap()]);
        output.status.success().then(|| postern_testkit::program::text(&output))
    });
    assert!(why.contains("guard") && why.contains("held with"), "{why}");
}

#[test]
fn who_sends_what_is_refused_is_suspended_all_the_same() {
    let (mut postern, sink) = town(Behaviour::default());
    let mut client = alice(&postern);
    let forged = message("mallory@elsewhere.test", "victim@far.test", "offer");
    // Refused at its end, since it is in somebody else's name; how many it was for counts nevertheless.
    for turn in 0..3 {
        let to: Vec<String> = (0..90).map(|number| format!("victim{turn}-{number}@far{}.test", number % 7)).collect();
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        let reply = client.mail(ALICE, &to, &forged);
        assert!(reply.code >= 400, "{reply:?}");
        if postern.log().contains("guard-suspend") {
            break;
        }
    }
    postern.wait_for_log("guard-suspend");
    until("the log-in to be refused", LONG, || {
        let reply = SmtpClient::hello_tls(postern.submission()).auth_plain(ALICE, PASSWORD);
        (reply.code == 535).then_some(())
    });
    assert!(sink.messages().is_empty());
}
