//! The networks (/24, /48) from which an account was proven lately. Promise: only a verified credential puts a network here, it is there after
//! a restart, and each account has at most [`NETWORKS_MAX`] of them; the one that was not used for longest gives way.
//!
//! A network outlives a change of the password, so that an owner who changes it because he is being guessed is still known; it does not
//! outlive the account. Rows stand in [`Keyspace::Meta`], as `known-network`, NUL, account, NUL, network; the value is the time of the last
//! proof in milliseconds.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use postern_mail::client::Subnet;
use postern_mail::envelope::UnixMillis;

use crate::account::Account;
use crate::accounts::{ACCOUNTS_MAX, Accounts};
use crate::backend::{Backend, Change, Durability, Keyspace, Order};
use crate::store::Store;
use crate::trouble::StateFailure;

/// Of one account.
pub const NETWORKS_MAX: usize = 16;
/// A proof is written down this long after the last one that was; a write per login would cost more than it is worth.
const STEP: Duration = Duration::from_secs(3600);
const PREFIX: &[u8] = b"known-network\0";
/// Behind [`PREFIX`], in order.
const PREFIX_END: &[u8] = b"known-network\x01";

#[derive(Clone, Debug)]
struct Known {
    network: String,
    last: UnixMillis,
}

/// Which account was proven from where.
pub struct KnownNetworks {
    backend: Arc<dyn Backend>,
    by_account: RwLock<HashMap<Arc<str>, Vec<Known>>>,
    keep_for: Duration,
}

fn row_key(account: &str, network: &str) -> Vec<u8> {
    [PREFIX, account.as_bytes(), b"\0", network.as_bytes()].concat()
}

fn read_row(key: &[u8], value: &[u8]) -> Option<(Arc<str>, Known)> {
    let text = std::str::from_utf8(key.strip_prefix(PREFIX)?).ok()?;
    let (account, network) = text.split_once('\0')?;
    let last = UnixMillis(std::str::from_utf8(value).ok()?.parse().ok()?);
    Some((account.into(), Known { network: network.to_owned(), last }))
}

