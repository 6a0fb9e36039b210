//! Answers for people, or as JSON with `"v": 1`. Peer text is quoted before it reaches a terminal.

use comfy_table::{Table, presets};
use jiff::Timestamp;
use postern_mail::Quoted;

use crate::cli::{Stop, bans, dkim, dns, dnsbl, explain, greylist, lists, reports, reputation, scope, suppression};
use crate::control::{Account, Answer, Credential, Lane, Message, Status, Story};

pub(crate) fn print(answer: Answer, as_json: bool) -> Result<(), Stop> {
    if let Answer::Failed { exit, error } = answer {
        if as_json {
            say!("{}", serde_json::json!({ "v": 1, "answer": "failed", "exit": exit, "error": error }));
        }
        return Err(Stop(exit, if as_json { String::new() } else { error }));
    }
    if as_json {
        let mut value = serde_json::to_value(&answer).map_err(|error| error.to_string())?;
        if let Some(object) = value.as_object_mut() {
            object.insert("v".to_owned(), 1.into());
        }
        say!("{value}");
        return if let Answer::DnsPlan(plan) = &answer { dns::ended(plan) } else { Ok(()) };
    }
    match answer {
        Answer::Done { text } => say!("{text}"),
        Answer::Password { account, label, password } => {
            say!("{account}, {label}: {password}\nThis password is shown only now.");
        }
        Answer::Status(status) => print_status(&status),
        Answer::Accounts { accounts } => {
            print_accounts(&accounts);
            scope::print(&accounts);
        }
        Answer::Reviews { reviews, beside } => {
            scope::print_reviews(&reviews);
            for sentence in beside {
                say!("{}", Quoted::text(&sentence));
            }
        }
        Answer::Messages { messages, more } => print_messages(&messages, more),
        Answer::Lanes { lanes } => print_lanes(&lanes),
        Answer::Stories { stories, refusals } => {
            for story in &stories {
                print_story(story);
            }
            if !refusals.is_empty() {
                say!("refused:");
                for refusal in &refusals {
                    print_entry(refusal);
                }
            }
        }
        Answer::Explained(explained) => explain::print(&explained),
        Answer::ListEntries { entries, more } => lists::print_entries(&entries, more),
        Answer::ListTest(tested) => lists::print_test(&tested),
        Answer::Lists { lists, warnings } => lists::print_lists(&lists, &warnings),
        Answer::DnsLists(lists) => dnsbl::print(&lists),
        Answer::DkimKeys(keys) => dkim::print(&keys),
        Answer::DnsPlan(plan) => {
            dns::print(&plan);
            return dns::ended(&plan);
        }
        Answer::Suppressions(answer) => suppression::print(&answer),
        Answer::Reputation { accounts } => reputation::print(&accounts),
        Answer::ReportsSent(sent) => reports::print(&sent),
        Answer::ReportsRead(read) => reports::print_read(&read),
        Answer::Greylist(remembered) => greylist::print(&remembered),
        Answer::Bans(answer) => bans::print_bans(&answer),
        Answer::BanExplained(explained) => bans::print_explained(&explained),
        // A mirror's and a replay's own; they print no answers.
        Answer::BanMirror(_) | Answer::Records { .. } | Answer::PolicySettings { .. } | Answer::Failed { .. } => {}
    }
    Ok(())
}

