//! The second part of a report, for programs: `message/delivery-status` (RFC 3464 §2), or `message/global-delivery-status` (RFC 6533
//! §4). Promise: in the first form everything is ASCII, so the part passes servers without any extension.

use postern_mail::envelope::UnixMillis;
use postern_mail::message::date::MailDate;
use postern_mail::outcome::Evidence;
use postern_mail::{Envelope, Host, Mailbox};

use crate::due::Line;
use crate::report::lines::{Lines, ascii};

/// What a next hop said is cut here in octets; [`Evidence`] promises about as much in characters.
const DIAGNOSTIC_BYTES_MAX: usize = 2_048;

/// Which form addresses and texts take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// ASCII only.
    Ascii,
    /// UTF-8.
    Global,
}

impl Form {
    fn text(self, text: &str) -> String {
        match self {
            Self::Ascii => ascii(text),
            Self::Global => text.to_owned(),
        }
    }
}

/// Fields about the message (RFC 3464 §2.2).
pub(crate) fn per_message(lines: &mut Lines, envelope: &Envelope, hostname: &str) {
    // RFC 3464 §2.2.1, RFC 3461 §6.3: the sender's own name for the transaction, as it was before xtext.
    if let Some(envid) = envelope.envid.as_deref().and_then(from_xtext).filter(|envid| envid.is_ascii()) {
        lines.field("Original-Envelope-Id", &envid);
    }
    // RFC 3464 §2.2.2, RFC 3461 §9.3: our name, which DNS knows.
    lines.field("Reporting-MTA", &format!("dns; {}", ascii(hostname)));
    // RFC 3464 §2.2.5: when we took the message.
    lines.field("Arrival-Date", &MailDate(envelope.received).to_string());
}

/// Fields about one recipient (RFC 3464 §2.3).
pub(crate) fn per_recipient(lines: &mut Lines, line: &Line<'_>, now: UnixMillis, form: Form) {
    // RFC 3464 §2.3.1: only what the sender gave, since we did not see what it was called before.
    if let Some(original) = line.recipient.dsn().original.as_deref().and_then(|text| original(text, form)) {
        lines.field("Original-Recipient", &original);
    }
    // RFC 3464 §2.3.2: who it was for in the end, as the envelope has it.
    lines.field("Final-Recipient", &address(line.recipient.address(), form));
    lines.field("Action", line.action.as_str());
    lines.field("Status", &line.status.to_string());
    if let Some(name) = remote_name(line.evidence) {
        // RFC 3464 §2.3.5: the host that answered.
        lines.field("Remote-MTA", &format!("dns; {name}"));
    }
    if let Some(diagnostic) = diagnostic(line.evidence, form) {
        lines.folded("Diagnostic-Code", &diagnostic);
    }
    // RFC 3464 §2.3.7: when it was tried last.
    lines.field("Last-Attempt-Date", &MailDate(now).to_string());
    if let Some(until) = line.retry_until {
        // RFC 3464 §2.3.9: of a delay, when we will give up.
        lines.field("Will-Retry-Until", &MailDate(until).to_string());
    }
}

/// `rfc822; a@b`, or for an address outside ASCII the forms of RFC 6533 §3.
fn address(mailbox: &Mailbox, form: Form) -> String {
    let text = mailbox.to_string();
    match form {
        _ if text.is_ascii() => format!("rfc822; {text}"),
        Form::Global => format!("utf-8; {text}"),
        Form::Ascii => format!("utf-8; {}", to_utf8_xtext(&text)),
    }
}

/// ORCPT= undone (RFC 3461 §4.2, RFC 6533 §3): an address type, a semicolon, and the address. `None` when it holds what would not print.
fn original(text: &str, form: Form) -> Option<String> {
    let (kind, encoded) = text.split_once(';')?;
    let kind_fits = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let decoded = from_xtext(encoded).filter(|decoded| kind_fits && !decoded.is_empty())?;
    match form {
        Form::Global => Some(format!("{kind}; {decoded}")),
        // What is ASCII in it already has its escapes.
        Form::Ascii => Some(format!("{kind}; {}", escape(&decoded, |c| c.is_ascii()))),
    }
}

/// RFC 3461 §4: xtext undone. `None` when it is not xtext, or when what it hides is a control (a CR here would begin a header).
fn from_xtext(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        let octet = if octet == b'+' {
            let mut digit = || rest.next().filter(|d| !d.is_ascii_lowercase()).and_then(|d| char::from(d).to_digit(16));
            u8::try_from(digit()? * 16 + digit()?).ok()?
        } else {
            octet
        };
        octets.push(octet);
    }
    String::from_utf8(octets).ok().filter(|decoded| !decoded.chars().any(char::is_control))
}

