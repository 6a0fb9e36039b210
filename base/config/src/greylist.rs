//! `[policy.greylist]`: who comes for the first time is told to come again. Promise: it delays nobody before its rule is switched on.

use std::time::Duration;

use crate::table::section;
use crate::units::Size;

section! {
    /// Who comes for the first time is told to come again, which mail servers do and most senders of spam do not. Its rule is off unless it is
    /// switched on, whatever `policy.mode` says: `[policy.rules.greylist]`, and in it `mode = "enforce"`. Accounts, relay and trusted networks,
    /// clients that are known or allowed, and mail to postmaster are never delayed.
    pub struct Greylist: Default {
        /// Only who has so many points by RCPT, from local lists and lists by DNS. With 0 everybody who is not known.
        #[key(
            example = "0.0",
            why = "good mail has none then, so that it is not delayed; who has many is refused anyway",
            within = 0.0..=999.0
        )]
        pub when_points: f64 = 1.0;
        /// Who comes back sooner is told to wait on.
        #[key(
            example = "\"1m\"",
            why = "most mail servers come back after five minutes or more",
            within = Duration::ZERO..=Duration::from_secs(86_400)
        )]
        pub delay: Duration = Duration::from_secs(240);
        /// Who comes back later than this counts as coming for the first time.
        #[key(
            example = "\"12h\"",
            why = "slow servers try again after hours, and give up after days",
            within = Duration::from_secs(60)..=Duration::from_secs(30 * 86_400)
        )]
        pub window: Duration = Duration::from_secs(2 * 86_400);
        /// A network that came back is not delayed again for so long after it was last seen.
        #[key(
            example = "\"60d\"",
            why = "newsletters come once a month",
            within = Duration::from_secs(60)..=Duration::from_secs(366 * 86_400)
        )]
        pub known_for: Duration = Duration::from_secs(35 * 86_400);
        /// Memory for all that is remembered. When it is used up, the oldest is forgotten.
        #[key(
            example = "\"64MiB\"",
            why = "fifty thousand who wait, and more networks than that",
            within = Size(64 << 10)..=Size(4 << 30)
        )]
        pub memory: Size = Size(16 << 20);
    }
}
