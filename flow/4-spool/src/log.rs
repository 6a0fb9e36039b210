//! The segments in memory: which are in use, which one is being filled, which wait. Promise: segments are freed strictly in order, the
//! oldest first, and only when nothing in them is needed.
//!
//! Freeing in order is what makes one log enough. A record that takes something back (Finished, a newer Progress, a moved Message) always
//! lies behind what it takes back. When the segment it is in is freed, every older one has been freed before, so there is nothing left
//! that it could be missed for: a finished message can not come back because its Finished was forgotten.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::DiskFile;
use crate::index::Place;
use crate::layout::{BLOCK, SegmentHeader};

/// A segment in use.
pub(crate) struct Segment {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) header: SegmentHeader,
    /// Where the next group begins.
    pub(crate) used: u64,
    /// Messages whose newest record is here.
    pub(crate) live: u32,
    /// Octets of those records.
    pub(crate) live_bytes: u64,
    /// A message in it can no longer be read, so it is never freed; a person has been told.
    pub(crate) pinned: bool,
}

impl Segment {
    pub(crate) fn new(header: SegmentHeader, file: Arc<dyn DiskFile>) -> Self {
        Self { file, header, used: BLOCK, live: 0, live_bytes: 0, pinned: false }
    }

    /// Octets left for groups; the last block holds the copy of the header.
    pub(crate) fn room(&self) -> u64 {
        self.header.bytes.saturating_sub(BLOCK).saturating_sub(self.used)
    }
}

/// All segments.
pub(crate) struct Log {
    pub(crate) segments: BTreeMap<u32, Segment>,
    /// The one being filled; always the newest of `segments`.
    pub(crate) active: Option<u32>,
    /// Prepared, in the order they will be used.
    pub(crate) ready: VecDeque<Segment>,
    /// Freed: generations of the `.free` files.
    pub(crate) spare: Vec<u32>,
    pub(crate) next_generation: u32,
    /// Number of the next group.
    pub(crate) next_group: u64,
    /// No segment can be made ready: the disk is full.
    pub(crate) full: bool,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self {
            segments: BTreeMap::new(),
            active: None,
            ready: VecDeque::new(),
            spare: Vec::new(),
            next_generation: 1,
            next_group: 1,
            full: false,
        }
    }

    pub(crate) fn active(&self) -> Option<&Segment> {
        self.segments.get(&self.active?)
    }

    /// Turns to the next prepared segment; false when there is none.
    pub(crate) fn turn(&mut self) -> bool {
        let Some(segment) = self.ready.pop_front() else { return false };
        self.active = Some(segment.header.generation);
        self.segments.insert(segment.header.generation, segment);
        true
    }

    pub(crate) fn count_in(&mut self, place: Place) {
        if let Some(segment) = self.segments.get_mut(&place.segment) {
            segment.live += 1;
            segment.live_bytes += u64::from(place.bytes);
        }
    }

    pub(crate) fn count_out(&mut self, place: Place) {
        if let Some(segment) = self.segments.get_mut(&place.segment) {
            segment.live = segment.live.saturating_sub(1);
            segment.live_bytes = segment.live_bytes.saturating_sub(u64::from(place.bytes));
        }
    }

    /// The oldest segment, unless it is the one being filled.
    pub(crate) fn oldest(&self) -> Option<&Segment> {
        self.segments.first_key_value().map(|(_, segment)| segment).filter(|s| Some(s.header.generation) != self.active)
    }

    /// The oldest segment, when nothing in it is needed.
    pub(crate) fn dead(&self) -> Option<u32> {
        self.oldest().filter(|s| s.live == 0 && !s.pinned).map(|s| s.header.generation)
    }

    /// Octets of live messages, and of everything in the log.
    pub(crate) fn weight(&self) -> (u64, u64) {
        self.segments.values().fold((0, 0), |(live, used), s| (live + s.live_bytes, used + s.used))
    }

    /// The oldest segment, when what lives in it should be moved to the head so that it can be freed.
    pub(crate) fn to_clean(&self, below: f32) -> Option<u32> {
        let oldest = self.oldest().filter(|s| s.live > 0 && !s.pinned)?;
        let (live, used) = self.weight();
        // When the disk is full any garbage is worth collecting.
        let below = if self.full { 0.9 } else { f64::from(below) };
        #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
        let mostly_garbage = (live as f64) < below * used as f64;
        (self.spare.is_empty() && self.segments.len() >= 3 && mostly_garbage).then_some(oldest.header.generation)
    }
}

/// Names of everything in a spool directory.
#[derive(Clone)]
pub(crate) struct Paths {
    pub(crate) root: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) bodies: PathBuf,
    pub(crate) damaged: PathBuf,
}

impl Paths {
    pub(crate) fn new(root: &Path) -> Self {
        let root = root.to_owned();
        Self { log: root.join("log"), bodies: root.join("bodies"), damaged: root.join("damaged"), root }
    }

    /// In use, or ready to be.
    pub(crate) fn segment(&self, generation: u32) -> PathBuf {
        self.log.join(format!("{generation:010}.seg"))
    }

    /// Freed; its content means nothing.
    pub(crate) fn spare(&self, generation: u32) -> PathBuf {
        self.log.join(format!("{generation:010}.free"))
    }

    /// Being made.
    pub(crate) fn unfinished(&self, generation: u32) -> PathBuf {
        self.log.join(format!("{generation:010}.tmp"))
    }

    pub(crate) fn body(&self, id: postern_mail::MessageId) -> PathBuf {
        self.bodies.join(id.to_string())
    }
}
