//! The networks (/24, /48) from which an account was proven lately. Promise: only a verified credential that was let in puts a network here, it is there after
//! a restart, and each account has at most [`NETWORKS_MAX`] of them; the one that was not used for longest gives way.
//!
//! It outlives neither the account nor a change of its password by an administrator: whoever had stolen the old one knew it too, and the owner is
//! known again with his next proof. Rows stand in [`Keyspace::Meta`], as `known-network`, NUL, account, NUL, network; the value is the time of the last
//! proof in milliseconds.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use postern_mail::client::Subnet;
use postern_mail::envelope::UnixMillis;

use crate::account::{Account, PASSWORD};
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

#[derive(Clone, Copy, Debug)]
struct Known {
    network: Subnet,
    last: UnixMillis,
}

/// How many accounts a network is known for, and when one was last proven from there.
#[derive(Clone, Copy, Debug)]
struct Home {
    accounts: usize,
    last: UnixMillis,
}

#[derive(Debug, Default)]
struct Inner {
    by_account: HashMap<Arc<str>, Vec<Known>>,
    homes: HashMap<Subnet, Home>,
}

impl Inner {
    fn enter(&mut self, network: Subnet, last: UnixMillis) {
        let home = self.homes.entry(network).or_insert(Home { accounts: 0, last });
        home.accounts = home.accounts.saturating_add(1);
        home.last = home.last.max(last);
    }

    fn leave(&mut self, network: Subnet) {
        if let Some(home) = self.homes.get_mut(&network) {
            home.accounts = home.accounts.saturating_sub(1);
            if home.accounts == 0 {
                self.homes.remove(&network);
            }
        }
    }

    /// Known of an account from now on. Gives the network that gave way.
    fn note(&mut self, account: &Arc<str>, network: Subnet, last: UnixMillis) -> Option<Subnet> {
        let all = self.by_account.entry(Arc::clone(account)).or_default();
        if let Some(known) = all.iter_mut().find(|known| known.network == network) {
            known.last = last;
            if let Some(home) = self.homes.get_mut(&network) {
                home.last = home.last.max(last);
            }
            return None;
        }
        let mut gone = None;
        if all.len() >= NETWORKS_MAX
            && let Some((place, _)) = all.iter().enumerate().min_by_key(|(_, known)| known.last)
        {
            gone = Some(all.swap_remove(place).network);
        }
        all.push(Known { network, last });
        self.enter(network, last);
        if let Some(gone) = gone {
            self.leave(gone);
        }
        gone
    }
}

/// Since when what is known of an account counts. Of one that was made anew, or whose password an administrator changed, what was before is another's.
fn counts_since(account: &Account) -> UnixMillis {
    let changed = account.credential(PASSWORD).map(|password| password.created);
    changed.map_or(account.created, |changed| changed.max(account.created))
}

/// Which account was proven from where.
pub struct KnownNetworks {
    backend: Arc<dyn Backend>,
    inner: RwLock<Inner>,
    /// What the disk does not know yet, in the order in which it came to be: no more than there are logins and orders under way.
    unwritten: Mutex<VecDeque<Change>>,
    /// Held over a write, so that the disk hears of changes in their order.
    writing: Mutex<()>,
    keep_for: Duration,
}

fn row_key(account: &str, network: Subnet) -> Vec<u8> {
    [PREFIX, account.as_bytes(), b"\0", network.to_string().as_bytes()].concat()
}

fn read_row(key: &[u8], value: &[u8]) -> Option<(Arc<str>, Known)> {
    let text = std::str::from_utf8(key.strip_prefix(PREFIX)?).ok()?;
    let (account, network) = text.split_once('\0')?;
    let last = UnixMillis(std::str::from_utf8(value).ok()?.parse().ok()?);
    Some((account.into(), Known { network: network.parse().ok()?, last }))
}

