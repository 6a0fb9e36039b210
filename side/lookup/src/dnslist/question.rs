//! Head: what is asked of a list, and how its answer is read (RFC 5782). Promise: a question is a right name or none at all, and no answer but a code
//! within 127.0.0.0/8 that is no error code is ever taken for a listing.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use aws_lc_rs::digest;
use hickory_resolver::proto::rr::RData;
use postern_mail::Domain;
use postern_mail::dns_list::{CODES_MAX, DnsAsking, HashForm, HashKind, LinkNames, REASON_BYTES_MAX};

use crate::cache::Answer;

/// What a list is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An address.
    Address(IpAddr),
    /// A name.
    Name(Domain),
    /// The names of an address, which have to be asked for first.
    NamesOf(IpAddr),
    /// Where a link leads, by name. A list is asked about the one or the other, or both.
    Host {
        /// As it stands there.
        host: Domain,
        /// What somebody registered.
        registered: Domain,
    },
    /// Something that only its hash is asked about.
    Hashed {
        /// As it stands in the message, to be told of.
        shown: Arc<str>,
        /// What is hashed.
        text: Arc<str>,
    },
}

/// The name of a question about an address. `None` when it would be too long for a name.
///
/// RFC 5782 §2.1: the octets of an IPv4 address backwards. §2.4: the nibbles of an IPv6 address backwards. An IPv4 address that is written as an IPv6
/// one is asked for as what it is.
pub(super) fn about_address(address: IpAddr, below: &str) -> Option<Domain> {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            Domain::parse(&format!("{d}.{c}.{b}.{a}.{below}")).ok()
        }
        IpAddr::V6(v6) => Domain::parse(&format!("{}{below}", nibbles(v6.octets()))).ok(),
    }
}

/// RFC 5782 §5: the test points of a list of IPv6 addresses lie within ::FFFF:0:0/96, which no client's address ever does here.
pub(super) fn about_mapped(address: Ipv4Addr, below: &str) -> Option<Domain> {
    Domain::parse(&format!("{}{below}", nibbles(address.to_ipv6_mapped().octets()))).ok()
}

fn nibbles(octets: [u8; 16]) -> String {
    octets.iter().rev().map(|octet| format!("{:x}.{:x}.", octet & 15, octet >> 4)).collect()
}

/// RFC 5782 §3: a name as it is, before the zone.
pub(super) fn about_name(name: &Domain, below: &str) -> Option<Domain> {
    Domain::parse(&format!("{name}.{below}")).ok()
}

/// A hash before the list.
pub(super) fn about_hash(text: &str, asking: &DnsAsking, below: &str) -> Option<Domain> {
    let kind = match asking.hash {
        HashKind::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        HashKind::Sha256 => &digest::SHA256,
    };
    let hash = digest::digest(kind, text.as_bytes());
    let written: String = match asking.form {
        HashForm::Hex => hash.as_ref().iter().map(|octet| format!("{octet:02x}")).collect(),
        HashForm::Base32 => base32(hash.as_ref()),
    };
    Domain::parse(&format!("{written}.{below}")).ok()
}

/// RFC 4648 §6, without padding, and in small letters: names do not know the difference.
fn base32(octets: &[u8]) -> String {
    let mut out = String::new();
    for five in octets.chunks(5) {
        let bits = five.iter().fold(0_u64, |bits, octet| bits << 8 | u64::from(*octet)) << (8 * (5 - five.len()));
        for place in 0..(five.len() * 8).div_ceil(5) {
            let digit = u8::try_from(bits >> (35 - 5 * place) & 31).unwrap_or(0);
            out.push(char::from(if digit < 26 { b'a' + digit } else { b'2' + digit - 26 }));
        }
    }
    out
}

