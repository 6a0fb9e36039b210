//! Records of decisions, by session. Promise: their number and age are bounded, and what is written of them is opaque here: `3-policy` knows what
//! it means.

use postern_mail::envelope::UnixMillis;
use postern_mail::{MessageId, SessionId};

use super::History;
use crate::backend::{Backend, Change, Keyspace, Order};
use crate::trouble::StateFailure;

const COUNT_KEY: &[u8] = b"trails";
/// Pieces read for one session.
pub const PIECES_PER_SESSION_MAX: usize = 1_000;
/// Rows looked at for one piece of forgetting.
const SWEPT_AT_ONCE: usize = 1_000;
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

/// The writer's side.
pub(super) struct Trails {
    count: u64,
    oldest: Vec<u8>,
}

impl Trails {
    pub(super) fn open(backend: &dyn Backend) -> Result<Self, StateFailure> {
        let count = match backend.read(Keyspace::Meta, COUNT_KEY)? {
            None => 0,
            Some(text) => std::str::from_utf8(&text)
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| StateFailure::Corrupt("the count of records of decisions does not read".into()))?,
        };
        Ok(Self { count, oldest: Vec::new() })
    }

    fn counted(&self) -> Change {
        Change::Put(Keyspace::Meta, COUNT_KEY.to_vec(), self.count.to_string().into_bytes())
    }

    pub(super) fn put(&mut self, at: UnixMillis, row: [u8; 4], trail: Trail, changes: &mut Vec<Change>) {
        let mut key = trail.session.0.to_be_bytes().to_vec();
        key.extend_from_slice(&at.0.to_be_bytes());
        key.extend_from_slice(&row);
        if key < self.oldest {
            self.oldest.clone_from(&key);
        }
        self.count += 1;
        changes.push(Change::Put(Keyspace::Trails, key, trail.bytes));
        changes.push(self.counted());
    }

    /// Sessions grow with time, so the oldest are the first rows.
    pub(super) fn sweep(
        &mut self,
        backend: &dyn Backend,
        most: u64,
        cutoff: u64,
        changes: &mut Vec<Change>,
    ) -> Result<(), StateFailure> {
        let too_many = usize::try_from(self.count.saturating_sub(most)).unwrap_or(SWEPT_AT_ONCE);
        let limit = if cutoff > 0 { SWEPT_AT_ONCE } else { too_many.min(SWEPT_AT_ONCE) };
        if limit == 0 {
            return Ok(());
        }
        let rows = backend.scan(Keyspace::Trails, &self.oldest, None, Order::Ascending, limit)?;
        let before = changes.len();
        for (key, _) in rows {
            let time = key.get(8..).and_then(|rest| rest.first_chunk()).map_or(0, |time| u64::from_be_bytes(*time));
            if self.count <= most && time >= cutoff {
                break;
            }
            self.count = self.count.saturating_sub(1);
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

impl History {
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
