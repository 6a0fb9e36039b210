//! The layout of the rows, as a number. Promise: a store of a newer layout is left untouched, one of an older layout is brought up to
//! date step by step, each step whole or not at all.

use crate::backend::{Backend, Change, Durability, Keyspace};
use crate::trouble::StateFailure;

const VERSION_KEY: &[u8] = b"version";

/// Turns a store of one layout into the next: what to change. It is written together with the new number.
pub(crate) type Step = fn(&dyn Backend) -> Result<Vec<Change>, StateFailure>;

/// The step at place `n` leads from layout `n` to `n + 1`; an empty store has layout 0.
pub(crate) const STEPS: &[Step] = &[first_layout];

fn first_layout(_: &dyn Backend) -> Result<Vec<Change>, StateFailure> {
    Ok(Vec::new())
}

/// Brings a store to the layout behind the last step.
pub(crate) fn bring_up_to_date(backend: &dyn Backend, steps: &[Step]) -> Result<(), StateFailure> {
    let known = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    let found = match backend.read(Keyspace::Meta, VERSION_KEY)? {
        None => 0,
        Some(text) => {
            let version = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
            version.ok_or_else(|| StateFailure::Corrupt("its version is not a number".into()))?
        }
    };
    if found > known {
        return Err(StateFailure::Newer { found, known });
    }
    for (version, step) in (1..=known).zip(steps).skip(usize::try_from(found).unwrap_or(usize::MAX)) {
        let mut changes = step(backend)?;
        changes.push(Change::Put(Keyspace::Meta, VERSION_KEY.to_vec(), version.to_string().into_bytes()));
        backend.write(changes, Durability::Synced)?;
    }
    Ok(())
}
