//! Links in text, as mail programs make text clickable. Promise: time in proportion to the text, and nothing is found in what people write with dots
//! in it: file names, versions, code, abbreviations, addresses, sentences without a space.

use std::borrow::Cow;

use crate::collect::Collector;
use crate::target::{self, is_dot, is_unseen};
use crate::{Incomplete, Kind, Trick, names};

/// Top-level domains whose bare names are links. Others are words, endings of files, or both: with a scheme, `www.` or a path they count.
const BARE: &[&str] = &[
    "com", "net", "org", "biz", "edu", "gov", "xyz", "top", "online", "site", "shop", "club", "icu", "vip", "click", "buzz",
    "store", "website", "tech", "space", "fun", "cyou", "sbs", "bond", "cfd", "loan", "win", "bid", "monster", "rest", "quest",
    "ru", "cn", "de", "uk", "fr", "nl", "eu", "br", "jp", "kr", "pw", "tk", "ga", "cf", "gq", "su", "ua", "ch", "se", "dk", "cz",
    "es", "ca", "au", "za", "mx", "ar", "co", "io", "ly", "cc", "tv", "ws", "gd", "gl",
];
/// Endings of files that are top-level domains as well: even with a path they are rather files.
const FILES: &[&str] = &["rs", "py", "pl", "sh", "md", "zip", "mov", "so", "ps", "java"];
/// Octets of a word that are looked at.
const WORD_BYTES_MAX: usize = 8 * 1024;

fn ends_word(c: char) -> bool {
    c <= ' '
        || matches!(c, '<' | '>' | '"' | '`' | '|' | '{' | '}' | '\u{85}' | '\u{a0}' | '\u{2028}' | '\u{2029}' | '\u{3000}')
        || matches!(c, '\u{ab}' | '\u{bb}' | '\u{201c}'..='\u{201e}' | '\u{2018}'..='\u{201a}' | '\u{ff08}' | '\u{ff09}' | '\u{3001}' | '\u{300c}' | '\u{300d}')
}

/// Octets as text. The library's own way takes ten times as long where nothing is wrong, which is nearly always.
pub(crate) fn lossy(octets: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(octets).map_or_else(|_| String::from_utf8_lossy(octets), Cow::Borrowed)
}

/// The first octet of those of which one stands in every link and every mail address, or of the other dots.
fn sign(text: &[u8], has_others: bool) -> Option<usize> {
    let first = memchr::memchr3(b'.', b':', b'@', text);
    if !has_others {
        return first;
    }
    memchr::memchr2(0xe3, 0xef, text.get(..first.unwrap_or(text.len())).unwrap_or(text)).or(first)
}

/// Finds what is clickable in a text.
pub(crate) fn search(text: &str, kind: Kind, into: &mut Collector<'_>) {
    let mut from = 0;
    let has_others = !text.is_ascii();
    while let Some(at) = text.as_bytes().get(from..).and_then(|rest| sign(rest, has_others)).map(|at| from + at) {
        // A sentence ends here.
        if let Some([b'.', b' ' | b'\r' | b'\n' | b'<']) = text.as_bytes().get(at..at + 2) {
            from = at + 1;
            continue;
        }
        if into.is_full() {
            return;
        }
        let (start, end) = word_around(text, from, at);
        let word = text.get(start..end).unwrap_or_default();
        // Behind the word, or behind what ends words and is one of these signs itself.
        from = end.max(at + text.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8));
        if !may_hold(word.as_bytes()) {
            continue;
        }
        if word.len() > WORD_BYTES_MAX {
            into.stop(Incomplete::Octets);
        }
        let word = word.get(..word.floor_char_boundary(WORD_BYTES_MAX)).unwrap_or(word);
        if word.contains('@') && into.wants_addresses() {
            addresses(word, into);
        }
        let odd = !word.is_ascii() && word.chars().any(|c| is_unseen(c) || is_dot(c));
        if odd {
            let clean: String = word.chars().filter(|c| !is_unseen(*c)).map(|c| if is_dot(c) { '.' } else { c }).collect();
            in_word(&clean, hides(word), kind, into);
        } else {
            in_word(word, false, kind, into);
        }
    }
}

