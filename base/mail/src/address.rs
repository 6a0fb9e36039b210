//! Mailboxes and paths (RFC 5321 §4.1.2, RFC 6531 §3.3). Promise: printing a mailbox gives text that parses to the same mailbox, and
//! holds no control character.

use std::fmt;

use crate::domain::{Domain, Host};
use crate::trouble::Fault;

/// RFC 5321 §4.5.3.1.1: a local part is at most 64 octets.
pub const LOCAL_PART_BYTES_MAX: usize = 64;
/// RFC 5321 §4.5.3.1.3: a path with its angle brackets is at most 256 octets.
pub const PATH_BYTES_MAX: usize = 256;

/// The part before the `@`, without quotes: `"a b"` holds `a b`, and `"ab"` is the same as `ab` (RFC 5321 §4.1.2:
/// all quoted forms are equivalent). RFC 5321 §2.4: its case is kept.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LocalPart(Box<str>);

fn is_atext(c: char) -> bool {
    // RFC 5322 §3.2.3, widened by RFC 6531 §3.3 to every character outside ASCII that is not a control.
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || (!c.is_ascii() && !c.is_control())
}

fn is_dot_string(text: &str) -> bool {
    text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

impl LocalPart {
    /// Parses a dot-string or a quoted string.
    ///
    /// # Errors
    /// [`Fault::LocalPart`] for anything else, for control characters even within quotes, and for more than 64 octets.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let content = match text.strip_prefix('"') {
            None if is_dot_string(text) => text.to_owned(),
            None => return Err(Fault::LocalPart),
            Some(rest) => unquote(rest.strip_suffix('"').ok_or(Fault::LocalPart)?)?,
        };
        if content.len() > LOCAL_PART_BYTES_MAX {
            return Err(Fault::LocalPart);
        }
        Ok(Self(content.into_boxed_str()))
    }

    /// The content without quotes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True when it cannot be sent to a next hop without SMTPUTF8.
    #[must_use]
    pub fn needs_utf8(&self) -> bool {
        !self.0.is_ascii()
    }
}

fn unquote(inner: &str) -> Result<String, Fault> {
    let mut content = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => chars.next().filter(char::is_ascii).ok_or(Fault::LocalPart)?,
            '"' => return Err(Fault::LocalPart),
            other => other,
        };
        if c.is_control() {
            return Err(Fault::LocalPart);
        }
        content.push(c);
    }
    Ok(content)
}

impl fmt::Display for LocalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(&self.0) {
            return f.write_str(&self.0);
        }
        f.write_str("\"")?;
        for c in self.0.chars() {
            if matches!(c, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        f.write_str("\"")
    }
}

impl fmt::Debug for LocalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `local-part@domain`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mailbox {
    /// Before the `@`.
    pub local: LocalPart,
    /// Behind it.
    pub host: Host,
}

impl Mailbox {
    /// Parses `local@domain`, without angle brackets.
    ///
    /// # Errors
    /// [`Fault::LocalPart`] or [`Fault::Domain`], whichever half is wrong.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        // In a quoted local part an `@` is content, so the last one separates; a domain never holds one.
        let (local, host) = text.rsplit_once('@').ok_or(Fault::LocalPart)?;
        let mailbox = Self { local: LocalPart::parse(local)?, host: Host::parse(host)? };
        // RFC 5321 §4.5.3.1.3: 256 octets with the brackets, as it came and as we shall send it on. A-labels are longer than the U-labels
        // they stand for; nothing else grows by much.
        let grows = !text.is_ascii() || text.len() > PATH_BYTES_MAX / 2;
        let longest = if grows { text.len().max(mailbox.to_string().len()) } else { text.len() };
        if longest + 2 > PATH_BYTES_MAX { Err(Fault::LocalPart) } else { Ok(mailbox) }
    }

    /// `postmaster` at a host: what `RCPT TO:<postmaster>` means on that host (RFC 5321 §4.5.1).
    #[must_use]
    pub fn postmaster_of(host: Domain) -> Self {
        Self { local: LocalPart("postmaster".into()), host: Host::Name(host) }
    }

    /// The domain, where it is a name.
    #[must_use]
    pub fn domain(&self) -> Option<&Domain> {
        self.host.name()
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.host)
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where reports go: MAIL FROM.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// `<>`: a report itself; it must never cause another (RFC 5321 §4.5.5).
    Null,
    /// A mailbox.
    Mailbox(Mailbox),
}

impl ReversePath {
    /// The mailbox, where there is one.
    #[must_use]
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Null => None,
            Self::Mailbox(mailbox) => Some(mailbox),
        }
    }
}

impl fmt::Display for ReversePath {
    /// With angle brackets, as in MAIL FROM.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("<>"),
            Self::Mailbox(mailbox) => write!(f, "<{mailbox}>"),
        }
    }
}

/// Where mail goes: RCPT TO.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ForwardPath {
    /// `<postmaster>` without a domain: our own (RFC 5321 §4.5.1).
    Postmaster,
    /// A mailbox.
    Mailbox(Mailbox),
}

impl fmt::Display for ForwardPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postmaster => f.write_str("<postmaster>"),
            Self::Mailbox(mailbox) => write!(f, "<{mailbox}>"),
        }
    }
}

#[cfg(test)]
mod tests;
