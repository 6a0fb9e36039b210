//! Reports: the three parts for each kind of outcome, and that hostile text stays within its line.

use postern_mail::envelope::{DsnRequest, Notify};
use postern_mail::outcome::Evidence;
use postern_mail::{Mailbox, Outcome, Recipient, ReversePath, Scope, Status};
use proptest::prelude::*;

use super::*;
use crate::due::{DelayNotice, Ended, Reach, reports_due};

const NOON: UnixMillis = UnixMillis(1_795_495_717_000);
const ALL: Option<Notify> = Some(Notify { success: true, failure: true, delay: true });
const MESSAGE: &[u8] =
    b"From: Alice <alice@here.example>\r\nTo: bob@there.example\r\nSubject: Lunch\r\nMessage-ID: <1@here.example>\r\n\r\n\
    At noon?\r\n";

fn envelope(from: &str) -> Envelope {
    Envelope {
        from: ReversePath::Mailbox(Mailbox::parse(from).unwrap()),
        recipients: vec![],
        body: BodyKind::SevenBit,
        smtputf8: !from.is_ascii(),
        require_tls: false,
        ret: None,
        envid: None,
        account: None,
        client: None,
        received: UnixMillis(NOON.0 - 3_600_000),
    }
}

fn recipient(address: &str, original: Option<&str>) -> Recipient {
    let dsn = DsnRequest { notify: ALL, original: original.map(Into::into) };
    Recipient::restored_from_spool(Mailbox::parse(address).unwrap(), false, dsn)
}

fn evidence(by: &str, text: &str) -> Evidence {
    Evidence { by: by.into(), text: text.into() }
}

fn bounced(status: Status, by: &str, text: &str) -> Outcome {
    Outcome::Bounced { scope: Scope::Recipient, status, evidence: evidence(by, text) }
}

fn write(envelope: &Envelope, ended: &[(Recipient, Outcome, Reach)], message: &[u8]) -> Report {
    let ended: Vec<Ended<'_>> =
        ended.iter().map(|(recipient, outcome, reach)| Ended { recipient, outcome, reach: *reach }).collect();
    let delay = DelayNotice::Due { retry_until: UnixMillis(NOON.0 + 432_000_000) };
    let due = reports_due(envelope, &ended, delay).unwrap();
    let returned = due.returned(envelope, message.len() as u64, 65_536);
    let reporter = Reporter { hostname: "mx.here.example", now: NOON, id: MessageId(99), seed: 7 };
    reporter.write(&due, &Original { envelope, id: MessageId(42), bytes: message, returned })
}

/// A part: its header fields and its body.
type Section = (Vec<(String, String)>, String);

fn section(text: &str) -> Section {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in head.split("\r\n") {
        match line.strip_prefix([' ', '\t']) {
            Some(more) => fields.last_mut().unwrap().1.push_str(more.trim_start()),
            None => {
                let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no field: {line:?}"));
                fields.push((name.to_owned(), value.to_owned()));
            }
        }
    }
    (fields, body.to_owned())
}

fn value<'a>(section: &'a Section, name: &str) -> Option<&'a str> {
    section.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
}

/// Takes a report apart as a mail program would: the header and the three parts.
fn take_apart(report: &Report) -> (Section, Vec<Section>) {
    let text = String::from_utf8_lossy(&report.bytes).into_owned();
    let whole = section(&text);
    let content_type = value(&whole, "Content-Type").unwrap();
    let boundary = content_type.split_once("boundary=\"").unwrap().1.trim_end_matches('"').to_owned();
    let (inside, after) = whole.1.split_once(&format!("\r\n--{boundary}--\r\n")).unwrap();
    assert_eq!(after, "", "nothing follows the last boundary");
    let inside = format!("\r\n{inside}");
    let parts = inside.split(&format!("\r\n--{boundary}\r\n")).skip(1).map(section).collect();
    (whole, parts)
}

const HEADER: [&str; 10] = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Auto-Submitted",
    "MIME-Version",
    "Content-Type",
];