/// RFC 6533 §3, `utf-8-addr-xtext`: everything but plain printable ASCII as `\x{HEX}`.
fn to_utf8_xtext(text: &str) -> String {
    escape(text, |c| c.is_ascii_graphic() && !matches!(c, '+' | '=' | '\\'))
}

fn escape(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for c in text.chars() {
        if stays(c) {
            out.push(c);
        } else {
            out.push_str(&format!("\\x{{{:02X}}}", u32::from(c)));
        }
    }
    out
}

/// The host that answered, for people. A delivery of ours has the path of a mailbox there, which is nobody's business outside.
pub(crate) fn remote(evidence: &Evidence) -> Option<&str> {
    Some(evidence.by.trim()).filter(|by| !by.is_empty() && !is_local(evidence))
}

/// True when the evidence is about a file of ours.
pub(crate) fn is_local(evidence: &Evidence) -> bool {
    evidence.by.contains('/')
}

fn remote_name(evidence: &Evidence) -> Option<String> {
    let first = remote(evidence)?.split_whitespace().next()?;
    Host::parse(first).ok().map(|host| host.to_string())
}

/// True when a text is an SMTP reply and not words of ours.
pub(crate) fn is_reply(text: &str) -> bool {
    let mut octets = text.bytes();
    matches!(octets.next(), Some(b'2'..=b'5'))
        && octets.by_ref().take(2).filter(u8::is_ascii_digit).count() == 2
        && matches!(octets.next(), None | Some(b' ' | b'-'))
}

/// RFC 3464 §2.3.6, RFC 3461 §9.2: `smtp` for what a server said; an `X-` type for what we say ourselves.
fn diagnostic(evidence: &Evidence, form: Form) -> Option<String> {
    if is_local(evidence) || evidence.text.trim().is_empty() {
        return None;
    }
    let kind = if is_reply(&evidence.text) { "smtp" } else { "X-Postern" };
    let bounded = evidence.text.get(..evidence.text.floor_char_boundary(DIAGNOSTIC_BYTES_MAX))?;
    Some(format!("{kind}; {}", form.text(bounded)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xtext_that_hides_a_control_or_is_broken_is_dropped() {
        assert_eq!(from_xtext("a+2Bb+3D").as_deref(), Some("a+b="));
        for bad in ["a+0D+0ABcc: x", "a+00", "a+", "a+2", "a+2b", "a+G0", "+FF", "+7F"] {
            assert_eq!(from_xtext(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_original_recipient_keeps_its_type() {
        assert_eq!(original("rfc822;bob+2Bx@there.example", Form::Ascii).as_deref(), Some("rfc822; bob+x@there.example"));
        assert_eq!(
            original("utf-8;j\\x{FC}rgen@there.example", Form::Ascii).as_deref(),
            Some("utf-8; j\\x{FC}rgen@there.example")
        );
        assert_eq!(original("utf-8;jürgen@there.example", Form::Ascii).as_deref(), Some("utf-8; j\\x{FC}rgen@there.example"));
        assert_eq!(original("utf-8;jürgen@there.example", Form::Global).as_deref(), Some("utf-8; jürgen@there.example"));
        for bad in ["bob@there.example", ";bob", "rfc822;", "rf c;bob", "rfc822;+0Abob"] {
            assert_eq!(original(bad, Form::Ascii), None, "{bad}");
        }
    }

    #[test]
    fn a_reply_is_told_from_words_of_ours() {
        for reply in ["550 5.1.1 no", "421", "250-ok"] {
            assert!(is_reply(reply), "{reply}");
        }
        for words in ["connection refused", "5501 x", "55", "", "650 x", "5x0 y"] {
            assert!(!is_reply(words), "{words}");
        }
    }

    #[test]
    fn the_path_of_a_mailbox_is_not_told() {
        let evidence = Evidence { by: "/var/mail/there.example/bob".into(), text: "cannot write /var/mail: disk full".into() };
        assert_eq!(remote(&evidence), None);
        assert_eq!(diagnostic(&evidence, Form::Ascii), None);
    }

    #[test]
    fn the_remote_name_is_a_host_name_or_nothing() {
        let named = |by: &str| remote_name(&Evidence { by: by.into(), text: "x".into() });
        assert_eq!(named("mx.there.example [192.0.2.1]").as_deref(), Some("mx.there.example"));
        assert_eq!(named("[192.0.2.1]").as_deref(), Some("[192.0.2.1]"));
        assert_eq!(named("(evil) x"), None);
        assert_eq!(named(""), None);
    }
}
