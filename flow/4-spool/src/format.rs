//! Whether a spool may be opened at all. Promise: a directory of a newer postern, or one that is no spool, is refused in a plain
//! sentence before anything in it is touched.

use std::io::{self, ErrorKind};
use std::path::Path;

use crate::disk::{Disk, read_full_at, write_all_at};
use crate::log::Paths;

/// Why a spool does not open.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Limits that do not fit each other.
    #[error("spool settings: {0}")]
    Settings(&'static str),
    /// Another server has it.
    #[error("the spool {0} is in use by another process")]
    Locked(String),
    /// Written by a later postern.
    #[error(
        "the spool {dir} has format {found}, and this postern reads formats up to {known}; a newer postern wrote it, please run that one"
    )]
    Newer {
        /// Where.
        dir: String,
        /// What it says.
        found: u32,
        /// What we know.
        known: u32,
    },
    /// There is a log, and no word on its format.
    #[error("the spool {0} has a log but no readable file `format`; if it is a postern spool, restore that file")]
    NoFormat(String),
    /// The disk said no.
    #[error("the spool {dir}: {source}")]
    Disk {
        /// Where.
        dir: String,
        /// What.
        source: io::Error,
    },
}

const FORMAT_WORDS: &str = "postern-spool ";
/// 2: a message whose body is a file may have octets before it in its record.
pub(crate) const FORMAT: u32 = 2;

/// Reads the `format` file, or writes it in a new spool. What an older postern wrote reads as it is; the file then says ours before anything is
/// written that the older one could not read.
pub(crate) fn check_format(disk: &dyn Disk, paths: &Paths, known: u32) -> Result<(), SpoolError> {
    let write = || {
        let unfinished = paths.root.join("format.tmp");
        let file = disk.create(&unfinished)?;
        write_all_at(&*file, format!("{FORMAT_WORDS}{known}\n").as_bytes(), 0)?;
        file.sync_data()?;
        disk.rename(&unfinished, &paths.root.join("format"))?;
        disk.sync_dir(&paths.root)
    };
    let dir = || paths.root.display().to_string();
    let failed = |source| SpoolError::Disk { dir: dir(), source };
    match read_small(disk, &paths.root.join("format")) {
        Ok(text) => {
            let found = text.strip_prefix(FORMAT_WORDS).and_then(|version| version.trim().parse::<u32>().ok());
            match found {
                Some(found) if found > known => Err(SpoolError::Newer { dir: dir(), found, known }),
                Some(found) if found == known => Ok(()),
                Some(found) if found > 0 => write().map_err(failed),
                _ => Err(SpoolError::NoFormat(dir())),
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let names = disk.list(&paths.log).map_err(failed)?;
            if names.iter().any(|name| name.ends_with(".seg")) {
                return Err(SpoolError::NoFormat(dir()));
            }
            write().map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

fn read_small(disk: &dyn Disk, path: &Path) -> io::Result<String> {
    let mut bytes = vec![0; 64];
    let count = read_full_at(&*disk.open(path)?, &mut bytes, 0)?;
    bytes.truncate(count);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
