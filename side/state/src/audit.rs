//! The audit log: every administrative act, one line of JSON each, chained by hash. Promise: a line that was written is never changed here, and
//! whoever changes, removes or moves one elsewhere breaks the chain. Lines cut off at the end are noticed only by who has kept the hash of a later one.
//!
//! `{data_dir}/state/audit.log`, 0600, is only appended to, and synced before the act is answered. A crash may leave a line without its end; it is
//! cut off at the next start, and an entry says so. When it is full it becomes `audit.log.N`, by the number of its last entry, and the chain goes on
//! in a new one; of those, the oldest beyond what is to be kept is removed.

pub mod chain;
mod files;

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use postern_mail::Quoted;
use postern_mail::envelope::UnixMillis;

use chain::{Act, Entry, Link};
pub use files::{Keep, files};

/// Longest line; nothing longer is written.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// The audit log of a server.
pub struct Audit {
    open: Mutex<Open>,
}

struct Open {
    file: File,
    path: PathBuf,
    keep: Keep,
    last: Link,
    /// A line failed half-way and could not be taken back: what would be written behind it could not be read.
    broken: bool,
}

/// Where it is.
#[must_use]
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("state").join("audit.log")
}

impl Audit {
    /// Opens it, or begins one. An unfinished line at its end is cut off, and the log says so. Blocks.
    ///
    /// # Errors
    /// When the disk says no.
    pub fn open(data_dir: &Path, now: UnixMillis, keep: Keep) -> io::Result<Self> {
        let path = path(data_dir);
        let folder = path.parent().unwrap_or(data_dir);
        std::fs::create_dir_all(folder)?;
        let mut file = begin(&path)?;
        let length = file.metadata()?.len();
        if length == 0 {
            // A log whose name a power cut takes back has lost all of its entries.
            File::open(folder)?.sync_all()?;
        }
        let (last, torn) = tail(&mut file, length)?;
        let last = match (last, files::full(&path)?.pop()) {
            (Some(last), _) => last,
            // It was full, and no entry has come since.
            (None, Some(before)) => {
                let mut before = File::open(before)?;
                let length = before.metadata()?.len();
                tail(&mut before, length)?.0.unwrap_or(Link::FIRST)
            }
            (None, None) => Link::FIRST,
        };
        let audit = Self { open: Mutex::new(Open { file, path, keep, last, broken: false }) };
        if !torn.is_empty() {
            audit.lock().file.set_len(length.saturating_sub(torn.len() as u64))?;
            let result = format!("{} octets of an unfinished entry were cut off: {}", torn.len(), Quoted(&torn));
            let act = Act {
                who: "server",
                what: "audit heal",
                reason: "an entry without its end, as a crash leaves it",
                result: &result,
            };
            audit.append(now, act)?;
            tracing::warn!("audit log: {result}");
        }
        Ok(audit)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes an act and gives its hash, once it is on disk. Blocks.
    ///
    /// # Errors
    /// When the disk says no.
    pub fn append(&self, at: UnixMillis, act: Act<'_>) -> io::Result<String> {
        let mut open = self.lock();
        if open.broken {
            return Err(io::Error::other("an earlier entry could be neither written nor taken back; the next start mends it"));
        }
        let (line, link) = open.last.next(at, act);
        let mut before = open.file.metadata()?.len();
        if before > 0 && before.saturating_add(line.len() as u64) > open.keep.bytes {
            match files::set_aside(&open.path, open.last.number(), open.keep).and_then(|()| begin(&open.path)) {
                Ok(new) => (open.file, before) = (new, 0),
                // A log that is too long is better than one that ends.
                Err(error) => tracing::error!(%error, "the audit log is full and could not be set aside; it goes on"),
            }
        }
        if let Err(error) = open.file.write_all(line.as_bytes()).and_then(|()| open.file.sync_data()) {
            // Half a line must not stay in front of the next one.
            open.broken = open.file.set_len(before).is_err();
            return Err(error);
        }
        open.last = link;
        Ok(open.last.hash().to_owned())
    }
}

fn begin(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

/// The end of the chain in a file, and what stands behind it without an end of its own.
fn tail(file: &mut File, length: u64) -> io::Result<(Option<Link>, Vec<u8>)> {
    // The last two lines are enough: one that may be torn, and the one before it.
    let begin = length.saturating_sub(2 * LINE_BYTES_MAX as u64);
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(begin))?;
    file.take(2 * LINE_BYTES_MAX as u64).read_to_end(&mut tail)?;
    let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let torn = tail.split_off(whole);
    let last = tail.strip_suffix(b"\n").and_then(|lines| lines.rsplit(|byte| *byte == b'\n').next());
    Ok((last.map(Link::behind), torn))
}

/// What a look through the whole log found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many entries there are.
    pub entries: u64,
    /// The number of the first one that is kept: what was before it can be shown by nobody any more.
    pub first: u64,
    /// The hash of the last one, to be kept elsewhere.
    pub head: String,
    /// The entry with the hash that was kept, where one was given and is there.
    pub kept: Option<u64>,
}

