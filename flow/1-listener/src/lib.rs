//! The first step of the path: sockets, TLS, ceilings and deadlines.
//!
//! Promises: every ceiling is checked before work is done for a stranger; nothing sent before a TLS handshake is read after it; a peer
//! that is slow, in whatever way, is gone within the configured time; an idle connection holds no buffer.
//!
//! Exposure: the whole Internet, from the first packet. This crate frames bytes and counts; it never decides what they mean.

pub mod accept;
pub mod ceiling;
pub mod proxy_protocol;
pub mod pump;
pub mod shed;
pub mod stream;
pub mod tls;

pub use accept::{Conversations, Door, Listener, bind};
pub use ceiling::{Arrival, Ceiling, CeilingSettings, Full};
pub use pump::{Host, PumpSettings};
pub use tls::{CertificateSlot, ClientAuthorities, OldestVersion, asking_for_certificates, server_config};
