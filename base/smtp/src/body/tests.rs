//! The end of a body at every split of the bytes, and every known way to fake one.

use proptest::prelude::*;

use super::*;

/// Decodes piece by piece: the content, the octets consumed, and how it ended.
fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, usize, DataProgress) {
    let (mut decoder, mut content, mut consumed) = (DataDecoder::new(), Vec::new(), 0);
    for piece in pieces {
        let (taken, progress) = decoder.decode(piece, &mut |run| content.extend_from_slice(run));
        consumed += taken;
        if progress != DataProgress::More {
            return (content, consumed, progress);
        }
        assert_eq!(taken, piece.len(), "while a body goes on, everything is consumed");
    }
    (content, consumed, DataProgress::More)
}

fn whole(wire: &[u8]) -> (Vec<u8>, usize, DataProgress) {
    decode([wire])
}

/// The same answer must come at every single split and octet by octet.
fn at_every_split(wire: &[u8]) -> (Vec<u8>, usize, DataProgress) {
    let wanted = whole(wire);
    for at in 0..=wire.len() {
        let (front, back) = wire.split_at(at);
        assert_eq!(decode([front, back]), wanted, "split at {at} of {:?}", postern_mail::Quoted(wire));
    }
    assert_eq!(decode(wire.chunks(1)), wanted);
    wanted
}

#[test]
fn crlf_dot_crlf_ends_a_body_and_its_first_crlf_is_content() {
    let (content, consumed, progress) = at_every_split(b"a\r\nb\r\n.\r\nQUIT\r\n");
    assert_eq!((content.as_slice(), consumed, progress), (&b"a\r\nb\r\n"[..], 9, DataProgress::End));
}

#[test]
fn a_dot_line_at_once_is_an_empty_body() {
    let (content, consumed, progress) = at_every_split(b".\r\nQUIT\r\n");
    assert_eq!((content.as_slice(), consumed, progress), (&b""[..], 3, DataProgress::End));
}

#[test]
fn stuffed_dots_come_off_on_the_first_line_too() {
    let (content, _, progress) = at_every_split(b"..a\r\n...\r\n.b\r\nc.\r\n..\r\n.\r\n");
    assert_eq!(content, b".a\r\n..\r\nb\r\nc.\r\n.\r\n");
    assert_eq!(progress, DataProgress::End);
}

#[test]
fn nothing_but_crlf_dot_crlf_ends_a_body() {
    for (wire, fault) in [
        (&b"a\n.\nMAIL FROM:<forged@d.example>\r\n"[..], Fault::BareLf),
        (b"a\n.\r\nMAIL", Fault::BareLf),
        (b"a\r.\rMAIL", Fault::BareCr),
        (b"a\r.\r\nMAIL", Fault::BareCr),
        (b"a\r\n.\r\r\nMAIL", Fault::BareCr),
        (b"a\r\n.\r\r\r\nMAIL", Fault::BareCr),
        (b"a\r\n.\nMAIL", Fault::BareLf),
        (b"a\r\n.\rMAIL", Fault::BareCr),
        (b"a\r\r\n.\r\nMAIL", Fault::BareCr),
        (b"a\r\n\0.\r\nMAIL", Fault::Nul),
        (b"a\r\n.\0\r\nMAIL", Fault::Nul),
        (b".\n", Fault::BareLf),
        (b".\r.", Fault::BareCr),
        (b"\n", Fault::BareLf),
        (b"\rx", Fault::BareCr),
        (b"\0", Fault::Nul),
    ] {
        let (_, _, progress) = at_every_split(wire);
        assert_eq!(progress, DataProgress::Broken(fault), "{:?}", postern_mail::Quoted(wire));
    }
}

#[test]
fn after_its_end_a_decoder_takes_nothing_more() {
    let mut decoder = DataDecoder::new();
    assert_eq!(decoder.decode(b".\r\n", &mut |_| ()), (3, DataProgress::End));
    assert_eq!(decoder.decode(b"x\r\n", &mut |_| panic!("content after the end")), (0, DataProgress::End));
    let mut broken = DataDecoder::new();
    assert_eq!(broken.decode(b"a\nb", &mut |_| ()), (2, DataProgress::Broken(Fault::BareLf)));
    assert_eq!(broken.decode(b"b\r\n.\r\n", &mut |_| panic!("content after a fault")).0, 0);
}

