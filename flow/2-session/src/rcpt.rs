//! RCPT TO (RFC 5321 §4.1.1.3). Promise: a recipient enters the envelope with the admission that policy gave it, and in no other way.

use postern_mail::envelope::{Admission, DsnRequest};
use postern_mail::fact::{Answer, Question};
use postern_mail::trouble::Fault;
use postern_mail::{ForwardPath, Mailbox, Recipient, Reply, Status};
use postern_smtp::command::Rcpt;
use postern_smtp::machine::{Action, Limit};

use crate::state::{AskingRecipient, InMail, Place, State};
use crate::turn::{Ruling, Turn};

impl Turn<'_> {
    /// `ascii`: the whole line was.
    pub(crate) fn rcpt(&mut self, place: Place, rcpt: Rcpt, ascii: bool) -> State {
        let mail = match place {
            Place::InMail(mail) => mail,
            Place::InChunks(_) => return self.out_of_order("the message has begun", place),
            Place::Unwelcome | Place::Fresh | Place::Ready(_) | Place::Spoiled(_) => {
                // RFC 5321 §3.3: 503 for RCPT without MAIL.
                return self.out_of_order("say MAIL first", place);
            }
        };
        if mail.envelope.recipients.len() >= usize::try_from(self.recipients_max()).unwrap_or(usize::MAX) {
            // RFC 5321 §4.5.3.1.10: 452, and those accepted so far stand.
            self.standing.tally.reached(Limit::Recipients);
            return self.answer(Reply::too_many_recipients(), mail);
        }
        if !ascii && !mail.envelope.smtputf8 {
            // RFC 6531 §3.5: an address outside ASCII needs SMTPUTF8 at MAIL.
            return self.fault(Reply::recipient_fault(Fault::NotUtf8), mail);
        }
        let to = match rcpt.to {
            ForwardPath::Mailbox(mailbox) => mailbox,
            // RFC 5321 §4.5.1: `postmaster` without a domain is ours.
            ForwardPath::Postmaster => Mailbox::postmaster_of(self.settings().hostname.clone()),
        };
        let question = Question::Recipient { to: to.clone(), from: mail.envelope.from.clone(), who: self.standing.who.clone() };
        self.act(Action::Ask(question));
        State::AskingRecipient(AskingRecipient { mail, to: Box::new((to, rcpt.dsn)) })
    }

    pub(crate) fn recipient_answered(&mut self, asking: AskingRecipient, answer: Answer) -> State {
        let AskingRecipient { mail, to } = asking;
        match answer {
            Answer::Admitted(admission) => self.admit(mail, *to, &admission),
            // A yes without a proof admits nobody.
            Answer::Pass => self.bug(mail),
            other => match self.ruling(other) {
                Ruling::Pass => self.bug(mail),
                Ruling::Refuse(reply) => self.refuse_recipient(reply, mail),
                Ruling::Hangup(reply) => self.close(reply, mail),
            },
        }
    }

    fn admit(&mut self, mut mail: InMail, (to, dsn): (Mailbox, DsnRequest), admission: &Admission) -> State {
        // A recipient named twice gets one copy, on the terms of the first naming.
        if mail.envelope.recipients.iter().any(|recipient| *recipient.address() == to) {
            return self.idle(Reply::recipient_ok(), mail);
        }
        mail.envelope.recipients.push(Recipient::admitted(to, admission, dsn));
        self.answer(Reply::recipient_ok(), mail)
    }

    /// RFC 5321 §7.8: who asks for many mailboxes that do not exist is harvesting, and who asks to relay is probing; both have a
    /// budget. A refusal for another reason costs nothing, as long as there are no more of them than a message may have recipients.
    fn refuse_recipient(&mut self, reply: Reply, mut mail: InMail) -> State {
        match (reply.code.0, reply.status) {
            (550, Some(Status { subject: 1, detail: 1, .. })) => {
                if self.standing.tally.unknown_recipient(self.standing.budget()) {
                    self.answer(reply, mail)
                } else {
                    let farewell = Reply::too_many_faults(self.hostname());
                    self.close(farewell, mail)
                }
            }
            (550, Some(Status { subject: 7, detail: 1, .. })) => {
                self.standing.tally.relay_refused();
                self.charge(reply, mail)
            }
            // While nothing is lost by it, also a transaction that comes to nothing has an end.
            _ if mail.envelope.recipients.is_empty() => self.idle(reply, mail),
            // A sender whose list is refused in the middle keeps those that were accepted; no list is longer than what we told it.
            _ => {
                mail.refused = mail.refused.saturating_add(1);
                if mail.refused > self.recipients_max() { self.idle(reply, mail) } else { self.answer(reply, mail) }
            }
        }
    }
}
