//! How large a message may be (RFC 1870), and that a large one arrives as it was sent.

use crate::prelude::*;

const LIMIT: usize = 200_000;

fn limited() -> Postern {
    Setup::new().with("limits", "message_size", &format!("\"{LIMIT}B\"")).start()
}

fn body_of(octets: usize) -> String {
    let mut body = "Subject: big\n\n".to_owned();
    while body.len() < octets {
        body.push_str("0123456789 0123456789 0123456789 0123456789 0123456789 0123456789\n");
    }
    body
}

#[test]
fn the_limit_is_told_and_a_larger_size_is_refused_at_mail() {
    let postern = limited();
    let mut client = SmtpClient::connect(postern.mx());
    client.expect_reply(220);
    assert!(client.ehlo().contains(&format!("SIZE {LIMIT}")));
    assert_eq!(client.command(&format!("MAIL FROM:<stranger@there.test> SIZE={}", LIMIT + 1)).codes(), "552 5.3.4");
    client.expect(&format!("MAIL FROM:<stranger@there.test> SIZE={LIMIT}"), 250);
}

#[test]
fn a_body_over_the_limit_is_refused_after_its_end_and_the_session_goes_on() {
    let postern = limited();
    let mut client = postern.stranger();
    let reply = client.mail(STRANGER, &[ALICE], &body_of(LIMIT * 2));
    assert_eq!(reply.codes(), "552 5.3.4");
    assert_eq!(client.mail(STRANGER, &[ALICE], &message(STRANGER, ALICE, "small")).code, 250);
    let _ = postern.maildir(ALICE).wait_for_subject("small", LONG);
    assert_eq!(postern.maildir(ALICE).messages().len(), 1);
}

#[test]
fn chunks_over_the_limit_are_refused_and_swallowed() {
    let postern = limited();
    let mut client = postern.stranger();
    client.expect("MAIL FROM:<stranger@there.test>", 250);
    client.expect("RCPT TO:<alice@here.test>", 250);
    client.send(format!("BDAT {}\r\n", LIMIT + 10));
    client.send(vec![b'x'; LIMIT + 10]);
    assert_eq!(client.reply().codes(), "552 5.3.4");
    client.expect("RSET", 250);
    assert_eq!(client.command("BDAT 99999999999999999999999 LAST").code, 501);
    assert_eq!(client.reply_or_end(), None, "a chunk whose size cannot be read has no end that could be found");
}

#[test]
fn a_large_message_reaches_maildir_and_next_hop_octet_by_octet() {
    let sink = Sink::start();
    let postern = with_alice(Setup::new().route(&["*"], sink.port()));
    let text = format!("From: <{ALICE}>\n{}", body_of(8 << 20));
    let mut client = alice(&postern);
    assert_eq!(client.mail(ALICE, &[BOB, "carol@elsewhere.test"], &text).code, 250);
    let wanted = text.split_once("\n\n").unwrap().1;
    let here = postern.maildir(BOB).wait_for_subject("big", LONG);
    assert!(here.body() == wanted, "{} octets of {}", here.body().len(), wanted.len());
    let there = sink.wait_for(1).remove(0);
    assert!(there.message().body() == wanted);
    assert!(there.body.windows(2).all(|pair| (pair[0] == b'\r') == (pair[1] == b'\n')), "only CRLF ends a line");
}

#[test]
fn more_recipients_than_the_limit_come_in_another_message() {
    let postern = Setup::new().with("limits", "recipients_per_message", "1").start();
    let mut client = postern.stranger();
    client.expect("MAIL FROM:<stranger@there.test>", 250);
    client.expect("RCPT TO:<alice@here.test>", 250);
    assert_eq!(client.command("RCPT TO:<bob@here.test>").codes(), "452 4.5.3");
    assert_eq!(client.data(&message(STRANGER, ALICE, "first")).code, 250);
}
