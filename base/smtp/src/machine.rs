//! The shape every protocol machine of ours has: inputs go in, actions come out, and nothing in it touches the world.
//!
//! The pump of `1-listener` owns the socket. It frames bytes into [`Input`]s, carries out [`Action`]s in order, and never decides. After
//! [`Action::Ask`] it feeds nothing but the [`Answer`] (pipelined lines wait in its buffer); after [`Action::Close`] nothing at all.

use std::time::{Duration, Instant};

use postern_mail::envelope::Envelope;
use postern_mail::fact::{Answer, Question, TlsFacts};
use postern_mail::proof::{Authenticated, Committed};
use postern_mail::trouble::{Fault, Outage};
use postern_mail::{HeloName, Reply};

use crate::line::COMMAND_LINE_BYTES_MAX;

/// What comes in.
#[derive(Debug)]
pub enum Input<'a> {
    /// The connection stands (and, on an implicit TLS listener, its handshake is done: `Secured` came before).
    Opened,
    /// A command line or SASL response without its CRLF. `more` is true when further bytes had already arrived behind it.
    Line {
        /// Without CRLF.
        text: &'a [u8],
        /// The client did not wait for our reply.
        more: bool,
    },
    /// The framing of a command line is broken. A too long line was skipped to its CRLF; the others end the session.
    Broken(Fault),
    /// The TLS handshake is done. Everything buffered before it has been thrown away.
    Secured(TlsFacts),
    /// The answer to the last [`Action::Ask`].
    Answer(Answer),
    /// The body, or a BDAT chunk, has ended.
    BodyEnded(BodyEnd),
    /// What came of [`Action::Commit`].
    Committed(Result<Committed, Outage>),
    /// The time limit of [`Machine::patience`] ran out.
    TimedOut,
    /// The server is stopping; say so at the next safe moment.
    Stopping,
    /// What the client was allowed to be here by has ended: say this at the next safe moment, and close.
    Revoked(Box<Reply>),
}

/// How a body or chunk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEnd {
    /// All there. `bytes` counts what was received of this body or chunk, after un-stuffing.
    Whole {
        /// Octets.
        bytes: u64,
    },
    /// It went over the limit; the rest was read and thrown away.
    TooBig,
    /// Bare CR, bare LF or NUL in it. `DATA`: noticed at once, and nothing after it was read. `BDAT`: likewise.
    Broken(Fault),
}

/// What the trace header of a message tells of the session (RFC 5321 §4.4).
#[derive(Clone, Debug)]
pub struct TraceFacts {
    /// What the client called itself.
    pub helo: HeloName,
    /// EHLO was used.
    pub esmtp: bool,
    /// TLS, where it is on.
    pub tls: Option<TlsFacts>,
    /// Who it proved to be.
    pub who: Option<Authenticated>,
}

/// What goes out, to be carried out in order.
#[derive(Debug)]
pub enum Action {
    /// Send this. Replies may be gathered and are flushed before the pump waits for input.
    Reply(Reply),
    /// Find this out; [`Input::Answer`] is the next input.
    Ask(Question),
    /// Flush, throw away what is buffered, shake hands; [`Input::Secured`] is the next input, or the connection ends.
    StartTls,
    /// A message begins: everything about it is known but its body.
    OpenMessage(Box<Envelope>, Box<TraceFacts>),
    /// Read a body up to CRLF.CRLF, at most `limit` octets; [`Input::BodyEnded`] follows.
    ReadData {
        /// Octets after un-stuffing.
        limit: u64,
    },
    /// Read exactly `size` octets (RFC 3030 §2); [`Input::BodyEnded`] follows. With `keep` false they are thrown away.
    /// `last`: a CR that ends the chunk is then a lone one.
    ReadChunk {
        /// Octets.
        size: u64,
        /// Part of the message.
        keep: bool,
        /// BDAT LAST.
        last: bool,
    },
    /// Make the open message durable; [`Input::Committed`] follows.
    Commit,
    /// Forget the transaction: the open message, or where there is none yet, what was set aside for one.
    Discard,
    /// Flush and close.
    Close,
}

/// What the session waits for, so that the pump knows how long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For the whole next line (not for the next byte) or, in data, for the next piece.
    pub command: Duration,
    /// The end of the transaction or session, whichever is nearer.
    pub until: Option<Instant>,
}

/// A server conversation without a socket.
pub trait Machine {
    /// Takes one input and appends what is to be done.
    fn on(&mut self, now: Instant, input: Input<'_>, actions: &mut Vec<Action>);

    /// How long to wait for the next input.
    fn patience(&self, now: Instant) -> Patience;

    /// How long the next line may be, with its CRLF, in octets.
    fn line_bytes_max(&self) -> usize {
        COMMAND_LINE_BYTES_MAX
    }
}
