//! What an account or one of its credentials may do, and no more: from where, when, as whom, to whom, how much. A part that is not set
//! does not restrict.
//!
//! Promise: of two scopes that both hold ([`Narrowed`]), nothing is allowed that either refuses; so the scope of an app password can only
//! narrow that of its account. A refusal names the part that failed.

use std::fmt;

use crate::address::{Mailbox, ReversePath};
use crate::client::ListenerKind;
use crate::domain::Domain;
use crate::envelope::UnixMillis;
use crate::fact::ClientFacts;
use crate::netset::Network;

/// Entries of one list.
pub const ENTRIES_MAX: usize = 1_000;
/// A count that is never reached: the part is lifted, also where a default would hold.
pub const UNLIMITED: u32 = u32::MAX;

/// Which addresses a list names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// This one.
    Exact(Mailbox),
    /// Every address of this domain, not of those below it.
    Domain(Domain),
    /// Every address of the domains below this one.
    Below(Domain),
}

impl Addresses {
    /// Reads `name@example.org`, `example.org` or `*.example.org`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(domain) = text.strip_prefix("*.") {
            return Domain::parse(domain).ok().map(Self::Below);
        }
        if text.contains('@') && !text.starts_with('@') {
            return Mailbox::parse(text).ok().map(Self::Exact);
        }
        Domain::parse(text.strip_prefix('@').unwrap_or(text)).ok().map(Self::Domain)
    }

    /// True when `mailbox` is among them. RFC 5321 §2.4 DEPARTS: local parts are compared without regard to ASCII case, as those of accounts
    /// are; a scope that could be left by writing `Alice` for `alice` would be none.
    #[must_use]
    pub fn contains(&self, mailbox: &Mailbox) -> bool {
        match self {
            Self::Exact(own) => own.host == mailbox.host && own.local.as_str().eq_ignore_ascii_case(mailbox.local.as_str()),
            Self::Domain(domain) => mailbox.domain() == Some(domain),
            Self::Below(domain) => mailbox.domain().is_some_and(|other| other != domain && other.is_within(domain)),
        }
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(mailbox) => mailbox.fmt(f),
            Self::Domain(domain) => domain.fmt(f),
            Self::Below(domain) => write!(f, "*.{domain}"),
        }
    }
}

/// A part of a scope, by the name it has in refusals and on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Kinds of listeners.
    Listeners,
    /// Networks of the client.
    Networks,
    /// Envelope senders, From and Sender.
    Senders,
    /// Recipients.
    Recipients,
    /// A quota.
    MessagesPerHour,
    /// A quota.
    MessagesPerDay,
    /// A quota.
    RecipientsPerHour,
    /// A quota.
    RecipientsPerDay,
    /// Octets of a message.
    MessageSize,
    /// Not before.
    ValidFrom,
    /// Not from then on.
    ValidUntil,
}

impl Part {
    /// All of them, in the order they are shown in.
    pub const ALL: [Self; 11] = [
        Self::Listeners,
        Self::Networks,
        Self::Senders,
        Self::Recipients,
        Self::MessagesPerHour,
        Self::MessagesPerDay,
        Self::RecipientsPerHour,
        Self::RecipientsPerDay,
        Self::MessageSize,
        Self::ValidFrom,
        Self::ValidUntil,
    ];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Listeners => "listeners",
            Self::Networks => "networks",
            Self::Senders => "senders",
            Self::Recipients => "recipients",
            Self::MessagesPerHour => "messages-per-hour",
            Self::MessagesPerDay => "messages-per-day",
            Self::RecipientsPerHour => "recipients-per-hour",
            Self::RecipientsPerDay => "recipients-per-day",
            Self::MessageSize => "message-size",
            Self::ValidFrom => "valid-from",
            Self::ValidUntil => "valid-until",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a scope refuses. The words may hold an address of the peer: to be quoted where it is printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// What failed.
    pub part: Part,
    /// `may not send to other.example`.
    pub words: String,
}

/// Four counts. `None`: this scope sets none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// In any hour.
    pub messages_per_hour: Option<u32>,
    /// In any day.
    pub messages_per_day: Option<u32>,
    /// In any hour.
    pub recipients_per_hour: Option<u32>,
    /// In any day.
    pub recipients_per_day: Option<u32>,
}

impl Quota {
    /// What is not set here, from `defaults`.
    #[must_use]
    pub fn or(self, defaults: Self) -> Self {
        Self {
            messages_per_hour: self.messages_per_hour.or(defaults.messages_per_hour),
            messages_per_day: self.messages_per_day.or(defaults.messages_per_day),
            recipients_per_hour: self.recipients_per_hour.or(defaults.recipients_per_hour),
            recipients_per_day: self.recipients_per_day.or(defaults.recipients_per_day),
        }
    }

    /// True when there is nothing to count.
    #[must_use]
    pub fn is_unlimited(self) -> bool {
        [self.messages_per_hour, self.messages_per_day, self.recipients_per_hour, self.recipients_per_day]
            .iter()
            .all(|limit| limit.is_none_or(|limit| limit == UNLIMITED))
    }
}

/// What is used up, and when some of it is free again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaFull {
    /// Which count.
    pub part: Part,
    /// So many.
    pub limit: u32,
    /// Not before this.
    pub free_at: UnixMillis,
}

