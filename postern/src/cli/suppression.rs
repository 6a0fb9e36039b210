//! `postern suppression`: addresses that are not written to. Promise: what is exported can be imported again, and evidence is quoted.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use postern_mail::Quoted;
use serde_json::json;

use crate::cli::print::{table, when};
use crate::cli::{Stop, ask, print, seconds};
use crate::control::suppression::{ENTRIES_AT_ONCE, Entry, SuppressionOrder, Suppressions};
use crate::control::{Answer, Order};
use crate::offline::Source;
use crate::wire::clock;

/// Octets of a file.
const FILE_MAX: u64 = 256 << 20;

#[derive(Subcommand)]
pub(crate) enum SuppressionVerb {
    /// Addresses that are not written to, in order.
    List {
        /// Only those that hold for this account alone.
        #[arg(long, value_name = "ADDRESS")]
        account: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 1000)]
        limit: usize,
    },
    /// Write to an address no more.
    Add {
        /// Which.
        address: String,
        /// For mail of this account only.
        #[arg(long, value_name = "ADDRESS")]
        account: Option<String>,
        /// For so long, such as 30d; without it, until it is taken back.
        #[arg(long = "for", value_name = "TIME")]
        lasting: Option<String>,
        /// Why: for whoever asks, and for the audit log.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        /// Only say what would be.
        #[arg(long)]
        dry_run: bool,
    },
    /// Write to an address again.
    Remove {
        /// Which.
        address: String,
        /// What holds for this account only.
        #[arg(long, value_name = "ADDRESS")]
        account: Option<String>,
        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        /// Only say what would be.
        #[arg(long)]
        dry_run: bool,
    },
    /// Whether an address is written to, and why not. Exit 3 when nothing is against it.
    Check {
        /// Which.
        address: String,
        /// By this account; without it, by anybody.
        #[arg(long, value_name = "ADDRESS")]
        account: Option<String>,
    },
    /// Add what a file holds: an address a line, and after a tab each a cause (bounced, complained, unsubscribed, by-hand), an account, since and until in
    /// milliseconds since 1970, and a text; all but the address may be missing or empty. `#` begins a remark.
    Import {
        /// The file; - for standard input.
        file: PathBuf,
        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        /// Only say what would be.
        #[arg(long)]
        dry_run: bool,
    },
    /// Print all of them as `import` reads them.
    Export,
}

fn entry(address: String, account: Option<String>, until: Option<u64>) -> Entry {
    Entry { address, account, cause: "by-hand".to_owned(), since: clock().0, until, ..Entry::default() }
}

pub(crate) fn run(verb: SuppressionVerb, source: &Source, as_json: bool) -> Result<(), Stop> {
    let order = match verb {
        SuppressionVerb::List { account, limit } => SuppressionOrder::List { account, after: None, limit },
        SuppressionVerb::Add { address, account, lasting, reason, dry_run } => {
            let until = seconds(lasting.as_deref())?.map(|length| clock().0.saturating_add(length.saturating_mul(1000)));
            SuppressionOrder::Add { entries: vec![entry(address, account, until)], reason, dry_run }
        }
        SuppressionVerb::Remove { address, account, reason, dry_run } => {
            SuppressionOrder::Remove { address, account, reason, dry_run }
        }
        SuppressionVerb::Check { address, account } => SuppressionOrder::Check { address, account },
        SuppressionVerb::Import { file, reason, dry_run } => return import(source, &file, &reason, dry_run, as_json),
        SuppressionVerb::Export => return export(source, as_json),
    };
    print::print(ask::ask(source, Order::Suppression(order))?, as_json)
}

fn contents(file: &Path) -> Result<String, Stop> {
    let words = |error: std::io::Error| Stop(1, format!("{}: {error}", file.display()));
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().lock().take(FILE_MAX).read_to_string(&mut text).map_err(words)?;
    } else {
        std::fs::File::open(file).map_err(words)?.take(FILE_MAX).read_to_string(&mut text).map_err(words)?;
    }
    Ok(text)
}

/// A line of a file; nothing for an empty one. What has no end and bounced is by hand: somebody wants it for ever.
fn read(line: &str) -> Result<Option<Entry>, String> {
    if line.trim().is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let mut fields = line.split('\t').map(str::trim);
    let mut field = || fields.next().filter(|text| !text.is_empty()).map(str::to_owned);
    let number = |text: Option<String>| match text {
        None => Ok(None),
        Some(text) => text.parse::<u64>().map(Some).map_err(|_| format!("{} is no time in milliseconds", Quoted::text(&text))),
    };
    let address = field().ok_or("there is no address")?;
    let (cause, account) = (field(), field());
    let (_, until) = (number(field())?, number(field())?);
    let cause = match (cause, until) {
        (None, _) => "by-hand".to_owned(),
        (Some(cause), None) if cause == "bounced" => "by-hand".to_owned(),
        (Some(cause), _) => cause,
    };
    Ok(Some(Entry { cause, evidence: field().unwrap_or_default(), ..entry(address, account, until) }))
}

