//! Certificates: loaded from files, made where there are none, taken up again when the files change.
//!
//! Promise: a certificate that cannot be loaded never replaces one that works.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use postern_config::Config;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// Where certificate and key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Files {
    /// PEM, leaf first.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

impl Files {
    /// When they last changed, to notice that they did.
    #[must_use]
    pub(crate) fn changed(&self) -> Option<(SystemTime, SystemTime)> {
        let time = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
        time(&self.certificate).zip(time(&self.key))
    }

    /// Loads them and checks that they belong together.
    ///
    /// # Errors
    /// In words, naming the file.
    pub(crate) fn load(&self) -> Result<Arc<CertifiedKey>, String> {
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| format!("{}: {error}", self.certificate.display()))?;
        if chain.is_empty() {
            return Err(format!(
                "{}: no certificate in it; a PEM file with BEGIN CERTIFICATE is needed",
                self.certificate.display()
            ));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| format!("{}: {error}", self.key.display()))?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        CertifiedKey::from_der(chain, key, &provider)
            .map(Arc::new)
            .map_err(|error| format!("{} and {}: {error}", self.certificate.display(), self.key.display()))
    }
}

/// What is shown where the configuration names no files: the certificate of the authority, and until that is there one of our own.
///
/// # Errors
/// In words.
pub(crate) fn own(config: &Config, data_dir: &Path) -> Result<Files, String> {
    let folder = acme_folder(data_dir);
    if config.tls.acme.is_some() && postern_acme::Kept::load(&folder).is_some() {
        let file = postern_acme::certificate_file(&folder);
        return Ok(Files { certificate: file.clone(), key: file });
    }
    self_signed(data_dir, config.server.hostname.as_str())
}

/// Where what has to do with the authority is kept.
#[must_use]
pub(crate) fn acme_folder(data_dir: &Path) -> PathBuf {
    data_dir.join("tls")
}

/// The self-signed pair under the data directory, made on first use: opportunistic TLS asks for no more, and it keeps listeners out.
///
/// # Errors
/// In words.
pub(crate) fn self_signed(data_dir: &Path, hostname: &str) -> Result<Files, String> {
    let dir = data_dir.join("tls");
    let files = Files { certificate: dir.join("certificate.pem"), key: dir.join("key.pem") };
    if files.certificate.exists() && files.key.exists() {
        return Ok(files);
    }
    let made = rcgen::generate_simple_self_signed(vec![hostname.to_owned()])
        .map_err(|error| format!("making a certificate: {error}"))?;
    // Whole or not at all, also over a power cut: half a certificate would stop every later start.
    let write = |path: &Path, text: &str| -> std::io::Result<()> {
        let partial = path.with_extension("new");
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&partial, path)?;
        fs::File::open(&dir)?.sync_all()
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .and_then(|()| write(&files.key, &made.signing_key.serialize_pem()))
        .and_then(|()| write(&files.certificate, &made.cert.pem()))
        .map_err(|error| format!("{}: {error}", dir.display()))?;
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_cut_while_the_certificate_is_made_does_not_stop_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("tls");
        fs::create_dir(&dir).unwrap();
        // The key was there, and the certificate was being written.
        fs::write(dir.join("key.pem"), "").unwrap();
        fs::write(dir.join("certificate.new"), "-----BEGIN CERT").unwrap();
        let files = self_signed(folder.path(), "mx.example").unwrap();
        assert!(files.load().is_ok());
        let made = fs::read(&files.certificate).unwrap();
        self_signed(folder.path(), "mx.example").unwrap();
        assert_eq!(fs::read(&files.certificate).unwrap(), made, "one that is there is kept");
    }
}
