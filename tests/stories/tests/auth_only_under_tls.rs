//! AUTH is offered and taken on submission listeners only, and only under TLS (RFC 4954 §4, RFC 8314 §3.3).

use postern_testkit::client::base64;

use crate::prelude::*;

fn offers_auth(keywords: &[String]) -> bool {
    keywords.iter().any(|keyword| keyword.starts_with("AUTH"))
}

#[test]
fn mx_offers_no_auth_and_takes_none() {
    let postern = with_alice(Setup::new());
    let mut client = SmtpClient::connect(postern.mx());
    client.expect_reply(220);
    assert!(!offers_auth(&client.ehlo()));
    client.starttls();
    assert!(!offers_auth(&client.ehlo()));
    assert_eq!(client.auth_plain(ALICE, PASSWORD).codes(), "502 5.5.1");
}

#[test]
fn submission_offers_auth_only_after_starttls() {
    let postern = with_alice(Setup::new());
    let mut client = SmtpClient::connect(postern.submission());
    client.expect_reply(220);
    assert!(!offers_auth(&client.ehlo()));
    // A client that shows its password in clear is told so, and the password is worth nothing.
    assert_eq!(client.auth_plain(ALICE, PASSWORD).codes(), "530 5.7.0");
    client.starttls();
    let keywords = client.ehlo();
    assert!(keywords.contains(&"AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN".to_owned()), "{keywords:?}");
    assert!(!keywords.contains(&"STARTTLS".to_owned()));
    assert_eq!(client.auth_plain(ALICE, PASSWORD).codes(), "235 2.7.0");
}

#[test]
fn submissions_offers_auth_at_once() {
    let postern = with_alice(Setup::new());
    let mut client = SmtpClient::hello_implicit_tls(postern.submissions());
    assert!(offers_auth(&client.ehlo()));
    client.expect("AUTH LOGIN", 334);
    client.expect(&base64(ALICE.as_bytes()), 334);
    client.expect(&base64(PASSWORD.as_bytes()), 235);
}

#[test]
fn a_disabled_account_and_a_removed_app_password_no_longer_log_in() {
    let postern = with_alice(Setup::new());
    let app = postern.json(&["account", "app-password", ALICE, "phone"]);
    let app = app["password"].as_str().unwrap();
    let login = |password: &str| SmtpClient::hello_tls(postern.submission()).auth_plain(ALICE, password).code;
    assert_eq!(login(app), 235);
    postern.order(&["account", "app-password", ALICE, "phone", "--remove"]);
    assert_eq!(login(app), 535);
    assert_eq!(login(PASSWORD), 235);
    postern.order(&["account", "disable", ALICE]);
    assert_eq!(login(PASSWORD), 535);
    postern.order(&["account", "enable", ALICE]);
    assert_eq!(login(PASSWORD), 235);
}
