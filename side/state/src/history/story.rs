//! Head: an event as one line of JSON, and back. Promise: what is read back says what was recorded, and no peer's text can break a
//! line or add one.

use postern_mail::envelope::UnixMillis;
use postern_mail::event::Event;
use postern_mail::outcome::{Evidence, Outcome, Scope};
use postern_mail::{Mailbox, MessageId, Reply, ReversePath};
use serde::{Deserialize, Serialize};

/// Of one message, this many addresses can be found by; the story itself names all.
pub(crate) const ADDRESSES_PER_MESSAGE_MAX: usize = 1_000;

/// Something that happened, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened. Texts are as they came: whoever prints them quotes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// A message became durable and was acknowledged.
    Accepted {
        /// MAIL FROM without brackets; empty for a report.
        from: String,
        /// RCPT TO.
        to: Vec<String>,
        /// By whom.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        account: Option<String>,
        /// From where.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client: Option<String>,
        /// Octets.
        size: u64,
    },
    /// An attempt ended for one recipient.
    Attempted {
        /// Which.
        to: String,
        /// `delivered`, `deferred`, `bounced` or `expired`.
        result: String,
        /// How far a failure reaches: `recipient`, `message`, `host` or `destination`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scope: Option<String>,
        /// RFC 3463.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<String>,
        /// Who said so.
        by: String,
        /// What was said.
        text: String,
        /// The how many'th try.
        number: u16,
        /// Milliseconds since it was accepted.
        age: u64,
        /// Not before this, in milliseconds since 1970.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<u64>,
    },
    /// What was decided about it is to be read under the session's reference.
    Judged {
        /// The session.
        session: String,
    },
    /// Nothing is left to do.
    Finished,
    /// A person changed its fate.
    Ordered {
        /// `hold`, `release`, `retry`, `bounce` or `drop`.
        order: String,
        /// Why, as given.
        reason: String,
    },
    /// A network was banned.
    Banned {
        /// Which.
        network: String,
        /// What for.
        cause: String,
        /// What was seen, or why a person did.
        evidence: String,
        /// Milliseconds since 1970; none: until it is lifted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<u64>,
        /// The how many'th ban of it.
        times: u32,
    },
    /// A list that is asked by DNS is parked, or is asked again.
    DnsList {
        /// Its zone.
        zone: String,
        /// `parked` or `usable`.
        state: String,
        /// Why.
        because: String,
    },
    /// A ban is over.
    BanLifted {
        /// Of which network.
        network: String,
        /// Why.
        because: String,
    },
    /// Something about a credential.
    Credential {
        /// Whose.
        account: String,
        /// Which.
        credential: String,
        /// What happened.
        what: String,
        /// In words.
        because: String,
    },
    /// A sender, a recipient or a message was refused.
    Refused {
        /// At which command.
        stage: String,
        /// What we said.
        reply: String,
        /// Which rule decided, and its evidence.
        because: String,
        /// To whom.
        client: String,
        /// On which kind of listener.
        listener: String,
        /// The address it was about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<String>,
        /// The session's reference, for `postern explain`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<String>,
    },
}

/// An address as it is searched for.
pub(crate) fn search_form(address: &str) -> String {
    address.trim_start_matches('<').trim_end_matches('>').to_lowercase()
}

impl Entry {
    /// From an event and its time.
    #[must_use]
    pub fn of(at: UnixMillis, event: &Event) -> Self {
        let what = match event {
            Event::Accepted { from, recipients, account, client, size, .. } => What::Accepted {
                from: reverse_path(from),
                to: recipients.iter().map(Mailbox::to_string).collect(),
                account: account.as_deref().map(str::to_owned),
                client: client.map(|address| address.to_string()),
                size: *size,
            },
            Event::Attempted { recipient, outcome, number, age, next, .. } => {
                let (result, scope, status) = match outcome {
                    Outcome::Delivered { .. } => ("delivered", None, None),
                    Outcome::Deferred { scope, status, .. } => ("deferred", Some(*scope), Some(status)),
                    Outcome::Bounced { scope, status, .. } => ("bounced", Some(*scope), Some(status)),
                    Outcome::Expired { status, .. } => ("expired", None, Some(status)),
                };
                let Evidence { by, text } = outcome.evidence();
                What::Attempted {
                    to: recipient.to_string(),
                    result: result.to_owned(),
                    scope: scope.map(|scope| words(scope).to_owned()),
                    status: status.map(ToString::to_string),
                    by: by.to_string(),
                    text: text.to_string(),
                    number: *number,
                    age: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
                    next: next.map(|time| time.0),
                }
            }
            Event::Finished { .. } => What::Finished,
            Event::Ordered { what, reason, .. } => What::Ordered { order: (*what).to_owned(), reason: reason.clone() },
            Event::Banned(ban) => What::Banned {
                network: ban.of.to_string(),
                cause: ban.cause.to_string(),
                evidence: ban.evidence.clone(),
                until: ban.until.map(|until| until.0),
                times: ban.times,
            },
            Event::DnsList { zone, what, because } => {
                What::DnsList { zone: zone.to_string(), state: (*what).to_owned(), because: because.clone() }
            }
            Event::BanLifted { of, because } => What::BanLifted { network: of.to_string(), because: because.clone() },
            Event::Credential { account, credential, what, because } => What::Credential {
                account: account.to_string(),
                credential: credential.to_string(),
                what: (*what).to_owned(),
                because: because.clone(),
            },
            Event::Refused { at, reply, because, client, listener, address } => What::Refused {
                stage: (*at).to_owned(),
                reply: reply_text(reply),
                because: because.clone(),
                client: client.to_string(),
                listener: listener.to_string(),
                address: address.as_deref().map(str::to_owned),
                session: reply.reference().map(|id| id.to_string()),
            },
        };
        Self { at: at.0, what }
    }

    /// Appends one line with its end. JSON writes line ends within texts as escapes.
    pub(crate) fn write(&self, lines: &mut Vec<u8>) {
        let before = lines.len();
        if serde_json::to_writer(&mut *lines, self).is_ok() {
            lines.push(b'\n');
        } else {
            lines.truncate(before);
        }
    }

    /// Reads lines back; one that does not read, such as one of a newer version, is left out.
    pub(crate) fn read(lines: &[u8]) -> impl Iterator<Item = Self> {
        lines.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok())
    }

    /// The addresses a message is found by; none for anything but its acceptance.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let What::Accepted { from, to, account, .. } = &self.what else { return Vec::new() };
        let all = std::iter::once(from).chain(account).chain(to).filter(|text| !text.is_empty());
        let mut addresses: Vec<String> = all.take(ADDRESSES_PER_MESSAGE_MAX).map(|text| search_form(text)).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }
}

fn reverse_path(path: &ReversePath) -> String {
    path.mailbox().map(Mailbox::to_string).unwrap_or_default()
}

fn reply_text(reply: &Reply) -> String {
    match &reply.status {
        Some(status) => format!("{} {status} {}", reply.code.0, reply.text()),
        None => format!("{} {}", reply.code.0, reply.text()),
    }
}

fn words(scope: Scope) -> &'static str {
    match scope {
        Scope::Recipient => "recipient",
        Scope::Message => "message",
        Scope::Host => "host",
        Scope::Destination => "destination",
    }
}

/// The key a row of a message begins with.
pub(crate) fn message_key(id: MessageId) -> [u8; 8] {
    id.0.to_be_bytes()
}
