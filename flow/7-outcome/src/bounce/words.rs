//! A text as words: lower case, one space between two, and without what would say something by chance.
//!
//! Promise: takes time and room in proportion to the text, of which no more than [`CHARS_MAX`] are looked at; an address of a person or host
//! in it never matches a pattern.

use std::net::IpAddr;

/// Characters of a text that are looked at.
pub(super) const CHARS_MAX: usize = 4096;

/// The words of a text with a space before and behind each.
pub(super) fn words(text: &str) -> String {
    let end = text.char_indices().nth(CHARS_MAX).map_or(text.len(), |(at, _)| at);
    let text = text.get(..end).unwrap_or_default();
    let mut out = String::with_capacity(text.len() + 2);
    out.push(' ');
    for token in text.split_whitespace() {
        // `<spam@blocked.example>` says nothing of spam.
        if token.contains('@') {
            push(&mut out, rest_of_address(token));
        } else if !is_address(token) {
            push(&mut out, token);
        }
    }
    out
}

/// What stands glued behind an address: `<a@b.example>:user`.
fn rest_of_address(token: &str) -> &str {
    token.rsplit_once(['>', ':', ')']).map_or("", |(_, rest)| if rest.contains('@') { "" } else { rest })
}

fn is_address(token: &str) -> bool {
    let bare = token.trim_matches(|c: char| !c.is_ascii_hexdigit() && c != ':');
    bare.len() > 2 && bare.trim_end_matches(':').parse::<IpAddr>().is_ok()
}

fn push(out: &mut String, token: &str) {
    for c in token.chars() {
        // Scripts without spaces: each character is a word.
        let is_alone = c >= '\u{2e80}' && c.is_alphanumeric();
        if c.is_alphanumeric() {
            if is_alone {
                space(out);
            }
            out.extend(c.to_lowercase());
            if is_alone {
                space(out);
            }
        } else if c != '\'' && c != '’' {
            space(out);
        }
    }
    space(out);
}

fn space(out: &mut String) {
    if !out.ends_with(' ') {
        out.push(' ');
    }
}
