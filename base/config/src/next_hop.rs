//! Words for a host that mail is handed to: its name, its address as a socket, how TLS is used with it, what we log in with.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use postern_mail::{Domain, Secret};

use crate::read::{Fields, Node, Report};
use crate::table::{Kind, section};
use crate::value::{Secrets, Value, choice, text_values};

/// A host, by name or address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// A name: its A and AAAA records are asked for, no MX.
    Name(Domain),
    /// An address.
    Address(IpAddr),
}

impl Target {
    /// Parses a name or an address; IPv6 with or without brackets.
    ///
    /// # Errors
    /// In words, when it is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse() {
            return Ok(Self::Address(address));
        }
        // A name whose last label is all digits is a mistyped address (RFC 1123 §2.1).
        match Domain::parse(text) {
            Ok(name) if !text.rsplit('.').next().is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit())) => {
                Ok(Self::Name(name))
            }
            _ => Err("neither a host name nor an address".to_owned()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// Where an LMTP server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LmtpAddress {
    /// `host:port`.
    Tcp {
        /// Which host.
        host: Target,
        /// TCP port.
        port: u16,
    },
    /// `unix:/path`.
    Unix(PathBuf),
}

impl LmtpAddress {
    /// Parses `host:port` or `unix:/path`.
    ///
    /// # Errors
    /// In words, when it is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') && !path.contains('\0') {
                Ok(Self::Unix(PathBuf::from(path)))
            } else {
                Err("the path behind unix: must be absolute".to_owned())
            };
        }
        let (host, port) = text.rsplit_once(':').ok_or("host:port or unix:/path is needed")?;
        let bracketed = host.starts_with('[') && host.ends_with(']');
        if host.contains(':') && !bracketed {
            return Err("an IPv6 address stands in brackets before its port".to_owned());
        }
        match port.parse::<u16>() {
            Ok(port) if port > 0 => Ok(Self::Tcp { host: Target::parse(host)?, port }),
            _ => Err("the port must be a number from 1 to 65535".to_owned()),
        }
    }
}

impl fmt::Display for LmtpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host: Target::Address(IpAddr::V6(address)), port } => write!(f, "[{address}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

text_values! {
    Target, "host", Target::parse, ToString::to_string;
    LmtpAddress, "LMTP address", LmtpAddress::parse, ToString::to_string;
}

choice! {
    /// How TLS is used towards a host.
    pub enum TlsMode {
        /// Never.
        None = "none",
        /// Where it is offered, with any certificate; in clear otherwise (RFC 7435 §3).
        // RFC 3207 §6: TLS may be asked for wherever it is offered, or required host by host.
        Opportunistic = "opportunistic",
        /// Always, with any certificate.
        Require = "require",
        /// Always, with a certificate for the host's name from a trusted authority.
        Verify = "verify",
    }
}

/// Where a password stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Password {
    /// In a file of its own; its first line, without the line end.
    File(PathBuf),
    /// In the configuration itself.
    Given(Secret),
}

/// What we log in with at a next hop, only ever under TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub user: String,
    /// The password.
    pub password: Password,
}

section! {
    /// What we log in with, only ever under TLS.
    pub(crate) struct CredentialKeys {
        /// The user.
        #[key(example = "\"postern\"", why = "nobody else knows it")]
        pub user: String;
        /// A file whose first line is the password. It is read at the start, before root is dropped, and at each reload.
        #[key(example = "\"/etc/postern/relay.password\"", why = "nobody else knows it")]
        pub password_file: Option<PathBuf> = None;
        /// The password itself. A file of its own is better: configurations are shown to others.
        #[key(example = "\"correct horse battery staple\"", why = "nobody else knows it")]
        pub password: Option<Secret> = None;
    }
}

impl Value for Credentials {
    fn kind() -> Kind {
        Kind::table(CredentialKeys::TABLE)
    }

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let fields = Fields::of(node, CredentialKeys::TABLE, report)?;
        let keys = CredentialKeys::read_fields(&fields, report)?;
        let password = match (keys.password_file, keys.password) {
            (Some(path), None) => Password::File(path),
            (None, Some(secret)) => Password::Given(secret),
            _ => {
                fields.wrong("password_file", "one of password_file and password is needed, and not both", report);
                return None;
            }
        };
        Some(Self { user: keys.user, password })
    }

    fn print(&self, secrets: Secrets) -> String {
        let password = match &self.password {
            Password::File(path) => ("password_file", path.print(secrets)),
            Password::Given(secret) => ("password", secret.print(secrets)),
        };
        crate::value::print_table([("user", self.user.print(secrets).as_str()), (password.0, password.1.as_str())].into_iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_a_mistyped_address_is_neither() {
        for (text, printed) in [
            ("10.0.0.5", "10.0.0.5"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("Mx.Example", "mx.example"),
        ] {
            assert_eq!(Target::parse(text).unwrap().to_string(), printed);
        }
        for bad in ["", "10.0.0.256", "10.0.5", "a b", "[mx.example]", "mx..example"] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_lmtp_address_has_a_port_or_a_path() {
        for text in ["127.0.0.1:24", "[::1]:24", "dovecot.example:24", "unix:/run/dovecot/lmtp"] {
            assert_eq!(LmtpAddress::parse(text).unwrap().to_string(), text);
        }
        for bad in ["", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "::1:24", "unix:run/lmtp", "unix:", ":24", "[::1]24"] {
            assert!(LmtpAddress::parse(bad).is_err(), "{bad}");
        }
    }
}
