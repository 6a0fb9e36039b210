//! The words about scopes on the command line and the control socket: parts as text, and the review of who may send. Works with and
//! without a running server. Promise: a part that does not read changes nothing.

use std::sync::Arc;
use std::time::Duration;

use postern_mail::client::ListenerKind;
use postern_mail::envelope::UnixMillis;
use postern_mail::message::date::MailDate;
use postern_mail::netset::Network;
use postern_mail::scope::{AccountScope, Addresses, ENTRIES_MAX, Part, UNLIMITED};
use postern_state::account::{PASSWORD, print_fingerprint};
use postern_state::accounts::{NETWORK, network_name};
use postern_state::{Account, Accounts, Owned, Quotas, ScopeRow, Way};
use serde::{Deserialize, Serialize};

/// What the review goes by.
#[derive(Clone, Debug)]
pub(crate) struct Habits {
    pub unused_after: Duration,
    pub unused_notice: Duration,
    pub new_networks_per_day: u32,
    pub messages_per_hour: u32,
    pub recipients_per_day: u32,
    /// The names of the accounts of the relay networks.
    pub networks: Vec<String>,
    /// Ways to log in that leave no credential here, a sentence each.
    pub beside: Vec<String>,
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
            beside: beside(config),
            networks: config.server.relay_networks.iter().map(|network| format!("{NETWORK}{}", network.trunc())).collect(),
        }
    }

    /// A relay network has an account without anybody making one, so a name that is nobody's would be taken, and nothing would come of it.
    ///
    /// # Errors
    /// In words.
    pub(crate) fn is_somebody(&self, accounts: &Accounts, name: &str) -> Result<(), String> {
        let Some(network) = name.strip_prefix(NETWORK) else { return Ok(()) };
        let network = Network::parse(network).map_err(|why| format!("{name:?} names no network: {why}"))?;
        let canonical = network_name(network.address(), network.length());
        if self.networks.contains(&canonical) || accounts.find(&canonical).is_some() {
            return Ok(());
        }
        Err(match self.networks.as_slice() {
            [] => format!("{canonical} is no relay network: server.relay_networks names none"),
            some => format!("{canonical} is no relay network; there are {}", some.join(", ")),
        })
    }
}

/// What no row of a review can tell of.
fn beside(config: &postern_config::Config) -> Vec<String> {
    let issuers = config.auth.oidc.iter().map(|oidc| {
        format!(
            "by tokens of {}, the accounts of its domains log in without a credential kept here: when, postern trace and the log tell, and the issuer takes it away",
            oidc.issuer.as_str()
        )
    });
    let by_address = config.tls.client_ca.is_some() && config.tls.client_identity == postern_config::ClientIdentity::Address;
    let by_address = by_address.then(|| {
        "by a certificate of [tls] client_ca that names its address, an account logs in without one noted here: [tls] client_crl takes it away".to_owned()
    });
    issuers.chain(by_address).collect()
}

/// One way to send, and what there is to say of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Review {
    /// Whose.
    pub account: String,
    /// `password`, what the app password is called, or `certificate FINGERPRINT`; none for a relay network.
    pub credential: Option<String>,
    /// What it may send as, by what the account owns and both scopes allow; `anyone` for a relay network without such a scope.
    pub may_send_as: Vec<String>,
    /// What the account has sent, where a server runs.
    #[serde(default)]
    pub used: Option<Used>,
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

/// What counts now against the quotas of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Used {
    /// In the last hour.
    pub messages_per_hour: u32,
    /// In the last day.
    pub messages_per_day: u32,
    /// In the last hour.
    pub recipients_per_hour: u32,
    /// In the last day.
    pub recipients_per_day: u32,
}

impl Used {
    /// Of an account.
    #[must_use]
    pub(crate) fn of(quotas: &Quotas, now: UnixMillis, account: &str) -> Self {
        let [messages_per_hour, messages_per_day, recipients_per_hour, recipients_per_day] = quotas.used(now, account);
        Self { messages_per_hour, messages_per_day, recipients_per_hour, recipients_per_day }
    }
}

