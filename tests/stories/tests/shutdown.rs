//! SIGTERM: what is under way finishes, everybody else is told with 421, and then the server ends well.

use crate::prelude::*;

#[test]
fn an_idle_session_is_told_421_and_the_server_ends() {
    let mut postern = Setup::new().start();
    let mut client = postern.stranger();
    postern.tell_to_stop();
    assert_eq!(client.reply().codes(), "421 4.3.2");
    assert_eq!(client.reply_or_end(), None);
    postern.wait_for_end();
}

#[test]
fn a_message_under_way_is_taken_and_delivered_after_the_next_start() {
    let mut postern = Setup::new().start();
    let mut client = postern.stranger();
    client.expect("MAIL FROM:<stranger@there.test>", 250);
    client.expect("RCPT TO:<alice@here.test>", 250);
    client.expect("DATA", 354);
    client.send("Subject: last\r\n\r\nhalf");
    postern.tell_to_stop();
    postern.wait_for_log("stopping");
    client.send(" and whole\r\n.\r\n");
    client.expect_reply(250);
    assert_eq!(client.reply().code, 421);
    postern.wait_for_end();
    postern.start();
    assert_eq!(postern.maildir(ALICE).wait_for_subject("last", LONG).body(), "half and whole\n");
    assert_eq!(postern.maildir(ALICE).messages().len(), 1);
}

#[test]
fn somebody_who_does_not_finish_is_cut_off_after_the_grace() {
    let mut postern = Setup::new().with("server", "shutdown_grace", "\"1s\"").start();
    let mut client = postern.stranger();
    client.expect("MAIL FROM:<stranger@there.test>", 250);
    client.expect("RCPT TO:<alice@here.test>", 250);
    client.expect("DATA", 354);
    postern.tell_to_stop();
    let log = postern.wait_for_end();
    assert!(log.contains("cut off"), "{log}");
    let replies = client.replies_until_closed();
    assert!(replies.iter().all(|reply| reply.code != 250), "{replies:?}");
}

#[test]
fn nobody_new_is_served_while_it_stops() {
    let mut postern = Setup::new().start();
    let mut held = postern.stranger();
    held.expect("MAIL FROM:<stranger@there.test>", 250);
    held.expect("RCPT TO:<alice@here.test>", 250);
    held.expect("DATA", 354);
    postern.tell_to_stop();
    postern.wait_for_log("stopping");
    if let Ok(mut late) = SmtpClient::try_connect(postern.mx()) {
        // Whoever came in the last moment is greeted, and told at once.
        let replies: Vec<u16> = late.replies_until_closed().iter().map(|reply| reply.code).collect();
        assert!([&[][..], &[421], &[220, 421]].contains(&replies.as_slice()), "{replies:?}");
    }
    held.send("\r\n.\r\n");
    held.expect_reply(250);
    postern.wait_for_end();
}
