//! Good clients with accounts while others attack: what they wait for, against what they wait for on calm days.
//!
//! Promise: what was not answered counts as a wait without an end, and a refusal's cost is measured without the good client's own work.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use super::Job;
use crate::attack::{Attack, Outcome, Plan, Way};
use crate::client::tls_config;
use crate::compare::{Bench, Sample};
use crate::dovecot::PASSWORD;
use crate::load::{Load, now};
use crate::machine::Watch;
use crate::postfix::BANNED;
use crate::report::{Goal, Section, Series};
use crate::server::{Kind, Server, Setup};

/// Messages a second of all good clients, each over a connection of its own.
const GOOD_RATE: u64 = 20;
const GOOD_SESSIONS: u64 = 16;
/// Accounts, each at an address of its own: each stays below what one may connect in a minute and send in an hour.
const GOOD: u8 = 12;
const VICTIMS: u32 = 10;
const DRIPPING: u64 = 1_000;
/// What is meant to stay has been welcomed by then: postscreen keeps its greeting back for six seconds.
const SETTLED_MAX: Duration = Duration::from_secs(10);
/// What comes and goes is on its way before the good client is counted.
const LEAD: Duration = Duration::from_millis(500);
/// Between two looks whether it is.
const LOOK: Duration = Duration::from_millis(20);

/// Each wait counts against all that were due.
struct Good {
    sample: Sample,
    due: u64,
}

impl Good {
    /// In milliseconds; without end, when so few were answered.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small counts")]
    fn latency(&self, quantile: f64) -> f64 {
        let answered = self.sample.taken.messages;
        let rank = (self.due as f64 * quantile).ceil().max(1.0) as u64;
        if rank > answered {
            return f64::INFINITY;
        }
        self.sample.latency(rank as f64 / answered as f64)
    }

    #[expect(clippy::cast_precision_loss, reason = "figures for people to read")]
    fn unserved(&self) -> f64 {
        self.due.saturating_sub(self.sample.taken.messages) as f64 * 100.0 / self.due as f64
    }
}

struct Round {
    kind: Kind,
    way: Way,
    calm: Good,
    beside: Good,
    outcome: Outcome,
    /// CPU seconds of the whole server for 1,000 refused connections, measured before the good client came.
    refusal: f64,
}

/// Long enough for a 99th of a hundred to be more than the slowest of a few.
fn length(bench: &Bench) -> Duration {
    bench.seconds * 5
}

fn good(bench: &Bench, server: &Server) -> Result<Good, String> {
    let seconds = length(bench);
    let load = Load::new(server.submission, GOOD_SESSIONS, 4096)
        .paced_singly(GOOD_RATE)
        .logged_in(good_clients(), PASSWORD)
        .with_tls()?
        .for_seconds(seconds);
    Ok(Good { sample: bench.sample_at_once(server, load)?, due: GOOD_RATE * seconds.as_secs() })
}

fn plan(bench: &Bench, server: &Server, way: Way) -> Result<Plan, String> {
    let count = match way {
        Way::Idle => bench.idle,
        Way::Drip => DRIPPING,
        // Bounded by time; this only for a run that nobody ends.
        Way::Churn | Way::Guess => way.rate() * 3_600,
    };
    Ok(Plan { way, mx: server.address, submission: server.submission, tls: tls_config()?, victims: victims().into(), count })
}

fn good_clients() -> Vec<(String, Ipv4Addr)> {
    (1..=GOOD).map(|number| (format!("good{number}@sink.test"), Ipv4Addr::new(127, 8, number, 1))).collect()
}

fn victims() -> Vec<String> {
    (0..VICTIMS).map(|number| format!("victim{number}@sink.test")).collect()
}

/// None when this build of postern has no bans yet.
fn banned(server: &Server) -> Result<bool, String> {
    if server.kind != Kind::Postern {
        return Ok(true);
    }
    let output = server.run(&["ban", "add", BANNED, "--reason", "measured"], "")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        return Ok(true);
    }
    if said.contains("unrecognized subcommand") { Ok(false) } else { Err(format!("postern ban add: {}", said.trim())) }
}

