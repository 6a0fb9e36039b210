//! SIGHUP takes up a changed configuration, all of it or nothing; a certificate is taken up when its file changes.

use postern_testkit::certificate::write_self_signed;
use postern_testkit::peers::open_folder;
use postern_testkit::program::text;

use crate::prelude::*;

/// What RCPT says to Carol.
fn rcpt_carol(postern: &Postern) -> u16 {
    let mut client = postern.stranger();
    client.expect("MAIL FROM:<stranger@there.test>", 250);
    client.command("RCPT TO:<carol@here.test>").code
}

fn with_carol(setup: Setup) -> Setup {
    setup.without_tables().domain("here.test", &["alice", "bob", "carol"])
}

#[test]
fn a_good_change_is_taken_up_and_open_sessions_go_on() {
    let mut postern = Setup::new().start();
    let mut open = postern.stranger();
    assert_eq!(rcpt_carol(&postern), 550);
    postern.change(with_carol);
    postern.reload("reloaded");
    assert_eq!(rcpt_carol(&postern), 250);
    assert_eq!(open.mail(STRANGER, &[ALICE], &message(STRANGER, ALICE, "still here")).code, 250);
}

#[test]
fn a_bad_change_is_refused_as_a_whole_with_all_that_is_wrong() {
    let mut postern = Setup::new().start();
    postern.change(|setup| with_carol(setup).with("limits", "conections", "5").with("limits", "message_size", "\"a lot\""));
    postern.reload("reload refused");
    until("both errors in the log", LONG, || {
        let log = postern.log();
        (log.contains("conections") && log.contains("message_size") && log.contains("connections")).then_some(())
    });
    assert_eq!(rcpt_carol(&postern), 550);
}

#[test]
fn the_command_says_what_changed_or_what_is_wrong() {
    let mut postern = Setup::new().start();
    postern.change(with_carol);
    postern.order(&["reload"]);
    assert_eq!(rcpt_carol(&postern), 250);
    postern.change(|setup| setup.with("limits", "conections", "5"));
    let output = postern.run(&["reload"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("conections"), "{}", text(&output));
}

#[test]
fn status_and_queue_are_told_although_the_file_is_broken_and_all_else_says_what_is_wrong() {
    let mut postern = Setup::new().start();
    postern.change(|setup| setup.with("limits", "conections", "5"));
    for order in [&["status"][..], &["queue", "list"], &["queue", "summary"]] {
        let output = postern.run(order);
        assert_eq!(output.status.code(), Some(0), "{order:?}: {}", text(&output));
        assert!(String::from_utf8_lossy(&output.stderr).contains("conections"), "{order:?}: {}", text(&output));
    }
    assert_eq!(postern.run(&["account", "list"]).status.code(), Some(1));
}

#[test]
fn a_new_certificate_is_shown_after_a_reload_and_by_itself() {
    let tls = open_folder();
    let first = write_self_signed(tls.path(), "first.test");
    let mut postern = Setup::new().certificate_in(tls.path()).with("tls", "check_interval", "\"1s\"").start();
    let shown = |postern: &Postern| SmtpClient::hello_tls(postern.mx()).certificate.unwrap();
    assert_eq!(shown(&postern), first);
    let second = write_self_signed(tls.path(), "second.test");
    postern.reload("reloaded");
    assert_eq!(shown(&postern), second);
    let third = write_self_signed(tls.path(), "third.test");
    // The second may have been taken up by itself as well, so the log does not say which of them it was.
    until("the third certificate is shown", LONG, || (shown(&postern) == third).then_some(()));
    let _ = postern.wait_for_log("certificate renewed");
}

#[test]
fn a_broken_certificate_never_replaces_one_that_works() {
    let tls = open_folder();
    let good = write_self_signed(tls.path(), "good.test");
    let mut postern = Setup::new().certificate_in(tls.path()).with("tls", "check_interval", "\"1s\"").start();
    std::fs::write(tls.path().join("certificate.pem"), "nonsense").unwrap();
    postern.wait_for_log("is not taken");
    postern.reload("reload refused");
    assert_eq!(SmtpClient::hello_tls(postern.mx()).certificate.unwrap(), good);
}

#[test]
fn what_takes_a_restart_says_so() {
    let mut postern = Setup::new().start();
    postern.change(|setup| setup.with("spool", "segment_size", "\"2MiB\""));
    assert!(postern.reload("takes a restart").contains("spool.segment_size is still"));
}
