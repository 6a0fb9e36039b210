//! Networks, AS numbers, countries and names with what is to be done about each, as a set that is asked for every connection and every message.
//!
//! Promise: of all networks an address is in, the most particular that has not ended decides; of equal ones, allow before exempt before block
//! before points, and of points the most.
//! A question costs two short searches whatever the set holds, and a million networks with their reasons fit into 64 MiB.
//!
//! ```text
//! starts     the networks' first addresses, sorted; a shorter prefix before a longer one with the same start
//! rest       of each, side by side in 16 octets: the length of its prefix, what is to be done, until when, the place of its reason; and its parent,
//!            the smallest network around it, so that whoever is not in the nearest is looked for further out
//! reasons    each once, however many networks share it; looked at only when somebody wants to read it
//! samples    every sixteenth start, small enough to stay in a cache
//! ```

mod names;

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::envelope::UnixMillis;
use crate::verdict::Points;

pub use names::{AskedName, FORMS_MAX, NAME_BYTES_MAX, Name, NameKind};
use names::{NameRow, NameRows, NameTable};

/// Octets of a reason; the rest is cut.
pub const REASON_BYTES_MAX: usize = 255;
/// Stands in a reason for the address that is asked about. Reasons that are read hold no control characters, so nobody can forge it.
pub const HERE: char = '\u{1}';
/// Different reasons that are compared with new ones. Beyond it every reason is a new one, and keeping more would save little.
const INTERNED_MAX: usize = 65_536;
/// Of different points for one network: the most, the next that last longer, and those that last longest.
const SCORES_MAX: usize = 4;
/// No parent; no end.
const NONE: u32 = u32::MAX;
/// Starts for each sample: of IPv4 they are one line of the cache.
const STRIDE: usize = 16;

/// A network: an address without the bits behind its prefix. A mapped IPv6 network is the IPv4 network it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Network {
    /// Start and length of the prefix, at most 32.
    V4(u32, u8),
    /// Start and length of the prefix, at most 128.
    V6(u128, u8),
}

impl Network {
    /// A single address.
    #[must_use]
    pub fn host(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.into(), 32),
            IpAddr::V6(v6) => Self::V6(v6.into(), 128),
        }
    }

    /// A prefix.
    ///
    /// # Errors
    /// In words: too long, or bits behind it, and then what would be right.
    pub fn new(address: IpAddr, length: u8) -> Result<Self, String> {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        if length > longest {
            return Err(format!("the prefix of {address} has at most {longest} bits, not {length}"));
        }
        let network = match address {
            IpAddr::V4(v4) => Self::V4(u32::from(v4) & u32::mask(length), length),
            IpAddr::V6(v6) => Self::V6(u128::from(v6) & u128::mask(length), length),
        };
        // Somebody who writes 10.1.2.3/8 may have meant either of two very different things.
        if network.address() != address {
            return Err(format!("there are bits behind the prefix; the network is {network}, the address alone {address}"));
        }
        Ok(match network {
            Self::V6(start, length) if length >= 96 && start >> 32 == 0xffff => {
                Self::V4(u32::try_from(start & u128::from(u32::MAX)).unwrap_or(0), length - 96)
            }
            other => other,
        })
    }

    /// Reads an address, or an address, a slash and the length of the prefix.
    ///
    /// # Errors
    /// In words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address.parse().map_err(|_| "it is no IP address".to_owned())?;
        match length {
            None => Ok(Self::host(address)),
            Some(length) => {
                let digits = Some(length).filter(|length| length.bytes().all(|byte| byte.is_ascii_digit()));
                let number = digits.and_then(|digits| digits.parse().ok());
                let number = number.ok_or_else(|| "behind the slash stands the length of the prefix, in bits".to_owned())?;
                Self::new(address, number)
            }
        }
    }

    /// Its first address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        match self {
            Self::V4(start, _) => Ipv4Addr::from(*start).into(),
            Self::V6(start, _) => Ipv6Addr::from(*start).into(),
        }
    }

    /// Bits of its prefix.
    #[must_use]
    pub const fn length(&self) -> u8 {
        match self {
            Self::V4(_, length) | Self::V6(_, length) => *length,
        }
    }

    /// True when it holds this address. A mapped IPv6 address counts as the IPv4 address it is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self, Self::host(address)) {
            (Self::V4(start, length), Self::V4(at, _)) => at.and(u32::mask(*length)) == *start,
            (Self::V6(start, length), Self::V6(at, _)) => at.and(u128::mask(*length)) == *start,
            _ => false,
        }
    }

    /// True for one address alone.
    #[must_use]
    pub const fn is_host(&self) -> bool {
        matches!(self, Self::V4(_, 32) | Self::V6(_, 128))
    }

    /// The networks that a range of IPv4 addresses is made of, as few as there can be: at most 62.
    #[must_use]
    pub fn of_range(first: Ipv4Addr, last: Ipv4Addr) -> Vec<Self> {
        let (mut at, end) = (u64::from(u32::from(first)), u64::from(u32::from(last)));
        let mut networks = Vec::new();
        while at <= end {
            let aligned = if at == 0 { 32 } else { at.trailing_zeros().min(32) };
            let fits = 63 - (end - at + 1).leading_zeros();
            let bits = aligned.min(fits);
            networks.push(Self::V4(u32::try_from(at).unwrap_or(u32::MAX), u8::try_from(32 - bits).unwrap_or(32)));
            at += 1 << bits;
        }
        networks
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_host() { self.address().fmt(f) } else { write!(f, "{}/{}", self.address(), self.length()) }
    }
}

