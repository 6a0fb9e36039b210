//! Lists of addresses and names, asked by DNS (RFC 5782): all of them at once, within one deadline. Promise: whatever a list does, the answer comes
//! within the deadline, a broken list says nothing, and no key stands in anything that leaves here.
//!
//! Exposure: reads what lists answer, and asks about names that strangers choose.

mod health;
mod question;

use std::net::Ipv4Addr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use hickory_resolver::proto::rr::RecordType;
use postern_mail::dns_list::{DnsAsking, DnsListed, DnsMute, DnsSaid, DnsUnheard, Scoring, askable_name};
use postern_mail::envelope::UnixMillis;
use postern_mail::{DnsTarget, Domain};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::resolver::{Resolver, clock};
pub use health::{Change, Counts, HealthSettings, View, WhyParked};
use health::{Ended, Health, Pair};
use question::Reading;
pub use question::Subject;

/// Names of one address that are asked about.
const NAMES_OF_ADDRESS_MAX: usize = 3;
/// Things that one list is asked about at a time.
pub const SUBJECTS_MAX: usize = 512;

/// Where a list shows that it works.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TestPoint {
    /// RFC 5782 §5: 127.0.0.2, or the name `test`.
    #[default]
    Standard,
    /// A name of the list's own.
    Name(Domain),
    /// It has none.
    Nowhere,
}

/// One list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsList {
    /// Its zone, without the key.
    pub zone: Domain,
    /// What stands before the zone in questions, for lists that know their customers by it.
    pub key: Option<String>,
    /// What it is asked about.
    pub target: DnsTarget,
    /// Which of its codes mean something.
    pub scoring: Scoring,
    /// Where it shows that it works.
    pub test_point: TestPoint,
    /// How it is asked about what stands in messages.
    pub asking: DnsAsking,
}

/// How lists are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DnsListSettings {
    /// For all lists together.
    pub deadline: Duration,
    /// What they are held to.
    pub health: HealthSettings,
}

/// What lists said, and what they showed of themselves by it.
#[derive(Debug, Default)]
pub struct Heard {
    /// What they said.
    pub said: DnsSaid,
    /// Lists that are parked from now on.
    pub changes: Vec<Change>,
}

struct Watched {
    list: DnsList,
    name: Arc<str>,
    /// The key and the zone.
    below: String,
    health: Mutex<Health>,
    proven: watch::Sender<bool>,
}

/// All lists that are asked.
pub struct DnsLists {
    resolver: Resolver,
    settings: DnsListSettings,
    lists: Vec<Arc<Watched>>,
}

impl DnsLists {
    /// Nothing is asked yet. What is known of a list that was among `before` stays known.
    #[must_use]
    pub fn new(resolver: Resolver, settings: DnsListSettings, lists: Vec<DnsList>, before: Option<&Self>) -> Self {
        let known = |list: &DnsList| before.and_then(|before| before.lists.iter().find(|watched| watched.list == *list).cloned());
        let lists = lists.into_iter().map(|list| known(&list).unwrap_or_else(|| Arc::new(Watched::new(list)))).collect();
        Self { resolver, settings, lists }
    }

    /// True when a list is asked about such things.
    #[must_use]
    pub fn has(&self, target: DnsTarget) -> bool {
        self.lists.iter().any(|watched| watched.list.target == target)
    }

    /// True when a list of links may be asked about addresses.
    #[must_use]
    pub fn has_link_addresses(&self) -> bool {
        self.lists.iter().any(|watched| watched.list.target == DnsTarget::Link && watched.list.asking.has_addresses)
    }

    /// Asks all lists about what is theirs, at most [`SUBJECTS_MAX`] things each, and ends within the deadline.
    pub async fn ask(&self, now: UnixMillis, subjects: &[(DnsTarget, Subject)]) -> Heard {
        let mut asked = JoinSet::new();
        for watched in &self.lists {
            for subject in watched.own(subjects) {
                let (watched, resolver, settings) = (Arc::clone(watched), self.resolver.clone(), self.settings);
                asked.spawn(async move { watched.ask(&resolver, &settings, now, subject).await });
            }
        }
        let mut heard = Heard::default();
        // A task that panicked says as little as a list that is silent.
        while let Some(one) = asked.join_next().await {
            let one = one.unwrap_or_default();
            heard.said.append(one.said);
            heard.changes.extend(one.changes);
        }
        // In an order that does not depend on who was first.
        heard.said.listed.sort_by(|a, b| (&a.zone, a.target, &a.asked).cmp(&(&b.zone, b.target, &b.asked)));
        heard.said.unheard.sort_by(|a, b| (&a.zone, a.target).cmp(&(&b.zone, b.target)));
        heard.said.unheard.dedup();
        heard
    }

