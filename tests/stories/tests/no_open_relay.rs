//! A stranger reaches nobody through us, however the address is written. `mx` refuses at RCPT, `submission` before anything.

use crate::prelude::*;

/// Ways in which somebody elsewhere has been smuggled into an address.
const ELSEWHERE: &[&str] = &[
    "<victim@elsewhere.test>",
    "<victim@elsewhere.test.>",
    "<victim@ELSEWHERE.test>",
    "<@here.test:victim@elsewhere.test>",
    "<@here.test,@also.test:victim@elsewhere.test>",
    "<victim@[127.0.0.1]>",
    "<victim@[IPv6:::1]>",
    "<victim@[192.0.2.1]>",
    "<victim@127.0.0.1>",
    "<\"alice@here.test\"@elsewhere.test>",
    "<alice@here.test@elsewhere.test>",
    "<victim@elsewhere.test@here.test>",
    "<victim@elsewhere.test,alice@here.test>",
    "<alice@here.test,victim@elsewhere.test>",
    "<alice@here.test>,<victim@elsewhere.test>",
    "<alice@sub.here.test>",
    "<alice@nothere.test>",
    "<alice@here.test.elsewhere.test>",
    "<victim>",
    "<victim@>",
    "<>",
    "victim@elsewhere.test",
    "<victim@elsewhere.test> <alice@here.test>",
    "<victim@elsewhere.test\t>",
    "<victim@bücher.test>",
];

/// Addresses of our own domain whose local part names somebody elsewhere: nobody here has such a name, and nobody follows it.
const INDIRECT: &[&str] = &[
    "<victim%elsewhere.test@here.test>",
    "<elsewhere.test!victim@here.test>",
    "<\"victim@elsewhere.test\"@here.test>",
    "<\"victim%elsewhere.test\"@here.test>",
    "<alice%here.test@here.test>",
    "<here.test!alice@here.test>",
    "<\" alice\"@here.test>",
    "<alice+victim@elsewhere.test@here.test>",
];

#[test]
fn a_stranger_reaches_nobody_elsewhere_through_mx() {
    let sink = Sink::start();
    let postern = Setup::new().with("limits", "faults_per_session", "1000").route(&["*"], sink.port()).start();
    for to in ELSEWHERE.iter().chain(INDIRECT) {
        for from in [STRANGER, "", ALICE, "postmaster@here.test"] {
            let mut client = postern.stranger();
            client.expect(&format!("MAIL FROM:<{from}>"), 250);
            let reply = client.command(&format!("RCPT TO:{to}"));
            assert!((500..600).contains(&reply.code), "{to} from <{from}>: {reply:?}");
            assert_eq!(client.command("DATA").code, 554, "{to}");
        }
    }
    assert_eq!(sink.connections(), 0);
}

#[test]
fn a_refused_relay_says_why() {
    let postern = Setup::new().start();
    let mut client = postern.stranger();
    client.expect("MAIL FROM:<stranger@there.test>", 250);
    assert_eq!(client.command("RCPT TO:<victim@elsewhere.test>").codes(), "550 5.7.1");
    assert_eq!(client.command("RCPT TO:<unknown@here.test>").codes(), "550 5.1.1");
    client.expect("RCPT TO:<alice@here.test>", 250);
}

#[test]
fn the_mail_for_one_of_ours_in_the_same_transaction_takes_nobody_along() {
    let sink = Sink::start();
    let postern = Setup::new().route(&["*"], sink.port()).start();
    let mut client = postern.stranger();
    client.expect("MAIL FROM:<stranger@there.test>", 250);
    client.expect("RCPT TO:<victim@elsewhere.test>", 550);
    client.expect("RCPT TO:<alice@here.test>", 250);
    assert_eq!(client.data(&message(STRANGER, "victim@elsewhere.test", "alone")).code, 250);
    let _ = postern.maildir(ALICE).wait_for_subject("alone", LONG);
    assert_eq!(sink.connections(), 0);
}

#[test]
fn submission_takes_nothing_without_auth() {
    let postern = with_alice(Setup::new());
    let mut clear = SmtpClient::hello(postern.submission());
    assert_eq!(clear.command("MAIL FROM:<alice@here.test>").code, 530);
    for mut client in [SmtpClient::hello_tls(postern.submission()), SmtpClient::hello_implicit_tls(postern.submissions())] {
        assert_eq!(client.command("MAIL FROM:<alice@here.test>").codes(), "530 5.7.0");
        assert_eq!(client.command("RCPT TO:<bob@here.test>").code, 503);
    }
}

#[test]
fn an_account_sends_as_itself_only() {
    let sink = Sink::start();
    let postern = with_alice(Setup::new().route(&["*"], sink.port()));
    let mut client = alice(&postern);
    assert_eq!(client.command("MAIL FROM:<bob@here.test>").codes(), "550 5.7.1");
    let reply = client.mail(ALICE, &["carol@there.test"], &message(BOB, "carol@there.test", "forged"));
    assert_eq!(reply.codes(), "550 5.7.1", "{reply:?}");
    assert_eq!(sink.messages().len(), 0);
}

#[test]
fn an_mx_client_does_not_become_ours_by_starttls_or_a_name() {
    let postern = Setup::new().start();
    let mut client = SmtpClient::hello_tls(postern.mx());
    client.expect("EHLO here.test", 250);
    client.expect("MAIL FROM:<alice@here.test>", 250);
    client.expect("RCPT TO:<victim@elsewhere.test>", 550);
}
