//! What is wrong with a configuration, where, and what would be right. Promise: text out of the file is printed only through
//! [`Quoted`](postern_mail::Quoted), and a secret never.

use std::fmt;

/// A place in the file, both counted from 1. The column counts characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Character within it.
    pub column: usize,
}

/// One thing that is wrong. The configuration is not used while there is any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file as the caller named it.
    pub file: String,
    /// Where in it.
    pub position: Position,
    /// Of what setting, such as `limits.connections`; empty when the file is no TOML.
    pub path: String,
    /// What is wrong, in words.
    pub problem: String,
    /// The nearest key there is, where the key is unknown.
    pub nearest: Option<&'static str>,
    /// A line that would be right.
    pub example: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.position.line, self.position.column, self.problem)?;
        if let Some(nearest) = self.nearest {
            write!(f, "; did you mean \"{nearest}\"?")?;
        }
        if let Some(example) = &self.example {
            let joint = if self.nearest.is_some() { "" } else { ";" };
            write!(f, "{joint} a right value looks like: {example}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Something that works and is probably not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The file as the caller named it.
    pub file: String,
    /// Where in it; absent when it is about a default.
    pub position: Option<Position>,
    /// Of what setting.
    pub path: String,
    /// What to think about, in words.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(at) => write!(f, "{}:{}:{}: warning: {}: {}", self.file, at.line, at.column, self.path, self.text),
            None => write!(f, "{}: warning: {}: {}", self.file, self.path, self.text),
        }
    }
}

/// The candidate that takes the fewest edits to reach from `word`, where that is few enough to be a slip of the finger.
pub(crate) fn nearest(word: &str, candidates: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    // A key someone wrote as a novel is not a slip, and the distance is quadratic.
    if word.len() > 64 {
        return None;
    }
    let limit = 1 + word.chars().count() / 3;
    candidates
        .map(|c| (distance(word, c), c))
        .filter(|(edits, _)| *edits <= limit)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, c)| c)
}

/// Insertions, deletions, replacements and swaps of neighbours between two words (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut a_previous = None;
    for (row, a_char) in a.chars().enumerate() {
        let mut current = vec![row + 1];
        let mut b_previous = None;
        for (column, b_char) in b.iter().copied().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX / 2);
            let mut edits =
                (at(&last, column) + usize::from(a_char != b_char)).min(at(&last, column + 1) + 1).min(at(&current, column) + 1);
            if a_previous == Some(b_char) && b_previous == Some(a_char) {
                edits = edits.min(at(&before_last, column.wrapping_sub(1)) + 1);
            }
            current.push(edits);
            b_previous = Some(b_char);
        }
        before_last = std::mem::replace(&mut last, current);
        a_previous = Some(a_char);
    }
    last.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_the_key_that_was_meant() {
        let keys = || ["connections", "command_timeout", "message_size"].into_iter();
        assert_eq!(nearest("conections", keys()), Some("connections"));
        assert_eq!(nearest("mesage_szie", keys()), Some("message_size"));
        assert_eq!(nearest("comand-timeout", keys()), Some("command_timeout"));
        assert_eq!(nearest("greylist", keys()), None);
        assert_eq!(nearest(&"x".repeat(10_000), keys()), None);
    }

    #[test]
    fn a_swap_of_neighbours_is_one_edit() {
        assert_eq!(distance("szie", "size"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
