//! Who is banned, for how long, and what is remembered of it. Promise: no ban ever covers a trusted network, a proxy or an address of our own;
//! an automatic one always ends; and however many offend, the memory is bounded.
//!
//! **How long.** The first ban of a host takes `first`, each next one `factor` times the one before, up to `longest`. A host is an IPv4 /32
//! or an IPv6 /64. What a host did while it was banned already makes nothing longer: it is the tail of the same offence.
//!
//! **What is remembered.** A ban that has ended counts for the next one until it has been over for `memory`; then it is forgotten as a whole.
//! One that a person lifts is forgotten at once, since it was wrong.
//!
//! **Neighbours.** When `widen_at` hosts of one /24 or /48 are banned at a time, the network is banned, by the same reckoning of its own; not where
//! whoever reports the offence knows that others of the network are customers.
//!
//! **What goes first.** There are at most `bans_max` records. When a new one finds no room, what is over that and a sixteenth are forgotten: of those that have
//! ended the ones that ended first, then of the automatic ones in force the ones that end first. What a person ordered never goes; a person may
//! order half of all.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use postern_mail::Offence;
use postern_mail::ban::{self, Ban, BanChange, By, Cause};
use postern_mail::client::Subnet;
use postern_mail::envelope::UnixMillis;

/// How bans are meted out.
#[derive(Clone, Debug, PartialEq)]
pub struct BanSettings {
    /// The length of a first ban.
    pub first: Duration,
    /// How much longer each next one is.
    pub factor: f64,
    /// The longest.
    pub longest: Duration,
    /// How long one that is over counts for the next.
    pub memory: Duration,
    /// Banned hosts of one network at which the network is banned; 0: never.
    pub widen_at: u32,
    /// Records at most.
    pub bans_max: usize,
}

/// Why a network is never banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SparedAs {
    /// `[server] trusted_networks`.
    Trusted,
    /// `proxy_protocol_from` of a listener: behind it is everybody.
    Proxy,
    /// An address we listen on.
    Own,
}

impl SparedAs {
    /// In words, for the operator.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trusted => "one of [server] trusted_networks",
            Self::Proxy => "a proxy of a listener (proxy_protocol_from)",
            Self::Own => "an address of this server",
        }
    }
}

/// A network that is never banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spared {
    /// Which.
    pub network: Subnet,
    /// Why.
    pub reason: SparedAs,
}

/// What came of an offence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// A ban began.
    Banned,
    /// There was one already.
    AlreadyBanned,
    /// This client is never banned.
    Spared(SparedAs),
}

/// Why an order to ban is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderRefused {
    /// All of it is spared.
    Spared(Spared),
    /// Half of all records are orders already.
    TooMany(usize),
}

/// The book of bans.
#[derive(Debug)]
pub struct Bans {
    settings: BanSettings,
    spared: Vec<Spared>,
    records: BTreeMap<Subnet, Ban>,
    /// Bans that ended before this were told of.
    swept: UnixMillis,
}

/// What is done to the book, in order.
type Changes = Vec<BanChange>;

impl Bans {
    /// An empty book.
    #[must_use]
    pub fn new(settings: BanSettings, spared: Vec<Spared>) -> Self {
        Self { settings, spared, records: BTreeMap::new(), swept: UnixMillis(0) }
    }

    /// Takes in what was kept over a restart. An automatic ban that would last longer than any may, because the clock was set back or the setting
    /// made shorter, is cut to the longest.
    pub fn load(&mut self, now: UnixMillis, kept: impl IntoIterator<Item = Ban>) -> Changes {
        let mut changes = Vec::new();
        self.swept = now;
        for mut ban in kept {
            let longest = now.plus(self.settings.longest);
            if ban.by() == By::Automatic && ban.until.is_none_or(|until| until > longest) {
                ban.until = Some(longest);
                self.put(now, ban, &mut changes);
            } else {
                self.make_room(now, &mut changes);
                self.records.insert(ban.of, ban);
            }
        }
        self.lift_spared(now, &mut changes);
        changes
    }

    /// New settings and new networks to spare. Bans of what is spared from now on are lifted, and none lasts longer than the new longest.
    pub fn adjust(&mut self, now: UnixMillis, settings: BanSettings, spared: Vec<Spared>) -> Changes {
        (self.settings, self.spared) = (settings, spared);
        let mut changes = Vec::new();
        self.lift_spared(now, &mut changes);
        let longest = now.plus(self.settings.longest);
        for ban in self.records.values_mut() {
            if ban.by() == By::Automatic && ban.until.is_none_or(|until| until > longest) {
                ban.until = Some(longest);
                changes.push(BanChange::Put(ban.clone()));
            }
        }
        changes
    }

