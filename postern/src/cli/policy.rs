//! `postern policy replay|diff` on a terminal. Promise: whatever came from a peer is quoted, and what was not tried is said.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use postern_config::{Change as Difference, Config};
use postern_mail::envelope::UnixMillis;
use postern_mail::{Quoted, SessionId};
use postern_state::history::trails::{Batch, batch_of, from_session};
use postern_state::{Files, Store};
use serde_json::json;

use crate::cli::print::{table, when};
use crate::cli::{Stop, ask, config, seconds};
use crate::control::{Answer, Order};
use crate::offline::Source;
use crate::replay::{self, Change, PolicyOrder, Replay, Report, Side};
use crate::wire::{clock, lists, live};

/// Examples of one kind of change.
const EXAMPLES_MAX: usize = 10_000;

#[derive(Subcommand)]
pub(crate) enum PolicyVerb {
    /// What the rules of the file named by --config would have decided of the sessions on record, and why. Nothing is changed: records are read
    /// from the running server, or from its data directory when none runs, and judged here.
    ///
    /// Settings of [policy] are tried with their lists in files, and so are server.relay_networks, server.trusted_networks, outbound.enabled,
    /// limits.message_size and limits.received_max. As they were then, since no file says otherwise, are taken: whether a recipient was ours and
    /// existed (where [[domain]] now says something else, that is counted), what an account might do and send as, and entries of
    /// `postern list`. Not tried are refusals that no rule made (rates, bans, a full disk), and what a client would have said
    /// after a refusal that is none any more. Whoever is told is told only decisions that are on record: see [history] trails_keep.
    ///
    /// Exit 0; 2 when the file is wrong; 3 when nothing is on record.
    Replay {
        /// Sessions that began so long ago or later, such as 7d.
        #[arg(long, value_name = "TIME", default_value = "7d")]
        since: String,
        /// Examples shown of each kind of change.
        #[arg(long, default_value_t = 3)]
        examples: usize,
        /// The data directory with the records, where the new file names another one.
        #[arg(long, value_name = "FOLDER")]
        data_dir: Option<PathBuf>,
    },
    /// In which settings of policy two files differ; with one file: it and the running server.
    Diff {
        /// A file.
        first: PathBuf,
        /// The newer one.
        second: Option<PathBuf>,
    },
}

