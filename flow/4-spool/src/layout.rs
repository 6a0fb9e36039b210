//! The bytes of the log: segments of groups of records. Promise: what is read back as valid was written by this server, whole, at this
//! place, in this life of the segment.
//!
//! ```text
//! segment   block 0: header | groups ...                                      | last block: copy of the header
//! group     64 octets: header | records ... | zeros up to a multiple of 4096
//! record    32 octets: header | payload | zeros up to a multiple of 8
//! ```
//!
//! * A group is what one sync covers, and it begins on a block of its own, so no acknowledged sector is ever written again.
//! * Group numbers grow by one over the whole log. A gap is damage; anything invalid behind the last valid group is a torn tail.
//! * A group has no checksum over its records: its header says how many there are and each has its own, so every octet is summed
//!   once. A group is valid when exactly that many valid records fill exactly that length.
//! * Every life of a segment has its own random `salt`. It stands in group and record headers and seeds the checksums, so records of
//!   an earlier life never validate, and a stranger who puts the image of a record into a message would have to guess 64 bits.
//! * Every run of the server has a random `run` number in its groups and records, so that sectors of a torn group and of the one that
//!   is later written over it cannot pass for a group together.

use postern_mail::MessageId;

/// Groups begin on multiples of this; no device has larger sectors.
pub(crate) const BLOCK: u64 = 4_096;
pub(crate) const GROUP_HEADER: usize = 64;
pub(crate) const RECORD_HEADER: usize = 32;
/// Version of segments, groups and the heads of records. What records say has the number in the `format` file.
pub(crate) const VERSION: u32 = 1;

const SEGMENT_MAGIC: &[u8; 8] = b"pstnseg\n";
const GROUP_MAGIC: &[u8; 4] = b"pgrp";
/// A record's stamp is the group's number below this bit and the run above it.
const RUN_SHIFT: u32 = 40;
const NUMBER_MASK: u64 = (1 << RUN_SHIFT) - 1;

/// Rounds up to a whole number of blocks.
pub(crate) fn blocks(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// One life of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Also the file's name: segments are used in this order.
    pub(crate) generation: u32,
    pub(crate) salt: u64,
    /// Length of the file.
    pub(crate) bytes: u64,
}

impl SegmentHeader {
    /// One block, as it stands at both ends of the file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut block = Vec::with_capacity(4_096);
        block.extend_from_slice(SEGMENT_MAGIC);
        block.extend_from_slice(&VERSION.to_le_bytes());
        block.extend_from_slice(&self.generation.to_le_bytes());
        block.extend_from_slice(&self.salt.to_le_bytes());
        block.extend_from_slice(&self.bytes.to_le_bytes());
        let sum = crc32fast::hash(&block);
        block.extend_from_slice(&sum.to_le_bytes());
        block.resize(4_096, 0);
        block
    }

    pub(crate) fn decode(block: &[u8]) -> Option<Self> {
        let fits = block.get(..8)? == SEGMENT_MAGIC
            && u32_at(block, 8)? == VERSION
            && u32_at(block, 32)? == crc32fast::hash(block.get(..32)?);
        fits.then_some(Self { generation: u32_at(block, 12)?, salt: u64_at(block, 16)?, bytes: u64_at(block, 24)? })
    }
}

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A message, or one that was moved, with the progress it had.
    Message,
    /// How far a message has come.
    Progress,
    /// Nothing is left to do for a message.
    Finished,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::Message => 1,
            Self::Progress => 2,
            Self::Finished => 3,
        }
    }

    fn of(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Message,
            2 => Self::Progress,
            3 => Self::Finished,
            _ => return None,
        })
    }
}

/// Octets a record takes, with header and padding.
pub(crate) fn record_bytes(payload: usize) -> usize {
    (RECORD_HEADER + payload).next_multiple_of(8)
}

fn record_sum(salt: u64, header_tail: &[u8], payload: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(header_tail);
    for part in payload {
        hasher.update(part);
    }
    hasher.finalize()
}

/// The upper half of the salt stands in clear, the lower one only seeds the sum.
fn mark(salt: u64) -> u32 {
    u32::try_from(salt >> 32).unwrap_or(u32::MAX)
}

/// Builds one group.
pub(crate) struct GroupBuilder<'a> {
    buffer: &'a mut Vec<u8>,
    salt: u64,
    number: u64,
    run: u32,
    count: u32,
}

impl<'a> GroupBuilder<'a> {
    /// Starts in an emptied buffer. `number` fits 40 bits and `run` 24: at a thousand groups a second that is 35 years.
    pub(crate) fn new(buffer: &'a mut Vec<u8>, salt: u64, number: u64, run: u32) -> Self {
        buffer.clear();
        buffer.resize(GROUP_HEADER, 0);
        Self { buffer, salt, number, run, count: 0 }
    }

    fn stamp(&self) -> u64 {
        (self.number & NUMBER_MASK) | (u64::from(self.run) << RUN_SHIFT)
    }

