//! Names in lists: what clients call themselves, who sends, who receives, and where links lead; and what a list is asked for each of them.
//!
//! Promise: a name of a message is asked for in at most [`FORMS_MAX`] forms, the most particular first, whatever its length; a question costs the
//! hash of the form and a look at one place of the table, whatever the table holds; a million names of twenty octets fit into 64 MiB.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::{Action, NONE};
use crate::address::Mailbox;
use crate::domain::{Domain, HeloName, Host};
use crate::envelope::UnixMillis;

/// Octets of a name in a list.
pub const NAME_BYTES_MAX: usize = 255;
/// Labels of a name that are looked at one by one, from its end.
const LABELS_MAX: usize = 16;
/// Directories of a link's path that are looked at one by one, from its beginning.
const PATHS_MAX: usize = 16;
/// Forms that are asked for: of each label at most five, and the paths.
pub const FORMS_MAX: usize = 5 * LABELS_MAX + PATHS_MAX + 8;
/// Entries of one name that are kept: the strongest, and weaker ones that last longer.
const ENTRIES_MAX: usize = 8;

/// What of a message an entry with a name is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NameKind {
    /// What the client calls itself.
    Helo,
    /// What its address is called.
    Ptr,
    /// MAIL FROM.
    Sender,
    /// The addresses of From.
    From,
    /// RCPT TO.
    Recipient,
    /// Where links lead.
    Link,
    /// A domain, wherever it stands: HELO, PTR, sender, From and links.
    Domain,
}

impl NameKind {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::Helo, Self::Ptr, Self::Sender, Self::From, Self::Recipient, Self::Link, Self::Domain];

    /// As it stands before a name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Helo => "helo",
            Self::Ptr => "ptr",
            Self::Sender => "sender",
            Self::From => "from",
            Self::Recipient => "recipient",
            Self::Link => "link",
            Self::Domain => "domain",
        }
    }

    /// By its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    const fn has_addresses(self) -> bool {
        matches!(self, Self::Sender | Self::From | Self::Recipient)
    }

    fn of_code(code: u8) -> Self {
        Self::ALL.get(usize::from(code)).copied().unwrap_or(Self::Domain)
    }
}

impl fmt::Display for NameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name in a list. It prints as `sender:@bad.example`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    kind: NameKind,
    text: Box<str>,
}

impl Name {
    /// Reads it: `bad.example` for that name alone, `.bad.example` for it and all below it, `*.bad.example` for all below it; among addresses
    /// `a@bad.example`, and `@bad.example` for all of that domain; among links `bad.example/path` for what lies at or below that path.
    ///
    /// # Errors
    /// In words.
    pub fn parse(kind: NameKind, text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let text = if let Some(below) = lower.strip_prefix("*.") {
            format!("*.{}", domain(below)?)
        } else if let Some(within) = lower.strip_prefix('.') {
            format!(".{}", domain(within)?)
        } else if kind.has_addresses() {
            address(&lower)?
        } else if kind == NameKind::Link {
            link(text)?
        } else if kind == NameKind::Helo && lower.starts_with('[') {
            Host::parse(&lower).map_err(|_| "it is no address literal".to_owned())?.to_string().to_ascii_lowercase()
        } else {
            domain(&lower)?
        };
        if text.len() > NAME_BYTES_MAX {
            return Err(format!("it has more than {NAME_BYTES_MAX} octets"));
        }
        Ok(Self { kind, text: text.into() })
    }

    /// What it is about.
    #[must_use]
    pub const fn kind(&self) -> NameKind {
        self.kind
    }

    /// Without its kind.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// As a zone of names has it; `None` for addresses and paths, which are no names.
    #[must_use]
    pub fn in_zone(&self) -> Option<&str> {
        let bare = self.text.strip_prefix('@').unwrap_or(&self.text);
        Some(bare).filter(|bare| !bare.contains(['@', '/', '[']))
    }

    /// How particular it is; larger is more: an address, then a path, then the longer name.
    #[must_use]
    pub(super) fn closeness(&self) -> u16 {
        let length = u16::try_from(self.text.len()).unwrap_or(u16::MAX);
        let labels = u16::try_from(self.text.trim_start_matches(['.', '*', '@']).split('.').count()).unwrap_or(u16::MAX);
        match self.text.find(['@', '/']) {
            Some(at) if at > 0 && self.kind.has_addresses() => 2000,
            Some(at) if at > 0 => 1000 + length,
            _ if self.text.starts_with(['.', '*']) => 2 * labels,
            _ => 2 * labels + 1,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.text)
    }
}

fn domain(text: &str) -> Result<String, String> {
    let domain = Domain::parse(text).map_err(|_| "it is no name of the DNS".to_owned())?;
    Ok(domain.as_str().to_owned())
}

fn address(lower: &str) -> Result<String, String> {
    match lower.rsplit_once('@') {
        None => Ok(format!("@{}", domain(lower)?)),
        Some(("", host)) => {
            let host = Host::parse(host).map_err(|_| "behind the @ stands a domain".to_owned())?;
            Ok(format!("@{host}").to_ascii_lowercase())
        }
        Some(_) => {
            let mailbox = Mailbox::parse(lower).map_err(|_| "it is no address".to_owned())?;
            Some(mailbox.to_string().to_ascii_lowercase())
                .filter(|text| !text.contains(char::is_whitespace))
                .ok_or_else(|| "an address with a space has no place in a list".to_owned())
        }
    }
}

