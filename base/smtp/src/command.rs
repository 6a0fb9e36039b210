//! Commands of the server side (RFC 5321 §4.1.1 and its extensions), parsed and printed.
//!
//! Promise: a line is one command, wholly understood, or a [`Fault`]; nothing of it is skipped or guessed. Printing a command gives a
//! line that parses to the same command.

use std::borrow::Cow;
use std::fmt;

use postern_mail::envelope::{BodyKind, DsnRequest, Return};
use postern_mail::fact::Mechanism;
use postern_mail::trouble::Fault;
use postern_mail::{ForwardPath, HeloName, ReversePath};

use crate::params::{self, MailParams};
use crate::path::Bracketed;

/// MAIL FROM with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// The reverse path.
    pub from: ReversePath,
    /// SIZE= (RFC 1870 §6).
    pub size: Option<u64>,
    /// BODY= (RFC 6152 §2).
    pub body: Option<BodyKind>,
    /// SMTPUTF8 (RFC 6531 §3.4).
    pub smtputf8: bool,
    /// REQUIRETLS (RFC 8689 §2).
    pub require_tls: bool,
    /// RET= (RFC 3461 §4.3).
    pub ret: Option<Return>,
    /// ENVID= (RFC 3461 §4.4), still in xtext, checked to decode to printable ASCII.
    pub envid: Option<Box<str>>,
    /// AUTH= (RFC 4954 §5) was given; we read it and trust it from nobody.
    pub auth_given: bool,
}

/// RCPT TO with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rcpt {
    /// The forward path; a source route (RFC 5321 §4.1.1.3) is a fault.
    pub to: ForwardPath,
    /// NOTIFY= and ORCPT= (RFC 3461 §4.1, §4.2).
    pub dsn: DsnRequest,
}

/// One command line. Its `Debug` leaves out the initial response of AUTH, which may hold a password; its `Display` is the line to send,
/// without CRLF.
#[derive(Clone, PartialEq, Eq)]
pub enum Command<'a> {
    /// EHLO.
    Ehlo(HeloName),
    /// HELO.
    Helo(HeloName),
    /// LHLO belongs to LMTP (RFC 2033 §4.1), which we do not serve; known so that it gets a right refusal.
    Lhlo,
    /// MAIL FROM. Boxed: the other commands are a word.
    Mail(Box<Mail>),
    /// RCPT TO.
    Rcpt(Box<Rcpt>),
    /// DATA.
    Data,
    /// BDAT (RFC 3030 §2).
    Bdat {
        /// Octets that follow.
        size: u64,
        /// LAST.
        last: bool,
    },
    /// RSET.
    Rset,
    /// NOOP with or without an argument.
    Noop,
    /// QUIT.
    Quit,
    /// STARTTLS (RFC 3207 §4).
    StartTls,
    /// AUTH (RFC 4954 §4).
    Auth {
        /// The mechanism, if we know it.
        mechanism: Option<Mechanism>,
        /// The initial response still in base64; `=` stands for an empty one.
        initial: Option<Cow<'a, str>>,
    },
    /// VRFY.
    Vrfy,
    /// EXPN.
    Expn,
    /// HELP.
    Help,
    /// ETRN, TURN, ATRN, SEND, SOML, SAML: known and off.
    Off,
}