fn names(section: &Section) -> Vec<&str> {
    section.0.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn a_failure_reads_as_it_should() {
    let mut envelope = envelope("alice@here.example");
    envelope.envid = Some("QQ+2B1".into());
    let unknown = bounced(Status::new(5, 1, 1), "mx.there.example [192.0.2.1]", "550 5.1.1 <bob@there.example>: no such user");
    let expired = Outcome::Expired { status: Status::new(4, 4, 1), evidence: evidence("", "connection refused") };
    let report = write(
        &envelope,
        &[
            (recipient("bob@there.example", Some("rfc822;robert+2Bx@there.example")), unknown, Reach::NextHop),
            (recipient("carol@slow.example", None), expired, Reach::NextHop),
        ],
        MESSAGE,
    );
    insta::assert_snapshot!("failure", String::from_utf8(report.bytes).unwrap().replace("\r\n", "\n"));
    assert_eq!((report.body, report.smtputf8), (BodyKind::SevenBit, false));
}

#[test]
fn a_delay_reads_as_it_should() {
    let deferred = Outcome::Deferred {
        scope: Scope::Recipient,
        status: Status::new(4, 2, 2),
        evidence: evidence("mx.there.example [192.0.2.1]", "452 4.2.2 mailbox full"),
    };
    let report =
        write(&envelope("alice@here.example"), &[(recipient("bob@there.example", None), deferred, Reach::NextHop)], MESSAGE);
    insta::assert_snapshot!("delay", String::from_utf8(report.bytes).unwrap().replace("\r\n", "\n"));
}

#[test]
fn a_success_reads_as_it_should() {
    let delivered = |by: &str, text: &str| Outcome::Delivered { evidence: evidence(by, text), dsn_passed_on: false };
    let report = write(
        &envelope("alice@here.example"),
        &[
            (recipient("bob@here.example", None), delivered("/var/mail/here.example/bob", "stored"), Reach::Mailbox),
            (recipient("dora@old.example", None), delivered("mx.old.example [192.0.2.9]", "250 ok"), Reach::NextHop),
            (recipient("team@here.example", None), delivered("", ""), Reach::Members),
        ],
        MESSAGE,
    );
    insta::assert_snapshot!("success", String::from_utf8(report.bytes).unwrap().replace("\r\n", "\n"));
}

#[test]
fn an_international_failure_reads_as_it_should() {
    let message = "From: Jürgen <jürgen@here.example>\r\nSubject: Grüße\r\n\r\nÄpfel\r\n";
    let refused = bounced(Status::new(5, 6, 7), "mx.there.example", "553 5.6.7 ungültig");
    let report = write(
        &envelope("jürgen@here.example"),
        &[(recipient("björn@there.example", Some("utf-8;bj\\x{F6}rn@there.example")), refused, Reach::NextHop)],
        message.as_bytes(),
    );
    insta::assert_snapshot!("international", String::from_utf8(report.bytes).unwrap().replace("\r\n", "\n"));
    assert_eq!((report.body, report.smtputf8), (BodyKind::EightBitMime, true));
}

#[test]
fn an_ascii_sender_hears_of_an_international_recipient_in_ascii_fields() {
    let refused = bounced(Status::new(5, 6, 7), "mx.there.example", "553 5.6.7 ungültig");
    let report =
        write(&envelope("alice@here.example"), &[(recipient("björn@there.example", None), refused, Reach::NextHop)], MESSAGE);
    let (_, parts) = take_apart(&report);
    assert_eq!(value(&parts[1], "Content-Type"), Some("message/delivery-status"));
    assert_eq!(value(&parts[1], "Content-Transfer-Encoding"), Some("7bit"));
    assert!(parts[1].1.contains("Final-Recipient: utf-8; bj\\x{F6}rn@there.example\r\n"), "{}", parts[1].1);
    assert!(parts[1].1.contains("smtp; 553 5.6.7 ung?ltig"), "{}", parts[1].1);
    assert!(parts[0].1.contains("björn@there.example"), "people see the address as it is");
    assert!(!report.smtputf8);
}

#[test]
fn a_header_has_what_keeps_automatic_replies_away() {
    let refused = bounced(Status::new(5, 1, 1), "mx.there.example", "550 no");
    let report =
        write(&envelope("alice@here.example"), &[(recipient("bob@there.example", None), refused, Reach::NextHop)], MESSAGE);
    let (whole, parts) = take_apart(&report);
    assert_eq!(names(&whole), HEADER);
    assert_eq!(value(&whole, "Auto-Submitted"), Some("auto-replied"));
    assert_eq!(value(&whole, "To"), Some("<alice@here.example>"));
    assert_eq!(value(&whole, "References"), Some("<1@here.example>"));
    assert!(Headers::parse(&report.bytes).from_addresses().is_ok());
    assert_eq!(parts.len(), 3);
    assert_eq!(parts[2].1.as_bytes(), MESSAGE, "the message comes back unchanged");
}

#[test]
fn a_message_that_knows_the_boundary_cannot_end_a_part() {
    let guessed = format!("=_{}_{:016x}", MessageId(99), 7);
    let message = format!("Subject: x\r\n\r\n--{guessed}--\r\nContent-Type: text/html\r\n\r\nforged\r\n");
    let refused = bounced(Status::new(5, 1, 1), "mx.there.example", &format!("550 --{guessed}"));
    let ended = [(recipient("bob@there.example", None), refused, Reach::NextHop)];
    let report = write(&envelope("alice@here.example"), &ended, message.as_bytes());
    let (_, parts) = take_apart(&report);
    assert_eq!(parts.len(), 3);
    assert_eq!(parts[2].1, message);
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,80}",
        proptest::collection::vec(any::<char>(), 0..60).prop_map(|chars| chars.into_iter().collect()),
        "(550|250|x)[ -](\r\n|\r|\n|Bcc: x@y.example|--|=_| ){0,30}",
        "[a-z]{900,1500}",
        "[üé]{400,600}",
    ]
}

