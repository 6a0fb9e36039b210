//! Header sections: fields found, faults named, any octets survived.

use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Headers {
    Headers::parse(text.as_bytes())
}

fn printed(headers: &Headers) -> Result<Vec<String>, HeaderFault> {
    headers.from_addresses().map(|list| list.iter().map(ToString::to_string).collect())
}

#[test]
fn fields_come_in_order_and_folds_are_undone() {
    let headers = read("Received: one\r\nSubject: a\r\n  b\r\nreceived: two\r\n\r\nFrom: body@example.org\r\n");
    let names: Vec<&str> = headers.fields().map(|f| f.name).collect();
    assert_eq!(names, ["Received", "Subject", "received"]);
    assert_eq!(headers.named("SUBJECT").next().unwrap().text().unwrap(), "a  b");
    assert_eq!(headers.received_count(), 2);
    assert_eq!(headers.fault(), None);
    assert_eq!(headers.from_addresses(), Err(HeaderFault::FromMissing), "the body is no header");
}

#[test]
fn a_message_that_begins_with_an_empty_line_has_no_header() {
    let headers = read("\r\nFrom: a@example.org\r\n");
    assert_eq!(headers.fields().count(), 0);
    assert_eq!(headers.from_addresses(), Err(HeaderFault::FromMissing));
}

#[test]
fn a_message_without_an_empty_line_is_all_header() {
    assert_eq!(printed(&read("From: a@example.org\r\n")), Ok(vec!["a@example.org".to_owned()]));
}

#[test]
fn a_from_in_disguise_is_a_fault_and_not_a_missing_from() {
    for (text, fault) in [
        ("From : a@example.org\r\n\r\n", HeaderFault::FieldName),
        ("Fr om: a@example.org\r\n\r\n", HeaderFault::FieldName),
        ("From\t: a@example.org\r\n\r\n", HeaderFault::FieldName),
        ("Fr\u{43e}m: a@example.org\r\n\r\n", HeaderFault::FieldName),
        (": a@example.org\r\n\r\n", HeaderFault::FieldName),
        ("From a@example.org\r\n\r\n", HeaderFault::NotAField),
        ("From a Thu Jan 1 00:00:00 1970\r\nFrom: a@example.org\r\n\r\n", HeaderFault::FieldName),
        (" From: a@example.org\r\n\r\n", HeaderFault::StrayContinuation),
        ("Subject: x\r\n \t\r\nFrom: a@example.org\r\n\r\n", HeaderFault::BlankContinuation),
        ("Subject: x\0\r\nFrom: a@example.org\r\n\r\n", HeaderFault::Control),
        ("Subject: x\nFrom: a@example.org\r\n\r\n", HeaderFault::Control),
        ("Subject: x\rFrom: a@example.org\r\n\r\n", HeaderFault::Control),
        ("From: a@example.org", HeaderFault::Unterminated),
    ] {
        let headers = read(text);
        assert_eq!(headers.fault(), Some(fault), "{text:?}");
        assert_eq!(headers.from_addresses(), Err(fault), "{text:?}");
        assert_eq!(headers.sender_address(), Err(fault), "{text:?}");
    }
}

#[test]
fn fields_behind_a_broken_line_are_still_counted() {
    let headers = read("Received: a\r\nbroken\r\n continued\r\nReceived: b\r\n\r\n");
    assert_eq!(headers.fault(), Some(HeaderFault::NotAField));
    assert_eq!(headers.received_count(), 2);
    assert_eq!(headers.named("received").next().unwrap().text().unwrap(), "a");
}

#[test]
fn two_from_fields_are_a_fault_in_any_case() {
    let headers = read("From: a@example.org\r\nfROM: b@example.org\r\n\r\n");
    assert_eq!(headers.from_addresses(), Err(HeaderFault::FromRepeated));
}

#[test]
fn a_from_outside_utf8_or_without_an_address_is_unreadable() {
    for bytes in [&b"From: \xff <a@example.org>\r\n\r\n"[..], b"From:\r\n\r\n", b"From: nobody:;\r\n\r\n", b"From: a\r\n\r\n"] {
        assert_eq!(Headers::parse(bytes).from_addresses(), Err(HeaderFault::FromUnreadable), "{bytes:?}");
    }
    let raw = "From: J\u{fc}rgen <a@example.org>\r\n\r\n";
    assert!(read(raw).has_eight_bit());
    assert_eq!(printed(&read(raw)), Ok(vec!["a@example.org".to_owned()]));
}

