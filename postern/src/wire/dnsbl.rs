//! DNS lists of the running server: what they are asked about in a session, and the task that looks whether they work. Promise: an answer of lists
//! comes within `policy.lookup_deadline` or does without them; customers, trusted networks and clients that a local list allows are not asked about.

use std::sync::Arc;

use arc_swap::ArcSwap;
use postern_config::{Config, TestPointSetting};
use postern_lookup::dnslist::name_subject;
use postern_lookup::{Change, DnsList, DnsListSettings, DnsLists, HealthSettings, Heard, Resolver, Subject};
use postern_mail::client::ListenerKind;
use postern_mail::dns_list::{DnsAsking, DnsListRule, DnsSaid};
use postern_mail::event::Event;
use postern_mail::fact::ClientFacts;
use postern_mail::message::headers::Headers;
use postern_mail::{DnsTarget, HeloName, Mode, ReversePath, Secret};
use postern_policy::rules::dnsbl::worth;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::wire::{Live, Server, clock, lists as local, live, stopped};

/// What the rules know of the lists.
#[must_use]
pub(crate) fn rules(config: &Config) -> Vec<DnsListRule> {
    config
        .policy
        .dnsbl
        .iter()
        .map(|list| list.rule())
        .chain(config.policy.uribl.iter().map(|list| list.rule()))
        .chain(config.policy.hashbl.iter().map(|list| list.rule()))
        .collect()
}

fn list(rule: DnsListRule, key: Option<&Secret>, test_point: &TestPointSetting, asking: DnsAsking) -> Option<DnsList> {
    use postern_lookup::TestPoint;

    let test_point = match test_point {
        TestPointSetting::Standard => TestPoint::Standard,
        TestPointSetting::Name(name) => TestPoint::Name(name.clone()),
        TestPointSetting::Nowhere => TestPoint::Nowhere,
    };
    let key = key.map(|key| String::from_utf8_lossy(key.expose()).into_owned());
    let DnsListRule { zone, target, scoring, mode } = rule;
    (mode != Mode::Off).then_some(DnsList { zone, key, target, scoring, test_point, asking })
}

fn lists(config: &Config, before: Option<&DnsLists>) -> Result<DnsLists, String> {
    let policy = &config.policy;
    let mut settings = live::lookup(config);
    (settings.timeout, settings.cache_entries_max) = (policy.lookup_deadline, live::number(policy.lookup_cache_entries));
    let resolver = Resolver::new(settings).map_err(|failure| failure.to_string())?;
    let health =
        HealthSettings { slow: policy.lookup_slow, park: policy.lookup_park, probe_interval: policy.lookup_probe_interval };
    let dnsbl = policy.dnsbl.iter().filter_map(|own| list(own.rule(), own.key.as_ref(), &own.test_point, DnsAsking::default()));
    let uribl = policy.uribl.iter().filter_map(|own| list(own.rule(), own.key.as_ref(), &own.test_point, own.asking()));
    let hashbl = policy.hashbl.iter().filter_map(|own| list(own.rule(), own.key.as_ref(), &own.test_point, own.asking()));
    let settings = DnsListSettings { deadline: policy.lookup_deadline, health };
    Ok(DnsLists::new(resolver, settings, dnsbl.chain(uribl).chain(hashbl).collect(), before))
}

/// The lists in force.
pub(crate) struct Keeper {
    lists: ArcSwap<DnsLists>,
    /// There are other lists, or one has just been parked.
    look: Notify,
}

impl Keeper {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// When there is no name server to ask.
    pub(crate) fn new(config: &Config) -> Result<Self, String> {
        Ok(Self { lists: ArcSwap::from_pointee(lists(config, None)?), look: Notify::new() })
    }

    /// A reload. What is known of a list that stays is kept.
    pub(crate) fn adjust(&self, config: &Config) {
        // The same name servers were good enough for the rest of the configuration a moment ago.
        if let Ok(lists) = lists(config, Some(&self.lists.load())) {
            self.lists.store(Arc::new(lists));
            self.look.notify_one();
        }
    }

    /// The lists in force.
    pub(crate) fn lists(&self) -> Arc<DnsLists> {
        self.lists.load_full()
    }
}

fn tell(server: &Server, changes: Vec<Change>) {
    for Change { zone, parked } in changes {
        let (what, because) = match parked {
            Some(why) => ("parked", why.to_string()),
            None => ("usable", "its test points are right again".to_owned()),
        };
        server.emit(Event::DnsList { zone, what, because });
        server.dnsbl.look.notify_one();
    }
}

/// Asks the lists in force about some things; for links as well as for senders.
pub(crate) async fn ask(server: &Server, subjects: &[(DnsTarget, Subject)]) -> DnsSaid {
    if subjects.is_empty() {
        return DnsSaid::default();
    }
    let Heard { said, changes } = server.dnsbl.lists().ask(clock(), subjects).await;
    tell(server, changes);
    said
}

/// Probes lists when it is time, until the server stops.
pub(crate) async fn watch(server: Arc<Server>, mut stopping: watch::Receiver<bool>) {
    loop {
        let now = clock();
        let (changes, next) = server.dnsbl.lists().probe(now).await;
        tell(&server, changes);
        let wait = std::time::Duration::from_millis(next.0.saturating_sub(clock().0).max(50));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = server.dnsbl.look.notified() => {}
            () = stopped(&mut stopping) => return,
        }
    }
}

/// What one session has asked and is to count.
#[derive(Default)]
pub(crate) struct Asking {
    /// Under way since EHLO: what is asked about the client alone.
    client: Option<JoinSet<DnsSaid>>,
    helo: Option<HeloName>,
    /// Lists that would have refused the message under way, were they enforced.
    against: Vec<(Arc<str>, DnsTarget)>,
}

