//! Reads an aggregate report out of XML. Promise: no document type and no entity of a document's own is ever looked at, nothing nests deeper than reports
//! do, and no text is longer than [`TEXT_MAX`].
//!
//! Lenient where reports in the wild are: any namespace or none, elements in any order, unknown ones passed over; a record without an address or a count is
//! counted as unread.

use quick_xml::Reader;
use quick_xml::events::Event;

use crate::aggregate::{Aggregate, DkimLine, Reason, Record, SpfLine};
use crate::read::{Limits, Unreadable};

/// Characters of one text.
const TEXT_MAX: usize = 1024;
/// Levels of elements.
const DEPTH_MAX: usize = 16;
/// Reasons, signatures, or checks of SPF in one record.
const LINES_MAX: usize = 100;
/// Errors that are kept.
const ERRORS_MAX: usize = 16;

/// A record while it is read.
#[derive(Default)]
struct Partial {
    source: Option<std::net::IpAddr>,
    count: Option<u64>,
    record: Option<Record>,
}

impl Partial {
    fn record(&mut self) -> &mut Record {
        self.record.get_or_insert_with(|| Record::of(std::net::Ipv4Addr::UNSPECIFIED.into()))
    }

    fn finish(self) -> Option<Record> {
        let mut record = self.record?;
        record.source = self.source?;
        record.count = self.count?;
        Some(record)
    }
}

#[derive(Default)]
struct Reading {
    report: Aggregate,
    partial: Partial,
    reason: Reason,
    dkim: DkimLine,
    spf: SpfLine,
    seen: bool,
}

/// Reads one.
pub(crate) fn aggregate(text: &str, limits: &Limits) -> Result<Aggregate, Unreadable> {
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
    let mut reading = Reading::default();
    // Names of the elements around, `feedback/record/row`, and where each begins.
    let (mut path, mut starts): (String, Vec<usize>) = (String::new(), Vec::new());
    let mut said = String::new();
    loop {
        let event = reader.read_event().map_err(|error| Unreadable::Xml(error.to_string()))?;
        match event {
            Event::Start(start) => {
                if starts.len() >= DEPTH_MAX {
                    return Err(Unreadable::Xml("elements nest too deep".to_owned()));
                }
                starts.push(path.len());
                enter(&mut path, start.local_name().as_ref())?;
                reading.opened(&path);
                said.clear();
            }
            Event::Empty(empty) => {
                let length = path.len();
                enter(&mut path, empty.local_name().as_ref())?;
                reading.opened(&path);
                reading.closed(&path, "", limits)?;
                path.truncate(length);
            }
            Event::End(_) => {
                reading.closed(&path, said.trim(), limits)?;
                said.clear();
                path.truncate(starts.pop().unwrap_or(0));
            }
            Event::Text(text) => push(&mut said, &text.xml10_content()),
            Event::CData(text) => push(&mut said, &text.xml10_content()),
            Event::GeneralRef(reference) => {
                let name = reference.xml10_content();
                let one = match &*name {
                    "amp" => '&',
                    "lt" => '<',
                    "gt" => '>',
                    "quot" => '"',
                    "apos" => '\'',
                    _ => match reference.resolve_char_ref() {
                        Ok(Some(one)) => one,
                        _ => return Err(Unreadable::Xml("it has entities of its own".to_owned())),
                    },
                };
                push(&mut said, one.encode_utf8(&mut [0; 4]));
            }
            Event::DocType(_) => return Err(Unreadable::Xml("it has a document type of its own".to_owned())),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::Eof => break,
        }
    }
    if !reading.seen || reading.report.policy.domain.is_empty() {
        return Err(Unreadable::Other("it is XML, and no report about a domain".to_owned()));
    }
    Ok(reading.report)
}

fn enter(path: &mut String, name: &str) -> Result<(), Unreadable> {
    if name.len() > 64 {
        return Err(Unreadable::Xml("an element has a very long name".to_owned()));
    }
    if !path.is_empty() {
        path.push('/');
    }
    path.push_str(name);
    Ok(())
}

fn push(said: &mut String, text: &str) {
    // In octets, which is never more characters than are kept.
    let room = (TEXT_MAX * 4).saturating_sub(said.len());
    said.extend(text.char_indices().take_while(|(at, c)| at + c.len_utf8() <= room).map(|(_, c)| c));
}

