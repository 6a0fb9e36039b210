//! Reports on delivery (RFC 3461, RFC 3464): what was asked for is passed on or done, a refusal far away comes back as a report, and
//! nobody gets a report that he did not ask for.

use postern_testkit::peers::tools::{have_python, parts_by_python};

use crate::prelude::*;

/// Refuses `nobody@` and takes everybody else.
fn choosy(extensions: &[&str]) -> Sink {
    Behaviour::default()
        .offering(extensions)
        .answering(
            |heard| if heard.line.starts_with("RCPT TO:<nobody@") { Say::this("550 5.1.1 no such user") } else { Say::Usual },
        )
        .start()
}

const WITH_DSN: &[&str] = &["PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SIZE", "DSN"];
const WITHOUT_DSN: &[&str] = &["PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SIZE"];

fn send(postern: &Postern, mail: &str, rcpt: &[&str], subject: &str) {
    let mut client = alice(postern);
    client.expect(&format!("MAIL FROM:<{ALICE}> {mail}"), 250);
    for rcpt in rcpt {
        client.expect(&format!("RCPT TO:{rcpt}"), 250);
    }
    assert_eq!(client.data(&message(ALICE, "carol@there.test", subject)).code, 250);
}

#[test]
fn a_refusal_far_away_comes_back_as_a_report_that_others_can_read() {
    let sink = choosy(WITH_DSN);
    let postern = with_alice(Setup::new().route(&["*"], sink.port()));
    send(
        &postern,
        "RET=FULL ENVID=order-7",
        &["<nobody@there.test> ORCPT=rfc822;first@there.test", "<carol@there.test>"],
        "half",
    );
    let report = postern.maildir(ALICE).wait_for(1, LONG).remove(0);

    assert_eq!(report.header("Return-Path"), "<>");
    assert_eq!(report.header("Auto-Submitted"), "auto-replied");
    for field in [
        "Original-Envelope-Id: order-7",
        "Reporting-MTA: dns; postern.test",
        "Original-Recipient: rfc822;first@there.test",
        "Final-Recipient: rfc822;nobody@there.test",
        "Action: failed",
        "Status: 5.1.1",
        "550 5.1.1 no such user",
        "Hello from half.",
    ] {
        let spaced = field.replace("rfc822;", "rfc822; ");
        assert!(report.0.contains(field) || report.0.contains(&spaced), "{field} in:\n{}", report.0);
    }
    assert!(!report.0.contains("Final-Recipient: rfc822; carol"), "{}", report.0);
    let _ = sink.wait_for_subject("half");

    if have_python().is_ok() {
        let parts = parts_by_python(&report);
        assert_eq!(parts[..3], ["multipart/report", "text/plain", "message/delivery-status"], "{parts:?}");
        assert!(parts.contains(&"message/rfc822".to_owned()), "{parts:?}");
        assert!(!parts.iter().any(|part| part.starts_with("defect")), "{parts:?}");
    }
}

#[test]
fn what_is_asked_for_is_passed_on_to_a_host_that_knows_dsn() {
    let sink = choosy(WITH_DSN);
    let postern = with_alice(Setup::new().route(&["*"], sink.port()));
    send(
        &postern,
        "RET=HDRS ENVID=a+2Bb",
        &["<carol@there.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;carol@there.test"],
        "passed",
    );
    let received = sink.wait_for_subject("passed");
    assert!(received.from.contains("RET=HDRS") && received.from.contains("ENVID=a+2Bb"), "{}", received.from);
    assert!(received.to[0].contains("NOTIFY=SUCCESS,FAILURE"), "{:?}", received.to);
    assert!(received.to[0].contains("ORCPT=rfc822;carol@there.test"), "{:?}", received.to);
    // It is for that host to report success.
    assert!(postern.maildir(ALICE).messages().is_empty());
}

#[test]
fn success_is_reported_where_the_promise_ends_with_us() {
    let sink = choosy(WITHOUT_DSN);
    let postern = with_alice(Setup::new().route(&["*"], sink.port()));
    send(&postern, "", &["<carol@there.test> NOTIFY=SUCCESS"], "relayed");
    let report = postern.maildir(ALICE).wait_for(1, LONG).remove(0);
    // RFC 3461 §4.2: the next host does not know DSN, so it is `relayed`.
    assert!(report.0.contains("Action: relayed"), "{}", report.0);
    assert!(!sink.wait_for(1)[0].to[0].contains("NOTIFY"));

    send(&postern, "", &["<bob@here.test> NOTIFY=SUCCESS"], "delivered");
    let reports = postern.maildir(ALICE).wait_for(2, LONG);
    assert!(reports.iter().any(|report| report.0.contains("Action: delivered")));
}

#[test]
fn notify_never_is_kept() {
    let sink = choosy(WITH_DSN);
    let mut postern = with_alice(Setup::new().route(&["*"], sink.port()));
    send(&postern, "", &["<nobody@there.test> NOTIFY=NEVER"], "silent");
    postern.wait_for_log("bounced");
    send(&postern, "", &["<nobody@there.test>"], "loud");
    let report = postern.maildir(ALICE).wait_for(1, LONG).remove(0);
    assert!(report.0.contains("loud"), "{}", report.0);
}

#[test]
fn a_report_that_cannot_be_delivered_makes_no_report() {
    let sink = Behaviour::default()
        .answering(|heard| if heard.line.starts_with("RCPT") { Say::this("550 5.1.1 no") } else { Say::Usual })
        .start();
    let mut postern = Setup::new()
        .domain_with(
            "relay.test",
            &["x"],
            &format!("deliver = {{ kind = \"relay\", host = \"127.0.0.1\", port = {} }}", sink.port()),
        )
        .route(&["*"], sink.port())
        .start();
    // The sender of the mail refuses its report too.
    from_stranger(&postern, "x@relay.test", "doomed");
    sink.wait_for_line(&format!("RCPT TO:<{STRANGER}>"), 1);
    let report = sink.lines().into_iter().filter(|line| line.starts_with("MAIL FROM:<>")).count();
    assert_eq!(report, 1);
    let _ = postern.wait_for_log("bounced");
    until("an empty queue", LONG, || postern.queue().is_empty().then_some(()));
    assert_eq!(sink.lines().iter().filter(|line| line.starts_with("MAIL FROM:<>")).count(), 1);
}
