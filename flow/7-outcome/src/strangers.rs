//! What strangers have sent and done wrong in the last hour, by address and network. Promise: its memory is bounded when it is made; what one network
//! does is held against nobody outside it, and what one host does wrong beyond its own limit against no other host; and a client that has gone past a
//! limit is forgiven when an hour has gone by without more of it.
//!
//! An hour slides (see [`Tally`]): what came in one burst may count for up to two hours.

use std::net::IpAddr;
use std::time::Duration;

use postern_mail::client::Subnet;
use postern_mail::envelope::UnixMillis;
use postern_mail::{Offence, Tally};

const HOUR: Duration = Duration::from_secs(3600);

/// How much of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrangerSettings {
    /// Messages begun by one host.
    pub messages_per_hour: u32,
    /// Recipients accepted of one host.
    pub recipients_per_hour: u32,
    /// KiB of messages of one host.
    pub kib_per_hour: u32,
    /// Faults of one host.
    pub faults_per_hour: u32,
    /// Unknown recipients named by one host.
    pub recipients_unknown_per_hour: u32,
    /// A network may have so many times as much.
    pub network_factor: u32,
    /// A known client may have so many times as much.
    pub known_factor: u32,
    /// For each of the eleven counters. Taken when this is made, and not changed after.
    pub counter_bytes: usize,
}

/// What a session has used since it was last settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Recipients accepted.
    pub recipients: u32,
    /// KiB of messages.
    pub kib: u32,
}

/// What is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsedUp {
    /// No more messages.
    Messages,
    /// No more octets.
    Bytes,
}

/// A client that has done too much wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accused {
    /// Who is to be refused for a while: its host, or all of its network.
    pub of: Subnet,
    /// What it did most of, the last time.
    pub offence: Offence,
    /// In words.
    pub evidence: String,
}

/// A network that is refused for what it did as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which.
    pub of: Subnet,
    /// What is still counted of it, in words.
    pub why: String,
    /// When it is let in again.
    pub until: UnixMillis,
}

/// A client, as it is counted.
#[derive(Clone, Copy, Debug)]
pub struct Stranger {
    host: Subnet,
    network: Subnet,
    is_known: bool,
}

impl Stranger {
    /// One at this address; known when it logged in or delivered not long ago.
    #[must_use]
    pub fn new(address: IpAddr, is_known: bool) -> Self {
        Self { host: Subnet::host(address), network: Subnet::network(address), is_known }
    }
}

/// The counts of one limit.
#[derive(Debug)]
struct Pair {
    hosts: Tally<Subnet>,
    networks: Tally<Subnet>,
}

/// How much of a limit is left, and of what the least.
struct Left {
    host: u32,
    network: u32,
}

impl Pair {
    fn new(bytes: usize) -> Self {
        let tally = || Tally::new(Tally::<Subnet>::entries_in(bytes));
        Self { hosts: tally(), networks: tally() }
    }

    fn add(&mut self, now: UnixMillis, of: Stranger, amount: u32) {
        if amount > 0 {
            self.hosts.add(now, of.host, amount, HOUR);
            self.networks.add(now, of.network, amount, HOUR);
        }
    }

    fn left(&self, now: UnixMillis, of: Stranger, limit: u32, settings: &StrangerSettings) -> Left {
        let limit = if of.is_known { limit.saturating_mul(settings.known_factor) } else { limit };
        Left {
            host: limit.saturating_sub(self.hosts.get(now, of.host, HOUR)),
            network: limit.saturating_mul(settings.network_factor).saturating_sub(self.networks.get(now, of.network, HOUR)),
        }
    }
}

impl Left {
    fn least(&self) -> u32 {
        self.host.min(self.network)
    }
}

/// All counts. One owner, behind one lock.
#[derive(Debug)]
pub struct Strangers {
    settings: StrangerSettings,
    messages: Pair,
    recipients: Pair,
    kib: Pair,
    faults: Pair,
    recipients_unknown: Pair,
    refused: Tally<Subnet>,
}

impl Strangers {
    /// With these limits.
    #[must_use]
    pub fn new(settings: StrangerSettings) -> Self {
        let pair = || Pair::new(settings.counter_bytes);
        let (messages, recipients, kib, faults, recipients_unknown) = (pair(), pair(), pair(), pair(), pair());
        let refused = Tally::new(Tally::<Subnet>::entries_in(settings.counter_bytes));
        Self { settings, messages, recipients, kib, faults, recipients_unknown, refused }
    }

    /// New limits. What was counted stays, and so does the room it is counted in.
    pub fn adjust(&mut self, settings: StrangerSettings) {
        self.settings = settings;
    }

    /// Counts what a session has used.
    pub fn settle(&mut self, now: UnixMillis, of: Stranger, used: Used) {
        self.recipients.add(now, of, used.recipients);
        self.kib.add(now, of, used.kib);
    }

    /// A message begins: counts it, and gives how many recipients it may have. What other sessions of the same client use meanwhile is not known here, so
    /// together they may go past the limit by one message each.
    ///
    /// # Errors
    /// There is no more for this client in this hour; the message is not counted.
    pub fn message(&mut self, now: UnixMillis, of: Stranger) -> Result<u32, UsedUp> {
        let settings = &self.settings;
        if self.messages.left(now, of, settings.messages_per_hour, settings).least() == 0 {
            return Err(UsedUp::Messages);
        }
        if self.kib.left(now, of, settings.kib_per_hour, settings).least() == 0 {
            return Err(UsedUp::Bytes);
        }
        let recipients = self.recipients.left(now, of, settings.recipients_per_hour, settings).least();
        self.messages.add(now, of, 1);
        Ok(recipients)
    }