/// One that says nothing is left out: seven octets are not to become a hundred.
fn add<T: Default + PartialEq>(to: &mut Vec<T>, one: &mut T) {
    let one = std::mem::take(one);
    if to.len() < LINES_MAX && one != T::default() {
        to.push(one);
    }
}

impl Reading {
    fn opened(&mut self, path: &str) {
        match path {
            "feedback" => self.seen = true,
            "feedback/record" => self.partial = Partial::default(),
            "feedback/record/row/policy_evaluated/reason" => self.reason = Reason::default(),
            "feedback/record/auth_results/dkim" => self.dkim = DkimLine::default(),
            "feedback/record/auth_results/spf" => self.spf = SpfLine::default(),
            _ => {}
        }
    }

    fn closed(&mut self, path: &str, said: &str, limits: &Limits) -> Result<(), Unreadable> {
        let text = || -> String { said.chars().take(TEXT_MAX).collect() };
        let word = || text().to_ascii_lowercase();
        let some = || Some(text()).filter(|text| !text.is_empty());
        let choice = || Some(word()).filter(|word| !word.is_empty());
        let number = || said.parse::<u64>().ok();
        let Self { report, partial, reason, dkim, spf, .. } = self;
        let Some(path) = path.strip_prefix("feedback/") else { return Ok(()) };
        match path {
            "report_metadata/org_name" => report.org_name = text(),
            "report_metadata/email" => report.email = text(),
            "report_metadata/extra_contact_info" => report.extra_contact_info = some(),
            "report_metadata/report_id" => report.report_id = text(),
            "report_metadata/date_range/begin" => report.begin = number().unwrap_or(0),
            "report_metadata/date_range/end" => report.end = number().unwrap_or(0),
            "report_metadata/error" if report.errors.len() < ERRORS_MAX => report.errors.extend(some()),
            "report_metadata/generator" => report.generator = some(),
            "policy_published/domain" => report.policy.domain = word(),
            "policy_published/discovery_method" => report.policy.discovery = choice(),
            "policy_published/p" => report.policy.p = word(),
            "policy_published/sp" => report.policy.sp = choice(),
            "policy_published/np" => report.policy.np = choice(),
            "policy_published/fo" => report.policy.fo = choice(),
            "policy_published/adkim" => report.policy.adkim = choice(),
            "policy_published/aspf" => report.policy.aspf = choice(),
            "policy_published/testing" => report.policy.testing = choice(),
            "record/row/source_ip" => partial.source = said.parse().ok(),
            "record/row/count" => partial.count = number(),
            "record/row/policy_evaluated/disposition" => partial.record().disposition = word(),
            "record/row/policy_evaluated/dkim" => partial.record().dkim = word(),
            "record/row/policy_evaluated/spf" => partial.record().spf = word(),
            "record/row/policy_evaluated/reason/type" => reason.kind = word(),
            "record/row/policy_evaluated/reason/comment" => reason.comment = some(),
            "record/row/policy_evaluated/reason" => add(&mut partial.record().reasons, reason),
            "record/identifiers/header_from" => partial.record().header_from = word(),
            // Of the null sender it is there and empty.
            "record/identifiers/envelope_from" => partial.record().envelope_from = Some(word()),
            "record/identifiers/envelope_to" => partial.record().envelope_to = choice(),
            "record/auth_results/dkim/domain" => dkim.domain = word(),
            "record/auth_results/dkim/selector" => dkim.selector = text(),
            "record/auth_results/dkim/result" => dkim.result = word(),
            "record/auth_results/dkim" => add(&mut partial.record().dkim_results, dkim),
            "record/auth_results/spf/domain" => spf.domain = word(),
            "record/auth_results/spf/result" => spf.result = word(),
            "record/auth_results/spf" => add(&mut partial.record().spf_results, spf),
            "record" => {
                if report.records.len() >= limits.records_max {
                    return Err(Unreadable::TooLarge("records"));
                }
                match std::mem::take(partial).finish() {
                    Some(record) => report.records.push(record),
                    None => report.unread += 1,
                }
            }
            _ => {}
        }
        Ok(())
    }
}
