//! Small shared facts: accounts, who may prove to be one, and the history of messages.
//!
//! Promise: a credential is verified here and nowhere else, at the same cost whether the account exists or not; what an account change
//! says it has done is on disk; and nothing here holds up the path of a message.
//!
//! Exposure: user names and passwords of strangers, SASL messages, and, as text to be kept, every address and reply of a peer.

pub mod account;
pub mod accounts;
pub mod audit;
pub mod authenticate;
pub mod backend;
pub mod ban_set;
pub mod bans;
pub mod geo;
pub mod greylist;
pub mod guard;
mod hashers;
pub mod history;
pub mod known_networks;
pub mod lists;
pub mod oidc;
pub mod password;
pub mod quota;
pub mod reports;
pub mod reputation;
pub mod returns;
mod schema;
pub mod standing;
pub mod store;
pub mod suppression;
mod together;
pub mod trouble;
mod turns;

pub use account::{Account, Certificate, Credential, Owned, Way};
pub use accounts::{AccountFailure, Accounts, NewAccount, Unused};
pub use audit::Audit;
pub use authenticate::{AuthenticationSettings, Authenticator, Exchange, Start, Step};
pub use ban_set::BanSet;
pub use bans::{BanRows, BanStore};
pub use greylist::GreyRows;
pub use guard::Guard;
pub use history::{History, HistoryFigures, HistorySettings};
pub use lists::{FileSettings, Files, ListFailure, ListSettings, Lists, Looks, OwnEntry, Renewed};
pub use oidc::{Issuers, OidcSettings, TokenClaim};
pub use quota::{Claim, Counted, Quotas, Reservation};
pub use reports::ReportRows;
pub use reputation::ReputationRows;
pub use returns::{ReturnSettings, Returns, Sent};
pub use standing::{ScopeRow, Standing};
pub use store::Store;
pub use suppression::SuppressionRows;
pub use trouble::StateFailure;