pub(crate) fn run(verb: &PolicyVerb, file: Option<PathBuf>, as_json: bool) -> Result<(), Stop> {
    match verb {
        PolicyVerb::Replay { since, examples, data_dir } => {
            let file = file.ok_or_else(|| Stop(2, "which configuration is to be tried? --config NEW.toml".to_owned()))?;
            let since = seconds(Some(since))?.unwrap_or_default();
            try_out(&Source::File(file), since, *examples, data_dir.as_deref(), as_json)
        }
        PolicyVerb::Diff { first, second } => {
            let load = |file: &PathBuf| Source::File(file.clone()).load().map_err(|errors| Stop(2, errors));
            let first = load(first)?;
            let (old, new) = match second {
                Some(second) => (replay::settings(&first), load(second)?),
                None => (settings_in_force(&first)?, first),
            };
            config::print_changes(&differences(old, &new), as_json);
            Ok(())
        }
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Stop> {
    Ok(std::path::absolute(path).map_err(|error| error.to_string())?)
}

fn settings_in_force(config: &Config) -> Result<Vec<(String, String)>, Stop> {
    let data_dir = absolute(&config.server.data_dir)?;
    match ask::running(&data_dir, &Order::Policy(PolicyOrder::Settings))? {
        Some(Answer::PolicySettings { settings }) => Ok(settings),
        Some(_) => Err(Stop(1, "the server gave another answer than was asked for".to_owned())),
        None => Err(Stop(1, format!("no server is running with the data directory {}; name two files", data_dir.display()))),
    }
}

/// In the order of the manual; what is gone comes last.
fn differences(old: Vec<(String, String)>, new: &Config) -> Vec<Difference> {
    let mut old: std::collections::BTreeMap<String, String> = old.into_iter().collect();
    let mut differences = Vec::new();
    for (path, to) in replay::settings(new) {
        let from = old.remove(&path);
        if from.as_ref() != Some(&to) {
            differences.push(Difference { path, from, to: Some(to), needs_restart: false });
        }
    }
    let gone = old.into_iter().map(|(path, from)| Difference { path, from: Some(from), to: None, needs_restart: false });
    differences.extend(gone);
    differences
}

/// Where records come from.
enum Records {
    Server(PathBuf),
    Disk(Store),
}

impl Records {
    fn of(config: &Config, data_dir: PathBuf) -> Result<Self, Stop> {
        if ask::running(&data_dir, &Order::Policy(PolicyOrder::Settings))?.is_some() {
            return Ok(Self::Server(data_dir));
        }
        // Opening makes a store where there is none, and nothing is to be made here.
        if !data_dir.join("state/db").exists() {
            return Err(Stop(3, format!("nothing was recorded in {}", data_dir.display())));
        }
        ask::as_server(config, &data_dir)?;
        Ok(Self::Disk(Store::open(&data_dir).map_err(|failure| failure.to_string())?))
    }

    fn batch(&self, from: &[u8], before: SessionId) -> Result<Batch, Stop> {
        match self {
            Self::Disk(store) => Ok(batch_of(store, from, before).map_err(|failure| failure.to_string())?),
            Self::Server(data_dir) => match ask::running(data_dir, &Order::Policy(replay::order(from, before)))? {
                Some(answer) => replay::unpacked(answer)
                    .ok_or_else(|| Stop(1, "the server gave another answer than was asked for".to_owned())),
                None => Err(Stop(1, "the server has ended meanwhile".to_owned())),
            },
        }
    }
}

/// Sessions are in the order of their time, so time is what it moves along.
fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("judging again {wide_bar} {percent} %, {msg} sessions, {eta} left");
    let bar = ProgressBar::new(0);
    style.map(|style| bar.clone().with_style(style)).unwrap_or(bar)
}

fn try_out(source: &Source, since: u64, examples: usize, data_dir: Option<&Path>, as_json: bool) -> Result<(), Stop> {
    let config = source.load().map_err(|errors| Stop(2, errors))?;
    let files = Files::read(lists::settings(&config)).map_err(|errors| Stop(2, errors))?;
    for sentence in files.blind_spots() {
        eprintln!("warning: {sentence}");
    }
    let policy = live::policy(&config);
    let now = clock();
    let since = UnixMillis(now.0.saturating_sub(since.saturating_mul(1000)));
    let records = Records::of(&config, absolute(data_dir.unwrap_or(&config.server.data_dir))?)?;
    let before = SessionId::first_of(UnixMillis(now.0.saturating_add(1)));
    let mut replay = Replay::new(&policy, &config, &files, examples.min(EXAMPLES_MAX));
    let (bar, mut begin) = (bar(), None);
    let mut from = Some(from_session(SessionId::first_of(since)));
    while let Some(place) = from.take() {
        let batch = records.batch(&place, before)?;
        let last = batch.records.iter().filter_map(|record| replay.record(record)).last();
        if let Some(last) = last {
            let begin = *begin.get_or_insert(since.0.max(last.began().0));
            bar.set_length(now.0.saturating_sub(begin));
            bar.set_position(last.began().0.saturating_sub(begin));
            bar.set_message(replay.sessions().to_string());
        }
        from = batch.next;
    }
    bar.finish_and_clear();
    let (report, changes) = replay.report();
    if report.sessions == 0 && report.not_tried.unreadable_records == 0 {
        return Err(Stop(3, format!("no session since {} is on record", when(since.0))));
    }
    if as_json {
        let mut value = serde_json::to_value(&report).map_err(|error| error.to_string())?;
        if let Some(object) = value.as_object_mut() {
            object.insert("v".to_owned(), 1.into());
            object.insert("answer".to_owned(), "replay".into());
            object.insert("since".to_owned(), since.0.into());
            object.insert("until".to_owned(), now.0.into());
            object.insert("changes".to_owned(), json!(changes));
        }
        say!("{value}");
    } else {
        print(&report, &changes, since);
    }
    Ok(())
}

fn words(side: &Side) -> String {
    side.rule.map_or_else(|| side.decision.to_owned(), |rule| format!("{} by {rule}", side.decision))
}

fn print(report: &Report, changes: &[Change], since: UnixMillis) {
    let Report { sessions, decisions, same, found_more_or_less, by_another_rule, changed, messages, .. } = report;
    say!("{sessions} sessions since {}, {decisions} decisions made again", when(since.0));
    say!(
        "  {changed} would be others, {by_another_rule} the same by another rule, {found_more_or_less} the same with other findings, {same} wholly the same"
    );
    say!("  of {messages} messages that were taken {} would be turned away", report.messages_turned_away);
    if !changes.is_empty() {
        let mut table = table(&["stage", "was", "would be", "count"]);
        for change in changes {
            table.add_row([change.stage.clone(), words(&change.was), words(&change.would_be), change.count.to_string()]);
        }
        say!("\n{table}");
    }
    for change in changes.iter().filter(|change| !change.examples.is_empty()) {
        say!("\n{}: {} -> {}", change.stage, words(&change.was), words(&change.would_be));
        for one in &change.examples {
            let from = one.from.as_ref().map(|from| format!(", from {}", Quoted::text(from))).unwrap_or_default();
            say!("  {}  {}  {}{from}: {}", when(one.at), one.session, one.client, Quoted::text(&one.about));
            for (what, because) in [("was", &one.was_because), ("would be", &one.would_be_because)] {
                if !because.is_empty() {
                    say!("    {what}: {}", Quoted::text(because));
                }
            }
        }
    }
    let not = &report.not_tried;
    let reasons = [
        (not.not_reached, "decisions behind one that would have ended their message or session"),
        (not.unreadable_records, "records of another version"),
        (not.cut_records, "records of which only the beginning was kept: history.trail_size_max"),
        (not.unknown_stages, "decisions at a stage this version has no rules for"),
        (not.refused_without_a_rule, "refusals that no rule made"),
        (
            not.recipients_known_otherwise,
            "recipients of whom [[domain]] says something else now; they were judged by what was said then",
        ),
    ];
    if reasons.iter().any(|(count, _)| *count > 0) {
        say!("\nnot tried:");
        for (count, what) in reasons.iter().filter(|(count, _)| *count > 0) {
            say!("  {count} {what}");
        }
    }
}
