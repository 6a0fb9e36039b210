//! One message on its way in. Promise: it never holds more than one piece of a body in memory, and a message that is not committed leaves
//! nothing behind.
//!
//! A body that stays small is kept and goes into the log. One that grows beyond `body_inline_max` goes to a file of its own, piece by
//! piece through a few threads; the receiving task waits for each piece, so a slow disk slows the sender and nothing piles up. The file
//! is synced every `body_sync_bytes`: the last sync is then short, and the log's sync never finds itself behind megabytes of dirty pages.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use postern_mail::envelope::{Envelope, UnixMillis};
use postern_mail::proof::Committed;
use postern_mail::{MessageId, Outage};
use tokio::sync::oneshot;

use crate::disk::{DiskFile, read_full_at, write_all_at};
use crate::layout::record_bytes;
use crate::progress::Progress;
use crate::record::{BodyPlace, MessageParts, RECIPIENTS_MAX, decode_envelope, encode_envelope, encode_progress};
use crate::shared::{Accept, Shared};

/// A body that outgrew the log.
struct Spill {
    file: Arc<dyn DiskFile>,
    /// The piece being filled.
    piece: Vec<u8>,
    written: u64,
    unsynced: usize,
    sum: crc32fast::Hasher,
}

enum Content {
    Inline(Vec<u8>),
    File(Spill),
    /// An operation failed or was given up half-way: this message can only be discarded.
    Broken,
}

