//! An account's past: what it did of late, in counts that fade, and what is usual for it, in the highest of those counts on days that nothing spoke
//! against. Promise: of a fixed size but for the set of its recipients, which is bounded; and a day that looked like abuse teaches nothing, so nobody
//! trains the guard with what it is there to stop.

use std::time::Duration;

use postern_mail::client::Subnet;
use postern_mail::envelope::UnixMillis;
use postern_mail::guard::GuardStep;

use super::sketch::Sketch;

/// What is counted for an hour and a day.
pub(super) const KINDS: usize = 3;
/// The times that counts fade in.
pub(super) const SPANS: [Duration; 2] = [Duration::from_secs(3600), DAY];
/// A day.
pub(super) const DAY: Duration = Duration::from_secs(86_400);
/// How long what receivers said counts.
const SAID: Duration = Duration::from_secs(2 * 86_400);
/// What is usual is half forgotten after so many days: a newsletter a month and the books of a quarter stay usual.
const HALF_FORGOTTEN_DAYS: f64 = 60.0;
/// Networks and countries that are remembered.
pub(super) const PLACES_MAX: usize = 24;
/// A network is at home when it was first used so long ago.
pub(super) const AT_HOME_AFTER: Duration = Duration::from_secs(3 * 86_400);
/// The last of those who do not exist, so that each counts once.
const UNKNOWN_MAX: usize = 16;

/// A count that fades: what was counted so long ago as the span counts a third of what is counted now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Faded {
    pub(super) sum: f32,
    /// Milliseconds since 1970.
    pub(super) at: u64,
}

impl Faded {
    pub(super) fn get(&self, now: UnixMillis, span: Duration) -> f64 {
        let elapsed = now.since(UnixMillis(self.at)).as_secs_f64();
        f64::from(self.sum) * (-elapsed / span.as_secs_f64().max(1.0)).exp()
    }

    #[expect(clippy::cast_possible_truncation, reason = "a count; what is lost is less than one of it")]
    pub(super) fn add(&mut self, now: UnixMillis, span: Duration, amount: f64) -> f64 {
        let sum = self.get(now, span) + amount;
        (self.sum, self.at) = (sum as f32, now.0);
        sum
    }
}

/// The kinds of what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Messages,
    Recipients,
    Strangers,
}

/// By kind, then by span.
pub(super) type Table<T> = [[T; SPANS.len()]; KINDS];

pub(super) fn cell<T: Copy + Default>(table: &Table<T>, kind: Kind, span: usize) -> T {
    table.get(kind as usize).and_then(|row| row.get(span)).copied().unwrap_or_default()
}

/// Where it sent from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) network: u64,
    pub(super) country: [u8; 2],
    pub(super) first: UnixMillis,
    pub(super) last: UnixMillis,
    /// It was among the first of a new account.
    pub(super) is_home: bool,
}

impl Place {
    pub(super) fn is_at_home(&self, now: UnixMillis) -> bool {
        self.is_home || now.since(self.first) >= AT_HOME_AFTER
    }
}

/// What receivers said.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Said {
    pub(super) concluded: Faded,
    pub(super) unknown: Faded,
    pub(super) spam: Faded,
    pub(super) complaints: Faded,
    pub(super) traps: Faded,
    pub(super) listed: Faded,
    /// Of those concluded and those refused, such as had never been written to before.
    pub(super) new_concluded: Faded,
    pub(super) new_bad: Faded,
}

/// A count, what was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Concluded,
    Unknown,
    Spam,
    Complaint,
    Trap,
    Listed,
    NewConcluded,
    NewBad,
}

impl Said {
    pub(super) fn add(&mut self, now: UnixMillis, what: Heard, amount: f64) {
        let Self { concluded, unknown, spam, complaints, traps, listed, new_concluded, new_bad } = self;
        let counter = match what {
            Heard::Concluded => concluded,
            Heard::Unknown => unknown,
            Heard::Spam => spam,
            Heard::Complaint => complaints,
            Heard::Trap => traps,
            Heard::Listed => listed,
            Heard::NewConcluded => new_concluded,
            Heard::NewBad => new_bad,
        };
        counter.add(now, SAID, amount);
    }

    pub(super) fn get(&self, now: UnixMillis, what: Heard) -> f64 {
        let counter = match what {
            Heard::Concluded => &self.concluded,
            Heard::Unknown => &self.unknown,
            Heard::Spam => &self.spam,
            Heard::Complaint => &self.complaints,
            Heard::Trap => &self.traps,
            Heard::Listed => &self.listed,
            Heard::NewConcluded => &self.new_concluded,
            Heard::NewBad => &self.new_bad,
        };
        counter.get(now, SAID)
    }
}