#[test]
fn sender_is_one_mailbox_or_none() {
    assert_eq!(read("From: a@example.org\r\n\r\n").sender_address(), Ok(None));
    assert_eq!(read("Sender: B <b@example.org>\r\n\r\n").sender_address().unwrap().unwrap().to_string(), "b@example.org");
    assert_eq!(read("Sender: a@d.example, b@d.example\r\n\r\n").sender_address(), Err(HeaderFault::SenderUnreadable));
    assert_eq!(read("Sender: a@d.example\r\nSender: a@d.example\r\n\r\n").sender_address(), Err(HeaderFault::SenderRepeated));
}

#[test]
fn delivered_to_is_read_with_and_without_brackets() {
    let headers = read("Delivered-To: a@d.example\r\nDelivered-To: <b@d.example>\r\nDelivered-To: nobody\r\n\r\n");
    let all: Vec<String> = headers.delivered_to().map(|m| m.to_string()).collect();
    assert_eq!(all, ["a@d.example", "b@d.example"]);
}

#[test]
fn a_message_id_is_only_repeated_when_it_is_clean_and_alone() {
    assert_eq!(read("Message-ID: <a@b>\r\n\r\n").message_id().as_deref(), Some("<a@b>"));
    for bad in ["<a b@c>", "a@b", "<a@b> <c@d>", "<ab>", "<\u{fc}@b>", &format!("<{}@b>", "a".repeat(MESSAGE_ID_BYTES_MAX))] {
        assert_eq!(read(&format!("Message-ID: {bad}\r\n\r\n")).message_id(), None, "{bad}");
    }
    assert_eq!(read("Message-ID: <a@b>\r\nMessage-ID: <a@b>\r\n\r\n").message_id(), None);
}

#[test]
fn a_header_without_end_is_cut_and_says_so() {
    let mut collector = HeaderCollector::new();
    let line = format!("Received: {}\r\n", "x".repeat(1010));
    let mut pieces = 0;
    while collector.push(line.as_bytes()) {
        pieces += 1;
        assert!(pieces < 100, "the limit holds");
    }
    assert!(!collector.push(b"\r\n"), "what comes after the limit is not looked at");
    let headers = collector.finish();
    assert!(headers.as_bytes().len() <= HEADER_BYTES_MAX);
    assert_eq!(headers.fault(), Some(HeaderFault::TooLong));
    assert!(headers.received_count() >= 60, "what was seen is counted");
}

#[test]
fn a_section_of_exactly_the_limit_is_read() {
    let section = format!("A: {}\r\n\r\n", "x".repeat(HEADER_BYTES_MAX - 7));
    assert_eq!(section.len(), HEADER_BYTES_MAX);
    assert_eq!(read(&section).fault(), None);
    assert_eq!(read(&section.replacen('x', "xx", 1)).fault(), Some(HeaderFault::TooLong));
}

proptest! {
    #[test]
    fn any_octets_are_read_without_panic_and_any_cut_gives_the_same(
        bytes in proptest::collection::vec(prop_oneof![
            Just(b'\r'), Just(b'\n'), Just(b' '), Just(b':'), Just(b'F'), Just(b'@'), Just(b'<'), Just(b'"'), Just(b'('), any::<u8>()
        ], 0..200),
        cut in 1_usize..9,
    ) {
        let whole = Headers::parse(&bytes);
        let mut collector = HeaderCollector::new();
        for piece in bytes.chunks(cut) {
            collector.push(piece);
        }
        let cut = collector.finish();
        prop_assert_eq!(whole.as_bytes(), cut.as_bytes());
        prop_assert_eq!(whole.fault(), cut.fault());
        prop_assert_eq!(whole.from_addresses(), cut.from_addresses());
        for field in whole.fields() {
            prop_assert!(!field.unfolded().contains(&b'\n'));
        }
    }
}

#[test]
fn fields_are_taken_out_whole_and_the_rest_is_left_as_it_was() {
    let section =
        b"X-Mark: a\r\nFrom: a@b.test\r\nx-mark: folded\r\n over lines\r\nTo: c@d.test\r\nX-Mark: last\r\n\r\nX-Mark: body\r\n";
    let headers = Headers::parse(section);
    let left = headers.without(section, |field| field.is("X-Mark"));
    assert_eq!(&*left, b"From: a@b.test\r\nTo: c@d.test\r\n\r\nX-Mark: body\r\n");
    assert!(
        matches!(headers.without(section, |field| field.is("Cc")), std::borrow::Cow::Borrowed(_)),
        "nothing is copied for nothing"
    );
    let uncertain = b"X-Mark: a\r\nno field\r\nFrom: a@b.test\r\n\r\n";
    assert_eq!(&*Headers::parse(uncertain).without(uncertain, |field| field.is("X-Mark")), uncertain);
}

