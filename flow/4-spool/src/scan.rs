//! Reading segments at start-up, the newest first. Promise: a record is only believed when its checksum is right, and what is missing is
//! noticed by the group numbers.
//!
//! Reading and checking runs one segment ahead of taking in, in a thread of its own, since one waits for the disk and the other for
//! memory. Two segments are in memory at most.

use std::io::{self, ErrorKind};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use memmap2::MmapMut;
use postern_mail::MessageId;

use crate::disk::{Disk, DiskFile, read_full_at};
use crate::layout::{BLOCK, GroupHeader, Kind, SegmentHeader, record};
use crate::log::Paths;

/// Octets of a read.
const READ_BYTES: usize = 4 << 20;

/// Room for one segment, taken from the system and given back to it: an allocator would keep two of these for the rest of the run.
pub(crate) struct Buffer {
    room: MmapMut,
    length: usize,
}

impl Buffer {
    /// With this length. What an earlier segment left in it is for the reader to write over.
    fn of(length: usize, old: Option<Self>) -> io::Result<Self> {
        match old.filter(|old| old.room.len() >= length) {
            Some(old) => Ok(Self { length, ..old }),
            // The system maps nothing of no length.
            None => Ok(Self { room: MmapMut::map_anon(length.max(1))?, length }),
        }
    }

    fn octets_mut(&mut self) -> &mut [u8] {
        self.room.get_mut(..self.length).unwrap_or_default()
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        slice(&self.room, 0, self.length)
    }
}

/// A segment that was read and checked.
pub(crate) struct Scanned {
    pub(crate) generation: u32,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) buffer: Buffer,
    /// Blocks the disk would not give.
    pub(crate) unreadable: usize,
    /// `None` when both copies are lost; then the contents are empty.
    pub(crate) header: Option<SegmentHeader>,
    pub(crate) found: Contents,
}

/// Reads and checks all segments and hands each to `take`, the newest first.
pub(crate) fn each_segment(
    disk: &dyn Disk,
    paths: &Paths,
    generations: &[u32],
    take: &mut dyn FnMut(&Scanned) -> io::Result<()>,
) -> io::Result<()> {
    // Without room in the channel the reader holds one segment and the taker another.
    let (send, scanned) = sync_channel::<io::Result<Scanned>>(0);
    let (give_back, buffers) = sync_channel::<Buffer>(2);
    std::thread::scope(|scope| {
        // The receiver moves in, so that an error in `take` ends the reader too.
        let scanned = scanned;
        scope.spawn(move || read_ahead(disk, paths, generations, &send, &buffers));
        for segment in scanned {
            let segment = segment?;
            take(&segment)?;
            let _ = give_back.try_send(segment.buffer);
        }
        Ok(())
    })
}

fn read_ahead(
    disk: &dyn Disk,
    paths: &Paths,
    generations: &[u32],
    send: &SyncSender<io::Result<Scanned>>,
    buffers: &Receiver<Buffer>,
) {
    let mut next = None;
    for generation in generations.iter().rev().copied() {
        let scanned = scan(disk, paths, generation, next, buffers.try_recv().ok());
        if let Ok(scanned) = &scanned {
            next = scanned.found.first.or(next);
        }
        if send.send(scanned).is_err() {
            return;
        }
    }
}

/// Reads and checks one segment. `next` is the number of the first group of the newer ones.
pub(crate) fn scan(
    disk: &dyn Disk,
    paths: &Paths,
    generation: u32,
    next: Option<u64>,
    old: Option<Buffer>,
) -> io::Result<Scanned> {
    let file = disk.open(&paths.segment(generation))?;
    let mut buffer = Buffer::of(usize::try_from(file.size()?).unwrap_or(usize::MAX), old)?;
    let unreadable = read_segment(&*file, buffer.octets_mut())?;
    let last_block = buffer.len().saturating_sub(usize::try_from(BLOCK).unwrap_or(4096));
    let header = SegmentHeader::decode(&buffer).or_else(|| SegmentHeader::decode(slice(&buffer, last_block, buffer.len())));
    let header = header.filter(|header| header.generation == generation);
    let found = header.map(|header| contents(&buffer, header.salt, next)).unwrap_or_default();
    Ok(Scanned { generation, file, buffer, unreadable, header, found })
}

/// A valid record in the segment being looked at.
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) id: MessageId,
    pub(crate) at: usize,
    pub(crate) bytes: usize,
    pub(crate) payload: usize,
}

/// What a segment holds.
#[derive(Default)]
pub(crate) struct Contents {
    pub(crate) entries: Vec<Entry>,
    /// Number of the first group, number, offset and length of the last one.
    pub(crate) first: Option<u64>,
    pub(crate) last: Option<(u64, usize, usize)>,
    pub(crate) newest: u64,
    /// Numbers are missing, or there is nothing where something must be.
    pub(crate) gap: bool,
    pub(crate) torn: bool,
}

pub(crate) fn slice(buffer: &[u8], from: usize, to: usize) -> &[u8] {
    buffer.get(from..to).unwrap_or_default()
}

