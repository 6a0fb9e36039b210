//! The body of a message after DATA as a stream: dots taken off on the way in, put on on the way out (RFC 5321 §4.5.2).
//! RFC 5321 §4.5.3.1.6: a line of text may be as long as it likes; nothing is kept of it here. RFC 6152 §3: all bits of all octets pass.
//!
//! Promise: exactly CRLF.CRLF ends a body, and a body never holds a CR or LF alone or a NUL, at every split of the bytes. What is sent
//! is held to the same rule as what is taken, so that no peer is handed one half of a smuggled message.

use memchr::{memchr3, memmem};
use postern_mail::trouble::Fault;

const CRLF: &[u8] = b"\r\n";

/// How far a body has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataProgress {
    /// It goes on.
    More,
    /// CRLF.CRLF has come; what is behind it is a command.
    End,
    /// Bare CR, bare LF or NUL; the message is not to be taken.
    Broken(Fault),
}

/// What the decoder has seen last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// A CRLF. RFC 5321 §4.1.1.4: the CRLF of the DATA line counts, so `.CRLF` alone is an empty body.
    #[default]
    LineStart,
    Text,
    /// A CR that is held back.
    Cr,
    /// A dot at the start of a line, held back.
    Dot,
    /// That, and a CR.
    DotCr,
    Ended,
    Broken(Fault),
}

/// Takes the dots off. It copies nothing: what it passes on are slices of its input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataDecoder {
    place: Place,
}

impl DataDecoder {
    /// At the start of a body.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Passes the content of `input` to `sink` and says how many octets were consumed: all of them, unless the body ended or broke. After
    /// that it consumes nothing.
    pub fn decode<'a>(&mut self, input: &'a [u8], sink: &mut impl FnMut(&'a [u8])) -> (usize, DataProgress) {
        let mut at = 0;
        while let Some(byte) = input.get(at) {
            match (self.place, byte) {
                (Place::Ended | Place::Broken(_), _) => break,
                (Place::LineStart, b'.') => (self.place, at) = (Place::Dot, at + 1),
                (Place::Cr, b'\n') => {
                    sink(CRLF);
                    (self.place, at) = (Place::LineStart, at + 1);
                }
                (Place::Dot, b'\r') => (self.place, at) = (Place::DotCr, at + 1),
                (Place::DotCr, b'\n') => (self.place, at) = (Place::Ended, at + 1),
                // RFC 5321 §2.3.8: a CR with anything but LF behind it; above all CRLF . CR CR LF, which ends no body.
                (Place::Cr | Place::DotCr, _) => self.place = Place::Broken(Fault::BareCr),
                // The dot itself is dropped (RFC 5321 §4.5.2), also where the client should have sent two.
                (Place::LineStart | Place::Text | Place::Dot, _) => at = self.text(input, at, sink),
            }
        }
        let progress = match self.place {
            Place::Ended => DataProgress::End,
            Place::Broken(fault) => DataProgress::Broken(fault),
            _ => DataProgress::More,
        };
        (at, progress)
    }

    /// Passes on as many lines as there are before a dot to be taken off, the end of the input, or a fault; gives where that is.
    fn text<'a>(&mut self, input: &'a [u8], start: usize, sink: &mut impl FnMut(&'a [u8])) -> usize {
        let mut from = start;
        let (kept, place, next) = loop {
            let Some(offset) = input.get(from..).and_then(|rest| memchr3(b'\r', b'\n', 0, rest)) else {
                break (input.len(), Place::Text, input.len());
            };
            let at = from + offset;
            match (input.get(at), input.get(at + 1), input.get(at + 2)) {
                (Some(b'\r'), Some(b'\n'), Some(b'.')) => break (at + 2, Place::Dot, at + 3),
                (Some(b'\r'), Some(b'\n'), Some(_)) => from = at + 2,
                (Some(b'\r'), Some(b'\n'), None) => break (at + 2, Place::LineStart, at + 2),
                (Some(b'\r'), None, _) => break (at, Place::Cr, at + 1),
                (Some(b'\r'), Some(_), _) => break (at, Place::Broken(Fault::BareCr), at + 1),
                (Some(b'\n'), ..) => break (at, Place::Broken(Fault::BareLf), at + 1),
                _ => break (at, Place::Broken(Fault::Nul), at + 1),
            }
        };
        if let Some(run) = input.get(start..kept).filter(|run| !run.is_empty()) {
            sink(run);
        }
        self.place = place;
        next
    }
}

