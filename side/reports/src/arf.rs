//! Abuse reports (ARF, RFC 5965) and failure reports (RFC 6591, RFC 9991): about one message. Promise: what is read is bounded text; what is written has
//! header fields of the message and nothing of its body.

use postern_mail::Mailbox;
use postern_mail::envelope::UnixMillis;
use postern_mail::message::date::MailDate;
use postern_mail::message::headers::Headers;
use postern_mail::return_token::RETURN_TOKEN_FIELD;
use serde::Serialize;

use crate::mail::{ReportMail, Reporter, boundary, plain};

/// Characters of one value.
const TEXT_MAX: usize = 512;
/// Values of one field.
const VALUES_MAX: usize = 16;
/// Octets of the header section of a message that are told.
const HEADER_MAX: usize = 32 * 1024;

/// Somebody complains about a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Complaint {
    /// `abuse`, `fraud`, `virus`, `auth-failure`, `not-spam` or `other`.
    pub feedback_type: String,
    /// Who wrote it.
    pub user_agent: String,
    /// Of how many messages it tells.
    pub incidents: u64,
    /// The client that handed the message in.
    pub source_ip: String,
    /// When it came.
    pub arrival_date: String,
    /// Its MAIL FROM.
    pub mail_from: String,
    /// Its recipients.
    pub rcpt_to: Vec<String>,
    /// Whose message it says it is.
    pub reported_domain: Vec<String>,
    /// What it was reported for.
    pub reported_uri: Vec<String>,
    /// What failed, where it is about that.
    pub auth_failure: String,
    /// What is not aligned.
    pub identity_alignment: String,
    /// What became of the message.
    pub delivery_result: String,
    /// Who looked at it.
    pub reporting_mta: String,
    /// Its own name.
    pub message_id: String,
    /// Its From.
    pub from: String,
    /// Its Subject.
    pub subject: String,
    /// Our token in it, where it is of ours and left with one.
    pub return_token: String,
    /// Its Return-Path.
    pub return_path: String,
}

fn values(headers: &Headers, name: &str) -> Vec<String> {
    let text = |octets: Vec<u8>| {
        let text = String::from_utf8_lossy(&octets);
        text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(TEXT_MAX).collect()
    };
    headers.named(name).take(VALUES_MAX).map(|field| text(field.unfolded())).collect()
}

pub(crate) fn value(headers: &Headers, name: &str) -> String {
    values(headers, name).into_iter().next().unwrap_or_default()
}

/// Reads one: the part with its fields, and the message it is about or the header section of that.
#[must_use]
pub(crate) fn read(feedback: &[u8], original: Option<&[u8]>) -> Complaint {
    let fields = Headers::parse(&closed(feedback));
    let of_message = Headers::parse(&closed(original.unwrap_or_default()));
    let either = |names: [&str; 2]| names.iter().map(|name| value(&fields, name)).find(|one| !one.is_empty()).unwrap_or_default();
    Complaint {
        // RFC 5965 §3.1: the type is without regard to case.
        feedback_type: value(&fields, "Feedback-Type").to_ascii_lowercase(),
        user_agent: value(&fields, "User-Agent"),
        // RFC 5965 §3.2: without it there is one.
        incidents: value(&fields, "Incidents").parse().unwrap_or(1),
        source_ip: value(&fields, "Source-IP"),
        // Some write the older name.
        arrival_date: either(["Arrival-Date", "Received-Date"]),
        mail_from: value(&fields, "Original-Mail-From"),
        rcpt_to: values(&fields, "Original-Rcpt-To"),
        reported_domain: values(&fields, "Reported-Domain"),
        reported_uri: values(&fields, "Reported-URI"),
        auth_failure: value(&fields, "Auth-Failure"),
        identity_alignment: value(&fields, "Identity-Alignment"),
        delivery_result: value(&fields, "Delivery-Result"),
        reporting_mta: value(&fields, "Reporting-MTA"),
        message_id: value(&of_message, "Message-ID"),
        from: value(&of_message, "From"),
        subject: value(&of_message, "Subject"),
        return_token: value(&of_message, RETURN_TOKEN_FIELD),
        return_path: value(&of_message, "Return-Path"),
    }
}

