//! What the tokenizer says of a page, as whole tags, texts and comments. Promise: each octet of the page is copied once at most, and the values of attributes
//! that nobody reads are not.

use std::borrow::Cow;

use html5gum::{Emitter, Error, State, naive_next_state};

use super::Page;

/// Puts together what the tokenizer says in pieces.
pub(super) struct Tags<'p, 'a, 'b> {
    page: &'p mut Page<'a, 'b>,
    /// Whether there are elements whose content is raw text.
    has_raw: bool,
    text: Vec<u8>,
    comment: Vec<u8>,
    /// Of the tag that is read now; empty when its page has been told of it.
    name: Vec<u8>,
    is_end: bool,
    last_start: Vec<u8>,
    attribute: Vec<u8>,
    value: Vec<u8>,
    /// Known when the attribute's name is.
    is_read: Option<bool>,
    /// Whether a tag or comment has ended, behind which nothing is raw text.
    has_ended: bool,
    /// Whether more than one tag or comment is wanted of the tokenizer.
    #[cfg(test)]
    pub(super) goes_on: bool,
}

impl<'p, 'a, 'b> Tags<'p, 'a, 'b> {
    pub(super) fn new(page: &'p mut Page<'a, 'b>, has_raw: bool) -> Self {
        Self {
            page,
            has_raw,
            text: Vec::new(),
            comment: Vec::new(),
            name: Vec::new(),
            is_end: false,
            last_start: Vec::new(),
            attribute: Vec::new(),
            value: Vec::new(),
            is_read: None,
            has_ended: false,
            #[cfg(test)]
            goes_on: false,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.page.into.is_full()
    }

    /// A text of which all is known, with the line ends that the standard makes of all.
    pub(super) fn text(&mut self, text: &[u8]) {
        let mut rest = text;
        while let Some(at) = memchr::memchr(b'\r', rest) {
            self.text.extend_from_slice(rest.get(..at).unwrap_or_default());
            self.text.push(b'\n');
            rest = rest.get(at + 1..).unwrap_or_default();
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        if rest.len() == text.len() {
            if !text.is_empty() {
                self.page.text(text);
            }
            return;
        }
        self.text.extend_from_slice(rest);
        self.close_text();
    }

    /// A tag of which all is known.
    pub(super) fn whole(&mut self, name: &[u8], is_end: bool, attributes: &[(&[u8], Cow<'_, [u8]>)]) {
        if is_end {
            return self.page.end_tag(name);
        }
        self.page.open_tag(name);
        attributes.iter().for_each(|(attribute, value)| self.page.attribute(attribute, value));
        self.page.close_tag();
    }

    fn end(&mut self) {
        self.has_ended = true;
        #[cfg(test)]
        if self.goes_on {
            self.has_ended = false;
        }
    }

    fn close_text(&mut self) {
        if !self.text.is_empty() {
            self.page.text(&self.text);
            self.text.clear();
        }
    }

    fn open_tag(&mut self) {
        self.close_text();
        if !self.is_end && !self.name.is_empty() {
            self.page.open_tag(&self.name);
            self.last_start.clear();
            std::mem::swap(&mut self.last_start, &mut self.name);
        }
    }

    fn close_attribute(&mut self) {
        if !self.value.is_empty() {
            self.page.attribute(&self.attribute, &self.value);
        }
        self.attribute.clear();
        self.value.clear();
        self.is_read = None;
    }
}

impl Emitter for Tags<'_, '_, '_> {
    type Token = ();

    /// Stops the tokenizer.
    fn pop_token(&mut self) -> Option<()> {
        std::mem::take(&mut self.has_ended).then_some(())
    }

    /// Nobody here asks what is wrong with a page, and finding it out takes a tenth of the time.
    fn should_emit_errors(&mut self) -> bool {
        false
    }

    fn emit_error(&mut self, _: Error) {}

    fn emit_eof(&mut self) {
        self.close_text();
    }

    fn emit_string(&mut self, text: &[u8]) {
        self.text.extend_from_slice(text);
    }

    fn init_start_tag(&mut self) {
        self.name.clear();
        self.is_end = false;
    }

    fn init_end_tag(&mut self) {
        self.name.clear();
        self.is_end = true;
    }

    fn push_tag_name(&mut self, name: &[u8]) {
        self.name.extend_from_slice(name);
    }

    fn init_attribute(&mut self) {
        self.open_tag();
        self.close_attribute();
    }

    fn push_attribute_name(&mut self, name: &[u8]) {
        self.attribute.extend_from_slice(name);
    }

    fn push_attribute_value(&mut self, value: &[u8]) {
        let attribute = &self.attribute;
        if *self.is_read.get_or_insert_with(|| super::is_read(attribute)) {
            self.value.extend_from_slice(value);
        }
    }

    fn emit_current_tag(&mut self) -> Option<State> {
        self.open_tag();
        self.close_attribute();
        if self.is_end {
            self.last_start.clear();
            self.page.end_tag(&self.name);
        } else {
            self.page.close_tag();
        }
        let next = if self.has_raw { naive_next_state(&self.last_start) } else { None };
        if next.is_none() {
            self.end();
        }
        next
    }

    fn init_comment(&mut self) {
        self.close_text();
        self.comment.clear();
    }

    fn push_comment(&mut self, comment: &[u8]) {
        self.comment.extend_from_slice(comment);
    }

    fn emit_current_comment(&mut self) {
        self.page.comment(&self.comment);
        self.end();
    }

    fn init_doctype(&mut self) {
        self.close_text();
    }

    fn set_last_start_tag(&mut self, name: Option<&[u8]>) {
        self.last_start.clear();
        self.last_start.extend_from_slice(name.unwrap_or_default());
    }

    fn current_is_appropriate_end_tag_token(&mut self) -> bool {
        self.is_end && !self.last_start.is_empty() && self.last_start == self.name
    }

    fn set_self_closing(&mut self) {}
    fn set_force_quirks(&mut self) {}
    fn emit_current_doctype(&mut self) {
        self.end();
    }
    fn push_doctype_name(&mut self, _: &[u8]) {}
    fn set_doctype_public_identifier(&mut self, _: &[u8]) {}
    fn set_doctype_system_identifier(&mut self, _: &[u8]) {}
    fn push_doctype_public_identifier(&mut self, _: &[u8]) {}
    fn push_doctype_system_identifier(&mut self, _: &[u8]) {}
}
