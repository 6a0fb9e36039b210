//! Address lists: what all readers agree on is read, and where they differ nothing is.

use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Option<Vec<String>> {
    parse(text).map(|list| list.iter().map(ToString::to_string).collect())
}

#[test]
fn the_forms_mail_programs_write_are_read() {
    for (text, addresses) in [
        ("a@example.org", &["a@example.org"][..]),
        ("<a@example.org>", &["a@example.org"]),
        ("A B <a@example.org>", &["a@example.org"]),
        ("\"B, A\" <a@example.org>", &["a@example.org"]),
        ("\"x@other.example\" <a@example.org>", &["a@example.org"]),
        ("\"a \\\" <b@x.example>\" <a@example.org>", &["a@example.org"]),
        ("John Q. Public <a@example.org>", &["a@example.org"]),
        ("=?utf-8?Q?J=C3=BCrgen?= <a@example.org>", &["a@example.org"]),
        ("Jürgen <jürgen@example.org>", &["jürgen@example.org"]),
        ("a@example.org (a comment (nested) \\) with b@x.example)", &["a@example.org"]),
        ("(first) A (second) <a@example.org> (third)", &["a@example.org"]),
        ("a@example.org, B <b@example.org>", &["a@example.org", "b@example.org"]),
        ("Team: a@example.org, B <b@example.org>;", &["a@example.org", "b@example.org"]),
        ("undisclosed-recipients:;", &[]),
        ("Team: a@example.org;, c@example.org", &["a@example.org", "c@example.org"]),
        ("\"a b\"@example.org", &["\"a b\"@example.org"]),
        ("a@[192.0.2.1]", &["a@[192.0.2.1]"]),
        ("A\t<a@example.org>", &["a@example.org"]),
    ] {
        assert_eq!(read(text).as_deref().unwrap_or_else(|| panic!("{text}")), addresses, "{text}");
    }
}

#[test]
fn what_readers_differ_about_is_not_read() {
    for text in [
        "",
        "a",
        "a@",
        "@example.org",
        "x@other.example <a@example.org>",
        "<a@example.org> <b@example.org>",
        "a@example.org b@example.org",
        "a@example.org, ",
        ", a@example.org",
        "a@example.org,,b@example.org",
        "a @example.org",
        "a@ example.org",
        "a (c) @example.org",
        "a@(c)example.org",
        "< a@example.org>",
        "<a@example.org >",
        "<@relay.example:a@example.org>",
        "<a@example.org",
        "a@example.org>",
        "<<a@example.org>>",
        "<>",
        "A <a@example.org> B",
        "\"A <a@example.org>",
        "(a@example.org",
        "a@example.org)",
        "Team: a@example.org",
        "Team: a@example.org,;",
        "Team: Inner: a@example.org;;",
        ": a@example.org;",
        "a.@example.org",
        ".a@example.org",
        "a..b@example.org",
        "a@example..org",
        "a.\"b\"@example.org",
        "a@b@example.org",
        "a\u{0}@example.org",
        "\"\u{1b}\" <a@example.org>",
        "a@example.org;",
        "a\\b <a@example.org>",
    ] {
        assert_eq!(read(text), None, "{text:?}");
    }
}

#[test]
fn a_list_longer_than_anyone_needs_is_not_read() {
    let list = |count: usize| vec!["a@example.org"; count].join(",");
    assert_eq!(parse(&list(MAILBOXES_MAX)).unwrap().len(), MAILBOXES_MAX);
    assert!(parse(&list(MAILBOXES_MAX + 1)).is_none());
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in "[ a-c@<>,:;.\"\\\\()\\[\\]é]{0,60}") {
        let _ = parse(&text);
    }

    #[test]
    fn a_quoted_name_never_changes_the_address(name in "[ -~]{0,40}") {
        let quoted: String = name.chars().flat_map(|c| ['\\', c]).collect();
        prop_assert_eq!(read(&format!("\"{quoted}\" <a@example.org>")).unwrap(), ["a@example.org"]);
    }
}
