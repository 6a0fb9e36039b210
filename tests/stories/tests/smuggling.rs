//! Only CRLF.CRLF ends a message. What others have taken for an end neither ends it here nor is passed on: the session ends with 554 and
//! nothing of it is taken, in whatever pieces it comes.

use crate::prelude::*;

/// Ends of data that are none, each of which some server has believed in.
const FALSE_ENDS: &[&str] = &[
    "\n.\n",
    "\n.\r\n",
    "\r\n.\n",
    "\r.\r",
    "\r.\r\n",
    "\r\n.\r",
    "\r\n.\r\r\n",
    "\r\n\0.\r\n",
    "\r\n.\0\r\n",
    "\n\n.\r\n",
    "\r\r\n.\r\n",
    "\n.\r",
    "\r.\n",
    "\r\n.\n\r\n",
    "\0\r\n.\r",
];

fn attack(end: &str) -> Vec<u8> {
    let forged =
        "MAIL FROM:<alice@here.test>\r\nRCPT TO:<victim@elsewhere.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nforged\r\n.\r\n";
    format!("From: <alice@here.test>\r\nSubject: carrier\r\n\r\nhello{end}{forged}QUIT\r\n").into_bytes()
}

#[test]
fn no_false_end_of_data_ends_the_data_at_any_split() {
    let sink = Sink::start();
    let postern = with_alice(Setup::new().route(&["*"], sink.port()));
    for end in FALSE_ENDS {
        for size in [1, 2, 3, 7, usize::MAX] {
            let mut client = alice(&postern);
            client.expect("MAIL FROM:<alice@here.test>", 250);
            client.expect("RCPT TO:<victim@elsewhere.test>", 250);
            client.expect("DATA", 354);
            client.send_in_pieces(&attack(end), size.min(1 << 20));
            let replies = client.replies_until_closed();
            let codes: Vec<String> = replies.iter().map(Reply::codes).collect();
            assert_eq!(codes, ["554 5.5.2"], "{end:?} in pieces of {size}");
        }
    }
    // The next message shows that everything before it has been dealt with.
    from_alice(&postern, "carol@elsewhere.test", "clean");
    let _ = sink.wait_for_subject("clean");
    assert_eq!(sink.messages().len(), 1);
}

#[test]
fn a_stranger_smuggles_nothing_in_clear_either() {
    let postern = Setup::new().start();
    for end in FALSE_ENDS {
        for size in [1, 2, 5, 1 << 20] {
            let mut client = postern.stranger();
            client.expect("MAIL FROM:<stranger@there.test>", 250);
            client.expect("RCPT TO:<alice@here.test>", 250);
            client.expect("DATA", 354);
            let attack = String::from_utf8(attack(end)).unwrap().replace("victim@elsewhere.test", "bob@here.test");
            client.send_in_pieces(attack.as_bytes(), size);
            let codes: Vec<String> = client.replies_until_closed().iter().map(Reply::codes).collect();
            assert_eq!(codes, ["554 5.5.2"], "{end:?} in pieces of {size}");
        }
    }
    from_stranger(&postern, BOB, "clean");
    let _ = postern.maildir(BOB).wait_for_subject("clean", LONG);
    assert_eq!(postern.maildir(BOB).messages().len(), 1);
    assert!(postern.maildir(ALICE).messages().is_empty());
}

#[test]
fn bdat_takes_no_bare_line_ends_along() {
    let postern = Setup::new().start();
    for end in FALSE_ENDS {
        let mut client = postern.stranger();
        client.expect("MAIL FROM:<stranger@there.test>", 250);
        client.expect("RCPT TO:<alice@here.test>", 250);
        let body = format!("Subject: chunk\r\n\r\nhello{end}more\r\n");
        client.send(format!("BDAT {} LAST\r\n{body}", body.len()));
        let codes: Vec<String> = client.replies_until_closed().iter().map(Reply::codes).collect();
        assert_eq!(codes, ["554 5.5.2"], "{end:?}");
    }
    assert!(postern.maildir(ALICE).messages().is_empty());
}

#[test]
fn a_bare_line_end_in_a_command_ends_the_session() {
    let postern = Setup::new().start();
    for line in ["NOOP\n", "NO\rOP\r\n", "NOOP\0\r\n", "MAIL FROM:<a@there.test>\nRCPT TO:<alice@here.test>\r\n", "\nNOOP\r\n"] {
        for size in [1, 1 << 20] {
            let mut client = postern.stranger();
            client.send_in_pieces(line.as_bytes(), size);
            let codes: Vec<String> = client.replies_until_closed().iter().map(Reply::codes).collect();
            assert_eq!(codes, ["554 5.5.2"], "{line:?} in pieces of {size}");
        }
    }
}

#[test]
fn what_looks_like_an_end_but_is_stuffed_arrives_unchanged() {
    let sink = Sink::start();
    let postern = with_alice(Setup::new().route(&["*"], sink.port()));
    let body = "From: <alice@here.test>\r\nSubject: dots\r\n\r\n.\r\n..\r\n.a\r\nMAIL FROM:<x@here.test>\r\n.\r\n";
    let stuffed = body.replace("\r\n.", "\r\n..") + ".\r\n";
    for size in [1, 2, 3, 1 << 20] {
        let mut client = alice(&postern);
        client.expect("MAIL FROM:<alice@here.test>", 250);
        client.expect("RCPT TO:<carol@elsewhere.test>", 250);
        client.expect("DATA", 354);
        client.send_in_pieces(stuffed.as_bytes(), size);
        client.expect_reply(250);
    }
    for received in sink.wait_for(4) {
        let text = String::from_utf8(received.body).unwrap();
        assert!(text.ends_with(body.split_once("\r\n\r\n").unwrap().1), "{text}");
    }
}
