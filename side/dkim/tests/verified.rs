//! What the library that verifies for us says of our signatures: of messages of every form, and of every octet that was changed.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, RsaKeyPair};
use mail_auth::dkim::{AtpsRecord, DomainKey};
use mail_auth::dns::TxtRecordParser as _;
use mail_auth::{
    AuthenticatedMessage, DkimResult, DnsCache, MessageAuthenticator, NoCache, Parameters, ResolverCache, TxtRecord,
};
use postern_dkim::{Algorithm, Key, Published, Reader, Record, Signer, published};
use postern_mail::message::signed_fields;
use proptest::prelude::*;

fn keys() -> [Arc<Key>; 2] {
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let rsa: Pkcs8V1Der<'_> = rsa.as_der().unwrap();
    let ed25519 = Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap();
    [Key::read(Algorithm::Rsa, rsa.as_ref()).unwrap().into(), Key::read(Algorithm::Ed25519, ed25519.as_ref()).unwrap().into()]
}

fn signer(keys: &[Arc<Key>]) -> Signer {
    let keys = keys.iter().map(|key| (format!("p1{}", key.algorithm().letter()), Arc::clone(key))).collect();
    let fields = signed_fields::DEFAULT.map(str::to_owned).to_vec();
    Signer { domain: "signer.test".to_owned(), keys, fields, expires_after: 0 }
}

fn sign(signer: &Signer, pieces: &[&[u8]]) -> String {
    let mut reader = Reader::default();
    pieces.iter().for_each(|piece| reader.push(piece));
    signer.sign(&reader.finish().unwrap(), 1_700_000_000).unwrap()
}

/// Records in place of a name server: the library asks nobody, and so never waits.
struct Zone(HashMap<Box<str>, TxtRecord>);

impl ResolverCache<Box<str>, TxtRecord> for Zone {
    fn get<Q>(&self, name: &Q) -> Option<TxtRecord>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.get(name).cloned().or_else(|| AtpsRecord::parse(b"v=ATPS1").ok().map(TxtRecord::from))
    }

    fn remove<Q>(&self, _: &Q) -> Option<TxtRecord>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: TxtRecord, _: Instant) {}
}

impl DnsCache for Zone {
    type Txt = Self;
    type Mx = NoCache;
    type Ipv4 = NoCache;
    type Ipv6 = NoCache;
    type Ptr = NoCache;

    fn txt(&self) -> Option<&Self::Txt> {
        Some(self)
    }

    fn mx(&self) -> Option<&Self::Mx> {
        None
    }

    fn ipv4(&self) -> Option<&Self::Ipv4> {
        None
    }

    fn ipv6(&self) -> Option<&Self::Ipv6> {
        None
    }

    fn ptr(&self) -> Option<&Self::Ptr> {
        None
    }
}

fn zone(signer: &Signer) -> Zone {
    let record = |(selector, key): &(String, Arc<Key>)| {
        let record = Record::of(&signer.domain, selector, key.algorithm(), &key.public().unwrap());
        assert_eq!(published(&record, &[record.value.clone().into_bytes()]), Published::Yes);
        (format!("{}.", record.name).into_boxed_str(), TxtRecord::from(DomainKey::parse(record.value.as_bytes())))
    };
    Zone(signer.keys.iter().map(record).collect())
}

/// How each signature fares.
fn verify(zone: &Zone, message: &[u8]) -> Vec<bool> {
    let library = MessageAuthenticator::new_google().unwrap();
    let Some(message) = AuthenticatedMessage::parse(message) else { return Vec::new() };
    let verifying = pin!(library.verify_dkim(Parameters::new(&message).with_cache(zone)));
    let Poll::Ready(outputs) = verifying.poll(&mut Context::from_waker(Waker::noop())) else { panic!("somebody was asked") };
    outputs.iter().map(|output| *output.result() == DkimResult::Pass).collect()
}

const HEADER: &str = "Received: by x\r\nFrom: Alice <alice@signer.test>\r\nTo: bob@far.test,\r\n\tcarol@far.test\r\nSUBJECT:  a   b \r\n\
    Date: Tue, 24 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@signer.test>\r\nX-Own: 1\r\nContent-Type: text/plain;\r\n charset=utf-8\r\n";

#[test]
fn messages_of_every_form_are_signed_so_that_both_signatures_hold() {
    let signer = signer(&keys());
    let zone = zone(&signer);
    let long = format!("{}Subject: {}\r\n", HEADER, "word ".repeat(150).trim_end().replace(" word word", "\r\n word word"));
    let lines = "0123456789 abcdefghij\r\n".repeat(5000);
    for (header, body) in [
        (HEADER, "Hello\r\n"),
        (HEADER, ""),
        (HEADER, "\r\n\r\n"),
        (HEADER, "Hello \t \r\n\r\n \r\n\r\n"),
        (HEADER, "  two  spaces\r\n.\r\n..dots\r\n"),
        (HEADER, "\u{e4}\u{f6}\u{fc}\r\n"),
        (HEADER, "no end of line"),
        (&long, "Hello\r\n"),
        (HEADER, &lines),
        ("From: a@signer.test\r\n", "Hello\r\n"),
        ("From: a@signer.test\r\nList-Id: <l.signer.test>\r\nSender: b@signer.test\r\n", "Hello\r\n"),
    ] {
        let message = format!("{header}\r\n{body}");
        let fields = sign(&signer, &[message.as_bytes()]);
        assert!(fields.lines().all(|line| line.len() <= 78), "{fields}");
        let signed = format!("{fields}{message}");
        assert_eq!(verify(&zone, signed.as_bytes()), [true, true], "{signed}");
        let trailed = format!("{signed}\r\n \r\n");
        assert_eq!(
            verify(&zone, trailed.as_bytes()),
            [body != "no end of line"; 2].map(|_| true),
            "empty lines at the end are nothing"
        );
    }
}

