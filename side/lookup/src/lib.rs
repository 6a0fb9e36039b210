//! DNS and everything built on it.
//!
//! Promise: every question ends within its time limit with an answer or a reason, and what is remembered is bounded and never outlives
//! its time to live. No name is special: `localhost`, `.test` and `.example` are asked for like any other.
//!
//! Exposure: parses what name servers, and through them strangers, send. The parsing itself is the library's; what comes out of it is
//! turned into words of `base/mail` here or skipped.

pub mod authenticity;
mod cache;
mod dane;
pub mod dnslist;
pub mod mta_sts;
pub mod mx;
pub mod published;
pub mod resolver;
pub mod reverse_dns;
pub mod seal;
mod spf;
mod tls_rpt;
pub mod zone;

pub use authenticity::{Authenticator, Authors, MessageAsked, ReadMessage};
pub use dnslist::{Change, DnsList, DnsListSettings, DnsLists, HealthSettings, Heard, Subject, TestPoint, View};
pub use mta_sts::{Fetcher, StsFault, StsPolicy};
pub use mx::{Exchange, MxAnswer, shuffle_equals};
pub use published::{Consent, NoAnswer};
pub use resolver::{LookupFailure, LookupSettings, Resolver, SetupFailure};
pub use seal::{SealAsked, Sealer};
pub use tls_rpt::TlsReportTo;

#[cfg(test)]
mod test_server;
