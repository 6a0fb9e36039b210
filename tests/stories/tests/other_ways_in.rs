//! Logging in without a password: by a token of an issuer (RFC 7628), and by a certificate (RFC 4422 appendix A).

use std::path::Path;
use std::process::Command;

use postern_testkit::client::base64;
use postern_testkit::issuer::{Authority, Mood, TestIssuer, seconds};
use postern_testkit::peers::open_folder;
use postern_testkit::peers::tools::{have_curl, have_openssl, openssl_s_client};
use serde_json::json;

use crate::prelude::*;

fn quoted(path: &Path) -> String {
    format!("{:?}", path.display().to_string())
}

fn believing(issuer: &TestIssuer, folder: &Path) -> Postern {
    let oidc = format!(
        "[{{ issuer = \"{}\", audience = \"postern\", ca_file = {} }}]",
        issuer.name(),
        quoted(&folder.join("issuer-ca.pem"))
    );
    // More than the tokens that are shown to it in one story.
    with_alice(Setup::new().with("auth", "oidc", &oidc).with("auth", "failures_per_address", "50"))
}

fn bearer(postern: &Postern, token: &str) -> SmtpClient {
    let mut client = SmtpClient::hello_tls(postern.submission());
    client.send(format!("AUTH OAUTHBEARER {}\r\n", base64(format!("n,a={ALICE},\x01auth=Bearer {token}\x01\x01").as_bytes())));
    client
}

/// Logs in; a refusal comes as a challenge, is answered, and is plain then.
fn login(postern: &Postern, token: &str) -> String {
    let mut client = bearer(postern, token);
    let mut reply = client.reply();
    if reply.code == 334 {
        assert_eq!(reply.text(), base64(b"{\"status\":\"invalid_token\",\"schemes\":\"bearer\"}"));
        reply = client.command("AQ==");
    }
    reply.codes()
}

#[test]
fn a_token_of_the_issuer_lets_its_owner_in_and_nothing_else_does() {
    let folder = open_folder();
    let issuer = TestIssuer::start(folder.path());
    let mut postern = believing(&issuer, folder.path());
    postern.account(BOB, PASSWORD);
    let good = issuer.token(ALICE, &json!({}));
    assert_eq!(login(&postern, &good), "235 2.7.0", "{}", postern.log());
    let mut client = bearer(&postern, &good);
    assert_eq!(client.reply().code, 235);
    assert_eq!(client.mail(ALICE, &[BOB], &message(ALICE, BOB, "by token")).code, 250, "{}", postern.log());
    let mut old = SmtpClient::hello_tls(postern.submission());
    old.expect(&format!("AUTH XOAUTH2 {}", base64(format!("user={ALICE}\x01auth=Bearer {good}\x01\x01").as_bytes())), 235);
    for (what, token) in [
        ("expired", issuer.token(ALICE, &json!({ "exp": seconds() - 60 }))),
        ("not yet", issuer.token(ALICE, &json!({ "nbf": seconds() + 600 }))),
        ("wrong audience", issuer.token(ALICE, &json!({ "aud": ["other", "Postern"] }))),
        ("other issuer", issuer.token(ALICE, &json!({ "iss": "https://elsewhere.example" }))),
        ("unverified address", issuer.token(ALICE, &json!({ "email_verified": false }))),
        ("another account", issuer.token(BOB, &json!({}))),
        ("no signature", issuer.forged(ALICE, "none", b"")),
        ("its public key for a shared secret", issuer.signed_with_its_public_key(ALICE)),
        ("bad signature", issuer.forged(ALICE, "ES256", &[7; 64])),
        ("no token", "opaque".to_owned()),
    ] {
        assert_eq!(login(&postern, &token), "535 5.7.8", "{what}: {}", postern.log());
    }
    for reason in [
        "is not good: it is expired",
        "is not good: it is for another audience",
        "its issuer is not one of ours",
        "is good, but another account was asked for",
        "its signature is not good",
    ] {
        let _ = postern.wait_for_log(reason);
    }
    assert!(!postern.log().contains(&good), "tokens are secrets");
    let asked = issuer.asked();
    assert_eq!(asked, 2, "its documents were fetched once");
}

