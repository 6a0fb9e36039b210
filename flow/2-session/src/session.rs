//! The dispatch table: state × input, and place × command. Promise: every pair has an answer, and a pair that only a bug of ours can
//! make ends the session with 421 instead of going on.

use std::mem;
use std::sync::Arc;
use std::time::Instant;

use postern_mail::Reply;
use postern_mail::fact::ClientFacts;
use postern_mail::trouble::Fault;
use postern_smtp::command::Command;
use postern_smtp::line::{COMMAND_LINE_BYTES_MAX, SASL_LINE_BYTES_MAX};
use postern_smtp::machine::{Action, Conduct, Input, Machine, Patience};

use crate::patience::{Tally, patience};
use crate::settings::SessionSettings;
use crate::state::{Hello, Place, State};
use crate::turn::{Standing, Turn};

/// One server conversation, without a socket.
///
/// The hand that carries out [`Action::OpenMessage`] stamps the envelope with the time it was received: this head has no calendar, and
/// leaves `UnixMillis(0)` there. [`Action::Commit`] consumes the open message, whatever comes of it; every other end of an open
/// message, and of a transaction before its message, is an [`Action::Discard`]: what was set aside for its recipients is free again at once.
#[derive(Debug)]
pub struct Session {
    standing: Standing,
    state: State,
}

impl Session {
    /// A conversation that has not begun. Feed `Secured` first where the listener shakes hands before anything is said, then `Opened`.
    #[must_use]
    pub fn new(settings: Arc<SessionSettings>, client: ClientFacts) -> Self {
        let standing = Standing {
            settings,
            client,
            tls: None,
            who: None,
            opened: None,
            messages: 0,
            tally: Tally::default(),
            hurried: false,
            stopping: false,
            revoked: None,
        };
        Self { standing, state: State::Opening }
    }

    /// True once nothing is said or heard any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }
}

impl Machine for Session {
    fn on(&mut self, now: Instant, input: Input<'_>, actions: &mut Vec<Action>) {
        self.standing.opened.get_or_insert(now);
        let state = mem::replace(&mut self.state, State::Closed);
        let mut turn = Turn { standing: &mut self.standing, now, actions };
        self.state = turn.step(state, input);
        if (turn.standing.stopping || turn.standing.revoked.is_some()) && self.state.is_listening() {
            let state = mem::replace(&mut self.state, State::Closed);
            self.state = turn.stop(state);
        }
    }

    fn patience(&self, now: Instant) -> Patience {
        patience(&self.standing, &self.state, now)
    }

    fn conduct(&self) -> Conduct {
        self.standing.conduct()
    }

    /// RFC 4954 §4: a SASL response, and an AUTH command with its initial response, may be longer than other lines.
    fn line_bytes_max(&self) -> usize {
        match self.state {
            State::Challenged(_) => SASL_LINE_BYTES_MAX,
            State::Listening(Place::Ready(_)) if self.standing.may_authenticate() => SASL_LINE_BYTES_MAX,
            _ => COMMAND_LINE_BYTES_MAX,
        }
    }
}

