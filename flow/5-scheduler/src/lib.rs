//! Who is next, when, and how many at once.
//!
//! A [`Scheduler`] is a head: it knows no clock, no disk and no network. Its owner tells it what was queued
//! ([`insert`](Scheduler::insert)), asks what to try ([`due`](Scheduler::due)), reports what came of it
//! ([`finished`](Scheduler::finished)), and comes back at [`next_wakeup`](Scheduler::next_wakeup), which is also when
//! [`notices`](Scheduler::notices) has something to say about messages that grew too old without an attempt.
//!
//! Promise: a ticket that was taken leaves only as `Done`, `Expired` or `Removed`, each once; nothing is handed out twice at a time;
//! and neither a destination that is silent nor an account with a long queue delays anyone else's mail.
//!
//! Exposure: strangers choose destinations and how many of them there are; they choose nothing else in here.

mod accounts;
mod admit;
mod backoff;
mod chance;
mod expiry;
mod groups;
mod lane;
mod lanes;
mod orders;
mod pace;
mod providers;
mod scheduler;
mod settings;
mod store;
mod summary;
mod ticket;
mod too_much;
mod window;
mod words;

pub use admit::Admission;
pub use backoff::Backoff;
pub use expiry::Expiry;
pub use providers::{Provider, Providers};
pub use scheduler::Scheduler;
pub use settings::{SchedulerSettings, Shaping};
pub use words::{Counts, Disposition, LaneSummary, LastTrouble, Notice, NoticeKind, Rejected, Report, Shows, Trouble};
