//! Posts messages to an application over HTTP, one request for each recipient, signed. Promise: only the configured address is spoken to, no redirect is
//! followed, a certificate is verified; a message is in memory a piece at a time; each try for a recipient carries the same key, so that an application can
//! tell a second try from a second message; and an application that is broken or wrongly set up bounces nobody's mail.
//!
//! RFC 9110 §15.5: what a status means is in [`outcome`].

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use aws_lc_rs::{digest, hmac};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use postern_mail::{Outcome, Recipient, Scope, Secret, Status};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::attempt::Delivery;
use crate::classify::{self, Failure, Stage, evidence};
use crate::connect::{self, Dialed, Endpoint};
use crate::next_hop::{Message, NextHop, Place, Protocol, TlsPolicy};
use crate::tls_policy::Secured;

/// Of the header of an answer.
const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Pieces of a message on their way into the request.
const PIECES_MAX: usize = 2;
/// What an application says is waited for so long; its status has come by then.
const WORDS_TIME: Duration = Duration::from_secs(2);

/// Where messages are posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Its host, with all its addresses.
    pub place: Place,
    /// Under TLS, verified; without only on this machine.
    pub tls: bool,
    /// For the Host field.
    pub authority: Box<str>,
    /// Path and query.
    pub path: Box<str>,
    /// What requests are signed with.
    pub secret: Secret,
}

/// What is said of a message beside its content, each fit for a header field.
struct Envelope {
    key: String,
    id: String,
    from: String,
    to: String,
}

