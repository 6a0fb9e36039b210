//! All accounts: in memory for whoever asks, on disk before an operation says it is done. Promise: readers see the accounts before or
//! after a change, never between, and never wait for a writer.
//!
//! Operations that make a password or write to the disk block for some tens of milliseconds; call them off the asynchronous workers.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use postern_mail::envelope::UnixMillis;
use postern_mail::fact::{AccountName, ClientCertificate};
use postern_mail::netset::Network;
use postern_mail::scope::AccountScope;
use postern_mail::trouble::Fault;
use postern_mail::{Mailbox, Secret};
use postern_smtp::sasl::prepare_password;
use postern_smtp::sasl::scram::ScramKeys;
use tokio::sync::watch;

use crate::account::{
    Account, CERTIFICATE, Certificate, Credential, Fingerprint, Owned, PASSWORD, TOKEN, Verifier, Way, canonical,
    is_folded_plainly,
};
use crate::backend::rehearsal::Rehearsal;
use crate::backend::{Backend, Change, Durability, Keyspace, Order};
use crate::password::{self, Hashing};
use crate::standing::Standing;
use crate::store::Store;
use crate::trouble::StateFailure;

/// All of them are held in memory.
pub const ACCOUNTS_MAX: usize = 100_000;
/// Of one account, its own password included. A SCRAM proof is checked against each.
pub const CREDENTIALS_MAX: usize = 20;
/// Of one account.
pub const CERTIFICATES_MAX: usize = 20;
/// Accounts whose unused credentials are dealt with in one write.
pub const UNUSED_TOGETHER_MAX: usize = 1_000;
/// Of one account.
pub const ADDRESSES_MAX: usize = 1_000;
/// Characters of an app password's name.
pub const LABEL_CHARS_MAX: usize = 64;
/// RFC 7677 §4 asks for at least 4096. Each step makes guessing from a stolen store slower, and each login of an honest client too. One
/// number for all accounts, known and unknown, or it would tell which is which.
pub const SCRAM_ITERATIONS: u32 = 16_384;
/// Begins the name of the account of a relay network.
pub const NETWORK: &str = "network:";
/// Accounts with sessions, before those without are looked for.
const WATCHED_MIN: usize = 64;
/// `last_used` is a hint for people; writing it more often than this would be a write per login.
const LAST_USED_STEP: Duration = Duration::from_secs(3600);

/// An operation was not done.
#[derive(Debug, thiserror::Error)]
pub enum AccountFailure {
    /// An account is named by an address.
    #[error("the name of an account is an address like name@example.org: {0}")]
    NotAnAddress(Fault),
    /// A relay network is named by what it is.
    #[error("behind network: stands a network such as 192.0.2.0/24: {0}")]
    NotANetwork(String),
    /// There is one already.
    #[error("there is already an account of this name")]
    Exists,
    /// There is none.
    #[error("there is no account of this name")]
    Unknown,
    /// The password would be guessed.
    #[error("this password is too weak: {0}")]
    Weak(&'static str),
    /// An app password's name is empty, too long, taken, or `password`.
    #[error(
        "an app password needs a name of its own, of 1 to 64 printable characters, other than \"password\", \"token\" and \"certificate\""
    )]
    BadLabel,
    /// The account has no app password of this name.
    #[error("the account has no app password of this name")]
    UnknownLabel,
    /// The account has no certificate of this fingerprint.
    #[error("the account has no certificate of this fingerprint")]
    UnknownCertificate,
    /// A limit of [`ACCOUNTS_MAX`], [`CREDENTIALS_MAX`] or [`ADDRESSES_MAX`].
    #[error("there can be at most {1} {0}")]
    TooMany(&'static str, usize),
    /// A relay network is known by its addresses.
    #[error("a relay network has no passwords and no certificates: whoever is in it may send")]
    IsNetwork,
    /// A scope that cannot be.
    #[error("{0}")]
    BadScope(String),
    /// The store failed.
    #[error(transparent)]
    State(#[from] StateFailure),
}

/// What an account begins with.
#[derive(Clone, Debug)]
pub struct NewAccount<'a> {
    /// An address, in any case.
    pub name: &'a str,
    /// `None`: one is made.
    pub password: Option<Secret>,
    /// What it may send as; `None`: its own name.
    pub addresses: Option<Vec<Owned>>,
}

