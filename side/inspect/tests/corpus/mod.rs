//! The corpus: cases as lines of two files, each built into the message a sender would have made of it. Promise: a case that cannot be read is an
//! error, so none is skipped in silence.

use std::collections::BTreeSet;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use postern_inspect::{Inspection, Limits, LinkHost, inspect};

pub(crate) const TRICKS: &str = include_str!("../../corpus/tricks.txt");
pub(crate) const CLEAN: &str = include_str!("../../corpus/clean.txt");

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) message: Vec<u8>,
    pub(crate) expected: BTreeSet<String>,
}

pub(crate) fn cases(file: &str) -> Vec<Case> {
    let lines = file.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let mut pieces = line.split("||");
            let mut next = || pieces.next().unwrap_or_else(|| panic!("four pieces: {line}"));
            let (name, shape, content, expected) = (next().trim(), next().trim(), next(), next());
            let content = unescape(content.strip_prefix(' ').and_then(|c| c.strip_suffix(' ')).unwrap_or(content));
            let expected = expected.split(',').map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect();
            Case { name: name.to_owned(), message: built(shape, &content), expected }
        })
        .collect()
}

/// Registered domains, addresses and tricks, as the files write them.
pub(crate) fn found(inspection: &Inspection) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for link in &inspection.links {
        all.extend(link.registered.as_ref().map(ToString::to_string));
        if let LinkHost::Address(address) = link.host {
            all.insert(format!("ip:{address}"));
        }
        all.extend(link.tricks.iter().map(|trick| format!("!{}", trick.as_str())));
    }
    all
}

/// Tricks that were missed, and how much of the clean mail is not as it should be.
pub(crate) fn judged() -> (Vec<String>, Vec<String>) {
    let read = |case: &Case| found(&inspect(&case.message, &Limits::default()));
    let missed = cases(TRICKS)
        .iter()
        .filter(|case| !case.expected.is_subset(&read(case)))
        .map(|c| format!("{}: {:?}", c.name, read(c)))
        .collect();
    let flagged =
        cases(CLEAN).iter().filter(|case| case.expected != read(case)).map(|c| format!("{}: {:?}", c.name, read(c))).collect();
    (missed, flagged)
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let code = &rest[at + 1..];
        let (c, used) = match code.chars().next() {
            Some('n') => ('\n', 1),
            Some('r') => ('\r', 1),
            Some('t') => ('\t', 1),
            Some('\\') => ('\\', 1),
            Some('x') => (char::from(u8::from_str_radix(&code[1..3], 16).unwrap()), 3),
            Some('u') => {
                let end = code.find('}').unwrap();
                (char::from_u32(u32::from_str_radix(&code[2..end], 16).unwrap()).unwrap(), end + 1)
            }
            _ => ('\\', 0),
        };
        out.push(c);
        rest = &code[used..];
    }
    out + rest
}

fn base64(octets: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for (count, three) in octets.chunks(3).enumerate() {
        if count > 0 && count % 19 == 0 {
            out.push_str("\r\n");
        }
        let bits = three.iter().fold(0_u32, |bits, b| bits << 8 | u32::from(*b)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place)) as usize & 63];
            out.push(if place > three.len() { '=' } else { char::from(letter) });
        }
    }
    out
}

fn uuencoded(octets: &[u8]) -> String {
    let letter = |six: u32| char::from(if six & 63 == 0 { b'`' } else { b' ' + (six & 63) as u8 });
    let mut out = String::from("See the file.\r\n\r\nbegin 644 page.html\r\n");
    for line in octets.chunks(45) {
        out.push(letter(u32::try_from(line.len()).unwrap()));
        for three in line.chunks(3) {
            let bits = three.iter().fold(0_u32, |bits, b| bits << 8 | u32::from(*b)) << (8 * (3 - three.len()));
            out.extend([18, 12, 6, 0].map(|place| letter(bits >> place)));
        }
        out.push_str("\r\n");
    }
    out + "`\r\nend\r\n"
}

fn quoted_printable(text: &str) -> String {
    text.bytes().enumerate().map(|(at, b)| format!("={b:02X}{}", if at % 20 == 19 { "=\r\n" } else { "" })).collect()
}

const TOP: &str =
    "From: Anna <anna@sender.test>\r\nTo: b@here.test\r\nDate: Tue, 1 Dec 2026 10:00:00 +0000\r\nMessage-ID: <1@sender.test>\r\n";

fn part(kind: &str, encoding: &str, body: &str) -> String {
    format!("MIME-Version: 1.0\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{body}\r\n")
}

fn pdf(object: &[u8], deflated: bool) -> Vec<u8> {
    let mut file = b"%PDF-1.5\n1 0 obj\n<< /Type /ObjStm /Filter /FlateDecode >>\nstream\n".to_vec();
    if deflated {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(object).unwrap();
        file.extend(encoder.finish().unwrap());
        file.extend(b"\nendstream\nendobj\n%%EOF\n");
        return file;
    }
    [b"%PDF-1.4\n1 0 obj\n<< /Type /Annot /A << /S /URI ".as_slice(), object, b" >> >>\nendobj\n%%EOF\n"].concat()
}

