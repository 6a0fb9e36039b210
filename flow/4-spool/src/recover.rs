//! The start-up scan: what the log says is the queue. Promise: nothing acknowledged is missing unless the disk lost it, and then somebody
//! is told.
//!
//! Every segment is read once, in big reads, and checked group by group. The newest is taken first: what takes a message back (Finished)
//! or replaces something of it (Progress, a moved Message) lies behind it, so whoever reads backwards knows a message's fate by the time it
//! is met, and nothing has to be kept for later.
//!
//! Only the last group can be torn, since no group is written before the one in front of it is synced. Hence: a gap in the group numbers
//! is damage, and anything invalid behind the last valid group is a torn tail that nobody was promised anything about. Damage is
//! salvaged record by record, a copy of the segment is set aside, and body files are not cleaned up, for the record of one of them may
//! be what was lost.
//!
//! The last valid group is written once more. If the process before us died of a failed sync, the system may show us from its memory what
//! the disk does not have; we are about to build on it, so we make it true.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use postern_mail::MessageId;
use postern_mail::envelope::Envelope;

use crate::disk::{Disk, write_all_at};
use crate::index::{Index, Place};
use crate::layout::{BLOCK, Kind, RECORD_HEADER, SegmentHeader};
use crate::log::{Log, Paths, Segment};
use crate::progress::Progress;
use crate::reader::{envelope_and_progress, read_record};
use crate::record::{BodyPlace, MessageParts};
use crate::scan::{Entry, Scanned, each_segment, slice};
use crate::settings::SpoolSettings;

/// A message that was found.
#[derive(Clone, Debug)]
pub struct RecoveredMessage {
    /// Which.
    pub id: MessageId,
    /// As it was accepted.
    pub envelope: Envelope,
    /// How far it has come.
    pub progress: Progress,
    /// Octets of the body.
    pub size: u64,
}

/// What start-up found.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// Messages in the queue.
    pub messages: usize,
    /// What the disk did not keep. An operator must hear of each.
    pub damage: Vec<Damage>,
    /// A group that was being written when the last run ended was thrown away; nobody had been told it was kept.
    pub torn_tail: bool,
    /// Octets of the log that were read.
    pub bytes_read: u64,
    /// How long it took.
    pub duration: Duration,
}

/// Something the disk did not keep.
#[derive(Clone, Debug)]
pub struct Damage {
    /// In words.
    pub what: String,
    /// Under which name in `damaged/` it was set aside, where that was possible.
    pub set_aside: Option<String>,
}

/// A spool as it stands, before its threads start.
pub(crate) struct Found {
    pub(crate) index: Index,
    pub(crate) log: Log,
    pub(crate) newest: MessageId,
    /// Set aside; their Finished is still to be written.
    pub(crate) finished: Vec<MessageId>,
    pub(crate) report: Recovered,
}

struct Recovery<'a> {
    disk: &'a dyn Disk,
    paths: &'a Paths,
    index: Index,
    log: Log,
    newest: u64,
    finished: HashSet<MessageId>,
    set_aside: Vec<MessageId>,
    /// Body files on disk that no live record was seen for yet.
    bodies: HashSet<MessageId>,
    report: Recovered,
    on_message: &'a mut dyn FnMut(RecoveredMessage),
}

