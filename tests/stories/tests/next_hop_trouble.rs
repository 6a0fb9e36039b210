//! Next hops that refuse, defer, stall, hang up or come late: mail waits, is tried again, and comes back when its time is over.

use std::sync::atomic::{AtomicUsize, Ordering};

use postern_testkit::client::base64;
use postern_testkit::peers::open_folder;
use postern_testkit::wait::{free_port, loopback};

use crate::prelude::*;

fn to(sink: &Sink) -> Postern {
    with_alice(Setup::new().route(&["*"], sink.port()))
}

#[test]
fn what_is_deferred_is_tried_again() {
    let tries = AtomicUsize::new(0);
    let sink = Behaviour::default()
        .answering(move |heard| match heard.line {
            line if line.starts_with("RCPT") && tries.fetch_add(1, Ordering::SeqCst) < 2 => Say::this("451 4.7.1 greylisted"),
            _ => Say::Usual,
        })
        .start();
    let mut postern = to(&sink);
    from_alice(&postern, "carol@there.test", "patience");
    let _ = sink.wait_for_subject("patience");
    assert!(postern.wait_for_log("deferred").contains("4.7.1"));
    assert!(postern.maildir(ALICE).messages().is_empty());
}

#[test]
fn every_way_of_failing_without_a_word_is_a_deferral() {
    for stage in ["", "EHLO", "MAIL", "RCPT", "DATA", "."] {
        let sink = Behaviour::default()
            .answering(move |heard| {
                if heard.connection == 0 && heard.line.starts_with(stage) && (!stage.is_empty() || heard.line.is_empty()) {
                    Say::Close
                } else {
                    Say::Usual
                }
            })
            .start();
        let postern = to(&sink);
        from_alice(&postern, "carol@there.test", "again");
        let _ = sink.wait_for_subject("again");
        until("an empty queue", LONG, || postern.queue().is_empty().then_some(()));
        assert_eq!(sink.messages().len(), 1, "closed at {stage:?}");
        assert!(postern.maildir(ALICE).messages().is_empty(), "closed at {stage:?}");
    }
}

#[test]
fn a_lost_reply_to_a_message_costs_a_duplicate_and_never_a_loss() {
    let sink = Behaviour::default()
        .answering(|heard| if heard.line == "." && heard.kept == 0 { Say::KeepAndClose } else { Say::Usual })
        .start();
    let postern = to(&sink);
    from_alice(&postern, "carol@there.test", "twice");
    assert_eq!(sink.wait_for(2).len(), 2);
    until("an empty queue", LONG, || postern.queue().is_empty().then_some(()));
}

#[test]
fn a_host_that_says_nothing_is_left() {
    let sink = Behaviour::default()
        .answering(|heard| if heard.connection == 0 && heard.line.starts_with("MAIL") { Say::Stall } else { Say::Usual })
        .start();
    let postern = with_alice(Setup::new().route(&["*"], sink.port()).with("outbound.timeouts", "mail", "\"500ms\""));
    from_alice(&postern, "carol@there.test", "stalled");
    let _ = sink.wait_for_subject("stalled");
    assert!(sink.connections() >= 2);
}

#[test]
fn a_host_that_is_down_gets_its_mail_when_it_is_up() {
    let port = free_port();
    let mut postern = with_alice(Setup::new().route(&["*"], port));
    for number in 0..5 {
        from_alice(&postern, "carol@there.test", &format!("waiting {number}"));
    }
    postern.wait_for_log("deferred");
    let sink = Behaviour::default().start_at(loopback(port));
    assert_eq!(sink.wait_for(5).len(), 5);
}

#[test]
fn what_waited_too_long_comes_back() {
    let sink = Behaviour::default()
        .answering(|heard| if heard.line.starts_with("RCPT") { Say::this("452 4.2.2 full") } else { Say::Usual })
        .start();
    let setup = Setup::new().route(&["*"], sink.port()).with("outbound.retry", "give_up", "\"2s\"");
    let postern = with_alice(setup.with("outbound", "delay_warning_after", "\"500ms\""));
    from_alice(&postern, "carol@there.test", "too late");
    let reports = postern.maildir(ALICE).wait_for(2, LONG);
    assert!(reports.iter().any(|report| report.0.contains("Action: delayed")), "the sender is told once that it takes long");
    let last = reports.iter().find(|report| report.0.contains("Action: failed")).expect("and at the end that it failed");
    // RFC 3463 §3.5: 4.7, delivery time expired; or what the host said last.
    assert!(
        last.0.contains("Status: 4.4.7") || last.0.contains("Status: 5.4.7") || last.0.contains("Status: 4.2.2"),
        "{}",
        last.0
    );
    assert!(last.0.contains("452 4.2.2 full"), "{}", last.0);
}

#[test]
fn connections_are_kept_for_the_next_message() {
    let sink = Sink::start();
    let postern = to(&sink);
    for number in 0..20 {
        from_alice(&postern, "carol@there.test", &format!("kept {number}"));
        let _ = sink.wait_for_subject(&format!("kept {number}"));
    }
    assert!(sink.connections() < 10, "{} connections for 20 messages", sink.connections());
}

#[test]
fn tls_is_used_where_offered_and_mail_waits_where_it_is_required() {
    let (secure, clear, strict) = (Behaviour::default().tls().start(), Sink::start(), Sink::start());
    let setup = Setup::new().route(&["secure.test"], secure.port()).route(&["clear.test"], clear.port());
    let mut postern = with_alice(setup.route_with(&["strict.test"], strict.port(), "tls = \"require\""));
    from_alice(&postern, "carol@secure.test", "secure");
    assert!(secure.wait_for_subject("secure").tls);
    from_alice(&postern, "carol@clear.test", "clear");
    assert!(!clear.wait_for_subject("clear").tls);
    from_alice(&postern, "carol@strict.test", "strict");
    assert!(postern.wait_for_log("to=\"carol@strict.test\"").contains("deferred"));
    assert!(strict.messages().is_empty());
}

#[test]
fn a_route_logs_in_with_its_credentials_under_tls_only() {
    let sink = Behaviour::default()
        .offering(&["PIPELINING", "8BITMIME", "AUTH PLAIN"])
        .tls()
        .answering(|heard| if heard.line.starts_with("AUTH") { Say::this("235 2.7.0 welcome") } else { Say::Usual })
        .start();
    let elsewhere = open_folder();
    let file = elsewhere.path().join("relay.password");
    std::fs::write(&file, "sesame\n").unwrap();
    let keys =
        format!("tls = \"require\"\ncredentials = {{ user = \"postern\", password_file = {:?} }}", file.display().to_string());
    let postern = with_alice(Setup::new().route_with(&["*"], sink.port(), &keys));
    from_alice(&postern, "carol@there.test", "with credentials");
    assert!(sink.wait_for_subject("with credentials").tls);
    let auth = sink.lines().into_iter().find(|line| line.starts_with("AUTH")).expect("AUTH");
    assert!(auth.ends_with(&base64(b"\0postern\0sesame")), "{auth}");
}
