//! Files written into text: uuencode and yEnc, older than MIME and still read by mail programs. Promise: at most [`FILES_MAX`] of them in a part, and none
//! longer than may still be searched.

use memchr::memmem;

/// Files of one part that are unpacked.
pub(crate) const FILES_MAX: usize = 16;

/// The files in a part, each at most `room` octets.
pub(crate) fn files(text: &[u8], room: usize) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut left = room;
    for at in memmem::find_iter(text, b"begin ").chain(memmem::find_iter(text, b"=ybegin ")) {
        let is_line = at.checked_sub(1).is_none_or(|before| text.get(before) == Some(&b'\n'));
        if !is_line || found.len() >= FILES_MAX || left == 0 {
            continue;
        }
        let (first, rest) = line(text.get(at..).unwrap_or_default());
        let file = if first.starts_with(b"=y") {
            yenc(rest, left)
        } else if is_uuencoded(first) {
            uuencode(rest, left)
        } else {
            continue;
        };
        left = left.saturating_sub(file.len());
        found.push(file);
    }
    found
}

/// A line without its end, and what is behind it.
fn line(text: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b'\n', text).unwrap_or(text.len());
    let (line, rest) = text.split_at(end);
    (line.strip_suffix(b"\r").unwrap_or(line), rest.get(1..).unwrap_or_default())
}

/// `begin 644 name`.
fn is_uuencoded(first: &[u8]) -> bool {
    let mut words = first.split(|octet| *octet == b' ').skip(1);
    let mode = words.next().unwrap_or_default();
    (3..=4).contains(&mode.len()) && mode.iter().all(|octet| (b'0'..=b'7').contains(octet)) && words.next().is_some()
}

fn uuencode(mut rest: &[u8], room: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while !rest.is_empty() && out.len() < room {
        let (one, after) = line(rest);
        rest = after;
        let Some((length, digits)) = one.split_first() else { break };
        if one.starts_with(b"end") || !(b' '..=b'`').contains(length) {
            break;
        }
        let wanted = out.len() + usize::from(length.wrapping_sub(b' ') & 63);
        for four in digits.chunks(4) {
            let digit = |at: usize| u32::from(four.get(at).copied().unwrap_or(b' ').wrapping_sub(b' ') & 63);
            let [_, octets @ ..] = (digit(0) << 18 | digit(1) << 12 | digit(2) << 6 | digit(3)).to_be_bytes();
            out.extend(octets);
        }
        if out.len() > wanted {
            out.truncate(wanted);
        }
    }
    out.truncate(room);
    out
}

fn yenc(mut rest: &[u8], room: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while !rest.is_empty() && out.len() < room {
        let (one, after) = line(rest);
        rest = after;
        if one.starts_with(b"=yend") {
            break;
        }
        if one.starts_with(b"=ypart") {
            continue;
        }
        let mut octets = one.iter();
        while let Some(octet) = octets.next() {
            out.push(match octet {
                b'=' => octets.next().map_or(0, |escaped| escaped.wrapping_sub(64 + 42)),
                octet => octet.wrapping_sub(42),
            });
        }
    }
    out.truncate(room);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_in_text_are_unpacked_and_sentences_are_none() {
        let text = b"Hello\r\nbegin 644 a.txt\r\n+:&5L;&\\@=V]R;&0`\r\n`\r\nend\r\nbegin again, 644\r\nbegin 999 x\r\n";
        assert_eq!(files(text, 100), [b"hello world".to_vec()]);
        assert_eq!(files(text, 4), [b"hell".to_vec()]);
        let octets: Vec<u8> = (0..=255).collect();
        let mut packed = b"=ybegin line=128 size=256 name=x\r\n".to_vec();
        for octet in &octets {
            let one = octet.wrapping_add(42);
            match one {
                0 | b'\n' | b'\r' | b'=' => packed.extend([b'=', one.wrapping_add(64)]),
                one => packed.push(one),
            }
        }
        packed.extend(b"\r\n=yend size=256\r\n");
        assert_eq!(files(&packed, 1000), [octets]);
        assert_eq!(files(b"to begin 644 x\n", 100), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn of_many_files_only_some_are_unpacked() {
        assert_eq!(files(&b"begin 644 a\n#86)C\nend\n".repeat(100), 1000).len(), FILES_MAX);
    }
}
