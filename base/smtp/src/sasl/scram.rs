//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), with `tls-exporter` as channel binding (RFC 9266).
//!
//! Promise: the server proves nothing before the client has; a user we do not know gets the same challenge each time, as a known one
//! would; a client that was led to believe we offer no channel binding is turned away.

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use postern_mail::Secret;
use postern_mail::trouble::Fault;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use super::{decode, encode, prepare_password, prepare_user};

mod client;

pub use client::{ClientBinding, ScramClient, ServerProof};

/// The longest nonce we take from either side, in octets.
pub const NONCE_BYTES_MAX: usize = 256;
/// Salt of a decoy, in octets: as long as that of a real account should be.
pub const SALT_BYTES: usize = 16;

/// What the server keeps of a password (RFC 5802 §3): enough to check a proof, not enough to make one.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramKeys {
    /// Chosen when the password was set.
    pub salt: Vec<u8>,
    /// Rounds of PBKDF2; at least 4096 (RFC 7677 §4).
    pub iterations: u32,
    /// `H(ClientKey)`.
    pub stored_key: [u8; 32],
    /// `HMAC(SaltedPassword, "Server Key")`.
    pub server_key: [u8; 32],
}

impl ScramKeys {
    /// From a password, SASLprep included. Takes as long as `iterations` asks for.
    #[must_use]
    pub fn derive(password: &Secret, salt: &[u8], iterations: u32) -> Self {
        let salted = salted_password(password, salt, iterations);
        let client_key = Zeroizing::new(mac(&*salted, b"Client Key"));
        Self { salt: salt.to_vec(), iterations, stored_key: hash(&*client_key), server_key: mac(&*salted, b"Server Key") }
    }

    /// For a user that does not exist: salt and keys that no password fits, the same for the same user as
    /// long as the secret stays, so that nobody can tell who has an account by asking twice.
    #[must_use]
    pub fn decoy(server_secret: &[u8], user: &str, iterations: u32) -> Self {
        let part = |label: &str| mac(server_secret, format!("{label}\0{user}").as_bytes());
        let mut salt = part("salt").to_vec();
        salt.truncate(SALT_BYTES);
        Self { salt, iterations, stored_key: part("stored key"), server_key: part("server key") }
    }

    /// RFC 5802 §3: whether the client knows the password, and the server's signature if it does.
    fn check(&self, auth_message: &[u8], proof: &[u8; 32]) -> Option<[u8; 32]> {
        let signature = mac(&self.stored_key, auth_message);
        let client_key = Zeroizing::new(xor(proof, &signature));
        let fits: bool = hash(&*client_key).ct_eq(&self.stored_key).into();
        fits.then(|| mac(&self.server_key, auth_message))
    }
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScramKeys(.., {} iterations)", self.iterations)
    }
}

impl Drop for ScramKeys {
    fn drop(&mut self) {
        self.stored_key.zeroize();
        self.server_key.zeroize();
    }
}

/// Why a client's last message was not accepted. The client is told the same in each case; the log may tell more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScramFailure {
    /// It does not read right.
    Malformed,
    /// Its channel binding is not that of this connection, or its first message was changed on the way.
    Binding,
    /// Its nonce is not the one we agreed on.
    Nonce,
    /// It does not know the password.
    Proof,
}

impl fmt::Display for ScramFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed message",
            Self::Binding => "channel binding does not match",
            Self::Nonce => "nonce does not match",
            Self::Proof => "wrong password",
        })
    }
}

impl std::error::Error for ScramFailure {}

/// The server's side of one attempt, between the two messages of the client.
#[derive(Clone)]
pub struct ScramServer {
    user: String,
    authzid: Option<String>,
    keys: ScramKeys,
    /// What the client's `c=` must be.
    binding: String,
    /// Both nonces.
    nonce: String,
    /// `client-first-message-bare "," server-first-message ","`.
    transcript: String,
}

impl fmt::Debug for ScramServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramServer").field("user", &self.user).finish_non_exhaustive()
    }
}

