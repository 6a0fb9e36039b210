//! Strangers, joined: what their sessions use and do wrong goes to the one who counts, and what comes of that to the door and to MAIL and RCPT.
//!
//! Promise: the lock is held for moments, twice for a message and once for a session in which something was wrong; and while nobody is refused, the door
//! takes no lock at all.

use std::mem;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postern_config::Config;
use postern_listener::Door;
use postern_mail::client::Subnet;
use postern_mail::envelope::UnixMillis;
use postern_mail::fact::ClientFacts;
use postern_mail::{Offence, Reply};
use postern_outcome::{Refused, Stranger, StrangerSettings, Strangers as Head, Used, UsedUp};
use postern_smtp::machine::Conduct;

use crate::wire::{Live, Server, clock, live};

/// Counts that share `limits.counters_memory`: five of connections, eleven of strangers. And one share more, for the old tables while new ones that are twice as
/// large are filled from them: that is half of a share at most, and not more than one on each side of the two locks grows at a time.
const COUNTERS: usize = 17;

/// The share of one of them.
#[must_use]
pub(crate) fn counter_bytes(config: &Config) -> usize {
    live::size(config.limits.counters_memory) / COUNTERS
}

fn settings(config: &Config) -> StrangerSettings {
    let limits = &config.limits;
    StrangerSettings {
        messages_per_hour: limits.messages_per_hour,
        recipients_per_hour: limits.recipients_per_hour,
        kib_per_hour: u32::try_from(limits.bytes_per_hour.0 / 1024).unwrap_or(u32::MAX),
        faults_per_hour: limits.faults_per_hour,
        recipients_unknown_per_hour: limits.recipients_unknown_per_hour,
        network_factor: limits.network_factor,
        known_factor: limits.known_factor,
        counter_bytes: counter_bytes(config),
    }
}

/// What is counted of strangers.
pub(crate) struct Strangers {
    head: Mutex<Head>,
    /// When the last who is refused is let in again, in milliseconds.
    refused_until: AtomicU64,
}

impl Strangers {
    pub(crate) fn new(config: &Config) -> Self {
        Self { head: Mutex::new(Head::new(settings(config))), refused_until: AtomicU64::new(0) }
    }

    /// A reload. What was counted stays.
    pub(crate) fn adjust(&self, config: &Config) {
        self.head().adjust(settings(config));
    }

    /// Memory of the counts now, in octets.
    pub(crate) fn counter_bytes(&self) -> usize {
        self.head().bytes()
    }

    /// Nothing these did wrong is held against them any more. True when a network among them was refused.
    pub(crate) fn pardon(&self, now: UnixMillis, of: Subnet, refused_for: Duration) -> bool {
        let mut head = self.head();
        let any_refused = head.refused(now, refused_for).iter().any(|refused| of.covers(&refused.of));
        head.pardon(of);
        any_refused
    }

    /// What is held against a client, for a person to read.
    pub(crate) fn held(&self, now: UnixMillis, client: IpAddr, refused_for: Duration) -> Vec<String> {
        self.head().held(now, client, refused_for)
    }

    /// Networks that are refused for their faults.
    pub(crate) fn refused(&self, now: UnixMillis, refused_for: Duration) -> Vec<Refused> {
        self.head().refused(now, refused_for)
    }

    fn head(&self) -> MutexGuard<'_, Head> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    /// Memory of all that is counted by address and network, in octets: of `limits.counters_memory`.
    pub(crate) fn counter_bytes(&self) -> usize {
        self.ceiling.counter_bytes() + self.strangers.counter_bytes()
    }
}

/// Our own networks: what their clients do is no stranger's doing.
fn is_ours(live: &Live, client: &ClientFacts) -> bool {
    let address = client.address.to_canonical();
    let server = &live.config.server;
    server.trusted_networks.iter().chain(&server.relay_networks).any(|network| network.contains(&address))
}

/// Whether a client may come in. Nothing is logged for one that may not.
pub(crate) fn door(server: &Server, client: &ClientFacts) -> Door {
    let now = clock();
    if now.0 > server.strangers.refused_until.load(Ordering::Relaxed) {
        return Door::Open;
    }
    let live = server.live.load();
    if !server.strangers.head().refuses(now, client.address, live.config.limits.refused_for) {
        return Door::Open;
    }
    // A known client is not refused for what others in its network did.
    if is_ours(&live, client) || server.ceiling.is_known(now, client.address) {
        return Door::Open;
    }
    server.metrics.turned_away("refused_for");
    Door::Shut(Some(Reply::too_many_faults_of_late(&live.hostname).with_client_as_reference(client.address)))
}