/// The word in which a sign stands, which begins no sooner than at `from`.
fn word_around(text: &str, from: usize, at: usize) -> (usize, usize) {
    let before = text.get(from..at).unwrap_or_default();
    let start = before.char_indices().rev().find(|(_, c)| ends_word(*c)).map_or(0, |(at, c)| at + c.len_utf8());
    let rest = text.get(at..).unwrap_or_default();
    (from + start, at + rest.find(ends_word).unwrap_or(rest.len()))
}

/// True unless it is plain that nothing stands here: nearly every word ends so.
fn may_hold(word: &[u8]) -> bool {
    word.windows(2).any(|two| match two {
        [b'.', next] => next.is_ascii_alphanumeric() || *next >= 0x80,
        [b':', next] => matches!(next, b'/' | b'\\') || *next >= 0x80,
        [b'@', _] => true,
        [first, _] => *first >= 0x80,
        _ => false,
    })
}

/// Finds mail addresses in a word.
pub(crate) fn addresses(word: &str, into: &mut Collector<'_>) {
    // Fewer than may stand there: what programs make clickable, and what spammers have.
    let in_local = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '~' | '%' | '$' | '\'');
    for (at, _) in word.match_indices('@').take(64) {
        let (local, domain) = (word.get(..at).unwrap_or_default(), word.get(at + 1..).unwrap_or_default());
        let local = local.rfind(|c| !in_local(c)).map_or(local, |end| local.get(end..).unwrap_or_default());
        let local = local.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        let domain = domain
            .find(|c: char| !c.is_alphanumeric() && c != '.' && c != '-')
            .map_or(domain, |end| domain.get(..end).unwrap_or_default());
        let domain = domain.trim_end_matches(['.', '-']);
        if !local.is_empty() && local.len() <= 64 && names::has_known_suffix(&domain.to_lowercase()) && domain.contains('.') {
            into.address(&format!("{local}@{domain}"));
        }
    }
}

/// True for a word whose host is written with what nobody sees, or with other dots.
fn hides(word: &str) -> bool {
    let text = word.split_once("://").map_or(word, |(_, rest)| rest);
    text.split(['/', '?', '#']).next().is_some_and(|host| host.chars().any(|c| is_unseen(c) || is_dot(c)))
}

fn in_word(word: &str, is_hidden: bool, kind: Kind, into: &mut Collector<'_>) {
    // A mail address and nothing else.
    if word.contains('@') && !word.contains([':', '/', '?', '#', ',', ';', '(', ')', '[', ']', '*', '\'', '=']) {
        return;
    }
    let lower = if word.contains(':') { word.to_ascii_lowercase() } else { String::new() };
    let mut from = 0;
    let mut any = false;
    while let Some(at) = next_scheme(&lower, from) {
        let rest = word.get(at..).unwrap_or_default();
        let next = next_scheme(&lower, at + 7);
        // Several stand one behind the other; one in the query of another is read with it.
        let piece = match next {
            Some(end)
                if !word.get(at..end).unwrap_or_default().contains(['?', '=', '%', '#'])
                    && word.get(..end).is_some_and(|w| w.ends_with([',', ';', ')', ']'])) =>
            {
                word.get(at..end).unwrap_or(rest)
            }
            _ => rest,
        };
        take(trimmed(piece), is_hidden, kind, into);
        any = true;
        from = at + piece.len();
    }
    if any {
        return;
    }
    let called = word.contains("()") || word.contains('(') && !word.starts_with('(');
    if called {
        return;
    }
    for piece in word.split([',', ';', '(', ')', '[', ']', '*', '\'', '=']) {
        bare(piece, is_hidden, kind, into);
    }
}

/// The next scheme at `from` or behind it, in one walk: each colon is looked at once. One that stands behind a letter is none, and does not hide the next.
fn next_scheme(lower: &str, from: usize) -> Option<usize> {
    let octets = lower.as_bytes();
    let begins = |colon: usize| {
        let (before, after) = (octets.get(from..colon)?, octets.get(colon + 1..)?);
        let is_web = after.starts_with(b"/") || after.starts_with(b"\\\\");
        let scheme = [b"https".as_slice(), b"http"].into_iter().find(|scheme| is_web && before.ends_with(scheme));
        let scheme = scheme.or_else(|| (after.starts_with(b"//") && before.ends_with(b"ftp")).then_some(b"ftp"))?;
        let at = colon - scheme.len();
        let before = octets.get(..at)?;
        let stands = !before.last().is_some_and(u8::is_ascii_alphanumeric) || before.ends_with(b"view-source:");
        stands.then_some(at)
    };
    memchr::memchr_iter(b':', octets.get(from..)?).find_map(|at| begins(from + at))
}

