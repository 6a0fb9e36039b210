//! A split never matters; what is taken is clean; what is stuffed comes back.

use postern_smtp::body::{Cleanliness, DataDecoder, DataProgress, DotStuffer};

fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, usize, DataProgress) {
    let (mut decoder, mut content, mut consumed) = (DataDecoder::new(), Vec::new(), 0);
    for piece in pieces {
        let (taken, progress) = decoder.decode(piece, &mut |run| content.extend_from_slice(run));
        consumed += taken;
        if progress != DataProgress::More {
            return (content, consumed, progress);
        }
        assert_eq!(taken, piece.len());
    }
    (content, consumed, DataProgress::More)
}

fn scan<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Cleanliness {
    let mut clean = Cleanliness::new();
    for piece in pieces {
        let _ = clean.scan(piece);
    }
    clean
}

/// What ends a body, by the definition and as slowly as that is: the offset behind the first CRLF.CRLF, the CRLF of DATA counted.
fn end_by_definition(wire: &[u8]) -> Option<usize> {
    let with_data = [b"\r\n", wire].concat();
    with_data.windows(5).position(|octets| octets == b"\r\n.\r\n").map(|at| at + 3)
}

/// The property.
pub fn check(data: &[u8]) {
    let (pieces, whole) = crate::split(data);
    let decoded = decode([whole]);
    assert_eq!(decode(pieces.iter().copied()), decoded);
    let (content, consumed, progress) = decoded;
    let mut clean = Cleanliness::new();
    assert_eq!(clean.scan(&content), Ok(()));
    assert_eq!(clean.finish(), Ok(()), "a CR is held back until its LF is there");
    match progress {
        DataProgress::End => {
            assert_eq!(end_by_definition(whole), Some(consumed));
            assert!(clean.ends_line());
        }
        DataProgress::Broken(fault) => {
            assert!(fault.breaks_framing());
            assert!(end_by_definition(whole).is_none_or(|end| end > consumed));
        }
        DataProgress::More => assert_eq!(end_by_definition(whole), None),
    }

    // The same bytes as content to be sent.
    let verdict = scan([whole]);
    assert_eq!(scan(pieces.iter().copied()), verdict);
    let (mut stuffer, mut wire) = (DotStuffer::new(), Vec::new());
    for piece in &pieces {
        stuffer.encode(piece, &mut wire);
    }
    let (mut at_once, mut wire_at_once) = (DotStuffer::new(), Vec::new());
    at_once.encode(whole, &mut wire_at_once);
    assert_eq!((&stuffer, &wire), (&at_once, &wire_at_once));
    stuffer.finish(&mut wire);
    let end = wire.len();
    wire.extend_from_slice(b"QUIT\r\n");
    if verdict.finish().is_ok() {
        let mut wanted = whole.to_vec();
        if !verdict.ends_line() {
            wanted.extend_from_slice(b"\r\n");
        }
        assert_eq!(decode([wire.as_slice()]), (wanted, end, DataProgress::End));
    }
}
