//! Which addresses are tried, in which order, from which address of ours, and the connection itself. Promise: we never connect to a
//! listener of our own.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use postern_mail::{Outcome, Scope, Status};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::time::timeout;

use crate::classify::{Failure, evidence};
use crate::next_hop::{HostAddresses, HostRule, HostTls, NextHop, Place};
use crate::settings::Settings;

/// One address of one host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Endpoint {
    /// Over TCP.
    Tcp {
        /// Of the host.
        name: Arc<str>,
        /// One of its addresses.
        address: SocketAddr,
    },
    /// A socket in the file system.
    Unix(PathBuf),
}

impl Endpoint {
    /// Of its host.
    pub(crate) fn name(&self) -> Arc<str> {
        match self {
            Self::Tcp { name, .. } => Arc::clone(name),
            Self::Unix(_) => "".into(),
        }
    }

    /// Where it is, on a network.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp { address, .. } => Some(address.ip()),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { name, address } => write!(f, "{name} [{}]:{}", address.ip(), address.port()),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The addresses to try, best first, with what the domain asks of their hosts, or why there are none.
pub(crate) fn endpoints(hop: &NextHop, settings: &Settings) -> Result<Vec<(Endpoint, HostTls)>, Outcome> {
    let hosts = match &hop.place {
        Place::Unix(path) => return Ok(vec![(Endpoint::Unix(path.clone()), HostTls::NOTHING)]),
        Place::NullMx => {
            // RFC 7505 §3, §4.1: no attempt is made, and the status is 5.1.10.
            let evidence = evidence("", "the domain takes no mail (null MX)");
            return Err(Outcome::Bounced { scope: Scope::Destination, status: Status::new(5, 1, 10), evidence });
        }
        Place::Hosts(hosts) => hosts,
    };
    // RFC 5321 §5.1: a host that finds itself in the list tries only hosts that are more preferred than itself.
    let own =
        hosts.iter().filter(|host| sockets(host).any(|address| is_own(address, settings))).map(|host| host.preference).min();
    let usable = hosts.iter().filter(|host| own.is_none_or(|own| host.preference < own));
    let endpoints: Vec<(Endpoint, HostTls)> = usable
        .flat_map(|host| {
            // One that is not spoken to takes nobody's place away.
            let most = if matches!(host.tls.rule, HostRule::Closed(..)) { 1 } else { usize::MAX };
            sockets(host).take(most).map(|address| (Endpoint::Tcp { name: Arc::clone(&host.name), address }, host.tls.clone()))
        })
        .take(settings.addresses_max)
        .collect();
    if !endpoints.is_empty() {
        return Ok(endpoints);
    }
    Err(if own.is_some() {
        // RFC 3463 §3.5: 4.6 routing loop.
        let evidence = evidence("", "the best host for this destination is this server itself");
        Outcome::Bounced { scope: Scope::Destination, status: Status::new(5, 4, 6), evidence }
    } else {
        // RFC 3463 §3.5: 4.4 unable to route. DNS may be mended, so it is tried again.
        let evidence = evidence("", "no usable address for any host of this destination");
        Outcome::Deferred { scope: Scope::Destination, status: Status::new(4, 4, 4), evidence }
    })
}

/// The addresses of a host, families in turn, IPv6 first: what RFC 8305 §4 asks for, without the racing. Addresses that name no single
/// host are left out; a connect to `0.0.0.0` would reach ourselves.
fn sockets(host: &HostAddresses) -> impl Iterator<Item = SocketAddr> {
    let usable = |address: &IpAddr| !(address.is_unspecified() || address.is_multicast());
    let all = || host.addresses.iter().map(IpAddr::to_canonical).filter(usable);
    let (v6, v4): (Vec<IpAddr>, Vec<IpAddr>) = all().partition(IpAddr::is_ipv6);
    let turns = v6.len().max(v4.len());
    let in_turn: Vec<IpAddr> = (0..turns).flat_map(|turn| [v6.get(turn).copied(), v4.get(turn).copied()]).flatten().collect();
    let port = host.port;
    in_turn.into_iter().map(move |address| SocketAddr::new(address, port))
}

fn is_own(address: SocketAddr, settings: &Settings) -> bool {
    settings.own_addresses.iter().filter(|own| own.port() == address.port()).any(|own| {
        let own = own.ip().to_canonical();
        own == address.ip() || (own.is_unspecified() && own.is_ipv4() == address.is_ipv4() && is_this_machine(address))
    })
}

/// True when an address is one of this machine's: then it is also the one we would speak to it from. Connecting a datagram socket asks the
/// kernel's routes and sends nothing.
fn is_this_machine(address: SocketAddr) -> bool {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let from = || {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(address)?;
        socket.local_addr()
    };
    address.ip().is_loopback() || from().is_ok_and(|from: SocketAddr| from.ip() == address.ip())
}

/// A connection in clear.
pub(crate) enum Dialed {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Connects within `limit`.
pub(crate) async fn connect(endpoint: &Endpoint, egress: &[IpAddr], limit: Duration) -> Result<Dialed, Failure> {
    let dial = async {
        match endpoint {
            Endpoint::Tcp { address, .. } => dial_tcp(*address, egress).await.map(Dialed::Tcp),
            Endpoint::Unix(path) => UnixStream::connect(path).await.map(Dialed::Unix),
        }
    };
    match timeout(limit, dial).await {
        Err(_) => Err(Failure::TimedOut(limit)),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Err(Failure::Refused),
        Ok(Err(error)) => Err(Failure::Unreachable(error.to_string())),
        Ok(Ok(dialed)) => Ok(dialed),
    }
}

async fn dial_tcp(address: SocketAddr, egress: &[IpAddr]) -> io::Result<TcpStream> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    if let Some(source) = egress.iter().find(|source| source.is_ipv6() == address.is_ipv6()) {
        socket.bind(SocketAddr::new(*source, 0))?;
    }
    let stream = socket.connect(address).await?;
    // We write whole requests and then wait; holding a last short segment back would cost a round trip each.
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::next_hop::{Protocol, TlsPolicy};

