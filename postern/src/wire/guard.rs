//! The guard of accounts, joined: asked at the end of each message of an account, told what became of it, and its steps carried out. What it knows is
//! written to the store every few seconds, and at once when an account is put on a stricter step.
//!
//! Promise: a message that is held for it was acknowledged and is in the spool; a suspension comes behind the message that brought it about, so that nobody
//! is told that it failed; and a store that fails holds up nobody.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postern_config::Config;
use postern_mail::client::Subnet;
use postern_mail::envelope::UnixMillis;
use postern_mail::event::Event;
use postern_mail::guard::{GuardSaid, GuardStep};
use postern_mail::{DnsTarget, Envelope, Mailbox, Mode, Modes, Outcome, Quoted, Scope};
use postern_outcome::guard::{RecipientKey, Ruling, Sending, Standing, To};
use postern_outcome::{Cause, Guard, GuardOfAccountsSettings, News, Refusal, bounce};
use postern_policy::facts::Found;
use postern_policy::rules::guard::GUARD;
use postern_spool::Stored;
use postern_state::{ReputationRows, StateFailure, Store};

use crate::wire::{Live, Server, clock, control, live};

/// What of an account's mail waits for its turn, and came so long before it is held, is held as well.
const HELD_BACK: Duration = Duration::from_secs(3600);

struct Inner {
    head: Guard,
    /// Whose rows are older than what is known.
    dirty: HashSet<Arc<str>>,
}

/// What is known of accounts, in memory and on disk.
pub(crate) struct Keeper {
    inner: Mutex<Inner>,
    rows: Arc<ReputationRows>,
    began: UnixMillis,
    /// One write at a time, so that none is written over by an older one.
    writing: tokio::sync::Mutex<()>,
}

/// What is to be done with a message beside what its verdict says. What it means for the account is carried out when this is let go: behind the commit
/// of the message, so that nobody is told that it failed, or when it is not taken after all.
#[derive(Default)]
pub(crate) struct Ruled {
    /// Not to leave before this.
    pub not_before: Option<UnixMillis>,
    /// Held for what its end does.
    _risen: Option<Risen>,
}

/// An account stands on a stricter step.
struct Risen {
    server: Arc<Server>,
    account: Arc<str>,
    step: GuardStep,
    because: String,
}

impl Drop for Risen {
    fn drop(&mut self) {
        carry_out(&self.server, Arc::clone(&self.account), self.step, std::mem::take(&mut self.because));
    }
}

fn settings(config: &Config, modes: &Modes) -> GuardOfAccountsSettings {
    let own = &config.outbound.guard;
    GuardOfAccountsSettings {
        limits: own.limits(),
        strangers_per_day: config.outbound.new_recipients_per_day,
        pace: own.pace,
        memory: live::size(own.memory),
        has_effect: modes.of(GUARD) == Mode::Enforce,
    }
}

/// The modes of all rules. That of the guard is told where the guard is; one of `policy.rules` goes before it, and it is never stricter than `policy.mode`.
#[must_use]
pub(crate) fn modes(config: &Config) -> Modes {
    let policy = &config.policy;
    let mut rules: Vec<_> = policy.rules.0.iter().map(|(name, mode)| (*name, *mode)).collect();
    if !policy.rules.0.contains_key(GUARD) {
        let weaker = match (policy.mode, config.outbound.guard.mode) {
            (Mode::Off, _) | (_, Mode::Off) => Mode::Off,
            (Mode::Observe, _) | (_, Mode::Observe) => Mode::Observe,
            (Mode::Enforce, Mode::Enforce) => Mode::Enforce,
        };
        rules.push((GUARD, weaker));
    }
    Modes::new(policy.mode, rules)
}

/// Where the past of an account was.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Here,
    Disk,
    Nowhere,
}

