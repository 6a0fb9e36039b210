//! Databases in the MMDB format, as small as a test needs them: a tree of bits over IPv6, in which IPv4 lies below `::/96`, and for each network one
//! record. Written from the published description of the format.

use std::net::IpAddr;

/// What a record says.
#[derive(Clone, Copy, Debug)]
pub enum Record<'a> {
    /// As in databases of AS numbers.
    Asn(u32),
    /// As in databases of countries.
    Country(&'a str),
}

/// Ends the tree.
const SEPARATOR: usize = 16;
const METADATA_MARK: &[u8] = b"\xab\xcd\xefMaxMind.com";

fn control(out: &mut Vec<u8>, kind: u8, length: usize) {
    assert!(length < 29, "longer things are written in another way");
    if kind <= 7 {
        out.push((kind << 5) | length as u8);
    } else {
        out.extend([length as u8, kind - 7]);
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    control(out, 2, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn map(out: &mut Vec<u8>, entries: usize) {
    control(out, 7, entries);
}

/// Kinds 5, 6 and 9 are unsigned numbers of 16, 32 and 64 bits, without the zeros before them.
fn number(out: &mut Vec<u8>, kind: u8, number: u64) {
    let bytes = number.to_be_bytes();
    let significant = &bytes[(number.leading_zeros() / 8) as usize..];
    control(out, kind, significant.len());
    out.extend_from_slice(significant);
}

/// A database of this kind with these networks, the wider before the narrower.
///
/// # Panics
/// When a network is none.
#[must_use]
pub fn database(kind: &str, networks: &[(&str, Record<'_>)]) -> Vec<u8> {
    // Two records a node: another node, `usize::MAX` for nothing, or the place of the data with the highest bit set.
    const DATA: usize = 1 << 40;
    let mut nodes = vec![[usize::MAX; 2]];
    let mut data = Vec::new();
    for (network, record) in networks {
        let (address, length) = network.split_once('/').expect("a network has a length");
        let length: u32 = length.parse().expect("a length");
        let (bits, length) = match address.parse().expect("an address") {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)), length + 96),
            IpAddr::V6(v6) => (u128::from(v6), length),
        };
        let place = DATA + data.len();
        match record {
            Record::Asn(asn) => {
                map(&mut data, 1);
                text(&mut data, "autonomous_system_number");
                number(&mut data, 6, u64::from(*asn));
            }
            Record::Country(code) => {
                map(&mut data, 1);
                text(&mut data, "country");
                map(&mut data, 1);
                text(&mut data, "iso_code");
                text(&mut data, code);
            }
        }
        let mut at = 0;
        for depth in 0..length {
            let bit = (bits >> (127 - depth) & 1) as usize;
            if depth + 1 == length {
                nodes[at][bit] = place;
                break;
            }
            let below = nodes[at][bit];
            at = if below < DATA {
                below
            } else {
                // Nothing or the data of a wider network, which then holds on both sides.
                nodes.push([below; 2]);
                let new = nodes.len() - 1;
                nodes[at][bit] = new;
                new
            };
        }
    }
    let count = nodes.len();
    let mut file = Vec::new();
    for record in nodes.iter().flatten() {
        let value = match *record {
            usize::MAX => count,
            place if place >= DATA => count + SEPARATOR + (place - DATA),
            node => node,
        };
        file.extend_from_slice(&u32::try_from(value).expect("a small database").to_be_bytes());
    }
    file.extend([0; SEPARATOR]);
    file.append(&mut data);
    file.extend_from_slice(METADATA_MARK);
    map(&mut file, 9);
    for (name, kind, value) in [
        ("binary_format_major_version", 5, 2),
        ("binary_format_minor_version", 5, 0),
        ("build_epoch", 9, 1_800_000_000),
        ("ip_version", 5, 6),
        ("node_count", 6, count as u64),
        ("record_size", 5, 32),
    ] {
        text(&mut file, name);
        number(&mut file, kind, value);
    }
    text(&mut file, "database_type");
    text(&mut file, kind);
    text(&mut file, "description");
    map(&mut file, 1);
    text(&mut file, "en");
    text(&mut file, "for a test");
    text(&mut file, "languages");
    control(&mut file, 11, 0);
    file
}
