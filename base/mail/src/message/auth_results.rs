//! The header fields that say what was found out: Authentication-Results (RFC 8601) and Received-SPF (RFC 7208 §9.1), and where others have written the former in
//! our name. Promise: no text of a stranger ends a value, a field or a line here: there are no comments, and what is no token is a quoted string of ASCII.

use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::Range;

use crate::address::ReversePath;
use crate::authenticity::{AuthResult, Authenticity, Disposition, Spf};

/// Lines are folded before this, where there is a place to.
const LINE_MAX: usize = 76;

/// What the results are about.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// Our own name, which says whose results these are.
    pub hostname: &'a str,
    /// The client.
    pub client: IpAddr,
    /// What it called itself.
    pub helo: &'a str,
    /// MAIL FROM.
    pub from: &'a ReversePath,
}

/// RFC 2045 §5.1: a token.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&b))
}

/// RFC 5321 dot-atoms are narrower than tokens: what Received-SPF takes without quotes.
fn is_dot_atom(text: &str) -> bool {
    !text.is_empty()
        && text.split('.').all(|atom| {
            !atom.is_empty() && atom.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b))
        })
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ => out.push('?'),
        }
    }
    out.push('"');
    out
}

/// RFC 8601 §2.2: a value, or a domain with or without a local part, which stands as it is where nothing in it needs quotes.
fn value(text: &str) -> String {
    let is_address = || {
        text.split_once('@')
            .is_some_and(|(local, domain)| is_dot_atom(local) && is_token(local) && is_dot_atom(domain) && is_token(domain))
    };
    if is_token(text) || is_address() { text.to_owned() } else { quoted(text) }
}

struct Folded {
    out: String,
    line: usize,
}

impl Folded {
    fn begin(text: &str) -> Self {
        Self { out: text.to_owned(), line: text.len() }
    }

    /// A piece that is not broken, behind white space.
    fn piece(&mut self, text: &str) {
        if self.line + 1 + text.len() > LINE_MAX {
            self.out.push_str("\r\n\t");
            self.line = 8;
        } else {
            self.out.push(' ');
            self.line += 1;
        }
        self.out.push_str(text);
        self.line += text.len();
    }

    fn method(&mut self, name: &str, result: AuthResult, why: &str, properties: &[(&str, &str)]) {
        self.out.push(';');
        self.out.push_str("\r\n\t");
        let head = format!("{name}={result}");
        self.line = 8 + head.len();
        self.out.push_str(&head);
        if !why.is_empty() {
            self.piece(&format!("reason={}", quoted(why)));
        }
        for (property, text) in properties.iter().filter(|(_, text)| !text.is_empty()) {
            self.piece(&format!("{property}={}", value(text)));
        }
    }
}

/// `Authentication-Results`, with its final CRLF: one field for everything.
#[must_use]
pub fn authentication_results(about: &About<'_>, found: &Authenticity) -> String {
    let mut field = Folded::begin("Authentication-Results:");
    field.piece(&value(about.hostname));
    let before = field.out.len();
    if let Some(iprev) = &found.iprev {
        let why = if iprev.name.as_str().is_empty() { String::new() } else { format!("the name is {}", iprev.name) };
        field.method("iprev", iprev.result, &why, &[("policy.iprev", &about.client.to_string())]);
    }
    if let Some(spf) = &found.spf_helo {
        field.method("spf", spf.result, spf.why.as_str(), &[("smtp.helo", about.helo)]);
    }
    if let (Some(spf), Some(mailbox)) = (&found.spf_mail, about.from.mailbox()) {
        field.method("spf", spf.result, spf.why.as_str(), &[("smtp.mailfrom", &mailbox.to_string())]);
    }
    for dkim in &found.dkim {
        let properties = [
            ("header.d", dkim.domain.as_str()),
            ("header.s", dkim.selector.as_str()),
            ("header.a", dkim.algorithm.as_str()),
            ("header.b", dkim.signature.as_str()),
        ];
        field.method("dkim", dkim.result, dkim.why.as_str(), &properties);
    }
    if found.dkim.is_empty() && before < field.out.len() {
        field.method("dkim", AuthResult::None, "", &[]);
    }
    for dmarc in &found.dmarc {
        let asked = if dmarc.asked == Disposition::None { "" } else { dmarc.asked.as_str() };
        field.method(
            "dmarc",
            dmarc.result,
            dmarc.why.as_str(),
            &[("header.from", dmarc.domain.as_str()), ("policy.dmarc", asked)],
        );
    }
    if !found.no_author.as_str().is_empty() {
        field.method("dmarc", AuthResult::PermError, found.no_author.as_str(), &[]);
    }
    if let Some(arc) = &found.arc {
        field.method("arc", arc.result, arc.why.as_str(), &[("smtp.remote-ip", &about.client.to_string())]);
    }
    if field.out.len() == before {
        field.out.push_str("; none");
    }
    field.out.push_str("\r\n");
    field.out
}

