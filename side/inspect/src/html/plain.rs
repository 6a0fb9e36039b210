//! Tags that are written as nearly all are: small letters, each value in quotes, nothing left out and nothing escaped but `&amp;`. They are read at once; whatever
//! else there is goes through the tokenizer of the standard, one tag, comment or raw text at a time. Promise: both ways tell a page the same.

use std::borrow::Cow;
use std::cell::Cell;
use std::convert::Infallible;

use html5gum::{Emitter, ForwardingEmitter, Readable as _, Reader, StringReader, Tokenizer, naive_next_state};
use memchr::{memchr, memchr2, memchr3};

use super::tags::Tags;

/// A tag, and its attributes in the list that came with it.
struct Tag<'h> {
    name: &'h [u8],
    is_end: bool,
    rest: &'h [u8],
}

/// Tells a page what is in it, until no more links are kept.
pub(super) fn walk(html: &[u8], tags: &mut Tags<'_, '_, '_>) {
    let mut attributes = Vec::new();
    let mut rest = html;
    while !rest.is_empty() && !tags.is_full() {
        let (text, markup) = rest.split_at(memchr(b'<', rest).unwrap_or(rest.len()));
        let is_plain = text.is_empty() || memchr2(b'&', 0, text).is_none();
        if is_plain && markup.is_empty() {
            return tags.text(text);
        }
        let Some(tag) = is_plain.then(|| plain(markup, &mut attributes)).flatten() else {
            let taken = by_standard(rest, tags);
            rest = rest.get(taken.max(1)..).unwrap_or_default();
            continue;
        };
        tags.text(text);
        rest = tag.rest;
        tags.whole(tag.name, tag.is_end, &attributes);
    }
}

/// What begins with these octets, and what is behind it.
fn while_in(text: &[u8], is_in: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|octet| !is_in(*octet)).unwrap_or(text.len()))
}

const fn is_name(octet: u8) -> bool {
    octet.is_ascii_lowercase() || octet.is_ascii_digit() || matches!(octet, b'-' | b':' | b'_')
}

const fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\n' | b'\r' | 0x0c)
}

/// Reads the tag with which this begins, and those of its attributes that anybody reads. `None`: it is not plain, or what follows it is read otherwise.
fn plain<'h>(markup: &'h [u8], attributes: &mut Vec<(&'h [u8], Cow<'h, [u8]>)>) -> Option<Tag<'h>> {
    attributes.clear();
    let behind = markup.strip_prefix(b"<")?;
    let (is_end, behind) = behind.strip_prefix(b"/").map_or((false, behind), |behind| (true, behind));
    let (name, mut rest) = while_in(behind, is_name);
    if !name.first()?.is_ascii_lowercase() || naive_next_state(name).is_some() {
        return None;
    }
    loop {
        let (space, behind) = while_in(rest, is_space);
        if let Some(rest) = behind.strip_prefix(b">").or_else(|| behind.strip_prefix(b"/>").filter(|_| !is_end)) {
            return Some(Tag { name, is_end, rest });
        }
        if is_end || space.is_empty() {
            return None;
        }
        let (attribute, behind) = while_in(behind, is_name);
        let behind = behind.strip_prefix(b"=").filter(|_| !attribute.is_empty())?;
        let (quote, behind) = behind.split_first().filter(|(quote, _)| matches!(quote, b'"' | b'\''))?;
        let end = memchr(*quote, behind)?;
        let value = behind.get(..end)?;
        rest = behind.get(end + 1..)?;
        // Nearly all styles are about colours, and lead nowhere.
        let is_style = attribute == b"style" && memchr3(b'(', b'@', b'&', value).is_none();
        if !is_style && !value.is_empty() && super::is_read(attribute) {
            attributes.push((attribute, unescaped(value)?));
        }
    }
}

/// A value in which nothing is escaped but ampersands.
fn unescaped(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    if memchr2(0, b'\r', value).is_some() {
        return None;
    }
    let mut rest = value;
    let mut out = Vec::new();
    while let Some(at) = memchr(b'&', rest) {
        out.reserve(rest.len());
        out.extend_from_slice(rest.get(..=at)?);
        rest = rest.get(at..)?.strip_prefix(b"&amp;")?;
    }
    if rest.len() == value.len() {
        return Some(Cow::Borrowed(value));
    }
    out.extend_from_slice(rest);
    Some(Cow::Owned(out))
}

/// Has the standard's tokenizer read the text with which this begins, and the tag or comment behind it. Returns how many octets that were.
pub(super) fn by_standard(html: &[u8], tags: &mut Tags<'_, '_, '_>) -> usize {
    let taken = Cell::new(0);
    let reader = Counted { inner: html.to_reader(), taken: &taken };
    let _ended = Tokenizer::new_with_emitter(reader, Lent(tags)).next();
    taken.get()
}

struct Lent<'t, 'p, 'a, 'b>(&'t mut Tags<'p, 'a, 'b>);

impl ForwardingEmitter for Lent<'_, '_, '_, '_> {
    type Token = ();

    fn inner(&mut self) -> &mut impl Emitter<Token = ()> {
        self.0
    }
}

/// A reader that tells how far it has come.
struct Counted<'h, 't> {
    inner: StringReader<'h>,
    taken: &'t Cell<usize>,
}

impl Counted<'_, '_> {
    fn count(&self, more: usize) {
        self.taken.set(self.taken.get() + more);
    }
}

impl Reader for Counted<'_, '_> {
    type Error = Infallible;

