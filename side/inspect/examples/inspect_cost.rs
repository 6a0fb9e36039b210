//! What reading costs: `cargo run --release --ignore-rust-version -p postern-inspect --example inspect_cost`. The whole inspection against bare
//! parsing of the same mail, in turns; the median of each is told.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a stopwatch, not a server"
)]

#[path = "../tests/corpus/mod.rs"]
#[allow(dead_code, reason = "only its messages are measured")]
mod corpus;

use std::hint::black_box;
use std::time::Instant;

use mail_parser::MessageParser;
use postern_inspect::{Limits, inspect};

fn seconds(work: impl Fn()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_secs_f64()
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

fn main() {
    // Texts of the usual length: a few paragraphs, a letter with pictures, an attachment.
    let words = "Dear all, we meet on Thursday at ten. Please bring the papers, and tell Anna if you cannot come.\r\n".repeat(20);
    let letter = format!(
        "<html><body><p>{words}</p>{}</body></html>",
        "<p><a href=\"https://www.example.com/a?b=c\">Read on</a></p>".repeat(20)
    );
    let html = |body: String| corpus::built("html", &body);
    let all = |file| corpus::cases(file).into_iter().map(|case| case.message).collect::<Vec<_>>();
    let sets = [
        ("corpus", [all(corpus::TRICKS), all(corpus::CLEAN)].concat()),
        ("text", vec![corpus::built("text", &words); 50]),
        ("newsletter", vec![corpus::built("alternative", &letter); 50]),
        ("newsletter, base64", vec![corpus::built("b64-html", &letter); 50]),
        ("with a picture of 200 KiB", vec![corpus::built("attach-text", &"\u{89}PNG\0\0\0\0\0\0".repeat(18_000)); 5]),
        ("20 MiB of HTML", vec![html(letter.repeat(20 * 1024 * 1024 / letter.len()))]),
        ("10,000 links", vec![html((0..10_000).map(|n| format!("<a href='http://h{n}.example.com/'>x</a>")).collect())]),
    ];
    println!("| mail | MiB | parse MiB/s | inspect MiB/s | share |\n|---|---|---|---|---|");
    for (name, mails) in &sets {
        let size = mails.iter().map(Vec::len).sum::<usize>() as f64 / 1024.0 / 1024.0;
        let (mut parse, mut whole) = (Vec::new(), Vec::new());
        for _ in 0..9 {
            parse.push(seconds(|| mails.iter().for_each(|mail| drop(black_box(MessageParser::new().parse(mail))))));
            whole.push(seconds(|| mails.iter().for_each(|mail| drop(black_box(inspect(mail, &Limits::default()))))));
        }
        let (parse, whole) = (median(parse), median(whole));
        println!("| {name} | {size:.2} | {:.0} | {:.0} | {:.2} |", size / parse, size / whole, parse / whole);
    }
}
