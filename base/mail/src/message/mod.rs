//! Reading and writing the header section of a message without trusting it.

pub mod auth_results;
pub mod date;
pub mod headers;
pub mod mailbox_list;
pub mod received;
pub mod signed_fields;