/// Puts the dots on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DotStuffer {
    end: LineEnd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineEnd {
    /// Behind a CRLF, or nothing was sent yet.
    Whole,
    /// Behind a CR.
    Half,
    None,
}

impl Default for DotStuffer {
    fn default() -> Self {
        Self { end: LineEnd::Whole }
    }
}

impl DotStuffer {
    /// At the start of a body.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `input` with a dot before each dot that starts a line. The input is checked by [`Cleanliness`], not here.
    pub fn encode(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let mut rest = input;
        if let (LineEnd::Half, Some(behind)) = (self.end, rest.strip_prefix(b"\n")) {
            out.push(b'\n');
            (self.end, rest) = (LineEnd::Whole, behind);
        }
        if rest.is_empty() {
            return;
        }
        if self.end == LineEnd::Whole && rest.starts_with(b".") {
            out.push(b'.');
        }
        self.end = match rest {
            [.., b'\r', b'\n'] => LineEnd::Whole,
            [.., b'\r'] => LineEnd::Half,
            _ => LineEnd::None,
        };
        while let Some((lines, behind)) = memmem::find(rest, b"\r\n.").and_then(|at| rest.split_at_checked(at + 2)) {
            out.extend_from_slice(lines);
            out.push(b'.');
            rest = behind;
        }
        out.extend_from_slice(rest);
    }

    /// Ends the body: CRLF where its last line lacks it (RFC 5321 §4.1.1.4), and `.CRLF`.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        match self.end {
            LineEnd::Whole => {}
            LineEnd::Half => out.push(b'\n'),
            LineEnd::None => out.extend_from_slice(CRLF),
        }
        out.extend_from_slice(b".\r\n");
        self.end = LineEnd::Whole;
    }
}

/// Checks that a stream of octets holds no CR or LF alone and no NUL. Shared by BDAT on the way in and everything on the way out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleanliness {
    place: Scan,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Scan {
    /// Nothing yet, or behind a CRLF.
    #[default]
    LineStart,
    Text,
    Cr,
    Broken(Fault),
}

impl Cleanliness {
    /// At the start of a message.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at the next octets.
    ///
    /// # Errors
    /// [`Fault::BareCr`], [`Fault::BareLf`] or [`Fault::Nul`], whichever comes first, and the same ever after.
    pub fn scan(&mut self, input: &[u8]) -> Result<(), Fault> {
        self.place = match self.place {
            Scan::Broken(_) => self.place,
            _ if input.is_empty() => self.place,
            Scan::Cr => match input.split_first() {
                Some((b'\n', [])) => Scan::LineStart,
                Some((b'\n', rest)) => scan_lines(rest),
                _ => Scan::Broken(Fault::BareCr),
            },
            Scan::LineStart | Scan::Text => scan_lines(input),
        };
        match self.place {
            Scan::Broken(fault) => Err(fault),
            _ => Ok(()),
        }
    }

    /// To be asked at the end of the message.
    ///
    /// # Errors
    /// What [`Cleanliness::scan`] said, or [`Fault::BareCr`] when the last octet is a CR.
    pub fn finish(&self) -> Result<(), Fault> {
        match self.place {
            Scan::Cr => Err(Fault::BareCr),
            Scan::Broken(fault) => Err(fault),
            Scan::LineStart | Scan::Text => Ok(()),
        }
    }

    /// True when the last line is whole, or there is none.
    #[must_use]
    pub fn ends_line(&self) -> bool {
        self.place == Scan::LineStart
    }
}

/// Scans octets that do not stand behind a CR. They are not empty.
fn scan_lines(input: &[u8]) -> Scan {
    let mut rest = input;
    while let Some(behind) = memchr3(b'\r', b'\n', 0, rest).and_then(|at| rest.get(at..)) {
        rest = match behind {
            [b'\r', b'\n'] => return Scan::LineStart,
            [b'\r', b'\n', rest @ ..] => rest,
            [b'\r'] => return Scan::Cr,
            [b'\r', ..] => return Scan::Broken(Fault::BareCr),
            [b'\n', ..] => return Scan::Broken(Fault::BareLf),
            _ => return Scan::Broken(Fault::Nul),
        };
    }
    Scan::Text
}

#[cfg(test)]
mod tests;
