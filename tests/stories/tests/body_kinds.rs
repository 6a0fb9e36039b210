//! Eight-bit bodies (RFC 6152) and headers on the way: what a next hop cannot take is not sent to it raw.

use crate::prelude::*;

const EIGHT_BIT: &str = "From: <alice@here.test>\nSubject: umlauts\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\
    Content-Transfer-Encoding: 8bit\n\nGrüße\n";

#[test]
fn an_eight_bit_body_goes_on_as_one_where_that_is_offered() {
    let sink = Sink::start();
    let postern = with_alice(Setup::new().route(&["*"], sink.port()));
    let mut client = alice(&postern);
    client.expect("MAIL FROM:<alice@here.test> BODY=8BITMIME", 250);
    client.expect("RCPT TO:<carol@there.test>", 250);
    assert_eq!(client.data(EIGHT_BIT).code, 250);
    let received = sink.wait_for_subject("umlauts");
    assert!(received.from.contains("BODY=8BITMIME"), "{}", received.from);
    assert_eq!(received.message().body(), "Grüße\n");
}

#[test]
fn a_host_without_8bitmime_gets_no_eight_bit_octets() {
    let sink = Behaviour::default().offering(&["PIPELINING", "ENHANCEDSTATUSCODES", "SIZE", "DSN"]).start();
    let postern = with_alice(Setup::new().route(&["*"], sink.port()));
    let mut client = alice(&postern);
    client.expect("MAIL FROM:<alice@here.test> BODY=8BITMIME", 250);
    client.expect("RCPT TO:<carol@there.test>", 250);
    assert_eq!(client.data(EIGHT_BIT).code, 250);
    // RFC 6152 §3: converted, or returned; here it is returned.
    let came_back = until("a report or a message in seven bits", LONG, || {
        let reports = postern.maildir(ALICE).messages();
        let sent = sink.messages();
        (!reports.is_empty() || !sent.is_empty()).then_some((reports, sent))
    });
    assert!(came_back.1.iter().all(|received| received.body.is_ascii()), "{:?}", came_back.1);
    assert!(came_back.0.iter().all(|report| report.0.contains("Status: 5.6.")), "{:?}", came_back.0);
}

#[test]
fn without_chunking_and_pipelining_mail_goes_all_the_same() {
    for extensions in [&[][..], &["8BITMIME"], &["PIPELINING"], &["CHUNKING"], &["SIZE"]] {
        let sink = Behaviour::default().offering(extensions).start();
        let postern = with_alice(Setup::new().route(&["*"], sink.port()));
        from_alice(&postern, "carol@there.test", "plain");
        let received = sink.wait_for_subject("plain");
        assert_eq!(received.chunked, extensions == ["CHUNKING"], "{extensions:?}");
        assert!(received.body.ends_with(b"Hello from plain.\r\n"));
    }
}

#[test]
fn a_host_that_knows_only_helo_is_spoken_to_by_helo() {
    let sink = Behaviour::default()
        .answering(|heard| if heard.line.starts_with("EHLO") { Say::this("502 5.5.1 what?") } else { Say::Usual })
        .start();
    let postern = with_alice(Setup::new().route(&["*"], sink.port()));
    from_alice(&postern, "carol@there.test", "old");
    let received = sink.wait_for_subject("old");
    assert_eq!(received.from, "<alice@here.test>");
}

#[test]
fn a_message_too_large_for_the_next_hop_comes_back_without_being_sent() {
    let sink = Behaviour::default().offering(&["PIPELINING", "8BITMIME", "SIZE 1000"]).start();
    let postern = with_alice(Setup::new().route(&["*"], sink.port()));
    let mut client = alice(&postern);
    let text = format!("{}{}", message(ALICE, "carol@there.test", "large"), "0123456789\n".repeat(1000));
    assert_eq!(client.mail(ALICE, &["carol@there.test"], &text).code, 250);
    let report = postern.maildir(ALICE).wait_for(1, LONG).remove(0);
    assert!(report.0.contains("Status: 5.3.4"), "{}", report.0);
    assert!(!sink.lines().iter().any(|line| line.starts_with("DATA")));
}
