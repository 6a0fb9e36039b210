//! Head: macros of SPF records (RFC 7208 §7): read once, expanded with what is known of a session. Promise: what comes out is never longer than
//! the text and the values that went in allow, and a text that is no macro string is an error, never guessed at.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;

/// Where a macro string stands: some letters are for explanations only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Domain,
    Explanation,
}

/// A macro string, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Macro { letter: u8, escaped: bool, keep: usize, reversed: bool, delimiters: Vec<char> },
}

/// What is put in.
pub(crate) struct Values<'a> {
    pub(crate) client: IpAddr,
    /// `local@domain`, never empty.
    pub(crate) sender: &'a str,
    /// The domain whose record is read.
    pub(crate) domain: &'a str,
    pub(crate) helo: &'a str,
    /// Our own name.
    pub(crate) receiver: &'a str,
    /// The client's name, validated; `unknown` where there is none.
    pub(crate) validated: &'a str,
    /// Seconds since 1970.
    pub(crate) now: u64,
}

fn is_delimiter(c: char) -> bool {
    matches!(c, '.' | '-' | '+' | ',' | '/' | '_' | '=')
}

impl Template {
    /// RFC 7208 §7.1: the grammar. In an explanation spaces are let through too.
    pub(crate) fn parse(text: &str, place: Place) -> Option<Self> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            if c != '%' {
                let fits = matches!(c, '\x21'..='\x7e') || (place == Place::Explanation && c == ' ');
                if !fits {
                    return None;
                }
                literal.push(c);
                continue;
            }
            match rest.next()? {
                '%' => literal.push('%'),
                '_' => literal.push(' '),
                '-' => literal.push_str("%20"),
                '{' => {
                    if !literal.is_empty() {
                        parts.push(Part::Literal(std::mem::take(&mut literal)));
                    }
                    let (inside, behind) = rest.as_str().split_once('}')?;
                    parts.push(Self::macro_part(inside, place)?);
                    rest = behind.chars();
                }
                _ => return None,
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Some(Self(parts))
    }

    fn macro_part(inside: &str, place: Place) -> Option<Part> {
        let letter = *inside.as_bytes().first()?;
        let known = match letter.to_ascii_lowercase() {
            b's' | b'l' | b'o' | b'd' | b'i' | b'p' | b'h' | b'v' => true,
            b'c' | b'r' | b't' => place == Place::Explanation,
            _ => false,
        };
        if !known {
            return None;
        }
        let rest = inside.get(1..)?;
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, rest) = rest.split_at_checked(digits)?;
        let keep = match number {
            "" => usize::MAX,
            // More parts than a name can have are all of them.
            _ => number.parse().unwrap_or(usize::MAX),
        };
        if keep == 0 {
            return None;
        }
        let reversed = rest.starts_with(['r', 'R']);
        let delimiters: Vec<char> = rest.get(usize::from(reversed)..)?.chars().collect();
        if !delimiters.iter().all(|c| is_delimiter(*c)) {
            return None;
        }
        let delimiters = if delimiters.is_empty() { vec!['.'] } else { delimiters };
        Some(Part::Macro {
            letter: letter.to_ascii_lowercase(),
            escaped: letter.is_ascii_uppercase(),
            keep,
            reversed,
            delimiters,
        })
    }

    /// True when it ends in a macro, after which no top-level label is needed (RFC 7208 §7.1, domain-end).
    pub(crate) fn ends_in_macro(&self) -> bool {
        matches!(self.0.last(), Some(Part::Macro { .. }))
    }

    /// True when the client's name is needed.
    pub(crate) fn wants_validated(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Macro { letter: b'p', .. }))
    }

    /// Puts the values in.
    pub(crate) fn expand(&self, values: &Values<'_>) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Macro { letter, escaped, keep, reversed, delimiters } => {
                    let value = values.of(*letter);
                    let mut pieces: Vec<&str> = value.split(|c| delimiters.contains(&c)).collect();
                    if *reversed {
                        pieces.reverse();
                    }
                    let first = pieces.len().saturating_sub(*keep);
                    let joined = pieces.get(first..).unwrap_or_default().join(".");
                    if *escaped { escape(&joined, &mut out) } else { out.push_str(&joined) }
                }
            }
        }
        out
    }
}

/// RFC 7208 §7.3: all but the unreserved characters of RFC 3986 are escaped.
fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

impl Values<'_> {
    fn of(&self, letter: u8) -> Cow<'_, str> {
        let (local, domain) = self.sender.rsplit_once('@').unwrap_or(("postmaster", self.sender));
        match letter {
            b's' => self.sender.into(),
            b'l' => local.into(),
            b'o' => domain.into(),
            b'd' => self.domain.into(),
            b'i' => dotted(self.client).into(),
            b'p' => self.validated.into(),
            b'v' => if self.client.is_ipv4() { "in-addr" } else { "ip6" }.into(),
            b'h' => self.helo.into(),
            b'c' => self.client.to_string().into(),
            b'r' => self.receiver.into(),
            _ => self.now.to_string().into(),
        }
    }
}

/// RFC 7208 §7.3: an IPv6 address as 32 nibbles.
fn dotted(client: IpAddr) -> String {
    match client {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let nibbles = format!("{:032X}", v6.to_bits());
            nibbles.chars().map(String::from).collect::<Vec<_>>().join(".")
        }
    }
}