/// Who can send as whom, and what to look at.
#[must_use]
pub(crate) fn review(accounts: &Accounts, now: UnixMillis, habits: &Habits) -> Vec<Review> {
    let all = accounts.list();
    let one = |account: &Arc<Account>| -> Vec<Review> {
        let rows: Vec<Review> = account.ways().map(|way| row(account, Some(way), now, habits)).collect();
        if rows.is_empty() { vec![row(account, None, now, habits)] } else { rows }
    };
    let mut reviews: Vec<Review> = all.iter().flat_map(one).collect();
    // Whoever is in a relay network may send without an account in the store.
    let unnamed = habits.networks.iter().filter(|name| !all.iter().any(|account| *account.name == ***name));
    reviews.extend(unnamed.map(|name| Review {
        account: name.clone(),
        credential: None,
        may_send_as: vec![ANYONE.to_owned()],
        used: None,
        scope: ScopeRow::default(),
        credential_scope: ScopeRow::default(),
        created: 0,
        last_used: None,
        networks: Vec::new(),
        remarks: vec![no_scope(habits)],
        revoke: None,
    }));
    reviews
}

/// May send as this: a relay network that no scope restricts.
const ANYONE: &str = "anyone";
/// How long it is told that a password was right out of its scope.
const STRAYED_FOR: Duration = Duration::from_secs(30 * 86_400);

fn no_scope(habits: &Habits) -> String {
    format!(
        "no scope: may be used from everywhere and send to anyone, {} messages an hour and {} recipients a day",
        habits.messages_per_hour, habits.recipients_per_day
    )
}

/// What is left of something an account owns within a scope.
fn within(owned: Vec<Owned>, scope: &AccountScope) -> Vec<Owned> {
    let Some(senders) = &scope.senders else { return owned };
    let narrow = |owned: Owned| match owned {
        Owned::Address(address) => Vec::from_iter(scope.author(&address).is_ok().then_some(Owned::Address(address))),
        Owned::Domain(domain) => {
            let holds = |entry: &Addresses| match entry {
                Addresses::Domain(other) => *other == domain,
                Addresses::Below(other) => *other != domain && domain.is_within(other),
                Addresses::Exact(_) => false,
            };
            if senders.iter().any(holds) {
                return vec![Owned::Domain(domain)];
            }
            let exact = |entry: &Addresses| match entry {
                Addresses::Exact(own) if own.domain() == Some(&domain) => Some(Owned::Address(own.clone())),
                _ => None,
            };
            senders.iter().filter_map(exact).collect()
        }
    };
    owned.into_iter().flat_map(narrow).collect()
}

fn may_send_as(account: &Account, way: Option<Way<'_>>) -> Vec<String> {
    if account.name.starts_with(NETWORK) {
        let senders = account.scope.senders.as_ref();
        return senders.map_or(vec![ANYONE.to_owned()], |senders| senders.iter().map(ToString::to_string).collect());
    }
    let mut owned = within(account.addresses.clone(), &account.scope);
    if let Some(way) = way {
        owned = within(owned, &way.standing.scope);
    }
    owned.iter().map(ToString::to_string).collect()
}

/// What there is to say of a credential, and whether it had better be taken away.
fn look_at(account: &Account, way: Way<'_>, now: UnixMillis, habits: &Habits) -> (Vec<String>, bool) {
    let (standing, idle) = (way.standing, now.since(way.last_needed()));
    let (mut remarks, mut doubtful) = (Vec::new(), false);
    let days = idle.as_secs() / 86_400;
    if standing.disabled.is_some() {
        remarks.push(format!("disabled, since nobody used it for {days} days"));
        doubtful = true;
    } else if !account.disabled && way.is_idle(now, habits.unused_after, habits.unused_notice) {
        remarks.push(format!("unused for {days} days: will be disabled"));
        doubtful = true;
    } else if way.last_used.is_none() {
        remarks.push("never used".to_owned());
    }
    if way.is_expired(now) || standing.scope.valid_until.is_some_and(|until| until <= now) {
        remarks.push("has ended".to_owned());
        doubtful = true;
    }
    if standing.is_unusual(now, habits.new_networks_per_day) {
        remarks.push("used from more new networks within a day than usual".to_owned());
        doubtful = true;
    }
    if let Some(strayed) = standing.strayed.as_ref().filter(|strayed| now.since(UnixMillis(strayed.last)) < STRAYED_FOR) {
        remarks.push(format!(
            "right, but refused by its scope, from {} about {}",
            strayed.place,
            MailDate(UnixMillis(strayed.last))
        ));
        doubtful = true;
    }
    (remarks, doubtful)
}

/// What takes a credential away, to be copied into a shell. The account's own password is replaced, and only where nothing of the account is
/// beyond doubt, all of it is shut.
fn revocation(account: &Account, credential: &str, now: UnixMillis, habits: &Habits) -> String {
    let name = shell(&account.name);
    // A name that begins with a dash would be taken for an option.
    let dashes = if account.name.starts_with('-') || credential.starts_with('-') { "-- " } else { "" };
    if let Some(certificate) = account.certificates.iter().find(|certificate| *certificate.name() == *credential) {
        return format!("postern account certificate {dashes}{name} remove {}", print_fingerprint(&certificate.fingerprint));
    }
    if credential != PASSWORD {
        return format!("postern account app-password --remove {dashes}{name} {}", shell(credential));
    }
    let all = account.ways().all(|(_, way)| look_at(account, way, now, habits).1);
    format!("postern account {} {dashes}{name}", if all { "disable" } else { "password" })
}

