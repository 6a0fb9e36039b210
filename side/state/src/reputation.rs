//! The pasts of accounts, for the guard of accounts, as rows of the store. Promise: what was told to be kept outlives the process; what the octets mean is
//! the business of whoever gave them.

use std::sync::Arc;

use postern_mail::envelope::UnixMillis;

use crate::backend::{Backend, Change, Durability, Keyspace, Order};
use crate::store::{Store, random};
use crate::trouble::StateFailure;

/// A NUL can stand in no account's name.
const BEGAN: &[u8] = b"\0began";
/// Rows read at once.
const ROWS_MAX: usize = 1_000_000;

/// The rows.
pub struct ReputationRows {
    backend: Arc<dyn Backend>,
}

impl ReputationRows {
    /// The rows of a store.
    #[must_use]
    pub fn of(store: &Store) -> Self {
        Self { backend: Arc::clone(store.backend()) }
    }

    /// The secret that recipients are told apart by, and when the first row was written. Both are made where they are not. Blocks on the disk.
    ///
    /// # Errors
    /// When the store fails.
    pub fn began(&self, now: UnixMillis) -> Result<(u64, UnixMillis), StateFailure> {
        let read = |row: Vec<u8>| {
            let (seed, at) = row.split_at_checked(8)?;
            Some((u64::from_be_bytes(seed.try_into().ok()?), UnixMillis(u64::from_be_bytes(at.try_into().ok()?))))
        };
        if let Some(kept) = self.backend.read(Keyspace::Reputation, BEGAN)?.and_then(read) {
            return Ok(kept);
        }
        let seed = random::<8>()?;
        let row = [&seed[..], &now.0.to_be_bytes()].concat();
        self.backend.write(vec![Change::Put(Keyspace::Reputation, BEGAN.to_vec(), row)], Durability::Synced)?;
        Ok((u64::from_be_bytes(seed), now))
    }

    /// The past of one. Blocks on the disk.
    ///
    /// # Errors
    /// When the store fails.
    pub fn read(&self, account: &str) -> Result<Option<Vec<u8>>, StateFailure> {
        self.backend.read(Keyspace::Reputation, account.as_bytes())
    }

    /// All who have one. Blocks on the disk.
    ///
    /// # Errors
    /// When the store fails.
    pub fn accounts(&self) -> Result<Vec<String>, StateFailure> {
        let rows = self.backend.scan(Keyspace::Reputation, b"\x01", None, Order::Ascending, ROWS_MAX)?;
        Ok(rows.into_iter().filter_map(|(key, _)| String::from_utf8(key).ok()).collect())
    }

    /// Forgets the past of one. Blocks on the disk.
    ///
    /// # Errors
    /// When the store fails.
    pub fn forget(&self, account: &str) -> Result<(), StateFailure> {
        self.backend.write(vec![Change::Remove(Keyspace::Reputation, account.as_bytes().to_vec())], Durability::Buffered)
    }

    /// Writes pasts. A power cut may take the last seconds of them. Blocks on the disk.
    ///
    /// # Errors
    /// When the store fails.
    pub fn keep(&self, rows: Vec<(Arc<str>, Vec<u8>)>) -> Result<(), StateFailure> {
        let put = |(account, row): (Arc<str>, Vec<u8>)| Change::Put(Keyspace::Reputation, account.as_bytes().to_vec(), row);
        self.backend.write(rows.into_iter().map(put).collect(), Durability::Buffered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pasts_and_the_secret_are_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let first = {
            let rows = ReputationRows::of(&Store::open(folder.path()).unwrap());
            assert_eq!(rows.accounts().unwrap(), Vec::<String>::new());
            rows.keep(vec![("a@here.test".into(), vec![1, 2]), ("b@here.test".into(), vec![3])]).unwrap();
            rows.keep(vec![("b@here.test".into(), vec![4])]).unwrap();
            rows.began(UnixMillis(7)).unwrap()
        };
        let rows = ReputationRows::of(&Store::open(folder.path()).unwrap());
        assert_eq!(rows.began(UnixMillis(9)).unwrap(), first);
        assert_eq!(first.1, UnixMillis(7));
        assert_eq!(rows.read("a@here.test").unwrap(), Some(vec![1, 2]));
        assert_eq!(rows.read("b@here.test").unwrap(), Some(vec![4]));
        assert_eq!(rows.accounts().unwrap(), ["a@here.test", "b@here.test"]);
        rows.forget("a@here.test").unwrap();
        assert_eq!(rows.accounts().unwrap(), ["b@here.test"]);
    }
}
