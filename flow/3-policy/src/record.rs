//! Decisions as octets, and back: what was asked, what was known, what each rule found. Promise: whatever a rule was given is in the record, so
//! that the same decision can be made again from it; any octets read give a record or nothing, in bounded memory.
//!
//! ```text
//! record   version, session, began, client address, port, listener, entry*
//! entry    kind, length (two octets), milliseconds since the session began, what the kind holds
//! text     length * 2 and the octets, or place * 2 + 1 of the same text earlier in the record
//! ```
//!
//! **A new fact** goes into three places, which stand beside each other here: the variant of [`Facts`], `write_facts` and `read_facts`, always
//! as the last thing of its entry, read with `unwrap_or_default`, so that older records still read. **A new stage** is a variant of [`Asked`] and
//! [`Facts`] and a kind of entry. **A new rule** needs nothing here, only its line in `base/mail/src/rule.rs`. Readers skip kinds they do not know.

mod read;
mod write;

use std::sync::Arc;

use postern_mail::envelope::UnixMillis;
use postern_mail::fact::{ClientFacts, Fact};
use postern_mail::greylist::GreySaid;
use postern_mail::message::headers::Headers;
use postern_mail::netset::Listed;
use postern_mail::proof::Authenticated;
use postern_mail::suppression::Suppressed;
use postern_mail::{DnsSaid, Envelope, HeloName, Mailbox, MessageId, Reply, ReversePath, Scored, SessionId, Verdict};

use crate::facts::{
    ConnectFacts, Found, HostedAnswer, Identity, MessageFacts, OwnedAddresses, RecipientFacts, ScopeSaid, SenderFacts,
};
use crate::policy::Policy;
use crate::stage::Stage;

pub use write::Recorder;

/// The layout. A record of a higher one is not read.
const VERSION: u8 = 1;
/// Longest record; the length of an entry has two octets.
pub const RECORD_BYTES_MAX: usize = 60_000;
/// The fields of a header section that rules look at, `Received` aside, of which only the number counts. New ones at the end.
const JUDGED_FIELDS: [&str; 5] = ["From", "Sender", "Auto-Submitted", "Content-Type", "Delivered-To"];

/// Kinds of entries.
mod kind {
    pub(super) const HELLO: u8 = 1;
    pub(super) const LOGIN: u8 = 2;
    pub(super) const SENDER: u8 = 3;
    pub(super) const RECIPIENT: u8 = 4;
    pub(super) const MESSAGE: u8 = 5;
    pub(super) const TOLD: u8 = 6;
    pub(super) const ACCEPTED: u8 = 7;
    pub(super) const CUT: u8 = 8;
    pub(super) const CONNECT: u8 = 9;
}

/// What a stage asks, as it is given to the rules.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'a> {
    /// Before the greeting.
    Connect(&'a ConnectFacts<'a>),
    /// MAIL.
    Sender(&'a SenderFacts<'a>),
    /// RCPT, and what the directory said.
    Recipient(&'a RecipientFacts<'a>, &'a HostedAnswer),
    /// The end of the body.
    Message(&'a MessageFacts<'a>),
}

/// The same, read back.
#[derive(Clone, Debug)]
pub enum Facts {
    /// See [`ConnectFacts`].
    Connect {
        /// What lists said.
        listed: Vec<Listed>,
    },
    /// See [`SenderFacts`].
    Sender {
        /// MAIL FROM.
        from: ReversePath,
        /// After AUTH.
        identity: Option<Known>,
        /// SIZE=.
        size: Option<u64>,
        /// What its scope said.
        scope: Option<ScopeSaid>,
        /// Points of the stages before.
        earlier: Vec<Scored>,
        /// What lists said that are asked by DNS.
        dns: DnsSaid,
        /// What local lists said.
        listed: Vec<Listed>,
    },
    /// See [`RecipientFacts`].
    Recipient {
        /// RCPT TO.
        to: Mailbox,
        /// After AUTH.
        who: Option<Authenticated>,
        /// What the directory said.
        hosted: HostedAnswer,
        /// What its scope said.
        scope: Option<ScopeSaid>,
        /// What local lists said.
        listed: Vec<Listed>,
        /// What was remembered of the attempt.
        greylist: Option<GreySaid>,
        /// What was remembered of the recipient.
        suppressed: Option<Suppressed>,
    },
    /// See [`MessageFacts`].
    Message {
        /// Sender and recipients; what no rule looks at is not kept.
        envelope: Box<Envelope>,
        /// After AUTH.
        identity: Option<Known>,
        /// The fields that rules look at.
        headers: Headers,
        /// Octets.
        size: u64,
        /// What its scope said.
        scope: Option<ScopeSaid>,
        /// Points of the stages before.
        earlier: Vec<Scored>,
        /// What was found out about it.
        found: Box<Found>,
    },
}

