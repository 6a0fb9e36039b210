//! How well replies are understood: accuracy by category of the corpus, or what is made of each line of standard input.
//!
//! `cargo run -p postern-outcome --example bounces` prints the table, with `wrong` as its argument each reply that was not understood, with `-`
//! as its argument the cause of each reply on standard input.

use std::collections::BTreeMap;
use std::io::BufRead;

use postern_outcome::Cause;
use postern_outcome::bounce::classify;

fn main() {
    let argument = std::env::args().nth(1).unwrap_or_default();
    if argument == "-" {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let found = classify(None, None, &line);
            println!("{}\t{}\t{:?}\t{line}", found.cause.name(), found.advice().name(), found.ground);
        }
        return;
    }
    // By part and category: how many there are, how many are of the right category, and of the right cause.
    let mut counts: BTreeMap<(&str, &str), [usize; 3]> = BTreeMap::new();
    for line in include_str!("../data/bounce-corpus.tsv").lines().filter(|line| !line.starts_with('#')) {
        let mut fields = line.splitn(3, '\t');
        let (Some(part), Some(cause), Some(text)) = (fields.next(), fields.next().and_then(Cause::parse), fields.next()) else {
            continue;
        };
        let found = classify(None, None, text);
        let right = [true, found.cause.category() == cause.category(), found.cause == cause];
        if argument == "wrong" && !right[2] {
            println!("{} is taken for {} by {:?}: {text}", cause.name(), found.cause.name(), found.ground);
        }
        for name in [cause.category().name(), "together"] {
            let count = counts.entry((part, name)).or_default();
            count.iter_mut().zip(right).for_each(|(count, right)| *count += usize::from(right));
        }
    }
    println!("part   category     replies  category right  cause right");
    for ((part, category), [all, by_category, by_cause]) in counts {
        #[expect(clippy::cast_precision_loss, reason = "counts of a few hundred")]
        let share = |right: usize| 100.0 * right as f64 / all as f64;
        println!("{part:<6} {category:<12} {all:>7}  {:>13.1} %  {:>9.1} %", share(by_category), share(by_cause));
    }
}
