//! The walk over a message's parts. Promise: each part is read as everything it may be taken for, whatever its type says, and once only.

use std::borrow::Cow;

use mail_parser::{HeaderForm, HeaderValue, MessageParser, MessagePart, PartFlags, PartKind};
use memchr::memmem;
use postern_mail::domain::Domain;

use crate::collect::Collector;
use crate::{Incomplete, Inspection, Kind, Limits, html, pdf, text};

/// Fields with text that programs show or make clickable.
const FIELDS: &[&str] = &[
    "Subject",
    "Comments",
    "Organization",
    "List-Unsubscribe",
    "List-Help",
    "List-Archive",
    "List-Subscribe",
    "List-Post",
    "List-Owner",
    "Content-Location",
    "Content-Base",
    "Content-Description",
    "X-Url",
    "Archived-At",
];
/// Domains of senders that are kept.
const SENDERS_MAX: usize = 16;
/// What base64 of an archive or a picture begins with; there is no link of ours in them, and decoding them costs.
const OPAQUE: [&[u8]; 5] = [b"UEsDB", b"/9j/", b"iVBOR", b"R0lGOD", b"UklGR"];

/// Reads a message: header section and body.
#[must_use]
pub fn inspect(octets: &[u8], limits: &Limits) -> Inspection {
    let mut into = Collector::new(limits);
    let mut parser = MessageParser::new().max_depth(limits.depth_max).max_parts(limits.parts_max);
    for field in FIELDS {
        parser = parser.header(*field, HeaderForm::Text);
    }
    let Some(message) = parser.parse(octets) else {
        into.stop(Incomplete::Unreadable);
        return into.found;
    };
    for (number, part) in message.parts().take(limits.parts_max).enumerate() {
        into.part = number;
        into.found.parts += 1;
        if part.flags().contains(PartFlags::LIMIT_REACHED) {
            into.stop(Incomplete::Parts);
        }
        fields(&part, &mut into);
        if !part.is_multipart() {
            body(&part, &mut into);
        }
        while let Some(waiting) = into.waiting.pop_front() {
            into.depth = waiting.depth;
            html::search(&waiting.html, &mut into);
            into.depth = 0;
        }
        if into.left() == 0 || into.is_full() {
            into.stop(Incomplete::Octets);
            break;
        }
    }
    into.found
}

fn fields(part: &MessagePart<'_>, into: &mut Collector<'_>) {
    for field in part.headers().iter() {
        let name = field.raw_name();
        if let HeaderValue::Address(list) = field.value() {
            for mailbox in list.mailboxes() {
                if let Some(shown) = mailbox.name() {
                    let shown = String::from_utf8_lossy(into.spend(shown.as_bytes())).into_owned();
                    text::search(&shown, Kind::Header, into);
                }
                let is_sender = ["from", "reply-to", "sender"].iter().any(|one| name.eq_ignore_ascii_case(one));
                let domain = mailbox.address().and_then(|a| a.rsplit_once('@')).and_then(|(_, host)| Domain::parse(host).ok());
                if let Some(domain) = domain.filter(|_| is_sender)
                    && into.found.senders.len() < SENDERS_MAX
                    && !into.found.senders.contains(&domain)
                {
                    into.found.senders.push(domain);
                }
            }
        }
        if FIELDS.iter().any(|one| name.eq_ignore_ascii_case(one))
            && let Some(said) = field.value().as_text()
        {
            let said = String::from_utf8_lossy(into.spend(said.as_bytes())).into_owned();
            text::search(&said, Kind::Header, into);
        }
    }
}

fn body(part: &MessagePart<'_>, into: &mut Collector<'_>) {
    let raw = part.raw_body().trim_ascii_start();
    let kind = part.kind();
    if matches!(kind, PartKind::Message(_)) || OPAQUE.iter().any(|mark| raw.starts_with(mark)) {
        return;
    }
    let room = into.left();
    // One octet more than there is room for, so that it shows when there was more.
    let said: Cow<'_, [u8]> = match part.text_prefix_bytes(room + 4) {
        Some(Cow::Borrowed(text)) => Cow::Borrowed(text.as_bytes()),
        Some(Cow::Owned(text)) => Cow::Owned(text.into_bytes()),
        None if part.raw_body().len() > 4 * room.max(1) && !part.is_content_type("application", "pdf") => {
            return into.stop(Incomplete::Octets);
        }
        None => part.decoded(),
    };
    let said = into.spend(&said);
    if memmem::find(said.get(..1024).unwrap_or(said), b"%PDF-").is_some() {
        return pdf::search(said, into);
    }
    let Some(said) = readable(said) else { return };
    let is_calendar = said.trim_start().starts_with("BEGIN:V");
    if is_calendar {
        let unfolded = said.replace("\r\n ", "").replace("\n ", "").replace("\r\n\t", "").replace("\n\t", "");
        let plain = unfolded.replace("\\n", "\n").replace("\\N", "\n").replace("\\,", ",").replace("\\;", ";");
        let spaced = plain.replace([':', ';'], " : ").replace(" : //", "://").replace("mailto : ", "mailto:");
        if looks_like_html(&plain) {
            html::search(plain.as_bytes(), into);
        }
        return text::search(&spaced, Kind::Calendar, into);
    }
    if matches!(kind, PartKind::Html) || looks_like_html(&said) {
        html::search(said.as_bytes(), into);
    }
    if !matches!(kind, PartKind::Html) {
        text::search(&said, Kind::Text, into);
    }
}

/// Octets as text: by their byte order mark, or as they are; `None` for what is no text.
fn readable(octets: &[u8]) -> Option<Cow<'_, str>> {
    let wide = |little: bool| {
        let units = octets.get(2..).unwrap_or_default().chunks_exact(2).filter_map(|two| two.first_chunk::<2>());
        let units: Vec<u16> = units.map(|two| if little { u16::from_le_bytes(*two) } else { u16::from_be_bytes(*two) }).collect();
        Some(Cow::Owned(String::from_utf16_lossy(&units)))
    };
    match octets {
        [0xff, 0xfe, ..] => wide(true),
        [0xfe, 0xff, ..] => wide(false),
        _ if octets.get(..512).unwrap_or(octets).iter().filter(|b| **b == 0).count() > 4 => None,
        _ => Some(String::from_utf8_lossy(octets)),
    }
}

fn looks_like_html(said: &str) -> bool {
    let head = said.get(..said.floor_char_boundary(8 * 1024)).unwrap_or(said).to_ascii_lowercase();
    ["<html", "<!doctype html", "<a ", "<body", "<svg", "<meta ", "<form ", "<img ", "<base ", "<iframe"]
        .iter()
        .any(|mark| head.contains(mark))
}