impl Keeper {
    /// Reads the little that is needed at a start; the pasts of accounts are read when they send. Blocks on the disk.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) fn open(store: &Store) -> Result<Self, StateFailure> {
        let rows = ReputationRows::of(store);
        let (seed, began) = rows.began(clock())?;
        let head = Guard::new(GuardOfAccountsSettings::default(), seed);
        Ok(Self {
            inner: Mutex::new(Inner { head, dirty: HashSet::new() }),
            rows: Arc::new(rows),
            began,
            writing: tokio::sync::Mutex::default(),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known, with the past of an account in it, where there is one here or on disk. The caller does what he wants to do before he lets go: once
    /// he has, there may be no room for it any more. `None`: it cannot be read, and what is on disk must not be written over.
    async fn with(&self, account: &Arc<str>, live: &Live) -> Option<(MutexGuard<'_, Inner>, Origin)> {
        let row = if self.inner().head.knows(account) { None } else { self.read(account).await? };
        let now = clock();
        let learns_until = self.began.plus(live.config.outbound.guard.learn);
        let mut inner = self.inner();
        if inner.head.knows(account) {
            return Some((inner, Origin::Here));
        }
        if row.is_some_and(|row| inner.head.restore(Arc::clone(account), &row)) {
            return Some((inner, Origin::Disk));
        }
        if now < learns_until {
            inner.head.trust(now, account, learns_until);
        }
        Some((inner, Origin::Nowhere))
    }

    /// The row of an account, if there is one.
    async fn read(&self, account: &Arc<str>) -> Option<Option<Vec<u8>>> {
        let (rows, name) = (Arc::clone(&self.rows), Arc::clone(account));
        match tokio::task::spawn_blocking(move || rows.read(&name)).await {
            Ok(Ok(row)) => Some(row),
            Ok(Err(failure)) => {
                tracing::error!(%failure, %account, "what is known of an account cannot be read; it is not guarded meanwhile");
                None
            }
            Err(_) => None,
        }
    }

    /// Writes what has changed.
    pub(crate) async fn keep(&self) {
        let _turn = self.writing.lock().await;
        let changed: Vec<(Arc<str>, Vec<u8>)> = {
            let mut inner = self.inner();
            let dirty = std::mem::take(&mut inner.dirty);
            dirty.into_iter().filter_map(|account| inner.head.row(&account).map(|row| (account, row))).collect()
        };
        if changed.is_empty() {
            return;
        }
        let names: Vec<Arc<str>> = changed.iter().map(|(account, _)| Arc::clone(account)).collect();
        let rows = Arc::clone(&self.rows);
        if let Ok(Err(failure)) = tokio::task::spawn_blocking(move || rows.keep(changed)).await {
            tracing::error!(%failure, "what is known of accounts could not be written; it is tried again");
            self.inner().dirty.extend(names);
        }
    }
}

/// At the end of a message: what the guard says of it is put with what was found, and what it wants beside that is given back.
pub(crate) async fn ask(server: &Arc<Server>, live: &Live, envelope: &Envelope, found: &mut Found) -> Ruled {
    let Some(account) = &envelope.account else { return Ruled::default() };
    let mode = live.policy.modes.of(GUARD);
    if mode == Mode::Off {
        return Ruled::default();
    }
    let from = envelope.client.map(Subnet::network);
    let country = envelope.client.and_then(|client| server.lists.country(client)).map(|country| country.letters());
    let is_listed = found.dns.listed.iter().any(|listed| matches!(listed.target, DnsTarget::Link));
    let Some((mut inner, origin)) = server.guard.with(account, live).await else { return Ruled::default() };
    let to: Vec<To> =
        envelope.recipients.iter().map(|to| To { key: inner.head.recipient(to.address()), is_ours: to.is_hosted() }).collect();
    inner.head.adjust(settings(&live.config, &live.policy.modes));
    inner.dirty.insert(Arc::clone(account));
    let ruling = inner.head.judge(clock(), account, Sending { to: &to, from, country, is_listed });
    drop(inner);
    // One that a restart found suspended may not have been disabled before it.
    let is_left = origin == Origin::Disk && ruling.before == GuardStep::Suspend;
    let has_effect = mode == Mode::Enforce;
    let risen = (has_effect && (ruling.step > ruling.before || is_left)).then(|| {
        let because = ruling.said.because.clone();
        tell(server, account, ruling.step, because.clone());
        Risen { server: Arc::clone(server), account: Arc::clone(account), step: ruling.step, because }
    });
    found.guard = Some(Box::new(ruling.said));
    Ruled { not_before: ruling.not_before.filter(|_| has_effect), _risen: risen }
}

fn tell(server: &Server, account: &Arc<str>, step: GuardStep, because: String) {
    let what = match step {
        GuardStep::None => "guard-cleared",
        GuardStep::Slow => "guard-slow",
        GuardStep::Hold => "guard-hold",
        GuardStep::Suspend => "guard-suspend",
    };
    server.metrics.guarded(what);
    let event = Event::Credential { account: Arc::clone(account), credential: "account".into(), what, because };
    if step >= GuardStep::Hold {
        tracing::warn!(%account, step = %step, "an account sends unlike itself; postern reputation show says why, and clear takes it back");
    }
    server.emit(event);
}

/// What follows from a step. Where there is no runtime any more, the server is stopping: an account that is found suspended is disabled after the next start.
fn carry_out(server: &Arc<Server>, account: Arc<str>, step: GuardStep, because: String) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    if step < GuardStep::Hold {
        return;
    }
    let server = Arc::clone(server);
    runtime.spawn(async move {
        server.guard.keep().await;
        if step == GuardStep::Suspend {
            let (accounts, name) = (Arc::clone(&server.accounts), Arc::clone(&account));
            let disabled = tokio::task::spawn_blocking(move || accounts.disable(&name)).await;
            if let Ok(Err(failure)) = disabled {
                // A relay network has no account that could be disabled; its mail is held all the same.
                tracing::warn!(%account, %failure, "a suspended account could not be disabled; its mail is held");
            }
        }
        let reason = format!("guard: held while it waited: {because}");
        let since = UnixMillis(clock().0.saturating_sub(u64::try_from(HELD_BACK.as_millis()).unwrap_or(u64::MAX)));
        let held = control::hold_since(&server, &account, since, &reason).await;
        if held > 0 {
            tracing::info!(%account, held, "mail that waited for its turn is held as well");
        }
    });
}

/// What a receiver's answer says of the account.
fn news(outcome: &Outcome) -> Option<News> {
    match outcome {
        Outcome::Delivered { .. } => Some(News::Taken),
        Outcome::Deferred { .. } => None,
        Outcome::Expired { .. } => Some(News::Refused(Refusal::Other)),
        Outcome::Bounced { scope, .. } => Some(News::Refused(match (bounce::of_outcome(outcome)?.cause, scope) {
            (Cause::UnknownMailbox | Cause::Disabled | Cause::Moved | Cause::NoSuchDomain, Scope::Recipient) => {
                Refusal::UnknownRecipient
            }
            // That our address is on a list says something of all accounts together.
            (Cause::SpamLike | Cause::DomainListed | Cause::Virus, _) => Refusal::CalledSpam,
            _ => Refusal::Other,
        })),
    }
}

/// An account wrote to an address that only those write to who took it from somewhere.
pub(crate) async fn trapped(server: &Arc<Server>, live: &Live, account: &Arc<str>, to: &Mailbox) {
    about(server, live, account, &[(to, News::Trapped)]).await;
}

/// Whoever got mail of an account complained of it.
pub(crate) async fn complained(server: &Arc<Server>, live: &Live, account: &Arc<str>, to: &Mailbox) {
    about(server, live, account, &[(to, News::Complained)]).await;
}

/// What became of some recipients of a message.
pub(crate) async fn told(server: &Arc<Server>, live: &Live, stored: &Stored, mine: &[usize], outcomes: &[Outcome]) {
    let Some(account) = &stored.envelope.account else { return };
    let of = |(index, outcome): (&usize, &Outcome)| Some((stored.envelope.recipients.get(*index)?, news(outcome)?));
    let told: Vec<(&Mailbox, News)> =
        mine.iter().zip(outcomes).filter_map(of).map(|(recipient, news)| (recipient.address(), news)).collect();
    about(server, live, account, &told).await;
}

/// What is heard of an account, and what the guard makes of it.
async fn about(server: &Arc<Server>, live: &Live, account: &Arc<str>, told: &[(&Mailbox, News)]) {
    let mode = live.policy.modes.of(GUARD);
    if mode == Mode::Off {
        return;
    }
    let mut strictest: Option<Ruling> = None;
    {
        let Some((mut inner, _)) = server.guard.with(account, live).await else { return };
        inner.head.adjust(settings(&live.config, &live.policy.modes));
        inner.dirty.insert(Arc::clone(account));
        for (to, news) in told {
            let key = inner.head.recipient(to);
            strictest = inner.head.told(clock(), account, key, *news).or(strictest);
        }
    }
    if let Some(Ruling { step, said: GuardSaid { because, .. }, .. }) = strictest.filter(|_| mode == Mode::Enforce) {
        tell(server, account, step, because.clone());
        carry_out(server, Arc::clone(account), step, because);
    }
}

/// How accounts stand, those on the strictest step first. `None`: all of them.
pub(crate) async fn standings(server: &Server, live: &Live, of: Option<&str>) -> Result<Vec<Standing>, String> {
    let rows = Arc::clone(&server.guard.rows);
    let names = match of {
        Some(name) => vec![name.to_owned()],
        None => {
            let read = tokio::task::spawn_blocking(move || rows.accounts()).await.map_err(|error| error.to_string())?;
            let mut names = read.map_err(|failure| failure.to_string())?;
            names.extend(server.guard.inner().head.accounts().map(ToString::to_string));
            names.sort_unstable();
            names.dedup();
            names
        }
    };
    let mut standings = Vec::new();
    for name in names {
        let name: Arc<str> = name.into();
        if of.is_some() && !is_kept(server, &name).await {
            continue;
        }
        if let Some((inner, _)) = server.guard.with(&name, live).await {
            standings.extend(inner.head.standing(clock(), &name));
        }
    }
    standings.sort_by(|a, b| (b.step, b.points, &a.account).cmp(&(a.step, a.points, &b.account)));
    Ok(standings)
}

/// True for an account of which something is known.
pub(crate) async fn is_kept(server: &Server, account: &Arc<str>) -> bool {
    if server.guard.inner().head.knows(account) {
        return true;
    }
    let (rows, name) = (Arc::clone(&server.guard.rows), Arc::clone(account));
    matches!(tokio::task::spawn_blocking(move || rows.read(&name)).await, Ok(Ok(Some(_))))
}

/// A person says that an account is well: what is held against it is forgotten, and a suspension ends. Gives the step it stood on.
pub(crate) async fn clear(
    server: &Server,
    live: &Live,
    account: &Arc<str>,
    known: &[postern_mail::Mailbox],
) -> Result<GuardStep, String> {
    let before = {
        let kept = server.guard.with(account, live).await;
        let (mut inner, _) = kept.ok_or_else(|| format!("what is known of {account} cannot be read"))?;
        let before = inner.head.step(account);
        inner.head.clear(clock(), account);
        let keys: Vec<RecipientKey> = known.iter().map(|mailbox| inner.head.recipient(mailbox)).collect();
        inner.head.released(account, &keys);
        inner.dirty.insert(Arc::clone(account));
        before
    };
    if before == GuardStep::Suspend {
        let (accounts, name) = (Arc::clone(&server.accounts), Arc::clone(account));
        let enabled =
            tokio::task::spawn_blocking(move || accounts.enable(clock(), &name)).await.map_err(|error| error.to_string())?;
        if let Err(failure) = enabled {
            tracing::warn!(account = %Quoted::text(account), %failure, "it could not be enabled");
        }
    }
    server.guard.keep().await;
    tell(server, account, GuardStep::None, format!("a person says that it is well; it stood on {before}"));
    Ok(before)
}

/// An account was removed: one of the same name that is made later is another one. Blocks.
pub(crate) fn forget(server: &Server, account: &str) {
    // Behind a write that is under way: it may have the old past in it.
    let _turn = server.guard.writing.blocking_lock();
    {
        let mut inner = server.guard.inner();
        inner.head.forget(account);
        inner.dirty.remove(account);
    }
    if let Err(failure) = server.guard.rows.forget(account) {
        tracing::error!(%failure, account = %Quoted::text(account), "what is known of a removed account could not be forgotten");
    }
}

/// A person vouches for an account.
pub(crate) async fn trust(server: &Server, live: &Live, account: &Arc<str>, until: UnixMillis) {
    {
        let Some((mut inner, _)) = server.guard.with(account, live).await else { return };
        inner.head.trust(clock(), account, until);
        inner.dirty.insert(Arc::clone(account));
    }
    server.guard.keep().await;
}

#[cfg(test)]
mod tests {
    use postern_mail::Status;
    use postern_mail::outcome::Evidence;

