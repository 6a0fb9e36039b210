//! Lists as people and providers write them: our own text, DROP, and rbldnsd's zones; read into entries, and written from them.
//!
//! Promise: a file is read as a whole or not at all, with every mistake in it told at once, by line and column and with what would be right;
//! any text ends in entries or in mistakes, in time proportional to its length; what is written reads back as the same entries.
//!
//! Exposure: reads what others publish, so nothing here may panic, and no text of it is printed but through [`Quoted`].

pub mod day;
mod text;
mod zone;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use crate::envelope::UnixMillis;
use crate::netset::{Action, Found, HERE, NameKind, Network, REASON_BYTES_MAX, Subject};
use crate::quoted::Quoted;

/// Mistakes of one file that are told; of the rest only the number.
pub const FAULTS_MAX: usize = 100;

/// How a list is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// Our own: an entry a line, then in any order an action or points, `until` and a day; then `;` and the reason.
    #[default]
    Text,
    /// As providers publish their "do not route or peer" lists: a network or an AS number a line, then `;` and a reference.
    Drop,
    /// rbldnsd's `ip4set`, `ip4trie` or `ip6trie`, and `dnset` for names.
    Rbldnsd,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Text, Self::Drop, Self::Rbldnsd];

    /// As in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Drop => "drop",
            Self::Rbldnsd => "rbldnsd",
        }
    }
}

/// One entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Whom it is about.
    pub subject: Subject,
    /// What is to be done; `None`: what the list does.
    pub action: Option<Action>,
    /// Why; [`HERE`] stands in it for the address.
    pub reason: Cow<'a, str>,
    /// Until when.
    pub until: Option<UnixMillis>,
}

impl<'a> From<Found<'a>> for Entry<'a> {
    fn from(found: Found<'a>) -> Self {
        let reason = Cow::Borrowed(found.reason());
        Self { subject: found.subject, action: Some(found.action), reason, until: found.until }
    }
}

/// A mistake in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Counted from 1.
    pub line: usize,
    /// Character within it, counted from 1.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.problem)
    }
}

/// Everything that is wrong with a list. Never empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The first ones.
    pub told: Vec<Fault>,
    /// More than these.
    pub more: usize,
}

impl Faults {
    fn note(&mut self, line: &Line<'_>, word: &str, problem: String) {
        if self.told.len() < FAULTS_MAX {
            self.told.push(Fault { line: line.number, column: line.column(word), problem });
        } else {
            self.more += 1;
        }
    }

    /// One a line, each with the name of the file before it.
    #[must_use]
    pub fn words(&self, file: &str) -> String {
        let mut lines: Vec<String> = self.told.iter().map(|fault| format!("{file}:{fault}")).collect();
        if self.more > 0 {
            lines.push(format!("{file}: and {} more mistakes", self.more));
        }
        lines.join("\n")
    }
}

/// A line of a file, with its number for whoever is told of a mistake.
#[derive(Clone, Copy)]
struct Line<'a> {
    number: usize,
    text: &'a str,
}

impl Line<'_> {
    /// Where a piece of it stands, in characters from 1.
    fn column(&self, word: &str) -> usize {
        let offset = (word.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        self.text.get(..offset).map_or(1, |before| before.chars().count() + 1)
    }
}

/// Reads a list, and gives each entry to `take` in the order of the file. A word without a kind before it is a name of the kind `of`; without one,
/// a network, an AS number or a country.
///
/// # Errors
/// Everything that is wrong with it; what was taken until then is to be thrown away.
pub fn read(format: Format, of: Option<NameKind>, bytes: &[u8], mut take: impl FnMut(Entry<'_>)) -> Result<(), Faults> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return Err(not_utf8(bytes, error.valid_up_to())),
    };
    let mut faults = Faults::default();
    let lines = text.lines().enumerate().map(|(index, text)| Line { number: index + 1, text });
    match format {
        Format::Text | Format::Drop => {
            for line in lines {
                text::read(of, line, &mut take, &mut faults);
            }
        }
        Format::Rbldnsd => zone::read(of, lines, &mut take, &mut faults),
    }
    if faults.told.is_empty() { Ok(()) } else { Err(faults) }
}

