//! Where an attempt goes, as plain values: the caller has asked DNS and read the configuration before it comes here.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use postern_config::TlsMode;
use postern_mail::envelope::MessageId;
use postern_mail::{Envelope, Recipient, Secret};

use crate::body::BodySource;

/// One host of a destination, with all its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostAddresses {
    /// Its name, or its address as text: for TLS (SNI and, under [`TlsPolicy::Verify`], the name that is checked) and for the log.
    pub name: Arc<str>,
    /// In the order DNS gave them; we put families in turn.
    pub addresses: Vec<IpAddr>,
    /// TCP port.
    pub port: u16,
    /// MX preference (RFC 5321 §5.1), lower is better; equal for all hosts of a route.
    pub preference: u16,
}

/// Where a next hop is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Hosts by preference; equal ones shuffled by the caller (RFC 5321 §5.1).
    Hosts(Vec<HostAddresses>),
    /// A socket in the file system.
    Unix(PathBuf),
    /// The domain says that it takes no mail (RFC 7505 §3).
    NullMx,
}

/// Which protocol is spoken there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Protocol {
    /// RFC 5321.
    #[default]
    Smtp,
    /// RFC 2033: a mailbox store, with one reply per recipient after data.
    Lmtp,
}

/// How much TLS a next hop must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum TlsPolicy {
    /// Never.
    None,
    /// Where it is offered, with any certificate; in clear where it is not offered or fails (RFC 7435).
    #[default]
    Opportunistic,
    /// Always, with any certificate.
    Require,
    /// Always, with a certificate for the host's name from a trusted authority.
    Verify,
}

impl From<TlsMode> for TlsPolicy {
    fn from(mode: TlsMode) -> Self {
        match mode {
            TlsMode::None => Self::None,
            TlsMode::Opportunistic => Self::Opportunistic,
            TlsMode::Require => Self::Require,
            TlsMode::Verify => Self::Verify,
        }
    }
}

/// What we prove ourselves with to a relay host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Account there.
    pub user: Box<str>,
    /// Its password.
    pub password: Secret,
}

/// A resolved destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// Where.
    pub place: Place,
    /// What is spoken there.
    pub protocol: Protocol,
    /// How safe the way must be.
    pub tls: TlsPolicy,
    /// For a relay host that asks for AUTH. Never sent in clear, so with them every policy is at least
    /// [`TlsPolicy::Require`].
    pub credentials: Option<Arc<Credentials>>,
}

impl NextHop {
    /// A single known address, speaking SMTP with opportunistic TLS.
    #[must_use]
    pub fn at(name: &str, address: SocketAddr) -> Self {
        let host = HostAddresses { name: name.into(), addresses: vec![address.ip()], port: address.port(), preference: 0 };
        Self { place: Place::Hosts(vec![host]), protocol: Protocol::Smtp, tls: TlsPolicy::Opportunistic, credentials: None }
    }
}

/// One message for one next hop.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    /// Which.
    pub id: MessageId,
    /// Everything but its content. Its recipient list is not looked at.
    pub envelope: &'a Envelope,
    /// Those of its recipients that go to this next hop.
    pub recipients: &'a [Recipient],
    /// Its content.
    pub body: &'a dyn BodySource,
}
