//! The name of a session: short enough to be read over the telephone, and growing with time. It is told to the client in refusals as a
//! reference, and says nothing but when the session began. Promise: one run of a server never gives a name twice; a later run only after its
//! clock was set back.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::crockford;
use crate::envelope::UnixMillis;

/// Names count from here, the beginning of 2026: 41 bits of milliseconds then last until 2095.
const EPOCH: UnixMillis = UnixMillis(1_767_225_600_000);
/// Sessions of one millisecond are told apart by this many bits.
const SEQUENCE_BITS: u32 = 9;
/// Characters it is printed with.
pub const SESSION_ID_CHARS: usize = 10;

/// A session's name: milliseconds since 2026 and a number within them, printed as 10 characters of Crockford's base 32.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crockford::print(self.0, SESSION_ID_CHARS, f)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl SessionId {
    /// The lowest name of a session that began at this time.
    #[must_use]
    pub const fn first_of(began: UnixMillis) -> Self {
        Self(began.0.saturating_sub(EPOCH.0) << SEQUENCE_BITS)
    }

    /// When it began, but for what a clock was set back.
    #[must_use]
    pub const fn began(self) -> UnixMillis {
        UnixMillis((self.0 >> SEQUENCE_BITS) + EPOCH.0)
    }
}

/// The text is no session reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotASessionId;

impl FromStr for SessionId {
    type Err = NotASessionId;

    fn from_str(text: &str) -> Result<Self, NotASessionId> {
        crockford::read(text, SESSION_ID_CHARS).map(Self).ok_or(NotASessionId)
    }
}

/// Gives names to sessions.
#[derive(Debug, Default)]
pub struct SessionIds(AtomicU64);

impl SessionIds {
    /// The next name, for a session that begins now. Grows even when the clock does not.
    pub fn next(&self, now: UnixMillis) -> SessionId {
        let wanted = SessionId::first_of(now).0;
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

    #[test]
    fn a_name_tells_when_its_session_began() {
        let now = UnixMillis(1_800_000_000_000);
        let id = SessionIds::default().next(now);
        assert_eq!((id.began(), SessionId::first_of(now)), (now, id));
        assert!(SessionId::first_of(UnixMillis(now.0 + 1)) > id);
        assert_eq!(SessionId::first_of(UnixMillis(0)), SessionId(0));
    }

    #[test]
    fn a_reference_given_in_2090_still_reads_back() {
        let id = SessionIds::default().next(UnixMillis(3_786_912_000_000));
        assert_eq!(id.to_string().parse(), Ok(id));
    }
}
