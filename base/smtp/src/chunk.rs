//! A chunk after BDAT (RFC 3030 §2): so many octets, whatever they are.
//!
//! Promise: exactly the announced number of octets is taken off the stream, also from a chunk whose content is refused, so that content
//! never becomes a command.

use postern_mail::trouble::Fault;

use crate::body::Cleanliness;

/// Counts one chunk down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkReader {
    remaining: u64,
}

impl ChunkReader {
    /// For a chunk of `size` octets.
    #[must_use]
    pub fn new(size: u64) -> Self {
        Self { remaining: size }
    }

    /// Takes what belongs to the chunk off the front of `input`; the length of the answer is what was consumed. `clean` lives across all
    /// chunks of a message: a CRLF may lie across two of them.
    ///
    /// # Errors
    /// What [`Cleanliness::scan`] says: RFC 3030 §2 DEPARTS: without BINARYMIME a chunk may hold no CR or LF alone and no NUL, as in DATA.
    pub fn take<'a>(&mut self, input: &'a [u8], clean: &mut Cleanliness) -> Result<&'a [u8], Fault> {
        let content = self.skip(input);
        clean.scan(content).map(|()| content)
    }

    /// Takes what belongs to the chunk off the front of `input` without looking at it, for a chunk that is thrown away.
    pub fn skip<'a>(&mut self, input: &'a [u8]) -> &'a [u8] {
        let wanted = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(input.len());
        let content = input.get(..wanted).unwrap_or_default();
        self.remaining -= content.len() as u64;
        content
    }

    /// True when the whole chunk has been taken; at once for an empty one.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.remaining == 0
    }

    /// Octets still to come.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.remaining
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_takes_its_octets_and_leaves_the_next_command() {
        let (mut chunk, mut clean) = (ChunkReader::new(6), Cleanliness::new());
        assert_eq!(chunk.take(b"ab\r\n", &mut clean), Ok(&b"ab\r\n"[..]));
        assert_eq!(chunk.remaining(), 2);
        assert_eq!(chunk.take(b"cdBDAT 0 LAST\r\n", &mut clean), Ok(&b"cd"[..]));
        assert!(chunk.is_done());
        assert_eq!(chunk.take(b"QUIT\r\n", &mut clean), Ok(&b""[..]));
        assert!(ChunkReader::new(0).is_done());
    }

    #[test]
    fn a_crlf_may_lie_across_two_chunks_and_a_bare_cr_may_not() {
        let mut clean = Cleanliness::new();
        assert!(ChunkReader::new(2).take(b"a\r", &mut clean).is_ok());
        assert!(ChunkReader::new(2).take(b"\nb", &mut clean).is_ok());
        assert!(ChunkReader::new(1).take(b"\r", &mut clean).is_ok());
        assert_eq!(ChunkReader::new(1).take(b"b", &mut clean), Err(Fault::BareCr));
    }

    #[test]
    fn a_dot_line_in_a_chunk_is_content() {
        let (mut chunk, mut clean) = (ChunkReader::new(8), Cleanliness::new());
        assert_eq!(chunk.take(b"a\r\n.\r\nb\r", &mut clean), Ok(&b"a\r\n.\r\nb\r"[..]));
        assert_eq!(clean.finish(), Err(Fault::BareCr));
    }

    #[test]
    fn a_broken_chunk_still_consumes_its_octets() {
        let (mut chunk, mut clean) = (ChunkReader::new(4), Cleanliness::new());
        assert_eq!(chunk.take(b"a\nbcQUIT", &mut clean), Err(Fault::BareLf));
        assert!(chunk.is_done());
    }
}