impl<'a> Command<'a> {
    /// Parses a line without its CRLF.
    ///
    /// # Errors
    /// [`Fault::UnknownCommand`], [`Fault::Syntax`] for a known command that does not read right, and the faults of its arguments. CR, LF
    /// and NUL are [`Fault::BareCr`], [`Fault::BareLf`] and [`Fault::Nul`]; the framing finds them first, and this holds without it too.
    pub fn parse(line: &'a [u8]) -> Result<Self, Fault> {
        // RFC 5321 §4.1.1: white space before the CRLF is tolerated.
        let line = without_trailing_blanks(line);
        let (verb, rest) = match memchr::memchr(b' ', line).and_then(|at| line.split_at_checked(at)) {
            Some(halves) => halves,
            None => (line, &[][..]),
        };
        if let Some(fault) = line.iter().find_map(|byte| control(*byte)) {
            return Err(fault);
        }
        let argument = || str::from_utf8(rest).map(|text| text.trim_matches(' ')).map_err(|_| Fault::NotUtf8);
        // RFC 5321 §4.1.1, RFC 3207 §4: DATA, RSET, QUIT and STARTTLS take no argument.
        let alone = |command| if rest.is_empty() { Ok(command) } else { Err(Fault::Syntax) };
        // RFC 5321 §2.4: verbs in any case.
        match verb.to_ascii_uppercase().as_slice() {
            b"EHLO" => hello(argument()?).map(Self::Ehlo),
            b"HELO" => hello(argument()?).map(Self::Helo),
            b"LHLO" => Ok(Self::Lhlo),
            b"MAIL" => mail(argument()?).map(|mail| Self::Mail(Box::new(mail))),
            b"RCPT" => rcpt(argument()?).map(|rcpt| Self::Rcpt(Box::new(rcpt))),
            b"DATA" => alone(Self::Data),
            b"BDAT" => bdat(argument()?),
            b"RSET" => alone(Self::Rset),
            b"NOOP" => argument().map(|_| Self::Noop),
            b"QUIT" => alone(Self::Quit),
            b"STARTTLS" => alone(Self::StartTls),
            b"AUTH" => auth(argument()?),
            // RFC 5321 §4.1.1.6: VRFY names somebody; without that it is 501, as any command without its argument.
            b"VRFY" if rest.is_empty() => Err(Fault::Syntax),
            b"VRFY" => argument().map(|_| Self::Vrfy),
            b"EXPN" => argument().map(|_| Self::Expn),
            b"HELP" => argument().map(|_| Self::Help),
            b"ETRN" | b"TURN" | b"ATRN" | b"SEND" | b"SOML" | b"SAML" => Ok(Self::Off),
            _ => Err(Fault::UnknownCommand),
        }
    }
}

fn without_trailing_blanks(mut line: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = line {
        line = rest;
    }
    line
}

fn control(byte: u8) -> Option<Fault> {
    match byte {
        b'\r' => Some(Fault::BareCr),
        b'\n' => Some(Fault::BareLf),
        0 => Some(Fault::Nul),
        // RFC 5321 §4.1.2: no argument of any command may hold a control character, quoted or not.
        byte if byte.is_ascii_control() => Some(Fault::Syntax),
        _ => None,
    }
}

fn hello(argument: &str) -> Result<HeloName, Fault> {
    // RFC 5321 §4.1.1.1: the argument is not optional.
    if argument.is_empty() { Err(Fault::Syntax) } else { HeloName::parse(argument) }
}

/// What stands behind `FROM:` or `TO:`.
fn behind<'a>(keyword: &str, argument: &'a str) -> Result<&'a str, Fault> {
    match argument.split_at_checked(keyword.len()) {
        // RFC 5321 §3.3 DEPARTS: a space behind the colon is accepted; many real clients send one, and it cannot be misread.
        Some((head, path)) if head.eq_ignore_ascii_case(keyword) => Ok(path.trim_start_matches(' ')),
        _ => Err(Fault::Syntax),
    }
}

fn mail(argument: &str) -> Result<Mail, Fault> {
    let path = Bracketed::take(behind("FROM:", argument)?)?;
    let params = MailParams::parse(path.rest)?;
    // RFC 6531 §3.3: UTF-8 in the address only together with the SMTPUTF8 parameter.
    if !params.smtputf8 && !path.inner.is_ascii() {
        return Err(Fault::NotUtf8);
    }
    let MailParams { size, body, smtputf8, require_tls, ret, envid, auth_given } = params;
    Ok(Mail { from: path.reverse()?, size, body, smtputf8, require_tls, ret, envid, auth_given })
}

fn rcpt(argument: &str) -> Result<Rcpt, Fault> {
    // RFC 6531 §3.3: whether UTF-8 may stand here depends on the MAIL before, so the session decides.
    let path = Bracketed::take(behind("TO:", argument)?)?;
    Ok(Rcpt { to: path.forward()?, dsn: params::parse_rcpt(path.rest)? })
}

