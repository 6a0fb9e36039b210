//! `[policy.links]`: how messages are read for links. Promise: what reading one message may cost is bounded, and what was not read is said in the trail.

use crate::table::section;
use crate::units::Size;

section! {
    /// How strangers' messages are read for links: for what is odd about them, and for the lists of `[[policy.uribl]]`.
    pub struct Links: Default {
        /// Whether they are read.
        #[key(example = "false", why = "most of what does harm is behind a link")]
        pub enabled: bool = true;
        /// Octets of one message that are searched, after decoding and inflating.
        #[key(
            example = "\"512KiB\"",
            why = "text and HTML of honest mail are smaller, and it takes some milliseconds",
            within = Size(1 << 10)..=Size(64 << 20)
        )]
        pub octets_max: Size = Size(2 << 20);
        /// Links of one message that are looked at; of equal ones only the first.
        #[key(example = "2000", why = "the longest newsletters have some hundreds", within = 1..=100_000)]
        pub links_max: u32 = 500;
        /// Domains and addresses of one message that lists are asked about; those that a reader clicks first.
        #[key(example = "20", why = "each is a question to each list", within = 1..=10_000)]
        pub asked_max: u32 = 64;
    }
}
