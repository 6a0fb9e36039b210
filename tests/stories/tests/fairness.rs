//! Somebody's trouble is his own: a slow or dead destination keeps nobody else waiting, and a long queue is delivered whole.

use crate::prelude::*;

#[test]
fn a_destination_that_stalls_keeps_no_other_waiting() {
    let stalled =
        Behaviour::default().answering(|heard| if heard.line.starts_with("MAIL") { Say::Stall } else { Say::Usual }).start();
    let quick = Sink::start();
    let setup = Setup::new().route(&["stalled.test"], stalled.port()).route(&["quick.test"], quick.port());
    let postern = with_alice(setup.with("outbound.lanes", "concurrency_total", "40"));
    let mut client = alice(&postern);
    for number in 0..100 {
        let subject = format!("stuck {number}");
        assert_eq!(client.mail(ALICE, &["carol@stalled.test"], &message(ALICE, "carol@stalled.test", &subject)).code, 250);
    }
    stalled.wait_for_line("MAIL", 2);
    from_alice(&postern, "carol@quick.test", "passes by");
    let _ = quick.wait_for_subject("passes by");
    from_alice(&postern, BOB, "and here");
    let _ = postern.maildir(BOB).wait_for_subject("and here", LONG);
}

#[test]
fn a_queue_of_thousands_is_there_after_a_restart_and_all_of_it_is_delivered() {
    let port = postern_testkit::wait::free_port();
    let setup = Setup::new().route(&["*"], port).with("limits", "messages_per_connection", "10000");
    let mut postern = with_alice(setup);
    let mut client = alice(&postern);
    let count = 2000;
    for number in 0..count {
        let mail = format!("MAIL FROM:<{ALICE}>\r\nRCPT TO:<carol@d{}.test>\r\nDATA\r\n", number % 50);
        client.send(mail);
        for code in [250, 250, 354] {
            client.expect_reply(code);
        }
        client.send(format!("From: <{ALICE}>\r\nSubject: {number}\r\n\r\n.\r\n"));
        client.expect_reply(250);
    }
    postern.kill();
    postern.start();
    assert_eq!(postern.json(&["status"])["messages"], count);
    let sink = Behaviour::default().start_at(postern_testkit::wait::loopback(port));
    let received = sink.wait_for(count);
    let subjects: std::collections::HashSet<String> =
        received.iter().map(|received| received.message().header("Subject")).collect();
    assert_eq!(subjects.len(), count);
}
