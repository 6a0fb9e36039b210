//! Two-ended conversation, in-process sink and name server, real peers, faulty disk; only ever a dev-dependency.
//!
//! Promise: everything listens on loopback, waits within a bound, cleans up after itself, and shows what a program said when a test fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "this is test code: a panic is a failed test, and it has to keep time"
)]

pub mod certificate;
pub mod client;
pub mod dns;
pub mod faulty_disk;
pub mod guard_sim;
pub mod issuer;
pub mod maildir;
pub mod mmdb;
pub mod peers;
pub mod policy_host;
pub mod program;
pub mod sink;
pub mod vectors;
pub mod wait;
pub mod webhook;
