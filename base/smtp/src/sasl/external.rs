//! EXTERNAL (RFC 4422 appendix A): the client says at most whom it acts for; who it is comes from the TLS session.
//!
//! Promise: a response is nothing, or one whole name.

use postern_mail::trouble::Fault;

use super::plain;

/// Reads the one response: whom the client wants to act for, or nobody in particular.
///
/// # Errors
/// [`Fault::NotUtf8`] for what is no text, [`Fault::Syntax`] for a name with a NUL or one that is too long.
pub fn parse(response: &[u8]) -> Result<Option<String>, Fault> {
    // RFC 4422 appendix A.1: UTF-8 without NUL; an empty one means the identity the session has by itself.
    match response {
        [] => Ok(None),
        _ if response.contains(&0) => Err(Fault::Syntax),
        name => plain::name(name).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_nothing_or_a_name() {
        assert_eq!(parse(b""), Ok(None));
        // RFC 4422 appendix A.3: the example of the standard.
        assert_eq!(parse(b"fred@example.com"), Ok(Some("fred@example.com".to_owned())));
        assert_eq!(parse(b"a\0b"), Err(Fault::Syntax));
        assert_eq!(parse(b"\xff"), Err(Fault::NotUtf8));
        assert_eq!(parse("n".repeat(2000).as_bytes()), Err(Fault::Syntax));
    }
}
