//! The words about scopes on the command line and the control socket: parts as text, and the review of who may send. Works with and
//! without a running server. Promise: a part that does not read changes nothing.

use std::time::Duration;

use postern_mail::client::ListenerKind;
use postern_mail::envelope::UnixMillis;
use postern_mail::netset::Network;
use postern_mail::scope::{AccountScope, Addresses, ENTRIES_MAX, Part, UNLIMITED};
use postern_state::{Account, Accounts, Credential, ScopeRow};
use serde::{Deserialize, Serialize};

/// What the review goes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    pub unused_after: Duration,
    pub unused_notice: Duration,
    pub new_networks_per_day: u32,
    pub messages_per_hour: u32,
    pub recipients_per_day: u32,
}

impl Habits {
    #[must_use]
    pub(crate) fn of(config: &postern_config::Config) -> Self {
        Self {
            unused_after: config.auth.unused_after,
            unused_notice: config.auth.unused_notice,
            new_networks_per_day: config.auth.new_networks_per_day,
            messages_per_hour: config.outbound.messages_per_hour,
            recipients_per_day: config.outbound.recipients_per_day,
        }
    }
}

/// One way to send, and what there is to say of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Review {
    /// Whose.
    pub account: String,
    /// `password`, or what the app password is called; none for a relay network.
    pub credential: Option<String>,
    /// What it may send as.
    pub may_send_as: Vec<String>,
    /// What the account may do.
    pub scope: ScopeRow,
    /// What this credential may do within that.
    pub credential_scope: ScopeRow,
    /// Milliseconds since 1970.
    pub created: u64,
    /// Milliseconds since 1970, to the hour.
    pub last_used: Option<u64>,
    /// Where it was used from.
    pub networks: Vec<String>,
    /// What to look at.
    pub remarks: Vec<String>,
    /// What to say to take it away, where that is advised.
    pub revoke: Option<String>,
}

fn list<T>(text: &str, what: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<Vec<T>>, String> {
    let entries: Vec<&str> = text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).collect();
    if entries.is_empty() || entries.len() > ENTRIES_MAX {
        return Err(format!("1 to {ENTRIES_MAX} of {what} are needed; \"any\" lifts the restriction"));
    }
    let read = |entry: &str| parse(entry).map_err(|why| format!("{entry:?} is not one of {what}: {why}"));
    entries.into_iter().map(read).collect::<Result<_, _>>().map(Some)
}

fn count(text: &str) -> Result<Option<u32>, String> {
    if text == "unlimited" {
        return Ok(Some(UNLIMITED));
    }
    text.parse().map(Some).map_err(|_| format!("{text:?} is no count; a number, \"unlimited\", or \"any\" for the default"))
}

/// A point in time, or how long from now.
fn time(now: UnixMillis, text: &str) -> Result<Option<UnixMillis>, String> {
    if let Ok(after) = postern_config::parse_duration(text) {
        return Ok(Some(now.plus(after)));
    }
    let at = text.parse::<jiff::Timestamp>().ok().and_then(|at| u64::try_from(at.as_millisecond()).ok());
    at.map(|at| Some(UnixMillis(at))).ok_or_else(|| format!("{text:?} is no time, such as 2027-01-31T00:00:00Z or 90d from now"))
}

