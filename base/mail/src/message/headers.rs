//! Reading a header section (RFC 5322 §2.2) without trusting it. Promise: any octets give an answer in linear time and bounded memory,
//! and a line that another reader might take for a field we do not see is a [`HeaderFault`], never silence.

use std::borrow::Cow;
use std::fmt;

use crate::address::Mailbox;
use crate::message::mailbox_list;

/// A header section is kept up to here, with its empty line. RFC 5322 sets no limit; the longest we have reason to expect (many
/// recipients, many signatures) is a third of this.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;

/// `Message-ID` values longer than this are not repeated anywhere.
pub const MESSAGE_ID_BYTES_MAX: usize = 250;

/// Why a header section cannot be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeaderFault {
    /// More than [`HEADER_BYTES_MAX`] octets without an empty line.
    TooLong,
    /// A line that is neither a field nor the continuation of one.
    NotAField,
    /// A field name with a space or another character no name has (RFC 5322 §3.6.8), such as `From :` or `Fr om:`.
    FieldName,
    /// The section begins with a continuation line.
    StrayContinuation,
    /// A continuation line of nothing but white space, which some readers take for the end of the section (RFC 5322 §3.2.2).
    BlankContinuation,
    /// A NUL, a bare CR or a bare LF.
    Control,
    /// The last line has no CRLF.
    Unterminated,
    /// No From field.
    FromMissing,
    /// More than one From field.
    FromRepeated,
    /// A From field that is no mailbox list, or names nobody.
    FromUnreadable,
    /// More than one Sender field.
    SenderRepeated,
    /// A Sender field that is not one mailbox.
    SenderUnreadable,
}

impl HeaderFault {
    /// All of them, in an order that never changes: new ones are added at the end.
    pub const ALL: [Self; 12] = [
        Self::TooLong,
        Self::NotAField,
        Self::FieldName,
        Self::StrayContinuation,
        Self::BlankContinuation,
        Self::Control,
        Self::Unterminated,
        Self::FromMissing,
        Self::FromRepeated,
        Self::FromUnreadable,
        Self::SenderRepeated,
        Self::SenderUnreadable,
    ];

    /// True where only what a field says is wrong, not where fields begin and end.
    #[must_use]
    pub const fn leaves_fields_certain(self) -> bool {
        matches!(
            self,
            Self::FromMissing | Self::FromRepeated | Self::FromUnreadable | Self::SenderRepeated | Self::SenderUnreadable
        )
    }

    /// In words, for a reply text.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::TooLong => "the header section is too long",
            Self::NotAField => "a line of the header section is not a header field",
            Self::FieldName => "a header field name has a space or another character that is not allowed",
            Self::StrayContinuation => "the header section begins with a continuation line",
            Self::BlankContinuation => "the header section has a folded line without content",
            Self::Control => "the header section has a NUL, or a CR or LF on its own",
            Self::Unterminated => "the header section ends within a line",
            Self::FromMissing => "the message has no From header field",
            Self::FromRepeated => "the message has more than one From header field",
            Self::FromUnreadable => "the From header field is not a list of valid addresses",
            Self::SenderRepeated => "the message has more than one Sender header field",
            Self::SenderUnreadable => "the Sender header field is not one valid address",
        }
    }
}

impl fmt::Display for HeaderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

impl std::error::Error for HeaderFault {}

/// Gathers the header section from the pieces of a body as they stream by.
#[derive(Clone, Debug, Default)]
pub struct HeaderCollector {
    kept: Vec<u8>,
    ended: bool,
    too_long: bool,
}

impl HeaderCollector {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece of the message, cut anywhere. True while it wants to see more.
    pub fn push(&mut self, piece: &[u8]) -> bool {
        if !self.wants_more() {
            return false;
        }
        let room = HEADER_BYTES_MAX.saturating_sub(self.kept.len());
        // The empty line may begin in what was kept before.
        let look_from = self.kept.len().saturating_sub(3);
        self.kept.extend_from_slice(piece.get(..room).unwrap_or(piece));
        if self.kept.starts_with(b"\r\n") {
            self.kept.clear();
            self.ended = true;
        } else if let Some(at) = find(self.kept.get(look_from..).unwrap_or_default(), b"\r\n\r\n") {
            self.kept.truncate(look_from + at + 2);
            self.ended = true;
        } else {
            self.too_long = piece.len() > room;
        }
        self.wants_more()
    }