#[test]
fn a_line_that_lacks_its_crlf_gets_one_before_the_final_dot() {
    for (content, wire) in [
        ("", ".\r\n"),
        ("a", "a\r\n.\r\n"),
        ("a\r\n", "a\r\n.\r\n"),
        (".", "..\r\n.\r\n"),
        ("a\r\n.\r\nQUIT\r\n", "a\r\n..\r\nQUIT\r\n.\r\n"),
        (".a\r\n..b", "..a\r\n...b\r\n.\r\n"),
    ] {
        for at in 0..=content.len() {
            let (front, back) = content.as_bytes().split_at(at);
            let (mut stuffer, mut out) = (DotStuffer::new(), Vec::new());
            stuffer.encode(front, &mut out);
            stuffer.encode(back, &mut out);
            stuffer.finish(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), wire, "{content:?} split at {at}");
        }
    }
}

#[test]
fn a_body_that_ends_in_half_a_line_end_is_never_sent_as_a_bare_cr() {
    let (mut stuffer, mut out) = (DotStuffer::new(), Vec::new());
    stuffer.encode(b"a\r", &mut out);
    stuffer.finish(&mut out);
    assert_eq!(out, b"a\r\n.\r\n");
}

#[test]
fn cleanliness_finds_what_the_decoder_finds() {
    for (bytes, wanted) in [
        (&b"a\r\nb\r\n"[..], Ok(())),
        (b"", Ok(())),
        (b"a\r\r\n", Err(Fault::BareCr)),
        (b"a\nb", Err(Fault::BareLf)),
        (b"\n", Err(Fault::BareLf)),
        (b"a\0", Err(Fault::Nul)),
        (b"a\r", Err(Fault::BareCr)),
    ] {
        for at in 0..=bytes.len() {
            let mut clean = Cleanliness::new();
            let _ = clean.scan(&bytes[..at]).and_then(|()| clean.scan(&bytes[at..]));
            assert_eq!(clean.finish(), wanted, "{:?} split at {at}", postern_mail::Quoted(bytes));
        }
    }
    let mut clean = Cleanliness::new();
    assert!(clean.ends_line());
    clean.scan(b"a").unwrap();
    assert!(!clean.ends_line());
    clean.scan(b"\r\n").unwrap();
    assert!(clean.ends_line());
}

fn pieces(alphabet: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(proptest::sample::select(alphabet), 0..24).prop_map(|pieces| pieces.concat().into_bytes())
}

const WIRE: &[&str] = &["\r\n", "\r\n", "\r\n.", "\r\n.\r\n", ".", "a", "long text here", "\r", "\n", "\0"];
const CLEAN: &[&str] = &["\r\n", "\r\n", ".", "..", "a", "long text here", "ü"];

proptest! {
    #[test]
    fn a_split_never_matters(wire in pieces(WIRE)) {
        at_every_split(&wire);
    }

    #[test]
    fn what_is_stuffed_comes_back_and_what_was_behind_it_is_not_touched(content in pieces(CLEAN), size in 1usize..9) {
        let (mut stuffer, mut wire) = (DotStuffer::new(), Vec::new());
        for piece in content.chunks(size) {
            stuffer.encode(piece, &mut wire);
        }
        stuffer.finish(&mut wire);
        let end = wire.len();
        wire.extend_from_slice(b"QUIT\r\n");
        let mut wanted = content.clone();
        if !content.is_empty() && !content.ends_with(b"\r\n") {
            wanted.extend_from_slice(b"\r\n");
        }
        prop_assert_eq!(whole(&wire), (wanted, end, DataProgress::End));
    }

    #[test]
    fn a_body_is_taken_only_if_it_is_clean(content in pieces(WIRE)) {
        let (mut stuffer, mut wire, mut clean) = (DotStuffer::new(), Vec::new(), Cleanliness::new());
        stuffer.encode(&content, &mut wire);
        let verdict = clean.scan(&content).and_then(|()| clean.finish());
        wire.extend_from_slice(b"\r\n.\r\n");
        let (_, _, progress) = whole(&wire);
        match verdict {
            Ok(()) => prop_assert_eq!(progress, DataProgress::End),
            Err(fault) => prop_assert_eq!(progress, DataProgress::Broken(fault)),
        }
    }
}