/// What may be done. The default allows everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountScope {
    /// On these kinds of listeners.
    pub listeners: Option<Vec<ListenerKind>>,
    /// From these networks.
    pub networks: Option<Vec<Network>>,
    /// With these addresses in MAIL FROM, From and Sender.
    pub senders: Option<Vec<Addresses>>,
    /// To these addresses.
    pub recipients: Option<Vec<Addresses>>,
    /// So many.
    pub quota: Quota,
    /// Octets of a message.
    pub message_bytes_max: Option<u64>,
    /// From then on.
    pub valid_from: Option<UnixMillis>,
    /// Up to then.
    pub valid_until: Option<UnixMillis>,
}

fn breach(part: Part, words: impl Into<String>) -> Result<(), Breach> {
    Err(Breach { part, words: words.into() })
}

impl AccountScope {
    /// True when it restricts nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// May this client use it at all, now?
    ///
    /// # Errors
    /// Which part refuses.
    pub fn place(&self, now: UnixMillis, client: &ClientFacts) -> Result<(), Breach> {
        if self.valid_from.is_some_and(|from| now < from) {
            return breach(Part::ValidFrom, "is not valid yet");
        }
        if self.valid_until.is_some_and(|until| until <= now) {
            return breach(Part::ValidUntil, "is no longer valid");
        }
        if self.listeners.as_ref().is_some_and(|kinds| !kinds.contains(&client.listener)) {
            return breach(Part::Listeners, format!("may not be used on a {} listener", client.listener));
        }
        if self.networks.as_ref().is_some_and(|networks| !networks.iter().any(|network| network.contains(client.address))) {
            return breach(Part::Networks, format!("may not be used from {}", client.address));
        }
        Ok(())
    }

    /// May it be the envelope's sender? The null sender is nobody's.
    ///
    /// # Errors
    /// [`Part::Senders`].
    pub fn sender(&self, from: &ReversePath) -> Result<(), Breach> {
        match from {
            ReversePath::Null => Ok(()),
            ReversePath::Mailbox(mailbox) => self.author(mailbox),
        }
    }

    /// May it stand in From or Sender?
    ///
    /// # Errors
    /// [`Part::Senders`].
    pub fn author(&self, mailbox: &Mailbox) -> Result<(), Breach> {
        match &self.senders {
            Some(list) if !list.iter().any(|entry| entry.contains(mailbox)) => {
                breach(Part::Senders, format!("may not send as {mailbox}"))
            }
            _ => Ok(()),
        }
    }

    /// May it be sent to?
    ///
    /// # Errors
    /// [`Part::Recipients`].
    pub fn recipient(&self, to: &Mailbox) -> Result<(), Breach> {
        match &self.recipients {
            Some(list) if !list.iter().any(|entry| entry.contains(to)) => {
                let of_domain = list.iter().any(|entry| matches!(entry, Addresses::Exact(own) if own.host == to.host));
                // The whole domain is told where no address of it would do.
                let whom = if of_domain { to.to_string() } else { to.host.to_string() };
                breach(Part::Recipients, format!("may not send to {whom}"))
            }
            _ => Ok(()),
        }
    }

    /// May a message have so many octets?
    ///
    /// # Errors
    /// [`Part::MessageSize`].
    pub fn size(&self, octets: u64) -> Result<(), Breach> {
        match self.message_bytes_max {
            Some(max) if octets > max => breach(Part::MessageSize, format!("may not send more than {max} octets in a message")),
            _ => Ok(()),
        }
    }
}

/// The scope of an account, and that of the credential it was proven with: both hold.
#[derive(Clone, Copy, Debug)]
pub struct Narrowed<'a> {
    /// The account's.
    pub account: &'a AccountScope,
    /// The credential's.
    pub credential: Option<&'a AccountScope>,
}

impl Narrowed<'_> {
    fn both(&self, asked: impl Fn(&AccountScope) -> Result<(), Breach>) -> Result<(), Breach> {
        asked(self.account)?;
        self.credential.map_or(Ok(()), asked)
    }

    /// As [`AccountScope::place`].
    ///
    /// # Errors
    /// Which part refuses.
    pub fn place(&self, now: UnixMillis, client: &ClientFacts) -> Result<(), Breach> {
        self.both(|scope| scope.place(now, client))
    }

    /// As [`AccountScope::sender`].
    ///
    /// # Errors
    /// Which part refuses.
    pub fn sender(&self, from: &ReversePath) -> Result<(), Breach> {
        self.both(|scope| scope.sender(from))
    }

    /// As [`AccountScope::author`].
    ///
    /// # Errors
    /// Which part refuses.
    pub fn author(&self, mailbox: &Mailbox) -> Result<(), Breach> {
        self.both(|scope| scope.author(mailbox))
    }

    /// As [`AccountScope::recipient`].
    ///
    /// # Errors
    /// Which part refuses.
    pub fn recipient(&self, to: &Mailbox) -> Result<(), Breach> {
        self.both(|scope| scope.recipient(to))
    }

    /// As [`AccountScope::size`].
    ///
    /// # Errors
    /// Which part refuses.
    pub fn size(&self, octets: u64) -> Result<(), Breach> {
        self.both(|scope| scope.size(octets))
    }

    /// When the first of them ends.
    #[must_use]
    pub fn valid_until(&self) -> Option<UnixMillis> {
        [self.account.valid_until, self.credential.and_then(|scope| scope.valid_until)].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;