    /// What a session did wrong. Gives who is to be refused now, where that is too much: the host, and the network.
    pub fn misbehaved(&mut self, now: UnixMillis, of: Stranger, did: &[(Offence, u16)]) -> Vec<Accused> {
        // What it did most of, and how much in all.
        let count = |is_harvest: bool| {
            let did = did.iter().filter(|(offence, _)| (*offence == Offence::UnknownRecipient) == is_harvest);
            let (most, _) = did.clone().max_by_key(|(_, count)| *count)?;
            Some((*most, did.map(|(_, count)| u32::from(*count)).sum::<u32>()))
        };
        let settings = &self.settings;
        let kinds = [
            (count(false), &mut self.faults, settings.faults_per_hour, "faults"),
            (count(true), &mut self.recipients_unknown, settings.recipients_unknown_per_hour, "unknown recipients"),
        ];
        let mut accused = Vec::new();
        for (did, pair, limit, words) in kinds {
            let Some((offence, amount)) = did.filter(|(_, amount)| *amount > 0) else { continue };
            // One more than is left is too much.
            let left = pair.left(now, of, limit, settings);
            // What a host does beyond its own limit is its own doing: for that it is banned, and its neighbours have no part in it.
            let of_network = amount.min(left.host);
            let sum_of_host = pair.hosts.add(now, of.host, amount, HOUR);
            let sum_of_network = if of_network > 0 { pair.networks.add(now, of.network, of_network, HOUR) } else { 0 };
            let judged = [(of.host, amount, left.host, sum_of_host), (of.network, of_network, left.network, sum_of_network)];
            for (subnet, amount, left, sum) in judged {
                if amount > left {
                    let evidence = format!("{sum} {words} of {subnet} within an hour, the last {amount} in one session");
                    accused.push(Accused { of: subnet, offence, evidence });
                }
            }
        }
        accused
    }

    /// Refuses a network for so long from now; when it is refused already, the time that was said stands, and this is false.
    pub fn refuse(&mut self, now: UnixMillis, of: Subnet, refused_for: Duration) -> bool {
        let is_new = self.refused.get(now, of, refused_for) == 0;
        if is_new {
            self.refused.forget(of);
            self.refused.add(now, of, 1, refused_for);
        }
        is_new
    }

    /// A person says it was wrong to refuse these: none of their faults is held against them any more. What they have sent stays counted.
    pub fn pardon(&mut self, of: Subnet) {
        for pair in [&mut self.faults, &mut self.recipients_unknown] {
            pair.hosts.forget_where(|key| of.covers(key));
            pair.networks.forget_where(|key| of.covers(key));
        }
        // As with a guesser: what its whole network did is its neighbours' too, and stays where only one address is pardoned.
        self.refused.forget_where(|key| of.covers(key));
    }

    /// What is held against these, in words.
    fn faults_of(&self, now: UnixMillis, subnets: &[Subnet]) -> Vec<String> {
        let pairs = [(&self.faults, "faults"), (&self.recipients_unknown, "unknown recipients")];
        let counts = pairs.into_iter().flat_map(|(pair, words)| {
            subnets
                .iter()
                .flat_map(move |subnet| [(&pair.hosts, subnet), (&pair.networks, subnet)])
                .map(move |(tally, subnet)| (tally.get(now, *subnet, HOUR), *subnet, words))
        });
        let counts = counts.filter(|(count, ..)| *count > 0);
        counts.map(|(count, subnet, words)| format!("{count} {words} of {subnet} within an hour")).collect()
    }

    /// What is held against a client, for a person to read.
    #[must_use]
    pub fn held(&self, now: UnixMillis, client: IpAddr, refused_for: Duration) -> Vec<String> {
        let (host, network) = (Subnet::host(client), Subnet::network(client));
        let mut held = self.faults_of(now, &[host, network]);
        if self.refused.get(now, network, refused_for) > 0 {
            held.push(format!("{network} is refused for its faults"));
        }
        held
    }

    /// Networks that are refused now, by address: why, as far as it is still counted, and until when. Looks at all that is remembered of them.
    #[must_use]
    pub fn refused(&self, now: UnixMillis, refused_for: Duration) -> Vec<Refused> {
        let mut since: Vec<(Subnet, UnixMillis)> = self.refused.counting(now, refused_for).collect();
        since.sort_unstable();
        let refused = since.into_iter().map(|(of, since)| {
            let why = self.faults_of(now, &[of]).join(", ");
            let why = if why.is_empty() { "more faults within an hour than a network may make".to_owned() } else { why };
            Refused { of, why, until: since.plus(refused_for) }
        });
        refused.collect()
    }

    /// Memory held now, in octets.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let Self { settings: _, messages, recipients, kib, faults, recipients_unknown, refused } = self;
        let pairs = [messages, recipients, kib, faults, recipients_unknown];
        refused.bytes() + pairs.iter().map(|pair| pair.hosts.bytes() + pair.networks.bytes()).sum::<usize>()
    }

    /// Whether the network of an address is refused.
    #[must_use]
    pub fn refuses(&self, now: UnixMillis, address: IpAddr, refused_for: Duration) -> bool {
        self.refused.get(now, Subnet::network(address), refused_for) > 0
    }
}

#[cfg(test)]
mod tests;
