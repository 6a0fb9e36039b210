//! `postern queue` and `postern trace`: what waits, why, and what is done about it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use postern_testkit::program::text;

use crate::prelude::*;

/// A server whose next hop defers everything until it is told otherwise, and which does not try again by itself.
fn waiting() -> (Postern, Sink, Arc<AtomicBool>) {
    let open = Arc::new(AtomicBool::new(false));
    let willing = Arc::clone(&open);
    let sink = Behaviour::default()
        .answering(move |heard| {
            let refuses = heard.line.starts_with("RCPT") && !willing.load(Ordering::SeqCst);
            if refuses { Say::this("451 4.7.1 not today") } else { Say::Usual }
        })
        .start();
    let setup = Setup::new().route(&["*"], sink.port());
    let postern = with_alice(setup.with("outbound.retry", "first", "\"1h\"").with("outbound.retry", "longest", "\"1h\""));
    (postern, sink, open)
}

/// Alice sends a message that is deferred; its id.
fn deferred(postern: &mut Postern, to: &str, subject: &str) -> String {
    let id = queued_as(&alice(postern).mail(ALICE, &[to], &message(ALICE, to, subject)));
    postern.wait_for_log(&format!("deferred id={id}"));
    id
}

fn ids(postern: &Postern) -> Vec<String> {
    postern.queue().iter().map(|message| message["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_list_says_what_waits_for_whom_and_why() {
    let (mut postern, _sink, _) = waiting();
    let id = deferred(&mut postern, "carol@there.test", "waiting");
    let queue = postern.queue();
    assert_eq!(queue[0]["id"], id.as_str());
    assert_eq!(queue[0]["from"], "<alice@here.test>");
    assert_eq!(queue[0]["account"], ALICE);
    assert_eq!(queue[0]["recipients"][0]["address"], "carol@there.test");
    assert!(queue[0]["recipients"][0]["reason"].as_str().unwrap().contains("not today"), "{}", queue[0]);
    assert!(postern.order(&["queue", "list"]).contains("carol@there.test"));
    assert!(postern.order(&["queue", "summary"]).contains('1'));
    assert_eq!(postern.json(&["queue", "show", &id])["v"], 1);
}

#[test]
fn retry_tries_now_and_takes_only_what_was_meant() {
    let (mut postern, sink, open) = waiting();
    let one = deferred(&mut postern, "carol@there.test", "one");
    let two = deferred(&mut postern, "dave@elsewhere.test", "two");
    open.store(true, Ordering::SeqCst);
    assert_eq!(postern.run(&["queue", "retry", "--domain", "nobody.test"]).status.code(), Some(3));
    postern.order(&["queue", "retry", "--domain", "there.test", "--dry-run"]);
    assert_eq!(ids(&postern), [one, two.clone()]);
    postern.order(&["queue", "retry", "--domain", "there.test"]);
    let _ = sink.wait_for_subject("one");
    until("one message left", LONG, || (ids(&postern) == [two.clone()]).then_some(()));
    postern.order(&["queue", "retry", "--account", ALICE, "--reason", "they are back"]);
    let _ = sink.wait_for_subject("two");
}

#[test]
fn what_is_held_waits_for_its_release_even_over_a_restart() {
    let (mut postern, sink, open) = waiting();
    let id = deferred(&mut postern, "carol@there.test", "held");
    postern.order(&["queue", "hold", &id, "--reason", "looks odd"]);
    assert!(postern.queue()[0]["held"].as_str().unwrap().contains("looks odd"), "{}", postern.queue()[0]);
    open.store(true, Ordering::SeqCst);
    postern.restart();
    postern.order(&["queue", "retry", &id]);
    from_alice(&postern, "dave@there.test", "after");
    let _ = sink.wait_for_subject("after");
    assert_eq!(sink.messages().len(), 1);
    assert_eq!(postern.queue().len(), 1);
    postern.order(&["queue", "release", &id]);
    postern.order(&["queue", "retry", &id]);
    let _ = sink.wait_for_subject("held");
}

#[test]
fn bounce_tells_the_sender_and_drop_tells_nobody() {
    let (mut postern, sink, _) = waiting();
    let bounced = deferred(&mut postern, "carol@there.test", "given up");
    let dropped = deferred(&mut postern, "dave@there.test", "forgotten");
    postern.order(&["queue", "drop", &dropped]);
    postern.order(&["queue", "bounce", &bounced]);
    let report = postern.maildir(ALICE).wait_for(1, LONG).remove(0);
    assert!(report.0.contains("given up") && report.0.contains("carol@there.test"), "{}", report.0);
    until("an empty queue", LONG, || postern.queue().is_empty().then_some(()));
    assert_eq!(postern.maildir(ALICE).messages().len(), 1);
    assert!(sink.messages().is_empty());
}

#[test]
fn trace_tells_the_story_of_a_message_and_of_an_address() {
    let (mut postern, sink, open) = waiting();
    let id = deferred(&mut postern, "carol@there.test", "story");
    open.store(true, Ordering::SeqCst);
    postern.order(&["queue", "retry", &id, "--reason", "because"]);
    let _ = sink.wait_for_subject("story");
    for what in [id.as_str(), "carol@there.test", ALICE] {
        until("the whole story", LONG, || {
            let story = postern.run(&["trace", what]);
            let story = text(&story);
            ["accepted", "deferred", "not today", "because", "delivered"].iter().all(|word| story.contains(word)).then_some(())
        });
    }
    assert_eq!(postern.run(&["trace", "000000000000X"]).status.code(), Some(3));
}

#[test]
fn wrong_use_is_told_apart_from_nothing_found_and_from_no_server() {
    let mut postern = Setup::new().start();
    assert_eq!(postern.run(&["queue", "drop"]).status.code(), Some(2));
    assert_eq!(postern.run(&["queue", "juggle"]).status.code(), Some(2));
    assert_eq!(postern.run(&["queue", "hold", "000000000000X"]).status.code(), Some(3));
    postern.terminate();
    assert_eq!(postern.run(&["queue", "list"]).status.code(), Some(1));
}
