//! Reading messages back. Promise: what comes out passed its checksum; anything else is an error, never other bytes.
//!
//! A record may be moved, and its segment reused, while it is being read. Its checksum is seeded with that life of the segment, so what is
//! read then is not valid, and the index says where to look instead.

use std::io::ErrorKind;
use std::sync::Arc;

use postern_mail::envelope::Envelope;
use postern_mail::{MessageId, Outage};

use crate::disk::{DiskFile, read_full_at};
use crate::index::Place;
use crate::layout::{Kind, RECORD_HEADER, record};
use crate::progress::Progress;
use crate::record::{BodyPlace, MessageParts, decode_envelope, decode_progress};
use crate::shared::Shared;

/// Octets of a piece of a large body.
const PIECE_BYTES: usize = 256 << 10;
/// A message is moved once in the life of a segment, so a reader that finds it gone this often has met a bug.
const TRIES_MAX: usize = 16;

/// Why a message could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is not in the queue, or no longer.
    #[error("no such message in the queue")]
    NotFound,
    /// It is there and does not read right. It stays where it is for a person to look at.
    #[error("message {id} is damaged: {what}")]
    Damaged {
        /// Which.
        id: MessageId,
        /// What is wrong.
        what: String,
    },
    /// The disk said no.
    #[error("{0}")]
    Outage(Outage),
}

impl From<Outage> for LoadError {
    fn from(outage: Outage) -> Self {
        Self::Outage(outage)
    }
}

/// A message as it is kept.
pub struct Stored {
    /// As it was accepted.
    pub envelope: Envelope,
    /// How far it has come.
    pub progress: Progress,
    /// Octets of the body.
    pub size: u64,
    /// The content.
    pub body: Body,
}

/// A message's content.
pub enum Body {
    /// All of it.
    Inline(Vec<u8>),
    /// To be read in pieces.
    File(BodyFile),
}

impl Body {
    /// The next piece of at most 256 KiB; `None` at the end. The last piece is only given out when the checksum of the whole is right,
    /// so whoever passes pieces on must take an error as the end of a message that must not be completed.
    ///
    /// # Errors
    /// [`LoadError::Damaged`] or [`LoadError::Outage`].
    pub async fn next_piece(&mut self) -> Result<Option<Vec<u8>>, LoadError> {
        match self {
            Self::Inline(bytes) => Ok(Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty())),
            Self::File(file) => file.next_piece().await,
        }
    }
}

/// A body in a file of its own.
pub struct BodyFile {
    shared: Arc<Shared>,
    id: MessageId,
    file: Arc<dyn DiskFile>,
    /// What comes before the file.
    front: Arc<[u8]>,
    front_given: bool,
    length: u64,
    sum: u32,
    done: u64,
    hasher: crc32fast::Hasher,
}

impl BodyFile {
    /// The same body, from its start: for another next hop.
    #[must_use]
    pub fn from_start(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            id: self.id,
            file: Arc::clone(&self.file),
            front: Arc::clone(&self.front),
            front_given: false,
            length: self.length,
            sum: self.sum,
            done: 0,
            hasher: crc32fast::Hasher::new(),
        }
    }

    /// The next piece of at most 256 KiB; `None` at the end. See [`Body::next_piece`].
    ///
    /// # Errors
    /// [`LoadError::Damaged`] or [`LoadError::Outage`].
    pub async fn next_piece(&mut self) -> Result<Option<Vec<u8>>, LoadError> {
        if !self.front_given {
            self.front_given = true;
            if !self.front.is_empty() {
                return Ok(Some(self.front.to_vec()));
            }
        }
        let left = usize::try_from(self.length - self.done).unwrap_or(usize::MAX).min(PIECE_BYTES);
        if left == 0 {
            return Ok(None);
        }
        let (file, offset) = (Arc::clone(&self.file), self.done);
        let read = self.shared.readers.run(move || {
            let mut piece = vec![0; left];
            read_full_at(&*file, &mut piece, offset).map(|count| (count, piece))
        });
        let (count, piece) = read.await?.map_err(|error| Outage::Disk(error.to_string()))?;
        self.hasher.update(&piece);
        self.done += left as u64;
        let whole = self.done < self.length || self.hasher.clone().finalize() == self.sum;
        if count < left || !whole {
            return Err(LoadError::Damaged { id: self.id, what: "the body's checksum is wrong".into() });
        }
        Ok(Some(piece))
    }
}

/// The payload of the record at `place`, when it is valid and what it should be.
pub(crate) fn read_record(
    file: &dyn DiskFile,
    salt: u64,
    place: Place,
    id: MessageId,
    kind: Kind,
) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; usize::try_from(place.bytes).unwrap_or(0)];
    let count = read_full_at(file, &mut bytes, place.offset())?;
    bytes.truncate(count);
    let Some(found) = record(&bytes, salt).filter(|found| found.id == id && found.kind == kind) else { return Ok(None) };
    let length = found.payload.len();
    bytes.truncate(RECORD_HEADER + length);
    bytes.drain(..RECORD_HEADER);
    Ok(Some(bytes))
}