fn import(source: &Source, file: &Path, reason: &str, dry_run: bool, as_json: bool) -> Result<(), Stop> {
    let text = contents(file)?;
    let (mut entries, mut ended) = (Vec::new(), 0_usize);
    for (number, line) in text.lines().enumerate() {
        match read(line) {
            Ok(Some(entry)) if entry.until.is_some_and(|until| until <= clock().0) => ended += 1,
            Ok(Some(entry)) if postern_mail::Mailbox::parse(&entry.address).is_err() => {
                return Err(Stop(
                    1,
                    format!("{}:{}: {} is no address", file.display(), number + 1, Quoted::text(&entry.address)),
                ));
            }
            Ok(Some(entry)) => entries.push(entry),
            Ok(None) => {}
            Err(why) => return Err(Stop(1, format!("{}:{}: {why}", file.display(), number + 1))),
        }
    }
    if entries.is_empty() {
        return Err(Stop(3, "there is no address in it whose end is not over".to_owned()));
    }
    let reason = if reason.is_empty() { format!("import of {}", file.display()) } else { reason.to_owned() };
    let total = entries.len();
    let mut done = 0;
    // As many as one order takes, which is far below what it may be long.
    for part in entries.chunks(ENTRIES_AT_ONCE) {
        let order = SuppressionOrder::Add { entries: part.to_vec(), reason: reason.clone(), dry_run };
        match ask::ask(source, Order::Suppression(order))? {
            Answer::Failed { exit, error } => return Err(Stop(exit, format!("{error}\n{done} of {total} were added before"))),
            _ => done += part.len(),
        }
    }
    let would = if dry_run { "would be suppressed" } else { "are suppressed" };
    let ended = if ended > 0 { format!("; the end of {ended} is over") } else { String::new() };
    print::print(Answer::Done { text: format!("{done} addresses {would}{ended}") }, as_json)
}

fn export(source: &Source, as_json: bool) -> Result<(), Stop> {
    let mut all: Vec<Entry> = Vec::new();
    loop {
        let after = all.last().map(|last| (last.address.clone(), last.account.clone()));
        let order = SuppressionOrder::List { account: None, after, limit: ENTRIES_AT_ONCE };
        match ask::ask(source, Order::Suppression(order))? {
            Answer::Suppressions(Suppressions { entries, more, .. }) => {
                let is_end = !more || entries.is_empty();
                all.extend(entries);
                if is_end {
                    break;
                }
            }
            Answer::Failed { exit, error } => return Err(Stop(exit, error)),
            _ => return Err(Stop(1, "the server gave another answer than was asked for".to_owned())),
        }
    }
    if as_json {
        say!("{}", json!({ "v": 1, "answer": "suppressions", "entries": all, "more": false }));
        return Ok(());
    }
    let mut output = std::io::stdout().lock();
    let words = |error: std::io::Error| Stop(1, error.to_string());
    for entry in &all {
        writeln!(output, "{}", line(entry)).map_err(words)?;
    }
    Ok(())
}

/// As [`read`] reads it.
fn line(entry: &Entry) -> String {
    let until = entry.until.map(|until| until.to_string()).unwrap_or_default();
    let account = entry.account.as_deref().unwrap_or_default();
    let evidence: String = entry.evidence.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{}\t{}\t{account}\t{}\t{until}\t{evidence}", entry.address, entry.cause, entry.since)
}

/// For people.
pub(crate) fn print(answer: &Suppressions) {
    if let Some(times) = answer.bounces {
        say!("not suppressed; it bounced {times} times of late");
        return;
    }
    if answer.entries.is_empty() {
        say!("nobody is suppressed");
        return;
    }
    let mut rows = table(&["address", "for", "why", "since", "until", "bounces", "what was said"]);
    for entry in &answer.entries {
        rows.add_row([
            Quoted::text(&entry.address).to_string().trim_matches('"').to_owned(),
            entry.account.clone().unwrap_or_else(|| "everybody".to_owned()),
            entry.cause.clone(),
            when(entry.since),
            entry.until.map_or_else(|| "no end".to_owned(), when),
            if entry.times == 0 { String::new() } else { entry.times.to_string() },
            Quoted::text(&entry.evidence).to_string(),
        ]);
    }
    say!("{rows}");
    if answer.more {
        say!("... and more; give --limit, or export");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_exported_is_imported_again() {
        let entries = [
            Entry {
                evidence: "550 5.1.1 no\tsuch user".to_owned(),
                cause: "bounced".to_owned(),
                ..entry("a@b.example".to_owned(), None, Some(7))
            },
            Entry { cause: "complained".to_owned(), ..entry("c@d.example".to_owned(), Some("n@e.example".to_owned()), None) },
        ];
        for one in &entries {
            let again = read(&line(one)).unwrap().unwrap();
            assert_eq!(
                (&again.address, &again.account, &again.cause, again.until),
                (&one.address, &one.account, &one.cause, one.until)
            );
        }
        assert_eq!(read("x@y.example").unwrap().unwrap().cause, "by-hand");
        assert_eq!(read("x@y.example\tbounced").unwrap().unwrap().cause, "by-hand", "there is no end");
        assert_eq!(read("# remark").unwrap(), None);
        assert!(read("x@y.example\t\t\t\tsoon").is_err());
    }
}
