//! The suites of others for SPF and ARC, case by case through sessions of the real server: what a reader of the delivered message is told is what the
//! suite says.

use std::collections::BTreeMap;

use postern_testkit::dns::TestDns;
use postern_testkit::maildir::Message;
use postern_testkit::vectors::{arc_suite, spf_suite};

use crate::prelude::*;

const PROXY: &str = "proxy_protocol_from = [\"127.0.0.1/32\"]";

/// Every result is a sign here, and none of them decides.
fn looking_up(dns: &TestDns) -> Setup {
    Setup::new().dns(dns).mx_listener(PROXY).with("policy.authenticity", "enabled", "true").with("dns", "timeout", "\"10s\"")
}

/// A client at this address, as a proxy would bring it.
fn client_from(postern: &Postern, address: &str) -> SmtpClient {
    let mut client = SmtpClient::connect(postern.mx());
    let header = match address.contains(':') {
        true => format!("PROXY TCP6 {address} ::1 4711 25\r\n"),
        false => format!("PROXY TCP4 {address} 127.0.0.1 4711 25\r\n"),
    };
    client.send(header);
    client.expect_reply(220);
    client
}

/// What our field says of a method, without what others wrote.
fn results(message: &Message, method: &str) -> Vec<String> {
    let field = message.headers("Authentication-Results").into_iter().find(|field| field.starts_with("postern.test;"));
    let field = field.unwrap_or_else(|| panic!("no results in {}", message.0));
    let of = |part: &str| Some(part.trim().strip_prefix(method)?.strip_prefix('=')?.split_whitespace().next()?.to_owned());
    field.split(';').filter_map(of).collect()
}

#[test]
fn every_case_of_the_openspf_suite_comes_out_as_it_says_through_a_session() {
    let Some(scenarios) = spf_suite() else { return };
    let dns = TestDns::start();
    let postern = looking_up(&dns).start();
    let mut taken = BTreeMap::new();
    let (mut refused, mut wrong) = (Vec::new(), Vec::new());
    for scenario in &scenarios {
        scenario.serve(&dns);
        for case in &scenario.cases {
            let name = format!("{}/{}", scenario.name, case.name);
            let mut client = client_from(&postern, &case.client);
            let hello = client.command(&format!("EHLO {}", case.helo));
            if hello.code != 250 {
                assert_eq!(hello.code, 501, "{name}: {hello:?}");
                refused.push(name);
                continue;
            }
            let subject = format!("case {};", taken.len());
            let reply = client.mail(&written(&case.mail_from), &[ALICE], &message(STRANGER, ALICE, &subject));
            match reply.code {
                250 => drop(taken.insert(subject, (name, case))),
                501 => refused.push(name),
                _ => wrong.push(format!("{name}: {reply:?}")),
            }
        }
    }
    let run = taken.len() + refused.len();
    for message in postern.maildir(ALICE).wait_for(taken.len(), LONG) {
        let (name, case) = &taken[&message.header("Subject")];
        let received = message.header("Received-SPF");
        let result = received.split_whitespace().next().unwrap_or_default();
        let of_methods = results(&message, "spf");
        // HELO stands first, MAIL FROM last, where there is one.
        if !case.results.iter().any(|right| right == result) || of_methods.last().map(String::as_str) != Some(result) {
            wrong.push(format!("{name}: {received:?} and {of_methods:?}, not {:?}", case.results));
        }
    }
    assert!(wrong.is_empty(), "{} of {run}:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(run, 203);
    assert_eq!(refused, NO_NAMES);
}

#[test]
fn every_case_of_the_arc_suite_comes_out_as_it_says_through_a_session() {
    let Some(cases) = arc_suite() else { return };
    let dns = TestDns::start();
    let postern = looking_up(&dns).start();
    let mut taken = BTreeMap::new();
    let (mut refused, mut wrong) = (Vec::new(), Vec::new());
    let mut client = client_from(&postern, "192.0.2.1");
    client.ehlo();
    for (number, case) in cases.iter().enumerate() {
        dns.clear();
        for (owner, text) in &case.keys {
            let strings: Vec<Vec<u8>> = text.as_bytes().chunks(255).map(<[u8]>::to_vec).collect();
            dns.txt_strings(owner, &strings);
        }
        let from = format!("case-{number}@there.test");
        let reply = client.mail(&from, &[ALICE], &String::from_utf8_lossy(&case.message));
        match reply.code {
            250 => drop(taken.insert(from, case)),
            // Two have no From, and are refused for that.
            550 if !case.message.windows(5).any(|five| five == b"From:") => refused.push(&case.name),
            _ => wrong.push(format!("{}: {reply:?}", case.name)),
        }
    }
    for message in postern.maildir(ALICE).wait_for(taken.len(), LONG) {
        let from = message.header("Return-Path");
        let case = taken[from.trim_matches(['<', '>'])];
        let result = results(&message, "arc").pop().unwrap_or_else(|| "none".to_owned());
        let right = if STRICTER.contains(&case.name.as_str()) { "fail" } else { &case.result };
        if !case.result.is_empty() && result != right {
            wrong.push(format!("{}: {result}, not {}", case.name, case.result));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert_eq!((cases.len(), refused.len()), (175, 2), "{refused:?}");
}

/// What is no name of a host or no address of mail is refused by the session (501), before anything is looked up.
const NO_NAMES: [&str; 5] = [
    "Initial processing/toolonglabel",
    "Initial processing/emptylabel",
    "Initial processing/nolocalpart",
    "Record evaluation/invalid-domain-long-via-macro",
    "Macro expansion rules/invalid-hello-macro",
];

/// A local part with a space in it is quoted on the wire.
fn written(path: &str) -> String {
    match path.rsplit_once('@') {
        Some((local, domain)) if local.contains(' ') => format!("\"{local}\"@{domain}"),
        _ => path.to_owned(),
    }
}

/// As in the suite's other run, in `side/lookup/tests/suites.rs`: the library reads two things more strictly.
const STRICTER: [&str; 2] = ["Arc Message Signature Fields/ams_fields_c_na", "Arc Message Signature Fields/ams_fields_h_empty"];