impl Recovery<'_> {
    fn keep_aside(&self, name: &str, bytes: &[u8]) -> Option<String> {
        let write = || {
            let path = self.paths.damaged.join(name);
            match self.disk.open(&path) {
                // Seen at an earlier start; the first copy is the best one.
                Ok(file) if file.size()? >= bytes.len() as u64 => return Ok(()),
                _ => {}
            }
            let file = self.disk.create(&path)?;
            write_all_at(&*file, bytes, 0)?;
            file.sync_data()?;
            self.disk.sync_dir(&self.paths.damaged)
        };
        match write() {
            Ok(()) => Some(name.to_owned()),
            Err(error) => {
                tracing::error!(%error, name, "damage could not be set aside");
                None
            }
        }
    }

    fn damaged(&mut self, what: String, set_aside: Option<String>) {
        tracing::error!(what, set_aside, "the spool is damaged");
        self.report.damage.push(Damage { what, set_aside });
    }

    /// Takes in one record. The newest comes first.
    fn take(&mut self, entry: &Entry, buffer: &[u8], generation: u32) -> io::Result<()> {
        let Entry { kind, id, at, bytes, .. } = *entry;
        self.newest = self.newest.max(id.0);
        let place = |in_file| Place::new(generation, at as u64, bytes, in_file);
        if kind == Kind::Finished {
            self.finished.insert(id);
            return Ok(());
        }
        if self.finished.contains(&id) || self.index.place(id).is_some() {
            return Ok(());
        }
        if kind == Kind::Progress {
            if self.index.progress(id).is_none() {
                self.index.set_progress(id, Some(place(false)));
            }
            return Ok(());
        }
        let payload = slice(buffer, at + RECORD_HEADER, at + RECORD_HEADER + entry.payload);
        let parts = MessageParts::decode(payload);
        let newer = self.newer_progress(id, buffer, generation);
        let read = parts.and_then(|parts| Some((parts, envelope_and_progress(&parts, newer.as_deref())?)));
        let Some((parts, (envelope, progress))) = read else {
            let kept = self.keep_aside(&format!("{id}.record"), payload);
            self.damaged(format!("message {id} does not read right"), kept);
            return Ok(());
        };
        let in_file = matches!(parts.body, BodyPlace::File { .. });
        let place = place(in_file);
        if let BodyPlace::File { length, .. } = parts.body
            && !self.body_is_there(id, length)?
        {
            let kept = self.keep_aside(&format!("{id}.record"), payload);
            let body = self.bodies.remove(&id).then(|| self.move_body_aside(id)).flatten();
            self.damaged(format!("message {id} has lost its body of {length} octets"), body.or(kept.clone()));
            // What is set aside need not be found again at every start.
            if kept.is_some() {
                self.set_aside.push(id);
                self.finished.insert(id);
            }
            return Ok(());
        }
        self.index.insert(id, place);
        self.log.count_in(place);
        self.report.messages += 1;
        (self.on_message)(RecoveredMessage { id, envelope, progress, size: parts.body.length() });
        Ok(())
    }

    /// A progress record that lies behind its message. It was checked when it was met, so failing to read it again is as good as not
    /// having it: the message is tried again.
    fn newer_progress(&self, id: MessageId, buffer: &[u8], generation: u32) -> Option<Vec<u8>> {
        let place = self.index.progress(id)?;
        if place.segment == generation {
            let at = usize::try_from(place.offset()).ok()?;
            let header = slice(buffer, at, at + RECORD_HEADER);
            let length = u32::from_le_bytes(*header.get(24..)?.first_chunk()?);
            return Some(slice(buffer, at + RECORD_HEADER, at + RECORD_HEADER + usize::try_from(length).ok()?).to_vec());
        }
        let segment = self.log.segments.get(&place.segment)?;
        read_record(&*segment.file, segment.header.salt, place, id, Kind::Progress).ok()?
    }

    fn remove_segment(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)?;
        self.disk.sync_dir(&self.paths.log)
    }

    fn body_is_there(&mut self, id: MessageId, length: u64) -> io::Result<bool> {
        if !self.bodies.contains(&id) || self.disk.open(&self.paths.body(id))?.size()? != length {
            return Ok(false);
        }
        Ok(self.bodies.remove(&id))
    }

    fn move_body_aside(&self, id: MessageId) -> Option<String> {
        let name = format!("{id}.body");
        self.disk.rename(&self.paths.body(id), &self.paths.damaged.join(&name)).ok()?;
        self.disk.sync_dir(&self.paths.damaged).ok()?;
        Some(name)
    }
}

fn generation_of(name: &str, ending: &str) -> Option<u32> {
    name.strip_suffix(ending)?.parse().ok()
}

/// The segments among the names in the log's folder, the oldest first.
pub(crate) fn segments(names: &[String]) -> Vec<u32> {
    let mut generations: Vec<u32> = names.iter().filter_map(|name| generation_of(name, ".seg")).collect();
    generations.sort_unstable();
    generations
}

/// Reads the whole spool and calls `on_message` for every message in it, the newest first.
pub(crate) fn recover(
    settings: &SpoolSettings,
    paths: &Paths,
    disk: &dyn Disk,
    on_message: &mut dyn FnMut(RecoveredMessage),
) -> io::Result<Found> {
    let mut log = Log::new();
    let names = disk.list(&paths.log)?;
    let generations = segments(&names);
    for name in names {
        if let Some(generation) = generation_of(&name, ".free") {
            let path = paths.spare(generation);
            if disk.open(&path)?.size()? == settings.segment_bytes && log.spare.len() < settings.spare_segments_max {
                log.spare.push(generation);
            } else {
                disk.remove(&path)?;
            }
        } else if generation_of(&name, ".tmp").is_some() {
            disk.remove(&paths.log.join(name))?;
        }
    }
    let mut bodies = HashSet::new();
    for name in disk.list(&paths.bodies)? {
        bodies.extend(name.parse::<MessageId>());
    }
    // Names the run before us changed and did not live to sync are made durable before anything is built on them.
    for dir in [&paths.root, &paths.log, &paths.bodies] {
        disk.sync_dir(dir)?;
    }
    log.next_generation = generations.last().copied().max(log.spare.iter().max().copied()).unwrap_or(0) + 1;
    let newest = bodies.iter().map(|id| id.0).max().unwrap_or(0);
    let mut recovery = Recovery {
        disk,
        paths,
        index: Index::new(),
        log,
        newest,
        finished: HashSet::new(),
        set_aside: Vec::new(),
        bodies,
        report: Recovered::default(),
        on_message,
    };
    scan(&mut recovery, settings, &generations)?;
    recovery.index.drop_orphaned_progress();
    remove_orphans(&mut recovery)?;
    let Recovery { index, log, newest, set_aside, report, .. } = recovery;
    Ok(Found { index, log, newest: MessageId(newest), finished: set_aside, report })
}

