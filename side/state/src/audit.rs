//! The audit log: every administrative act, one line of JSON each, chained by hash. Promise: a line that was written is never changed here, and
//! whoever changes, removes or moves one elsewhere breaks the chain. Lines cut off at the end are noticed only by who has kept the hash of a later one.
//!
//! `{data_dir}/state/audit.log`, 0600, is only appended to, and synced before the act is answered. A crash may leave a line without its end; it is
//! cut off at the next start, and an entry says so.

pub mod chain;

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use postern_mail::Quoted;
use postern_mail::envelope::UnixMillis;

use chain::{Act, Entry, Link};

/// Longest line; nothing longer is written.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// The audit log of a server.
pub struct Audit {
    open: Mutex<Open>,
}

struct Open {
    file: File,
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
    pub fn open(data_dir: &Path, now: UnixMillis) -> io::Result<Self> {
        let path = path(data_dir);
        let folder = path.parent().unwrap_or(data_dir);
        std::fs::create_dir_all(folder)?;
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path)?;
        let length = file.metadata()?.len();
        if length == 0 {
            // A log whose name a power cut takes back has lost all of its entries.
            File::open(folder)?.sync_all()?;
        }
        // The last two lines are enough: one that may be torn, and the one before it.
        let begin = length.saturating_sub(2 * LINE_BYTES_MAX as u64);
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(begin))?;
        (&file).take(2 * LINE_BYTES_MAX as u64).read_to_end(&mut tail)?;
        let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let torn = tail.split_off(whole);
        let last = tail.strip_suffix(b"\n").and_then(|lines| lines.rsplit(|byte| *byte == b'\n').next());
        let last = last.map_or(Link::FIRST, Link::behind);
        let audit = Self { open: Mutex::new(Open { file, last, broken: false }) };
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
        let before = open.file.metadata()?.len();
        if let Err(error) = open.file.write_all(line.as_bytes()).and_then(|()| open.file.sync_data()) {
            // Half a line must not stay in front of the next one.
            open.broken = open.file.set_len(before).is_err();
            return Err(error);
        }
        open.last = link;
        Ok(open.last.hash().to_owned())
    }
}

/// What a look through the whole log found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many entries there are.
    pub entries: u64,
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
    #[error("no entry has the hash that was kept: the log was cut off before it, or begun anew; it has {entries} entries")]
    Missing {
        /// Those that are there.
        entries: u64,
    },
    /// The file could not be read.
    #[error("{0}")]
    Disk(String),
}

/// Goes through the whole log; `each` is given every entry. Blocks.
///
/// # Errors
/// Where the chain breaks first.
pub fn verify(file: &Path, kept: Option<&str>, mut each: impl FnMut(Entry)) -> Result<Verified, Broken> {
    let disk = |error: io::Error| Broken::Disk(format!("{}: {error}", file.display()));
    let mut reader = BufReader::new(File::open(file).map_err(disk)?);
    let (mut link, mut entries, mut found) = (Link::FIRST, 0, None);
    loop {
        let mut line = Vec::new();
        (&mut reader).take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line).map_err(disk)?;
        if line.is_empty() {
            break;
        }
        if !line.ends_with(b"\n") && line.len() <= LINE_BYTES_MAX {
            return Err(Broken::Torn { entry: entries });
        }
        entries += 1;
        let (entry, next) = link.check(&line).map_err(|why| Broken::At { entry: entries, why })?;
        each(entry);
        if kept.is_some_and(|kept| kept.eq_ignore_ascii_case(next.hash())) {
            found = Some(entries);
        }
        link = next;
    }
    if kept.is_some() && found.is_none() {
        return Err(Broken::Missing { entries });
    }
    Ok(Verified { entries, head: link.hash().to_owned(), kept: found })
}

#[cfg(test)]
mod tests;
