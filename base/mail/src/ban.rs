//! A network that is not let in: why, on what evidence, since when and until when. Promise: there is no ban without a cause and its evidence,
//! so that `postern ban explain` always has an answer.

use std::fmt;
use std::time::Duration;

use crate::client::Subnet;
use crate::envelope::UnixMillis;
use crate::offence::Offence;

/// Octets of evidence that are kept; longer texts are cut.
pub const EVIDENCE_BYTES_MAX: usize = 400;

/// What a ban is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// What a client did.
    Offence(Offence),
    /// Too many hosts of this network are banned one by one.
    Neighbours,
    /// A person said so.
    Order,
}

impl Cause {
    /// As it is written into the store, the log and the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offence(offence) => offence.as_str(),
            Self::Neighbours => "neighbours",
            Self::Order => "order",
        }
    }

    /// By the name that [`Cause::as_str`] gives.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "neighbours" => Some(Self::Neighbours),
            "order" => Some(Self::Order),
            offence => Offence::by_name(offence).map(Self::Offence),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// The server, by its rules.
    Automatic,
    /// Somebody.
    Person,
}

impl By {
    /// For print.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Automatic => "automatic",
            Self::Person => "person",
        }
    }
}

/// A ban, in force or remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Who.
    pub of: Subnet,
    /// What for.
    pub cause: Cause,
    /// What was seen, or the reason a person gave. Raw: printed through [`Quoted`](crate::Quoted) only.
    pub evidence: String,
    /// From when on.
    pub since: UnixMillis,
    /// To when; `None`: until a person lifts it.
    pub until: Option<UnixMillis>,
    /// The how many'th ban of this network this is, as far as is remembered.
    pub times: u32,
}

impl Ban {
    /// Who banned.
    #[must_use]
    pub const fn by(&self) -> By {
        match self.cause {
            Cause::Order => By::Person,
            Cause::Offence(_) | Cause::Neighbours => By::Automatic,
        }
    }

    /// True while it holds.
    #[must_use]
    pub fn is_active(&self, now: UnixMillis) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// How much longer it holds; `None`: without end.
    #[must_use]
    pub fn left(&self, now: UnixMillis) -> Option<Duration> {
        self.until.map(|until| Duration::from_millis(until.0.saturating_sub(now.0)))
    }
}

/// A change of what is banned or remembered, for whoever keeps it or acts on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BanChange {
    /// This is how it is now; it replaces an older one of the same network.
    Put(Ban),
    /// Nothing is remembered of this network any more.
    Forget(Subnet),
}

impl BanChange {
    /// Which network it is about.
    #[must_use]
    pub const fn of(&self) -> Subnet {
        match self {
            Self::Put(ban) => ban.of,
            Self::Forget(of) => *of,
        }
    }
}

/// Cuts evidence to [`EVIDENCE_BYTES_MAX`], between characters.
#[must_use]
pub fn evidence(mut text: String) -> String {
    if text.len() > EVIDENCE_BYTES_MAX {
        let end = (0..=EVIDENCE_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_found_by_its_name() {
        for cause in Offence::ALL.into_iter().map(Cause::Offence).chain([Cause::Neighbours, Cause::Order]) {
            assert_eq!(Cause::by_name(cause.as_str()), Some(cause));
        }
        assert_eq!(Cause::by_name("mood"), None);
    }

    #[test]
    fn evidence_is_cut_between_characters() {
        assert_eq!(evidence("é".repeat(EVIDENCE_BYTES_MAX)).len(), EVIDENCE_BYTES_MAX);
        assert!(evidence("é".repeat(EVIDENCE_BYTES_MAX) + "x").len() <= EVIDENCE_BYTES_MAX);
        assert_eq!(evidence("short".to_owned()), "short");
    }
}
