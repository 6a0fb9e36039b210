//! `postern explain` and `postern audit` on a terminal. Promise: whatever came from a peer or was typed by a person is quoted.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use postern_mail::Quoted;
use postern_mail::client::Subnet;
use postern_state::audit;
use serde_json::json;

use crate::cli::Stop;
use crate::cli::print::when;
use crate::control::Order;
use crate::control::bans::BanOrder;
use crate::explained::{Explained, Step, WhatIf};
use crate::offline::Source;

/// The header section is read up to here; the rules look at no more.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// A message is looked at as a whole up to here; in base64 it is an order that the server takes.
const FILE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What is to be explained.
#[derive(Args)]
pub(crate) struct Asked {
    /// The reference of a refusal, a message id, or the network of a ban.
    id: Option<String>,
    /// Instead of an id: what would be decided about mail from this address? `<>` for reports.
    #[arg(long, requires_all = ["to", "ip"], conflicts_with = "id")]
    from: Option<String>,
    /// To this address; repeat for more.
    #[arg(long)]
    to: Vec<String>,
    /// From this client.
    #[arg(long)]
    ip: Option<String>,
    /// On this kind of listener: mx, submission, submissions.
    #[arg(long)]
    listener: Option<String>,
    /// Logged in as this account.
    #[arg(long)]
    account: Option<String>,
    /// Of this many octets; that of the file when there is one.
    #[arg(long)]
    size: Option<u64>,
    /// The message itself: who it is from, lists and links are looked up by the running server.
    #[arg(long)]
    file: Option<PathBuf>,
    /// What the client calls itself.
    #[arg(long, requires = "from")]
    helo: Option<String>,
}

impl Asked {
    pub(crate) fn order(self, source: &Source) -> Result<Order, Stop> {
        let (from, ip) = match (self.id, self.from, self.ip) {
            (Some(id), _, _) => {
                // The reference of a client that is banned is its ban.
                let bare = id.trim().trim_start_matches("(ref ").trim_end_matches(')');
                return Ok(match bare.parse::<Subnet>() {
                    Ok(_) => Order::Ban(BanOrder::Explain { what: bare.to_owned() }),
                    Err(_) => Order::Explain { id },
                });
            }
            (None, Some(from), Some(ip)) => (from, ip),
            _ => {
                return Err(Stop(
                    2,
                    "what? Give the reference of a refusal, a message id or a banned network, or --from, --to and --ip"
                        .to_owned(),
                ));
            }
        };
        let (mut header, mut message, mut size) = (None, None, self.size);
        if let Some(file) = &self.file {
            let (bytes, length) = read(file).map_err(|error| format!("{}: {error}", file.display()))?;
            size = size.or(Some(length));
            let is_whole = bytes.len() <= FILE_BYTES_MAX;
            let bytes = with_crlf(&bytes);
            let beginning = bytes.get(..HEADER_BYTES_MAX).unwrap_or(&bytes);
            header = Some(String::from_utf8_lossy(beginning).into_owned());
            // A part of a message would be judged for what it lacks.
            if is_whole {
                message = Some(STANDARD.encode(&bytes));
            } else {
                eprintln!("warning: of more than {FILE_BYTES_MAX} octets only the header section is looked at");
            }
        }
        let config = source.text()?;
        let listener = self.listener.unwrap_or_else(|| if self.account.is_some() { "submission" } else { "mx" }.to_owned());
        Ok(Order::WhatIf(WhatIf {
            from,
            to: self.to,
            ip,
            listener,
            account: self.account,
            size,
            header,
            message,
            helo: self.helo,
            config,
        }))
    }
}

/// A message in a file, up to one octet more than is looked at, and how long all of it is.
fn read(path: &Path) -> io::Result<(Vec<u8>, u64)> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes, length))
}

/// Lines as a client would end them: files have the system's ends.
fn with_crlf(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 32);
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(bare) => {
                out.extend_from_slice(bare.strip_suffix(b"\r").unwrap_or(bare));
                out.extend_from_slice(b"\r\n");
            }
            None => out.extend_from_slice(line),
        }
    }
    out
}

/// Text of a peer within a line of ours.
fn quoted(text: &str) -> String {
    Quoted::text(text).to_string()
}

pub(crate) fn print(explained: &Explained) {
    match (&explained.session, explained.began) {
        (Some(session), Some(began)) => {
            say!("session {session}, {}, from {} on {}", when(began), explained.client, explained.listener);
        }
        _ => say!("if a client came from {} on {}", explained.client, explained.listener),
    }
    if let Some(by) = &explained.by {
        say!("by {}", quoted(by));
    }
    for step in &explained.steps {
        print_step(step);
    }
    for message in &explained.messages {
        say!("what became of the message: postern trace {message}");
    }
}

