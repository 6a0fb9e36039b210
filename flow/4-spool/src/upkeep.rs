//! Everything about the log that nobody should have to wait for: making segments ready, freeing and cleaning them, removing bodies,
//! watching the free space. Promise: it never holds the lock across a disk operation, and moves at most a small batch per group, so
//! accepting does not feel it.
//!
//! How a segment is freed: rename to `.free`, sync the directory, and only then the next one, so that freeing is in order even
//! across a power cut. How it comes back: new headers, sync, rename to its new generation, sync the directory; only then it is used.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, ErrorKind};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use postern_mail::{MessageId, Outage};

use crate::disk::{DiskFile, is_full, write_all_at};
use crate::index::Place;
use crate::layout::{BLOCK, SegmentHeader, record_bytes};
use crate::log::Segment;
use crate::reader;
use crate::record::{BodyPlace, MessageParts};
use crate::shared::{FailOnPanic, Move, Shared, State};

/// How often the free space is looked at, and a full disk tried again.
const TICK: Duration = Duration::from_secs(1);
/// Zeros are written in pieces of this size and synced as often, so that the log's own syncs find little in front of them.
const ZEROS_BYTES: usize = 1 << 20;
/// Moved at once; the next batch waits until this one is durable.
const MOVE_BYTES: usize = 256 << 10;

/// A number no stranger can guess. The standard library keys its hash maps with one, which is all the chance this crate needs.
pub(crate) fn unguessable() -> u64 {
    RandomState::new().build_hasher().finish()
}

enum Chore {
    Remove(Vec<MessageId>),
    Prepare { generation: u32, spare: Option<u32> },
    Free(u32),
    Clean(u32),
    Look,
}

fn choose(state: &mut State, shared: &Shared, tick: bool, no_room: bool) -> Option<Chore> {
    if !state.removals.is_empty() {
        return Some(Chore::Remove(std::mem::take(&mut state.removals)));
    }
    if let Some(generation) = state.log.dead() {
        state.log.segments.remove(&generation);
        return Some(Chore::Free(generation));
    }
    // On a full disk a new file is only tried for once a tick, a spare segment at once.
    if state.log.ready.is_empty() && (!state.log.full || tick || !state.log.spare.is_empty()) {
        let generation = state.log.next_generation;
        state.log.next_generation += 1;
        return Some(Chore::Prepare { generation, spare: state.log.spare.pop() });
    }
    if !no_room
        && !state.stopping
        && let Some(generation) = state.log.to_clean(shared.settings.clean_below)
    {
        return Some(Chore::Clean(generation));
    }
    tick.then_some(Chore::Look)
}

/// The upkeep thread.
pub(crate) fn run(shared: &Shared) {
    let _guard = FailOnPanic(shared);
    #[expect(clippy::disallowed_methods, reason = "a hand that looks at the disk once in a while")]
    let clock = Instant::now;
    let mut looked = clock();
    // Cleaning found no room; it is tried again when a tick has passed.
    let mut no_room = false;
    loop {
        let chore = {
            let mut state = shared.lock();
            loop {
                if state.stopped || state.failed.is_some() {
                    return;
                }
                let since = clock().saturating_duration_since(looked);
                no_room &= since < TICK;
                if let Some(chore) = choose(&mut state, shared, since >= TICK, no_room) {
                    break chore;
                }
                state = shared
                    .chores
                    .wait_timeout(state, TICK.saturating_sub(since))
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .0;
            }
        };
        let done = match chore {
            Chore::Remove(ids) => remove(shared, &ids),
            Chore::Prepare { generation, spare } => {
                // Whatever came of it, the next try for a full disk is a tick away.
                looked = clock();
                prepare_or_say_full(shared, generation, spare)
            }
            Chore::Free(generation) => free(shared, generation),
            Chore::Clean(generation) => {
                no_room = clean(shared, generation) == Moved::NoRoom;
                Ok(())
            }
            Chore::Look => {
                looked = clock();
                shared.look_at_free_space();
                Ok(())
            }
        };
        if let Err(error) = done {
            shared.fail(Outage::Disk(error.to_string()));
        }
    }
}

