//! A world of mail hosts on a virtual clock: what the scheduler makes of a long queue for many domains, most of them at few providers.
//!
//! Attempts find their hosts after a lookup, are admitted or sent back, and end as the host behaves. The world counts what a provider
//! would count: connections open at a time, messages in any minute, tries at a host that is dead.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

use postern_mail::attempt::{Attempt, Destination, Ticket};
use postern_mail::envelope::{MessageId, UnixMillis};
use postern_mail::{Domain, Scope, Status};
use postern_scheduler::{Admission, Provider, Report, Scheduler, SchedulerSettings, Trouble};

pub(crate) const START: UnixMillis = UnixMillis(1_700_000_000_000);
const LOOKUP: u64 = 20;
const TIMEOUT: u64 = 30_000;

/// How hosts behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Takes everything, within about this many milliseconds.
    Good(u64),
    /// Refuses for now whenever more than so many connections are open, whatever it was said to take.
    Strict(u32),
    /// Says of one in so many, at random, that it is too busy.
    Liar(u64),
    /// Does not answer.
    Dead,
}

/// A provider of the world: hosts, and the share of all recipients it has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host {
    pub(crate) name: &'static str,
    pub(crate) exchanger: &'static str,
    pub(crate) manner: Manner,
    /// Of 1,000 recipients.
    pub(crate) recipients: u64,
    /// Of 1,000 domains.
    pub(crate) domains: u64,
}

const fn host(name: &'static str, exchanger: &'static str, manner: Manner, recipients: u64, domains: u64) -> Host {
    Host { name, exchanger, manner, recipients, domains }
}

/// What is not listed has hosts of its own: most good, some slow, some dead.
pub(crate) const HOSTS: [Host; 12] = [
    host("google", "aspmx.l.google.com", Manner::Good(400), 330, 220),
    host("microsoft365", "x.mail.protection.outlook.com", Manner::Good(600), 130, 230),
    host("outlook.com", "outlook-com.olc.protection.outlook.com", Manner::Strict(8), 70, 1),
    host("yahoo", "mta5.am0.yahoodns.net", Manner::Strict(5), 60, 1),
    host("gmx", "mx00.emig.gmx.net", Manner::Good(300), 60, 10),
    host("t-online", "mx00.t-online.de", Manner::Liar(20), 15, 1),
    host("icloud", "mx01.mail.icloud.com", Manner::Good(500), 40, 2),
    host("ovh", "mx1.mail.ovh.net", Manner::Good(8_000), 30, 60),
    host("proofpoint", "mxa.pphosted.com", Manner::Good(1_500), 20, 30),
    host("qq", "mx1.qq.com", Manner::Liar(10), 5, 1),
    host("mimecast", "eu-smtp-inbound-1.mimecast.com", Manner::Dead, 20, 30),
    host("hosts.example", "mx.hosts.example", Manner::Liar(50), 20, 50),
];

pub(crate) struct Setting {
    pub(crate) recipients: u64,
    pub(crate) domains: u64,
    /// One in so many recipients is waited for by somebody; these come over the first half hour.
    pub(crate) single_every: u64,
    /// Besides, so many recipients at so many domains of one provider that is dead.
    pub(crate) dead: (u64, u64),
    /// No longer than this.
    pub(crate) hours: u64,
}

/// What one provider saw.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    pub(crate) recipients: u64,
    pub(crate) delivered: u64,
    pub(crate) tries: u64,
    pub(crate) open: u32,
    pub(crate) open_most: u32,
    pub(crate) open_limit: Option<u32>,
    pub(crate) minute_most: usize,
    pub(crate) minute_limit: Option<u32>,
    /// Milliseconds from the start to the last message taken.
    pub(crate) drained: u64,
    /// Tries in the worst hour after the first.
    pub(crate) hour_most: u64,
    hour: (u64, u64),
    last_minute: VecDeque<u64>,
    /// Delivered by the minute.
    pub(crate) by_minute: Vec<u64>,
}

pub(crate) struct Result {
    pub(crate) seen: BTreeMap<Arc<str>, Seen>,
    /// How long somebody waited for a message to be tried first, at hosts that answer, in milliseconds, sorted.
    pub(crate) single_waits: Vec<u64>,
    pub(crate) bulk_waits: Vec<u64>,
    pub(crate) left: usize,
    pub(crate) sent_back: u64,
    pub(crate) out_most: usize,
    pub(crate) rounds: u64,
}

struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % most.max(1)
    }
}

#[derive(Clone)]
struct Site {
    destination: Destination,
    group: Arc<str>,
    exchangers: Vec<Arc<str>>,
    manner: Manner,
}

enum Event {
    Arrive(Ticket, usize),
    Found(Attempt),
    End(Attempt, Report),
}

struct World {
    scheduler: Scheduler,
    sites: Vec<Site>,
    by_destination: BTreeMap<Destination, usize>,
    /// Times and numbers of what happens, and what it is.
    times: BinaryHeap<Reverse<(u64, usize)>>,
    events: Vec<Option<Event>>,
    free: Vec<usize>,
    random: Random,
    result: Result,
    first_try: Vec<bool>,
    single_every: u64,
}

