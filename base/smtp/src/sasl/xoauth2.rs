//! XOAUTH2: OAUTHBEARER before it was a standard. It has no RFC; its form is that of the large providers' manuals.
//!
//! Promise: as for OAUTHBEARER; a message names its user and carries one token, or it is refused.

use postern_mail::trouble::Fault;

use super::oauthbearer::{BearerCredentials, pairs};
use super::plain;

/// Reads the one message of the client: `user=NAME ^A auth=Bearer TOKEN ^A ^A`.
///
/// # Errors
/// [`Fault::Syntax`] for anything else, [`Fault::NotUtf8`] for a name that is no text.
pub fn parse(message: &[u8]) -> Result<BearerCredentials, Fault> {
    let body = message.strip_suffix(b"\x01\x01").ok_or(Fault::Syntax)?;
    let mut parts = body.split(|octet| *octet == 1);
    let user = parts.next().and_then(|part| part.strip_prefix(b"user=")).ok_or(Fault::Syntax)?;
    Ok(BearerCredentials { user: Some(plain::name(user)?), token: pairs(parts)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_its_user_and_carries_one_token() {
        let read =
            parse(b"user=someuser@example.com\x01auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg\x01\x01").unwrap();
        assert_eq!(read.user.as_deref(), Some("someuser@example.com"));
        assert_eq!(read.token.expose(), b"ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg");
        for bad in [
            &b""[..],
            b"\x01\x01",
            b"user=\x01auth=Bearer t\x01\x01",
            b"auth=Bearer t\x01\x01",
            b"user=a\x01\x01",
            b"user=a\x01auth=Bearer t\x01",
            b"user=a\x01auth=Bearer t\x01auth=Bearer u\x01\x01",
        ] {
            assert_eq!(parse(bad), Err(Fault::Syntax), "{}", String::from_utf8_lossy(bad));
        }
    }
}