/// Who a client had proven to be, and its addresses as far as they had to do with the matter.
#[derive(Clone, Debug)]
pub struct Known {
    /// The proof of then.
    pub who: Authenticated,
    /// Its own addresses.
    pub owned: Fact<OwnedAddresses>,
}

impl Known {
    fn identity(&self) -> Identity<'_> {
        Identity { who: &self.who, owned: &self.owned }
    }
}

/// Whoever a question of "what if" makes up. What is decided about him is a verdict; nobody is let in by it.
#[must_use]
pub fn somebody(account: &str) -> Authenticated {
    Authenticated::restored_from_record(account.into(), "password".into())
}

impl Facts {
    /// When it was asked.
    #[must_use]
    pub const fn stage(&self) -> Stage {
        match self {
            Self::Connect { .. } => Stage::Connect,
            Self::Sender { .. } => Stage::Sender,
            Self::Recipient { .. } => Stage::Recipient,
            Self::Message { .. } => Stage::Message,
        }
    }

    /// Makes the decision again. What comes of it is a verdict, never a proof. `None`: there is no rule of this version at that stage.
    #[must_use]
    pub fn judge(&self, client: &ClientFacts, policy: &Policy) -> Option<Verdict> {
        match self {
            Self::Sender { earlier, .. } | Self::Message { earlier, .. } => self.judge_after(client, policy, earlier),
            Self::Connect { .. } | Self::Recipient { .. } => self.judge_after(client, policy, &[]),
        }
    }

    /// The same, where the stages before have found these points and not those of then.
    #[must_use]
    pub fn judge_after(&self, client: &ClientFacts, policy: &Policy, earlier: &[Scored]) -> Option<Verdict> {
        match self {
            Self::Connect { listed } => Some(policy.connect(&ConnectFacts { client, listed })),
            Self::Sender { from, identity, size, scope, dns, listed, .. } => {
                let identity = identity.as_ref().map(Known::identity);
                let scope = scope.as_ref();
                Some(policy.sender(&SenderFacts { client, from, identity, size: *size, scope, earlier, dns, listed }))
            }
            Self::Recipient { to, who, hosted, scope, listed, greylist, suppressed } => {
                let facts = RecipientFacts {
                    client,
                    to,
                    who: who.as_ref(),
                    scope: scope.as_ref(),
                    listed,
                    greylist: *greylist,
                    suppressed: *suppressed,
                };
                Some(policy.recipient(&facts, hosted).0)
            }
            Self::Message { envelope, identity, headers, size, scope, found, .. } => {
                let identity = identity.as_ref().map(Known::identity);
                let (size, scope) = (*size, scope.as_ref());
                Some(policy.message(&MessageFacts { client, envelope, identity, headers, size, scope, earlier, found }))
            }
        }
    }
}

/// Something that happened in a session.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When.
    pub at: UnixMillis,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum What {
    /// The client named itself.
    Hello(HeloName),
    /// A log-in, as far as it got.
    Login {
        /// Who it said it was.
        user: Option<Arc<str>>,
        /// What came of it, in words.
        result: Arc<str>,
    },
    /// Rules ran.
    Judged(Box<Judged>),
    /// A refusal that no rule had to be asked for, such as a full disk.
    Told {
        /// At which command.
        at: Arc<str>,
        /// What was said.
        reply: Reply,
        /// Why.
        because: Arc<str>,
    },
    /// The message was taken.
    Accepted(MessageId),
    /// Something that came here did not fit, and perhaps more behind it.
    Cut,
}

/// A decision with everything it was made from.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What the rules were given.
    pub facts: Facts,
    /// What they found.
    pub verdict: Verdict,
}

/// A session, or a piece of one.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its name.
    pub session: SessionId,
    /// When it began.
    pub began: UnixMillis,
    /// Who it was.
    pub client: ClientFacts,
    /// What happened, in order.
    pub entries: Vec<Entry>,
}

impl Record {
    /// Reads one. `None` for a newer layout, or for what is no record.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        read::record(bytes)
    }

    /// What has to do with one message: from its MAIL to its acceptance, and who the client was by then. `None` where its acceptance is not in
    /// here: what is must then be about others.
    #[must_use]
    pub fn about(mut self, id: MessageId) -> Option<Self> {
        let end = self.entries.iter().position(|entry| matches!(entry.what, What::Accepted(own) if own == id))?;
        self.entries.truncate(end + 1);
        let is_at = |entry: &Entry, stage| matches!(&entry.what, What::Judged(judged) if judged.facts.stage() == stage);
        let begin = self.entries.iter().rposition(|entry| is_at(entry, Stage::Sender)).unwrap_or(0);
        let mut at = 0;
        self.entries.retain(|entry| {
            at += 1;
            at > begin || matches!(entry.what, What::Hello(_) | What::Login { .. }) || is_at(entry, Stage::Connect)
        });
        Some(self)
    }
}

#[cfg(test)]
mod tests;
