//! All accounts: in memory for whoever asks, on disk before an operation says it is done. Promise: readers see the accounts before or
//! after a change, never between, and never wait for a writer.
//!
//! Operations that make a password or write to the disk block for some tens of milliseconds; call them off the asynchronous workers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use postern_mail::envelope::UnixMillis;
use postern_mail::fact::{AccountName, ClientCertificate};
use postern_mail::trouble::Fault;
use postern_mail::{Mailbox, Secret};
use postern_smtp::sasl::prepare_password;
use postern_smtp::sasl::scram::ScramKeys;

use crate::account::{Account, CERTIFICATE, Credential, Fingerprint, Owned, PASSWORD, TOKEN, Verifier, canonical};
use crate::backend::{Backend, Change, Durability, Keyspace, Order};
use crate::password::{self, Hashing};
use crate::store::Store;
use crate::trouble::StateFailure;

/// All of them are held in memory.
pub const ACCOUNTS_MAX: usize = 100_000;
/// Of one account, its own password included. A SCRAM proof is checked against each.
pub const CREDENTIALS_MAX: usize = 20;
/// Of one account.
pub const CERTIFICATES_MAX: usize = 20;
/// Of one account.
pub const ADDRESSES_MAX: usize = 1_000;
/// Characters of an app password's name.
pub const LABEL_CHARS_MAX: usize = 64;
/// RFC 7677 §4 asks for at least 4096. Each step makes guessing from a stolen store slower, and each login of an honest client too. One
/// number for all accounts, known and unknown, or it would tell which is which.
pub const SCRAM_ITERATIONS: u32 = 16_384;
/// `last_used` is a hint for people; writing it more often than this would be a write per login.
const LAST_USED_STEP: Duration = Duration::from_secs(3600);

/// An operation was not done.
#[derive(Debug, thiserror::Error)]
pub enum AccountFailure {
    /// An account is named by an address.
    #[error("the name of an account is an address like name@example.org: {0}")]
    NotAnAddress(Fault),
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

#[derive(Default)]
struct Snapshot {
    by_name: HashMap<AccountName, Arc<Account>>,
}

/// The accounts.
pub struct Accounts {
    backend: Arc<dyn Backend>,
    server_secret: Secret,
    hashing: Arc<dyn Hashing>,
    snapshot: ArcSwap<Snapshot>,
    /// Held while an account is changed; the number is that of the last change.
    writer: Mutex<u64>,
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
            snapshot.by_name.insert(Arc::clone(&account.name), Arc::new(account));
        }
        Ok(Self {
            backend,
            server_secret: store.secret().clone(),
            hashing,
            snapshot: ArcSwap::from_pointee(snapshot),
            writer: Mutex::new(0),
        })
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
        });
        self.keep(&mut generation, account)?;
        Ok(made)
    }

    /// Replaces an account's own password. App passwords stay. Gives back the password, where one was made.
    ///
    /// # Errors
    /// When there is no such account, or the password is weak.
    pub fn set_password(&self, now: UnixMillis, name: &str, password: Option<Secret>) -> Result<Option<Secret>, AccountFailure> {
        let mut generation = self.lock();
        let mut account = Account::clone(&*self.show(name)?);
        let (password, made) = chosen_or_made(&account.name, password)?;
        let verifier = self.verifier(&account, &password);
        let credential =
            Credential { name: PASSWORD.into(), selector: None, verifier, created: now, expires: None, last_used: None };
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
    pub(crate) fn holders(&self, certificate: &ClientCertificate) -> Vec<Arc<Account>> {
        let snapshot = self.snapshot.load();
        let noted = snapshot.by_name.values().filter(|account| account.certificates.contains(&certificate.fingerprint));
        let mut holders: Vec<_> = noted.cloned().collect();
        let named = certificate.addresses.iter().filter_map(|address| snapshot.by_name.get(&*canonical(address)));
        for account in named {
            if !holders.iter().any(|holder| holder.name == account.name) {
                holders.push(Arc::clone(account));
            }
        }
        holders
    }

    /// Notes a certificate for an account, which it is then good for. Noting it twice changes nothing.
    ///
    /// # Errors
    /// When there is no such account, or it has too many.
    pub fn add_certificate(&self, name: &str, fingerprint: Fingerprint) -> Result<(), AccountFailure> {
        self.change(name, |account| {
            if account.certificates.contains(&fingerprint) {
                return Ok(());
            }
            if account.certificates.len() >= CERTIFICATES_MAX {
                return Err(AccountFailure::TooMany("certificates of one account", CERTIFICATES_MAX));
            }
            account.certificates.push(fingerprint);
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
            account.certificates.retain(|own| *own != fingerprint);
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

    /// Takes [`Accounts::disable`] back.
    ///
    /// # Errors
    /// When there is no such account.
    pub fn enable(&self, name: &str) -> Result<(), AccountFailure> {
        self.change(name, |account| {
            account.disabled = false;
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
        let mut by_name = self.snapshot.load().by_name.clone();
        by_name.remove(&account.name);
        self.snapshot.store(Arc::new(Snapshot { by_name }));
        Ok(())
    }

    /// True when the store does not know yet that this credential was good about now.
    pub(crate) fn is_news(&self, now: UnixMillis, account: &Account, credential: &str) -> bool {
        account.credential(credential).is_some_and(|used| used.last_used.is_none_or(|last| now.since(last) >= LAST_USED_STEP))
    }

    /// Remembers that a credential was good, if that is news by now. Losing it costs nothing, so it is not synced.
    pub(crate) fn note_used(&self, now: UnixMillis, name: &str, credential: &str) {
        let _held = self.lock();
        // Read under the lock: somebody may have changed the account, or noted the same.
        let Some(mut account) = self.find(name).map(|account| Account::clone(&account)) else { return };
        if !self.is_news(now, &account, credential) {
            return;
        }
        for used in account.credentials.iter_mut().filter(|used| &*used.name == credential) {
            used.last_used = Some(now);
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
        let mut account = Account::clone(&*self.show(name)?);
        change(&mut account)?;
        Ok(self.keep(&mut generation, account)?)
    }

    fn keep(&self, generation: &mut u64, mut account: Account) -> Result<(), StateFailure> {
        *generation += 1;
        account.generation = *generation;
        self.write(account, Durability::Synced)
    }

    /// Disk first, then memory: what a reader sees is never more than what is kept.
    fn write(&self, account: Account, durability: Durability) -> Result<(), StateFailure> {
        let row = account.to_row().map_err(StateFailure::Corrupt)?;
        let put = Change::Put(Keyspace::Accounts, account.name.as_bytes().to_vec(), row);
        self.backend.write(vec![put], durability)?;
        let mut by_name = self.snapshot.load().by_name.clone();
        by_name.insert(Arc::clone(&account.name), Arc::new(account));
        self.snapshot.store(Arc::new(Snapshot { by_name }));
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

fn canonical_name(text: &str) -> Result<String, AccountFailure> {
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