/// A field holds visible ASCII; everything else in an address is percent-encoded.
fn encoded(text: &str) -> String {
    let mut field = String::with_capacity(text.len());
    for octet in text.bytes() {
        match octet {
            b'%' => field.push_str("%25"),
            0x21..=0x7e => field.push(char::from(octet)),
            _ => field.push_str(&format!("%{octet:02X}")),
        }
    }
    field
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

impl Envelope {
    fn of(message: &Message<'_>, recipient: &Recipient) -> Self {
        let (id, to) = (message.id.to_string(), encoded(&recipient.address().to_string()));
        let from = message.envelope.from.mailbox().map(ToString::to_string).unwrap_or_default();
        // The same for each try, whatever else changes, and of a length that every store can take.
        let key = hex(digest::digest(&digest::SHA256, format!("{id} {to}").as_bytes()).as_ref());
        Self { key, id, from: encoded(&from), to }
    }
}

/// A message that is read while it is sent.
struct Pieces {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    left: u64,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        this.pieces.poll_recv(cx).map(|piece| {
            let piece = piece?;
            this.left = this.left.saturating_sub(piece.as_ref().map_or(0, |piece| piece.len() as u64));
            Some(piece.map(Frame::data))
        })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// What an answer means. 2xx has it. Three are about the message and final: 410 nobody has this address, 413 too large, 422 not wanted. The rest may be
/// mended and is tried again: 3xx (nobody follows it), 401, 404 and the like are mistakes in what is set up, 408, 425, 429 and 5xx pass.
fn outcome(status: StatusCode, by: &str, words: &str) -> Outcome {
    let evidence = evidence(by, format!("{} {words}", status.as_u16()).trim_end());
    // RFC 3463 §3.2: 1.1 bad mailbox; §3.4: 3.4 too big; §3.7: 6.0 other media error.
    let bounced =
        |scope, (subject, detail), evidence| Outcome::Bounced { scope, status: Status::new(5, subject, detail), evidence };
    match status.as_u16() {
        200..=299 => Outcome::Delivered { evidence, dsn_passed_on: false },
        410 => bounced(Scope::Recipient, (1, 1), evidence),
        413 => bounced(Scope::Message, (3, 4), evidence),
        422 => bounced(Scope::Message, (6, 0), evidence),
        // It may be this message only: the others go on.
        400 | 409 | 415 => Outcome::Deferred { scope: Scope::Message, status: Status::new(4, 3, 0), evidence },
        _ => Outcome::Deferred { scope: Scope::Destination, status: Status::new(4, 3, 0), evidence },
    }
}

impl Delivery {
    /// Posts a message for each of its recipients. One outcome each, in their order.
    pub async fn post(&self, hook: &Webhook, message: Message<'_>) -> Vec<Outcome> {
        let limit = self.settings().timeouts.attempt;
        let mut outcomes = Vec::with_capacity(message.recipients.len());
        let all = async {
            for recipient in message.recipients {
                let envelope = Envelope::of(&message, recipient);
                let outcome = self.post_one(hook, &message, &envelope).await.unwrap_or_else(|outcome| outcome);
                // Who is down for one is down for all.
                let is_down = matches!(&outcome, Outcome::Deferred { scope, .. } if *scope != Scope::Message);
                outcomes.push(outcome.clone());
                if is_down {
                    outcomes.resize(message.recipients.len(), outcome);
                    return;
                }
            }
        };
        let _ = timeout(limit, all).await;
        let late = classify::of_failure(Stage::Body, &Failure::TimedOut(limit), "");
        outcomes.resize(message.recipients.len(), late);
        outcomes
    }

    async fn post_one(&self, hook: &Webhook, message: &Message<'_>, envelope: &Envelope) -> Result<Outcome, Outcome> {
        let hop = NextHop { place: hook.place.clone(), protocol: Protocol::Smtp, tls: TlsPolicy::Verify, credentials: None };
        let endpoints = connect::endpoints(&hop, self.settings()).map_err(set_up_wrongly)?;
        let mut last = None;
        for (endpoint, _) in &endpoints {
            let by = endpoint.to_string();
            // Another address is tried only as long as nothing was sent.
            match self.reach(hook, endpoint).await {
                Ok(stream) => {
                    // All of the message is read for it, so not before somebody listens.
                    let signature = signature(hook, message, envelope).await.map_err(|error| unreadable(message, &error))?;
                    return Ok(self.send(hook, stream, (message, envelope), (&signature, &by)).await);
                }
                Err((stage, failure)) => last = Some(classify::of_failure(stage, &failure, &by)),
            }
        }
        Err(last.unwrap_or_else(|| classify::of_failure(Stage::Connect, &Failure::Refused, "")))
    }

    async fn reach(&self, hook: &Webhook, endpoint: &Endpoint) -> Result<Box<dyn Duplex>, (Stage, Failure)> {
        let timeouts = &self.settings().timeouts;
        let dialed = connect::connect(endpoint, &[], timeouts.connect).await.map_err(|failure| (Stage::Connect, failure))?;
        let (Dialed::Tcp(tcp), Endpoint::Tcp { name, address }) = (dialed, endpoint) else {
            return Err((Stage::Connect, Failure::Unreachable("not a TCP connection".to_owned())));
        };
        if !hook.tls {
            return Ok(Box::new(tcp));
        }
        let handshake = timeout(timeouts.handshake, self.tls().handshake(tcp, name, address.ip(), &TlsPolicy::Verify)).await;
        let failed = |failure| (Stage::StartTls, failure);
        let Secured { stream, .. } = handshake.unwrap_or(Err(Failure::TimedOut(timeouts.handshake))).map_err(failed)?;
        Ok(Box::new(stream))
    }

    async fn send(
        &self,
        hook: &Webhook,
        stream: Box<dyn Duplex>,
        (message, envelope): (&Message<'_>, &Envelope),
        (signature, by): (&str, &str),
    ) -> Outcome {
        let failed = |failure| classify::of_failure(Stage::Body, &failure, by);
        let lost = |error: hyper::Error| failed(Failure::Lost(error.to_string()));
        let mut builder = hyper::client::conn::http1::Builder::new();
        builder.max_buf_size(HEADER_BYTES_MAX.max(8192));
        let (mut sender, connection) = match builder.handshake(TokioIo::new(stream)).await {
            Ok(both) => both,
            Err(error) => return lost(error),
        };
        // Ends with this function, however that ends.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let (pieces_in, pieces) = mpsc::channel(PIECES_MAX);
        let request = Request::post(&*hook.path)
            .header("host", &*hook.authority)
            .header("user-agent", "postern")
            .header("content-type", "message/rfc822")
            .header("idempotency-key", &envelope.key)
            .header("postern-message", &envelope.id)
            .header("postern-from", &envelope.from)
            .header("postern-to", &envelope.to)
            .header("postern-signature", signature)
            .body(Pieces { pieces, left: message.body.size() });
        let Ok(request) = request else { return failed(Failure::Lost("the request cannot be written".to_owned())) };
        let (mut unreadable, mut is_fed) = (None, false);
        let answer = {
            let answering = timeout(self.settings().timeouts.data_end, sender.send_request(request));
            let feeding = feed(message, pieces_in);
            tokio::pin!(answering, feeding);
            // An answer ends it: an application may know what it says before it has read all, and then reads no more.
            loop {
                tokio::select! {
                    biased;
                    fed = &mut feeding, if !is_fed => (unreadable, is_fed) = (fed.err(), true),
                    answer = &mut answering => break answer,
                }
            }
        };
        if let Some(error) = unreadable {
            return self::unreadable(message, &error);
        }
        match answer {
            Err(_) => failed(Failure::TimedOut(self.settings().timeouts.data_end)),
            Ok(Err(error)) => lost(error),
            Ok(Ok(answer)) => {
                let status = answer.status();
                outcome(status, by, &words(answer).await)
            }
        }
    }
}

pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// RFC 3463 §3.4: 3.5 system incorrectly configured. A `url` that leads nowhere is the operators' to mend, as one that leads back to us is.
fn set_up_wrongly(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Bounced { evidence, .. } => {
            Outcome::Deferred { scope: Scope::Destination, status: Status::new(4, 3, 5), evidence }
        }
        other => other,
    }
}

/// Our disk's trouble, and nobody else's.
fn unreadable(message: &Message<'_>, error: &io::Error) -> Outcome {
    tracing::error!(message = %message.id, %error, "a body in the spool cannot be sent");
    let evidence = evidence("", &format!("the message cannot be read: {error}"));
    Outcome::Deferred { scope: Scope::Message, status: Status::new(4, 3, 0), evidence }
}

async fn feed(message: &Message<'_>, into: mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
    let mut pieces = message.body.open().await?;
    loop {
        let mut piece = Vec::new();
        match pieces.append_next(&mut piece).await {
            Ok(0) => return Ok(()),
            // Nobody wants more of it: the answer has come already, or never will.
            Ok(_) if into.send(Ok(piece.into())).await.is_err() => return Ok(()),
            Ok(_) => {}
            Err(error) => {
                let _ = into.send(Err(io::Error::other("unreadable"))).await;
                return Err(error);
            }
        }
    }
}

/// `t=SECONDS,v1=HEX`: HMAC-SHA256 with the secret over the lines time, key, sender and recipient as they stand in their fields, and then the message.
async fn signature(hook: &Webhook, message: &Message<'_>, envelope: &Envelope) -> io::Result<String> {
    let seconds = now();
    let mut signed = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, hook.secret.expose()));
    signed.update(format!("{seconds}\n{}\n{}\n{}\n", envelope.key, envelope.from, envelope.to).as_bytes());
    let mut pieces = message.body.open().await?;
    let mut piece = Vec::new();
    while pieces.append_next(&mut piece).await? > 0 {
        signed.update(&piece);
        piece.clear();
    }
    Ok(format!("t={seconds},v1={}", hex(signed.sign().as_ref())))
}

