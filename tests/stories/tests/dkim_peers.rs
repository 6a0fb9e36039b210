//! Signatures made by dkimpy, changed in every place a stranger or a forwarder could change, and looked at by three: dkimpy, `OpenDKIM` as a milter of the
//! server, and the server itself. They agree, or it is written here why they do not.

use postern_testkit::dns::TestDns;
use postern_testkit::maildir::Message;
use postern_testkit::peers::dkim::{Key, dkimpy, here, opendkim_verifying};
use serde_json::{Value, json};

use crate::prelude::*;

const FIELDS: [&str; 4] = ["From", "To", "Subject", "Date"];

const WORKERS: usize = 8;

fn plain(subject: &str) -> String {
    let text = message(STRANGER, ALICE, subject)
        .replace("\n\nHello", "\nX-Unsigned: yes\n\n  Two   spaces, and two at the end.  \nHello");
    text.replace('\n', "\r\n")
}

/// A change, and whether a signature whose header section and body are relaxed survives it, and one where both are simple.
type Change = (&'static str, fn(&str) -> String, [Survives; 2]);

#[derive(Clone, Copy, PartialEq)]
enum Survives {
    Yes,
    No,
}
use Survives::{No, Yes};

/// Replaces the first character behind this, so that what it stands in is another of the same form.
fn altered(text: &str, behind: &str) -> String {
    let at = text.find(behind).unwrap() + behind.len();
    let other = if text[at..].starts_with('A') { "B" } else { "A" };
    format!("{}{other}{}", &text[..at], &text[at + 1..])
}

const CHANGES: &[Change] = &[
    ("nothing", |m| m.to_owned(), [Yes, Yes]),
    ("a word of a signed field", |m| m.replace("\r\nSubject: ", "\r\nSubject: re: "), [No, No]),
    ("white space of a signed field", |m| m.replace("\r\nSubject: ", "\r\nSubject:   "), [Yes, No]),
    ("the fold of a signed field", |m| m.replace("\r\nTo: ", "\r\nTo:\r\n "), [Yes, No]),
    ("the case of a field's name", |m| m.replace("\r\nSubject:", "\r\nSUBJECT:"), [Yes, No]),
    ("a signed field less", |m| m.replace("\r\nDate:", "\r\nX-Date:"), [No, No]),
    ("an unsigned field", |m| m.replace("X-Unsigned: yes", "X-Unsigned: no"), [Yes, Yes]),
    ("another field in front", |m| format!("Received: by relay.test\r\n{m}"), [Yes, Yes]),
    ("the order of signed fields", swapped, [Yes, Yes]),
    ("a word of the body", |m| m.replace("Hello", "Hallo"), [No, No]),
    ("white space within the body", |m| m.replace("Two   spaces", "Two spaces"), [Yes, No]),
    ("white space at the end of a line", |m| m.replace("end.  \r\n", "end.\r\n"), [Yes, No]),
    ("white space at the beginning of a line", |m| m.replace("\r\n  Two", "\r\nTwo"), [No, No]),
    ("empty lines at the end", |m| format!("{m}\r\n\r\n"), [Yes, Yes]),
    ("a line at the end", |m| format!("{m}Buy!\r\n"), [No, No]),
    ("the signature", |m| altered(m, " b="), [No, No]),
    ("the hash of the body", |m| altered(m, " bh="), [No, No]),
    ("the domain", |m| m.replace("d=signer.test", "d=other.test"), [No, No]),
    ("the names of what is signed", |m| m.replace(" : Date", "").replace(" : date", ""), [No, No]),
];

/// Two signed fields change places.
fn swapped(text: &str) -> String {
    let field = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap();
    let (subject, date) = (field("Subject:"), field("Date:"));
    text.replace(subject, "\0").replace(date, subject).replace('\0', date)
}

/// What a domain publishes beside the key that signs; whether a signature by the key is good.
fn records(key: &Key, other: &Key) -> Vec<(&'static str, Option<String>, bool)> {
    let own = key.record.as_str();
    vec![
        ("good", Some(own.to_owned()), true),
        ("missing", None, false),
        ("revoked", Some(own.split("p=").next().unwrap().to_owned() + "p="), false),
        ("another", Some(other.record.clone()), false),
        ("garbage", Some("v=DKIM1; k=rsa; p=AAAA".to_owned()), false),
        ("notakey", Some("some text".to_owned()), false),
        ("testing", Some(own.replace("; p=", "; t=y; p=")), true),
        ("sha1only", Some(own.replace("; p=", "; h=sha1; p=")), false),
        ("sha256", Some(own.replace("; p=", "; h=sha1:sha256; p=")), true),
        ("otheruse", Some(own.replace("; p=", "; s=other; p=")), false),
        ("foremail", Some(own.replace("; p=", "; s=email; n=a note; p=")), true),
        ("future", Some(own.replace("v=DKIM1", "v=DKIM2")), false),
    ]
}

struct Case {
    name: String,
    message: String,
    passes: bool,
}

/// What a field says of DKIM, and whose it is.
fn verdict(message: &Message, of: &str) -> bool {
    let fields = message.headers("Authentication-Results");
    let field = fields.iter().find(|field| field.starts_with(of)).unwrap_or_else(|| panic!("no results of {of}: {fields:?}"));
    field.contains("dkim=pass")
}

#[test]
fn dkimpy_opendkim_and_the_server_agree_on_signatures_however_they_were_changed() {
    require!(here());
    let dns = TestDns::start();
    let (rsa, ed25519, other) = (Key::rsa(2048), Key::ed25519(), Key::rsa(2048));
    let mut published = Vec::new();
    let mut ask: Vec<(String, Value)> = Vec::new();
    let sign = |key: &Key, selector: &str, (header, body): (&str, &str), subject: &str| {
        json!({"do": "sign", "message": plain(subject), "selector": selector, "domain": "signer.test", "key": key.of_dkimpy,
            "algorithm": key.algorithm, "header": header, "body": body, "fields": FIELDS})
    };
    for (name, key) in [("rsa", &rsa), ("ed25519", &ed25519)] {
        for canonical in [("relaxed", "relaxed"), ("simple", "simple"), ("relaxed", "simple"), ("simple", "relaxed")] {
            ask.push((format!("{name} {}/{}", canonical.0, canonical.1), sign(key, &format!("{name}-good"), canonical, "x")));
        }
        for (record, text, _) in records(key, &other) {
            let selector = format!("{name}-{record}");
            published.extend(text.map(|text| (format!("{selector}._domainkey.signer.test"), text)));
            ask.push((format!("{name} key {record}"), sign(key, &selector, ("relaxed", "relaxed"), "x")));
        }
    }
    for (owner, text) in &published {
        let strings: Vec<Vec<u8>> = text.as_bytes().chunks(255).map(<[u8]>::to_vec).collect();
        dns.txt_strings(owner, &strings);
    }
    let asked: Vec<Value> = ask.iter().map(|(_, ask)| ask.clone()).collect();
    let mut cases = Vec::new();
    for ((name, ask), signature) in ask.iter().zip(dkimpy(dns.address(), &asked)) {
        let signed = format!("{}{}", signature.as_str().unwrap_or_else(|| panic!("{name}: {signature}")), plain("x"));
        if let Some((algorithm, record)) = name.split_once(" key ") {
            let key = if algorithm == "rsa" { &rsa } else { &ed25519 };
            let passes = records(key, &other).iter().any(|(own, _, passes)| *own == record && *passes);
            cases.push(Case { name: name.clone(), message: signed, passes });
            continue;
        }
        for (change, apply, [relaxed, simple]) in CHANGES {
            let of = |part: &str| if ask[part] == "relaxed" { *relaxed } else { *simple };
            // What is changed in the body is decided by how the body is read.
            let in_body = change.contains("body") || change.contains("line");
            let passes = of(if in_body { "body" } else { "header" }) == Yes;
            let changed = apply(&signed);
            assert!(*change == "nothing" || changed != signed, "{change} changes nothing: {signed}");
            cases.push(Case { name: format!("{name}, {change}"), message: changed, passes });
        }
    }
    let opendkim = opendkim_verifying(&published);
    let postern = Setup::new()
        .dns(&dns)
        .with("policy.authenticity", "enabled", "true")
        .table(&format!("[[policy.milter]]\naddress = \"inet:127.0.0.1:{}\"\n", opendkim.port))
        .start();
    // OpenDKIM waits for most of the time of each.
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (postern, cases) = (&postern, &cases);
            scope.spawn(move || {
                let mut client = postern.stranger();
                for (number, case) in cases.iter().enumerate().skip(worker).step_by(WORKERS) {
                    let reply = client.mail(&format!("case-{number}@there.test"), &[ALICE], &case.message);
                    assert_eq!(reply.code, 250, "{}: {reply:?}\n{}", case.name, postern.log());
                }
            });
        }
    });
    let delivered = postern.maildir(ALICE).wait_for(cases.len(), LONG);
    let verify: Vec<Value> = cases.iter().map(|case| json!({"do": "verify", "message": case.message})).collect();
    let python = dkimpy(dns.address(), &verify);
    let mut wrong = Vec::new();
    for (number, (case, python)) in cases.iter().zip(python).enumerate() {
        let path = format!("<case-{number}@there.test>");
        let message = delivered.iter().find(|message| message.header("Return-Path") == path).unwrap();
        let (ours, theirs) = (verdict(message, "postern.test;"), verdict(message, "opendkim.test;"));
        let python = python == true;
        let known = DISAGREED.iter().find(|(part, ..)| case.name.contains(part));
        let (right_python, right_opendkim) =
            known.map_or((case.passes, case.passes), |(_, python, opendkim, _)| (*python, *opendkim));
        if ours != case.passes || python != right_python || theirs != right_opendkim {
            let fields = message.headers("Authentication-Results").join(" | ");
            wrong.push(format!("{}: ours {ours}, dkimpy {python}, OpenDKIM {theirs}, not {}: {fields}", case.name, case.passes));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// Where they are of another opinion: which cases, dkimpy, `OpenDKIM`, and why we are not.
const DISAGREED: [(&str, bool, bool, &str); 1] = [(
    "key sha1only",
    true,
    false,
    "RFC 6376 §6.1.2: a key that is for another hash only is no key for this signature; dkimpy does not look",
)];
