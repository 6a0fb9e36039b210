//! Writes delivery reports (RFC 3464, RFC 3461 §6, RFC 6522, RFC 6533). Promise: whatever next hops said and senders wrote, a report has
//! exactly the headers and parts it has here, lines end in CRLF and fit, and nobody's automatic reply answers it.
//!
//! Pure: time, names and chance are given. The envelope is the caller's: null sender, one recipient, NOTIFY=NEVER (RFC 3461 §6.1).

mod fields;
mod lines;
mod returned;
mod words;

use postern_mail::envelope::{BodyKind, UnixMillis};
use postern_mail::message::date::MailDate;
use postern_mail::message::headers::Headers;
use postern_mail::{Envelope, MessageId};

use crate::due::{ReportDue, Returned};
use crate::report::fields::Form;
use crate::report::lines::{Lines, ascii};
use crate::report::returned::Part;

/// Who writes, when, and under which name.
#[derive(Clone, Copy, Debug)]
pub struct Reporter<'a> {
    /// `server.hostname`.
    pub hostname: &'a str,
    /// The time the attempt ended.
    pub now: UnixMillis,
    /// The report's own id.
    pub id: MessageId,
    /// Chance, so that nobody can guess the boundary and write parts of the report.
    pub seed: u64,
}

/// The message a report is about.
#[derive(Clone, Copy, Debug)]
pub struct Original<'a> {
    /// Its envelope.
    pub envelope: &'a Envelope,
    /// Its id here.
    pub id: MessageId,
    /// The whole message where `returned` is [`Returned::Full`], at least its header section otherwise.
    pub bytes: &'a [u8],
    /// From [`ReportDue::returned`].
    pub returned: Returned,
}

/// A report, ready to be spooled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Header and body; lines end in CRLF.
    pub bytes: Vec<u8>,
    /// What its MAIL FROM must say.
    pub body: BodyKind,
    /// True when it needs SMTPUTF8: the address it goes to is outside ASCII.
    pub smtputf8: bool,
}

impl Reporter<'_> {
    /// Writes a report.
    #[must_use]
    pub fn write(&self, due: &ReportDue<'_>, original: &Original<'_>) -> Report {
        let headers = Headers::parse(original.bytes);
        let smtputf8 = due.to.local.needs_utf8();
        // RFC 6533 §4: the UTF-8 forms are for senders who use UTF-8 in mail themselves.
        let global_header = original.envelope.smtputf8 && headers.has_eight_bit();
        let form = if smtputf8 || global_header { Form::Global } else { Form::Ascii };

        let text = self.text(due, original);
        let status = self.status(due, original.envelope, form);
        let third = returned::part(original.bytes, original.returned, global_header);
        let boundary = self.boundary(&[&text, &status, &third.bytes]);

        let mut out = Lines::default();
        self.header(&mut out, due, &headers, &boundary);
        part(&mut out, &boundary, "text/plain; charset=utf-8", &text);
        let kind = match form {
            Form::Ascii => "message/delivery-status",
            Form::Global => "message/global-delivery-status",
        };
        part(&mut out, &boundary, kind, &status);
        let Part { content_type, bytes } = &third;
        part(&mut out, &boundary, content_type, bytes);
        out.line(&format!("--{boundary}--"));

        let bytes = out.into_bytes();
        let body = if bytes.is_ascii() { BodyKind::SevenBit } else { BodyKind::EightBitMime };
        Report { bytes, body, smtputf8 }
    }

    fn header(&self, out: &mut Lines, due: &ReportDue<'_>, original: &Headers, boundary: &str) {
        let hostname = ascii(self.hostname);
        // RFC 3464 §2: a person can be reached by answering.
        out.field("From", &format!("Mail Delivery System <postmaster@{hostname}>"));
        out.field("To", &format!("<{}>", due.to));
        out.field("Subject", words::subject(due));
        out.field("Date", &MailDate(self.now).to_string());
        out.field("Message-ID", &format!("<{}.{:016x}@{hostname}>", self.id, self.seed));
        if let Some(id) = original.message_id() {
            // RFC 5322 §3.6.4: mail programs show the report with the message it is about.
            out.field("In-Reply-To", &id);
            out.field("References", &id);
        }
        // RFC 3834 §5: no automatic reply answers this.
        out.field("Auto-Submitted", "auto-replied");
        out.field("MIME-Version", "1.0");
        // RFC 6522 §3, RFC 3461 §6.2: `multipart/report` of type `delivery-status`.
        out.line("Content-Type: multipart/report; report-type=delivery-status;");
        out.line(&format!("    boundary=\"{boundary}\""));
        out.empty();
    }

    fn text(&self, due: &ReportDue<'_>, original: &Original<'_>) -> Vec<u8> {
        let mut lines = Lines::default();
        words::write(&mut lines, due, original.envelope, original.id, self.hostname);
        lines.into_bytes()
    }

    fn status(&self, due: &ReportDue<'_>, envelope: &Envelope, form: Form) -> Vec<u8> {
        let mut lines = Lines::default();
        fields::per_message(&mut lines, envelope, self.hostname);
        for line in &due.lines {
            // RFC 3464 §2.1: an empty line before the fields of each recipient.
            lines.empty();
            fields::per_recipient(&mut lines, line, self.now, form);
        }
        lines.into_bytes()
    }

    /// RFC 2046 §5.1.1: a boundary stands in none of the parts. The seed makes sure that nobody put it there; looking makes it true.
    fn boundary(&self, parts: &[&[u8]]) -> String {
        (0_u64..)
            .map(|round| format!("=_{}_{:016x}", self.id, self.seed.wrapping_add(round)))
            .find(|boundary| !parts.iter().any(|part| part.windows(boundary.len()).any(|window| window == boundary.as_bytes())))
            .unwrap_or_default()
    }
}

fn part(out: &mut Lines, boundary: &str, content_type: &str, bytes: &[u8]) {
    out.line(&format!("--{boundary}"));
    out.field("Content-Type", content_type);
    out.field("Content-Transfer-Encoding", if bytes.is_ascii() { "7bit" } else { "8bit" });
    out.empty();
    out.raw(bytes);
    // RFC 2046 §5.1.1: the CRLF before a boundary belongs to the boundary.
    out.empty();
}

#[cfg(test)]
mod tests;
