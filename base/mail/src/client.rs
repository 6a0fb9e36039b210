//! Where a client comes from, and the keys it is counted by.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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
}
