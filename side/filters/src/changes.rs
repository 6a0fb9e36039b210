//! Head: the changes a filter wants of a message, and making them. Promise: whatever a filter names or writes, what comes of it is a header
//! section of whole fields and a body; nothing a filter writes as a value ends the section or begins a field of another name.

use std::borrow::Cow;

/// Fields of a message that is shown to filters. One with more would cost more memory for its fields than for itself, and a packet to a filter and
/// back for each.
pub(crate) const FIELDS_MAX: usize = 5_000;
/// Longest value of a field a filter may write.
const VALUE_BYTES_MAX: usize = 32 * 1024;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A field behind all others.
    Add {
        /// Its name.
        name: Vec<u8>,
        /// What stands behind the colon.
        value: Vec<u8>,
    },
    /// A field before the one at this place, counted from 0; at the end where there are not so many.
    Insert {
        /// Where.
        at: usize,
        /// Its name.
        name: Vec<u8>,
        /// What stands behind the colon.
        value: Vec<u8>,
    },
    /// Another value for the n-th field of a name, counted from 1; without a value it goes. One that is not there is added.
    Replace {
        /// Which of this name.
        nth: usize,
        /// Its name.
        name: Vec<u8>,
        /// What stands behind the colon.
        value: Vec<u8>,
    },
    /// Every field of a name goes.
    RemoveAll {
        /// Its name.
        name: Vec<u8>,
    },
    /// Another MAIL FROM, in angle brackets.
    From(String),
    /// One more recipient, in angle brackets.
    AddRecipient(String),
    /// One recipient less, in angle brackets.
    RemoveRecipient(String),
    /// Another body.
    Body(Vec<u8>),
}

impl Change {
    /// About sender and recipients, and not the message.
    pub(crate) fn is_of_envelope(&self) -> bool {
        matches!(self, Self::From(_) | Self::AddRecipient(_) | Self::RemoveRecipient(_))
    }
}

/// The message with these changes made in their order. Recipients and sender are not in it.
#[must_use]
pub fn apply<'a>(message: &'a [u8], changes: &[Change]) -> Cow<'a, [u8]> {
    if changes.iter().all(Change::is_of_envelope) {
        return Cow::Borrowed(message);
    }
    let (mut fields, mut body) = cut(message);
    for change in changes {
        match change {
            Change::Add { name, value } => fields.extend(field(name, value)),
            Change::Insert { at, name, value } => {
                if let Some(new) = field(name, value) {
                    fields.insert((*at).min(fields.len()), new);
                }
            }
            Change::Replace { nth, name, value } => replace(&mut fields, (*nth, name, value)),
            Change::RemoveAll { name } => fields.retain(|field| !name_of(field).eq_ignore_ascii_case(name)),
            Change::Body(new) => body = Cow::Borrowed(new.as_slice()),
            Change::From(_) | Change::AddRecipient(_) | Change::RemoveRecipient(_) => {}
        }
    }
    let mut whole = Vec::with_capacity(message.len() + 1_024);
    for field in &fields {
        whole.extend_from_slice(field);
        if !field.ends_with(b"\n") {
            whole.extend_from_slice(b"\r\n");
        }
    }
    whole.extend_from_slice(b"\r\n");
    whole.extend_from_slice(&body);
    Cow::Owned(whole)
}

fn replace<'a>(fields: &mut Vec<Cow<'a, [u8]>>, (nth, name, value): (usize, &[u8], &[u8])) {
    let mut of_name = fields.iter().enumerate().filter(|(_, field)| name_of(field).eq_ignore_ascii_case(name)).map(|(at, _)| at);
    let found = of_name.nth(nth.saturating_sub(1));
    match (found, value.is_empty()) {
        (Some(at), true) => drop(fields.remove(at)),
        (Some(at), false) => {
            if let (Some(place), Some(new)) = (fields.get_mut(at), field(name, value)) {
                *place = new;
            }
        }
        (None, true) => {}
        (None, false) => fields.extend(field(name, value)),
    }
}