/// A country by the two letters of ISO 3166-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Country([u8; 2]);

impl Country {
    /// Reads two letters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Some(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => None,
        }
    }

    /// Its two letters.
    #[must_use]
    pub const fn letters(self) -> [u8; 2] {
        self.0
    }

    fn key(self) -> u32 {
        u32::from(u16::from_be_bytes(self.0))
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|letter| write!(f, "{}", char::from(*letter)))
    }
}

/// What an entry is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// Addresses.
    Network(Network),
    /// Whose network it is (RFC 6793).
    Asn(u32),
    /// Where it is.
    Country(Country),
    /// A name.
    Name(Name),
}

impl Subject {
    /// Reads an address, a network, `AS64500`, `DE`, or a name with its kind: `sender:@bad.example`.
    ///
    /// # Errors
    /// In words.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::parse_of(None, text)
    }

    /// The same, where a word without a kind is a name of this one.
    ///
    /// # Errors
    /// In words.
    pub fn parse_of(kind: Option<NameKind>, text: &str) -> Result<Self, String> {
        let named = text.split_once(':').and_then(|(kind, name)| Some((NameKind::parse(kind)?, name)));
        if let Some((kind, name)) = named.or(kind.map(|kind| (kind, text))) {
            return Name::parse(kind, name).map(Self::Name);
        }
        if let Some(country) = Country::parse(text) {
            return Ok(Self::Country(country));
        }
        let digits = text.strip_prefix("AS").or_else(|| text.strip_prefix("as"));
        if let Some(digits) = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit())) {
            return digits.parse().map(Self::Asn).map_err(|_| "an AS number is 0 to 4294967295".to_owned());
        }
        Network::parse(text).map(Self::Network)
    }

    /// How particular it is; larger is more. Any network is more particular than an AS, and an AS more than a country; of names an address is
    /// more particular than a domain, and a longer domain more than a shorter one.
    #[must_use]
    pub fn closeness(&self) -> u16 {
        match self {
            Self::Country(_) => 0,
            Self::Asn(_) => 1,
            Self::Network(network) => 2 + u16::from(network.length()),
            Self::Name(name) => name.closeness(),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Asn(number) => write!(f, "AS{number}"),
            Self::Country(country) => country.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// What is done about whoever is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Tenths of a point towards a sum; fewer than none speak for it.
    Score(i16),
    /// Turned away.
    Block,
    /// Not in this list, although a wider entry of it says so. Other lists have their say.
    Exempt,
    /// Let in, whatever wider entries of any list say.
    Allow,
}

/// The most tenths of a point, as many as three digits and one behind the point say.
const TENTHS_MAX: i16 = 9_999;

impl Action {
    /// In two octets: the points, or a number that no points have.
    fn code(self) -> i16 {
        match self {
            Self::Score(tenths) => tenths.clamp(-TENTHS_MAX, TENTHS_MAX),
            Self::Block => 20_000,
            Self::Exempt => 20_001,
            Self::Allow => 20_002,
        }
    }

    const fn of_code(code: i16) -> Self {
        match code {
            20_000 => Self::Block,
            20_001 => Self::Exempt,
            20_002 => Self::Allow,
            tenths => Self::Score(tenths),
        }
    }

    const fn strength(self) -> u8 {
        match self {
            Self::Score(_) => 0,
            Self::Block => 1,
            Self::Exempt => 2,
            Self::Allow => 3,
        }
    }

    /// Reads `allow`, `block`, `exempt`, or points such as `4.5`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "allow" => Some(Self::Allow),
            "block" => Some(Self::Block),
            "exempt" => Some(Self::Exempt),
            _ => tenths(text).map(Self::Score),
        }
    }
}

