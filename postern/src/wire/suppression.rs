//! Suppression in the running server: asked at RCPT, taught by what comes of mail, ordered by people. Promise: what a person is told is done is on
//! disk; only mail of accounts and relay networks teaches and is refused; a store that fails refuses nobody.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use postern_config::Config;
use postern_mail::attempt::{Attempt, Destination};
use postern_mail::envelope::UnixMillis;
use postern_mail::suppression::{Cause, Suppressed, SuppressionChange, SuppressionKey};
use postern_mail::{Envelope, Mailbox, Outcome, Quoted, Scope};
use postern_outcome::bounce::{self, Advice};
use postern_outcome::{Learnt, SuppressionSettings, Suppressions as Book};
use postern_policy::rules::hygiene;
use postern_state::{StateFailure, Store, SuppressionRows};

use crate::control::Answer;
use crate::control::suppression::{ENTRIES_AT_ONCE, Entry, SuppressionOrder, Suppressions};
use crate::wire::{Live, Server, clock, live};

/// What is remembered, in memory and on disk.
pub(crate) struct Keeper {
    book: Mutex<Book>,
    rows: Arc<SuppressionRows>,
    /// Changes are written in the order in which they were made.
    writing: Arc<tokio::sync::Mutex<()>>,
}

impl Keeper {
    /// Reads what was kept. Blocks on the disk.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) fn open(store: &Store) -> Result<Self, StateFailure> {
        let rows = SuppressionRows::of(store);
        let book = Book::restored(rows.load()?);
        Ok(Self { book: Mutex::new(book), rows: Arc::new(rows), writing: Arc::default() })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the book, and then what is on disk.
    async fn change<T>(
        &self,
        asked_for: bool,
        change: impl FnOnce(&mut Book) -> (T, Vec<SuppressionChange>),
    ) -> Result<T, String> {
        let turn = Arc::clone(&self.writing).lock_owned().await;
        let (result, changes) = change(&mut self.book());
        if changes.is_empty() {
            return Ok(result);
        }
        let rows = Arc::clone(&self.rows);
        let kept = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            rows.keep(&changes, asked_for)
        });
        kept.await.map_err(|error| error.to_string())?.map_err(|failure| failure.to_string())?;
        Ok(result)
    }
}

/// How it is done.
pub(crate) fn settings(config: &Config) -> SuppressionSettings {
    let own = &config.outbound.suppression;
    SuppressionSettings {
        after: own.after,
        within: own.within,
        bounced_for: own.bounced_for,
        entries_max: live::number(own.entries_max),
    }
}

/// What the rules on recipients go by.
pub(crate) fn hygiene(config: &Config) -> hygiene::Settings {
    let own = &config.outbound.hygiene;
    hygiene::Settings {
        traps: own.traps.clone(),
        bulk_accounts: config.outbound.bulk_accounts.iter().map(|name| name.as_str().into()).collect(),
        role_names: own.role_names.iter().map(|name| name.to_lowercase().into()).collect(),
    }
}

/// At RCPT, for a recipient that is not ours: what is remembered, where the client may write to others at all.
pub(crate) fn ask(
    server: &Server,
    live: &Live,
    client: std::net::IpAddr,
    to: &Mailbox,
    account: Option<&str>,
) -> Option<Suppressed> {
    let network = if account.is_none() { live.policy.network_account(client) } else { None };
    about(server, to, account.or(network.as_deref())?)
}

/// What is remembered of an address for mail of an account.
pub(crate) fn about(server: &Server, to: &Mailbox, account: &str) -> Option<Suppressed> {
    server.suppression.book().about(clock(), to, Some(account))
}

/// What came of an attempt teaches which addresses are there. Mail of ours for our own mailboxes, and strangers' mail that an alias sent on, does not.
pub(crate) async fn concluded<'a>(
    server: &Server,
    live: &Live,
    attempt: &Attempt,
    envelope: &Envelope,
    outcomes: impl Iterator<Item = (usize, &'a Outcome)>,
) {
    if envelope.account.is_none() || matches!(attempt.destination, Destination::Hosted(_)) {
        return;
    }
    for (index, outcome) in outcomes {
        let Some(to) = envelope.recipients.get(index).map(|recipient| recipient.address()) else { continue };
        match outcome {
            // Looked at before it is somebody's turn to write, since nearly all mail is delivered.
            Outcome::Delivered { .. } if !server.suppression.book().has_bounced(to) => {}
            Outcome::Delivered { .. } => {
                let changed = server.suppression.change(false, |book| ((), book.delivered(to)));
                told(changed.await);
            }
            Outcome::Bounced { scope, .. } => {
                let Some(found) = bounce::of_outcome(outcome) else { continue };
                server.metrics.bounced(found.cause.name());
                // What was said to all of a message was said of its sender, or of us.
                if found.advice() == Advice::Suppress && *scope == Scope::Recipient {
                    let evidence = format!("{}: {} {}", attempt.id, outcome.evidence().by, outcome.evidence().text);
                    bounced(server, live, to, &evidence).await;
                }
            }
            Outcome::Deferred { .. } | Outcome::Expired { .. } => {}
        }
    }
}