/// What one list is asked, of all that could be: each once, in their order.
pub(super) fn own<'a>(asking: &DnsAsking, subjects: impl Iterator<Item = &'a Subject>, most: usize) -> Vec<Subject> {
    let mut own: Vec<Subject> = Vec::new();
    for subject in subjects {
        let names = match subject {
            Subject::Host { host, registered } => match asking.names {
                LinkNames::Registered => vec![registered],
                LinkNames::Host => vec![host],
                LinkNames::Both => vec![registered, host],
            },
            other => {
                if !own.contains(other) {
                    own.push(other.clone());
                }
                continue;
            }
        };
        for name in names {
            if !own.iter().any(|known| matches!(known, Subject::Name(known) if known == name)) {
                own.push(Subject::Name(name.clone()));
            }
        }
        if own.len() >= most {
            break;
        }
    }
    own.truncate(most);
    own
}

/// The name that an address's names are found at (RFC 1035 §3.5, RFC 3596 §2.5).
pub(super) fn reverse(address: IpAddr) -> Option<Domain> {
    let below = if address.to_canonical().is_ipv4() { "in-addr.arpa" } else { "ip6.arpa" };
    about_address(address, below)
}

/// What an answer comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Not listed.
    Nothing,
    /// Listed, with these codes. What they are worth is another matter.
    Codes(Vec<Ipv4Addr>),
    /// The list cannot be used: it says that it does not answer us, or something else than a list says.
    Unusable(Ipv4Addr),
}

/// Reads an answer to a question of type A.
pub(super) fn read(answer: &Answer) -> Reading {
    let Answer::Records(records) = answer else { return Reading::Nothing };
    let mut codes: Vec<Ipv4Addr> = Vec::new();
    for record in records {
        let RData::A(code) = record else { continue };
        if is_no_code(code.0) {
            return Reading::Unusable(code.0);
        }
        if codes.len() < CODES_MAX && !codes.contains(&code.0) {
            codes.push(code.0);
        }
    }
    if codes.is_empty() { Reading::Nothing } else { Reading::Codes(codes) }
}

/// RFC 5782 §2.1: codes lie within 127.0.0.0/8. An address elsewhere is that of a web page which somebody put where a list was, or where a resolver
/// sends whoever asks for names that do not exist. 127.255.255.0/24 is where lists say that the zone is mistyped, that they do not answer this
/// resolver, or that too much was asked; 127.0.0.1 says the same elsewhere.
fn is_no_code(code: Ipv4Addr) -> bool {
    matches!(code.octets(), [127, 255, 255, _] | [127, 0, 0, 1]) || !code.is_loopback()
}

/// The first text that came, within its bound.
pub(super) fn reason(answer: &Answer) -> String {
    let Answer::Records(records) = answer else { return String::new() };
    let text = records.iter().find_map(|record| match record {
        RData::TXT(text) => Some(text.txt_data.concat()),
        _ => None,
    });
    let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
    text.get(..text.floor_char_boundary(REASON_BYTES_MAX)).unwrap_or_default().to_owned()
}

