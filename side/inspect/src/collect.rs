//! What has been found so far, and what may still be spent. Promise: nothing is kept or searched beyond the limits, and what is left out is noted.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::BuildHasher as _;
use std::net::IpAddr;

use postern_mail::domain::Domain;

use crate::target::{self, Read};
use crate::{ADDRESSES_MAX, Hosts, Incomplete, Inspection, Kind, Limits, Link, LinkHost, Trick, names};

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

/// Where links lead, as lists see it.
#[derive(PartialEq, Eq, Hash)]
enum Place {
    Name(Domain),
    Address(IpAddr),
}

pub(crate) struct Collector<'a> {
    limits: &'a Limits,
    pub(crate) hosts: &'a Hosts,
    pub(crate) found: Inspection,
    /// Places of links by their hashes.
    seen: HashMap<u64, usize>,
    last: Option<(Domain, Option<Domain>, bool)>,
    /// Links that were looked at, whether they are kept or not.
    looked_at: usize,
    addresses_looked_at: usize,
    /// Parts in which a link stands again, and its place.
    pub(crate) again: Vec<(usize, usize)>,
    places: HashSet<Place>,
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
            last: None,
            looked_at: 0,
            addresses_looked_at: 0,
            again: Vec::new(),
            places: HashSet::new(),
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
        // Redirectors lead to redirectors; nobody follows more than a few by hand.
        let mut waiting = VecDeque::from([(kind, read)]);
        for _ in 0..REDIRECTS_MAX {
            let Some((kind, one)) = waiting.pop_front() else { return };
            if let Some(html) = &one.html {
                self.later(html);
            }
            let within = one.url.as_ref().map(|url| target::within(url, self.hosts)).unwrap_or_default();
            self.keep(kind, one, shown, &within);
            waiting.extend(within.into_iter().map(|inner| (Kind::Within, inner)));
        }
    }

    fn keep(&mut self, kind: Kind, read: Read, shown: &str, within: &[Read]) {
        let (registered, shortens) = self.known_of(&read.host);
        let mut tricks = read.tricks;
        if shortens {
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
        let url = read.words();
        let key = self.seen.hasher().hash_one((&url, &read.host, tricks));
        let is_same = |link: &Link| link.url == url && link.host == read.host && link.tricks == tricks;
        let known = self.seen.get(&key).copied().filter(|place| self.found.links.get(*place).is_some_and(is_same));
        if let Some(place) = known {
            let again = (self.part, place);
            if self.found.links.get(place).is_some_and(|link| link.part != self.part)
                && self.again.len() < 2 * self.limits.links_max
                && self.again.last() != Some(&again)
            {
                self.again.push(again);
            }
            return;
        }
        let kept = self.found.links.len();
        if self.is_full() {
            return self.stop(Incomplete::Links);
        }
        let place = match (&registered, &read.host) {
            (Some(name), _) | (None, LinkHost::Name(name)) => Some(Place::Name(name.clone())),
            (None, LinkHost::Address(address)) => Some(Place::Address(*address)),
            (None, LinkHost::Invalid) => None,
        };
        let is_new = place.is_some_and(|place| self.places.insert(place));
        if kept >= self.limits.links_max && !is_new {
            return self.stop(Incomplete::Links);
        }
        self.seen.insert(key, kept);
        self.found.links.push(Link { url, host: read.host, registered, part: self.part, kind, tricks, shown: shows });
    }

    /// What somebody registered of a host, and whether it shortens links. Most links of a message lead to the same few hosts, often in a row.
    fn known_of(&mut self, host: &LinkHost) -> (Option<Domain>, bool) {
        let LinkHost::Name(name) = host else { return (None, false) };
        match &self.last {
            Some((last, registered, shortens)) if last == name => (registered.clone(), *shortens),
            _ => {
                let (registered, shortens) = (names::registered(name), self.hosts.shortens(name));
                self.last = Some((name.clone(), registered.clone(), shortens));
                (registered, shortens)
            }
        }
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
