//! `postern list`: what can be ordered of local lists and what is answered, with and without a running server. Promise: what is said to be done is on
//! disk and in force, and every word of an operator's that is wrong is told before anything is changed.

use std::net::Ipv4Addr;

use postern_inspect::names::registered;
use postern_mail::client::ListenerKind;
use postern_mail::envelope::UnixMillis;
use postern_mail::fact::ClientFacts;
use postern_mail::list::{self, Entry};
use postern_mail::netset::{Action, AskedName, Listed, NameKind, Subject};
use postern_mail::{Domain, HeloName, Mailbox};
use postern_policy::{ConnectFacts, Policy, Stage};
use postern_state::{ListFailure, Lists, OwnEntry};
use serde::{Deserialize, Serialize};

use crate::control::Answer;
use crate::explained::{Step, step};

/// Entries one order adds, removes or lists.
pub(crate) const ENTRIES_MAX: usize = 5_000;
/// Words of an order that the audit log shows; of the rest it tells the number.
const SHOWN_MAX: usize = 5;

/// Something of local lists.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ListOrder {
    /// Entries, as lines of our own text.
    Add {
        /// Which.
        lines: Vec<String>,
        /// Only say what would be.
        dry_run: bool,
    },
    /// Entries less.
    Remove {
        /// Networks, AS numbers, countries, names with their kinds.
        subjects: Vec<String>,
        /// Only say what would be.
        dry_run: bool,
    },
    /// Entries made by commands.
    Export {
        /// Those behind this one.
        after: Option<String>,
        /// At most so many.
        limit: usize,
    },
    /// What is said and decided of a client or a name.
    Test {
        /// Its address, or a name with its kind.
        #[serde(rename = "address")]
        word: String,
        /// On which kind of listener.
        listener: String,
    },
    /// Which lists there are.
    Show,
}

impl ListOrder {
    /// True when the lists in files have a say in the answer.
    #[must_use]
    pub(crate) fn wants_files(&self) -> bool {
        matches!(self, Self::Test { .. } | Self::Show)
    }

    /// What it changes, in words; `None` where it changes nothing.
    #[must_use]
    pub(crate) fn act(&self) -> Option<String> {
        let (what, words) = match self {
            Self::Add { lines, dry_run: false } => ("list add", lines),
            Self::Remove { subjects, dry_run: false } => ("list remove", subjects),
            _ => return None,
        };
        let shown: Vec<&str> = words.iter().take(SHOWN_MAX).map(String::as_str).collect();
        let more = words.len().saturating_sub(SHOWN_MAX);
        let rest = if more > 0 { format!(", and {more} more") } else { String::new() };
        Some(format!("{what} {}{rest}", shown.join(", ")))
    }
}

/// An entry made by a command.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ListEntry {
    /// Network, AS number, country, or a name with its kind.
    pub subject: String,
    /// `block`, `allow`, `exempt`, or points.
    pub action: String,
    /// Why.
    pub reason: String,
    /// Milliseconds since 1970.
    pub until: Option<u64>,
}

impl ListEntry {
    /// As it was before it became an answer.
    #[must_use]
    pub(crate) fn entry(&self) -> Option<Entry<'_>> {
        Some(Entry {
            subject: Subject::parse(&self.subject).ok()?,
            action: Action::parse(&self.action),
            reason: self.reason.as_str().into(),
            until: self.until.map(UnixMillis),
        })
    }
}

/// What a list says of a client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ListMatch {
    /// Which list.
    pub list: String,
    /// What it says, and by which entry.
    #[serde(flatten)]
    pub entry: ListEntry,
    /// It has no effect.
    pub observed: bool,
}

/// What is said and decided of a client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Tested {
    /// The client, or the name.
    pub address: String,
    /// Where it came.
    pub listener: String,
    /// One for each list that says something.
    pub matches: Vec<ListMatch>,
    /// What is made of it.
    pub decided: Step,
}

