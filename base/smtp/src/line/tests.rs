//! Lines at every split of the bytes: bare CR, bare LF, NUL, too long.

use proptest::prelude::*;

use super::*;

/// What a pump sees, without where the splits were.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Line(Vec<u8>),
    TooLong,
    Broken(Fault),
}

fn pump<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limit: usize) -> Vec<Seen> {
    let (mut framer, mut buffered, mut seen) = (LineFramer::default(), Vec::new(), Vec::new());
    for piece in pieces {
        buffered.extend_from_slice(piece);
        loop {
            match framer.frame(&buffered, limit) {
                Framing::More => break,
                Framing::Line { len, consumed } => {
                    seen.push(Seen::Line(buffered[..len].to_vec()));
                    buffered.drain(..consumed);
                }
                Framing::Skip { consumed } => {
                    assert!(consumed > 0, "a skip of nothing would loop");
                    buffered.drain(..consumed);
                }
                Framing::TooLong { consumed } => {
                    seen.push(Seen::TooLong);
                    buffered.drain(..consumed);
                }
                Framing::Broken(fault) => {
                    seen.push(Seen::Broken(fault));
                    return seen;
                }
            }
        }
        assert!(buffered.len() < limit, "what waits is less than a line");
    }
    seen
}

fn whole(bytes: &[u8], limit: usize) -> Vec<Seen> {
    pump([bytes], limit)
}

fn line(text: &str) -> Seen {
    Seen::Line(text.as_bytes().to_vec())
}

#[test]
fn only_crlf_ends_a_line() {
    assert_eq!(whole(b"NOOP\r\nQUIT\r\n", 512), [line("NOOP"), line("QUIT")]);
    assert_eq!(whole(b"\r\n", 512), [line("")]);
    assert_eq!(whole(b"NOOP\nQUIT\r\n", 512), [Seen::Broken(Fault::BareLf)]);
    assert_eq!(whole(b"QU\rIT\r\n", 512), [Seen::Broken(Fault::BareCr)]);
    assert_eq!(whole(b"QUIT\r\r\n", 512), [Seen::Broken(Fault::BareCr)]);
    assert_eq!(whole(b"EHLO a\0b\r\n", 512), [Seen::Broken(Fault::Nul)]);
    assert_eq!(whole(b"NOOP\r\nA\n", 512), [line("NOOP"), Seen::Broken(Fault::BareLf)]);
}

#[test]
fn a_final_cr_waits_for_its_lf() {
    let mut framer = LineFramer::default();
    assert_eq!(framer.frame(b"QUIT\r", 512), Framing::More);
    assert_eq!(framer.frame(b"QUIT\r\n", 512), Framing::Line { len: 4, consumed: 6 });
}

#[test]
fn a_line_of_exactly_the_limit_is_taken_and_one_octet_more_is_not() {
    assert_eq!(whole(b"12345678\r\n", 10), [line("12345678")]);
    assert_eq!(whole(b"123456789\r\nQUIT\r\n", 10), [Seen::TooLong, line("QUIT")]);
}

#[test]
fn nothing_within_a_line_that_is_too_long_becomes_a_command() {
    let long = [vec![b'x'; 100_000], b"QUIT\r\nNOOP\r\n".to_vec()].concat();
    assert_eq!(whole(&long, 512), [Seen::TooLong, line("NOOP")]);
    assert_eq!(pump(long.chunks(100), 512), [Seen::TooLong, line("NOOP")]);
}

#[test]
fn a_broken_byte_within_a_skipped_line_still_breaks_the_framing() {
    for (byte, fault) in [("\0", Fault::Nul), ("\n", Fault::BareLf), ("\r", Fault::BareCr)] {
        let long = format!("{}{byte}RSET\r\n", "x".repeat(600));
        assert_eq!(whole(long.as_bytes(), 512), [Seen::Broken(fault)]);
        assert_eq!(pump(long.as_bytes().chunks(64), 512), [Seen::Broken(fault)]);
    }
}

fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => "[a-z]{0,12}".prop_map(String::into_bytes),
        4 => Just(b"\r\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => Just(b"\n".to_vec()),
        1 => Just(b"\0".to_vec()),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_split_gives_the_same_lines(bytes in hostile(), sizes in proptest::collection::vec(1usize..9, 1..200)) {
        let (mut pieces, mut rest) = (Vec::new(), bytes.as_slice());
        for size in sizes.iter().cycle() {
            let (piece, behind) = rest.split_at(rest.len().min(*size));
            pieces.push(piece);
            rest = behind;
            if rest.is_empty() { break; }
        }
        prop_assert_eq!(pump(pieces, 16), whole(&bytes, 16));
    }
}