/// Lines end in CRLF, and a header section has an end.
pub(crate) fn closed(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + 64);
    for line in octets.split(|octet| *octet == b'\n') {
        out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// A message failed DMARC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure<'a> {
    /// The client.
    pub source: std::net::IpAddr,
    /// When it came.
    pub arrived: UnixMillis,
    /// Its MAIL FROM, with angle brackets.
    pub mail_from: &'a str,
    /// The author's domain.
    pub domain: &'a str,
    /// What was found out, as in a header field.
    pub authentication_results: &'a str,
    /// A signature that did not help: its domain and selector.
    pub signature: Option<(&'a str, &'a str)>,
    /// `delivered`, `spam`, `policy`, `reject` or `other`.
    pub delivery_result: &'static str,
    /// Mechanisms without an aligned pass.
    pub unaligned: &'a [&'static str],
    /// The message, or the beginning of it.
    pub message: &'a [u8],
}

impl Failure<'_> {
    fn fields(&self, reporter: &Reporter<'_>) -> String {
        let unaligned = if self.unaligned.is_empty() { "none".to_owned() } else { self.unaligned.join(", ") };
        let mut text = format!(
            "Feedback-Type: auth-failure\r\nUser-Agent: postern\r\nVersion: 1\r\nAuth-Failure: dmarc\r\nIdentity-Alignment: {unaligned}\r\n\
             Delivery-Result: {}\r\nOriginal-Mail-From: {}\r\nArrival-Date: {}\r\nSource-IP: {}\r\nReported-Domain: {}\r\n\
             Reporting-MTA: dns; {}\r\n",
            self.delivery_result,
            plain(self.mail_from),
            MailDate(self.arrived),
            self.source,
            plain(self.domain),
            plain(reporter.hostname),
        );
        if !self.authentication_results.is_empty() {
            // One such field is required of reports of this type; it is folded where it may be.
            let results: String = self.authentication_results.chars().filter(|c| matches!(c, ' '..='~')).take(4096).collect();
            text.push_str(&format!("Authentication-Results: {}\r\n", results.replace("; ", ";\r\n    ")));
        }
        if let Some((domain, selector)) = self.signature {
            text.push_str(&format!("DKIM-Domain: {}\r\nDKIM-Selector: {}\r\n", plain(domain), plain(selector)));
        }
        text
    }

    /// RFC 5965 §2: a text, the fields, and the message; of that the header section only, since the rest is nobody's business.
    #[must_use]
    pub fn mail(&self, reporter: &Reporter<'_>, to: &[Mailbox]) -> ReportMail {
        let boundary = boundary(reporter.seed);
        let domain = plain(self.domain);
        let subject = format!("DMARC failure report for {domain}");
        let message_id = format!("{:016x}.{}@{}", reporter.seed, reporter.now.0, plain(reporter.hostname));
        let mut text = reporter.header(to, &subject, &message_id, "multipart/report; report-type=feedback-report");
        text.push_str(&format!(
            "--{boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
             This is a failure report of DMARC: a message in the name of\r\n{domain} came from {}\r\nand is not proven to be its own.\r\n\r\n\
             --{boundary}\r\nContent-Type: message/feedback-report\r\n\r\n{}\r\n\
             --{boundary}\r\nContent-Type: text/rfc822-headers\r\n\r\n",
            self.source,
            self.fields(reporter),
        ));
        let mut octets = text.into_bytes();
        octets.extend_from_slice(&header_section(self.message));
        octets.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        ReportMail { octets, file_name: String::new() }
    }
}

/// The whole lines of it that fit, as ASCII.
fn header_section(message: &[u8]) -> Vec<u8> {
    let headers = Headers::parse(message);
    let section = headers.as_bytes();
    let section = section.get(..HEADER_MAX).map_or(section, |start| {
        let end = start.iter().rposition(|octet| *octet == b'\n').map_or(0, |at| at + 1);
        start.get(..end).unwrap_or_default()
    });
    let shown = |octet: &u8| if matches!(octet, b' '..=b'~' | b'\t' | b'\r' | b'\n') { *octet } else { b'?' };
    section.iter().map(shown).collect()
}