impl KnownNetworks {
    /// Reads those of accounts that still are, and drops the rest. Blocks on the disk.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn open(store: &Store, accounts: &Accounts, keep_for: Duration) -> Result<Self, StateFailure> {
        let backend = Arc::clone(store.backend());
        let mut by_account: HashMap<Arc<str>, Vec<Known>> = HashMap::new();
        let mut dropped = Vec::new();
        let rows = backend.scan(
            Keyspace::Meta,
            PREFIX,
            Some(PREFIX_END),
            Order::Ascending,
            ACCOUNTS_MAX.saturating_mul(NETWORKS_MAX),
        )?;
        for (key, value) in rows {
            // What does not read is forgotten: the account has to prove itself from there again, no more.
            match read_row(&key, &value).filter(|(account, _)| accounts.find(account).is_some()) {
                Some((account, known)) => by_account.entry(account).or_default().push(known),
                None => dropped.push(Change::Remove(Keyspace::Meta, key)),
            }
        }
        if !dropped.is_empty() {
            backend.write(dropped, Durability::Buffered)?;
        }
        Ok(Self { backend, by_account: RwLock::new(by_account), keep_for })
    }

    /// True where the account was proven from this network within the time that is remembered. Looks as long where there is no such account.
    #[must_use]
    pub fn knows(&self, now: UnixMillis, name: &str, account: Option<&Account>, client: IpAddr) -> bool {
        let network = Subnet::network(client).to_string();
        let by_account = self.by_account.read().unwrap_or_else(PoisonError::into_inner);
        let known = by_account.get(name).and_then(|all| all.iter().find(|known| known.network == network));
        let is_its_own = |known: &Known| account.is_some_and(|account| known.last >= account.created);
        known.is_some_and(|known| is_its_own(known) && now.since(known.last) < self.keep_for)
    }

    /// True where a proof from there by now is worth writing down.
    pub(crate) fn is_news(&self, now: UnixMillis, account: &str, client: IpAddr) -> bool {
        let network = Subnet::network(client).to_string();
        let by_account = self.by_account.read().unwrap_or_else(PoisonError::into_inner);
        let known = by_account.get(account).and_then(|all| all.iter().find(|known| known.network == network));
        known.is_none_or(|known| now.since(known.last) >= STEP)
    }

    /// The account was proven from there: known from the next claim on. Gives what is to be written to the disk, later and elsewhere.
    #[must_use]
    pub(crate) fn note(&self, now: UnixMillis, account: &Arc<str>, client: IpAddr) -> Vec<Change> {
        let network = Subnet::network(client).to_string();
        let mut by_account = self.by_account.write().unwrap_or_else(PoisonError::into_inner);
        let all = by_account.entry(Arc::clone(account)).or_default();
        let mut changes = vec![Change::Put(Keyspace::Meta, row_key(account, &network), now.0.to_string().into_bytes())];
        if let Some(known) = all.iter_mut().find(|known| known.network == network) {
            known.last = now;
            return changes;
        }
        if all.len() >= NETWORKS_MAX
            && let Some((place, _)) = all.iter().enumerate().min_by_key(|(_, known)| known.last)
        {
            let gone = all.swap_remove(place);
            changes.push(Change::Remove(Keyspace::Meta, row_key(account, &gone.network)));
        }
        all.push(Known { network, last: now });
        changes
    }

    /// Losing it costs a stranger's treatment at worst, so it is not synced. Blocks on the disk.
    pub(crate) fn write(&self, changes: Vec<Change>) {
        if let Err(failure) = self.backend.write(changes, Durability::Buffered) {
            tracing::warn!(%failure, "a network an account logged in from could not be written down");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::NewAccount;
    use crate::password::tests::Counted;
    use postern_mail::Secret;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
    const KEEP: Duration = Duration::from_secs(60 * 86_400);
    const ALICE: &str = "alice@example.org";

    fn opened(folder: &std::path::Path) -> (Store, Accounts) {
        let store = Store::open(folder).unwrap();
        let accounts = Accounts::open(&store, Arc::new(Counted::default())).unwrap();
        (store, accounts)
    }

    fn add(accounts: &Accounts, now: UnixMillis) -> Arc<Account> {
        let password = Some(Secret::new(b"a plain sentence".to_vec()));
        accounts.add(now, NewAccount { name: ALICE, password, addresses: None }).unwrap();
        accounts.find(ALICE).unwrap()
    }

    fn client(number: usize) -> IpAddr {
        format!("10.0.{number}.7").parse().unwrap()
    }

    #[test]
    fn a_network_is_known_after_a_restart_until_its_time_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let alice = {
            let (store, accounts) = opened(folder.path());
            let alice = add(&accounts, NOW);
            let known = KnownNetworks::open(&store, &accounts, KEEP).unwrap();
            assert!(known.is_news(NOW, ALICE, client(1)) && !known.knows(NOW, ALICE, Some(&alice), client(1)));
            known.write(known.note(NOW, &alice.name, client(1)));
            assert!(!known.is_news(NOW, ALICE, client(1)));
            alice
        };
        let (store, accounts) = opened(folder.path());
        let known = KnownNetworks::open(&store, &accounts, KEEP).unwrap();
        assert!(known.knows(NOW, ALICE, Some(&alice), "10.0.1.200".parse().unwrap()), "a neighbour in the /24");
        assert!(!known.knows(NOW, ALICE, Some(&alice), client(2)));
        assert!(!known.knows(NOW.plus(KEEP), ALICE, Some(&alice), client(1)));
    }

    #[test]
    fn the_one_that_was_not_used_for_longest_gives_way() {
        let folder = tempfile::tempdir().unwrap();
        let (store, accounts) = opened(folder.path());
        let alice = add(&accounts, NOW);
        let known = KnownNetworks::open(&store, &accounts, KEEP).unwrap();
        for number in 0..=NETWORKS_MAX {
            known.write(known.note(NOW.plus(STEP * u32::try_from(number).unwrap()), &alice.name, client(number)));
        }
        let now = NOW.plus(STEP * 20);
        let reopened = KnownNetworks::open(&store, &accounts, KEEP).unwrap();
        for known in [&known, &reopened] {
            assert!(!known.knows(now, ALICE, Some(&alice), client(0)) && known.knows(now, ALICE, Some(&alice), client(1)));
        }
    }

    #[test]
    fn an_account_that_is_made_anew_knows_nothing_of_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let (store, accounts) = opened(folder.path());
        let alice = add(&accounts, NOW);
        let known = KnownNetworks::open(&store, &accounts, KEEP).unwrap();
        known.write(known.note(NOW, &alice.name, client(1)));
        accounts.remove(ALICE).unwrap();
        let alice = add(&accounts, NOW.plus(STEP));
        assert!(!known.knows(NOW.plus(STEP), ALICE, Some(&alice), client(1)));
    }
}
