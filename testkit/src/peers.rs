//! The server under test and the real programs it talks to, each on loopback in a folder of its own.
//!
//! Promise: nothing outside that folder changes, and nothing is left running.

pub mod dkim;
pub mod dovecot;
pub mod exim;
pub mod filters;
pub mod opensmtpd;
pub mod pebble;
pub mod postern;
pub mod postfix;
mod private;
pub mod rbldnsd;
pub mod setup;
pub mod signed_dns;
pub mod tools;
pub mod unbound;

pub use dovecot::Dovecot;
pub use exim::Exim;
pub use opensmtpd::OpenSmtpd;
pub use pebble::Pebble;
pub use postern::Postern;
pub use postfix::Postfix;
pub use setup::Setup;
pub use unbound::Unbound;

use std::path::{Path, PathBuf};

/// Ends a test that needs a program which is not there, and says how to get it.
#[macro_export]
macro_rules! require {
    ($($peer:expr),+ $(,)?) => {
        $(if let Err(package) = $peer {
            eprintln!("skipped: install {package}");
            return;
        })+
    };
}

/// The root of the repository.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

/// Where `cargo xtask packages` unpacks what cannot be installed beside Postfix.
#[must_use]
pub fn unpacked() -> PathBuf {
    workspace().join("target/peers")
}

/// Whether a program is there; its package where not.
///
/// # Errors
/// The package to install.
pub fn have(program: &str, package: &'static str) -> Result<(), &'static str> {
    if crate::program::installed(program) { Ok(()) } else { Err(package) }
}

/// Whether this test runs as root, which a program needs to change users.
///
/// # Errors
/// What is missing.
pub fn root() -> Result<(), &'static str> {
    if crate::program::is_root() { Ok(()) } else { Err("nothing, but run this test as root") }
}

/// A folder that every user may look into, since servers drop root.
///
/// # Panics
/// When there is no space for it.
#[must_use]
pub fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("postern-test-").tempdir().expect("a folder for the test");
    allow(folder.path(), 0o755);
    folder
}

/// Sets the permissions of a file.
pub(crate) fn allow(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("permissions");
}

/// Numbers of a user and its group in `/etc/passwd`.
pub(crate) fn user(name: &str) -> Option<(u32, u32)> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}