/// Sets one part from text; `any` takes its restriction away.
pub(crate) fn set(scope: &mut AccountScope, now: UnixMillis, part: Part, text: &str) -> Result<(), String> {
    let any = text == "any";
    fn unless<T>(any: bool, value: impl FnOnce() -> Result<Option<T>, String>) -> Result<Option<T>, String> {
        if any { Ok(None) } else { value() }
    }
    let address = |text: &str| Addresses::parse(text).ok_or_else(|| "it is neither an address nor a domain".to_owned());
    let addresses = || list(text, "addresses (name@example.org), domains (example.org) and those below (*.example.org)", address);
    match part {
        Part::Listeners => scope.listeners = unless(any, || list(text, "mx, submission, submissions", ListenerKind::parse))?,
        Part::Networks => scope.networks = unless(any, || list(text, "networks like 192.0.2.0/24", Network::parse))?,
        Part::Senders => scope.senders = unless(any, addresses)?,
        Part::Recipients => scope.recipients = unless(any, addresses)?,
        Part::MessagesPerHour => scope.quota.messages_per_hour = unless(any, || count(text))?,
        Part::MessagesPerDay => scope.quota.messages_per_day = unless(any, || count(text))?,
        Part::RecipientsPerHour => scope.quota.recipients_per_hour = unless(any, || count(text))?,
        Part::RecipientsPerDay => scope.quota.recipients_per_day = unless(any, || count(text))?,
        Part::MessageSize => {
            scope.message_bytes_max = unless(any, || postern_config::Size::parse(text).map(|size| Some(size.0)))?;
        }
        Part::ValidFrom => scope.valid_from = unless(any, || time(now, text))?,
        Part::ValidUntil => scope.valid_until = unless(any, || time(now, text))?,
    }
    Ok(())
}

/// Changes a scope as told: all of it or nothing.
pub(crate) fn change(scope: &mut AccountScope, now: UnixMillis, clear: bool, parts: &[(String, String)]) -> Result<(), String> {
    let mut changed = if clear { AccountScope::default() } else { scope.clone() };
    for (name, text) in parts {
        let part = Part::ALL.into_iter().find(|part| part.as_str() == name);
        let part = part.ok_or_else(|| format!("{name:?} is no part of a scope"))?;
        set(&mut changed, now, part, text).map_err(|why| format!("--{part}: {why}"))?;
    }
    *scope = changed;
    Ok(())
}

/// A scope in words, `networks 192.0.2.0/24; messages-per-hour 5`; empty where it restricts nothing.
#[must_use]
pub(crate) fn words(row: &ScopeRow, when: impl Fn(u64) -> String) -> String {
    let list = |entries: &Option<Vec<String>>| entries.as_ref().map(|entries| entries.join(","));
    let count =
        |limit: Option<u32>| limit.map(|limit| if limit == UNLIMITED { "unlimited".to_owned() } else { limit.to_string() });
    let parts = [
        (Part::Listeners, list(&row.listeners)),
        (Part::Networks, list(&row.networks)),
        (Part::Senders, list(&row.senders)),
        (Part::Recipients, list(&row.recipients)),
        (Part::MessagesPerHour, count(row.messages_per_hour)),
        (Part::MessagesPerDay, count(row.messages_per_day)),
        (Part::RecipientsPerHour, count(row.recipients_per_hour)),
        (Part::RecipientsPerDay, count(row.recipients_per_day)),
        (Part::MessageSize, row.message_size.map(|octets| octets.to_string())),
        (Part::ValidFrom, row.valid_from.map(&when)),
        (Part::ValidUntil, row.valid_until.map(&when)),
    ];
    let set: Vec<String> = parts.into_iter().filter_map(|(part, text)| text.map(|text| format!("{part} {text}"))).collect();
    set.join("; ")
}

/// Who can send as whom, and what to look at.
#[must_use]
pub(crate) fn review(accounts: &Accounts, now: UnixMillis, habits: &Habits) -> Vec<Review> {
    let one = |account: &Account| -> Vec<Review> {
        if account.credentials.is_empty() {
            return vec![row(account, None, now, habits)];
        }
        account.credentials.iter().map(|credential| row(account, Some(credential), now, habits)).collect()
    };
    accounts.list().iter().flat_map(|account| one(account)).collect()
}

