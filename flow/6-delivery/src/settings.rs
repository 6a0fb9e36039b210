//! The limits of a delivery as plain values; the binary fills them from its configuration, and their reasons stand there.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::classify::Stage;

/// How long each step may take (RFC 5321 §4.5.3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP connect, per address.
    pub connect: Duration,
    /// The greeting: RFC 5321 §4.5.3.2.1.
    pub greeting: Duration,
    /// Replies to EHLO, HELO, LHLO, STARTTLS and AUTH.
    pub hello: Duration,
    /// The TLS handshake.
    pub handshake: Duration,
    /// The reply to MAIL: RFC 5321 §4.5.3.2.2.
    pub mail: Duration,
    /// Each reply to RCPT: RFC 5321 §4.5.3.2.3.
    pub recipient: Duration,
    /// The reply to DATA: RFC 5321 §4.5.3.2.4.
    pub data_start: Duration,
    /// Each piece of the body to be taken by the peer: RFC 5321 §4.5.3.2.5.
    pub data_piece: Duration,
    /// The reply after the body: RFC 5321 §4.5.3.2.6. Long, since giving up early makes duplicates.
    pub data_end: Duration,
    /// The whole attempt, all hosts together.
    pub attempt: Duration,
}

impl Timeouts {
    /// For the reply to what is done at this stage.
    pub(crate) fn of(&self, stage: Stage) -> Duration {
        match stage {
            Stage::Connect => self.connect,
            Stage::Greeting => self.greeting,
            Stage::Hello | Stage::StartTls | Stage::Auth => self.hello,
            Stage::Mail => self.mail,
            Stage::Rcpt => self.recipient,
            Stage::Data => self.data_start,
            Stage::Body => self.data_end,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(n * 60);
        Self {
            connect: Duration::from_secs(30),
            greeting: minutes(5),
            hello: minutes(5),
            handshake: minutes(1),
            mail: minutes(5),
            recipient: minutes(5),
            data_start: minutes(2),
            data_piece: minutes(3),
            data_end: minutes(10),
            attempt: minutes(60),
        }
    }
}

/// Everything a [`Delivery`](crate::Delivery) must be told once.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What we call ourselves in EHLO.
    pub hostname: Box<str>,
    /// Per step.
    pub timeouts: Timeouts,
    /// Source addresses: the first of the right family is bound. Empty: the system chooses.
    pub egress: Vec<IpAddr>,
    /// Where we listen ourselves, with every local address for a wildcard: never connected to.
    pub own_addresses: Vec<SocketAddr>,
    /// Addresses tried in one attempt.
    pub addresses_max: usize,
    /// RCPTs in one transaction; RFC 5321 §4.5.3.1.8 lets every server take 100.
    pub recipients_max: usize,
    /// Messages over one connection.
    pub messages_per_connection_max: u32,
    /// Connections kept idle in all.
    pub kept_max: usize,
    /// Connections kept idle to one next hop.
    pub kept_per_key_max: usize,
    /// How long a connection is kept idle.
    pub kept_idle: Duration,
    /// Bodies up to this many octets are sent in one write with the envelope, where the host allows it.
    pub at_once_bytes_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hostname: "localhost".into(),
            timeouts: Timeouts::default(),
            egress: Vec::new(),
            own_addresses: Vec::new(),
            addresses_max: 8,
            recipients_max: 100,
            messages_per_connection_max: 100,
            kept_max: 500,
            kept_per_key_max: 20,
            kept_idle: Duration::from_secs(10),
            at_once_bytes_max: 256 * 1024,
        }
    }
}
