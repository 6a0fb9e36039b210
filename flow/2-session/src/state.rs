//! The states of a conversation. Promise: a state owns exactly the fields that exist in it, and leaving it consumes it; a command can
//! only come in a [`Place`].

use std::time::Instant;

use postern_mail::envelope::{DsnRequest, Envelope};
use postern_mail::trouble::Fault;
use postern_mail::{HeloName, Mailbox, Reply};

/// Where the conversation stands.
#[derive(Debug)]
pub(crate) enum State {
    /// The connection is not open yet; on an implicit TLS listener the handshake may be.
    Opening,
    /// May this client be greeted?
    AskingConnect,
    /// A command line is the next input.
    Listening(Place),
    /// May it be called this?
    AskingHello(AskingHello),
    /// 220 to STARTTLS was said.
    Handshaking,
    /// The answerer looks at the first step of AUTH, or at the next one.
    AskingCredentials(Hello),
    /// 334 was said; a SASL response is the next input.
    Challenged(Hello),
    /// The answerer is told that AUTH was given up.
    AskingAbort(AskingAbort),
    /// May it send with this reverse path?
    AskingSender(InMail),
    /// May it send to this mailbox?
    AskingRecipient(AskingRecipient),
    /// A body is being read after 354. The message is open.
    InData(Receiving),
    /// A chunk is being read into the open message.
    InChunk(InChunk),
    /// A chunk is being read and thrown away.
    DroppingChunk(DroppingChunk),
    /// May the message be kept? It is open.
    Judging(Hello),
    /// The message is with the spool.
    Committing(Hello),
    /// Nothing is said or heard any more.
    Closed,
}

/// Where a command line can come.
#[derive(Debug)]
pub(crate) enum Place {
    /// Greeted with a refusal: only QUIT is served (RFC 5321 §3.1).
    Unwelcome,
    /// Greeted, or TLS has just begun; no EHLO or HELO yet.
    Fresh,
    /// Said hello; no transaction.
    Ready(Hello),
    /// MAIL was accepted.
    InMail(InMail),
    /// A chunk was accepted, and another may follow. The message is open.
    InChunks(Receiving),
    /// A chunk failed: what still comes of that message is read and thrown away until RSET or MAIL (RFC 3030 §2).
    Spoiled(Hello),
}

/// What the client called itself.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    /// The argument of EHLO or HELO.
    pub(crate) name: HeloName,
    /// EHLO was used.
    pub(crate) esmtp: bool,
}

/// A transaction before its content.
#[derive(Debug)]
pub(crate) struct InMail {
    pub(crate) hello: Hello,
    pub(crate) envelope: Box<Envelope>,
    /// When MAIL came.
    pub(crate) began: Instant,
    /// Recipients refused beside those that were accepted, for reasons that cost nothing.
    pub(crate) refused: u32,
}

/// A transaction whose message is open.
#[derive(Debug)]
pub(crate) struct Receiving {
    pub(crate) hello: Hello,
    /// When MAIL came.
    pub(crate) began: Instant,
    /// Octets accepted in earlier chunks.
    pub(crate) bytes: u64,
}

/// RFC 5321 §4.1.4: a refused EHLO leaves everything as it was, so the old place is kept until the answer is there.
#[derive(Debug)]
pub(crate) struct AskingHello {
    pub(crate) hello: Hello,
    pub(crate) before: Place,
}

/// AUTH ends without a result.
#[derive(Debug)]
pub(crate) struct AskingAbort {
    pub(crate) hello: Hello,
    /// What the client did wrong; `None` when it gave up with `*`.
    pub(crate) fault: Option<Fault>,
}

/// A recipient before its admission.
#[derive(Debug)]
pub(crate) struct AskingRecipient {
    pub(crate) mail: InMail,
    pub(crate) to: Box<(Mailbox, DsnRequest)>,
}

/// A chunk on its way into the open message.
#[derive(Debug)]
pub(crate) struct InChunk {
    pub(crate) message: Receiving,
    pub(crate) size: u64,
    pub(crate) last: bool,
}

/// A chunk on its way to nowhere.
#[derive(Debug)]
pub(crate) struct DroppingChunk {
    /// What is said once it has gone by.
    pub(crate) reply: Box<Reply>,
    /// The reply counts against the fault budget.
    pub(crate) counted: bool,
    pub(crate) then: Place,
}

impl State {
    /// True while the hand holds something of a transaction, an open message or what it has set aside for the recipients so far, so that leaving
    /// the transaction must discard it.
    pub(crate) fn holds_transaction(&self) -> bool {
        match self {
            Self::InData(_) | Self::InChunk(_) | Self::Judging(_) => true,
            Self::Listening(place) => place.holds_transaction(),
            Self::AskingHello(asking) => asking.before.holds_transaction(),
            Self::AskingRecipient(_) => true,
            _ => false,
        }
    }

    /// True where the client is expected to speak next and nothing it was promised is under way.
    pub(crate) fn is_listening(&self) -> bool {
        matches!(self, Self::Listening(_) | Self::Challenged(_))
    }

    /// True while a body or a chunk is being read.
    pub(crate) fn is_in_body(&self) -> bool {
        matches!(self, Self::InData(_) | Self::InChunk(_) | Self::DroppingChunk(_))
    }

    /// When the running transaction began, while the client's clock runs.
    pub(crate) fn began(&self) -> Option<Instant> {
        match self {
            Self::Listening(Place::InMail(mail)) | Self::AskingSender(mail) => Some(mail.began),
            Self::AskingRecipient(asking) => Some(asking.mail.began),
            Self::Listening(Place::InChunks(message)) | Self::InData(message) => Some(message.began),
            Self::InChunk(chunk) => Some(chunk.message.began),
            _ => None,
        }
    }
}

impl Place {
    /// See [`State::holds_transaction`].
    pub(crate) fn holds_transaction(&self) -> bool {
        matches!(self, Self::InMail(_) | Self::InChunks(_))
    }
}

impl From<Place> for State {
    fn from(place: Place) -> Self {
        Self::Listening(place)
    }
}

impl From<InMail> for State {
    fn from(mail: InMail) -> Self {
        Place::InMail(mail).into()
    }
}

impl From<Hello> for State {
    fn from(hello: Hello) -> Self {
        Place::Ready(hello).into()
    }
}
