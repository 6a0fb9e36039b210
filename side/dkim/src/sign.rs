//! Head: which fields are signed, and the field that says so. Promise: every instance of a signed field is covered, and one more of those that occur once, so that
//! none can be added (RFC 6376 §8.15); what is put in front is the field that was hashed.

use std::sync::Arc;

use aws_lc_rs::digest::Digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postern_mail::message::headers::{HEADER_BYTES_MAX, Headers};
use postern_mail::message::signed_fields::may_be_added;

use crate::canon::{BodyHash, relaxed_field};
use crate::key::{BadKey, Key};

/// Characters on a line of the field, folds aside.
const LINE: usize = 76;

/// Reads a message as it streams by: its header section, and the hash of its body.
#[derive(Default)]
pub struct Reader {
    section: Vec<u8>,
    headers: Option<Headers>,
    body: BodyHash,
    /// Of a section that is too long.
    beginning: Option<Headers>,
}

/// What was read.
pub struct Read {
    /// The header section.
    pub headers: Headers,
    body: Digest,
}

impl Reader {
    /// Takes the next piece, cut anywhere.
    pub fn push(&mut self, piece: &[u8]) {
        if self.headers.is_some() {
            self.body.push(piece);
        }
        if self.headers.is_some() || self.beginning.is_some() {
            return;
        }
        let look_from = self.section.len().saturating_sub(3);
        self.section.extend_from_slice(piece);
        // A section that begins with an empty line has no fields.
        let end = if self.section.starts_with(b"\r\n") {
            Some((0, 2))
        } else {
            let seen = self.section.get(look_from..).unwrap_or_default();
            memchr::memmem::find(seen, b"\r\n\r\n").map(|at| (look_from + at + 2, look_from + at + 4))
        };
        let too_long = end.map_or(self.section.len(), |(end, _)| end) > HEADER_BYTES_MAX;
        if too_long {
            self.beginning = Some(Headers::parse(&self.section));
        } else if let Some((end, body)) = end {
            self.body.push(self.section.get(body..).unwrap_or_default());
            self.headers = Some(Headers::parse(self.section.get(..end).unwrap_or_default()));
        }
        if too_long || self.headers.is_some() {
            self.section = Vec::new();
        }
    }

    /// The header section, once it was seen whole: whoever finds there that he need not sign need not read on.
    #[must_use]
    pub fn headers(&self) -> Option<&Headers> {
        self.headers.as_ref()
    }

    /// What there is of a header section that is too long to be signed, with that as its fault.
    #[must_use]
    pub fn beginning(&self) -> Option<&Headers> {
        self.beginning.as_ref()
    }

    /// All was shown. `None`: its header section is longer than any that is read.
    #[must_use]
    pub fn finish(self) -> Option<Read> {
        let headers = self.headers.or_else(|| self.beginning.is_none().then(|| Headers::parse(&self.section)))?;
        Some(Read { headers, body: self.body.finish() })
    }
}

/// Who signs.
#[derive(Clone, Debug)]
pub struct Signer {
    /// The `d=`.
    pub domain: String,
    /// Selectors with their keys, in the order of the signatures.
    pub keys: Vec<(String, Arc<Key>)>,
    /// Names of fields.
    pub fields: Vec<String>,
    /// The signature is good for so many seconds; zero: without an end.
    pub expires_after: u64,
}

impl Signer {
    /// The fields to put in front, one for each key. `now` is seconds since 1970.
    ///
    /// # Errors
    /// When a key cannot sign.
    pub fn sign(&self, read: &Read, now: u64) -> Result<String, BadKey> {
        let (names, mut hashed) = self.chosen(&read.headers);
        let length = hashed.len();
        let mut fields = String::new();
        for (selector, key) in &self.keys {
            hashed.truncate(length);
            let value = self.value(selector, key, (&names, &STANDARD.encode(read.body)), now);
            // RFC 6376 §3.7: the signature's own field comes last, with an empty `b=` and without its end of line.
            relaxed_field("DKIM-Signature", value.as_bytes(), &mut hashed);
            let signature = STANDARD.encode(key.sign(&hashed)?);
            fields.push_str("DKIM-Signature:");
            fields.push_str(&value);
            fields.push_str(&folded(&signature, 3));
            fields.push_str("\r\n");
        }
        Ok(fields)
    }

    /// The names in `h=`, and the fields as they are hashed. RFC 6376 §5.4.2: of fields with one name the last is the first.
    fn chosen(&self, headers: &Headers) -> (Vec<&str>, Vec<u8>) {
        let (mut names, mut hashed) = (Vec::new(), Vec::new());
        for name in &self.fields {
            let present: Vec<_> = headers.named(name).collect();
            for field in present.iter().rev() {
                names.push(name.as_str());
                relaxed_field(field.name, field.raw, &mut hashed);
                hashed.extend_from_slice(b"\r\n");
            }
            // A name once more than there are fields: one that is added breaks the signature.
            if !may_be_added(name) {
                names.push(name);
            }
        }
        (names, hashed)
    }

    /// All of the field's value but the signature.
    fn value(&self, selector: &str, key: &Key, (names, body): (&[&str], &str), now: u64) -> String {
        let algorithm = key.algorithm().as_str();
        let mut value = format!(" v=1; a={algorithm}; c=relaxed/relaxed; d={};\r\n\ts={selector}; t={now};", self.domain);
        if self.expires_after > 0 {
            value.push_str(&format!(" x={};", now.saturating_add(self.expires_after)));
        }
        value.push_str("\r\n\th=");
        let mut column = 3;
        for (number, name) in names.iter().enumerate() {
            if number > 0 {
                value.push(':');
                column += 1;
            }
            if column + name.len() > LINE {
                value.push_str("\r\n\t ");
                column = 2;
            }
            value.push_str(name);
            column += name.len();
        }
        value.push_str(";\r\n\tbh=");
        value.push_str(body);
        value.push_str(";\r\n\tb=");
        value
    }
}

/// Base 64 in lines, the first of which begins behind so many characters.
fn folded(text: &str, behind: usize) -> String {
    let mut lines = String::with_capacity(text.len() + text.len() / 16);
    let (first, mut rest) = text.split_at_checked(LINE.saturating_sub(behind)).unwrap_or((text, ""));
    lines.push_str(first);
    while !rest.is_empty() {
        let (line, behind) = rest.split_at_checked(LINE).unwrap_or((rest, ""));
        lines.push_str("\r\n\t ");
        lines.push_str(line);
        rest = behind;
    }
    lines
}
