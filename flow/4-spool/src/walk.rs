//! Reading every record once and doing nothing with it: what a start cannot be faster than on one thread, for whoever measures starts.
//! Promise: nothing on the disk is changed.

use std::hint::black_box;
use std::io;
use std::path::Path;

use crate::disk::Disk;
use crate::layout::{Kind, RECORD_HEADER};
use crate::log::Paths;
use crate::reader::envelope_and_progress;
use crate::record::MessageParts;
use crate::recover::segments;
use crate::scan::{scan, slice};

/// Reads, checks and decodes the records of a spool that no server has open, on this thread, and says how many are messages that read
/// right. Those that are finished and not yet cleaned away are among them.
///
/// # Errors
/// As the disk says.
pub fn read_records_once(disk: &dyn Disk, dir: &Path) -> io::Result<u64> {
    let paths = Paths::new(dir);
    let mut messages = 0;
    let (mut next, mut buffer) = (None, None);
    for generation in segments(&disk.list(&paths.log)?).into_iter().rev() {
        let scanned = scan(disk, &paths, generation, next, buffer.take())?;
        for entry in scanned.found.entries.iter().filter(|entry| entry.kind == Kind::Message) {
            let from = entry.at + RECORD_HEADER;
            let parts = MessageParts::decode(slice(&scanned.buffer, from, from + entry.payload));
            let read = parts.and_then(|parts| envelope_and_progress(&parts, None));
            messages += u64::from(black_box(read).is_some());
        }
        next = scanned.found.first.or(next);
        buffer = Some(scanned.buffer);
    }
    Ok(messages)
}