    /// Appends a record and says at which offset of the group it begins, and how many octets it takes.
    pub(crate) fn push(&mut self, kind: Kind, id: MessageId, payload: &[&[u8]]) -> (usize, usize) {
        let length: usize = payload.iter().map(|part| part.len()).sum();
        let mut header = [0_u8; RECORD_HEADER - 4];
        for (place, byte) in header.iter_mut().zip(
            mark(self.salt)
                .to_le_bytes()
                .into_iter()
                .chain(self.stamp().to_le_bytes())
                .chain(id.0.to_le_bytes())
                .chain(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes())
                .chain([kind.code()]),
        ) {
            *place = byte;
        }
        let sum = record_sum(self.salt, &header, payload);
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&sum.to_le_bytes());
        self.buffer.extend_from_slice(&header);
        for part in payload {
            self.buffer.extend_from_slice(part);
        }
        self.buffer.resize(start + record_bytes(length), 0);
        self.count += 1;
        (start, record_bytes(length))
    }

    /// Fills in the header and pads. `newest` is the highest message id given out so far.
    pub(crate) fn finish(self, newest: MessageId) {
        let mut header = Vec::with_capacity(GROUP_HEADER - 8);
        header.extend_from_slice(&self.salt.to_le_bytes());
        header.extend_from_slice(&self.number.to_le_bytes());
        header.extend_from_slice(&newest.0.to_le_bytes());
        header.extend_from_slice(&u32::try_from(self.buffer.len() - GROUP_HEADER).unwrap_or(u32::MAX).to_le_bytes());
        header.extend_from_slice(&self.count.to_le_bytes());
        header.extend_from_slice(&self.run.to_le_bytes());
        header.resize(GROUP_HEADER - 8, 0);
        let sum = crc32fast::hash(&header);
        let whole = GROUP_MAGIC.iter().copied().chain(sum.to_le_bytes()).chain(header);
        for (place, byte) in self.buffer.iter_mut().zip(whole) {
            *place = byte;
        }
        let padded = self.buffer.len().next_multiple_of(4_096);
        self.buffer.resize(padded, 0);
    }
}

/// A record that validated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) kind: Kind,
    pub(crate) id: MessageId,
    /// Group number.
    pub(crate) group: u64,
    run: u32,
    pub(crate) payload: &'a [u8],
    /// Header and padding included.
    pub(crate) bytes: usize,
}

/// The record at the start of `bytes`, if it is one of this life of the segment.
pub(crate) fn record(bytes: &[u8], salt: u64) -> Option<Record<'_>> {
    if u32_at(bytes, 4)? != mark(salt) {
        return None;
    }
    let length = usize::try_from(u32_at(bytes, 24)?).ok()?;
    let payload = bytes.get(RECORD_HEADER..RECORD_HEADER.checked_add(length)?)?;
    if u32_at(bytes, 0)? != record_sum(salt, bytes.get(4..RECORD_HEADER)?, &[payload]) {
        return None;
    }
    let stamp = u64_at(bytes, 8)?;
    Some(Record {
        kind: Kind::of(*bytes.get(28)?)?,
        id: MessageId(u64_at(bytes, 16)?),
        group: stamp & NUMBER_MASK,
        run: u32::try_from(stamp >> RUN_SHIFT).unwrap_or(u32::MAX),
        payload,
        bytes: record_bytes(length),
    })
}

/// The header of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupHeader {
    pub(crate) number: u64,
    pub(crate) newest: MessageId,
    /// Records with their headers, without the group's.
    pub(crate) payload: usize,
    pub(crate) count: u32,
    pub(crate) run: u32,
}

impl GroupHeader {
    /// The group header at the start of `bytes`, if it is one of this life of the segment.
    pub(crate) fn decode(bytes: &[u8], salt: u64) -> Option<Self> {
        let header = bytes.get(..GROUP_HEADER)?;
        if header.get(..4)? != GROUP_MAGIC
            || u64_at(header, 8)? != salt
            || u32_at(header, 4)? != crc32fast::hash(header.get(8..)?)
        {
            return None;
        }
        Some(Self {
            number: u64_at(header, 16)?,
            newest: MessageId(u64_at(header, 24)?),
            payload: usize::try_from(u32_at(header, 32)?).ok()?,
            count: u32_at(header, 36)?,
            run: u32_at(header, 40)?,
        })
    }

    /// Octets on disk.
    pub(crate) fn bytes(&self) -> u64 {
        blocks((GROUP_HEADER + self.payload) as u64)
    }

    /// Walks the records of the group that starts at `bytes`; `None` as soon as something is not as it was written.
    pub(crate) fn records<'a>(&self, bytes: &'a [u8], salt: u64) -> Option<Vec<(usize, Record<'a>)>> {
        let end = GROUP_HEADER.checked_add(self.payload)?;
        let bytes = bytes.get(..end)?;
        let mut records = Vec::with_capacity(usize::try_from(self.count).ok()?.min(self.payload / RECORD_HEADER));
        let mut at = GROUP_HEADER;
        for _ in 0..self.count {
            let found = record(bytes.get(at..)?, salt)?;
            if found.group != self.number & NUMBER_MASK || found.run != self.run {
                return None;
            }
            records.push((at, found));
            at = at.checked_add(found.bytes)?;
        }
        (at == end).then_some(records)
    }
}

#[cfg(test)]
mod tests;