/// Points as tenths: `4`, `4.5`, `-2.0`, up to three digits before the point.
fn tenths(text: &str) -> Option<i16> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let fits = (1..=3).contains(&whole.len()) && part.len() == 1;
    if !fits || !whole.bytes().chain(part.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let tenths = whole.parse::<i16>().ok()? * 10 + part.parse::<i16>().ok()?;
    Some(if negative { -tenths } else { tenths })
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Score(tenths) => Points(*tenths).fmt(f),
            Self::Block => f.write_str("block"),
            Self::Exempt => f.write_str("exempt"),
            Self::Allow => f.write_str("allow"),
        }
    }
}

/// What a set says.
#[derive(Clone)]
pub struct Found<'a> {
    /// The entry it was found by.
    pub subject: Subject,
    /// What is to be done.
    pub action: Action,
    /// Until when.
    pub until: Option<UnixMillis>,
    set: &'a NetSet,
    reason: u32,
}

impl<'a> Found<'a> {
    /// Why; [`HERE`] stands in it for the address.
    #[must_use]
    pub fn reason(&self) -> &'a str {
        self.set.reasons.get(self.reason)
    }
}

/// What a list says of a client, as a fact for the rules: with a name, and on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Which list.
    pub list: Arc<str>,
    /// The entry it was found by.
    pub subject: Subject,
    /// What is to be done.
    pub action: Action,
    /// Why, for this client.
    pub reason: Box<str>,
    /// Until when.
    pub until: Option<UnixMillis>,
    /// The list is only observed.
    pub observed: bool,
    /// The name of the message that it was found for, in words; empty where it is the client itself.
    pub about: Box<str>,
}

/// An address as a number.
trait Key: Copy + Ord {
    fn mask(length: u8) -> Self;
    fn and(self, other: Self) -> Self;
}

impl Key for u32 {
    fn mask(length: u8) -> Self {
        Self::MAX.checked_shl(Self::BITS - u32::from(length)).unwrap_or(0)
    }

    fn and(self, other: Self) -> Self {
        self & other
    }
}

impl Key for u128 {
    fn mask(length: u8) -> Self {
        Self::MAX.checked_shl(Self::BITS - u32::from(length)).unwrap_or(0)
    }

    fn and(self, other: Self) -> Self {
        self & other
    }
}

/// An entry on its way into a table.
#[derive(Clone, Copy)]
struct Row<K> {
    start: K,
    length: u8,
    action: Action,
    until: u32,
    reason: u32,
}

