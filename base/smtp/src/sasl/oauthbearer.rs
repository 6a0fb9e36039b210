//! OAUTHBEARER (RFC 7628): a token in place of a password.
//!
//! Promise: a message is read whole or refused; the token is a [`Secret`], never longer than [`TOKEN_BYTES_MAX`], and made of the
//! characters a token may have.

use postern_mail::Secret;
use postern_mail::trouble::Fault;

use super::plain;

/// The longest token we look at, in octets. RFC 6750 names no limit; those of the large issuers have about two thousand.
pub const TOKEN_BYTES_MAX: usize = 8192;

/// What the client is told of a token that is not good (RFC 7628 §3.2.2): one text for every reason, since a reason would help guessing.
pub const REFUSED: &[u8] = b"{\"status\":\"invalid_token\",\"schemes\":\"bearer\"}";

const SEPARATOR: u8 = 1;

/// What the client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BearerCredentials {
    /// Whom the client wants to act for, where it said so.
    pub user: Option<String>,
    /// What proves it.
    pub token: Secret,
}

/// Reads the one message of the client.
///
/// # Errors
/// [`Fault::Syntax`] for anything but a header of GS2 without channel binding and pairs with exactly one `auth` among them;
/// [`Fault::NotUtf8`] for a name that is no text.
pub fn parse(message: &[u8]) -> Result<BearerCredentials, Fault> {
    // RFC 7628 §3.1: gs2-header kvsep *kvpair kvsep. A message of nothing but a kvsep is the answer to our error, and no beginning.
    let body = message.strip_suffix(&[SEPARATOR, SEPARATOR]).ok_or(Fault::Syntax)?;
    let mut parts = body.split(|octet| *octet == SEPARATOR);
    let user = header(parts.next().ok_or(Fault::Syntax)?)?;
    Ok(BearerCredentials { user, token: pairs(parts)? })
}

/// RFC 5801 §4: the flag of channel binding, which a token does not have, and whom to act for, with `,` and `=` written as `=2C` and `=3D`.
fn header(header: &[u8]) -> Result<Option<String>, Fault> {
    let text = str::from_utf8(header).map_err(|_| Fault::NotUtf8)?;
    // RFC 7628 §3.1 DEPARTS: the header must end in a comma, and the one that some programs leave out is not asked for.
    let rest = text.strip_prefix("n,").or_else(|| text.strip_prefix("y,")).ok_or(Fault::Syntax)?;
    let name = rest.strip_suffix(',').unwrap_or(rest);
    match name.strip_prefix("a=") {
        None if name.is_empty() => Ok(None),
        Some(name) if !name.contains(',') => unescape(name).and_then(|name| plain::name(name.as_bytes())).map(Some),
        _ => Err(Fault::Syntax),
    }
}

fn unescape(name: &str) -> Result<String, Fault> {
    let mut parts = name.split('=');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (sign, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(Fault::Syntax),
        };
        plain.push(sign);
        plain.push_str(rest);
    }
    Ok(plain)
}

/// The token among the pairs. RFC 7628 §3.1: keys we do not know, as `host` and `port`, are passed over, but must be such.
pub(super) fn pairs<'a>(pairs: impl Iterator<Item = &'a [u8]>) -> Result<Secret, Fault> {
    let mut found = None;
    for pair in pairs {
        let split = pair.iter().position(|octet| *octet == b'=').ok_or(Fault::Syntax)?;
        let (key, value) = pair.split_at_checked(split).ok_or(Fault::Syntax)?;
        let value = value.get(1..).unwrap_or_default();
        if key.is_empty() || !key.iter().all(u8::is_ascii_alphabetic) || !value.iter().all(|octet| is_value(*octet)) {
            return Err(Fault::Syntax);
        }
        if key == b"auth" {
            // Two of them would be two tokens, of which one would go unread.
            if found.replace(token(value)?).is_some() {
                return Err(Fault::Syntax);
            }
        }
    }
    found.ok_or(Fault::Syntax)
}

const fn is_value(octet: u8) -> bool {
    matches!(octet, b' '..=b'~' | b'\t' | b'\r' | b'\n')
}

/// RFC 6750 §2.1: `Bearer`, in any case (RFC 7235 §2.1), spaces, and a token of these characters.
fn token(value: &[u8]) -> Result<Secret, Fault> {
    let (scheme, rest) = value.split_at_checked(6).ok_or(Fault::Syntax)?;
    if !scheme.eq_ignore_ascii_case(b"Bearer") || !rest.starts_with(b" ") {
        return Err(Fault::Syntax);
    }
    let token = rest.trim_ascii();
    let is_good = |octet: &u8| octet.is_ascii_alphanumeric() || b"-._~+/=".contains(octet);
    if (1..=TOKEN_BYTES_MAX).contains(&token.len()) && token.iter().all(is_good) {
        Ok(Secret::new(token.to_vec()))
    } else {
        Err(Fault::Syntax)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_the_standard_is_read() {
        // RFC 7628 §4.1, there for IMAP.
        let message = b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01";
        let read = parse(message).unwrap();
        assert_eq!(read.user.as_deref(), Some("user@example.com"));
        assert_eq!(read.token.expose(), b"vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==");
        assert!(!format!("{read:?}").contains("vF9dft"));
    }

    #[test]
    fn a_name_is_optional_and_unescaped() {
        assert_eq!(parse(b"n,,\x01auth=Bearer t\x01\x01").unwrap().user, None);
        assert_eq!(parse(b"y,,\x01auth=bearer  t\x01\x01").unwrap().token.expose(), b"t");
        assert_eq!(parse(b"n,a=a=2Cb=3Dc,\x01auth=Bearer t\x01\x01").unwrap().user.as_deref(), Some("a,b=c"));
    }

    #[test]
    fn anything_else_is_refused() {
        let long = [b"n,,\x01auth=Bearer ".to_vec(), vec![b't'; TOKEN_BYTES_MAX + 1], b"\x01\x01".to_vec()].concat();
        for bad in [
            &b""[..],
            b"\x01",
            b"\x01\x01",
            b"n,,\x01\x01",
            b"n,,\x01auth=Bearer t\x01",
            b"n,,\x01auth=Bearer \x01\x01",
            b"n,,\x01auth=Basic dA==\x01\x01",
            b"n,,\x01auth=Bearert\x01\x01",
            b"n,,\x01auth=Bearer a\x01auth=Bearer b\x01\x01",
            b"n,,\x01auth=Bearer a b\x01\x01",
            b"n,,\x01host\x01auth=Bearer t\x01\x01",
            b"n,,\x01auth=Bearer t\x01\x01\x01",
            b"n,,\x01\x01auth=Bearer t\x01\x01",
            b"p=tls-exporter,,\x01auth=Bearer t\x01\x01",
            b"n,a=a=2,\x01auth=Bearer t\x01\x01",
            b"n,a=a,b,\x01auth=Bearer t\x01\x01",
            b"n,a=,\x01auth=Bearer t\x01\x01",
            b"n,,\x01auth=Bearer t\0\x01\x01",
            &long,
        ] {
            assert_eq!(parse(bad), Err(Fault::Syntax), "{}", String::from_utf8_lossy(bad));
        }
    }
}