    /// Bans of nothing but spared networks. One that is wider stands, and the door lets the spared part in.
    fn lift_spared(&mut self, now: UnixMillis, changes: &mut Changes) {
        let lifted: Vec<Subnet> = self
            .records
            .values()
            .filter(|ban| ban.is_active(now) && self.spares_all(&ban.of).is_some())
            .map(|ban| ban.of)
            .collect();
        for of in lifted {
            self.forget(of, changes);
        }
    }

    /// Why a client is never banned, if it is not.
    #[must_use]
    pub fn spares(&self, client: IpAddr) -> Option<SparedAs> {
        self.spared.iter().find(|spared| spared.network.contains(client)).map(|spared| spared.reason)
    }

    fn spares_all(&self, of: &Subnet) -> Option<Spared> {
        self.spared.iter().find(|spared| spared.network.covers(of)).copied()
    }

    /// The networks that are never banned.
    #[must_use]
    pub fn spared(&self) -> &[Spared] {
        &self.spared
    }

    /// A client has offended so much that it earned a ban.
    pub fn offence(&mut self, now: UnixMillis, client: IpAddr, offence: Offence, evidence: String) -> (Judged, Changes) {
        let (judged, mut changes) = self.offence_of_one(now, client, offence, evidence);
        if let Some(BanChange::Put(Ban { of, .. })) = changes.last() {
            let host = *of;
            self.widen(now, host, offence, &mut changes);
        }
        (judged, changes)
    }

    /// The same of a client whose neighbours are to have no part in it, however many of them are banned.
    pub fn offence_of_one(&mut self, now: UnixMillis, client: IpAddr, offence: Offence, evidence: String) -> (Judged, Changes) {
        if let Some(why) = self.spares(client) {
            return (Judged::Spared(why), Vec::new());
        }
        if self.active(now, client).is_some() {
            return (Judged::AlreadyBanned, Vec::new());
        }
        let host = Subnet::host(client);
        // Beside a trusted host or ourselves in one /64, only the very address is banned.
        let alone = || Subnet::around(client, 128).unwrap_or(host);
        let host = if self.spared.iter().any(|spared| spared.network.meets(&host)) { alone() } else { host };
        let mut changes = Vec::new();
        self.begin(now, host, Cause::Offence(offence), evidence, &mut changes);
        (Judged::Banned, changes)
    }

    fn begin(&mut self, now: UnixMillis, of: Subnet, cause: Cause, evidence: String, changes: &mut Changes) {
        let before = self.records.get(&of).filter(|ban| !self.is_forgotten(now, ban));
        let times = before.map_or(0, |ban| ban.times).saturating_add(1);
        let until = Some(now.plus(self.length(times)));
        self.put(now, Ban { of, cause, evidence: ban::evidence(evidence), since: now, until, times }, changes);
    }

