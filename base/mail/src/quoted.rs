//! Peer text made safe to print. Promise: what comes out holds no control character, no line end and no direction mark,
//! and is at most [`QUOTED_CHARS_MAX`] characters long, so that no stranger writes a line of our log.

use std::fmt::{self, Write as _};

/// Longer peer text is cut here, and the cut is shown.
pub const QUOTED_CHARS_MAX: usize = 256;

/// Prints peer bytes between double quotes, with everything unusual escaped.
#[derive(Clone, Copy)]
pub struct Quoted<'a>(pub &'a [u8]);

impl<'a> Quoted<'a> {
    /// Quotes text.
    #[must_use]
    pub fn text(text: &'a str) -> Self {
        Self(text.as_bytes())
    }
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        let mut left = QUOTED_CHARS_MAX;
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if left == 0 {
                    return f.write_str("\"...");
                }
                left -= 1;
                match c {
                    '"' | '\\' => write!(f, "\\{c}")?,
                    ' '..='~' => f.write_char(c)?,
                    '\n' => f.write_str("\\n")?,
                    '\r' => f.write_str("\\r")?,
                    '\t' => f.write_str("\\t")?,
                    c if c.is_alphanumeric() => f.write_char(c)?,
                    c => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                }
            }
            for byte in chunk.invalid() {
                if left == 0 {
                    return f.write_str("\"...");
                }
                left -= 1;
                write!(f, "\\x{byte:02x}")?;
            }
        }
        f.write_char('"')
    }
}

impl fmt::Debug for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_and_direction_marks_are_escaped() {
        assert_eq!(Quoted(b"a\r\nb\0\xff\"").to_string(), r#""a\r\nb\u{0}\xff\"""#);
        assert_eq!(Quoted::text("x\u{202e}y").to_string(), r#""x\u{202e}y""#);
    }

    #[test]
    fn long_text_is_cut_and_the_cut_is_shown() {
        let long = "a".repeat(QUOTED_CHARS_MAX + 1);
        let printed = Quoted::text(&long).to_string();
        assert_eq!(printed.len(), QUOTED_CHARS_MAX + 5);
        assert!(printed.ends_with("\"..."));
    }
}
