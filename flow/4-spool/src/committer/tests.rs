//! What one group takes, and in which order: moves, notes, and messages whose sender went away.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use super::*;
use crate::disk::RealDisk;
use crate::record::{BodyPlace, MessageParts};
use crate::settings::SpoolSettings;
use crate::{reader, spool, upkeep};

/// A spool whose threads are not running, so that a test is the committer and the upkeep thread by turns.
struct Still {
    shared: Arc<Shared>,
    buffer: Vec<u8>,
    _dir: tempfile::TempDir,
}

impl Still {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = SpoolSettings {
            dir: dir.path().join("spool"),
            segment_bytes: 72 << 10,
            group_bytes_max: 16 << 10,
            body_inline_max: 4 << 10,
            free_space_min: 0,
            finished_delay: Duration::ZERO,
            ..SpoolSettings::default()
        };
        let (shared, _) = spool::prepare(settings, Arc::new(RealDisk), &mut |_| {}).unwrap();
        upkeep::prepare_or_say_full(&shared, 1, None).unwrap();
        upkeep::prepare_or_say_full(&shared, 2, None).unwrap();
        Self { shared, buffer: Vec::new(), _dir: dir }
    }

    fn permit() -> tokio::sync::OwnedSemaphorePermit {
        Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap()
    }

    /// Queues a message; the envelope is not looked at here.
    fn offer(&self, id: u64, bytes: usize) -> oneshot::Receiver<Result<Committed, Outage>> {
        let (done, answer) = oneshot::channel();
        let head = MessageParts { envelope: b"", progress: None, body: BodyPlace::Inline(&[]) }.encode_head();
        let accept = Accept { id: MessageId(id), head, body: vec![0; bytes], in_file: false, done, waiting: Self::permit() };
        self.shared.lock().accepts.push_back(accept);
        answer
    }

    fn plan(&self) -> Option<Batch> {
        plan(&mut self.shared.lock(), &self.shared)
    }

    fn commit(&mut self) {
        let batch = self.plan().unwrap();
        commit(&self.shared, batch, &mut self.buffer);
    }

    /// What the upkeep thread does to move a message.
    fn queue_move(&self, id: u64) {
        let moved = upkeep::copy(&self.shared, MessageId(id)).unwrap().unwrap();
        let mut state = self.shared.lock();
        state.moves.push_back(moved);
        state.moves_open += 1;
    }

    fn record(&self, id: u64, text: &[u8]) {
        self.shared.lock().record(MessageId(id), text.into(), Self::permit());
    }
}

#[test]
fn a_message_that_is_finished_while_it_waits_to_be_moved_is_not_written_again() {
    let mut still = Still::new();
    let _answer = still.offer(1, 100);
    still.commit();
    still.queue_move(1);
    still.shared.lock().finish(MessageId(1), None);
    let batch = still.plan().unwrap();
    assert_eq!((batch.notes.len(), batch.moves.len()), (1, 0));
    assert_eq!(still.shared.lock().moves_open, 0);
}

#[test]
fn a_message_that_is_finished_while_its_move_is_being_written_stays_finished() {
    let mut still = Still::new();
    let _answer = still.offer(1, 100);
    still.commit();
    still.queue_move(1);
    let batch = still.plan().unwrap();
    assert_eq!(batch.moves.len(), 1);
    still.shared.lock().finish(MessageId(1), None);
    commit(&still.shared, batch, &mut Vec::new());
    assert_eq!(still.shared.lock().index.place(MessageId(1)), None);
    assert_eq!(still.plan().unwrap().notes.len(), 1, "its end comes behind the move in the log");
}

#[test]
fn a_message_that_progresses_while_it_waits_to_be_moved_is_moved_later() {
    let mut still = Still::new();
    let _answer = still.offer(1, 100);
    still.commit();
    still.queue_move(1);
    still.record(1, b"newer");
    let batch = still.plan().unwrap();
    assert_eq!((batch.notes.len(), batch.moves.len()), (1, 0), "the progress is written, the copy without it is not");
    commit(&still.shared, batch, &mut Vec::new());

    still.queue_move(1);
    still.commit();
    let found = reader::find(&still.shared, MessageId(1)).unwrap();
    assert_eq!(found.progress, None, "the progress is part of the message now");
    assert_eq!(MessageParts::decode(&found.payload).unwrap().progress, Some(b"newer".as_slice()));
}

#[test]
fn progress_recorded_while_a_move_is_being_written_is_kept() {
    let mut still = Still::new();
    let _answer = still.offer(1, 100);
    still.commit();
    still.queue_move(1);
    let batch = still.plan().unwrap();
    still.record(1, b"newer");
    commit(&still.shared, batch, &mut Vec::new());
    assert_eq!(reader::find(&still.shared, MessageId(1)).unwrap().progress.as_deref(), Some(b"newer".as_slice()));
    still.commit();
    assert_eq!(reader::find(&still.shared, MessageId(1)).unwrap().progress.as_deref(), Some(b"newer".as_slice()));
}

#[test]
fn a_message_whose_sender_went_away_is_not_kept() {
    let still = Still::new();
    drop(still.offer(1, 100));
    assert!(still.plan().is_none(), "before it was written");
    let answer = still.offer(2, 100);
    let batch = still.plan().unwrap();
    drop(answer);
    commit(&still.shared, batch, &mut Vec::new());
    assert_eq!(still.shared.lock().index.place(MessageId(2)), None, "nor while it was");
    assert_eq!(still.plan().unwrap().notes.len(), 1);
}

#[test]
fn the_end_of_the_last_segment_is_kept_for_notes() {
    let mut still = Still::new();
    let mut answers = Vec::new();
    let mut id = 0;
    // Both segments are filled as far as messages may.
    loop {
        id += 1;
        answers.push(still.offer(id, 3_000));
        let Some(batch) = still.plan() else { break };
        commit(&still.shared, batch, &mut still.buffer);
    }
    still.shared.lock().finish(MessageId(1), None);
    let batch = still.plan().unwrap();
    assert_eq!((batch.notes.len(), batch.accepts.len()), (1, 0));
}

#[test]
fn a_flood_of_notes_leaves_most_of_a_group_to_messages() {
    let still = Still::new();
    let mut answers = Vec::new();
    for id in 1..=300 {
        answers.push(still.offer(id, 1));
    }
    while still.plan().map(|batch| commit(&still.shared, batch, &mut Vec::new())).is_some() {}
    for id in 1..=300 {
        still.shared.lock().finish(MessageId(id), None);
    }
    answers.push(still.offer(301, 4_000));
    let batch = still.plan().unwrap();
    assert_eq!(batch.accepts.len(), 1);
    assert!((1..300).contains(&batch.notes.len()), "{}", batch.notes.len());
}
