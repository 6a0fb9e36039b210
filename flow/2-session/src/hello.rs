//! The beginning: connect, greeting, EHLO and HELO. Promise: nothing is offered that would be refused here and now.

use postern_mail::Reply;
use postern_mail::fact::{Answer, Mechanism, Question};
use postern_smtp::extension::Offer;
use postern_smtp::machine::Action;

use crate::state::{AskingHello, Hello, Place, State};
use crate::turn::{Ruling, Turn};

impl Turn<'_> {
    /// The connection stands: may it be greeted?
    pub(crate) fn connect(&mut self) -> State {
        if self.standing.stopping {
            return self.stop(State::Opening);
        }
        self.act(Action::Ask(Question::Connect));
        State::AskingConnect
    }

    pub(crate) fn connect_answered(&mut self, answer: Answer) -> State {
        match self.ruling(answer) {
            Ruling::Pass => {
                let greeting = Reply::greeting(self.hostname());
                self.answer(greeting, Place::Fresh)
            }
            // RFC 5321 §3.1: a refused client is told so in place of the greeting, and may stay until it says QUIT.
            Ruling::Refuse(reply) => self.answer(reply, Place::Unwelcome),
            Ruling::Hangup(reply) => self.close(reply, State::AskingConnect),
        }
    }

    /// RFC 2920 §3.1: EHLO and HELO are the last of a pipelined group. RFC 5321 §4.1.4: the name is for the trace; no message is
    /// refused because it does not fit the address.
    pub(crate) fn hello(&mut self, before: Place, hello: Hello, more: bool) -> State {
        if more {
            return self.improper_pipelining(before);
        }
        self.act(Action::Ask(Question::Hello(hello.name.clone())));
        State::AskingHello(AskingHello { hello, before })
    }

    pub(crate) fn hello_answered(&mut self, asking: AskingHello, answer: Answer) -> State {
        let AskingHello { hello, before } = asking;
        match self.ruling(answer) {
            Ruling::Pass => {
                // RFC 5321 §4.1.4: an accepted EHLO in the middle of a transaction has the effect of RSET.
                self.discard_from(&before.into());
                // RFC 5321 §3.2: HELO is answered on one line, without keywords.
                let reply = if hello.esmtp {
                    Reply::extensions(self.hostname(), &self.offer().keywords())
                } else {
                    Reply::hello(self.hostname())
                };
                self.idle(reply, hello)
            }
            // RFC 5321 §4.1.4: a refused EHLO leaves everything as it was.
            Ruling::Refuse(reply) => self.idle(reply, before),
            Ruling::Hangup(reply) => self.close(reply, before),
        }
    }

    /// What EHLO offers at this moment (RFC 5321 §4.1.1.1).
    fn offer(&self) -> Offer {
        let settings = self.settings();
        let under_tls = self.standing.tls.is_some();
        let auth = settings.mechanisms.iter().copied().filter(|mechanism| self.offers(*mechanism)).collect();
        Offer {
            size: Some(settings.message_size),
            // RFC 3207 §4.2: not offered any more once TLS is on.
            starttls: settings.tls_available && !under_tls,
            auth,
            smtputf8: true,
            chunking: true,
            dsn: true,
            // RFC 8689 §2: only within TLS.
            require_tls: under_tls,
            // RFC 9422 §3, §4.1, §4.2: MAILMAX and RCPTMAX are told to everybody. RFC 9422 §3.6: anew with each EHLO.
            recipients_max: Some(self.recipients_max()),
            messages_max: Some(settings.messages_per_connection),
        }
    }

    /// A mechanism with channel binding needs a channel that can be bound (RFC 9266 §2), EXTERNAL a client that has proved something
    /// outside (RFC 4422 §A.1).
    pub(crate) fn offers(&self, mechanism: Mechanism) -> bool {
        let tls = self.standing.tls.as_ref();
        self.standing.may_authenticate()
            && self.settings().mechanisms.contains(&mechanism)
            && match mechanism {
                Mechanism::ScramSha256Plus => tls.is_some_and(|tls| tls.exporter.is_some()),
                Mechanism::External => tls.is_some_and(|tls| tls.certificate.is_some()),
                _ => true,
            }
    }

    /// RFC 5321 §4.5.3.1.8: the limit on recipients that holds for this client. On a submission listener nobody sends
    /// without being authenticated, so its limit is the one to offer before AUTH too.
    pub(crate) fn recipients_max(&self) -> u32 {
        if self.standing.client.listener.is_submission() {
            self.settings().recipients_per_submission
        } else {
            self.settings().recipients_per_message
        }
    }
}
