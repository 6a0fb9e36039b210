//! The guard of accounts: each against its own past, so that a stolen password is caught by what it does.
//!
//! Promise: nothing that is held is lost, and one act of a person undoes it ([`Guard::clear`]); an account is measured by what it did itself on days
//! that nothing spoke against, never by what a thief taught it; the memory of all accounts is bounded when this is made, and what is forgotten first is
//! the past of those who have not sent for longest and stand on no step.
//!
//! What counts as usual is in [`past`], what speaks against an account in [`signals`]. Nothing here has a clock.

mod past;
mod row;
mod signals;
mod sketch;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use postern_mail::client::Subnet;
use postern_mail::envelope::UnixMillis;
use postern_mail::guard::{GuardLimits, GuardSaid, GuardStep};
use postern_mail::{Mailbox, Points};

use past::{Faded, Heard, Past, SPANS, network_key};
pub use signals::Signal;

/// What an account takes without the set of its recipients.
const BYTES_EACH: usize = 3072;

/// How strict it is.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardOfAccountsSettings {
    /// `outbound.guard.slow_at` and the others.
    pub limits: GuardLimits,
    /// `outbound.new_recipients_per_day`.
    pub strangers_per_day: u32,
    /// `outbound.guard.pace`: time between two recipients of an account that is slowed down.
    pub pace: Duration,
    /// `outbound.guard.memory`, in octets.
    pub memory: usize,
    /// What it says is done; else it is only said, so that no account stands on any step.
    pub has_effect: bool,
}

impl Default for GuardOfAccountsSettings {
    fn default() -> Self {
        Self {
            limits: GuardLimits::default(),
            strangers_per_day: 200,
            pace: Duration::from_secs(10),
            memory: 64 << 20,
            has_effect: true,
        }
    }
}

/// The longest that a message of a slowed account waits.
const SLOWED_MAX: Duration = Duration::from_secs(3600);
/// An account that is held goes on by itself when it has stood so long and little speaks against it any more.
const HELD_LEAST: Duration = Duration::from_secs(24 * 3600);

/// A recipient, as the guard knows one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecipientKey(u64);

/// A recipient of a message.
#[derive(Clone, Copy, Debug)]
pub struct To {
    /// Who.
    pub key: RecipientKey,
    /// A mailbox of ours: never a stranger.
    pub is_ours: bool,
}

/// A message of an account.
#[derive(Clone, Copy, Debug)]
pub struct Sending<'a> {
    /// To whom.
    pub to: &'a [To],
    /// From which network; none for what comes from this machine itself.
    pub from: Option<Subnet>,
    /// From which country, where that is known: two letters.
    pub country: Option<[u8; 2]>,
    /// Lists know one of its links for abuse.
    pub is_listed: bool,
}

/// What comes of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Ruling {
    /// The fact for the rules.
    pub said: GuardSaid,
    /// What is to be done with the account, where the guard has an effect.
    pub step: GuardStep,
    /// The step before this message.
    pub before: GuardStep,
    /// Not to leave before this, on the step slow.
    pub not_before: Option<UnixMillis>,
}

/// Why a receiver refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such mailbox.
    UnknownRecipient,
    /// It takes the message for spam.
    CalledSpam,
    /// Something else, which is held against nobody.
    Other,
}

/// What became known of a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The message was taken.
    Taken,
    /// It was refused for good.
    Refused(Refusal),
    /// Whoever got it complained.
    Complained,
    /// It is an address that only those write to who took it from somewhere.
    Trapped,
}

/// An account, for a person to read.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Which.
    pub account: Arc<str>,
    /// The step it stands on.
    pub step: GuardStep,
    /// Since when.
    pub since: UnixMillis,
    /// All signals together.
    pub points: Points,
    /// Each of them.
    pub signals: Vec<Signal>,
    /// The most recipients in an hour and in a day, and the most strangers, on usual days.
    pub usual: [f64; 4],
    /// The same of late.
    pub of_late: [f64; 4],
    /// Recipients it is known to write to.
    pub known: u32,
    /// Days on which it sent.
    pub days: u32,
    /// A person vouches for it until then.
    pub trusted_until: Option<UnixMillis>,
}