/// A last line without an end, as a file has that is cut off while it is written: `128.0.0.0/1` may have been meant to be `128.0.0.0/16`. For
/// files that others write; what a person gives on a terminal may end as it likes.
///
/// # Errors
/// Where it is.
pub fn is_whole(bytes: &[u8]) -> Result<(), Faults> {
    let last = bytes.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    if last.trim_ascii().is_empty() {
        return Ok(());
    }
    let line = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
    let problem = "the last line has no end, so the file may be cut off; right is a line break behind it".to_owned();
    Err(Faults { told: vec![Fault { line, column: String::from_utf8_lossy(last).chars().count() + 1, problem }], more: 0 })
}

fn not_utf8(bytes: &[u8], valid: usize) -> Faults {
    let before = String::from_utf8_lossy(bytes.get(..valid).unwrap_or_default()).into_owned();
    let (line, rest) = (before.matches('\n').count() + 1, before.rsplit('\n').next().unwrap_or_default());
    let problem = "these octets are no UTF-8; save the file as UTF-8 or ASCII".to_owned();
    Faults { told: vec![Fault { line, column: rest.chars().count() + 1, problem }], more: 0 }
}

/// Reads one line of our own text.
///
/// # Errors
/// Everything that is wrong with it, or that there is no entry in it.
pub fn parse(line: &str) -> Result<Entry<'_>, String> {
    let mut entry = None;
    let mut faults = Faults::default();
    text::read(None, Line { number: 1, text: line }, &mut |read| entry = Some(owned(read)), &mut faults);
    match (entry, faults.told.as_slice()) {
        (Some(entry), []) => Ok(entry),
        (_, []) => Err("there is no entry in it".to_owned()),
        (_, faults) => Err(faults.iter().map(|fault| fault.problem.as_str()).collect::<Vec<_>>().join("; ")),
    }
}

