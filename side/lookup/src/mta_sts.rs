//! Head: policies of MTA-STS (RFC 8461): how a record and a policy read, and which hosts a policy names. Promise: what does not read is no policy,
//! and a pattern never fits more than one label more than it says.

mod book;
mod fetch;

use std::time::Duration;

pub use book::{Book, Next};
pub use fetch::{Fetcher, StsFault};
use postern_mail::Domain;

/// Patterns of a policy that are kept; more make it no policy.
const PATTERNS_MAX: usize = 100;
/// RFC 8461 §3.2: no policy is good for longer than about a year.
const MAX_AGE_MAX: u64 = 31_557_600;

/// What a policy asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Mail goes only to hosts it names, verified.
    Enforce,
    /// It is told what would have failed.
    Testing,
    /// There is none any more.
    None,
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StsPolicy {
    /// What it asks for.
    pub mode: Mode,
    /// How long it holds.
    pub max_age: Duration,
    /// The hosts, some as `*.example.org`.
    pub mx: Vec<String>,
    /// As it came.
    pub text: Box<str>,
}

/// RFC 8461 §3.1: the id in a record; nothing where it is no record of this.
pub(crate) fn record_id(text: &str) -> Option<&str> {
    let mut fields = text.split(';').map(|field| field.trim_matches([' ', '\t']));
    if fields.next()? != "v=STSv1" {
        return None;
    }
    let id = fields.find_map(|field| field.strip_prefix("id="))?;
    ((1..=32).contains(&id.len()) && id.bytes().all(|octet| octet.is_ascii_alphanumeric())).then_some(id)
}

impl StsPolicy {
    /// Reads one (RFC 8461 §3.2).
    ///
    /// # Errors
    /// In words, what is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        let (mut version, mut mode, mut max_age, mut mx) = (None, None, None, Vec::new());
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let (key, value) = line.split_once(':').ok_or("a line of it has no colon")?;
            let value = value.trim_matches([' ', '\t']);
            match key {
                // RFC 8461 §3.2: of what stands twice, the first counts, but for `mx`.
                "version" => drop(version.get_or_insert(value)),
                "mode" => drop(mode.get_or_insert(value)),
                "max_age" => drop(max_age.get_or_insert(value)),
                "mx" if mx.len() >= PATTERNS_MAX => return Err("it names too many hosts".to_owned()),
                "mx" => mx.push(pattern(value)?),
                _ => {}
            }
        }
        if version != Some("STSv1") {
            return Err("it is not of version STSv1".to_owned());
        }
        let mode = match mode {
            Some("enforce") => Mode::Enforce,
            Some("testing") => Mode::Testing,
            Some("none") => Mode::None,
            _ => return Err("its mode is none of enforce, testing and none".to_owned()),
        };
        let digits = |text: &&str| (1..=10).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_digit());
        let max_age = max_age.filter(digits).and_then(|text| text.parse().ok()).ok_or("its max_age is no number")?;
        if mx.is_empty() && mode != Mode::None {
            return Err("it names no host".to_owned());
        }
        Ok(Self { mode, max_age: Duration::from_secs(u64::min(max_age, MAX_AGE_MAX)), mx, text: text.into() })
    }

    /// Whether a host is one of those it names (RFC 8461 §4.1).
    #[must_use]
    pub fn names(&self, host: &Domain) -> bool {
        self.mx.iter().any(|pattern| match pattern.strip_prefix("*.") {
            Some(above) => host.as_str().split_once('.').is_some_and(|(_, rest)| rest == above),
            None => host.as_str() == pattern,
        })
    }
}

fn pattern(text: &str) -> Result<String, String> {
    let (star, name) = text.strip_prefix("*.").map_or(("", text), |rest| ("*.", rest));
    let name = Domain::parse(name).map_err(|_| "it names a host that cannot be".to_owned())?;
    Ok(format!("{star}{name}"))
}

#[cfg(test)]
mod tests;
