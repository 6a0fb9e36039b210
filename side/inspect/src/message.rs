//! The walk over a message's parts. Promise: each part is read as everything it may be taken for, whatever its type says, and once only.

use std::borrow::Cow;

use mail_parser::{Encoding, HeaderForm, HeaderValue, MessageParser, MessagePart, PartFlags, PartKind};
use memchr::memmem;
use postern_mail::domain::Domain;

use crate::collect::Collector;
use crate::{Hosts, Incomplete, Inspection, Kind, Limits, alternatives, html, pdf, text, unpack};

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

/// Octets in which a page shows that it is one.
const HEAD_BYTES: usize = 8 * 1024;

/// Reads messages. Made once, since what fields are read as takes longer to say than many a message to read.
#[derive(Clone, Debug)]
pub struct Inspector {
    parser: MessageParser,
    limits: Limits,
    hosts: Hosts,
}

impl Inspector {
    /// With these limits and hosts.
    #[must_use]
    pub fn new(limits: Limits, hosts: Hosts) -> Self {
        let parser = MessageParser::new().max_depth(limits.depth_max).max_parts(limits.parts_max);
        let parser = FIELDS.iter().fold(parser, |parser, field| parser.header(*field, HeaderForm::Text));
        Self { parser, limits, hosts }
    }

    /// Reads a message: header section and body.
    #[must_use]
    pub fn inspect(&self, octets: &[u8]) -> Inspection {
        let mut into = Collector::new(&self.limits, &self.hosts);
        let Some(message) = self.parser.parse(octets) else {
            into.stop(Incomplete::Unreadable);
            return into.found;
        };
        let is_cut = message.parts().take(self.limits.parts_max).any(|part| part.flags().contains(PartFlags::LIMIT_REACHED));
        if let Some(part) = message.parts().next() {
            fields(&part, &mut into);
        }
        // What a reader is shown comes first, so that nothing in front of it uses up what may be spent.
        for texts in [true, false] {
            for (number, part) in message.parts().take(self.limits.parts_max).enumerate() {
                if texts != is_shown(&part) {
                    continue;
                }
                into.part = number;
                self.part(&part, &mut into);
                if into.is_full() {
                    into.stop(Incomplete::Links);
                }
                if into.left() == 0 || into.is_full() {
                    into.stop(Incomplete::Octets);
                    break;
                }
            }
            if texts {
                into.found.is_text_whole = into.found.incomplete.is_none() && !is_cut;
            }
        }
        alternatives::compare(&message, self.limits.parts_max, &mut into.found, &into.again);
        into.found
    }

    fn part(&self, part: &MessagePart<'_>, into: &mut Collector<'_>) {
        into.found.parts += 1;
        if part.flags().contains(PartFlags::LIMIT_REACHED) {
            into.stop(Incomplete::Parts);
        }
        if into.part > 0 {
            fields(part, into);
        }
        if !part.is_multipart() {
            body(part, into);
        }
        while let Some(waiting) = into.waiting.pop_front() {
            into.depth = waiting.depth;
            html::search(&waiting.html, into);
            into.depth = 0;
        }
    }
}

/// True for text that is not a file to be opened.
fn is_shown(part: &MessagePart<'_>) -> bool {
    is_text(part) && !part.content_disposition().is_some_and(|said| said.is_attachment())
}

fn is_text(part: &MessagePart<'_>) -> bool {
    matches!(part.kind(), PartKind::Html | PartKind::Text)
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
                if let Some(address) = mailbox.address().filter(|_| is_sender) {
                    into.address(address);
                }
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
    let is_opaque = !is_text(part) && part.encoding() == Encoding::Base64 && OPAQUE.iter().any(|mark| raw.starts_with(mark));
    if matches!(kind, PartKind::Message(_)) || is_opaque {
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
    // Octets of yEnc are no text of any kind, so they are taken as they came.
    let packed =
        if memmem::find(said, b"=ybegin ").is_some() { part.raw_body().get(..room).unwrap_or(part.raw_body()) } else { said };
    for file in unpack::files(packed, into.left()) {
        let file = into.spend(&file).to_vec();
        search(&file, Shape::File, into);
    }
    let shape = match kind {
        PartKind::Html => Shape::Html,
        PartKind::Text => Shape::Text,
        _ => Shape::File,
    };
    search(said, shape, into);
}

/// What a part is shown as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Html,
    Text,
    File,
}

/// What is in a part, or in a file within it, whose octets have been counted.
fn search(said: &[u8], shape: Shape, into: &mut Collector<'_>) {
    let is_html = shape == Shape::Html;
    if memmem::find(said.get(..1024).unwrap_or(said), b"%PDF-").is_some() {
        pdf::search(said, into);
        // A page that says so is a page nevertheless.
        if shape == Shape::File && !looks_like_html(&text::lossy(said.get(..HEAD_BYTES).unwrap_or(said))) {
            return;
        }
    }
    let Some(said) = readable(said, shape != Shape::File) else { return };
    let is_calendar = said.trim_start().starts_with("BEGIN:V");
    if is_calendar {
        let unfolded = said.replace("\r\n ", "").replace("\n ", "").replace("\r\n\t", "").replace("\n\t", "");
        let plain = unfolded.replace("\\n", "\n").replace("\\N", "\n").replace("\\,", ",").replace("\\;", ";");
        let spaced = plain.replace([':', ';'], " : ").replace(" : //", "://").replace("mailto : ", "mailto:");
        if looks_like_html(&plain) {
            html::search(plain.as_bytes(), into);
        }
        text::search(&spaced, Kind::Calendar, into);
        if !is_html {
            return;
        }
    }
    if is_html || looks_like_html(&said) {
        html::search(said.as_bytes(), into);
    }
    if !is_html {
        text::search(&said, Kind::Text, into);
    }
}

/// Octets as text: by their byte order mark, or as they are; `None` for what is no text. What is shown as text is text whatever is in it; programs that
/// do so leave out what is zero.
fn readable(octets: &[u8], is_shown: bool) -> Option<Cow<'_, str>> {
    let wide = |little: bool| {
        let units = octets.get(2..).unwrap_or_default().chunks_exact(2).filter_map(|two| two.first_chunk::<2>());
        let units: Vec<u16> = units.map(|two| if little { u16::from_le_bytes(*two) } else { u16::from_be_bytes(*two) }).collect();
        Some(Cow::Owned(String::from_utf16_lossy(&units)))
    };
    match octets {
        [0xff, 0xfe, ..] => wide(true),
        [0xfe, 0xff, ..] => wide(false),
        _ if is_shown && memchr::memchr(0, octets).is_some() => {
            let seen: Vec<u8> = octets.iter().copied().filter(|octet| *octet != 0).collect();
            Some(Cow::Owned(text::lossy(&seen).into_owned()))
        }
        _ if octets.get(..512).unwrap_or(octets).iter().filter(|b| **b == 0).count() > 4 => None,
        _ => Some(text::lossy(octets)),
    }
}

fn looks_like_html(said: &str) -> bool {
    const MARKS: [&[u8]; 10] =
        [b"html", b"!doctype html", b"a ", b"body", b"svg", b"meta ", b"form ", b"img ", b"base ", b"iframe"];
    let head = said.as_bytes();
    let head = head.get(..HEAD_BYTES).unwrap_or(head);
    memchr::memchr_iter(b'<', head).any(|at| {
        let rest = head.get(at + 1..).unwrap_or_default();
        MARKS.iter().any(|mark| rest.get(..mark.len()).is_some_and(|begins| begins.eq_ignore_ascii_case(mark)))
    })
}
