//! What is found out about a message once it is all there, before it is judged: what lists say of its names and links, and who it is from.
//! Promise: only strangers' mail is looked at; the octets of all messages that are looked at together stay within `policy.examine_memory`; and
//! what could not be found out is held against nobody; what could not be looked at is asked for again.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use postern_config::Config;
use postern_inspect::{Hosts, Inspection, Inspector, Kind, Limits, Link, LinkHost};
use postern_lookup::{ReadMessage, Subject};
use postern_mail::client::ListenerKind;
use postern_mail::fact::ClientFacts;
use postern_mail::link::LinkFacts;
use postern_mail::message::headers::Headers;
use postern_mail::{DnsTarget, Envelope, Outage};
use postern_policy::facts::Found;
use postern_smtp::machine::TraceFacts;
use postern_spool::Writer;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::wire::dnsbl::{self, Asking};
use crate::wire::{Live, Server, authenticity, live, names as names_in_lists};

/// Messages above this are read on a thread that others do not wait for.
const QUICK_BYTES_MAX: usize = 64 * 1024;

/// Hosts of one registered domain that lists are asked about.
const HOSTS_MAX: usize = 4;

/// Messages up to this have a share of the memory that larger ones cannot take, so that a few of those, held open by slow zones, do not keep all mail waiting.
const SMALL_KIB_MAX: u32 = 256;
/// Nobody waits longer for room; clients are asked to come again then. They wait for ten minutes themselves (RFC 5321 §4.5.3.2.6).
const ROOM_WITHIN: Duration = Duration::from_secs(60);

/// Memory for messages that are looked at as a whole, in KiB. Who finds none free waits for those before it.
pub(crate) struct Memory {
    large: Share,
    small: Share,
    within: Duration,
}

struct Share {
    free: Semaphore,
    all: u32,
}

impl Share {
    fn new(all: u32) -> Self {
        Self { free: Semaphore::new(usize::try_from(all).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)), all }
    }
}

impl Memory {
    /// As configured.
    #[must_use]
    pub(crate) fn new(config: &Config) -> Self {
        let all = u32::try_from(config.policy.examine_memory.0 / 1024).unwrap_or(u32::MAX);
        Self { large: Share::new(all - all / 8), small: Share::new(all / 8), within: ROOM_WITHIN }
    }

    /// Room for a message of this size; a message that is larger than all there is has all of it.
    ///
    /// # Errors
    /// When there is none for too long.
    pub(crate) async fn room(&self, octets: u64) -> Result<SemaphorePermit<'_>, Outage> {
        let wanted = u32::try_from(octets / 1024 + 1).unwrap_or(u32::MAX);
        let share = if wanted <= SMALL_KIB_MAX.min(self.small.all / 4) { &self.small } else { &self.large };
        let permit = tokio::time::timeout(self.within, share.free.acquire_many(wanted.min(share.all))).await;
        // It is never closed.
        permit.ok().and_then(Result::ok).ok_or(Outage::Overload)
    }
}

/// A header section of which something was cut out before it was stored.
pub(crate) struct Cut {
    /// As it came.
    pub(crate) came: Vec<u8>,
    /// Octets of it that were stored.
    pub(crate) stored: usize,
}

/// A message that is all there.
pub(crate) struct Whole<'a> {
    pub(crate) client: &'a ClientFacts,
    pub(crate) envelope: &'a Envelope,
    pub(crate) trace: &'a TraceFacts,
    pub(crate) headers: &'a Headers,
    pub(crate) writer: &'a Writer,
    /// Octets of ours before what came.
    pub(crate) ours: usize,
    pub(crate) cut: Option<&'a Cut>,
}

/// The octets as they came: without ours, and with what was cut out of the header section, which may be signed.
struct Came<'a> {
    octets: Cow<'a, [u8]>,
    at: usize,
}

impl AsRef<[u8]> for Came<'_> {
    fn as_ref(&self) -> &[u8] {
        self.octets.get(self.at..).unwrap_or_default()
    }
}

impl<'a> Came<'a> {
    fn new(stored: Cow<'a, [u8]>, ours: usize, cut: Option<&Cut>) -> Self {
        match cut {
            None => Self { octets: stored, at: ours },
            Some(Cut { came, stored: kept }) => {
                let body = stored.get(ours + kept..).unwrap_or_default();
                Self { octets: Cow::Owned([came, body].concat()), at: 0 }
            }
        }
    }
}

/// Work on a message that takes the processor for more than a moment.
pub(crate) fn at_length<T>(octets: usize, work: impl FnOnce() -> T) -> T {
    let is_shared = Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if octets > QUICK_BYTES_MAX && is_shared { tokio::task::block_in_place(work) } else { work() }
}

/// Strangers' mail, and not that of networks which are trusted.
pub(crate) fn is_looked_at(live: &Live, client: &ClientFacts, envelope: &Envelope) -> bool {
    client.listener == ListenerKind::Mx && envelope.account.is_none() && !live.policy.trusts(client.address)
}

/// Finds it out, with the fields that tell it to whoever reads the message.
///
/// # Errors
/// When the message cannot be read back, or there is no room to look at it: it would else be judged by signatures that nobody has seen.
pub(crate) async fn examine(server: &Server, live: &Live, whole: Whole<'_>) -> Result<(Found, Vec<u8>), Outage> {
    let Whole { client, envelope, trace, headers, writer, ours, cut } = whole;
    if !is_looked_at(live, client, envelope) {
        return Ok((Found::default(), Vec::new()));
    }
    let own = &live.config.policy;
    if !own.authenticity.enabled && !own.links.enabled {
        let dns = Asking::message(server, live, client, names(server, live, headers, None).0).await;
        let listed = names_in_lists::of_message(server, client, headers, (None, None));
        return Ok((Found { dns, listed, ..Found::default() }, Vec::new()));
    }
    // What was cut out is put back into a copy.
    let copies = if cut.is_some() { 2 } else { 1 };
    let _room = live.memory.room(writer.size().saturating_mul(copies)).await?;
    let stored = writer.read_back(live::size(live.config.limits.message_size).saturating_add(64 << 10)).await?;
    let came = Came::new(stored, ours, cut);
    let helo = trace.helo.to_string();
    Ok(look(server, live, About { client, envelope, helo: &helo, headers }, came.as_ref()).await)
}

