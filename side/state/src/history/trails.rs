//! Records of decisions, by session. Promise: their number, their octets and their age are bounded, and what is written of them is opaque here:
//! `3-policy` knows what it means.

use postern_mail::envelope::UnixMillis;
use postern_mail::{MessageId, SessionId};

use super::History;
use crate::backend::{Backend, Change, Keyspace, Order};
use crate::trouble::StateFailure;

const COUNT_KEY: &[u8] = b"trails";
/// Pieces read for one session.
pub const PIECES_PER_SESSION_MAX: usize = 1_000;
/// Rows looked at for one piece of forgetting. Few, since they are read whole and most of the time one or two of them are too many.
const SWEPT_AT_ONCE: usize = 64;
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
