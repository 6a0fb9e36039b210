//! What a client can do that is remembered beyond its session. Promise: an offence is something the client did, never something we could not
//! find out.

use std::fmt;

/// Something a client did that honest clients do not, or not often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Offence {
    /// It talked before the greeting (RFC 5321 §4.3.1).
    EarlyTalk,
    /// Unknown commands, commands out of order, lines that do not read right, framing that is broken.
    Syntax,
    /// Recipients that do not exist: addresses are being harvested.
    UnknownRecipient,
    /// Mail for a domain that is not ours, without a right to send it.
    RefusedRelay,
    /// A wrong password.
    AuthGuess,
    /// One password tried on many accounts.
    Spray,
}

impl Offence {
    /// Every one of them.
    pub const ALL: [Self; 6] =
        [Self::EarlyTalk, Self::Syntax, Self::UnknownRecipient, Self::RefusedRelay, Self::AuthGuess, Self::Spray];

    /// As it is written into the log, the metrics and the evidence of a ban.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EarlyTalk => "early_talk",
            Self::Syntax => "syntax",
            Self::UnknownRecipient => "unknown_recipient",
            Self::RefusedRelay => "refused_relay",
            Self::AuthGuess => "auth_guess",
            Self::Spray => "spray",
        }
    }

    /// By the name that [`Offence::as_str`] gives.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|offence| offence.as_str() == name)
    }
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_offence_is_found_by_its_name() {
        for offence in Offence::ALL {
            assert_eq!(Offence::by_name(offence.as_str()), Some(offence));
        }
        assert_eq!(Offence::by_name("none"), None);
    }
}
