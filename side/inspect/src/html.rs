//! Links in HTML: what a click leads to, what is loaded, where forms go, and what the text says. A tokenizer and no tree, so nothing nests.
//! Promise: time in proportion to the octets, and no more of them than may be spent.

mod plain;
mod tags;

use std::borrow::Cow;

use memchr::memmem;
use url::Url;

use crate::collect::Collector;
use crate::{Kind, Trick, target, text};

/// Characters of a link's text that are kept.
const SHOWN_MAX: usize = 512;
/// Octets of text that are gathered before they are searched.
const RUN_MAX: usize = 64 * 1024;

/// Elements that stand within a line: they cut no name into two.
fn is_inline(tag: &[u8]) -> bool {
    matches!(
        tag,
        b"a" | b"b"
            | b"i"
            | b"u"
            | b"em"
            | b"strong"
            | b"span"
            | b"font"
            | b"small"
            | b"big"
            | b"sub"
            | b"sup"
            | b"wbr"
            | b"mark"
            | b"s"
            | b"code"
            | b"tt"
            | b"abbr"
            | b"nobr"
            | b"o:p"
            | b"ins"
            | b"bdo"
            | b"bdi"
    )
}

struct Page<'a, 'b> {
    into: &'a mut Collector<'b>,
    base: Option<Url>,
    tag: Vec<u8>,
    refresh: Option<String>,
    is_refresh: bool,
    anchor: Option<target::Read>,
    shown: String,
    run: String,
    /// Programs take different things for tags here, so what is none for one of them is looked at as well.
    is_doubtful: bool,
}

/// Reads a page, whose octets have been counted already.
pub(crate) fn search(html: &[u8], into: &mut Collector<'_>) {
    let is_doubtful = has_doubtful(html);
    walk(html, is_doubtful, true, into);
    if is_doubtful {
        // Within these, or without scripts, nothing is raw text, and CDATA is.
        let again = into.spend(html).to_vec();
        walk(&without_cdata(&again), true, false, into);
    }
}

/// Elements in which, or for which, other rules hold.
const DOUBTFUL: [&[u8]; 4] = [b"svg", b"math", b"noscript", b"plaintext"];

/// Looked for in pieces, in which first any tag is noticed that begins with one of their letters: without a branch, so that it goes many octets at a time.
fn has_doubtful(html: &[u8]) -> bool {
    const PIECE: usize = 64;
    let begins = |tag: &[u8], name: &[u8]| tag.get(..name.len()).is_some_and(|tag| tag.eq_ignore_ascii_case(name));
    let next = html.get(1..).unwrap_or_default();
    html.chunks(PIECE).zip(next.chunks(PIECE)).enumerate().any(|(at, (octets, next))| {
        let may_begin = |(octet, next): (&u8, &u8)| (*octet == b'<') & matches!(next | 0x20, b's' | b'm' | b'n' | b'p');
        octets.iter().zip(next).fold(false, |any, pair| any | may_begin(pair))
            && memchr::memchr_iter(b'<', octets)
                .filter_map(|within| html.get(at * PIECE + within + 1..))
                .any(|tag| DOUBTFUL.iter().any(|name| begins(tag, name)))
    })
}