/// `Received-SPF`, with its final CRLF: of MAIL FROM where there is one, else of HELO.
#[must_use]
pub fn received_spf(about: &About<'_>, found: &Authenticity) -> Option<String> {
    let (identity, spf): (&str, &Spf) = match (&found.spf_mail, &found.spf_helo) {
        (Some(spf), _) => ("mailfrom", spf),
        (None, Some(spf)) => ("helo", spf),
        (None, None) => return None,
    };
    let own = |text: &str| if is_dot_atom(text) { text.to_owned() } else { quoted(text) };
    let mut field = Folded::begin("Received-SPF:");
    field.piece(spf.result.as_str());
    let from = about.from.mailbox().map(ToString::to_string).unwrap_or_default();
    let (problem, mechanism) = match spf.result {
        AuthResult::TempError | AuthResult::PermError => (spf.why.as_str(), ""),
        _ => ("", spf.why.as_str()),
    };
    let pairs = [
        ("receiver", about.hostname),
        ("client-ip", &about.client.to_string()),
        ("helo", about.helo),
        ("envelope-from", from.as_str()),
        ("identity", identity),
        ("mechanism", mechanism),
        ("problem", problem),
    ];
    let mut pairs = pairs.iter().filter(|(key, text)| !text.is_empty() || *key == "envelope-from").peekable();
    while let Some((key, text)) = pairs.next() {
        let end = if pairs.peek().is_some() { ";" } else { "" };
        field.piece(&format!("{key}={}{end}", own(text)));
    }
    field.out.push_str("\r\n");
    Some(field.out)
}

/// Where a header section has `Authentication-Results` fields that claim to be ours, or do not say whose they are (RFC 8601 §5): they are to be cut out, each
/// with its folds and its CRLF. The ranges come in order and do not touch.
#[must_use]
pub fn claiming_to_be(hostname: &str, section: &[u8]) -> Vec<Range<usize>> {
    let mut cut: Vec<Range<usize>> = Vec::new();
    let mut field: Option<Range<usize>> = None;
    let mut end_field = |field: Option<Range<usize>>| {
        if let Some(range) = field
            && section.get(range.clone()).is_some_and(|octets| claims(hostname, octets))
        {
            cut.push(range);
        }
    };
    let mut at = 0;
    while let Some(rest) = section.get(at..).filter(|rest| !rest.is_empty()) {
        let length = rest.iter().position(|b| *b == b'\n').map_or(rest.len(), |end| end + 1);
        let line = rest.get(..length).unwrap_or(rest);
        let next = at + length;
        match (&mut field, line.first()) {
            (Some(open), Some(b' ' | b'\t')) => open.end = next,
            _ => {
                end_field(field.take());
                // Nothing else ends the section: a line of a form feed or of spaces does so only for some readers.
                if line == b"\r\n" {
                    break;
                }
                field = Some(at..next);
            }
        }
        at = next;
    }
    end_field(field);
    cut
}

