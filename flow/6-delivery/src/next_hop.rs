//! Where an attempt goes, as plain values: the caller has asked DNS and read the configuration before it comes here.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use postern_config::TlsMode;
use postern_mail::envelope::MessageId;
use postern_mail::{Envelope, Recipient, Secret, Status, TlsBasis, TlsFailure, TlsaSet};

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
    /// What the domain asks of it.
    pub tls: HostTls,
}

/// What a domain asks of one of its hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostTls {
    /// Where it says so.
    pub basis: TlsBasis,
    /// What.
    pub rule: HostRule,
    /// Whether it is one of the domain's.
    pub named: Named,
}

/// What says that a host is one of the domain's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// It is configured, validated or in the domain's policy.
    Surely,
    /// Nothing does but whoever answered in DNS.
    ByNobody,
    /// The same, but what might say it could not be asked just now.
    Unknown,
}

impl Named {
    /// By what DNS has validated, or not.
    #[must_use]
    pub const fn by_dns(secure: bool) -> Self {
        if secure { Self::Surely } else { Self::ByNobody }
    }
}

/// See [`HostTls`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostRule {
    /// Nothing: the next hop's policy holds.
    Hop,
    /// This, or what the next hop's policy asks for where that is more.
    Demand(TlsPolicy),
    /// It must not be spoken to now: with this status, for this reason.
    Closed(Status, TlsFailure, Arc<str>),
    /// It should not be, but the domain is only trying its policy out.
    Doubted(TlsFailure, Arc<str>),
}

impl HostTls {
    /// The domain says nothing, and the host is configured.
    pub const NOTHING: Self = Self { basis: TlsBasis::Nothing, rule: HostRule::Hop, named: Named::Surely };
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
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub enum TlsPolicy {
    /// Never.
    None,
    /// Where it is offered, with any certificate; in clear where it is not offered or fails (RFC 7435).
    #[default]
    Opportunistic,
    /// The same, and it is noted whether the certificate would pass for [`TlsPolicy::Verify`].
    Observe,
    /// Always, with any certificate.
    Require,
    /// Always, with a certificate for the host's name from a trusted authority.
    Verify,
    /// Always, with a certificate that these records name.
    Dane(Arc<TlsaSet>),
}

impl TlsPolicy {
    /// Of two, the one that asks for more.
    #[must_use]
    pub fn or_more(self, other: Self) -> Self {
        let rank = |policy: &Self| match policy {
            Self::None => 0,
            Self::Opportunistic => 1,
            Self::Observe => 2,
            Self::Require => 3,
            Self::Verify => 4,
            Self::Dane(_) => 5,
        };
        if rank(&other) > rank(&self) { other } else { self }
    }
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
        let host = HostAddresses {
            name: name.into(),
            addresses: vec![address.ip()],
            port: address.port(),
            preference: 0,
            tls: HostTls::NOTHING,
        };
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