impl ScramServer {
    /// Takes the client's first message and gives ours. `plus` is the mechanism the client chose, `offered_plus` whether this connection
    /// was offered it, `server_nonce` fresh printable ASCII without a comma, `lookup` gives the keys of a user, or a decoy.
    ///
    /// # Errors
    /// [`Fault::Syntax`] for what is no such message, a channel binding that is not `tls-exporter`, one without -PLUS or -PLUS without one,
    /// and a client that thinks we do not offer -PLUS when we did (RFC 5802 §6). [`Fault::NotUtf8`] for a name SASLprep prohibits.
    pub fn first(
        client_first: &[u8],
        plus: bool,
        exporter: Option<&[u8; 32]>,
        offered_plus: bool,
        server_nonce: &str,
        lookup: impl FnOnce(&str) -> ScramKeys,
    ) -> Result<(Self, Vec<u8>), Fault> {
        let message = str::from_utf8(client_first).map_err(|_| Fault::NotUtf8)?;
        // RFC 5802 §7: gs2-header, then client-first-message-bare.
        let (flag, rest) = message.split_once(',').ok_or(Fault::Syntax)?;
        let (authzid, bare) = rest.split_once(',').ok_or(Fault::Syntax)?;
        let header = message.strip_suffix(bare).ok_or(Fault::Syntax)?;
        let mut binding = header.as_bytes().to_vec();
        match (flag, plus) {
            ("p=tls-exporter", true) => binding.extend_from_slice(exporter.ok_or(Fault::Syntax)?),
            ("n", false) => {}
            // RFC 5802 §6: a client that could bind, but saw no -PLUS in an offer that had it, is being lied to.
            ("y", false) if !offered_plus => {}
            _ => return Err(Fault::Syntax),
        }
        let authzid = match authzid.strip_prefix("a=") {
            Some(name) => Some(prepare_user(&unescape(name)?)?),
            None if authzid.is_empty() => None,
            None => return Err(Fault::Syntax),
        };
        // A mandatory extension (`m=`) would stand in front of the name and is refused with it; others are ignored (RFC 5802 §5.1).
        let mut attributes = bare.split(',');
        let user = attributes.next().and_then(|text| text.strip_prefix("n=")).ok_or(Fault::Syntax)?;
        let user = prepare_user(&unescape(user)?)?;
        let client_nonce = attributes.next().and_then(|text| text.strip_prefix("r=")).ok_or(Fault::Syntax)?;
        if !is_nonce(client_nonce) {
            return Err(Fault::Syntax);
        }
        let keys = lookup(&user);
        let nonce = format!("{client_nonce}{server_nonce}");
        let server_first = format!("r={nonce},s={},i={}", encode(&keys.salt), keys.iterations);
        let transcript = format!("{bare},{server_first},");
        let server = Self { user, authzid, keys, binding: encode(&binding), nonce, transcript };
        Ok((server, server_first.into_bytes()))
    }

    /// Who the client says it is, prepared.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Whom it wants to act for, where it said so; to be refused unless it is the user itself.
    #[must_use]
    pub fn authzid(&self) -> Option<&str> {
        self.authzid.as_deref()
    }

    /// Takes the client's last message and gives ours, by which the server proves itself.
    ///
    /// # Errors
    /// Says why the client is not who it says.
    pub fn last(&self, client_final: &[u8]) -> Result<Vec<u8>, ScramFailure> {
        self.last_of(client_final, std::slice::from_ref(&self.keys)).map(|(_, server_final)| server_final)
    }

    /// As [`ScramServer::last`], for a user with several passwords that share one salt and number of iterations: says which keys fit.
    ///
    /// # Errors
    /// As [`ScramServer::last`].
    pub fn last_of(&self, client_final: &[u8], candidates: &[ScramKeys]) -> Result<(usize, Vec<u8>), ScramFailure> {
        let message = str::from_utf8(client_final).map_err(|_| ScramFailure::Malformed)?;
        // RFC 5802 §7: the proof is the last attribute, and everything before it is signed.
        let (signed, proof) = message.rsplit_once(",p=").ok_or(ScramFailure::Malformed)?;
        let mut attributes = signed.split(',');
        let binding = attributes.next().and_then(|text| text.strip_prefix("c=")).ok_or(ScramFailure::Malformed)?;
        let nonce = attributes.next().and_then(|text| text.strip_prefix("r=")).ok_or(ScramFailure::Malformed)?;
        if !same(binding, &self.binding) {
            return Err(ScramFailure::Binding);
        }
        if !same(nonce, &self.nonce) {
            return Err(ScramFailure::Nonce);
        }
        let proof = decode(proof.as_bytes()).map_err(|_| ScramFailure::Malformed)?;
        let proof: &[u8; 32] = proof.expose().try_into().map_err(|_| ScramFailure::Malformed)?;
        let auth_message = format!("{}{signed}", self.transcript);
        let fitting = candidates.iter().enumerate().find_map(|(place, keys)| {
            let signature = keys.check(auth_message.as_bytes(), proof)?;
            Some((place, format!("v={}", encode(&signature)).into_bytes()))
        });
        fitting.ok_or(ScramFailure::Proof)
    }
}

fn same(given: &str, wanted: &str) -> bool {
    given.as_bytes().ct_eq(wanted.as_bytes()).into()
}

/// RFC 5802 §7: printable ASCII but the comma.
fn is_nonce(text: &str) -> bool {
    (1..=NONCE_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

/// RFC 5802 §5.1: `=2C` is a comma and `=3D` an equals sign; no other `=` may stand in a name.
fn unescape(name: &str) -> Result<String, Fault> {
    let mut parts = name.split('=');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (c, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(Fault::Syntax),
        };
        plain.push(c);
        plain.push_str(rest);
    }
    Ok(plain)
}

fn salted_password(password: &Secret, salt: &[u8], iterations: u32) -> Zeroizing<[u8; 32]> {
    let prepared = prepare_password(password.expose());
    let iterations = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
    let mut salted = Zeroizing::new([0; 32]);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, prepared.expose(), &mut *salted);
    salted
}

fn mac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
    let mut octets = [0; 32];
    octets.copy_from_slice(tag.as_ref());
    octets
}

fn hash(text: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, text);
    let mut octets = [0; 32];
    octets.copy_from_slice(digest.as_ref());
    octets
}

fn xor(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut octets = *left;
    octets.iter_mut().zip(right).for_each(|(octet, other)| *octet ^= other);
    octets
}

#[cfg(test)]
mod tests;
