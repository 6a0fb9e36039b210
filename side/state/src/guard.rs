//! Who says which claims are verified at all. Promise: a claim that was let through is told of exactly once when it has ended, also when the
//! client went away in between.

use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::hmac;
use postern_mail::envelope::UnixMillis;
use postern_mail::guess::{Ending, Guess, GuessRuling, Tag, Unheard};

/// Asked before each verification, and told how it ended. It must answer at once.
pub trait Guard: Send + Sync {
    /// What is to be done with it.
    fn before(&self, now: UnixMillis, guess: &Guess) -> GuessRuling;
    /// What came of one that was to be verified.
    fn after(&self, now: UnixMillis, guess: &Guess, ending: Ending);
    /// One that was told to ask again has done so for as long as anybody may.
    fn at_last(&self, _now: UnixMillis, _guess: &Guess) -> GuessRuling {
        GuessRuling::Refuse(Unheard::Crowd)
    }
    /// Everybody seems to come from this address, so that having been there says nothing of anybody.
    fn is_everybodys(&self, _now: UnixMillis, _client: IpAddr) -> bool {
        false
    }
}

/// Lets everything be verified: for tests of what comes after it.
#[cfg(test)]
pub(crate) struct Unguarded;

#[cfg(test)]
impl Guard for Unguarded {
    fn before(&self, _: UnixMillis, _: &Guess) -> GuessRuling {
        GuessRuling::Verify { after: std::time::Duration::ZERO }
    }

    fn after(&self, _: UnixMillis, _: &Guess, _: Ending) {}
}

/// A claim that is being verified.
pub(crate) struct Heard {
    guard: Arc<dyn Guard>,
    now: UnixMillis,
    pub(crate) guess: Guess,
    ending: Ending,
}

impl Heard {
    pub(crate) fn new(guard: &Arc<dyn Guard>, now: UnixMillis, guess: Guess) -> Self {
        Self { guard: Arc::clone(guard), now, guess, ending: Ending::Unverified }
    }

    pub(crate) fn ended(mut self, ending: Ending) {
        self.ending = ending;
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        self.guard.after(self.now, &self.guess, self.ending);
    }
}

/// A keyed hash of a name or a password; `kind` keeps the two apart.
pub(crate) fn tag(key: &hmac::Key, kind: &str, text: &[u8]) -> Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(kind.as_bytes());
    context.update(&[0]);
    context.update(text);
    let first = context.sign().as_ref().first_chunk().copied().unwrap_or_default();
    Tag::new(u64::from_be_bytes(first))
}
