//! Accounts and thieves on a virtual clock, for the guard of accounts. Promise: the same seed gives the same run; time is a number and nothing waits;
//! and what receivers say reaches the guard as late as it would in earnest.
//!
//! The people are in [`people`], the stories in [`scenarios`], the page in [`table`]. Seeds below 2,000 are for choosing numbers of the guard, those
//! from 2,000 on for testing it, so that it is not tested on what it was fitted to.

pub mod chance;
pub mod people;
pub mod scenarios;
pub mod table;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use postern_mail::Mailbox;
use postern_mail::client::Subnet;
use postern_mail::envelope::UnixMillis;
use postern_mail::guard::GuardStep;
use postern_outcome::guard::{RecipientKey, Sending, To};
use postern_outcome::{Guard, GuardOfAccountsSettings, News, Refusal};

use chance::Chance;

/// A second of the virtual clock.
pub const SECOND: u64 = 1000;
/// A minute.
pub const MINUTE: u64 = 60 * SECOND;
/// An hour.
pub const HOUR: u64 = 60 * MINUTE;
/// A day.
pub const DAY: u64 = 24 * HOUR;
/// Monday, 5 January 2026, 00:00 UTC.
pub const BEGIN: u64 = 1_767_571_200_000;

/// A recipient of the simulated world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addressee {
    /// Who.
    pub id: u64,
    /// What its server will say.
    pub answer: Answer,
}

/// What a receiver says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Takes it.
    Takes,
    /// Does not exist.
    Unknown,
    /// Calls it spam.
    Spam,
    /// Takes it, and complains some hours later.
    Complains,
}

/// A message that is sent.
#[derive(Clone, Debug)]
pub struct Act {
    /// When.
    pub at: u64,
    /// To whom.
    pub to: Vec<Addressee>,
    /// From which network.
    pub network: u32,
    /// From which country.
    pub country: [u8; 2],
    /// By a thief.
    pub is_theft: bool,
}

/// What happens to an account.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Messages, in any order.
    pub acts: Vec<Act>,
    /// A person vouches for the account: from then, for so long.
    pub trusts: Vec<(u64, u64)>,
}

/// What came of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Messages of the owner.
    pub owners: u32,
    /// Of these, held or refused.
    pub owners_held: u32,
    /// Of these, spread out.
    pub owners_slowed: u32,
    /// Messages of the thief.
    pub thefts: u32,
    /// Of these, such that left.
    pub thefts_left: u32,
    /// Recipients of these.
    pub copies_left: u32,
    /// Of these, before the account was held for the first time.
    pub copies_before_hold: u32,
    /// Milliseconds from the first message of the thief to the hold.
    pub held_after: Option<u64>,
    /// The strictest step.
    pub strictest: GuardStep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Then {
    Leaves(usize),
    Told(u64, Kind),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Taken,
    Unknown,
    Spam,
    Complained,
}

/// The key of a recipient.
fn key(guard: &Guard, id: u64) -> RecipientKey {
    guard.recipient(&Mailbox::parse(&format!("r{id}@x{}.example", id % 97)).unwrap())
}

