//! BDAT (RFC 3030). Promise: whatever is wrong with a chunk, exactly its octets are consumed before its reply, so that content is
//! never taken for commands; and a transaction that a chunk ends is discarded, with what was set aside for it.

use postern_mail::Reply;
use postern_smtp::machine::{Action, BodyEnd};

use crate::state::{DroppingChunk, Hello, InChunk, InMail, Place, Receiving, State};
use crate::turn::Turn;

/// Where a failed chunk leaves the transaction: after the last one there is none; before it, more of the message will come.
fn after_failure(hello: Hello, last: bool) -> Place {
    if last { Place::Ready(hello) } else { Place::Spoiled(hello) }
}

impl Turn<'_> {
    pub(crate) fn bdat(&mut self, place: Place, size: u64, last: bool) -> State {
        match place {
            Place::InMail(InMail { hello, envelope, .. }) if envelope.recipients.is_empty() => {
                self.act(Action::Discard);
                let chunk = DroppingChunk {
                    reply: Box::new(Reply::no_valid_recipients()),
                    counted: false,
                    then: after_failure(hello, last),
                };
                self.drop_chunk(chunk, size, last)
            }
            Place::InMail(mail) => self.first_chunk(mail, size, last),
            Place::InChunks(message) => self.next_chunk(message, size, last),
            // RFC 3030 §2: after a chunk that failed the rest of its message is read and thrown away until RSET. It may have been on its way before the client
            // learnt of the failure, so it costs no fault.
            Place::Spoiled(hello) => {
                let reply = Box::new(Reply::out_of_order("the message has failed"));
                self.drop_chunk(DroppingChunk { reply, counted: false, then: after_failure(hello, last) }, size, last)
            }
            Place::Unwelcome => self.drop_out_of_order("no service here, only QUIT", place, (size, last)),
            Place::Fresh | Place::Ready(_) => self.drop_out_of_order("say MAIL and RCPT first", place, (size, last)),
        }
    }

    fn first_chunk(&mut self, mail: InMail, size: u64, last: bool) -> State {
        if size > self.settings().message_size {
            self.act(Action::Discard);
            return self.drop_too_big(mail.hello, size, last);
        }
        let message = self.open_message(mail);
        self.read_chunk(message, size, last)
    }

    fn next_chunk(&mut self, message: Receiving, size: u64, last: bool) -> State {
        if message.bytes.saturating_add(size) > self.settings().message_size {
            self.act(Action::Discard);
            return self.drop_too_big(message.hello, size, last);
        }
        self.read_chunk(message, size, last)
    }

    fn read_chunk(&mut self, message: Receiving, size: u64, last: bool) -> State {
        self.act(Action::ReadChunk { size, keep: true, last });
        State::InChunk(InChunk { message, size, last })
    }

    /// RFC 1870 §6.3: over the limit, known from the size alone.
    fn drop_too_big(&mut self, hello: Hello, size: u64, last: bool) -> State {
        let reply = Box::new(self.too_big());
        self.drop_chunk(DroppingChunk { reply, counted: false, then: after_failure(hello, last) }, size, last)
    }

    fn drop_out_of_order(&mut self, why: &'static str, then: Place, (size, last): (u64, bool)) -> State {
        let reply = Box::new(Reply::out_of_order(why));
        self.drop_chunk(DroppingChunk { reply, counted: true, then }, size, last)
    }

    /// RFC 3030 §2: the octets are accepted and discarded before the refusal is sent.
    fn drop_chunk(&mut self, chunk: DroppingChunk, size: u64, last: bool) -> State {
        self.act(Action::ReadChunk { size, keep: false, last });
        State::DroppingChunk(chunk)
    }

    pub(crate) fn chunk_ended(&mut self, chunk: InChunk, end: BodyEnd) -> State {
        match end {
            BodyEnd::Whole { .. } if chunk.last => self.judge(chunk.message.hello),
            BodyEnd::Whole { .. } => {
                let InChunk { mut message, size, .. } = chunk;
                message.bytes = message.bytes.saturating_add(size);
                if size == 0 {
                    // Chunks of nothing, one after the other, never end a message.
                    return self.idle(Reply::chunk_ok(size), Place::InChunks(message));
                }
                self.answer(Reply::chunk_ok(size), Place::InChunks(message))
            }
            BodyEnd::TooBig => {
                self.act(Action::Discard);
                let reply = self.too_big();
                self.answer(reply, after_failure(chunk.message.hello, chunk.last))
            }
            BodyEnd::Broken(fault) => self.misframed(Reply::broken_framing(fault), State::InChunk(chunk)),
        }
    }

    pub(crate) fn chunk_dropped(&mut self, chunk: DroppingChunk, end: BodyEnd) -> State {
        match end {
            BodyEnd::Broken(fault) => self.misframed(Reply::broken_framing(fault), chunk.then),
            BodyEnd::Whole { .. } | BodyEnd::TooBig if chunk.counted => self.fault(*chunk.reply, chunk.then),
            BodyEnd::Whole { .. } | BodyEnd::TooBig => self.idle(*chunk.reply, chunk.then),
        }
    }
}