    /// Probes the lists whose time it is. Gives what has changed, and when the next one's time is.
    pub async fn probe(&self, now: UnixMillis) -> (Vec<Change>, UnixMillis) {
        let mut probing = JoinSet::new();
        for watched in self.lists.iter().filter(|watched| watched.health().due(&self.settings.health) <= now) {
            let (watched, resolver, settings) = (Arc::clone(watched), self.resolver.clone(), self.settings);
            probing.spawn(async move { watched.probe(&resolver, &settings, now).await });
        }
        let mut changes = Vec::new();
        while let Some(probed) = probing.join_next().await {
            changes.extend(probed.ok().flatten());
        }
        let far = now.plus(self.settings.health.probe_interval);
        let next = self.lists.iter().map(|watched| watched.health().due(&self.settings.health)).min().unwrap_or(far);
        (changes, next)
    }

    /// How each list is, in the order of the configuration.
    pub fn views(&self) -> impl Iterator<Item = (&DnsList, View)> {
        self.lists.iter().map(|watched| (&watched.list, watched.health().view()))
    }

    /// Counts something of a list that only whoever knows the message can know.
    pub fn count(&self, zone: &str, target: DnsTarget, count: impl Fn(&mut Counts)) {
        for watched in self.lists.iter().filter(|watched| &*watched.name == zone && watched.list.target == target) {
            count(&mut watched.health().counts);
        }
    }
}

impl Watched {
    fn new(list: DnsList) -> Self {
        let before = list.asking.prefix.iter().chain(&list.key);
        let below: String = before.map(|part| format!("{part}.")).chain([list.zone.to_string()]).collect();
        let name = list.zone.as_str().into();
        Self { list, name, below, health: Mutex::new(Health::new()), proven: watch::Sender::new(false) }
    }