fn authors(section: &[u8]) -> Result<Vec<String>, HeaderFault> {
    Headers::parse(section).authors().map(|list| list.iter().map(ToString::to_string).collect())
}

#[test]
fn a_malformed_line_that_a_reader_may_take_for_from_leaves_no_author() {
    let own = "From: x@attacker.example\r\n";
    for (hidden, fault) in [
        ("From : ceo@bank.example\r\n", HeaderFault::FieldName),
        ("Fr\u{a0}om: ceo@bank.example\r\n", HeaderFault::FieldName),
        (" From: ceo@bank.example\r\n", HeaderFault::StrayContinuation),
        ("X: y\r\n \r\n From: ceo@bank.example\r\n", HeaderFault::BlankContinuation),
        ("X: y\nFrom: ceo@bank.example\r\n", HeaderFault::Control),
        ("X: y\rFrom\0: ceo@bank.example\r\n", HeaderFault::Control),
    ] {
        for section in [format!("{hidden}{own}\r\n"), format!("X: z\r\n{own}broken\r\n{hidden}\r\n")] {
            assert!(authors(section.as_bytes()).is_err(), "{section:?}");
        }
        assert_eq!(authors(format!("{hidden}{own}\r\n").as_bytes()), Err(fault), "{hidden:?}");
    }
    let long = format!("{own}X: {}\r\nFrom: ceo@bank.example\r\n\r\n", "x".repeat(HEADER_BYTES_MAX));
    assert_eq!(authors(long.as_bytes()), Err(HeaderFault::TooLong));
    // What cannot be taken for From is for other rules.
    assert_eq!(authors(format!("broken line\r\n{own}X : From: y\r\n\r\n").as_bytes()), Ok(vec!["x@attacker.example".into()]));
}

#[test]
fn malformed_from_fields_of_good_mail_name_all_their_addresses() {
    for (from, expected) in [
        (&b"info@shop.example <info@shop.example>"[..], vec!["info@shop.example", "info@shop.example"]),
        (b"Muster, Anna <a@x.example>", vec!["a@x.example"]),
        (b"J\xfcrgen <a@x.example>", vec!["a@x.example"]),
        (b"< a@x.example >", vec!["a@x.example"]),
        (b"'a@x.example' <b@y.example>", vec!["a@x.example", "b@y.example"]),
        (b"ceo@bank.example (Ann) <x@attacker.example>", vec!["ceo@bank.example", "x@attacker.example"]),
        (b"a@x.example <", vec!["a@x.example"]),
        (b"ceo @bank.example", vec!["ceo@bank.example"]),
        (b"x <a@[192.0.2.1]", vec!["a@[192.0.2.1]"]),
        (b"Mail Delivery System <MAILER-DAEMON>", vec![]),
    ] {
        let section = [b"From: ", from, b"\r\n\r\n"].concat();
        assert_eq!(authors(&section), Ok(expected.into_iter().map(str::to_owned).collect()), "{}", from.escape_ascii());
    }
}

#[test]
fn where_an_address_may_go_on_for_another_reader_there_is_no_author() {
    for from in [
        "x, ceo@bank .example",
        "x, ceo@bank(y).example",
        "x, ceo@evil.example_bank.example",
        "x, ceo@(y)bank.example",
        "x, ceo@bank\\.example",
        "x, ceo@",
        // RFC 2047 §5: no encoded word stands there.
        "=?utf-8?b?Y2VvQGJhbmsuY29t?==?utf-8?q?=00?=@attacker.example",
        "<=?utf-8?b?Y2VvQGJhbmsuY29t?=@attacker.example>",
    ] {
        assert_eq!(authors(format!("From: {from}\r\n\r\n").as_bytes()), Err(HeaderFault::FromUnreadable), "{from}");
    }
}

#[test]
fn only_a_mail_system_is_an_author_without_a_domain() {
    let is = |from: &str| Headers::parse(format!("From: {from}\r\n\r\n").as_bytes()).is_from_mail_system();
    assert!(is("Mail Delivery System <MAILER-DAEMON>") && is("Postmaster") && is("MAILER-DAEMON (Mail Delivery System)"));
    assert!(!is("The Chief") && !is("MAILER-DAEMON <ceo@bank.example>") && !is("x\r\nFrom: MAILER-DAEMON"));
}

#[test]
fn lists_are_asked_about_all_addresses_whatever_is_wrong_with_the_section() {
    let headers = read("X : y\r\nFrom: a@x.example\r\nReply-To: Muster, A <b@y.example>\r\nFrom: c@z.example\r\n\r\n");
    let of = |name: &str| headers.addresses_in(name).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!((of("From"), of("Reply-To")), (vec!["a@x.example".into(), "c@z.example".into()], vec!["b@y.example".into()]));
}
