//! Replies on the wire (RFC 5321 §4.2): printed by the server, read by the client.
//!
//! Promise: what is printed is exactly one reply, whatever text it carries; what is read is bounded in every direction, so that a
//! hostile server can neither fill our memory nor keep us reading.

use postern_mail::trouble::Fault;
use postern_mail::{Reply, ReplyCode, Status};

use crate::line::{Framing, LineFramer};

/// RFC 5321 §4.5.3.1.5: a reply line we send, with its CRLF, is at most 512 octets.
pub const REPLY_LINE_BYTES_MAX: usize = 512;
/// A reply line we read, with its CRLF, in octets. RFC 5321 §4.5.3.1.5 DEPARTS: we read reply lines twice as long as is allowed, since real servers send them.
pub const RECEIVED_LINE_BYTES_MAX: usize = 1024;
/// Lines of one reply we read.
pub const RECEIVED_LINES_MAX: usize = 64;
/// Octets of one reply we read, in all.
pub const RECEIVED_BYTES_MAX: usize = 16 * 1024;

/// Appends a reply: the code and the status on each line (RFC 2034 §4), each line at most 512 octets; a longer text is cut at a
/// character's border.
pub fn write_reply(reply: &Reply, out: &mut Vec<u8>) {
    let code = reply.code.0.to_string();
    let status = reply.status.map(|status| format!("{status} ")).unwrap_or_default();
    // RFC 4954 §4: a challenge may be as long as a line of SASL, and cut it would be another challenge.
    let room = if reply.code.is_intermediate() && reply.status.is_none() {
        usize::MAX
    } else {
        REPLY_LINE_BYTES_MAX - "250 ".len() - status.len() - "\r\n".len()
    };
    let mut lines = reply.lines().peekable();
    while let Some(line) = lines.next() {
        out.extend_from_slice(code.as_bytes());
        // RFC 5321 §4.2.1: a hyphen behind the code on all lines but the last.
        out.push(if lines.peek().is_some() { b'-' } else { b' ' });
        out.extend_from_slice(status.as_bytes());
        let cut = line.floor_char_boundary(room.min(line.len()));
        out.extend_from_slice(line.get(..cut).unwrap_or_default().as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// A reply of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedReply {
    /// 200 to 559.
    pub code: ReplyCode,
    /// The enhanced status of the first line that has one of the code's class (RFC 2034 §4).
    pub status: Option<Status>,
    /// The texts without code and status, at least one. Control characters, direction marks and what is not UTF-8 are replaced, so that
    /// they can stand in a log line or a report; they are still the words of a stranger.
    pub lines: Vec<String>,
}

impl ReceivedReply {
    /// All texts on one line.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines.join(" ")
    }
}

/// Reads replies as their octets come. One per connection; begins anew by `ReplyReader::default()` after STARTTLS.
#[derive(Debug, Default)]
pub struct ReplyReader {
    framer: LineFramer,
    buffered: Vec<u8>,
    bytes: usize,
    unfinished: Option<ReceivedReply>,
}

impl ReplyReader {
    /// Takes octets off the front of `input` until a reply is whole; says how many, and gives the reply. What is behind it is left, so
    /// that the caller sees what came too early.
    ///
    /// # Errors
    /// [`Fault::Syntax`] for what is no reply, [`Fault::LineTooLong`] over one of the limits, and the faults of framing. The connection
    /// cannot be used any more then.
    pub fn read(&mut self, input: &[u8]) -> Result<(usize, Option<ReceivedReply>), Fault> {
        let mut rest = input;
        while !rest.is_empty() {
            // A line ends at the first LF or is broken there; nothing behind it is buffered.
            let piece = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            let (piece, behind) = rest.split_at_checked(piece).unwrap_or((rest, &[]));
            rest = behind;
            // What fits is looked at before what does not is refused, or the fault would depend on where the segments were cut.
            let room = (RECEIVED_BYTES_MAX - self.bytes).min(RECEIVED_LINE_BYTES_MAX - self.buffered.len());
            let fits = piece.get(..room).unwrap_or(piece);
            self.bytes += fits.len();
            self.buffered.extend_from_slice(fits);
            match self.framer.frame(&self.buffered, RECEIVED_LINE_BYTES_MAX) {
                Framing::More if fits.len() < piece.len() => return Err(Fault::LineTooLong),
                Framing::More => {}
                Framing::Line { len, .. } => {
                    self.buffered.truncate(len);
                    let line = std::mem::take(&mut self.buffered);
                    if let Some(reply) = self.line(&line)? {
                        self.bytes = 0;
                        return Ok((input.len() - rest.len(), Some(reply)));
                    }
                }
                Framing::Skip { .. } | Framing::TooLong { .. } => return Err(Fault::LineTooLong),
                // What is broken behind the room of a line is too long first: octet by octet, nobody would have come as far as that.
                Framing::Broken(_) if self.text_is_too_long() => return Err(Fault::LineTooLong),
                Framing::Broken(fault) => return Err(fault),
            }
        }
        Ok((input.len(), None))
    }

    fn text_is_too_long(&self) -> bool {
        let text = memchr::memchr3(b'\r', b'\n', 0, &self.buffered).unwrap_or(self.buffered.len());
        text + "\r\n".len() > RECEIVED_LINE_BYTES_MAX
    }

    /// True between replies: nothing of the next one has come.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.bytes == 0
    }

    fn line(&mut self, line: &[u8]) -> Result<Option<ReceivedReply>, Fault> {
        let (code, is_last, text) = split_line(line)?;
        let reply = match self.unfinished.take() {
            // RFC 5321 §4.2.1: the code of all lines must be the same.
            Some(reply) if reply.code != code => return Err(Fault::Syntax),
            Some(reply) if reply.lines.len() >= RECEIVED_LINES_MAX => return Err(Fault::LineTooLong),
            Some(reply) => reply,
            None => ReceivedReply { code, status: None, lines: Vec::new() },
        };
        let reply = with_line(reply, text);
        if is_last {
            return Ok(Some(reply));
        }
        self.unfinished = Some(reply);
        Ok(None)
    }
}

/// Code, whether the reply ends here, and text.
fn split_line(line: &[u8]) -> Result<(ReplyCode, bool, &[u8]), Fault> {
    // RFC 5321 §4.2, §4.3.2: `Reply-code = %x32-35 %x30-35 %x30-39`.
    let [first @ b'2'..=b'5', second @ b'0'..=b'5', third @ b'0'..=b'9', rest @ ..] = line else {
        return Err(Fault::Syntax);
    };
    let code = [first, second, third].into_iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    let (is_last, text) = match rest {
        // RFC 5321 §4.2: a client must accept a code without any text.
        [] => (true, rest),
        [b' ', text @ ..] => (true, text),
        [b'-', text @ ..] => (false, text),
        _ => return Err(Fault::Syntax),
    };
    Ok((ReplyCode(code), is_last, text))
}

fn with_line(mut reply: ReceivedReply, text: &[u8]) -> ReceivedReply {
    let text = printable(text);
    let status = Status::parse_prefix(&text).filter(|(status, _)| u16::from(status.class) == reply.code.0 / 100);
    let line = match status {
        Some((status, words)) => {
            reply.status.get_or_insert(status);
            words.to_owned()
        }
        None => text,
    };
    reply.lines.push(line);
    reply
}

fn printable(text: &[u8]) -> String {
    let dangerous = |c: char| {
        // Line and paragraph separators, and the marks that turn the direction of what is printed after them.
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    String::from_utf8_lossy(text).chars().map(|c| if dangerous(c) { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests;
