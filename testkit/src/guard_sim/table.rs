//! docs/GUARD.md: what the guard does to each story, over many seeds. Promise: the page has what the simulator found, and the seeds to find it again.

use std::fmt::Write as _;

use postern_mail::guard::GuardStep;

use super::scenarios::{SCENARIOS, Scenario};
use super::{Run, play};

/// The seeds that are tested.
pub const SEEDS: std::ops::Range<u64> = 2000..2030;

/// A story, played with all seeds.
pub struct Row {
    /// Which.
    pub scenario: &'static Scenario,
    /// Each run.
    pub runs: Vec<Run>,
}

impl Row {
    /// Plays one.
    #[must_use]
    pub fn play(scenario: &'static Scenario, seeds: std::ops::Range<u64>) -> Self {
        Self { scenario, runs: seeds.map(|seed| play(&(scenario.plan)(seed), seed, false)).collect() }
    }

    /// Of all runs together.
    #[must_use]
    pub fn sum(&self, of: impl Fn(&Run) -> u32) -> u32 {
        self.runs.iter().map(of).sum()
    }

    /// Of the run that has most of it.
    #[must_use]
    pub fn most(&self, of: impl Fn(&Run) -> u32) -> u32 {
        self.runs.iter().map(of).max().unwrap_or(0)
    }

    /// Runs in which this is so.
    #[must_use]
    pub fn count(&self, is: impl Fn(&Run) -> bool) -> usize {
        self.runs.iter().filter(|run| is(run)).count()
    }

    /// What is promised of it.
    #[must_use]
    pub fn keeps_its_promise(&self) -> bool {
        if self.scenario.is_at_the_limit {
            let in_time = self.count(|run| run.copies_before_hold <= 50);
            self.runs.iter().all(|run| run.held_after.is_some()) && in_time * 10 >= self.runs.len() * 8
        } else if self.scenario.is_theft {
            self.runs.iter().all(|run| run.held_after.is_some() && run.copies_before_hold <= 50)
        } else {
            self.sum(|run| run.owners_held) * 1000 <= self.sum(|run| run.owners)
        }
    }
}

fn time(millis: u64) -> String {
    let minutes = millis / 60_000;
    match minutes {
        0..120 => format!("{minutes} min"),
        120..2880 => format!("{} h", minutes / 60),
        _ => format!("{} days", minutes / 1440),
    }
}

/// The page.
#[must_use]
pub fn page(rows: &[Row]) -> String {
    let mut page = INTRODUCTION.to_owned();
    let _ = writeln!(page, "\n## Owners\n\n| story | messages | slowed | held | of 1,000 | runs with a hold | what happens |");
    page.push_str("|---|---|---|---|---|---|---|\n");
    for row in rows.iter().filter(|row| !row.scenario.is_theft) {
        let (all, held) = (row.sum(|run| run.owners), row.sum(|run| run.owners_held));
        let _ = writeln!(
            page,
            "| {} | {all} | {} | {held} | {:.2} | {} of {} | {} |",
            row.scenario.name,
            row.sum(|run| run.owners_slowed),
            f64::from(held) * 1000.0 / f64::from(all.max(1)),
            row.count(|run| run.owners_held > 0),
            row.runs.len(),
            row.scenario.what
        );
    }
    page.push_str("\n## Thieves\n\n| story | left before the hold: median, most | left in all, most | held after: median, longest | caught | suspended | what happens |\n");
    page.push_str("|---|---|---|---|---|---|---|\n");
    for row in rows.iter().filter(|row| row.scenario.is_theft) {
        let mut left: Vec<u32> = row.runs.iter().map(|run| run.copies_before_hold).collect();
        left.sort_unstable();
        let mut after: Vec<u64> = row.runs.iter().filter_map(|run| run.held_after).collect();
        after.sort_unstable();
        let _ = writeln!(
            page,
            "| {}{} | {}, {} | {} | {}, {} | {} of {} | {} | {} |",
            row.scenario.name,
            if row.scenario.is_at_the_limit { " (at the limit)" } else { "" },
            left[left.len() / 2],
            row.most(|run| run.copies_before_hold),
            row.most(|run| run.copies_left),
            after.get(after.len() / 2).map_or("never".to_owned(), |after| time(*after)),
            after.last().map_or("never".to_owned(), |after| time(*after)),
            row.count(|run| run.held_after.is_some()),
            row.runs.len(),
            row.count(|run| run.strictest == GuardStep::Suspend),
            row.scenario.what
        );
    }
    let honest = || rows.iter().filter(|row| !row.scenario.is_theft);
    let thefts = || rows.iter().filter(|row| row.scenario.is_theft);
    let caught: usize = thefts().map(|row| row.count(|run| run.held_after.is_some())).sum();
    let all_thefts: usize = thefts().map(|row| row.runs.len()).sum();
    let disturbed: usize = honest().map(|row| row.count(|run| run.owners_held > 0)).sum();
    let all_honest: usize = honest().map(|row| row.runs.len()).sum();
    let _ = writeln!(
        page,
        "\n## All together\n\n| | held at some time | never held |\n|---|---|---|\n| runs with a thief | {caught} | {} |\n| runs without | {disturbed} | {} |",
        all_thefts - caught,
        all_honest - disturbed
    );
    let _ = writeln!(
        page,
        "\nMessages of owners in honest stories: {}, of which {} were held. Seeds {} to {}; `cargo xtask guard-table` writes this page anew.",
        honest().map(|row| row.sum(|run| run.owners)).sum::<u32>(),
        honest().map(|row| row.sum(|run| run.owners_held)).sum::<u32>(),
        SEEDS.start,
        SEEDS.end - 1
    );
    page
}

/// Plays everything.
#[must_use]
pub fn all(seeds: &std::ops::Range<u64>) -> Vec<Row> {
    SCENARIOS.iter().map(|scenario| Row::play(scenario, seeds.clone())).collect()
}

const INTRODUCTION: &str = "\
# The guard of accounts, measured

Each account is measured against its own past (`flow/7-outcome/src/guard.rs`). Here people and thieves send mail on a virtual clock
(`testkit/src/guard_sim.rs`), and the guard rules on each message. A test (`testkit/tests/guard.rs`) holds it to two promises: in every story with a thief
at most 50 recipients are reached before the account is held, and in no story without one is more than one message of a thousand held. Held mail is not
lost: a person lets it go with `postern reputation clear ACCOUNT --release`.

What is not said by it: the people are made up, though with the variance that people have (log-normal days, typing errors, homes and telephones that
change their networks). One story is at the limit and the promise is not made for it: a thief on a machine of the owner's who sends 30 messages a day
between the owner's own is told from a diligent owner by nothing but what receivers answer. Such a thief is held in the end; in eight of ten runs and more
by the fiftieth. The thieves have lists of which 8 to 25 of a hundred addresses are dead and which 5 to 30 receivers of a hundred refuse as spam;
one whose list is clean and who sends from a machine of the owner's as little as the owner does is seen by nobody here. Numbers of the guard were chosen
on seeds below 2,000 and are tested on those named below, which nobody had looked at before. (Seeds 1,000 to 1,029 had been meant for that: three stories
with a thief went to 52, 54 and 56, and one traveller of thirty was held. What was changed then was chosen on seeds below 200.)
";
