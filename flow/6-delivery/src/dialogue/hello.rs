//! Head: from the greeting to a session that can take mail: EHLO, STARTTLS by policy, EHLO again, AUTH.

use std::sync::Arc;

use postern_smtp::extension::Offered;
use postern_smtp::reply_lines::ReceivedReply;

use super::Trouble;
use super::login::Login;
use crate::classify::{Failure, Stage};
use crate::next_hop::{Credentials, Protocol};
use crate::tls_policy::TlsWish;

/// What to do next. What is to be sent was appended to `out` and goes first.
#[derive(Debug)]
pub(crate) enum Step {
    /// Wait for a reply.
    Await(Stage),
    /// Shake hands; then [`Hello::on_secured`].
    StartTls,
    /// The session stands.
    Ready(Box<Offered>),
    /// It does not.
    Stop(Box<Trouble>),
}

#[derive(Debug)]
enum State {
    Greeting,
    Ehlo,
    Helo,
    StartTls(Box<Offered>),
    Handshake,
    Auth(Box<Offered>, Login),
    Over,
}

/// What we prove ourselves with.
#[derive(Clone, Debug)]
pub(crate) struct Proof {
    pub(crate) credentials: Arc<Credentials>,
    /// Fresh for this connection, printable, without a comma.
    pub(crate) nonce: String,
}

/// The beginning of a session.
#[derive(Debug)]
pub(crate) struct Hello {
    hostname: Arc<str>,
    protocol: Protocol,
    wish: TlsWish,
    credentials: Option<Proof>,
    secure: bool,
    state: State,
}

impl Hello {
    pub(crate) fn new(hostname: Arc<str>, protocol: Protocol, wish: TlsWish, credentials: Option<Proof>) -> Self {
        // RFC 4954 §4, RFC 8314 §5.2: no password in clear, so where there is one there is TLS.
        let wish = if credentials.is_some() { TlsWish::Must } else { wish };
        Self { hostname, protocol, wish, credentials, secure: false, state: State::Greeting }
    }

    /// Takes a reply.
    pub(crate) fn on_reply(&mut self, reply: ReceivedReply, out: &mut Vec<u8>) -> Step {
        match std::mem::replace(&mut self.state, State::Over) {
            // RFC 5321 §4.3.1: nothing is said before the 220; anything else in its place says that the host does not want us.
            State::Greeting if reply.code.0 == 220 => self.ehlo(out),
            State::Greeting => stop(Stage::Greeting, reply),
            State::Ehlo if reply.code.0 == 250 => self.offered(Offered::parse(&reply.lines), out),
            // RFC 5321 §3.2, §4.1.1.1: a host that does not know EHLO is greeted with HELO. LMTP has nothing to fall back to (RFC 2033
            // §4.1), and who could do EHLO before the handshake can do it behind it.
            State::Ehlo if is_unknown_command(&reply) && self.protocol == Protocol::Smtp && !self.secure => {
                send(out, format_args!("HELO {}", self.hostname));
                self.state = State::Helo;
                Step::Await(Stage::Hello)
            }
            State::Ehlo => stop(Stage::Hello, reply),
            State::Helo if reply.code.0 == 250 => self.offered(Offered::default(), out),
            State::Helo => stop(Stage::Hello, reply),
            State::StartTls(_) if reply.code.0 == 220 => {
                self.state = State::Handshake;
                Step::StartTls
            }
            // RFC 3207 §4: without the handshake the client decides whether it goes on.
            State::StartTls(offered) if self.wish == TlsWish::IfOffered && reply.code.0 != 421 => self.authenticate(offered, out),
            State::StartTls(_) => stop(Stage::StartTls, reply),
            State::Auth(offered, login) if reply.code.0 == 235 && login.is_complete() => Step::Ready(offered),
            State::Auth(offered, login) if reply.code.0 == 334 => match login.on_challenge(&reply, out) {
                Ok(login) => {
                    self.state = State::Auth(offered, login);
                    Step::Await(Stage::Auth)
                }
                Err(_) => stop(Stage::Auth, reply),
            },
            State::Auth(..) => stop(Stage::Auth, reply),
            // The hand feeds no reply here; one that came all the same is out of place.
            State::Handshake | State::Over => stop(Stage::Hello, reply),
        }
    }

    /// The handshake is done, and what was buffered is gone.
    pub(crate) fn on_secured(&mut self, out: &mut Vec<u8>) -> Step {
        self.secure = true;
        // RFC 3207 §4.2: everything learnt before is forgotten; EHLO again, and never STARTTLS within TLS.
        self.ehlo(out)
    }

    fn ehlo(&mut self, out: &mut Vec<u8>) -> Step {
        // RFC 2033 §4.1: LHLO in place of EHLO.
        // RFC 5321 §2.3.5, RFC 6531 §3.7.1: our name is our primary host name, in A-labels.
        let verb = if self.protocol == Protocol::Lmtp { "LHLO" } else { "EHLO" };
        send(out, format_args!("{verb} {}", self.hostname));
        self.state = State::Ehlo;
        Step::Await(Stage::Hello)
    }

    fn offered(&mut self, offered: Offered, out: &mut Vec<u8>) -> Step {
        let offered = Box::new(offered);
        match self.wish {
            TlsWish::IfOffered | TlsWish::Must if self.secure => self.authenticate(offered, out),
            TlsWish::IfOffered | TlsWish::Must if offered.starttls => {
                send(out, format_args!("STARTTLS"));
                self.state = State::StartTls(offered);
                Step::Await(Stage::StartTls)
            }
            TlsWish::Must => Step::Stop(Box::new(Trouble::Failure(Stage::StartTls, Failure::TlsNotOffered))),
            TlsWish::IfOffered | TlsWish::Never => self.authenticate(offered, out),
        }
    }

    fn authenticate(&mut self, offered: Box<Offered>, out: &mut Vec<u8>) -> Step {
        let Some(Proof { credentials, nonce }) = &self.credentials else { return Step::Ready(offered) };
        let login = if self.secure { Login::begin(&offered.auth, credentials, nonce, out) } else { None };
        match login {
            Some(login) => {
                self.state = State::Auth(offered, login);
                Step::Await(Stage::Auth)
            }
            None => Step::Stop(Box::new(Trouble::Failure(Stage::Auth, Failure::AuthNotOffered))),
        }
    }
}

fn is_unknown_command(reply: &ReceivedReply) -> bool {
    // RFC 5321 §3.2: EHLO is not known where it is answered 500 or 502; some old hosts say 501, 504, 550 or 554.
    reply.code.is_permanent() && reply.code.0 != 521
}

fn stop(stage: Stage, reply: ReceivedReply) -> Step {
    Step::Stop(Box::new(Trouble::Reply(stage, reply)))
}

/// Appends a command line.
fn send(out: &mut Vec<u8>, line: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    // Writing to a vector cannot fail.
    let _ = write!(out, "{line}\r\n");
}

#[cfg(test)]
mod tests;
