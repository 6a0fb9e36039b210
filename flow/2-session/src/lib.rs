//! The SMTP server conversation as a state machine: inputs go in, actions come out, and nothing in it touches the world.
//!
//! Promise: a reply of 250 after data is made from the spool's proof and nothing else; a recipient enters an envelope with its
//! admission and nothing else; what came before a TLS handshake is forgotten; AUTH happens under TLS on submission listeners only.
//!
//! Exposure: it acts on every command a stranger sends. It holds one envelope of bounded size and never a body.

mod auth;
mod bdat;
mod data;
mod hello;
mod mail;
mod patience;
mod rcpt;
mod session;
mod settings;
mod small;
mod starttls;
mod state;
mod turn;

pub use session::Session;
pub use settings::{Hurry, SessionSettings};

#[cfg(test)]
mod tests;
