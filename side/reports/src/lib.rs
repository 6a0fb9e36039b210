//! DMARC aggregate reports (RFC 9990), abuse reports (ARF, RFC 5965) and reports on TLS (RFC 8460): counted, written, and read.
//!
//! Promise: what is counted and what is read is bounded, whatever strangers send; and a count that had no room is said to be missing.
//!
//! Exposure: reads mail, archives and XML of strangers; writes names that strangers chose into XML and header fields.

pub mod aggregate;
pub mod arf;
pub mod book;
pub mod dsn;
pub mod mail;
pub mod night;
pub mod read;
pub mod received;
pub mod tls;
pub mod tls_book;
mod unpack;
mod write;
mod xml;

pub use aggregate::{Aggregate, DkimLine, Policy, Reason, Record, SpfLine};
pub use arf::{Complaint, Failure};
pub use book::{Book, BookLimits, Counted, RowChange};
pub use dsn::{Told, read_dsn};
pub use mail::{ReportMail, Reporter};
pub use night::{Night, Pace, Singles};
pub use read::{Limits, Report, Unreadable, read};
pub use received::{Digest, Received, Subject, Sum, Totals};
pub use tls::TlsReport;
pub use tls_book::{Applied, TlsBook, TlsCounted, TlsLimits};
