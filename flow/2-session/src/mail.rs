//! MAIL FROM (RFC 5321 §4.1.1.2). Promise: on a submission listener there is no transaction without TLS and a proven account.

use postern_mail::Reply;
use postern_mail::envelope::{Envelope, UnixMillis};
use postern_mail::fact::{Answer, Question};
use postern_mail::proof::Authenticated;
use postern_smtp::command::Mail;
use postern_smtp::machine::{Action, Limit};

use crate::state::{Hello, InMail, Place, State};
use crate::turn::{Ruling, Turn};

impl Turn<'_> {
    pub(crate) fn mail(&mut self, place: Place, mail: Mail) -> State {
        match place {
            Place::Ready(hello) | Place::Spoiled(hello) => self.begin_transaction(hello, mail),
            Place::Fresh | Place::Unwelcome => self.out_of_order("say EHLO or HELO first", place),
            // RFC 5321 §4.1.4: no transaction within a transaction.
            Place::InMail(_) | Place::InChunks(_) => self.out_of_order("a mail transaction is under way", place),
        }
    }

    fn begin_transaction(&mut self, hello: Hello, mail: Mail) -> State {
        let settings = &self.standing.settings;
        if self.standing.client.listener.is_submission() {
            // RFC 6409 §4.3, RFC 4954 §6, RFC 3207 §4: first TLS, then AUTH, then mail; on port 25 neither is ever asked for.
            if self.standing.tls.is_none() {
                return self.charge(Reply::tls_required(), hello);
            }
            if self.standing.who.is_none() {
                return self.charge(Reply::authentication_required(), hello);
            }
        }
        if self.standing.messages >= settings.messages_per_connection {
            // RFC 9422 §4.1: MAILMAX was offered; a client that goes on regardless pays for each try.
            self.standing.tally.reached(Limit::Messages);
            return self.charge(Reply::too_many_messages(), hello);
        }
        if mail.size.is_some_and(|size| size > settings.message_size) {
            // RFC 1870 §6.1, §7: refused before a single octet of it is sent.
            let reply = self.too_big();
            return self.idle(reply, hello);
        }
        if mail.require_tls && self.standing.tls.is_none() {
            // RFC 8689 §2: the promise cannot be kept where the way here was in clear.
            return self.idle(Reply::require_tls_impossible(), hello);
        }
        let who = self.standing.who.clone();
        let envelope = Envelope {
            from: mail.from.clone(),
            recipients: Vec::new(),
            // RFC 6152 §3, RFC 6531 §3.4, RFC 3461 §4.3, §4.4: kept as they were asked for, and passed on with the message.
            // RFC 3461 §5.1: none of them changes what MAIL is answered. RFC 8689 §4.1: the message is marked as needing TLS.
            // RFC 8689 §4.1 TODO: a field `TLS-Required: No` is not read; no policy of a recipient's domain is followed yet either.
            body: mail.body.unwrap_or_default(),
            smtputf8: mail.smtputf8,
            require_tls: mail.require_tls,
            ret: mail.ret,
            envid: mail.envid,
            // RFC 4954 §5: what AUTH= claims is believed of nobody; only who proved to be somebody is.
            account: who.as_ref().map(Authenticated::account).cloned(),
            client: Some(self.standing.client.address),
            received: UnixMillis(0),
        };
        self.act(Action::Ask(Question::Sender { from: mail.from, who, size: mail.size }));
        State::AskingSender(InMail { hello, envelope: Box::new(envelope), began: self.now, refused: 0 })
    }

    pub(crate) fn sender_answered(&mut self, mail: InMail, answer: Answer) -> State {
        match self.ruling(answer) {
            Ruling::Pass => {
                self.standing.messages = self.standing.messages.saturating_add(1);
                self.answer(Reply::sender_ok(), mail)
            }
            Ruling::Refuse(reply) => self.idle(reply, mail.hello),
            Ruling::Hangup(reply) => self.close(reply, mail),
        }
    }
}
