//! STARTTLS (RFC 3207). Promise: nothing said before the handshake is known after it.

use postern_mail::Reply;
use postern_mail::fact::TlsFacts;
use postern_smtp::machine::Action;

use crate::state::{Place, State};
use crate::turn::Turn;

impl Turn<'_> {
    /// RFC 3207 §4: STARTTLS is the last of a pipelined group; what lies behind it in clear was never part of the TLS
    /// session, and a session that carries it is not worth saving.
    pub(crate) fn starttls(&mut self, place: Place, more: bool) -> State {
        if more {
            return self.improper_pipelining(place);
        }
        match place {
            Place::Ready(_) | Place::Fresh if self.standing.tls.is_some() => self.out_of_order("TLS is on already", place),
            Place::Ready(_) | Place::Fresh if !self.settings().tls_available => self.idle(Reply::tls_unavailable(), place),
            // RFC 3207 §4.2, §6: the hello is dropped here, and all that was learnt with it; the client must begin again. So one that has not said it loses nothing, and some
            // clients (gsasl) do not say it in clear.
            Place::Ready(_) | Place::Fresh => {
                self.act(Action::StartTls(Reply::start_tls()));
                State::Handshaking
            }
            Place::InMail(_) | Place::InChunks(_) | Place::Spoiled(_) | Place::Unwelcome => {
                self.out_of_order("not within a mail transaction", place)
            }
        }
    }

    /// The handshake is done. RFC 3207 §4.2: we go on as if the connection had just been greeted.
    pub(crate) fn secured(&mut self, tls: TlsFacts, next: State) -> State {
        self.standing.tls = Some(Box::new(tls));
        next
    }
}
