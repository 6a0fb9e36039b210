//! `[[policy.dnsbl]]`, `[[policy.uribl]]` and `[[policy.hashbl]]`: lists that are asked by DNS (RFC 5782). Promise: a list has a say only by codes or bits that are written
//! down here, and a list that nobody said more of has no effect and is only watched.

use std::net::Ipv4Addr;

use postern_mail::dns_list::{Bit, CodeRange, DnsAsking, DnsListRule, HashForm, HashKind, LinkNames, Scoring};
use postern_mail::{DnsTarget, Domain, Mode, Points, Quoted, Secret};
use toml::de::DeValue;

use crate::read::{Node, Report};
use crate::table::{Kind, section};
use crate::value::{Secrets, Value, choice, choice_value, path_word, print_table, quote, text_of};

choice_value!(DnsTarget, [DnsTarget::Client, DnsTarget::Helo, DnsTarget::Ptr, DnsTarget::MailFrom, DnsTarget::HeaderFrom]);

choice_value!(LinkNames, [LinkNames::Registered, LinkNames::Host, LinkNames::Both]);
choice_value!(HashKind, [HashKind::Sha1, HashKind::Sha256]);
choice_value!(HashForm, [HashForm::Hex, HashForm::Base32]);

choice! {
    /// What a list of hashes is of.
    pub enum Hashed {
        /// Addresses of mail.
        Addresses = "addresses",
        /// Whole links.
        Urls = "urls",
    }
}

/// Codes and their points: `{ "127.0.0.2" = 10.0, "127.0.0.10-127.0.0.11" = 4.0 }`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodePoints(pub Vec<CodeRange>);

/// Bits of the last octet and their points: `{ 8 = 10.0 }`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BitPoints(pub Vec<Bit>);

/// Where a list shows that it works.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TestPointSetting {
    /// RFC 5782 §5.
    #[default]
    Standard,
    /// A name of its own.
    Name(Domain),
    /// Nowhere.
    Nowhere,
}

section! {
    /// A list of addresses or names that is asked by DNS: one of `points` and `bits` says what its answers are worth. An answer of `127.255.255.*`,
    /// `127.0.0.1` or outside `127.0.0.0/8` is never a listing: a list that gives one is not asked for a while, and so is one that lists everybody or
    /// nobody, or answers too late again and again. Clients that log in, those of `server.trusted_networks` and those that a local list allows are not
    /// asked about.
    pub struct Dnsbl by zone {
        /// The list's zone.
        #[key(example = "\"bl.example.org\"", why = "which lists are trusted is yours to say")]
        pub zone: Domain;
        /// What stands before the zone in each question, for lists that know their customers by it.
        #[key(example = "\"abcdefgh\"", why = "most lists are asked without one")]
        pub key: Option<Secret> = None;
        /// What it is asked about: the client's address, or the name it gives itself, the names of its address, the domain of the envelope's sender,
        /// the domains of From and Reply-To.
        #[key(example = "\"mail_from\"", why = "what most lists are of")]
        pub target: DnsTarget = DnsTarget::Client;
        /// Whether it counts (`enforce`), is only written down and counted (`observe`), or is not asked (`off`).
        #[key(
            example = "\"enforce\"",
            why = "postern dnsbl status shows first how many good senders it would have refused"
        )]
        pub mode: Mode = Mode::Observe;
        /// Points for single codes and for ranges of them; negative ones speak for the client. What is not named is worth nothing.
        #[key(example = "{ \"127.0.0.2\" = 10.0, \"127.0.0.10-127.0.0.11\" = 4.0 }", why = "every list has codes of its own", shown = "none")]
        pub points: CodePoints = CodePoints::default();
        /// Points for bits of the last octet, for lists that are several in one.
        #[key(example = "{ 8 = 10.0, 64 = 4.0 }", why = "every list has bits of its own", shown = "none")]
        pub bits: BitPoints = BitPoints::default();
        /// What is asked to see whether the list works: `standard` (127.0.0.2, or the name `test`), a name that is in this list, or `none`.
        #[key(example = "\"dbltest.com\"", why = "RFC 5782 §5 asks it of every list")]
        pub test_point: TestPointSetting = TestPointSetting::Standard;
    }
}