/// A message being received. Dropping it discards it.
pub struct Writer {
    shared: Arc<Shared>,
    id: MessageId,
    content: Content,
    /// What stands in the record before a body that is in a file.
    front: Vec<u8>,
    held: Option<Box<str>>,
    due: UnixMillis,
    /// There is, or may soon be, a file.
    spilled: bool,
    /// Tells a disk thread that is still at work that nobody wants its file any more.
    discarded: Arc<AtomicBool>,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let id = shared.next_id();
        Self {
            shared,
            id,
            content: Content::Inline(Vec::new()),
            front: Vec::new(),
            held: None,
            due: UnixMillis(0),
            spilled: false,
            discarded: Arc::new(AtomicBool::new(false)),
        }
    }

    /// The message's name, for its trace header.
    #[must_use]
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// Appends to the body. Waits while the disk is busy with the piece before.
    ///
    /// # Errors
    /// [`Outage::DiskFull`] for this message, [`Outage::Disk`] for all of them. The message can only be dropped then.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Outage> {
        let piece_max = self.shared.settings.body_inline_max.max(1);
        loop {
            match &mut self.content {
                Content::Inline(body) => {
                    if body.len() + bytes.len() <= piece_max {
                        body.extend_from_slice(bytes);
                        return self.shared.alive();
                    }
                    self.spill().await?;
                }
                Content::File(spill) => {
                    let (now, later) = bytes.split_at(bytes.len().min(piece_max.saturating_sub(spill.piece.len())));
                    spill.piece.extend_from_slice(now);
                    bytes = later;
                    if bytes.is_empty() {
                        return Ok(());
                    }
                    self.write_piece(End::More).await?;
                }
                Content::Broken => return Err(Outage::Bug("a message was written to after an error".into())),
            }
        }
    }

    /// Moves the body into a file.
    async fn spill(&mut self) -> Result<(), Outage> {
        let Content::Inline(mut piece) = std::mem::replace(&mut self.content, Content::Broken) else { return Ok(()) };
        self.shared.room()?;
        self.spilled = true;
        let path = self.path();
        let (shared, discarded) = (Arc::clone(&self.shared), Arc::clone(&self.discarded));
        let created = self.shared.writers.run(move || {
            let file = shared.disk.create(&path).map_err(|error| shared.body_failed(&error));
            // The writer may have gone while this job waited; its request to remove the file was then too early.
            if discarded.load(Ordering::Acquire) {
                let _ = shared.disk.remove(&path);
            }
            file
        });
        let file = created.await??;
        piece.reserve_exact(self.shared.settings.body_inline_max.saturating_sub(piece.len()));
        self.content = Content::File(Spill { file, piece, written: 0, unsynced: 0, sum: crc32fast::Hasher::new() });
        Ok(())
    }

    /// Forgets what was written and takes this in its place, for a message that was changed once it was all there.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn rewrite(&mut self, bytes: &[u8]) -> Result<(), Outage> {
        let was_in_file = match &self.content {
            Content::Inline(_) => false,
            Content::File(_) => true,
            Content::Broken => return Err(Outage::Bug("a message was rewritten after an error".into())),
        };
        self.content = Content::Inline(Vec::new());
        self.front.clear();
        if was_in_file {
            // The file is emptied and used again: a message has one, or none.
            self.spill().await?;
        }
        self.write(bytes).await
    }

    fn path(&self) -> PathBuf {
        self.shared.paths.body(self.id)
    }

    /// Writes the piece that is full, or the last one.
    async fn write_piece(&mut self, end: End) -> Result<(), Outage> {
        let Content::File(mut spill) = std::mem::replace(&mut self.content, Content::Broken) else { return Ok(()) };
        self.shared.room()?;
        let shared = Arc::clone(&self.shared);
        let written = self.shared.writers.run(move || {
            spill.sum.update(&spill.piece);
            spill.unsynced += spill.piece.len();
            let sync = end == End::Last || spill.unsynced >= shared.settings.body_sync_bytes;
            write_all_at(&*spill.file, &spill.piece, spill.written)
                .and_then(|()| if sync { spill.file.sync_data() } else { Ok(()) })
                // The name is made durable before the record that refers to it is even queued.
                .and_then(|()| if end == End::Last { shared.disk.sync_dir(&shared.paths.bodies) } else { Ok(()) })
                .map_err(|error| shared.body_failed(&error))?;
            if sync {
                spill.unsynced = 0;
                shared.look_at_free_space();
            }
            spill.written += spill.piece.len() as u64;
            spill.piece.clear();
            Ok::<_, Outage>(spill)
        });
        self.content = Content::File(written.await??);
        Ok(())
    }

    /// What was written so far, or its first `max` octets: borrowed where it is in memory, read back where it went to a file.
    ///
    /// # Errors
    /// [`Outage::Disk`] when it cannot be read; the message may still be committed.
    pub async fn read_back(&self, max: usize) -> Result<Cow<'_, [u8]>, Outage> {
        let spill = match &self.content {
            Content::Inline(body) => return Ok(Cow::Borrowed(body.get(..max).unwrap_or(body))),
            Content::File(spill) => spill,
            Content::Broken => return Err(Outage::Bug("a message was read after an error".into())),
        };
        let in_file = usize::try_from(spill.written).unwrap_or(usize::MAX).min(max);
        let file = Arc::clone(&spill.file);
        let read = self.shared.readers.run(move || {
            let mut bytes = vec![0; in_file];
            read_full_at(&*file, &mut bytes, 0).map(|count| (count, bytes))
        });
        let (count, mut bytes) = read.await?.map_err(|error| Outage::Disk(error.to_string()))?;
        if count < in_file {
            return Err(Outage::Disk("a body is shorter than what was written".into()));
        }
        bytes.extend_from_slice(spill.piece.get(..max - in_file).unwrap_or(&spill.piece));
        Ok(Cow::Owned(bytes))
    }

    /// Octets written so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        match &self.content {
            Content::Inline(body) => body.len() as u64,
            Content::File(spill) => spill.written + spill.piece.len() as u64,
            Content::Broken => 0,
        }
    }

    /// Puts octets before everything that was written, such as header fields that could only be made once the message was there.
    /// What is put in front later stands first.
    pub fn put_in_front(&mut self, bytes: &[u8]) {
        match &mut self.content {
            Content::Inline(body) => drop(body.splice(..0, bytes.iter().copied())),
            Content::File(_) | Content::Broken => drop(self.front.splice(..0, bytes.iter().copied())),
        }
    }

    /// Once it is committed, the message waits for a person, for this reason.
    pub fn hold(&mut self, reason: &str) {
        self.held = Some(reason.into());
    }

    /// Once it is committed, the message does not leave before this.
    pub fn not_before(&mut self, due: UnixMillis) {
        self.due = due;
    }

    /// Makes the message durable. When the future is dropped before it is ready, the message is not kept.
    ///
    /// # Errors
    /// [`Outage::DiskFull`], or [`Outage::Disk`] when nothing can be kept any more; in no case is the message acknowledged.
    pub async fn commit(mut self, envelope: &Envelope) -> Result<Committed, Outage> {
        self.shared.alive()?;
        let encoded = encode_envelope(envelope).filter(|_| envelope.recipients.len() <= RECIPIENTS_MAX);
        // What is acknowledged must be readable, so it is read back while it can still be refused.
        let encoded = encoded.filter(|bytes| decode_envelope(bytes).as_ref() == Some(envelope));
        let Some(encoded) = encoded else { return Err(Outage::Bug("an envelope that does not read back".into())) };
        let (held, due) = (self.held.take(), self.due);
        let progress = if held.is_some() || due > UnixMillis(0) {
            encode_progress(&Progress { held, due, ..Progress::fresh(envelope.recipients.len()) })
        } else {
            None
        };
        let before_body = encoded.len() + progress.as_ref().map_or(0, Vec::len) + self.front.len() + 64;
        let max = self.shared.settings.message_bytes_max();
        if record_bytes(before_body) > max {
            return Err(Outage::Bug(format!("an envelope of {} octets and {} before the body", encoded.len(), self.front.len())));
        }
        if let Content::Inline(body) = &self.content
            && record_bytes(before_body + body.len()) > max
        {
            self.spill().await?;
        }
        if matches!(self.content, Content::File(_)) {
            self.write_piece(End::Last).await?;
        }
        // Waits here when too many wait already; what comes after cannot be interrupted.
        let waiting = Arc::clone(&self.shared.waiting).acquire_owned().await;
        let Ok(waiting) = waiting else {
            self.shared.alive()?;
            return Err(Outage::Disk("the spool is closed".into()));
        };
        let content = std::mem::replace(&mut self.content, Content::Broken);
        let (place, body) = match content {
            Content::Inline(body) => (BodyPlace::Inline(&[]), body),
            Content::File(spill) => {
                let (length, sum) = (spill.written, spill.sum.finalize());
                (BodyPlace::File { front: &self.front, length, sum }, Vec::new())
            }
            Content::Broken => return Err(Outage::Bug("a message was committed after an error".into())),
        };
        let head = MessageParts { envelope: &encoded, progress: progress.as_deref(), body: place }.encode_head();
        let in_file = matches!(place, BodyPlace::File { .. });
        let (done, answer) = oneshot::channel();
        {
            let mut state = self.shared.lock();
            if state.stopping || state.failed.is_some() {
                return Err(state.failed.clone().unwrap_or_else(|| Outage::Disk("the spool is closed".into())));
            }
            state.accepts.push_back(Accept { id: self.id, head, body, in_file, done, waiting });
            self.shared.wake(&mut state);
        }
        // From here on the file belongs to the record.
        self.spilled = false;
        let mut guard = Guard { shared: &self.shared, answer: Some(answer) };
        let answer = match &mut guard.answer {
            Some(answer) => answer.await,
            None => return Err(Outage::Bug("a commit without an answer".into())),
        };
        guard.answer = None;
        answer.unwrap_or_else(|_| {
            self.shared.alive()?;
            Err(Outage::Bug("the committer dropped a message".into()))
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    More,
    Last,
}

/// The future of a commit may be dropped at the very moment its answer comes. The sender is not told then, so the message must not stay.
struct Guard<'a> {
    shared: &'a Shared,
    answer: Option<oneshot::Receiver<Result<Committed, Outage>>>,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let Some(mut answer) = self.answer.take() else { return };
        answer.close();
        if let Ok(Ok(receipt)) = answer.try_recv() {
            let mut state = self.shared.lock();
            state.finish(receipt.id(), None);
            self.shared.wake(&mut state);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.spilled {
            self.discarded.store(true, Ordering::Release);
            self.shared.lock().removals.push(self.id);
            self.shared.chores.notify_one();
        }
    }
}
