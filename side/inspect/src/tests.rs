//! What no single case of the corpus shows: limits, time, and octets that are no message.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use proptest::prelude::*;

use crate::names::{DomainSet, queries, registered, reversed};
use crate::*;

fn read(octets: &[u8]) -> Inspection {
    inspect(octets, &Limits::default())
}

fn html(body: &str) -> Vec<u8> {
    format!("From: a@b.test\r\nMIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{body}").into_bytes()
}

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

#[test]
fn of_ten_thousand_links_as_many_are_kept_as_may_be_and_it_is_said() {
    let many: String = (0..10_000).map(|n| format!("<a href='http://h{n}.example.com/'>x</a>")).collect();
    let found = read(&html(&many));
    assert_eq!((found.links.len(), found.incomplete), (500, Some(Incomplete::Links)));
    let same = "<a href='http://h.example.com/'>x</a>".repeat(10_000);
    let found = read(&html(&same));
    assert_eq!((found.links.len(), found.incomplete), (1, None));
}

#[test]
fn ten_thousand_parts_within_each_other_end_at_the_limit_and_it_is_said() {
    let mut nested = String::from("From: a@b.test\r\nMIME-Version: 1.0\r\n");
    for n in 0..10_000 {
        nested += &format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n");
    }
    let found = read(nested.as_bytes());
    assert!(found.parts <= 500);
    assert_eq!(found.incomplete, Some(Incomplete::Parts));
}

#[test]
fn ten_thousand_parts_beside_each_other_end_at_the_limit_and_it_is_said() {
    let mut many = String::from("From: a@b.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n");
    many += &"--b\r\nContent-Type: text/plain\r\n\r\nhttp://x.example.com/\r\n".repeat(10_000);
    let found = read(many.as_bytes());
    assert!(found.parts <= 500);
    assert_eq!((found.links.len(), found.incomplete), (1, Some(Incomplete::Parts)));
}

#[test]
fn of_twenty_mebibytes_of_html_as_much_is_searched_as_may_be_and_it_is_said() {
    let found = read(&html(&"<p>Hello there, x.y</p>\r\n".repeat(1 << 20)));
    assert!(found.octets <= Limits::default().octets_max);
    assert_eq!(found.incomplete, Some(Incomplete::Octets));
}

#[test]
fn a_bomb_in_a_pdf_is_inflated_to_the_limit_and_it_is_said() {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    for _ in 0..64 {
        encoder.write_all(&[b' '; 1 << 20]).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    let mut message = b"From: a@b.test\r\nMIME-Version: 1.0\r\nContent-Type: application/pdf\r\n\r\n%PDF-1.5\n".to_vec();
    for _ in 0..8 {
        message.extend_from_slice(b"stream\n");
        message.extend_from_slice(&bomb);
    }
    let found = read(&message);
    assert!(found.octets <= Limits::default().octets_max);
    assert_eq!(found.incomplete, Some(Incomplete::Octets));
}

#[test]
fn what_a_link_says_is_printable_and_short() {
    let found = read(&html(&format!(
        "<a href=\"http://bad\u{1}\u{202e} x/{}\">x</a><a href='javascript:\u{7f}\u{9b}'>x</a>",
        "y".repeat(9000)
    )));
    assert_eq!(found.links.len(), 2);
    for link in &found.links {
        assert!(link.url.len() <= URL_BYTES_MAX && link.url.bytes().all(|b| b.is_ascii_graphic()), "{link:?}");
    }
}

#[test]
fn senders_are_domains_of_from_reply_to_and_sender() {
    let found = read(b"From: a@one.test\r\nReply-To: <b@two.test>\r\nSender: c@one.test\r\nTo: d@three.test\r\n\r\nx\r\n");
    assert_eq!(found.senders, [domain("one.test"), domain("two.test")]);
}

#[test]
fn rules_are_told_of_the_oddest_links_only() {
    let many: String = (0..40).map(|n| format!("<a href='http://192.0.2.{n}/'>x</a>")).collect();
    let facts = read(&html(&format!("{many}<a href='http://u@xn--80ak6aa92e.com/'>https://bank.org/</a>"))).facts();
    assert_eq!((facts.odd.len(), facts.is_whole), (LINKS_MAX, true));
    assert_eq!(facts.odd[0].name(), "xn--80ak6aa92e[.]com");
    assert!(read(&html("<a href='http://example.com/'>x</a>")).facts().odd.is_empty());
}

#[test]
fn lists_are_asked_for_the_registered_domain_and_one_label_more_where_they_say_so() {
    let wider: DomainSet = [domain("hoster.example.com")].into_iter().collect();
    assert_eq!(queries(&domain("a.b.example.co.uk"), &wider), [domain("example.co.uk")]);
    assert_eq!(queries(&domain("x.anna.hoster.example.com"), &wider), [domain("example.com"), domain("anna.hoster.example.com")]);
    assert!(queries(&domain("co.uk"), &wider).is_empty());
    assert_eq!(registered(&domain("com")), None);
    assert_eq!(reversed("192.0.2.1".parse().unwrap()), "1.2.0.192");
}

#[test]
fn a_set_of_domains_covers_what_is_below_them_and_nothing_that_only_ends_alike() {
    let set: DomainSet = [domain("bad.example.com")].into_iter().collect();
    assert_eq!(set.covers(&domain("a.b.bad.example.com")), Some(&domain("bad.example.com")));
    assert_eq!(set.covers(&domain("bad.example.com")), Some(&domain("bad.example.com")));
    assert_eq!(set.covers(&domain("notbad.example.com")), None);
    assert_eq!(set.covers(&domain("example.com")), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_octets_end_within_the_limits(octets in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let small = Limits { links_max: 3, parts_max: 5, depth_max: 3, octets_max: 500 };
        let found = inspect(&octets, &small);
        prop_assert!(found.links.len() <= 3 && found.parts <= 5 && found.octets <= 500);
    }

    #[test]
    fn any_text_around_links_ends_within_the_limits(
        pieces in proptest::collection::vec(
            prop_oneof![
                Just("<a href=\"".to_owned()), Just("http://".to_owned()), Just("\">".to_owned()), Just("bad.com".to_owned()), Just("[.".to_owned()),
                Just("data:text/html,".to_owned()), Just("<style>".to_owned()), Just("url(".to_owned()), Just("<!--[if".to_owned()),
                Just("%".to_owned()), Just("@".to_owned()), Just("xn--".to_owned()), Just("\u{3002}".to_owned()), Just("&#".to_owned()), ".{0,8}",
            ],
            0..60,
        )
    ) {
        let small = Limits { links_max: 5, parts_max: 5, depth_max: 3, octets_max: 700 };
        let found = inspect(&html(&pieces.concat()), &small);
        prop_assert!(found.links.len() <= 5 && found.octets <= 700);
    }
}
