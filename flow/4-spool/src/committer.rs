//! The acknowledgement path: one thread that takes all that waits, writes it as one group, syncs once, and wakes everybody. Promise:
//! [`Committed`] is minted here and nowhere else, after the sync of the group that holds the message returned without error.
//!
//! There is no delay before a sync when a message waits: while one group is being synced the next one gathers by itself.
//!
//! Order within the log is decided under the lock, when a batch is taken. That is what keeps a message that is finished while it is being
//! moved from coming back: it is taken out of the index first, so either its move is not taken, or its Finished comes later in the log.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Instant;

use postern_mail::proof::Committed;
use postern_mail::{MessageId, Outage};

use crate::disk::{DiskFile, write_all_at};
use crate::index::Place;
use crate::layout::{GROUP_HEADER, GroupBuilder, Kind, record_bytes};
use crate::shared::{Accept, FailOnPanic, Move, Note, NoteKind, Shared, State};

/// What one sync will cover, and where it goes.
struct Batch {
    file: Arc<dyn DiskFile>,
    segment: u32,
    salt: u64,
    offset: u64,
    number: u64,
    notes: Vec<(Note, Option<Arc<[u8]>>)>,
    moves: Vec<Move>,
    accepts: Vec<Accept>,
}

/// Room in a group, counted down.
struct Budget {
    left: usize,
}

impl Budget {
    fn new(bytes: u64) -> Self {
        Self { left: usize::try_from(bytes).unwrap_or(usize::MAX).saturating_sub(GROUP_HEADER) }
    }

    fn holds(&self, payload: usize) -> bool {
        record_bytes(payload) <= self.left
    }

    fn take(&mut self, payload: usize) -> bool {
        let fits = self.holds(payload);
        if fits {
            self.left -= record_bytes(payload);
        }
        fits
    }
}

/// The last part of the last segment is kept for notes and moves, so that a full disk can still get emptier.
struct Limits {
    notes: u64,
    moves: u64,
    accepts: u64,
}

fn limits(state: &State, shared: &Shared) -> Limits {
    let room = state.log.active().map_or(0, super::log::Segment::room);
    let group = shared.settings.group_bytes_max as u64;
    let kept = if state.log.ready.is_empty() { group } else { 0 };
    Limits {
        notes: room.min(group),
        moves: room.saturating_sub(kept / 2).min(group),
        accepts: room.saturating_sub(kept).min(group),
    }
}

/// Octets of the note at the head of the queue.
fn note_payload(state: &State, note: &Note) -> usize {
    match note.what {
        NoteKind::Finished { .. } => 0,
        NoteKind::Progress => state.notes.progress.get(&note.id).map_or(0, |bytes| bytes.len()),
    }
}

/// Drops what nobody waits for any more from the head of the queue.
fn drop_abandoned(state: &mut State) {
    while let Some(accept) = state.accepts.pop_front_if(|accept| accept.done.is_closed()) {
        if accept.in_file {
            state.removals.push(accept.id);
        }
    }
}

/// A move is only worth something if the message is still there, still in that place, and its progress is still what the move repeats.
fn is_current(state: &State, moved: &Move) -> bool {
    state.index.place(moved.id) == Some(moved.from)
        && state.notes.progress_of(moved.id).is_none()
        && state.index.progress(moved.id) == moved.progress
}

