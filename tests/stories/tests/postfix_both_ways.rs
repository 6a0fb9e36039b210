//! Mail to Postfix and mail from Postfix.

use postern_testkit::peers::Postfix;

use crate::prelude::*;

#[test]
fn mail_goes_to_postfix_and_comes_from_postfix() {
    require!(Postfix::here());
    let setup = Setup::new();
    let postfix = Postfix::start(setup.mx());
    let postern = with_alice(setup.route(&["postfix.test"], postfix.address().port()));

    from_alice(&postern, "carol@postfix.test", "to postfix");
    let there = postfix.maildir().wait_for_subject("to postfix", LONG);
    assert_eq!(there.header("Return-Path"), format!("<{ALICE}>"));

    postfix.sendmail("carol@postfix.test", ALICE, &message("carol@postfix.test", ALICE, "from postfix"));
    let here = postern.maildir(ALICE).wait_for_subject("from postfix", LONG);
    assert_eq!(here.header("Return-Path"), "<carol@postfix.test>");
    // It takes the TLS it is offered.
    assert!(here.header("Received").contains("ESMTPS"), "{}", here.header("Received"));
}

#[test]
fn what_postfix_refuses_comes_back_to_the_sender() {
    require!(Postfix::here());
    let setup = Setup::new();
    let postfix = Postfix::start_with(setup.mx(), "smtpd_recipient_restrictions = reject");
    let postern = with_alice(setup.route(&["postfix.test"], postfix.address().port()));
    from_alice(&postern, "nobody@postfix.test", "in vain");
    let report = postern.maildir(ALICE).wait_for(1, LONG).remove(0);
    assert!(report.0.contains("Action: failed"), "{}", report.0);
    assert!(report.0.contains("nobody@postfix.test"));
}

#[test]
fn our_refusal_of_an_unknown_recipient_reaches_the_sender_at_postfix() {
    require!(Postfix::here());
    let setup = Setup::new();
    let postfix = Postfix::start(setup.mx());
    let _postern = setup.start();
    postfix.sendmail("carol@postfix.test", "unknown@here.test", "Subject: nobody\n\nhello\n");
    let _ = postfix.wait_for_log("550 5.1.1");
}
