//! A claim to be somebody, as it is judged before and after its password is verified. Promise: nothing in here tells a password or whether
//! an account exists; what has to be compared is a [`Tag`], a keyed hash whose key never leaves the process.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// A keyed hash of a name or a password: two that differ name different things. Worth nothing to another process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(u64);

impl Tag {
    /// From the first octets of a keyed hash.
    #[must_use]
    pub const fn new(hash: u64) -> Self {
        Self(hash)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tag(..)")
    }
}

/// Somebody claims to be an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guess {
    /// From here.
    pub client: IpAddr,
    /// Of the name as it was given, in canonical form; whether there is such an account makes no difference.
    pub account: Tag,
    /// Of the password; none where the mechanism does not show it, as SCRAM does not.
    pub password: Option<Tag>,
    /// The account was proven from this network before, within the time that is remembered.
    pub is_familiar: bool,
}

/// What is to be done with a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuessRuling {
    /// Verify it, after this time, in which it takes nobody's turn.
    Verify {
        /// Zero for most.
        after: Duration,
    },
    /// Others of the same origin are being verified; ask again after this time.
    AskAgain {
        /// Some tenths of a second.
        after: Duration,
    },
    /// Do not verify it.
    Refuse(Unheard),
}

/// Why a claim is not verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unheard {
    /// Its address guessed too often.
    Address,
    /// Its network did.
    Network,
    /// The account is being guessed by strangers, and this client is one.
    Account,
    /// The password is being tried on many accounts.
    Sprayed,
    /// The same wrong password came again, too often.
    Repeated,
    /// Too many claims are being judged.
    Crowd,
}

impl Unheard {
    /// For the operator.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Address => "not verified: this address has sent too many wrong passwords (auth.failures_per_address)",
            Self::Network => "not verified: this network has sent too many wrong passwords (auth.failures_per_network)",
            Self::Account => {
                "not verified: strangers guess this account's password, and it never logged in from this network (auth.failures_per_account)"
            }
            Self::Sprayed => {
                "not verified: this password is being tried on many accounts, and this one never logged in from this network (auth.spray_accounts)"
            }
            Self::Repeated => "not verified: the same wrong password has come too often (auth.repeats_per_address)",
            Self::Crowd => "not verified: too many attempts are being judged at once",
        }
    }
}

/// How a verification ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is who it says.
    Right,
    /// It is not, or there is no such account.
    Wrong,
    /// It was not verified after all: the client left, or no turn came.
    Unverified,
}
