//! Concurrency per destination. Promise: a window never drops below one, or a lane would starve; and a destination that does not
//! answer costs one attempt per wait, however many messages are queued for it.

use postern_mail::Scope;
use postern_mail::envelope::UnixMillis;

use crate::backoff::Backoff;
use crate::chance::Chance;
use crate::settings::Shaping;
use crate::words::Report;

/// How many attempts a lane may have out, and from when on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    size: u16,
    most: u16,
    /// Successes since the window last changed.
    credit: u16,
    /// Attempts that were out when the window last shrank. Their troubles are the same trouble and are not counted again.
    forgiven: u16,
    /// How many probes in a row found nobody, the attempt that found it first included.
    silence: u16,
    blocked_until: UnixMillis,
}

impl Window {
    pub(crate) fn new(shaping: Shaping) -> Self {
        let most = at_least_one(shaping.window_max);
        let size = at_least_one(shaping.window_first).min(most);
        Self { size, most, credit: 0, forgiven: 0, silence: 0, blocked_until: UnixMillis(0) }
    }

    /// Keeps what was learnt, within other bounds.
    pub(crate) fn change(&mut self, shaping: Shaping) {
        self.most = at_least_one(shaping.window_max);
        self.size = self.size.min(self.most);
    }

    /// Attempts at once. A destination that gave no answer gets a single probe.
    pub(crate) fn limit(&self) -> u16 {
        if self.is_silent() { 1 } else { self.size }
    }

    /// Nobody answered last time.
    pub(crate) fn is_silent(&self) -> bool {
        self.silence > 0
    }

    /// Nothing goes out before this; it may be past.
    //
    // RFC 5321 §4.5.4.1: a list of hosts that cannot be reached is kept, so that queued messages do not each find out again.
    pub(crate) fn blocked_until(&self) -> UnixMillis {
        self.blocked_until
    }

    /// Lets the next probe go at once. It is still only one.
    pub(crate) fn probe_now(&mut self) {
        self.blocked_until = UnixMillis(0);
    }

    /// Learns from an attempt that ended; `out` are still running.
    pub(crate) fn learn(&mut self, now: UnixMillis, report: Report, out: u32, wait: &Backoff, chance: &mut Chance) {
        let is_forgiven = self.forgiven > 0;
        self.forgiven = self.forgiven.saturating_sub(1);
        match report.trouble.map(|trouble| trouble.scope) {
            None => {
                self.answered();
                self.grow();
            }
            Some(Scope::Recipient | Scope::Message) => self.answered(),
            // While nobody answered, only an answer opens the lane again.
            Some(Scope::Host) if !self.is_silent() => self.shrink_unless(is_forgiven, out),
            // A destination that refuses for good has answered: each sender is owed that answer, only not twenty at a time.
            Some(Scope::Destination) if !report.deferred => {
                self.answered();
                self.shrink_unless(is_forgiven, out);
            }
            Some(Scope::Host | Scope::Destination) => {
                self.shrink_unless(is_forgiven, out);
                if !is_forgiven || !self.is_silent() {
                    self.silence = self.silence.saturating_add(1);
                    self.blocked_until = now.plus(wait.wait(self.silence, chance));
                }
            }
        }
    }

    fn answered(&mut self) {
        self.silence = 0;
        self.blocked_until = UnixMillis(0);
    }

    /// One more for each whole window of successes.
    fn grow(&mut self) {
        self.credit = self.credit.saturating_add(1);
        if self.credit >= self.size {
            self.credit = 0;
            self.size = self.size.saturating_add(1).min(self.most);
        }
    }

    fn shrink_unless(&mut self, is_forgiven: bool, out: u32) {
        if !is_forgiven {
            self.size = (self.size / 2).max(1);
            self.credit = 0;
            self.forgiven = u16::try_from(out).unwrap_or(u16::MAX);
        }
    }
}

fn at_least_one(attempts: u32) -> u16 {
    u16::try_from(attempts).unwrap_or(u16::MAX).max(1)
}
