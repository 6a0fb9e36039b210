//! The store as a whole: its directory, its engine, its layout and the server's secret. Promise: nobody but the owner of the process
//! can read any of it.
//!
//! ```text
//! {data_dir}/state/          0700
//!     secret                 0600   32 random bytes, made once
//!     db/                           the engine's
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use postern_mail::Secret;

use crate::backend::Backend;
use crate::backend::local::Local;
use crate::schema;
use crate::trouble::StateFailure;

/// Octets of the server's secret.
pub const SECRET_BYTES: usize = 32;

/// An open store. Clones share it.
#[derive(Clone)]
pub struct Store {
    backend: Arc<dyn Backend>,
    secret: Secret,
}

fn disk(error: &io::Error) -> StateFailure {
    StateFailure::Disk(error.to_string())
}

impl Store {
    /// Opens `{data_dir}/state`, or makes it. Blocks on the disk.
    ///
    /// # Errors
    /// [`StateFailure::InUse`] while another process has it, [`StateFailure::Newer`] when a newer version wrote it.
    pub fn open(data_dir: &Path) -> Result<Self, StateFailure> {
        let directory = data_dir.join("state");
        private_directory(&directory).map_err(|e| disk(&e))?;
        let backend = Local::open(&directory.join("db"))?;
        // Only now, since the engine's lock keeps two first starts apart.
        let secret = secret(&directory)?;
        Self::over(Arc::new(backend), secret)
    }

    /// A store on any engine.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn over(backend: Arc<dyn Backend>, secret: Secret) -> Result<Self, StateFailure> {
        schema::bring_up_to_date(&*backend, schema::STEPS)?;
        Ok(Self { backend, secret })
    }

    pub(crate) fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// Known to this server only, the same over restarts.
    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }
}

fn private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o700))
}

/// Random octets from the system.
///
/// # Errors
/// [`StateFailure::NoRandomness`].
pub(crate) fn random<const N: usize>() -> Result<[u8; N], StateFailure> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| StateFailure::NoRandomness)?;
    Ok(bytes)
}

fn secret(directory: &Path) -> Result<Secret, StateFailure> {
    let path = directory.join("secret");
    match File::open(&path) {
        Ok(file) => {
            let mut bytes = Vec::with_capacity(SECRET_BYTES);
            file.take(1024).read_to_end(&mut bytes).map_err(|e| disk(&e))?;
            if bytes.len() == SECRET_BYTES {
                Ok(Secret::new(bytes))
            } else {
                Err(StateFailure::Corrupt(format!("its secret has {} octets, not {SECRET_BYTES}", bytes.len())))
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let bytes = random::<SECRET_BYTES>()?;
            keep(directory, &path, &bytes).map_err(|e| disk(&e))?;
            Ok(Secret::new(bytes.to_vec()))
        }
        Err(error) => Err(disk(&error)),
    }
}

/// Whole or not at all, also over a power cut: a half-written secret would stop every later start.
fn keep(directory: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let partial = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&partial, path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests;
