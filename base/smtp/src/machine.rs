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
    /// Strangers are to be hurried, or need not be any more: the server is under stress. Told before the client is waited for.
    Hurry(bool),
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
    /// Say this, throw away what is buffered, shake hands; [`Input::Secured`] is the next input, or the connection ends. The reply goes with it,
    /// since whoever may make no more handshakes is told so in its place.
    StartTls(Reply),
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

/// What a client did wrong in one conversation, for those who remember beyond it. A client that proved who it is did nothing wrong here: what it
/// does is its account's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conduct {
    /// Unknown commands, wrong order, lines that do not read right, broken framing.
    pub syntax: u16,
    /// Recipients that do not exist.
    pub recipients_unknown: u16,
    /// Mail for others, without a right to send it.
    pub relays_refused: u16,
    /// It talked before the greeting.
    pub early: bool,
    /// The limits that were reached in it; told of everybody.
    pub limits: Limits,
}

/// A limit that a conversation can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Too many messages.
    Messages,
    /// Too many recipients of one message.
    Recipients,
    /// A message too large.
    MessageSize,
    /// Too many faults.
    Faults,
    /// Too many unknown recipients.
    RecipientsUnknown,
    /// Too many commands that do nothing.
    IdleCommands,
    /// It kept us waiting for a command or a SASL response.
    CommandTime,
    /// It kept us waiting for the next piece of a body, or the body was too slow.
    DataTime,
    /// The transaction took too long.
    TransactionTime,
    /// The session did.
    SessionTime,
}

impl Limit {
    /// Every one of them.
    pub const ALL: [Self; 10] = [
        Self::Messages,
        Self::Recipients,
        Self::MessageSize,
        Self::Faults,
        Self::RecipientsUnknown,
        Self::IdleCommands,
        Self::CommandTime,
        Self::DataTime,
        Self::TransactionTime,
        Self::SessionTime,
    ];

    /// The name of the setting.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Messages => "messages_per_connection",
            Self::Recipients => "recipients_per_message",
            Self::MessageSize => "message_size",
            Self::Faults => "faults_per_session",
            Self::RecipientsUnknown => "recipients_unknown_per_session",
            Self::IdleCommands => "idle_commands_per_session",
            Self::CommandTime => "command_timeout",
            Self::DataTime => "data_timeout or data_rate_min",
            Self::TransactionTime => "transaction_timeout",
            Self::SessionTime => "session_timeout",
        }
    }
}

/// Some of the limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits(u16);

impl Limits {
    /// Puts one in.
    pub fn insert(&mut self, limit: Limit) {
        self.0 |= Self::from(limit).0;
    }

    /// Those that are in it.
    pub fn iter(self) -> impl Iterator<Item = Limit> {
        Limit::ALL.into_iter().filter(move |limit| self.0 & Self::from(*limit).0 != 0)
    }
}

impl From<Limit> for Limits {
    fn from(limit: Limit) -> Self {
        Self(1 << limit as u16)
    }
}

/// A server conversation without a socket.
pub trait Machine {
    /// Takes one input and appends what is to be done.
    fn on(&mut self, now: Instant, input: Input<'_>, actions: &mut Vec<Action>);

    /// How long to wait for the next input.
    fn patience(&self, now: Instant) -> Patience;

    /// What the client did wrong so far.
    fn conduct(&self) -> Conduct {
        Conduct::default()
    }

    /// How long the next line may be, with its CRLF, in octets.
    fn line_bytes_max(&self) -> usize {
        COMMAND_LINE_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_limits_has_those_that_were_put_into_it_and_no_others() {
        for limit in Limit::ALL {
            assert_eq!(Limits::from(limit).iter().collect::<Vec<_>>(), [limit]);
        }
        let mut all = Limits::default();
        assert_eq!(all.iter().count(), 0);
        Limit::ALL.into_iter().for_each(|limit| all.insert(limit));
        assert_eq!(all.iter().collect::<Vec<_>>(), Limit::ALL);
    }
}