fn any_mailbox() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("bob@there.example".to_owned()),
        "[a-zü]{1,20}@[a-z]{1,10}\\.example",
        proptest::collection::vec(any::<char>(), 0..60)
            .prop_map(|chars| format!("\"{}\"@there.example", chars.iter().flat_map(|c| ['\\', *c]).collect::<String>())),
        Just(format!("\"ü{}\"@{}.example", "\\\\".repeat(60), ["abcdefgh"; 11].join("."))),
    ]
}

proptest! {
    #[test]
    fn whatever_goes_in_a_report_is_clean_and_has_just_its_own_headers_and_parts(
        by in any_text(),
        text in any_text(),
        from in any_mailbox(),
        to in any_mailbox(),
        original in proptest::option::of(any_text()),
        envid in proptest::option::of(any_text()),
        message in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300),
            "(Subject: [ -~ü]{0,40}\r\n){0,3}\r\n([ -~ü]{0,40}\r\n){0,3}".prop_map(String::into_bytes),
        ],
        kind in 0..4_u8,
        smtputf8 in any::<bool>(),
    ) {
        prop_assume!(Mailbox::parse(&from).is_ok() && Mailbox::parse(&to).is_ok());
        let mut envelope = envelope(&from);
        envelope.envid = envid.map(Into::into);
        envelope.smtputf8 |= smtputf8;
        let evidence = evidence(&by, &text);
        let outcome = match kind {
            0 => Outcome::Bounced { scope: Scope::Message, status: Status::new(5, 7, 1), evidence },
            1 => Outcome::Deferred { scope: Scope::Host, status: Status::new(4, 4, 2), evidence },
            2 => Outcome::Expired { status: Status::new(4, 4, 7), evidence },
            _ => Outcome::Delivered { evidence, dsn_passed_on: false },
        };
        let ended = [(recipient(&to, original.as_deref()), outcome, Reach::NextHop)];
        let report = write(&envelope, &ended, &message);

        prop_assert!(lines::is_clean(&report.bytes));
        prop_assert!(report.bytes.ends_with(b"\r\n"));
        prop_assert_eq!(report.bytes.is_ascii(), report.body == BodyKind::SevenBit);
        let headers = Headers::parse(&report.bytes);
        prop_assert_eq!(headers.fault(), None);
        prop_assert!(report.smtputf8 || !headers.has_eight_bit());

        let (whole, parts) = take_apart(&report);
        let extra: Vec<&str> = names(&whole).into_iter().filter(|name| !HEADER.contains(name)).collect();
        prop_assert!(extra.is_empty(), "{:?}", extra);
        prop_assert_eq!(parts.len(), 3);
        for part in &parts {
            prop_assert_eq!(names(part), ["Content-Type", "Content-Transfer-Encoding"]);
        }
        let known = [
            "Original-Envelope-Id", "Reporting-MTA", "Arrival-Date", "Original-Recipient", "Final-Recipient", "Action", "Status",
            "Remote-MTA", "Diagnostic-Code", "Last-Attempt-Date", "Will-Retry-Until",
        ];
        let groups: Vec<Section> = parts[1].1.trim_end().split("\r\n\r\n").map(section).collect();
        prop_assert_eq!(groups.len(), 2, "one group about the message, one about the recipient");
        for group in &groups {
            prop_assert!(names(group).iter().all(|name| known.contains(name)), "{:?}", names(group));
        }
        if value(&parts[1], "Content-Type") == Some("message/delivery-status") {
            prop_assert!(parts[1].1.is_ascii());
        }
    }
}
