//! Signatures on mail that leaves, made when it leaves. Promise: what is sent is what was signed; mail of strangers is never signed; and mail that is to be signed
//! and cannot be does not leave without, unless the configuration says so. Whose mail it is to be is told by the From that a lenient reader sees.

mod keeper;
mod orders;

use std::io;
use std::sync::Arc;

use postern_config::{Config, Deliver, Dkim};
use postern_delivery::{BodyPieces, BodySource, BoxFuture};
use postern_dkim::Reader;
use postern_mail::attempt::{Attempt, Destination};
use postern_mail::outcome::Evidence;
use postern_mail::{Envelope, Mailbox, MessageId, Outcome, Scope, Status};

use postern_mail::message::headers::{HeaderFault, Headers};

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
        // Not remembered: the next try may find what was missing.
        Err(Unsigned::Without(why)) => {
            tracing::error!(id = %attempt.id, why, "a message leaves without a signature, as [[dkim]] required = false says");
            Ok(Signed { fields: Arc::from(""), body })
        }
        Err(Unsigned::Waits(why)) => {
            tracing::error!(id = %attempt.id, why, "a message cannot be signed, and waits");
            let evidence = Evidence { by: "".into(), text: "the message cannot be signed".into() };
            // RFC 3463 §3.4: 3.5 system incorrectly configured.
            Err(Outcome::Deferred { scope: Scope::Message, status: Status::new(4, 3, 5), evidence })
        }
        Err(Unsigned::Never(why)) => {
            tracing::warn!(id = %attempt.id, why, "a message is returned: it has to be signed, and its header section is none that can be");
            let text = format!("the message cannot be signed: {why}").into();
            // RFC 3463 §3.7: 6.0 other or undefined media error.
            Err(Outcome::Bounced {
                scope: Scope::Message,
                status: Status::new(5, 6, 0),
                evidence: Evidence { by: "".into(), text },
            })
        }
    }
}

/// Why a message that is to be signed is not.
#[derive(Debug, PartialEq, Eq)]
enum Unsigned {
    /// Somebody may mend it.
    Waits(String),
    /// Nobody can, with this message.
    Never(String),
    /// As the configuration says.
    Without(String),
}

impl From<String> for Unsigned {
    fn from(why: String) -> Self {
        Self::Waits(why)
    }
}

/// Who signs, by what the header section says.
#[derive(Debug)]
enum Signs<'a> {
    Own(&'a Dkim),
    /// One of these would have to, but what a verifier finds in this section is not certain.
    Uncertain(&'a Dkim, HeaderFault),
    Nobody,
}

fn signs<'a>(config: &'a Config, headers: &Headers) -> Signs<'a> {
    let of = |author: &Mailbox| config.dkim_for(author);
    let fault = match headers.from_addresses() {
        // Of several authors the first: no verifier takes more than one of them for the sender.
        Ok(authors) => return authors.first().and_then(of).map_or(Signs::Nobody, Signs::Own),
        Err(fault) => fault,
    };
    // Relay networks send what no account may. Any author of ours will do: nobody can tell which of them a reader takes for the sender.
    let Some(own) = headers.addresses_in("From").iter().find_map(of) else { return Signs::Nobody };
    // A signature is about fields, whatever they say; where they begin and end is all that has to be certain.
    match fault.leaves_fields_certain() && headers.count("From") == 1 {
        true => Signs::Own(own),
        false => Signs::Uncertain(own, fault),
    }
}

/// A section that can have no signature leaves without one only where that is allowed.
fn without(own: &Dkim, fault: HeaderFault) -> Unsigned {
    if own.required { Unsigned::Never(fault.to_string()) } else { Unsigned::Without(fault.to_string()) }
}