pub(crate) fn print_step(step: &Step) {
    let at = step.at.map(|at| format!("{}  ", when(at))).unwrap_or_default();
    let about = if step.about.is_empty() { String::new() } else { format!(" {}", quoted(&step.about)) };
    let by = step.decided_by.as_ref().map(|rule| format!(", decided by {rule}")).unwrap_or_default();
    say!("{at}{}{about}: {}{by}", step.stage, step.decision);
    if let Some(reply) = &step.reply {
        say!("    told: {}", quoted(reply));
    }
    for ruled in &step.rules {
        let observed = if ruled.mode == "observe" { ", observed only" } else { "" };
        let waived = if ruled.waived { ", waived" } else { "" };
        say!("    {}: {}{observed}{waived}: {}", ruled.rule, ruled.says, quoted(&ruled.because));
    }
    for change in &step.would_change {
        let rules = change.rules.join(" and ");
        let how = match (change.mode.as_str(), &change.guards) {
            ("enforce", _) => format!("if {rules} were enforced"),
            (_, None) => format!("without {rules}"),
            (_, Some(why)) => format!("without {rules}, which cannot be switched off ({why})"),
        };
        say!("    {how}: {}", change.decision);
    }
    if let Some(helps) = &step.helps {
        say!("    what helps: {helps}");
    }
    if let Some(today) = &step.today {
        say!("    the rules of today would decide: {today}");
    }
}

/// What is asked of the audit log.
#[derive(Subcommand)]
pub(crate) enum AuditVerb {
    /// Every administrative act, oldest first.
    Show {
        /// Only the newest so many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Check that nothing in it was changed, removed or moved, and print the hash of its last entry, to be kept elsewhere.
    Verify {
        /// A hash that was kept: that the entry with it is still there shows that nothing before it was cut off.
        #[arg(long, value_name = "HASH")]
        head: Option<String>,
    },
}

pub(crate) fn audit(verb: &AuditVerb, source: &Source, as_json: bool) -> Result<(), Stop> {
    let file = audit::path(&source.load()?.server.data_dir);
    if audit::files(&file).is_ok_and(|files| files.is_empty()) {
        return Err(Stop(3, format!("{}: there is no audit log yet", file.display())));
    }
    let (limit, head) = match verb {
        AuditVerb::Show { limit } => (*limit, None),
        AuditVerb::Verify { head } => (0, head.as_deref()),
    };
    let mut entries = std::collections::VecDeque::new();
    let verified = audit::verify(&file, head, |entry| {
        entries.push_back(entry);
        if entries.len() > limit {
            entries.pop_front();
        }
    });
    if let AuditVerb::Show { .. } = verb {
        if as_json {
            say!("{}", json!({ "v": 1, "entries": entries }));
        } else {
            for entry in &entries {
                let reason = if entry.reason.is_empty() { String::new() } else { format!(", because {}", quoted(&entry.reason)) };
                say!(
                    "{}  {}  {}  {}{reason}: {}",
                    entry.n,
                    when(entry.at),
                    quoted(&entry.who),
                    quoted(&entry.what),
                    quoted(&entry.result)
                );
            }
        }
    }
    match verified {
        Ok(found) => {
            if matches!(verb, AuditVerb::Verify { .. }) {
                if as_json {
                    say!(
                        "{}",
                        json!({ "v": 1, "whole": true, "entries": found.entries, "from": found.first, "head": found.head, "kept": found.kept })
                    );
                } else {
                    let kept = found.kept.map_or_else(
                        || "whether entries were cut off its end only a hash kept elsewhere can tell: --head".to_owned(),
                        |entry| format!("the hash that was kept is that of entry {entry}"),
                    );
                    let from = match found.first {
                        0 | 1 => String::new(),
                        first => format!(" from entry {first} on, and what was before it is not kept any more"),
                    };
                    say!("{} entries, the chain is whole{from}; {kept}\nhead {}", found.entries, found.head);
                }
            }
            Ok(())
        }
        Err(broken) => {
            if as_json && matches!(verb, AuditVerb::Verify { .. }) {
                say!("{}", json!({ "v": 1, "whole": false, "error": broken.to_string() }));
            }
            Err(Stop(1, format!("{}: {broken}", file.display())))
        }
    }
}
