//! The examples of the RFC, and every way to cut a body.

use aws_lc_rs::digest::digest;

use super::*;

fn hash(pieces: &[&[u8]]) -> Vec<u8> {
    let mut hash = BodyHash::default();
    pieces.iter().for_each(|piece| hash.push(piece));
    hash.finish().as_ref().to_vec()
}

fn plain(text: &[u8]) -> Vec<u8> {
    digest(&SHA256, text).as_ref().to_vec()
}

#[test]
fn bodies_are_hashed_in_their_relaxed_form_at_every_split() {
    let cases: [(&[u8], &[u8]); 12] = [
        // RFC 6376 §3.4.5.
        (b" C \r\nD \t E\r\n\r\n\r\n", b" C\r\nD E\r\n"),
        (b"", b""),
        (b"\r\n", b""),
        (b" \t\r\n\r\n \r\n", b""),
        (b"a", b"a\r\n"),
        (b"a ", b"a\r\n"),
        (b"a\r\n", b"a\r\n"),
        (b"\r\n \r\na\r\n", b"\r\n\r\na\r\n"),
        (b"a\r\n\r\n\r\nb\r\n \r\n", b"a\r\n\r\n\r\nb\r\n"),
        (b"\xc3\xa4 \xff\r\n", b"\xc3\xa4 \xff\r\n"),
        (b". \r\n..a\r\n", b".\r\n..a\r\n"),
        (b"a\rb\nc\r", b"a\rb\nc\r\r\n"),
    ];
    for (body, relaxed) in cases {
        for at in 0..=body.len() {
            let (head, tail) = body.split_at(at);
            assert_eq!(hash(&[head, tail]), plain(relaxed), "{body:?} at {at}");
        }
    }
}

#[test]
fn a_flood_of_empty_lines_is_counted_and_not_kept() {
    let mut hash = BodyHash::default();
    hash.push(b"a");
    for _ in 0..100_000 {
        hash.push(b"\r\n");
    }
    assert!(hash.gathered.len() < 2 * GATHERED);
    hash.push(b"b\r\n");
    assert!(hash.gathered.len() < 2 * GATHERED);
    let whole = [b"a".as_slice(), &b"\r\n".repeat(100_000), b"b\r\n"].concat();
    assert_eq!(hash.finish().as_ref(), plain(&whole));
}

#[test]
fn fields_are_unfolded_and_trimmed() {
    let relaxed = |name: &str, value: &[u8]| {
        let mut out = Vec::new();
        relaxed_field(name, value, &mut out);
        String::from_utf8(out).unwrap()
    };
    // RFC 6376 §3.4.5.
    assert_eq!(relaxed("A", b" X"), "a:X");
    assert_eq!(relaxed("B", b" Y\t\r\n\tZ  "), "b:Y Z");
    assert_eq!(relaxed("Subject", b""), "subject:");
    assert_eq!(relaxed("Subject", b"\r\n\tx"), "subject:x");
}
