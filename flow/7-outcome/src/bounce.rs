//! What a refusal of the next hop means, and what is to be done about it: read from its words by a table, and from its codes where no words
//! are known.
//!
//! Promise: words that blame us, our address or our message never become a verdict on the recipient. A good address that is suppressed
//! because somebody called us spam is the worst mistake that can be made here, so such words win over all others.

use postern_mail::{Outcome, ReplyCode, Status};

mod table;
mod words;

pub use table::{Pattern, Table};

/// What it is about, coarsely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Category {
    /// Whoever it was for.
    Recipient,
    /// Room and pace over there.
    Capacity,
    /// This message or its sender's address.
    Message,
    /// What they think of us.
    Reputation,
    /// The way there.
    Network,
    /// Nobody can say.
    Unknown,
}

impl Category {
    /// As it is printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Recipient => "recipient",
            Self::Capacity => "capacity",
            Self::Message => "message",
            Self::Reputation => "reputation",
            Self::Network => "network",
            Self::Unknown => "unknown",
        }
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Advice {
    /// Counts towards keeping the address from being written to.
    Suppress,
    /// Later it may do.
    RetryLater,
    /// Later, and less at once to whoever it is that takes mail for this destination.
    SlowDown,
    /// Trying again does not help until a person has changed something: tell.
    StopAndTell,
}

impl Advice {
    /// As it is printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Suppress => "suppress",
            Self::RetryLater => "retry-later",
            Self::SlowDown => "slow-down",
            Self::StopAndTell => "stop-and-tell",
        }
    }
}

macro_rules! causes {
    ($($name:ident = $text:literal in $category:ident: $doc:literal;)*) => {
        /// Why it was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Cause { $(#[doc = $doc] $name),* }

        impl Cause {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// As it is printed, and as it stands in the table.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// What it is about.
            #[must_use]
            pub const fn category(self) -> Category {
                match self { $(Self::$name => Category::$category),* }
            }
        }
    };
}

causes! {
    UnknownMailbox = "unknown-mailbox" in Recipient: "No such mailbox.";
    Disabled = "disabled" in Recipient: "The mailbox is closed, suspended or not used any more.";
    Moved = "moved" in Recipient: "They have another address now.";
    NoSuchDomain = "no-such-domain" in Recipient: "The domain does not exist, or takes no mail.";
    RelayDenied = "relay-denied" in Recipient: "That host does not take mail for this domain, or not from us.";
    Restricted = "restricted" in Recipient: "The address exists and takes no mail from this sender: a closed list, a wish of its owner.";
    MailboxFull = "mailbox-full" in Capacity: "No room in the mailbox.";
    TooFast = "too-fast" in Capacity: "Too many messages, recipients or connections for now.";
    Busy = "busy" in Capacity: "The host is busy, short of room or out of order.";
    Greylisted = "greylisted" in Capacity: "They want to see it come a second time.";
    TooLarge = "too-large" in Message: "The message is too large.";
    Content = "content" in Message: "Something in it is not allowed there: a kind of attachment, a word, an encoding.";
    Virus = "virus" in Message: "A virus was found, or what looks like one.";
    Policy = "policy" in Message: "A rule of theirs that they do not explain.";
    Header = "header" in Message: "A header field is missing, twice or broken.";
    Loop = "loop" in Message: "It has gone round.";
    Sender = "sender" in Message: "The sender's address is not taken: its domain or mailbox cannot be found.";
    AddressListed = "address-listed" in Reputation: "Our address or network is on a list, or has a bad name.";
    DomainListed = "domain-listed" in Reputation: "A domain of ours, or one that is linked to, is on a list.";
    SpamLike = "spam-like" in Reputation: "It was taken for spam.";
    Authentication = "authentication" in Reputation: "SPF, DKIM or DMARC are missing or fail.";
    ReverseName = "reverse-name" in Reputation: "Our address has no name, or the greeting has a wrong one.";
    Unreachable = "unreachable" in Network: "Names could not be looked up, or nobody answered.";
    Tls = "tls" in Network: "No TLS, or none that is good enough.";
    Protocol = "protocol" in Network: "They did not understand us, or we them.";
    Unknown = "unknown" in Unknown: "Neither words nor codes say it.";
}

impl Cause {
    /// From its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|cause| cause.name() == name)
    }

    /// What is to be done about it, by whether they said never or not now.
    #[must_use]
    pub const fn advice(self, is_permanent: bool) -> Advice {
        match (self, is_permanent) {
            // They know of it and ask for less, whatever their code says.
            (Self::TooFast, _) => Advice::SlowDown,
            (Self::Greylisted | Self::Busy, _) => Advice::RetryLater,
            (Self::UnknownMailbox | Self::Disabled | Self::Moved | Self::NoSuchDomain, true) => Advice::Suppress,
            (_, true) => Advice::StopAndTell,
            (Self::AddressListed | Self::DomainListed | Self::SpamLike | Self::Authentication | Self::ReverseName, false) => {
                Advice::SlowDown
            }
            (_, false) => Advice::RetryLater,
        }
    }
}

/// What it was told by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// A pattern of the table, as it stands there.
    Words(&'static str),
    /// The enhanced status.
    Status(Status),
    /// The code alone.
    Code(ReplyCode),
    /// Nothing.
    Nothing,
}

