//! Reads one link as a browser does, and notes what a person would not have seen. Promise: what is printed of a link is printable ASCII and short.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use postern_mail::domain::Domain;
use unicode_security::{MixedScript as _, skeleton};
use url::{Host, Position, Url};

use crate::{LinkHost, Trick, Tricks, URL_BYTES_MAX, names, quick, within};

/// Octets of a link that are read; a longer one is cut, since a browser would take it and a host stands at its beginning.
const READ_BYTES_MAX: usize = 8 * 1024;

/// A link as a program asks for it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) text: String,
    /// Where its host stands.
    pub(crate) host: Range<usize>,
    /// Where its path begins.
    pub(crate) rest: usize,
}

impl From<Url> for Address {
    fn from(url: Url) -> Self {
        let to = |end| url[..end].len();
        let (host, rest) = (to(Position::BeforeHost)..to(Position::AfterHost), to(Position::AfterPort));
        Self { text: url.into(), host, rest }
    }
}

impl Address {
    pub(crate) fn host(&self) -> &str {
        self.text.get(self.host.clone()).unwrap_or_default()
    }

    /// Path, query and fragment.
    pub(crate) fn rest(&self) -> &str {
        self.text.get(self.rest..).unwrap_or_default()
    }
}

/// A link as it was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) address: Option<Address>,
    pub(crate) raw: String,
    pub(crate) host: LinkHost,
    pub(crate) tricks: Tricks,
    /// A page that the link carries in itself.
    pub(crate) html: Option<Vec<u8>>,
}

impl Read {
    /// What is kept of it, and where it leads.
    pub(crate) fn into_words(self) -> (Box<str>, LinkHost) {
        (words(self.address.map_or(self.raw, |address| address.text)), self.host)
    }
}

fn words(text: String) -> Box<str> {
    if text.len() <= URL_BYTES_MAX && text.bytes().all(|octet| octet.is_ascii_graphic()) {
        return text.into();
    }
    text.chars().take(URL_BYTES_MAX).map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect()
}

/// Not seen, or nearly so, and dropped by programs when they read a host.
pub(crate) fn is_unseen(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// Read as a dot in a host.
pub(crate) fn is_dot(c: char) -> bool {
    matches!(c, '\u{3002}' | '\u{ff0e}' | '\u{ff61}')
}

/// Reads the value of an attribute, or what was found in text. `None`: not a link to anywhere else (a relative one, an address, an attachment).
pub(crate) fn read(raw: &str, base: Option<&Url>) -> Option<Read> {
    let raw = cut(raw.trim_matches(|c: char| c <= ' '), READ_BYTES_MAX);
    quick::read(raw).or_else(|| careful(raw, base))
}

/// Reads a link of any kind, by the standard.
pub(crate) fn careful(raw: &str, base: Option<&Url>) -> Option<Read> {
    let clean: Cow<'_, str> =
        if raw.contains(['\t', '\r', '\n']) { raw.replace(['\t', '\r', '\n'], "").into() } else { raw.into() };
    let scheme = clean.split_once(':').map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
    match scheme.as_str() {
        "http" | "https" | "ftp" | "ws" | "wss" => Some(web(&clean, raw, None)),
        "data" => {
            let (kind, body) = clean.split_once(',')?;
            let kind = kind.to_ascii_lowercase();
            if !["html", "svg", "xml"].iter().any(|page| kind.contains(page)) {
                return None;
            }
            let body = unescape(body);
            let html = if kind.ends_with("base64") { mail_parser::Encoding::Base64.decode(&body).into_owned() } else { body };
            Some(embedded(raw, Some(html)))
        }
        "file" => shared(&clean, raw),
        "webcal" | "webcals" => Some(web(&format!("https:{}", clean.split_once(':')?.1), raw, None)),
        "javascript" | "vbscript" => Some(embedded(raw, None)),
        _ if clean.starts_with("//") || clean.starts_with("\\\\") || clean.starts_with("/\\") || clean.starts_with("\\/") => {
            Some(web(&format!("https:{clean}"), raw, None))
        }
        _ if clean.is_empty()
            || clean.starts_with('#')
            || ["mailto", "tel", "sms", "cid", "mid", "about", "xmpp"].contains(&&*scheme) =>
        {
            None
        }
        _ => handed(&scheme, &clean, raw).or_else(|| base.map(|base| web(&clean, raw, Some(base)))),
    }
}

/// A file on another machine: Windows asks it at once. Files of the reader's own machine are nobody's link.
fn shared(clean: &str, raw: &str) -> Option<Read> {
    let rest = clean.split_once(':')?.1;
    let path = rest.trim_start_matches(['/', '\\']);
    let is_own = matches!(rest.len() - path.len(), 0 | 1 | 3);
    let host = path.split(['/', '\\']).next().unwrap_or_default();
    let is_drive = matches!(host.as_bytes(), [_, b':' | b'|', ..]);
    (!is_own && !is_drive && !host.is_empty() && !host.eq_ignore_ascii_case("localhost"))
        .then(|| web(&format!("https://{path}"), raw, None))
}

/// What a link hands to another program: an address of the web, or a machine as Windows writes it.
fn handed(scheme: &str, clean: &str, raw: &str) -> Option<Read> {
    if scheme.is_empty() || !scheme.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'-' | b'.')) {
        return None;
    }
    let rest = cut(clean.get(scheme.len() + 1..)?, within::BYTES_MAX);
    let text = String::from_utf8_lossy(&unescape(rest)).into_owned();
    if let Some(found) = within::plain(rest).into_iter().next() {
        return Some(found);
    }
    let path = text.split_once("\\\\")?.1;
    web(&format!("https://{}", path.split(['&', ' ', '"']).next()?), raw, None).into()
}