/// A letter with a file.
#[allow(dead_code, reason = "for what measures")]
pub(crate) fn attached(kind: &str, octets: &[u8]) -> Vec<u8> {
    let file = part(kind, "base64", &base64(octets));
    let text = part("text/plain", "7bit", "See the file.");
    format!("{TOP}MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b1\r\n\r\n--b1\r\n{text}--b1\r\n{file}--b1--\r\n")
        .into_bytes()
}

pub(crate) fn built(shape: &str, content: &str) -> Vec<u8> {
    let html = part("text/html; charset=utf-8", "8bit", content);
    let multipart = |kind: &str, second: &str| {
        format!(
            "{TOP}MIME-Version: 1.0\r\nContent-Type: multipart/{kind}; boundary=\"b1\"\r\n\r\n--b1\r\n{}--b1\r\n{second}--b1--\r\n",
            part("text/plain", "7bit", "Hello")
        )
    };
    let wide: Vec<u8> = content.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let file = |kind: &str, octets: &[u8]| multipart("mixed", &part(kind, "base64", &base64(octets)));
    let text = part("text/plain; charset=utf-8", "8bit", "Hello");
    let message = match shape {
        "text" => format!("{TOP}{}", part("text/plain; charset=utf-8", "8bit", content)),
        "html" => format!("{TOP}{html}"),
        "qp-text" => format!("{TOP}{}", part("text/plain; charset=utf-8", "quoted-printable", &quoted_printable(content))),
        "qp-html" => format!("{TOP}{}", part("text/html; charset=utf-8", "quoted-printable", &quoted_printable(content))),
        "b64-text" => format!("{TOP}{}", part("text/plain; charset=utf-8", "base64", &base64(content.as_bytes()))),
        "b64-html" => format!("{TOP}{}", part("text/html; charset=utf-8", "base64", &base64(content.as_bytes()))),
        "utf16-html" => format!("{TOP}{}", part("text/html; charset=utf-16le", "base64", &base64(&wide))),
        "latin-text" => {
            let head = format!("{TOP}MIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\n");
            return head.bytes().chain(content.chars().map(|c| u8::try_from(u32::from(c)).unwrap())).collect();
        }
        "utf7" => format!("{TOP}{}", part("text/html; charset=utf-7", "7bit", content)),
        "uuencode" => format!("{TOP}{}", part("text/plain", "7bit", &uuencoded(content.as_bytes()))),
        "uuencode-b64" => format!("{TOP}{}", part("text/plain", "base64", &base64(uuencoded(content.as_bytes()).as_bytes()))),
        "uuencode-pdf" => format!("{TOP}{}", part("text/plain", "7bit", &uuencoded(&pdf(content.as_bytes(), true)))),
        "yenc" => {
            let head = format!("{TOP}MIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n\r\n");
            let head = head.into_bytes().into_iter().chain(*b"=ybegin line=128 size=9 name=a.html\r\n");
            return head.chain(content.bytes().map(|b| b.wrapping_add(42))).chain(*b"\r\n=yend size=9\r\n").collect();
        }
        "versions" => {
            let (plain, html) = content.split_once(" ## ").unwrap();
            let plain = part("text/plain", "7bit", plain);
            let html = part("text/html; charset=utf-8", "8bit", html);
            format!(
                "{TOP}MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b1\r\n\r\n--b1\r\n{plain}--b1\r\n{html}--b1--\r\n"
            )
        }
        "nomime" => format!("{TOP}\r\n{content}\r\n"),
        "attach-html" => file("application/octet-stream; name=x.bin", content.as_bytes()),
        "attach-text" => file("application/octet-stream; name=x.txt", content.as_bytes()),
        "alternative" => multipart("alternative", &html),
        "nested" => multipart("mixed", &format!("Content-Type: message/rfc822\r\n\r\n{TOP}{html}")),
        "nested-b64" => file("message/rfc822", format!("{TOP}{html}").as_bytes()),
        "unclosed" => multipart("mixed", &html).replace("--b1--\r\n", ""),
        "wrong-boundary" => {
            format!("{TOP}MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=other\r\n\r\n--b1\r\n\r\n{content}\r\n")
        }
        "ics" => {
            let ics = format!("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n{content}\r\nEND:VEVENT\r\nEND:VCALENDAR");
            multipart("mixed", &part("text/calendar; charset=utf-8", "8bit", &ics))
        }
        "pdf" => file("application/pdf", &pdf(content.as_bytes(), false)),
        "pdf-deflate" => file("application/pdf", &pdf(content.as_bytes(), true)),
        "pdf-binary" => file("application/octet-stream", &pdf(content.as_bytes(), true)),
        "subject" => format!("Subject: {content}\r\n{TOP}{text}"),
        "unsubscribe" => format!("List-Unsubscribe: {content}\r\n{TOP}{text}"),
        "display" => format!("From: \"{content}\" <x@sender.test>\r\n{}{text}", TOP.split_once("\r\n").unwrap().1),
        other => panic!("no shape {other}"),
    };
    message.into_bytes()
}
