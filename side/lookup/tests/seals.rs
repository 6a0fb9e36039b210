//! Seals of ours, and what our own verifier says of them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is a failed test")]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postern_lookup::{Authenticator, Authors, LookupSettings, MessageAsked, ReadMessage, Resolver, SealAsked, Sealer};
use postern_mail::ReversePath;
use postern_mail::authenticity::{Arc, AuthResult};
use postern_testkit::dns::TestDns;
use postern_testkit::peers::dkim::Key;
use postern_testkit::peers::tools::have_openssl;
use postern_testkit::require;

const MESSAGE: &str = "From: a@there.test\r\nTo: b@here.test\r\nSubject: hello\r\n\r\nA body.\r\n";
const WITHIN: Duration = Duration::from_secs(20);

struct Place {
    dns: TestDns,
    authenticator: Authenticator,
    sealer: Sealer,
}

impl Place {
    fn new() -> Self {
        Self::with_key(|record| record.to_owned())
    }

    /// The key is published with other tags.
    fn with_key(tags: impl Fn(&str) -> String) -> Self {
        let (dns, key) = (TestDns::start(), Key::rsa(2048));
        publish(&dns, &tags(&key.record));
        let settings = LookupSettings { servers: vec![dns.address()], attempts: 1, timeout: WITHIN, ..LookupSettings::default() };
        let authenticator = Authenticator::new(&Resolver::new(settings).unwrap()).unwrap();
        let der: String = key.pem.lines().filter(|line| !line.starts_with('-')).collect();
        let sealer = Sealer::new("here.test", "arc", &STANDARD.decode(der).unwrap()).unwrap();
        Self { dns, authenticator, sealer }
    }

    async fn seal(&self, message: &str) -> Option<String> {
        let results =
            "here.test;\r\n\tspf=pass reason=\"a  term\" smtp.mailfrom=\"a@there.test\";\r\n\tdmarc=pass header.from=there.test";
        let asked = SealAsked { message: ReadMessage::read(message.as_bytes()).unwrap(), results, within: WITHIN };
        self.sealer.seal(&self.authenticator, asked).await.unwrap()
    }

    async fn verify(&self, message: &str) -> Arc {
        let asked = MessageAsked {
            client: "192.0.2.7".parse().unwrap(),
            helo: "client.test".into(),
            from: ReversePath::Null,
            receiver: "mx.far.test".into(),
            authors: Authors::Nobody("not looked at"),
            within: WITHIN,
        };
        self.authenticator.examine(&asked, ReadMessage::read(message.as_bytes())).await.arc.unwrap()
    }
}

fn publish(dns: &TestDns, record: &str) {
    let strings: Vec<Vec<u8>> = record.as_bytes().chunks(255).map(<[u8]>::to_vec).collect();
    dns.txt_strings("arc._domainkey.here.test", &strings);
}

#[tokio::test]
async fn a_seal_tells_the_results_and_holds_until_something_is_changed() {
    require!(have_openssl());
    let place = Place::new();
    let seal = place.seal(MESSAGE).await.unwrap();
    assert!(
        seal.contains("\r\nARC-Authentication-Results: i=1; here.test;\r\n\tspf=pass reason=\"a  term\" smtp.mailfrom="),
        "{seal}"
    );
    assert!(seal.contains("cv=none") && seal.lines().all(|line| line.len() < 998), "{seal}");
    let sealed = format!("{seal}{MESSAGE}");
    let chain = place.verify(&sealed).await;
    assert_eq!((chain.result, chain.passed), (AuthResult::Pass, vec!["there.test".into()]), "{sealed}");
    for (word, other) in [("spf=pass", "spf=fail"), ("hello", "hallo"), ("A body", "No body"), ("d=here.test", "d=there.test")] {
        let changed = sealed.replacen(word, other, 1);
        assert_eq!(place.verify(&changed).await.result, AuthResult::Fail, "{word}");
    }
    // Fields that servers put in front are not covered.
    assert_eq!(place.verify(&format!("Received: by x.test\r\n{sealed}")).await.result, AuthResult::Pass);
}

#[tokio::test]
async fn a_chain_grows_to_fifty_sets_and_no_further() {
    require!(have_openssl());
    let place = Place::new();
    let mut message = MESSAGE.to_owned();
    for number in 1..=50 {
        let seal = place.seal(&message).await.unwrap();
        assert!(seal.contains(if number == 1 { "cv=none" } else { "cv=pass" }), "{seal}");
        message = format!("{seal}{message}");
    }
    let chain = place.verify(&message).await;
    assert_eq!((chain.result, chain.sealers.len()), (AuthResult::Pass, 50), "{chain:?}");
    assert_eq!(place.seal(&message).await, None);
}

#[tokio::test]
async fn a_broken_chain_is_sealed_as_broken_once() {
    require!(have_openssl());
    let place = Place::new();
    let sealed = format!("{}{MESSAGE}", place.seal(MESSAGE).await.unwrap());
    let changed = sealed.replace("A body", "Another body");
    let seal = place.seal(&changed).await.unwrap();
    assert!(seal.contains("i=2;") && seal.contains("cv=fail"), "{seal}");
    let twice = format!("{seal}{changed}");
    assert_eq!(place.verify(&twice).await.result, AuthResult::Fail);
    assert_eq!(place.seal(&twice).await, None, "nobody adds to a chain that says it is broken");
    // A chain that cannot be counted.
    assert_eq!(place.seal(&sealed.replace("ARC-Message-Signature: i=1", "ARC-Message-Signature: i=x")).await, None);
}

#[tokio::test]
async fn a_chain_whose_keys_cannot_be_asked_for_is_left_to_the_next_hop() {
    require!(have_openssl());
    let place = Place::new();
    let sealed = format!("{}{MESSAGE}", place.seal(MESSAGE).await.unwrap()).replace("s=arc", "s=away");
    place.dns.fails("away._domainkey.here.test");
    assert_eq!(place.seal(&sealed).await, None);
}

#[tokio::test]
async fn a_chain_whose_keys_are_for_something_else_does_not_hold_and_is_sealed_as_broken() {
    require!(have_openssl());
    for (tags, result) in
        [("s=email; h=sha256; ", AuthResult::Pass), ("s=tlsrpt; ", AuthResult::Fail), ("h=sha1; ", AuthResult::Fail)]
    {
        let place = Place::with_key(|record| record.replacen("p=", &format!("{tags}p="), 1));
        let sealed = format!("{}{MESSAGE}", place.seal(MESSAGE).await.unwrap());
        assert_eq!(place.verify(&sealed).await.result, result, "{tags}");
        let again = place.seal(&sealed).await.unwrap();
        assert!(again.contains(if result == AuthResult::Pass { "cv=pass" } else { "cv=fail" }), "{again}");
    }
}

#[test]
fn a_key_that_is_none_is_told() {
    assert!(Sealer::new("here.test", "arc", b"no key").is_err());
}
