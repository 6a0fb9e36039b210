//! Head: what final delivery takes out of a message's header. Promise: nothing but whole `Return-Path` fields of the header is taken, and the
//! body is not looked at.

use std::ops::Range;

const NAME: &[u8] = b"return-path";

/// Takes every `Return-Path` field out of the start of a message, which begins at `from` in `buffer`.
///
/// RFC 5321 §4.4: a message that is delivered has one, and that is the one the store puts there. One that came along names whoever a
/// stranger pleased, and readers that take the last one would believe it. A field whose end is not in the buffer is left: headers are far
/// smaller than what is gathered before the first write.
pub(crate) fn take_out_return_path(buffer: &mut Vec<u8>, from: usize) {
    let mut taken: Vec<Range<usize>> = Vec::new();
    let mut field = None;
    let mut at = from;
    while let Some(rest) = buffer.get(at..).filter(|rest| !rest.is_empty()) {
        if !matches!(rest.first(), Some(b' ' | b'\t')) {
            taken.extend(field.take().map(|begin| begin..at));
            field = is_return_path(rest).then_some(at);
        }
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { break };
        // A line without a colon is no field: the empty one that ends the header, or the first of a body that has none.
        let line = rest.get(..end).unwrap_or_default();
        if field.is_none() && !matches!(rest.first(), Some(b' ' | b'\t')) && !line.contains(&b':') {
            break;
        }
        at += end + 1;
    }
    for range in taken.into_iter().rev() {
        buffer.drain(range);
    }
}

fn is_return_path(line: &[u8]) -> bool {
    let Some((name, rest)) = line.split_at_checked(NAME.len()) else { return false };
    // RFC 5322 §4.5: old fields may have blanks before the colon.
    name.eq_ignore_ascii_case(NAME) && rest.iter().find(|byte| !matches!(byte, b' ' | b'\t')) == Some(&b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without(message: &str) -> String {
        let mut buffer = format!("Return-Path: <ours@x>\r\n{message}").into_bytes();
        take_out_return_path(&mut buffer, "Return-Path: <ours@x>\r\n".len());
        String::from_utf8(buffer).unwrap().strip_prefix("Return-Path: <ours@x>\r\n").unwrap().to_owned()
    }

    #[test]
    fn every_return_path_that_came_along_is_taken_out_with_its_folded_lines() {
        let message = "RETURN-PATH: <a@x>\r\nSubject: x\r\n y\r\nReturn-Path :\r\n <b@x>\r\nTo: c@x\r\n\r\nhello\r\n";
        assert_eq!(without(message), "Subject: x\r\n y\r\nTo: c@x\r\n\r\nhello\r\n");
        assert_eq!(without("Return-Path: <a@x>\r\n\r\nhello\r\n"), "\r\nhello\r\n");
    }

    #[test]
    fn the_body_and_other_fields_are_left_as_they_are() {
        for message in [
            "Subject: x\r\n\r\nReturn-Path: <a@x>\r\n",
            "\r\nReturn-Path: <a@x>\r\n",
            "no header at all\r\nReturn-Path: <a@x>\r\n",
            "Return-Path-Of: x\r\nX-Return-Path: y\r\nSubject: x\r\n Return-Path: z\r\n\r\n",
            "Return-Path",
            "",
        ] {
            assert_eq!(without(message), message);
        }
    }

    #[test]
    fn a_field_whose_end_is_not_there_yet_is_left() {
        assert_eq!(without("Subject: x\r\nReturn-Path: <a"), "Subject: x\r\nReturn-Path: <a");
        assert_eq!(without("Subject: x\r\nReturn-Path: <a>\r\n"), "Subject: x\r\nReturn-Path: <a>\r\n");
    }
}
