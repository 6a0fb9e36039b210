//! What filters want of messages, and what comes of it.

use proptest::prelude::*;

use super::*;

const MESSAGE: &[u8] = b"Received: one\r\n\tfolded\r\nSubject: first\r\nX-Many: 1\r\nx-many: 2\r\nX-Many: 3\r\n\r\nbody\r\n";

fn add(name: &str, value: &str) -> Change {
    Change::Add { name: name.into(), value: value.into() }
}

fn insert(at: usize, name: &str, value: &str) -> Change {
    Change::Insert { at, name: name.into(), value: value.into() }
}

fn replace(nth: usize, name: &str, value: &str) -> Change {
    Change::Replace { nth, name: name.into(), value: value.into() }
}

fn changed(changes: &[Change]) -> String {
    String::from_utf8(apply(MESSAGE, changes).into_owned()).unwrap()
}

#[test]
fn fields_are_added_at_the_end_and_inserted_where_they_are_wanted() {
    assert!(changed(&[add("X-New", "v")]).contains("X-Many: 3\r\nX-New: v\r\n\r\nbody"));
    assert!(changed(&[insert(0, "X-New", " v")]).starts_with("X-New: v\r\nReceived: one\r\n\tfolded\r\n"));
    assert!(changed(&[insert(1, "X-New", "v")]).contains("folded\r\nX-New: v\r\nSubject"));
    assert!(changed(&[insert(99, "X-New", "v")]).contains("X-Many: 3\r\nX-New: v\r\n\r\nbody"));
}

#[test]
fn the_nth_field_of_a_name_is_changed_counted_from_one_whatever_its_case() {
    assert!(changed(&[replace(2, "X-MANY", "new")]).contains("X-Many: 1\r\nX-MANY: new\r\nX-Many: 3"));
    assert!(changed(&[replace(2, "X-Many", "")]).contains("X-Many: 1\r\nX-Many: 3"));
    assert!(changed(&[replace(4, "X-Many", "new")]).contains("X-Many: 3\r\nX-Many: new\r\n\r\n"));
    assert_eq!(changed(&[replace(4, "X-Many", ""), insert(0, "A", "1"), replace(1, "A", "")]).as_bytes(), MESSAGE);
    let both = changed(&[replace(1, "X-Many", ""), replace(1, "X-Many", "")]);
    assert!(!both.contains(": 1") && !both.contains(": 2") && both.contains("X-Many: 3"), "one after the other: {both}");
}

#[test]
fn a_body_is_replaced_and_the_header_section_stays() {
    let new = changed(&[Change::Body(b"other\r\n".to_vec())]);
    assert!(new.ends_with("X-Many: 3\r\n\r\nother\r\n") && new.starts_with("Received"));
}

#[test]
fn a_value_cannot_end_the_section_or_begin_another_field() {
    let new = changed(&[add("X-New", "v\r\n\r\nEvil: yes\r\nbody\0")]);
    assert!(new.contains("X-New: v\r\n Evil: yes\r\n body\r\n\r\nbody\r\n"), "{new}");
    for name in ["", "a b", "a:b", "a\r\nb", "ä"] {
        assert_eq!(changed(&[add(name, "v")]).as_bytes(), MESSAGE, "{name:?}");
    }
}

#[test]
fn messages_without_a_body_or_without_fields_are_cut_right() {
    for (message, fields, body) in [
        (b"".as_slice(), 0, b"".as_slice()),
        (b"\r\n", 0, b""),
        (b"A: 1\r\n", 1, b""),
        (b"A: 1", 1, b""),
        (b"A: 1\r\n\r\n", 1, b""),
        (b"no field\r\nB: 2\r\n", 0, b"no field\r\nB: 2\r\n"),
        (b"A: 1\r\nno field\r\n", 1, b"no field\r\n"),
        (b"A: 1\r\n b\r\n\r\nx", 1, b"x"),
    ] {
        let (found, rest) = cut(message);
        assert_eq!((found.len(), &*rest), (fields, body), "{:?}", String::from_utf8_lossy(message));
    }
}

#[test]
fn a_message_of_very_many_fields_is_known_without_setting_memory_aside() {
    let of = |fields: usize, body: &str| format!("{}\r\n{body}", "a:\r\n b\r\n".repeat(fields));
    assert!(!has_too_many_fields(of(FIELDS_MAX, &"a:\r\n".repeat(10)).as_bytes()));
    assert!(has_too_many_fields(of(FIELDS_MAX + 1, "").as_bytes()));
    assert!(!has_too_many_fields(b"") && !has_too_many_fields("no field\r\n".repeat(FIELDS_MAX + 1).as_bytes()));
}

#[test]
fn a_body_has_the_line_ends_of_mail_whatever_a_filter_wrote() {
    for (body, clean) in [
        (b"a\nb\n".as_slice(), b"a\r\nb\r\n".as_slice()),
        (b"a\r\nb\r\n", b"a\r\nb\r\n"),
        (b"a\rb\r", b"a\r\nb\r\n"),
        (b"\n\r\r\n", b"\r\n\r\n\r\n"),
        (b"", b""),
        (b"a", b"a"),
    ] {
        assert_eq!(clean_body(body.to_vec()).as_deref(), Some(clean), "{body:?}");
    }
    assert_eq!(clean_body(b"a\0".to_vec()), None);
}

proptest! {
    #[test]
    fn cutting_loses_nothing(message in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b':'), Just(b' '), Just(b'a')], 0..60)) {
        let (fields, body) = cut(&message);
        let length = fields.iter().map(|field| field.len()).sum::<usize>() + body.len();
        prop_assert!(length <= message.len() && length + 2 >= message.len());
    }

    #[test]
    fn one_added_field_is_one_more_field(name in "[!-9;-~]{1,20}", value in proptest::collection::vec(any::<u8>(), 0..60)) {
        let new = apply(MESSAGE, &[Change::Add { name: name.into_bytes(), value }]).into_owned();
        let (before, after) = (cut(MESSAGE), cut(&new));
        prop_assert_eq!(before.0.len() + 1, after.0.len());
        prop_assert_eq!(before.1, after.1);
    }
}
