//! Suppressed addresses as rows of the store. Promise: what was told to be kept outlives the process, and a row that does not read is left out and
//! told of.

use std::sync::Arc;

use postern_mail::envelope::UnixMillis;
use postern_mail::suppression::{Cause, SuppressionChange, SuppressionKey, SuppressionRow};
use serde::{Deserialize, Serialize};

use crate::backend::{Backend, Change, Durability, Keyspace, Order};
use crate::store::Store;
use crate::trouble::StateFailure;

/// Rows read at a time.
const PAGE: usize = 10_000;

/// The rows.
pub struct SuppressionRows {
    backend: Arc<dyn Backend>,
}

/// A row, without the address and the account that are its key.
#[derive(Serialize, Deserialize)]
struct Row<'a> {
    cause: &'a str,
    evidence: String,
    since: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    times: u32,
    in_force: bool,
}

/// The address, and behind an octet that is in none the account.
fn key(of: &SuppressionKey) -> Vec<u8> {
    let mut key = of.address.as_bytes().to_vec();
    key.push(0);
    key.extend_from_slice(of.account.as_deref().unwrap_or_default().as_bytes());
    key
}

fn read(key: &[u8], value: &[u8]) -> Option<SuppressionRow> {
    let (address, account) = std::str::from_utf8(key).ok()?.split_once('\0')?;
    let account = if account.is_empty() { None } else { Some(account.into()) };
    let row: Row<'_> = serde_json::from_slice(value).ok()?;
    Some(SuppressionRow {
        key: SuppressionKey { address: address.into(), account },
        cause: Cause::parse(row.cause)?,
        since: UnixMillis(row.since),
        until: row.until.map(UnixMillis),
        times: row.times,
        in_force: row.in_force,
        evidence: row.evidence.into(),
    })
}

fn write(row: &SuppressionRow) -> Result<Vec<u8>, StateFailure> {
    let value = Row {
        cause: row.cause.as_str(),
        evidence: row.evidence.to_string(),
        since: row.since.0,
        until: row.until.map(|until| until.0),
        times: row.times,
        in_force: row.in_force,
    };
    serde_json::to_vec(&value).map_err(|error| StateFailure::Corrupt(format!("a suppression cannot be written: {error}")))
}

impl SuppressionRows {
    /// The rows of a store.
    #[must_use]
    pub fn of(store: &Store) -> Self {
        Self { backend: Arc::clone(store.backend()) }
    }

    /// All that is kept. Blocks on the disk.
    ///
    /// # Errors
    /// When the store fails.
    pub fn load(&self) -> Result<Vec<SuppressionRow>, StateFailure> {
        let (mut all, mut from) = (Vec::new(), Vec::new());
        loop {
            let rows = self.backend.scan(Keyspace::Suppression, &from, None, Order::Ascending, PAGE)?;
            let full = rows.len() == PAGE;
            for (key, value) in &rows {
                match read(key, value) {
                    Some(row) => all.push(row),
                    None => {
                        tracing::warn!(row = %postern_mail::Quoted(key), "a suppression in the store does not read and is not in force");
                    }
                }
            }
            match rows.into_iter().next_back() {
                Some((key, _)) if full => {
                    from = key;
                    from.push(0);
                }
                _ => return Ok(all),
            }
        }
    }

    /// One of them. Blocks on the disk.
    ///
    /// # Errors
    /// When the store fails.
    pub fn find(&self, of: &SuppressionKey) -> Result<Option<SuppressionRow>, StateFailure> {
        let key = key(of);
        Ok(self.backend.read(Keyspace::Suppression, &key)?.and_then(|value| read(&key, &value)))
    }

    /// Keeps changes, all or none. Where a person or an owner asked for them they survive a power cut; of bounces a cut may take the last seconds, and
    /// then one more is needed. Blocks on the disk.
    ///
    /// # Errors
    /// When the store fails.
    pub fn keep(&self, changes: &[SuppressionChange], asked_for: bool) -> Result<(), StateFailure> {
        if changes.is_empty() {
            return Ok(());
        }
        let durability = if asked_for { Durability::Synced } else { Durability::Buffered };
        let changes = changes.iter().map(|change| {
            Ok(match change {
                SuppressionChange::Put(row) => Change::Put(Keyspace::Suppression, key(&row.key), write(row)?),
                SuppressionChange::Forget(of) => Change::Remove(Keyspace::Suppression, key(of)),
            })
        });
        self.backend.write(changes.collect::<Result<_, StateFailure>>()?, durability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_there_after_a_restart_and_what_is_forgotten_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let row = |address: &str, account: Option<&str>, cause| SuppressionRow {
            key: SuppressionKey { address: address.into(), account: account.map(Into::into) },
            cause,
            since: UnixMillis(5),
            until: account.is_none().then_some(UnixMillis(7)),
            times: 2,
            in_force: true,
            evidence: "550 \"nobody\" \u{1f4a9}".into(),
        };
        let kept = [
            row("a@b.example", None, Cause::Bounced),
            row("a@b.example", Some("news@here.example"), Cause::Complained),
            row("z@b.example", None, Cause::ByHand),
        ];
        {
            let rows = SuppressionRows::of(&Store::open(folder.path()).unwrap());
            rows.keep(&kept.clone().map(SuppressionChange::Put), true).unwrap();
            rows.keep(&[SuppressionChange::Forget(kept[2].key.clone())], false).unwrap();
        }
        let rows = SuppressionRows::of(&Store::open(folder.path()).unwrap());
        assert_eq!(rows.load().unwrap(), &kept[..2]);
        assert_eq!(rows.find(&kept[1].key).unwrap().as_ref(), Some(&kept[1]));
        assert_eq!(rows.find(&kept[2].key).unwrap(), None);
    }
}