section! {
    /// A list of domains that links are looked up in, asked by DNS. The keys are those of `[[policy.dnsbl]]`.
    pub struct Uribl by zone {
        /// The list's zone.
        #[key(example = "\"uri.example.org\"", why = "which lists are trusted is yours to say")]
        pub zone: Domain;
        /// What stands before the zone in each question, for lists that know their customers by it.
        #[key(example = "\"abcdefgh\"", why = "most lists are asked without one")]
        pub key: Option<Secret> = None;
        /// Whether it counts (`enforce`), is only written down and counted (`observe`), or is not asked (`off`).
        #[key(
            example = "\"enforce\"",
            why = "postern dnsbl status shows first how many good senders it would have refused"
        )]
        pub mode: Mode = Mode::Observe;
        /// What of a link's name it is asked about: the domain that was `registered` by the public suffix list, the `host` as it stands there, or `both`.
        /// Lists without entries for everything below a domain know the first only; lists of hosts that were broken into know the second.
        #[key(example = "\"both\"", why = "what lists of domains ask for, and one question for all hosts of a domain")]
        pub names: LinkNames = LinkNames::Registered;
        /// Whether it is also asked about addresses that links lead to, backwards. SURBL and others have some; the DBL forbids such questions.
        #[key(example = "true", why = "no question is put that a list may not be asked")]
        pub addresses: bool = false;
        /// Points for single codes and for ranges of them. What is not named is worth nothing.
        #[key(example = "{ \"127.0.1.2\" = 10.0 }", why = "every list has codes of its own", shown = "none")]
        pub points: CodePoints = CodePoints::default();
        /// Points for bits of the last octet, for lists that are several in one.
        #[key(example = "{ 8 = 10.0, 64 = 10.0 }", why = "every list has bits of its own", shown = "none")]
        pub bits: BitPoints = BitPoints::default();
        /// What is asked to see whether the list works: `standard` (the name `test`), a name that is in this list, or `none`.
        #[key(example = "\"dbltest.com\"", why = "RFC 5782 §5 asks it of every list")]
        pub test_point: TestPointSetting = TestPointSetting::Standard;
    }
}

section! {
    /// A list of hashes, asked by DNS: of addresses that a message comes from, is to be answered to or names, or of whole links. The keys are those of
    /// `[[policy.dnsbl]]`.
    pub struct Hashbl by zone {
        /// The list's zone.
        #[key(example = "\"ebl.example.org\"", why = "which lists are trusted is yours to say")]
        pub zone: Domain;
        /// What stands before the zone in each question, for lists that know their customers by it.
        #[key(example = "\"abcdefgh\"", why = "most lists are asked without one")]
        pub key: Option<Secret> = None;
        /// What stands before key and zone, for lists that are several in one.
        #[key(example = "\"_email\"", why = "most lists are of one kind of thing")]
        pub prefix: Option<String> = None;
        /// What it is of. Addresses are asked about in small letters, without what follows a plus sign, and those of Gmail without dots; links without
        /// their scheme and their fragment, with the host in small letters and without percent escapes.
        #[key(example = "\"urls\"", why = "what most such lists are of")]
        pub of: Hashed = Hashed::Addresses;
        /// How the hash is made.
        #[key(example = "\"sha256\"", why = "what lists of addresses ask for")]
        pub hash: HashKind = HashKind::Sha1;
        /// How it is written: `hex` or `base32`.
        #[key(example = "\"base32\"", why = "what lists of addresses ask for")]
        pub form: HashForm = HashForm::Hex;
        /// Whether it counts (`enforce`), is only written down and counted (`observe`), or is not asked (`off`).
        #[key(
            example = "\"enforce\"",
            why = "postern dnsbl status shows first how many good senders it would have refused"
        )]
        pub mode: Mode = Mode::Observe;
        /// Points for single codes and for ranges of them. What is not named is worth nothing.
        #[key(example = "{ \"127.0.3.2\" = 10.0 }", why = "every list has codes of its own", shown = "none")]
        pub points: CodePoints = CodePoints::default();
        /// Points for bits of the last octet, for lists that are several in one.
        #[key(example = "{ 2 = 10.0 }", why = "every list has bits of its own", shown = "none")]
        pub bits: BitPoints = BitPoints::default();
        /// What is asked to see whether the list works: `standard` (the name `test`), a name that is in this list, or `none`.
        #[key(example = "\"standard\"", why = "such lists have no test point in common")]
        pub test_point: TestPointSetting = TestPointSetting::Nowhere;
    }
}

