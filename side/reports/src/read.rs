//! Reads whatever reports come as: a message with them attached, XML, gzip, zip, or an abuse report. Promise: each is within [`Limits`], and what is not a
//! report is told apart from one that is broken.

use mail_parser::{MessageParser, PartFlags};
use serde::Serialize;

use crate::aggregate::Aggregate;
use crate::arf::{self, Complaint};
use crate::tls::TlsReport;
use crate::{unpack, xml};

/// What reading may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Octets after unpacking.
    pub octets_max: usize,
    /// Records of one report.
    pub records_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { octets_max: 32 << 20, records_max: 200_000 }
    }
}

/// Reports of one message.
const REPORTS_MAX: usize = 64;
/// Parts of one message.
const PARTS_MAX: usize = 256;

/// Why something was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is XML no report has, or no XML.
    #[error("the XML is not read: {0}")]
    Xml(String),
    /// It is JSON no report has, or no JSON.
    #[error("the JSON is not read: {0}")]
    Json(String),
    /// It does not unpack.
    #[error("the archive is broken: {0}")]
    Archive(String),
    /// It has too many of these.
    #[error("it is too large: too many {0}")]
    TooLarge(&'static str),
    /// It is something else.
    #[error("no report: {0}")]
    Other(String),
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Report {
    /// Of a day and a domain.
    Aggregate(Box<Aggregate>),
    /// Of a day and a domain, on TLS.
    Tls(Box<TlsReport>),
    /// About one message.
    Complaint(Box<Complaint>),
}

/// Reads all reports in it.
///
/// # Errors
/// When there is none, or the first is broken.
pub fn read(octets: &[u8], limits: &Limits) -> Result<Vec<Report>, Unreadable> {
    if octets.starts_with(&[0x1f, 0x8b]) || octets.starts_with(b"PK") || is_xml(octets) || is_json(octets) {
        return packed(octets, limits, &mut { limits.octets_max });
    }
    message(octets, limits)
}

fn is_xml(octets: &[u8]) -> bool {
    octets.strip_prefix(b"\xef\xbb\xbf").unwrap_or(octets).trim_ascii_start().starts_with(b"<")
}

fn is_json(octets: &[u8]) -> bool {
    octets.trim_ascii_start().starts_with(b"{")
}

/// `left`: octets that may still come out of it.
fn packed(octets: &[u8], limits: &Limits, left: &mut usize) -> Result<Vec<Report>, Unreadable> {
    let mut reports = Vec::new();
    for file in unpack::unpack(octets, &Limits { octets_max: *left, ..*limits })? {
        *left = left.saturating_sub(file.len());
        if is_json(&file) {
            reports.push(Report::Tls(Box::new(TlsReport::read(&file, limits)?)));
            continue;
        }
        if !is_xml(&file) {
            continue;
        }
        reports.push(Report::Aggregate(Box::new(xml::aggregate(&String::from_utf8_lossy(&file), limits)?)));
    }
    if reports.is_empty() { Err(Unreadable::Other("there is no report in the archive".to_owned())) } else { Ok(reports) }
}

fn message(octets: &[u8], limits: &Limits) -> Result<Vec<Report>, Unreadable> {
    let nothing = || Unreadable::Other("neither XML, nor an archive, nor a message with a report attached".to_owned());
    if octets.len() > limits.octets_max {
        return Err(Unreadable::TooLarge("octets"));
    }
    let message = MessageParser::new().max_depth(8).max_parts(PARTS_MAX).parse(octets).ok_or_else(nothing)?;
    let mut reports = Vec::new();
    let (mut feedback, mut original) = (None, None);
    let mut left = limits.octets_max;
    for part in message.parts().take(PARTS_MAX) {
        if part.flags().contains(PartFlags::LIMIT_REACHED) {
            return Err(Unreadable::TooLarge("parts"));
        }
        if part.is_multipart() || reports.len() >= REPORTS_MAX {
            continue;
        }
        if part.is_content_type("message", "feedback-report") {
            feedback.get_or_insert_with(|| part.decoded().into_owned());
        } else if feedback.is_some()
            && (part.is_content_type("message", "rfc822")
                || part.is_content_type("text", "rfc822-headers")
                || part.is_content_type("message", "rfc822-headers"))
        {
            original.get_or_insert_with(|| part.decoded().into_owned());
        } else {
            let decoded = part.decoded();
            let of_a_kind = decoded.starts_with(&[0x1f, 0x8b]) || decoded.starts_with(b"PK\x03\x04");
            if of_a_kind
                || part.is_content_type("application", "tlsrpt+json")
                || (is_xml(&decoded) && decoded.windows(9).take(4096).any(|nine| nine == b"<feedback"))
            {
                reports.extend(packed(&decoded, limits, &mut left)?);
            }
        }
    }
    if let Some(feedback) = feedback {
        reports.push(Report::Complaint(Box::new(arf::read(&feedback, original.as_deref()))));
    }
    if reports.is_empty() { Err(nothing()) } else { Ok(reports) }
}
