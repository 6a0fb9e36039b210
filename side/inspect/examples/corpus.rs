//! Precision and recall on the corpus: `cargo run --ignore-rust-version -p postern-inspect --example corpus`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a measurement, not a server")]

#[path = "../tests/corpus/mod.rs"]
mod corpus;

fn main() {
    let (tricks, clean) = (corpus::cases(corpus::TRICKS).len(), corpus::cases(corpus::CLEAN).len());
    let (missed, flagged) = corpus::judged();
    for line in missed.iter().map(|m| format!("missed  {m}")).chain(flagged.iter().map(|f| format!("flagged {f}"))) {
        println!("{line}");
    }
    #[expect(clippy::cast_precision_loss, reason = "hundreds")]
    let share = |of: usize, all: usize| of as f64 / all as f64;
    let caught = tricks - missed.len();
    println!(
        "{tricks} tricks, {clean} clean: recall {:.3}, precision {:.3}",
        share(caught, tricks),
        share(caught, caught + flagged.len())
    );
}
