//! Lists of addresses and names that are asked by DNS (RFC 5782): what is asked about, what an answer is worth, and what was answered.
//!
//! Promise: an answer is worth something only by the codes or bits that the operator wrote down; whatever else a list may say, it is worth nothing.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::domain::Domain;
use crate::link::unclickable;
use crate::verdict::Mode;

/// Codes of one answer that are looked at.
pub const CODES_MAX: usize = 16;
/// Octets of a list's reason that are kept.
pub const REASON_BYTES_MAX: usize = 200;

/// What of a message a list is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DnsTarget {
    /// The client's address.
    Client,
    /// What it calls itself.
    Helo,
    /// What its address is called.
    Ptr,
    /// The domain of the envelope's sender.
    MailFrom,
    /// The domains of From and Reply-To.
    HeaderFrom,
    /// Where links lead.
    Link,
    /// Addresses of mail in it: those who write, answers go to, and its text names. Asked about by their hashes.
    Address,
    /// Whole links, asked about by their hashes.
    Url,
}

impl DnsTarget {
    /// Those that a list of addresses or names may be asked about.
    pub const ALL: [Self; 8] =
        [Self::Client, Self::Helo, Self::Ptr, Self::MailFrom, Self::HeaderFrom, Self::Link, Self::Address, Self::Url];

    /// As in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Helo => "helo",
            Self::Ptr => "ptr",
            Self::MailFrom => "mail_from",
            Self::HeaderFrom => "header_from",
            Self::Link => "link",
            Self::Address => "address",
            Self::Url => "url",
        }
    }

    /// True for what a program would make clickable, were it printed as it is.
    #[must_use]
    pub const fn is_clickable(self) -> bool {
        matches!(self, Self::Link | Self::Address | Self::Url)
    }

    /// By its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.as_str() == name)
    }
}

impl fmt::Display for DnsTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Codes from one to another, and what they are worth in tenths of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeRange {
    /// The first.
    pub first: Ipv4Addr,
    /// The last; the same for a single one.
    pub last: Ipv4Addr,
    /// Tenths of a point; negative ones speak for whoever is listed.
    pub tenths: i16,
}

/// A bit of the last octet, and what it is worth in tenths of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bit {
    /// 1, 2, 4 and so on to 128.
    pub mask: u8,
    /// Tenths of a point.
    pub tenths: i16,
}

/// What a list's codes are worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scoring {
    /// By the whole code.
    Codes(Vec<CodeRange>),
    /// By the bits of its last octet, where the others are 127.0.0.
    Bits(Vec<Bit>),
}

impl Scoring {
    /// Tenths of a point for these codes together: the sum of all entries that one of them meets, each counted once. `None`: no code means anything.
    #[must_use]
    pub fn tenths(&self, codes: &[Ipv4Addr]) -> Option<i16> {
        let sum = |met: &mut dyn Iterator<Item = i16>| {
            met.fold(None, |sum: Option<i16>, one| Some(sum.unwrap_or(0).saturating_add(one)))
        };
        match self {
            Self::Codes(ranges) => {
                let meets = |range: &&CodeRange| codes.iter().any(|code| (range.first..=range.last).contains(code));
                sum(&mut ranges.iter().filter(meets).map(|range| range.tenths))
            }
            Self::Bits(bits) => {
                let has = |bit: &Bit| codes.iter().any(|code| matches!(code.octets(), [127, 0, 0, last] if last & bit.mask != 0));
                sum(&mut bits.iter().filter(|bit| has(bit)).map(|bit| bit.tenths))
            }
        }
    }

    /// True when it may speak for somebody.
    #[must_use]
    pub fn has_negative(&self) -> bool {
        match self {
            Self::Codes(ranges) => ranges.iter().any(|range| range.tenths < 0),
            Self::Bits(bits) => bits.iter().any(|bit| bit.tenths < 0),
        }
    }
}

/// Which name of a link a list is asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkNames {
    /// The domain that somebody registered.
    #[default]
    Registered,
    /// The host as it stands in the link.
    Host,
    /// Each.
    Both,
}

