//! Seals on mail that is sent on (RFC 8617 §5.1), and what is wrong with chains beyond what the library looks at. Promise: a chain that is broken is not sealed
//! as if it were whole, and the key is used for nothing else.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_auth::arc::ArcSealer;
use mail_auth::crypto::{Algorithm, RsaKey, Sha256};
use mail_auth::headers::HeaderWriter as _;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{AuthenticatedMessage, AuthenticationResults, SpfOutput, SpfResult};
use postern_mail::authenticity::{AuthResult, Spf};

use crate::authenticity::{Authenticator, MessageAsked};

/// What a seal covers. Trace fields are left out: the next hop puts its own in front.
const SEALED_FIELDS: [&str; 14] = [
    "From",
    "Reply-To",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "List-Id",
    "DKIM-Signature",
];

/// Who seals.
pub struct Sealer {
    domain: String,
    selector: String,
    /// PKCS #8.
    key: Vec<u8>,
}

impl Sealer {
    /// With an RSA key in PKCS #8.
    ///
    /// # Errors
    /// When the key does not read.
    pub fn new(domain: String, selector: String, key: Vec<u8>) -> Result<Self, String> {
        let sealer = Self { domain, selector, key };
        sealer.key().map(|_| sealer)
    }

    fn key(&self) -> Result<RsaKey<Sha256>, String> {
        let der = self.key.as_slice().try_into().map_err(|error: &str| error.to_owned())?;
        RsaKey::<Sha256>::from_key_der(der).map_err(|error| error.to_string())
    }

    /// The record to publish at `selector._domainkey.domain`.
    ///
    /// # Errors
    /// When the key does not read.
    pub fn record(&self) -> Result<String, String> {
        Ok(format!("v=DKIM1; k=rsa; p={}", STANDARD.encode(self.key()?.public_key())))
    }

    /// The three fields to put in front of `message`, which is as it came. `None`: there is nothing to seal, or a chain that already says of itself that it is
    /// broken (RFC 8617 §5.1.2 ends there).
    ///
    /// # Errors
    /// When it cannot be signed.
    pub async fn seal(
        &self,
        dns: &Authenticator,
        asked: &MessageAsked,
        spf: Option<&Spf>,
        message: &[u8],
    ) -> Result<Option<String>, String> {
        let Some(message) = AuthenticatedMessage::parse(message) else { return Ok(None) };
        let work = async { (dns.library.verify_arc(&message).await, dns.library.verify_dkim(&message).await) };
        let (chain, dkim) = tokio::time::timeout(asked.within, work).await.map_err(|_| "no answer in time".to_owned())?;
        if !chain.can_be_sealed() {
            return Ok(None);
        }
        let from = asked.from.mailbox().map(ToString::to_string).unwrap_or_default();
        let mut results = AuthenticationResults::new(&asked.receiver)
            .with_dkim_results(&dkim, message.first_from_address())
            .with_arc_result(&chain, asked.client);
        if let Some(spf) = spf {
            let result = match spf.result {
                AuthResult::Pass => SpfResult::Pass,
                AuthResult::Fail => SpfResult::Fail,
                AuthResult::SoftFail => SpfResult::SoftFail,
                AuthResult::Neutral => SpfResult::Neutral,
                AuthResult::TempError => SpfResult::TempError,
                AuthResult::PermError => SpfResult::PermError,
                AuthResult::None | AuthResult::Policy => SpfResult::None,
            };
            let output = SpfOutput::new(spf.domain.as_str().to_owned()).with_result(result);
            let parameters = if from.is_empty() {
                SpfParameters::helo(asked.client, &asked.helo, &asked.receiver)
            } else {
                SpfParameters::mail_from(asked.client, &asked.helo, &asked.receiver, &from)
            };
            results.set_spf_result(&output, &parameters);
        }
        let sealer = ArcSealer::from_key(self.key()?).domain(&self.domain).selector(&self.selector).headers(SEALED_FIELDS);
        let set = sealer.seal(&message, &results, &chain).map_err(|error| error.to_string())?;
        Ok(Some(set.to_header()))
    }
}

/// What breaks a chain though each of its signatures holds: the library takes tag lists that are none, and algorithms nobody should.
pub(crate) fn wrong_in(message: &AuthenticatedMessage<'_>) -> Option<&'static str> {
    // RFC 8617 §4.1.2: a message signature covers no seal.
    let covers_seal = |names: &[String]| names.iter().any(|name| name.eq_ignore_ascii_case("ARC-Seal"));
    if message.arc_message_signatures().iter().any(|signature| covers_seal(&signature.header.h)) {
        return Some("a message signature covers a seal");
    }
    let signatures = message.arc_message_signatures().iter().map(|header| (header.value, header.header.a));
    let seals = message.arc_seals().iter().map(|header| (header.value, header.header.a));
    signatures.chain(seals).find_map(|(value, algorithm)| {
        if algorithm == Algorithm::RsaSha1 {
            return Some("rsa-sha1 is not accepted");
        }
        (!is_tag_list(value)).then_some("a list of tags is malformed, or has no algorithm")
    })
}

/// RFC 6376 §3.2: names are letters, digits and underscores, each once; only behind the last tag may a semicolon be without another.
/// RFC 8617 §4.1.2, §4.1.3: what both kinds of field must have, in lower case.
fn is_tag_list(value: &[u8]) -> bool {
    let mut tags: Vec<&[u8]> = value.split(|b| *b == b';').map(<[u8]>::trim_ascii).collect();
    if tags.last().is_some_and(|last| last.is_empty()) {
        tags.pop();
    }
    let mut names: Vec<&[u8]> = Vec::new();
    for tag in tags {
        let Some(equals) = tag.iter().position(|b| *b == b'=') else { return false };
        let name = tag.get(..equals).unwrap_or_default().trim_ascii();
        let fits =
            name.first().is_some_and(u8::is_ascii_alphabetic) && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_');
        if !fits || names.contains(&name) {
            return false;
        }
        names.push(name);
    }
    [b"a", b"b", b"d", b"i", b"s"].iter().all(|name| names.contains(&name.as_slice()))
}

/// RFC 6008 §4: enough of a signature to tell it from others.
pub(crate) fn base64_start(signature: &[u8]) -> String {
    STANDARD.encode(signature.get(..6).unwrap_or(signature))
}

#[expect(clippy::disallowed_methods, reason = "this crate holds the clock: a macro of SPF tells the time")]
pub(crate) fn seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
