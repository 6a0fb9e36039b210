//! What is counted for reports to others, as rows of the store; what is in a row is not known here. Promise: changes that are forgettings survive a power
//! cut, since a report that was sent must not be sent again; counts survive the death of the process.

use std::sync::Arc;

use crate::backend::{Backend, Change, Durability, Keyspace, Order};
use crate::store::Store;
use crate::trouble::StateFailure;

/// Rows read at a time.
const PAGE: usize = 10_000;

/// Rows of this node.
#[derive(Clone)]
pub struct ReportRows {
    backend: Arc<dyn Backend>,
    space: Keyspace,
}

impl ReportRows {
    /// The rows of a store.
    #[must_use]
    pub fn of(store: &Store) -> Self {
        Self { backend: Arc::clone(store.backend()), space: Keyspace::Reports }
    }

    /// Likewise of what reports of others have said.
    #[must_use]
    pub fn of_others(&self) -> Self {
        Self { backend: Arc::clone(&self.backend), space: Keyspace::ReportsRead }
    }

    /// Those about TLS outwards.
    #[must_use]
    pub fn of_tls(store: &Store) -> Self {
        Self { backend: Arc::clone(store.backend()), space: Keyspace::Tls }
    }

    /// Shows all that is kept, in the order of its keys. Blocks.
    ///
    /// # Errors
    /// When the store fails.
    pub fn load(&self, mut show: impl FnMut(&[u8], &[u8])) -> Result<(), StateFailure> {
        let mut from = Vec::new();
        loop {
            let rows = self.backend.scan(self.space, &from, None, Order::Ascending, PAGE)?;
            rows.iter().for_each(|(key, value)| show(key, value));
            match rows.into_iter().next_back() {
                Some((key, _)) => from = [key.as_slice(), &[0]].concat(),
                None => return Ok(()),
            }
        }
    }

    /// Keeps rows, and forgets those without a value: all or none. Blocks.
    ///
    /// # Errors
    /// When the store fails.
    pub fn keep(&self, changes: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Result<(), StateFailure> {
        if changes.is_empty() {
            return Ok(());
        }
        let durability = if changes.iter().any(|(_, value)| value.is_none()) { Durability::Synced } else { Durability::Buffered };
        let changes = changes.into_iter().map(|(key, value)| match value {
            Some(value) => Change::Put(self.space, key, value),
            None => Change::Remove(self.space, key),
        });
        self.backend.write(changes.collect(), durability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_there_after_a_restart_and_forgotten_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let open = || ReportRows::of(&Store::open(folder.path()).unwrap());
        let row = |key: &[u8], value: Option<&[u8]>| (key.to_vec(), value.map(<[u8]>::to_vec));
        open().keep(vec![row(b"a", Some(b"1")), row(b"b", Some(b"2")), row(b"c", Some(b"3"))]).unwrap();
        open().keep(vec![row(b"b", None), row(b"c", Some(b"4"))]).unwrap();
        let mut seen = Vec::new();
        open().load(|key, value| seen.push((key.to_vec(), value.to_vec()))).unwrap();
        open().of_others().keep(vec![row(b"a", Some(b"other"))]).unwrap();
        assert_eq!(seen, [(b"a".to_vec(), b"1".to_vec()), (b"c".to_vec(), b"4".to_vec())]);
    }
}
