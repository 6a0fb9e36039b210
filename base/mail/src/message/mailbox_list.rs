//! Mailbox and address lists of header fields (RFC 5322 §3.4, RFC 6854 for groups in From, RFC 6532 §3.2 for UTF-8). Promise: what comes
//! out is what every other reader takes to be the addresses; where readers are known to differ, nothing comes out.
//!
//! RFC 5322 §4.4 DEPARTS: of the obsolete forms only the dot in an unquoted display name (`John Q. Public`, RFC 5322 §4.1) is read,
//! because many programs write it and it hides nothing. Source routes, empty list elements and spaces in addresses are not.
//! RFC 5322 §3.4.1 DEPARTS: comments and folds within an address, which should not be there, are not read either.

use crate::address::Mailbox;
use crate::message::iso_2022_jp;

/// Longer lists are not read: nobody has this many authors.
pub const MAILBOXES_MAX: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A run of atext and dots.
    Atom,
    /// A quoted string with its quotes.
    Quoted,
    /// A domain literal with its brackets.
    Literal,
    /// One of `<>@,:;`.
    Special(char),
}

#[derive(Clone, Copy, Debug)]
struct Token<'a> {
    kind: Kind,
    text: &'a str,
    /// White space or a comment stands before it.
    gap: bool,
}

/// Reads an unfolded field value as a list of mailboxes and groups; the members of groups stand in their place. `None` when it does not
/// read right, or is longer than [`MAILBOXES_MAX`]. An empty group gives no mailbox, so the list may be empty.
#[must_use]
pub fn parse(text: &str) -> Option<Vec<Mailbox>> {
    let tokens = tokens(text)?;
    let mut list = List { rest: &tokens, found: Vec::new() };
    list.read()?;
    Some(list.found)
}

/// Reads what good mail has by mistake, such as an address without quotes as the name of another, a comma in a name, or spaces within brackets: whatever stands
/// on both sides of an `@` is an address, so that none which another reader shows is left out. `None` where it is not certain where one ends, or there
/// are too many.
#[must_use]
pub fn every(text: &str) -> Option<Vec<Mailbox>> {
    if let Some(list) = parse(text) {
        return Some(list);
    }
    if text.contains('\u{1b}') {
        return iso_2022_jp::every(text);
    }
    // RFC 5322 §4.4 has spaces, comments and backslashes where they do not end an address for every reader.
    let ends = |c: char| " \t><,;:()\"'@".contains(c);
    if text.chars().any(|c| c.is_control() && c != '\t') {
        return None;
    }
    let mut found = Vec::new();
    for (at, _) in text.match_indices('@') {
        let (before, behind) = (text.get(..at)?.trim_end(), text.get(at + 1..)?);
        let length = match behind.strip_prefix('[') {
            Some(literal) => literal.find(']')? + 2,
            None => behind
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '-' || !c.is_ascii()))
                .unwrap_or(behind.len()),
        };
        let (host, mut rest) = behind.split_at_checked(length)?;
        if !rest.is_empty() && !rest.starts_with(ends) {
            return None;
        }
        rest = rest.trim_start();
        if rest.starts_with('(') {
            rest = rest.get(comment_length(rest)?..)?.trim_start();
        }
        // RFC 5322 §4.4: `a@b (c) .example` is `a@b.example`.
        if rest.starts_with('.') || found.len() >= MAILBOXES_MAX {
            return None;
        }
        let local = before.rsplit(ends).next().unwrap_or_default();
        if is_encoded_word(local) {
            return None;
        }
        let mailbox = Mailbox::parse(&format!("{local}@{host}")).or_else(|_| Mailbox::parse(&format!("\"\"@{host}")));
        found.push(mailbox.ok()?);
    }
    Some(found)
}

/// RFC 2047 §5: an encoded word is no part of an address. Readers that decode it all the same show an address that is not there.
fn is_encoded_word(local: &str) -> bool {
    local.split_once("=?").is_some_and(|(_, rest)| rest.contains("?="))
}

struct List<'a> {
    rest: &'a [Token<'a>],
    found: Vec<Mailbox>,
}

