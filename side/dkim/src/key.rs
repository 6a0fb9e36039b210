//! Head: keys of both algorithms. Promise: the private half leaves this file as a signature only, and is in no text that is printed.

use aws_lc_rs::digest::{Digest, SHA256, digest};
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// How a signature is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// `rsa-sha256` (RFC 6376 §3.3.1), which everybody verifies.
    Rsa,
    /// `ed25519-sha256` (RFC 8463), which is short.
    Ed25519,
}

impl Algorithm {
    /// Both, in the order of signatures on a message.
    pub const BOTH: [Self; 2] = [Self::Rsa, Self::Ed25519];

    /// The `a=` of a signature.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rsa => "rsa-sha256",
            Self::Ed25519 => "ed25519-sha256",
        }
    }

    /// The `k=` of a record (RFC 6376 §3.6.1, RFC 8463 §4).
    #[must_use]
    pub const fn key_type(self) -> &'static str {
        match self {
            Self::Rsa => "rsa",
            Self::Ed25519 => "ed25519",
        }
    }

    /// The last letter of a selector: two keys of one domain cannot share a name.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Rsa => 'r',
            Self::Ed25519 => 'e',
        }
    }
}

/// The octets are no key of this kind, or it cannot sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadKey(Algorithm);

impl std::fmt::Display for BadKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no usable {} key in PKCS #8", self.0.key_type())
    }
}

impl std::error::Error for BadKey {}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ed25519(Ed25519KeyPair),
}

/// A private key.
pub struct Key(Pair);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.algorithm().as_str())
    }
}

impl Key {
    /// From DER, PKCS #8. RFC 8301 §3.2: of RSA no fewer than 1024 bits, which the library sees to: it takes 2048 and more.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(algorithm: Algorithm, der: &[u8]) -> Result<Self, BadKey> {
        let wrong = BadKey(algorithm);
        let pair = match algorithm {
            Algorithm::Rsa => Pair::Rsa(Box::new(RsaKeyPair::from_pkcs8(der).map_err(|_| wrong)?)),
            // Without the public half, as openssl writes it.
            Algorithm::Ed25519 => Pair::Ed25519(Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| wrong)?),
        };
        Ok(Self(pair))
    }

    /// Which kind.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self.0 {
            Pair::Rsa(_) => Algorithm::Rsa,
            Pair::Ed25519(_) => Algorithm::Ed25519,
        }
    }

    /// The `p=` of its record: of RSA the whole description of the key, as everybody publishes it; of Ed25519 the 32 octets (RFC 8463 §4).
    ///
    /// # Errors
    /// When the library cannot tell.
    pub fn public(&self) -> Result<String, BadKey> {
        match &self.0 {
            Pair::Rsa(pair) => {
                let der: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| BadKey(Algorithm::Rsa))?;
                Ok(STANDARD.encode(der.as_ref()))
            }
            Pair::Ed25519(pair) => Ok(STANDARD.encode(pair.public_key().as_ref())),
        }
    }

    /// Signs what was hashed. RFC 8463 §3: Ed25519 signs the hash as a message.
    pub(crate) fn sign(&self, hashed: &[u8]) -> Result<Vec<u8>, BadKey> {
        let digest: Digest = digest(&SHA256, hashed);
        match &self.0 {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign_digest(&RSA_PKCS1_SHA256, &digest, &mut signature).map_err(|_| BadKey(Algorithm::Rsa))?;
                Ok(signature)
            }
            Pair::Ed25519(pair) => {
                let signature = pair.try_sign(digest.as_ref()).map_err(|_| BadKey(Algorithm::Ed25519))?;
                Ok(signature.as_ref().to_vec())
            }
        }
    }
}
