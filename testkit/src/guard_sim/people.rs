//! People who send mail, with the variance that people have: days that differ, weekends, contacts they write to often and seldom, typing errors, and the
//! networks they move through.

use super::chance::Chance;
use super::{Act, Addressee, Answer, BEGIN, DAY, HOUR, Plan};

/// Somebody with an account.
#[derive(Debug)]
pub struct Person {
    /// Whose chances.
    pub chance: Chance,
    /// What has happened.
    pub plan: Plan,
    /// Whom it knows, by when it came to know them.
    pub contacts: Vec<u64>,
    next_id: u64,
    /// On which day it sent last.
    day: u64,
    office: u32,
    home: u32,
    mobile: [u32; 6],
    country: [u8; 2],
    /// Messages on half of the working days.
    pub daily: f64,
    /// How much days differ.
    pub spread: f64,
    /// Of its recipients on ordinary days, never written to before.
    pub new: f64,
    /// Of its new recipients, mistyped.
    pub typos: f64,
    /// Of its mail, called spam by mistake.
    pub called_spam: f64,
    /// Offices move and homes get other addresses; a host in a data centre stays.
    pub moves: bool,
}

impl Person {
    /// In an office, with a home and a telephone.
    #[must_use]
    pub fn office(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let mut network = || 0x0a00_0000 | (chance.number() as u32 & 0x3fff_ff00);
        let (office, home) = (network(), network());
        let mobile = std::array::from_fn(|_| network());
        Self {
            plan: Plan::default(),
            contacts: Vec::new(),
            next_id: 1,
            day: 0,
            office,
            home,
            mobile,
            country: *b"DE",
            daily: chance.about(9.0, 0.5),
            spread: chance.between(0.5, 0.9),
            new: chance.between(0.03, 0.15),
            typos: chance.between(0.005, 0.03),
            called_spam: chance.between(0.0, 0.004),
            moves: true,
            chance,
        }
    }

    /// A program on a host that never moves.
    #[must_use]
    pub fn program(seed: u64) -> Self {
        Self { moves: false, ..Self::office(seed) }
    }

    /// Somebody nobody has written to.
    pub fn stranger(&mut self) -> Addressee {
        self.next_id += 1;
        self.contacts.push(self.next_id);
        let answer = if self.chance.is(self.typos) {
            Answer::Unknown
        } else if self.chance.is(self.called_spam) {
            Answer::Spam
        } else {
            Answer::Takes
        };
        if answer == Answer::Unknown {
            self.contacts.pop();
        }
        Addressee { id: self.next_id, answer }
    }

    /// Somebody it knows; those it knows for long and those of late more often than the others.
    pub fn contact(&mut self) -> Addressee {
        if self.contacts.len() < 8 {
            return self.stranger();
        }
        let share = self.chance.share();
        let place = ((share * share) * self.contacts.len() as f64) as usize;
        let place = if self.chance.is(0.3) { self.contacts.len() - 1 - place } else { place };
        self.known(place)
    }

    fn known(&mut self, place: usize) -> Addressee {
        let id = self.contacts[place.min(self.contacts.len() - 1)];
        // People leave their firms, and filters err.
        let answer = if self.chance.is(0.003) {
            Answer::Unknown
        } else if self.chance.is(self.called_spam) {
            Answer::Spam
        } else {
            Answer::Takes
        };
        Addressee { id, answer }
    }

    /// So many different ones of those it knows, the first of them first.
    pub fn everybody(&mut self, count: usize) -> Vec<Addressee> {
        (0..count.min(self.contacts.len())).map(|place| self.known(place)).collect()
    }

    fn place(&mut self, day: u64) -> u32 {
        if !self.moves {
            return self.office;
        }
        // A home gets another address every two weeks or so.
        if day != std::mem::replace(&mut self.day, day) && self.chance.is(1.0 / 14.0) {
            self.home = 0x0a00_0000 | (self.chance.number() as u32 & 0x3fff_ff00);
        }
        let is_weekend = (day % 7) >= 5;
        match self.chance.share() {
            share if share < 0.7 && !is_weekend => self.office,
            share if share < 0.85 => self.home,
            _ => self.mobile[self.chance.whole(0, 5) as usize],
        }
    }

    /// A time on a day: within working hours mostly.
    pub fn hour(&mut self) -> u64 {
        let hour = (12.5 + self.chance.normal() * 2.8).clamp(5.0, 22.9);
        (hour * HOUR as f64) as u64
    }

