//! The words of mail: values that parse, print and compare. No I/O, no clock, no chance.
//!
//! Promise: past this crate nobody handles an address, a domain or a reply as loose text. What a peer sent is a value
//! of this crate or a [`Fault`](trouble::Fault).
//!
//! Exposure: parses what strangers send, so nothing here may panic, loop without end or grow without bound on any input.

pub mod address;
pub mod attempt;
pub mod authenticity;
pub mod ban;
pub mod client;
mod crockford;
pub mod dns_list;
pub mod domain;
pub mod envelope;
pub mod event;
pub mod fact;
pub mod filter;
pub mod greylist;
pub mod guard;
pub mod guess;
pub mod link;
pub mod list;
pub mod message;
pub mod netset;
pub mod offence;
pub mod outcome;
pub mod proof;
pub mod published;
pub mod quoted;
pub mod reply;
pub mod return_token;
pub mod rule;
pub mod scope;
pub mod secret;
pub mod session_id;
pub mod suppression;
pub mod tally;
pub mod tls_session;
pub mod tlsa;
pub mod trouble;
pub mod verdict;

pub use address::{ForwardPath, LocalPart, Mailbox, ReversePath};
pub use dns_list::{DnsListRule, DnsListed, DnsMute, DnsSaid, DnsTarget, DnsUnheard};
pub use domain::{Domain, HeloName, Host};
pub use envelope::{Envelope, MessageId, Recipient};
pub use guard::{GuardLimits, GuardSaid, GuardStep};
pub use offence::Offence;
pub use outcome::{Outcome, Scope};
pub use quoted::Quoted;
pub use reply::{Reply, ReplyCode, Status};
pub use secret::Secret;
pub use session_id::SessionId;
pub use tally::Tally;
pub use tls_session::{TlsBasis, TlsFailure, TlsSession};
pub use tlsa::{Tlsa, TlsaSet};
pub use trouble::Outage;
pub use verdict::{Decision, Effect, Finding, Mode, Modes, Points, RuleName, Scored, Verdict};
