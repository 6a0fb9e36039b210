//! What happened, and what it teaches policy and scheduler.
//!
//! Promise: whoever sent a message hears of it when it fails, once, and a report never causes another.
//!
//! Exposure: repeats what hostile next hops said and hostile senders wrote, so everything that goes into a report passes
//! [`report`]'s one writer of lines.

pub mod auth_guard;
pub mod bans;
pub mod bounce;
pub mod crowd;
pub mod due;
pub mod greylist;
pub mod guard;
pub mod record;
pub mod report;
pub mod strangers;
pub mod suppression;

pub use auth_guard::{Accusation, AuthGuard, GuardSettings};
pub use bans::{BanSettings, Bans, Judged, OrderRefused, Spared, SparedAs};
pub use bounce::{Advice, Bounce, Category, Cause};
pub use crowd::{Crowd, is_private};
pub use due::{Action, DelayNotice, Ended, Line, Reach, ReportDue, Returned, reports_due};
pub use guard::{Guard, GuardOfAccountsSettings, News, Refusal};
pub use record::{attempted, expired};
pub use report::{Original, Report, Reporter};
pub use strangers::{Accused, Refused, Stranger, StrangerSettings, Strangers, Used, UsedUp};
pub use suppression::{Learnt, SuppressionSettings, Suppressions};