/// Plays a plan.
#[must_use]
pub fn play(plan: &Plan, seed: u64, say: bool) -> Run {
    let mut chance = Chance::new(seed ^ 0x5eed);
    let mut guard = Guard::new(GuardOfAccountsSettings::default(), seed);
    let account: Arc<str> = "account".into();
    let mut acts: Vec<&Act> = plan.acts.iter().collect();
    acts.sort_by_key(|act| act.at);
    let mut trusts = plan.trusts.clone();
    trusts.sort_unstable();
    let (mut trusts, mut later, mut run) = (trusts.into_iter().peekable(), BinaryHeap::new(), Run::default());
    let first_theft = acts.iter().find(|act| act.is_theft).map(|act| act.at);
    let leave = |run: &mut Run, chance: &mut Chance, later: &mut BinaryHeap<Reverse<(u64, Then)>>, at: u64, act: &Act| {
        if act.is_theft {
            run.thefts_left += 1;
            run.copies_left += act.to.len() as u32;
            if run.held_after.is_none() {
                run.copies_before_hold += act.to.len() as u32;
            }
        }
        for to in &act.to {
            // Most answer within seconds; some make everybody come again first.
            let lag =
                if chance.is(0.12) { chance.between(5.0, 15.0) * MINUTE as f64 } else { chance.about(8.0, 0.8) * SECOND as f64 };
            let kind = match to.answer {
                Answer::Takes | Answer::Complains => Kind::Taken,
                Answer::Unknown => Kind::Unknown,
                Answer::Spam => Kind::Spam,
            };
            later.push(Reverse((at + lag as u64, Then::Told(to.id, kind))));
            if to.answer == Answer::Complains {
                let lag = chance.about(3.0, 1.0) * HOUR as f64;
                later.push(Reverse((at + lag as u64, Then::Told(to.id, Kind::Complained))));
            }
        }
    };
    for (index, act) in acts.iter().enumerate() {
        while let Some((at, lasting)) = trusts.next_if(|(at, _)| *at <= act.at) {
            guard.trust(UnixMillis(at), &account, UnixMillis(at + lasting));
        }
        while later.peek().is_some_and(|Reverse((at, _))| *at <= act.at) {
            let Some(Reverse((at, then))) = later.pop() else { break };
            happen(&mut guard, &account, &acts, (at, then), &mut run, (first_theft, say), &mut |run, later_at, act| {
                leave(run, &mut chance, &mut later, later_at, act);
            });
        }
        let before = guard.step(&account);
        if act.is_theft {
            run.thefts += 1;
        } else {
            run.owners += 1;
        }
        if before == GuardStep::Suspend {
            note_hold(&mut run, act.at, first_theft);
            run.owners_held += u32::from(!act.is_theft);
            continue;
        }
        let to: Vec<To> = act.to.iter().map(|to| To { key: key(&guard, to.id), is_ours: false }).collect();
        let [a, b, c, _] = act.network.to_be_bytes();
        let from = Some(Subnet::network(IpAddr::V4(Ipv4Addr::new(a | 1, b, c, 9))));
        let sending = Sending { to: &to, from, country: Some(act.country), is_listed: false };
        let ruling = guard.judge(UnixMillis(act.at), &account, sending);
        if say && ruling.step > before {
            let whose = if act.is_theft { "the thief" } else { "the owner" };
            println!("    day {} {} by {whose}: {}", (act.at - BEGIN) / DAY, ruling.step, ruling.said.because);
        }
        run.strictest = run.strictest.max(ruling.step);
        match ruling.step {
            GuardStep::None => leave(&mut run, &mut chance, &mut later, act.at, act),
            GuardStep::Slow => {
                run.owners_slowed += u32::from(!act.is_theft);
                let at = ruling.not_before.map_or(act.at, |at| at.0.max(act.at));
                later.push(Reverse((at, Then::Leaves(index))));
            }
            GuardStep::Hold | GuardStep::Suspend => {
                note_hold(&mut run, act.at, first_theft);
                run.owners_held += u32::from(!act.is_theft);
            }
        }
    }
    while let Some(Reverse((at, then))) = later.pop() {
        happen(&mut guard, &account, &acts, (at, then), &mut run, (first_theft, say), &mut |run, later_at, act| {
            leave(run, &mut chance, &mut later, later_at, act);
        });
    }
    run
}

fn note_hold(run: &mut Run, at: u64, first_theft: Option<u64>) {
    if let Some(first) = first_theft.filter(|first| at >= *first) {
        run.held_after.get_or_insert(at - first);
    }
}

fn happen(
    guard: &mut Guard,
    account: &Arc<str>,
    acts: &[&Act],
    (at, then): (u64, Then),
    run: &mut Run,
    (first_theft, say): (Option<u64>, bool),
    leave: &mut dyn FnMut(&mut Run, u64, &Act),
) {
    match then {
        Then::Leaves(index) => {
            let act = acts[index];
            // What waits for its turn when the account is held waits on for a person.
            if guard.step(account) >= GuardStep::Hold {
                run.owners_held += u32::from(!act.is_theft);
            } else {
                leave(run, at, act);
            }
        }
        Then::Told(id, kind) => {
            let news = match kind {
                Kind::Taken => News::Taken,
                Kind::Unknown => News::Refused(Refusal::UnknownRecipient),
                Kind::Spam => News::Refused(Refusal::CalledSpam),
                Kind::Complained => News::Complained,
            };
            let to = key(guard, id);
            if let Some(ruling) = guard.told(UnixMillis(at), account, to, news) {
                if say {
                    println!("    day {} {} by receivers: {}", (at - BEGIN) / DAY, ruling.step, ruling.said.because);
                }
                run.strictest = run.strictest.max(ruling.step);
                if ruling.step >= GuardStep::Hold {
                    note_hold(run, at, first_theft);
                }
            }
        }
    }
}