/// All accounts. One owner, behind one lock.
#[derive(Debug)]
pub struct Guard {
    settings: GuardOfAccountsSettings,
    accounts: HashMap<Arc<str>, Past>,
    /// Octets of them.
    used: usize,
    /// What receivers said of all accounts together.
    concluded: Faded,
    bad: Faded,
    seed: u64,
}

impl Guard {
    /// Knows nobody yet. The seed is a secret that stays the same over restarts.
    #[must_use]
    pub fn new(settings: GuardOfAccountsSettings, seed: u64) -> Self {
        Self { settings, accounts: HashMap::new(), used: 0, concluded: Faded::default(), bad: Faded::default(), seed }
    }

    /// New settings; what is known stays.
    pub fn adjust(&mut self, settings: GuardOfAccountsSettings) {
        self.settings = settings;
    }

    /// The key of a recipient.
    #[must_use]
    pub fn recipient(&self, mailbox: &Mailbox) -> RecipientKey {
        let local = mailbox.local.as_str().as_bytes();
        RecipientKey(sketch::key(self.seed, &[local, mailbox.host.to_string().as_bytes()]))
    }

    /// True for one whose past is here.
    #[must_use]
    pub fn knows(&self, account: &str) -> bool {
        self.accounts.contains_key(account)
    }

    /// Takes up a past that was written down. One that does not read is none, and the account begins anew.
    pub fn restore(&mut self, account: Arc<str>, row: &[u8]) -> bool {
        let Some(past) = row::read(row) else { return false };
        self.make_room(&account);
        if !self.accounts.contains_key(&account) {
            self.add(account, past);
        }
        true
    }

    /// A past as it is to be written down.
    #[must_use]
    pub fn row(&self, account: &str) -> Option<Vec<u8>> {
        self.accounts.get(account).map(row::write)
    }

    /// An account sends a message: counted, and judged with it counted.
    pub fn judge(&mut self, now: UnixMillis, account: &Arc<str>, sending: Sending<'_>) -> Ruling {
        let seed = self.seed;
        let limits = self.settings.limits;
        self.make_room(account);
        let mut past = self.take(account).unwrap_or_else(|| Past::new(now));
        let slow = tenths_of(limits.slow);
        let floors = signals::floors(past.is_cold());
        past.end_trust(now);
        past.turn(now, |worst| f64::from(worst) < slow, &floors);
        past.seen = past.seen.max(now);
        let strangers = sending.to.iter().filter(|to| !to.is_ours && !past.known.has(to.key.0)).count();
        let (strangers, recipients) = (number(strangers), number(sending.to.len()));
        past.count(now, [1.0, recipients, strangers]);
        if sending.is_listed {
            past.said.add(now, Heard::Listed, 1.0);
        }
        let visited = sending.from.map(|network| past.visit(now, network_key(seed, &network), sending.country));
        if visited.is_some_and(|visited| !visited.is_at_home) {
            past.away.add(now, SPANS[0], recipients);
            past.away_strangers.add(now, SPANS[1] * 2, strangers);
        }
        let (points, signals) = self.points(now, &past);
        let because = words(&signals);
        #[expect(clippy::cast_possible_truncation, reason = "points")]
        let worst = past.worst_today.max(points as f32);
        past.worst_today = worst;
        let before = past.step;
        let stays = stays_on(&past, now, points, slow);
        let points = Points::nearest(points);
        let step = limits.step(points).max(stays);
        let has_effect = self.settings.has_effect;
        if step != before && has_effect {
            (past.step, past.step_since) = (step, now);
        }
        if step < GuardStep::Hold || !has_effect {
            learn_recipients(&mut past, now, sending.to, (recipients, strangers));
        }
        let not_before = (step == GuardStep::Slow).then(|| {
            let slot = past.next_slot.max(now);
            past.next_slot = slot.plus(self.settings.pace.saturating_mul(u32::try_from(sending.to.len()).unwrap_or(u32::MAX)));
            past.next_slot = past.next_slot.min(now.plus(SLOWED_MAX));
            slot
        });
        self.add(Arc::clone(account), past);
        Ruling { said: GuardSaid { points, standing: stays, because }, step, before, not_before }
    }