fn owned(entry: Entry<'_>) -> Entry<'static> {
    let Entry { subject, action, reason, until } = entry;
    Entry { subject, action, reason: Cow::Owned(reason.into_owned()), until }
}

/// An entry as a line of our own text, without its end.
#[must_use]
pub fn line(entry: &Entry<'_>) -> String {
    text::line(entry)
}

/// A reason as it is kept: without control characters, and no longer than [`REASON_BYTES_MAX`].
#[must_use]
pub fn reason(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    let text = text.get(..text.floor_char_boundary(REASON_BYTES_MAX)).unwrap_or_default();
    if text.chars().any(char::is_control) {
        Cow::Owned(text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// A reason as it is told about an address.
#[must_use]
pub fn told(reason: &str, about: impl fmt::Display) -> String {
    if reason.contains(HERE) { replaced(reason, HERE.encode_utf8(&mut [0; 4]), &about.to_string()) } else { reason.to_owned() }
}

/// Adds as much of a text as a reason has room for.
fn push(text: &mut String, more: &str) {
    let room = REASON_BYTES_MAX.saturating_sub(text.len());
    text.push_str(more.get(..more.floor_char_boundary(room)).unwrap_or_default());
}

/// As `str::replace`, up to the length of a reason.
fn replaced(text: &str, what: &str, with: &str) -> String {
    let mut whole = String::with_capacity(text.len());
    for (index, piece) in text.split(what).enumerate() {
        if index > 0 {
            push(&mut whole, with);
        }
        push(&mut whole, piece);
        if whole.len() >= REASON_BYTES_MAX {
            break;
        }
    }
    whole
}

/// Which addresses or names a zone is for; each has its own file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `ip4set` and `ip4trie`.
    V4,
    /// `ip6trie`.
    V6,
    /// `dnset`, with the names of this kind.
    Names(NameKind),
}

/// What was written, and what could not be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The list.
    pub text: String,
    /// Entries in it.
    pub entries: usize,
    /// Entries that have no place in this format, ended ones among them.
    pub left_out: usize,
    /// Of these, the first [`HOLED_MAX`] networks that are blocked but for something within them, where the format cannot say so.
    pub holed: Vec<Network>,
}

/// Networks that are named because they could not be written.
pub const HOLED_MAX: usize = 20;

/// Networks that a list does not block, although a wider entry does.
#[derive(Default)]
struct Exceptions(BTreeSet<(bool, u128, u8)>);

impl Exceptions {
    fn ends(network: Network) -> ((bool, u128, u8), (bool, u128, u8)) {
        match network {
            Network::V4(start, length) => {
                let last = start | u32::MAX.checked_shr(length.into()).unwrap_or(0);
                ((false, start.into(), length), (false, last.into(), u8::MAX))
            }
            Network::V6(start, length) => {
                ((true, start, length), (true, start | u128::MAX.checked_shr(length.into()).unwrap_or(0), u8::MAX))
            }
        }
    }

    /// True when one of them is this network or within it. Of two networks that meet, one is within the other.
    fn within(&self, network: Network) -> bool {
        let (first, last) = Self::ends(network);
        self.0.range(first..=last).next().is_some()
    }
}

/// Writes entries. Ended ones are left out. DROP holds what is blocked and nothing else, and since it knows no exceptions, nothing that has some
/// within it: whoever uses it would turn away whom we let in. A zone holds what is blocked or has points against it, without ends, and the rest
/// as exceptions.
#[must_use]
pub fn write<'a>(format: Format, family: Family, entries: impl Iterator<Item = Entry<'a>> + Clone, now: UnixMillis) -> Written {
    let mut written = Written::default();
    if format == Format::Rbldnsd {
        written.text.push_str(zone::head(family));
    }
    let ended = |entry: &Entry<'_>| entry.until.is_some_and(|until| until <= now);
    let mut exceptions = Exceptions::default();
    if format == Format::Drop {
        for entry in entries.clone().filter(|entry| !ended(entry) && !matches!(entry.action, None | Some(Action::Block))) {
            if let Subject::Network(network) = entry.subject {
                exceptions.0.insert(Exceptions::ends(network).0);
            }
        }
    }
    for entry in entries {
        let holed = match entry.subject {
            Subject::Network(network) if !ended(&entry) && matches!(entry.action, None | Some(Action::Block)) => {
                Some(network).filter(|network| exceptions.within(*network))
            }
            _ => None,
        };
        if written.holed.len() < HOLED_MAX {
            written.holed.extend(holed);
        }
        let line = match format {
            _ if ended(&entry) || holed.is_some() => None,
            Format::Text => Some(text::line(&entry)),
            Format::Drop => text::drop_line(&entry),
            Format::Rbldnsd => zone::line(family, &entry),
        };
        match line {
            Some(line) => {
                written.text.push_str(&line);
                written.text.push('\n');
                written.entries += 1;
            }
            None => written.left_out += 1,
        }
    }
    written
}

/// A word that is no subject, in words.
fn no_subject(of: Option<NameKind>, word: &str, why: &str) -> String {
    let right = match of {
        None => "192.0.2.7, 192.0.2.0/24, 2001:db8::/32, AS64500, DE, or a name with its kind, such as sender:@bad.example",
        Some(NameKind::Sender | NameKind::From | NameKind::Recipient) => "a@bad.example, @bad.example or .bad.example",
        Some(NameKind::Link) => "bad.example, .bad.example or bad.example/path",
        Some(_) => "bad.example or .bad.example",
    };
    format!("{} is no entry: {why}; right are {right}", Quoted::text(word))
}

#[cfg(test)]
mod tests;
