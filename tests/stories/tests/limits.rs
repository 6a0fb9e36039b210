//! How much one client may have: connections, time, faults. Each limit is told, and nobody else notices.

use std::time::Instant;

use crate::prelude::*;

#[test]
fn one_address_has_so_many_connections_and_no_more() {
    let postern = Setup::new().with("limits", "connections_per_address", "2").start();
    let first = postern.stranger();
    let _second = postern.stranger();
    let mut third = SmtpClient::connect(postern.mx());
    let told = third.reply();
    assert_eq!(told.codes(), "421 4.4.5");
    // What it was told leads an operator to the ceiling, also when the connections of that moment are gone.
    assert!(told.text().ends_with("(ref 127.0.0.1/32)"), "{told:?}");
    drop(first);
    let explained = postern.order(&["explain", "(ref 127.0.0.1/32)"]);
    assert!(
        explained.contains("turned away before a greeting: 1 in the last hour, by [limits] connections_per_address = 2"),
        "{explained}"
    );
    until("the place to be free again", LONG, || {
        let mut client = SmtpClient::connect(postern.mx());
        client.reply_or_end().filter(|reply| reply.code == 220)
    });
}

#[test]
fn a_client_that_says_nothing_or_dribbles_is_dropped() {
    let postern = Setup::new().with("limits", "command_timeout", "\"1s\"").start();
    let began = Instant::now();
    let mut silent = postern.stranger();
    assert_eq!(silent.reply().codes(), "421 4.4.2");
    assert_eq!(silent.reply_or_end(), None);
    // The limit is for the whole line, however often a byte comes.
    let mut dribbling = postern.stranger();
    let mut pieces = 0;
    until("the end of the session", LONG, || {
        pieces += 1;
        dribbling.try_send(b"N").err()
    });
    assert!(pieces > 1);
    assert!(began.elapsed() < LONG);
}

#[test]
fn a_body_that_stops_is_dropped_and_nothing_is_kept() {
    let postern = Setup::new().with("limits", "data_timeout", "\"1s\"").start();
    let mut client = postern.stranger();
    client.expect("MAIL FROM:<stranger@there.test>", 250);
    client.expect("RCPT TO:<alice@here.test>", 250);
    client.expect("DATA", 354);
    client.send("Subject: half\r\n");
    assert_eq!(client.reply().codes(), "421 4.4.2");
    assert!(postern.queue().is_empty());
    assert!(postern.maildir(ALICE).messages().is_empty());
}

#[test]
fn a_lost_connection_in_the_middle_of_a_body_keeps_nothing() {
    let postern = Setup::new().start();
    for body in ["", "Subject: half\r\n\r\nhello", "Subject: half\r\n\r\nhello\r\n", "Subject: half\r\n\r\nhello\r\n."] {
        let mut client = postern.stranger();
        client.expect("MAIL FROM:<stranger@there.test>", 250);
        client.expect("RCPT TO:<alice@here.test>", 250);
        client.expect("DATA", 354);
        client.send(body);
    }
    from_stranger(&postern, ALICE, "whole");
    let _ = postern.maildir(ALICE).wait_for_subject("whole", LONG);
    // A message is in its mailbox a moment before it leaves the queue.
    until("the queue to be empty", LONG, || postern.queue().is_empty().then_some(()));
    assert_eq!(postern.maildir(ALICE).messages().len(), 1);
}

#[test]
fn faults_are_budgeted() {
    let postern = Setup::new().with("limits", "faults_per_session", "3").start();
    for fault in ["JUNK", "MAIL FROM:nobody", "RCPT TO:<alice@here.test>", "DATA"] {
        let mut client = postern.stranger();
        client.send(format!("{fault}\r\n").repeat(10));
        let replies = client.replies_until_closed();
        assert!(replies.len() <= 10 && replies.last().is_some_and(|reply| reply.code >= 421), "{fault}: {replies:?}");
    }
}

#[test]
fn too_long_a_line_is_a_fault_and_not_two_commands() {
    let postern = Setup::new().start();
    let mut client = postern.stranger();
    client.send(format!("NOOP {}\r\nNOOP\r\n", "QUIT ".repeat(2000)));
    assert_eq!(client.reply().codes(), "500 5.5.2");
    assert_eq!(client.reply().code, 250);
}

#[test]
fn so_many_messages_in_a_connection_and_then_another_connection() {
    let postern = Setup::new().with("limits", "messages_per_connection", "2").start();
    let mut client = postern.stranger();
    for number in 0..2 {
        assert_eq!(client.mail(STRANGER, &[ALICE], &message(STRANGER, ALICE, &format!("number {number}"))).code, 250);
    }
    let reply = client.command("MAIL FROM:<stranger@there.test>");
    assert!([421, 452].contains(&reply.code), "{reply:?}");
    assert_eq!(postern.maildir(ALICE).wait_for(2, LONG).len(), 2);
}

#[test]
fn who_talks_before_the_greeting_is_no_mail_server() {
    let postern = Setup::new().with("limits", "greeting_delay", "\"1s\"").start();
    let mut client = SmtpClient::connect(postern.mx());
    client.send("EHLO client.example\r\n");
    let replies = client.replies_until_closed();
    assert_eq!(replies.iter().map(Reply::codes).collect::<Vec<_>>(), ["554 5.5.0"]);
    let mut patient = SmtpClient::connect(postern.mx());
    patient.expect_reply(220);
}