    use super::*;

    #[test]
    fn a_refusal_is_read_by_the_table_of_what_providers_say() {
        let bounced = |status, text: &str| {
            let evidence = Evidence { by: "".into(), text: text.into() };
            news(&Outcome::Bounced { scope: Scope::Recipient, status, evidence })
        };
        assert_eq!(bounced(Status::new(5, 1, 1), "no such user"), Some(News::Refused(Refusal::UnknownRecipient)));
        assert_eq!(bounced(Status::new(5, 7, 1), "Message looks like SPAM"), Some(News::Refused(Refusal::CalledSpam)));
        assert_eq!(bounced(Status::new(5, 2, 2), "mailbox is full"), Some(News::Refused(Refusal::Other)));
        assert_eq!(bounced(Status::new(5, 7, 1), "not allowed to write to this list"), Some(News::Refused(Refusal::Other)));
    }

    #[test]
    fn what_is_said_of_the_sender_or_of_our_address_is_not_held_against_one_account() {
        let told = |scope, text: &str| {
            let evidence = Evidence { by: "".into(), text: text.into() };
            news(&Outcome::Bounced { scope, status: Status::new(5, 0, 0), evidence })
        };
        let other = Some(News::Refused(Refusal::Other));
        assert_eq!(told(Scope::Message, "550 5.1.1 no such user"), other, "said to MAIL: the sender is meant");
        assert_eq!(told(Scope::Recipient, "553 Absender nicht willkommen"), other);
        assert_eq!(told(Scope::Host, "521 nicht von 203.0.113.9"), other);
        assert_eq!(told(Scope::Recipient, "550 5.7.1 192.0.2.1 is listed at zen.spamhaus.org"), other);
        assert_eq!(told(Scope::Recipient, "550 5.1.1 no such user"), Some(News::Refused(Refusal::UnknownRecipient)));
    }
}
