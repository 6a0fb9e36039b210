//! `[dns]`: who is asked, and how long we wait.

use std::net::SocketAddr;
use std::time::Duration;

use crate::table::section;

section! {
    /// Who is asked for names, and how long we wait.
    pub struct Dns: Default {
        /// Resolvers as address and port.
        #[key(example = "[\"127.0.0.1:53\"]", why = "the system's own are known to work", shown = "the system's", restart = true)]
        pub servers: Vec<SocketAddr> = Vec::new();
        /// For one question, all tries together.
        #[key(
            example = "\"3s\"",
            why = "a resolver that is asked first may have to ask three others",
            within = Duration::from_millis(10)..=Duration::from_secs(60)
        )]
        pub timeout: Duration = Duration::from_secs(3);
        /// Answers kept in memory, each no longer than its time to live.
        #[key(
            example = "10000",
            why = "about 5 MiB, and more domains than most servers meet in an hour",
            within = 0..=10_000_000,
            restart = true
        )]
        pub cache_entries: u32 = 10_000;
    }
}