    fn points(&self, now: UnixMillis, past: &Past) -> (f64, Vec<Signal>) {
        let own_bad = past.said.get(now, Heard::Unknown) + past.said.get(now, Heard::Spam);
        let own = past.said.get(now, Heard::Concluded);
        let span = SPANS[1] * 2;
        let others = (self.concluded.get(now, span) - own).max(0.0);
        // Few others say nothing of the server as a whole.
        let others_bad = if others < 50.0 { 0.0 } else { (self.bad.get(now, span) - own_bad).max(0.0) / others };
        let around = signals::Around {
            strangers_max: f64::from(self.settings.strangers_per_day),
            hold_at: tenths_of(self.settings.limits.hold),
            others_bad,
            hour: usize::try_from(now.0 / 3_600_000 % 24).unwrap_or(0),
        };
        let signals = signals::signals(past, now, &around);
        (signals.iter().map(|signal| signal.points).sum(), signals)
    }

    /// What became of a recipient of an account's message. Gives the ruling where it puts the account on a stricter step.
    pub fn told(&mut self, now: UnixMillis, account: &Arc<str>, to: RecipientKey, news: News) -> Option<Ruling> {
        let span = SPANS[1] * 2;
        let past = self.accounts.get_mut(account)?;
        let heard = match news {
            News::Taken | News::Refused(Refusal::Other) => None,
            // A program that tries the same address a thousand times has one wrong address.
            News::Refused(Refusal::UnknownRecipient) => {
                if !past.unknown_for_the_first_time(to.0) {
                    return None;
                }
                Some(Heard::Unknown)
            }
            News::Refused(Refusal::CalledSpam) => Some(Heard::Spam),
            News::Complained => Some(Heard::Complaint),
            // Whoever is refused at a trap tries it again before he understands.
            News::Trapped if !past.unknown_for_the_first_time(to.0) => return None,
            News::Trapped => Some(Heard::Trap),
        };
        if matches!(news, News::Taken | News::Refused(_)) {
            past.said.add(now, Heard::Concluded, 1.0);
            if past.fresh.iter().any(|fresh| fresh.has(to.0)) {
                past.said.add(now, Heard::NewConcluded, 1.0);
                if heard.is_some() {
                    past.said.add(now, Heard::NewBad, 1.0);
                }
            }
            self.concluded.add(now, span, 1.0);
        }
        let heard = heard?;
        past.said.add(now, heard, 1.0);
        if matches!(heard, Heard::Unknown | Heard::Spam) {
            self.bad.add(now, span, 1.0);
        }
        let (points, signals) = self.points(now, self.accounts.get(account)?);
        let limits = self.settings.limits;
        let past = self.accounts.get_mut(account)?;
        let before = past.step;
        let step = limits.step(Points::nearest(points));
        if step <= before {
            return None;
        }
        if !self.settings.has_effect {
            return None;
        }
        (past.step, past.step_since) = (step, now);
        let said = GuardSaid { points: Points::nearest(points), standing: before, because: words(&signals) };
        Some(Ruling { said, step, before, not_before: None })
    }

    /// The step an account stands on.
    #[must_use]
    pub fn step(&self, account: &str) -> GuardStep {
        self.accounts.get(account).map_or(GuardStep::None, |past| past.step)
    }

    /// A person says that it is well: what speaks against it is forgotten, and what it did is usual for it. False for one that is not known.
    pub fn clear(&mut self, now: UnixMillis, account: &str) -> bool {
        self.accounts.get_mut(account).map(|past| past.forgive(now)).is_some()
    }

    /// What a person let go: they are no strangers any more.
    pub fn released(&mut self, account: &str, to: &[RecipientKey]) {
        if let Some(mut past) = self.take(account) {
            to.iter().for_each(|key| past.known.put(key.0));
            self.add(account.into(), past);
        }
    }

    /// There is no such account any more; another one of its name begins anew.
    pub fn forget(&mut self, account: &str) {
        self.take(account);
    }

    /// A person vouches for it until then: it may send much, and to strangers. What receivers say counts on.
    pub fn trust(&mut self, now: UnixMillis, account: &Arc<str>, until: UnixMillis) {
        self.make_room(account);
        let past = self.take(account).unwrap_or_else(|| Past::new(now));
        self.add(Arc::clone(account), Past { trusted_until: until, ..past });
    }

