//! DNS and everything built on it.