fn link(text: &str) -> Result<String, String> {
    let rest = ["http://", "https://"].iter().find_map(|scheme| strip_prefix(text, scheme)).unwrap_or(text);
    let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    if host.contains(['@', ':', '?']) {
        return Err("right are a host, and a path behind it, without a user and without a port".to_owned());
    }
    let path = path.split('#').next().unwrap_or_default().trim_end_matches('/');
    if !path.bytes().all(|octet| octet.is_ascii_graphic()) {
        return Err("a path is written in ASCII, with everything else in %-form, as programs ask for it".to_owned());
    }
    Ok(format!("{}{path}", domain(host)?))
}

fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| text.get(prefix.len()..))?
}

/// A name of a message, in all forms that lists may have it in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedName {
    kind: NameKind,
    text: Box<str>,
    forms: Vec<(NameKind, Box<str>)>,
}

impl AskedName {
    fn new(kind: NameKind, text: impl Into<Box<str>>) -> Self {
        Self { kind, text: text.into(), forms: Vec::new() }
    }

    fn form(&mut self, kind: NameKind, text: impl Into<Box<str>>) {
        if self.forms.len() < FORMS_MAX {
            self.forms.push((kind, text.into()));
        }
    }

    /// The name, and all names around it. `alone`: what is asked for as it is beside the name itself.
    fn names(mut self, host: &str, alone: Option<&str>) -> Self {
        let (own, everywhere) = (self.kind, self.kind != NameKind::Recipient);
        let ends = std::iter::once(0).chain(host.match_indices('.').map(|(at, _)| at + 1));
        let names: Vec<&str> = ends.filter_map(|at| host.get(at..)).collect();
        let skipped = names.len().saturating_sub(LABELS_MAX);
        for (at, name) in names.iter().enumerate().filter(|(at, _)| *at == 0 || *at > skipped) {
            if at == 0 || alone == Some(*name) {
                let mark = if own.has_addresses() { "@" } else { "" };
                self.form(own, format!("{mark}{name}"));
                if everywhere {
                    self.form(NameKind::Domain, *name);
                }
            }
            for mark in [".", "*."].iter().take(if at == 0 { 1 } else { 2 }) {
                self.form(own, format!("{mark}{name}"));
                if everywhere {
                    self.form(NameKind::Domain, format!("{mark}{name}"));
                }
            }
        }
        self
    }

    /// What a client calls itself.
    #[must_use]
    pub fn helo(name: &HeloName) -> Self {
        let mut asked = Self::new(NameKind::Helo, name.as_str());
        match Host::parse(name.as_str()) {
            Ok(Host::Name(domain)) => asked.names(domain.as_str(), None),
            Ok(literal) => {
                asked.form(NameKind::Helo, literal.to_string().to_ascii_lowercase());
                asked
            }
            Err(_) => asked,
        }
    }

    /// What a client's address is called.
    #[must_use]
    pub fn ptr(name: &Domain) -> Self {
        Self::new(NameKind::Ptr, name.as_str()).names(name.as_str(), None)
    }

    /// A sender, an author or a recipient.
    #[must_use]
    pub fn address(kind: NameKind, mailbox: &Mailbox) -> Self {
        let mut asked = Self::new(kind, mailbox.to_string());
        asked.form(kind, asked.text.to_ascii_lowercase());
        match &mailbox.host {
            Host::Name(domain) => asked.names(domain.as_str(), None),
            literal @ Host::Literal(_) => {
                asked.form(kind, format!("@{literal}").to_ascii_lowercase());
                asked
            }
        }
    }

    /// Where a link leads: its host, which may be an address, the domain that somebody registered, and the link as a program asks for it.
    #[must_use]
    pub fn link(host: &str, registered: Option<&Domain>, url: &str) -> Self {
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        let rest = rest.split('#').next().unwrap_or_default();
        let path = rest.find(['/', '?']).and_then(|at| rest.get(at..)).unwrap_or_default();
        let mut asked = Self::new(NameKind::Link, host);
        if path.len() > 1 {
            let mut ends: Vec<usize> = path.match_indices(['/', '?']).map(|(at, _)| at).filter(|at| *at > 0).collect();
            ends.truncate(PATHS_MAX - 1);
            ends.push(path.len());
            for prefix in ends.iter().rev().filter_map(|end| path.get(..*end)) {
                let prefix = prefix.trim_end_matches('/');
                if !prefix.is_empty() {
                    asked.form(NameKind::Link, format!("{host}{prefix}"));
                }
            }
        }
        asked.names(host, registered.map(Domain::as_str))
    }

    /// `sender a@bad.example`.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{} {}", self.kind, self.text)
    }

    /// The name alone.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn forms(&self) -> impl Iterator<Item = (NameKind, &str)> {
        self.forms.iter().map(|(kind, text)| (*kind, &**text))
    }
}

