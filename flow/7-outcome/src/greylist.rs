//! Greylisting: who comes for the first time is told to come again, which mail servers do and most senders of spam do not. Asked at RCPT: only there
//! network, sender and recipient are known, and nothing of the message has been sent.
//!
//! Promise: memory is bounded by what it is given, and no network can fill more of it than [`WAITING_PER_NETWORK_MAX`]; who comes back within the window
//! is let in, and his network is not delayed again while it is seen; what is remembered is told as changes of rows, so that it can outlive the process.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;
use std::time::Duration;

use postern_mail::client::Subnet;
use postern_mail::envelope::UnixMillis;
use postern_mail::greylist::{GreyChange, GreyRow, GreySaid};

/// Of one network, told to come again. What it sends beyond is told the same and not remembered: with the first that comes back all of it is let in.
pub const WAITING_PER_NETWORK_MAX: u32 = 64;
/// Octets that one who waits takes at most: in two tables, each twice as large as what is in it, and a line.
const WAITING_BYTES: usize = 224;
/// Octets that one known network takes at most, likewise.
const KNOWN_BYTES: usize = 224;
/// Places of a line that may be of what is gone, however little there is.
const LINE_SLACK: usize = 64;
/// A known network is noted again this long after it last was.
const STEP: Duration = Duration::from_secs(3600);

/// How long and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GreySettings {
    /// Who comes back sooner is told to wait on.
    pub delay: Duration,
    /// Who comes back later comes for the first time.
    pub window: Duration,
    /// So long a network is known after it was last seen.
    pub known_for: Duration,
    /// For all of it.
    pub memory: usize,
}

/// Who sends to whom.
#[derive(Clone, Copy, Debug)]
pub struct GreyKey<'a> {
    /// The client.
    pub client: IpAddr,
    /// MAIL FROM, as text.
    pub sender: &'a str,
    /// RCPT TO, as text.
    pub recipient: &'a str,
}

/// The network somebody is remembered by: large senders try again from another host of it.
fn network(address: IpAddr) -> Subnet {
    let prefix = if address.to_canonical().is_ipv4() { 24 } else { 64 };
    Subnet::around(address, prefix).unwrap_or_else(|| Subnet::host(address))
}

/// What is remembered.
#[derive(Debug)]
pub struct Greylist {
    seed: u128,
    waiting: HashMap<u64, (Subnet, UnixMillis)>,
    /// In the order in which they came; of some the entry is gone already.
    came: VecDeque<(UnixMillis, u64)>,
    per_network: HashMap<Subnet, u32>,
    known: HashMap<Subnet, UnixMillis>,
    /// In the order in which they were noted; only the last note of a network counts.
    noted: VecDeque<(UnixMillis, Subnet)>,
    changes: Vec<GreyChange>,
}

impl Greylist {
    /// From rows that were kept. The seed makes the hashes of this server unlike others'.
    #[must_use]
    pub fn restored(seed: u128, rows: impl IntoIterator<Item = GreyRow>) -> Self {
        let mut book = Self {
            seed,
            waiting: HashMap::new(),
            came: VecDeque::new(),
            per_network: HashMap::new(),
            known: HashMap::new(),
            noted: VecDeque::new(),
            changes: Vec::new(),
        };
        let mut rows: Vec<GreyRow> = rows.into_iter().collect();
        rows.sort_by_key(|row| match row {
            GreyRow::Waiting(_, _, at) | GreyRow::Known(_, at) => *at,
        });
        for row in rows {
            match row {
                GreyRow::Waiting(key, of, first) => book.enter(key, of, first),
                GreyRow::Known(of, last) => {
                    book.known.insert(of, last);
                    book.noted.push_back((last, of));
                }
            }
        }
        book
    }

    /// An attempt: what is remembered of it, and from now on it is.
    pub fn attempt(&mut self, now: UnixMillis, settings: &GreySettings, who: GreyKey<'_>) -> GreySaid {
        let of = network(who.client);
        self.forget(now, settings);
        if self.known.contains_key(&of) {
            self.note(now, of);
            return GreySaid::Known;
        }
        let key = self.hash(of, who);
        let Some((_, first)) = self.waiting.get(&key).copied() else {
            if self.per_network.get(&of).is_none_or(|count| *count < WAITING_PER_NETWORK_MAX) {
                self.enter(key, of, now);
                self.changes.push(GreyChange::Put(GreyRow::Waiting(key, of, now)));
                self.forget(now, settings);
            }
            return GreySaid::Wait(settings.delay);
        };
        let waited = now.since(first);
        if waited < settings.delay {
            return GreySaid::Wait(settings.delay.saturating_sub(waited));
        }
        self.leave(key);
        self.note(now, of);
        self.forget(now, settings);
        GreySaid::Back(waited)
    }

