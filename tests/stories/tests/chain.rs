//! Two servers of ours in a row: each takes what the other sends, and the trace tells the way.

use crate::prelude::*;

#[test]
fn mail_goes_through_two_servers_under_tls() {
    let last = Setup::default().with("server", "hostname", "\"last.test\"").domain("last.test", &["carol", "jörg"]).start();
    let first = with_alice(Setup::new().route_with(&["last.test"], last.mx().port(), "tls = \"require\""));
    for number in 0..20 {
        from_alice(&first, "carol@last.test", &format!("number {number}"));
    }
    for message in last.maildir("carol@last.test").wait_for(20, LONG) {
        let received = message.headers("Received");
        assert_eq!(received.len(), 2, "{received:?}");
        assert!(
            received[0].contains("by last.test") && received[0].contains("from postern.test") && received[0].contains("ESMTPS")
        );
        assert!(received[1].contains("by postern.test") && received[1].contains("ESMTPSA"));
        assert_eq!(message.header("Return-Path"), format!("<{ALICE}>"));
        assert_eq!(message.headers("Delivered-To"), ["carol@last.test"]);
    }
    assert!(first.queue().is_empty());
}

#[test]
fn what_the_second_refuses_the_first_reports() {
    let last = Setup::default().with("server", "hostname", "\"last.test\"").domain("last.test", &["carol"]).start();
    let first = with_alice(Setup::new().route(&["last.test"], last.mx().port()));
    from_alice(&first, "unknown@last.test", "to nobody");
    let report = first.maildir(ALICE).wait_for(1, LONG).remove(0);
    assert!(report.0.contains("Status: 5.1.1"), "{}", report.0);
    assert!(report.0.contains("no mailbox unknown@last.test here"), "{}", report.0);
}