/// Until all have come to stay or were turned away, or the time for it is over.
fn settle(attack: &Attack, plan_count: u64, way: Way) {
    let began = now();
    if !way.stays() {
        std::thread::sleep(LEAD);
        return;
    }
    let begun = Duration::from_millis(plan_count * 1000 / way.rate());
    loop {
        let outcome = attack.outcome();
        if outcome.heard + outcome.turned_away + outcome.failed >= plan_count || began.elapsed() > begun + SETTLED_MAX {
            return;
        }
        std::thread::sleep(LOOK);
    }
}

/// What one refusal costs the server, with nobody else there.
#[expect(clippy::cast_precision_loss, reason = "figures for people to read")]
fn refusals(bench: &Bench, server: &Server) -> Result<f64, String> {
    let attack = Attack::start(plan(bench, server, Way::Churn)?)?;
    std::thread::sleep(LEAD);
    let (before, watch) = (attack.outcome(), Watch::start(server.roots()));
    std::thread::sleep(length(bench));
    let (after, seen) = (attack.outcome(), watch.stop());
    let refused = after.turned_away - before.turned_away;
    eprintln!(
        "  {:20} {refused} of {} refused, {:.2} CPU s",
        server.kind.name(),
        after.offered - before.offered,
        seen.processor_seconds
    );
    Ok(seen.processor_seconds * 1000.0 / refused as f64)
}

/// A server of its own for each attack, so that none meets what another has left behind. None when the server lacks what is attacked.
fn round(bench: &Bench, kind: Kind, way: Way) -> Result<Option<Round>, String> {
    let accounts = good_clients().into_iter().map(|(name, _)| name).chain(victims()).collect();
    let server = bench.start(kind, &Setup { tls: true, accounts, ..Setup::default() })?;
    if way == Way::Churn && !banned(&server)? {
        return Ok(None);
    }
    bench.wait_for_quiet();
    // Each first password is checked in full, the next are remembered; that is not what is measured.
    bench.runtime.block_on(crate::load::run(&Arc::new(
        Load::new(server.submission, 1, 4096).logged_in(good_clients(), PASSWORD).with_tls()?.in_all(u64::from(GOOD)),
    )))?;
    let calm = good(bench, &server)?;
    bench.wait_for_quiet();
    let refusal = if way == Way::Churn { refusals(bench, &server)? } else { f64::NAN };
    let plan = plan(bench, &server, way)?;
    let count = plan.count;
    let attack = Attack::start(plan)?;
    settle(&attack, count, way);
    let beside = good(bench, &server)?;
    let outcome = attack.stop();
    eprintln!("  {:20} {way:?}: {outcome:?}", kind.name());
    Ok(Some(Round { kind, way, calm, beside, outcome, refusal }))
}

fn name(way: Way) -> &'static str {
    match way {
        Way::Idle => "idle connections",
        Way::Drip => "slow drip",
        Way::Churn => "churn, banned",
        Way::Guess => "wrong passwords",
    }
}