/// Where a message's parts are at one moment.
struct Whereabouts {
    message: (Arc<dyn DiskFile>, u64, Place),
    noted: Option<Arc<[u8]>>,
    progress: Option<(Arc<dyn DiskFile>, u64, Place)>,
}

/// The records of a message.
pub(crate) struct Found {
    /// Payload of the message record.
    pub(crate) payload: Vec<u8>,
    /// Encoded, when it is newer than what the message record holds.
    pub(crate) progress: Option<Vec<u8>>,
    /// Where they were, for whoever wants to move them.
    pub(crate) place: Place,
    pub(crate) progress_place: Option<Place>,
}

fn whereabouts(shared: &Shared, id: MessageId) -> Result<Whereabouts, LoadError> {
    let state = shared.lock();
    let locate = |place: Place| {
        let segment = state.log.segments.get(&place.segment);
        segment.map(|segment| (Arc::clone(&segment.file), segment.header.salt, place))
    };
    let place = state.index.place(id).ok_or(LoadError::NotFound)?;
    let message = locate(place).ok_or_else(|| Outage::Bug("an index entry without a segment".into()))?;
    let noted = state.notes.progress_of(id).cloned();
    Ok(Whereabouts { message, noted, progress: state.index.progress(id).and_then(locate) })
}

/// Finds the newest records of a message.
pub(crate) fn find(shared: &Shared, id: MessageId) -> Result<Found, LoadError> {
    let disk = |error: std::io::Error| LoadError::Outage(Outage::Disk(error.to_string()));
    let mut seen: Option<(Place, Option<Place>)> = None;
    for _ in 0..TRIES_MAX {
        let now = whereabouts(shared, id)?;
        let (file, salt, place) = now.message;
        let progress_place = now.progress.as_ref().map(|(_, _, place)| *place);
        if seen.replace((place, progress_place)) == Some((place, progress_place)) {
            return Err(LoadError::Damaged {
                id,
                what: format!("the record in segment {} at {}", place.segment, place.offset()),
            });
        }
        let Some(payload) = read_record(&*file, salt, place, id, Kind::Message).map_err(disk)? else { continue };
        let progress = match (now.noted, now.progress) {
            (Some(noted), _) => Some(noted.to_vec()),
            (None, None) => None,
            (None, Some((file, salt, place))) => match read_record(&*file, salt, place, id, Kind::Progress).map_err(disk)? {
                Some(bytes) => Some(bytes),
                None => continue,
            },
        };
        return Ok(Found { payload, progress, place, progress_place });
    }
    Err(LoadError::Damaged { id, what: "it moves faster than it can be read".into() })
}

/// Envelope and progress from a message's parts; the progress is never shorter than the list of recipients.
pub(crate) fn envelope_and_progress(parts: &MessageParts<'_>, newer: Option<&[u8]>) -> Option<(Envelope, Progress)> {
    let envelope = decode_envelope(parts.envelope)?;
    let mut progress = match newer.or(parts.progress) {
        Some(bytes) => decode_progress(bytes)?,
        None => Progress::default(),
    };
    progress.recipients.resize_with(envelope.recipients.len(), Default::default);
    Some((envelope, progress))
}

/// Reads a message. Blocks.
pub(crate) fn load(shared: &Arc<Shared>, id: MessageId) -> Result<Stored, LoadError> {
    let damaged = |what: &str| LoadError::Damaged { id, what: what.into() };
    let mut found = find(shared, id)?;
    let parts = MessageParts::decode(&found.payload).ok_or_else(|| damaged("the message record"))?;
    let (envelope, progress) =
        envelope_and_progress(&parts, found.progress.as_deref()).ok_or_else(|| damaged("the envelope or its progress"))?;
    let size = parts.body.length();
    let body = match parts.body {
        BodyPlace::Inline(bytes) => {
            let head = found.payload.len() - bytes.len();
            found.payload.drain(..head);
            Body::Inline(found.payload)
        }
        BodyPlace::File { front, length, sum } => {
            let front = Arc::from(front);
            let file = shared.disk.open(&shared.paths.body(id)).map_err(|error| match error.kind() {
                // It may have been finished since it was looked up.
                ErrorKind::NotFound if shared.lock().index.place(id).is_none() => LoadError::NotFound,
                ErrorKind::NotFound => damaged("the body is missing"),
                _ => LoadError::Outage(Outage::Disk(error.to_string())),
            })?;
            let shared = Arc::clone(shared);
            let hasher = crc32fast::Hasher::new();
            Body::File(BodyFile { shared, id, file, front, front_given: false, length, sum, done: 0, hasher })
        }
    };
    Ok(Stored { envelope, progress, size, body })
}

/// Reads a message without its body. Blocks.
pub(crate) fn load_envelope(shared: &Shared, id: MessageId) -> Result<(Envelope, Progress, u64), LoadError> {
    let damaged = |what: &str| LoadError::Damaged { id, what: what.into() };
    let found = find(shared, id)?;
    let parts = MessageParts::decode(&found.payload).ok_or_else(|| damaged("the message record"))?;
    let (envelope, progress) =
        envelope_and_progress(&parts, found.progress.as_deref()).ok_or_else(|| damaged("the envelope or its progress"))?;
    Ok((envelope, progress, parts.body.length()))
}
