//! The third part of a report: the message, or its header section (RFC 3461 §6.2, RFC 6533 §4). Promise: what is returned is clean by
//! our own rule, or it is left at a cleaned header section; a report is never refused for what it returns.

use std::borrow::Cow;

use postern_mail::message::headers::HEADER_BYTES_MAX;

use crate::due::Returned;
use crate::report::lines::{LINE_BYTES_MAX, is_clean};

/// The part without its MIME header.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    pub(crate) content_type: &'static str,
    pub(crate) bytes: Cow<'a, [u8]>,
}

/// Chooses what is returned. `message` is the whole message or at least its header section; `international` when it was sent with
/// SMTPUTF8 and has header text outside ASCII.
pub(crate) fn part(message: &[u8], returned: Returned, international: bool) -> Part<'_> {
    // RFC 6532 §3.7, RFC 6533 §4: the `global` types are for UTF-8 and nothing else.
    if returned == Returned::Full && is_clean(message) {
        let content_type = if international { "message/global" } else { "message/rfc822" };
        return Part { content_type, bytes: Cow::Borrowed(message) };
    }
    let bytes = header_section(message);
    let international = international && std::str::from_utf8(&bytes).is_ok();
    Part { content_type: if international { "message/global-headers" } else { "text/rfc822-headers" }, bytes }
}

fn header_section(message: &[u8]) -> Cow<'_, [u8]> {
    let bounded = message.get(..HEADER_BYTES_MAX).unwrap_or(message);
    let end = if bounded.starts_with(b"\r\n") {
        0
    } else {
        bounded.windows(4).position(|window| window == b"\r\n\r\n").map_or(bounded.len(), |at| at + 2)
    };
    let section = bounded.get(..end).unwrap_or(bounded);
    if is_clean(section) { Cow::Borrowed(section) } else { Cow::Owned(cleaned(section)) }
}

/// Lines that are too long are cut, and what has no place in a line becomes a question mark: this part is for people to recognise their
/// message by.
fn cleaned(section: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(section.len());
    let mut rest = section;
    while !rest.is_empty() {
        let end = rest.windows(2).position(|window| window == b"\r\n");
        let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest);
        let kept = line.iter().take(LINE_BYTES_MAX);
        out.extend(kept.map(|octet| if matches!(octet, 0 | b'\r' | b'\n') { b'?' } else { *octet }));
        out.extend_from_slice(b"\r\n");
        rest = end.and_then(|end| rest.get(end + 2..)).unwrap_or_default();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_message_comes_back_whole_and_an_unclean_one_as_its_cleaned_header() {
        let clean = b"Subject: x\r\n\r\nbody\r\n";
        assert_eq!(&*part(clean, Returned::Full, false).bytes, clean);
        assert_eq!(&*part(clean, Returned::Headers, false).bytes, b"Subject: x\r\n");
        let unclean = b"Subject: x\ny\0\r\n\r\nbody\r\n";
        let returned = part(unclean, Returned::Full, false);
        assert_eq!((&*returned.bytes, returned.content_type), (&b"Subject: x?y?\r\n"[..], "text/rfc822-headers"));
    }

    #[test]
    fn a_line_too_long_in_the_header_is_cut() {
        let long = [b"Subject: ".as_slice(), &[b'x'; 2_000], b"\r\nTo: y\r\n\r\n"].concat();
        let returned = part(&long, Returned::Headers, false);
        assert!(is_clean(&returned.bytes) && returned.bytes.ends_with(b"\r\nTo: y\r\n"));
    }

    #[test]
    fn the_global_types_are_for_utf8_only() {
        let latin = b"Subject: \xfc\r\n\r\n";
        assert_eq!(part("Subject: ü\r\n\r\n".as_bytes(), Returned::Headers, true).content_type, "message/global-headers");
        assert_eq!(part(latin, Returned::Headers, true).content_type, "text/rfc822-headers");
        assert_eq!(part("Subject: ü\r\n\r\nx\r\n".as_bytes(), Returned::Full, true).content_type, "message/global");
    }

    #[test]
    fn a_message_without_a_header_returns_nothing() {
        assert!(part(b"\r\nbody\r\n", Returned::Headers, false).bytes.is_empty());
    }
}
