//! Certificates: loaded from files, made where there are none, taken up again when the files change.
//!
//! Promise: a certificate that cannot be loaded never replaces one that works.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

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
    let write = |path: &Path, text: &str| -> std::io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
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
