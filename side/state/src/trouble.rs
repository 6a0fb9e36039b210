//! What can go wrong with the store, and which of it ends the process.

/// The store failed.
#[derive(Debug, thiserror::Error)]
pub enum StateFailure {
    /// A write failed, and what is on disk is no longer known. The process must end and start again: recovery at start-up is the only way
    /// back.
    #[error("the state store failed to write and cannot be trusted until the server starts again: {0}")]
    Poisoned(String),
    /// Another process has it open, most likely the running server.
    #[error("the state store is in use by another process")]
    InUse,
    /// Written by a newer version; an older one would not understand it and might destroy it.
    #[error("the state store has layout {found}, this version knows layouts up to {known}: use the newer version that wrote it")]
    Newer {
        /// In the store.
        found: u32,
        /// The highest this program knows.
        known: u32,
    },
    /// Something in it does not read.
    #[error("the state store holds something unreadable: {0}")]
    Corrupt(String),
    /// The disk said no before anything was written.
    #[error("state store: {0}")]
    Disk(String),
    /// The system gave no randomness.
    #[error("the system gives no random numbers")]
    NoRandomness,
}

impl StateFailure {
    /// True when the process must end.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Poisoned(_))
    }
}