/// The section without those.
#[must_use]
pub fn without_ours<'a>(hostname: &str, section: Cow<'a, [u8]>) -> Cow<'a, [u8]> {
    let cut = claiming_to_be(hostname, &section);
    if cut.is_empty() {
        return section;
    }
    let (mut left, mut at) = (Vec::with_capacity(section.len()), 0);
    for range in cut {
        left.extend_from_slice(section.get(at..range.start).unwrap_or_default());
        at = range.end;
    }
    left.extend_from_slice(section.get(at..).unwrap_or_default());
    Cow::Owned(left)
}

/// The authors that an `Authentication-Results` field, or the value of an `ARC-Authentication-Results` one, says have passed DMARC. What stands in comments is
/// no result, and what is quoted ends no value.
#[must_use]
pub fn passed_authors(value: &str) -> Vec<String> {
    let mut results = vec![String::new()];
    let (mut depth, mut is_quoted) = (0_usize, false);
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        let Some(open) = results.last_mut() else { break };
        match c {
            '\\' if depth > 0 || is_quoted => drop(chars.next()),
            '"' if depth == 0 => is_quoted = !is_quoted,
            _ if is_quoted => open.push(if c.is_ascii_graphic() && !";= ".contains(c) { c } else { '?' }),
            '(' => depth += 1,
            ')' if depth > 0 => depth -= 1,
            _ if depth > 0 => {}
            ';' => results.push(String::new()),
            '=' => {
                open.truncate(open.trim_end().len());
                open.push('=');
            }
            c if c.is_ascii_whitespace() => {
                if !open.is_empty() && !open.ends_with([' ', '=']) {
                    open.push(' ');
                }
            }
            c => open.push(c.to_ascii_lowercase()),
        }
    }
    let passed = results.iter().filter(|result| result.split(' ').next() == Some("dmarc=pass"));
    passed.filter_map(|result| result.split(' ').find_map(|word| word.strip_prefix("header.from="))).map(str::to_owned).collect()
}

fn claims(hostname: &str, field: &[u8]) -> bool {
    const NAME: &[u8] = b"Authentication-Results";
    let Some(colon) = field.iter().position(|b| *b == b':') else { return false };
    let name = field.get(..colon).unwrap_or_default().trim_ascii_end();
    name.eq_ignore_ascii_case(NAME)
        && identifier(field.get(colon + 1..).unwrap_or_default())
            .is_none_or(|id| id.trim_end_matches('.').eq_ignore_ascii_case(hostname))
}

/// RFC 8601 §2.2: white space and comments, the identifier as a token or a quoted string, and behind it more of them, a version, or `;`. `None` where it cannot
/// be read: another reader may read our name there.
fn identifier(value: &[u8]) -> Option<String> {
    let rest = behind_comments(value)?;
    let (id, rest) = if let Some(inside) = rest.strip_prefix(b"\"") {
        let mut id = String::new();
        let mut octets = inside.iter();
        loop {
            match octets.next()? {
                b'"' => break,
                b'\\' => id.push(char::from(*octets.next()?)),
                b'\r' | b'\n' => {}
                other => id.push(char::from(*other)),
            }
        }
        (id, octets.as_slice())
    } else {
        let end = rest.iter().position(|b| b.is_ascii_whitespace() || matches!(b, b';' | b'(')).unwrap_or(rest.len());
        let (id, rest) = rest.split_at_checked(end)?;
        let id = std::str::from_utf8(id)
            .ok()
            .filter(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\'))?;
        (id.to_owned(), rest)
    };
    let rest = behind_comments(rest)?;
    let version = rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
    let rest = behind_comments(rest.get(version..)?)?;
    matches!(rest.first(), None | Some(b';')).then_some(id)
}

/// What stands behind white space and comments, which may stand in each other.
fn behind_comments(mut rest: &[u8]) -> Option<&[u8]> {
    let mut depth = 0_usize;
    loop {
        match rest.first() {
            None => return (depth == 0).then_some(rest),
            Some(b'(') => depth += 1,
            Some(b')') if depth > 0 => depth -= 1,
            Some(b'\\') if depth > 0 => rest = rest.get(1..)?,
            Some(b) if depth > 0 || b.is_ascii_whitespace() => {}
            Some(_) => return Some(rest),
        }
        rest = rest.get(1..)?;
    }
}

#[cfg(test)]
mod tests;