/// What a sentence puts behind a link is not part of it.
fn trimmed(piece: &str) -> &str {
    let end = |piece: &str| piece.trim_end_matches(['.', ',', ';', ':', '!', '?', '\'', '*', '_', '\u{3002}', '\u{2026}']).len();
    let mut rest = piece.get(..end(piece)).unwrap_or(piece);
    if !rest.ends_with([')', ']']) {
        return rest;
    }
    // Counted once, since a long row of them goes one by one.
    let spare = |open: char, close: char| rest.matches(close).count().saturating_sub(rest.matches(open).count());
    let (mut round, mut square) = (spare('(', ')'), spare('[', ']'));
    loop {
        let left = if rest.ends_with(')') { &mut round } else { &mut square };
        if !rest.ends_with([')', ']']) || *left == 0 {
            return rest;
        }
        *left -= 1;
        rest = rest.get(..rest.len() - 1).unwrap_or_default();
        rest = rest.get(..end(rest)).unwrap_or(rest);
    }
}

fn bare(piece: &str, is_hidden: bool, kind: Kind, into: &mut Collector<'_>) {
    let piece = trimmed(piece.trim_start_matches(['.', '-', '_', '~', ':', '!', '?']));
    if piece.starts_with('/') || piece.starts_with('\\') || piece.len() < 4 {
        return;
    }
    let host_end = piece.find(['/', '?', '#']).unwrap_or(piece.len());
    let (host, path) = piece.split_at(host_end);
    if host.contains('@') || host.contains('\\') {
        return;
    }
    let (name, port) = host.split_once(':').map_or((host, ""), |(name, port)| (name, port));
    if !port.bytes().all(|b| b.is_ascii_digit()) {
        return;
    }
    // `main.rs:42` is a place in a file.
    let is_file =
        !path.starts_with('/') && name.rsplit('.').next().is_some_and(|top| FILES.contains(&&*top.to_ascii_lowercase()));
    if !is_file && is_name(name, path.len() > 1 || path == "/" || (!port.is_empty() && name.contains('.'))) {
        take(&format!("http://{piece}"), is_hidden, kind, into);
    }
}

/// True for a name that programs make clickable without a scheme.
pub(crate) fn is_name(name: &str, has_path: bool) -> bool {
    let is_small = name.bytes().all(|octet| octet.is_ascii() && !octet.is_ascii_uppercase());
    let lower = if is_small { Cow::Borrowed(name) } else { name.to_lowercase().into() };
    let Some((head, top)) = lower.rsplit_once('.') else { return false };
    let fits = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
    };
    if !lower.split('.').all(fits) || top.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    let is_plain = top.is_ascii() && !top.contains("--");
    let top = if is_plain { Cow::Borrowed(top) } else { idna::domain_to_ascii(top).unwrap_or_default().into() };
    if !names::has_known_suffix(&format!("x.{top}")) {
        return false;
    }
    if head.strip_prefix("www.").is_some_and(|rest| !rest.is_empty()) {
        return true;
    }
    // `End.Co` begins a sentence; a name in capitals is one.
    let last = name.rsplit('.').next().unwrap_or_default();
    let sentence = last.starts_with(char::is_uppercase) && name.chars().any(char::is_lowercase);
    if !has_path && (sentence || FILES.contains(&&*top)) {
        return false;
    }
    has_path || BARE.contains(&&*top) || top.starts_with("xn--")
}

fn take(piece: &str, is_hidden: bool, kind: Kind, into: &mut Collector<'_>) {
    let Some(mut read) = target::read(piece, None) else { return };
    // A scheme and no host that could be one: a template, an ellipsis, a sentence about links.
    let plausible = piece.split_once(':').is_some_and(|(_, rest)| rest.trim_start_matches(['/', '\\']).contains('.'))
        || matches!(read.host, crate::LinkHost::Address(_))
        || read.tricks.has(Trick::Private);
    if !plausible {
        return;
    }
    if is_hidden {
        read.tricks.add(Trick::Hidden);
    }
    into.link(kind, read, "");
}
