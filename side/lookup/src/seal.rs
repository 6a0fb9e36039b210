//! Seals on mail that is sent on (RFC 8617 §5.1), and what is wrong with chains beyond what the library looks at. Promise: a chain that is broken is not sealed
//! as if it were whole, and the key is used for nothing else.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_auth::arc::{ArcSealer, ChainValidation, SealedSet};
use mail_auth::crypto::{Algorithm, RsaKey, Sha256, SigningKey};
use mail_auth::headers::{HeaderWriter as _, Writable};
use mail_auth::{AuthenticatedMessage, AuthenticationResults, DkimResult, Parameters};

use crate::authenticity::{Authenticator, ReadMessage, names_too_many, too_much};

/// RFC 8617 §4.2.1: sets in a chain.
const SETS_MAX: usize = 50;
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
    key: RsaKey<Sha256>,
}

/// The key, lent to the library.
struct Lent<'a>(&'a RsaKey<Sha256>);

impl SigningKey for Lent<'_> {
    type Hasher = Sha256;

    fn sign(&self, input: impl Writable) -> mail_auth::Result<Vec<u8>> {
        self.0.sign(input)
    }

    fn algorithm(&self) -> Algorithm {
        self.0.algorithm()
    }
}

/// What is to be sealed.
pub struct SealAsked<'a> {
    /// The message as it is sent on, but for fields that are not sealed.
    pub message: ReadMessage<'a>,
    /// The value of the Authentication-Results it got.
    pub results: &'a str,
    /// For keys of the chain that is there.
    pub within: Duration,
}

impl Sealer {
    /// With an RSA key in PKCS #8.
    ///
    /// # Errors
    /// When the key does not read.
    pub fn new(domain: &str, selector: &str, key: &[u8]) -> Result<Self, String> {
        let key = RsaKey::<Sha256>::from_key_der(key.try_into().map_err(str::to_owned)?).map_err(|error| error.to_string())?;
        Ok(Self { domain: domain.to_owned(), selector: selector.to_owned(), key })
    }

    /// The three fields to put in front. `None`: the chain is one that nothing can be added to, since it says of itself that it is broken, is as long as one
    /// may be, or cannot be counted or verified within bounds (RFC 8617 §5.1.2 has such a chain sealed as failed, but no number of ours would stand in a row with
    /// the others: it stays broken for everybody behind us, as a seal would say); or its keys could not be asked for, and the next hop may have more luck.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub async fn seal(&self, dns: &Authenticator, asked: SealAsked<'_>) -> Result<Option<String>, String> {
        let SealAsked { message: ReadMessage(message), results, within } = asked;
        if too_much(&message).is_some() || names_too_many(&message) {
            return Ok(None);
        }
        let until = tokio::time::Instant::now() + within;
        let verified = tokio::time::timeout_at(until, dns.library.verify_arc(&message)).await;
        let Ok(mut chain) = verified else { return Ok(None) };
        let keys;
        if *chain.result() == DkimResult::Pass {
            let found = tokio::time::timeout_at(until, dns.chain_keys(&message)).await;
            let Ok(found) = found else { return Ok(None) };
            keys = found;
            chain = dns.library.verify_arc(Parameters::new(&message).with_cache(&keys)).await;
        }
        let is_there = has_arc(&message);
        let countable = !is_there || (1..SETS_MAX).contains(&chain.chain().len());
        if !chain.can_be_sealed() || !countable || matches!(chain.result(), DkimResult::TempError(_)) {
            return Ok(None);
        }
        let holds = !is_there || (*chain.result() == DkimResult::Pass && wrong_in(&message).is_none());
        // The library writes what it takes for a host name as it is, so that our own field can stand there, on one line: so it is hashed.
        let line = relaxed(results);
        let told = AuthenticationResults::new(&line);
        let sealer = ArcSealer::from_key(Lent(&self.key)).domain(&self.domain).selector(&self.selector).headers(SEALED_FIELDS);
        let mut set = sealer.seal(&message, &told, &chain).map_err(|error| error.to_string())?;
        if !holds {
            self.seal_as_broken(&mut set)?;
        }
        let fields = set.to_header();
        // Folded again: a seal does not see that.
        let head =
            fields.strip_suffix("\r\n").and_then(|fields| fields.strip_suffix(&line)).ok_or("an unknown form of fields")?;
        Ok(Some(format!("{head}{}\r\n", results.trim_ascii())))
    }

    /// RFC 8617 §5.1.2: the seal on a chain that does not hold covers its own set only.
    fn seal_as_broken(&self, set: &mut SealedSet<'_>) -> Result<(), String> {
        set.seal.cv = ChainValidation::Fail;
        set.seal.b.clear();
        let text = set.to_header();
        let start = |name: &str| text.find(name).ok_or("an unknown form of fields");
        let (message, results) = (start("\r\nARC-Message-Signature:")?, start("\r\nARC-Authentication-Results:")?);
        let field = |range: std::ops::Range<usize>| {
            let (name, value) = text.get(range).and_then(|field| field.trim_ascii().split_once(':')).unwrap_or_default();
            format!("{}:{}", name.to_ascii_lowercase(), relaxed(value))
        };
        let hashed = [field(results..text.len()), field(message..results), field(0..message)].join("\r\n");
        set.seal.b = self.key.sign(hashed.as_bytes()).map_err(|error| error.to_string())?;
        Ok(())
    }
}

/// RFC 6376 §3.4.2: a value as it is hashed.
fn relaxed(value: &str) -> String {
    value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// Where the keys of a chain are, each once; of no more sets than there may be.
pub(crate) fn key_names(message: &AuthenticatedMessage<'_>) -> Vec<String> {
    let of_signatures = message.arc_message_signatures().iter().take(SETS_MAX).map(|one| (&one.header.s, &one.header.d));
    let of_seals = message.arc_seals().iter().take(SETS_MAX).map(|one| (&one.header.s, &one.header.d));
    let mut names: Vec<String> = of_signatures.chain(of_seals).map(|(s, d)| format!("{s}._domainkey.{d}.")).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Fields of a chain, whatever their state.
pub(crate) fn has_arc(message: &AuthenticatedMessage<'_>) -> bool {
    message.headers().iter().any(|(name, _)| name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"ARC-")))
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
