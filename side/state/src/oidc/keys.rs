//! Head: the keys of one issuer, and when they must be fetched again. Promise: an issuer is asked at most once in [`ASK_STEP`], whatever
//! tokens come; no key is used for [`KEEP`] longer than it was last seen; and no key is for an algorithm that needs no secret of the issuer.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use postern_mail::envelope::UnixMillis;
use serde::Deserialize;

use super::token::Wanted;

/// Between two questions to an issuer.
pub(super) const ASK_STEP: Duration = Duration::from_secs(60);
/// After this long they are fetched again, so that a key which was taken back is forgotten.
const FRESH: Duration = Duration::from_secs(3600);
/// While the issuer is away, the last keys are used for this long.
const KEEP: Duration = Duration::from_secs(86_400);
/// Keys of one issuer that are looked at.
const KEYS_MAX: usize = 64;

/// One key.
#[derive(Clone)]
pub(super) struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: Arc<DecodingKey>,
}

/// What to do about a token's key.
pub(super) enum Look {
    /// This is it.
    Key(Arc<DecodingKey>),
    /// Ask the issuer, then look again. While somebody else asks it, this one is good enough.
    Ask(Option<Arc<DecodingKey>>),
    /// The issuer may not be asked again yet. A key that is not there may have come into being since: only who has just asked can say that
    /// there is none.
    Away,
}

/// The keys as they were last seen.
#[derive(Default)]
pub(super) struct Shelf {
    keys: Vec<Key>,
    /// When they were fetched.
    seen: Option<UnixMillis>,
    /// When the issuer was last asked.
    asked: Option<UnixMillis>,
}

impl Shelf {
    /// What the issuer said; `None` when it did not.
    pub(super) fn put(&mut self, now: UnixMillis, keys: Option<Vec<Key>>) {
        self.asked = Some(now);
        if let Some(keys) = keys {
            self.keys = keys;
            self.seen = Some(now);
        }
    }

    pub(super) fn look(&self, now: UnixMillis, wanted: &Wanted) -> Look {
        // A clock that was set back makes everything old; but who waited for another's question came a little before its answer.
        let within = |at: UnixMillis, time: Duration| at <= now.plus(ASK_STEP) && now.since(at) < time;
        let found = self.find(wanted);
        let is_fresh = self.seen.is_some_and(|at| within(at, FRESH));
        let is_usable = self.seen.is_some_and(|at| within(at, KEEP));
        let may_ask = !self.asked.is_some_and(|at| within(at, ASK_STEP));
        match found {
            Some(key) if is_fresh => Look::Key(key),
            found if may_ask => Look::Ask(found.filter(|_| is_usable)),
            Some(key) if is_usable => Look::Key(key),
            _ => Look::Away,
        }
    }

    /// RFC 7515 §4.1.4: by its id; a token without one is good where only one key can be meant.
    fn find(&self, wanted: &Wanted) -> Option<Arc<DecodingKey>> {
        let fits = |key: &&Key| {
            key.algorithms.contains(&wanted.algorithm) && wanted.key_id.as_ref().is_none_or(|id| key.id.as_ref() == Some(id))
        };
        let mut fitting = self.keys.iter().filter(fits);
        let key = fitting.next()?;
        fitting.next().is_none().then(|| Arc::clone(&key.key))
    }
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

/// Reads a set of keys (RFC 7517 §5). Keys that are not understood, are for something else or are no public ones are passed over.
///
/// # Errors
/// When it is no such set, or nothing in it is for us.
pub(super) fn read(document: &[u8]) -> Result<Vec<Key>, String> {
    let set: KeySet = serde_json::from_slice(document).map_err(|error| format!("its keys do not read: {error}"))?;
    let keys: Vec<Key> = set.keys.into_iter().take(KEYS_MAX).filter_map(key).collect();
    if keys.is_empty() { Err("it has no key of a sort we take".to_owned()) } else { Ok(keys) }
}

fn key(value: serde_json::Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    // RFC 8725 §3.1: which algorithms a key is for comes from the key, never from the token.
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => {
            vec![Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512]
        }
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => vec![Algorithm::ES256],
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P384 => vec![Algorithm::ES384],
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => vec![Algorithm::EdDSA],
        _ => return None,
    };
    if let Some(only) = &jwk.common.key_algorithm {
        algorithms.retain(|algorithm| is(*only, *algorithm));
    }
    if algorithms.is_empty() {
        return None;
    }
    let key = Arc::new(DecodingKey::from_jwk(&jwk).ok()?);
    Some(Key { id: jwk.common.key_id, algorithms, key })
}

fn is(named: KeyAlgorithm, algorithm: Algorithm) -> bool {
    matches!(
        (named, algorithm),
        (KeyAlgorithm::RS256, Algorithm::RS256)
            | (KeyAlgorithm::RS384, Algorithm::RS384)
            | (KeyAlgorithm::RS512, Algorithm::RS512)
            | (KeyAlgorithm::PS256, Algorithm::PS256)
            | (KeyAlgorithm::PS384, Algorithm::PS384)
            | (KeyAlgorithm::PS512, Algorithm::PS512)
            | (KeyAlgorithm::ES256, Algorithm::ES256)
            | (KeyAlgorithm::ES384, Algorithm::ES384)
            | (KeyAlgorithm::EdDSA, Algorithm::EdDSA)
    )
}

#[cfg(test)]
mod tests;
