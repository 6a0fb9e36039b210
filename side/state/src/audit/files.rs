//! The files of the audit log: the one that is written, and those that are full. Promise: a full one is never written again, and the oldest goes first.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// How much of the log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Octets of one file; an entry that does not fit any more begins the next.
    pub bytes: u64,
    /// Full files; one at least, or a log whose beginning was removed would look like one that was set aside.
    pub files: usize,
}

impl Default for Keep {
    fn default() -> Self {
        Self { bytes: 64 << 20, files: 15 }
    }
}

/// Full ones, the oldest first.
pub(super) fn full(path: &Path) -> io::Result<Vec<PathBuf>> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let number =
            entry.file_name().to_str().and_then(|other| other.strip_prefix(name)?.strip_prefix('.')?.parse::<u64>().ok());
        found.extend(number.map(|number| (number, entry.path())));
    }
    found.sort_unstable();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// All files of the log, the oldest first; none where there is no log yet.
///
/// # Errors
/// When the disk says no.
pub fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut all = match full(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        full => full?,
    };
    all.extend(path.exists().then(|| path.to_owned()));
    Ok(all)
}

/// Opens them as they are at one time, though one may become full meanwhile.
pub(super) fn open(path: &Path) -> io::Result<Vec<File>> {
    const TRIES: usize = 10;
    for _ in 0..TRIES {
        let names = files(path)?;
        let opened: io::Result<Vec<File>> = names.iter().map(File::open).collect();
        match opened {
            Ok(_) if names != files(path)? => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened,
        }
    }
    Err(io::Error::other("its files change faster than they can be opened"))
}

/// Sets the file aside that is full, and removes the oldest beyond what is kept.
pub(super) fn set_aside(path: &Path, last_entry: u64, keep: Keep) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{last_entry}"));
    if Path::new(&name).exists() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is there already", Path::new(&name).display())));
    }
    fs::rename(path, &name)?;
    let full = full(path)?;
    for oldest in full.iter().take(full.len().saturating_sub(keep.files.max(1))) {
        if let Err(error) = fs::remove_file(oldest) {
            tracing::warn!(%error, "an old file of the audit log, {}, could not be removed", oldest.display());
        }
    }
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
