//! Where the octets of a message come from. Promise: a body can be read from its start again for another host, and reading it never
//! needs more than one piece of it in memory.

use std::future::Future;
use std::io;
use std::pin::Pin;

/// A future that can be named in a trait.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A message's content with its trace headers, in the canonical form of the wire: lines end in CRLF, nothing is dot-stuffed.
pub trait BodySource: Send + Sync {
    /// Octets in all; what `open` yields has exactly this length.
    fn size(&self) -> u64;

    /// The whole content, where it is in memory anyway: spares the copies of `open`.
    fn whole(&self) -> Option<&[u8]> {
        None
    }

    /// Begins to read from the start.
    ///
    /// # Errors
    /// The disk's.
    fn open(&self) -> BoxFuture<'_, io::Result<Box<dyn BodyPieces + '_>>>;
}

/// A body being read.
pub trait BodyPieces: Send {
    /// Appends the next piece to `into` and gives its length; zero is the end. A piece is at most some hundred KiB.
    ///
    /// # Errors
    /// The disk's, or a checksum that does not fit.
    fn append_next<'a>(&'a mut self, into: &'a mut Vec<u8>) -> BoxFuture<'a, io::Result<usize>>;
}

/// A body that is in memory.
#[derive(Clone, Debug)]
pub struct InlineBody<T>(pub T);

impl<T: AsRef<[u8]> + Send + Sync> BodySource for InlineBody<T> {
    fn size(&self) -> u64 {
        self.0.as_ref().len() as u64
    }

    fn whole(&self) -> Option<&[u8]> {
        Some(self.0.as_ref())
    }

    fn open(&self) -> BoxFuture<'_, io::Result<Box<dyn BodyPieces + '_>>> {
        let pieces = InlinePieces::of(self.0.as_ref());
        Box::pin(std::future::ready(Ok(Box::new(pieces) as Box<dyn BodyPieces + '_>)))
    }
}

/// Longest piece an inline body yields.
const INLINE_PIECE_BYTES: usize = 64 * 1024;

/// Reads a body that is in memory.
#[derive(Debug)]
pub struct InlinePieces<'b> {
    rest: &'b [u8],
}

impl<'b> InlinePieces<'b> {
    /// From its start.
    #[must_use]
    pub fn of(body: &'b [u8]) -> Self {
        Self { rest: body }
    }
}

impl BodyPieces for InlinePieces<'_> {
    fn append_next<'a>(&'a mut self, into: &'a mut Vec<u8>) -> BoxFuture<'a, io::Result<usize>> {
        let (piece, rest) = self.rest.split_at_checked(INLINE_PIECE_BYTES).unwrap_or((self.rest, &[]));
        into.extend_from_slice(piece);
        self.rest = rest;
        Box::pin(std::future::ready(Ok(piece.len())))
    }
}