    /// How an account stands, for a person to read.
    #[must_use]
    pub fn standing(&self, now: UnixMillis, account: &str) -> Option<Standing> {
        let (account, past) = self.accounts.get_key_value(account)?;
        let (points, signals) = self.points(now, past);
        let cells =
            [(past::Kind::Recipients, 0), (past::Kind::Recipients, 1), (past::Kind::Strangers, 0), (past::Kind::Strangers, 1)];
        Some(Standing {
            account: Arc::clone(account),
            step: past.step,
            since: past.step_since,
            points: Points::nearest(points),
            signals,
            usual: cells.map(|(kind, span)| f64::from(past::cell(&past.usual, kind, span))),
            of_late: cells
                .map(|(kind, span)| past::cell(&past.now, kind, span).get(now, SPANS.get(span).copied().unwrap_or_default())),
            known: past.known.len(),
            days: past.days,
            trusted_until: Some(past.trusted_until).filter(|until| *until > now),
        })
    }

    /// All accounts whose past is here.
    pub fn accounts(&self) -> impl Iterator<Item = &Arc<str>> {
        self.accounts.keys()
    }

    /// Memory, in octets.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.used
    }

    fn take(&mut self, account: &str) -> Option<Past> {
        let past = self.accounts.remove(account)?;
        self.used = self.used.saturating_sub(weight(&past));
        Some(past)
    }

    fn add(&mut self, account: Arc<str>, past: Past) {
        self.used += weight(&past);
        if let Some(old) = self.accounts.insert(account, past) {
            self.used = self.used.saturating_sub(weight(&old));
        }
    }

    /// Whoever has not sent for longest and stands on no step is forgotten here, until there is room; but not this one.
    fn make_room(&mut self, account: &str) {
        while self.used + 2 * BYTES_EACH > self.settings.memory {
            let others = self.accounts.iter().filter(|(name, _)| ***name != *account);
            let oldest = others.min_by_key(|(_, past)| (past.step, past.seen)).map(|(name, _)| Arc::clone(name));
            if oldest.and_then(|name| self.take(&name)).is_none() {
                return;
            }
        }
    }
}

/// What an account takes, in octets.
fn weight(past: &Past) -> usize {
    BYTES_EACH + past.known.bytes() + past.fresh.iter().map(sketch::Sketch::bytes).sum::<usize>()
}

/// The step that an account stays on whatever its points are now. From a suspension only a person lets it go.
fn stays_on(past: &Past, now: UnixMillis, points: f64, slow: f64) -> GuardStep {
    match past.step {
        GuardStep::None => GuardStep::None,
        GuardStep::Slow if points < slow * 0.75 => GuardStep::None,
        GuardStep::Slow => GuardStep::Slow,
        GuardStep::Hold if points < slow * 0.75 && now.since(past.step_since) >= HELD_LEAST => GuardStep::None,
        GuardStep::Hold => GuardStep::Hold,
        GuardStep::Suspend => GuardStep::Suspend,
    }
}

/// What leaves is written to, from now on.
#[expect(clippy::cast_possible_truncation, reason = "counts for a person to read")]
fn learn_recipients(past: &mut Past, now: UnixMillis, to: &[To], (recipients, strangers): (f64, f64)) {
    for to in to.iter().filter(|to| !to.is_ours) {
        if !past.known.has(to.key.0)
            && let [today, _] = &mut past.fresh
        {
            today.put(to.key.0);
        }
        past.known.put(to.key.0);
    }
    past.recipients += recipients as f32;
    if now >= past.trusted_until {
        past.strangers += strangers as f32;
    }
    if let Some(hour) = past.hours.get_mut(usize::try_from(now.0 / 3_600_000 % 24).unwrap_or(0)) {
        *hour += recipients as f32;
    }
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn tenths_of(points: Points) -> f64 {
    f64::from(points.0) / 10.0
}

/// `strangers 4.3: 40 recipients never written to before ...; away 2.0: ...`, the heaviest first.
fn words(signals: &[Signal]) -> String {
    let mut sorted: Vec<&Signal> = signals.iter().collect();
    sorted.sort_by(|a, b| b.points.total_cmp(&a.points));
    let words: Vec<String> =
        sorted.iter().map(|signal| format!("{} {:.1}: {}", signal.name, signal.points, signal.words)).collect();
    if words.is_empty() { "as usual".to_owned() } else { words.join("; ") }
}

#[cfg(test)]
mod tests;
