//! Where a DMARC record stands and who agreed to reports, against a name server that says what it is told to.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is a failed test")]

use std::time::Duration;

use postern_lookup::{Authenticator, Authors, Consent, LookupSettings, MessageAsked, NoAnswer, Resolver};
use postern_mail::authenticity::{AuthResult, Disposition};
use postern_mail::published::{Destination, Published};
use postern_mail::{Domain, Mailbox, ReversePath};
use postern_testkit::dns::TestDns;

const LONG: Duration = Duration::from_secs(20);

fn authenticator(dns: &TestDns) -> Authenticator {
    let settings = LookupSettings {
        servers: vec![dns.address()],
        attempts: 1,
        timeout: Duration::from_secs(5),
        ..LookupSettings::default()
    };
    Authenticator::new(&Resolver::new(settings).unwrap()).unwrap()
}

async fn published(dns: &TestDns, author: &str) -> Option<Published> {
    authenticator(dns).published(&Domain::parse(author).unwrap(), LONG).await.unwrap()
}

#[tokio::test]
async fn the_record_of_an_author_is_his_own_or_that_of_his_organization() {
    let dns = TestDns::start();
    dns.txt("_dmarc.there.test", "v=DMARC1; p=reject; sp=none; adkim=s; fo=d:s; rua=mailto:a@there.test!10m, mailto:b@x.test");
    dns.txt("_dmarc.own.there.test", "v=DMARC1; p=none; ruf=mailto:f@there.test");
    dns.txt("_dmarc.two.test", "v=DMARC1; p=none").txt("_dmarc.two.test", "v=DMARC1; p=reject");
    dns.txt("_dmarc.suffix.test", "v=DMARC1; p=reject; psd=y; rua=mailto:r@suffix.test; ruf=mailto:f@suffix.test");
    let below = published(&dns, "deep.sub.there.test").await.unwrap();
    assert_eq!((below.domain.as_str(), below.organization.as_str()), ("there.test", "there.test"));
    assert_eq!((below.policies.p, below.policies.sp, below.strict_dkim), (Disposition::Reject, Disposition::None, true));
    let to: Vec<_> = below.destinations.iter().map(|one| (one.address.to_string(), one.octets_max)).collect();
    assert_eq!(to, [("a@there.test".to_owned(), Some(10 << 20)), ("b@x.test".to_owned(), None)]);
    assert_eq!(below.failure_options, "d:s");
    let own = published(&dns, "own.there.test").await.unwrap();
    assert_eq!((own.domain.as_str(), own.organization.as_str()), ("own.there.test", "there.test"));
    assert_eq!((own.destinations.len(), own.failure_destinations.len()), (0, 1));
    assert_eq!(published(&dns, "two.test").await, None, "of two records neither counts");
    assert_eq!(published(&dns, "nothing.example").await, None);
    let suffix = published(&dns, "a.b.suffix.test").await.unwrap();
    assert_eq!((suffix.domain.as_str(), suffix.organization.as_str()), ("suffix.test", "b.suffix.test"));
    assert_eq!((suffix.destinations.len(), suffix.failure_destinations.len()), (1, 0), "a suffix gets no single messages");
}

#[tokio::test]
async fn what_reports_say_was_published_is_what_mail_was_judged_by() {
    let dns = TestDns::start();
    dns.txt("_dmarc.there.test", "v=DMARC1; p=reject; sp=quarantine").txt("_dmarc.own.there.test", "v=DMARC1; p=none");
    dns.txt("_dmarc.suffix.test", "v=DMARC1; p=reject; sp=quarantine; psd=y")
        .txt("_dmarc.s.suffix.test", "v=DMARC1; p=none; sp=reject");
    dns.txt("_dmarc.g.f.e.d.c.b.a.there.test", "v=DMARC1; p=none; sp=none");
    for name in ["x.there.test", "x.suffix.test", "x.s.suffix.test", "own.there.test", "x.own.there.test"] {
        dns.exists(name);
    }
    let authors = ["there.test", "x.there.test", "own.there.test", "x.own.there.test", "x.suffix.test", "x.s.suffix.test"];
    // No more authors of one message are looked up than four.
    for authors in authors.chunks(3) {
        let asked = MessageAsked {
            client: "192.0.2.7".parse().unwrap(),
            helo: "client.test".into(),
            from: ReversePath::Null,
            receiver: "mx.here.test".into(),
            authors: Authors::Domains(authors.iter().map(|domain| Domain::parse(domain).unwrap()).collect()),
            within: LONG,
        };
        let judged = authenticator(&dns).examine(&asked, None).await;
        for dmarc in &judged.dmarc {
            let published = published(&dns, dmarc.domain.as_str()).await.unwrap();
            let own = published.domain.as_str() == dmarc.domain.as_str();
            let asked = if own { published.policies.p } else { published.policies.sp };
            assert_eq!((dmarc.result, dmarc.asked), (AuthResult::Fail, asked), "{} by {}", dmarc.domain, published.domain);
        }
    }
}

#[tokio::test]
async fn reports_go_to_the_organization_itself_and_elsewhere_only_where_it_is_agreed_to() {
    let dns = TestDns::start();
    dns.txt("_dmarc.there.test", "v=DMARC1; p=none").txt("_dmarc.own.there.test", "v=DMARC1; p=none");
    dns.txt("own.there.test._report._dmarc.yes.test", "v=DMARC1");
    dns.txt("own.there.test._report._dmarc.no.test", "something else");
    dns.txt("own.there.test._report._dmarc.moved.test", "v=DMARC1; rua=mailto:other@moved.test!5k");
    dns.txt("own.there.test._report._dmarc.trick.test", "v=DMARC1; rua=mailto:ceo@victim.test");
    dns.fails("own.there.test._report._dmarc.broken.test");
    let about = published(&dns, "own.there.test").await.unwrap();
    let authenticator = authenticator(&dns);
    let of = |address: &str, octets_max| Destination { address: Mailbox::parse(address).unwrap(), octets_max };
    let given = |to: Destination| Ok(Consent::Given(vec![to]));
    for (address, wanted) in [
        ("a@own.there.test", given(of("a@own.there.test", None))),
        ("a@there.test", given(of("a@there.test", None))),
        ("a@other.there.test", given(of("a@other.there.test", None))),
        ("a@yes.test", given(of("a@yes.test", None))),
        ("a@moved.test", given(of("other@moved.test", Some(5 << 10)))),
        ("a@no.test", Ok(Consent::Refused)),
        ("a@nothing.test", Ok(Consent::Refused)),
        ("a@trick.test", Ok(Consent::Refused)),
        ("a@nothere.test", Ok(Consent::Refused)),
        ("a@broken.test", Err(NoAnswer)),
    ] {
        assert_eq!(authenticator.consent(&about, &of(address, None), LONG).await, wanted, "{address}");
    }
}
