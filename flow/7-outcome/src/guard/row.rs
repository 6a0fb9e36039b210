//! An account's past as octets, and back. Promise: any octets give a past or nothing, in bounded memory.

use postern_mail::envelope::UnixMillis;
use postern_mail::guard::GuardStep;

use super::past::{Faded, PLACES_MAX, Past, Place, Said, Table};
use super::sketch::Sketch;

/// The layout. One that is not this is not read, and the account begins anew.
const VERSION: u8 = 1;
/// More than are ever kept.
const UNKNOWN_MAX: usize = 64;

/// Reads little-endian numbers, and gives nothing past the end.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn octets(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.octets(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[octet]| octet)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn f32(&mut self) -> Option<f32> {
        // What is no number would make everything it touches none either.
        self.array().map(f32::from_le_bytes).filter(|number| number.is_finite())
    }

    fn faded(&mut self) -> Option<Faded> {
        Some(Faded { sum: self.f32()?, at: self.u64()? })
    }

    fn table<T: Copy + Default>(&mut self, one: impl Fn(&mut Self) -> Option<T>) -> Option<Table<T>> {
        let mut table: Table<T> = Table::default();
        for row in &mut table {
            for cell in row {
                *cell = one(self)?;
            }
        }
        Some(table)
    }
}

fn faded(to: &mut Vec<u8>, one: &Faded) {
    to.extend_from_slice(&one.sum.to_le_bytes());
    to.extend_from_slice(&one.at.to_le_bytes());
}

/// Writes it.
pub(super) fn write(past: &Past) -> Vec<u8> {
    let Past {
        since,
        seen,
        day,
        days,
        now,
        today,
        usual,
        worst_today,
        recipients,
        strangers,
        hours,
        away,
        away_strangers,
        new_networks,
        new_countries,
        places,
        said,
        usual_bad,
        unknown,
        known,
        fresh,
        step,
        step_since,
        trusted_until,
        next_slot,
    } = past;
    let mut to = Vec::with_capacity(1024 + known.bytes());
    to.push(VERSION);
    for time in [since, seen, day, step_since, trusted_until, next_slot] {
        to.extend_from_slice(&time.0.to_le_bytes());
    }
    to.extend_from_slice(&days.to_le_bytes());
    now.iter().flatten().for_each(|one| faded(&mut to, one));
    let numbers =
        today.iter().flatten().chain(usual.iter().flatten()).chain([worst_today, recipients, strangers, usual_bad]).chain(hours);
    numbers.for_each(|number| to.extend_from_slice(&number.to_le_bytes()));
    let Said { concluded, unknown: unknowns, spam, complaints, traps, listed, new_concluded, new_bad } = said;
    let counters = [
        away,
        away_strangers,
        new_networks,
        new_countries,
        concluded,
        unknowns,
        spam,
        complaints,
        traps,
        listed,
        new_concluded,
        new_bad,
    ];
    counters.into_iter().for_each(|one| faded(&mut to, one));
    to.push(*step as u8);
    to.push(u8::try_from(places.len()).unwrap_or(u8::MAX));
    for place in places {
        to.extend_from_slice(&place.network.to_le_bytes());
        to.extend_from_slice(&place.country);
        to.extend_from_slice(&place.first.0.to_le_bytes());
        to.extend_from_slice(&place.last.0.to_le_bytes());
        to.push(u8::from(place.is_home));
    }
    to.push(u8::try_from(unknown.len()).unwrap_or(u8::MAX));
    unknown.iter().for_each(|key| to.extend_from_slice(&key.to_le_bytes()));
    [known].into_iter().chain(fresh).for_each(|sketch| sketch.write(&mut to));
    to
}

/// Reads it.
pub(super) fn read(bytes: &[u8]) -> Option<Past> {
    let mut from = Reader(bytes);
    if from.u8()? != VERSION {
        return None;
    }
    let mut time = || from.u64().map(UnixMillis);
    let (since, seen, day) = (time()?, time()?, time()?);
    let (step_since, trusted_until, next_slot) = (time()?, time()?, time()?);
    let days = from.u32()?;
    let now = from.table(Reader::faded)?;
    let (today, usual) = (from.table(Reader::f32)?, from.table(Reader::f32)?);
    let (worst_today, recipients, strangers, usual_bad) = (from.f32()?, from.f32()?, from.f32()?, from.f32()?);
    let mut hours = [0.0; 24];
    for hour in &mut hours {
        *hour = from.f32()?;
    }
    let (away, away_strangers) = (from.faded()?, from.faded()?);
    let (new_networks, new_countries) = (from.faded()?, from.faded()?);
    let said = Said {
        concluded: from.faded()?,
        unknown: from.faded()?,
        spam: from.faded()?,
        complaints: from.faded()?,
        traps: from.faded()?,
        listed: from.faded()?,
        new_concluded: from.faded()?,
        new_bad: from.faded()?,
    };
    let step = *GuardStep::ALL.get(usize::from(from.u8()?))?;
    let count = usize::from(from.u8()?);
    if count > PLACES_MAX {
        return None;
    }
    let mut places = Vec::with_capacity(count);
    for _ in 0..count {
        let (network, country) = (from.u64()?, from.array()?);
        let (first, last) = (UnixMillis(from.u64()?), UnixMillis(from.u64()?));
        places.push(Place { network, country, first, last, is_home: from.u8()? != 0 });
    }
    let count = usize::from(from.u8()?);
    if count > UNKNOWN_MAX {
        return None;
    }
    let mut unknown = Vec::with_capacity(count);
    for _ in 0..count {
        unknown.push(from.u64()?);
    }
    let (known, fresh) = (Sketch::read(&mut from)?, [Sketch::read(&mut from)?, Sketch::read(&mut from)?]);
    Some(Past {
        since,
        seen,
        day,
        days,
        now,
        today,
        usual,
        worst_today,
        recipients,
        strangers,
        hours,
        away,
        away_strangers,
        new_networks,
        new_countries,
        places,
        said,
        usual_bad,
        unknown,
        known,
        fresh,
        step,
        step_since,
        trusted_until,
        next_slot,
    })
}
