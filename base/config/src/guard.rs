//! `[outbound.guard]`: accounts that suddenly send otherwise. Promise: with its defaults nothing is ever refused for it before a person could look.

use std::time::Duration;

use postern_mail::{GuardLimits, Mode, Points};

use crate::table::section;
use crate::units::Size;

const DAY: Duration = Duration::from_secs(86_400);

section! {
    /// A hacked account is caught by what it does: each account is measured against its own past, and docs/GUARD.md says how well. `postern reputation`
    /// shows what is known of it, takes a hold back, and vouches for it where much mail is to be expected.
    pub struct OutboundGuard: Default {
        /// `enforce`; `observe`: what it would do is in the trail and nowhere else; or `off`.
        #[key(example = "\"observe\"", why = "a stolen password sends what it can within minutes")]
        pub mode: Mode = Mode::Enforce;
        /// From so many points on an account's messages leave one after the other.
        #[key(example = "3.0", why = "so that what receivers say of the first is heard before the last has left", within = 0.1..=999.0)]
        pub slow_at: f64 = 4.0;
        /// From so many points on its messages are taken and held: `postern held list`.
        #[key(example = "8.0", why = "nothing is lost, and a person can let all of it go", within = 0.1..=999.0)]
        pub hold_at: f64 = 6.0;
        /// From so many points on the account is disabled, and its sessions end.
        #[key(example = "15.0", why = "no owner was ever seen to come this far", within = 0.1..=999.0)]
        pub suspend_at: f64 = 10.0;
        /// Time between two recipients of an account that is slowed down; no message waits for longer than an hour.
        #[key(
            example = "\"5s\"",
            why = "360 an hour, and most receivers answer within seconds",
            within = Duration::ZERO..=Duration::from_secs(3600)
        )]
        pub pace: Duration = Duration::from_secs(10);
        /// For so long from its first start on a server only learns: how much accounts send, and to how many strangers, counts for nothing.
        #[key(example = "\"30d\"", why = "a week has all days of the week in it", within = Duration::ZERO..=DAY.saturating_mul(366))]
        pub learn: Duration = DAY.saturating_mul(7);
        /// Memory for what is known of accounts. When it is used up, those that have not sent for longest begin anew.
        #[key(example = "\"256MiB\"", why = "ten thousand accounts", within = Size(1 << 20)..=Size(16 << 30))]
        pub memory: Size = Size(64 << 20);
    }
}

impl OutboundGuard {
    /// As the rule is given it.
    #[must_use]
    pub fn limits(&self) -> GuardLimits {
        let [slow, hold, suspend] = [self.slow_at, self.hold_at, self.suspend_at].map(Points::nearest);
        GuardLimits { slow, hold, suspend }
    }
}
