//! The embedded engine. Only this file knows it by name. Promise: after a failed write nothing more is written.

use std::collections::HashMap;
use std::ops::Bound;
use std::path::Path;

use fjall::{Database, KeyspaceCreateOptions, PersistMode};

use super::{Backend, Change, Durability, Keyspace, Order, Row};
use crate::trouble::StateFailure;

/// Enough for the rows of a trace; accounts are held in memory by themselves.
const CACHE_BYTES: u64 = 4 << 20;
/// What may wait in memory for being sorted into tables, per keyspace. The history fills it within minutes under load, so it is part
/// of the server's resident size.
const MEMTABLE_BYTES_MAX: u64 = 8 << 20;
/// The least the engine takes.
const JOURNAL_BYTES_MAX: u64 = 64 << 20;

/// A database in a directory of this machine.
pub struct Local {
    database: Database,
    keyspaces: HashMap<Keyspace, fjall::Keyspace>,
}

fn failure(error: fjall::Error) -> StateFailure {
    match error {
        fjall::Error::Poisoned => StateFailure::Poisoned("an earlier write failed".into()),
        fjall::Error::Locked => StateFailure::InUse,
        fjall::Error::Io(error) => StateFailure::Disk(error.to_string()),
        other => StateFailure::Corrupt(other.to_string()),
    }
}

impl Local {
    /// Opens it, or makes an empty one.
    ///
    /// # Errors
    /// [`StateFailure::InUse`] when another process has it.
    pub fn open(directory: &Path) -> Result<Self, StateFailure> {
        let database = Database::builder(directory)
            .cache_size(CACHE_BYTES)
            .worker_threads(1)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .open()
            .map_err(failure)?;
        let open = |space: Keyspace| {
            let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES_MAX);
            Ok((space, database.keyspace(space.as_str(), options).map_err(failure)?))
        };
        let keyspaces = Keyspace::ALL.into_iter().map(open).collect::<Result<_, StateFailure>>()?;
        Ok(Self { database, keyspaces })
    }

    fn keyspace(&self, space: Keyspace) -> Result<&fjall::Keyspace, StateFailure> {
        self.keyspaces.get(&space).ok_or_else(|| StateFailure::Corrupt(format!("there is no table {}", space.as_str())))
    }
}

impl Backend for Local {
    fn read(&self, space: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StateFailure> {
        Ok(self.keyspace(space)?.get(key).map_err(failure)?.map(|value| value.to_vec()))
    }

    fn scan(
        &self,
        space: Keyspace,
        from: &[u8],
        before: Option<&[u8]>,
        order: Order,
        limit: usize,
    ) -> Result<Vec<Row>, StateFailure> {
        let end = before.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.keyspace(space)?.range::<&[u8], _>((Bound::Included(from), end));
        let read = |row: fjall::Guard| row.into_inner().map(|(key, value)| (key.to_vec(), value.to_vec())).map_err(failure);
        match order {
            Order::Ascending => rows.take(limit).map(read).collect(),
            Order::Descending => rows.rev().take(limit).map(read).collect(),
        }
    }

    fn write(&self, changes: Vec<Change>, durability: Durability) -> Result<(), StateFailure> {
        let mode = match durability {
            Durability::Synced => PersistMode::SyncAll,
            Durability::Buffered => PersistMode::Buffer,
        };
        let mut batch = self.database.batch().durability(Some(mode));
        for change in changes {
            match change {
                Change::Put(space, key, value) => batch.insert(self.keyspace(space)?, key, value),
                Change::Remove(space, key) => batch.remove(self.keyspace(space)?, key),
            }
        }
        // The engine refuses all further writes once one of them failed, so every failure here is the end.
        batch.commit().map_err(|error| StateFailure::Poisoned(error.to_string()))
    }
}
