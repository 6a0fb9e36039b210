//! What travels with a message and is not in it (RFC 5321 §2.3.1).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::address::{Mailbox, ReversePath};
use crate::crockford;
use crate::proof::{Hosted, RelayPermit};

/// A message's name within this server: unique, growing, printed as 13 characters of Crockford's base 32 (no I, L, O, U).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub u64);

/// Characters a message's name is printed with.
const MESSAGE_ID_CHARS: usize = 13;

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crockford::print(self.0, MESSAGE_ID_CHARS, f)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no message id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAMessageId;

impl FromStr for MessageId {
    type Err = NotAMessageId;

    fn from_str(text: &str) -> Result<Self, NotAMessageId> {
        crockford::read(text, MESSAGE_ID_CHARS).map(Self).ok_or(NotAMessageId)
    }
}

/// A point in time as milliseconds since 1970, UTC: what is written to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// From the system's time; before 1970 counts as 1970.
    #[must_use]
    pub fn from_system(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// This much later; never past the end of time.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero when it was not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// BODY= of MAIL FROM (RFC 6152 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum BodyKind {
    /// Seven bits, the default.
    #[default]
    SevenBit,
    /// Eight bits, still lines.
    EightBitMime,
}

/// RET= of MAIL FROM (RFC 3461 §4.3): how much of the message a failure report returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// All of it.
    Full,
    /// Its headers.
    Headers,
}

/// NOTIFY= of RCPT TO (RFC 3461 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notify {
    /// Report delivery.
    pub success: bool,
    /// Report failure.
    pub failure: bool,
    /// Report delay.
    pub delay: bool,
}

impl Notify {
    /// NOTIFY=NEVER.
    pub const NEVER: Self = Self { success: false, failure: false, delay: false };
    /// What a sender who asked for nothing gets (RFC 3461 §4.1: failure, and we may report delay).
    pub const DEFAULT: Self = Self { success: false, failure: true, delay: true };
}

/// What a sender asked of reports about one recipient (RFC 3461 §4.1, §4.2).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DsnRequest {
    /// NOTIFY=, where it was given.
    pub notify: Option<Notify>,
    /// ORCPT=, address type and address as they came, still in xtext.
    pub original: Option<Box<str>>,
}

/// Why a recipient is in an envelope at all.
#[derive(Clone, Debug)]
pub enum Admission {
    /// The domain is ours.
    Hosted(Hosted),
    /// It is not, and this client may send there.
    Relay(RelayPermit),
}

/// One recipient. Promise: there is no way to make one without a [`Hosted`] or a [`RelayPermit`], except reading back what was made with
/// one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    address: Mailbox,
    hosted: bool,
    dsn: DsnRequest,
}

impl Recipient {
    /// A recipient that policy admitted.
    #[must_use]
    pub fn admitted(address: Mailbox, admission: &Admission, dsn: DsnRequest) -> Self {
        Self { address, hosted: matches!(admission, Admission::Hosted(_)), dsn }
    }

    /// Only `4-spool` calls this, for a recipient that was admitted before it was written; checked by tidy.
    #[must_use]
    pub fn restored_from_spool(address: Mailbox, hosted: bool, dsn: DsnRequest) -> Self {
        Self { address, hosted, dsn }
    }

    /// Only the routing of the binary calls this: whom an alias of an admitted recipient leads to; checked by tidy. Where reports about it
    /// go is unchanged, and so is what they call the recipient, where the sender said so. RFC 5321 §3.9.1: an alias changes the recipient
    /// and nothing else. RFC 3461 §5.2.7.2: what the sender asked of reports goes on with it. RFC 3461 §5.2.7.3 TODO: where an alias has
    /// several members, SUCCESS goes on to each of them, and no `expanded` report is sent.
    #[must_use]
    pub fn redirected_by_alias(&self, to: Mailbox) -> Self {
        Self { address: to, hosted: self.hosted, dsn: self.dsn.clone() }
    }

    /// Only the report writer of the binary calls this: the recipient of a report is the reverse path of a message that was accepted
    /// (RFC 3464); checked by tidy. RFC 3461 §6.1: of NOTIFY it may ask NEVER only.
    #[must_use]
    pub fn of_report(address: Mailbox) -> Self {
        Self { address, hosted: false, dsn: DsnRequest { notify: Some(Notify::NEVER), original: None } }
    }

    /// Only `3-policy/src/record.rs` calls this, to make a recorded decision again; what comes of that is a verdict and never mail.
    #[must_use]
    pub fn recipient_of_record(address: Mailbox, hosted: bool) -> Self {
        Self { address, hosted, dsn: DsnRequest::default() }
    }

    /// Where to.
    #[must_use]
    pub fn address(&self) -> &Mailbox {
        &self.address
    }

    /// True when the domain was ours at the time of accepting.
    #[must_use]
    pub fn is_hosted(&self) -> bool {
        self.hosted
    }

    /// What the sender asked of reports.
    #[must_use]
    pub fn dsn(&self) -> &DsnRequest {
        &self.dsn
    }
}

/// Everything about a message that is not its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Where reports go.
    pub from: ReversePath,
    /// At least one.
    pub recipients: Vec<Recipient>,
    /// BODY=.
    pub body: BodyKind,
    /// SMTPUTF8 was given (RFC 6531 §3.4): the message may only go to servers that offer it, where it needs to.
    pub smtputf8: bool,
    /// REQUIRETLS was given (RFC 8689 §2).
    pub require_tls: bool,
    /// RET=.
    pub ret: Option<Return>,
    /// ENVID=, still in xtext.
    pub envid: Option<Box<str>>,
    /// The account it was submitted by; none for mail from other servers.
    pub account: Option<Arc<str>>,
    /// The client's address.
    pub client: Option<IpAddr>,
    /// When its MAIL FROM came.
    pub received: UnixMillis,
}

impl Envelope {
    /// From somebody to these, of which nothing else is known.
    #[must_use]
    pub fn plain(from: ReversePath, recipients: Vec<Recipient>) -> Self {
        Self {
            from,
            recipients,
            body: BodyKind::SevenBit,
            smtputf8: false,
            require_tls: false,
            ret: None,
            envid: None,
            account: None,
            client: None,
            received: UnixMillis(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_ids_round_trip_and_sort_as_they_print() {
        for value in [0, 1, 31, 32, u64::MAX, 1_700_000_000_000_000] {
            let text = MessageId(value).to_string();
            assert_eq!(text.len(), 13);
            assert_eq!(text.parse(), Ok(MessageId(value)));
        }
        assert!(MessageId(5).to_string() < MessageId(1 << 40).to_string());
        assert!("ZZZZZZZZZZZZZ".parse::<MessageId>().is_err(), "past 64 bits");
        assert!("".parse::<MessageId>().is_err());
    }
}
