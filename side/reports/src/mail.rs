//! The mail a report goes in. Promise: whatever the domain it is about is called, the mail has exactly the header fields and parts it has here, and one report
//! has one name, so that a second copy is known for what it is.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use postern_mail::Mailbox;
use postern_mail::envelope::UnixMillis;
use postern_mail::message::date::MailDate;

use crate::aggregate::Aggregate;
use crate::write;

/// Characters of a line of base64.
const BASE64_LINE: usize = 76;

/// Who writes, when, and under which name.
#[derive(Clone, Copy, Debug)]
pub struct Reporter<'a> {
    /// `server.hostname`.
    pub hostname: &'a str,
    /// Who reports, for people.
    pub org_name: &'a str,
    /// Whom to ask about it.
    pub from: &'a Mailbox,
    /// Now.
    pub now: UnixMillis,
    /// Chance, so that nobody can guess the boundary.
    pub seed: u64,
}

/// A mail, ready to be spooled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportMail {
    /// Header and body; lines end in CRLF.
    pub octets: Vec<u8>,
    /// Of the report in it.
    pub file_name: String,
}

/// Text in a header field: ASCII that needs no encoding.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).take(200).collect()
}

/// A display name, in quotation marks.
fn quoted(text: &str) -> String {
    plain(text).replace('\\', "\\\\").replace('"', "\\\"")
}

pub(crate) fn base64_lines(octets: &[u8], out: &mut String) {
    let text = STANDARD.encode(octets);
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(BASE64_LINE));
        out.push_str(line);
        out.push_str("\r\n");
        rest = more;
    }
}

/// RFC 2046 §5.1.1: a boundary stands in none of the parts. None of what is written here has lines that begin like it, and nobody can guess the seed.
pub(crate) fn boundary(seed: u64) -> String {
    format!("=_report_{seed:016x}")
}

impl Reporter<'_> {
    /// RFC 9990 §3.5.1: the same for the same report, and for no other. A domain is an atom with dots, as is a host name.
    #[must_use]
    pub fn report_id(&self, domain: &str, begin: u64, end: u64) -> String {
        format!("{begin}.{end}.{domain}@{}", plain(self.hostname))
    }

    pub(crate) fn header(&self, to: &[Mailbox], subject: &str, message_id: &str, content: &str) -> String {
        let to: Vec<String> = to.iter().map(|one| format!("<{one}>")).collect();
        format!(
            "From: \"{}\" <{}>\r\nTo: {}\r\nSubject: {subject}\r\nDate: {}\r\nMessage-ID: <{message_id}>\r\n\
             Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: {content};\r\n    boundary=\"{}\"\r\n\r\n",
            quoted(self.org_name),
            self.from,
            to.join(",\r\n    "),
            MailDate(self.now),
            boundary(self.seed),
        )
    }

    /// RFC 9990 §3.5.2: one attachment, compressed, with a name and a subject that say whose report it is and which.
    #[must_use]
    pub fn aggregate(&self, report: &Aggregate, to: &[Mailbox]) -> ReportMail {
        let (domain, hostname) = (plain(&report.policy.domain), plain(self.hostname));
        let id = plain(&report.report_id);
        let file_name = format!("{hostname}!{domain}!{}!{}.xml.gz", report.begin, report.end);
        let subject = format!("Report Domain: {domain}\r\n    Submitter: {hostname}\r\n    Report-ID: <{id}>");
        let boundary = boundary(self.seed);
        let mut text = self.header(to, &subject, &id, "multipart/mixed");
        let missing: String = report.errors.iter().map(|error| format!("{}\r\n", plain(error))).collect();
        text.push_str(&format!(
            "--{boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
             This is an aggregate report of DMARC about mail in the name of\r\n{domain},\r\n\
             written by {hostname} because of the rua= in its DMARC record.\r\n\
             From {} until {}: {} messages in {} rows.\r\n{missing}\r\n\
             --{boundary}\r\nContent-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n\
             Content-Disposition: attachment;\r\n    filename=\"{file_name}\"\r\n\r\n",
            MailDate(UnixMillis(report.begin.saturating_mul(1000))),
            MailDate(UnixMillis(report.end.saturating_mul(1000))),
            report.messages(),
            report.records.len(),
        ));
        base64_lines(&gzip(write::xml(report).as_bytes()), &mut text);
        text.push_str(&format!("\r\n--{boundary}--\r\n"));
        ReportMail { octets: text.into_bytes(), file_name }
    }
}

/// Without a time or a name of its own, so that the same report is the same file.
pub(crate) fn gzip(octets: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to memory does not fail.
    let _ = encoder.write_all(octets);
    encoder.finish().unwrap_or_default()
}