fn without_cdata(html: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::new();
    let mut rest = html;
    while let Some(at) = memmem::find(rest, b"<![CDATA[") {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        let inner = rest.get(at..).unwrap_or_default();
        rest = memmem::find(inner, b"]]>").and_then(|end| inner.get(end + 3..)).unwrap_or_default();
    }
    if rest.len() == html.len() {
        return Cow::Borrowed(html);
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

/// Reads a page once: with the elements whose content is raw text as most programs read them, or as tags.
fn walk(html: &[u8], is_doubtful: bool, has_raw: bool, into: &mut Collector<'_>) {
    let mut page = Page::new(into, is_doubtful);
    plain::walk(html, &mut tags::Tags::new(&mut page, has_raw));
    page.close_anchor();
    page.close_run();
}

/// Puts a name into a place that is there already, in small letters.
fn put(name: &[u8], into: &mut Vec<u8>) {
    into.clear();
    into.extend_from_slice(name);
    into.make_ascii_lowercase();
}

/// Attributes whose values are looked at.
fn is_read(attribute: &[u8]) -> bool {
    matches!(
        attribute,
        b"href"
            | b"xlink:href"
            | b"src"
            | b"background"
            | b"poster"
            | b"data"
            | b"lowsrc"
            | b"dynsrc"
            | b"codebase"
            | b"archive"
            | b"action"
            | b"formaction"
            | b"ping"
            | b"srcset"
            | b"imagesrcset"
            | b"style"
            | b"srcdoc"
            | b"content"
            | b"http-equiv"
    )
}

impl<'a, 'b> Page<'a, 'b> {
    fn new(into: &'a mut Collector<'b>, is_doubtful: bool) -> Self {
        Self {
            into,
            base: None,
            tag: Vec::new(),
            refresh: None,
            is_refresh: false,
            anchor: None,
            shown: String::new(),
            run: String::new(),
            is_doubtful,
        }
    }

    fn open_tag(&mut self, name: &[u8]) {
        put(name, &mut self.tag);
        self.boundary();
        (self.refresh, self.is_refresh) = (None, false);
        if self.tag == b"a" || self.tag == b"area" {
            self.close_anchor();
        }
    }

    fn close_tag(&mut self) {
        if self.is_refresh
            && let Some(content) = self.refresh.take()
        {
            self.refresh(&content);
        }
        if self.tag == b"area" {
            self.close_anchor();
        }
    }

    fn end_tag(&mut self, name: &[u8]) {
        put(name, &mut self.tag);
        self.boundary();
        if self.tag == b"a" {
            self.close_anchor();
        }
        self.tag.clear();
    }

    /// Some programs show what stands in such comments.
    fn comment(&mut self, value: &[u8]) {
        if value.trim_ascii_start().starts_with(b"[if") {
            self.into.later(value.iter().position(|b| *b == b'>').and_then(|at| value.get(at + 1..)).unwrap_or_default());
        } else if self.is_doubtful && value.contains(&b'<') {
            self.into.later(value);
        }
    }

    fn boundary(&mut self) {
        if !self.run.is_empty() && !is_inline(&self.tag) {
            self.close_run();
        }
    }

    fn close_run(&mut self) {
        text::search(&self.run, Kind::Text, self.into);
        self.run.clear();
    }

    fn close_anchor(&mut self) {
        if let Some(read) = self.anchor.take() {
            self.into.link(Kind::Anchor, read, &self.shown);
        }
        self.shown.clear();
    }

    fn text(&mut self, value: &[u8]) {
        match self.tag.as_slice() {
            b"style" => {
                self.css(&text::lossy(value));
                if value.contains(&b'<') {
                    self.into.later(value);
                }
                return;
            }
            b"script" => {
                if self.is_doubtful && value.contains(&b'<') {
                    self.into.later(value);
                }
                return;
            }
            // Programs that run no scripts, or know no frames, show what is in these.
            b"noscript" | b"noframes" | b"noembed" | b"iframe" | b"xmp" | b"title" | b"textarea" | b"plaintext"
                if value.contains(&b'<') =>
            {
                return self.into.later(value);
            }
            _ => {}
        }
        let text = text::lossy(value);
        if self.anchor.is_some() {
            let room = SHOWN_MAX.saturating_sub(self.shown.len());
            self.shown.push_str(text.get(..text.floor_char_boundary(room)).unwrap_or(&text));
            // What stands in a link is its text, and clicked as such.
            return;
        }
        self.run.push_str(&text);
        if self.run.len() > RUN_MAX {
            self.close_run();
        }
    }

    fn attribute(&mut self, attribute: &[u8], value: &[u8]) {
        if self.into.is_full() {
            return;
        }
        let value: &str = &text::lossy(value);
        let tag = std::mem::take(&mut self.tag);
        match attribute {
            b"href" | b"xlink:href" => match tag.as_slice() {
                b"base" => {
                    // The first one counts.
                    if self.base.is_none() {
                        self.base = Url::parse(value.trim()).ok().filter(|base| base.has_host());
                    }
                }
                b"link" | b"image" | b"use" => self.link(Kind::Resource, value),
                _ => {
                    let scheme = value.trim_start().get(..7).unwrap_or_default();
                    if scheme.eq_ignore_ascii_case("mailto:") {
                        let named = String::from_utf8_lossy(&target::unescape(value.trim())).into_owned();
                        text::addresses(named.get(7..).unwrap_or_default(), self.into);
                    }
                    // Only these have a text that is clicked, and only this name leads on: what any other says is a link of its own.
                    if !matches!(tag.as_slice(), b"a" | b"area") || attribute != b"href" {
                        self.link(Kind::Anchor, value);
                    } else if self.anchor.is_none() {
                        self.anchor = target::read(value, self.base.as_ref());
                    }
                }
            },
            b"src" | b"background" | b"poster" | b"data" | b"lowsrc" | b"dynsrc" | b"codebase" | b"archive" => {
                self.link(Kind::Resource, value)
            }
            b"action" | b"formaction" => self.link(Kind::Form, value),
            b"ping" => self.link(Kind::Anchor, value),
            b"srcset" | b"imagesrcset" => {
                for one in value.split(',').filter_map(|one| one.split_whitespace().next()) {
                    self.link(Kind::Resource, one);
                }
            }
            b"style" => self.css(value),
            b"srcdoc" => self.into.later(value.as_bytes()),
            b"content" if tag == b"meta" => self.refresh = Some(value.to_owned()),
            b"http-equiv" if tag == b"meta" => self.is_refresh = value.trim().eq_ignore_ascii_case("refresh"),
            _ => {}
        }
        self.tag = tag;
    }

    fn link(&mut self, kind: Kind, value: &str) {
        if let Some(read) = target::read(value, self.base.as_ref()) {
            // Pictures as data are everywhere; only what is a page counts, and that was read.
            if kind == Kind::Resource && read.tricks.has(Trick::Embedded) && read.html.is_none() {
                return;
            }
            self.into.link(kind, read, "");
        }
    }

    fn refresh(&mut self, content: &str) {
        let lower = content.to_ascii_lowercase();
        let Some(at) = lower.find("url") else { return };
        let rest = content.get(at + 3..).unwrap_or_default().trim_start().trim_start_matches('=').trim();
        self.link(Kind::Anchor, rest.trim_matches(['"', '\'']));
    }

    fn css(&mut self, css: &str) {
        // Nearly all of it is about colours.
        if memchr::memchr2(b'(', b'@', css.as_bytes()).is_none() {
            return;
        }
        let lower = css.to_ascii_lowercase();
        let mut from = 0;
        while let Some(at) = lower.get(from..).and_then(|rest| rest.find("url(")) {
            let start = from + at + 4;
            let rest = css.get(start..).unwrap_or_default();
            // The end of it all ends this as well, for browsers; and nothing is read twice.
            let inner = rest.find(')').and_then(|end| rest.get(..end)).unwrap_or(rest);
            self.link(Kind::Resource, inner.trim().trim_matches(['"', '\'']));
            from = start + inner.len();
        }
        if let Some((_, rest)) = lower.split_once("@import") {
            let quoted = rest.trim_start().strip_prefix(['"', '\'']).and_then(|rest| rest.split(['"', '\'']).next());
            if let Some(url) = quoted {
                self.link(Kind::Resource, url);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_for_which_other_rules_hold_are_seen_wherever_they_begin() {
        for at in 0..200 {
            for tag in ["<svg", "<MATH", "<noScript", "<plaintext"] {
                assert!(has_doubtful(format!("{}{tag}", "<p>x".repeat(50).get(..at).unwrap()).as_bytes()), "{tag} at {at}");
            }
        }
        assert!(!has_doubtful("<p><span> <sv svg <mat".repeat(50).as_bytes()));
    }
}