    /// False once the empty line was seen or the limit was reached.
    #[must_use]
    pub fn wants_more(&self) -> bool {
        !self.ended && !self.too_long
    }

    /// Reads what was gathered. A message without an empty line is all header (RFC 5322 §2.1: the body is optional).
    #[must_use]
    pub fn finish(self) -> Headers {
        Headers::read(self.kept, self.too_long)
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Where one field stands in the section.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    colon: usize,
    end: usize,
}

/// One field as it came.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// Its name, in the case it came in.
    pub name: &'a str,
    /// What stands behind the colon, folds included, without the last CRLF.
    pub raw: &'a [u8],
}

impl Field<'_> {
    /// True for this name in any case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The value without folds (RFC 5322 §2.2.3: the CRLF of a fold goes, its white space stays) and without white space at its ends.
    #[must_use]
    pub fn unfolded(&self) -> Vec<u8> {
        let octets: Vec<u8> = self.raw.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
        octets.trim_ascii().to_vec()
    }

    /// Every address in it, as [`mailbox_list::every`] reads them; octets that are no UTF-8 are replaced, since names in other character sets are common.
    #[must_use]
    fn every_mailbox(&self) -> Option<Vec<Mailbox>> {
        mailbox_list::every(&String::from_utf8_lossy(&self.unfolded()))
    }

    /// The same as text, where it is UTF-8.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        String::from_utf8(self.unfolded()).ok()
    }
}

/// A header section that was read.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    fault: Option<HeaderFault>,
}

impl Headers {
    /// Reads a whole section at once, up to its empty line.
    #[must_use]
    pub fn parse(message: &[u8]) -> Self {
        let mut collector = HeaderCollector::new();
        collector.push(message);
        collector.finish()
    }

