//! Bans as rows of the store. Promise: what is said to be kept is on disk, and a row that this version cannot read is left alone and told of.

use std::net::IpAddr;
use std::sync::Arc;

use postern_mail::ban::{Ban, BanChange, Cause};
use postern_mail::client::Subnet;
use postern_mail::envelope::UnixMillis;
use serde::{Deserialize, Serialize};

use crate::backend::{Backend, Change, Durability, Keyspace, Order};
use crate::store::Store;
use crate::trouble::StateFailure;

/// Rows read at a time.
const PAGE: usize = 10_000;

/// Where bans outlive the process. One node keeps them in its own store; several may share them, and push what another node has changed.
pub trait BanStore: Send + Sync {
    /// All that is kept. Blocks.
    ///
    /// # Errors
    /// When the store fails.
    fn load(&self) -> Result<Vec<Ban>, StateFailure>;

    /// Keeps changes, all or none; they survive a power cut. Blocks.
    ///
    /// # Errors
    /// When the store fails.
    fn keep(&self, changes: &[BanChange]) -> Result<(), StateFailure>;
}

/// Bans of this node.
pub struct BanRows {
    backend: Arc<dyn Backend>,
}

/// A row, without the network that is its key.
#[derive(Serialize, Deserialize)]
struct Row<'a> {
    cause: &'a str,
    evidence: String,
    since: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    times: u32,
}

/// The family, the address, the prefix: sorted like the networks.
fn key(of: Subnet) -> Vec<u8> {
    let mut key = Vec::with_capacity(18);
    match of.address() {
        IpAddr::V4(v4) => {
            key.push(4);
            key.extend_from_slice(&v4.octets());
        }
        IpAddr::V6(v6) => {
            key.push(6);
            key.extend_from_slice(&v6.octets());
        }
    }
    key.push(of.prefix());
    key
}

fn network(key: &[u8]) -> Option<Subnet> {
    let (family, rest) = key.split_first()?;
    let (prefix, address) = rest.split_last()?;
    let address: IpAddr = match family {
        4 => <[u8; 4]>::try_from(address).ok()?.into(),
        6 => <[u8; 16]>::try_from(address).ok()?.into(),
        _ => return None,
    };
    Subnet::around(address, *prefix)
}

fn read(key: &[u8], value: &[u8]) -> Option<Ban> {
    let of = network(key)?;
    let row: Row<'_> = serde_json::from_slice(value).ok()?;
    let (since, until) = (UnixMillis(row.since), row.until.map(UnixMillis));
    Some(Ban { of, cause: Cause::by_name(row.cause)?, evidence: row.evidence, since, until, times: row.times })
}

fn write(ban: &Ban) -> Result<Vec<u8>, StateFailure> {
    let row = Row {
        cause: ban.cause.as_str(),
        evidence: ban.evidence.clone(),
        since: ban.since.0,
        until: ban.until.map(|until| until.0),
        times: ban.times,
    };
    serde_json::to_vec(&row).map_err(|error| StateFailure::Corrupt(format!("a ban cannot be written: {error}")))
}

impl BanRows {
    /// The rows of a store.
    #[must_use]
    pub fn of(store: &Store) -> Self {
        Self { backend: Arc::clone(store.backend()) }
    }
}

impl BanStore for BanRows {
    fn load(&self) -> Result<Vec<Ban>, StateFailure> {
        let (mut bans, mut from) = (Vec::new(), Vec::new());
        loop {
            let rows = self.backend.scan(Keyspace::Bans, &from, None, Order::Ascending, PAGE)?;
            let full = rows.len() == PAGE;
            for (key, value) in &rows {
                match read(key, value) {
                    Some(ban) => bans.push(ban),
                    None => {
                        tracing::warn!(row = %postern_mail::Quoted(key), "a ban in the store does not read and is not in force")
                    }
                }
            }
            match rows.into_iter().next_back() {
                Some((key, _)) if full => {
                    from = key;
                    from.push(0);
                }
                _ => return Ok(bans),
            }
        }
    }

    fn keep(&self, changes: &[BanChange]) -> Result<(), StateFailure> {
        if changes.is_empty() {
            return Ok(());
        }
        let changes = changes.iter().map(|change| {
            Ok(match change {
                BanChange::Put(ban) => Change::Put(Keyspace::Bans, key(ban.of), write(ban)?),
                BanChange::Forget(of) => Change::Remove(Keyspace::Bans, key(*of)),
            })
        });
        self.backend.write(changes.collect::<Result<_, StateFailure>>()?, Durability::Synced)
    }
}

#[cfg(test)]
mod tests;
