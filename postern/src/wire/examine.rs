//! What is found out about a message once it is all there, before it is judged: what lists say of its names and links, and who it is from.
//! Promise: only strangers' mail is looked at; the octets of all messages that are looked at together stay within `policy.examine_memory`; and
//! what could not be found out is held against nobody.

use std::borrow::Cow;

use postern_config::Config;
use postern_inspect::{Inspection, Kind, Limits, Link, LinkHost};
use postern_lookup::{ReadMessage, Subject};
use postern_mail::client::ListenerKind;
use postern_mail::fact::ClientFacts;
use postern_mail::message::headers::Headers;
use postern_mail::{DnsTarget, Envelope};
use postern_policy::facts::Found;
use postern_smtp::machine::TraceFacts;
use postern_spool::Writer;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::wire::dnsbl::{self, Asking};
use crate::wire::{Live, Server, authenticity, live};

/// Messages above this are read on a thread that others do not wait for.
const QUICK_BYTES_MAX: usize = 64 * 1024;

/// Memory for messages that are looked at as a whole, in KiB. Who finds none free waits for those before it.
pub(crate) struct Memory {
    free: Semaphore,
    all: u32,
}

impl Memory {
    /// As configured.
    #[must_use]
    pub(crate) fn new(config: &Config) -> Self {
        let all = u32::try_from(config.policy.examine_memory.0 / 1024).unwrap_or(u32::MAX);
        Self { free: Semaphore::new(usize::try_from(all).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)), all }
    }

    /// Room for a message of this size; a message that is larger than all there is has all of it.
    pub(crate) async fn room(&self, octets: u64) -> Option<SemaphorePermit<'_>> {
        let wanted = u32::try_from(octets / 1024 + 1).unwrap_or(u32::MAX).min(self.all);
        // It is never closed.
        self.free.acquire_many(wanted).await.ok()
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
pub(crate) async fn examine(server: &Server, live: &Live, whole: Whole<'_>) -> (Found, Vec<u8>) {
    let Whole { client, envelope, trace, headers, writer, ours, cut } = whole;
    if !is_looked_at(live, client, envelope) {
        return (Found::default(), Vec::new());
    }
    let own = &live.config.policy;
    if !own.authenticity.enabled && !own.links.enabled {
        let dns = Asking::message(server, live, client, names(server, live, headers, None)).await;
        return (Found { dns, ..Found::default() }, Vec::new());
    }
    let _room = live.memory.room(writer.size()).await;
    let stored = match writer.read_back(live::size(live.config.limits.message_size).saturating_add(64 << 10)).await {
        Ok(stored) => stored,
        Err(outage) => {
            tracing::warn!(%outage, "a message could not be read back, and neither its signatures nor its links are looked at");
            Cow::Borrowed(&[][..])
        }
    };
    let came = Came::new(stored, ours, cut);
    let helo = trace.helo.to_string();
    look(server, live, About { client, envelope, helo: &helo, headers }, came.as_ref()).await
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
        let inspection = own.links.enabled.then(|| postern_inspect::inspect(octets, &limits(live)));
        (inspection, own.authenticity.enabled.then(|| ReadMessage::read(octets)).flatten())
    });
    let asked = names(server, live, headers, inspection.as_ref());
    let (dns, from) = tokio::join!(
        Asking::message(server, live, client, asked),
        authenticity::examine(live, client, (envelope, helo, headers), read)
    );
    let (authenticity, fields) = from.map_or((None, Vec::new()), |(found, fields)| (Some(Box::new(found)), fields));
    let links = inspection.as_ref().map(Inspection::facts);
    (Found { dns, links, authenticity, filters: Vec::new() }, fields)
}

fn limits(live: &Live) -> Limits {
    let own = &live.config.policy.links;
    Limits { links_max: live::number(own.links_max), octets_max: live::size(own.octets_max), ..Limits::default() }
}

/// What lists are asked about: the domains of its authors, and where its links lead.
fn names(server: &Server, live: &Live, headers: &Headers, inspection: Option<&Inspection>) -> Vec<(DnsTarget, Subject)> {
    let mut asked: Vec<_> =
        dnsbl::header_names(server, headers).into_iter().map(|subject| (DnsTarget::HeaderFrom, subject)).collect();
    if let Some(inspection) = inspection.filter(|_| server.dnsbl.lists().has(DnsTarget::Link)) {
        asked.extend(
            link_subjects(&inspection.links, live::number(live.config.policy.links.asked_max))
                .into_iter()
                .map(|subject| (DnsTarget::Link, subject)),
        );
    }
    asked
}

/// Each once; those that are odd or that a reader clicks before those that are only loaded, so that a hundred pictures of good names do not keep a
/// bad one from being asked about.
fn link_subjects(links: &[Link], asked_max: usize) -> Vec<Subject> {
    let rank = |link: &&Link| (link.tricks.is_empty(), matches!(link.kind, Kind::Resource | Kind::Within));
    let mut ranked: Vec<&Link> = links.iter().collect();
    ranked.sort_by_key(rank);
    let mut subjects: Vec<Subject> = Vec::new();
    for link in ranked {
        let subject = match &link.host {
            LinkHost::Name(name) => Some(Subject::Name(link.registered.clone().unwrap_or_else(|| name.clone()))),
            LinkHost::Address(address) => Some(Subject::Address(*address)),
            LinkHost::Invalid => None,
        };
        subjects.extend(subject.filter(|subject| !subjects.contains(subject)));
        if subjects.len() >= asked_max {
            break;
        }
    }
    subjects
}
