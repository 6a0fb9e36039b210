//! `[history]`: how long the story of a message can be told.

use std::time::Duration;

use crate::table::section;
use crate::units::Size;

section! {
    /// How long `postern trace` can tell the story of a message.
    pub struct History: Default {
        /// How long stories are kept.
        #[key(
            example = "\"30d\"",
            why = "complaints come within a month; what is older is a burden under data protection law",
            within = Duration::ZERO..=Duration::from_secs(86_400 * 3650),
            restart = true
        )]
        pub keep: Duration = Duration::from_secs(86_400 * 30);
        /// How many messages have a story, the oldest being forgotten first.
        #[key(example = "1000000", why = "about 1 GiB on disk", within = 0..=1_000_000_000, restart = true)]
        pub messages_max: u64 = 1_000_000;
        /// How many refusals are kept, the oldest being forgotten first.
        #[key(example = "50000", why = "all of them are read to find an address", within = 0..=100_000_000, restart = true)]
        pub refusals_max: u64 = 50_000;
        /// How long the reasons of decisions are kept, for `postern explain`.
        #[key(
            example = "\"30d\"",
            why = "who asks why a message was refused asks within weeks",
            within = Duration::ZERO..=Duration::from_secs(86_400 * 3650),
            restart = true
        )]
        pub trails_keep: Duration = Duration::from_secs(86_400 * 30);
        /// How many sessions and messages have their reasons kept, the oldest being forgotten first; 0 keeps none.
        #[key(example = "1000000", why = "about 500 MiB on disk", within = 0..=1_000_000_000, restart = true)]
        pub trails_max: u64 = 1_000_000;
        /// What the kept reasons may take on the disk, the oldest being forgotten first.
        #[key(
            example = "\"1GiB\"",
            why = "room for twice as many as are kept, and a bound for what strangers can make us keep",
            within = Size::mib(1)..=Size::gib(1 << 20),
            restart = true
        )]
        pub trails_size_max: Size = Size::gib(1);
        /// What is kept of one message, or of one session without any. What goes beyond it is left out, and that is said.
        #[key(
            example = "\"16KiB\"",
            why = "a message to twenty recipients takes about 2 KiB",
            within = Size(512)..=Size(60_000),
            restart = true
        )]
        pub trail_size_max: Size = Size(16 << 10);
        /// How long events are gathered before they are written.
        #[key(
            example = "\"100ms\"",
            why = "one write for many, and a trace that is never later than a blink",
            within = Duration::from_millis(1)..=Duration::from_secs(60),
            restart = true
        )]
        pub gather: Duration = Duration::from_millis(100);
        /// Events waiting to be written. Beyond it they are dropped and counted, since mail must not wait for its story.
        #[key(example = "10000", why = "about five seconds of a busy server", within = 100..=10_000_000, restart = true)]
        pub queue_max: u32 = 10_000;
        /// How large a file of the audit log may become; then it is set aside, and the chain goes on in a new one.
        #[key(
            example = "\"64MiB\"",
            why = "half a year of a thousand acts a day, and read through in a second",
            within = Size::kib(64)..=Size::gib(64),
            restart = true
        )]
        pub audit_size_max: Size = Size::mib(64);
        /// How many files of the audit log that are full are kept, the oldest being removed first. What is to be kept for longer is copied
        /// elsewhere: nothing ever changes in them.
        #[key(example = "15", why = "1 GiB with the one that is written", within = 1..=10_000, restart = true)]
        pub audit_files: u32 = 15;
    }
}
