//! Filters of others at the end of data: real rspamd, OpenDKIM, and a milter that does everything; what they want is done, and one that is down
//! follows `on_failure`.

use postern_testkit::peers::filters::{GTUBE, every_action, opendkim, opendkim_here, pymilter, rspamd};
use postern_testkit::peers::have;
use postern_testkit::wait::free_port;

use crate::prelude::*;

fn with_milter(port: u16, keys: &str) -> Setup {
    Setup::new().table(&format!("[[policy.milter]]\naddress = \"inet:127.0.0.1:{port}\"\n{keys}\n"))
}

fn told(postern: &Postern, subject: &str) -> Reply {
    postern.stranger().mail(STRANGER, &[ALICE], &message(STRANGER, ALICE, subject))
}

#[test]
fn a_message_goes_through_rspamd_and_opendkim_and_both_are_heard() {
    require!(have("rspamd", "rspamd"), opendkim_here());
    let (spam, dkim) = (rspamd(), opendkim());
    let http = spam.http.unwrap();
    let setup = with_milter(dkim.port, "").table(&format!("[[policy.rspamd]]\naddress = \"127.0.0.1:{http}\"\n"));
    let postern = setup.start();
    from_stranger(&postern, ALICE, "good");
    let good = postern.maildir(ALICE).wait_for_subject("good", LONG);
    assert!(good.header("Authentication-Results").contains("dkim=none"), "{:?}", good.headers("Authentication-Results"));
    let bad = format!("{}{GTUBE}\r\n", message(STRANGER, ALICE, "bad"));
    let reply = postern.stranger().mail(STRANGER, &[ALICE], &bad);
    assert_eq!(reply.codes(), "550 5.7.1", "{reply:?}");
    assert!(reply.text().contains("Gtube"), "{reply:?}");
}

#[test]
fn what_a_milter_changes_is_what_is_delivered_and_an_added_recipient_is_one_the_client_could_have_named() {
    require!(pymilter());
    let milter = every_action();
    let postern = with_milter(milter.port, "").start();
    for size in [100, 60_000] {
        let subject = "everything";
        let large =
            format!("{}{}", message(STRANGER, BOB, subject), "0123456789012345678901234567890123456789\r\n".repeat(size / 42));
        assert_eq!(postern.stranger().mail(STRANGER, &[BOB, ALICE], &large).code, 250, "{}", postern.log());
    }
    for changed in postern.maildir(ALICE).wait_for(2, LONG) {
        assert_eq!(changed.header("X-First"), "yes");
        assert_eq!(changed.header("Return-Path"), "<other@there.example>");
        assert!(changed.body().starts_with("another body") && changed.body().lines().count() == 10_000);
    }
    // `more@here.example` is not ours: nothing may be sent there for a stranger.
    assert!(postern.log().contains("could not have named"), "{}", postern.log());
    assert!(postern.queue().is_empty());
}

#[test]
fn mail_that_a_milter_sends_to_another_mailbox_goes_there_alone_and_mail_to_nobody_is_held() {
    require!(pymilter());
    let milter = every_action();
    let postern = with_milter(milter.port, "").start();
    for subject in ["elsewhere", "nobody"] {
        assert_eq!(postern.stranger().mail(STRANGER, &[BOB], &message(STRANGER, BOB, subject)).code, 250);
    }
    let _there = postern.maildir(ALICE).wait_for_subject("elsewhere", LONG);
    let _held =
        until("it to be held", LONG, || Some(postern.order(&["held", "list"])).filter(|text| text.contains("nobody is left")));
    assert_eq!(postern.maildir(BOB).messages().len(), 0);
}

#[test]
fn a_milter_refuses_in_its_own_words_and_holds_for_a_person() {
    require!(pymilter());
    let milter = every_action();
    let postern = with_milter(milter.port, "").start();
    let refused = told(&postern, "reply");
    assert_eq!(refused.codes(), "554 5.7.9");
    assert!(refused.text().contains("first line") && refused.text().contains("second line"), "{refused:?}");
    assert_eq!(told(&postern, "tempfail").code / 100, 4);
    for subject in ["quarantine", "discard"] {
        assert_eq!(told(&postern, subject).code, 250);
    }
    let held = until("both to be held", LONG, || {
        Some(postern.order(&["held", "list"])).filter(|text| text.matches("milter").count() == 2)
    });
    assert!(held.contains("for a person") && held.contains("thrown away"), "{held}");
    from_stranger(&postern, ALICE, "nothing");
    let _passed = postern.maildir(ALICE).wait_for_subject("nothing", LONG);
    assert_eq!(postern.maildir(ALICE).messages().len(), 1);
}

#[test]
fn a_filter_that_is_down_follows_on_failure_and_one_that_is_observed_has_no_effect() {
    require!(pymilter());
    for (keys, code) in [
        ("", 250),
        ("on_failure = \"defer\"", 4),
        ("on_failure = \"refuse\"", 5),
        ("on_failure = \"refuse\"\nmode = \"observe\"", 250),
    ] {
        let postern = with_milter(free_port(), keys).start();
        for _ in 0..5 {
            let said = told(&postern, "down").code;
            assert!(said == code || said / 100 == code, "{keys}: {said}");
        }
        assert!(postern.log().contains("left alone"), "{}", postern.log());
    }
    let milter = every_action();
    let postern = with_milter(milter.port, "mode = \"observe\"").start();
    assert_eq!(told(&postern, "reject").code, 250);
    assert_eq!(told(&postern, "everything").code, 250);
    let same = postern.maildir(ALICE).wait_for_subject("everything", LONG);
    assert_eq!(same.headers("X-First").len(), 0);
}

#[test]
fn where_the_policy_is_observed_a_milter_still_adds_its_fields_and_changes_nothing_else() {
    require!(pymilter());
    let milter = every_action();
    let setup = with_milter(milter.port, "").with("policy", "mode", "\"observe\"");
    let postern = setup.start();
    assert_eq!(told(&postern, "reject").code, 250);
    assert_eq!(told(&postern, "everything").code, 250);
    let signed = postern.maildir(ALICE).wait_for_subject("everything", LONG);
    assert_eq!(signed.header("X-First"), "yes");
    assert_eq!(signed.header("Return-Path"), format!("<{STRANGER}>"));
    assert!(!signed.body().contains("another body"));
}

#[test]
fn a_message_that_is_too_large_for_a_filter_is_taken_and_the_trail_says_so() {
    let postern = with_milter(free_port(), "on_failure = \"refuse\"\nmessage_size = \"1KiB\"").start();
    assert_eq!(told(&postern, "small").code / 100, 5);
    let large = format!("{}{}", message(STRANGER, ALICE, "large"), "0123456789\r\n".repeat(200));
    let id = queued_as(&postern.stranger().mail(STRANGER, &[ALICE], &large));
    let said = until("it to be explained", LONG, || {
        let output = postern.run(&["explain", &id]);
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
            .filter(|text| output.status.success() && text.contains("milter"))
    });
    assert!(said.contains("not shown: larger than 1KiB"), "{said}");
}
