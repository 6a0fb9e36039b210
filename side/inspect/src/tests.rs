//! What no single case of the corpus shows: limits, time, and octets that are no message.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use proptest::prelude::*;

use crate::names::{DomainSet, normal_address, normal_url, registered};
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
fn links_and_addresses_that_lead_to_the_same_place_have_the_same_form() {
    for (url, expected) in [
        ("http://BAD.example/", Some("bad.example/")),
        ("https://user:word@bad.example.:443/%61%2Fb?C=d%20e#f", Some("bad.example/a/b?C=d e")),
        ("http://0x7f.1:8080/x?", Some("127.0.0.1:8080/x")),
        ("mailto:a@b.test", None),
        ("no link", None),
    ] {
        assert_eq!(normal_url(url).as_deref(), expected, "{url}");
    }
    for (address, expected) in [
        ("Spam.Mer+tag@Example.COM", Some("spam.mer@example.com")),
        ("Spam.Mer+tag@GoogleMail.com", Some("spammer@gmail.com")),
        ("+x@example.com", None),
        (".+x@gmail.com", None),
        ("example.com", None),
    ] {
        assert_eq!(normal_address(address).as_deref(), expected, "{address}");
    }
    assert_eq!(registered(&domain("com")), None);
    assert_eq!(registered(&domain("a.b.example.co.uk")), Some(domain("example.co.uk")));
    assert_eq!(registered(&domain("a.anna.blogspot.com")), Some(domain("anna.blogspot.com")), "hosting providers are suffixes");
}

#[test]
fn mail_addresses_are_those_of_the_senders_of_links_and_of_text() {
    let found = read(
        b"From: a@one.example.com\r\nReply-To: B+x@gmail.com\r\nTo: d@three.test\r\nMIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n\
          <a href='MailTo:c%40example.org?subject=x@y.example.net'>x</a> write to (me@example.com). <p>a@b, @example.com, x@y.zzzz,,e@example.com</p>",
    );
    let expected = ["a@one.example.com", "b@gmail.com", "c@example.org", "x@y.example.net", "me@example.com", "e@example.com"];
    assert_eq!(found.addresses.iter().map(|address| &**address).collect::<Vec<_>>(), expected);
    let many: String = (0..1000).map(|n| format!("a{n}@example.com ")).collect();
    assert_eq!(read(&html(&many)).addresses.len(), ADDRESSES_MAX);
}

#[test]
fn a_link_behind_many_of_another_domain_is_kept_and_so_are_as_many_others() {
    let many: String = (0..5000).map(|n| format!("<a href='http://good.example.com/{n}'>x</a>")).collect();
    let found = read(&html(&format!("{many}<a href='http://bad.example.org/'>x</a>")));
    assert_eq!((found.links.len(), found.incomplete), (501, Some(Incomplete::Links)));
    assert!(found.links.iter().any(|link| link.registered == Some(domain("example.org"))));
    let many: String = (0..5000).map(|n| format!("<a href='http://good{n}.com/'>x</a>")).collect();
    assert_eq!(read(&html(&many)).links.len(), 1000);
}

#[test]
fn of_a_hundred_thousand_equal_links_some_thousands_are_read_and_it_is_said() {
    let found = read(&html(&"<a href=//x.example.com>".repeat(80_000)));
    assert_eq!((found.links.len(), found.incomplete), (1, Some(Incomplete::Links)));
}

#[test]
fn hosts_that_the_operator_names_shorten_and_redirect_as_well() {
    let own = [domain("go.example.net")];
    let message = html("<a href='http://go.example.net/?to=bad.example.org/x'>x</a>");
    assert_eq!(read(&message).links.len(), 1);
    let found = Inspector::new(Limits::default(), Hosts::new(&own, &own)).inspect(&message);
    assert_eq!(found.links.len(), 2);
    assert!(found.links[0].tricks.has(Trick::Shortener));
    assert_eq!((&*found.links[1].url, found.links[1].kind), ("http://bad.example.org/x", Kind::Within));
}

fn versions(from: &str, plain: &str, html: &str) -> bool {
    let message = format!(
        "From: {from}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n{plain}\r\n\
         --b\r\nContent-Type: multipart/related; boundary=c\r\n\r\n--c\r\nContent-Type: text/html\r\n\r\n{html}\r\n--c--\r\n--b--\r\n"
    );
    read(message.as_bytes()).links.iter().any(|link| link.tricks.has(Trick::Alternatives))
}