#[test]
fn whatever_a_reader_sees_cannot_be_changed_taken_or_added() {
    let signer = signer(&keys());
    let zone = zone(&signer);
    let message = format!("{HEADER}\r\nHello, here are 10 pounds.\r\nYours\r\n");
    let signed = format!("{}{message}", sign(&signer, &[message.as_bytes()]));
    assert_eq!(verify(&zone, signed.as_bytes()), [true, true]);
    let changes: [(&str, &str); 9] = [
        ("Alice <", "Mallory <"),
        ("\r\nTo: bob", "\r\nTo: rob"),
        (" a   b", " a c"),
        ("24 Nov", "25 Nov"),
        ("<1@", "<2@"),
        ("charset=utf-8", "charset=utf-7"),
        ("10 pounds", "99 pounds"),
        ("Yours\r\n", ""),
        ("Yours\r\n", "Yours\r\nbuy\r\n"),
    ];
    for (from, to) in changes {
        let changed = signed.replace(from, to);
        assert_ne!(changed, signed, "{from}");
        assert_eq!(verify(&zone, changed.as_bytes()), [false, false], "{from} to {to}");
    }
    // Before and behind the fields that are there, since readers differ in which they show.
    for added in signed_fields::DEFAULT.into_iter().filter(|name| !signed_fields::may_be_added(name)) {
        let (before, behind) =
            (format!("{added}: x\r\n{signed}"), signed.replace("X-Own: 1\r\n", &format!("X-Own: 1\r\n{added}: x\r\n")));
        assert_eq!(verify(&zone, before.as_bytes()), [false, false], "{added} in front");
        assert_eq!(verify(&zone, behind.as_bytes()), [false, false], "{added} behind");
    }
    for harmless in [
        "Received: by y\r\n",
        "Return-Path: <x@y.test>\r\n",
        "List-Id: <l.far.test>\r\n",
        "Authentication-Results: y; dkim=pass\r\n",
    ] {
        assert_eq!(verify(&zone, format!("{harmless}{signed}").as_bytes()), [true, true], "{harmless}");
    }
}

#[test]
fn a_signature_can_have_an_end_and_has_no_length() {
    let mut signer = signer(&keys());
    signer.expires_after = 60;
    let message = format!("{HEADER}\r\nHello\r\n");
    let fields = sign(&signer, &[message.as_bytes()]);
    assert!(fields.contains(" t=1700000000; x=1700000060;"), "{fields}");
    // That moment is long gone.
    assert_eq!(verify(&zone(&signer), format!("{fields}{message}").as_bytes()), [false, false]);
    assert!(!fields.contains("l="), "{fields}");
}

#[test]
fn a_header_section_that_is_too_long_is_not_read_and_one_that_is_missing_is() {
    let mut reader = Reader::default();
    for _ in 0..10_000 {
        reader.push(b"X-A: 0123456789\r\n");
    }
    assert!(reader.finish().is_none());
    let mut reader = Reader::default();
    reader.push(b"\r\nbody\r\n");
    assert!(reader.finish().is_some_and(|read| read.headers.from_addresses().is_err()));
}

#[test]
fn what_is_no_key_is_refused_and_a_key_is_not_printed() {
    assert!(Key::read(Algorithm::Rsa, b"none").is_err() && Key::read(Algorithm::Ed25519, b"").is_err());
    let [rsa, ed25519] = keys();
    assert_eq!(format!("{rsa:?} {ed25519:?}"), "Key(rsa-sha256) Key(ed25519-sha256)");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn however_a_message_is_written_and_cut_its_signatures_hold(
        body in prop::collection::vec(prop_oneof![Just("a"), Just(" "), Just("\t"), Just("\r\n"), Just("."), Just("\u{e4}"), Just("word word")], 0..40),
        subject in prop::collection::vec(prop_oneof![Just("x"), Just(" "), Just("\t"), Just("\r\n y"), Just(":"), Just(";")], 0..12),
        at in 0_usize..400,
    ) {
        thread_local!(static SIGNER: Signer = signer(&keys()));
        SIGNER.with(|signer| {
            let message = format!("From: a@signer.test\r\nSubject: x{}\r\n\r\n{}\r\n", subject.concat(), body.concat()).into_bytes();
            let (head, tail) = message.split_at(at.min(message.len()));
            let fields = sign(signer, &[head, tail]);
            let signed = [fields.as_bytes(), &message].concat();
            assert_eq!(verify(&zone(signer), &signed), [true, true], "{}", String::from_utf8_lossy(&signed));
        });
    }
}
