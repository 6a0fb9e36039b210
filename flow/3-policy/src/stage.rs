//! When something is judged. Promise: each stage is judged with what is known by then, and no later stage takes a refusal back.

use std::fmt;

/// The stages of a session, in their order, and the form that takes a session's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Before the greeting.
    Connect,
    /// HELO, EHLO.
    Hello,
    /// AUTH.
    Auth,
    /// MAIL FROM.
    Sender,
    /// RCPT TO, once for each.
    Recipient,
    /// The body is complete.
    Message,
    /// A form was sent.
    Form,
}

impl Stage {
    /// As it stands in trails and configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Hello => "hello",
            Self::Auth => "auth",
            Self::Sender => "sender",
            Self::Recipient => "recipient",
            Self::Message => "message",
            Self::Form => "form",
        }
    }

    /// The word of [`Event::Refused`](postern_mail::event::Event::Refused).
    #[must_use]
    pub const fn command(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Hello => "EHLO",
            Self::Auth => "AUTH",
            Self::Sender => "MAIL",
            Self::Recipient => "RCPT",
            Self::Message => "DATA",
            Self::Form => "FORM",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