/// What there is of a network beside its start.
#[derive(Clone, Copy, Debug)]
struct Rest {
    parent: u32,
    reason: u32,
    /// Seconds since 1970.
    until: u32,
    action: i16,
    length: u8,
}

/// Networks of one family; numbers of other kinds are networks of one.
#[derive(Debug)]
struct Table<K> {
    starts: Vec<K>,
    rest: Vec<Rest>,
    samples: Vec<K>,
}

impl<K: Key> Table<K> {
    fn new(mut rows: Vec<Row<K>>) -> Self {
        let points = |row: &Row<K>| if let Action::Score(tenths) = row.action { tenths } else { 0 };
        let weight = |row: &Row<K>| (row.action.strength(), points(row), row.until, row.reason);
        rows.sort_unstable_by(|a, b| (a.start, a.length).cmp(&(b.start, b.length)).then_with(|| weight(a).cmp(&weight(b))));
        // Of entries that say the same of the same network the one that lasts longest is kept, which is the last. Fewer points are kept beside
        // more where they last longer. So there are at most three and [`SCORES_MAX`] of one network, and a chain of parents is no longer than
        // so many times its bits.
        rows.reverse();
        let mut scores = 1;
        rows.dedup_by(|weaker, kept| {
            if (weaker.start, weaker.length) != (kept.start, kept.length) || weight(weaker).0 != weight(kept).0 {
                scores = 1;
                return false;
            }
            if !matches!(weaker.action, Action::Score(_)) || weaker.until <= kept.until {
                return true;
            }
            if scores < SCORES_MAX {
                scores += 1;
                return false;
            }
            *kept = *weaker;
            true
        });
        rows.reverse();
        let mut table = Self {
            starts: Vec::with_capacity(rows.len()),
            rest: Vec::with_capacity(rows.len()),
            samples: Vec::with_capacity(rows.len() / STRIDE + 1),
        };
        let mut around: Vec<(u32, K, u8)> = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            while around.last().is_some_and(|(_, start, length)| row.start.and(K::mask(*length)) != *start) {
                around.pop();
            }
            if at % STRIDE == 0 {
                table.samples.push(row.start);
            }
            table.starts.push(row.start);
            let parent = around.last().map_or(NONE, |(parent, ..)| *parent);
            let Row { length, action, until, reason, .. } = *row;
            table.rest.push(Rest { parent, reason, until, action: action.code(), length });
            around.push((u32::try_from(at).unwrap_or(NONE), row.start, row.length));
        }
        table
    }

    fn len(&self) -> usize {
        self.starts.len()
    }

    /// The most particular entry around `key` that has not ended, and its start.
    fn find(&self, key: K, now: UnixMillis) -> Option<(K, Rest)> {
        let block = self.samples.partition_point(|start| *start <= key).checked_sub(1)? * STRIDE;
        let end = (block + STRIDE).min(self.starts.len());
        let within = self.starts.get(block..end)?.partition_point(|start| *start <= key);
        // Prefixes never overlap but by one lying in the other: whatever is around the key is around the nearest start before it, or is it.
        let mut at = block + within.checked_sub(1)?;
        loop {
            let (start, rest) = (*self.starts.get(at)?, *self.rest.get(at)?);
            if key.and(K::mask(rest.length)) == start && (rest.until == NONE || u64::from(rest.until) * 1000 > now.0) {
                return Some((start, rest));
            }
            at = usize::try_from(Some(rest.parent).filter(|parent| *parent != NONE)?).ok()?;
        }
    }

    fn rows(&self) -> impl Iterator<Item = (K, Rest)> {
        self.starts.iter().copied().zip(self.rest.iter().copied())
    }

    fn bytes(&self) -> usize {
        (self.starts.capacity() + self.samples.capacity()) * size_of::<K>() + self.rest.capacity() * size_of::<Rest>()
    }
}