fn embedded(raw: &str, html: Option<Vec<u8>>) -> Read {
    let mut tricks = Tricks::default();
    tricks.add(Trick::Embedded);
    Read { address: None, raw: cut(raw, 64).to_owned(), host: LinkHost::Invalid, tricks, html }
}

fn web(text: &str, raw: &str, base: Option<&Url>) -> Read {
    let mut tricks = Tricks::default();
    let parsed = base.map_or_else(|| Url::parse(text), |base| base.join(text));
    let authority = if base.is_none() { authority(raw) } else { "" };
    let written = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let bare = without_port(written);
    if bare.chars().any(|c| is_unseen(c) || is_dot(c) || c.is_control()) || bare.contains('%') {
        tricks.add(Trick::Hidden);
    }
    let Ok(url) = parsed else {
        tricks.add(Trick::Invalid);
        return Read { address: None, raw: text.to_owned(), host: LinkHost::Invalid, tricks, html: None };
    };
    if !url.username().is_empty() || url.password().is_some() {
        tricks.add(Trick::Credentials);
    }
    let host = match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            match Domain::parse(name) {
                Ok(domain) => {
                    scripts(&domain, &mut tricks);
                    if domain.as_str() == "localhost" || domain.as_str().ends_with(".localhost") {
                        tricks.add(Trick::Private);
                    }
                    LinkHost::Name(domain)
                }
                Err(_) => {
                    tricks.add(Trick::Invalid);
                    LinkHost::Invalid
                }
            }
        }
        Some(Host::Ipv4(address)) => {
            tricks.add(Trick::Literal);
            if base.is_none() && bare.trim_end_matches('.') != address.to_string() {
                tricks.add(Trick::OddLiteral);
            }
            if is_private(address) {
                tricks.add(Trick::Private);
            }
            LinkHost::Address(address.into())
        }
        Some(Host::Ipv6(address)) => {
            tricks.add(Trick::Literal);
            match address.to_ipv4_mapped().or_else(|| embedded_v4(address)) {
                Some(v4) => {
                    tricks.add(Trick::OddLiteral);
                    if is_private(v4) {
                        tricks.add(Trick::Private);
                    }
                    LinkHost::Address(v4.into())
                }
                None => {
                    if address.is_loopback()
                        || address.is_unicast_link_local()
                        || address.is_unique_local()
                        || address.is_unspecified()
                    {
                        tricks.add(Trick::Private);
                    }
                    LinkHost::Address(IpAddr::V6(address))
                }
            }
        }
        None => {
            tricks.add(Trick::Invalid);
            LinkHost::Invalid
        }
    };
    Read { address: Some(url.into()), raw: String::new(), host, tricks, html: None }
}

