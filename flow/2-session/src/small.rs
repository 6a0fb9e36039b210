//! The small commands: RSET, QUIT, VRFY, and those that are known and off. Promise: none of them tells who exists here, and none is served without end.

use postern_mail::Reply;
use postern_smtp::machine::Action;

use crate::state::{InMail, Place, Receiving, State};
use crate::turn::Turn;

impl Turn<'_> {
    /// RFC 5321 §4.1.1.5: forgets the transaction and nothing else.
    pub(crate) fn rset(&mut self, place: Place) -> State {
        if place.holds_transaction() {
            self.act(Action::Discard);
        }
        let after = match place {
            Place::InMail(InMail { hello, .. }) | Place::InChunks(Receiving { hello, .. }) | Place::Spoiled(hello) => {
                Place::Ready(hello)
            }
            Place::Unwelcome | Place::Fresh | Place::Ready(_) => place,
        };
        self.idle(Reply::ok(), after)
    }

    /// RFC 5321 §4.1.1.10: 221, and the open transaction is given up.
    pub(crate) fn quit(&mut self, place: Place) -> State {
        self.close(Reply::goodbye(), place)
    }

    /// RFC 5321 §4.1.1.6, §7.3: 252 says nothing about the mailbox, whoever asks. RFC 5321 §3.5.2 DEPARTS: nobody is told who exists.
    pub(crate) fn vrfy(&mut self, place: Place) -> State {
        self.idle(Reply::cannot_verify(), place)
    }

    /// RFC 5321 §4.2.4: 502 for what we know and do not do: EXPN, ETRN, TURN and their like. RFC 6409 §7: ETRN and ATRN are not for
    /// submission. RFC 5321 §3.5.2 DEPARTS: EXPN is not served; who is behind an alias is not for strangers.
    pub(crate) fn off(&mut self, place: Place) -> State {
        self.idle(Reply::not_implemented(), place)
    }
}