#[derive(Clone, Default)]
struct Snapshot {
    by_name: HashMap<AccountName, Arc<Account>>,
    /// For whom a certificate is noted; a fingerprint that is nobody's is not in here.
    by_fingerprint: HashMap<Fingerprint, Vec<AccountName>>,
}

impl Snapshot {
    fn put(&mut self, account: Account) {
        self.take(&account.name);
        for certificate in &account.certificates {
            self.by_fingerprint.entry(certificate.fingerprint).or_default().push(Arc::clone(&account.name));
        }
        self.by_name.insert(Arc::clone(&account.name), Arc::new(account));
    }

    fn take(&mut self, name: &str) {
        let Some(old) = self.by_name.remove(name) else { return };
        for fingerprint in old.certificates.iter().map(|certificate| certificate.fingerprint) {
            if let Some(names) = self.by_fingerprint.get_mut(&fingerprint) {
                names.retain(|holder| **holder != *name);
                if names.is_empty() {
                    self.by_fingerprint.remove(&fingerprint);
                }
            }
        }
    }
}

/// Somebody a certificate is good for.
pub(crate) struct CertificateHolder {
    pub(crate) account: Arc<Account>,
    /// It was noted for the account; otherwise an authority says that it is for the account's address.
    pub(crate) is_noted: bool,
    /// It was noted, and nobody used it for so long that it is refused.
    pub(crate) is_disabled: bool,
}

/// The accounts.
pub struct Accounts {
    backend: Arc<dyn Backend>,
    server_secret: Secret,
    hashing: Arc<dyn Hashing>,
    snapshot: ArcSwap<Snapshot>,
    /// Held while an account is changed; the number is that of the last change.
    writer: Mutex<u64>,
    /// Who wants to know of changes.
    watched: Mutex<Watched>,
}

struct Watched {
    by_name: HashMap<AccountName, watch::Sender<u64>>,
    /// When there are so many, those that nobody watches any more are forgotten.
    sweep_at: usize,
}

/// What was done about a credential that nobody uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unused {
    /// Whose.
    pub account: AccountName,
    /// Which.
    pub credential: Arc<str>,
    /// Last used, made, or enabled.
    pub since: UnixMillis,
    /// It is refused from now on; otherwise notice was given.
    pub disabled: bool,
}

/// Whether there is something to do about a credential: `Some(true)` to disable it, `Some(false)` to give notice first. Use takes the
/// notice back, since the time since the last use is then short again.
fn unused(way: Way<'_>, now: UnixMillis, after: Duration, notice: Duration) -> Option<bool> {
    if !way.is_idle(now, after, notice) {
        return None;
    }
    let idle = now.since(way.last_needed());
    match way.standing.noticed.filter(|noticed| *noticed >= way.last_needed()) {
        None => Some(false),
        Some(noticed) => (idle >= after && now.since(noticed) >= notice).then_some(true),
    }
}

impl Accounts {
    /// Reads all accounts of the store.
    ///
    /// # Errors
    /// When the disk fails or a row does not read.
    pub fn open(store: &Store, hashing: Arc<dyn Hashing>) -> Result<Self, StateFailure> {
        let backend = Arc::clone(store.backend());
        let mut snapshot = Snapshot::default();
        for (key, row) in backend.scan(Keyspace::Accounts, b"", None, Order::Ascending, ACCOUNTS_MAX)? {
            let account = Account::from_row(&row)
                .map_err(|why| StateFailure::Corrupt(format!("account {}: {why}", postern_mail::Quoted(&key))))?;
            snapshot.put(account);
        }
        Ok(Self {
            backend,
            server_secret: store.secret().clone(),
            hashing,
            snapshot: ArcSwap::from_pointee(snapshot),
            writer: Mutex::new(0),
            watched: Mutex::new(Watched { by_name: HashMap::new(), sweep_at: WATCHED_MIN }),
        })
    }

