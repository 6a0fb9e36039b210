//! What has been found so far, and what may still be spent. Promise: nothing is kept or searched beyond the limits, and what is left out is noted.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::BuildHasher as _;
use std::net::IpAddr;

use postern_mail::domain::Domain;

use crate::target::{self, Read};
use crate::{ADDRESSES_MAX, Hosts, Incomplete, Inspection, Kind, Limits, Link, LinkHost, Trick, names, within};

/// Octets of something found inside of something else, to be read as HTML later.
pub(crate) struct Waiting {
    pub(crate) html: Vec<u8>,
    pub(crate) depth: u8,
}

/// Containers of HTML within HTML (data URLs, comments that only some programs read, frames).
const WITHIN_MAX: u8 = 3;

/// So many times the links that are kept are looked at: reading one takes microseconds, and there is room for a hundred thousand in a message.
const LOOKED_AT_FACTOR: usize = 25;
/// Mail addresses that are looked at, equal ones each time.
const ADDRESSES_LOOKED_AT_MAX: usize = 16 * ADDRESSES_MAX;
/// Links that are taken of one: itself, and what is written in it and in that.
const REDIRECTS_MAX: usize = 8;

/// Names whose registered domains are remembered: most links of a message lead to a few hosts, often in turns.
const RECENT_MAX: usize = 8;

/// What is known of a host.
struct Known {
    name: Domain,
    registered: Option<Domain>,
    shortens: bool,
}

pub(crate) struct Collector<'a> {
    limits: &'a Limits,
    pub(crate) hosts: &'a Hosts,
    pub(crate) found: Inspection,
    /// Places of links by their hashes.
    seen: HashMap<u64, usize>,
    /// Names that were looked up last.
    recent: VecDeque<Known>,
    /// Links that were looked at, whether they are kept or not.
    looked_at: usize,
    addresses_looked_at: usize,
    /// Parts in which a link stands again, and its place.
    pub(crate) again: Vec<(usize, usize)>,
    /// Where links lead, as lists see it.
    names: HashSet<Domain>,
    literals: HashSet<IpAddr>,
    addresses: HashSet<Box<str>>,
    pub(crate) waiting: VecDeque<Waiting>,
    pub(crate) part: usize,
    pub(crate) depth: u8,
}

impl<'a> Collector<'a> {
    pub(crate) fn new(limits: &'a Limits, hosts: &'a Hosts) -> Self {
        Self {
            limits,
            hosts,
            found: Inspection::default(),
            seen: HashMap::new(),
            recent: VecDeque::new(),
            looked_at: 0,
            addresses_looked_at: 0,
            again: Vec::new(),
            names: HashSet::new(),
            literals: HashSet::new(),
            addresses: HashSet::new(),
            waiting: VecDeque::new(),
            part: 0,
            depth: 0,
        }
    }

    pub(crate) fn stop(&mut self, why: Incomplete) {
        self.found.incomplete.get_or_insert(why);
    }

    /// Octets that may still be searched.
    pub(crate) fn left(&self) -> usize {
        self.limits.octets_max.saturating_sub(self.found.octets)
    }

