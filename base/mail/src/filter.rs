//! What a filter of somebody else said of a message. Promise: a filter that could not be asked is a word of its own, never a verdict, and
//! what it wants is bounded in length, so that it can be recorded and judged again.

use std::sync::Arc;

use crate::reply::Reply;

/// Longest words of a filter that are kept.
pub const WORDS_BYTES_MAX: usize = 500;
/// Filters that are asked about one message.
pub const FILTERS_MAX: usize = 16;

/// What becomes of a message whose filter is down, slow, or speaks nonsense.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnFailure {
    /// As if it had nothing against it.
    #[default]
    Accept,
    /// Come again.
    Defer,
    /// 5yz.
    Refuse,
}

impl OnFailure {
    /// As in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Defer => "defer",
            Self::Refuse => "refuse",
        }
    }
}

/// What a filter wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterWord {
    /// It has nothing against it.
    Pass,
    /// 5yz.
    Refuse(Reply),
    /// 4yz.
    Defer(Reply),
    /// Take it, and keep it back for a person.
    Hold,
    /// Take it, and throw it away.
    Discard,
    /// Tenths of a point towards a sum.
    Points(i16),
    /// It could not be asked.
    Down(OnFailure),
}

/// A filter, and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterSaid {
    /// Which, as the configuration calls it.
    pub filter: Arc<str>,
    /// What it wants.
    pub word: FilterWord,
    /// Its reason, or what went wrong. Text of others.
    pub words: String,
    /// True when it is only observed.
    pub observed: bool,
}

/// The first [`WORDS_BYTES_MAX`] octets, cut between characters.
#[must_use]
pub fn bounded(text: &str) -> String {
    let end = (0..=WORDS_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_between_characters() {
        assert_eq!(bounded("short"), "short");
        let long = "é".repeat(400);
        assert_eq!(bounded(&long), "é".repeat(250));
        assert_eq!(bounded(&format!("a{long}")), format!("a{}", "é".repeat(249)));
    }
}
