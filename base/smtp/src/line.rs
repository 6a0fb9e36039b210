//! Framing of command lines and SASL responses.
//!
//! Promise: only CRLF ends a line, at every split of the bytes; no byte is looked at twice, so that a line that trickles in costs no
//! more than one that comes whole; and the rest of a line that was too long is never taken for a command.

use postern_mail::trouble::Fault;

/// The longest command line with its CRLF, in octets. RFC 5321 §4.5.3.1.4: at least 512, and each extension widens it by what its parameters
/// need: 26 octets (RFC 1870 §3), 500 (RFC 4954 §3), 10 (RFC 6531 §3.1), 11 (RFC 8689 §2). RFC 3461 §5.4: room for all of them at
/// once, which is 1036 octets for RCPT.
pub const COMMAND_LINE_BYTES_MAX: usize = 2048;
/// The longest line while AUTH is under way, with its CRLF, in octets (RFC 4954 §4).
pub const SASL_LINE_BYTES_MAX: usize = 12288;

/// What the buffered bytes begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No line yet; read more behind what is buffered.
    More,
    /// A line of `len` octets without its CRLF.
    Line {
        /// Octets of the line.
        len: usize,
        /// Octets to take off the buffer: the line and its CRLF.
        consumed: usize,
    },
    /// The line is too long already: throw these octets away and go on reading.
    Skip {
        /// Octets to take off the buffer, at least one.
        consumed: usize,
    },
    /// A line that was too long has ended. Nothing of it is a command.
    TooLong {
        /// Octets to take off the buffer.
        consumed: usize,
    },
    /// Bare CR, bare LF or NUL. What follows cannot be trusted to be what the client meant.
    Broken(Fault),
}

/// Finds line ends. One per connection; begins anew by `LineFramer::default()` when buffered bytes are thrown away (STARTTLS).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineFramer {
    /// How many buffered octets hold no line end.
    scanned: usize,
    /// Within a line that is too long.
    skipping: bool,
}

impl LineFramer {
    /// Looks at everything that has been read and not been consumed. `limit` counts the CRLF.
    pub fn frame(&mut self, buffered: &[u8], limit: usize) -> Framing {
        let text_max = limit.saturating_sub(2);
        let fresh = buffered.get(self.scanned..).unwrap_or_default();
        // RFC 5321 §2.3.8: only CRLF ends a line; a CR or LF alone must not appear. RFC 5321 §4.5.2 names the same for data.
        let Some(offset) = memchr::memchr3(b'\r', b'\n', 0, fresh) else {
            return self.unfinished(buffered.len(), text_max);
        };
        let at = self.scanned + offset;
        match (buffered.get(at), buffered.get(at + 1)) {
            (Some(b'\r'), Some(b'\n')) => {
                self.scanned = 0;
                let consumed = at + 2;
                if std::mem::take(&mut self.skipping) || at > text_max {
                    Framing::TooLong { consumed }
                } else {
                    Framing::Line { len: at, consumed }
                }
            }
            // The CR may be half of a CRLF; it waits in the buffer, and only itself is looked at again.
            (Some(b'\r'), None) => self.unfinished(at, text_max),
            (Some(b'\r'), Some(_)) => Framing::Broken(Fault::BareCr),
            (Some(b'\n'), _) => Framing::Broken(Fault::BareLf),
            _ => Framing::Broken(Fault::Nul),
        }
    }

    /// `len` octets are part of a line whose end has not come.
    fn unfinished(&mut self, len: usize, text_max: usize) -> Framing {
        self.skipping |= len > text_max;
        if self.skipping && len > 0 {
            self.scanned = 0;
            return Framing::Skip { consumed: len };
        }
        self.scanned = len;
        Framing::More
    }
}

#[cfg(test)]
mod tests;
