//! A framer that is given the bytes in pieces sees the same lines as one that is given them at once.

use postern_mail::trouble::Fault;
use postern_smtp::line::{Framing, LineFramer};

#[derive(Debug, PartialEq, Eq)]
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
            let consumed = match framer.frame(&buffered, limit) {
                Framing::More => break,
                Framing::Line { len, consumed } => {
                    assert!(consumed <= limit && consumed == len + 2);
                    seen.push(Seen::Line(buffered[..len].to_vec()));
                    consumed
                }
                Framing::Skip { consumed } => {
                    assert!(consumed > 0);
                    consumed
                }
                Framing::TooLong { consumed } => {
                    seen.push(Seen::TooLong);
                    consumed
                }
                Framing::Broken(fault) => {
                    assert!(fault.breaks_framing());
                    seen.push(Seen::Broken(fault));
                    return seen;
                }
            };
            buffered.drain(..consumed);
        }
        assert!(buffered.len() < limit, "what waits is less than a line");
    }
    seen
}

/// The property.
pub fn check(data: &[u8]) {
    let (pieces, whole) = crate::split(data);
    for limit in [16, 512] {
        let seen = pump([whole], limit);
        assert_eq!(pump(pieces.iter().copied(), limit), seen);
        for line in &seen {
            if let Seen::Line(text) = line {
                assert!(!text.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
            }
        }
    }
}
