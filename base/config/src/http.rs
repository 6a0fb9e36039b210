//! `[http]`: the door for people and programs.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::table::section;
use crate::units::Size;

section! {
    /// Metrics and health; later the admin pages, the API and the forms.
    pub struct Http: Default {
        /// Addresses and ports to listen on; none turns it off.
        #[key(example = "[\"127.0.0.1:8025\"]", why = "loopback: what is shown here is for the administrator", restart = true)]
        pub bind: Vec<SocketAddr> = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 8025))];
        /// Open connections in total.
        #[key(example = "100", why = "a browser opens six, a collector of metrics one", within = 1..=100_000)]
        pub connections: u32 = 100;
        /// How long a whole request and its answer may take.
        #[key(
            example = "\"10s\"",
            why = "nothing here takes longer than a second",
            within = Duration::from_millis(100)..=Duration::from_secs(600)
        )]
        pub timeout: Duration = Duration::from_secs(10);
        /// The largest request body.
        #[key(example = "\"64KiB\"", why = "nothing here takes a larger one", within = Size::kib(1)..=Size::mib(100))]
        pub body_max: Size = Size::kib(64);
    }
}