#[test]
fn a_new_key_is_fetched_and_an_issuer_that_is_away_makes_nobody_wrong() {
    let folder = open_folder();
    let issuer = TestIssuer::start(folder.path());
    for mood in [Mood::Away, Mood::Redirects, Mood::Huge, Mood::Another] {
        issuer.feel(mood);
        let mut postern = believing(&issuer, folder.path());
        let token = issuer.token(ALICE, &json!({}));
        assert_eq!(login(&postern, &token), "454 4.7.0", "{mood:?}: {}", postern.log());
        let line = postern.wait_for_log("an issuer of tokens cannot be reached");
        assert!(line.contains(ALICE), "{line}");
        let asked = issuer.asked();
        assert_eq!(login(&postern, &token), "454 4.7.0");
        assert_eq!(issuer.asked(), asked, "it is asked once a minute");
    }
    issuer.feel(Mood::Well);
    let postern = believing(&issuer, folder.path());
    let old = issuer.token(ALICE, &json!({}));
    assert_eq!(login(&postern, &old), "235 2.7.0", "{}", postern.log());
    issuer.feel(Mood::Away);
    assert_eq!(login(&postern, &old), "235 2.7.0", "its keys are known");
    issuer.turn_key(1);
    assert_eq!(login(&postern, &issuer.token(ALICE, &json!({}))), "454 4.7.0", "it may be new since it was asked");
    assert_eq!(login(&postern, &old), "235 2.7.0", "{}", postern.log());
}

#[test]
fn tokens_are_offered_only_where_an_issuer_is_named() {
    let folder = open_folder();
    let issuer = TestIssuer::start(folder.path());
    let offered = |postern: &Postern| {
        let mut client = SmtpClient::hello_tls(postern.submission());
        client.ehlo().into_iter().find(|keyword| keyword.starts_with("AUTH")).unwrap()
    };
    assert_eq!(
        offered(&believing(&issuer, folder.path())),
        "AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 OAUTHBEARER XOAUTH2 PLAIN LOGIN"
    );
    let without = with_alice(Setup::new());
    assert_eq!(offered(&without), "AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN");
    let mut client = SmtpClient::hello_tls(without.submission());
    client.expect("AUTH OAUTHBEARER", 504);
    client.expect("AUTH EXTERNAL =", 504);
}

