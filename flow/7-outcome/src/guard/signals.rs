//! What speaks against an account now, signal by signal, each with points and words. Promise: what is large in number only is never enough while it is
//! usual for this account; a signal that cannot be judged yet (too few replies, no past) has no points rather than some; and receivers that refuse all of
//! this server's mail are held against no single account.
//!
//! The numbers here were chosen on simulated accounts (`testkit/src/guard_sim.rs`, seeds below 2,000) and are tested on others; see docs/GUARD.md.

use postern_mail::envelope::UnixMillis;

use super::past::{Heard, Kind, Past, SPANS, Table, cell};

/// Points and what they are for.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// A word for it: `volume`, `strangers`, `places` ...
    pub name: &'static str,
    /// Points, which may be none where there is something to tell all the same.
    pub points: f64,
    /// The evidence.
    pub words: String,
}

/// What is usual for everybody: an account with less of a past of its own is measured by this.
pub(super) fn floors(is_cold: bool) -> Table<f32> {
    // Messages, recipients, strangers; in an hour, in a day. Small in absolute numbers, since a stolen account that never sent much is the rule.
    if is_cold { [[20.0, 60.0], [20.0, 60.0], [10.0, 40.0]] } else { [[20.0, 40.0], [20.0, 40.0], [8.0, 14.0]] }
}

/// What a person vouches for: so many times as much.
const TRUSTED: f64 = 50.0;
/// Where usual mail is refused so often, and abused mail at least so often: the two rates that are weighed against each other.
const BAD_USUAL: f64 = 0.03;
const BAD_ABUSED: f64 = 0.15;

/// What one message looks at beside the past.
pub(super) struct Around {
    /// Strangers a day that settings allow.
    pub(super) strangers_max: f64,
    /// Points from which on an account is held.
    pub(super) hold_at: f64,
    /// The share of mail of all other accounts that receivers refuse.
    pub(super) others_bad: f64,
    /// Its hour, UTC.
    pub(super) hour: usize,
}

/// Doublings above one; none below.
fn doublings(ratio: f64) -> f64 {
    if ratio > 1.0 { ratio.log2() } else { 0.0 }
}

fn count(number: f64) -> String {
    format!("{:.0}", number.max(0.0))
}

/// All signals that have something to say.
pub(super) fn signals(past: &Past, now: UnixMillis, around: &Around) -> Vec<Signal> {
    let is_trusted = now < past.trusted_until;
    let mut signals = Vec::new();
    signals.extend(strangers(past, now, around, is_trusted));
    signals.extend(share(past, now, is_trusted));
    signals.extend(volume(past, now, is_trusted));
    signals.extend(hour(past, now, around, is_trusted));
    signals.extend(away(past, now, is_trusted));
    signals.extend(places(past, now));
    signals.extend(replies(past, now, around));
    signals.extend(heard(past, now));
    signals.retain(|signal| signal.points > 0.0);
    signals.sort_by(|a, b| b.points.total_cmp(&a.points));
    // These say the same thing in other words, so the one that says most counts, and the others add a little.
    let alike = signals.iter_mut().filter(|signal| ["strangers", "share", "away", "volume", "hour"].contains(&signal.name));
    alike.skip(1).for_each(|signal| signal.points *= 0.25);
    signals
}

/// How much more than usual: the current count, what is usual, and the ratio to the larger of that and the floor.
fn measured(past: &Past, now: UnixMillis, kind: Kind, span: usize, is_trusted: bool) -> (f64, f64, f64) {
    let late = |kind| cell(&past.now, kind, span).get(now, SPANS.get(span).copied().unwrap_or_default());
    let of_now = late(kind);
    let usual = f64::from(cell(&past.usual, kind, span));
    let mut floor = f64::from(cell(&floors(past.is_cold()), kind, span));
    if kind == Kind::Strangers {
        // Among thousands of subscribers some are always new.
        floor = floor.max(late(Kind::Recipients) * (usual_share(past) * 1.5).clamp(0.04, 0.1));
    }
    let allowed = usual.max(floor) * if is_trusted { TRUSTED } else { 1.0 };
    (of_now, usual, of_now / allowed.max(1.0))
}

/// The share of strangers in all that it sent. A past of nobody is taken for one of thirty recipients, most of them strangers.
fn usual_share(past: &Past) -> f64 {
    (f64::from(past.strangers) + 20.0) / (f64::from(past.recipients) + 30.0)
}