/// Single records between two valid groups, or where a group should be.
fn salvage(buffer: &[u8], salt: u64, (from, to): (usize, usize), numbers: (u64, u64), entries: &mut Vec<Entry>) {
    let mut at = from;
    while at < to {
        match record(slice(buffer, at, to), salt).filter(|found| numbers.0 < found.group && found.group < numbers.1) {
            Some(found) => {
                entries.push(Entry { kind: found.kind, id: found.id, at, bytes: found.bytes, payload: found.payload.len() });
                at += found.bytes;
            }
            None => at += 8,
        }
    }
}

/// Reads what a segment holds. `next` is the number of the first group of the newer segments, if they have any.
fn contents(buffer: &[u8], salt: u64, next: Option<u64>) -> Contents {
    let block = usize::try_from(BLOCK).unwrap_or(4096);
    let end = buffer.len().saturating_sub(block);
    let mut found = Contents::default();
    let mut at = block;
    // Behind the last valid group.
    let mut after = block;
    while at < end {
        let rest = slice(buffer, at, end);
        let previous = found.last.map(|(number, ..)| number);
        let header = GroupHeader::decode(rest, salt).filter(|header| previous.is_none_or(|number| header.number > number));
        let valid = header.and_then(|header| header.records(rest, salt).map(|records| (header, records)));
        let Some((header, records)) = valid else {
            // Behind the last group this is a group that was being written; before another it is part of a gap.
            found.torn |= header.is_some();
            at += block;
            continue;
        };
        let hole = previous.map_or(at > after, |number| header.number != number + 1);
        if hole {
            found.gap = true;
            salvage(buffer, salt, (after, at), (previous.unwrap_or(0), header.number), &mut found.entries);
        }
        found.torn = false;
        found.entries.extend(records.iter().map(|(offset, r)| Entry {
            kind: r.kind,
            id: r.id,
            at: at + offset,
            bytes: r.bytes,
            payload: r.payload.len(),
        }));
        let bytes = usize::try_from(header.bytes()).unwrap_or(usize::MAX);
        found.first.get_or_insert(header.number);
        found.last = Some((header.number, at, bytes));
        found.newest = found.newest.max(header.newest.0);
        at = at.saturating_add(bytes);
        after = at;
    }
    let missing = next.is_some_and(|next| found.last.is_none_or(|(number, ..)| number + 1 != next));
    if missing {
        found.gap = true;
        let numbers = (found.last.map_or(0, |(number, ..)| number), next.unwrap_or(u64::MAX));
        salvage(buffer, salt, (after, end), numbers, &mut found.entries);
    }
    found
}

/// Reads a whole segment; what the disk will not give is zeros, and blocks of it are counted.
fn read_segment(file: &dyn DiskFile, buffer: &mut [u8]) -> io::Result<usize> {
    let size = buffer.len();
    let mut unreadable = 0;
    let block = usize::try_from(BLOCK).unwrap_or(4096);
    let read = |place: &mut [u8], offset| {
        let count = read_full_at(file, place, offset)?;
        // Nothing an earlier segment left here may pass for a part of this one.
        place.get_mut(count..).unwrap_or_default().fill(0);
        io::Result::Ok(())
    };
    for (number, piece) in buffer.chunks_mut(READ_BYTES).enumerate() {
        let offset = (number * READ_BYTES) as u64;
        if read(piece, offset).is_err() {
            for (index, block) in piece.chunks_mut(block).enumerate() {
                if read(block, offset + index as u64 * BLOCK).is_err() {
                    block.fill(0);
                    unreadable += 1;
                }
            }
        }
    }
    if unreadable * block >= size && size > 0 { Err(ErrorKind::Other.into()) } else { Ok(unreadable) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_used_again_shows_only_its_new_length() {
        let mut first = Buffer::of(8_192, None).unwrap();
        first.octets_mut().fill(7);
        let second = Buffer::of(4_096, Some(first)).unwrap();
        assert_eq!((second.len(), second.room.len()), (4_096, 8_192));
        assert!(Buffer::of(0, Some(second)).unwrap().is_empty());
        assert_eq!(Buffer::of(4_096, None).unwrap().iter().filter(|byte| **byte != 0).count(), 0);
    }

    struct Short;

    impl DiskFile for Short {
        fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
            Err(ErrorKind::Unsupported.into())
        }

        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let count = buffer.len().min(5_000_usize.saturating_sub(usize::try_from(offset).unwrap_or(usize::MAX)));
            buffer[..count].fill(1);
            Ok(count)
        }

        fn sync_data(&self) -> io::Result<()> {
            Ok(())
        }

        fn size(&self) -> io::Result<u64> {
            Ok(8_192)
        }
    }

    #[test]
    fn what_a_segment_read_before_left_in_the_buffer_never_shows_in_the_next() {
        let mut buffer = vec![7; 8_192];
        assert_eq!(read_segment(&Short, &mut buffer).unwrap(), 0);
        assert_eq!((buffer[4_999], buffer[5_000], buffer[8_191]), (1, 0, 0));
    }
}
