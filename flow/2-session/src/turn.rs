//! One input's turn: what outlives the states, and the few ways a turn can end. Promise: every end that closes the session discards
//! the open message first, and a fault is counted before it is answered.

use std::sync::Arc;
use std::time::Instant;

use postern_mail::Reply;
use postern_mail::fact::{Answer, ClientFacts, TlsFacts};
use postern_mail::proof::Authenticated;
use postern_smtp::machine::Action;

use crate::patience::Tally;
use crate::settings::SessionSettings;
use crate::state::State;

/// What outlives the states of one connection.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) settings: Arc<SessionSettings>,
    pub(crate) client: ClientFacts,
    pub(crate) tls: Option<Box<TlsFacts>>,
    pub(crate) who: Option<Authenticated>,
    /// When the first input came.
    pub(crate) opened: Option<Instant>,
    /// Transactions so far.
    pub(crate) messages: u32,
    pub(crate) tally: Tally,
    /// The server is under stress, and this client was a stranger when it was told so.
    pub(crate) hurried: bool,
    /// The server is stopping: end when the client is next to speak.
    pub(crate) stopping: bool,
    /// What it was allowed to be here by has ended: likewise, with these words.
    pub(crate) revoked: Option<Box<Reply>>,
}

impl Standing {
    /// RFC 4954 §3, §6, RFC 6409 §7, RFC 8314 §3.3: AUTH is for a client of a submission listener, under TLS, once; elsewhere it is not
    /// offered.
    pub(crate) fn may_authenticate(&self) -> bool {
        self.client.listener.is_submission() && self.tls.is_some() && self.who.is_none()
    }
}

/// One input's turn.
pub(crate) struct Turn<'a> {
    pub(crate) standing: &'a mut Standing,
    pub(crate) now: Instant,
    pub(crate) actions: &'a mut Vec<Action>,
}

/// An answer where only a yes or a no fits.
pub(crate) enum Ruling {
    Pass,
    Refuse(Reply),
    Hangup(Reply),
}

impl Turn<'_> {
    pub(crate) fn settings(&self) -> &SessionSettings {
        &self.standing.settings
    }

    pub(crate) fn hostname(&self) -> &str {
        self.standing.settings.hostname.as_str()
    }

    pub(crate) fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    pub(crate) fn say(&mut self, reply: Reply) {
        self.act(Action::Reply(reply));
    }

    /// Says this and goes on in `next`.
    pub(crate) fn answer(&mut self, reply: Reply, next: impl Into<State>) -> State {
        self.say(reply);
        next.into()
    }

    /// Says this and closes; `left` is the state that is left, so that its open message is not.
    pub(crate) fn close(&mut self, reply: Reply, left: impl Into<State>) -> State {
        self.discard_from(&left.into());
        self.say(reply);
        self.act(Action::Close);
        State::Closed
    }

    pub(crate) fn discard_from(&mut self, left: &State) {
        if left.holds_transaction() {
            self.act(Action::Discard);
        }
    }

    /// The client did wrong: counted first, so that a pipelined flood cannot outrun the limit. Remembered beyond the session.
    pub(crate) fn fault(&mut self, reply: Reply, next: impl Into<State>) -> State {
        self.standing.tally.syntax();
        self.charge(reply, next)
    }

    /// Counted like a fault, and forgotten with the session: programs that are set up wrongly, and what others remember.
    pub(crate) fn charge(&mut self, reply: Reply, next: impl Into<State>) -> State {
        if self.standing.tally.fault(self.standing.budget()) {
            self.answer(reply, next)
        } else {
            let farewell = Reply::too_many_faults(self.hostname());
            self.close(farewell, next)
        }
    }

    /// The client's framing cannot be trusted any more: remembered, and the end.
    pub(crate) fn misframed(&mut self, reply: Reply, left: impl Into<State>) -> State {
        self.standing.tally.syntax();
        self.close(reply, left)
    }

    /// A command that does nothing for a message. Each is harmless, and a session that says nothing else holds a place for nothing.
    pub(crate) fn idle(&mut self, reply: Reply, next: impl Into<State>) -> State {
        if self.standing.tally.idle_command(self.standing.budget()) {
            self.answer(reply, next)
        } else {
            let farewell = Reply::too_many_idle_commands(self.hostname());
            self.close(farewell, next)
        }
    }

    /// 503, counted.
    pub(crate) fn out_of_order(&mut self, why: &'static str, next: impl Into<State>) -> State {
        self.fault(Reply::out_of_order(why), next)
    }

    /// RFC 2920 §3.1: a command that must be the last of its group is. RFC 5321 §3.8 DEPARTS: bytes behind it were sent by a client, or by somebody in between,
    /// that did not wait to learn what they would be taken for, and the session is closed.
    pub(crate) fn improper_pipelining(&mut self, left: impl Into<State>) -> State {
        self.misframed(Reply::improper_pipelining(), left)
    }

    /// The hand fed something that does not belong here: a bug of ours, never the peer's doing.
    pub(crate) fn bug(&mut self, left: impl Into<State>) -> State {
        let reply = Reply::internal_error(self.hostname());
        self.close(reply, left)
    }

    /// Reads an answer where only a yes or a no fits.
    pub(crate) fn ruling(&self, answer: Answer) -> Ruling {
        match answer {
            Answer::Pass => Ruling::Pass,
            // RFC 5321 §3.8: after 421 the connection is closed, whoever chose the code.
            Answer::Refuse(reply) if reply.code.0 == 421 => Ruling::Hangup(reply),
            Answer::Refuse(reply) => Ruling::Refuse(reply),
            Answer::Hangup(reply) => Ruling::Hangup(reply),
            Answer::Admitted(_) | Answer::Challenge(_) | Answer::Authenticated { .. } | Answer::Denied(_) => {
                Ruling::Hangup(Reply::internal_error(self.hostname()))
            }
        }
    }
}
