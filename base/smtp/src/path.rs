//! Paths in angle brackets: the argument of MAIL FROM and RCPT TO (RFC 5321 §4.1.2).
//!
//! Promise: where a path ends is decided here alone, quotes and all, so that nothing behind it can be read as a part of the address
//! and no part of the address as a parameter.

use postern_mail::trouble::Fault;
use postern_mail::{ForwardPath, Mailbox, ReversePath};

/// A path cut off the front of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bracketed<'a> {
    /// What stood between the brackets.
    pub inner: &'a str,
    /// What follows the closing bracket: nothing, or parameters behind a space.
    pub rest: &'a str,
}

impl<'a> Bracketed<'a> {
    /// Finds the closing bracket that belongs to the opening one; a `>` within a quoted local part is content.
    ///
    /// # Errors
    /// [`Fault::Path`] when a bracket is missing, [`Fault::Syntax`] when something touches the closing bracket.
    pub fn take(text: &'a str) -> Result<Self, Fault> {
        let body = text.strip_prefix('<').ok_or(Fault::Path)?;
        let end = closing_bracket(body).ok_or(Fault::Path)?;
        let (inner, rest) = body.split_at_checked(end).ok_or(Fault::Path)?;
        let rest = rest.strip_prefix('>').ok_or(Fault::Path)?;
        if rest.is_empty() || rest.starts_with(' ') { Ok(Self { inner, rest }) } else { Err(Fault::Syntax) }
    }

    /// Reads what stood between the brackets as a reverse path.
    ///
    /// # Errors
    /// [`Fault::Path`] for a source route, else what [`Mailbox::parse`] says.
    pub fn reverse(&self) -> Result<ReversePath, Fault> {
        if self.inner.is_empty() { Ok(ReversePath::Null) } else { mailbox(self.inner).map(ReversePath::Mailbox) }
    }

    /// Reads what stood between the brackets as a forward path.
    ///
    /// # Errors
    /// [`Fault::Path`] for a source route and for `<>`, else what [`Mailbox::parse`] says.
    pub fn forward(&self) -> Result<ForwardPath, Fault> {
        // RFC 5321 §4.1.1.3: `postmaster` alone, in any case, is a recipient, and never the same as `<>`.
        if self.inner.eq_ignore_ascii_case("postmaster") {
            return Ok(ForwardPath::Postmaster);
        }
        if self.inner.is_empty() {
            return Err(Fault::Path);
        }
        mailbox(self.inner).map(ForwardPath::Mailbox)
    }
}

fn mailbox(inner: &str) -> Result<Mailbox, Fault> {
    // RFC 5321 §4.1.1.3 DEPARTS: a source route is refused, not stripped; nobody honest has sent one for decades.
    if inner.starts_with('@') { Err(Fault::Path) } else { Mailbox::parse(inner) }
}

/// The offset of the first `>` outside quotes.
fn closing_bracket(body: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    body.bytes().position(|byte| {
        if escaped {
            escaped = false;
            return false;
        }
        match byte {
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' => return !quoted,
            _ => {}
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bracket_within_quotes_does_not_end_the_path() {
        let path = Bracketed::take(r#"<"a> SIZE=1 \">"@d.example> BODY=7BIT"#).unwrap();
        assert_eq!(path.rest, " BODY=7BIT");
        assert_eq!(path.reverse().unwrap().mailbox().unwrap().local.as_str(), "a> SIZE=1 \">");
    }

    #[test]
    fn a_path_without_its_brackets_is_a_fault() {
        for bad in ["", "a@b.example", "<a@b.example", "a@b.example>", "<\"a@b.example>", " <a@b.example>"] {
            assert_eq!(Bracketed::take(bad), Err(Fault::Path), "{bad}");
        }
        assert_eq!(Bracketed::take("<a@b.example>SIZE=1"), Err(Fault::Syntax));
        assert_eq!(Bracketed::take("<a@b.example>>"), Err(Fault::Syntax));
    }

    #[test]
    fn the_null_path_is_a_sender_and_never_a_recipient() {
        let null = Bracketed::take("<>").unwrap();
        assert_eq!(null.reverse(), Ok(ReversePath::Null));
        assert_eq!(null.forward(), Err(Fault::Path));
    }

    #[test]
    fn a_source_route_is_refused() {
        let route = Bracketed::take("<@a.example:b@c.example>").unwrap();
        assert_eq!(route.reverse(), Err(Fault::Path));
        assert_eq!(route.forward(), Err(Fault::Path));
    }
}
