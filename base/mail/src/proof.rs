//! Proofs: values that can only be made where the thing they prove was done. Each has one minting place, and `cargo xtask tidy`
//! fails when another file calls the minting function.
//!
//! | proof | proves | minted in |
//! |---|---|---|
//! | [`Committed`] | the message is durable | `4-spool` |
//! | [`RelayPermit`] | this client may send to other people's domains | `3-policy/rules/relay.rs` |
//! | [`Hosted`] | the domain is ours and the recipient exists | `3-policy/rules/recipient.rs` |
//! | [`Authenticated`] | a credential was verified | `side/state/authenticate.rs` |

use std::sync::Arc;

use crate::envelope::MessageId;

/// The message is on disk and synced. There is no other way to a `250` after data.
#[derive(Debug)]
pub struct Committed {
    id: MessageId,
}

impl Committed {
    /// Only `4-spool` calls this, after the sync that covers the message returned without error.
    #[must_use]
    pub fn mint_after_sync(id: MessageId) -> Self {
        Self { id }
    }

    /// Which message.
    #[must_use]
    pub fn id(&self) -> MessageId {
        self.id
    }
}

/// Permission to send to domains that are not ours. An open relay would need one that nobody may mint.
#[derive(Clone, Debug)]
pub struct RelayPermit(());

impl RelayPermit {
    /// Only `3-policy/rules/relay.rs` calls this.
    #[must_use]
    pub fn mint_by_rule() -> Self {
        Self(())
    }
}

/// The recipient belongs to a domain we take mail for.
#[derive(Clone, Debug)]
pub struct Hosted(());

impl Hosted {
    /// Only `3-policy/rules/recipient.rs` calls this.
    #[must_use]
    pub fn mint_by_rule() -> Self {
        Self(())
    }
}

/// Who a client proved to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticated {
    account: Arc<str>,
    credential: Arc<str>,
    mark: Option<u64>,
}

impl Authenticated {
    /// Only `side/state/authenticate.rs` calls this, after a credential was verified. `credential` is the name of the app password,
    /// or `password`.
    #[must_use]
    pub fn mint_after_verification(account: Arc<str>, credential: Arc<str>) -> Self {
        Self { account, credential, mark: None }
    }

    /// Notes which verifier it was verified against, so that a session can tell when its password was replaced.
    #[must_use]
    pub fn marked(self, mark: u64) -> Self {
        Self { mark: Some(mark), ..self }
    }

    /// See [`Authenticated::marked`]; `None` where the proof did not come from a password of ours.
    #[must_use]
    pub fn mark(&self) -> Option<u64> {
        self.mark
    }

    /// Only `3-policy/src/record.rs` calls this, to make a recorded decision again; what comes of that is a verdict and never a reply.
    #[must_use]
    pub fn restored_from_record(account: Arc<str>, credential: Arc<str>) -> Self {
        Self { account, credential, mark: None }
    }

    /// The account's name, an address in canonical form.
    #[must_use]
    pub fn account(&self) -> &Arc<str> {
        &self.account
    }

    /// Which of its credentials.
    #[must_use]
    pub fn credential(&self) -> &Arc<str> {
        &self.credential
    }
}
