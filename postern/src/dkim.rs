//! Keys of signatures on disk: made, read, and which of them signs. Promise: private keys are readable by the server's user only, and what is written is whole
//! or not there.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postern_config::Dkim;
use postern_dkim::{Algorithm, Key, Pair, Record, Ring};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

/// Which pair signs, and since when.
const RING: &str = "keys.json";
/// Characters on a line of PEM (RFC 7468 §2).
const PEM_LINE: usize = 64;

/// The folder with the keys of all domains.
#[must_use]
pub(crate) fn folder(own: &Dkim, data_dir: &Path) -> PathBuf {
    own.keys.clone().unwrap_or_else(|| data_dir.join("dkim"))
}

/// The folder with the keys of one.
#[must_use]
pub(crate) fn folder_of(own: &Dkim, data_dir: &Path) -> PathBuf {
    folder(own, data_dir).join(own.domain.as_str())
}

/// Keys of one domain.
pub(crate) struct Keys {
    folder: PathBuf,
    /// The pairs, and where they stand.
    pub ring: Ring,
}

fn wrong(path: &Path, what: &dyn std::fmt::Display) -> String {
    format!("{}: {what}", path.display())
}

impl Keys {
    /// As they are on disk; the first pair is made where there is none, and that is told: they may be somewhere else. Blocks.
    ///
    /// # Errors
    /// In words.
    pub(crate) fn open_or_make(own: &Dkim, data_dir: &Path, now: u64) -> Result<Self, String> {
        let mut keys = Self::read_ring(own, data_dir)?;
        if keys.ring.signing().is_none() {
            // A folder that is named is there: it is made when the server starts. One that is not may be a name that is not right, or a disk that is missing.
            if let Some(named) = own.keys.as_ref().filter(|named| !named.is_dir()) {
                return Err(wrong(named, &"there is no such folder; no keys are made in another"));
            }
            keys.make(own, now)?;
            tracing::warn!(
                domain = %own.domain, folder = %keys.folder.display(),
                "no keys of signatures were there: new ones were made, which nobody can verify until the records that `postern dkim show` prints are out"
            );
        }
        Ok(keys)
    }

    /// As they are on disk. Blocks.
    ///
    /// # Errors
    /// In words; there may be none.
    pub(crate) fn open(own: &Dkim, data_dir: &Path) -> Result<Self, String> {
        let keys = Self::read_ring(own, data_dir)?;
        match keys.ring.signing() {
            Some(_) => Ok(keys),
            None => Err(wrong(
                &keys.folder,
                &"there are no keys; `postern dkim show` makes new ones, whose records are then to be published",
            )),
        }
    }

    fn read_ring(own: &Dkim, data_dir: &Path) -> Result<Self, String> {
        let folder = folder_of(own, data_dir);
        let path = folder.join(RING);
        let ring = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| wrong(&path, &error))?,
            Err(error) if error.kind() == ErrorKind::NotFound => Ring::default(),
            Err(error) => return Err(wrong(&path, &error)),
        };
        Ok(Self { folder, ring })
    }

    /// Makes one more pair. Its keys are on disk before anything knows of them. Blocks for some tenths of a second.
    ///
    /// # Errors
    /// In words; nothing has changed then.
    pub(crate) fn make(&mut self, own: &Dkim, now: u64) -> Result<(), String> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(|error| wrong(&self.folder, &error))?;
        let day = jiff::Timestamp::from_millisecond(i64::try_from(now).unwrap_or(i64::MAX)).unwrap_or_default();
        let name = self.ring.name_for(&own.selector, &day.strftime("%Y%m%d").to_string());
        let mut public = Vec::new();
        for algorithm in Algorithm::BOTH {
            let der = generate(algorithm).ok_or("no key could be made")?;
            public.push(Key::read(algorithm, &der).and_then(|key| key.public()).map_err(|error| error.to_string())?);
            self.write(&format!("{}.pem", selector(&name, algorithm)), pem(&der).as_bytes())?;
        }
        let mut ring = self.ring.clone();
        ring.add(name, public, now);
        self.keep(ring)
    }

    /// Another state of the same keys, on disk when this returns.
    ///
    /// # Errors
    /// In words; nothing has changed then.
    pub(crate) fn keep(&mut self, ring: Ring) -> Result<(), String> {
        let text = serde_json::to_vec_pretty(&ring).map_err(|error| error.to_string())?;
        self.write(RING, &text)?;
        self.ring = ring;
        Ok(())
    }

    /// Takes the private halves of a pair that is in the ring no more.
    pub(crate) fn destroy(&self, name: &str) {
        for algorithm in Algorithm::BOTH {
            let path = self.folder.join(format!("{}.pem", selector(name, algorithm)));
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!("a key that signs no more could not be removed: {}: {error}", path.display());
            }
        }
    }

    fn write(&self, name: &str, octets: &[u8]) -> Result<(), String> {
        let (path, fresh) = (self.folder.join(name), self.folder.join(format!("{name}.new")));
        let written = || -> std::io::Result<()> {
            // One that a crash has left may be of other rights.
            match fs::remove_file(&fresh) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
            file.write_all(octets)?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            fs::File::open(&self.folder)?.sync_all()
        };
        written().map_err(|error| wrong(&path, &error))
    }

    fn read(&self, pair: &Pair, algorithm: Algorithm) -> Result<(String, Key), String> {
        let selector = selector(&pair.name, algorithm);
        let path = self.folder.join(format!("{selector}.pem"));
        let der = PrivateKeyDer::from_pem_file(&path).map_err(|error| wrong(&path, &error))?;
        let key = Key::read(algorithm, der.secret_der()).map_err(|error| wrong(&path, &error))?;
        Ok((selector, key))
    }

    /// The keys that sign, by their selectors. Blocks.
    ///
    /// # Errors
    /// In words.
    pub(crate) fn signing(&self) -> Result<Vec<(String, Arc<Key>)>, String> {
        let pair = self.ring.signing().ok_or("no key signs")?;
        let read = |algorithm| self.read(pair, algorithm).map(|(selector, key)| (selector, Arc::new(key)));
        Algorithm::BOTH.into_iter().map(read).collect()
    }

    /// The records of a pair, by their selectors.
    #[must_use]
    pub(crate) fn records(own: &Dkim, pair: &Pair) -> Vec<(String, Algorithm, Record)> {
        let record = |(algorithm, public): (Algorithm, &String)| {
            let selector = selector(&pair.name, algorithm);
            let record = Record::of(own.domain.as_str(), &selector, algorithm, public);
            (selector, algorithm, record)
        };
        Algorithm::BOTH.into_iter().zip(&pair.public).map(record).collect()
    }
}