/// Its host said for good that it is not there.
pub(crate) async fn bounced(server: &Server, live: &Live, to: &Mailbox, evidence: &str) {
    let settings = settings(&live.config);
    let _ = learn(server, to, None, Cause::Bounced, |book| book.bounced(clock(), &settings, to, evidence)).await;
}

/// Its owner wants no more of an account. True where that is news.
pub(crate) async fn asked_for_no_more(
    server: &Server,
    live: &Live,
    (to, account): (&Mailbox, &str),
    (cause, evidence): (Cause, &str),
) -> bool {
    let settings = settings(&live.config);
    let key = SuppressionKey::new(to, Some(account));
    learn(server, to, Some(account), cause, |book| book.add(clock(), &settings, key, (cause, None), evidence)).await
}

/// True where it is suppressed from now on.
async fn learn(
    server: &Server,
    to: &Mailbox,
    account: Option<&str>,
    cause: Cause,
    change: impl FnOnce(&mut Book) -> Learnt,
) -> bool {
    let changed = server.suppression.change(cause != Cause::Bounced, |book| {
        let Learnt { changes, suppressed, no_room } = change(book);
        ((suppressed, no_room), changes)
    });
    match changed.await {
        Ok((true, _)) => {
            server.metrics.suppressed(cause.as_str());
            let account = account.unwrap_or("everybody");
            tracing::info!(to = %Quoted::text(&to.to_string()), account, cause = cause.as_str(), "an address is suppressed from now on");
            return true;
        }
        Ok((false, true)) => tracing::warn!(
            to = %Quoted::text(&to.to_string()),
            "there is no room to remember that an address is not to be written to: outbound.suppression.entries_max"
        ),
        Ok(_) => {}
        Err(error) => told(Err(error)),
    }
    false
}

fn told(written: Result<(), String>) {
    if let Err(error) = written {
        tracing::error!(error, "what is suppressed could not be written; it holds until a restart");
    }
}

fn wrong_use(error: String) -> Answer {
    Answer::Failed { exit: 2, error }
}

fn mailbox(text: &str) -> Result<Mailbox, Answer> {
    Mailbox::parse(text.trim()).map_err(|fault| wrong_use(format!("{} is no address: {fault}", Quoted::text(text))))
}

fn parsed(entry: &Entry, now: UnixMillis) -> Result<(SuppressionKey, Cause, Option<UnixMillis>), Answer> {
    let to = mailbox(&entry.address)?;
    let cause = Cause::parse(&entry.cause).ok_or_else(|| {
        wrong_use(format!("{} is none of bounced, complained, unsubscribed, by-hand", Quoted::text(&entry.cause)))
    })?;
    let until = entry.until.map(UnixMillis);
    if until.is_some_and(|until| until <= now) {
        return Err(wrong_use(format!("{}: its end is over already", entry.address)));
    }
    if cause == Cause::Bounced && until.is_none() {
        return Err(wrong_use(format!("{}: what bounced has an end; give one, or by-hand as its cause", entry.address)));
    }
    Ok((SuppressionKey::new(&to, entry.account.as_deref()), cause, until))
}

/// Carries out an order.
pub(crate) async fn carry_out(server: &Server, order: SuppressionOrder) -> Answer {
    match order {
        SuppressionOrder::List { account, after, limit } => list(server, account.as_deref(), after, limit).await,
        SuppressionOrder::Check { address, account } => check(server, &address, account.as_deref()).await,
        SuppressionOrder::Add { entries, reason, dry_run } => {
            add(server, &entries, &reason, dry_run).await.unwrap_or_else(|answer| answer)
        }
        SuppressionOrder::Remove { address, account, dry_run, .. } => {
            remove(server, &address, account.as_deref(), dry_run).await.unwrap_or_else(|answer| answer)
        }
    }
}

async fn entries(server: &Server, keys: Vec<SuppressionKey>) -> Result<Vec<Entry>, Answer> {
    let rows = Arc::clone(&server.suppression.rows);
    let read = tokio::task::spawn_blocking(move || {
        keys.iter().filter_map(|key| rows.find(key).transpose()).map(|row| row.map(|row| Entry::from(&row))).collect()
    });
    let read: Result<Vec<Entry>, StateFailure> = read.await.map_err(|error| Answer::failed(error.to_string()))?;
    read.map_err(|failure| Answer::failed(failure.to_string()))
}

