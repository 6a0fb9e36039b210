//! Where a client comes from, and the keys it is counted by.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network an address is counted with: IPv4 /32 and /24, IPv6 /64 and /48. One host owns a whole /64, so an attacker who rotates
/// through it is one attacker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subnet {
    address: IpAddr,
    prefix: u8,
}

impl Subnet {
    fn cut(address: IpAddr, v4_prefix: u8, v6_prefix: u8) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(v4_prefix)).unwrap_or(0);
                Self { address: Ipv4Addr::from(u32::from(v4) & mask).into(), prefix: v4_prefix }
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(v6_prefix)).unwrap_or(0);
                Self { address: Ipv6Addr::from(u128::from(v6) & mask).into(), prefix: v6_prefix }
            }
        }
    }

    /// The network of an address with a prefix of this length; `None` where an address of its family has not so many bits.
    #[must_use]
    pub fn around(address: IpAddr, prefix: u8) -> Option<Self> {
        let address = address.to_canonical();
        let bits = if address.is_ipv4() { 32 } else { 128 };
        (prefix <= bits).then(|| Self::cut(address, prefix, prefix))
    }

    /// Its first address.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// The length of its prefix.
    #[must_use]
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// True for an address in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        Self::around(address, self.prefix).as_ref() == Some(self)
    }

    /// True when all of `other` is in it.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.address)
    }

    /// True when an address is in both.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// The network it is counted with: of a /32 its /24, of a /64 its /48.
    #[must_use]
    pub fn widened(&self) -> Self {
        Self::network(self.address)
    }

    /// What counts as one host: /32 or /64.
    #[must_use]
    pub fn host(address: IpAddr) -> Self {
        Self::cut(address, 32, 64)
    }

    /// What counts as one network: /24 or /48.
    #[must_use]
    pub fn network(address: IpAddr) -> Self {
        Self::cut(address, 24, 48)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Why a text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotANetwork {
    /// Neither an address nor an address with a prefix.
    Unreadable,
    /// Bits are set behind the prefix, so that either of two networks may be meant.
    BitsBehindPrefix(Subnet),
}

impl fmt::Display for NotANetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => f.write_str("an address is needed, or an address, a slash and the length of the prefix"),
            Self::BitsBehindPrefix(network) => write!(f, "there are bits behind the prefix; the network is {network}"),
        }
    }
}

impl FromStr for Subnet {
    type Err = NotANetwork;

    /// An IPv6 address without a prefix is its /64, since that is what one host has.
    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| NotANetwork::Unreadable)?;
        let Some(prefix) = prefix else { return Ok(Self::host(address)) };
        let prefix = prefix.parse().map_err(|_| NotANetwork::Unreadable)?;
        let network = Self::around(address, prefix).ok_or(NotANetwork::Unreadable)?;
        if network.address == address.to_canonical() { Ok(network) } else { Err(NotANetwork::BitsBehindPrefix(network)) }
    }
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListenerKind {
    /// Port 25: mail from other servers. Never AUTH.
    Mx,
    /// Port 587: submission with STARTTLS (RFC 6409).
    Submission,
    /// Port 465: submission with implicit TLS (RFC 8314 §3.3).
    Submissions,
}

impl ListenerKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Mx, Self::Submission, Self::Submissions];

    /// Reads one.
    ///
    /// # Errors
    /// In words.
    pub fn parse(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == name);
        known.ok_or_else(|| format!("{name:?} is no kind of listener: mx, submission, submissions"))
    }

    /// As in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mx => "mx",
            Self::Submission => "submission",
            Self::Submissions => "submissions",
        }
    }

    /// True where mail comes from accounts, not from other servers.
    #[must_use]
    pub const fn is_submission(self) -> bool {
        !matches!(self, Self::Mx)
    }
}

impl fmt::Display for ListenerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_in_a_64_are_one_host() {
        let a: IpAddr = "2001:db8:1:2::1".parse().unwrap();
        let b: IpAddr = "2001:db8:1:2:ffff::9".parse().unwrap();
        let c: IpAddr = "2001:db8:1:3::1".parse().unwrap();
        assert_eq!(Subnet::host(a), Subnet::host(b));
        assert_ne!(Subnet::host(a), Subnet::host(c));
        assert_eq!(Subnet::network(a), Subnet::network(c));
    }

    #[test]
    fn a_mapped_address_counts_as_ipv4() {
        let mapped: IpAddr = "::ffff:192.0.2.9".parse().unwrap();
        assert_eq!(Subnet::network(mapped).to_string(), "192.0.2.0/24");
        assert_eq!(Subnet::host(mapped).to_string(), "192.0.2.9/32");
    }

    #[test]
    fn a_network_reads_as_it_prints_and_holds_its_addresses() {
        for text in ["192.0.2.0/24", "192.0.2.9/32", "0.0.0.0/0", "2001:db8::/32", "::/0"] {
            assert_eq!(text.parse::<Subnet>().unwrap().to_string(), text);
        }
        assert_eq!("2001:db8::9".parse::<Subnet>().unwrap().to_string(), "2001:db8::/64");
        let network: Subnet = "192.0.2.0/25".parse().unwrap();
        assert!(network.contains("192.0.2.127".parse().unwrap()));
        assert!(!network.contains("192.0.2.128".parse().unwrap()));
        assert!(!network.contains("2001:db8::1".parse().unwrap()));
        assert!("192.0.2.0/24".parse::<Subnet>().unwrap().covers(&network));
        assert!(network.meets(&"192.0.2.0/24".parse().unwrap()));
    }

    #[test]
    fn what_may_mean_two_networks_is_none() {
        assert!(matches!("192.0.2.9/24".parse::<Subnet>(), Err(NotANetwork::BitsBehindPrefix(_))));
        for text in ["", "x", "192.0.2.0/33", "192.0.2.0/", "192.0.2.0/-1", "2001:db8::/129", "192.0.2/24"] {
            assert_eq!(text.parse::<Subnet>(), Err(NotANetwork::Unreadable), "{text}");
        }
    }
}