/// All that is known of an account.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Past {
    /// When it was first seen.
    pub(super) since: UnixMillis,
    /// When it was last seen.
    pub(super) seen: UnixMillis,
    /// When the day under way began; a day is 24 hours from its first message on.
    pub(super) day: UnixMillis,
    /// Days on which it sent something.
    pub(super) days: u32,
    /// What it did of late.
    pub(super) now: Table<Faded>,
    /// The highest of that on the day under way.
    pub(super) today: Table<f32>,
    /// The highest of it on the days before.
    pub(super) usual: Table<f32>,
    /// The most points of the day under way.
    pub(super) worst_today: f32,
    /// Recipients in all, and how many of them had never been written to; both fade by the day.
    pub(super) recipients: f32,
    pub(super) strangers: f32,
    /// What it sent in each hour of the day, UTC; fades by the day.
    pub(super) hours: [f32; 24],
    /// Of late, from networks where it is not at home: recipients, and strangers among them.
    pub(super) away: Faded,
    pub(super) away_strangers: Faded,
    /// Networks and countries that were new, of late.
    pub(super) new_networks: Faded,
    pub(super) new_countries: Faded,
    pub(super) places: Vec<Place>,
    pub(super) said: Said,
    /// Shares of what receivers said on good days, of a thousand: unknown and spam.
    pub(super) usual_bad: f32,
    pub(super) unknown: Vec<u64>,
    pub(super) known: Sketch,
    /// Those who were written to for the first time on the day under way, and on the one before.
    pub(super) fresh: [Sketch; 2],
    /// The step it stands on, and since when.
    pub(super) step: GuardStep,
    pub(super) step_since: UnixMillis,
    /// A person vouched for it until then.
    pub(super) trusted_until: UnixMillis,
    /// When its next message may leave, while it is slowed down.
    pub(super) next_slot: UnixMillis,
}

impl Past {
    pub(super) fn new(now: UnixMillis) -> Self {
        let never = UnixMillis(0);
        Self {
            since: now,
            seen: now,
            day: now,
            days: 0,
            now: Table::default(),
            today: Table::default(),
            usual: Table::default(),
            worst_today: 0.0,
            recipients: 0.0,
            strangers: 0.0,
            hours: [0.0; 24],
            away: Faded::default(),
            away_strangers: Faded::default(),
            new_networks: Faded::default(),
            new_countries: Faded::default(),
            places: Vec::new(),
            said: Said::default(),
            usual_bad: 0.0,
            unknown: Vec::new(),
            known: Sketch::default(),
            fresh: [Sketch::default(), Sketch::default()],
            step: GuardStep::None,
            step_since: now,
            trusted_until: never,
            next_slot: never,
        }
    }

    /// Too little of it to know what is usual.
    pub(super) fn is_cold(&self) -> bool {
        self.days < 10
    }

    /// Counts what is about to leave, or to be kept.
    #[expect(clippy::cast_possible_truncation, reason = "counts for a person to read")]
    pub(super) fn count(&mut self, now: UnixMillis, amounts: [f64; KINDS]) {
        for ((row, today), amount) in self.now.iter_mut().zip(&mut self.today).zip(amounts) {
            for ((counter, highest), span) in row.iter_mut().zip(today).zip(SPANS) {
                *highest = highest.max(counter.add(now, span, amount) as f32);
            }
        }
    }

    /// A person's word has ended: what was done under it counts no more, and taught nothing about strangers.
    pub(super) fn end_trust(&mut self, now: UnixMillis) {
        if self.trusted_until == UnixMillis(0) || now < self.trusted_until {
            return;
        }
        self.trusted_until = UnixMillis(0);
        self.learn_today();
        self.now = Table::default();
    }

    /// All of the day under way is usual from now on, but for its strangers: to them goes what a thief would send.
    fn learn_today(&mut self) {
        for (kind, (usual, today)) in self.usual.iter_mut().zip(&mut self.today).enumerate() {
            for (usual, today) in usual.iter_mut().zip(today) {
                if kind != Kind::Strangers as usize {
                    *usual = usual.max(*today);
                }
                *today = 0.0;
            }
        }
    }

