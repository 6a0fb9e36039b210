//! Head: a whole conversation of our client with a host that says whatever it likes, without a socket: for the fuzz target `dialogue`, and no part
//! of the server. Promise: it does what `connection.rs` and `attempt.rs` do with a step, and decides nothing.

use std::sync::Arc;

use postern_mail::{Envelope, Outcome, Recipient};
use postern_smtp::reply_lines::{ReceivedReply, ReplyReader};

use crate::classify::{Failure, Stage};
use crate::dialogue::hello::{self, Hello, Proof};
use crate::dialogue::transaction::{BodyFacts, Content, Form, Step, Transaction, obstacle};
use crate::dialogue::{Peer, Trouble};
use crate::next_hop::{Credentials, Protocol};
use crate::tls_policy::{Security, TlsWish};

/// What our side brings along.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// What is spoken.
    pub protocol: Protocol,
    /// What to do about STARTTLS.
    pub wish: TlsWish,
    /// For AUTH.
    pub credentials: Option<Credentials>,
    /// What is sent.
    pub envelope: &'a Envelope,
    /// To whom.
    pub recipients: &'a [Recipient],
    /// Its content, clean and dot-stuffed already where it must be.
    pub body: &'a [u8],
    /// It is small enough to be sent before anybody is taken.
    pub at_once: bool,
    /// How many transactions there are.
    pub messages: usize,
    /// The host waits for us: what it says behind a reply comes later, also behind a handshake.
    pub host_waits: bool,
}

/// What became of one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Played {
    /// Index of a recipient and its outcome, in the order they were settled.
    pub settled: Vec<(usize, Outcome)>,
    /// How many times the body was sent.
    pub bodies: usize,
    /// Positive replies that were awaited after it.
    pub taken: usize,
}

/// What became of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rehearsal {
    /// What we said in clear.
    pub clear: Vec<u8>,
    /// What we said under TLS.
    pub secure: Vec<u8>,
    /// Why there were no transactions, as everybody's outcome.
    pub trouble: Option<Outcome>,
    /// The transactions.
    pub played: Vec<Played>,
}

/// What the host says, in pieces.
struct Host<'a> {
    pieces: &'a [&'a [u8]],
    piece: &'a [u8],
    reader: ReplyReader,
    waits: bool,
}

impl Host<'_> {
    fn reply(&mut self) -> Result<ReceivedReply, Failure> {
        loop {
            let (taken, reply) = self.reader.read(self.piece).map_err(Failure::NotSmtp)?;
            self.piece = self.piece.get(taken..).unwrap_or_default();
            if let Some(reply) = reply {
                return Ok(reply);
            }
            let Some((next, rest)) = self.pieces.split_first() else {
                return Err(Failure::Lost("closed by the host".to_owned()));
            };
            (self.piece, self.pieces) = (next, rest);
        }
    }

    fn shake_hands(&mut self) -> Result<(), Failure> {
        let said_more = !self.piece.is_empty() || !self.pieces.is_empty();
        if said_more && !self.waits {
            return Err(Failure::Injected);
        }
        self.reader = ReplyReader::default();
        Ok(())
    }
}

/// Plays a session whose host says these pieces and then hangs up.
#[must_use]
pub fn rehearse(part: &Part<'_>, pieces: &[&[u8]]) -> Rehearsal {
    let mut host = Host { pieces, piece: &[], reader: ReplyReader::default(), waits: part.host_waits };
    let mut rehearsal = Rehearsal::default();
    match greet(part, &mut host, &mut rehearsal) {
        Ok(peer) => transact(part, &peer, &mut host, &mut rehearsal),
        Err(trouble) => rehearsal.trouble = Some(trouble.outcome("host")),
    }
    rehearsal
}

fn greet(part: &Part<'_>, host: &mut Host<'_>, rehearsal: &mut Rehearsal) -> Result<Peer, Trouble> {
    let proof =
        part.credentials.clone().map(|credentials| Proof { credentials: Arc::new(credentials), nonce: "nonce".to_owned() });
    let authenticated = proof.is_some();
    let mut hello = Hello::new("us.example".into(), part.protocol, part.wish, proof);
    let mut step = hello::Step::Await(Stage::Greeting);
    let (mut security, mut out) = (Security::Clear, Vec::new());
    loop {
        step = match step {
            hello::Step::Await(stage) => {
                let reply = host.reply().map_err(|failure| Trouble::Failure(stage, failure))?;
                hello.on_reply(reply, &mut out)
            }
            hello::Step::StartTls => {
                host.shake_hands().map_err(|failure| Trouble::Failure(Stage::StartTls, failure))?;
                security = Security::Encrypted;
                hello.on_secured(&mut out)
            }
            hello::Step::Ready(offered) => {
                return Ok(Peer { offered: *offered, security, protocol: part.protocol, authenticated });
            }
            hello::Step::Stop(trouble) => return Err(*trouble),
        };
        rehearsal.said(security).append(&mut out);
    }
}

fn transact(part: &Part<'_>, peer: &Peer, host: &mut Host<'_>, rehearsal: &mut Rehearsal) {
    let bytes = part.body.len() as u64;
    if let Some(outcome) = obstacle(peer, part.envelope, bytes, BodyFacts::default(), "host") {
        rehearsal.trouble = Some(outcome);
        return;
    }
    let mut dirty = false;
    for _ in 0..part.messages {
        let content = Content { envelope: part.envelope, bytes, at_once: part.at_once };
        let mut transaction = Transaction::new(peer, "host", content, part.recipients.iter().enumerate(), dirty);
        let mut played = Played { settled: Vec::new(), bodies: 0, taken: 0 };
        let mut out = Vec::new();
        let mut step = transaction.begin(&mut out);
        while !matches!(step, Step::Done | Step::Close) {
            step = match step {
                Step::Body(form) => {
                    out.extend_from_slice(part.body);
                    out.extend_from_slice(if form == Form::Dotted { b".\r\n" } else { b"" });
                    played.bodies += 1;
                    transaction.after_body()
                }
                _ => match host.reply() {
                    Ok(reply) => {
                        let is_last = transaction.awaited() == Some(Stage::Body);
                        played.taken += usize::from(is_last && played.bodies > 0 && reply.code.is_positive());
                        transaction.on_reply(&reply, &mut out)
                    }
                    Err(failure) => {
                        transaction.lost(failure);
                        Step::Close
                    }
                },
            };
            rehearsal.said(peer.security).append(&mut out);
            played.settled.extend(transaction.take_settled());
        }
        played.settled.extend(transaction.take_settled());
        dirty = transaction.left_dirty();
        rehearsal.played.push(played);
        if step == Step::Close {
            return;
        }
    }
}

impl Rehearsal {
    fn said(&mut self, security: Security) -> &mut Vec<u8> {
        if security == Security::Clear { &mut self.clear } else { &mut self.secure }
    }
}