impl KnownNetworks {
    /// Reads those that count for accounts that still are, and drops the rest. Blocks on the disk.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn open(store: &Store, accounts: &Accounts, keep_for: Duration) -> Result<Self, StateFailure> {
        let backend = Arc::clone(store.backend());
        let mut inner = Inner::default();
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
            let counts = |(name, known): &(Arc<str>, Known)| {
                accounts.find(name).is_some_and(|account| known.last >= counts_since(&account))
            };
            match read_row(&key, &value).filter(counts) {
                Some((account, known)) => {
                    // More than there may be stand there only where two writes were torn apart by a kill.
                    if let Some(gone) = inner.note(&account, known.network, known.last) {
                        dropped.push(Change::Remove(Keyspace::Meta, row_key(&account, gone)));
                    }
                }
                None => dropped.push(Change::Remove(Keyspace::Meta, key)),
            }
        }
        if !dropped.is_empty() {
            backend.write(dropped, Durability::Buffered)?;
        }
        Ok(Self { backend, inner: RwLock::new(inner), unwritten: Mutex::default(), writing: Mutex::default(), keep_for })
    }

    /// When the account was last proven from the network of this client, as far as that still counts for it.
    fn last(&self, name: &str, account: Option<&Account>, client: IpAddr) -> Option<UnixMillis> {
        let network = Subnet::network(client);
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let known = inner.by_account.get(name).and_then(|all| all.iter().find(|known| known.network == network));
        let counts_since = account.map(counts_since);
        known.map(|known| known.last).filter(|last| counts_since.is_some_and(|since| *last >= since))
    }

    /// True where the account was proven from this network within the time that is remembered. Looks as long where there is no such account.
    #[must_use]
    pub fn knows(&self, now: UnixMillis, name: &str, account: Option<&Account>, client: IpAddr) -> bool {
        self.last(name, account, client).is_some_and(|last| now.since(last) < self.keep_for)
    }

    /// True where any account was proven from this network within the time that is remembered.
    #[must_use]
    pub fn is_somebodys_home(&self, now: UnixMillis, client: IpAddr) -> bool {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.homes.get(&Subnet::network(client)).is_some_and(|home| now.since(home.last) < self.keep_for)
    }

    /// True where a proof from there by now is worth writing down.
    pub(crate) fn is_news(&self, now: UnixMillis, account: &Account, client: IpAddr) -> bool {
        self.last(&account.name, Some(account), client).is_none_or(|last| now.since(last) >= STEP)
    }

    /// The account was proven from there: known from the next claim on. [`KnownNetworks::write`] is to follow, later and elsewhere.
    pub(crate) fn note(&self, now: UnixMillis, account: &Arc<str>, client: IpAddr) {
        let network = Subnet::network(client);
        // Held over both, so that what is to be written stands in the order in which it is known.
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let gone = inner.note(account, network, now);
        let mut unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
        unwritten.push_back(Change::Put(Keyspace::Meta, row_key(account, network), now.0.to_string().into_bytes()));
        unwritten.extend(gone.map(|gone| Change::Remove(Keyspace::Meta, row_key(account, gone))));
    }

    /// Nothing is known of the account any more: it is gone, or its password was changed by an administrator. [`KnownNetworks::write`] is to follow.
    pub(crate) fn forget(&self, account: &str) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let gone = inner.by_account.remove(account).unwrap_or_default();
        let mut unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
        for Known { network, .. } in gone {
            inner.leave(network);
            unwritten.push_back(Change::Remove(Keyspace::Meta, row_key(account, network)));
        }
    }

    /// See [`crate::Authenticator::homes`].
    pub(crate) fn homes(&self) -> Vec<(Subnet, UnixMillis)> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.homes.iter().map(|(network, home)| (*network, home.last)).collect()
    }

    /// Writes what is noted. Losing it costs a stranger's treatment at worst, so it is not synced. Blocks on the disk.
    pub(crate) fn write(&self) {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let changes: Vec<Change> = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
        if changes.is_empty() {
            return;
        }
        if let Err(failure) = self.backend.write(changes, Durability::Buffered) {
            tracing::warn!(%failure, "networks accounts logged in from could not be written down");
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
            assert!(known.is_news(NOW, &alice, client(1)) && !known.knows(NOW, ALICE, Some(&alice), client(1)));
            known.note(NOW, &alice.name, client(1));
            known.write();
            assert!(!known.is_news(NOW, &alice, client(1)));
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
            known.note(NOW.plus(STEP * u32::try_from(number).unwrap()), &alice.name, client(number));
            known.write();
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
        known.note(NOW, &alice.name, client(1));
        accounts.remove(ALICE).unwrap();
        let alice = add(&accounts, NOW.plus(STEP));
        assert!(!known.knows(NOW.plus(STEP), ALICE, Some(&alice), client(1)));
    }

    #[test]
    fn a_password_that_an_administrator_changes_makes_the_networks_of_the_old_one_strange() {
        let folder = tempfile::tempdir().unwrap();
        let (store, accounts) = opened(folder.path());
        let alice = add(&accounts, NOW);
        let known = KnownNetworks::open(&store, &accounts, KEEP).unwrap();
        known.note(NOW, &alice.name, client(1));
        let now = NOW.plus(Duration::from_secs(60));
        accounts.set_password(now, ALICE, Some(Secret::new(b"another plain sentence".to_vec()))).unwrap();
        let alice = accounts.find(ALICE).unwrap();
        assert!(!known.knows(now, ALICE, Some(&alice), client(1)));
        assert!(known.is_news(now, &alice, client(1)), "so it is written down anew");
        known.note(now, &alice.name, client(1));
        assert!(known.knows(now, ALICE, Some(&alice), client(1)));
    }

    #[test]
    fn a_network_is_somebodys_home_as_long_as_it_is_known_for_any_account() {
        let folder = tempfile::tempdir().unwrap();
        let (store, accounts) = opened(folder.path());
        let alice = add(&accounts, NOW);
        let known = KnownNetworks::open(&store, &accounts, KEEP).unwrap();
        known.note(NOW, &alice.name, client(0));
        assert!(known.is_somebodys_home(NOW, client(0)) && !known.is_somebodys_home(NOW, client(1)));
        assert!(!known.is_somebodys_home(NOW.plus(KEEP), client(0)));
        for number in 1..=NETWORKS_MAX {
            known.note(NOW.plus(STEP), &alice.name, client(number));
        }
        assert!(!known.is_somebodys_home(NOW.plus(STEP), client(0)), "it gave way");
        known.write();
        let reopened = KnownNetworks::open(&store, &accounts, KEEP).unwrap();
        assert!(!reopened.is_somebodys_home(NOW.plus(STEP), client(0)) && reopened.is_somebodys_home(NOW.plus(STEP), client(1)));
    }

    #[test]
    fn the_homes_of_an_account_go_with_it_and_those_of_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (store, accounts) = opened(folder.path());
        let alice = add(&accounts, NOW);
        let known = KnownNetworks::open(&store, &accounts, KEEP).unwrap();
        known.note(NOW, &alice.name, client(1));
        known.note(NOW, &alice.name, client(2));
        known.note(NOW, &"bob@example.org".into(), client(2));
        known.write();
        accounts.remove(ALICE).unwrap();
        known.forget(ALICE);
        assert!(!known.is_somebodys_home(NOW, client(1)) && known.is_somebodys_home(NOW, client(2)));
        known.write();
        let rows = store.backend().scan(Keyspace::Meta, PREFIX, Some(PREFIX_END), Order::Ascending, 10).unwrap();
        assert_eq!(rows.len(), 1, "only bob's");
    }

    #[test]
    fn what_was_known_before_a_password_was_changed_is_nobodys_home_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let (store, accounts) = opened(folder.path());
        let alice = add(&accounts, NOW);
        let known = KnownNetworks::open(&store, &accounts, KEEP).unwrap();
        known.note(NOW, &alice.name, client(1));
        known.write();
        // As without a running server, where nobody else hears of it.
        let now = NOW.plus(Duration::from_secs(60));
        accounts.set_password(now, ALICE, Some(Secret::new(b"another plain sentence".to_vec()))).unwrap();
        let reopened = KnownNetworks::open(&store, &accounts, KEEP).unwrap();
        assert!(!reopened.is_somebodys_home(now, client(1)));
    }

    #[test]
    fn more_networks_on_disk_than_there_may_be_are_cut_when_it_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let (store, accounts) = opened(folder.path());
        let alice = add(&accounts, NOW);
        let put = |number: usize| {
            let last = NOW.plus(STEP * u32::try_from(number).unwrap());
            Change::Put(Keyspace::Meta, row_key(ALICE, Subnet::network(client(number))), last.0.to_string().into_bytes())
        };
        store.backend().write((0..NETWORKS_MAX + 4).map(put).collect(), Durability::Buffered).unwrap();
        let now = NOW.plus(STEP * 20);
        let known = KnownNetworks::open(&store, &accounts, KEEP).unwrap();
        let count = (0..NETWORKS_MAX + 4).filter(|number| known.knows(now, ALICE, Some(&alice), client(*number))).count();
        assert_eq!(count, NETWORKS_MAX);
    }
}
