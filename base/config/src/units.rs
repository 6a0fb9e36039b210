//! Times, sizes and rates as people write them. Promise: printing gives text that parses to the same value.

use std::fmt;
use std::time::Duration;

/// An amount of octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    /// `n` times 1024 octets.
    #[must_use]
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// `n` times 1024 KiB.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// `n` times 1024 MiB.
    #[must_use]
    pub const fn gib(n: u64) -> Self {
        Self(n << 30)
    }

    /// Octets.
    #[must_use]
    pub const fn octets(self) -> u64 {
        self.0
    }

    /// Octets as a length in memory; what does not fit is cut to the largest length there is.
    #[must_use]
    pub fn length(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// Parses `50MiB`, `10MB`, `1024`.
    ///
    /// # Errors
    /// In words, when it is no whole number with one of the units `B`, `KiB`, `MiB`, `GiB`, `TiB`, `kB`, `MB`, `GB`, `TB`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (number, unit) = split_number(text).ok_or("a size is a whole number and a unit")?;
        let factor = match unit {
            "" | "B" => 1,
            _ => SIZE_UNITS
                .iter()
                .find(|(name, _)| *name == unit || (*name == "kB" && unit == "KB"))
                .map(|(_, factor)| *factor)
                .ok_or("the units of size are B, KiB, MiB, GiB, TiB (powers of 1024) and kB, MB, GB, TB (powers of 1000)")?,
        };
        number.checked_mul(factor).map(Self).ok_or_else(|| "the size is too large".to_owned())
    }
}

/// Largest first within each kind, since printing takes the first that divides.
const SIZE_UNITS: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
];

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SIZE_UNITS.iter().find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Octets in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(pub Size);

impl Rate {
    /// Octets in a second.
    #[must_use]
    pub const fn octets_per_second(self) -> u64 {
        self.0.octets()
    }

    /// Parses `1KiB/s`.
    ///
    /// # Errors
    /// In words, when it is no size followed by `/s`.
    pub fn parse(text: &str) -> Result<Self, String> {
        Size::parse(text.strip_suffix("/s").ok_or("a rate is a size in a second, with /s behind it")?).map(Self)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

/// Largest first: a duration is written in falling units.
const TIME_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Parses `60s`, `4h`, `1m30s`, `20ms`.
///
/// # Errors
/// In words, when it is not a row of whole numbers with falling units out of `d`, `h`, `m`, `s`, `ms`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let mut rest = text;
    let mut millis: u64 = 0;
    let mut smallest = u64::MAX;
    while !rest.is_empty() {
        let (number, behind) = split_number(rest).ok_or("a duration is a whole number and a unit")?;
        let end = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, next) = behind.split_at(end);
        let (_, factor) = TIME_UNITS.iter().find(|(name, _)| *name == unit).ok_or("the units of time are d, h, m, s, ms")?;
        if *factor >= smallest {
            return Err("the larger unit comes first, and each unit once".to_owned());
        }
        smallest = *factor;
        millis = number.checked_mul(*factor).and_then(|n| millis.checked_add(n)).ok_or("the duration is too long")?;
        rest = next;
    }
    if smallest == u64::MAX {
        return Err("a duration is a whole number and a unit".to_owned());
    }
    Ok(Duration::from_millis(millis))
}

/// Prints a duration the way [`parse_duration`] reads it. What is finer than a millisecond is not printed; nothing read is.
#[must_use]
pub fn print_duration(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, factor) in TIME_UNITS {
        if left >= factor {
            text.push_str(&format!("{}{unit}", left / factor));
            left %= factor;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// The digits a text begins with as a number, and what is behind them without the spaces between.
fn split_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, behind) = text.split_at(end);
    Some((digits.parse().ok()?, behind.trim_start_matches(' ')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, millis) in [("60s", 60_000), ("10m", 600_000), ("4h", 14_400_000), ("7d", 604_800_000), ("1m30s", 90_000)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse_duration("0s"), Ok(Duration::ZERO));
        assert_eq!(parse_duration("20ms"), Ok(Duration::from_millis(20)));
        for bad in
            ["", "60", "s", "1.5h", "-1s", "30s1m", "1s1s", "1 week", "99999999999999999999s", "18446744073709551615d", "1ſ"]
        {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_know_powers_of_1024_and_of_1000() {
        for (text, octets) in
            [("50MiB", 52_428_800), ("1KiB", 1024), ("10MB", 10_000_000), ("7", 7), ("1kB", 1000), ("1KB", 1000)]
        {
            assert_eq!(Size::parse(text), Ok(Size(octets)), "{text}");
        }
        for bad in ["", "MiB", "1.5MiB", "-1", "1M", "1mb", "99999999999TiB", "1/s"] {
            assert!(Size::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Rate::parse("1KiB/s"), Ok(Rate(Size::kib(1))));
        assert!(Rate::parse("1KiB").is_err());
    }

    proptest! {
        #[test]
        fn printing_and_parsing_agree(octets: u64, millis: u64) {
            prop_assert_eq!(Size::parse(&Size(octets).to_string()), Ok(Size(octets)));
            prop_assert_eq!(Rate::parse(&Rate(Size(octets)).to_string()), Ok(Rate(Size(octets))));
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&print_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_makes_the_units_panic(text: String) {
            let _ = (Size::parse(&text), Rate::parse(&text), parse_duration(&text));
        }
    }
}
