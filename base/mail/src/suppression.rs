//! Words of suppression: who is not written to any more, since when, until when and why. Promise: an entry always has a cause, and one that a
//! machine made of a bounce always has an end.

use std::sync::Arc;

use crate::address::Mailbox;
use crate::envelope::UnixMillis;

/// Characters of evidence that are kept.
pub const EVIDENCE_CHARS_MAX: usize = 240;

/// Why an address is not written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// Its host said more than once that there is nobody.
    Bounced,
    /// Its owner complained.
    Complained,
    /// Its owner asked for no more.
    Unsubscribed,
    /// A person of ours wants it so.
    ByHand,
}

impl Cause {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Bounced, Self::Complained, Self::Unsubscribed, Self::ByHand];

    /// As it is stored and printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bounced => "bounced",
            Self::Complained => "complained",
            Self::Unsubscribed => "unsubscribed",
            Self::ByHand => "by-hand",
        }
    }

    /// From its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == name)
    }

    /// For whoever is refused, and did not read this program.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Bounced => "its server said that it does not exist",
            Self::Complained => "its owner complained about mail of this account",
            Self::Unsubscribed => "its owner asked for no more mail",
            Self::ByHand => "an administrator wants it so",
        }
    }
}

/// Whom an entry is about, and for whom it holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SuppressionKey {
    /// The address, as [`folded`] writes it.
    pub address: Box<str>,
    /// The account it holds for; none: for everybody.
    pub account: Option<Arc<str>>,
}

impl SuppressionKey {
    /// For everybody, or for one account.
    #[must_use]
    pub fn new(address: &Mailbox, account: Option<&str>) -> Self {
        Self { address: folded(address), account: account.map(Into::into) }
    }
}

/// An address as it is compared. RFC 5321 §2.4 DEPARTS: without regard to the case of its local part, since no host that takes part in this tells
/// two people apart by it.
#[must_use]
pub fn folded(address: &Mailbox) -> Box<str> {
    format!("{}@{}", address.local.as_str().to_lowercase(), address.host).into()
}

/// What is said of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suppressed {
    /// Why.
    pub cause: Cause,
    /// Since when.
    pub since: UnixMillis,
    /// Until when; none: until a person takes it back.
    pub until: Option<UnixMillis>,
    /// It holds for one account only.
    pub of_account: bool,
}

/// A row of what is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuppressionRow {
    /// Whom and for whom.
    pub key: SuppressionKey,
    /// Why, or what it would be for.
    pub cause: Cause,
    /// Since when, or when it bounced last.
    pub since: UnixMillis,
    /// Until when.
    pub until: Option<UnixMillis>,
    /// How often it bounced.
    pub times: u32,
    /// False for an address that did not bounce often enough yet.
    pub in_force: bool,
    /// What was said, or why a person wants it.
    pub evidence: Box<str>,
}

/// A change of the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SuppressionChange {
    /// Written, over an older one of the same key.
    Put(SuppressionRow),
    /// Not remembered any more.
    Forget(SuppressionKey),
}