/// A refusal, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounce {
    /// Why.
    pub cause: Cause,
    /// True when they said never.
    pub is_permanent: bool,
    /// What says so.
    pub ground: Ground,
}

impl Bounce {
    /// What is to be done.
    #[must_use]
    pub const fn advice(&self) -> Advice {
        self.cause.advice(self.is_permanent)
    }
}

/// Reads a reply, or what a report quotes of one. `text` may begin with its code and status.
#[must_use]
pub fn classify(code: Option<ReplyCode>, status: Option<Status>, text: &str) -> Bounce {
    let code = code.or_else(|| code_of(text));
    let status = status.or_else(|| status_of(text));
    let is_permanent = match (status, code) {
        (Some(status), _) => status.class == 5,
        (None, Some(code)) => code.is_permanent(),
        (None, None) => false,
    };
    if let Some(pattern) = Table::built_in().find(text) {
        return Bounce { cause: pattern.cause, is_permanent, ground: Ground::Words(pattern.text) };
    }
    if let (Some(status), Some(cause)) = (status, status.and_then(by_status)) {
        return Bounce { cause, is_permanent, ground: Ground::Status(status) };
    }
    match code.and_then(|code| Some((code, by_code(code)?))) {
        Some((code, cause)) => Bounce { cause, is_permanent, ground: Ground::Code(code) },
        None => Bounce { cause: Cause::Unknown, is_permanent, ground: Ground::Nothing },
    }
}

/// Likewise of what came of an attempt; none where it was delivered.
#[must_use]
pub fn of_outcome(outcome: &Outcome) -> Option<Bounce> {
    let (status, is_permanent) = match outcome {
        Outcome::Delivered { .. } => return None,
        Outcome::Bounced { status, .. } => (*status, true),
        Outcome::Deferred { status, .. } | Outcome::Expired { status, .. } => (*status, false),
    };
    let text = &outcome.evidence().text;
    let code = code_of(text);
    // A status that delivery made up from the code alone says no more than the code, and words say more than either.
    let given = code.is_none() || status_of(text).is_some();
    let bounce = classify(code, given.then_some(status), text);
    Some(Bounce { is_permanent, ..bounce })
}

/// The code that a text begins with.
fn code_of(text: &str) -> Option<ReplyCode> {
    let digits = text.trim_start().get(..3)?;
    let rest = text.trim_start().get(3..)?;
    let ends = rest.is_empty() || rest.starts_with([' ', '-', '\r', '\n']);
    if !ends || !digits.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(ReplyCode).filter(|code| code.is_transient() || code.is_permanent())
}

/// The status behind the code, or at the beginning.
fn status_of(text: &str) -> Option<Status> {
    let text = text.trim_start();
    let behind =
        if code_of(text).is_some() { text.get(4..).unwrap_or_default().trim_start_matches(['#', ' ', '(']) } else { text };
    let end = behind.find(|c: char| !matches!(c, '0'..='9' | '.')).unwrap_or(behind.len());
    Status::parse_prefix(behind.get(..end)?.trim_end_matches('.')).map(|(status, _)| status).filter(|status| status.class != 2)
}

/// RFC 3463 §3 and the registry of RFC 5248: what a status says by itself. What large providers are known to use for several things says nothing.
fn by_status(status: Status) -> Option<Cause> {
    Some(match (status.subject, status.detail) {
        (1, 1 | 3) => Cause::UnknownMailbox,
        (1, 2 | 10) => Cause::NoSuchDomain,
        (1, 6) => Cause::Moved,
        (1, 7 | 8) => Cause::Sender,
        // RFC 7505 §4.2: 7.27: the sender's domain takes no mail.
        (7, 27) => Cause::Sender,
        (2, 1) => Cause::Disabled,
        (2, 2) => Cause::MailboxFull,
        (2, 3) | (3, 4) => Cause::TooLarge,
        (2, 4) | (7, 2) => Cause::Restricted,
        (3, 1 | 2) | (4, 5) => Cause::Busy,
        (4, 6) => Cause::Loop,
        (4, 1..=4 | 7) => Cause::Unreachable,
        (4, _) if status.class == 4 => Cause::Unreachable,
        (5, 3) | (7, 28) => Cause::TooFast,
        (5, _) => Cause::Protocol,
        (6, 0) => Cause::Content,
        (6, 1..=5 | 8..=10) => Cause::Content,
        (6, 6 | 7) => Cause::Protocol,
        // RFC 7372 §3: signatures, SPF, reverse names.
        (7, 20..=24 | 26) => Cause::Authentication,
        (7, 25) => Cause::ReverseName,
        (7, 4 | 5 | 10 | 11) => Cause::Tls,
        (7, 0 | 1) => Cause::Policy,
        _ => return None,
    })
}

/// RFC 5321 §4.2.3: what a code says by itself. 521, 550, 553 and 554 are said of everything, the sender and our address too, so they say nothing.
fn by_code(code: ReplyCode) -> Option<Cause> {
    Some(match code.0 {
        421 | 431 | 441 | 442 | 451 | 452 => Cause::Busy,
        422 => Cause::MailboxFull,
        432 | 450 => Cause::Busy,
        500..=504 => Cause::Protocol,
        556 => Cause::NoSuchDomain,
        523 => Cause::TooLarge,
        530 | 538 => Cause::Tls,
        551 => Cause::Moved,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