impl<'a> List<'a> {
    fn read(&mut self) -> Option<()> {
        loop {
            let words = self.words();
            let special = self.next()?;
            match special.kind {
                Kind::Special(':') if !words.is_empty() => self.group()?,
                _ => self.mailbox(words, special)?,
            }
            match self.next() {
                None => return Some(()),
                Some(token) if token.kind == Kind::Special(',') => {}
                Some(_) => return None,
            }
        }
    }

    /// RFC 5322 §3.4: `display-name ":" [mailbox-list] ";"`; the name and its colon are read.
    fn group(&mut self) -> Option<()> {
        if self.rest.first()?.kind == Kind::Special(';') {
            self.next();
            return Some(());
        }
        loop {
            let words = self.words();
            let special = self.next()?;
            self.mailbox(words, special)?;
            match self.next()?.kind {
                Kind::Special(';') => return Some(()),
                Kind::Special(',') => {}
                _ => return None,
            }
        }
    }

    /// The rest of a mailbox, whose words up to the first special are read: `name <local@domain>` or `local@domain`.
    fn mailbox(&mut self, words: &'a [Token<'a>], special: Token<'a>) -> Option<()> {
        let mailbox = match (special.kind, words) {
            (Kind::Special('<'), _) => {
                let local = self.next().filter(|token| !token.gap)?;
                let at = self.next()?;
                let mailbox = self.address(local, at)?;
                self.next().filter(|token| token.kind == Kind::Special('>') && !token.gap)?;
                mailbox
            }
            (_, [local]) => self.address(*local, special)?,
            _ => return None,
        };
        if self.found.len() >= MAILBOXES_MAX {
            return None;
        }
        self.found.push(mailbox);
        Some(())
    }

    fn address(&mut self, local: Token<'a>, at: Token<'a>) -> Option<Mailbox> {
        let host = self.next()?;
        let reads = matches!(local.kind, Kind::Atom | Kind::Quoted)
            && at.kind == Kind::Special('@')
            && matches!(host.kind, Kind::Atom | Kind::Literal);
        if !reads || at.gap || host.gap || is_encoded_word(local.text) {
            return None;
        }
        Mailbox::parse(&format!("{}@{}", local.text, host.text)).ok()
    }

    /// The atoms and quoted strings up to the next special.
    fn words(&mut self) -> &'a [Token<'a>] {
        let count = self.rest.iter().take_while(|token| matches!(token.kind, Kind::Atom | Kind::Quoted)).count();
        let (words, rest) = self.rest.split_at_checked(count).unwrap_or((self.rest, &[]));
        self.rest = rest;
        words
    }

    fn next(&mut self) -> Option<Token<'a>> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }
}

fn is_atom(c: char) -> bool {
    // RFC 5322 §3.2.3 with the dot, widened by RFC 6532 §3.2.
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c) || (!c.is_ascii() && !c.is_control())
}

fn tokens(text: &str) -> Option<Vec<Token<'_>>> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut gap = false;
    while let Some(first) = rest.chars().next() {
        let (kind, length) = match first {
            ' ' | '\t' => {
                gap = true;
                rest = rest.get(1..)?;
                continue;
            }
            '(' => {
                gap = true;
                rest = rest.get(comment_length(rest)?..)?;
                continue;
            }
            '"' => (Kind::Quoted, enclosed_length(rest, '"')?),
            '[' => (Kind::Literal, enclosed_length(rest, ']')?),
            '<' | '>' | '@' | ',' | ':' | ';' => (Kind::Special(first), 1),
            c if is_atom(c) => (Kind::Atom, rest.find(|c| !is_atom(c)).unwrap_or(rest.len())),
            _ => return None,
        };
        found.push(Token { kind, text: rest.get(..length)?, gap });
        gap = false;
        rest = rest.get(length..)?;
    }
    Some(found)
}

/// How long a quoted string or domain literal is, with what encloses it. Controls have no place in either (RFC 5322 §3.2.4, §3.4.1).
fn enclosed_length(text: &str, end: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            c if c.is_control() && c != '\t' => return None,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == end => return Some(at + c.len_utf8()),
            _ => {}
        }
    }
    None
}

/// How long a comment is (RFC 5322 §3.2.2); they nest.
fn comment_length(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            c if c.is_control() && c != '\t' => return None,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(at + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests;
