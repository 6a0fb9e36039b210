//! The one writer of report lines. Promise: whatever goes in, each line that comes out ends in CRLF, is at most [`LINE_BYTES_MAX`]
//! octets long without it, and holds no control and no direction mark; so nothing a peer said can add a header or a part.

/// RFC 5322 §2.1.1: no line of ours is longer than 998 octets.
pub(crate) const LINE_BYTES_MAX: usize = 998;
/// RFC 5322 §2.1.1: what people read is wrapped here.
const LINE_BYTES_GOOD: usize = 76;

#[derive(Debug, Default)]
pub(crate) struct Lines {
    out: Vec<u8>,
}

/// Controls, line separators and direction marks become question marks.
pub(crate) fn clean(text: &str) -> String {
    let hostile = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{61c}')
    };
    text.chars().map(|c| if hostile(c) { '?' } else { c }).collect()
}

/// The same, and everything outside ASCII too.
pub(crate) fn ascii(text: &str) -> String {
    clean(text).chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
}

impl Lines {
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    pub(crate) fn empty(&mut self) {
        self.out.extend_from_slice(b"\r\n");
    }

    /// One line; one that is too long goes on in continuation lines.
    pub(crate) fn line(&mut self, text: &str) {
        let text = clean(text);
        let mut rest = text.as_str();
        while rest.len() > LINE_BYTES_MAX {
            let cut = rest.floor_char_boundary(LINE_BYTES_MAX - 1);
            let (head, tail) = rest.split_at_checked(cut).unwrap_or((rest, ""));
            self.out.extend_from_slice(head.as_bytes());
            self.out.extend_from_slice(b"\r\n ");
            rest = tail;
        }
        self.out.extend_from_slice(rest.as_bytes());
        self.empty();
    }

    /// A header field as it is; for values in which white space counts.
    pub(crate) fn field(&mut self, name: &str, value: &str) {
        self.line(&format!("{name}: {value}"));
    }

    /// A header field folded at white space (RFC 5322 §2.2.3), runs of which become one space.
    pub(crate) fn folded(&mut self, name: &str, value: &str) {
        self.wrap(&format!("{name}: "), "    ", value);
    }

    /// Text for people, wrapped.
    pub(crate) fn paragraph(&mut self, indent: &str, text: &str) {
        self.wrap(indent, indent, text);
    }

    fn wrap(&mut self, first: &str, later: &str, text: &str) {
        let mut line = first.to_owned();
        let mut begun = false;
        for word in clean(text).split_whitespace() {
            if begun && line.len() + 1 + word.len() > LINE_BYTES_GOOD {
                self.line(&line);
                line.clear();
                line.push_str(later);
                begun = false;
            }
            if begun {
                line.push(' ');
            }
            line.push_str(word);
            begun = true;
        }
        self.line(line.trim_end());
    }

    /// Octets of which [`is_clean`] was true.
    pub(crate) fn raw(&mut self, clean_lines: &[u8]) {
        self.out.extend_from_slice(clean_lines);
        if !clean_lines.is_empty() && !clean_lines.ends_with(b"\r\n") {
            self.empty();
        }
    }
}

/// True when only CRLF ends lines, none is too long, and there is no NUL, so that the octets can be sent in a part as they are.
pub(crate) fn is_clean(bytes: &[u8]) -> bool {
    let mut length = 0_usize;
    let mut octets = bytes.iter().peekable();
    while let Some(octet) = octets.next() {
        match octet {
            b'\r' if octets.next_if(|next| **next == b'\n').is_some() => length = 0,
            0 | b'\r' | b'\n' => return false,
            _ => length += 1,
        }
        if length > LINE_BYTES_MAX {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Lines)) -> String {
        let mut lines = Lines::default();
        write(&mut lines);
        String::from_utf8(lines.into_bytes()).unwrap()
    }

    #[test]
    fn a_line_end_in_a_value_ends_no_line() {
        assert_eq!(text(|l| l.field("A", "x\r\nBcc: y\u{85}\u{2028}\0")), "A: x??Bcc: y???\r\n");
        assert_eq!(text(|l| l.folded("A", "x\r\nBcc: y")), "A: x??Bcc: y\r\n");
    }

    #[test]
    fn long_values_fold_at_spaces_and_words_without_end_are_cut() {
        let folded = text(|l| l.folded("A", &"word ".repeat(40)));
        assert!(folded.lines().all(|line| line.len() <= LINE_BYTES_GOOD), "{folded}");
        assert_eq!(folded.split_whitespace().count(), 41);
        let cut = text(|l| l.folded("A", &"\u{fc}".repeat(1_200)));
        assert!(is_clean(cut.as_bytes()) && cut.lines().skip(1).all(|line| line.starts_with(' ')), "{cut}");
        assert_eq!(cut.matches('\u{fc}').count(), 1_200);
    }

    #[test]
    fn an_empty_value_leaves_no_white_space_line() {
        assert_eq!(text(|l| l.folded("A", "  ")), "A:\r\n");
        assert_eq!(text(|l| l.paragraph("  ", "")), "\r\n");
    }

    #[test]
    fn cleanliness_is_about_line_ends_length_and_nul() {
        assert!(is_clean(b"a\r\n\r\nb\r\n") && is_clean(b"") && is_clean(&[0xff]));
        for bad in [&b"a\nb"[..], b"a\rb", b"a\r", b"\r\r\n", b"a\0", &[b'x'; LINE_BYTES_MAX + 1]] {
            assert!(!is_clean(bad), "{bad:?}");
        }
        assert!(is_clean(&[b'x'; LINE_BYTES_MAX]));
    }
}
