//! What was said to be done is done, also when the server is killed right after it: accounts, holds, and who has got his mail already.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::prelude::*;

#[test]
fn an_account_that_was_made_is_there_after_a_kill() {
    let mut postern = Setup::new().start();
    postern.account(ALICE, PASSWORD);
    postern.kill();
    postern.start();
    let _ = alice(&postern);
    postern.order(&["account", "disable", ALICE]);
    postern.kill();
    postern.start();
    assert_eq!(SmtpClient::hello_tls(postern.submission()).auth_plain(ALICE, PASSWORD).code, 535);
}

#[test]
fn a_held_message_is_held_after_a_kill() {
    let sink = Behaviour::default()
        .answering(|heard| if heard.line.starts_with("RCPT") && heard.kept == 0 { Say::this("451 4.7.1 no") } else { Say::Usual })
        .start();
    let setup = Setup::new().route(&["*"], sink.port()).with("outbound.retry", "first", "\"1h\"").with(
        "outbound.retry",
        "longest",
        "\"1h\"",
    );
    let mut postern = with_alice(setup);
    from_alice(&postern, "carol@there.test", "held");
    postern.wait_for_log("deferred");
    postern.order(&["queue", "hold", "--account", ALICE, "--reason", "odd"]);
    postern.kill();
    postern.start();
    assert_eq!(postern.queue()[0]["held"], "odd");
    assert!(sink.messages().is_empty());
}

#[test]
fn a_dropped_message_stays_dropped_after_a_kill() {
    let sink = Behaviour::default()
        .answering(
            |heard| if heard.line.starts_with("RCPT") && heard.connection == 0 { Say::this("451 4.7.1 no") } else { Say::Usual },
        )
        .start();
    let setup = Setup::new().route(&["*"], sink.port()).with("outbound.retry", "first", "\"1h\"").with(
        "outbound.retry",
        "longest",
        "\"1h\"",
    );
    let mut postern = with_alice(setup);
    from_alice(&postern, "carol@there.test", "dropped");
    postern.wait_for_log("deferred");
    postern.order(&["queue", "drop", "--account", ALICE]);
    postern.kill();
    postern.start();
    from_alice(&postern, "carol@there.test", "after");
    let _ = sink.wait_for_subject("after");
    assert_eq!(sink.messages().len(), 1);
}

#[test]
fn who_has_got_his_mail_does_not_get_it_again_after_a_kill() {
    let tries = AtomicUsize::new(0);
    let sink = Behaviour::default()
        .answering(move |heard| {
            if heard.line.starts_with("RCPT TO:<later@") && tries.fetch_add(1, Ordering::SeqCst) < 2 {
                Say::this("451 4.7.1 later")
            } else {
                Say::Usual
            }
        })
        .start();
    let mut postern = Setup::default()
        .domain_with(
            "here.test",
            &["alice"],
            "aliases = { both = [\"alice@here.test\", \"now@there.test\", \"later@there.test\"] }",
        )
        .route(&["*"], sink.port())
        .start();
    from_stranger(&postern, "both@here.test", "once");
    postern.wait_for_log("deferred");
    let _ = postern.maildir(ALICE).wait_for_subject("once", LONG);
    let _ = sink.wait_for_subject("once");
    // The record of what was delivered shares a sync with others; a stop in good order waits for it.
    postern.restart();
    postern.kill();
    postern.start();
    until("an empty queue", LONG, || postern.queue().is_empty().then_some(()));
    let to: Vec<String> = sink.messages().iter().flat_map(|received| received.to.clone()).collect();
    assert_eq!(to.iter().filter(|to| to.starts_with("<now@")).count(), 1, "{to:?}");
    assert_eq!(to.iter().filter(|to| to.starts_with("<later@")).count(), 1, "{to:?}");
    assert_eq!(postern.maildir(ALICE).messages().len(), 1);
}
