//! How DNS lists are: what the control socket tells of them. Promise: no key stands in it.

use postern_mail::Mode;
use postern_mail::dns_list::DnsListRule;
use serde::{Deserialize, Serialize};

/// All of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DnsLists {
    /// In the order of the configuration.
    pub lists: Vec<DnsListState>,
}

/// One.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DnsListState {
    /// Without a key.
    pub zone: String,
    /// What it is asked about.
    pub target: String,
    /// `enforce` or `observe`.
    pub mode: String,
    /// `unproven`, `usable` or `parked`.
    pub state: String,
    /// Milliseconds since 1970.
    pub since: Option<u64>,
    /// When a parked list is looked at again, in milliseconds since 1970.
    pub until: Option<u64>,
    /// Why it is parked.
    pub why: Option<String>,
    /// When its test points were asked for, in milliseconds since 1970.
    pub probed: Option<u64>,
    /// What was wrong with them then.
    pub probe_failed: Option<String>,
    /// Questions whose answer was not remembered.
    pub asked: u64,
    /// Answers that listed something.
    pub listed: u64,
    /// No answer in time.
    pub silent: u64,
    /// The resolver could not find out.
    pub failed: u64,
    /// Answers no list may give.
    pub unusable: u64,
    /// Of the last answers, in milliseconds.
    pub median_ms: Option<u32>,
    /// Of the last answers, in milliseconds.
    pub slowest_ms: Option<u32>,
    /// Senders it would have refused, had it been enforced.
    pub would_refuse: u64,
    /// Of these, clients known to be good.
    pub known_good: u64,
    /// Of these, those with whose mail nothing else was wrong.
    pub accepted: u64,
}

impl DnsLists {
    /// As they are now.
    pub(crate) fn of(lists: &postern_lookup::DnsLists, rules: &[DnsListRule]) -> Self {
        let state = |(list, view): (&postern_lookup::DnsList, postern_lookup::View)| {
            let rule = rules.iter().find(|rule| rule.zone == list.zone && rule.target == list.target);
            let counts = view.counts;
            DnsListState {
                zone: list.zone.to_string(),
                target: list.target.to_string(),
                mode: rule.map_or(Mode::Off, |rule| rule.mode).as_str().to_owned(),
                state: view.state.to_owned(),
                since: view.since.map(|since| since.0),
                until: view.until.map(|until| until.0),
                why: view.why.map(|why| why.to_string()),
                probed: view.probed.as_ref().map(|(at, _)| at.0),
                probe_failed: view.probed.and_then(|(_, result)| result.err()).map(|why| why.to_string()),
                asked: counts.asked,
                listed: counts.listed,
                silent: counts.silent,
                failed: counts.failed,
                unusable: counts.unusable,
                median_ms: view.median_and_slowest.map(|(median, _)| median),
                slowest_ms: view.median_and_slowest.map(|(_, slowest)| slowest),
                would_refuse: counts.would_refuse,
                known_good: counts.known_good,
                accepted: counts.accepted,
            }
        };
        Self { lists: lists.views().map(state).collect() }
    }
}
