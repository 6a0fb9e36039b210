//! A hostile server: bounded, printable, and the same at every split.

use postern_smtp::extension::Offered;
use postern_smtp::reply_lines::{RECEIVED_BYTES_MAX, RECEIVED_LINES_MAX, ReceivedReply, ReplyReader};

/// The replies, and whether a fault ended them.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<ReceivedReply>, bool) {
    let (mut reader, mut replies) = (ReplyReader::default(), Vec::new());
    for piece in pieces {
        let mut rest = piece;
        while !rest.is_empty() {
            let Ok((consumed, reply)) = reader.read(rest) else { return (replies, true) };
            assert!(consumed > 0 && (reply.is_some() || consumed == rest.len()));
            rest = &rest[consumed..];
            replies.extend(reply);
        }
    }
    (replies, false)
}

/// The property.
pub fn check(data: &[u8]) {
    let (pieces, whole) = crate::split(data);
    let seen = read([whole]);
    assert_eq!(read(pieces.iter().copied()), seen);
    for reply in seen.0 {
        assert!((200..560).contains(&reply.code.0));
        assert!((1..=RECEIVED_LINES_MAX).contains(&reply.lines.len()));
        assert!(reply.lines.iter().map(String::len).sum::<usize>() <= 3 * RECEIVED_BYTES_MAX);
        assert!(!reply.text().chars().any(char::is_control));
        let _ = Offered::parse(&reply.lines);
    }
}
