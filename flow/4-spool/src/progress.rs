//! How far a message has come. Promise: what is not recorded here is open, so a lost record means a second try, never a lost
//! recipient.

use postern_mail::envelope::UnixMillis;
use postern_mail::reply::Status;

/// Longest evidence text kept per recipient, in octets.
pub const REASON_BYTES_MAX: usize = 512;

/// How far a message has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Attempts made so far.
    pub attempts: u16,
    /// Not before this.
    pub due: UnixMillis,
    /// A person, or a rule, keeps it back; the reason as given.
    pub held: Option<Box<str>>,
    /// The sender was told that it takes longer (RFC 3461 §4.1, NOTIFY=DELAY), so it is not told again.
    pub delay_reported: bool,
    /// One for each recipient of the envelope, in its order.
    pub recipients: Vec<RecipientProgress>,
}

/// How far one recipient has come.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RecipientProgress {
    /// What is known.
    pub state: RecipientState,
    /// A report about this state is on its way, so a second one is not written after a restart.
    pub reported: bool,
    /// What was said last.
    pub last: Option<Reason>,
}

/// What is known of a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RecipientState {
    /// Something is left to do.
    #[default]
    Open,
    /// The next hop took responsibility.
    Delivered,
    /// Refused for good.
    Bounced,
    /// Tried for as long as is configured.
    Expired,
    /// A person took it out.
    Dropped,
}

/// What was said, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// RFC 3463.
    pub status: Option<Status>,
    /// Who said it. Cut at [`REASON_BYTES_MAX`] when it is written.
    pub by: Box<str>,
    /// What. Cut at [`REASON_BYTES_MAX`] when it is written.
    pub text: Box<str>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { attempts: 0, due: UnixMillis(0), held: None, delay_reported: false, recipients: Vec::new() }
    }
}

impl Progress {
    /// A message that was just accepted for so many recipients.
    #[must_use]
    pub fn fresh(recipients: usize) -> Self {
        Self { recipients: vec![RecipientProgress::default(); recipients], ..Self::default() }
    }

    /// The same without what was said: when that takes too much room, what became of the recipients must still be kept, or those who have
    /// the message get it again.
    pub(crate) fn without_reasons(&self) -> Self {
        let recipients = self.recipients.iter().map(|recipient| RecipientProgress { last: None, ..recipient.clone() }).collect();
        Self { recipients, ..self.clone() }
    }

    /// Indices of the recipients that something is left to do for.
    pub fn open(&self) -> impl Iterator<Item = usize> {
        self.recipients.iter().enumerate().filter(|(_, r)| r.state == RecipientState::Open).map(|(index, _)| index)
    }
}
