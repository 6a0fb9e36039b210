//! What can be asked and what can be known. The session asks a [`Question`] and waits for its [`Answer`]; it does not know who
//! answers.

use std::net::IpAddr;
use std::sync::Arc;

use crate::address::{Mailbox, ReversePath};
use crate::client::ListenerKind;
use crate::domain::HeloName;
use crate::envelope::{Admission, UnixMillis};
use crate::proof::Authenticated;
use crate::reply::Reply;
use crate::secret::Secret;
use crate::session_id::SessionId;
use crate::trouble::Outage;

/// Something we tried to find out. "Could not find out" is an answer of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact<T> {
    /// We know.
    Known(T),
    /// We could not find out.
    Unavailable(Outage),
}

/// What is known of a TLS session once its handshake is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1.3`.
    pub version: &'static str,
    /// The suite's IANA name, such as `TLS13_AES_256_GCM_SHA384`.
    pub cipher: Box<str>,
    /// 32 bytes of RFC 9266 `tls-exporter`, for SCRAM-SHA-256-PLUS. Absent under TLS 1.2, where they would not be safe without
    /// the extended master secret.
    pub exporter: Option<Box<[u8; 32]>>,
    /// What the client proved to hold, where it was asked for a certificate and showed one that holds.
    pub certificate: Option<Box<ClientCertificate>>,
}

/// A client's certificate, verified by the handshake: the chain leads to an authority of ours, and the client has the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// SHA-256 of the certificate.
    pub fingerprint: [u8; 32],
    /// The addresses it is for (RFC 5280 §4.2.1.6, rfc822Name), as far as they are such as we take.
    pub addresses: Vec<Mailbox>,
    /// Its end (RFC 5280 §4.1.2.5, notAfter).
    pub until: UnixMillis,
    /// How often what certificates are verified by had changed when the connection began. Whoever keeps the count fills it in.
    pub epoch: u64,
}

/// What is fixed for a connection from its first moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFacts {
    /// The client's address; behind a listed proxy, what the proxy said.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// Which kind of listener took it.
    pub listener: ListenerKind,
}

/// SASL mechanisms we know (RFC 4954 §4, RFC 4616, RFC 7677, RFC 7628, RFC 4422 appendix A).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// The old one without an RFC, still asked for by many programs.
    Login,
    /// RFC 7677.
    ScramSha256,
    /// RFC 7677 with channel binding.
    ScramSha256Plus,
    /// RFC 7628: a token of an issuer that is trusted.
    OauthBearer,
    /// The same in the form that came before the RFC, which some programs still speak.
    Xoauth2,
    /// RFC 4422 appendix A: the certificate of the TLS session says who it is.
    External,
}

impl Mechanism {
    /// The IANA name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::OauthBearer => "OAUTHBEARER",
            Self::Xoauth2 => "XOAUTH2",
            Self::External => "EXTERNAL",
        }
    }

    /// By its IANA name, in any case.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        [Self::Plain, Self::Login, Self::ScramSha256, Self::ScramSha256Plus, Self::OauthBearer, Self::Xoauth2, Self::External]
            .into_iter()
            .find(|m| m.as_str().eq_ignore_ascii_case(name))
    }
}

/// What a session wants to know.
#[derive(Clone, Debug)]
pub enum Question {
    /// May this client be greeted?
    Connect,
    /// May it be called this?
    Hello(HeloName),
    /// AUTH: the first step. `initial` is the decoded initial response, `None` when there was none (RFC 4954 §4).
    AuthStart {
        /// Which mechanism.
        mechanism: Mechanism,
        /// Decoded from base64.
        initial: Option<Secret>,
        /// `tls-exporter` of the connection, for channel binding.
        exporter: Option<Box<[u8; 32]>>,
        /// The client's certificate, for EXTERNAL.
        certificate: Option<Box<ClientCertificate>>,
    },
    /// AUTH: the client's answer to our challenge, decoded from base64.
    AuthNext(Secret),
    /// AUTH: the client gave up with `*`.
    AuthAbort,
    /// May it send with this reverse path?
    Sender {
        /// MAIL FROM.
        from: ReversePath,
        /// Who it proved to be.
        who: Option<Authenticated>,
        /// SIZE= (RFC 1870 §6), where it was given.
        size: Option<u64>,
    },
    /// May it send to this mailbox? `postmaster` without a domain has been given our host name already.
    Recipient {
        /// RCPT TO.
        to: Mailbox,
        /// MAIL FROM.
        from: ReversePath,
        /// Who it proved to be.
        who: Option<Authenticated>,
    },
    /// The body is complete: may the message be kept? The answerer has seen the body itself.
    Message,
}

/// What comes back.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Go on.
    Pass,
    /// Go on; the recipient comes with its proof.
    Admitted(Admission),
    /// Say this, go on with the session.
    Refuse(Reply),
    /// Say this and close.
    Hangup(Reply),
    /// 334: the challenge, not yet in base64.
    Challenge(Vec<u8>),
    /// Reply 235. What a mechanism says last, as SCRAM does, came as one more challenge before, which the client answered with an empty line
    /// (RFC 4954 §4).
    Authenticated {
        /// The proof.
        who: Authenticated,
    },
    /// The credentials are wrong. With it, what the client may ask by.
    Denied(Option<SessionId>),
}

/// Account names are shared between sessions, spool and scheduler.
pub type AccountName = Arc<str>;
