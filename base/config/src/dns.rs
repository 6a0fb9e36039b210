//! `[dns]`: who is asked, and how long we wait.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::table::section;

section! {
    /// Who is asked for names, and how long we wait.
    pub struct Dns: Default {
        /// Resolvers as address and port.
        #[key(example = "[\"127.0.0.1:53\"]", why = "the system's own are known to work", shown = "the system's")]
        pub servers: Vec<SocketAddr> = Vec::new();
        /// Resolvers beside those on loopback whose word is taken that an answer was validated (DNSSEC), which DANE needs. All that are asked
        /// must be one or the other.
        #[key(example = "[\"192.0.2.53\"]", why = "anybody on the way to a resolver can forge its word")]
        pub trust_ad: Vec<IpAddr> = Vec::new();
        /// For one question, all tries together.
        #[key(
            example = "\"3s\"",
            why = "a resolver that is asked first may have to ask three others",
            within = Duration::from_millis(10)..=Duration::from_secs(60)
        )]
        pub timeout: Duration = Duration::from_secs(3);
        /// How often a question is asked within that time when no answer comes.
        #[key(example = "2", why = "one lost packet is no reason to defer mail", within = 1..=10)]
        pub attempts: u32 = 2;
        /// Answers kept in memory, each no longer than its time to live.
        #[key(
            example = "10000",
            why = "about 5 MiB, and more domains than most servers meet in an hour",
            within = 0..=10_000_000
        )]
        pub cache_entries: u32 = 10_000;
        /// No answer is kept longer than this, whatever it says.
        #[key(
            example = "\"1d\"",
            why = "a mistyped time to live of a year is forgotten within a day",
            within = Duration::ZERO..=Duration::from_secs(604_800)
        )]
        pub cache_longest: Duration = Duration::from_secs(86_400);
        /// The same for the answer that there is nothing.
        #[key(
            example = "\"1h\"",
            why = "RFC 2308 §5 proposes one to three hours",
            within = Duration::ZERO..=Duration::from_secs(604_800)
        )]
        pub cache_negative_longest: Duration = Duration::from_secs(3600);
        /// Mail exchangers of one domain that are looked at, the best first.
        #[key(example = "16", why = "nobody has more who means it", within = 1..=100)]
        pub exchangers_max: u32 = 16;
        /// Addresses of one host that are looked at.
        #[key(example = "16", why = "nobody has more who means it", within = 1..=100)]
        pub addresses_max: u32 = 16;
    }
}