    /// Lists of links are asked about addresses only where they know some.
    fn own(&self, subjects: &[(DnsTarget, Subject)]) -> Vec<Subject> {
        let list = &self.list;
        let may = |subject: &Subject| {
            list.target != DnsTarget::Link || list.asking.has_addresses || !matches!(subject, Subject::Address(_))
        };
        let own = subjects.iter().filter(|(target, subject)| *target == list.target && may(subject));
        question::own(&list.asking, own.map(|(_, subject)| subject), SUBJECTS_MAX)
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mute(&self, why: DnsMute) -> Heard {
        let unheard = DnsUnheard { zone: Arc::clone(&self.name), target: self.list.target, why };
        Heard { said: DnsSaid { unheard: vec![unheard], ..DnsSaid::default() }, changes: Vec::new() }
    }

    /// Asks about one thing. Always ends within the deadline, with what is known by then.
    async fn ask(&self, resolver: &Resolver, settings: &DnsListSettings, now: UnixMillis, subject: Subject) -> Heard {
        let mut over = pin!(tokio::time::sleep(settings.deadline));
        // A list that nobody has tried yet might list the whole world.
        let mut proven = self.proven.subscribe();
        tokio::select! {
            _ = proven.wait_for(|proven| *proven) => {}
            () = &mut over => return self.mute(DnsMute::Silent),
        }
        if self.health().is_parked() {
            return self.mute(DnsMute::Parked);
        }
        let questions = match subject {
            Subject::Address(address) => question::about_address(address, &self.below)
                .map(|name| (address.to_canonical().to_string(), name))
                .into_iter()
                .collect(),
            Subject::Name(name) => self.questions(vec![name]),
            Subject::Host { host, .. } => self.questions(vec![host]),
            Subject::Hashed { shown, text } => question::about_hash(&text, &self.list.asking, &self.below)
                .map(|name| (shown.to_string(), name))
                .into_iter()
                .collect(),
            Subject::NamesOf(address) => tokio::select! {
                names = names_of(resolver, address) => self.questions(names),
                () = &mut over => return Heard::default(),
            },
        };
        let mut heard = Heard::default();
        for (asked, name) in questions {
            let ended = match resolver.remembered(clock(), &name, RecordType::A) {
                Some(answer) => Ended::Read(question::read(&answer)),
                None => {
                    let sent = OnceLock::new();
                    let ended = tokio::select! {
                        ended = asked_anew(resolver, &name, &sent) => ended,
                        () = &mut over => Ended::Silent,
                    };
                    // As long as our own questions stand in line the list has no part in it.
                    let took = sent.get().map(|sent| clock().saturating_duration_since(*sent)).unwrap_or_default();
                    // A client whose own name took most of the time says nothing of the list, and neither does a question that was never sent.
                    let had_time = match ended {
                        Ended::Read(_) => true,
                        Ended::Failed => sent.get().is_some(),
                        Ended::Silent => took >= settings.health.slow.min(settings.deadline / 2),
                    };
                    let parked = had_time.then(|| self.health().ended(now, took, &ended, &settings.health)).flatten();
                    heard.changes.extend(parked.map(|why| self.change(Some(why))));
                    ended
                }
            };
            let codes = match ended {
                Ended::Read(Reading::Codes(codes)) => codes,
                Ended::Read(Reading::Nothing) => continue,
                Ended::Read(Reading::Unusable(_)) => return heard.and(self.mute(DnsMute::Unusable)),
                Ended::Failed => return heard.and(self.mute(DnsMute::Failed)),
                Ended::Silent => return heard.and(self.mute(DnsMute::Silent)),
            };
            if self.list.scoring.tenths(&codes).is_none() {
                continue;
            }
            self.health().counts.listed += 1;
            let text = tokio::select! {
                answer = resolver.records(clock(), &name, RecordType::TXT) => answer.map(|answer| question::reason(&answer)).unwrap_or_default(),
                () = &mut over => String::new(),
            };
            let (zone, target) = (Arc::clone(&self.name), self.list.target);
            heard.said.listed.push(DnsListed { zone, target, asked: asked.into(), codes, text: text.into() });
        }
        heard
    }

    fn questions(&self, names: Vec<Domain>) -> Vec<(String, Domain)> {
        let one = |name: Domain| question::about_name(&name, &self.below).map(|question| (name.to_string(), question));
        names.into_iter().filter_map(one).collect()
    }

    fn change(&self, parked: Option<WhyParked>) -> Change {
        Change { zone: Arc::clone(&self.name), parked }
    }

    async fn probe(&self, resolver: &Resolver, settings: &DnsListSettings, now: UnixMillis) -> Option<Change> {
        let (listed, clean) = (Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 1));
        let below = self.below.as_str();
        // RFC 5782 §5: the test points of lists of IPv4 addresses, of IPv6 addresses, and of names.
        let mut points = if self.list.target == DnsTarget::Client {
            let v4 = |address: Ipv4Addr| question::about_address(address.into(), below);
            vec![(v4(listed), v4(clean)), (question::about_mapped(listed, below), question::about_mapped(clean, below))]
        } else {
            let name = |text: &str| Domain::parse(&format!("{text}.{below}")).ok();
            vec![(name("test"), name("invalid"))]
        };
        match &self.list.test_point {
            TestPoint::Standard => {}
            TestPoint::Name(own) => points.iter_mut().for_each(|(listed, _)| *listed = question::about_name(own, below)),
            TestPoint::Nowhere => points.iter_mut().for_each(|(listed, _)| *listed = None),
        }
        let ask = |name: Option<Domain>| async move {
            let name = name?;
            Some(
                tokio::time::timeout(settings.deadline, asked_anew(resolver, &name, &OnceLock::new()))
                    .await
                    .unwrap_or(Ended::Silent),
            )
        };
        let pair = |points: Option<(Option<Domain>, Option<Domain>)>| async move {
            let (listed, clean) = points?;
            let (listed, clean) = tokio::join!(ask(listed), ask(clean));
            Some(Pair { listed, clean: clean.unwrap_or(Ended::Failed) })
        };
        let mut points = points.into_iter();
        // All at once: sessions wait for the first probe, and no longer than one deadline.
        let (first, second) = tokio::join!(pair(points.next()), pair(points.next()));
        let pairs: Vec<Pair> = first.into_iter().chain(second).collect();
        let changed = self.health().probed(now, &pairs, &settings.health);
        self.proven.send_replace(self.health().is_proven());
        changed.map(|parked| self.change(parked))
    }
}

impl Heard {
    fn and(mut self, other: Self) -> Self {
        self.said.append(other.said);
        self.changes.extend(other.changes);
        self
    }
}

/// Past what is remembered. No word of a failure is kept: the name in it may hold a key.
async fn asked_anew(resolver: &Resolver, name: &Domain, sent: &OnceLock<Instant>) -> Ended {
    match resolver.records_sent(clock(), (name, RecordType::A), sent).await {
        Ok(answer) => Ended::Read(question::read(&answer)),
        Err(_) => Ended::Failed,
    }
}

async fn names_of(resolver: &Resolver, address: std::net::IpAddr) -> Vec<Domain> {
    let Some(name) = question::reverse(address) else { return Vec::new() };
    let answer = resolver.records(clock(), &name, RecordType::PTR).await;
    answer.map(|answer| question::names(&answer, NAMES_OF_ADDRESS_MAX)).unwrap_or_default()
}

/// What a list of names is asked about, where it is a name.
#[must_use]
pub fn name_subject(text: &str) -> Option<Subject> {
    askable_name(text).map(Subject::Name)
}

#[cfg(test)]
mod tests;