    /// One message, from where it is that day.
    pub fn send(&mut self, day: u64, time: u64, to: Vec<Addressee>) {
        let network = self.place(day);
        self.send_from(day, time, to, network, self.country);
    }

    /// One message from its office, as a program would.
    pub fn send_from_office(&mut self, day: u64, time: u64, to: Vec<Addressee>) {
        self.send_from(day, time, to, self.office, self.country);
    }

    /// One message from somewhere.
    pub fn send_from(&mut self, day: u64, time: u64, to: Vec<Addressee>, network: u32, country: [u8; 2]) {
        self.plan.acts.push(Act { at: BEGIN + day * DAY + time, to, network, country, is_theft: false });
    }

    /// How many messages on such a day.
    pub fn volume(&mut self, day: u64) -> u64 {
        let weekend = if (day % 7) >= 5 && self.moves { 0.12 } else { 1.0 };
        self.chance.about(self.daily * weekend, self.spread).min(self.daily * 12.0).round() as u64
    }

    /// To whom a message of an ordinary day goes.
    pub fn ordinary(&mut self) -> Vec<Addressee> {
        let count = if self.chance.is(0.15) { self.chance.whole(2, 6) } else { 1 };
        // New people come together, in one message or in one matter.
        let new = self.chance.is(self.new);
        (0..count).map(|_| if new { self.stranger() } else { self.contact() }).collect()
    }

    /// Ordinary days.
    pub fn days(&mut self, days: std::ops::Range<u64>) {
        for day in days {
            // Mail is written in sittings.
            let mut left = self.volume(day);
            while left > 0 {
                let sitting = self.chance.whole(1, 8).min(left);
                left -= sitting;
                let mut time = self.hour();
                for _ in 0..sitting {
                    let to = self.ordinary();
                    self.send(day, time.min(DAY - 1), to);
                    time += (self.chance.about(3.0, 0.9) * super::MINUTE as f64) as u64;
                }
            }
        }
    }
}

/// Somebody who has another's password.
#[derive(Debug)]
pub struct Thief {
    /// Whose chances.
    pub chance: Chance,
    /// Of its addresses, such as do not exist.
    pub dead: f64,
    /// Of its mail, refused as spam.
    pub spam: f64,
    /// Of its mail, complained about.
    pub complaints: f64,
    next_id: u64,
    /// Its network.
    pub network: u32,
    /// Its country.
    pub country: [u8; 2],
}

impl Thief {
    /// With a list as such people have: between 8 and 25 of a hundred addresses are dead, and between 5 and 30 receivers of a hundred see what it is.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed ^ 0x7417_ef00);
        Self {
            dead: chance.between(0.08, 0.25),
            spam: chance.between(0.05, 0.30),
            complaints: chance.between(0.0, 0.01),
            next_id: 1 << 40,
            network: 0x5000_0000 | (chance.number() as u32 & 0x0fff_ff00),
            country: if chance.is(0.5) { *b"DE" } else { *b"BR" },
            chance,
        }
    }

    /// One of its list.
    pub fn victim(&mut self) -> Addressee {
        self.next_id += 1;
        let answer = match self.chance.share() {
            share if share < self.dead => Answer::Unknown,
            share if share < self.dead + self.spam => Answer::Spam,
            share if share < self.dead + self.spam + self.complaints => Answer::Complains,
            _ => Answer::Takes,
        };
        Addressee { id: self.next_id, answer }
    }

    /// So many of its list.
    pub fn victims(&mut self, count: usize) -> Vec<Addressee> {
        (0..count).map(|_| self.victim()).collect()
    }

    /// Somebody the owner knows, to whom this is sent.
    pub fn friend(&mut self, owner: &mut Person) -> Addressee {
        let known = owner.contact();
        let answer = match self.chance.share() {
            share if share < self.spam => Answer::Spam,
            share if share < self.spam + self.complaints => Answer::Complains,
            _ => known.answer,
        };
        Addressee { answer, ..known }
    }

    /// Another network, as a swarm of hosts has.
    pub fn another_network(&mut self) -> (u32, [u8; 2]) {
        let countries = [*b"BR", *b"VN", *b"IN", *b"US", *b"RU", *b"ID", *b"DE", *b"MX"];
        let country = countries[self.chance.whole(0, 7) as usize];
        (0x6000_0000 | (self.chance.number() as u32 & 0x0fff_ff00), country)
    }

    /// One message.
    pub fn send(&self, plan: &mut Plan, at: u64, to: Vec<Addressee>) {
        plan.acts.push(Act { at, to, network: self.network, country: self.country, is_theft: true });
    }
}
