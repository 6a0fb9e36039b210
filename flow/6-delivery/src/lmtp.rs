//! LMTP servers (RFC 2033): mailbox stores, for final delivery. What is said there differs from SMTP in two places of
//! `dialogue`: LHLO in place of EHLO, and one reply per recipient after the body.
//!
//! RFC 5321 §4.4: the store is where delivery becomes final, so Return-Path is its to add; what we send has none.

use std::path::PathBuf;

use crate::next_hop::{HostAddresses, NextHop, Place, Protocol, TlsPolicy};

impl NextHop {
    /// An LMTP server behind a socket in the file system; nobody is on the way, so there is no TLS.
    #[must_use]
    pub fn lmtp_socket(path: PathBuf) -> Self {
        Self { place: Place::Unix(path), protocol: Protocol::Lmtp, tls: TlsPolicy::None, credentials: None }
    }

    /// An LMTP server over TCP, whose addresses the caller has looked up. RFC 2033 §1: never port 25.
    #[must_use]
    pub fn lmtp(host: HostAddresses) -> Self {
        let place = Place::Hosts(vec![host]);
        Self { place, protocol: Protocol::Lmtp, tls: TlsPolicy::Opportunistic, credentials: None }
    }
}
