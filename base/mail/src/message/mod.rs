//! Reading and writing the header section of a message without trusting it.

pub mod date;
pub mod headers;
pub mod received;
