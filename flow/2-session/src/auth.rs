//! AUTH (RFC 4954): the frame around SASL; the mechanisms themselves are the answerer's. Promise: credentials are taken under TLS on
//! submission listeners only, are wrapped in [`Secret`] the moment they are decoded, and a failed attempt leaves nothing behind.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postern_mail::fact::{Answer, Mechanism, Question};
use postern_mail::trouble::Fault;
use postern_mail::{Reply, Secret};
use postern_smtp::machine::Action;

use crate::state::{AskingAbort, Hello, Place, State};
use crate::turn::{Ruling, Turn};

/// RFC 4648 §3.3, §3.5: no line ends, no foreign characters, the padding that belongs there, no stray bits.
fn decode(text: &[u8]) -> Result<Secret, Fault> {
    STANDARD.decode(text).map(Secret::new).map_err(|_| Fault::Base64)
}

impl Turn<'_> {
    /// RFC 4954 §4: AUTH must be the last of a pipelined group, unless all of it is in the command: PLAIN with its initial response.
    pub(crate) fn auth(&mut self, place: Place, mechanism: Option<Mechanism>, initial: Option<&str>, more: bool) -> State {
        let whole = mechanism == Some(Mechanism::Plain) && initial.is_some();
        if more && !whole {
            return self.improper_pipelining(place);
        }
        match place {
            Place::Ready(hello) => self.begin_auth(hello, mechanism, initial),
            Place::Fresh => self.out_of_order("say EHLO first", place),
            // RFC 4954 §4: not during a mail transaction.
            Place::InMail(_) | Place::InChunks(_) | Place::Spoiled(_) | Place::Unwelcome => {
                self.out_of_order("not within a mail transaction", place)
            }
        }
    }

    fn begin_auth(&mut self, hello: Hello, mechanism: Option<Mechanism>, initial: Option<&str>) -> State {
        if !self.standing.client.listener.is_submission() {
            // RFC 6409 §3.1, §9: credentials belong on submission ports; another server has none to show.
            return self.fault(Reply::not_implemented(), hello);
        }
        // RFC 4954 §4, §9: no password in clear, and no way to configure it.
        let Some(tls) = &self.standing.tls else {
            return self.charge(Reply::tls_required(), hello);
        };
        let exporter = tls.exporter.clone();
        // Only the mechanism that goes by it is shown it.
        let certificate = tls.certificate.clone().filter(|_| mechanism == Some(Mechanism::External));
        if self.standing.who.is_some() {
            // RFC 4954 §4: after a success no more AUTH in this session.
            return self.out_of_order("already authenticated", hello);
        }
        let Some(mechanism) = mechanism.filter(|mechanism| self.offers(*mechanism)) else {
            return self.charge(Reply::mechanism_unknown(), hello);
        };
        let initial = match initial {
            None => None,
            // RFC 4954 §4: `=` is an initial response of no octets.
            Some("=") => Some(Secret::new(Vec::new())),
            Some(text) => match decode(text.as_bytes()) {
                Ok(secret) => Some(secret),
                Err(fault) => return self.fault(Reply::fault(fault), hello),
            },
        };
        self.act(Action::Ask(Question::AuthStart { mechanism, initial, exporter, certificate }));
        State::AskingCredentials(hello)
    }

    pub(crate) fn credentials_answered(&mut self, hello: Hello, answer: Answer) -> State {
        match answer {
            // RFC 4954 §4: a challenge is a 334 with nothing but base64, and with a space where there is none.
            Answer::Challenge(challenge) => {
                self.say(Reply::challenge(STANDARD.encode(challenge)));
                State::Challenged(hello)
            }
            Answer::Authenticated { who } => {
                self.standing.who = Some(who);
                self.answer(Reply::authenticated(), hello)
            }
            // A guess costs as much as any other fault. RFC 4954 §9: at least three of them are heard before the connection is closed.
            Answer::Denied(reference) => self.charge(Reply::authentication_failed().referenced(reference), hello),
            // A bare yes proves nobody.
            Answer::Pass => self.bug(hello),
            other => match self.ruling(other) {
                Ruling::Pass => self.bug(hello),
                Ruling::Refuse(reply) => self.idle(reply, hello),
                Ruling::Hangup(reply) => self.close(reply, hello),
            },
        }
    }

    /// A SASL response (RFC 4954 §4): base64, an empty line for no octets, or `*` to give up.
    pub(crate) fn response(&mut self, hello: Hello, text: &[u8], more: bool) -> State {
        if more {
            return self.improper_pipelining(hello);
        }
        if text == b"*" {
            return self.abort(hello, None);
        }
        match decode(text) {
            Ok(response) => {
                self.act(Action::Ask(Question::AuthNext(response)));
                State::AskingCredentials(hello)
            }
            Err(fault) => self.abort(hello, Some(fault)),
        }
    }

    /// RFC 4954 §4: a response line that is too long is 500 with 5.5.6 and ends the exchange.
    pub(crate) fn broken_response(&mut self, hello: Hello, fault: Fault) -> State {
        if fault.breaks_framing() { self.misframed(Reply::broken_framing(fault), hello) } else { self.abort(hello, Some(fault)) }
    }

    fn abort(&mut self, hello: Hello, fault: Option<Fault>) -> State {
        self.act(Action::Ask(Question::AuthAbort));
        State::AskingAbort(AskingAbort { hello, fault })
    }

    /// The answerer has forgotten the exchange; what it says of that decides nothing, but that it may hang up. And who was denied within the
    /// exchange does not get off by giving it up then.
    pub(crate) fn abort_answered(&mut self, asking: AskingAbort, answer: Answer) -> State {
        let AskingAbort { hello, fault } = asking;
        match (answer, fault) {
            (Answer::Hangup(reply), _) => self.close(reply, hello),
            (Answer::Denied(reference), None) => self.fault(Reply::authentication_aborted().referenced(reference), hello),
            (_, None) => self.idle(Reply::authentication_aborted(), hello),
            (_, Some(Fault::LineTooLong)) => self.fault(Reply::authentication_line_too_long(), hello),
            (_, Some(fault)) => self.fault(Reply::fault(fault), hello),
        }
    }
}