#[test]
fn curl_sends_mail_with_a_token() {
    require!(have_curl());
    let folder = open_folder();
    let issuer = TestIssuer::start(folder.path());
    let postern = believing(&issuer, folder.path());
    let file = folder.path().join("message");
    std::fs::write(&file, message(ALICE, BOB, "curl").replace("\r\n", "\n").replace('\n', "\r\n")).unwrap();
    let send = |token: &str| {
        let mut curl = Command::new("curl");
        curl.args(["-k", "-sv", "--max-time", "20", "--url", &format!("smtps://{}", postern.submissions())]);
        curl.args(["--mail-from", ALICE, "--mail-rcpt", BOB, "--user", ALICE, "--oauth2-bearer", token]);
        curl.args(["--login-options", "AUTH=OAUTHBEARER", "--upload-file"]).arg(&file);
        let output = curl.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (sent, said) = send(&issuer.token(ALICE, &json!({})));
    assert!(sent, "{said}\n{}", postern.log());
    let (sent, said) = send(&issuer.token(ALICE, &json!({ "exp": 1 })));
    assert!(!sent && said.contains("535"), "{said}");
}

#[test]
fn a_denied_token_costs_the_same_however_the_client_takes_it() {
    let folder = open_folder();
    let issuer = TestIssuer::start(folder.path());
    let oidc = format!("[{{ issuer = \"{}\", audience = \"postern\" }}]", issuer.name());
    let mut postern = with_alice(Setup::new().with("auth", "oidc", &oidc).with("limits", "faults_per_session", "2"));
    let mut client = bearer(&postern, "a.b.c");
    for code in [501, 501, 421] {
        client.expect_reply(334);
        client.expect("*", code);
        if code != 421 {
            client.send(format!("AUTH OAUTHBEARER {}\r\n", base64(b"n,,\x01auth=Bearer a.b.c\x01\x01")));
        }
    }
    let mut client = SmtpClient::hello_tls(postern.submission());
    client.send(format!("AUTH OAUTHBEARER {}\r\n", base64(b"n,,\x01auth=Bearer no-token\x01\x01")));
    client.expect_reply(334);
    drop(client);
    let _ = postern.wait_for_log("the token is not good: it is no signed token of three parts");
    let told = postern.log().matches("the token is not good: its header does not read").count();
    assert_eq!(told, 3, "once each: {}", postern.log());
}

#[test]
fn a_session_ends_with_its_token_and_with_the_belief_in_its_issuer() {
    let folder = open_folder();
    let issuer = TestIssuer::start(folder.path());
    let mut postern = believing(&issuer, folder.path());
    // Half a minute is added, since clocks differ.
    let mut short = bearer(&postern, &issuer.token(ALICE, &json!({ "exp": seconds() - 26 })));
    assert_eq!(short.reply().code, 235, "{}", postern.log());
    let mut long = bearer(&postern, &issuer.token(ALICE, &json!({})));
    assert_eq!(long.reply().code, 235);
    let reply = short.reply();
    assert!(reply.codes() == "421 4.7.0" && reply.text().contains("the token has ended"), "{reply:?}");
    long.expect("NOOP", 250);
    postern.change(|setup| setup.with("auth", "oidc", "[]"));
    let _ = postern.reload("reloaded");
    let reply = long.reply();
    assert!(reply.codes() == "421 4.7.0" && reply.text().contains("not believed any more"), "{reply:?}");
}

/// What curl and the server say when it logs in by its certificate, as this user.
fn external(postern: &Postern, folder: &Path, user: &str) -> String {
    let file = folder.join("message");
    std::fs::write(&file, message(ALICE, BOB, "curl").replace("\r\n", "\n").replace('\n', "\r\n")).unwrap();
    let mut curl = Command::new("curl");
    curl.args(["-k", "-sv", "--max-time", "20", "--url", &format!("smtps://{}", postern.submissions())]);
    curl.arg("--cert").arg(folder.join("client.pem")).arg("--key").arg(folder.join("client-key.pem"));
    curl.args(["--mail-from", ALICE, "--mail-rcpt", BOB, "--user", &format!("{user}:"), "--login-options", "AUTH=EXTERNAL"]);
    let output = curl.arg("--upload-file").arg(&file).output().unwrap();
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_certificate_that_was_noted_lets_its_holder_in() {
    require!(have_openssl());
    require!(have_curl());
    let folder = open_folder();
    let authority = Authority::new(folder.path(), "client-ca.pem");
    let ca = quoted(&folder.path().join("client-ca.pem"));
    let postern = with_alice(Setup::new().with("tls", "client_ca", &ca));
    let holder = authority.client(folder.path(), ALICE, false);
    let said = external(&postern, folder.path(), ALICE);
    assert!(
        said.contains("AUTH EXTERNAL SCRAM") && said.contains("535 5.7.8"),
        "not noted yet, and no address is believed: {said}"
    );
    postern.order(&["account", "certificate", ALICE, "add", &holder.fingerprint]);
    assert!(postern.order(&["account", "certificate", ALICE, "list"]).contains(&holder.fingerprint));
    let said = external(&postern, folder.path(), ALICE);
    assert!(said.contains("235 2.7.0"), "{said}\n{}", postern.log());
    let name = format!("certificate {}", holder.fingerprint.replace(':', "").to_lowercase());
    until("its use to be in the review", LONG, || {
        let review = postern.json(&["account", "review"]);
        let row = review["reviews"].as_array().unwrap().iter().find(|row| row["credential"] == name).unwrap().clone();
        (row["last_used"].is_u64() && row["networks"] == serde_json::json!(["127.0.0.0/24"])).then_some(())
    });
    assert!(postern.order(&["account", "certificate", ALICE, "list"]).contains("last used"));
    let said = external(&postern, folder.path(), BOB);
    assert!(said.contains("535 5.7.8"), "nobody acts for another: {said}");
    let mut session = SmtpClient::hello_tls_showing(postern.submission(), folder.path());
    session.expect("AUTH EXTERNAL =", 235);
    let answer = postern.order(&["account", "certificate", ALICE, "remove", &holder.fingerprint]);
    assert!(answer.contains("removed") && answer.contains("client_identity"), "{answer}");
    let reply = session.reply();
    assert!(reply.codes() == "421 4.7.0" && reply.text().contains("the certificate was taken back"), "{reply:?}");
    let said = external(&postern, folder.path(), ALICE);
    assert!(said.contains("535 5.7.8"), "{said}");
    // Without a certificate all is as before, and on mx nobody is asked.
    assert!(!SmtpClient::hello_tls(postern.submission()).ehlo().iter().any(|keyword| keyword.contains("EXTERNAL")));
    alice(&postern).expect("QUIT", 221);
    let said = openssl_s_client(postern.mx(), &["-starttls", "smtp"], "QUIT\n");
    assert!(said.contains("No client certificate CA names sent"), "{said}");
}

#[test]
fn a_certificate_that_nobody_uses_is_disabled_and_its_session_ends() {
    require!(have_openssl());
    let folder = open_folder();
    let authority = Authority::new(folder.path(), "client-ca.pem");
    let ca = quoted(&folder.path().join("client-ca.pem"));
    // The address in it is believed as well: that must not let in what is disabled.
    let setup = Setup::new().with("tls", "client_ca", &ca).with("tls", "client_identity", "\"address\"");
    let mut postern = with_alice(setup.with("auth", "unused_after", "\"3s\"").with("auth", "unused_notice", "\"1s\""));
    let holder = authority.client(folder.path(), ALICE, false);
    postern.order(&["account", "certificate", ALICE, "add", &holder.fingerprint]);
    let mut session = SmtpClient::hello_tls_showing(postern.submission(), folder.path());
    session.expect("AUTH EXTERNAL =", 235);
    assert!(postern.order(&["account", "review"]).contains("names its address"), "what no row tells of is said");
    let reply = session.reply();
    assert!(reply.codes() == "421 4.7.0" && reply.text().contains("the certificate is disabled"), "{reply:?}");
    let mut again = SmtpClient::hello_tls_showing(postern.submission(), folder.path());
    again.expect("AUTH EXTERNAL =", 535);
    postern.wait_for_log("is disabled, since nobody used it");
}

#[test]
fn an_address_in_a_certificate_is_believed_where_that_is_set() {
    require!(have_curl());
    let folder = open_folder();
    let authority = Authority::new(folder.path(), "client-ca.pem");
    let ca = quoted(&folder.path().join("client-ca.pem"));
    let setup = Setup::new().with("tls", "client_ca", &ca).with("tls", "client_identity", "\"address\"");
    let mut postern = with_alice(setup);
    let _ = authority.client(folder.path(), ALICE, false);
    let said = external(&postern, folder.path(), ALICE);
    assert!(said.contains("235 2.7.0"), "{said}\n{}", postern.log());
    let _ = authority.client(folder.path(), "nobody@here.test", false);
    assert!(external(&postern, folder.path(), ALICE).contains("535 5.7.8"));
    // Out of date, and from another authority: no session at all, and the log says why.
    let no_session = |postern: &mut Postern, why: &str| {
        let said = external(postern, folder.path(), ALICE);
        assert!(said.contains("alert") && !said.contains("220 postern"), "{said}");
        let line = postern.wait_for_log(why);
        assert!(line.contains("certificate is refused"), "{line}");
    };
    let _ = authority.client(folder.path(), ALICE, true);
    no_session(&mut postern, "it is out of date");
    let _ = authority.client(folder.path(), ALICE, false);
    assert!(external(&postern, folder.path(), ALICE).contains("235 2.7.0"), "{}", postern.log());
    let _ = Authority::new(folder.path(), "other-ca.pem").client(folder.path(), ALICE, false);
    // It goes by the same name.
    no_session(&mut postern, "its signature is not good");
}

#[test]
fn a_list_of_revoked_certificates_is_taken_up_when_it_is_renewed_and_says_nothing_past_its_next_update() {
    require!(have_curl());
    let folder = open_folder();
    let authority = Authority::new(folder.path(), "client-ca.pem");
    let holder = authority.client(folder.path(), ALICE, false);
    authority.revoke_until(folder.path(), &[], 2022);
    let file = |name: &str| quoted(&folder.path().join(name));
    let setup = Setup::new().with("tls", "client_crl", &file("client-crl.pem")).with("tls", "check_interval", "\"1s\"");
    let mut postern = with_alice(setup);
    let said = external(&postern, folder.path(), ALICE);
    assert!(said.contains("220 postern") && !said.contains("EXTERNAL "), "nobody is asked: {said}");
    postern.change(|setup| setup.with("tls", "client_ca", &file("client-ca.pem")));
    let _ = postern.reload("reloaded");
    postern.order(&["account", "certificate", ALICE, "add", &format!("sha256 Fingerprint={}", holder.fingerprint)]);
    let _ = postern.wait_for_log("a list of [tls] client_crl is past its next update");
    let no_session = |postern: &mut Postern, why: &str| {
        let said = external(postern, folder.path(), ALICE);
        assert!(said.contains("alert") && !said.contains("220 postern"), "{said}");
        let _ = postern.wait_for_log(why);
    };
    no_session(&mut postern, "the list of [tls] client_crl is past its next update");
    let read_anew = |postern: &mut Postern, change: &dyn Fn(), words: &str| {
        let before = postern.program().lines_said();
        change();
        let _ = postern.program().wait_for_line(before, words, LONG);
    };
    read_anew(&mut postern, &|| authority.revoke(folder.path(), &[]), "were read anew");
    let said = external(&postern, folder.path(), ALICE);
    assert!(said.contains("235 2.7.0"), "{said}\n{}", postern.log());
    read_anew(&mut postern, &|| authority.revoke(folder.path(), &[&holder]), "were read anew");
    no_session(&mut postern, "it was revoked");
    let broken = || std::fs::write(folder.path().join("client-crl.pem"), "no list").unwrap();
    read_anew(&mut postern, &broken, "are not taken");
    assert!(external(&postern, folder.path(), ALICE).contains("alert"), "what was in use stays");
}

#[test]
fn whoever_logged_in_by_a_certificate_connects_again_when_what_it_is_verified_by_changes_and_for_nothing_else() {
    require!(have_openssl());
    let folder = open_folder();
    let authority = Authority::new(folder.path(), "client-ca.pem");
    let holder = authority.client(folder.path(), ALICE, false);
    authority.revoke(folder.path(), &[]);
    let file = |name: &str| quoted(&folder.path().join(name));
    let setup = Setup::new().with("tls", "client_ca", &file("client-ca.pem")).with("tls", "client_crl", &file("client-crl.pem"));
    let mut postern = with_alice(setup.with("tls", "check_interval", "\"1s\""));
    postern.order(&["account", "certificate", ALICE, "add", &holder.fingerprint]);
    let mut by_password = alice(&postern);
    let mut session = SmtpClient::hello_tls_showing(postern.submission(), folder.path());
    session.expect("AUTH EXTERNAL =", 235);
    // It connected before the list is renewed, and has not logged in yet.
    let mut late = SmtpClient::hello_tls_showing(postern.submission(), folder.path());
    postern.change(|setup| setup.with("limits", "faults_per_session", "7"));
    let _ = postern.reload("reloaded");
    let before = postern.program().lines_said();
    let list = folder.path().join("client-crl.pem");
    std::fs::write(&list, std::fs::read(&list).unwrap()).unwrap();
    let _ = postern.program().wait_for_line(before, "were read anew", LONG);
    session.expect(&format!("MAIL FROM:<{ALICE}>"), 250);
    authority.revoke(folder.path(), &[&holder]);
    let reply = session.reply();
    assert!(reply.codes() == "421 4.7.0" && reply.text().contains("verified by was changed; connect again"), "{reply:?}");
    late.expect("AUTH EXTERNAL =", 535);
    by_password.expect(&format!("MAIL FROM:<{ALICE}>"), 250);
}
