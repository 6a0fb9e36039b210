//! What can be set. Promise: a spool that opens has limits that fit each other; see [`SpoolSettings::check`].

use std::path::PathBuf;
use std::time::Duration;

use crate::SpoolError;
use crate::layout::BLOCK;

/// Settings of a spool; `base/config` fills them.
#[derive(Clone, Debug)]
pub struct SpoolSettings {
    /// Where it lives. Made when it is not there; its parent must be.
    pub dir: PathBuf,
    /// Octets of a segment of the log. 64 MiB are written in a fraction of a second and hold thousands of messages. May change between
    /// runs.
    pub segment_bytes: u64,
    /// Octets that one sync covers at most. Larger groups gain nothing and make those who wait for the next one wait longer.
    pub group_bytes_max: usize,
    /// Bodies up to this go into the log, larger ones into a file of their own. Measured: at 100 KiB the log wins by far, at 256 KiB
    /// the file.
    pub body_inline_max: usize,
    /// Octets of free disk below which nothing more is accepted, so that what is queued can still be delivered and recorded.
    pub free_space_min: u64,
    /// How long a finished or progressed message may wait for a group to ride on.
    pub finished_delay: Duration,
    /// Threads that write large bodies.
    pub writers: usize,
    /// Threads that read messages back.
    pub readers: usize,
    /// Octets of a large body between two syncs on its way in: what the last one, that somebody waits for, has left to do.
    pub body_sync_bytes: usize,
    /// The log is cleaned when less than this share of it is live and no spare segment is left.
    pub clean_below: f32,
    /// Freed segments kept for reuse; more are removed from the disk.
    pub spare_segments_max: usize,
    /// Messages that may wait for the same sync; further ones wait for a place.
    pub waiting_max: usize,
    /// Finished and progress records that may wait to be written.
    pub notes_max: usize,
}

impl Default for SpoolSettings {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("spool"),
            segment_bytes: 64 << 20,
            group_bytes_max: 4 << 20,
            body_inline_max: 192 << 10,
            free_space_min: 256 << 20,
            finished_delay: Duration::from_millis(20),
            writers: 4,
            readers: 2,
            body_sync_bytes: 1 << 20,
            clean_below: 0.5,
            spare_segments_max: 4,
            waiting_max: 4_096,
            notes_max: 65_536,
        }
    }
}

impl SpoolSettings {
    /// Limits that do not fit each other.
    pub(crate) fn check(&self) -> Result<(), SpoolError> {
        let wrong = |what: &'static str| Err(SpoolError::Settings(what));
        let group = self.group_bytes_max as u64;
        if !self.segment_bytes.is_multiple_of(BLOCK) || self.segment_bytes > 8 << 30 {
            return wrong("segment_bytes must be a multiple of 4096 and at most 8 GiB");
        }
        if !(16 << 10..=64 << 20).contains(&self.group_bytes_max) || !group.is_multiple_of(BLOCK) {
            return wrong("group_bytes_max must be a multiple of 4096 between 16 KiB and 64 MiB");
        }
        if self.segment_bytes < group * 4 + 2 * BLOCK {
            return wrong("segment_bytes must hold four groups and 8 KiB");
        }
        if self.body_inline_max > self.group_bytes_max / 4 {
            return wrong("body_inline_max must be at most a quarter of group_bytes_max");
        }
        if self.writers == 0 || self.readers == 0 || self.waiting_max == 0 || self.notes_max == 0 || self.body_sync_bytes == 0 {
            return wrong("writers, readers, waiting_max, notes_max and body_sync_bytes must not be zero");
        }
        if !(0.0..=0.9).contains(&self.clean_below) {
            return wrong("clean_below must lie between 0 and 0.9");
        }
        Ok(())
    }

    /// A message's record may take half a group, so that half is left for the progress it carries when it is moved.
    pub(crate) fn message_bytes_max(&self) -> usize {
        self.group_bytes_max / 2
    }

    /// A progress record may take a quarter of a group.
    pub(crate) fn progress_bytes_max(&self) -> usize {
        self.group_bytes_max / 4
    }
}