/// A session has ended in which something was wrong.
pub(crate) fn behaved(server: &Server, client: &ClientFacts, conduct: Conduct) {
    for limit in conduct.limits.iter() {
        server.metrics.limit_reached(limit.as_str());
    }
    let did = [
        (Offence::Syntax, conduct.syntax),
        (Offence::UnknownRecipient, conduct.recipients_unknown),
        (Offence::RefusedRelay, conduct.relays_refused),
        (Offence::EarlyTalk, u16::from(conduct.early)),
    ];
    let live = server.live.load();
    if did.iter().all(|(_, count)| *count == 0) || is_ours(&live, client) {
        return;
    }
    let now = clock();
    let stranger = Stranger::new(client.address, server.ceiling.is_known(now, client.address));
    let accused = server.strangers.head().misbehaved(now, stranger, &did);
    for accused in accused {
        let harvesting = accused.offence == Offence::UnknownRecipient;
        server.metrics.limit_reached(if harvesting { "recipients_unknown_per_hour" } else { "faults_per_hour" });
        if accused.of == Subnet::host(client.address) {
            server.offence(now, client.address, accused.offence, accused.evidence);
            continue;
        }
        // What a whole network did together is no one client's offence, and no ban.
        let refused_for = live.config.limits.refused_for;
        // Sessions that were open already go on doing wrong; that changes nothing, and is said no second time.
        let is_new = server.strangers.head().refuse(now, accused.of, refused_for);
        if is_new {
            server.strangers.refused_until.fetch_max(now.plus(refused_for).0, Ordering::Relaxed);
            tracing::warn!(of = %accused.of, for_s = refused_for.as_secs(), "refused before the greeting: {}", accused.evidence);
        }
    }
}

/// What one session has sent. A session that sends no mail costs one word of it.
#[derive(Default)]
pub(crate) struct Dues(Option<Box<Open>>);

struct Open {
    /// None for who is no stranger.
    stranger: Option<Stranger>,
    /// Since it was settled.
    used: Used,
    /// Of those of the message under way.
    recipients_left: u32,
    /// Octets of all its messages.
    bytes: u64,
    /// Octets of those that are in `used` already.
    settled_bytes: u64,
}

impl Open {
    fn settle(&mut self, server: &Server, now: UnixMillis) {
        let kib = (self.bytes - self.settled_bytes).div_ceil(1024);
        let used = Used { kib: u32::try_from(kib).unwrap_or(u32::MAX), ..mem::take(&mut self.used) };
        self.settled_bytes = self.bytes;
        if let Some(stranger) = self.stranger.filter(|_| used != Used::default()) {
            server.strangers.head().settle(now, stranger, used);
        }
    }
}

impl Dues {
    /// At MAIL: may there be another message? If not, what is said, and why.
    pub(crate) fn message(
        &mut self,
        server: &Server,
        live: &Live,
        (client, is_authenticated): (&ClientFacts, bool),
        size: Option<u64>,
    ) -> Result<(), (Reply, String)> {
        let now = clock();
        let limits = &live.config.limits;
        let is_stranger = !is_authenticated && !is_ours(live, client);
        let open = self.0.get_or_insert_with(|| {
            let stranger = is_stranger.then(|| Stranger::new(client.address, server.ceiling.is_known(now, client.address)));
            Box::new(Open { stranger, used: Used::default(), recipients_left: 0, bytes: 0, settled_bytes: 0 })
        });
        open.settle(server, now);
        if !is_stranger {
            // It may have been one when the session began.
            open.stranger = None;
        }
        let full = |reply, setting: &'static str| {
            server.metrics.limit_reached(setting);
            Err((reply, format!("limits.{setting} is reached")))
        };
        // The first is always taken, or one that is larger than this limit would be sent away for ever.
        if open.bytes > 0 && open.bytes.saturating_add(size.unwrap_or(0)) > limits.bytes_per_connection.0 {
            return full(Reply::connection_used_up(), "bytes_per_connection");
        }
        let Some(stranger) = open.stranger else {
            open.recipients_left = u32::MAX;
            return Ok(());
        };
        match server.strangers.head().message(now, stranger) {
            Ok(recipients) => open.recipients_left = recipients,
            Err(UsedUp::Messages) => return full(Reply::too_many_messages_for_now(), "messages_per_hour"),
            Err(UsedUp::Bytes) => return full(Reply::too_many_bytes_for_now(), "bytes_per_hour"),
        }
        Ok(())
    }

    /// At RCPT: may there be another recipient? If not, what is said, and why.
    pub(crate) fn recipient(&mut self, server: &Server) -> Result<(), (Reply, String)> {
        match &self.0 {
            Some(open) if open.recipients_left == 0 => {
                server.metrics.limit_reached("recipients_per_hour");
                Err((Reply::too_many_recipients_for_now(), "limits.recipients_per_hour is reached".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// A recipient was accepted.
    pub(crate) fn admitted(&mut self) {
        if let Some(open) = &mut self.0 {
            open.used.recipients = open.used.recipients.saturating_add(1);
            open.recipients_left = open.recipients_left.saturating_sub(1);
        }
    }

    /// Octets of a message came.
    pub(crate) fn received(&mut self, bytes: usize) {
        if let Some(open) = &mut self.0 {
            open.bytes = open.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        }
    }

    /// A message was taken: what it used is counted for all sessions of this client.
    pub(crate) fn settle(&mut self, server: &Server) {
        if let Some(open) = &mut self.0 {
            open.settle(server, clock());
        }
    }

    /// The session is over.
    pub(crate) fn end(&mut self, server: &Server) {
        self.settle(server);
    }
}

#[cfg(test)]
mod tests;