    fn host(name: &str, preference: u16, addresses: &[&str]) -> HostAddresses {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        HostAddresses { name: name.into(), addresses, port: 25, preference, tls: HostTls::NOTHING }
    }

    fn order(hosts: Vec<HostAddresses>, own: &[&str]) -> Result<Vec<String>, Outcome> {
        let place = Place::Hosts(hosts);
        let hop = NextHop { place, protocol: Protocol::Smtp, tls: TlsPolicy::None, credentials: None };
        let own_addresses = own.iter().map(|own| own.parse().unwrap()).collect();
        let settings = Settings::new(&postern_config::Outbound::default(), "us.example", own_addresses);
        endpoints(&hop, &settings).map(|found| found.iter().map(|(endpoint, _)| endpoint.to_string()).collect())
    }

    #[test]
    fn families_take_turns_within_a_host_and_hosts_keep_their_order() {
        let hosts = vec![
            host("a", 10, &["192.0.2.1", "192.0.2.2", "2001:db8::1", "0.0.0.0", "::ffff:192.0.2.3"]),
            host("b", 20, &["192.0.2.9"]),
        ];
        let expected = ["a [2001:db8::1]:25", "a [192.0.2.1]:25", "a [192.0.2.2]:25", "a [192.0.2.3]:25", "b [192.0.2.9]:25"]
            .map(String::from);
        assert_eq!(order(hosts, &[]).unwrap(), expected);
    }

    #[test]
    fn hosts_not_more_preferred_than_ourselves_are_left_out() {
        let hosts = || vec![host("a", 10, &["192.0.2.1"]), host("us", 20, &["192.0.2.2"]), host("c", 20, &["192.0.2.3"])];
        assert_eq!(order(hosts(), &["192.0.2.2:25"]).unwrap(), ["a [192.0.2.1]:25"]);
        assert_eq!(order(hosts(), &["192.0.2.2:2525"]).unwrap().len(), 3, "another port is another server");
    }

    #[test]
    fn a_destination_that_is_ourselves_is_a_loop_and_one_without_addresses_waits() {
        let looped = order(vec![host("us", 0, &["192.0.2.2"])], &["192.0.2.2:25"]).unwrap_err();
        let expected = Status::new(5, 4, 6);
        assert!(matches!(looped, Outcome::Bounced { scope: Scope::Destination, status, .. } if status == expected));
        assert!(matches!(order(vec![host("a", 0, &["0.0.0.0"])], &[]), Err(Outcome::Deferred { .. })));
    }

    #[test]
    fn a_listener_on_every_address_is_ourselves_at_each_address_of_this_machine() {
        let loops = |address: &str, own: &str| order(vec![host("us", 0, &[address])], &[own]).is_err();
        assert!(loops("127.0.0.1", "0.0.0.0:25") && loops("127.0.0.9", "0.0.0.0:25"));
        assert!(!loops("192.0.2.1", "0.0.0.0:25"), "another machine");
        assert!(!loops("127.0.0.1", "0.0.0.0:2525"), "another port");
        assert!(!loops("127.0.0.1", "[::]:25"), "a listener of the other family");
        // An address of this machine that is not loopback, where there is one.
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        if socket.connect("192.0.2.1:25").is_ok() {
            assert!(loops(&socket.local_addr().unwrap().ip().to_string(), "0.0.0.0:25"));
        }
    }

    #[tokio::test]
    async fn the_egress_address_of_the_right_family_is_where_we_come_from() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::Tcp { name: "a".into(), address: listener.local_addr().unwrap() };
        let egress = ["::1".parse().unwrap(), "127.0.0.3".parse().unwrap()];
        let dialed = connect(&endpoint, &egress, Duration::from_secs(15)).await;
        assert!(matches!(dialed, Ok(Dialed::Tcp(_))));
        let (_, from) = listener.accept().await.unwrap();
        assert_eq!(from.ip(), egress[1]);
    }
}
