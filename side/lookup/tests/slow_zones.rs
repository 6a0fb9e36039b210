//! A stranger whose own zone is slow: it costs him his own results, and nobody the policy of somebody else.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is a failed test")]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_auth::crypto::Ed25519Key;
use mail_auth::dkim::DkimSigner;
use mail_auth::headers::HeaderWriter as _;
use postern_lookup::{Authenticator, Authors, LookupSettings, MessageAsked, ReadMessage, Resolver};
use postern_mail::authenticity::{AuthResult, Authenticity, Disposition};
use postern_mail::{Domain, Mailbox, ReversePath};
use postern_testkit::dns::TestDns;

const SHORT: Duration = Duration::from_millis(800);

fn authenticator(dns: &TestDns) -> Authenticator {
    let settings = LookupSettings {
        servers: vec![dns.address()],
        attempts: 1,
        timeout: Duration::from_secs(30),
        ..LookupSettings::default()
    };
    Authenticator::new(&Resolver::new(settings).unwrap()).unwrap()
}

fn asked(from: &str, authors: &[&str], within: Duration) -> MessageAsked {
    MessageAsked {
        client: "192.0.2.7".parse().unwrap(),
        helo: "client.evil.test".into(),
        from: ReversePath::Mailbox(Mailbox::parse(from).unwrap()),
        receiver: "mx.here.test".into(),
        authors: Authors::Domains(authors.iter().map(|domain| Domain::parse(domain).unwrap()).collect()),
        within,
    }
}

/// A bank that has a policy, and a stranger whose names nobody answers for.
fn bank_and_stranger() -> TestDns {
    let dns = TestDns::start();
    dns.txt("_dmarc.bank.test", "v=DMARC1; p=reject").txt("bank.test", "v=spf1 ip4:198.51.100.1 -all");
    for name in ["evil.test", "client.evil.test", "_dmarc.evil.test", "s._domainkey.evil.test", "7.2.0.192.in-addr.arpa"] {
        dns.silent(name);
    }
    dns
}

async fn found(dns: &TestDns, asked: &MessageAsked, message: &str) -> Authenticity {
    authenticator(dns).examine(asked, ReadMessage::read(message.as_bytes())).await
}

fn of(found: &Authenticity, author: &str) -> (AuthResult, Disposition) {
    let dmarc = found.dmarc.iter().find(|dmarc| dmarc.domain.as_str() == author).unwrap();
    (dmarc.result, dmarc.asked)
}

const FAILS: (AuthResult, Disposition) = (AuthResult::Fail, Disposition::Reject);

const MESSAGE: &str = "From: Bank <a@bank.test>\r\nSubject: your account\r\n\r\nClick here.\r\n";

/// Signs in the name of a domain; the key is published where `dns` is given.
fn signed(dns: Option<&TestDns>, domain: &str, message: &str) -> String {
    let key = Ed25519Key::from_pkcs8_der(&Ed25519Key::generate_pkcs8().unwrap()).unwrap();
    if let Some(dns) = dns {
        dns.txt(&format!("s._domainkey.{domain}"), &format!("v=DKIM1; k=ed25519; p={}", STANDARD.encode(key.public_key())));
    }
    let signature = DkimSigner::from_key(key).domain(domain).selector("s").headers(["From", "Subject"]).sign(message.as_bytes());
    signature.unwrap().to_header() + message
}

#[tokio::test]
async fn a_slow_zone_of_the_sender_does_not_have_the_policy_of_the_author_skipped() {
    let dns = bank_and_stranger();
    let found = found(&dns, &asked("x@evil.test", &["bank.test"], SHORT), MESSAGE).await;
    assert_eq!(found.spf_mail.as_ref().unwrap().result, AuthResult::TempError);
    assert_eq!(of(&found, "bank.test"), FAILS);
}

#[tokio::test]
async fn each_signature_waits_for_its_own_key() {
    let dns = bank_and_stranger();
    // The slow one stands before the others.
    let message = signed(None, "evil.test", &signed(Some(&dns), "friend.test", MESSAGE));
    let results = |found: &Authenticity| -> Vec<(String, AuthResult)> {
        found.dkim.iter().map(|dkim| (dkim.domain.as_str().to_owned(), dkim.result)).collect()
    };
    let forged = found(&dns, &asked("x@evil.test", &["bank.test"], SHORT), &message).await;
    assert_eq!(results(&forged), [("evil.test".into(), AuthResult::TempError), ("friend.test".into(), AuthResult::Pass)]);
    assert_eq!(of(&forged, "bank.test"), FAILS);
    let message = signed(None, "evil.test", &signed(Some(&dns), "bank.test", MESSAGE));
    let own = found(&dns, &asked("x@evil.test", &["bank.test"], SHORT), &message).await;
    assert_eq!(of(&own, "bank.test").0, AuthResult::Pass);
}

#[tokio::test]
async fn a_slow_author_does_not_hide_the_one_behind_it() {
    let dns = bank_and_stranger();
    let message = MESSAGE.replace("Bank <", "x@evil.test, y@also.evil.test, Bank <");
    dns.silent("_dmarc.also.evil.test");
    let found = found(&dns, &asked("x@evil.test", &["also.evil.test", "evil.test", "bank.test"], SHORT), &message).await;
    assert_eq!(of(&found, "evil.test").0, AuthResult::TempError);
    assert_eq!(of(&found, "bank.test"), FAILS);
}