/// The site of number `n`, of `of` in all.
fn site(n: u64, of: u64, random: &mut Random) -> Site {
    let destination = Destination::Mx(Domain::parse(&format!("d{n}.example")).unwrap());
    let mut place = n * 1_000 / of.max(1);
    for host in &HOSTS {
        if place < host.domains {
            return Site { destination, group: host.name.into(), exchangers: vec![host.exchanger.into()], manner: host.manner };
        }
        place -= host.domains;
    }
    let (group, manner) = match random.below(100) {
        0..=84 => ("own, good", Manner::Good(500)),
        85..=91 => ("own, slow", Manner::Good(40_000)),
        92..=94 => ("own, lying", Manner::Liar(4)),
        _ => ("own, dead", Manner::Dead),
    };
    Site { destination, group: group.into(), exchangers: Vec::new(), manner }
}

fn sites(setting: &Setting) -> Vec<Site> {
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    let mut sites: Vec<Site> = (0..setting.domains).map(|n| site(n, setting.domains, &mut random)).collect();
    // Even a provider of few domains has one.
    for (n, host) in HOSTS.iter().enumerate() {
        let destination = Destination::Mx(Domain::parse(&format!("first{n}.example")).unwrap());
        let exchangers = vec![host.exchanger.into()];
        sites.push(Site { destination, group: host.name.into(), exchangers, manner: host.manner });
    }
    for n in 0..setting.dead.1 {
        let destination = Destination::Mx(Domain::parse(&format!("dead{n}.example")).unwrap());
        sites.push(Site { destination, group: "dead".into(), exchangers: vec!["mx.dead.test".into()], manner: Manner::Dead });
    }
    sites
}

pub(crate) fn run(setting: &Setting) -> Result {
    let settings = SchedulerSettings::default();
    let sites = sites(setting);
    let mut seen: BTreeMap<Arc<str>, Seen> = BTreeMap::new();
    let mut by_group: BTreeMap<Arc<str>, Vec<usize>> = BTreeMap::new();
    for (n, site) in sites.iter().enumerate() {
        by_group.entry(site.group.clone()).or_default().push(n);
        let provider = settings.providers.get(&site.group);
        let shared = !site.exchangers.is_empty();
        seen.entry(site.group.clone()).or_insert_with(|| Seen {
            open_limit: shared.then(|| provider.and_then(|provider| provider.connections).unwrap_or(settings.shaping.window_max)),
            minute_limit: provider.and_then(|provider: &Provider| provider.messages_per_minute),
            ..Seen::default()
        });
    }
    let mut world = World {
        scheduler: Scheduler::new(settings, 1),
        by_destination: sites.iter().enumerate().map(|(n, site)| (site.destination.clone(), n)).collect(),
        sites,
        times: BinaryHeap::new(),
        events: Vec::new(),
        free: Vec::new(),
        random: Random(0x9E37_79B9_7F4A_7C15),
        result: Result { seen, single_waits: Vec::new(), bulk_waits: Vec::new(), left: 0, sent_back: 0, out_most: 0, rounds: 0 },
        first_try: vec![true; usize::try_from(setting.recipients + setting.dead.0).unwrap()],
        single_every: setting.single_every,
    };
    // Where the dead have half of the mail, they come in between the others.
    let all = setting.recipients + setting.dead.0;
    let mut pick = Random(7);
    let (mut living, mut dead) = (0, 0);
    let own = ["own, good", "own, good", "own, slow", "own, good", "own, lying", "own, dead"];
    for _ in 0..all {
        let is_dead =
            dead < setting.dead.0 && (living >= setting.recipients || dead * setting.recipients <= living * setting.dead.0);
        let (id, n) = if is_dead {
            dead += 1;
            (setting.recipients + dead - 1, by_group["dead"][usize::try_from((dead - 1) % setting.dead.1).unwrap()])
        } else {
            living += 1;
            let mut place = pick.below(1_000);
            let named = HOSTS.iter().find(|host| {
                let is_here = place < host.recipients;
                place = place.saturating_sub(host.recipients);
                is_here
            });
            let group = named.map_or(own[usize::try_from(pick.below(6)).unwrap()], |host| host.name);
            let few = by_group.get(group).unwrap_or(&by_group["own, good"]);
            // The first domains have most: the product of two shares.
            let share = pick.below(1_000) * pick.below(1_000);
            (living - 1, few[usize::try_from(share * few.len() as u64 / 1_000_000).unwrap()])
        };
        let is_single = !is_dead && id.is_multiple_of(setting.single_every);
        let at = if is_single { START.0 + id * 1_800_000 / setting.recipients } else { START.0 };
        let ticket = Ticket {
            id: MessageId(id),
            destination: world.sites[n].destination.clone(),
            account: None,
            received: UnixMillis(at),
            due: UnixMillis(at),
            attempts: 0,
            is_bulk: !is_single,
        };
        world.at(at, Event::Arrive(ticket, n));
    }
    world.run(setting.hours);
    world.result.single_waits.sort_unstable();
    world.result.bulk_waits.sort_unstable();
    world.result.left = world.scheduler.len();
    world.result
}

