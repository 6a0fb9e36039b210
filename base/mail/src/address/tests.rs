//! Mailboxes: ordinary and odd ones parse, wrong ones do not, printing reads back.

use proptest::prelude::*;

use super::*;

#[test]
fn ordinary_and_odd_mailboxes_parse() {
    for (text, printed) in [
        ("a@example.org", "a@example.org"),
        ("A.b+c@Example.ORG", "A.b+c@example.org"),
        ("\"a b\"@example.org", "\"a b\"@example.org"),
        ("\"a@b\"@example.org", "\"a@b\"@example.org"),
        ("\"ab\"@example.org", "ab@example.org"),
        ("\"a\\\"b\"@example.org", "\"a\\\"b\"@example.org"),
        ("a@[192.0.2.1]", "a@[192.0.2.1]"),
        ("jürgen@bücher.example", "jürgen@xn--bcher-kva.example"),
        ("\"\"@example.org", "\"\"@example.org"),
    ] {
        assert_eq!(Mailbox::parse(text).unwrap().to_string(), printed, "{text}");
    }
}

#[test]
fn broken_mailboxes_are_faults() {
    for bad in [
        "",
        "a",
        "@example.org",
        "a@",
        "a b@example.org",
        ".a@example.org",
        "a.@example.org",
        "a..b@example.org",
        "\"a@example.org",
        "a\"b\"@example.org",
        "\"a\0\"@example.org",
        "\"a\r\n\"@example.org",
        "a\0@example.org",
        "a@b@example.org",
        "<a@example.org>",
        "\"a\"b\"@example.org",
        "\"a\\\"@example.org",
    ] {
        assert!(Mailbox::parse(bad).is_err(), "{bad:?}");
    }
    assert!(Mailbox::parse(&format!("{}@example.org", "a".repeat(65))).is_err());
}

proptest! {
    #[test]
    fn printing_and_parsing_agree(text in "\\PC{0,40}@[a-z]{1,9}\\.example") {
        if let Ok(mailbox) = Mailbox::parse(&text) {
            prop_assert_eq!(&Mailbox::parse(&mailbox.to_string()).unwrap(), &mailbox);
        }
    }

    #[test]
    fn any_content_without_controls_survives_quoting(content in "[ -~]{0,30}") {
        let quoted: String = content.chars().flat_map(|c| ['\\', c]).collect();
        let mailbox = Mailbox::parse(&format!("\"{quoted}\"@d.example")).unwrap();
        prop_assert_eq!(mailbox.local.as_str(), content.as_str());
        prop_assert_eq!(Mailbox::parse(&mailbox.to_string()).unwrap(), mailbox);
    }
}

#[test]
fn a_mailbox_that_would_be_too_long_to_send_on_is_a_fault() {
    let labels = vec!["ü".repeat(20); 6].join(".");
    let text = format!("{}@{labels}.example", "a".repeat(60));
    let on_the_wire = Domain::parse(&format!("{labels}.example")).unwrap().as_str().len() + 61;
    assert!(text.len() + 2 > PATH_BYTES_MAX || on_the_wire + 2 > PATH_BYTES_MAX, "{on_the_wire}");
    assert!(Mailbox::parse(&text).is_err());
    let mailbox = Mailbox::parse(&format!("a@{}.example", vec!["ü".repeat(20); 5].join("."))).unwrap();
    assert_eq!(Mailbox::parse(&mailbox.to_string()), Ok(mailbox));
}
