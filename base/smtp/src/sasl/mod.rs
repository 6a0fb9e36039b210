//! SASL mechanisms as tiny machines (RFC 4422, RFC 4954): they read responses and make challenges; who may log in is decided elsewhere.
//!
//! Promise: what a response holds is in a [`Secret`] from the moment it is decoded, and no mechanism lives longer than one attempt.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postern_mail::Secret;
use postern_mail::trouble::Fault;

pub mod external;
pub mod login;
pub mod oauthbearer;
pub mod plain;
pub mod scram;
pub mod xoauth2;

/// The line with which a client gives AUTH up (RFC 4954 §4).
pub const ABORT: &[u8] = b"*";
/// The longest user name or password we look at, in octets (RFC 4616 §2 names no limit).
pub const CREDENTIAL_BYTES_MAX: usize = 1024;

/// Decodes a response line. An empty line is an empty response.
///
/// # Errors
/// [`Fault::Base64`] for anything but canonical base64 with its padding (RFC 4954 §4, RFC 4648 §3.5).
pub fn decode(line: &[u8]) -> Result<Secret, Fault> {
    STANDARD.decode(line).map(Secret::new).map_err(|_| Fault::Base64)
}

/// Decodes the initial response of an AUTH command.
///
/// # Errors
/// As [`decode`].
pub fn decode_initial(text: &str) -> Result<Secret, Fault> {
    // RFC 4954 §4: an empty initial response is written `=`.
    if text == "=" { Ok(Secret::new(Vec::new())) } else { decode(text.as_bytes()) }
}

/// Encodes a challenge or a response.
#[must_use]
pub fn encode(data: &[u8]) -> String {
    STANDARD.encode(data)
}

/// User names are compared after SASLprep (RFC 4013 §2).
///
/// # Errors
/// [`Fault::NotUtf8`] for what SASLprep prohibits, [`Fault::Syntax`] for an empty or too long name.
pub fn prepare_user(user: &str) -> Result<String, Fault> {
    let prepared = stringprep::saslprep(user).map_err(|_| Fault::NotUtf8)?;
    let fits = (1..=CREDENTIAL_BYTES_MAX).contains(&prepared.len());
    if fits { Ok(prepared.into_owned()) } else { Err(Fault::Syntax) }
}

/// Passwords after SASLprep; to be used where they are set as well as where they are checked. What SASLprep prohibits (characters newer
/// than Unicode 3.2, or no UTF-8 at all) is left as it is.
#[must_use]
pub fn prepare_password(password: &[u8]) -> Secret {
    // RFC 4013 §2 DEPARTS: a password that cannot be prepared is taken raw; refused, its owner could never log in.
    let prepared = str::from_utf8(password).ok().and_then(|text| stringprep::saslprep(text).ok());
    Secret::new(prepared.map_or_else(|| password.to_vec(), |text| text.into_owned().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_base64_is_decoded() {
        assert_eq!(decode(b"AGEAYg==").unwrap().expose(), b"\0a\0b");
        assert_eq!(decode(b"").unwrap().expose(), b"");
        for bad in ["=", "AGEAYg", "AGEAYg=", "AGEAYh==", "AGE AYg==", "AGEAYg==\r", "*", "AGEAYg==AGEAYg==", "\u{e9}"] {
            assert_eq!(decode(bad.as_bytes()), Err(Fault::Base64), "{bad}");
        }
        assert_eq!(decode_initial("=").unwrap().expose(), b"");
        assert_eq!(decode_initial("=="), Err(Fault::Base64));
    }

    #[test]
    fn names_and_passwords_are_prepared_alike_however_they_were_typed() {
        assert_eq!(prepare_user("ju\u{308}rgen").unwrap(), "j\u{fc}rgen");
        assert_eq!(prepare_user("I\u{ad}X").unwrap(), "IX");
        assert_eq!(prepare_user("a\u{7}b"), Err(Fault::NotUtf8));
        assert_eq!(prepare_user(""), Err(Fault::Syntax));
        assert_eq!(prepare_password("p\u{a0}w".as_bytes()).expose(), b"p w");
        assert_eq!(prepare_password(b"\xff\x07").expose(), b"\xff\x07");
    }
}
