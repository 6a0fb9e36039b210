//! `postern list` on a terminal. Promise: files are read and found right as a whole before the first entry of them is ordered; reasons, which others
//! may have written, are quoted.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use postern_mail::Quoted;
use postern_mail::envelope::UnixMillis;
use postern_mail::list::{self, Entry, Family, Format, day};
use postern_mail::netset::{Action, NameKind, Subject};
use postern_state::lists::{FILE_BYTES_MAX, OWN_ENTRIES_MAX, Unread};
use serde_json::json;

use crate::cli::print::table;
use crate::cli::{Stop, ask, because, explain, print, seconds};
use crate::control::{Answer, Order};
use crate::lists::{ENTRIES_MAX, ListEntry, ListOrder, ListState, Tested};
use crate::offline::Source;
use crate::wire::clock;

/// Octets of lines in one order; JSON may double them.
const ORDER_LINES_BYTES: usize = 400_000;

/// What entries say.
#[derive(Args)]
pub(crate) struct Terms {
    /// Turn them away; this is what holds without another word.
    #[arg(long, group = "action")]
    block: bool,
    /// Let them in, whatever wider entries of any list say.
    #[arg(long, group = "action")]
    allow: bool,
    /// Points towards a sum, such as 4.5; negative ones speak for them.
    #[arg(long, group = "action", allow_hyphen_values = true)]
    points: Option<String>,
    /// Until the end of this day, such as 2027-01-31, or until a time: 2027-01-31T18:00:00Z.
    #[arg(long, value_name = "DAY", conflicts_with = "lasting")]
    until: Option<String>,
    /// For so long, such as 7d.
    #[arg(long = "for", value_name = "TIME")]
    lasting: Option<String>,
    /// Why; whoever is turned away is told, and it is in the audit log.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

impl Terms {
    fn action(&self) -> Result<Option<Action>, Stop> {
        match &self.points {
            Some(points) => match Action::parse(points) {
                Some(score @ Action::Score(_)) => Ok(Some(score)),
                _ => Err(Stop(2, format!("{points:?} are no points; such as 4.5, from -999.9 to 999.9"))),
            },
            None if self.allow => Ok(Some(Action::Allow)),
            None if self.block => Ok(Some(Action::Block)),
            None => Ok(None),
        }
    }