fn bdat<'a>(argument: &str) -> Result<Command<'a>, Fault> {
    // RFC 3030 §2: a decimal size and perhaps LAST. A size that does not fit is a fault: cut short, the chunk would become commands.
    let mut words = argument.split(' ').filter(|word| !word.is_empty());
    let size = words.next().and_then(|word| params::decimal(word).ok()).ok_or(Fault::Syntax)?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return Err(Fault::Syntax),
    };
    if words.next().is_some() { Err(Fault::Syntax) } else { Ok(Command::Bdat { size, last }) }
}

fn auth(argument: &str) -> Result<Command<'_>, Fault> {
    // RFC 4954 §4: a mechanism and perhaps an initial response. Whether that is base64 is found where it is decoded.
    let mut words = argument.split(' ').filter(|word| !word.is_empty());
    let name = words.next().ok_or(Fault::Syntax)?;
    let initial = words.next().map(Cow::Borrowed);
    if words.next().is_some() {
        return Err(Fault::Syntax);
    }
    Ok(Command::Auth { mechanism: Mechanism::by_name(name), initial })
}

impl fmt::Display for Mail {
    /// With its verb, as it is sent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MAIL FROM:{}", self.from)?;
        if let Some(size) = self.size {
            write!(f, " SIZE={size}")?;
        }
        match self.body {
            Some(BodyKind::SevenBit) => f.write_str(" BODY=7BIT")?,
            Some(BodyKind::EightBitMime) => f.write_str(" BODY=8BITMIME")?,
            None => {}
        }
        if self.smtputf8 {
            f.write_str(" SMTPUTF8")?;
        }
        if self.require_tls {
            f.write_str(" REQUIRETLS")?;
        }
        match self.ret {
            Some(Return::Full) => f.write_str(" RET=FULL")?,
            Some(Return::Headers) => f.write_str(" RET=HDRS")?,
            None => {}
        }
        if let Some(envid) = &self.envid {
            write!(f, " ENVID={envid}")?;
        }
        // RFC 4954 §5: whom we do not trust is passed on as nobody.
        if self.auth_given { f.write_str(" AUTH=<>") } else { Ok(()) }
    }
}

impl fmt::Display for Rcpt {
    /// With its verb, as it is sent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RCPT TO:{}", self.to)?;
        if let Some(notify) = self.dsn.notify {
            write!(f, " NOTIFY={}", params::print_notify(notify))?;
        }
        match &self.dsn.original {
            Some(original) => write!(f, " ORCPT={original}"),
            None => Ok(()),
        }
    }
}

/// Stands for a mechanism we do not know, whose name was not kept.
const UNKNOWN_MECHANISM: &str = "X-UNKNOWN";

impl fmt::Display for Command<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ehlo(name) => write!(f, "EHLO {name}"),
            Self::Helo(name) => write!(f, "HELO {name}"),
            Self::Lhlo => f.write_str("LHLO"),
            Self::Mail(mail) => fmt::Display::fmt(mail, f),
            Self::Rcpt(rcpt) => fmt::Display::fmt(rcpt, f),
            Self::Data => f.write_str("DATA"),
            Self::Bdat { size, last: false } => write!(f, "BDAT {size}"),
            Self::Bdat { size, last: true } => write!(f, "BDAT {size} LAST"),
            Self::Rset => f.write_str("RSET"),
            Self::Noop => f.write_str("NOOP"),
            Self::Quit => f.write_str("QUIT"),
            Self::StartTls => f.write_str("STARTTLS"),
            Self::Auth { mechanism, initial } => {
                write!(f, "AUTH {}", mechanism.map_or(UNKNOWN_MECHANISM, Mechanism::as_str))?;
                initial.as_ref().map_or(Ok(()), |initial| write!(f, " {initial}"))
            }
            Self::Vrfy => f.write_str("VRFY"),
            Self::Expn => f.write_str("EXPN"),
            Self::Help => f.write_str("HELP"),
            Self::Off => f.write_str("ETRN"),
        }
    }
}

impl fmt::Debug for Command<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auth { mechanism, initial: Some(_) } => {
                write!(f, "AUTH {} (..)", mechanism.map_or(UNKNOWN_MECHANISM, Mechanism::as_str))
            }
            command => fmt::Display::fmt(command, f),
        }
    }
}

#[cfg(test)]
mod tests;