/// The beginning of what an application says, for evidence.
async fn words(mut answer: Response<Incoming>) -> String {
    match timeout(WORDS_TIME, answer.body_mut().frame()).await {
        Ok(Some(Ok(frame))) => {
            let data = frame.into_data().unwrap_or_default();
            let begin = data.get(..classify::EVIDENCE_CHARS_MAX).unwrap_or(&data);
            String::from_utf8_lossy(begin).lines().next().unwrap_or_default().to_owned()
        }
        _ => String::new(),
    }
}

#[expect(clippy::disallowed_methods, reason = "a signature says when it was made, and this crate is a hand")]
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_application_says_of_the_message_itself_bounces_it() {
        let said = |status| outcome(StatusCode::from_u16(status).unwrap(), "app", "");
        assert!([200, 202, 204].into_iter().all(|status| matches!(said(status), Outcome::Delivered { .. })));
        assert!([410, 413, 422].into_iter().all(|status| matches!(said(status), Outcome::Bounced { .. })));
        for status in [301, 307, 400, 401, 403, 404, 405, 408, 425, 429, 500, 502, 503] {
            assert!(matches!(said(status), Outcome::Deferred { .. }), "{status}");
        }
    }

    #[test]
    fn an_address_is_a_field_of_visible_ascii() {
        assert_eq!(encoded("a%b@x.example"), "a%25b@x.example");
        assert_eq!(encoded("\"a b\r\n\"@é.example"), "\"a%20b%0D%0A\"@%C3%A9.example");
    }
}