fn plan(state: &mut State, shared: &Shared) -> Option<Batch> {
    drop_abandoned(state);
    let limit = loop {
        let limit = limits(state, shared);
        let stuck = |payload: Option<usize>, bytes: u64| payload.is_some_and(|payload| !Budget::new(bytes).holds(payload));
        let any_stuck = stuck(state.notes.queue.front().map(|note| note_payload(state, note)), limit.notes)
            || stuck(state.moves.front().map(Move::payload), limit.moves)
            || stuck(state.accepts.front().map(Accept::payload), limit.accepts);
        if !(any_stuck && state.log.turn()) {
            break limit;
        }
        shared.chores.notify_one();
    };

    let mut notes = Vec::new();
    // While messages wait, notes may take a quarter of the group, so that a flood of them cannot hold the messages up.
    let mut budget = Budget::new(if state.accepts.is_empty() {
        limit.notes
    } else {
        limit.notes.min(shared.settings.group_bytes_max as u64 / 4 + 64)
    });
    let before = budget.left;
    while let Some(note) = state.notes.queue.front() {
        let payload = note_payload(state, note);
        if !budget.take(payload) {
            break;
        }
        let Some(note) = state.notes.queue.pop_front() else { break };
        let bytes = if note.what == NoteKind::Progress { state.notes.progress.remove(&note.id) } else { None };
        if let Some(bytes) = &bytes {
            state.notes.in_flight.insert(note.id, Arc::clone(bytes));
        }
        notes.push((note, bytes));
    }
    if state.notes.queue.is_empty() {
        state.notes.since = None;
    }
    let taken = before - budget.left;

    let mut moves = Vec::new();
    let mut budget = Budget::new(limit.moves);
    budget.left = budget.left.saturating_sub(taken);
    let before = budget.left;
    while let Some(moved) = state.moves.front() {
        if is_current(state, moved) {
            if !budget.take(moved.payload()) {
                break;
            }
            moves.extend(state.moves.pop_front());
        } else {
            state.moves.pop_front();
            state.moves_open = state.moves_open.saturating_sub(1);
            shared.chores.notify_one();
        }
    }
    let taken = taken + before - budget.left;

    let mut accepts = Vec::new();
    let mut budget = Budget::new(limit.accepts);
    budget.left = budget.left.saturating_sub(taken);
    while let Some(accept) = state.accepts.front() {
        if !budget.take(accept.payload()) {
            break;
        }
        accepts.extend(state.accepts.pop_front());
        drop_abandoned(state);
    }

    if notes.is_empty() && moves.is_empty() && accepts.is_empty() {
        return None;
    }
    let segment = state.log.active()?;
    Some(Batch {
        file: Arc::clone(&segment.file),
        segment: segment.header.generation,
        salt: segment.header.salt,
        offset: segment.used,
        number: state.log.next_group,
        notes,
        moves,
        accepts,
    })
}

/// Waits for something to do. `None`: the end.
fn next_batch(shared: &Shared) -> Option<Batch> {
    let mut state = shared.lock();
    loop {
        if state.failed.is_some() {
            return None;
        }
        answer_flushes(&mut state);
        let urgent = !state.accepts.is_empty() || !state.moves.is_empty() || !state.flushes.is_empty() || state.stopping;
        let patience = match state.notes.since {
            Some(since) if !urgent => {
                #[expect(clippy::disallowed_methods, reason = "a note waits for a group for a bounded time")]
                let now = Instant::now();
                Some(shared.delay(&state.log).saturating_sub(now.saturating_duration_since(since)))
            }
            _ => None,
        };
        if urgent || patience.is_some_and(|left| left.is_zero()) {
            if let Some(batch) = plan(&mut state, shared) {
                return Some(batch);
            }
            if state.log.full && !(state.accepts.is_empty() && state.flushes.is_empty()) {
                refuse(shared, state);
                state = shared.lock();
                continue;
            }
            // What could not be written by now is done again after the next start, which is why nobody was told it is done.
            let idle = state.accepts.is_empty() && state.notes.queue.is_empty() && state.moves.is_empty();
            if state.stopping && (idle || state.log.full) {
                return None;
            }
        }
        state.idle = true;
        state = match patience {
            Some(left) if !urgent => shared.work.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
            _ => shared.work.wait(state).unwrap_or_else(PoisonError::into_inner),
        };
        state.idle = false;
    }
}

/// There is no room: whoever waits for some is told.
fn refuse(shared: &Shared, mut state: MutexGuard<'_, State>) {
    let accepts = std::mem::take(&mut state.accepts);
    let flushes = std::mem::take(&mut state.flushes);
    state.removals.extend(accepts.iter().filter(|accept| accept.in_file).map(|accept| accept.id));
    if !accepts.is_empty() {
        shared.log_full.store(true, Ordering::Relaxed);
    }
    drop(state);
    for accept in accepts {
        let _ = accept.done.send(Err(Outage::DiskFull));
    }
    for flush in flushes {
        let _ = flush.done.send(Err(Outage::DiskFull));
    }
}

fn answer_flushes(state: &mut State) {
    let durable = state.notes.durable;
    for flush in state.flushes.extract_if(.., |flush| flush.notes <= durable) {
        let _ = flush.done.send(Ok(()));
    }
}

