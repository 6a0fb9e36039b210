//! What the binary fills in from the configuration. Promise: only plain values; defaults and their reasons live in `base/config`.

use std::time::Duration;

use postern_mail::Domain;
use postern_mail::fact::Mechanism;

/// What strangers are held to while the server is under stress.
#[derive(Clone, Copy, Debug)]
pub struct Hurry {
    /// In place of [`SessionSettings::command_timeout`].
    pub command_timeout: Duration,
    /// In place of [`SessionSettings::data_timeout`].
    pub data_timeout: Duration,
    /// In place of [`SessionSettings::faults_per_session`] and [`SessionSettings::recipients_unknown_per_session`].
    pub faults_per_session: u16,
}

/// The limits and offers of one listener's sessions, shared by all of them.
#[derive(Clone, Debug)]
pub struct SessionSettings {
    /// Our name in the greeting, the replies to EHLO and HELO, and behind a bare `postmaster`.
    pub hostname: Domain,
    /// Octets of one message after un-stuffing, offered as SIZE (RFC 1870 §3).
    pub message_size: u64,
    /// Recipients of one message from another server. RFC 5321 §4.5.3.1.8: at least 100.
    pub recipients_per_message: u32,
    /// Recipients of one message from an authenticated client.
    pub recipients_per_submission: u32,
    /// Transactions in one connection: every MAIL that was answered 250 counts (RFC 9422 §4.1).
    pub messages_per_connection: u32,
    /// Faults a session may commit; the next one ends it: unknown commands, syntax, wrong order, refused relays, wrong
    /// credentials (RFC 5321 §7.8).
    pub faults_per_session: u16,
    /// Unknown recipients a session may name; the next one ends it, since it is harvesting addresses (RFC 5321 §7.8).
    pub recipients_unknown_per_session: u16,
    /// Commands that do nothing for a message, since the last one that was taken; the next one ends the session.
    pub idle_commands_per_session: u32,
    /// While the server is under stress, these hold for who has not logged in, where they are less.
    pub hurry: Hurry,
    /// For one whole command line or SASL response. RFC 5321 §4.5.3.2.7 asks for 5 minutes.
    pub command_timeout: Duration,
    /// For the next piece of a body. RFC 5321 §4.5.3.2.5 asks for 3 minutes.
    pub data_timeout: Duration,
    /// From MAIL to the last octet of the body, however patiently it dribbles.
    pub transaction_timeout: Duration,
    /// From the first moment of the connection to its last.
    pub session_timeout: Duration,
    /// A certificate is there, so STARTTLS is offered (RFC 3207 §3).
    pub tls_available: bool,
    /// Offered under TLS on submission listeners, in this order, and nowhere else (RFC 4954 §3).
    pub mechanisms: Vec<Mechanism>,
}
