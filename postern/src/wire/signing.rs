//! Signatures on mail that leaves, made when it leaves. Promise: what is sent is what was signed; mail of strangers is never signed; and mail that is to be signed
//! and cannot be does not leave without, unless the configuration says so.

mod keeper;
mod orders;

use std::io;
use std::sync::Arc;

use postern_config::{Config, Deliver, Dkim};
use postern_delivery::{BodyPieces, BodySource, BoxFuture};
use postern_dkim::Reader;
use postern_mail::attempt::{Attempt, Destination};
use postern_mail::outcome::Evidence;
use postern_mail::{Envelope, MessageId, Outcome, Scope, Status};

use crate::wire::examine::at_length;
use crate::wire::{Live, Server, clock};

pub(crate) use keeper::{Keeper, watch};
pub(crate) use orders::{carry_out, offline, plan_offline};

/// A message with our signatures in front.
pub(crate) struct Signed<'a> {
    fields: Arc<str>,
    body: &'a dyn BodySource,
}

impl BodySource for Signed<'_> {
    fn size(&self) -> u64 {
        self.body.size().saturating_add(self.fields.len() as u64)
    }

    fn whole(&self) -> Option<&[u8]> {
        self.body.whole().filter(|_| self.fields.is_empty())
    }

    fn open(&self) -> BoxFuture<'_, io::Result<Box<dyn BodyPieces + '_>>> {
        Box::pin(async move {
            let pieces =
                SignedPieces { fields: Some(&self.fields).filter(|fields| !fields.is_empty()), rest: self.body.open().await? };
            Ok(Box::new(pieces) as Box<dyn BodyPieces + '_>)
        })
    }
}

struct SignedPieces<'a> {
    fields: Option<&'a Arc<str>>,
    rest: Box<dyn BodyPieces + 'a>,
}

impl BodyPieces for SignedPieces<'_> {
    fn append_next<'a>(&'a mut self, into: &'a mut Vec<u8>) -> BoxFuture<'a, io::Result<usize>> {
        match self.fields.take() {
            Some(fields) => {
                into.extend_from_slice(fields.as_bytes());
                Box::pin(std::future::ready(Ok(fields.len())))
            }
            None => self.rest.append_next(into),
        }
    }
}

/// Ours to vouch for: an account sent it, a relay network, or we did. Mail of strangers that is sent on is not.
fn is_ours(config: &Config, envelope: &Envelope) -> bool {
    let is_relayed = |client| config.server.relay_networks.iter().any(|network| network.contains(&client));
    envelope.account.is_some() || envelope.client.is_none_or(|client| is_relayed(client.to_canonical()))
}

/// What is put into mailboxes of this machine stays here.
fn leaves(config: &Config, destination: &Destination) -> bool {
    match destination {
        Destination::Hosted(name) => config.domain(name).is_some_and(|domain| matches!(domain.deliver, Deliver::Relay { .. })),
        _ => true,
    }
}

/// The message as it leaves.
///
/// # Errors
/// It waits, because it cannot be signed now.
pub(crate) async fn signed<'a>(
    server: &Server,
    live: &Live,
    attempt: &Attempt,
    (envelope, body): (&Envelope, &'a dyn BodySource),
) -> Result<Signed<'a>, Outcome> {
    let config = &live.config;
    if config.dkim.is_empty() || !leaves(config, &attempt.destination) || !is_ours(config, envelope) {
        return Ok(Signed { fields: Arc::from(""), body });
    }
    let cell = server.signing.cell(attempt.id, clock(), &config.dkim);
    match cell.get_or_try_init(|| fields(&server.signing, config, attempt.id, body)).await {
        Ok(fields) => Ok(Signed { fields: Arc::clone(fields), body }),
        Err(why) => {
            tracing::error!(id = %attempt.id, why, "a message cannot be signed, and waits");
            let evidence = Evidence { by: "".into(), text: "the message cannot be signed".into() };
            // RFC 3463 §3.4: 3.5 system incorrectly configured.
            Err(Outcome::Deferred { scope: Scope::Message, status: Status::new(4, 3, 5), evidence })
        }
    }
}