/// The fields to put in front; empty where there is nobody to sign for.
async fn fields(keeper: &Keeper, config: &Config, id: MessageId, body: &dyn BodySource) -> Result<Arc<str>, Unsigned> {
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
            if reader.headers().is_some_and(|headers| matches!(signs(config, headers), Signs::Nobody)) {
                return Ok(Arc::from(""));
            }
        }
        if read != body.size() {
            return Err(Unsigned::Waits("the message does not have the length it says".to_owned()));
        }
    }
    if let Some(Signs::Uncertain(own, fault)) = reader.beginning().map(|beginning| signs(config, beginning)) {
        return Err(without(own, fault));
    }
    let Some(read) = reader.finish() else {
        tracing::warn!(%id, "a message leaves without a signature: its header section is too long to be read, and says of nobody of ours where it begins");
        return Ok(Arc::from(""));
    };
    let own = match signs(config, &read.headers) {
        Signs::Own(own) => own,
        Signs::Uncertain(own, fault) => return Err(without(own, fault)),
        Signs::Nobody => return Ok(Arc::from("")),
    };
    match keeper.sign(own, &read, clock()).await {
        Ok(fields) => Ok(fields.into()),
        Err(why) if own.required => Err(Unsigned::Waits(why)),
        Err(why) => Err(Unsigned::Without(why)),
    }
}

#[cfg(test)]
mod tests {
    use postern_config::Machine;
    use postern_delivery::InlineBody;
    use postern_mail::attempt::LaneId;
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

    #[tokio::test]
    async fn a_header_section_that_is_read_only_leniently_is_signed_and_one_that_cannot_be_does_not_leave_without() {
        let folder = tempfile::tempdir().unwrap();
        let keeper = Keeper::new(folder.path().to_path_buf());
        let load = |required: bool| {
            let text = format!("[[dkim]]\ndomain = \"a.test\"\nrequired = {required}\n");
            postern_config::load(&text, "f", &Machine::named("mx.example")).unwrap()
        };
        let (strict, lax) = (load(true), load(false));
        let _made = keeper.told(strict.dkim.first().unwrap(), clock()).unwrap();
        let long = [b"From: x@a.test\r\n".as_slice(), &b"X: 0123456789\r\n".repeat(5000), b"\r\nhello\r\n"].concat();
        let raw = |from: &[u8]| [b"From: ".as_slice(), from, b"\r\n\r\nhello\r\n"].concat();
        let japanese = raw(b"\x1b$B@DLZ\x1b(B <aoki@a.test>");
        let latin = raw(b"J\xf6rg <j@a.test>");
        let blank = b"Subject: a\r\n \r\nFrom: x@a.test\r\n\r\nhello\r\n".to_vec();
        let twice = b"From: x@a.test\r\nFrom: y@b.test\r\n\r\nhello\r\n".to_vec();
        for (message, signed) in
            [(raw(b"x@a.test"), true), (japanese, true), (latin, true), (long, false), (blank, false), (twice, false)]
        {
            let body = InlineBody(message.as_slice());
            let of = async |config| fields(&keeper, config, MessageId(1), &body).await;
            let (required, not) = (of(&strict).await, of(&lax).await);
            let has = |fields: &Result<Arc<str>, Unsigned>| fields.as_ref().is_ok_and(|fields| fields.contains("d=a.test"));
            assert_eq!((has(&required), has(&not)), (signed, signed), "{required:?}");
            assert!(
                signed || matches!((&required, &not), (Err(Unsigned::Never(_)), Err(Unsigned::Without(_)))),
                "{required:?}, {not:?}"
            );
        }
        // Whose author is nobody of ours is nobody's to sign.
        let foreign = raw(b"J\xf6rg <j@b.test>");
        assert_eq!(fields(&keeper, &strict, MessageId(1), &InlineBody(foreign.as_slice())).await, Ok(Arc::from("")));
    }

    #[tokio::test]
    async fn a_message_that_left_without_a_signature_for_a_key_is_signed_when_it_is_tried_again_and_the_key_is_mended() {
        let town = crate::wire::tests::Town::new("[[dkim]]\ndomain = \"a.test\"\nrequired = false\n");
        let (server, live) = (&town.server, town.server.live.load_full());
        let own = live.config.dkim.first().unwrap();
        let body = InlineBody(b"From: x@a.test\r\n\r\nhello\r\n".as_slice());
        let envelope = Envelope::plain(ReversePath::Null, Vec::new());
        let destination = Destination::Mx(Domain::parse("there.test").unwrap());
        let attempt = Attempt { id: MessageId(1), lane: LaneId(1), destination, received: clock(), number: 1 };
        let tried = async || signed(server, &live, &attempt, (&envelope, &body)).await.unwrap().fields;
        assert_eq!(&*tried().await, "");
        let _made = server.signing.told(own, clock()).unwrap();
        assert!(tried().await.contains("d=a.test"));
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