fn strangers(past: &Past, now: UnixMillis, around: &Around, is_trusted: bool) -> Option<Signal> {
    let (in_hour, usual_hour, hours) = measured(past, now, Kind::Strangers, 0, is_trusted);
    let (in_day, usual_day, days) = measured(past, now, Kind::Strangers, 1, is_trusted);
    // A new account has nothing that could be compared, so what is too much in an hour is told by the floor alone, more sharply.
    let steep = if past.is_cold() { 3.0 } else { 2.4 };
    // Forty in an hour and three times as many as on its most lively days: there are few good reasons, and fifty would be too many.
    let sudden = if hours > 2.5 { ((in_hour - 38.0) / 3.0).clamp(0.0, 2.0) } else { 0.0 };
    let by_hour = steep * doublings(hours / 1.25) + sudden;
    let by_day = 2.0 * doublings(days / 1.25);
    let (points, in_span, usual, span) =
        if by_hour >= by_day { (by_hour, in_hour, usual_hour, "hour") } else { (by_day, in_day, usual_day, "day") };
    let mut words = format!(
        "{} recipients never written to before in the last {span}, the most on usual days is {}",
        count(in_span),
        count(usual)
    );
    let is_over = !is_trusted && in_day > around.strangers_max;
    if is_over {
        let (day, max) = (count(in_day), count(around.strangers_max));
        words = format!("{words}; {day} in the last day, outbound.new_recipients_per_day allows {max}");
    }
    // What the setting does not allow is held, and that alone suspends nobody.
    let points = if is_over { points.max(around.hold_at) } else { points };
    (points > 0.0).then_some(Signal { name: "strangers", points, words })
}

/// The share of strangers, where that is unlike the account's own.
fn share(past: &Past, now: UnixMillis, is_trusted: bool) -> Option<Signal> {
    let usual = usual_share(past);
    // In an hour, and in a day for those who take their time.
    let spans = [(0, 12.0, 10.0, 2.0, "hour"), (1, 20.0, 15.0, 1.2, "day")];
    let signal = spans.into_iter().filter_map(|(span, recipients_least, strangers_least, most, name)| {
        let (recipients, ..) = measured(past, now, Kind::Recipients, span, false);
        let (strangers, ..) = measured(past, now, Kind::Strangers, span, false);
        let share = (strangers / recipients.max(1.0)).min(1.0);
        let points = ((share - (usual * 1.5).max(usual + 0.25)) * 4.0).clamp(0.0, most);
        let (of_now, usual) = (count(share * 100.0), count(usual * 100.0));
        let words = format!("{of_now} % of the last {name}'s recipients were never written to before, usual are {usual} %");
        let is_enough = recipients >= recipients_least && strangers >= strangers_least;
        is_enough.then_some(Signal { name: "share", points, words })
    });
    signal.max_by(|a, b| a.points.total_cmp(&b.points)).filter(|_| !is_trusted)
}

fn volume(past: &Past, now: UnixMillis, is_trusted: bool) -> Option<Signal> {
    let worst = [Kind::Messages, Kind::Recipients]
        .into_iter()
        .flat_map(|kind| [0, 1].map(|span| (kind, span, measured(past, now, kind, span, is_trusted))))
        .max_by(|(.., (_, _, a)), (.., (_, _, b))| a.total_cmp(b))?;
    let (kind, span, (of_now, usual, ratio)) = worst;
    // Much mail to those it always writes to is a nuisance at the worst, such as of a program with a bug: it is slowed down, and not held for that alone.
    let points = doublings(ratio / 2.0).min(5.0);
    let what = if kind == Kind::Messages { "messages" } else { "recipients" };
    let span = if span == 0 { "hour" } else { "day" };
    let words = format!("{} {what} in the last {span}, the most on usual days is {}", count(of_now), count(usual));
    (points > 0.0).then_some(Signal { name: "volume", points, words })
}

/// Much mail at an hour at which it hardly ever sends.
fn hour(past: &Past, now: UnixMillis, around: &Around, is_trusted: bool) -> Option<Signal> {
    let all: f32 = past.hours.iter().sum();
    let near = [around.hour + 23, around.hour, around.hour + 1];
    let of_hours: f32 = near.iter().filter_map(|hour| past.hours.get(hour % 24)).sum();
    let (recipients, ..) = measured(past, now, Kind::Recipients, 0, false);
    let share = f64::from(of_hours) / f64::from(all.max(1.0));
    // What came within this hour is in the share as well, which only speaks for the account.
    if is_trusted || all < 150.0 || recipients < 8.0 || share > 0.03 {
        return None;
    }
    let words = format!("{} recipients at an hour at which it sends {:.1} % of its mail", count(recipients), share * 100.0);
    Some(Signal { name: "hour", points: 0.6, words })
}