/// Texts, each by a number.
#[derive(Debug, Default)]
struct Reasons {
    places: Vec<(u32, u8)>,
    texts: String,
}

impl Reasons {
    fn get(&self, number: u32) -> &str {
        let place = usize::try_from(number).ok().and_then(|at| self.places.get(at).copied());
        let Some((offset, length)) = place else { return "" };
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        self.texts.get(start..start.saturating_add(usize::from(length))).unwrap_or_default()
    }

    fn push(&mut self, text: &str) -> u32 {
        // Four gigabytes of reasons are more than a configuration lets anybody load; beyond it entries have none.
        let (offset, text) = u32::try_from(self.texts.len()).map_or((0, ""), |offset| (offset, text));
        let number = u32::try_from(self.places.len()).unwrap_or(NONE);
        self.places.push((offset, u8::try_from(text.len()).unwrap_or(0)));
        self.texts.push_str(text);
        number
    }

    fn bytes(&self) -> usize {
        self.places.capacity() * size_of::<(u32, u8)>() + self.texts.capacity()
    }
}

/// Gathers entries for a set.
#[derive(Default)]
pub struct NetSetBuilder {
    v4: Vec<Row<u32>>,
    v6: Vec<Row<u128>>,
    asns: Vec<Row<u32>>,
    countries: Vec<Row<u32>>,
    names: NameRows,
    reasons: Reasons,
    interned: HashMap<u64, u32>,
    last: Option<u32>,
}

impl NetSetBuilder {
    /// With nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Entries so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len() + self.asns.len() + self.countries.len() + self.names.len()
    }

    /// True before the first.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One more.
    pub fn add(&mut self, subject: &Subject, action: Action, reason: &str, until: Option<UnixMillis>) {
        let reason = self.intern(reason);
        // Rounded up: an entry may last a moment longer, never shorter.
        let until = until.map_or(NONE, |until| u32::try_from(until.0.div_ceil(1000)).unwrap_or(NONE));
        let number = |start| Row { start, length: 32, action, until, reason };
        match subject {
            Subject::Network(Network::V4(start, length)) => self.v4.push(Row { length: *length, ..number(*start) }),
            Subject::Network(Network::V6(start, length)) => {
                self.v6.push(Row { start: *start, length: *length, action, until, reason });
            }
            Subject::Asn(asn) => self.asns.push(number(*asn)),
            Subject::Country(country) => self.countries.push(number(country.key())),
            Subject::Name(name) => self.names.add(name, action, until, reason),
        }
    }

    fn intern(&mut self, reason: &str) -> u32 {
        let reason = reason.get(..reason.floor_char_boundary(REASON_BYTES_MAX)).unwrap_or_default();
        if let Some(last) = self.last.filter(|last| self.reasons.get(*last) == reason) {
            return last;
        }
        let mut hasher = DefaultHasher::new();
        reason.hash(&mut hasher);
        let hash = hasher.finish();
        let known = self.interned.get(&hash).copied().filter(|known| self.reasons.get(*known) == reason);
        let number = known.unwrap_or_else(|| {
            let new = self.reasons.push(reason);
            if self.interned.len() < INTERNED_MAX {
                self.interned.insert(hash, new);
            }
            new
        });
        self.last = Some(number);
        number
    }

    /// The set.
    #[must_use]
    pub fn build(self) -> NetSet {
        let Self { v4, v6, asns, countries, names, mut reasons, interned, .. } = self;
        drop(interned);
        reasons.places.shrink_to_fit();
        reasons.texts.shrink_to_fit();
        let v4 = Table::new(v4);
        let v6 = Table::new(v6);
        NetSet { v4, v6, asns: Table::new(asns), countries: Table::new(countries), names: names.build(), reasons }
    }
}

