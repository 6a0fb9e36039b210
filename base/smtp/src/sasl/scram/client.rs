//! The client's side of SCRAM, for logging in to a relay.
//!
//! Promise: a server that does not prove that it knows the password is found out, and cannot make us work without end.

use postern_mail::Secret;
use postern_mail::trouble::Fault;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{NONCE_BYTES_MAX, hash, is_nonce, mac, salted_password, xor};
use crate::sasl::{decode, encode, prepare_user};

/// RFC 7677 §4: fewer rounds protect too little.
const ITERATIONS_MIN: u32 = 4096;
/// More rounds than any server needs; each costs us time.
const ITERATIONS_MAX: u32 = 1_000_000;

/// How the client binds to the TLS channel (RFC 5802 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientBinding {
    /// It cannot.
    Unable,
    /// It could, but the server did not offer -PLUS.
    NotOffered,
    /// `tls-exporter` (RFC 9266), for -PLUS.
    Exporter([u8; 32]),
}

/// One attempt to log in.
#[derive(Clone, Debug)]
pub struct ScramClient {
    password: Secret,
    nonce: String,
    binding: ClientBinding,
    bare: String,
}

/// What the server must answer in the end.
#[derive(Clone, Debug)]
pub struct ServerProof([u8; 32]);

impl ScramClient {
    /// `nonce` is fresh printable ASCII without a comma.
    ///
    /// # Errors
    /// What [`prepare_user`] says, and [`Fault::Syntax`] for a nonce that is none.
    pub fn new(user: &str, password: Secret, nonce: &str, binding: ClientBinding) -> Result<Self, Fault> {
        if !is_nonce(nonce) {
            return Err(Fault::Syntax);
        }
        let user = prepare_user(user)?.replace('=', "=3D").replace(',', "=2C");
        Ok(Self { password, nonce: nonce.to_owned(), binding, bare: format!("n={user},r={nonce}") })
    }

    fn header(&self) -> &'static str {
        match self.binding {
            ClientBinding::Unable => "n,,",
            ClientBinding::NotOffered => "y,,",
            ClientBinding::Exporter(_) => "p=tls-exporter,,",
        }
    }

    /// The first message.
    #[must_use]
    pub fn first(&self) -> Vec<u8> {
        format!("{}{}", self.header(), self.bare).into_bytes()
    }

    /// Takes the server's first message; gives the last message, and what to hold the server's last one against.
    ///
    /// # Errors
    /// [`Fault::Syntax`] for what is no such message, a nonce that is not ours continued, and too few or too many iterations.
    pub fn last(&self, server_first: &[u8]) -> Result<(Vec<u8>, ServerProof), Fault> {
        let message = str::from_utf8(server_first).map_err(|_| Fault::NotUtf8)?;
        let mut attributes = message.split(',');
        let mut attribute = |name| attributes.next().and_then(|text| text.strip_prefix(name)).ok_or(Fault::Syntax);
        let (nonce, salt, iterations) = (attribute("r=")?, decode(attribute("s=")?.as_bytes())?, attribute("i=")?);
        let continues = nonce.len() > self.nonce.len() && nonce.len() <= 2 * NONCE_BYTES_MAX && nonce.starts_with(&self.nonce);
        let iterations: u32 = iterations.parse().map_err(|_| Fault::Syntax)?;
        if !continues || !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
            return Err(Fault::Syntax);
        }
        let mut binding = self.header().as_bytes().to_vec();
        if let ClientBinding::Exporter(exporter) = &self.binding {
            binding.extend_from_slice(exporter);
        }
        let signed = format!("c={},r={nonce}", encode(&binding));
        let auth_message = format!("{},{message},{signed}", self.bare);
        let salted = salted_password(&self.password, salt.expose(), iterations);
        let client_key = Zeroizing::new(mac(&*salted, b"Client Key"));
        let signature = mac(&hash(&*client_key), auth_message.as_bytes());
        let proof = xor(&client_key, &signature);
        let server_key = Zeroizing::new(mac(&*salted, b"Server Key"));
        let server_proof = ServerProof(mac(&*server_key, auth_message.as_bytes()));
        Ok((format!("{signed},p={}", encode(&proof)).into_bytes(), server_proof))
    }
}

impl ServerProof {
    /// Whether the server's last message shows that it knows the password too.
    #[must_use]
    pub fn fits(&self, server_final: &[u8]) -> bool {
        let given = server_final.strip_prefix(b"v=").and_then(|text| decode(text).ok());
        given.is_some_and(|given| given.expose().ct_eq(&self.0).into())
    }
}