    #[inline(always)]
    fn read_byte(&mut self) -> Result<Option<u8>, Infallible> {
        let read = self.inner.read_byte()?;
        self.count(usize::from(read.is_some()));
        Ok(read)
    }

    fn try_read_string(&mut self, wanted: &[u8], case_sensitive: bool) -> Result<bool, Infallible> {
        let is_there = self.inner.try_read_string(wanted, case_sensitive)?;
        self.count(if is_there { wanted.len() } else { 0 });
        Ok(is_there)
    }

    #[inline(always)]
    fn read_until<'r>(&'r mut self, needle: &[u8], room: &'r mut [u8; 4]) -> Result<Option<&'r [u8]>, Infallible> {
        let read = self.inner.read_until(needle, room)?;
        self.taken.set(self.taken.get() + read.map_or(0, <[u8]>::len));
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Page, tags::Tags};
    use super::*;
    use crate::collect::Collector;
    use crate::{Hosts, Inspection, Limits};

    /// What a page has, read with the quick way or without.
    fn read(html: &str, is_quick: bool, has_raw: bool) -> (Inspection, Vec<Vec<u8>>) {
        let (limits, hosts) = (Limits::default(), Hosts::default());
        let mut into = Collector::new(&limits, &hosts);
        let mut page = Page::new(&mut into, true);
        let mut tags = Tags::new(&mut page, has_raw);
        if is_quick {
            walk(html.as_bytes(), &mut tags);
        } else {
            tags.goes_on = true;
            by_standard(html.as_bytes(), &mut tags);
        }
        page.close_anchor();
        page.close_run();
        let waiting = std::mem::take(&mut into.waiting).into_iter().map(|waiting| waiting.html).collect();
        (into.found, waiting)
    }

    #[test]
    fn ordinary_tags_are_read_at_once_and_odd_ones_are_not() {
        let mut attributes = Vec::new();
        for tag in ["<a href=\"http://a.com/?a=1&amp;b\">", "<br/>", "<img src='x' />", "</o:p >", "<td\r\n a=\"&lt;\"\r\n>"] {
            assert!(plain(tag.as_bytes(), &mut attributes).is_some(), "{tag}");
        }
        for tag in [
            "<a href=x>",
            "<a href>",
            "<a href=\"x\"b='y'>",
            "<A>",
            "<a href='&lt;'>",
            "<script>",
            "<title>",
            "<!-- -->",
            "</a b='c'>",
            "< a>",
            "<a href = 'x'>",
            "<a/b>",
            "<a href='x",
            "<a b='\0'>",
            "<a src='\r'>",
            "<?php>",
            "</>",
            "</a/>",
        ] {
            // What nobody reads may say what it will.
            assert!(plain(tag.as_bytes(), &mut attributes).is_none() || tag == "<a b='\0'>", "{tag:?}");
        }
    }

    fn piece() -> impl Strategy<Value = String> {
        let link = prop_oneof![
            Just("http://a.example.com/?b=1&amp;c"),
            Just("//b.com/"),
            Just("http://c.com/&lt;"),
            Just("http://d.com/&copy=1"),
            Just("background:url(http://h.com/x)"),
            Just("color:red"),
            Just("@import 'http://i.com/'"),
            Just("url&#40;http://j.com/)"),
            Just("x")
        ];
        let quote = prop_oneof![4 => Just("\""), 4 => Just("'"), 1 => Just("")];
        let space =
            prop_oneof![6 => Just(" "), 1 => Just("\r\n"), 1 => Just("\r"), 1 => Just(""), 1 => Just(" / "), 1 => Just("\u{c}")];
        let name = prop_oneof![Just("href"), Just("src"), Just("style"), Just("HREF"), Just("alt"), Just("href\0"), Just("=")];
        let tag = prop_oneof![
            6 => Just("a"), 2 => Just("/a"), 2 => Just("img"), 1 => Just("td"), 1 => Just("script"), 1 => Just("/script"), 1 => Just("style"), 1 => Just("/style"), 1 => Just("title"),
            1 => Just("/title"), 1 => Just("noscript"), 1 => Just("A"), 1 => Just("!--"), 1 => Just("![CDATA["), 1 => Just("?"), 1 => Just("/"), 1 => Just("o:p"), 1 => Just("base")
        ];
        let end =
            prop_oneof![8 => Just(">"), 2 => Just("/>"), 1 => Just("-->"), 1 => Just(""), 1 => Just("]]>"), 1 => Just(" >")];
        let whole = (tag, space.clone(), name, quote, link, space, end)
            .prop_map(|(tag, space, name, quote, link, gap, end)| format!("<{tag}{space}{name}={quote}{link}{quote}{gap}{end}"));
        let bare = prop_oneof![
            Just("a"),
            Just("/a"),
            Just("p"),
            Just("/p"),
            Just("br/"),
            Just("b"),
            Just("/script"),
            Just("/style"),
            Just("/title"),
            Just("!doctype html")
        ];
        prop_oneof![
            4 => whole,
            4 => bare.prop_map(|tag| format!("<{tag}>")),
            3 => prop_oneof![Just("www.e.com"), Just(" see http://f.com/x\r\n"), Just("https://g.org"), Just("&amp;"), Just("&#46;com"), Just("\0"), Just("\r"), Just("a\rb")].prop_map(str::to_owned),
            1 => "[<>&\"'=/ a!-]{0,6}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn a_page_that_is_read_quickly_says_the_same_as_one_read_by_the_standard(pieces in proptest::collection::vec(piece(), 0..14), has_raw: bool) {
            let html = pieces.concat();
            prop_assert_eq!(read(&html, true, has_raw), read(&html, false, has_raw));
        }
    }
}
