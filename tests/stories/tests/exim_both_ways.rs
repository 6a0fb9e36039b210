//! Mail to Exim, and mail from Exim in chunks (RFC 3030).

use postern_testkit::peers::Exim;

use crate::prelude::*;

#[test]
fn mail_goes_to_exim_and_comes_from_exim_in_chunks() {
    require!(Exim::here());
    let setup = Setup::new();
    let exim = Exim::start(setup.mx());
    let postern = with_alice(setup.route(&["exim.test"], exim.address().port()));

    from_alice(&postern, "carol@exim.test", "to exim");
    let there = exim.maildir().wait_for_subject("to exim", LONG);
    assert!(there.headers("Received").iter().any(|line| line.contains("postern.test")), "{}", there.0);

    let mut client = SmtpClient::hello(exim.address());
    let reply = client.mail("carol@exim.test", &[ALICE], &message("carol@exim.test", ALICE, "from exim"));
    assert_eq!(reply.code, 250, "{reply:?}");
    let here = postern.maildir(ALICE).wait_for_subject("from exim", LONG);
    assert_eq!(here.header("Return-Path"), "<carol@exim.test>");
    assert!(here.body().contains("Hello from from exim"), "{}", here.0);
    // Exim logs K for a delivery by BDAT.
    let delivered = exim.wait_for_log(&format!("=> {ALICE}"));
    assert!(delivered.contains(" K "), "{delivered}");
}

#[test]
fn a_large_message_with_dots_comes_from_exim_unchanged() {
    require!(Exim::here());
    let setup = Setup::new();
    let exim = Exim::start(setup.mx());
    let postern = setup.start();
    let body: String = (0..20_000).map(|line| format!(".{line}\n..\n.\n")).collect();
    let mut client = SmtpClient::hello(exim.address());
    assert_eq!(client.mail("carol@exim.test", &[ALICE], &format!("From: <carol@exim.test>\nSubject: dots\n\n{body}")).code, 250);
    let here = postern.maildir(ALICE).wait_for_subject("dots", LONG);
    assert!(here.body() == body, "{} octets of {}", here.body().len(), body.len());
}