/// Removes body files. Their going need not be durable: one that comes back has no record and is removed at the next start.
fn remove(shared: &Shared, ids: &[MessageId]) -> io::Result<()> {
    for id in ids {
        match shared.disk.remove(&shared.paths.body(*id)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn free(shared: &Shared, generation: u32) -> io::Result<()> {
    let kept = shared.lock().log.spare.len() < shared.settings.spare_segments_max;
    let path = shared.paths.segment(generation);
    let reusable = kept && shared.disk.open(&path)?.size()? == shared.settings.segment_bytes;
    if reusable {
        shared.disk.rename(&path, &shared.paths.spare(generation))?;
    } else {
        shared.disk.remove(&path)?;
    }
    shared.disk.sync_dir(&shared.paths.log)?;
    if reusable {
        shared.lock().log.spare.push(generation);
    }
    Ok(())
}

pub(crate) fn prepare_or_say_full(shared: &Shared, generation: u32, spare: Option<u32>) -> io::Result<()> {
    match prepare(shared, generation, spare) {
        Ok(segment) => {
            let mut state = shared.lock();
            state.log.ready.push_back(segment);
            state.log.full = false;
            shared.log_full.store(false, Ordering::Relaxed);
        }
        Err(error) if is_full(&error) => {
            let _ = shared.disk.remove(&shared.paths.unfinished(generation));
            let mut state = shared.lock();
            if !state.log.full {
                tracing::warn!("no room on the disk for the next segment: nothing more is accepted once this one is full");
            }
            state.log.full = true;
            // A spare that could not be reused (a file system that copies on write) is still a spare.
            state.log.spare.extend(spare);
        }
        Err(error) => return Err(error),
    }
    shared.look_at_free_space();
    shared.wake(&mut shared.lock());
    Ok(())
}

fn prepare(shared: &Shared, generation: u32, spare: Option<u32>) -> io::Result<Segment> {
    let bytes = shared.settings.segment_bytes;
    let (file, path) = match spare {
        Some(old) => {
            let path = shared.paths.spare(old);
            (shared.disk.open(&path)?, path)
        }
        None => {
            if shared.disk.free_space(&shared.paths.root)? < bytes + ZEROS_BYTES as u64 {
                return Err(ErrorKind::StorageFull.into());
            }
            let path = shared.paths.unfinished(generation);
            let file = shared.disk.create(&path)?;
            write_zeros(&*file, bytes)?;
            (file, path)
        }
    };
    let header = SegmentHeader { generation, salt: unguessable(), bytes };
    let block = header.encode();
    write_all_at(&*file, &block, 0)?;
    write_all_at(&*file, &block, bytes - BLOCK)?;
    file.sync_data()?;
    shared.disk.rename(&path, &shared.paths.segment(generation))?;
    shared.disk.sync_dir(&shared.paths.log)?;
    Ok(Segment::new(header, file))
}

/// A block that was written once can be written again without the file system having to note where it is, which is what makes a sync of
/// the log half as dear as one of a growing file.
fn write_zeros(file: &dyn DiskFile, bytes: u64) -> io::Result<()> {
    let zeros = vec![0; ZEROS_BYTES];
    let mut offset = 0;
    while offset < bytes {
        let count = usize::try_from(bytes - offset).unwrap_or(usize::MAX).min(ZEROS_BYTES);
        write_all_at(file, zeros.get(..count).unwrap_or_default(), offset)?;
        file.sync_data()?;
        offset += count as u64;
    }
    Ok(())
}

/// Live messages of a segment, in the order they lie there.
fn live_in(shared: &Shared, generation: u32) -> Vec<(MessageId, Place)> {
    let mut live = Vec::new();
    let shards = shared.lock().index.shards();
    for shard in 0..shards {
        let state = shared.lock();
        live.extend(state.index.of_shard(shard).filter(|(_, place)| place.segment == generation));
    }
    live.sort_unstable_by_key(|(_, place)| place.offset());
    live
}

/// A message as it will be written again: with the progress it has now.
pub(crate) fn copy(shared: &Shared, id: MessageId) -> Result<Option<Move>, reader::LoadError> {
    let found = match reader::find(shared, id) {
        Ok(found) => found,
        Err(reader::LoadError::NotFound) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(parts) = MessageParts::decode(&found.payload) else {
        return Err(reader::LoadError::Damaged { id, what: "the message record".into() });
    };
    let (body, place) = match parts.body {
        BodyPlace::Inline(bytes) => (bytes.to_vec(), BodyPlace::Inline(&[])),
        file @ BodyPlace::File { .. } => (Vec::new(), file),
    };
    let progress = found.progress.as_deref().or(parts.progress);
    let head = MessageParts { envelope: parts.envelope, progress, body: place }.encode_head();
    Ok(Some(Move { id, from: found.place, progress: found.progress_place, head, body }))
}

/// What came of moving.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moved {
    All,
    /// Something else comes first; go on at once.
    Interrupted,
    /// The disk is full; go on when that has changed.
    NoRoom,
}

/// Moves what lives in a segment to the head of the log. What is left over (it was finished, or progressed, meanwhile) is seen to in the
/// next round.
fn clean(shared: &Shared, generation: u32) -> Moved {
    let batch_max = MOVE_BYTES.min(shared.settings.group_bytes_max / 4);
    let mut batch = Vec::new();
    let mut bytes = 0;
    for (id, _) in live_in(shared, generation) {
        match copy(shared, id) {
            Ok(Some(moved)) if moved.from.segment == generation => {
                bytes += record_bytes(moved.payload());
                batch.push(moved);
            }
            Ok(_) => {}
            Err(error) => {
                // Moving it is not possible, dropping it is not ours to decide: the segment stays until a person has looked.
                tracing::error!(%error, segment = generation, "a queued message cannot be read; its segment is kept");
                if let Some(segment) = shared.lock().log.segments.get_mut(&generation) {
                    segment.pinned = true;
                }
            }
        }
        if bytes >= batch_max {
            bytes = 0;
            let moved = move_batch(shared, &mut batch);
            if moved != Moved::All {
                return moved;
            }
        }
    }
    move_batch(shared, &mut batch)
}

/// Hands a batch to the committer and waits until it is durable.
fn move_batch(shared: &Shared, batch: &mut Vec<Move>) -> Moved {
    let mut state = shared.lock();
    state.moves_open = batch.len();
    state.moves.extend(batch.drain(..));
    shared.wake(&mut state);
    let mut waited = 0;
    loop {
        if state.stopping || state.failed.is_some() {
            state.moves.clear();
            state.moves_open = 0;
            shared.wake(&mut state);
            return Moved::Interrupted;
        }
        if state.moves_open == 0 {
            return Moved::All;
        }
        // The next segment is prepared by this very thread, so the committer must not be left waiting for it; and when the disk is full
        // there may be no room for the moves at all. Then they are taken back.
        let full = state.log.full;
        if state.log.ready.is_empty() && !state.moves.is_empty() && (!full || waited == 10) {
            state.moves_open = state.moves_open.saturating_sub(state.moves.len());
            state.moves.clear();
            if state.moves_open == 0 {
                return if full { Moved::NoRoom } else { Moved::Interrupted };
            }
        }
        waited += 1;
        state = shared.chores.wait_timeout(state, TICK / 20).unwrap_or_else(std::sync::PoisonError::into_inner).0;
    }
}