/// The set. It never changes; a new one takes its place.
#[derive(Debug)]
pub struct NetSet {
    v4: Table<u32>,
    v6: Table<u128>,
    asns: Table<u32>,
    countries: Table<u32>,
    names: NameTable,
    reasons: Reasons,
}

impl Default for NetSet {
    fn default() -> Self {
        NetSetBuilder::new().build()
    }
}

impl NetSet {
    /// What is said of an address, by the most particular network around it that has not ended.
    #[must_use]
    pub fn find(&self, address: IpAddr, now: UnixMillis) -> Option<Found<'_>> {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let (start, rest) = self.v4.find(v4.into(), now)?;
                Some(self.found(Subject::Network(Network::V4(start, rest.length)), rest))
            }
            IpAddr::V6(v6) => {
                let (start, rest) = self.v6.find(v6.into(), now)?;
                Some(self.found(Subject::Network(Network::V6(start, rest.length)), rest))
            }
        }
    }

    /// What is said of an AS.
    #[must_use]
    pub fn find_asn(&self, asn: u32, now: UnixMillis) -> Option<Found<'_>> {
        Some(self.found(Subject::Asn(asn), self.asns.find(asn, now)?.1))
    }

    /// What is said of a country.
    #[must_use]
    pub fn find_country(&self, country: Country, now: UnixMillis) -> Option<Found<'_>> {
        Some(self.found(Subject::Country(country), self.countries.find(country.key(), now)?.1))
    }

    /// What is said of a name, by the most particular entry for it that has not ended.
    #[must_use]
    pub fn find_name(&self, asked: &AskedName, now: UnixMillis) -> Option<Found<'_>> {
        let (name, row) = asked.forms().find_map(|(kind, form)| self.names.find(kind, form, now))?;
        Some(self.found_name(name, row))
    }

    fn found(&self, subject: Subject, rest: Rest) -> Found<'_> {
        self.found_by(subject, rest.action, rest.until, rest.reason)
    }

    fn found_name(&self, name: Name, row: NameRow) -> Found<'_> {
        self.found_by(Subject::Name(name), row.action, row.until, row.reason)
    }

    fn found_by(&self, subject: Subject, action: i16, until: u32, reason: u32) -> Found<'_> {
        let until = (until != NONE).then(|| UnixMillis(u64::from(until) * 1000));
        Found { subject, action: Action::of_code(action), until, set: self, reason }
    }

    /// All entries, also ended ones: networks first, sorted, and names last.
    pub fn iter(&self) -> impl Iterator<Item = Found<'_>> {
        let v4 = self.v4.rows().map(|(start, rest)| (Subject::Network(Network::V4(start, rest.length)), rest));
        let v6 = self.v6.rows().map(|(start, rest)| (Subject::Network(Network::V6(start, rest.length)), rest));
        let asns = self.asns.rows().map(|(asn, rest)| (Subject::Asn(asn), rest));
        let countries = self.countries.rows().map(|(key, rest)| {
            let [_, _, a, b] = key.to_be_bytes();
            (Subject::Country(Country([a, b])), rest)
        });
        let names = self.names.rows().map(|(name, row)| self.found_name(name, row));
        v4.chain(v6).chain(asns).chain(countries).map(|(subject, rest)| self.found(subject, rest)).chain(names)
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len() + self.asns.len() + self.countries.len() + self.names.len()
    }

    /// True when nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True when a name is in it.
    #[must_use]
    pub fn has_names(&self) -> bool {
        self.names.len() > 0
    }

    /// True when an AS number is in it.
    #[must_use]
    pub fn has_asns(&self) -> bool {
        self.asns.len() > 0
    }

    /// True when a country is in it.
    #[must_use]
    pub fn has_countries(&self) -> bool {
        self.countries.len() > 0
    }

    /// Octets of memory it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.v4.bytes() + self.v6.bytes() + self.asns.bytes() + self.countries.bytes() + self.names.bytes() + self.reasons.bytes()
    }
}

#[cfg(test)]
mod tests;
