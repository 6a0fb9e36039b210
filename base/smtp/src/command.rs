//! Commands of the server side (RFC 5321 §4.1.1 and its extensions), parsed and printed.

use std::borrow::Cow;

use postern_mail::envelope::{BodyKind, DsnRequest, Return};
use postern_mail::fact::Mechanism;
use postern_mail::{ForwardPath, HeloName, ReversePath};

/// MAIL FROM with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// The reverse path.
    pub from: ReversePath,
    /// SIZE= (RFC 1870 §4).
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

/// One command line.
#[derive(Clone, Debug, PartialEq, Eq)]
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