#[tokio::test]
async fn a_record_that_asks_for_the_clients_name_is_read_on_when_that_is_slow() {
    let dns = bank_and_stranger();
    dns.txt("old.test", "v=spf1 ptr -all").txt("_dmarc.old.test", "v=DMARC1; p=reject");
    let found = found(&dns, &asked("x@old.test", &["old.test"], SHORT), MESSAGE).await;
    assert_eq!(found.spf_mail.as_ref().unwrap().result, AuthResult::Fail);
    assert_eq!(of(&found, "old.test"), FAILS);
}

#[tokio::test]
async fn an_aligned_identifier_that_could_not_be_looked_up_is_not_a_failure() {
    let dns = bank_and_stranger();
    dns.silent("s._domainkey.bank.test");
    let message = signed(None, "bank.test", MESSAGE);
    let found = found(&dns, &asked("x@evil.test", &["bank.test"], SHORT), &message).await;
    assert_eq!(of(&found, "bank.test"), (AuthResult::TempError, Disposition::Reject));
}

#[tokio::test]
async fn nobody_waits_long_for_name_servers_that_answer_nothing_and_they_are_believed_when_they_are_back() {
    let dns = bank_and_stranger();
    dns.forget("client.evil.test").forget("7.2.0.192.in-addr.arpa");
    let authenticator = authenticator(&dns);
    let question = asked("a@bank.test", &["bank.test"], Duration::from_secs(60));
    dns.mute(true);
    // The first one finds it out, those after it know.
    for limit in [10, 5] {
        let began = tokio::time::Instant::now();
        let found = authenticator.examine(&question, ReadMessage::read(MESSAGE.as_bytes())).await;
        assert_eq!(of(&found, "bank.test").0, AuthResult::TempError);
        assert!(began.elapsed() < Duration::from_secs(limit), "{:?}", began.elapsed());
    }
    dns.mute(false);
    let found = authenticator.examine(&question, ReadMessage::read(MESSAGE.as_bytes())).await;
    assert_eq!(of(&found, "bank.test"), FAILS);
}

fn results(found: &Authenticity) -> Vec<AuthResult> {
    found.dkim.iter().map(|dkim| dkim.result).collect()
}

#[tokio::test]
async fn a_signature_that_names_more_fields_than_may_be_and_one_of_a_section_that_is_too_long_are_not_verified() {
    let dns = TestDns::start();
    let names: Vec<String> = (0..300).map(|number| format!("X-{number}")).collect();
    let key = Ed25519Key::from_pkcs8_der(&Ed25519Key::generate_pkcs8().unwrap()).unwrap();
    dns.txt("s._domainkey.bank.test", &format!("v=DKIM1; k=ed25519; p={}", STANDARD.encode(key.public_key())));
    let signer = DkimSigner::from_key(key).domain("bank.test").selector("s");
    let all = names.iter().map(String::as_str).chain(["From"]);
    let signature = signer.headers(all).sign(MESSAGE.as_bytes()).unwrap();
    let many = signature.to_header() + MESSAGE;
    let asked = asked("x@bank.test", &["bank.test"], Duration::from_secs(20));
    let of_many = found(&dns, &asked, &many).await;
    assert_eq!(
        (results(&of_many), of_many.dkim[0].why.as_str()),
        (vec![AuthResult::PermError], "the signature names too many fields")
    );
    dns.clear();
    let signed = signed(Some(&dns), "bank.test", MESSAGE);
    assert_eq!(results(&found(&dns, &asked, &signed).await), [AuthResult::Pass]);
    let long = format!("X: {}\r\n{signed}", "x".repeat(64 << 10));
    assert_eq!(results(&found(&dns, &asked, &long).await), [AuthResult::PermError]);
    // So are chains.
    let set = |names: &str| {
        format!(
            "ARC-Seal: i=1; a=rsa-sha256; cv=none; d=bank.test; s=s; b=AAAA\r\n\
             ARC-Message-Signature: i=1; a=rsa-sha256; c=relaxed/relaxed; d=bank.test; s=s; h=from{names}; bh=AAAA; b=AAAA\r\n\
             ARC-Authentication-Results: i=1; bank.test; dmarc=pass header.from=bank.test\r\n{MESSAGE}"
        )
    };
    let chain = found(&dns, &asked, &set(&":x".repeat(300))).await.arc.unwrap();
    assert_eq!((chain.result, chain.why.as_str()), (AuthResult::Fail, "a message signature names too many fields"));
    assert_ne!(found(&dns, &asked, &set("")).await.arc.unwrap().why.as_str(), "a message signature names too many fields");
}

#[tokio::test]
async fn a_signature_is_no_pass_where_a_second_subject_was_put_in_front() {
    let dns = TestDns::start();
    dns.txt("_dmarc.bank.test", "v=DMARC1; p=reject").txt("bank.test", "v=spf1 -all");
    let signed = signed(Some(&dns), "bank.test", MESSAGE);
    let asked = asked("x@bank.test", &["bank.test"], Duration::from_secs(20));
    assert_eq!(of(&found(&dns, &asked, &signed).await, "bank.test").0, AuthResult::Pass);
    // Fields that are not signed, and stand there once, are as good as before.
    let more = found(&dns, &asked, &format!("Date: x\r\nReceived: a\r\nReceived: b\r\n{signed}")).await;
    assert_eq!(of(&more, "bank.test").0, AuthResult::Pass);
    let shown = found(&dns, &asked, &format!("subject: your account is closed\r\n{signed}")).await;
    assert_eq!((results(&shown), of(&shown, "bank.test")), (vec![AuthResult::Policy], FAILS));
}