/// 64:ff9b::/96, by which networks without IPv4 reach it.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, high, low] = address.segments();
    ([a, b, c, d, e, f] == [0x64, 0xff9b, 0, 0, 0, 0]).then(|| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
}

fn is_private(address: Ipv4Addr) -> bool {
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_unspecified()
        || (address.octets()[0] == 100 && address.octets()[1] & 0xc0 == 64)
}

/// What stands between the slashes.
fn authority(raw: &str) -> &str {
    let rest = raw
        .split_once(':')
        .filter(|(scheme, _)| scheme.len() < 12 && !scheme.contains(['/', '\\']))
        .map_or(raw, |(_, rest)| rest);
    let rest = rest.trim_start_matches(['/', '\\', '\t', '\r', '\n']);
    rest.find(['/', '\\', '?', '#']).and_then(|end| rest.get(..end)).unwrap_or(rest)
}

fn without_port(written: &str) -> &str {
    if written.starts_with('[') {
        return written.split_inclusive(']').next().unwrap_or(written);
    }
    written.rsplit_once(':').map_or(written, |(host, _)| host)
}

/// Labels of several scripts, and labels of another script that look Latin. A name below a top-level domain that is not Latin itself is
/// what it seems to be.
fn scripts(domain: &Domain, tricks: &mut Tricks) {
    if !domain.as_str().contains("xn--") {
        return;
    }
    let (name, read) = url_unicode(domain.as_str());
    if !read {
        tricks.add(Trick::Invalid);
    }
    let top = name.rsplit('.').next().unwrap_or_default();
    let foreign = !top.is_ascii();
    for label in name.split('.').filter(|label| !label.is_ascii()) {
        if !label.is_single_script() {
            tricks.add(Trick::MixedScript);
        }
        let strange: String = label.chars().filter(|c| !is_letter(*c, top)).collect();
        if !foreign && !strange.is_ascii() && skeleton(&strange).all(|c| c.is_ascii()) {
            tricks.add(Trick::LookAlike);
        }
    }
}

/// Letters that look like others and are what they are, where their languages are written.
fn is_letter(c: char, top: &str) -> bool {
    match c {
        '\u{e6}' | '\u{153}' => true,
        '\u{fe}' => top == "is",
        '\u{131}' => top == "tr" || top == "az",
        _ => false,
    }
}

fn url_unicode(name: &str) -> (String, bool) {
    let (name, read) = idna::domain_to_unicode(name);
    (name, read.is_ok())
}

/// Percent escapes become what they stand for.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after
            .first_chunk::<2>()
            .filter(|_| *first == b'%')
            .and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        rest = match escaped {
            Some(octet) => {
                out.push(octet);
                after.get(2..).unwrap_or_default()
            }
            None => {
                out.push(*first);
                after
            }
        };
    }
    out
}

/// The registered domain that the text of a link shows, where the text is an address of the web and nothing else.
pub(crate) fn shown(text: &str) -> Option<Domain> {
    if text.is_ascii() && !text.contains('.') {
        return None;
    }
    let text: String = text.chars().filter(|c| !is_unseen(*c)).map(|c| if is_dot(c) { '.' } else { c }).collect();
    let text = text.trim().trim_matches(['<', '>', '"', '\'', '(', ')', '[', ']', '»', '«', '.', ',']);
    let lower = text.to_lowercase();
    let first = lower.split_whitespace().next()?;
    let has_scheme = first.starts_with("http://") || first.starts_with("https://");
    if !has_scheme && (first.len() < lower.len() || first.contains('@')) {
        return None;
    }
    let host = without_port(authority(if has_scheme { first } else { first.split('/').next()? }));
    if !has_scheme && !crate::text::is_name(host, first.len() > host.len()) {
        return None;
    }
    let domain = Domain::parse(host).ok()?;
    names::has_known_suffix(domain.as_str()).then(|| names::registered(&domain)).flatten()
}

pub(crate) fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}
