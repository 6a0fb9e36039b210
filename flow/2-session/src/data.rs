//! DATA and the end of every message (RFC 5321 §4.1.1.4). Promise: `250` is made from the spool's proof; a message that is not taken
//! is discarded before its reply is said.

use postern_mail::fact::{Answer, Question};
use postern_mail::proof::Committed;
use postern_mail::{Outage, Reply};
use postern_smtp::machine::{Action, BodyEnd, Limit, TraceFacts};

use crate::state::{Hello, InMail, Place, Receiving, State};
use crate::turn::{Ruling, Turn};

impl Turn<'_> {
    pub(crate) fn data(&mut self, place: Place, more: bool) -> State {
        match place {
            Place::InMail(mail) if mail.envelope.recipients.is_empty() => {
                // RFC 2920 §3.2: DATA is accepted only if a recipient was. A client that pipelined it behind recipients we refused
                // has done nothing wrong, so this costs it no fault; it learns here that there is nothing to send.
                self.idle(Reply::no_valid_recipients(), mail)
            }
            // RFC 2920 §3.1: DATA is the last of its group; a body that came before our 354 was sent without knowing whether it
            // would be read as one.
            Place::InMail(mail) if more => self.improper_pipelining(mail),
            Place::InMail(mail) => {
                let message = self.open_message(mail);
                self.say(Reply::start_data());
                let limit = self.settings().message_size;
                self.act(Action::ReadData { limit });
                State::InData(message)
            }
            // RFC 3030 §2: 503, since DATA and BDAT do not mix in one transaction.
            Place::InChunks(_) => self.out_of_order("the message has begun with BDAT", place),
            Place::Unwelcome | Place::Fresh | Place::Ready(_) | Place::Spoiled(_) => {
                self.out_of_order("say MAIL and RCPT first", place)
            }
        }
    }

    /// Everything about the message is known but its content: hands its envelope over, with what its trace header tells.
    pub(crate) fn open_message(&mut self, mail: InMail) -> Receiving {
        let InMail { hello, envelope, began, refused: _ } = mail;
        let trace = TraceFacts {
            helo: hello.name.clone(),
            esmtp: hello.esmtp,
            tls: self.standing.tls.as_deref().cloned(),
            who: self.standing.who.clone(),
        };
        self.act(Action::OpenMessage(envelope, Box::new(trace)));
        Receiving { hello, began, bytes: 0 }
    }

    pub(crate) fn data_ended(&mut self, message: Receiving, end: BodyEnd) -> State {
        match end {
            BodyEnd::Whole { .. } => self.judge(message.hello),
            BodyEnd::TooBig => {
                // RFC 1870 §6.3: the size counts as it was received, whatever was declared.
                self.act(Action::Discard);
                let reply = self.too_big();
                self.answer(reply, message.hello)
            }
            // RFC 5321 §2.3.8: a bare CR or LF is where two servers come to see two different messages. It is not taken, and nothing
            // behind it is read.
            BodyEnd::Broken(fault) => self.misframed(Reply::broken_framing(fault), State::InData(message)),
        }
    }

    /// RFC 1870 §6.1: what is said of a message over the limit.
    pub(crate) fn too_big(&mut self) -> Reply {
        self.standing.tally.reached(Limit::MessageSize);
        Reply::too_big(self.settings().message_size)
    }

    /// The whole message is there.
    pub(crate) fn judge(&mut self, hello: Hello) -> State {
        self.act(Action::Ask(Question::Message));
        State::Judging(hello)
    }

    pub(crate) fn message_answered(&mut self, hello: Hello, answer: Answer) -> State {
        match self.ruling(answer) {
            Ruling::Pass => {
                self.act(Action::Commit);
                State::Committing(hello)
            }
            // RFC 5321 §4.2.5: what is answered 4yz or 5yz is never delivered by us.
            Ruling::Refuse(reply) => {
                self.act(Action::Discard);
                self.answer(reply, hello)
            }
            Ruling::Hangup(reply) => self.close(reply, State::Judging(hello)),
        }
    }

    /// RFC 5321 §4.2.5, §6.1: with the 250 the message is ours to deliver or to report, so it is said after the disk said so.
    pub(crate) fn committed(&mut self, hello: Hello, result: Result<Committed, Outage>) -> State {
        let reply = match result {
            Ok(receipt) => {
                self.standing.tally.did_something();
                Reply::queued(&receipt)
            }
            Err(outage) => Reply::outage(&outage),
        };
        self.answer(reply, hello)
    }
}