/// A list in force.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ListState {
    /// Its file, or `postern list` for the entries made by commands.
    pub name: String,
    /// How many.
    pub entries: usize,
    /// Octets of memory.
    pub bytes: usize,
    /// `enforce` or `observe`.
    pub mode: String,
    /// Where it is looked at.
    pub listeners: Vec<String>,
}

fn wrong(error: String) -> Answer {
    Answer::Failed { exit: 2, error }
}

fn failed(failure: &ListFailure) -> Answer {
    Answer::failed(failure.to_string())
}

/// Carries out an order; works with and without a running server.
#[must_use]
pub(crate) fn carry_out(lists: &Lists, policy: &Policy, now: UnixMillis, order: ListOrder) -> Answer {
    match order {
        ListOrder::Add { lines, dry_run } => add(lists, now, &lines, dry_run),
        ListOrder::Remove { subjects, dry_run } => remove(lists, &subjects, dry_run),
        ListOrder::Export { after, limit } => {
            let after = match after.as_deref().map(Subject::parse).transpose() {
                Ok(after) => after,
                Err(why) => return wrong(why),
            };
            let (entries, more) = lists.own(after, limit.min(ENTRIES_MAX));
            Answer::ListEntries {
                entries: entries.iter().map(|(subject, entry)| view(&entry.about(subject.clone()))).collect(),
                more,
            }
        }
        ListOrder::Test { word, listener } => test(lists, policy, now, &word, &listener),
        ListOrder::Show => Answer::Lists {
            lists: lists
                .summary()
                .into_iter()
                .map(|list| ListState {
                    name: list.name,
                    entries: list.entries,
                    bytes: list.bytes,
                    mode: list.mode.as_str().to_owned(),
                    listeners: list.listeners.iter().map(ToString::to_string).collect(),
                })
                .collect(),
            warnings: lists.blind_spots(),
        },
    }
}

fn view(entry: &Entry<'_>) -> ListEntry {
    ListEntry {
        subject: entry.subject.to_string(),
        action: entry.action.unwrap_or(Action::Block).to_string(),
        reason: entry.reason.to_string(),
        until: entry.until.map(|until| until.0),
    }
}

fn add(lists: &Lists, now: UnixMillis, lines: &[String], dry_run: bool) -> Answer {
    if lines.len() > ENTRIES_MAX {
        return wrong(format!("one order adds at most {ENTRIES_MAX} entries"));
    }
    let (mut entries, mut mistakes) = (Vec::with_capacity(lines.len()), Vec::new());
    for line in lines {
        match list::parse(line) {
            Ok(entry) if entry.until.is_some_and(|until| until <= now) => {
                mistakes.push(format!("{}: its end is in the past", entry.subject));
            }
            Ok(entry) => {
                let action = entry.action.unwrap_or(Action::Block);
                entries.push((entry.subject, OwnEntry { action, reason: entry.reason.into(), until: entry.until }));
            }
            Err(why) => mistakes.push(why),
        }
    }
    if !mistakes.is_empty() {
        return wrong(mistakes.join("\n"));
    }
    let count = entries.len();
    let replaced = entries.iter().filter(|(subject, _)| lists.own_entry(subject).is_some()).count();
    let over = if replaced > 0 { format!(", {replaced} of them over older ones") } else { String::new() };
    if dry_run {
        return Answer::Done { text: format!("{count} entries would be added{over}") };
    }
    match lists.add(now, entries) {
        Ok(()) => {
            let own = |sentence: &String| sentence.starts_with(postern_state::lists::OWN);
            let blind: String = lists.blind_spots().iter().filter(|s| own(s)).map(|s| format!("\nwarning: {s}")).collect();
            Answer::Done { text: format!("{count} entries added{over}{blind}") }
        }
        Err(failure) => failed(&failure),
    }
}