    /// How long the `times`th ban takes.
    fn length(&self, times: u32) -> Duration {
        let BanSettings { first, factor, longest, .. } = self.settings;
        // The power overflows to infinity, which is more than the longest.
        let exponent = i32::try_from(times.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = first.as_secs_f64() * factor.max(1.0).powi(exponent);
        Duration::try_from_secs_f64(seconds).map_or(longest, |length| length.min(longest))
    }

    fn widen(&mut self, now: UnixMillis, host: Subnet, offence: Offence, changes: &mut Changes) {
        let network = host.widened();
        let known = self.records.get(&network).is_some_and(|ban| ban.is_active(now));
        if self.settings.widen_at == 0 || known || self.spared.iter().any(|spared| spared.network.meets(&network)) {
            return;
        }
        let within = self.within(&network);
        let hosts = within.filter(|ban| ban.of.prefix() == host.prefix() && ban.by() == By::Automatic && ban.is_active(now));
        let count = hosts.count();
        if u32::try_from(count).unwrap_or(u32::MAX) >= self.settings.widen_at {
            let evidence = format!("{count} hosts of it are banned, the last of them {host} for {offence}");
            self.begin(now, network, Cause::Neighbours, evidence, changes);
        }
    }

    /// Records of a network and of what is in it.
    fn within(&self, network: &Subnet) -> impl Iterator<Item = &Ban> {
        let network = *network;
        self.records.range(network..).map(|(_, ban)| ban).take_while(move |ban| network.contains(ban.of.address()))
    }

    /// A person bans a network, for this long or until it is lifted.
    ///
    /// # Errors
    /// What speaks against it.
    pub fn order(
        &mut self,
        now: UnixMillis,
        of: Subnet,
        length: Option<Duration>,
        reason: String,
    ) -> Result<(Ban, Changes), OrderRefused> {
        if let Some(spared) = self.spares_all(&of) {
            return Err(OrderRefused::Spared(spared));
        }
        let most = self.settings.bans_max / 2;
        let before = self.records.get(&of);
        if before.is_none_or(|ban| ban.by() == By::Automatic) {
            let ordered = self.records.values().filter(|ban| ban.by() == By::Person).count();
            if ordered >= most {
                return Err(OrderRefused::TooMany(most));
            }
        }
        // Changing an order is no further ban.
        let times = match before {
            Some(ban) if ban.is_active(now) => ban.times,
            Some(ban) if !self.is_forgotten(now, ban) => ban.times.saturating_add(1),
            _ => 1,
        };
        let until = length.map(|length| now.plus(length));
        let ban = Ban { of, cause: Cause::Order, evidence: ban::evidence(reason), since: now, until, times };
        let mut changes = Vec::new();
        self.put(now, ban.clone(), &mut changes);
        Ok((ban, changes))
    }

    /// Bans in force that an order to lift `of` is about: the one of this very network, or all within it.
    #[must_use]
    pub fn liftable(&self, now: UnixMillis, of: Subnet, also_within: bool) -> Vec<Ban> {
        let meant = |ban: &&Ban| ban.is_active(now) && (ban.of == of || (also_within && of.covers(&ban.of)));
        if also_within {
            return self.within(&of).filter(meant).cloned().collect();
        }
        self.records.get(&of).filter(meant).cloned().into_iter().collect()
    }

    /// Lifts a ban and forgets that it was.
    pub fn lift(&mut self, of: Subnet) -> Changes {
        let mut changes = Vec::new();
        self.forget(of, &mut changes);
        changes
    }

    /// The widest ban in force that covers a client, spared or not.
    #[must_use]
    pub fn active(&self, now: UnixMillis, client: IpAddr) -> Option<&Ban> {
        self.about(client).into_iter().find(|ban| ban.is_active(now))
    }

    /// All that is known of the networks a client is in, the widest first.
    #[must_use]
    pub fn about(&self, client: IpAddr) -> Vec<&Ban> {
        (0..=128).map_while(|prefix| Subnet::around(client, prefix)).filter_map(|network| self.records.get(&network)).collect()
    }

    /// All bans in force, by address.
    pub fn list(&self, now: UnixMillis) -> impl Iterator<Item = &Ban> {
        self.records.values().filter(move |ban| ban.is_active(now))
    }

    /// Records, in force or remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Which bans have ended since it was asked last, and what is forgotten by now.
    pub fn sweep(&mut self, now: UnixMillis) -> (Vec<Subnet>, Changes) {
        let since = std::mem::replace(&mut self.swept, now);
        let ended = |ban: &&Ban| ban.until.is_some_and(|until| since < until && until <= now);
        let ended: Vec<Subnet> = self.records.values().filter(ended).map(|ban| ban.of).collect();
        let forgotten: Vec<Subnet> = self.records.values().filter(|ban| self.is_forgotten(now, ban)).map(|ban| ban.of).collect();
        let mut changes = Vec::new();
        for of in forgotten {
            self.forget(of, &mut changes);
        }
        (ended, changes)
    }

    /// True for one that is over for so long that it counts no more.
    fn is_forgotten(&self, now: UnixMillis, ban: &Ban) -> bool {
        ban.until.is_some_and(|until| until.plus(self.settings.memory) <= now)
    }

    fn put(&mut self, now: UnixMillis, ban: Ban, changes: &mut Changes) {
        if !self.records.contains_key(&ban.of) {
            self.make_room(now, changes);
        }
        self.records.insert(ban.of, ban.clone());
        changes.push(BanChange::Put(ban));
    }

    fn forget(&mut self, of: Subnet, changes: &mut Changes) {
        if self.records.remove(&of).is_some() {
            changes.push(BanChange::Forget(of));
        }
    }

    fn make_room(&mut self, now: UnixMillis, changes: &mut Changes) {
        if self.records.len() < self.settings.bans_max {
            return;
        }
        // Ended before active, then by their ends: the order in which they go.
        let mut going: Vec<(bool, Option<UnixMillis>, Subnet)> = self
            .records
            .values()
            .filter(|ban| ban.by() == By::Automatic || !ban.is_active(now))
            .map(|ban| (ban.is_active(now), ban.until, ban.of))
            .collect();
        going.sort_unstable();
        // After a reload there may be more than there may be now.
        let over = (self.records.len() + 1).saturating_sub(self.settings.bans_max);
        for (_, _, of) in going.into_iter().take(over.saturating_add(self.settings.bans_max / 16)) {
            self.forget(of, changes);
        }
    }
}

#[cfg(test)]
mod tests;
