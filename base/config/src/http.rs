//! `[http]`: the door for people and programs.

use std::net::{Ipv4Addr, SocketAddr};

use crate::table::section;

section! {
    /// Metrics and health; later the admin pages, the API and the forms.
    pub struct Http: Default {
        /// Addresses and ports to listen on; none turns it off.
        #[key(example = "[\"127.0.0.1:8025\"]", why = "loopback: what is shown here is for the administrator", restart = true)]
        pub bind: Vec<SocketAddr> = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 8025))];
    }
}