/// The names in an answer to a question of type PTR, at most so many.
pub(super) fn names(answer: &Answer, most: usize) -> Vec<Domain> {
    let Answer::Records(records) = answer else { return Vec::new() };
    let name = |record: &RData| match record {
        RData::PTR(name) => postern_mail::dns_list::askable_name(name.0.to_ascii().trim_end_matches('.')),
        _ => None,
    };
    records.iter().filter_map(name).take(most).collect()
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::rdata::{A, AAAA, TXT};
    use proptest::prelude::*;

    use super::*;

    fn records(codes: &[Ipv4Addr]) -> Answer {
        Answer::Records(codes.iter().map(|code| RData::A(A(*code))).collect())
    }

    fn question(address: &str) -> String {
        about_address(address.parse().unwrap(), "bl.test").unwrap().to_string()
    }

    #[test]
    fn addresses_are_asked_for_backwards() {
        assert_eq!(question("192.0.2.99"), "99.2.0.192.bl.test");
        assert_eq!(question("::ffff:192.0.2.99"), "99.2.0.192.bl.test");
        assert_eq!(
            question("2001:db8:1:2:3:4:567:89ab"),
            "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.bl.test"
        );
        assert_eq!(
            about_mapped(Ipv4Addr::new(127, 0, 0, 2), "bl.test").unwrap().as_str(),
            "2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.bl.test"
        );
        assert_eq!(reverse("192.0.2.99".parse().unwrap()).unwrap().as_str(), "99.2.0.192.in-addr.arpa");
    }

    #[test]
    fn a_name_that_is_too_long_with_the_zone_is_not_asked_for() {
        let long = Domain::parse(&format!("{}.test", vec!["a".repeat(60); 4].join("."))).unwrap();
        assert_eq!(about_name(&long, "bl.test"), None);
        assert_eq!(about_name(&Domain::parse("Spam.test").unwrap(), "bl.test").unwrap().as_str(), "spam.test.bl.test");
    }

    #[test]
    fn what_is_no_code_makes_the_list_unusable_whatever_else_it_says() {
        for code in ["127.255.255.254", "127.255.255.0", "127.0.0.1", "192.0.2.1", "0.0.0.0", "126.255.255.255", "128.0.0.2"] {
            let code: Ipv4Addr = code.parse().unwrap();
            assert_eq!(read(&records(&[code])), Reading::Unusable(code));
            assert_eq!(read(&records(&[Ipv4Addr::new(127, 0, 0, 2), code])), Reading::Unusable(code), "even beside a code");
        }
        for code in ["127.0.0.2", "127.0.1.255", "127.255.254.1", "127.0.0.0"] {
            let code = code.parse().unwrap();
            assert_eq!(read(&records(&[code, code])), Reading::Codes(vec![code]));
        }
        let other = Answer::Records(vec![RData::AAAA(AAAA(std::net::Ipv6Addr::LOCALHOST))]);
        for nothing in [Answer::NoData, Answer::NoSuchName, other] {
            assert_eq!(read(&nothing), Reading::Nothing);
        }
    }

    #[test]
    fn a_reason_is_bounded_and_may_be_anything() {
        let long = RData::TXT(TXT::from_bytes(vec![&[b'a'; 199], "ü".as_bytes(), &[0xff, b'b']]));
        let reason = reason(&Answer::Records(vec![long]));
        assert_eq!(reason, "a".repeat(199), "cut before the character that does not fit");
    }

    proptest! {
        #[test]
        fn no_answer_is_a_listing_but_by_codes_that_are_codes(codes in proptest::collection::vec(any::<u32>().prop_map(Ipv4Addr::from), 0..40)) {
            match read(&records(&codes)) {
                Reading::Nothing => prop_assert!(codes.is_empty()),
                Reading::Unusable(code) => prop_assert!(codes.contains(&code) && is_no_code(code)),
                Reading::Codes(read) => {
                    prop_assert!(read.len() <= CODES_MAX);
                    prop_assert!(codes.iter().all(|code| code.octets()[0] == 127 && !is_no_code(*code)));
                }
            }
        }

        #[test]
        fn codes_near_the_borders_are_read_right(third in any::<u8>(), last in any::<u8>(), second in prop_oneof![Just(0u8), Just(255u8)]) {
            let code = Ipv4Addr::new(127, second, third, last);
            let error = (second == 255 && third == 255) || (second == 0 && third == 0 && last == 1);
            prop_assert_eq!(matches!(read(&records(&[code])), Reading::Unusable(_)), error);
        }

        #[test]
        fn every_address_and_every_name_has_one_question_or_none(v6 in any::<u128>(), name in "[a-z0-9-]{1,40}(\\.[a-z]{1,40}){0,6}") {
            let address = IpAddr::from(std::net::Ipv6Addr::from(v6));
            let asked = about_address(address, "bl.test").unwrap();
            let labels = asked.as_str().split('.').count();
            prop_assert_eq!(labels, if address.to_canonical().is_ipv4() { 6 } else { 34 });
            if let Ok(name) = Domain::parse(&name) {
                let asked = about_name(&name, "bl.test").unwrap();
                prop_assert!(asked.is_within(&Domain::parse("bl.test").unwrap()));
            }
        }
    }
}