/// Takes in every segment, the newest first.
fn scan(recovery: &mut Recovery<'_>, settings: &SpoolSettings, generations: &[u32]) -> io::Result<()> {
    let (disk, paths) = (recovery.disk, recovery.paths);
    let mut next = None;
    each_segment(disk, paths, generations, &mut |scanned| {
        next = take_segment(recovery, settings, scanned, next)?;
        Ok(())
    })
}

/// Takes in one segment. `next` is the number of the first group of the newer ones, and what comes back the same for the older ones.
fn take_segment(
    recovery: &mut Recovery<'_>,
    settings: &SpoolSettings,
    scanned: &Scanned,
    next: Option<u64>,
) -> io::Result<Option<u64>> {
    let Scanned { generation, file, buffer, unreadable, header, found } = scanned;
    let (generation, path) = (*generation, recovery.paths.segment(*generation));
    let length = buffer.len() as u64;
    recovery.report.bytes_read += length;
    let name = format!("{generation:010}.seg");
    let Some(header) = header else {
        let kept = recovery.keep_aside(&name, buffer);
        let safe = kept.is_some();
        recovery.damaged(format!("segment {generation} has lost both its headers; nothing in it could be read"), kept);
        // It keeps its place in the order, holds nothing, and is freed when it is the oldest.
        if next.is_some() {
            let header = SegmentHeader { generation, salt: 0, bytes: length };
            recovery.log.segments.insert(generation, Segment::new(header, Arc::clone(file)));
        } else if safe {
            recovery.remove_segment(&path)?;
        } else {
            return Err(io::Error::other("a segment without a header could not be set aside"));
        }
        return Ok(next);
    };
    if found.gap || (*unreadable > 0 && found.last.is_some()) || header.bytes != length {
        let kept = recovery.keep_aside(&name, buffer);
        let what = "has lost at least one group; what single records it still has were kept";
        recovery.damaged(format!("segment {generation} {what}"), kept);
    }
    let mut segment = Segment::new(SegmentHeader { bytes: length, ..*header }, Arc::clone(file));
    segment.used = match found.last {
        Some((_, offset, bytes)) => (offset + bytes) as u64,
        // Nothing valid, but newer segments go on: what was salvaged must not be written over.
        None if next.is_some() => length,
        None => BLOCK,
    };
    recovery.newest = recovery.newest.max(found.newest);
    if next.is_none() {
        recovery.report.torn_tail |= found.torn;
    }
    match (next, found.last) {
        (None, None) if length == settings.segment_bytes && *unreadable == 0 => {
            // Prepared and not used yet.
            recovery.log.ready.push_front(segment);
            return Ok(None);
        }
        (None, None) => {
            recovery.remove_segment(&path)?;
            return Ok(None);
        }
        (None, Some((number, offset, bytes))) => {
            recovery.log.active = Some(generation);
            recovery.log.next_group = number + 1;
            write_all_at(&**file, slice(buffer, offset, offset + bytes), offset as u64)?;
            file.sync_data()?;
        }
        (Some(_), _) => {}
    }
    recovery.log.segments.insert(generation, segment);
    for entry in found.entries.iter().rev() {
        recovery.take(entry, buffer, generation)?;
    }
    Ok(found.first.or(next))
}

/// Body files without a record: they were being received, or their message is finished.
fn remove_orphans(recovery: &mut Recovery<'_>) -> io::Result<()> {
    if recovery.bodies.is_empty() {
        return Ok(());
    }
    if !recovery.report.damage.is_empty() {
        let count = recovery.bodies.len();
        tracing::error!(count, "body files without a record are kept, since records were lost");
        return Ok(());
    }
    for id in std::mem::take(&mut recovery.bodies) {
        recovery.disk.remove(&recovery.paths.body(id))?;
    }
    recovery.disk.sync_dir(&recovery.paths.bodies)
}
