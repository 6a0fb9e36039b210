//! Durable: nothing is acknowledged before it is here.
//!
//! One log is the whole truth of the queue; there is no second index on disk that could disagree. Messages, what became of them, and
//! that they are finished are records in it; many records share one write and one sync (`committer.rs`); large bodies have files of their
//! own, so that small messages never wait behind them (`writer.rs`).
//!
//! The crash table. Every row has a test that cuts the power there, in `tests/power_cuts.rs`:
//!
//! | body file | records in the log | meaning | at start-up |
//! |---|---|---|---|
//! | absent | none | nothing here | nothing |
//! | partial or whole | none | was being received or about to be committed, never acknowledged | the file is removed |
//! | absent or whole | Message in a torn group | was being committed, never acknowledged | the group is dropped, the file removed |
//! | whole, or body in the record | Message | durable; the `250` was sent or was about to be, so a duplicate is possible and a loss is not | schedule |
//! | the same | Message, Progress | the same, and so far | schedule what is open; Progress in a torn group is done again |
//! | the same | Message, Finished in a torn group | finished, and nobody was told that this is durable | schedule: a duplicate is possible |
//! | whole or absent | Message, Finished | finished | the file is removed |
//! | the same | Message twice | was being moved to the head of the log | the newer one counts |
//! | absent or of another length | Message | cannot happen | set aside, alarm, do not guess |
//! | any | a gap in the group numbers | cannot happen | salvage single records, set the segment aside, alarm |
//!
//! On disk: `format` (one line with the version), `lock`, `log/<generation>.seg` (in use or ready), `log/<generation>.free` (to be used
//! again), `bodies/<id>`, `damaged/` (what was set aside, for a person).
//!
//! Exposure: reads only what it wrote itself, but the bodies in it are strangers' octets; see `layout.rs` for why they cannot pass for
//! anything else.

mod committer;
pub mod disk;
mod format;
mod index;
mod layout;
mod log;
mod progress;
mod reader;
mod record;
mod recover;
mod scan;
mod settings;
mod shared;
mod spool;
mod upkeep;
mod walk;
mod workers;
mod writer;

pub use disk::{Disk, DiskFile, RealDisk};
pub use format::SpoolError;
pub use progress::{Progress, REASON_BYTES_MAX, Reason, RecipientProgress, RecipientState};
pub use reader::{Body, BodyFile, LoadError, Stored};
pub use recover::{Damage, Recovered, RecoveredMessage};
pub use settings::SpoolSettings;
pub use spool::{Spool, SpoolStats};
pub use walk::read_records_once;
pub use writer::Writer;
