//! Reading and writing the header section of a message without trusting it.

pub mod auth_results;
pub mod date;
pub mod headers;
mod iso_2022_jp;
pub mod mailbox_list;
pub mod received;
pub mod signed_fields;