/// What there is of a name beside its text.
#[derive(Clone, Copy, Debug)]
pub(super) struct NameRow {
    place: u32,
    pub(super) reason: u32,
    /// Seconds since 1970.
    pub(super) until: u32,
    pub(super) action: i16,
    length: u8,
    kind: u8,
}

fn hash(kind: u8, text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (kind, text).hash(&mut hasher);
    hasher.finish()
}

/// Names on their way into a table.
#[derive(Default)]
pub(super) struct NameRows {
    rows: Vec<(u64, NameRow)>,
    texts: String,
}

impl NameRows {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn add(&mut self, name: &Name, action: Action, until: u32, reason: u32) {
        let kind = NameKind::ALL.iter().position(|kind| *kind == name.kind).and_then(|at| u8::try_from(at).ok()).unwrap_or(0);
        // No file that is read is so long that its names had no place.
        let (Ok(place), Ok(length)) = (u32::try_from(self.texts.len()), u8::try_from(name.text.len())) else { return };
        self.texts.push_str(&name.text);
        let row = NameRow { place, reason, until, action: action.code(), length, kind };
        self.rows.push((hash(kind, &name.text), row));
    }

    pub(super) fn build(self) -> NameTable {
        let Self { mut rows, mut texts } = self;
        texts.shrink_to_fit();
        let text = |row: &NameRow| text(&texts, row);
        let weight = |row: &NameRow| (Action::of_code(row.action).strength(), row.action, row.until);
        rows.sort_unstable_by(|(a_hash, a), (b_hash, b)| {
            a_hash.cmp(b_hash).then_with(|| (b.kind, text(b)).cmp(&(a.kind, text(a)))).then_with(|| weight(b).cmp(&weight(a)))
        });
        // A weaker entry of a name has a say only where all stronger ones of it have ended before.
        let mut longest = 0;
        let mut kept_of_it = 0;
        rows.dedup_by(|(hash, weaker), (kept_hash, kept)| {
            if *hash != *kept_hash || weaker.kind != kept.kind || text(weaker) != text(kept) {
                (longest, kept_of_it) = (0, 0);
                return false;
            }
            longest = longest.max(kept.until);
            if weaker.until <= longest || kept_of_it + 1 >= ENTRIES_MAX {
                return true;
            }
            kept_of_it += 1;
            false
        });
        // Of uniform hashes the first bits say where they stand: a place for each eight, so that one look finds them.
        let bits = (rows.len() / 8 + 1).next_power_of_two().trailing_zeros();
        let mut starts = vec![0; (1 << bits) + 1];
        for (hash, _) in &rows {
            if let Some(count) = starts.get_mut(bucket(*hash, bits) + 1) {
                *count += 1;
            }
        }
        let mut sum: u32 = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let hashes = rows.iter().map(|(hash, _)| *hash).collect();
        NameTable { bits, starts, hashes, rows: rows.into_iter().map(|(_, row)| row).collect(), texts }
    }
}

fn bucket(hash: u64, bits: u32) -> usize {
    usize::try_from(hash.checked_shr(u64::BITS - bits).unwrap_or(0)).unwrap_or(0)
}

fn text<'a>(texts: &'a str, row: &NameRow) -> &'a str {
    let start = usize::try_from(row.place).unwrap_or(usize::MAX);
    texts.get(start..start.saturating_add(usize::from(row.length))).unwrap_or_default()
}

/// Names by their hashes. It never changes.
#[derive(Debug)]
pub(super) struct NameTable {
    bits: u32,
    /// Where the hashes with these first bits begin.
    starts: Vec<u32>,
    hashes: Vec<u64>,
    rows: Vec<NameRow>,
    texts: String,
}

impl NameTable {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn find(&self, kind: NameKind, wanted: &str, now: UnixMillis) -> Option<(Name, NameRow)> {
        let code = NameKind::ALL.iter().position(|other| *other == kind).and_then(|at| u8::try_from(at).ok())?;
        let hash = hash(code, wanted);
        let bucket = bucket(hash, self.bits);
        let place = |at: usize| self.starts.get(at).and_then(|start| usize::try_from(*start).ok());
        let (from, to) = (place(bucket)?, place(bucket + 1)?);
        let same = self.hashes.get(from..to)?.iter().zip(self.rows.get(from..to)?).filter(|(other, _)| **other == hash);
        let mut found = same.map(|(_, row)| row).filter(|row| row.kind == code && text(&self.texts, row) == wanted);
        let row = found.find(|row| row.until == NONE || u64::from(row.until) * 1000 > now.0)?;
        Some((Name { kind, text: wanted.into() }, *row))
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = (Name, NameRow)> {
        let name = |row: &NameRow| Name { kind: NameKind::of_code(row.kind), text: text(&self.texts, row).into() };
        self.rows.iter().map(move |row| (name(row), *row))
    }

    pub(super) fn bytes(&self) -> usize {
        self.starts.capacity() * size_of::<u32>()
            + self.hashes.capacity() * size_of::<u64>()
            + self.rows.capacity() * size_of::<NameRow>()
            + self.texts.capacity()
    }
}

#[cfg(test)]
mod tests;