impl LinkNames {
    /// As in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Host => "host",
            Self::Both => "both",
        }
    }
}

/// How a hash is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashKind {
    /// SHA-1, as most lists of this kind have it. It guards nothing: it only gives long names a fixed length.
    #[default]
    Sha1,
    /// SHA-256.
    Sha256,
}

impl HashKind {
    /// As in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }
}

/// How a hash is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashForm {
    /// RFC 4648 §8, in small letters.
    #[default]
    Hex,
    /// RFC 4648 §6, without padding.
    Base32,
}

impl HashForm {
    /// As in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hex => "hex",
            Self::Base32 => "base32",
        }
    }
}

/// How a list is asked about what stands in messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsAsking {
    /// About which name of a link.
    pub names: LinkNames,
    /// Also about addresses that links lead to.
    pub has_addresses: bool,
    /// How hashes are made.
    pub hash: HashKind,
    /// How they are written.
    pub form: HashForm,
    /// What stands before key and zone.
    pub prefix: Option<String>,
}

/// A list as the rules know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsListRule {
    /// Its zone, without a key.
    pub zone: Domain,
    /// What it is asked about.
    pub target: DnsTarget,
    /// What its codes are worth.
    pub scoring: Scoring,
    /// Whether that counts.
    pub mode: Mode,
}

/// Something is in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsListed {
    /// The list's zone, without a key.
    pub zone: Arc<str>,
    /// What it was asked about.
    pub target: DnsTarget,
    /// The address or the name itself.
    pub asked: Arc<str>,
    /// What it answered.
    pub codes: Vec<Ipv4Addr>,
    /// Its reason, as it came; empty when it gave none in time.
    pub text: Arc<str>,
}

impl DnsListed {
    /// What is listed, in a form that nobody can click where it stood in a message.
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        if self.target.is_clickable() { Cow::Owned(unclickable(&self.asked)) } else { Cow::Borrowed(&self.asked) }
    }

    /// The list's reason, in which what is listed cannot be clicked either, but where it is part of the list's own address.
    #[must_use]
    pub fn reason(&self) -> Cow<'_, str> {
        if !self.target.is_clickable() || self.asked.is_empty() {
            return Cow::Borrowed(&self.text);
        }
        let (mut out, mut rest) = (String::new(), &*self.text);
        while let Some((before, after)) = rest.split_once(&*self.asked) {
            out.push_str(before);
            let is_own = before.ends_with(['/', '=', '?', '&', '#']) && !before.ends_with("//");
            out.push_str(&if is_own { self.asked.to_string() } else { unclickable(&self.asked) });
            rest = after;
        }
        Cow::Owned(out + rest)
    }

    /// The list that says it, and what it is worth there. `None`: these rules have no such list, or see nothing in the codes.
    #[must_use]
    pub fn worth<'a>(&self, rules: &'a [DnsListRule]) -> Option<(&'a DnsListRule, i16)> {
        let rule = rules.iter().find(|rule| rule.target == self.target && rule.zone.as_str() == &*self.zone)?;
        Some((rule, rule.scoring.tenths(&self.codes)?))
    }
}

/// Why a list said nothing that could be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DnsMute {
    /// It is not asked for now, since it was seen to be broken.
    Parked,
    /// No answer came in time.
    Silent,
    /// The name server could not find out.
    Failed,
    /// It answered that it does not answer us, or something no list may answer.
    Unusable,
}

impl DnsMute {
    /// All of them; the place of each is its number in records.
    pub const ALL: [Self; 4] = [Self::Parked, Self::Silent, Self::Failed, Self::Unusable];

    /// In words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Parked => "is not asked for now, since it was seen to be broken",
            Self::Silent => "did not answer in time",
            Self::Failed => "could not be asked",
            Self::Unusable => "gave an answer that no list may give",
        }
    }
}

/// A list that said nothing of use. It is held against nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsUnheard {
    /// Its zone, without a key.
    pub zone: Arc<str>,
    /// What it was asked about.
    pub target: DnsTarget,
    /// Why.
    pub why: DnsMute,
}

