//! The name of a session: short enough to be read over the telephone, growing with time, never given twice by one server. It is told to the
//! client in refusals as a reference, and says nothing but when the session began.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::envelope::UnixMillis;

/// Sessions of one millisecond are told apart by this many bits.
const SEQUENCE_BITS: u32 = 9;
/// Characters it is printed with.
pub const SESSION_ID_CHARS: usize = 10;

/// A session's name: milliseconds since 1970 and a number within them, printed as 10 characters of Crockford's base 32.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in (0..SESSION_ID_CHARS).rev() {
            let digit = (self.0 >> (place * 5)) & 31;
            let byte = DIGITS.get(usize::try_from(digit).unwrap_or(0)).copied().unwrap_or(b'0');
            write!(f, "{}", char::from(byte))?;
        }
        Ok(())
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no session reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotASessionId;

impl FromStr for SessionId {
    type Err = NotASessionId;

    fn from_str(text: &str) -> Result<Self, NotASessionId> {
        if text.len() != SESSION_ID_CHARS {
            return Err(NotASessionId);
        }
        let mut value: u64 = 0;
        for byte in text.bytes() {
            let digit = DIGITS.iter().position(|d| *d == byte.to_ascii_uppercase()).ok_or(NotASessionId)?;
            value = (value << 5) | digit as u64;
        }
        Ok(Self(value))
    }
}

/// Gives names to sessions.
#[derive(Debug, Default)]
pub struct SessionIds(AtomicU64);

impl SessionIds {
    /// The next name, for a session that begins now. Grows even when the clock does not.
    pub fn next(&self, now: UnixMillis) -> SessionId {
        let wanted = now.0 << SEQUENCE_BITS;
        let next = |last: u64| wanted.max(last.saturating_add(1));
        let last = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        SessionId(next(last.unwrap_or_else(|last| last)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_short_grow_and_read_back() {
        let ids = SessionIds::default();
        let now = UnixMillis(1_800_000_000_000);
        let (first, second, third) = (ids.next(now), ids.next(now), ids.next(UnixMillis(now.0 - 5_000)));
        assert!(first < second && second < third);
        assert_eq!(first.to_string().len(), SESSION_ID_CHARS);
        assert_eq!(first.to_string().to_lowercase().parse(), Ok(first));
        assert!("7K3QX2".parse::<SessionId>().is_err());
        assert!("UUUUUUUUUU".parse::<SessionId>().is_err());
    }
}
