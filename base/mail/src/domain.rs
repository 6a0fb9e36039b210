//! Domain names as the wire has them: lower-case A-labels. Promise: a [`Domain`] is a syntactically valid DNS name of at most 253
//! octets, so it can go into a query, a path of a file or a log line as it is.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::trouble::Fault;

/// RFC 5321 §4.5.3.1.2: 255 octets with the length octets of the DNS form, which leaves 253 for text.
pub const DOMAIN_BYTES_MAX: usize = 253;

/// A fully qualified domain name, lower case, internationalised labels as A-labels (RFC 5890 §2.3.2.1), no final dot.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(Box<str>);

impl Domain {
    /// Parses a domain. RFC 6531 §3.2, §3.3: U-labels are taken, and become A-labels. RFC 5321 §2.3.5 DEPARTS: a name of one label is
    /// let through, since nothing in it tells a local alias from a top-level domain. RFC 6531 §3.7.3 DEPARTS: what we print has A-labels.
    ///
    /// # Errors
    /// [`Fault::Domain`] when a label is empty, too long, begins or ends with a hyphen, or has a character no host name has.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text.is_ascii() {
            return Self::parse_ascii(text);
        }
        let ascii = idna::domain_to_ascii_strict(text).map_err(|_| Fault::Domain)?;
        Self::parse_ascii(&ascii)
    }

    fn parse_ascii(text: &str) -> Result<Self, Fault> {
        if text.is_empty() || text.len() > DOMAIN_BYTES_MAX {
            return Err(Fault::Domain);
        }
        for label in text.split('.') {
            let bytes = label.as_bytes();
            // RFC 5321 §4.1.2 DEPARTS: an underscore is let through, since host names with one send real mail.
            let fits = (1..=63).contains(&bytes.len())
                && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-' || *b == b'_')
                && bytes.first() != Some(&b'-')
                && bytes.last() != Some(&b'-');
            if !fits {
                return Err(Fault::Domain);
            }
        }
        Ok(Self(text.to_ascii_lowercase().into_boxed_str()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The domain one label up, if there is one.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.split_once('.').map(|(_, rest)| Self(rest.into()))
    }

    /// True for `self` itself and everything below it.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self == other || self.0.strip_suffix(&*other.0).is_some_and(|head| head.ends_with('.'))
    }
}

/// Equal domains have equal texts, so that sets of them can be asked about a text.
impl std::borrow::Borrow<str> for Domain {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What stands to the right of the `@`: a name or an address literal (RFC 5321 §4.1.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A name.
    Name(Domain),
    /// `[192.0.2.1]` or `[IPv6:2001:db8::1]`.
    Literal(IpAddr),
}

impl Host {
    /// Parses a domain or an address literal.
    ///
    /// # Errors
    /// [`Fault::Domain`] when it is neither. General address literals (RFC 5321 §4.1.3, `Standardized-tag`) name no network we could
    /// reach and are refused too.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        match text.strip_prefix('[') {
            None => Domain::parse(text).map(Self::Name),
            Some(rest) => {
                let inner = rest.strip_suffix(']').ok_or(Fault::Domain)?;
                let address = match inner.get(..5) {
                    Some(tag) if tag.eq_ignore_ascii_case("ipv6:") => {
                        inner[5..].parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| Fault::Domain)?
                    }
                    _ => inner.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_| Fault::Domain)?,
                };
                Ok(Self::Literal(address))
            }
        }
    }

    /// The name, where it is one.
    #[must_use]
    pub fn name(&self) -> Option<&Domain> {
        match self {
            Self::Name(domain) => Some(domain),
            Self::Literal(_) => None,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(domain) => domain.fmt(f),
            Self::Literal(IpAddr::V4(v4)) => write!(f, "[{v4}]"),
            Self::Literal(IpAddr::V6(v6)) => write!(f, "[IPv6:{v6}]"),
        }
    }
}

/// What a client calls itself in HELO or EHLO. Many real clients send a bare word; it is kept as they said it, and only quoted where it
/// is printed. Promise: at most 255 octets, printable ASCII without spaces or brackets that could break a trace header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeloName(Box<str>);

impl HeloName {
    /// Takes the argument of EHLO, HELO or LHLO.
    ///
    /// # Errors
    /// [`Fault::Hello`] when it is empty, too long, or holds anything but letters, digits and `-._:[]`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let text = if text.is_ascii() {
            text.to_owned()
        } else {
            // RFC 6531 §3.7.1: U-labels are allowed only after SMTPUTF8 was offered, so a client that sends them here converts nothing.
            Domain::parse(text).map_err(|_| Fault::Hello)?.as_str().to_owned()
        };
        let fits = (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b));
        if fits { Ok(Self(text.into_boxed_str())) } else { Err(Fault::Hello) }
    }

    /// As the client said it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HeloName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
