//! Who gets the mail: names, tags, aliases, catch-all, postmaster.

use crate::prelude::*;

fn hosted() -> Setup {
    Setup::default()
        .domain_with(
            "here.test",
            &["alice", "bob"],
            "aliases = { team = [\"alice@here.test\", \"bob@here.test\"], away = [\"carol@there.test\"], both = [\"alice@here.test\", \"team@here.test\"] }",
        )
        .domain_with("all.test", &["known"], "catch_all = \"bob@here.test\"")
}

#[test]
fn an_alias_reaches_everybody_it_names_once() {
    let postern = hosted().start();
    from_stranger(&postern, "team@here.test", "team");
    let _ = postern.maildir(ALICE).wait_for_subject("team", LONG);
    let _ = postern.maildir(BOB).wait_for_subject("team", LONG);
    from_stranger(&postern, "both@here.test", "both");
    let _ = postern.maildir(ALICE).wait_for_subject("both", LONG);
    let _ = postern.maildir(BOB).wait_for_subject("both", LONG);
    assert_eq!(postern.maildir(ALICE).messages().len(), 2);
    assert_eq!(postern.maildir(BOB).messages().len(), 2);
}

#[test]
fn an_alias_may_lead_elsewhere_without_making_us_a_relay() {
    let sink = Sink::start();
    let postern = hosted().route(&["*"], sink.port()).start();
    from_stranger(&postern, "away@here.test", "away");
    let received = sink.wait_for_subject("away");
    assert!(received.to[0].starts_with("<carol@there.test>"), "{:?}", received.to);
    assert!(received.from.starts_with(&format!("<{STRANGER}>")));
    postern.stranger().expect("MAIL FROM:<stranger@there.test>", 250);
}

#[test]
fn case_and_tags_do_not_matter_here() {
    let postern = hosted().start();
    for to in ["ALICE@here.test", "alice@HERE.TEST", "alice+shop@here.test", "Alice+A+b@here.test"] {
        from_stranger(&postern, to, to);
        let _ = postern.maildir(ALICE).wait_for_subject(to, LONG);
    }
}

#[test]
fn postmaster_always_exists() {
    let postern = hosted().with("server", "postmaster", "\"alice@here.test\"").start();
    for to in ["postmaster", "Postmaster@here.test", "postmaster@all.test"] {
        from_stranger(&postern, to, to);
        let _ = postern.maildir(ALICE).wait_for_subject(to, LONG);
    }
}

#[test]
fn a_catch_all_takes_the_rest() {
    let postern = hosted().start();
    from_stranger(&postern, "whoever@all.test", "rest");
    let _ = postern.maildir(BOB).wait_for_subject("rest", LONG);
    from_stranger(&postern, "known@all.test", "not the rest");
    let _ = postern.maildir("known@all.test").wait_for_subject("not the rest", LONG);
    assert_eq!(postern.maildir(BOB).messages().len(), 1);
}

#[test]
fn too_many_unknown_recipients_end_the_session() {
    let postern = hosted().with("limits", "recipients_unknown_per_session", "3").start();
    let mut client = postern.stranger();
    client.expect("MAIL FROM:<stranger@there.test>", 250);
    let mut last = client.command("RCPT TO:<guess@here.test>");
    for number in 0..4 {
        if last.code != 550 {
            break;
        }
        last = client.command(&format!("RCPT TO:<guess{number}@here.test>"));
    }
    assert_eq!(last.codes(), "421 4.7.0");
    assert_eq!(client.reply_or_end(), None);
}