/// What a message is about.
pub(crate) struct About<'a> {
    pub(crate) client: &'a ClientFacts,
    pub(crate) envelope: &'a Envelope,
    pub(crate) helo: &'a str,
    pub(crate) headers: &'a Headers,
}

/// Finds it out about a message as it came.
pub(crate) async fn look(server: &Server, live: &Live, about: About<'_>, octets: &[u8]) -> (Found, Vec<u8>) {
    let About { client, envelope, helo, headers } = about;
    let own = &live.config.policy;
    let (inspection, read) = at_length(octets.len(), || {
        let inspection = own.links.enabled.then(|| live.inspector.inspect(octets));
        (inspection, own.authenticity.enabled.then(|| ReadMessage::read(octets)).flatten())
    });
    let (asked, unasked) = names(server, live, headers, inspection.as_ref());
    let (dns, from) = tokio::join!(
        Asking::message(server, live, client, asked),
        authenticity::examine(live, client, (envelope, helo, headers), read)
    );
    let (authenticity, fields) = from.map_or((None, Vec::new()), |(found, fields)| (Some(Box::new(found)), fields));
    let listed = names_in_lists::of_message(server, client, headers, (inspection.as_ref(), authenticity.as_deref()));
    let links = inspection.as_ref().map(|inspection| LinkFacts { unasked, ..inspection.facts() });
    (Found { dns, links, authenticity, filters: Vec::new(), listed, guard: None, is_for_postmaster: false }, fields)
}

/// What reads messages, as configured.
#[must_use]
pub(crate) fn inspector(config: &Config) -> Inspector {
    let own = &config.policy.links;
    let limits = Limits { links_max: live::number(own.links_max), octets_max: live::size(own.octets_max), ..Limits::default() };
    Inspector::new(limits, Hosts::new(&own.shorteners, &own.redirectors))
}

/// What lists are asked about: the domains of its authors, where its links lead, the links themselves and the mail addresses in it. With how many
/// places are left out, since there are more than lists may be asked about.
fn names(server: &Server, live: &Live, headers: &Headers, inspection: Option<&Inspection>) -> (Vec<(DnsTarget, Subject)>, u32) {
    let mut asked: Vec<_> =
        dnsbl::header_names(server, headers).into_iter().map(|subject| (DnsTarget::HeaderFrom, subject)).collect();
    let Some(inspection) = inspection else { return (asked, 0) };
    let (lists, most) = (server.dnsbl.lists(), live::number(live.config.policy.links.asked_max));
    let mut unasked = 0;
    if lists.has(DnsTarget::Link) {
        let (subjects, left) = link_subjects(&inspection.links, most, lists.has_link_addresses());
        unasked = left;
        asked.extend(subjects.into_iter().map(|subject| (DnsTarget::Link, subject)));
    }
    let hashed = |shown: &str, text: String| Subject::Hashed { shown: shown.into(), text: text.into() };
    if lists.has(DnsTarget::Url) {
        let urls = ranked(&inspection.links).into_iter().filter_map(|link| Some(hashed(&link.url, link.normal()?)));
        asked.extend(urls.take(most).map(|subject| (DnsTarget::Url, subject)));
    }
    if lists.has(DnsTarget::Address) {
        let addresses = inspection.addresses.iter().map(|address| hashed(address, address.to_string()));
        asked.extend(addresses.take(most).map(|subject| (DnsTarget::Address, subject)));
    }
    (asked, unasked)
}

/// Those that are odd or that a reader clicks before those that are only loaded, so that a hundred pictures of good names do not keep a bad one from
/// being asked about.
fn ranked(links: &[Link]) -> Vec<&Link> {
    let mut ranked: Vec<&Link> = links.iter().collect();
    ranked.sort_by_key(|link| (link.tricks.is_empty(), link.kind == Kind::Resource));
    ranked
}

/// Where links lead, each once: as many places as may be asked about, and a few hosts of each for the lists that know hosts. And how many places are
/// left out.
fn link_subjects(links: &[Link], most: usize, has_addresses: bool) -> (Vec<Subject>, u32) {
    let mut places: HashMap<String, HashSet<&str>> = HashMap::new();
    let (mut subjects, mut unasked) = (Vec::new(), HashSet::new());
    for link in ranked(links) {
        let (place, host, subject) = match &link.host {
            // Lists know no names of one word.
            LinkHost::Name(host) if !host.as_str().contains('.') => continue,
            LinkHost::Name(host) => {
                let registered = link.registered.clone().unwrap_or_else(|| host.clone());
                (registered.to_string(), host.as_str(), Subject::Host { host: host.clone(), registered })
            }
            // What no list is asked about takes nobody's place.
            LinkHost::Address(_) if !has_addresses => continue,
            LinkHost::Address(address) => (address.to_string(), "", Subject::Address(*address)),
            LinkHost::Invalid => continue,
        };
        if !places.contains_key(&place) && places.len() >= most {
            unasked.insert(place);
            continue;
        }
        let hosts = places.entry(place).or_default();
        if hosts.len() < HOSTS_MAX && hosts.insert(host) {
            subjects.push(subject);
        }
    }
    (subjects, u32::try_from(unasked.len()).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
