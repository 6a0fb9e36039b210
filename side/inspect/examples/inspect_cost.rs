//! What reading costs: `cargo run --release --ignore-rust-version -p postern-inspect --example inspect_cost`. The whole inspection against parsing of the
//! same mail, in turns; the median of each is told.
//!
//! What parsing is depends on who parses (docs/decisions/0032). *Eager* is the parser's previous version, which finds all parts and decodes them while it
//! parses; *read* is the same and then all text asked for as text. *Lazy* is the version that is used: it decodes nothing before it is asked to, so that
//! twenty mebibytes of HTML are "parsed" when the header section has been; *decoded* is the same with each part asked for.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a stopwatch, not a server"
)]

#[path = "../tests/corpus/mod.rs"]
#[allow(dead_code, reason = "only its messages are measured")]
mod corpus;

use std::hint::black_box;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use mail_parser::MessageParser;
use postern_inspect::{Hosts, Inspector, Limits};
use rustix::time::{ClockId, clock_gettime};

type Work<'a> = &'a dyn Fn(&[u8]);

/// Of this thread's own time, so that others on the machine are not measured.
fn seconds(work: impl Fn()) -> f64 {
    let now = || {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
    };
    let began = now();
    work();
    now() - began
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

/// As whoever reads the whole of it has to.
fn decoded(parser: &MessageParser, mail: &[u8]) -> usize {
    let message = parser.parse(mail).unwrap();
    message
        .parts()
        .filter(|part| !part.is_multipart())
        .map(|part| part.text().map_or_else(|| part.decoded().len(), |text| text.len()))
        .sum()
}

/// With the previous version, and all that a reader is shown asked for as text, as that library makes text of HTML.
fn read(parser: &mail_parser_eager::MessageParser, mail: &[u8]) -> usize {
    let message = parser.parse(mail).unwrap();
    (0..message.text_body_count()).filter_map(|at| message.body_text(at)).map(|text| text.len()).sum()
}

/// Octets as no compressor leaves them, the same each time.
fn noise(octets: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..octets).map(|_| next()).collect()
}

fn pdf(pages: usize) -> Vec<u8> {
    let mut file =
        b"%PDF-1.5\n1 0 obj\n<< /Type /Annot /A << /S /URI /URI (https://www.example.com/pay) >> >>\nendobj\n".to_vec();
    for page in 0..pages {
        let text = format!("BT /F1 12 Tf 72 {page} Td (Invoice number {page}, please pay within a month) Tj ET\n").repeat(200);
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        file.extend(b"2 0 obj\n<< /Filter /FlateDecode >>\nstream\n");
        file.extend(encoder.finish().unwrap());
        file.extend(b"\nendstream\nendobj\n");
        file.extend(b"3 0 obj\n<< /Subtype /Image /Filter /DCTDecode >>\nstream\n");
        file.extend(noise(48 * 1024));
        file.extend(b"\nendstream\nendobj\n");
    }
    file
}