/// The name of a field, without what may stand before its colon.
pub(crate) fn name_of(field: &[u8]) -> &[u8] {
    field.split(|octet| *octet == b':').next().unwrap_or_default().trim_ascii_end()
}

/// Whether a message has more fields than [`FIELDS_MAX`].
pub(crate) fn has_too_many_fields(message: &[u8]) -> bool {
    let lines = message.split_inclusive(|octet| *octet == b'\n').take_while(|line| !matches!(*line, b"\r\n" | b"\n"));
    lines
        .filter(|line| !line.starts_with(b" ") && !line.starts_with(b"\t"))
        .take_while(|line| line.contains(&b':'))
        .nth(FIELDS_MAX)
        .is_some()
}

/// A body whose lines end with CRLF, whatever ended them; `None` where it holds a NUL, which no mail may. What is accepted must be sendable: a
/// message that is found unclean later would come back to a sender that may be forged.
pub(crate) fn clean_body(body: Vec<u8>) -> Option<Vec<u8>> {
    if body.contains(&0) {
        return None;
    }
    let mut clean = Vec::with_capacity(body.len() + body.len() / 32);
    let mut octets = body.iter().copied().peekable();
    while let Some(octet) = octets.next() {
        match octet {
            b'\r' => {
                let _ = octets.next_if_eq(&b'\n');
                clean.extend_from_slice(b"\r\n");
            }
            b'\n' => clean.extend_from_slice(b"\r\n"),
            octet => clean.push(octet),
        }
    }
    Some(clean)
}

/// The fields of a message, each with its line ends, and its body.
pub(crate) fn cut(message: &[u8]) -> (Vec<Cow<'_, [u8]>>, Cow<'_, [u8]>) {
    let mut fields = Vec::new();
    let (mut start, mut at) = (0, 0);
    let piece = |from: usize, to: usize| message.get(from..to).unwrap_or_default();
    while at < message.len() {
        let rest = piece(at, message.len());
        let line = rest.split_inclusive(|octet| *octet == b'\n').next().unwrap_or(rest);
        let is_empty = matches!(line, b"\r\n" | b"\n");
        let is_first = at == start;
        if !is_first && (is_empty || !line.starts_with(b" ") && !line.starts_with(b"\t")) {
            fields.push(Cow::Borrowed(piece(start, at)));
            start = at;
        }
        // A line that no field begins with is the body's already.
        if is_empty || at == start && !line.contains(&b':') {
            let body = if is_empty { at + line.len() } else { at };
            return (fields, Cow::Borrowed(piece(body, message.len())));
        }
        at += line.len();
    }
    if start < at {
        fields.push(Cow::Borrowed(piece(start, at)));
    }
    (fields, Cow::Borrowed(&[]))
}

/// `name: value`, folded where the value is; `None` for a name that is none (RFC 5322 §2.2: printable octets without a colon).
fn field<'a>(name: &[u8], value: &[u8]) -> Option<Cow<'a, [u8]>> {
    if name.is_empty() || name.len() > 200 || !name.iter().all(|octet| octet.is_ascii_graphic() && *octet != b':') {
        return None;
    }
    let value = value.get(..VALUE_BYTES_MAX).unwrap_or(value);
    let mut field = name.to_vec();
    field.push(b':');
    for (number, line) in value.split(|octet| *octet == b'\n').enumerate() {
        let line: Vec<u8> = line.iter().copied().filter(|octet| !matches!(octet, b'\r' | 0)).collect();
        // RFC 5322 §3.2.2: a folded line of nothing but white space would be an obsolete form.
        if number > 0 && line.trim_ascii().is_empty() {
            continue;
        }
        if number > 0 {
            field.extend_from_slice(b"\r\n");
        }
        if !line.starts_with(b" ") && !line.starts_with(b"\t") && (number > 0 || !line.is_empty()) {
            field.push(b' ');
        }
        field.extend_from_slice(&line);
    }
    field.extend_from_slice(b"\r\n");
    Some(Cow::Owned(field))
}

#[cfg(test)]
mod tests;
