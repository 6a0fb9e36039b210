//! What can go wrong, and whose it is. A [`Fault`] is the peer's, an [`Outage`] the world's; a bug of ours is an
//! [`Outage::Bug`] where it must be answered on the wire.

use std::fmt;

/// The peer did something wrong. Answered with 5yz and counted against its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Not a domain name or address literal.
    Domain,
    /// Not a local part.
    LocalPart,
    /// Not a path in angle brackets.
    Path,
    /// Not a name a client may use in HELO or EHLO.
    Hello,
    /// A command we do not know.
    UnknownCommand,
    /// A known command that does not read right.
    Syntax,
    /// An ESMTP parameter we did not offer (RFC 5321 §4.1.1.11).
    UnknownParameter,
    /// An ESMTP parameter with a bad or second value.
    BadParameter,
    /// A line longer than we accept.
    LineTooLong,
    /// A CR without LF.
    BareCr,
    /// An LF without CR.
    BareLf,
    /// A NUL octet.
    Nul,
    /// Text outside ASCII where UTF-8 was not agreed, or not UTF-8 at all.
    NotUtf8,
    /// Not base64.
    Base64,
}

impl Fault {
    /// In words, for a reply text or a log line.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Domain => "not a valid domain",
            Self::LocalPart => "not a valid mailbox name",
            Self::Path => "the address must stand in angle brackets",
            Self::Hello => "not a valid host name",
            Self::UnknownCommand => "command not recognised",
            Self::Syntax => "syntax error",
            Self::UnknownParameter => "parameter not supported",
            Self::BadParameter => "bad parameter value",
            Self::LineTooLong => "line too long",
            Self::BareCr => "CR without LF",
            Self::BareLf => "LF without CR",
            Self::Nul => "NUL octet",
            Self::NotUtf8 => "not valid text",
            Self::Base64 => "not valid base64",
        }
    }

    /// True for the faults of framing, after which nothing the peer says can be trusted and the session ends.
    #[must_use]
    pub const fn breaks_framing(self) -> bool {
        matches!(self, Self::BareCr | Self::BareLf | Self::Nul)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

impl std::error::Error for Fault {}

/// The world failed, not the peer. Answered with 4yz, logged once per cause, tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outage {
    /// The disk is full, or about to be.
    DiskFull,
    /// The disk said no.
    Disk(String),
    /// DNS gave no answer.
    Dns(String),
    /// A service beside us (LMTP server, filter) did not answer.
    Service(String),
    /// Work beyond a ceiling of ours.
    Overload,
    /// A promise inside postern is broken.
    Bug(String),
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DiskFull => f.write_str("the disk is full or about to be"),
            Self::Disk(what) => write!(f, "disk: {what}"),
            Self::Dns(what) => write!(f, "DNS: {what}"),
            Self::Service(what) => write!(f, "service: {what}"),
            Self::Overload => f.write_str("more work than the configured ceiling"),
            Self::Bug(what) => write!(f, "bug: {what}"),
        }
    }
}

impl std::error::Error for Outage {}
