//! Takes reports out of gzip and zip. Promise: no more comes out than [`Limits::octets_max`], however little went in, and nothing is unpacked twice.

use std::io::Read as _;

use flate2::bufread::{DeflateDecoder, MultiGzDecoder};

use crate::read::{Limits, Unreadable};

/// Files of an archive that are looked at.
const MEMBERS_MAX: usize = 16;
/// The longest comment behind an archive is 65,535 octets, and the end record has 22.
const END_MAX: usize = 65_557;

fn all(from: impl std::io::Read, limits: &Limits) -> Result<Vec<u8>, Unreadable> {
    let mut out = Vec::new();
    let most = u64::try_from(limits.octets_max).unwrap_or(u64::MAX);
    from.take(most.saturating_add(1)).read_to_end(&mut out).map_err(|error| Unreadable::Archive(error.to_string()))?;
    if out.len() > limits.octets_max { Err(Unreadable::TooLarge("octets")) } else { Ok(out) }
}

/// What is within; octets that are not packed as they are.
pub(crate) fn unpack(octets: &[u8], limits: &Limits) -> Result<Vec<Vec<u8>>, Unreadable> {
    match octets {
        [0x1f, 0x8b, ..] => Ok(vec![all(MultiGzDecoder::new(octets), limits)?]),
        [b'P', b'K', 3 | 5, ..] => zip(octets, limits),
        _ if octets.len() > limits.octets_max => Err(Unreadable::TooLarge("octets")),
        _ => Ok(vec![octets.to_vec()]),
    }
}

fn number<const N: usize>(octets: &[u8], at: usize) -> Option<usize> {
    let little: &[u8] = octets.get(at..at.checked_add(N)?)?;
    little.iter().rev().try_fold(0_usize, |sum, octet| sum.checked_mul(256)?.checked_add(usize::from(*octet)))
}

fn zip(octets: &[u8], limits: &Limits) -> Result<Vec<Vec<u8>>, Unreadable> {
    let broken = || Unreadable::Archive("its directory is broken".to_owned());
    let tail = octets.len().saturating_sub(END_MAX);
    let end =
        octets.get(tail..).unwrap_or_default().windows(4).rposition(|four| four == b"PK\x05\x06").ok_or_else(broken)? + tail;
    let (mut at, members) = number::<4>(octets, end + 16).zip(number::<2>(octets, end + 10)).ok_or_else(broken)?;
    let mut files = Vec::new();
    let mut left = limits.octets_max;
    for _ in 0..members.min(MEMBERS_MAX) {
        let entry = octets.get(at..).filter(|entry| entry.starts_with(b"PK\x01\x02")).ok_or_else(broken)?;
        let field = |at| number::<2>(entry, at).ok_or_else(broken);
        let (method, name, extra, comment) = (field(10)?, field(28)?, field(30)?, field(32)?);
        let packed = number::<4>(entry, 20).ok_or_else(broken)?;
        let local = number::<4>(entry, 42).ok_or_else(broken)?;
        let is_wanted = entry.get(46..46 + name).is_some_and(|name| !name.ends_with(b"/") && !name.starts_with(b"__MACOSX"));
        at += 46 + name + extra + comment;
        if !is_wanted {
            continue;
        }
        // The name and the extra field may be of other lengths there.
        let lengths = number::<2>(octets, local.saturating_add(26)).zip(number::<2>(octets, local.saturating_add(28)));
        let begin = lengths.map(|(name, extra)| local + 30 + name + extra).ok_or_else(broken)?;
        let data = octets.get(begin..begin.saturating_add(packed)).ok_or_else(broken)?;
        let within = Limits { octets_max: left, ..*limits };
        let file = match method {
            0 => all(data, &within)?,
            8 => all(DeflateDecoder::new(data), &within)?,
            _ => return Err(Unreadable::Archive("it is packed in a way that is not known".to_owned())),
        };
        left -= file.len();
        files.push(file);
    }
    Ok(files)
}