/// Mail from networks where it is not at home: strangers first of all.
fn away(past: &Past, now: UnixMillis, is_trusted: bool) -> Option<Signal> {
    let strangers = past.away_strangers.get(now, SPANS[1] * 2);
    let recipients = past.away.get(now, SPANS[0]);
    let (_, usual_hour, _) = measured(past, now, Kind::Recipients, 0, false);
    let (_, usual_strangers, _) = measured(past, now, Kind::Strangers, 1, false);
    // Who writes to many strangers every day does so on a journey too, but less.
    let often = usual_strangers.min(80.0);
    let by_strangers = (strangers - (13.0 + often * 0.15)) / (22.0 - often * 0.08) * 6.0;
    let by_volume = (recipients - usual_hour.clamp(23.0, 24.0)) / 21.0 * 6.0;
    let trust = if is_trusted { 0.5 } else { 1.0 };
    let (less, more) = (by_strangers.min(by_volume).max(0.0), by_strangers.max(by_volume).max(0.0));
    let points = (more + less * 0.1).min(8.0) * trust;
    let words = format!(
        "{} recipients in the last hour and {} never written to before within two days, from networks it first used less than three days ago",
        count(recipients),
        count(strangers)
    );
    Some(Signal { name: "away", points, words })
}

/// Many new networks, or new countries, within an hour.
fn places(past: &Past, now: UnixMillis) -> Option<Signal> {
    let networks = past.new_networks.get(now, SPANS[0]);
    let countries = past.new_countries.get(now, SPANS[0]);
    let points = ((networks - 2.5) * 0.7).clamp(0.0, 5.0) + ((countries - 1.2) * 1.5).clamp(0.0, 3.0);
    let words = format!("{} new networks and {} new countries within the hour", count(networks), count(countries));
    Some(Signal { name: "places", points, words })
}

/// What receivers answered, against what they answer to mail that is wanted.
fn replies(past: &Past, now: UnixMillis, around: &Around) -> Option<Signal> {
    let (unknown, spam) = (past.said.get(now, Heard::Unknown), past.said.get(now, Heard::Spam));
    let all = (unknown + spam, past.said.get(now, Heard::Concluded));
    let new = (past.said.get(now, Heard::NewBad), past.said.get(now, Heard::NewConcluded));
    let usual = BAD_USUAL.max(f64::from(past.usual_bad) / 1000.0 * 1.5).max(around.others_bad * 1.5).min(0.5);
    let abused = BAD_ABUSED.max(usual * 3.0).min(0.9);
    let weighed = |(bad, of): (f64, f64)| {
        if bad < 1.5 {
            return 0.0;
        }
        // How much likelier these answers are for an account that is abused than for one that is not (the log of it).
        let weight = bad * (abused / usual).ln() + (of - bad).max(0.0) * ((1.0 - abused) / (1.0 - usual)).ln();
        // Two and a typing error are nobody's fault.
        let points = (weight * if bad < 2.5 { 0.4 } else { 0.9 }).max(0.0);
        // Beyond what bad luck may do to an owner it takes much more to say a little more.
        (points.min(4.5) + (points - 4.5).max(0.0) * 0.3).min(5.5)
    };
    // Those who were new apart, since the owner's own mail to friends would hide them.
    let points = weighed(all).max(weighed(new));
    let words = format!(
        "of the last {} recipients {} do not exist and {} were refused as spam; {} of the {} new ones",
        count(all.1),
        count(unknown),
        count(spam),
        count(new.0),
        count(new.1)
    );
    Some(Signal { name: "replies", points, words })
}

/// What others say of it: complaints, traps, links that are listed.
fn heard(past: &Past, now: UnixMillis) -> Vec<Signal> {
    let all = past.said.get(now, Heard::Concluded);
    let (complaints, traps) = (past.said.get(now, Heard::Complaint), past.said.get(now, Heard::Trap));
    let listed = past.said.get(now, Heard::Listed);
    vec![
        Signal {
            name: "complaints",
            // Three of a thousand is what large providers take.
            points: ((complaints - 0.5 - all * 0.003) * 1.5).clamp(0.0, 6.0),
            words: format!("{} complaints about the last {} recipients", count(complaints), count(all)),
        },
        Signal {
            name: "traps",
            points: (traps * 4.0).clamp(0.0, 8.0),
            words: format!("{} addresses that nobody ever writes to", count(traps)),
        },
        Signal {
            name: "listed",
            points: (listed * 1.5).clamp(0.0, 6.0),
            words: format!("{} messages with links that lists know for abuse", count(listed)),
        },
    ]
}