/// Who signs, by what the header section says.
fn signs<'a>(config: &'a Config, headers: &postern_mail::message::headers::Headers) -> Option<&'a Dkim> {
    // Of several authors the first: no verifier takes more than one of them for the sender.
    headers.from_addresses().ok().and_then(|authors| config.dkim_for(authors.first()?))
}

/// The fields to put in front; empty where there is nobody to sign for.
async fn fields(keeper: &Keeper, config: &Config, id: MessageId, body: &dyn BodySource) -> Result<Arc<str>, String> {
    let mut reader = Reader::default();
    if let Some(whole) = body.whole() {
        at_length(whole.len(), || reader.push(whole));
    } else {
        let mut pieces = body.open().await.map_err(|error| error.to_string())?;
        let (mut piece, mut read) = (Vec::new(), 0_u64);
        while pieces.append_next(&mut piece).await.map_err(|error| error.to_string())? > 0 {
            read += piece.len() as u64;
            at_length(piece.len(), || reader.push(&piece));
            piece.clear();
            if reader.headers().is_some_and(|headers| signs(config, headers).is_none()) {
                return Ok(Arc::from(""));
            }
        }
        if read != body.size() {
            return Err("the message does not have the length it says".to_owned());
        }
    }
    let Some(read) = reader.finish() else {
        tracing::warn!(%id, "a message leaves without a signature: its header section is too long to be read");
        return Ok(Arc::from(""));
    };
    let Some(own) = signs(config, &read.headers) else { return Ok(Arc::from("")) };
    match keeper.sign(own, &read, clock()).await {
        Ok(fields) => Ok(fields.into()),
        Err(why) if own.required => Err(why),
        Err(why) => {
            tracing::error!(%id, why, "a message leaves without a signature, as [[dkim]] required = false says");
            Ok(Arc::from(""))
        }
    }
}

#[cfg(test)]
mod tests {
    use postern_config::Machine;
    use postern_delivery::InlineBody;
    use postern_mail::{Domain, ReversePath};

    use super::*;

    #[tokio::test]
    async fn the_fields_stand_in_front_and_count() {
        let body = InlineBody(b"A: b\r\n\r\nhello\r\n".as_slice());
        for (fields, expected) in [("S: x\r\n", &b"S: x\r\nA: b\r\n\r\nhello\r\n"[..]), ("", b"A: b\r\n\r\nhello\r\n")] {
            let signed = Signed { fields: Arc::from(fields), body: &body };
            let mut whole = Vec::new();
            let mut pieces = signed.open().await.unwrap();
            while pieces.append_next(&mut whole).await.unwrap() > 0 {}
            assert_eq!(whole, expected);
            assert_eq!(signed.size(), expected.len() as u64);
            assert_eq!(signed.whole().is_some(), fields.is_empty());
        }
    }

    #[test]
    fn mail_of_accounts_relay_networks_and_our_own_is_signed_where_it_leaves() {
        let text = "[server]\nrelay_networks = [\"10.0.0.0/8\"]\n[[domain]]\nname = \"in.test\"\nrecipients = \"any\"\n\
            [[domain]]\nname = \"on.test\"\nrecipients = \"any\"\ndeliver = { kind = \"relay\", host = \"192.0.2.7\" }\n";
        let config = postern_config::load(text, "f", &Machine::named("mx.example")).unwrap();
        let ours = |account: Option<&str>, client: Option<&str>| {
            let mut envelope = Envelope::plain(ReversePath::Null, Vec::new());
            envelope.account = account.map(Arc::from);
            envelope.client = client.map(|client| client.parse().unwrap());
            is_ours(&config, &envelope)
        };
        assert!(ours(Some("a@in.test"), Some("192.0.2.1")) && ours(None, Some("::ffff:10.1.1.1")) && ours(None, None));
        assert!(!ours(None, Some("192.0.2.1")));
        let goes = |destination| leaves(&config, &destination);
        let domain = |name: &str| Domain::parse(name).unwrap();
        assert!(goes(Destination::Mx(domain("far.test"))) && goes(Destination::Hosted(domain("on.test"))));
        assert!(!goes(Destination::Hosted(domain("in.test"))));
    }
}