/// A point in time as people read it.
pub(crate) fn when(millis: u64) -> String {
    let timestamp = i64::try_from(millis).ok().and_then(|millis| Timestamp::from_millisecond(millis).ok());
    timestamp.map_or_else(|| "?".to_owned(), |timestamp| timestamp.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// A length of time in its largest unit.
pub(crate) fn how_long(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn bytes(count: u64) -> String {
    match count {
        0..=9_999 => format!("{count} B"),
        10_000..=10_239_999 => format!("{} KiB", count / 1024),
        _ => format!("{} MiB", count / 1024 / 1024),
    }
}

pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.iter().copied());
    table
}

fn print_status(status: &Status) {
    say!("{}, up {}", status.hostname, how_long(status.uptime_seconds));
    for listener in &status.listeners {
        say!("  {listener}");
    }
    say!("connections  {}", status.connections);
    say!(
        "queue        {} messages: {} waiting, {} being tried, {} deferred, {} held",
        status.messages,
        status.waiting,
        status.active,
        status.deferred,
        status.held
    );
    say!("spool        {} of mail, {} free on its disk", bytes(status.live_bytes), bytes(status.free_bytes));
    say!("accepting    {}", status.accepting);
    say!("banned       {} networks", status.bans);
    say!("locked in    Landlock {}, system call filter {}", status.landlock, if status.seccomp { "on" } else { "off" });
    for warning in &status.warnings {
        say!("WARNING      {warning}");
    }
}

fn print_accounts(accounts: &[Account]) {
    if accounts.is_empty() {
        say!("no accounts; make one with: postern account add NAME@DOMAIN");
        return;
    }
    let mut table = table(&["account", "may send as", "credentials", "last used"]);
    for account in accounts {
        let credentials: Vec<String> = account
            .credentials
            .iter()
            .filter(|credential| !is_certificate(account, credential))
            .map(|credential| match credential.expires {
                Some(end) => format!("{} (until {})", Quoted::text(&credential.label), when(end)),
                None => credential.label.clone(),
            })
            .collect();
        let last = account.credentials.iter().filter_map(|credential| credential.last_used).max();
        let name = if account.disabled { format!("{} (disabled)", account.name) } else { account.name.clone() };
        table.add_row([name, account.addresses.join(", "), credentials.join(", "), last.map_or("never".to_owned(), when)]);
    }
    say!("{table}");
    for account in accounts {
        for certificate in account.credentials.iter().filter(|credential| is_certificate(account, credential)) {
            let last = certificate.last_used.map_or("never used".to_owned(), |at| format!("last used {}", when(at)));
            let label = Quoted::text(&certificate.label);
            say!("{}: {label}, added {}, {last}", account.name, when(certificate.created));
        }
    }
}

fn is_certificate(account: &Account, credential: &Credential) -> bool {
    let fingerprint = credential.label.strip_prefix("certificate ");
    fingerprint.is_some_and(|fingerprint| account.certificates.iter().any(|own| own == fingerprint))
}

fn print_messages(messages: &[Message], more: bool) {
    if messages.is_empty() {
        say!("nothing");
        return;
    }
    for message in messages {
        let held = message.held.as_ref().map(|reason| format!("  HELD: {}", Quoted::text(reason))).unwrap_or_default();
        let account = message.account.as_ref().map(|account| format!("  by {account}")).unwrap_or_default();
        say!(
            "{}  {}  {}  from {}{account}  {} attempts, next {}{held}",
            message.id,
            when(message.received),
            bytes(message.size),
            message.from,
            message.attempts,
            when(message.due)
        );
        for recipient in &message.recipients {
            let reason = recipient.reason.as_ref().map(|text| format!("  {}", Quoted::text(text))).unwrap_or_default();
            say!("    {}  {}  via {}{reason}", recipient.address, recipient.state, recipient.destination);
        }
    }
    if more {
        say!("... and more; give --limit");
    }
    super::held::print_groups(messages);
}

fn print_lanes(lanes: &[Lane]) {
    if lanes.is_empty() {
        say!("nothing waits");
        return;
    }
    let mut table =
        table(&["destination", "waiting", "active", "deferred", "held", "window", "paused until", "oldest", "last trouble"]);
    for lane in lanes {
        table.add_row([
            lane.leads_to(),
            lane.waiting.to_string(),
            lane.active.to_string(),
            lane.deferred.to_string(),
            lane.held.to_string(),
            lane.window.to_string(),
            lane.paused_until.map(when).unwrap_or_default(),
            lane.oldest.map(when).unwrap_or_default(),
            lane.trouble.clone().unwrap_or_default(),
        ]);
    }
    say!("{table}");
}

fn print_story(story: &Story) {
    say!("{}{}", story.id, if story.queued { "  in the queue" } else { "" });
    for entry in &story.entries {
        print_entry(entry);
    }
}

/// An entry of the history on one line: when, what, and its fields in their order.
fn print_entry(entry: &serde_json::Value) {
    let field = |name: &str| entry.get(name).map(text).filter(|text| !text.is_empty());
    let at = entry.get("at").and_then(serde_json::Value::as_u64).map(when).unwrap_or_default();
    let event = field("event").unwrap_or_default();
    let mut line = format!("    {at}  {event}");
    if let Some(fields) = entry.as_object() {
        for (name, value) in fields.iter().filter(|(name, _)| !matches!(name.as_str(), "at" | "event")) {
            let value = match (name.as_str(), value.as_u64()) {
                ("next", Some(millis)) => when(millis),
                ("age", Some(millis)) => how_long(millis / 1000),
                ("size", Some(count)) => bytes(count),
                _ => text(value),
            };
            if !value.is_empty() {
                line.push_str(&format!("  {name}: {value}"));
            }
        }
    }
    say!("{line}");
}

/// A value as text, quoted where it holds anything unusual.
fn text(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) if text.chars().all(|c| c.is_ascii_graphic() || c == ' ') => text.clone(),
        serde_json::Value::String(text) => Quoted::text(text).to_string(),
        serde_json::Value::Array(values) => values.iter().map(self::text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