impl Turn<'_> {
    fn step(&mut self, state: State, input: Input<'_>) -> State {
        match (state, input) {
            (State::Closed, _) => State::Closed,
            (state, Input::TimedOut) => self.timed_out(state),
            (state, Input::Hurry(hurried)) => {
                self.standing.hurried = hurried;
                state
            }
            (state, Input::Stopping) => {
                self.standing.stopping = true;
                state
            }
            (state, Input::Revoked(reply)) => {
                self.standing.revoked = Some(reply);
                state
            }
            (State::Opening, Input::Secured(tls)) => self.secured(tls, State::Opening),
            (State::Opening, Input::Opened) => self.connect(),
            (State::AskingConnect, Input::Answer(answer)) => self.connect_answered(answer),
            (State::Listening(place), Input::Line { text, more }) => self.command(place, text, more),
            (State::Listening(place), Input::Broken(fault)) => self.broken_line(fault, place),
            (State::AskingHello(asking), Input::Answer(answer)) => self.hello_answered(asking, answer),
            (State::Handshaking, Input::Secured(tls)) => self.secured(tls, Place::Fresh.into()),
            (State::AskingCredentials(hello), Input::Answer(answer)) => self.credentials_answered(hello, answer),
            (State::Challenged(hello), Input::Line { text, more }) => self.response(hello, text, more),
            (State::Challenged(hello), Input::Broken(fault)) => self.broken_response(hello, fault),
            (State::AskingAbort(asking), Input::Answer(answer)) => self.abort_answered(asking, answer),
            (State::AskingSender(mail), Input::Answer(answer)) => self.sender_answered(mail, answer),
            (State::AskingRecipient(asking), Input::Answer(answer)) => self.recipient_answered(asking, answer),
            (State::InData(message), Input::BodyEnded(end)) => self.data_ended(message, end),
            (State::InChunk(chunk), Input::BodyEnded(end)) => self.chunk_ended(chunk, end),
            (State::DroppingChunk(chunk), Input::BodyEnded(end)) => self.chunk_dropped(chunk, end),
            (State::Judging(hello), Input::Answer(answer)) => self.message_answered(hello, answer),
            (State::Committing(hello), Input::Committed(result)) => self.committed(hello, result),
            (state, _) => self.bug(state),
        }
    }

    fn command(&mut self, place: Place, line: &[u8], more: bool) -> State {
        let command = match Command::parse(line) {
            Ok(command) => command,
            Err(fault) => return self.unreadable(place, line, fault),
        };
        match command {
            Command::Quit => self.quit(place),
            Command::Bdat { size, last } => self.bdat(place, size, last),
            // RFC 5321 §3.1: after a 554 greeting everything but QUIT is 503.
            _ if matches!(place, Place::Unwelcome) => self.out_of_order("no service here, only QUIT", place),
            Command::Ehlo(name) => self.hello(place, Hello { name, esmtp: true }, more),
            Command::Helo(name) => self.hello(place, Hello { name, esmtp: false }, more),
            Command::StartTls => self.starttls(place, more),
            Command::Auth { mechanism, initial } => self.auth(place, mechanism, initial.as_deref(), more),
            Command::Mail(mail) => self.mail(place, *mail),
            Command::Rcpt(rcpt) => self.rcpt(place, *rcpt, line.is_ascii()),
            Command::Data => self.data(place, more),
            // RFC 5321 §4.1.4: RSET, NOOP, VRFY, EXPN and HELP are served at any time, before EHLO too.
            Command::Rset => self.rset(place),
            // RFC 5321 §4.1.1.9: an argument of NOOP means nothing.
            Command::Noop => self.idle(Reply::ok(), place),
            Command::Vrfy => self.vrfy(place),
            // RFC 5321 §4.1.1.8: HELP, with or without an argument.
            Command::Help => self.idle(Reply::help(), place),
            Command::Expn | Command::Off => self.off(place),
            Command::Lhlo => self.fault(Reply::unknown_command(), place),
        }
    }

    /// A line that is no command.
    fn unreadable(&mut self, place: Place, line: &[u8], fault: Fault) -> State {
        if matches!(place, Place::Unwelcome) {
            return self.out_of_order("no service here, only QUIT", place);
        }
        let is = |verb: &[u8]| line.get(..4).is_some_and(|word| word.eq_ignore_ascii_case(verb));
        if fault.breaks_framing() || (is(b"BDAT") && line.get(4).is_none_or(|next| !next.is_ascii_alphanumeric())) {
            // RFC 3030 §2: a chunk is consumed before it is refused. RFC 5321 §3.8 DEPARTS: when its size cannot be read, nobody knows where it ends, its
            // content must not be taken for commands, and the session is closed.
            return self.misframed(Reply::fault(fault), place);
        }
        let reply = match () {
            () if is(b"MAIL") => Reply::sender_fault(fault),
            () if is(b"RCPT") => Reply::recipient_fault(fault),
            () => Reply::fault(fault),
        };
        self.fault(reply, place)
    }

    /// RFC 5321 §2.3.8: only CRLF ends a line. A line that is too long was skipped to its CRLF and costs a fault; after a bare CR, a
    /// bare LF or a NUL nothing the peer says can be trusted (RFC 5321 §4.5.3.1.4 for the length).
    fn broken_line(&mut self, fault: Fault, place: Place) -> State {
        if fault.breaks_framing() {
            self.misframed(Reply::broken_framing(fault), place)
        } else {
            self.fault(Reply::fault(fault), place)
        }
    }
}
