//! Head: the "relaxed" form of a body and of a header field (RFC 6376 §3.4). Promise: however a body is cut into pieces, the hash is the same, in memory that does
//! not grow with it.

use aws_lc_rs::digest::{Context, Digest, SHA256};

/// Octets gathered before they are hashed.
const GATHERED: usize = 8 * 1024;

/// Hashes a body as it streams by.
pub struct BodyHash {
    context: Context,
    gathered: Vec<u8>,
    /// Ends of lines that count only if a line with content follows. RFC 6376 §3.4.4: empty lines at the end are ignored.
    lines_owed: u64,
    /// White space that counts, as one space, only if something follows on its line.
    space_owed: bool,
    /// The last octet was a CR.
    cr: bool,
    is_empty: bool,
}

impl Default for BodyHash {
    fn default() -> Self {
        Self {
            context: Context::new(&SHA256),
            gathered: Vec::with_capacity(GATHERED + 1024),
            lines_owed: 0,
            space_owed: false,
            cr: false,
            is_empty: true,
        }
    }
}

impl BodyHash {
    /// Takes the next piece, cut anywhere.
    pub fn push(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while let Some((byte, behind)) = rest.split_first() {
            if std::mem::take(&mut self.cr) {
                if *byte == b'\n' {
                    (self.lines_owed, self.space_owed) = (self.lines_owed + 1, false);
                    rest = behind;
                    continue;
                }
                self.content(b"\r");
            }
            match byte {
                b' ' | b'\t' => (self.space_owed, rest) = (true, behind),
                b'\r' => (self.cr, rest) = (true, behind),
                _ => {
                    let (run, behind) = rest.split_at_checked(as_it_is(rest)).unwrap_or((rest, &[]));
                    self.content(run);
                    rest = behind;
                }
            }
        }
    }

    fn content(&mut self, run: &[u8]) {
        while self.lines_owed > 0 {
            self.gathered.extend_from_slice(b"\r\n");
            self.lines_owed -= 1;
            self.flush_if_full();
        }
        if std::mem::take(&mut self.space_owed) {
            self.gathered.push(b' ');
        }
        self.is_empty = false;
        if run.len() < GATHERED / 8 {
            self.gathered.extend_from_slice(run);
            self.flush_if_full();
        } else {
            self.context.update(&self.gathered);
            self.gathered.clear();
            self.context.update(run);
        }
    }

    fn flush_if_full(&mut self) {
        if self.gathered.len() >= GATHERED {
            self.context.update(&self.gathered);
            self.gathered.clear();
        }
    }

    /// The hash of what was shown.
    #[must_use]
    pub fn finish(mut self) -> Digest {
        if self.cr {
            self.content(b"\r");
        }
        // RFC 6376 §3.4.4: the last line ends in CRLF, whether it came or not; a body of nothing but empty lines is empty.
        if !self.is_empty {
            self.gathered.extend_from_slice(b"\r\n");
        }
        self.context.update(&self.gathered);
        self.context.finish()
    }
}

/// How much of the start, which is content, is hashed as it is: most text has single spaces and no empty lines. It ends behind content.
fn as_it_is(text: &[u8]) -> usize {
    let is_content = |byte: &u8| !matches!(byte, b' ' | b'\t' | b'\r');
    let mut end = 0;
    while let Some(at) = text.get(end..).and_then(|rest| rest.iter().position(|byte| *byte <= b' ')) {
        let stop = end + at;
        end = match text.get(stop..) {
            Some([b' ', next, ..]) if is_content(next) => stop + 2,
            Some([b'\r', b'\n', next, ..]) if is_content(next) => stop + 3,
            Some([byte, ..]) if is_content(byte) => stop + 1,
            _ => return stop,
        };
    }
    text.len()
}

/// Appends a field as it is hashed (RFC 6376 §3.4.2), without its end of line.
pub(crate) fn relaxed_field(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend(name.bytes().map(|byte| byte.to_ascii_lowercase()));
    out.push(b':');
    let start = out.len();
    // A fold is its CRLF and the white space behind it, so taking all of these for white space unfolds.
    for word in value.split(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).filter(|word| !word.is_empty()) {
        if out.len() > start {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
}

#[cfg(test)]
mod tests;
