//! Records of decisions, by session. Promise: their number, their octets and their age are bounded, and what is written of them is opaque here:
//! `3-policy` knows what it means.

use postern_mail::envelope::UnixMillis;
use postern_mail::{MessageId, SessionId};

use super::History;
use crate::backend::{Backend, Change, Keyspace, Order};
use crate::store::Store;
use crate::trouble::StateFailure;

const COUNT_KEY: &[u8] = b"trails";
/// Pieces read for one session.
pub const PIECES_PER_SESSION_MAX: usize = 1_000;
/// Rows looked at for one piece of forgetting. Few, since they are read whole and most of the time one or two of them are too many.
const SWEPT_AT_ONCE: usize = 64;
/// Rows of one look for a batch, which bounds by how much it can be longer than asked for.
const BATCH_ROWS_AT_ONCE: usize = 128;
/// Octets at which a batch is full.
const BATCH_BYTES: usize = 1 << 20;
/// An event is about this big, and takes one place in the queue.
const OCTETS_PER_PLACE: usize = 256;

/// What was decided in a session, or in a piece of it that ended with a message.
#[derive(Clone, Debug)]
pub struct Trail {
    /// Which session.
    pub session: SessionId,
    /// The message it ended with.
    pub message: Option<MessageId>,
    /// The record.
    pub bytes: Vec<u8>,
}

impl Trail {
    pub(super) fn weight(&self) -> usize {
        1 + self.bytes.len() / OCTETS_PER_PLACE
    }
}

/// What there is, and what there may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Room {
    /// Records.
    pub(super) count: u64,
    /// Octets of the records themselves.
    pub(super) octets: u64,
}

/// The writer's side.
pub(super) struct Trails {
    kept: Room,
    oldest: Vec<u8>,
}

impl Trails {
    pub(super) fn open(backend: &dyn Backend) -> Result<Self, StateFailure> {
        let corrupt = || StateFailure::Corrupt("the count of records of decisions does not read".into());
        let kept = match backend.read(Keyspace::Meta, COUNT_KEY)? {
            None => Room::default(),
            Some(text) => {
                let (count, octets) =
                    std::str::from_utf8(&text).ok().and_then(|text| text.split_once(' ')).ok_or_else(corrupt)?;
                let number = |text: &str| text.parse().map_err(|_| corrupt());
                Room { count: number(count)?, octets: number(octets)? }
            }
        };
        Ok(Self { kept, oldest: Vec::new() })
    }

    fn counted(&self) -> Change {
        let Room { count, octets } = self.kept;
        Change::Put(Keyspace::Meta, COUNT_KEY.to_vec(), format!("{count} {octets}").into_bytes())
    }

    pub(super) fn put(&mut self, at: UnixMillis, row: [u8; 4], trail: Trail, changes: &mut Vec<Change>) {
        let mut key = trail.session.0.to_be_bytes().to_vec();
        key.extend_from_slice(&at.0.to_be_bytes());
        key.extend_from_slice(&row);
        if key < self.oldest {
            self.oldest.clone_from(&key);
        }
        self.kept.count += 1;
        self.kept.octets += trail.bytes.len() as u64;
        changes.push(Change::Put(Keyspace::Trails, key, trail.bytes));
        changes.push(self.counted());
    }

    fn exceeds(&self, most: Room) -> bool {
        self.kept.count > most.count || self.kept.octets > most.octets
    }

    /// Sessions grow with time, so the oldest are the first rows.
    pub(super) fn sweep(
        &mut self,
        backend: &dyn Backend,
        most: Room,
        cutoff: u64,
        changes: &mut Vec<Change>,
    ) -> Result<(), StateFailure> {
        if !self.exceeds(most) && cutoff == 0 {
            return Ok(());
        }
        let rows = backend.scan(Keyspace::Trails, &self.oldest, None, Order::Ascending, SWEPT_AT_ONCE)?;
        let before = changes.len();
        for (key, record) in rows {
            let time = key.get(8..).and_then(|rest| rest.first_chunk()).map_or(0, |time| u64::from_be_bytes(*time));
            if !self.exceeds(most) && time >= cutoff {
                break;
            }
            self.kept.count = self.kept.count.saturating_sub(1);
            self.kept.octets = self.kept.octets.saturating_sub(record.len() as u64);
            self.oldest.clone_from(&key);
            self.oldest.push(0);
            changes.push(Change::Remove(Keyspace::Trails, key));
        }
        if changes.len() > before {
            changes.push(self.counted());
        }
        Ok(())
    }
}

/// Records of many sessions, in their order, those of one session together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// As they were written.
    pub records: Vec<Vec<u8>>,
    /// Where the next batch begins; none behind the last.
    pub next: Option<Vec<u8>>,
}

/// Where the records of this session, and of all after it, begin.
#[must_use]
pub fn from_session(first: SessionId) -> Vec<u8> {
    first.0.to_be_bytes().to_vec()
}

/// Some of the records from a place on, up to those of `before`. Reads only, and blocks.
fn batch(backend: &dyn Backend, from: &[u8], before: SessionId) -> Result<Batch, StateFailure> {
    let end = before.0.to_be_bytes();
    let (mut from, mut batch, mut octets) = (from.to_vec(), Batch::default(), 0);
    while from.as_slice() < end.as_slice() {
        let rows = backend.scan(Keyspace::Trails, &from, Some(&end), Order::Ascending, BATCH_ROWS_AT_ONCE)?;
        let is_last = rows.len() < BATCH_ROWS_AT_ONCE;
        if let Some((key, _)) = rows.last() {
            from.clone_from(key);
            from.push(0);
        }
        octets += rows.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
        batch.records.extend(rows.into_iter().map(|(_, bytes)| bytes));
        if is_last {
            break;
        }
        if octets >= BATCH_BYTES {
            batch.next = Some(from);
            break;
        }
    }
    Ok(batch)
}

/// The same as [`History::batch`], of a server that does not run.
///
/// # Errors
/// When the disk fails.
pub fn batch_of(store: &Store, from: &[u8], before: SessionId) -> Result<Batch, StateFailure> {
    batch(&**store.backend(), from, before)
}

impl History {
    /// Some of the records from a place on, up to those of the session `before`; about a MiB of them. The first of all
    /// waits until what was recorded before is written. Blocks.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn batch(&self, from: &[u8], before: SessionId) -> Result<Batch, StateFailure> {
        if from.len() == size_of::<SessionId>() {
            self.flush();
        }
        batch(&*self.backend, from, before)
    }

    /// The pieces of a session's record, in order; none when nothing is known of it. Blocks.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn trails(&self, session: SessionId) -> Result<Vec<Vec<u8>>, StateFailure> {
        self.flush();
        let before = session.0.checked_add(1).map(u64::to_be_bytes);
        let before = before.as_ref().map(<[u8; 8]>::as_slice);
        let from = session.0.to_be_bytes();
        let rows = self.backend.scan(Keyspace::Trails, &from, before, Order::Ascending, PIECES_PER_SESSION_MAX)?;
        Ok(rows.into_iter().map(|(_, bytes)| bytes).collect())
    }
}
