//! The table of known words (`flow/7-outcome/data/bounces.txt`, where its format is described), and one pass over a text for all of them.
//!
//! Promise: one pass, whatever the text; nothing a peer says can make it slower than its length.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::words::words;
use super::{Advice, Category, Cause};

/// A line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// What it says.
    pub cause: Cause,
    /// As it stands in the table.
    pub text: &'static str,
    /// True when it counts only where nothing else is known.
    pub is_weak: bool,
}

struct Piece {
    pattern: usize,
    place: usize,
}

/// All patterns, ready to be looked for.
pub struct Table {
    patterns: Vec<Pattern>,
    /// Pieces each consists of, and octets of all of them together.
    sizes: Vec<(usize, usize)>,
    pieces: Vec<Piece>,
    search: Option<AhoCorasick>,
}

impl Table {
    /// The one that is compiled in.
    #[must_use]
    pub fn built_in() -> &'static Self {
        static TABLE: LazyLock<Table> = LazyLock::new(|| Table::parse(include_str!("../../data/bounces.txt")).0);
        &TABLE
    }

    /// Reads one, and says of each line that is none what is wrong with it.
    #[must_use]
    pub fn parse(text: &'static str) -> (Self, Vec<String>) {
        let mut table = Self { patterns: Vec::new(), sizes: Vec::new(), pieces: Vec::new(), search: None };
        let (mut needles, mut wrong) = (Vec::new(), Vec::new());
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, pattern) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let is_weak = name.ends_with('?');
            let Some(cause) = Cause::parse(name.trim_end_matches('?')) else {
                wrong.push(format!("line {}: there is no cause {name}", number + 1));
                continue;
            };
            let pattern = pattern.trim();
            let pieces: Vec<String> = pattern.split("...").map(needle).collect();
            if pieces.iter().any(|piece| piece.trim().is_empty()) {
                wrong.push(format!("line {}: a pattern without words", number + 1));
                continue;
            }
            table.sizes.push((pieces.len(), pieces.iter().map(String::len).sum()));
            for (place, piece) in pieces.into_iter().enumerate() {
                table.pieces.push(Piece { pattern: table.patterns.len(), place });
                needles.push(piece);
            }
            table.patterns.push(Pattern { cause, text: pattern, is_weak });
        }
        match AhoCorasick::new(&needles) {
            Ok(search) => table.search = Some(search),
            Err(error) => wrong.push(error.to_string()),
        }
        (table, wrong)
    }

    /// All of them.
    #[must_use]
    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// The one that says most about a text. Words that blame us, or the room in a mailbox, win
    /// over those that would have the recipient suppressed, strong patterns over weak ones, the longer pattern over the shorter.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<Pattern> {
        let text = words(text);
        // How many pieces of each pattern were found in their order, and where the last of them ended.
        let mut found = vec![(0usize, 0usize); self.patterns.len()];
        for hit in self.search.as_ref()?.find_overlapping_iter(&text) {
            let Some(piece) = self.pieces.get(hit.pattern().as_usize()) else { continue };
            let Some((pieces, end)) = found.get_mut(piece.pattern) else { continue };
            // Two pieces may share the space between them.
            if *pieces == piece.place && (piece.place == 0 || hit.start() + 1 >= *end) {
                (*pieces, *end) = (*pieces + 1, hit.end());
            }
        }
        let whole =
            |index: &usize| self.sizes.get(*index).is_some_and(|(pieces, _)| found.get(*index).is_some_and(|f| f.0 == *pieces));
        let all: Vec<usize> = (0..self.patterns.len()).filter(whole).collect();
        let pattern = |index: &usize| self.patterns.get(*index);
        let blames_us = |index: &usize| pattern(index).is_some_and(|pattern| pattern.cause.category() == Category::Reputation);
        let condemns = |index: &usize| pattern(index).is_some_and(|pattern| pattern.cause.advice(true) == Advice::Suppress);
        let is_full = |index: &usize| pattern(index).is_some_and(|pattern| pattern.cause == Cause::MailboxFull);
        let spares = all.iter().any(|index| blames_us(index) || is_full(index));
        let strength = |index: &usize| {
            let is_weak = pattern(index).is_some_and(|pattern| pattern.is_weak);
            (!is_weak, is_weak && blames_us(index), self.sizes.get(*index).map(|size| size.1), std::cmp::Reverse(*index))
        };
        let longest = all.into_iter().filter(|index| !(spares && condemns(index))).max_by_key(strength)?;
        self.patterns.get(longest).copied()
    }
}

/// Words as they are looked for: with a space before and behind, unless a `*` stands for the rest of the last one.
fn needle(piece: &str) -> String {
    let piece = piece.trim();
    let stem = piece.strip_suffix('*');
    let mut needle = words(stem.unwrap_or(piece));
    if stem.is_some() {
        needle.truncate(needle.trim_end().len());
    }
    needle
}