fn what_is_asked(way: Way) -> &'static str {
    match way {
        Way::Idle => "times the calm p99 while connections are held idle",
        Way::Drip => "times the calm p99 while bytes drip",
        Way::Churn => "times the calm p99 while banned clients connect",
        Way::Guess => "times the calm p99 while passwords are guessed",
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people to read")]
fn row(kind: Kind, way: Way, rounds: &[&Round]) -> Vec<String> {
    let show = |figure: &dyn Fn(&Round) -> f64| Series::of(rounds.iter().map(|round| figure(round))).show();
    vec![
        name(way).to_owned(),
        kind.name().to_owned(),
        show(&|round| round.outcome.offered as f64),
        show(&|round| round.outcome.sent as f64),
        show(&|round| round.outcome.open as f64),
        show(&|round| round.outcome.heard as f64),
        show(&|round| round.outcome.turned_away as f64),
        show(&|round| round.outcome.failed as f64),
        show(&|round| round.calm.latency(0.5)),
        show(&|round| round.calm.latency(0.99)),
        show(&|round| round.beside.latency(0.5)),
        show(&|round| round.beside.latency(0.99)),
        show(&|round| round.beside.unserved()),
        show(&|round| round.refusal),
    ]
}

pub(super) fn run(bench: &Bench, job: &Job) -> Result<Section, String> {
    let kinds = bench.of(&[Kind::Postern, Kind::Postfix]);
    let mut rounds = Vec::new();
    let mut without_bans = false;
    for _ in 0..bench.rounds {
        for way in Way::ALL {
            for kind in &kinds {
                match round(bench, *kind, way)? {
                    Some(round) => rounds.push(round),
                    None => without_bans = true,
                }
            }
        }
    }
    let of =
        |kind: Kind, way: Way| -> Vec<&Round> { rounds.iter().filter(|round| round.kind == kind && round.way == way).collect() };
    let mut rows = Vec::new();
    for way in Way::ALL {
        rows.extend(kinds.iter().filter(|kind| !of(**kind, way).is_empty()).map(|kind| row(*kind, way, &of(*kind, way))));
    }
    let median =
        |kind: Kind, way: Way, figure: &dyn Fn(&Round) -> f64| Series::of(of(kind, way).into_iter().map(figure)).median();
    let growth = |way: Way| {
        let calm = median(Kind::Postern, way, &|round| round.calm.latency(0.99));
        // Without calm days there is nothing to compare with.
        if calm.is_finite() { median(Kind::Postern, way, &|round| round.beside.latency(0.99)) / calm } else { f64::NAN }
    };
    let refusal = |kind: Kind| median(kind, Way::Churn, &|round| round.refusal);
    let mut goals: Vec<Goal> = Way::ALL.into_iter().map(|way| Goal::at_most(3.0, what_is_asked(way), growth(way))).collect();
    goals.push(Goal::at_most(
        0.2,
        "of Postfix's CPU time for a refused connection",
        refusal(Kind::Postern) / refusal(Kind::Postfix),
    ));
    let mut how = format!(
        "Good clients with accounts send {GOOD_RATE} messages of 4 KiB a second, each over a connection of its own with STARTTLS and AUTH PLAIN, by {GOOD} accounts from an address each, for {} s \
first alone and then under attack; what was not answered counts as a wait without an end. The attack comes from other addresses, in a thread of its own, at a rate that is the same for both servers: \
{} connections that say EHLO and nothing more, from 250 networks, opened at {}/s; {DRIPPING} that send a byte each two seconds, half of them within EHLO, a quarter in a body, a quarter in AUTH under TLS; {}/s that come from a \
network that is banned and read until they are closed; {}/s that each try one wrong password under TLS, from 4,000 addresses, half of them for {VICTIMS} accounts that exist. \
Offered is what was due while the good clients were measured and before, sent is what the generator began of it; of these, some are still open at the end, were heard (had a place to stay, a greeting, or their password looked at), were turned away before, or failed \
(no connection, no answer). CPU seconds are those of the whole server for 1,000 refused connections, without good clients; what the kernel does for a new connection is \
counted for who asks for it, mostly the generator. \
Limits are the defaults of both, but for 12,000 connections in all of postern. postern has the network banned by `postern ban add`. Postfix has it in `postscreen_access_list` (cidr, `postscreen_denylist_action = drop`), which is the cheapest refusal it has, and \
postscreen before its smtpd on the port for strangers; accounts have an smtpd of their own, which asks Dovecot (its defaults and `auth_cache_size`), with the same Argon2id as postern. \
Its cache keeps the hash, and not that a password was right, so each log-in costs it a hash; postern remembers for five minutes.",
        length(bench).as_secs(),
        bench.idle,
        Way::Idle.rate(),
        Way::Churn.rate(),
        Way::Guess.rate(),
    );
    if without_bans {
        how.push_str(" This build of postern knows no bans, so its row for banned clients was left out.");
    }
    let samples = || rounds.iter().flat_map(|round| [&round.calm.sample, &round.beside.sample]);
    let others: Vec<f64> = samples().map(|sample| sample.seen.others).collect();
    Ok(Section {
        job: job.name,
        title: job.title,
        how,
        conditions: bench.conditions(job, &others, samples().map(Sample::troubles).sum()),
        head: vec![
            "attack",
            "",
            "offered",
            "sent",
            "open at the end",
            "heard",
            "turned away",
            "failed",
            "calm: p50 ms",
            "calm: p99 ms",
            "meanwhile: p50 ms",
            "meanwhile: p99 ms",
            "not served, %",
            "CPU s/1,000 refused",
        ],
        rows,
        goals,
    })
}
