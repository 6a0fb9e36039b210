//! PLAIN (RFC 4616).
//!
//! Promise: a message is three parts between exactly two NULs, or it is refused; nothing is cut off or joined.

use postern_mail::Secret;
use postern_mail::trouble::Fault;

use super::{CREDENTIAL_BYTES_MAX, prepare_password, prepare_user};

/// A name and a password, as PLAIN and LOGIN carry them, after SASLprep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainCredentials {
    /// Whom the client wants to act for, where it said so; to be refused unless it is the user itself.
    pub authzid: Option<String>,
    /// Who it says it is.
    pub user: String,
    /// How it proves that.
    pub password: Secret,
}

/// Reads the one message of the client.
///
/// # Errors
/// [`Fault::Syntax`] for another number of parts, and for an empty or too long one; [`Fault::NotUtf8`] for what is no text.
pub fn parse(message: &[u8]) -> Result<PlainCredentials, Fault> {
    // RFC 4616 §2: [authzid] NUL authcid NUL passwd.
    let mut parts = message.split(|byte| *byte == 0);
    let (Some(authzid), Some(user), Some(password), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(Fault::Syntax);
    };
    let authzid = if authzid.is_empty() { None } else { Some(name(authzid)?) };
    Ok(PlainCredentials { authzid, user: name(user)?, password: secret(password)? })
}

/// Makes the message of a client.
#[must_use]
pub fn encode(user: &str, password: &Secret) -> Secret {
    Secret::new([b"\0", user.as_bytes(), b"\0", password.expose()].concat())
}

pub(super) fn name(octets: &[u8]) -> Result<String, Fault> {
    prepare_user(str::from_utf8(octets).map_err(|_| Fault::NotUtf8)?)
}

pub(super) fn secret(octets: &[u8]) -> Result<Secret, Fault> {
    let fits = (1..=CREDENTIAL_BYTES_MAX).contains(&octets.len()) && !octets.contains(&0);
    // RFC 4616 §2: what SASLprep leaves nothing of is an empty password, which is none.
    Some(octets).filter(|_| fits).map(prepare_password).filter(|password| !password.expose().is_empty()).ok_or(Fault::Syntax)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_of_which_nothing_is_left_is_none() {
        assert_eq!(parse("\0user\0\u{ad}\u{ad}".as_bytes()), Err(Fault::Syntax));
    }

    #[test]
    fn a_message_has_exactly_three_parts() {
        let credentials = parse(b"other\0user@d.example\0pa ss").unwrap();
        assert_eq!(credentials.authzid.as_deref(), Some("other"));
        assert_eq!(credentials.user, "user@d.example");
        assert_eq!(credentials.password.expose(), b"pa ss");
        assert_eq!(parse(b"\0u\0p").unwrap().authzid, None);
        for bad in [&b""[..], b"u\0p", b"\0u\0p\0", b"\0u\0p\0x", b"\0\0p", b"\0u\0", b"\0\0"] {
            assert_eq!(parse(bad), Err(Fault::Syntax), "{bad:?}");
        }
        assert_eq!(parse(b"\0\xff\0p"), Err(Fault::NotUtf8));
        assert_eq!(parse(&[b"\0u\0", "p".repeat(2000).as_bytes()].concat()), Err(Fault::Syntax));
    }

    #[test]
    fn what_a_client_makes_a_server_reads() {
        let message = encode("user", &Secret::new(b"p\xc3\xa4ss".to_vec()));
        let credentials = parse(message.expose()).unwrap();
        assert_eq!((credentials.user.as_str(), credentials.password.expose()), ("user", &b"p\xc3\xa4ss"[..]));
        assert!(!format!("{credentials:?}").contains("p\u{e4}ss"));
    }
}
