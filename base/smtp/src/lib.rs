//! The wire grammar of SMTP, shared by both ends of a conversation. No I/O, no clock.
//!
//! Promise: one framing, one parser. Only CRLF ends a line and only CRLF.CRLF ends data, at every split of the bytes; nothing
//! downstream parses peer text again.
//!
//! Exposure: every octet a stranger sends passes through here first.

pub mod body;
pub mod chunk;
pub mod command;
pub mod extension;
pub mod line;
pub mod machine;
pub mod params;
pub mod path;
pub mod reply_lines;
pub mod sasl;