fn selector(name: &str, algorithm: Algorithm) -> String {
    format!("{name}{}", algorithm.letter())
}

fn generate(algorithm: Algorithm) -> Option<Vec<u8>> {
    match algorithm {
        Algorithm::Rsa => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).ok()?;
            let der: Pkcs8V1Der<'_> = pair.as_der().ok()?;
            Some(der.as_ref().to_vec())
        }
        // The first version of PKCS #8, which all programs read.
        Algorithm::Ed25519 => Some(Ed25519KeyPair::generate().ok()?.to_pkcs8v1().ok()?.as_ref().to_vec()),
    }
}

fn pem(der: &[u8]) -> String {
    let mut text = String::from("-----BEGIN PRIVATE KEY-----\n");
    let encoded = STANDARD.encode(der);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, behind) = rest.split_at_checked(PEM_LINE).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = behind;
    }
    text.push_str("-----END PRIVATE KEY-----\n");
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use postern_config::Machine;

    use super::*;

    fn own() -> Dkim {
        let text = "[[dkim]]\ndomain = \"a.test\"\n";
        postern_config::load(text, "f", &Machine::named("mx.example")).unwrap().dkim.remove(0)
    }

    #[test]
    fn keys_are_made_once_and_nobody_else_can_read_them() {
        let folder = tempfile::tempdir().unwrap();
        let now = 1_795_478_400_000;
        let keys = Keys::open_or_make(&own(), folder.path(), now).unwrap();
        let signing: Vec<String> = keys.signing().unwrap().into_iter().map(|(selector, _)| selector).collect();
        assert_eq!(signing, ["p20261124r", "p20261124e"]);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let own_folder = folder.path().join("dkim/a.test");
        assert_eq!((mode(&own_folder), mode(&own_folder.join("p20261124r.pem"))), (0o700, 0o600));
        let record = |keys: &Keys| Keys::records(&own(), keys.ring.signing().unwrap()).remove(0).2.value;
        assert_eq!(record(&keys), record(&Keys::open(&own(), folder.path()).unwrap()), "the same ones");
    }

    #[test]
    fn a_pair_more_signs_only_when_it_is_told_to_and_that_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let mut keys = Keys::open_or_make(&own(), folder.path(), 0).unwrap();
        keys.make(&own(), 1).unwrap();
        let name = |keys: &Keys| keys.signing().unwrap().remove(0).0;
        assert_eq!(name(&Keys::open(&own(), folder.path()).unwrap()), "p19700101r");
        let mut ring = keys.ring.clone();
        assert!(ring.take_over(3));
        keys.keep(ring).unwrap();
        assert_eq!(name(&Keys::open(&own(), folder.path()).unwrap()), "p19700101ar");
    }

    #[test]
    fn a_key_that_does_not_read_is_told_by_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open_or_make(&own(), folder.path(), 0).unwrap();
        fs::write(folder.path().join("dkim/a.test/p19700101e.pem"), "none").unwrap();
        let error = keys.signing().unwrap_err();
        assert!(error.contains("p19700101e.pem"), "{error}");
        assert!(Keys::open_or_make(&own(), folder.path(), 0).is_ok(), "and no other is made in its place");
    }
}
