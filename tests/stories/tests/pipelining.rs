//! Commands sent without waiting for the replies (RFC 2920), and those that may not be.

use postern_testkit::client::base64;

use crate::prelude::*;

fn codes(client: &mut SmtpClient, count: usize) -> Vec<u16> {
    (0..count).map(|_| client.reply().code).collect()
}

#[test]
fn a_transaction_up_to_data_comes_in_one_piece() {
    let postern = Setup::new().start();
    for size in [1, 10, 1 << 20] {
        let mut client = postern.stranger();
        let group = "MAIL FROM:<stranger@there.test>\r\nRCPT TO:<alice@here.test>\r\nRCPT TO:<unknown@here.test>\r\nDATA\r\n";
        client.send_in_pieces(group.as_bytes(), size);
        assert_eq!(codes(&mut client, 4), [250, 250, 550, 354]);
        // RFC 2920 §3.1: the end of a message may be followed by the next group at once.
        client.send("Subject: one\r\n\r\n1\r\n.\r\nMAIL FROM:<stranger@there.test>\r\nRCPT TO:<bob@here.test>\r\nDATA\r\n");
        assert_eq!(codes(&mut client, 4), [250, 250, 250, 354]);
        client.send("Subject: two\r\n\r\n2\r\n.\r\nQUIT\r\n");
        assert_eq!(codes(&mut client, 2), [250, 221]);
        assert_eq!(client.reply_or_end(), None);
    }
    assert_eq!(postern.maildir(ALICE).wait_for(3, LONG).len(), 3);
    assert_eq!(postern.maildir(BOB).wait_for(3, LONG).len(), 3);
}

#[test]
fn a_thousand_noops_get_a_thousand_replies() {
    let postern = Setup::new().start();
    let mut client = postern.stranger();
    client.send("NOOP\r\n".repeat(1000));
    assert!(codes(&mut client, 1000).iter().all(|code| *code == 250));
}

#[test]
fn chunks_may_be_pipelined() {
    let postern = Setup::new().start();
    let mut client = postern.stranger();
    client.send("MAIL FROM:<stranger@there.test>\r\nRCPT TO:<alice@here.test>\r\n");
    client.send("BDAT 16\r\nSubject: chunk\r\nBDAT 4\r\n\r\n\r\nBDAT 0 LAST\r\n");
    assert_eq!(codes(&mut client, 5), [250, 250, 250, 250, 250]);
    let _ = postern.maildir(ALICE).wait_for_subject("chunk", LONG);
}

#[test]
fn what_must_wait_for_its_reply_ends_the_session_when_it_does_not() {
    let postern = with_alice(Setup::new());
    let early = [
        "EHLO client.example\r\nMAIL FROM:<stranger@there.test>\r\n",
        "HELO client.example\r\nNOOP\r\n",
        "STARTTLS\r\nNOOP\r\n",
        "MAIL FROM:<stranger@there.test>\r\nRCPT TO:<alice@here.test>\r\nDATA\r\nSubject: early\r\n\r\n.\r\n",
    ];
    for early in early {
        let mut client = postern.stranger();
        client.send(early);
        let replies = client.replies_until_closed();
        assert_eq!(replies.last().map(Reply::codes).as_deref(), Some("554 5.5.0"), "{early:?}: {replies:?}");
    }
    let mut client = SmtpClient::hello_tls(postern.submission());
    client.send("AUTH LOGIN\r\nMAIL FROM:<alice@here.test>\r\n");
    assert_eq!(client.replies_until_closed().last().map(Reply::codes).as_deref(), Some("554 5.5.0"));
}

#[test]
fn a_whole_auth_may_be_pipelined_and_what_follows_a_failed_one_is_refused() {
    // RFC 4954 §4: PLAIN with its initial response waits for nothing.
    let postern = with_alice(Setup::new());
    for (password, expected) in [(PASSWORD, [235, 250, 250]), ("wrong", [535, 530, 503])] {
        let mut client = SmtpClient::hello_tls(postern.submission());
        let response = base64(format!("\0{ALICE}\0{password}").as_bytes());
        client.send(format!("AUTH PLAIN {response}\r\nMAIL FROM:<{ALICE}>\r\nRCPT TO:<{BOB}>\r\n"));
        assert_eq!(codes(&mut client, 3), expected);
    }
}
