//! Connects, talks SMTP and LMTP as a client, files into Maildirs, posts to applications, and reports an outcome per recipient.
//!
//! Promise: every recipient of an attempt gets exactly one [`Outcome`](postern_mail::Outcome), whatever the peer does; what we send is
//! clean by the rule we receive by; no credentials and no REQUIRETLS message ever go out in clear.
//!
//! Exposure: a hostile next hop chooses every octet we read here, and how slowly it comes. Replies are bounded by `postern-smtp`, time by
//! [`Timeouts`].

pub mod attempt;
pub mod body;
mod chosen;
pub mod classify;
mod connect;
mod connection;
mod dane;
mod dialogue;
mod final_header;
pub mod lmtp;
pub mod maildir;
pub mod next_hop;
#[cfg(feature = "rehearsal")]
pub mod rehearsal;
mod reuse;
mod send_body;
pub mod settings;
mod tally;
pub mod tls_policy;
pub mod webhook;

pub use attempt::{Counts, Delivery, Inquiry};
pub use body::{BodyPieces, BodySource, BoxFuture, InlineBody, InlinePieces};
pub use maildir::{Maildirs, Template};
pub use next_hop::{Credentials, HostAddresses, HostRule, HostTls, Message, Named, NextHop, Place, Protocol, TlsPolicy};
pub use settings::{Settings, Timeouts};
pub use tls_policy::{Roots, RootsFault, TlsClient};
pub use webhook::Webhook;