#[test]
fn versions_of_one_text_that_lead_to_different_places_are_odd_and_those_of_honest_mail_are_not() {
    let bad = "<a href='http://bad-pills.com/'>x</a>";
    assert!(versions("a@b.test", "see http://example.org/", bad));
    assert!(!versions("a@b.test", "see http://bad-pills.com/other", bad));
    assert!(!versions("a@b.test", "no links", bad));
    assert!(!versions("a@bad-pills.com", "see http://example.org/", bad), "to its author");
    assert!(!versions("a@b.test", "see http://bad-pills.co.uk/", bad), "one house");
    assert!(
        !versions("a@b.test", "see http://example.org/", "<a href='http://click.com/?u=http%3A%2F%2Fexample.org'>x</a>"),
        "by a counter of clicks"
    );
    assert!(!versions("a@b.test", "see http://example.org/", "<img src='http://bad-pills.com/x'>"), "a picture");
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
        prop_assert!(found.links.len() <= 2 * 3 && found.parts <= 5 && found.octets <= 500);
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
        prop_assert!(found.links.len() <= 2 * 5 && found.octets <= 700);
    }
}

/// Time of this thread for reading a message, the best of three.
fn cost(message: &[u8]) -> u128 {
    let now = || {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        u128::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u128::try_from(now.tv_nsec).unwrap()
    };
    let once = || {
        let before = now();
        read(message);
        now() - before
    };
    (0..3).map(|_| once()).min().unwrap()
}

/// Reading four times as long a word may take four times as long, and not sixteen times.
fn grows_with_the_text(of: impl Fn(usize) -> Vec<u8>, small: usize) -> bool {
    let (few, many) = (cost(&of(small)), cost(&of(4 * small)));
    many < 9 * few + 500_000
}

#[test]
fn words_of_brackets_and_of_schemes_take_time_in_proportion_to_their_length() {
    let text = |words: String| format!("From: a@b.test\r\n\r\n{words}\r\n").into_bytes();
    for piece in [")", "]", "http://a,", "xhttp://a,", "a.b(", "a.b,", "http:\\\\a\u{ad},"] {
        let of = |length: usize| text(format!("http://a{} x ", piece.repeat(length / piece.len())).repeat(8));
        assert!(grows_with_the_text(of, 2000), "{piece}");
    }
}

#[test]
fn styles_without_an_end_take_time_in_proportion_to_their_length() {
    assert!(grows_with_the_text(|length| html(&format!("<p style=\"{}\">", "url(".repeat(length / 4))), 40_000));
}

#[test]
fn tags_that_are_read_quickly_and_those_that_are_not_take_time_in_proportion_to_their_number() {
    for piece in [
        "<a href=\"",
        "<a b='c' d=e>",
        "<a b='c'>&amp;",
        "<p>x<A>y",
        "< <",
        "<!-- -->",
        "<a b='c' ",
        "<svg>",
        "<p>\r",
        "<style><p></style>",
    ] {
        assert!(grows_with_the_text(|length| html(&piece.repeat(length / piece.len())), 40_000), "{piece}");
    }
}

#[test]
fn actions_of_a_pdf_without_an_end_take_time_in_proportion_to_their_number_and_it_is_said() {
    let of = |action: &str, count: usize| {
        let head = "From: a@b.test\r\nMIME-Version: 1.0\r\nContent-Type: application/pdf\r\n\r\n%PDF-1.5\n";
        format!("{head}{}", action.repeat(count)).into_bytes()
    };
    assert!(grows_with_the_text(|count| of("/URI(http://a.example.com/", count), 2_000));
    let (open, closed) = (of("/URI(http://a.example.com/", 5_000), of("/URI(http://a.example.com)", 5_000));
    assert_eq!(read(&open).incomplete, Some(Incomplete::Octets));
    assert_eq!(read(&closed).incomplete, None);
}

#[test]
fn texts_are_read_before_what_is_attached_and_only_of_texts_rules_are_told_that_they_were_not_read() {
    let of = |file: usize, text: usize| {
        format!(
            "From: a@b.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: application/octet-stream\r\n\r\n{}\r\n\
             --b\r\nContent-Type: text/html\r\n\r\n<!--{}--><a href='http://bad.example.com/'>x</a>\r\n--b--\r\n",
            "some words ".repeat(file / 11),
            "x".repeat(text)
        )
    };
    let found = read(of(3 << 20, 0).as_bytes());
    assert_eq!((found.links.len(), found.incomplete), (1, Some(Incomplete::Octets)));
    assert!(found.facts().is_whole, "the file is what was not read");
    assert!(!read(of(0, 3 << 20).as_bytes()).facts().is_whole);
    assert!(read(of(0, 0).as_bytes()).facts().is_whole);
}

#[test]
fn a_word_that_is_longer_than_what_is_read_of_words_is_said() {
    let found = read(format!("From: a@b.test\r\n\r\n{},http://bad.example.com/\r\n", "x".repeat(9000)).as_bytes());
    assert_eq!((found.incomplete, found.facts().is_whole), (Some(Incomplete::Octets), false));
}