    fn end(&self, now: UnixMillis) -> Result<Option<UnixMillis>, Stop> {
        if let Some(text) = &self.until {
            let end = day::parse_end(text);
            return end
                .map(Some)
                .ok_or_else(|| Stop(2, format!("{text:?} is no day; such as 2027-01-31 or 2027-01-31T18:00:00Z")));
        }
        let after = seconds(self.lasting.as_deref())?;
        // Whole seconds, which is what a list holds.
        Ok(after.map(|after| UnixMillis((now.0 / 1000).saturating_add(after).saturating_mul(1000))))
    }
}

/// What is done with local lists.
#[derive(Subcommand)]
pub(crate) enum ListVerb {
    /// Add entries: they are in force at once and kept over a restart.
    Add {
        /// Addresses, networks, AS numbers (AS64500), countries (DE), or names with their kinds: helo:NAME, ptr:NAME, sender:ADDRESS,
        /// from:ADDRESS, recipient:ADDRESS, link:NAME/PATH, domain:NAME; .NAME for it and all below it, @NAME for all addresses of it.
        #[arg(required = true)]
        subjects: Vec<String>,
        #[command(flatten)]
        terms: Terms,
        /// Only say what would be.
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove entries that were made by commands.
    Remove {
        /// As they were added.
        #[arg(required = true)]
        subjects: Vec<String>,
        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        /// Only say what would be.
        #[arg(long)]
        dry_run: bool,
    },
    /// Add the entries of a file. A file that stays where it is, or a long one, is better named by [[policy.list]].
    Import {
        /// The file; - for standard input.
        file: PathBuf,
        /// How it is written: text, drop, rbldnsd.
        #[arg(long, default_value = "text")]
        format: String,
        /// What its words are the names of that do not say it: helo, ptr, sender, from, recipient, link, domain.
        #[arg(long, value_name = "KIND")]
        of: Option<String>,
        #[command(flatten)]
        terms: Terms,
        /// Only say what would be.
        #[arg(long)]
        dry_run: bool,
    },
    /// Print the entries made by commands, or those of a list in a file, in a format of your choice.
    Export {
        /// How it is written: text, drop, rbldnsd.
        #[arg(long, default_value = "text")]
        format: String,
        /// For rbldnsd: the IPv6 networks, which have a zone of their own.
        #[arg(long)]
        ipv6: bool,
        /// For rbldnsd: the names of this kind, which have a zone of their own: helo, ptr, sender, from, recipient, link, domain.
        #[arg(long, value_name = "KIND", conflicts_with = "ipv6")]
        of: Option<String>,
        /// A file of [[policy.list]].
        #[arg(long, value_name = "FILE")]
        list: Option<PathBuf>,
    },
    /// What the lists say of a client or a name, and what would be decided.
    Test {
        /// Its address, or a name with its kind: helo:NAME, ptr:NAME, sender:ADDRESS, from:ADDRESS, recipient:ADDRESS, link:URL.
        word: String,
        /// On this kind of listener: mx, submission, submissions.
        #[arg(long, default_value = "mx")]
        listener: String,
    },
    /// Which lists there are, and how much is in them.
    Show,
}

fn kind(name: Option<&str>) -> Result<Option<NameKind>, Stop> {
    let parse = |name: &str| {
        let all = || NameKind::ALL.map(NameKind::as_str).join(", ");
        NameKind::parse(name).ok_or_else(|| Stop(2, format!("{name:?} is no kind of names: {}", all())))
    };
    name.map(parse).transpose()
}

fn format(name: &str) -> Result<Format, Stop> {
    let known = Format::ALL.into_iter().find(|format| format.as_str() == name);
    known.ok_or_else(|| Stop(2, format!("{name:?} is no format: text, drop, rbldnsd")))
}

pub(crate) fn run(verb: ListVerb, source: &Source, as_json: bool) -> Result<(), Stop> {
    let order = match verb {
        ListVerb::Add { subjects, terms, dry_run } => {
            let (action, until) = (terms.action()?, terms.end(clock())?);
            let reason = list::reason(&terms.reason);
            let mut lines = Vec::with_capacity(subjects.len());
            for text in &subjects {
                let subject = Subject::parse(text)
                    .map_err(|why| Stop(2, format!("{text:?} is no address, network, AS number, country or name: {why}")))?;
                lines.push(list::line(&Entry { subject, action, reason: reason.clone(), until }));
            }
            because(Some(terms.reason).filter(|reason| !reason.is_empty()), Order::List(ListOrder::Add { lines, dry_run }))
        }
        ListVerb::Remove { subjects, reason, dry_run } => {
            because(Some(reason).filter(|reason| !reason.is_empty()), Order::List(ListOrder::Remove { subjects, dry_run }))
        }
        ListVerb::Import { file, format: name, of, terms, dry_run } => {
            let written = (format(&name)?, kind(of.as_deref())?);
            return import(source, &file, written, &terms, dry_run, as_json);
        }
        ListVerb::Export { format: name, ipv6, of, list } => {
            let family = match kind(of.as_deref())? {
                Some(kind) => Family::Names(kind),
                None if ipv6 => Family::V6,
                None => Family::V4,
            };
            return export(source, format(&name)?, family, list.as_deref(), as_json);
        }
        ListVerb::Test { word, listener } => Order::List(ListOrder::Test { word, listener }),
        ListVerb::Show => Order::List(ListOrder::Show),
    };
    print::print(ask::ask(source, order)?, as_json)
}

fn contents(file: &Path) -> Result<Vec<u8>, Stop> {
    let name = file.display();
    let words = |error: std::io::Error| Stop(1, format!("{name}: {error}"));
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().lock().take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(words)?;
    } else {
        std::fs::File::open(file).map_err(words)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(words)?;
    }
    Ok(bytes)
}

fn import(
    source: &Source,
    file: &Path,
    (format, of): (Format, Option<NameKind>),
    terms: &Terms,
    dry_run: bool,
    as_json: bool,
) -> Result<(), Stop> {
    let now = clock();
    let (action, until) = (terms.action()?, terms.end(now)?);
    let default_reason = list::reason(&terms.reason);
    let (mut lines, mut ended, mut too_many) = (Vec::new(), 0_usize, false);
    let read = list::read(format, of, &contents(file)?, |mut entry| {
        entry.action = entry.action.or(action);
        entry.until = entry.until.or(until);
        if entry.reason.is_empty() {
            entry.reason = default_reason.to_string().into();
        }
        if entry.until.is_some_and(|until| until <= now) {
            ended += 1;
        } else if lines.len() >= OWN_ENTRIES_MAX {
            too_many = true;
        } else {
            lines.push(list::line(&entry));
        }
    });
    read.map_err(|faults| Stop(1, faults.words(&file.display().to_string())))?;
    if too_many {
        let hint = "name the file in the configuration: [[policy.list]]";
        return Err(Stop(
            1,
            format!("it has more than {OWN_ENTRIES_MAX} entries, which is as many as commands can make; {hint}"),
        ));
    }
    let total = lines.len();
    if total == 0 {
        return Err(Stop(3, "there is no entry in it that has not ended".to_owned()));
    }
    let (mut done, mut warnings) = (0, BTreeSet::new());
    let mut lines = lines.into_iter().peekable();
    while lines.peek().is_some() {
        let (mut part, mut octets) = (Vec::new(), 0);
        while part.len() < ENTRIES_MAX && octets < ORDER_LINES_BYTES {
            let Some(line) = lines.next() else { break };
            octets += line.len();
            part.push(line);
        }
        let count = part.len();
        let reason = if terms.reason.is_empty() { format!("import of {}", file.display()) } else { terms.reason.clone() };
        match ask::ask(source, because(Some(reason), Order::List(ListOrder::Add { lines: part, dry_run })))? {
            Answer::Failed { exit, error } => {
                return Err(Stop(exit, format!("{error}\n{done} of {total} entries were added before")));
            }
            Answer::Done { text } => {
                warnings.extend(text.lines().filter(|line| line.starts_with("warning: ")).map(str::to_owned));
                done += count;
            }
            _ => done += count,
        }
    }
    let ended = if ended > 0 { format!(", {ended} were left out since they have ended") } else { String::new() };
    let would = if dry_run { "would be added" } else { "added" };
    let warnings: String = warnings.iter().map(|line| format!("\n{line}")).collect();
    print::print(Answer::Done { text: format!("{done} entries {would}{ended}{warnings}") }, as_json)
}

fn export(source: &Source, format: Format, family: Family, list: Option<&Path>, as_json: bool) -> Result<(), Stop> {
    let entries = match list {
        None => own_entries(source)?,
        Some(file) => file_entries(source, file)?,
    };
    if as_json {
        say!("{}", json!({ "v": 1, "answer": "list-entries", "entries": entries }));
        return Ok(());
    }
    let written = list::write(format, family, entries.iter().filter_map(ListEntry::entry), clock());
    std::io::stdout().lock().write_all(written.text.as_bytes()).map_err(|error| error.to_string())?;
    for network in &written.holed {
        eprintln!("{network} was left out: something within it is let in, and this format could not say so");
    }
    if written.left_out > 0 {
        eprintln!("{} entries were left out: they have ended, or this format has no place for them", written.left_out);
    }
    Ok(())
}

fn own_entries(source: &Source) -> Result<Vec<ListEntry>, Stop> {
    let mut all: Vec<ListEntry> = Vec::new();
    loop {
        let after = all.last().map(|last| last.subject.clone());
        match ask::ask(source, Order::List(ListOrder::Export { after, limit: ENTRIES_MAX }))? {
            Answer::ListEntries { entries, more } => {
                all.extend(entries);
                if !more || all.len() > OWN_ENTRIES_MAX {
                    return Ok(all);
                }
            }
            Answer::Failed { exit, error } => return Err(Stop(exit, error)),
            _ => return Err(Stop(1, "the server gave another answer than was asked for".to_owned())),
        }
    }
}

fn file_entries(source: &Source, file: &Path) -> Result<Vec<ListEntry>, Stop> {
    let settings = crate::wire::lists::settings(&source.load()?);
    let name = file.display().to_string();
    let one = settings.lists.iter().find(|list| list.file == file);
    let one = one.ok_or_else(|| Stop(3, format!("{name} is no list of the configuration; postern list show names them")))?;
    let set = postern_state::lists::set(one.format, one.of, &contents(file)?, one.action, settings.entries_max);
    let set = set.map_err(|unread| match unread {
        Unread::Faults(faults) => faults.words(&name),
        Unread::TooMany => format!("{name}: it has more entries than policy.list_entries_max"),
    })?;
    Ok(set
        .iter()
        .map(|found| ListEntry {
            subject: found.subject.to_string(),
            action: found.action.to_string(),
            reason: list::told(found.reason(), &found.subject),
            until: found.until.map(|until| until.0),
        })
        .collect())
}

/// The words of an entry behind its subject.
fn terms(entry: &ListEntry) -> String {
    let until = entry.until.map(|until| format!(" until {}", day::print_end(UnixMillis(until)))).unwrap_or_default();
    let reason = if entry.reason.is_empty() { String::new() } else { format!("  {}", Quoted::text(&entry.reason)) };
    format!("{}{until}{reason}", entry.action)
}

pub(crate) fn print_entries(entries: &[ListEntry], more: bool) {
    for entry in entries {
        say!("{}  {}", entry.subject, terms(entry));
    }
    if more {
        say!("... and more");
    }
}

pub(crate) fn print_test(tested: &Tested) {
    say!("{} on {}", tested.address, tested.listener);
    if tested.matches.is_empty() {
        say!("    no list says anything of it");
    }
    for one in &tested.matches {
        let observed = if one.observed { ", observed only" } else { "" };
        say!("    {}: {}  {}{observed}", one.list, one.entry.subject, terms(&one.entry));
    }
    explain::print_step(&tested.decided);
}

pub(crate) fn print_lists(lists: &[ListState], warnings: &[String]) {
    let mut table = table(&["list", "entries", "KiB", "mode", "listeners"]);
    for list in lists {
        table.add_row([
            list.name.clone(),
            list.entries.to_string(),
            (list.bytes / 1024).to_string(),
            list.mode.clone(),
            list.listeners.join(", "),
        ]);
    }
    say!("{table}");
    for warning in warnings {
        say!("warning: {warning}");
    }
}