    /// The octets this section was read from, without the fields that are chosen. Of a section with a fault nothing is taken out: where its fields
    /// end is not certain.
    #[must_use]
    pub fn without<'a>(&self, section: &'a [u8], chosen: impl Fn(&Field<'_>) -> bool) -> Cow<'a, [u8]> {
        let is_sure = self.fault.is_none_or(HeaderFault::leaves_fields_certain);
        if !is_sure || !self.fields().any(|field| chosen(&field)) {
            return Cow::Borrowed(section);
        }
        let mut left = Vec::with_capacity(section.len());
        let mut at = 0;
        for (span, _) in self.spans.iter().zip(self.fields()).filter(|(_, field)| chosen(field)) {
            left.extend_from_slice(section.get(at..span.start).unwrap_or_default());
            at = span.end + 2;
        }
        left.extend_from_slice(section.get(at..).unwrap_or_default());
        Cow::Owned(left)
    }

    /// A section of which only these fields were kept, with the fault that the whole one had.
    #[must_use]
    pub fn recorded(fields: &[u8], fault: Option<HeaderFault>) -> Self {
        Self { fault, ..Self::read(fields.to_vec(), false) }
    }

    fn read(bytes: Vec<u8>, too_long: bool) -> Self {
        let mut reader = Reader { spans: Vec::new(), fault: None, open: false };
        if too_long {
            reader.blame(HeaderFault::TooLong);
        }
        let mut start = 0;
        while let Some(rest) = bytes.get(start..).filter(|rest| !rest.is_empty()) {
            let length = find(rest, b"\r\n");
            if length.is_none() {
                reader.blame(HeaderFault::Unterminated);
            }
            let end = start + length.unwrap_or(rest.len());
            reader.line(bytes.get(start..end).unwrap_or_default(), start);
            start = end + 2;
        }
        Self { bytes, spans: reader.spans, fault: reader.fault }
    }

    /// What is wrong with the section as a whole; the first thing, where there are several. Fields are found in spite of it, but what
    /// another reader finds may differ.
    #[must_use]
    pub fn fault(&self) -> Option<HeaderFault> {
        self.fault
    }

    /// The section as it came, without the empty line; cut at [`HEADER_BYTES_MAX`].
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// True when there are octets outside ASCII, which need 8BITMIME and, as text, SMTPUTF8 (RFC 6532 §3).
    #[must_use]
    pub fn has_eight_bit(&self) -> bool {
        !self.bytes.is_ascii()
    }

    /// The fields in their order.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        self.spans.iter().filter_map(|span| {
            let name = std::str::from_utf8(self.bytes.get(span.start..span.colon)?).ok()?;
            Some(Field { name, raw: self.bytes.get(span.colon + 1..span.end)? })
        })
    }

    /// The fields of one name, in any case.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Field<'a>> {
        self.fields().filter(move |field| field.is(name))
    }

    /// How often a name occurs.
    #[must_use]
    pub fn count(&self, name: &str) -> usize {
        self.named(name).count()
    }

    /// How many servers say they have passed the message on (RFC 5321 §6.3).
    #[must_use]
    pub fn received_count(&self) -> usize {
        self.count("Received")
    }

    /// Whose mailbox the message has been in already. Values that are no mailbox are nobody's.
    pub fn delivered_to(&self) -> impl Iterator<Item = Mailbox> {
        self.named("Delivered-To").filter_map(|field| {
            let text = field.text()?;
            let bare = text.strip_prefix('<').and_then(|inner| inner.strip_suffix('>')).unwrap_or(&text);
            Mailbox::parse(bare).ok()
        })
    }

    /// The message's own name, where there is exactly one and it can be repeated in a header of ours (RFC 5322 §3.6.4).
    #[must_use]
    pub fn message_id(&self) -> Option<String> {
        let mut found = self.named("Message-ID");
        let (field, None) = (found.next()?, found.next()) else { return None };
        let text = field.text()?;
        let inner = text.strip_prefix('<')?.strip_suffix('>')?;
        let fits = text.len() <= MESSAGE_ID_BYTES_MAX
            && inner.contains('@')
            && inner.bytes().all(|b| b.is_ascii_graphic() && b != b'<' && b != b'>');
        fits.then_some(text)
    }

    /// Who the message says it is from (RFC 5322 §3.6.2). Never empty.
    ///
    /// # Errors
    /// The fault of the section, when it has one: in a malformed section another reader may find another From. Else
    /// [`HeaderFault::FromMissing`], [`HeaderFault::FromRepeated`] or [`HeaderFault::FromUnreadable`].
    pub fn from_addresses(&self) -> Result<Vec<Mailbox>, HeaderFault> {
        let field = self.sole("From", HeaderFault::FromRepeated)?.ok_or(HeaderFault::FromMissing)?;
        let text = field.text().ok_or(HeaderFault::FromUnreadable)?;
        mailbox_list::parse(&text).filter(|list| !list.is_empty()).ok_or(HeaderFault::FromUnreadable)
    }

    /// Who a stranger's message is from, for whoever goes by the policies of all authors: read as [`mailbox_list::every`] reads, and in a malformed section too,
    /// where no line of it could be another From. Empty when the field names nobody.
    ///
    /// # Errors
    /// The fault of the section, when another reader may find another From in it. Else as [`Self::from_addresses`].
    pub fn authors(&self) -> Result<Vec<Mailbox>, HeaderFault> {
        if let Some(fault) = self.fault.filter(|fault| !fault.leaves_fields_certain())
            && (fault == HeaderFault::TooLong || self.lines_like_from() > self.count("From"))
        {
            return Err(fault);
        }
        let mut fields = self.named("From");
        match (fields.next(), fields.next()) {
            (None, _) => Err(HeaderFault::FromMissing),
            (Some(_), Some(_)) => Err(HeaderFault::FromRepeated),
            (Some(field), None) => field.every_mailbox().ok_or(HeaderFault::FromUnreadable),
        }
    }

    /// Lines that some reader may take for a From field: those of faults have white space, controls or other characters in their names, and readers differ on
    /// what ends a line.
    fn lines_like_from(&self) -> usize {
        let lines = self.bytes.split(|b| matches!(b, b'\r' | b'\n'));
        lines
            .filter(|line| {
                let colon = line.iter().position(|b| *b == b':');
                let name = colon.and_then(|colon| line.get(..colon)).unwrap_or_default();
                name.iter().filter(|b| b.is_ascii_graphic()).map(u8::to_ascii_lowercase).eq(*b"from")
            })
            .count()
    }

    /// All addresses in fields of this name, however often it stands there and whatever is wrong with the rest: what lists are asked about.
    #[must_use]
    pub fn addresses_in(&self, name: &str) -> Vec<Mailbox> {
        self.named(name).filter_map(|field| field.every_mailbox()).flatten().take(mailbox_list::MAILBOXES_MAX).collect()
    }

    /// True where From names the mail system of a host without its domain, as reports of many programs do.
    #[must_use]
    pub fn is_from_mail_system(&self) -> bool {
        let mut fields = self.named("From");
        let (Some(field), None) = (fields.next(), fields.next()) else { return false };
        let text = String::from_utf8_lossy(&field.unfolded()).to_ascii_lowercase();
        let mut words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        !text.contains('@') && words.any(|word| matches!(word, "mailer-daemon" | "postmaster"))
    }

    /// Who says they sent it for the authors (RFC 5322 §3.6.2), where that is told.
    ///
    /// # Errors
    /// The fault of the section, when it has one; else [`HeaderFault::SenderRepeated`] or [`HeaderFault::SenderUnreadable`].
    pub fn sender_address(&self) -> Result<Option<Mailbox>, HeaderFault> {
        let Some(field) = self.sole("Sender", HeaderFault::SenderRepeated)? else { return Ok(None) };
        let text = field.text().ok_or(HeaderFault::SenderUnreadable)?;
        match mailbox_list::parse(&text).as_deref() {
            Some([mailbox]) => Ok(Some(mailbox.clone())),
            _ => Err(HeaderFault::SenderUnreadable),
        }
    }

    fn sole<'a>(&'a self, name: &'a str, repeated: HeaderFault) -> Result<Option<Field<'a>>, HeaderFault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let mut found = self.named(name);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(repeated),
            (field, None) => Ok(field),
        }
    }
}