/// Builds the group and says where in it each record went, in the order notes, moves, accepts.
fn build(batch: &Batch, buffer: &mut Vec<u8>, run: u32, newest: MessageId) -> Vec<Place> {
    let mut places = Vec::with_capacity(batch.notes.len() + batch.moves.len() + batch.accepts.len());
    let mut group = GroupBuilder::new(buffer, batch.salt, batch.number, run);
    let mut push = |kind, id, payload: &[&[u8]], in_file| {
        let (at, bytes) = group.push(kind, id, payload);
        places.push(Place::new(batch.segment, batch.offset + at as u64, bytes, in_file));
    };
    for (note, progress) in &batch.notes {
        match (note.what, progress) {
            (NoteKind::Finished { in_file }, _) => push(Kind::Finished, note.id, &[], in_file),
            (NoteKind::Progress, Some(bytes)) => push(Kind::Progress, note.id, &[bytes], false),
            // The message was finished before its progress was written.
            (NoteKind::Progress, None) => {}
        }
    }
    for moved in &batch.moves {
        push(Kind::Message, moved.id, &[&moved.head, &moved.body], moved.from.in_file);
    }
    for accept in &batch.accepts {
        push(Kind::Message, accept.id, &[&accept.head, &accept.body], accept.in_file);
    }
    group.finish(newest);
    places
}

/// The group is durable: what it says is now true.
fn complete(shared: &Shared, batch: Batch, places: Vec<Place>, bytes: u64) {
    let Batch { segment, notes, moves, accepts, .. } = batch;
    let mut places = places.into_iter();
    let mut state = shared.lock();
    if let Some(segment) = state.log.segments.get_mut(&segment) {
        segment.used += bytes;
    }
    state.log.next_group += 1;
    state.groups += 1;
    state.accepted += accepts.len() as u64;
    let mut chores = false;
    for (note, progress) in notes {
        state.notes.durable += 1;
        match note.what {
            NoteKind::Finished { in_file } => {
                places.next();
                // Freed here and not before, so that a body never goes before its Finished is durable.
                if in_file {
                    state.removals.push(note.id);
                    chores = true;
                }
            }
            NoteKind::Progress if progress.is_some() => {
                state.notes.in_flight.remove(&note.id);
                let place = places.next();
                if state.index.place(note.id).is_some() {
                    state.index.set_progress(note.id, place);
                }
            }
            NoteKind::Progress => {}
        }
        drop(note.waiting);
    }
    for moved in moves {
        state.moves_open = state.moves_open.saturating_sub(1);
        chores = true;
        let Some(place) = places.next() else { continue };
        if state.index.place(moved.id) == Some(moved.from) {
            state.index.insert(moved.id, place);
            state.index.set_progress(moved.id, None);
            state.log.count_out(moved.from);
            state.log.count_in(place);
            state.cleaned += u64::from(place.bytes);
        }
    }
    for (accept, place) in accepts.iter().zip(places) {
        state.index.insert(accept.id, place);
        state.log.count_in(place);
    }
    chores |= state.log.dead().is_some();
    drop(state);
    if chores {
        shared.chores.notify_one();
    }
    let mut abandoned = Vec::new();
    for accept in accepts {
        let Accept { id, done, waiting, .. } = accept;
        drop(waiting);
        // Whoever waited has gone, so the sender was never told: it will send again, and this copy must not go out too.
        if done.send(Ok(Committed::mint_after_sync(id))).is_err() {
            abandoned.push(id);
        }
    }
    if !abandoned.is_empty() {
        let mut state = shared.lock();
        for id in abandoned {
            state.finish(id, None);
        }
    }
}

/// The committer's thread.
pub(crate) fn run(shared: &Shared) {
    let _guard = FailOnPanic(shared);
    let mut buffer = Vec::new();
    while let Some(batch) = next_batch(shared) {
        commit(shared, batch, &mut buffer);
    }
}

/// One group.
fn commit(shared: &Shared, batch: Batch, buffer: &mut Vec<u8>) {
    let places = build(&batch, buffer, shared.run, shared.newest());
    let written = write_all_at(&*batch.file, buffer, batch.offset).and_then(|()| batch.file.sync_data());
    match written {
        Ok(()) => complete(shared, batch, places, buffer.len() as u64),
        Err(error) => {
            let outage = Outage::Disk(error.to_string());
            shared.fail(outage.clone());
            for accept in batch.accepts {
                let _ = accept.done.send(Err(outage.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