fn main() {
    let (parser, eager) = (MessageParser::new(), mail_parser_eager::MessageParser::new());
    let inspector = Inspector::new(Limits::default(), Hosts::default());
    let words = "Dear all, we meet on Thursday at ten. Please bring the papers, and tell Anna if you cannot come.\r\n";
    let text = words.repeat(40) + "https://www.example.com/minutes\r\n";
    let row = |n: usize| {
        format!(
            "<tr><td style=\"padding:8px 16px;font-family:Arial,sans-serif;font-size:14px;color:#333333\"><img src=\"https://img.example.com/{n}.png\" width=\"120\" \
             height=\"80\" alt=\"A thing\" style=\"display:block;border:0\"></td><td style=\"padding:8px 16px;line-height:1.4\"><h2 style=\"margin:0\">Thing {n}</h2>\
             <p style=\"margin:0\">{words}</p><a href=\"https://click.example.net/c/{n}?u=abcdef&amp;m=12345\" style=\"color:#0066cc\">Read on</a></td></tr>\r\n"
        )
    };
    let newsletter = format!(
        "<!DOCTYPE html><html><head><style>td{{padding:0}}</style></head><body><table>{}</table></body></html>",
        (0..95).map(row).collect::<String>()
    );
    let with = |kind: &str, octets: &[u8]| corpus::attached(kind, octets);
    let bomb = {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        (0..64).for_each(|_| encoder.write_all(&[b' '; 1 << 20]).unwrap());
        let stream = [b"stream\n".as_slice(), &encoder.finish().unwrap()].concat();
        [b"%PDF-1.5\n".as_slice(), &stream.repeat(8)].concat()
    };
    let nested = (0..10_000).fold(String::from("From: a@b.test\r\nMIME-Version: 1.0\r\n"), |all, n| {
        all + &format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n")
    });
    let html = |body: String| corpus::built("html", &body);
    let all = |file| corpus::cases(file).into_iter().map(|case| case.message).collect::<Vec<_>>();
    let sets = [
        ("the corpus", [all(corpus::TRICKS), all(corpus::CLEAN)].concat()),
        ("4 KiB of text", vec![corpus::built("text", &text); 200]),
        ("60 KiB of HTML, a newsletter", vec![corpus::built("alternative", &newsletter); 20]),
        ("the same in quoted-printable", vec![corpus::built("qp-html", &newsletter); 20]),
        ("the same in base64", vec![corpus::built("b64-html", &newsletter); 20]),
        ("2 MiB with a PDF", vec![with("application/pdf", &pdf(30)); 2]),
        ("25 MiB with a zip", vec![with("application/zip", &[b"PK\x03\x04".as_slice(), &noise(18 << 20)].concat())]),
        ("attack: 10,000 links", vec![html((0..10_000).map(|n| format!("<a href='http://h{n}.example.com/'>x</a>")).collect())]),
        ("attack: 10,000 places", vec![html((0..10_000).map(|n| format!("<a href='http://h{n}.com/'>x</a>")).collect())]),
        ("attack: 2 MiB of the shortest links", vec![html("<a href=//a.co>".repeat(140_000))]),
        ("attack: 2 MiB of bare names", vec![corpus::built("text", &"a.co b.rs ".repeat(200_000))]),
        ("attack: 2 MiB of mail addresses", vec![corpus::built("text", &"a@b.co ".repeat(300_000))]),
        ("attack: 10,000 nested parts", vec![nested.into_bytes()]),
        ("attack: 20 MiB of HTML", vec![html(newsletter.repeat(20 * 1024 * 1024 / newsletter.len()))]),
        ("attack: bomb in a PDF", vec![with("application/pdf", &bomb)]),
    ];
    println!(
        "| mail | MiB | inspected, ms | MiB/s | eager MiB/s | share | read MiB/s | share | lazy MiB/s | share | decoded MiB/s | share |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|"
    );
    let only = std::env::args().nth(1).unwrap_or_default();
    let each = |mails: &[Vec<u8>], work: Work| seconds(|| mails.iter().for_each(|mail| work(mail)));
    for (name, mails) in sets.iter().filter(|(name, _)| name.contains(&only)) {
        let size = mails.iter().map(Vec::len).sum::<usize>() as f64 / 1024.0 / 1024.0;
        let works: [Work; 5] = [
            &|mail| drop(black_box(inspector.inspect(mail))),
            &|mail| drop(black_box(eager.parse(mail))),
            &|mail| {
                black_box(read(&eager, mail));
            },
            &|mail| drop(black_box(parser.parse(mail))),
            &|mail| {
                black_box(decoded(&parser, mail));
            },
        ];
        let mut times = [const { Vec::new() }; 5];
        for _ in 0..9 {
            works.iter().zip(&mut times).for_each(|(work, times)| times.push(each(mails, *work)));
        }
        let [whole, others @ ..] = times.map(median);
        let shares: String = others.iter().map(|other| format!(" {:.0} | {:.2} |", size / other, other / whole)).collect();
        println!(
            "| {name} | {:.2} | {:.2} | {:.0} |{shares}",
            size / mails.len() as f64,
            whole * 1000.0 / mails.len() as f64,
            size / whole
        );
    }
}
