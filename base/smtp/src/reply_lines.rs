//! Replies on the wire (RFC 5321 §4.2): printed by the server, read by the client.
//!
//! Promise: what is printed is exactly one reply, whatever text it carries; what is read is bounded in every direction, so that a
//! hostile server can neither fill our memory nor keep us reading.

use postern_mail::Reply;

/// RFC 5321 §4.5.3.1.5: a reply line with its CRLF.
pub const REPLY_LINE_BYTES_MAX: usize = 512;

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

#[cfg(test)]
mod tests;