    /// What is to be kept of it since it was last asked.
    #[must_use]
    pub fn take_changes(&mut self) -> Vec<GreyChange> {
        std::mem::take(&mut self.changes)
    }

    /// How many wait, and how many networks are known.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.waiting.len(), self.known.len())
    }

    /// What is remembered, the newest first, at most so many.
    #[must_use]
    pub fn rows(&self, limit: usize) -> Vec<GreyRow> {
        let waiting = self.waiting.iter().map(|(key, (of, first))| (*first, GreyRow::Waiting(*key, *of, *first)));
        let known = self.known.iter().map(|(of, last)| (*last, GreyRow::Known(*of, *last)));
        let mut rows: Vec<(UnixMillis, GreyRow)> = waiting.chain(known).collect();
        rows.sort_unstable_by_key(|(at, _)| std::cmp::Reverse(*at));
        rows.into_iter().take(limit).map(|(_, row)| row).collect()
    }

    /// Octets that all of it takes at most.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.waiting.len() * WAITING_BYTES + self.known.len() * KNOWN_BYTES
    }

    /// The network of this address comes for the first time again. How much was remembered of it.
    pub fn forget_network(&mut self, address: IpAddr) -> usize {
        let of = network(address);
        let own: Vec<u64> = self.waiting.iter().filter(|(_, (own, _))| *own == of).map(|(key, _)| *key).collect();
        own.iter().for_each(|key| self.leave(*key));
        let last = self.known.remove(&of);
        self.changes.extend(last.map(|last| GreyChange::Forget(GreyRow::Known(of, last))));
        self.tidy();
        own.len() + usize::from(last.is_some())
    }

    fn hash(&self, of: Subnet, who: GreyKey<'_>) -> u64 {
        let mut hasher = DefaultHasher::new();
        let (sender, recipient) = (who.sender.to_ascii_lowercase(), who.recipient.to_ascii_lowercase());
        (self.seed, of, sender, recipient).hash(&mut hasher);
        hasher.finish()
    }

    fn enter(&mut self, key: u64, of: Subnet, first: UnixMillis) {
        if self.waiting.insert(key, (of, first)).is_none() {
            let count = self.per_network.entry(of).or_insert(0);
            *count = count.saturating_add(1);
        }
        self.came.push_back((first, key));
    }

    fn leave(&mut self, key: u64) {
        let Some((of, first)) = self.waiting.remove(&key) else { return };
        if let Some(count) = self.per_network.get_mut(&of) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.per_network.remove(&of);
            }
        }
        self.changes.push(GreyChange::Forget(GreyRow::Waiting(key, of, first)));
    }

    fn note(&mut self, now: UnixMillis, of: Subnet) {
        let is_fresh = self.known.get(&of).is_some_and(|last| now.since(*last) < STEP);
        if !is_fresh {
            self.known.insert(of, now);
            self.noted.push_back((now, of));
            self.changes.push(GreyChange::Put(GreyRow::Known(of, now)));
        }
    }

    /// What is gone is taken out of the lines when it is most of them, so that they are bounded like what they are the order of.
    fn tidy(&mut self) {
        if self.came.len() > 2 * self.waiting.len() + LINE_SLACK {
            self.came.retain(|(first, key)| self.waiting.get(key).is_some_and(|(_, own)| own == first));
        }
        if self.noted.len() > 2 * self.known.len() + LINE_SLACK {
            self.noted.retain(|(last, of)| self.known.get(of) == Some(last));
        }
    }

    /// What is too old, and of the rest the oldest that there is no room for: half is for those who wait.
    fn forget(&mut self, now: UnixMillis, settings: &GreySettings) {
        let waiting_max = (settings.memory / 2 / WAITING_BYTES).max(1);
        while let Some((first, key)) = self.came.front().copied() {
            let is_gone = self.waiting.get(&key).is_none_or(|(_, own)| *own != first);
            if !is_gone && now.since(first) <= settings.window && self.waiting.len() <= waiting_max {
                break;
            }
            self.came.pop_front();
            if !is_gone {
                self.leave(key);
            }
        }
        self.tidy();
        let known_max = (settings.memory / 2 / KNOWN_BYTES).max(1);
        while let Some((last, of)) = self.noted.front().copied() {
            let is_gone = self.known.get(&of) != Some(&last);
            if !is_gone && now.since(last) <= settings.known_for && self.known.len() <= known_max {
                break;
            }
            self.noted.pop_front();
            if !is_gone {
                self.known.remove(&of);
                self.changes.push(GreyChange::Forget(GreyRow::Known(of, last)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
