//! Facts in, verdict out, with the trail of reasons.
//!
//! Promise: a recipient elsewhere is only ever admitted with a [`RelayPermit`](postern_mail::proof::RelayPermit), and only
//! [`rules::relay`] makes one. What cannot be found out is deferred, never guessed in the client's favour.
//!
//! Exposure: judges what strangers sent, but only as values that were parsed before; it parses nothing itself.
//!
//! Forgetting the check does not compile. A recipient cannot be made from an address alone:
//!
//! ```compile_fail,E0061
//! use postern_mail::{Mailbox, Recipient, envelope::DsnRequest};
//! let anywhere = Mailbox::parse("someone@elsewhere.example").unwrap();
//! let recipient = Recipient::admitted(anywhere, DsnRequest::default());
//! ```
//!
//! ```compile_fail,E0451
//! use postern_mail::{Mailbox, Recipient, envelope::DsnRequest};
//! let anywhere = Mailbox::parse("someone@elsewhere.example").unwrap();
//! let recipient = Recipient { address: anywhere, hosted: true, dsn: DsnRequest::default() };
//! ```
//!
//! Nor can a permit be written down, or made out of nothing:
//!
//! ```compile_fail,E0423
//! let permit = postern_mail::proof::RelayPermit(());
//! ```
//!
//! ```compile_fail,E0277
//! let permit: postern_mail::proof::RelayPermit = Default::default();
//! ```
//!
//! What does compile is this: ask the policy, and show what it gave.
//!
//! ```
//! use postern_mail::{Mailbox, Recipient, envelope::{Admission, DsnRequest}};
//! fn add(to: Mailbox, admission: &Admission) -> Recipient {
//!     Recipient::admitted(to, admission, DsnRequest::default())
//! }
//! ```

pub mod decide;
pub mod explain;
pub mod facts;
pub mod policy;
pub mod record;
pub mod rules;
pub mod stage;

pub use decide::answer;
pub use explain::explain;
pub use facts::{ConnectFacts, Directory, HostedAnswer, MessageFacts, OwnedAddresses, RecipientFacts, ScopeSaid, SenderFacts};
pub use policy::{Outbound, Policy};
pub use stage::Stage;
