//! Actions of a PDF that lead somewhere: `/URI` with its text, in the file itself and in its deflated streams. What its pages show as text is not
//! read. Promise: what is inflated counts as searched, so a bomb ends at the same limit as everything else.

use std::io::Read as _;

use flate2::read::ZlibDecoder;
use memchr::memmem;

use crate::collect::Collector;
use crate::{Incomplete, Kind, target};

/// Octets of one stream that are inflated.
const STREAM_BYTES_MAX: usize = 512 * 1024;
/// Octets of the text of an action.
const TEXT_BYTES_MAX: usize = 4096;
/// Streams that are tried.
const STREAMS_MAX: usize = 256;

/// Reads a file, whose octets have been counted already.
pub(crate) fn search(file: &[u8], into: &mut Collector<'_>) {
    actions(file, into);
    for (count, at) in memmem::find_iter(file, b"stream").enumerate() {
        if count >= 2 * STREAMS_MAX {
            return into.stop(Incomplete::Octets);
        }
        let body = file.get(at + 6..).unwrap_or_default();
        let Some(body) = body.strip_prefix(b"\r\n").or_else(|| body.strip_prefix(b"\n")).or_else(|| body.strip_prefix(b"\r"))
        else {
            continue;
        };
        // The first octet of zlib's format, as every writer makes it.
        if body.first().is_none_or(|first| first & 0x0f != 8) {
            continue;
        }
        let room = into.left().min(STREAM_BYTES_MAX);
        let mut plain = Vec::new();
        // What came before an error is read as well, as programs do.
        let _ = ZlibDecoder::new(body).take(room as u64 + 1).read_to_end(&mut plain);
        if plain.len() > room {
            into.stop(Incomplete::Octets);
        }
        plain.truncate(room);
        let plain = into.spend(&plain).to_vec();
        actions(&plain, into);
        if into.left() == 0 {
            return into.stop(Incomplete::Octets);
        }
    }
}

fn actions(octets: &[u8], into: &mut Collector<'_>) {
    // Texts do not overlap where a program made them. They are not jumped over, since one in a comment would hide those behind it.
    let mut left = 2 * octets.len() + TEXT_BYTES_MAX;
    for at in memmem::find_iter(octets, b"/URI") {
        if into.is_full() {
            return;
        }
        let rest = octets.get(at + 4..).unwrap_or_default().trim_ascii_start();
        let text = match rest.split_first() {
            Some((b'(', rest)) => literal(rest),
            Some((b'<', rest)) => hexadecimal(rest),
            _ => continue,
        };
        let Some(rest) = left.checked_sub(text.len()) else { return into.stop(Incomplete::Octets) };
        left = rest;
        let text = String::from_utf8_lossy(&text);
        if let Some(read) = target::read(&text, None) {
            into.link(Kind::Pdf, read, "");
        }
    }
}

fn literal(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut depth = 1_usize;
    let mut octets = text.iter().take(TEXT_BYTES_MAX).copied().peekable();
    while let Some(octet) = octets.next() {
        match octet {
            b'\\' => match octets.next() {
                Some(digit @ b'0'..=b'7') => {
                    let mut value = u32::from(digit - b'0');
                    for _ in 0..2 {
                        if let Some(digit) = octets.next_if(|d| (b'0'..=b'7').contains(d)) {
                            value = value * 8 + u32::from(digit - b'0');
                        }
                    }
                    out.push(u8::try_from(value & 0xff).unwrap_or(0));
                }
                Some(b'\n' | b'\r') | None => {}
                Some(other) => out.push(other),
            },
            b'(' => {
                depth += 1;
                out.push(octet);
            }
            b')' => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
                out.push(octet);
            }
            other => out.push(other),
        }
    }
    out
}

fn hexadecimal(text: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> =
        text.iter().take(2 * TEXT_BYTES_MAX).take_while(|b| **b != b'>').filter(|b| b.is_ascii_hexdigit()).copied().collect();
    digits.chunks(2).filter_map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok()).collect()
}