/// Strangers' mail only.
fn is_asked_about(server: &Server, live: &Live, client: &ClientFacts) -> bool {
    let address = client.address.to_canonical();
    let ours = live.config.server.trusted_networks.iter().chain(&live.config.server.relay_networks);
    client.listener == ListenerKind::Mx
        && !live.policy.dns_lists.is_empty()
        && !ours.into_iter().any(|network| network.contains(&address))
        && !local::allows(server, client)
}

impl Asking {
    /// At EHLO: lists of clients are asked while the client goes on.
    pub(crate) fn hello(&mut self, server: &Arc<Server>, live: &Live, client: &ClientFacts, helo: &HeloName) {
        self.helo = Some(helo.clone());
        if live.policy.dns_lists.is_empty() {
            return;
        }
        if self.client.is_none() && is_asked_about(server, live, client) {
            let (server, address) = (Arc::clone(server), client.address);
            let mut asked = JoinSet::new();
            asked.spawn(async move { ask(&server, &about_client(address)).await });
            self.client = Some(asked);
        }
    }

    /// What the client calls itself.
    pub(crate) fn helo(&self) -> Option<&HeloName> {
        self.helo.as_ref()
    }

    /// At MAIL: what lists say of the client and of the names it uses.
    pub(crate) async fn sender(&mut self, server: &Server, live: &Live, client: &ClientFacts, from: &ReversePath) -> DnsSaid {
        self.against.clear();
        if !is_asked_about(server, live, client) {
            return DnsSaid::default();
        }
        let names = used_names(self.helo.as_ref(), from);
        let earlier = self.client.take();
        let about_client = async {
            match earlier {
                Some(mut asked) => match asked.join_next().await {
                    Some(Ok(said)) => said,
                    _ => DnsSaid::default(),
                },
                // Another message of the session: the answer is remembered, for as long as the list allows.
                None => ask(server, &about_client(client.address)).await,
            }
        };
        let (mut said, of_names) = tokio::join!(about_client, ask(server, &names));
        said.append(of_names);
        self.watch(server, live, client, &said);
        said
    }

    /// At the end of the message: what lists say of the domains of From and Reply-To, and of its links.
    pub(crate) async fn message(
        server: &Server,
        live: &Live,
        client: &ClientFacts,
        subjects: Vec<(DnsTarget, Subject)>,
    ) -> DnsSaid {
        if subjects.is_empty() || !is_asked_about(server, live, client) {
            return DnsSaid::default();
        }
        ask(server, &subjects).await
    }

    /// Counts what lists that are only observed would have done: refuse this client by their points, on top of those that count.
    pub(crate) fn watch(&mut self, server: &Server, live: &Live, client: &ClientFacts, said: &DnsSaid) {
        let worth = || said.listed.iter().filter_map(|listed| worth(listed, &live.policy.dns_lists));
        let counted =
            worth().filter(|(_, mode, _)| *mode == Mode::Enforce).fold(0_i16, |sum, (.., tenths)| sum.saturating_add(tenths));
        let refuse_at = live.policy.limits.refuse.0;
        if counted >= refuse_at {
            return;
        }
        let known = server.ceiling.is_known(clock(), client.address);
        for (listed, ..) in
            worth().filter(|(_, mode, tenths)| *mode == Mode::Observe && counted.saturating_add(*tenths) >= refuse_at)
        {
            server.dnsbl.lists().count(&listed.zone, listed.target, |counts| {
                counts.would_refuse += 1;
                counts.known_good += u64::from(known);
            });
            self.against.push((Arc::clone(&listed.zone), listed.target));
        }
    }

    /// The message was taken: nothing else was wrong with it.
    pub(crate) fn accepted(&mut self, server: &Server) {
        for (zone, target) in self.against.drain(..) {
            server.dnsbl.lists().count(&zone, target, |counts| counts.accepted += 1);
        }
    }
}

/// The names a client uses for itself.
fn used_names(helo: Option<&HeloName>, from: &ReversePath) -> Vec<(DnsTarget, Subject)> {
    let helo = helo.and_then(|name| name_subject(name.as_str())).map(|name| (DnsTarget::Helo, name));
    let domain = from.mailbox().and_then(|mailbox| mailbox.domain());
    let domain = domain.and_then(|domain| name_subject(domain.as_str())).map(|name| (DnsTarget::MailFrom, name));
    helo.into_iter().chain(domain).collect()
}

/// What lists would say at MAIL of a client that has not come.
pub(crate) async fn would_say(
    server: &Server,
    live: &Live,
    client: &ClientFacts,
    helo: Option<&HeloName>,
    from: &ReversePath,
) -> DnsSaid {
    if !is_asked_about(server, live, client) {
        return DnsSaid::default();
    }
    let subjects: Vec<_> = about_client(client.address).into_iter().chain(used_names(helo, from)).collect();
    ask(server, &subjects).await
}

fn about_client(address: std::net::IpAddr) -> [(DnsTarget, Subject); 2] {
    [(DnsTarget::Client, Subject::Address(address)), (DnsTarget::Ptr, Subject::NamesOf(address))]
}

/// The domains of From and Reply-To, where a list wants to know them.
#[must_use]
pub(crate) fn header_names(server: &Server, headers: &Headers) -> Vec<Subject> {
    if !server.dnsbl.lists().has(DnsTarget::HeaderFrom) {
        return Vec::new();
    }
    let mut names: Vec<Subject> = Vec::new();
    let (from, reply_to) = (headers.addresses_in("From"), headers.addresses_in("Reply-To"));
    for domain in from.iter().chain(&reply_to).filter_map(|mailbox| mailbox.domain()) {
        names.extend(name_subject(domain.as_str()).filter(|name| !names.contains(name)));
    }
    names
}