fn row(account: &Account, credential: Option<&Credential>, now: UnixMillis, habits: &Habits) -> Review {
    let mut remarks = Vec::new();
    let mut revoke = false;
    if account.disabled {
        remarks.push("the account is disabled".to_owned());
    }
    if account.scope.is_empty() && credential.is_none_or(|credential| credential.standing.scope.is_empty()) {
        remarks.push(format!(
            "no scope: may be used from everywhere and send to anyone, {} messages an hour and {} recipients a day",
            habits.messages_per_hour, habits.recipients_per_day
        ));
    }
    if account.scope.valid_until.is_some_and(|until| until <= now) {
        remarks.push("the scope of the account has ended".to_owned());
    }
    if let Some(credential) = credential {
        let (standing, idle) = (&credential.standing, now.since(credential.last_needed()));
        let days = idle.as_secs() / 86_400;
        if standing.disabled.is_some() {
            remarks.push(format!("disabled, since nobody used it for {days} days"));
            revoke = true;
        } else if !habits.unused_after.is_zero() && idle >= habits.unused_after.saturating_sub(habits.unused_notice) {
            remarks.push(format!("unused for {days} days: will be disabled"));
            revoke = true;
        } else if credential.last_used.is_none() {
            remarks.push("never used".to_owned());
        }
        if credential.is_expired(now) || standing.scope.valid_until.is_some_and(|until| until <= now) {
            remarks.push("has ended".to_owned());
            revoke = true;
        }
        if standing.is_unusual(now, habits.new_networks_per_day) {
            remarks.push("used from more new networks within a day than usual".to_owned());
            revoke = true;
        }
    }
    let revoke = credential.filter(|_| revoke).map(|credential| match &*credential.name {
        postern_state::account::PASSWORD => format!("postern account disable {}", account.name),
        label => format!("postern account app-password {} {label:?} --remove", account.name),
    });
    Review {
        account: account.name.to_string(),
        credential: credential.map(|credential| credential.name.to_string()),
        may_send_as: account.addresses.iter().map(ToString::to_string).collect(),
        scope: ScopeRow::of(&account.scope),
        credential_scope: credential.map(|credential| ScopeRow::of(&credential.standing.scope)).unwrap_or_default(),
        created: credential.map_or(account.created, |credential| credential.created).0,
        last_used: credential.and_then(|credential| credential.last_used).map(|at| at.0),
        networks: credential
            .map(|credential| credential.standing.places.iter().map(|seen| seen.place.clone()).collect())
            .unwrap_or_default(),
        remarks,
        revoke,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn changed(parts: &[(&str, &str)]) -> Result<AccountScope, String> {
        let mut scope = AccountScope::default();
        let parts: Vec<_> = parts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        change(&mut scope, NOW, false, &parts).map(|()| scope)
    }

    #[test]
    fn every_part_can_be_set_shown_and_lifted() {
        let texts = [
            "submission",
            "192.0.2.0/24",
            "a@b.example,*.c.example",
            "d.example",
            "1",
            "2",
            "3",
            "unlimited",
            "64KiB",
            "1h",
            "90d",
        ];
        for (part, text) in Part::ALL.into_iter().zip(texts) {
            let mut scope = changed(&[(part.as_str(), text)]).unwrap();
            assert!(words(&ScopeRow::of(&scope), |at| at.to_string()).starts_with(part.as_str()), "{part}");
            set(&mut scope, NOW, part, "any").unwrap();
            assert!(scope.is_empty(), "{part}");
        }
        assert_eq!(changed(&[("valid-until", "2027-01-31T00:00:00Z")]).unwrap().valid_until, Some(UnixMillis(1_801_353_600_000)));
    }

    #[test]
    fn what_does_not_read_changes_nothing() {
        let mut scope = changed(&[("recipients", "a.example")]).unwrap();
        let before = scope.clone();
        for (part, text) in
            [("networks", "10.0.0.0/33"), ("listeners", "imap"), ("recipients", ""), ("valid-until", "soon"), ("colour", "red")]
        {
            let parts = [("messages-per-hour".to_owned(), "1".to_owned()), (part.to_owned(), text.to_owned())];
            assert!(change(&mut scope, NOW, false, &parts).is_err(), "{part}");
            assert_eq!(scope, before);
        }
    }
}
