//! What the corpus says of us, held where it is.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "builders of tests")]

#[path = "corpus/mod.rs"]
mod corpus;

#[test]
fn no_trick_is_missed_and_no_clean_message_is_flagged() {
    assert!(corpus::cases(corpus::TRICKS).len() >= 150 && corpus::cases(corpus::CLEAN).len() >= 150);
    let (missed, flagged) = corpus::judged();
    assert!(missed.is_empty(), "missed:\n{}", missed.join("\n"));
    assert!(flagged.is_empty(), "flagged:\n{}", flagged.join("\n"));
}
