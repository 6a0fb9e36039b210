//! The limits of a delivery as plain values, taken from the configuration, where their defaults and reasons stand.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use postern_config::Outbound;

use crate::classify::Stage;

/// How long each step may take (RFC 5321 §4.5.3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP connect, per address.
    pub connect: Duration,
    /// RFC 5321 §4.5.3.2.1: five minutes for the greeting.
    pub greeting: Duration,
    /// Replies to EHLO, HELO, LHLO, STARTTLS and AUTH.
    pub hello: Duration,
    /// The TLS handshake.
    pub handshake: Duration,
    /// RFC 5321 §4.5.3.2.2: five minutes for the reply to MAIL.
    pub mail: Duration,
    /// RFC 5321 §4.5.3.2.3: five minutes for each reply to RCPT.
    pub recipient: Duration,
    /// RFC 5321 §4.5.3.2.4: two minutes for the reply to DATA.
    pub data_start: Duration,
    /// RFC 5321 §4.5.3.2.5: three minutes for each piece of the body to be taken by the peer.
    pub data_piece: Duration,
    /// RFC 5321 §4.5.3.2.6: ten minutes for the reply after the body, since giving up early makes duplicates.
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

impl From<&postern_config::Timeouts> for Timeouts {
    fn from(config: &postern_config::Timeouts) -> Self {
        Self {
            connect: config.connect,
            greeting: config.greeting,
            hello: config.hello,
            handshake: config.handshake,
            mail: config.mail,
            recipient: config.recipient,
            data_start: config.data,
            data_piece: config.data_block,
            data_end: config.data_end,
            attempt: config.attempt,
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

/// RFC 5321 §4.5.3.1.8: every server takes at least this many recipients.
const RECIPIENTS_MAX: usize = 100;
/// A body of this size, sent in vain because nobody was accepted, costs less than the round trip it saves the others.
const AT_ONCE_BYTES_MAX: usize = 256 * 1024;

impl Settings {
    /// From the configuration. `hostname` is the server's name, `own_addresses` every address we listen at, with wildcards resolved.
    #[must_use]
    pub fn new(outbound: &Outbound, hostname: &str, own_addresses: Vec<SocketAddr>) -> Self {
        let egress = outbound.egress.first();
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        Self {
            hostname: egress.and_then(|egress| egress.helo.as_ref()).map_or(hostname, |helo| helo.as_str()).into(),
            timeouts: Timeouts::from(&outbound.timeouts),
            egress: egress.map(|egress| egress.addresses.clone()).unwrap_or_default(),
            own_addresses,
            addresses_max: count(outbound.addresses_max),
            recipients_max: RECIPIENTS_MAX,
            messages_per_connection_max: outbound.messages_per_connection,
            kept_max: count(outbound.kept_connections_max),
            kept_per_key_max: count(outbound.lanes.connections_per_destination_max),
            kept_idle: outbound.kept_idle,
            at_once_bytes_max: AT_ONCE_BYTES_MAX,
        }
    }
}