fn scoring(points: &CodePoints, bits: &BitPoints) -> Scoring {
    if bits.0.is_empty() { Scoring::Codes(points.0.clone()) } else { Scoring::Bits(bits.0.clone()) }
}

impl Dnsbl {
    /// As the rules know it.
    #[must_use]
    pub fn rule(&self) -> DnsListRule {
        DnsListRule { zone: self.zone.clone(), target: self.target, scoring: scoring(&self.points, &self.bits), mode: self.mode }
    }
}

impl Uribl {
    /// As the rules know it.
    #[must_use]
    pub fn rule(&self) -> DnsListRule {
        let scoring = scoring(&self.points, &self.bits);
        DnsListRule { zone: self.zone.clone(), target: DnsTarget::Link, scoring, mode: self.mode }
    }

    /// How it is asked.
    #[must_use]
    pub fn asking(&self) -> DnsAsking {
        DnsAsking { names: self.names, has_addresses: self.addresses, ..DnsAsking::default() }
    }
}

impl Hashbl {
    /// As the rules know it.
    #[must_use]
    pub fn rule(&self) -> DnsListRule {
        let target = match self.of {
            Hashed::Addresses => DnsTarget::Address,
            Hashed::Urls => DnsTarget::Url,
        };
        DnsListRule { zone: self.zone.clone(), target, scoring: scoring(&self.points, &self.bits), mode: self.mode }
    }

    /// How it is asked.
    #[must_use]
    pub fn asking(&self) -> DnsAsking {
        DnsAsking { hash: self.hash, form: self.form, prefix: self.prefix.clone(), ..DnsAsking::default() }
    }
}

fn tenths(points: f64) -> Option<i16> {
    (points.abs() <= Points::MAX).then(|| Points::nearest(points).0)
}

fn code_range(text: &str) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last): (Ipv4Addr, Ipv4Addr) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && first.is_loopback() && last.is_loopback()).then_some((first, last))
}

/// Reads a table of points: each name by `entry`.
pub(crate) fn read_points<T>(
    node: &Node<'_>,
    report: &mut Report<'_>,
    wanted: &str,
    entry: impl Fn(&str, i16) -> Option<T>,
) -> Option<Vec<T>> {
    let DeValue::Table(entries) = node.value.get_ref() else {
        report.wrong(node, format!("a table of {wanted} and their points is needed here, not {}", node.sort()));
        return None;
    };
    let mut read = Some(Vec::new());
    for (name, value) in entries {
        let inner = Node { value, path: format!("{}.{}", node.path, path_word(name.get_ref())), key: node.key };
        report.note(&inner);
        let Some(points) = f64::read(&inner, report) else {
            read = None;
            continue;
        };
        let Some(tenths) = tenths(points) else {
            report.wrong(&inner, format!("is out of range, which is -{0} to {0}", Points::MAX));
            read = None;
            continue;
        };
        match entry(name.get_ref(), tenths) {
            Some(one) => {
                if let Some(read) = &mut read {
                    read.push(one);
                }
            }
            None => {
                report.wrong(&inner, format!("{} is none of {wanted}", Quoted::text(name.get_ref())));
                read = None;
            }
        }
    }
    read
}

pub(crate) fn print_points(tenths: i16) -> String {
    format!("{:?}", f64::from(tenths) / 10.0)
}

impl Value for CodePoints {
    fn kind() -> Kind {
        Kind::plain("table of codes and their points")
    }

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let wanted = "codes or ranges within 127.0.0.0/8, such as \"127.0.0.2\" or \"127.0.0.10-127.0.0.11\",";
        read_points(node, report, wanted, |name, tenths| code_range(name).map(|(first, last)| CodeRange { first, last, tenths }))
            .map(Self)
    }

    fn print(&self, _: Secrets) -> String {
        let name = |range: &CodeRange| {
            let text =
                if range.first == range.last { range.first.to_string() } else { format!("{}-{}", range.first, range.last) };
            (quote(&text), print_points(range.tenths))
        };
        let entries: Vec<_> = self.0.iter().map(name).collect();
        print_table(entries.iter().map(|(name, points)| (name.as_str(), points.as_str())))
    }
}