    /// The same accounts as they are now, of which no change is kept or told to anybody: what is refused here would be refused, and how they
    /// look after a change they would look.
    #[must_use]
    pub fn rehearsal(&self) -> Self {
        Self {
            backend: Arc::new(Rehearsal),
            server_secret: self.server_secret.clone(),
            hashing: Arc::clone(&self.hashing),
            snapshot: ArcSwap::new(self.snapshot.load_full()),
            writer: Mutex::new(0),
            watched: Mutex::new(Watched { by_name: HashMap::new(), sweep_at: WATCHED_MIN }),
        }
    }

    /// By its name in canonical form.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<Account>> {
        self.snapshot.load().by_name.get(name).cloned()
    }

    /// By its name as a person writes it.
    ///
    /// # Errors
    /// [`AccountFailure::NotAnAddress`] or [`AccountFailure::Unknown`].
    pub fn show(&self, name: &str) -> Result<Arc<Account>, AccountFailure> {
        self.find(&canonical_name(name)?).ok_or(AccountFailure::Unknown)
    }

    /// All, sorted by name.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Account>> {
        let mut all: Vec<_> = self.snapshot.load().by_name.values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.snapshot.load().by_name.len()
    }

    /// True when there is none, so that nobody can submit mail.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes an account. Gives back the password, where one was made: it is known to nobody else and cannot be shown again.
    ///
    /// # Errors
    /// When the name is no address or taken, or the password weak.
    pub fn add(&self, now: UnixMillis, new: NewAccount<'_>) -> Result<Option<Secret>, AccountFailure> {
        let name = canonical_name(new.name)?;
        let own = Mailbox::parse(&name).map_err(AccountFailure::NotAnAddress)?;
        let addresses = new.addresses.unwrap_or_else(|| vec![Owned::Address(own)]);
        if addresses.len() > ADDRESSES_MAX {
            return Err(AccountFailure::TooMany("addresses of one account", ADDRESSES_MAX));
        }
        let mut generation = self.lock();
        if self.find(&name).is_some() {
            return Err(AccountFailure::Exists);
        }
        if self.len() >= ACCOUNTS_MAX {
            return Err(AccountFailure::TooMany("accounts", ACCOUNTS_MAX));
        }
        let (password, made) = chosen_or_made(&name, new.password)?;
        // The salt is the one that strangers were told while there was no such account, so that nobody sees an account come into being.
        let salt = ScramKeys::decoy(self.server_secret.expose(), &name, SCRAM_ITERATIONS).salt.clone();
        let mut account = Account {
            name: name.into(),
            disabled: false,
            addresses,
            scope: AccountScope::default(),
            credentials: Vec::new(),
            certificates: Vec::new(),
            created: now,
            salt,
            iterations: SCRAM_ITERATIONS,
            generation: 0,
        };
        let verifier = self.verifier(&account, &password);
        account.credentials.push(Credential {
            name: PASSWORD.into(),
            selector: None,
            verifier,
            created: now,
            expires: None,
            last_used: None,
            standing: Standing::default(),
        });
        self.keep(&mut generation, account)?;
        Ok(made)
    }

    /// Replaces an account's own password. App passwords stay. Gives back the password, where one was made.
    ///
    /// # Errors
    /// When there is no such account, or the password is weak.
    pub fn set_password(&self, now: UnixMillis, name: &str, password: Option<Secret>) -> Result<Option<Secret>, AccountFailure> {
        not_a_network(name)?;
        let mut generation = self.lock();
        let mut account = Account::clone(&*self.show(name)?);
        let (password, made) = chosen_or_made(&account.name, password)?;
        let verifier = self.verifier(&account, &password);
        // What the password may do is a matter of the account's owner, not of its letters.
        let scope = account.credential(PASSWORD).map(|old| old.standing.scope.clone()).unwrap_or_default();
        let credential = Credential {
            name: PASSWORD.into(),
            selector: None,
            verifier,
            created: now,
            expires: None,
            last_used: None,
            standing: Standing { scope, ..Standing::default() },
        };
        account.credentials.retain(|old| &*old.name != PASSWORD);
        account.credentials.insert(0, credential);
        self.keep(&mut generation, account)?;
        Ok(made)
    }

    /// Makes an app password: always of our making, since its first characters say which it is.
    ///
    /// # Errors
    /// When there is no such account, the label is taken or not one, or the account has too many.
    pub fn add_app_password(
        &self,
        now: UnixMillis,
        name: &str,
        label: &str,
        expires: Option<UnixMillis>,
    ) -> Result<Secret, AccountFailure> {
        self.add_app_password_within(now, name, (label, expires), AccountScope::default())
    }

    /// As [`Accounts::add_app_password`], and it never was without its scope.
    ///
    /// # Errors
    /// The same.
    pub fn add_app_password_within(
        &self,
        now: UnixMillis,
        name: &str,
        (label, expires): (&str, Option<UnixMillis>),
        scope: AccountScope,
    ) -> Result<Secret, AccountFailure> {
        not_a_network(name)?;
        let mut generation = self.lock();
        let mut account = Account::clone(&*self.show(name)?);
        let fits = (1..=LABEL_CHARS_MAX).contains(&label.chars().count()) && !label.chars().any(char::is_control);
        if !fits || [PASSWORD, TOKEN, CERTIFICATE].contains(&label) || account.credential(label).is_some() {
            return Err(AccountFailure::BadLabel);
        }
        if account.credentials.len() >= CREDENTIALS_MAX {
            return Err(AccountFailure::TooMany("passwords of one account", CREDENTIALS_MAX));
        }
        let (password, selector) = self.app_password(&account)?;
        let verifier = self.verifier(&account, &password);
        account.credentials.push(Credential {
            name: label.into(),
            selector: Some(selector),
            verifier,
            created: now,
            expires,
            last_used: None,
            standing: Standing { scope, ..Standing::default() },
        });
        self.keep(&mut generation, account)?;
        Ok(password)
    }

    /// A new app password whose selector none of the account's has yet.
    fn app_password(&self, account: &Account) -> Result<(Secret, Box<str>), AccountFailure> {
        loop {
            let password = password::generate_for_app()?;
            let selector = password::selector(password.expose()).unwrap_or_default();
            // Twenty out of a thousand million: this comes round once, and ends.
            if !account.credentials.iter().any(|other| other.selector.as_deref() == Some(selector.as_str())) {
                return Ok((password, selector.into_boxed_str()));
            }
        }
    }

    /// Takes an app password back.
    ///
    /// # Errors
    /// When there is no such account or no such app password.
    pub fn remove_app_password(&self, name: &str, label: &str) -> Result<(), AccountFailure> {
        self.change(name, |account| {
            let before = account.credentials.len();
            account.credentials.retain(|credential| &*credential.name != label || label == PASSWORD);
            if account.credentials.len() == before { Err(AccountFailure::UnknownLabel) } else { Ok(()) }
        })
    }

    /// Whose a certificate is: the accounts for which it was noted, and those of its addresses.
    pub(crate) fn holders(&self, certificate: &ClientCertificate) -> Vec<CertificateHolder> {
        let snapshot = self.snapshot.load();
        let noted = snapshot.by_fingerprint.get(&certificate.fingerprint).into_iter().flatten();
        let noted = noted.filter_map(|name| snapshot.by_name.get(name));
        let is_disabled = |account: &Account| {
            let own = account.certificate(&certificate.fingerprint);
            own.is_some_and(|own| own.standing.disabled.is_some())
        };
        let holder = |account: &Arc<Account>, is_noted| CertificateHolder {
            is_disabled: is_disabled(account),
            account: Arc::clone(account),
            is_noted,
        };
        let mut holders: Vec<_> = noted.map(|account| holder(account, true)).collect();
        // Its authority may have let its holder choose the name.
        let addresses = certificate.addresses.iter().filter(|address| is_folded_plainly(&address.to_string()));
        for account in addresses.filter_map(|address| snapshot.by_name.get(&*canonical(address))) {
            if !holders.iter().any(|holder| holder.account.name == account.name) {
                holders.push(holder(account, false));
            }
        }
        holders
    }

    /// Notes a certificate for an account, which it is then good for. Noting it twice changes nothing.
    ///
    /// # Errors
    /// When there is no such account, or it has too many.
    pub fn add_certificate(&self, now: UnixMillis, name: &str, fingerprint: Fingerprint) -> Result<(), AccountFailure> {
        not_a_network(name)?;
        self.change(name, |account| {
            if account.certificate(&fingerprint).is_some() {
                return Ok(());
            }
            if account.certificates.len() >= CERTIFICATES_MAX {
                return Err(AccountFailure::TooMany("certificates of one account", CERTIFICATES_MAX));
            }
            account.certificates.push(Certificate::new(fingerprint, now));
            Ok(())
        })
    }

    /// Takes a certificate back.
    ///
    /// # Errors
    /// When there is no such account or no such certificate.
    pub fn remove_certificate(&self, name: &str, fingerprint: Fingerprint) -> Result<(), AccountFailure> {
        self.change(name, |account| {
            let before = account.certificates.len();
            account.certificates.retain(|own| own.fingerprint != fingerprint);
            if account.certificates.len() == before { Err(AccountFailure::UnknownCertificate) } else { Ok(()) }
        })
    }

    /// Lets nobody prove to be this account any more, without forgetting anything.
    ///
    /// # Errors
    /// When there is no such account.
    pub fn disable(&self, name: &str) -> Result<(), AccountFailure> {
        self.change(name, |account| {
            account.disabled = true;
            Ok(())
        })
    }

    /// Takes [`Accounts::disable`] back, and with it what [`Accounts::disable_unused`] did to its credentials.
    ///
    /// # Errors
    /// When there is no such account.
    pub fn enable(&self, now: UnixMillis, name: &str) -> Result<(), AccountFailure> {
        self.change(name, |account| {
            let was_disabled = std::mem::take(&mut account.disabled);
            // While nobody could use the account, nobody could use what proves to be it either: its time begins anew.
            let passwords = account.credentials.iter_mut().map(|credential| &mut credential.standing);
            let all = passwords.chain(account.certificates.iter_mut().map(|certificate| &mut certificate.standing));
            for standing in all.filter(|standing| was_disabled || standing.disabled.is_some()) {
                standing.disabled = None;
                standing.noticed = None;
                standing.enabled = Some(now);
            }
            Ok(())
        })
    }

    /// Says what an account may send as.
    ///
    /// # Errors
    /// When there is no such account, or these are too many.
    pub fn set_addresses(&self, name: &str, addresses: Vec<Owned>) -> Result<(), AccountFailure> {
        if addresses.len() > ADDRESSES_MAX {
            return Err(AccountFailure::TooMany("addresses of one account", ADDRESSES_MAX));
        }
        self.change(name, |account| {
            account.addresses = addresses;
            Ok(())
        })
    }

    /// Forgets an account.
    ///
    /// # Errors
    /// When there is none.
    pub fn remove(&self, name: &str) -> Result<(), AccountFailure> {
        let _held = self.lock();
        let account = self.show(name)?;
        self.backend.write(vec![Change::Remove(Keyspace::Accounts, account.name.as_bytes().to_vec())], Durability::Synced)?;
        let mut snapshot = Snapshot::clone(&self.snapshot.load());
        snapshot.take(&account.name);
        self.snapshot.store(Arc::new(snapshot));
        self.tell(&account.name);
        Ok(())
    }

    /// True when the store does not know yet that this credential was good about now.
    #[must_use]
    pub fn is_news(&self, now: UnixMillis, account: &Account, credential: &str) -> bool {
        let way = account.ways().find(|(name, _)| **name == *credential);
        way.is_some_and(|(_, way)| way.last_used.is_none_or(|last| now.since(last) >= LAST_USED_STEP))
    }

    /// Remembers that a credential was good, and good for something, if that is news by now. Losing it costs nothing, so it is not synced.
    /// Blocks.
    pub fn note_used(&self, now: UnixMillis, name: &str, credential: &str) {
        let _held = self.lock();
        // Read under the lock: somebody may have changed the account, or noted the same.
        let Some(mut account) = self.find(name).map(|account| Account::clone(&account)) else { return };
        if !self.is_news(now, &account, credential) {
            return;
        }
        if let Some((last_used, _)) = account.way_mut(credential) {
            *last_used = Some(now);
        }
        if let Err(failure) = self.write(account, Durability::Buffered) {
            tracing::error!(%failure, "the last use of a credential could not be written");
        }
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        // Whoever died holding it had either swapped the snapshot or not.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Account) -> Result<(), AccountFailure>) -> Result<(), AccountFailure> {
        let mut generation = self.lock();
        let mut account = match self.show(name) {
            Ok(account) => Account::clone(&account),
            // A relay network has an account without anybody making one.
            Err(AccountFailure::Unknown) if name.starts_with(NETWORK) => self.of_network(name)?,
            Err(failure) => return Err(failure),
        };
        change(&mut account)?;
        Ok(self.keep(&mut generation, account)?)
    }

    fn keep(&self, generation: &mut u64, mut account: Account) -> Result<(), StateFailure> {
        *generation += 1;
        account.generation = *generation;
        let name = Arc::clone(&account.name);
        self.write(account, Durability::Synced)?;
        self.tell(&name);
        Ok(())
    }

    fn of_network(&self, name: &str) -> Result<Account, AccountFailure> {
        if self.len() >= ACCOUNTS_MAX {
            return Err(AccountFailure::TooMany("accounts", ACCOUNTS_MAX));
        }
        Ok(Account {
            name: canonical_name(name)?.into(),
            disabled: false,
            addresses: Vec::new(),
            scope: AccountScope::default(),
            credentials: Vec::new(),
            certificates: Vec::new(),
            created: UnixMillis(0),
            salt: Vec::new(),
            iterations: SCRAM_ITERATIONS,
            generation: 0,
        })
    }

    /// Those who watch this account look at it again.
    fn tell(&self, name: &str) {
        let mut watched = self.watched();
        if let Some(changes) = watched.by_name.get(name) {
            if changes.receiver_count() == 0 {
                watched.by_name.remove(name);
            } else {
                changes.send_modify(|count| *count = count.wrapping_add(1));
            }
        }
    }

    /// Everybody who watches an account looks at it again: what all of them go by has changed.
    pub fn tell_all(&self) {
        for changes in self.watched().by_name.values() {
            changes.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes whenever the account does. For sessions: there are at most as many as connections.
    #[must_use]
    pub fn watch(&self, name: &AccountName) -> watch::Receiver<u64> {
        let mut watched = self.watched();
        if watched.by_name.len() >= watched.sweep_at {
            watched.by_name.retain(|_, changes| changes.receiver_count() > 0);
            watched.sweep_at = WATCHED_MIN.max(watched.by_name.len().saturating_mul(2));
        }
        watched.by_name.entry(Arc::clone(name)).or_insert_with(|| watch::Sender::new(0)).subscribe()
    }

    /// Changes the scope of an account, or of one of its credentials. `network:<cidr>` names the account of a relay network.
    ///
    /// # Errors
    /// When there is no such account or credential, or `change` says why not.
    pub fn set_scope(
        &self,
        name: &str,
        label: Option<&str>,
        change: impl FnOnce(&mut AccountScope) -> Result<(), String>,
    ) -> Result<(), AccountFailure> {
        self.change(name, |account| {
            let scope = match label {
                None => &mut account.scope,
                Some(label) => {
                    let mut all = account.credentials.iter_mut();
                    let found = all.find(|credential| &*credential.name == label).ok_or(AccountFailure::UnknownLabel)?;
                    &mut found.standing.scope
                }
            };
            change(scope).map_err(AccountFailure::BadScope)
        })
    }

    /// Remembers from where a credential was good. True when that is more new places within a day than is usual. Blocks.
    #[must_use]
    pub fn note_place(&self, now: UnixMillis, name: &str, credential: &str, place: &str, new_max: u32) -> bool {
        let _held = self.lock();
        let Some(mut account) = self.find(name).map(|account| Account::clone(&account)) else { return false };
        let Some((_, standing)) = account.way_mut(credential) else { return false };
        if !standing.is_news(now, place) {
            return false;
        }
        let unusual = standing.note(now, place, new_max);
        if let Err(failure) = self.write(account, Durability::Buffered) {
            tracing::error!(%failure, "the place a credential was used from could not be written");
        }
        unusual
    }

    /// Remembers that a credential was right where its scope refuses it. True when that is news. Blocks.
    #[must_use]
    pub fn note_strayed(&self, now: UnixMillis, name: &str, credential: &str, place: &str) -> bool {
        let _held = self.lock();
        let Some(mut account) = self.find(name).map(|account| Account::clone(&account)) else { return false };
        let Some((_, standing)) = account.way_mut(credential) else { return false };
        if !standing.stray(now, place) {
            return false;
        }
        if let Err(failure) = self.write(account, Durability::Buffered) {
            tracing::error!(%failure, "the place a credential was refused at could not be written");
        }
        true
    }

    /// Gives notice of credentials that nobody has used for `after` less `notice`, and disables those whose notice is `notice` old and that
    /// nobody has used for `after`. Gives what was done, of at most [`UNUSED_TOGETHER_MAX`] accounts: whoever gets something asks again. Blocks.
    ///
    /// # Errors
    /// When it could not be written; nothing was done then, so that nothing is done that is not told.
    pub fn disable_unused(&self, now: UnixMillis, after: Duration, notice: Duration) -> Result<Vec<Unused>, StateFailure> {
        let mut generation = self.lock();
        let (mut done, mut changes, mut snapshot) = (Vec::new(), Vec::new(), Snapshot::clone(&self.snapshot.load()));
        let wants = |account: &&mut Arc<Account>| {
            !account.disabled && account.ways().any(|(_, way)| unused(way, now, after, notice).is_some())
        };
        for account in snapshot.by_name.values_mut().filter(wants).take(UNUSED_TOGETHER_MAX) {
            let account = Arc::make_mut(account);
            *generation += 1;
            account.generation = *generation;
            let found =
                account.ways().filter_map(|(name, way)| Some((name, way.last_needed(), unused(way, now, after, notice)?)));
            for (credential, since, disabled) in found.collect::<Vec<_>>() {
                if let Some((_, standing)) = account.way_mut(&credential) {
                    let at = if disabled { &mut standing.disabled } else { &mut standing.noticed };
                    *at = Some(now);
                    done.push(Unused { account: Arc::clone(&account.name), credential, since, disabled });
                }
            }
            let row = account.to_row().map_err(StateFailure::Corrupt)?;
            changes.push(Change::Put(Keyspace::Accounts, account.name.as_bytes().to_vec(), row));
        }
        if !changes.is_empty() {
            self.backend.write(changes, Durability::Synced)?;
            self.snapshot.store(Arc::new(snapshot));
            for unused in &done {
                self.tell(&unused.account);
            }
        }
        Ok(done)
    }

    /// Disk first, then memory: what a reader sees is never more than what is kept.
    fn write(&self, account: Account, durability: Durability) -> Result<(), StateFailure> {
        let row = account.to_row().map_err(StateFailure::Corrupt)?;
        let put = Change::Put(Keyspace::Accounts, account.name.as_bytes().to_vec(), row);
        self.backend.write(vec![put], durability)?;
        let mut snapshot = Snapshot::clone(&self.snapshot.load());
        snapshot.put(account);
        self.snapshot.store(Arc::new(snapshot));
        Ok(())
    }

    fn verifier(&self, account: &Account, password: &Secret) -> Verifier {
        let prepared = prepare_password(password.expose());
        let keys = ScramKeys::derive(password, &account.salt, account.iterations);
        Verifier {
            hash: self.hashing.hash(prepared.expose()).into_boxed_str(),
            stored_key: keys.stored_key,
            server_key: keys.server_key,
        }
    }
}

/// A client of a relay network is known by its address. A password for its account would let others in by its name.
fn not_a_network(name: &str) -> Result<(), AccountFailure> {
    if name.starts_with(NETWORK) { Err(AccountFailure::IsNetwork) } else { Ok(()) }
}

/// The name of the account of a relay network.
#[must_use]
pub fn network_name(address: IpAddr, length: u8) -> String {
    format!("{NETWORK}{address}/{length}")
}

fn canonical_name(text: &str) -> Result<String, AccountFailure> {
    if let Some(network) = text.strip_prefix(NETWORK) {
        let network = Network::parse(network).map_err(AccountFailure::NotANetwork)?;
        return Ok(network_name(network.address(), network.length()));
    }
    Mailbox::parse(text).map(|address| canonical(&address)).map_err(AccountFailure::NotAnAddress)
}

fn chosen_or_made(name: &str, chosen: Option<Secret>) -> Result<(Secret, Option<Secret>), AccountFailure> {
    match chosen {
        Some(password) => {
            password::check(&password, name).map_err(AccountFailure::Weak)?;
            Ok((password, None))
        }
        None => {
            let made = password::generate()?;
            Ok((made.clone(), Some(made)))
        }
    }
}

#[cfg(test)]
mod tests;