    /// Takes as much of `octets` as may be searched, and counts it.
    pub(crate) fn spend<'b>(&mut self, octets: &'b [u8]) -> &'b [u8] {
        let left = self.left();
        if octets.len() > left {
            self.stop(Incomplete::Octets);
        }
        let taken = octets.get(..left).unwrap_or(octets);
        self.found.octets += taken.len();
        taken
    }

    /// Has HTML read that was found inside of what is read now.
    pub(crate) fn later(&mut self, html: &[u8]) {
        if self.depth >= WITHIN_MAX {
            return self.stop(Incomplete::Parts);
        }
        let html = self.spend(html).to_vec();
        if !html.is_empty() {
            self.waiting.push_back(Waiting { html, depth: self.depth + 1 });
        }
    }

    /// Takes a link, and those that are written in it.
    pub(crate) fn link(&mut self, kind: Kind, read: Read, shown: &str) {
        self.looked_at += 1;
        let mut waiting = self.take(kind, read, shown);
        // Redirectors lead to redirectors; nobody follows more than a few by hand.
        for _ in 1..REDIRECTS_MAX {
            if waiting.is_empty() {
                return;
            }
            let inner = waiting.remove(0);
            waiting.extend(self.take(Kind::Within, inner, shown));
        }
    }

    /// Takes one link, and says which others are written in it.
    fn take(&mut self, kind: Kind, read: Read, shown: &str) -> Vec<Read> {
        if let Some(html) = &read.html {
            self.later(html);
        }
        let within = read.address.as_ref().map(|address| within::links(address, self.hosts)).unwrap_or_default();
        self.keep(kind, read, shown, &within);
        within
    }

    fn keep(&mut self, kind: Kind, read: Read, shown: &str, within: &[Read]) {
        let mut tricks = read.tricks;
        let known = self.known_of(&read.host);
        if known.is_some_and(|known| known.shortens) {
            tricks.add(Trick::Shortener);
        }
        let mut shows = None;
        if kind != Kind::Within
            && let Some(says) = target::shown(shown)
        {
            let leads = |host: &LinkHost| matches!(host, LinkHost::Name(own) if names::registered_name(own.as_str()) == Some(says.as_str()) || *own == says);
            if !leads(&read.host) && !within.iter().any(|inner| leads(&inner.host)) {
                tricks.add(Trick::ShownOther);
                shows = Some(says);
            }
        }
        let (url, host) = read.into_words();
        let key = self.seen.hasher().hash_one((&url, tricks));
        let is_same = |link: &Link| link.url == url && link.host == host && link.tricks == tricks;
        if let Some(place) = self.seen.get(&key).copied().filter(|place| self.found.links.get(*place).is_some_and(is_same)) {
            return self.keep_again(place);
        }
        let kept = self.found.links.len();
        if self.is_full() {
            return self.stop(Incomplete::Links);
        }
        let registered = self
            .recent
            .front()
            .filter(|known| matches!(&host, LinkHost::Name(name) if *name == known.name))
            .and_then(|known| known.registered.as_ref());
        let is_new = match (&host, registered) {
            (LinkHost::Name(_), Some(name)) | (LinkHost::Name(name), None) => {
                !self.names.contains(name) && self.names.insert(name.clone())
            }
            (LinkHost::Address(address), _) => self.literals.insert(*address),
            (LinkHost::Invalid, _) => false,
        };
        if kept >= self.limits.links_max && !is_new {
            return self.stop(Incomplete::Links);
        }
        let registered = registered.cloned();
        self.seen.insert(key, kept);
        self.found.links.push(Link { url, host, registered, part: self.part, kind, tricks, shown: shows });
    }

    /// Notes that a link stands in another part as well.
    fn keep_again(&mut self, place: usize) {
        let again = (self.part, place);
        if self.found.links.get(place).is_some_and(|link| link.part != self.part)
            && self.again.len() < 2 * self.limits.links_max
            && self.again.last() != Some(&again)
        {
            self.again.push(again);
        }
    }

    /// What is known of a host; it is the first of the recent ones then.
    fn known_of(&mut self, host: &LinkHost) -> Option<&Known> {
        let LinkHost::Name(name) = host else { return None };
        match self.recent.iter().position(|known| known.name == *name) {
            Some(0) => {}
            Some(at) => self.recent.swap(0, at),
            None => {
                self.recent.truncate(RECENT_MAX - 1);
                self.recent.push_front(Known {
                    name: name.clone(),
                    registered: names::registered(name),
                    shortens: self.hosts.shortens(name),
                });
            }
        }
        self.recent.front()
    }

    /// Takes a mail address that the message names.
    pub(crate) fn address(&mut self, address: &str) {
        if !self.wants_addresses() {
            return;
        }
        self.addresses_looked_at += 1;
        let Some(address) = names::normal_address(address).map(String::into_boxed_str) else { return };
        if self.addresses.insert(address.clone()) {
            self.found.addresses.push(address);
        }
    }

    /// True while mail addresses are kept.
    pub(crate) fn wants_addresses(&self) -> bool {
        self.found.addresses.len() < ADDRESSES_MAX && self.addresses_looked_at < ADDRESSES_LOOKED_AT_MAX
    }

    /// True when no more links are kept, so that nobody need look for them.
    pub(crate) fn is_full(&self) -> bool {
        self.found.links.len() >= 2 * self.limits.links_max || self.looked_at >= LOOKED_AT_FACTOR * self.limits.links_max
    }
}