impl World {
    fn at(&mut self, at: u64, event: Event) {
        let number = match self.free.pop() {
            Some(number) => {
                self.events[number] = Some(event);
                number
            }
            None => {
                self.events.push(Some(event));
                self.events.len() - 1
            }
        };
        self.times.push(Reverse((at, number)));
    }

    fn run(&mut self, hours: u64) {
        let (mut out, mut notices) = (Vec::new(), Vec::new());
        let mut now = START;
        let end = START.0 + hours * 3_600_000;
        loop {
            while let Some(Reverse((_, number))) = self.times.peek().copied().filter(|Reverse((at, _))| *at <= now.0) {
                self.times.pop();
                self.free.push(number);
                if let Some(event) = self.events[number].take() {
                    self.happen(now, event);
                }
            }
            self.result.rounds += 1;
            self.scheduler.due(now, &mut out);
            self.result.out_most = self.result.out_most.max(self.scheduler.counts().active);
            for attempt in out.drain(..) {
                self.at(now.0 + LOOKUP, Event::Found(attempt));
            }
            self.scheduler.notices(now, usize::MAX, &mut notices);
            notices.clear();
            let next = self.times.peek().map(|Reverse((at, _))| UnixMillis(*at));
            let wake = self.scheduler.next_wakeup(now).map(|at| UnixMillis(at.0.max(now.0 + 1)));
            let Some(next) = next.into_iter().chain(wake).min().filter(|at| at.0 <= end) else { return };
            now = next;
        }
    }

    fn happen(&mut self, now: UnixMillis, event: Event) {
        match event {
            Event::Arrive(ticket, n) => {
                if let Some(seen) = self.result.seen.get_mut(&self.sites[n].group) {
                    seen.recipients += 1;
                }
                self.scheduler.insert(now, ticket).unwrap();
            }
            Event::Found(attempt) => self.connect(now, attempt),
            Event::End(attempt, report) => {
                let n = self.by_destination[&attempt.destination];
                if let Some(seen) = self.result.seen.get_mut(&self.sites[n].group) {
                    seen.open -= 1;
                    if report == Report::WORKED {
                        seen.delivered += 1;
                        seen.drained = now.0 - START.0;
                        let minute = usize::try_from((now.0 - START.0) / 60_000).unwrap();
                        seen.by_minute.resize(seen.by_minute.len().max(minute + 1), 0);
                        seen.by_minute[minute] += 1;
                    }
                }
                self.scheduler.finished(now, &attempt, report);
            }
        }
    }

    fn connect(&mut self, now: UnixMillis, attempt: Attempt) {
        let site = self.sites[self.by_destination[&attempt.destination]].clone();
        if self.scheduler.admit(now, &attempt, &site.exchangers) == Admission::Wait {
            self.result.sent_back += 1;
            return;
        }
        let seen = self.result.seen.get_mut(&site.group).unwrap();
        seen.open += 1;
        seen.open_most = seen.open_most.max(seen.open);
        seen.tries += 1;
        let hour = (now.0 - START.0) / 3_600_000;
        seen.hour = if seen.hour.0 == hour { (hour, seen.hour.1 + 1) } else { (hour, 1) };
        if hour > 0 {
            seen.hour_most = seen.hour_most.max(seen.hour.1);
        }
        if seen.minute_limit.is_some() {
            seen.last_minute.push_back(now.0);
            while seen.last_minute.front().is_some_and(|at| at + 60_000 <= now.0) {
                seen.last_minute.pop_front();
            }
            seen.minute_most = seen.minute_most.max(seen.last_minute.len());
        }
        let open = seen.open;
        let busy = Report { trouble: Some(Trouble::of(Scope::Destination, Status::new(4, 7, 28))), deferred: true };
        let dead = Report { trouble: Some(Trouble::of(Scope::Destination, Status::new(4, 4, 1))), deferred: true };
        let (takes, report) = match site.manner {
            Manner::Good(about) => (about / 2 + self.random.below(about), Report::WORKED),
            Manner::Strict(most) if open > most => (200, busy),
            Manner::Strict(_) => (300 + self.random.below(300), Report::WORKED),
            Manner::Liar(one_in) if self.random.below(one_in) == 0 => (300, busy),
            Manner::Liar(_) => (300 + self.random.below(300), Report::WORKED),
            Manner::Dead => (TIMEOUT, dead),
        };
        let id = usize::try_from(attempt.id.0).unwrap();
        if std::mem::take(&mut self.first_try[id]) && site.manner != Manner::Dead {
            let wait = now.since(attempt.received);
            let wait = u64::try_from(wait.as_millis()).unwrap();
            let is_single = attempt.id.0.is_multiple_of(self.single_every);
            if is_single { &mut self.result.single_waits } else { &mut self.result.bulk_waits }.push(wait);
        }
        self.at(now.0 + takes, Event::End(attempt, report));
    }
}

/// The share `of` (0 to 100) of all waits is at most this.
pub(crate) fn percentile(sorted: &[u64], of: usize) -> u64 {
    sorted.get((sorted.len() * of / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or(0)
}
