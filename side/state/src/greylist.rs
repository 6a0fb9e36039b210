//! What greylisting remembers, as rows of the store. Promise: what was told to be kept outlives the process, and a row that does not read is left out.

use std::sync::Arc;

use postern_mail::client::Subnet;
use postern_mail::envelope::UnixMillis;
use postern_mail::greylist::{GreyChange, GreyRow};

use crate::backend::{Backend, Change, Durability, Keyspace, Order};
use crate::store::{Store, random};
use crate::trouble::StateFailure;

/// Rows that are read at a start; there are never more than fit into the memory that is allowed for them.
const ROWS_MAX: usize = 20_000_000;
const SEED: &[u8] = b"seed";

/// The rows.
pub struct GreyRows {
    backend: Arc<dyn Backend>,
}

fn key(row: GreyRow) -> Vec<u8> {
    match row {
        GreyRow::Waiting(hash, ..) => [b"w", &hash.to_be_bytes()[..]].concat(),
        GreyRow::Known(of, _) => format!("k{of}").into_bytes(),
    }
}

fn value(row: GreyRow) -> Vec<u8> {
    match row {
        GreyRow::Waiting(_, of, at) => format!("{} {of}", at.0).into_bytes(),
        GreyRow::Known(_, at) => at.0.to_string().into_bytes(),
    }
}

fn read(key: &[u8], value: &[u8]) -> Option<GreyRow> {
    let value = std::str::from_utf8(value).ok()?;
    match key.split_first()? {
        (b'w', hash) => {
            let (at, of) = value.split_once(' ')?;
            Some(GreyRow::Waiting(
                u64::from_be_bytes(hash.try_into().ok()?),
                of.parse::<Subnet>().ok()?,
                UnixMillis(at.parse().ok()?),
            ))
        }
        (b'k', of) => Some(GreyRow::Known(std::str::from_utf8(of).ok()?.parse().ok()?, UnixMillis(value.parse().ok()?))),
        _ => None,
    }
}

impl GreyRows {
    /// The rows of a store.
    #[must_use]
    pub fn of(store: &Store) -> Self {
        Self { backend: Arc::clone(store.backend()) }
    }

    /// The seed of the hashes, made where there is none yet, and all rows. Blocks on the disk.
    ///
    /// # Errors
    /// When the store fails.
    pub fn load(&self) -> Result<(u128, Vec<GreyRow>), StateFailure> {
        let kept = self.backend.read(Keyspace::Greylist, SEED)?.and_then(|seed| Some(u128::from_be_bytes(seed.try_into().ok()?)));
        let seed = match kept {
            Some(seed) => seed,
            None => {
                let fresh = random::<16>()?;
                self.backend.write(vec![Change::Put(Keyspace::Greylist, SEED.to_vec(), fresh.to_vec())], Durability::Synced)?;
                u128::from_be_bytes(fresh)
            }
        };
        let rows = self.backend.scan(Keyspace::Greylist, b"", None, Order::Ascending, ROWS_MAX)?;
        Ok((seed, rows.iter().filter_map(|(key, value)| read(key, value)).collect()))
    }

    /// Keeps changes; a power cut may take the last seconds, and then somebody waits once more. Blocks on the disk.
    ///
    /// # Errors
    /// When the store fails.
    pub fn keep(&self, changes: &[GreyChange]) -> Result<(), StateFailure> {
        let changes = changes.iter().map(|change| match change {
            GreyChange::Put(row) => Change::Put(Keyspace::Greylist, key(*row), value(*row)),
            GreyChange::Forget(row) => Change::Remove(Keyspace::Greylist, key(*row)),
        });
        self.backend.write(changes.collect(), Durability::Buffered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_the_seed_are_there_after_a_restart_and_what_is_forgotten_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let known = |text: &str| GreyRow::Known(text.parse().unwrap(), UnixMillis(5));
        let waiting = GreyRow::Waiting(u64::MAX - 1, "192.0.2.0/24".parse().unwrap(), UnixMillis(7));
        let (gone, six) = (known("192.0.3.0/24"), known("2001:db8::/64"));
        let first = {
            let rows = GreyRows::of(&Store::open(folder.path()).unwrap());
            let (seed, none) = rows.load().unwrap();
            assert_eq!(none, []);
            rows.keep(&[waiting, gone, six].map(GreyChange::Put)).unwrap();
            rows.keep(&[GreyChange::Forget(gone)]).unwrap();
            seed
        };
        let rows = GreyRows::of(&Store::open(folder.path()).unwrap());
        let (seed, mut read) = rows.load().unwrap();
        read.sort_by_key(|row| matches!(row, GreyRow::Waiting(..)));
        assert_eq!((seed, read), (first, vec![six, waiting]));
    }
}
