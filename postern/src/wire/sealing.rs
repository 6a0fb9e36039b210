//! Seals (ARC) on mail of strangers that goes on to another server. Promise: only what was found out here is sealed, over the message as it is stored; and a
//! seal that cannot be made delays or loses no message.

use postern_config::{Config, Deliver};
use postern_lookup::{ReadMessage, SealAsked, Sealer};
use postern_mail::Envelope;
use postern_mail::attempt::Destination;
use postern_spool::Writer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

use crate::wire::examine::at_length;
use crate::wire::{Live, routing};

/// As configured, if it is.
///
/// # Errors
/// In words: the key cannot be used.
pub(crate) fn sealer(config: &Config) -> Result<Option<Sealer>, String> {
    let arc = &config.arc;
    let (Some(domain), Some(path)) = (&arc.domain, &arc.key) else { return Ok(None) };
    let wrong = |what: &dyn std::fmt::Display| format!("arc.key: {}: {what}", path.display());
    let key = PrivateKeyDer::from_pem_file(path).map_err(|error| wrong(&error))?;
    let sealer = Sealer::new(domain.as_str(), &arc.selector, key.secret_der());
    sealer.map(Some).map_err(|_| wrong(&"not an RSA key in PKCS #8"))
}

/// Some of it leaves for another server, which cannot know what was found out here.
fn goes_on(config: &Config, envelope: &Envelope) -> bool {
    envelope.recipients.iter().any(|recipient| match routing::destination(config, recipient.address()) {
        Destination::Hosted(name) => config.domain(&name).is_some_and(|domain| matches!(domain.deliver, Deliver::Relay { .. })),
        _ => true,
    })
}

/// The value of the first field, which is Authentication-Results.
fn results(fields: &[u8]) -> Option<&str> {
    let value = std::str::from_utf8(fields).ok()?.strip_prefix("Authentication-Results:")?;
    Some(value.split_once("\r\nReceived-SPF:").map_or(value, |(value, _)| value).trim_ascii())
}

/// Fields for a message that got these; `ours` octets before it are not sealed.
pub(crate) async fn seal(live: &Live, envelope: &Envelope, fields: &[u8], (writer, ours): (&Writer, usize)) -> Option<String> {
    let sealer = live.sealer.as_ref()?;
    let results = results(fields)?;
    if !goes_on(&live.config, envelope) {
        return None;
    }
    let _room = live.memory.room(writer.size()).await.ok()?;
    // What cannot be read back cannot be stored, which is said elsewhere.
    let stored = writer.read_back(usize::MAX).await.ok()?;
    let octets = stored.get(ours..)?;
    let message = at_length(octets.len(), || ReadMessage::read(octets))?;
    let within = live.config.policy.authenticity.timeout / 2;
    match sealer.seal(&live.authenticator, SealAsked { message, results, within }).await {
        Ok(fields) => fields,
        Err(error) => {
            tracing::warn!(error, "a message goes on without a seal");
            None
        }
    }
}