async fn list(server: &Server, account: Option<&str>, after: Option<(String, Option<String>)>, limit: usize) -> Answer {
    let limit = limit.clamp(1, ENTRIES_AT_ONCE);
    let after = after.map(|(address, account)| SuppressionKey { address: address.into(), account: account.map(Into::into) });
    let wanted = |key: &&SuppressionKey| account.is_none() || key.account.as_deref() == account;
    let mut keys: Vec<SuppressionKey> =
        server.suppression.book().keys(clock(), after.as_ref()).filter(wanted).take(limit + 1).cloned().collect();
    let more = keys.len() > limit;
    keys.truncate(limit);
    match entries(server, keys).await {
        Ok(entries) => Answer::Suppressions(Suppressions { entries, more, bounces: None }),
        Err(answer) => answer,
    }
}

async fn check(server: &Server, address: &str, account: Option<&str>) -> Answer {
    let to = match mailbox(address) {
        Ok(to) => to,
        Err(answer) => return answer,
    };
    let (keys, times) = {
        let book = server.suppression.book();
        let of_account = account.map(|account| SuppressionKey::new(&to, Some(account)));
        let now = clock();
        let keys: Vec<SuppressionKey> = book
            .of_address(now, &to)
            .filter(|key| account.is_none() || key.account.is_none() || Some(*key) == of_account.as_ref())
            .take(ENTRIES_AT_ONCE)
            .cloned()
            .collect();
        (keys, book.times(now, &to))
    };
    if keys.is_empty() && times == 0 {
        return Answer::nothing(format!("{to} is not suppressed"));
    }
    let bounces = keys.is_empty().then_some(times);
    match entries(server, keys).await {
        Ok(entries) => Answer::Suppressions(Suppressions { entries, more: false, bounces }),
        Err(answer) => answer,
    }
}

async fn add(server: &Server, entries: &[Entry], reason: &str, dry_run: bool) -> Result<Answer, Answer> {
    if entries.len() > ENTRIES_AT_ONCE {
        return Err(wrong_use(format!("more than {ENTRIES_AT_ONCE} at once")));
    }
    let now = clock();
    // All of them are looked at before one is taken.
    let mut wanted = Vec::with_capacity(entries.len());
    for entry in entries {
        let evidence = if entry.evidence.is_empty() { reason } else { &entry.evidence };
        wanted.push((parsed(entry, now)?, evidence));
    }
    if dry_run {
        return Ok(Answer::Done { text: format!("{} addresses would be suppressed", wanted.len()) });
    }
    let settings = settings(&server.live.load().config);
    let added = server.suppression.change(true, |book| {
        let (mut changes, mut done, mut no_room) = (Vec::new(), 0_usize, 0_usize);
        for ((key, cause, until), evidence) in wanted {
            let learnt = book.add(now, &settings, key, (cause, until), evidence);
            (done, no_room) = (done + usize::from(!learnt.no_room), no_room + usize::from(learnt.no_room));
            changes.extend(learnt.changes);
        }
        ((done, no_room), changes)
    });
    match added.await {
        Ok((done, 0)) => Ok(Answer::Done { text: format!("{done} addresses are suppressed") }),
        Ok((done, no_room)) => Err(Answer::failed(format!(
            "{done} addresses are suppressed; for {no_room} there was no room: outbound.suppression.entries_max"
        ))),
        Err(error) => Err(Answer::failed(format!("it holds until a restart, and could not be written: {error}"))),
    }
}

async fn remove(server: &Server, address: &str, account: Option<&str>, dry_run: bool) -> Result<Answer, Answer> {
    let to = mailbox(address)?;
    let key = SuppressionKey::new(&to, account);
    let nothing = || {
        let of = account.map(|account| format!(" for {account}")).unwrap_or_default();
        Answer::nothing(format!("{to} is not suppressed{of}; postern suppression check {to} shows for whom it is"))
    };
    if dry_run {
        let is_there = server.suppression.book().of_address(clock(), &to).any(|there| *there == key);
        return if is_there {
            Ok(Answer::Done { text: format!("{to} would not be suppressed any more") })
        } else {
            Err(nothing())
        };
    }
    let removed = server.suppression.change(true, |book| {
        let change = book.remove(&key);
        (change.is_some(), change.into_iter().collect())
    });
    match removed.await {
        Ok(true) => Ok(Answer::Done { text: format!("{to} is not suppressed any more") }),
        Ok(false) => Err(nothing()),
        Err(error) => Err(Answer::failed(format!("it holds until a restart, and could not be written: {error}"))),
    }
}