impl Value for BitPoints {
    fn kind() -> Kind {
        Kind::plain("table of bits and their points")
    }

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let bit = |name: &str| name.parse::<u8>().ok().filter(|mask| mask.is_power_of_two());
        let wanted = "the bits 1, 2, 4, 8, 16, 32, 64, 128";
        read_points(node, report, wanted, |name, tenths| bit(name).map(|mask| Bit { mask, tenths })).map(Self)
    }

    fn print(&self, _: Secrets) -> String {
        let entries: Vec<_> = self.0.iter().map(|bit| (bit.mask.to_string(), print_points(bit.tenths))).collect();
        print_table(entries.iter().map(|(name, points)| (name.as_str(), points.as_str())))
    }
}

impl Value for TestPointSetting {
    fn kind() -> Kind {
        Kind::plain("\"standard\", \"none\" or a domain name")
    }

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        match text_of(node, "test point", report)? {
            "standard" => Some(Self::Standard),
            "none" => Some(Self::Nowhere),
            _ => Domain::read(node, report).map(Self::Name),
        }
    }

    fn print(&self, _: Secrets) -> String {
        quote(match self {
            Self::Standard => "standard",
            Self::Nowhere => "none",
            Self::Name(name) => name.as_str(),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::load::{Machine, load};
    use crate::show::show;

    fn errors(keys: &str) -> String {
        let text = format!("[[policy.dnsbl]]\nzone = \"bl.test\"\n{keys}\n");
        match load(&text, "f", &Machine::named("mx.example")) {
            Ok(_) => String::new(),
            Err(errors) => errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        }
    }

    #[test]
    fn a_list_without_codes_that_count_is_an_error_and_so_are_codes_no_list_has() {
        for (keys, words) in [
            ("", "one of points and bits"),
            ("points = {}", "one of points and bits"),
            ("points = { \"127.0.0.2\" = 1.0 }\nbits = { 2 = 1.0 }", "one of points and bits"),
            ("points = { \"192.0.2.1\" = 1.0 }", "within 127.0.0.0/8"),
            ("points = { \"127.0.0.9-127.0.0.2\" = 1.0 }", "within 127.0.0.0/8"),
            ("points = { \"127.0.0.2\" = 1000.0 }", "out of range"),
            ("points = { \"127.255.255.254\" = 1.0 }", "never a listing"),
            ("points = { \"127.0.0.2-127.0.0.5\" = 1.0, \"127.0.0.4\" = 2.0 }", "twice"),
            ("bits = { 3 = 1.0 }", "the bits 1, 2, 4"),
            ("target = \"link\"\nbits = { 2 = 1.0 }", "none of"),
            ("target = \"helo\"\npoints = { \"127.0.0.2\" = -1.0 }", "speak for"),
            ("key = \"a b\"\nbits = { 2 = 1.0 }", "cannot stand"),
        ] {
            assert!(errors(keys).contains(words), "{keys}: {}", errors(keys));
        }
        assert_eq!(errors("points = { \"127.0.0.2\" = 10.0, \"127.0.0.10-127.0.0.11\" = -4 }"), "");
        assert_eq!(errors("bits = { 8 = 10.0, 64 = 4.5 }\ntarget = \"mail_from\"\ntest_point = \"dbltest.com\""), "");
        assert!(errors("bits = { 8 = 1.0 }\n[[policy.dnsbl]]\nzone = \"bl.test\"\nbits = { 8 = 1.0 }").contains("there already"));
    }

    #[test]
    fn what_is_printed_reads_back_and_a_key_is_never_printed() {
        let text = "[[policy.dnsbl]]\nzone = \"bl.test\"\nkey = \"hush\"\npoints = { \"127.0.0.2\" = 10.0, \"127.0.0.10-127.0.0.11\" = -4.5 }\n";
        let config = load(text, "f", &Machine::named("mx.example")).unwrap();
        let shown: Vec<_> = show(&config).iter().map(|setting| format!("{setting:?}")).collect();
        let shown = shown.join("\n");
        assert!(shown.contains("127.0.0.10-127.0.0.11") && !shown.contains("hush"), "{shown}");
    }
}
