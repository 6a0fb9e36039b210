//! DMARC and the client's name, against a name server that says what it is told to.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is a failed test")]

use std::time::Duration;

use postern_lookup::{Authenticator, Authors, LookupSettings, MessageAsked, ReadMessage, Resolver};
use postern_mail::authenticity::{AuthResult, Authenticity, Disposition};
use postern_mail::{Domain, Mailbox, ReversePath};
use postern_testkit::dns::TestDns;

async fn found(dns: &TestDns, authors: &[&str], within: Duration) -> Authenticity {
    let settings = LookupSettings {
        servers: vec![dns.address()],
        attempts: 1,
        timeout: Duration::from_secs(5),
        ..LookupSettings::default()
    };
    let authenticator = Authenticator::new(&Resolver::new(settings).unwrap()).unwrap();
    let asked = MessageAsked {
        client: "192.0.2.7".parse().unwrap(),
        helo: "mail.there.test".into(),
        from: ReversePath::Mailbox(Mailbox::parse("bounce@mail.there.test").unwrap()),
        receiver: "mx.here.test".into(),
        authors: Authors::Domains(authors.iter().map(|domain| Domain::parse(domain).unwrap()).collect()),
        within,
    };
    authenticator.examine(&asked, ReadMessage::read(b"From: a@there.test\r\n\r\nbody\r\n")).await
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn dmarc_passes_by_an_aligned_spf_pass_and_fails_for_another_domain() {
    let dns = TestDns::start();
    dns.txt("_dmarc.there.test", "v=DMARC1; p=reject").txt("_dmarc.bank.test", "v=DMARC1; p=reject; t=y");
    dns.txt("mail.there.test", "v=spf1 ip4:192.0.2.0/24 -all");
    let found = found(&dns, &["there.test", "bank.test", "nothing.test"], LONG).await;
    let short: Vec<_> =
        found.dmarc.iter().map(|dmarc| (dmarc.domain.as_str(), dmarc.result, dmarc.asked, dmarc.aligned_spf)).collect();
    assert_eq!(
        short,
        [
            ("there.test", AuthResult::Pass, Disposition::Reject, true),
            // t=y: one step milder.
            ("bank.test", AuthResult::Fail, Disposition::Quarantine, false),
            ("nothing.test", AuthResult::None, Disposition::None, false),
        ]
    );
}

#[tokio::test]
async fn a_record_that_was_read_as_an_explanation_is_still_a_policy() {
    let dns = TestDns::start();
    dns.txt("_dmarc.bank.test", "v=DMARC1; p=reject").txt("mail.there.test", "v=spf1 exp=_dmarc.bank.test -all");
    let found = found(&dns, &["bank.test"], LONG).await;
    assert_eq!((found.dmarc[0].result, found.dmarc[0].asked), (AuthResult::Fail, Disposition::Reject));
}

#[tokio::test]
async fn a_name_is_confirmed_only_when_it_has_the_address() {
    let dns = TestDns::start();
    assert_eq!(found(&dns, &[], LONG).await.iprev.unwrap().result, AuthResult::PermError);
    dns.clear().ptr("192.0.2.7", "other.test").address_of("other.test", "192.0.2.8");
    assert_eq!(found(&dns, &[], LONG).await.iprev.unwrap().result, AuthResult::Fail);
    dns.ptr("192.0.2.7", "mail.there.test").address_of("mail.there.test", "192.0.2.7");
    let iprev = found(&dns, &[], LONG).await.iprev.unwrap();
    assert_eq!((iprev.result, iprev.name.as_str()), (AuthResult::Pass, "mail.there.test"));
}

#[tokio::test]
async fn silence_is_a_temporary_error_within_the_one_deadline() {
    let dns = TestDns::start();
    for name in ["mail.there.test", "_dmarc.there.test", "7.2.0.192.in-addr.arpa"] {
        dns.silent(name);
    }
    let began = tokio::time::Instant::now();
    let found = found(&dns, &["there.test"], Duration::from_millis(300)).await;
    assert!(began.elapsed() < Duration::from_secs(4));
    assert_eq!(found.spf_mail.unwrap().result, AuthResult::TempError);
    assert_eq!(found.dmarc[0].result, AuthResult::TempError);
    assert_eq!(found.iprev.unwrap().result, AuthResult::TempError);
}