/// Where the chain breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// At a line.
    #[error("the chain breaks at entry {entry}: {why}")]
    At {
        /// Counted from 1.
        entry: u64,
        /// In words.
        why: String,
    },
    /// The last line has no end.
    #[error("the last line, behind entry {entry}, has no end, as a crash leaves it; the next start cuts it off and says so")]
    Torn {
        /// The last whole entry.
        entry: u64,
    },
    /// What was kept is not there any more.
    #[error(
        "no entry has the hash that was kept: the log was cut off before it, or begun anew, or that entry is older than those that are kept; it has {entries} entries, from {first} on"
    )]
    Missing {
        /// Those that are there.
        entries: u64,
        /// The number of the first of them.
        first: u64,
    },
    /// The file could not be read.
    #[error("{0}")]
    Disk(String),
}

/// Goes through the whole log, all files of it that are kept; `each` is given every entry. Blocks.
///
/// # Errors
/// Where the chain breaks first.
pub fn verify(file: &Path, kept: Option<&str>, mut each: impl FnMut(Entry)) -> Result<Verified, Broken> {
    let disk = |error: io::Error| Broken::Disk(format!("{}: {error}", file.display()));
    let mut files = files::open(file).map_err(disk)?.into_iter().peekable();
    let has_full = files.len() > 1;
    let (mut link, mut entries, mut found): (Option<Link>, u64, _) = (None, 0, None);
    while let Some(file) = files.next() {
        let mut reader = BufReader::new(file);
        loop {
            let mut line = Vec::new();
            (&mut reader).take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line).map_err(disk)?;
            if line.is_empty() {
                break;
            }
            // The oldest file that is kept need not be the first there was; where there is but one, nothing was ever set aside.
            let before = link.take().unwrap_or_else(|| if has_full { Link::before(&line) } else { Link::FIRST });
            if !line.ends_with(b"\n") && line.len() <= LINE_BYTES_MAX && files.peek().is_none() {
                return Err(Broken::Torn { entry: before.number() });
            }
            let number = before.number().saturating_add(1);
            let (entry, next) = before.check(&line).map_err(|why| Broken::At { entry: number, why })?;
            entries += 1;
            each(entry);
            if kept.is_some_and(|kept| kept.eq_ignore_ascii_case(next.hash())) {
                found = Some(number);
            }
            link = Some(next);
        }
    }
    let link = link.unwrap_or(Link::FIRST);
    let first = link.number().saturating_sub(entries).saturating_add(1);
    if kept.is_some() && found.is_none() {
        return Err(Broken::Missing { entries, first });
    }
    Ok(Verified { entries, first, head: link.hash().to_owned(), kept: found })
}

#[cfg(test)]
mod tests;
