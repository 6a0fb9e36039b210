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

use crate::envelope::{MessageId, UnixMillis};

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

/// What somebody proved to be an account by, so that a session can tell when that is taken back. Only a password is one of the account's
/// credentials: whatever name the others go by in a record, nothing of the account is looked up by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Means {
    /// One of its passwords, by this verifier.
    Password {
        /// Tells it from one of the same name that came after it.
        mark: u64,
    },
    /// A token of this issuer.
    Token {
        /// Its name, to the letter.
        issuer: Arc<str>,
    },
    /// A certificate.
    Certificate {
        /// Its SHA-256.
        fingerprint: [u8; 32],
        /// It was noted for the account; otherwise an authority says that it is for the account's address.
        is_noted: bool,
        /// How often what certificates are verified by had changed when the connection began.
        epoch: u64,
    },
}

/// Who a client proved to be. Small, since every connection has room for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticated(Arc<Proof>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Proof {
    account: Arc<str>,
    credential: Arc<str>,
    /// `None` where a record does not say.
    means: Option<Means>,
    until: Option<UnixMillis>,
}

impl Authenticated {
    /// Only `side/state/authenticate.rs` calls this, after a credential was verified. `credential` is what it is called in records: the name
    /// of the app password, `password`, `token` or `certificate`.
    #[must_use]
    pub fn mint_after_verification(account: Arc<str>, credential: Arc<str>) -> Self {
        Self(Arc::new(Proof { account, credential, means: None, until: None }))
    }

    /// Notes what it was proven by, and when that ends by itself.
    #[must_use]
    pub fn by(self, means: Means, until: Option<UnixMillis>) -> Self {
        Self(Arc::new(Proof { means: Some(means), until, ..Arc::unwrap_or_clone(self.0) }))
    }

    /// See [`Authenticated::by`].
    #[must_use]
    pub fn means(&self) -> Option<&Means> {
        self.0.means.as_ref()
    }

    /// From then on it proves nothing.
    #[must_use]
    pub fn until(&self) -> Option<UnixMillis> {
        self.0.until
    }

    /// The name of the password it was proven by. Tokens and certificates have none, whatever they are called in a record.
    #[must_use]
    pub fn password(&self) -> Option<&Arc<str>> {
        matches!(self.0.means, Some(Means::Password { .. })).then_some(&self.0.credential)
    }

    /// Only `3-policy/src/record.rs` calls this, to make a recorded decision again; what comes of that is a verdict and never a reply.
    #[must_use]
    pub fn restored_from_record(account: Arc<str>, credential: Arc<str>) -> Self {
        Self(Arc::new(Proof { account, credential, means: None, until: None }))
    }

    /// The account's name, an address in canonical form.
    #[must_use]
    pub fn account(&self) -> &Arc<str> {
        &self.0.account
    }

    /// Which of its credentials.
    #[must_use]
    pub fn credential(&self) -> &Arc<str> {
        &self.0.credential
    }
}
