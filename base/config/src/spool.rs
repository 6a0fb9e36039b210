//! `[spool]`: how accepted mail is kept safe on disk.

use std::time::Duration;

use crate::table::section;
use crate::units::Size;

section! {
    /// How accepted mail is kept safe on disk, in `data_dir`.
    pub struct Spool: Default {
        /// The size of one segment of the log. Segments are written full of zeros before use and recycled afterwards.
        #[key(
            example = "\"64MiB\"",
            why = "a new one is needed every few seconds at most, and read within one at the start",
            within = Size::mib(1)..=Size::gib(1),
            restart = true
        )]
        pub segment_size: Size = Size::mib(64);
        /// The most that one sync covers.
        #[key(
            example = "\"4MiB\"",
            why = "a disk writes this in some milliseconds, so that nobody waits long behind others",
            within = Size::kib(16)..=Size::mib(64),
            restart = true
        )]
        pub group_size_max: Size = Size::mib(4);
        /// Bodies up to this size go into the log; larger ones into a file of their own.
        #[key(
            example = "\"192KiB\"",
            why = "measured: below it the log is faster, above it a file is, and small messages do not wait behind it",
            within = Size(0)..=Size::mib(64),
            restart = true
        )]
        pub body_inline_max: Size = Size::kib(192);
        /// With less free space than this, mail is refused with 452, while deliveries go on.
        #[key(
            example = "\"256MiB\"",
            why = "leaves room for deliveries and their records to free space again",
            within = Size(0)..=Size::gib(1 << 20),
            restart = true
        )]
        pub free_space_min: Size = Size::mib(256);
        /// How long the record that a message is finished may wait for others to share its sync.
        #[key(
            example = "\"20ms\"",
            why = "a crash within it costs a duplicate, never a loss",
            within = Duration::ZERO..=Duration::from_secs(10),
            restart = true
        )]
        pub finished_delay: Duration = Duration::from_millis(20);
        /// The share of the log that must be live mail. Below it, the mail of the oldest segment is moved so that the segment is
        /// free.
        #[key(
            example = "0.5",
            why = "each octet is moved once on average, and the log is at most twice the mail in it",
            within = 0.0..=0.9,
            restart = true
        )]
        pub live_share_min: f64 = 0.5;
        /// Threads that write large bodies.
        #[key(example = "4", why = "more do not make one disk faster", within = 1..=256, restart = true)]
        pub writers: u16 = 4;
        /// Threads that read messages back.
        #[key(example = "2", why = "what is delivered at once is mostly still in memory", within = 1..=256, restart = true)]
        pub readers: u16 = 2;
        /// What of a large body may be unsynced on its way in.
        #[key(
            example = "\"1MiB\"",
            why = "the last sync, which somebody waits for, has this little left to do",
            within = Size::kib(64)..=Size::gib(1),
            restart = true
        )]
        pub body_sync_size: Size = Size::mib(1);
        /// Freed segments kept for reuse; more are removed from the disk.
        #[key(example = "4", why = "a burst finds its space made, for 256 MiB of disk", within = 1..=1000, restart = true)]
        pub spare_segments_max: u16 = 4;
        /// Messages that may wait for the same sync; further ones wait for a place.
        #[key(
            example = "4096",
            why = "more than there are sessions in the middle of a message",
            within = 1..=1_000_000,
            restart = true
        )]
        pub waiting_max: u32 = 4096;
        /// Records of finished or tried messages that may wait to be written.
        #[key(example = "65536", why = "about two seconds of deliveries", within = 1..=10_000_000, restart = true)]
        pub notes_max: u32 = 65_536;
        /// Messages in the queue. Beyond it, mail is refused with 452.
        #[key(
            example = "5000000",
            why = "at 300 octets of memory each, these cost 1.5 GB",
            within = 1..=1_000_000_000
        )]
        pub messages_max: u64 = 5_000_000;
    }
}