/// A word as a shell takes it for itself, whatever is in it.
fn shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@._+-".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

fn row(account: &Account, credential: Option<(Arc<str>, Way<'_>)>, now: UnixMillis, habits: &Habits) -> Review {
    let way = credential.as_ref().map(|(_, way)| *way);
    let mut remarks = Vec::new();
    if account.disabled {
        remarks.push("the account is disabled".to_owned());
    }
    if account.name.starts_with(NETWORK) && !habits.networks.iter().any(|name| **name == *account.name) {
        remarks.push("not in server.relay_networks: nobody can use it".to_owned());
    }
    if account.scope.is_empty() && way.is_none_or(|way| way.standing.scope.is_empty()) {
        remarks.push(no_scope(habits));
    }
    if account.scope.valid_until.is_some_and(|until| until <= now) {
        remarks.push("the scope of the account has ended".to_owned());
    }
    let revoke = credential.as_ref().and_then(|(name, way)| {
        let (more, doubtful) = look_at(account, *way, now, habits);
        remarks.extend(more);
        doubtful.then(|| revocation(account, name, now, habits))
    });
    Review {
        account: account.name.to_string(),
        credential: credential.as_ref().map(|(name, _)| name.to_string()),
        may_send_as: may_send_as(account, way),
        used: None,
        scope: ScopeRow::of(&account.scope),
        credential_scope: way.map(|way| ScopeRow::of(&way.standing.scope)).unwrap_or_default(),
        created: way.map_or(account.created, |way| way.created).0,
        last_used: way.and_then(|way| way.last_used).map(|at| at.0),
        networks: way.map(|way| way.standing.places.iter().map(|seen| seen.place.clone()).collect()).unwrap_or_default(),
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

    const HABITS: Habits = Habits {
        unused_after: Duration::from_secs(90 * 86_400),
        unused_notice: Duration::from_secs(14 * 86_400),
        new_networks_per_day: 3,
        messages_per_hour: 200,
        recipients_per_day: 2_000,
        networks: Vec::new(),
        beside: Vec::new(),
    };

    fn accounts() -> (tempfile::TempDir, Accounts) {
        let folder = tempfile::tempdir().unwrap();
        let store = postern_state::Store::open(folder.path()).unwrap();
        let hashing = postern_state::password::Argon2id::default();
        let accounts = Accounts::open(&store, Arc::new(hashing)).unwrap();
        let password = Some(postern_mail::Secret::new(b"a plain sentence".to_vec()));
        let addresses = ["alice@example.org", "other@example.org", "own.example"].map(|text| Owned::parse(text).unwrap());
        let new = postern_state::NewAccount { name: "alice@example.org", password, addresses: Some(addresses.to_vec()) };
        accounts.add(NOW, new).unwrap();
        (folder, accounts)
    }

    fn senders(text: &str) -> impl FnOnce(&mut AccountScope) -> Result<(), String> {
        move |scope| set(scope, NOW, Part::Senders, text)
    }

    #[test]
    fn a_review_tells_as_whom_a_credential_may_send_within_both_scopes() {
        let (_folder, accounts) = accounts();
        accounts.add_app_password(NOW, "alice@example.org", "scanner", None).unwrap();
        let told = |at: usize| review(&accounts, NOW, &HABITS)[at].may_send_as.clone();
        assert_eq!(told(0), ["alice@example.org", "other@example.org", "own.example"]);
        accounts.set_scope("alice@example.org", None, senders("alice@example.org,own.example,elsewhere.example")).unwrap();
        accounts.set_scope("alice@example.org", Some("scanner"), senders("scan@own.example,other@example.org")).unwrap();
        assert_eq!(told(0), ["alice@example.org", "own.example"]);
        assert_eq!(told(1), ["scan@own.example"]);
    }

    #[test]
    fn a_review_announces_only_what_will_be_done() {
        let (_folder, accounts) = accounts();
        let name = "alice@example.org";
        accounts.add_app_password(NOW, name, "ended", Some(NOW.plus(Duration::from_secs(1)))).unwrap();
        let later = NOW.plus(HABITS.unused_after);
        let announced = |habits: &Habits| {
            let all = review(&accounts, later, habits);
            let is_announced = |review: &Review| review.remarks.iter().any(|remark| remark.contains("will be disabled"));
            all.iter().filter(|review| is_announced(review)).filter_map(|review| review.credential.clone()).collect::<Vec<_>>()
        };
        assert_eq!(announced(&HABITS), [PASSWORD], "what has ended is left alone");
        assert!(announced(&Habits { unused_after: Duration::ZERO, ..HABITS }).is_empty());
        accounts.disable(name).unwrap();
        assert!(announced(&HABITS).is_empty(), "nothing of a disabled account is");
        let done = accounts.disable_unused(later, HABITS.unused_after, HABITS.unused_notice).unwrap();
        assert!(done.is_empty());
        accounts.enable(NOW, name).unwrap();
        let done = accounts.disable_unused(later, HABITS.unused_after, HABITS.unused_notice).unwrap();
        assert_eq!(done.iter().map(|unused| &*unused.credential).collect::<Vec<_>>(), [PASSWORD]);
    }

    #[test]
    fn a_review_names_every_relay_network_and_a_name_that_is_none_is_refused() {
        let (_folder, accounts) = accounts();
        let habits = Habits { networks: vec!["network:10.0.0.0/8".to_owned(), "network:192.0.2.9/32".to_owned()], ..HABITS };
        let told = |name: &str| {
            let all = review(&accounts, NOW, &habits);
            all.iter().find(|review| review.account == name).map(|review| review.may_send_as.clone())
        };
        assert_eq!(told("network:10.0.0.0/8").unwrap(), ["anyone"]);
        accounts.set_scope("network:10.0.0.0/8", None, |_| Ok(())).unwrap();
        assert_eq!(told("network:10.0.0.0/8").unwrap(), ["anyone"], "a row without a scope restricts nothing");
        accounts.set_scope("network:10.0.0.0/8", None, senders("own.example")).unwrap();
        assert_eq!(told("network:10.0.0.0/8").unwrap(), ["own.example"]);
        for somebody in ["alice@example.org", "network:10.0.0.0/8", "network:192.0.2.9"] {
            assert_eq!(habits.is_somebody(&accounts, somebody), Ok(()), "{somebody}");
        }
        for nobody in ["network:10.1.2.0/24", "network:10.0.0.1/8", "network:", "network:DE"] {
            assert!(habits.is_somebody(&accounts, nobody).is_err(), "{nobody}");
        }
        let elsewhere = Habits { networks: Vec::new(), ..HABITS };
        assert_eq!(elsewhere.is_somebody(&accounts, "network:10.0.0.0/8"), Ok(()), "its row can still be changed");
    }

    #[test]
    fn a_review_tells_of_a_certificate_what_it_tells_of_a_password() {
        let (_folder, accounts) = accounts();
        accounts.add_certificate(NOW, "alice@example.org", [7; 32]).unwrap();
        let later = NOW.plus(Duration::from_secs(80 * 86_400));
        accounts.note_used(later, "alice@example.org", PASSWORD);
        let told = &review(&accounts, later, &HABITS)[1];
        let fingerprint = "07".repeat(32);
        assert_eq!(told.credential, Some(format!("certificate {fingerprint}")));
        assert_eq!((told.created, told.last_used, told.may_send_as.len()), (NOW.0, None, 3));
        assert_eq!(told.remarks.last().unwrap(), "unused for 80 days: will be disabled");
        assert_eq!(told.revoke, Some(format!("postern account certificate alice@example.org remove {fingerprint}")));
    }

    #[test]
    fn what_is_advised_can_be_pasted_into_a_shell() {
        for (word, pasted) in [("phone", "phone"), ("it's $(rm) `x`", r"'it'\''s $(rm) `x`'"), ("", "''"), ("a\\\"b", "'a\\\"b'")]
        {
            assert_eq!(shell(word), pasted);
        }
        let (_folder, accounts) = accounts();
        accounts.add_app_password(NOW, "alice@example.org", "-o $HOME", None).unwrap();
        assert!(accounts.note_strayed(NOW, "alice@example.org", PASSWORD, "198.51.100.0/24"));
        let told = |at: usize| review(&accounts, NOW, &HABITS)[at].revoke.clone().unwrap_or_default();
        assert_eq!(told(0), "postern account password alice@example.org");
        assert!(accounts.note_strayed(NOW, "alice@example.org", "-o $HOME", "198.51.100.0/24"));
        assert_eq!(told(0), "postern account disable alice@example.org", "nothing of it is beyond doubt");
        assert_eq!(told(1), "postern account app-password --remove -- alice@example.org '-o $HOME'");
    }
}