/// What all lists together said. Lists that have nothing to say are not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsSaid {
    /// What is listed.
    pub listed: Vec<DnsListed>,
    /// What could not be found out.
    pub unheard: Vec<DnsUnheard>,
}

impl DnsSaid {
    /// Nothing, as a place that lives long enough.
    pub const NOTHING: &'static Self = &Self { listed: Vec::new(), unheard: Vec::new() };

    /// True when no list said anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.unheard.is_empty()
    }

    /// With what others said.
    pub fn append(&mut self, mut other: Self) {
        self.listed.append(&mut other.listed);
        self.unheard.append(&mut other.unheard);
    }
}

/// The name that a list of names can be asked about. `None` for a single word and for what only looks like a name: lists of names answer
/// questions about addresses with errors.
#[must_use]
pub fn askable_name(text: &str) -> Option<Domain> {
    let (_, last) = text.rsplit_once('.')?;
    if last.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    Domain::parse(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    #[test]
    fn only_codes_that_are_written_down_are_worth_anything() {
        let range = |first: &str, last: &str, tenths| CodeRange { first: ip(first), last: ip(last), tenths };
        let scoring = Scoring::Codes(vec![range("127.0.0.2", "127.0.0.2", 100), range("127.0.0.10", "127.0.0.11", 40)]);
        for (codes, expected) in [
            (vec![], None),
            (vec!["127.0.0.3"], None),
            (vec!["127.0.0.2"], Some(100)),
            (vec!["127.0.0.10", "127.0.0.11"], Some(40)),
            (vec!["127.0.0.2", "127.0.0.3", "127.0.0.11"], Some(140)),
            (vec!["127.0.0.12"], None),
            (vec!["127.255.255.254"], None),
            (vec!["10.0.0.2"], None),
        ] {
            let codes: Vec<Ipv4Addr> = codes.into_iter().map(ip).collect();
            assert_eq!(scoring.tenths(&codes), expected, "{codes:?}");
        }
    }

    #[test]
    fn bits_count_in_the_last_octet_only_and_each_once() {
        let bit = |mask, tenths| Bit { mask, tenths };
        let scoring = Scoring::Bits(vec![bit(8, 100), bit(16, 50), bit(128, -20)]);
        assert!(scoring.has_negative());
        for (codes, expected) in [
            (vec!["127.0.0.4"], None),
            (vec!["127.0.0.8"], Some(100)),
            (vec!["127.0.0.24", "127.0.0.8"], Some(150)),
            (vec!["127.0.0.136"], Some(80)),
            (vec!["127.0.8.0"], None),
            (vec!["127.0.1.8"], None),
            (vec!["192.0.2.8"], None),
        ] {
            let codes: Vec<Ipv4Addr> = codes.into_iter().map(ip).collect();
            assert_eq!(scoring.tenths(&codes), expected, "{codes:?}");
        }
    }

    #[test]
    fn a_list_of_names_is_asked_about_names_only() {
        for (text, expected) in [
            ("Mail.Example.", None),
            ("mail.example", Some("mail.example")),
            ("localhost", None),
            ("192.0.2.1", None),
            ("[192.0.2.1]", None),
            ("a..b", None),
            ("", None),
        ] {
            assert_eq!(askable_name(text).as_ref().map(Domain::as_str), expected, "{text}");
        }
    }

    #[test]
    fn what_is_listed_is_printed_so_that_nobody_can_click_it_but_within_the_list_s_own_address() {
        let listed = |target| DnsListed {
            zone: "uri.test".into(),
            target,
            asked: "bad.example".into(),
            codes: Vec::new(),
            text: "bad.example spams, http://bad.example/, see https://uri.test/?q=bad.example".into(),
        };
        let link = listed(DnsTarget::Link);
        assert_eq!(link.name(), "bad[.]example");
        assert_eq!(link.reason(), "bad[.]example spams, http://bad[.]example/, see https://uri.test/?q=bad.example");
        assert_eq!(listed(DnsTarget::Helo).name(), "bad.example");
    }
}
