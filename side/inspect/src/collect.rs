//! What has been found so far, and what may still be spent. Promise: nothing is kept or searched beyond the limits, and what is left out is noted.

use std::collections::{HashSet, VecDeque};

use crate::target::{self, Read};
use crate::{Incomplete, Inspection, Kind, Limits, Link, LinkHost, Trick, Tricks, names};

/// Octets of something found inside of something else, to be read as HTML later.
pub(crate) struct Waiting {
    pub(crate) html: Vec<u8>,
    pub(crate) depth: u8,
}

/// Containers of HTML within HTML (data URLs, comments that only some programs read, frames).
const WITHIN_MAX: u8 = 3;

pub(crate) struct Collector<'a> {
    limits: &'a Limits,
    pub(crate) found: Inspection,
    seen: HashSet<(Box<str>, u16)>,
    pub(crate) waiting: VecDeque<Waiting>,
    pub(crate) part: usize,
    pub(crate) depth: u8,
}

impl<'a> Collector<'a> {
    pub(crate) fn new(limits: &'a Limits) -> Self {
        Self { limits, found: Inspection::default(), seen: HashSet::new(), waiting: VecDeque::new(), part: 0, depth: 0 }
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
        let mut read = Some((kind, read));
        // Redirectors lead to redirectors; nobody follows more than a few by hand.
        for _ in 0..4 {
            let Some((kind, one)) = read.take() else { return };
            if let Some(html) = &one.html {
                self.later(html);
            }
            let within = one.url.as_ref().and_then(target::within);
            self.keep(kind, one, shown, within.as_ref());
            read = within.map(|inner| (Kind::Within, inner));
        }
    }

    fn keep(&mut self, kind: Kind, read: Read, shown: &str, within: Option<&Read>) {
        let registered = match &read.host {
            LinkHost::Name(domain) => names::registered(domain),
            _ => None,
        };
        let mut tricks = read.tricks;
        let mut shows = None;
        if kind != Kind::Within
            && let Some(says) = target::shown(shown)
        {
            let leads = |host: &LinkHost| matches!(host, LinkHost::Name(own) if names::registered(own).as_ref() == Some(&says) || *own == says);
            if !leads(&read.host) && !within.is_some_and(|inner| leads(&inner.host)) {
                tricks.add(Trick::ShownOther);
                shows = Some(says);
            }
        }
        let url = read.words();
        if self.seen.contains(&(url.clone(), bits(tricks))) {
            return;
        }
        if self.found.links.len() >= self.limits.links_max {
            return self.stop(Incomplete::Links);
        }
        self.seen.insert((url.clone(), bits(tricks)));
        self.found.links.push(Link { url, host: read.host, registered, part: self.part, kind, tricks, shown: shows });
    }

    /// True when no more links are kept, so that nobody need look for them.
    pub(crate) fn is_full(&self) -> bool {
        self.found.incomplete == Some(Incomplete::Links)
    }
}

fn bits(tricks: Tricks) -> u16 {
    tricks.iter().fold(0, |bits, trick| bits | trick as u16)
}