fn remove(lists: &Lists, subjects: &[String], dry_run: bool) -> Answer {
    let parsed: Result<Vec<Subject>, String> = subjects
        .iter()
        .map(|text| Subject::parse(text).map_err(|why| format!("{text:?} is no network, AS number, country or name: {why}")))
        .collect();
    let parsed = match parsed {
        Ok(parsed) => parsed,
        Err(why) => return wrong(why),
    };
    let none = "no entry made by a command is about that; entries of files are removed in the file";
    if dry_run {
        return match parsed.iter().filter(|subject| lists.own_entry(subject).is_some()).count() {
            0 => Answer::nothing(none),
            count => Answer::Done { text: format!("{count} entries would be removed") },
        };
    }
    match lists.remove(&parsed) {
        Ok(0) => Answer::nothing(none),
        Ok(count) => Answer::Done { text: format!("{count} entries removed") },
        Err(failure) => failed(&failure),
    }
}

fn test(lists: &Lists, policy: &Policy, now: UnixMillis, word: &str, kind: &str) -> Answer {
    let kind = match ListenerKind::parse(kind) {
        Ok(kind) => kind,
        Err(why) => return wrong(why),
    };
    let (listed, decided) = match asked(word) {
        Some(Err(why)) => return wrong(why),
        Some(Ok((asked, stage))) => {
            let listed = lists.named(&[asked], kind, now);
            // Of nobody in particular, so of nobody who is trusted.
            let verdict = policy.names(&listed, Ipv4Addr::UNSPECIFIED.into());
            (listed, step(None, stage, word.to_owned(), &verdict))
        }
        None => {
            let Ok(address) = word.parse() else {
                return wrong(format!(
                    "{word:?} is neither an IP address nor a name with its kind, such as sender:a@bad.example"
                ));
            };
            let listed = lists.listed(address, kind, now);
            let client = ClientFacts { address, port: 0, listener: kind };
            let verdict = policy.connect(&ConnectFacts { client: &client, listed: &listed });
            (listed, step(None, Stage::Connect, address.to_string(), &verdict))
        }
    };
    let found = |listed: Listed| ListMatch {
        list: listed.list.to_string(),
        entry: view(&Entry {
            subject: listed.subject,
            action: Some(listed.action),
            reason: String::from(listed.reason).into(),
            until: listed.until,
        }),
        observed: listed.observed,
    };
    let matches = listed.into_iter().map(found).collect();
    Answer::ListTest(Box::new(Tested { address: word.to_owned(), listener: kind.to_string(), matches, decided }))
}

/// A name of a message with its kind, and the stage at which it is known. `None`: it has no kind.
fn asked(word: &str) -> Option<Result<(AskedName, Stage), String>> {
    let (kind, name) = word.split_once(':')?;
    let kind = NameKind::parse(kind)?;
    let no = |what: &str| format!("{name:?} is no {what}");
    let address = || Mailbox::parse(name).map(|mailbox| AskedName::address(kind, &mailbox)).map_err(|_| no("address"));
    Some(match kind {
        NameKind::Helo => HeloName::parse(name).map(|name| (AskedName::helo(&name), Stage::Sender)).map_err(|_| no("name")),
        NameKind::Sender => address().map(|asked| (asked, Stage::Sender)),
        NameKind::Recipient => address().map(|asked| (asked, Stage::Recipient)),
        NameKind::From => address().map(|asked| (asked, Stage::Message)),
        NameKind::Ptr => Domain::parse(name).map(|name| (AskedName::ptr(&name), Stage::Message)).map_err(|_| no("name")),
        NameKind::Link => link(name).map(|asked| (asked, Stage::Message)).ok_or_else(|| no("link")),
        NameKind::Domain => Err("a domain stands in something; ask about helo:, ptr:, sender:, from: or link:".to_owned()),
    })
}

fn link(text: &str) -> Option<AskedName> {
    let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let authority = url.split_once("://")?.1.split(['/', '?', '#']).next()?;
    let host = Domain::parse(authority).ok()?;
    Some(AskedName::link(host.as_str(), registered(&host).as_ref(), &url))
}
