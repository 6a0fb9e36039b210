//! Dovecot from the system's package, as what Postfix asks whether a password is right. Its defaults, but for its cache, which spares it the
//! reading of its table of users and not the hashing.
//!
//! Promise: the hash of a password costs it what it costs postern: Argon2id with the same memory and passes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The password of every account here; [`HASH`] is made of it.
pub(crate) const PASSWORD: &str = "kept for the good client";
/// 19 MiB, two passes, one lane.
const HASH: &str = "{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$lQmmDfkvunf2NIIyqcvKsQ$t/uBKmUquGUee3FaGukinH+/VoT5+LazByhwH6/307A";

pub(crate) fn program() -> Result<PathBuf, String> {
    let path = PathBuf::from("/usr/sbin/dovecot");
    if path.exists() { Ok(path) } else { Err("Dovecot is not installed: cargo xtask packages".to_owned()) }
}

/// Where Postfix asks.
pub(crate) fn socket(folder: &Path) -> PathBuf {
    folder.join("dovecot/auth.sock")
}

/// Writes the configuration and gives its path.
pub(crate) fn configure(folder: &Path, accounts: &[String]) -> io::Result<PathBuf> {
    let own = folder.join("dovecot");
    fs::create_dir_all(&own)?;
    let users: String = accounts.iter().map(|account| format!("{account}:{HASH}\n")).collect();
    fs::write(own.join("users"), users)?;
    let text = format!(
        "base_dir = {own}/run
log_path = {own}/log
protocols =
ssl = no
auth_mechanisms = plain login
auth_cache_size = 10M
passdb {{
  driver = passwd-file
  args = {own}/users
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home=/nonexistent
}}
service auth {{
  unix_listener {socket} {{
    mode = 0666
  }}
}}
",
        own = own.display(),
        socket = socket(folder).display()
    );
    let path = own.join("dovecot.conf");
    fs::write(&path, text)?;
    Ok(path)
}