/// Goes through the lines once.
struct Reader {
    spans: Vec<Span>,
    fault: Option<HeaderFault>,
    /// The last line belongs to a field, so that a continuation has something to continue.
    open: bool,
}

impl Reader {
    fn blame(&mut self, fault: HeaderFault) {
        self.fault.get_or_insert(fault);
    }

    fn line(&mut self, line: &[u8], start: usize) {
        if line.iter().any(|b| matches!(b, 0 | b'\r' | b'\n')) {
            self.blame(HeaderFault::Control);
        }
        let end = start + line.len();
        if matches!(line.first(), Some(b' ' | b'\t')) {
            if self.spans.is_empty() && self.fault.is_none() {
                self.blame(HeaderFault::StrayContinuation);
            }
            if line.iter().all(|b| matches!(b, b' ' | b'\t')) {
                // RFC 5322 §3.2.2: no fold leaves a line of white space only. RFC 5322 §4.2 DEPARTS: the obsolete form that allows it is
                // a fault here, since readers differ on whether the section ends there.
                self.blame(HeaderFault::BlankContinuation);
            }
            if let Some(span) = self.spans.last_mut().filter(|_| self.open) {
                span.end = end;
            }
            return;
        }
        self.open = false;
        let Some(colon) = line.iter().position(|b| *b == b':') else {
            self.blame(HeaderFault::NotAField);
            return;
        };
        // RFC 5322 §3.6.8: a name is printable ASCII without a colon. RFC 5322 §4.5 DEPARTS: the obsolete white space before the colon
        // is a fault, because a reader that does not know it would miss the field.
        let name = line.get(..colon).unwrap_or_default();
        if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
            self.blame(HeaderFault::FieldName);
            return;
        }
        self.spans.push(Span { start, colon: start + colon, end });
        self.open = true;
    }
}

#[cfg(test)]
mod tests;
