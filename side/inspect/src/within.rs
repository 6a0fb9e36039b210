//! Links that are written in others, as redirectors and counters of clicks have them. Promise: a few of each link, of its first octets only, and nothing is
//! missed because it is escaped up to three times, in base64, or without its scheme.

use std::borrow::Cow;

use memchr::memmem;

use crate::target::{Address, Read, cut, read, unescape};
use crate::text::is_name;
use crate::{Hosts, LinkHost};

/// Octets of a link that are looked through for another.
pub(crate) const BYTES_MAX: usize = 4 * 1024;

/// Links within one that are kept.
const LINKS_MAX: usize = 4;

/// Links that are written in the path, query or fragment of another, one of each host. Which of them it leads to is not for us to say.
pub(crate) fn links(address: &Address, hosts: &Hosts) -> Vec<Read> {
    let host = address.host();
    if let Some(name) = host.strip_suffix(".translate.goog") {
        return read(&format!("https://{}", translated(name)), None).into_iter().collect();
    }
    let whole = address.rest();
    let rest = cut(whole, BYTES_MAX);
    if rest.len() < 4 {
        return Vec::new();
    }
    let mut found = if may_hold(rest) { plain(rest) } else { Vec::new() };
    add(&mut found, encoded(rest));
    if hosts.redirects(host, whole.split(['?', '#']).next().unwrap_or_default()) {
        add(&mut found, bare(rest));
    }
    found
}

fn add(found: &mut Vec<Read>, more: Vec<Read>) {
    for one in more {
        if found.len() < LINKS_MAX && !found.iter().any(|other| other.host == one.host) {
            found.push(one);
        }
    }
}

/// False when it is plain that no scheme stands here: its signs, and the sign of escapes in an escape, are written with these digits.
fn may_hold(rest: &str) -> bool {
    let octets = rest.as_bytes();
    let ends = |at: usize, of: &[u8]| octets.get(at + 1).is_some_and(|next| of.contains(next));
    memchr::memchr2_iter(b'%', b':', octets)
        .any(|at| if octets.get(at) == Some(&b'%') { ends(at, b"23") } else { ends(at, b"/") })
}

/// Anywhere, with its scheme, and escaped up to three times.
pub(crate) fn plain(rest: &str) -> Vec<Read> {
    let mut found = Vec::new();
    let mut text = Cow::Borrowed(rest);
    for _ in 0..3 {
        add(&mut found, with_scheme(&text));
        if !text.contains('%') {
            break;
        }
        text = Cow::Owned(String::from_utf8_lossy(&unescape(&text)).into_owned());
    }
    found
}

fn with_scheme(text: &str) -> Vec<Read> {
    let octets = text.as_bytes();
    let begins = |at: usize| {
        let before = octets.get(..at).unwrap_or_default();
        [b"http".as_slice(), b"https"].into_iter().find_map(|scheme| {
            let start = at.checked_sub(scheme.len())?;
            before.get(start..)?.eq_ignore_ascii_case(scheme).then_some(start)
        })
    };
    let mut found = Vec::new();
    let mut behind = 0;
    for at in memmem::find_iter(octets, b"://").filter_map(begins) {
        // What stands in one of these is read with it.
        if at < behind || found.len() >= LINKS_MAX {
            continue;
        }
        let inner = text.get(at..).unwrap_or_default();
        let end = inner.find(|c: char| c == '&' || c == '"' || c == '<' || c <= ' ').unwrap_or(inner.len());
        behind = at + end;
        let inner = inner.get(..end).unwrap_or(inner);
        // One mail filter writes its end so.
        let inner = read(inner.split("__;").next().unwrap_or(inner), None);
        add(&mut found, inner.filter(|inner| inner.host != LinkHost::Invalid).into_iter().collect());
    }
    found
}

/// In base64, as counters of clicks have it: what begins so is `http`.
fn encoded(rest: &str) -> Vec<Read> {
    let Some(at) = memmem::find(rest.as_bytes(), b"aHR0c") else { return Vec::new() };
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '_' | '/');
    let standard = |c| match c {
        '-' => '+',
        '_' => '/',
        c => c,
    };
    let text: String = rest.get(at..).unwrap_or_default().chars().take_while(|c| is_letter(*c)).map(standard).collect();
    let decoded = mail_parser::Encoding::Base64.decode(text.as_bytes()).into_owned();
    with_scheme(&String::from_utf8_lossy(&decoded))
}

/// Without a scheme, where only redirectors have it: as a value of the query, or as the rest of the path.
fn bare(rest: &str) -> Vec<Read> {
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let values = rest.split(['?', '&', '#', ';']).skip(1).filter_map(|pair| pair.split_once('=').map(|(_, value)| value));
    let tails = path.char_indices().filter(|(_, c)| *c == '/').map(|(at, _)| path.get(at + 1..).unwrap_or_default());
    let all = values.chain(tails.take(16)).take(64).flat_map(|value| {
        let mut text = String::from_utf8_lossy(&unescape(value)).into_owned();
        // Another mail filter's way to write percent signs and slashes.
        if text.starts_with("http-3A__") || text.starts_with("https-3A__") {
            let escaped = text.replace('-', "%").replace('_', "/");
            text = String::from_utf8_lossy(&unescape(&escaped)).into_owned();
        }
        let found = with_scheme(&text);
        if !found.is_empty() {
            return found;
        }
        let host = text.trim_start_matches('/').split(['/', '?', '#', ':']).next().unwrap_or_default();
        is_name(host, true)
            .then(|| read(&format!("http://{}", text.trim_start_matches('/')), None))
            .flatten()
            .into_iter()
            .collect()
    });
    let mut found = Vec::new();
    add(&mut found, all.take(LINKS_MAX).collect());
    found
}

/// Dots as hyphens, and hyphens as two.
fn translated(name: &str) -> String {
    name.replace("--", "\0").replace('-', ".").replace('\0', "-")
}