    /// When the day is over, what it was like becomes part of what is usual, where nothing spoke against it.
    #[expect(clippy::cast_possible_truncation, reason = "counts for a person to read")]
    pub(super) fn turn(&mut self, now: UnixMillis, may_learn: impl Fn(f32) -> bool, floors: &Table<f32>) {
        let elapsed = now.since(self.day);
        if elapsed < DAY {
            return;
        }
        let days = elapsed.as_secs_f64() / DAY.as_secs_f64();
        let left = 0.5_f64.powf(days / HALF_FORGOTTEN_DAYS) as f32;
        let bad = self.said.get(now, Heard::NewBad);
        let is_bad = bad >= 2.5 && bad > self.said.get(now, Heard::NewConcluded) * 0.1;
        let learns = may_learn(self.worst_today) && !is_bad;
        if now < self.trusted_until {
            self.learn_today();
        }
        let [today, yesterday] = &mut self.fresh;
        *yesterday = std::mem::take(today);
        if days >= 2.0 {
            *yesterday = Sketch::default();
        }
        for ((usual, today), floors) in self.usual.iter_mut().zip(&mut self.today).zip(floors) {
            for ((usual, today), floor) in usual.iter_mut().zip(today).zip(floors) {
                let kept = *usual * left;
                // Nobody teaches it more than this in one day.
                let most = usual.max(*floor) * 1.5;
                *usual = if learns { kept.max(today.min(most)) } else { kept };
                *today = 0.0;
            }
        }
        self.recipients *= left;
        self.strangers *= left;
        self.hours.iter_mut().for_each(|hour| *hour *= left);
        let concluded = self.said.get(now, Heard::Concluded);
        if learns && concluded >= 20.0 {
            let bad = (self.said.get(now, Heard::Unknown) + self.said.get(now, Heard::Spam)) / concluded * 1000.0;
            self.usual_bad += (bad.min(60.0) as f32 - self.usual_bad) * 0.1;
        }
        self.worst_today = 0.0;
        self.days = self.days.saturating_add(1);
        self.day = now;
    }

    /// True when this place was not known, and the country of it neither.
    pub(super) fn visit(&mut self, now: UnixMillis, network: u64, country: Option<[u8; 2]>) -> Visited {
        let code = country.unwrap_or_default();
        let is_new_country = country.is_some() && !self.places.iter().any(|place| place.country == code);
        let visited = if let Some(place) = self.places.iter_mut().find(|place| place.network == network) {
            place.last = now;
            Visited { is_at_home: place.is_at_home(now), is_new: false, is_new_country: false }
        } else {
            // Where a new account begins is its home, and so are the first few places beside it.
            let is_home = self.places.is_empty() || (self.days < 3 && self.places.len() < 3);
            if self.places.len() >= PLACES_MAX {
                // Those it only passed through are forgotten first, so that a swarm of networks does not wash away its home.
                let oldest = self
                    .places
                    .iter()
                    .enumerate()
                    .min_by_key(|(_, place)| (place.last.since(place.first) >= DAY || place.is_home, place.last));
                if let Some(index) = oldest.map(|(index, _)| index) {
                    self.places.swap_remove(index);
                }
            }
            self.places.push(Place { network, country: code, first: now, last: now, is_home });
            Visited { is_at_home: is_home, is_new: !is_home, is_new_country: is_new_country && !is_home }
        };
        self.new_networks.add(now, SPANS[0], f64::from(u8::from(visited.is_new)));
        self.new_countries.add(now, SPANS[0], f64::from(u8::from(visited.is_new_country)));
        visited
    }

    /// True the first time that this one is heard not to exist.
    pub(super) fn unknown_for_the_first_time(&mut self, key: u64) -> bool {
        if self.unknown.contains(&key) {
            return false;
        }
        if self.unknown.len() >= UNKNOWN_MAX {
            self.unknown.remove(0);
        }
        self.unknown.push(key);
        true
    }

    /// What is held against it is forgotten, and how much it sent is usual from now on.
    pub(super) fn forgive(&mut self, now: UnixMillis) {
        self.learn_today();
        self.now = Table::default();
        (self.away, self.away_strangers) = (Faded::default(), Faded::default());
        (self.new_networks, self.new_countries) = (Faded::default(), Faded::default());
        self.said = Said::default();
        self.unknown.clear();
        self.worst_today = 0.0;
        (self.step, self.step_since, self.next_slot) = (GuardStep::None, now, UnixMillis(0));
    }
}

/// What a place is to an account.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visited {
    pub(super) is_at_home: bool,
    pub(super) is_new: bool,
    pub(super) is_new_country: bool,
}

/// The key of a network.
pub(super) fn network_key(seed: u64, network: &Subnet) -> u64 {
    super::sketch::key(seed, &[b"network", network.to_string().as_bytes()])
}
