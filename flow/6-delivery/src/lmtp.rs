//! Head: how the address of an LMTP server (RFC 2033) is written. What is said there differs from SMTP in two places of
//! [`dialogue`](crate::dialogue): LHLO, and one reply per recipient after the body.

use std::path::PathBuf;

use crate::next_hop::{NextHop, Place, Protocol, TlsPolicy};

/// `unix:/run/dovecot/lmtp`, or `host:port`, whose host the caller looks up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A socket in the file system.
    Unix(PathBuf),
    /// Over TCP.
    Tcp {
        /// A name or an address; IPv6 without its brackets.
        host: Box<str>,
        /// RFC 2033 §5: never 25.
        port: u16,
    },
}

impl Address {
    /// Reads the configuration's form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            return path.starts_with('/').then(|| Self::Unix(path.into()));
        }
        let (host, port) = text.rsplit_once(':')?;
        let host = host.strip_prefix('[').map_or(Some(host), |rest| rest.strip_suffix(']'))?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        (!host.is_empty()).then(|| Self::Tcp { host: host.into(), port })
    }
}

impl NextHop {
    /// An LMTP server behind a socket in the file system; nobody is on the way, so there is no TLS.
    #[must_use]
    pub fn lmtp_socket(path: PathBuf) -> Self {
        Self { place: Place::Unix(path), protocol: Protocol::Lmtp, tls: TlsPolicy::None, credentials: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_sockets_or_host_and_port() {
        let tcp = |host: &str, port| Some(Address::Tcp { host: host.into(), port });
        assert_eq!(Address::parse("unix:/run/lmtp"), Some(Address::Unix("/run/lmtp".into())));
        assert_eq!(Address::parse("127.0.0.1:24"), tcp("127.0.0.1", 24));
        assert_eq!(Address::parse("[::1]:24"), tcp("::1", 24));
        for bad in ["unix:lmtp", "unix:", "host", "host:", ":24", "host:0", "host:99999", "[::1:24"] {
            assert_eq!(Address::parse(bad), None, "{bad}");
        }
    }
}
