//! `[server]`: who this server is, where its data lives, and which networks are treated as its own.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use postern_mail::{Domain, Mailbox};

use crate::table::section;

section! {
    /// Who this server is, where its data lives, and which networks are treated as its own.
    pub struct Server {
        /// The name this server gives itself in its greeting, in EHLO and in trace headers. It should resolve to the address
        /// other servers see, and that address back to it.
        #[key(
            example = "\"mx.example.org\"",
            why = "the machine's name is what its administrator chose for it",
            shown = "the machine's name"
        )]
        pub hostname: Domain => |machine| machine.hostname.clone();
        /// Where the spool, the accounts, the history and a self-signed certificate live.
        #[key(example = "\"/var/lib/postern\"", why = "needs no root, and is easy to find and to throw away", restart = true)]
        pub data_dir: PathBuf = PathBuf::from("./postern-data");
        /// Root is dropped to this user once the ports are bound. Without effect when not started as root.
        #[key(example = "\"postern\"", why = "the user that the package makes", restart = true)]
        pub user: String = "postern".to_owned();
        /// Networks that are never banned and never greylisted. They may still not relay without AUTH.
        #[key(example = "[\"192.0.2.0/24\"]", why = "nobody is trusted unasked, not even loopback")]
        pub trusted_networks: Vec<IpNet> = Vec::new();
        /// Networks that may send anywhere without AUTH, as account `network:<cidr>`.
        #[key(example = "[\"10.1.2.0/24\"]", why = "relaying needs AUTH")]
        pub relay_networks: Vec<IpNet> = Vec::new();
        /// Who reads mail to `postmaster` of this server and of each hosted domain that has no such mailbox or alias of its own
        /// (RFC 5321 §4.5.1). Without it, each domain delivers to a mailbox `postmaster` of its own.
        #[key(example = "\"alice@example.org\"", why = "only you know who that is")]
        pub postmaster: Option<Mailbox> = None;
        /// How long sessions that are in the middle of a message may go on after the order to stop.
        #[key(
            example = "\"20s\"",
            why = "less than the 90 s after which service managers kill",
            within = Duration::ZERO..=Duration::from_secs(3600)
        )]
        pub shutdown_grace: Duration = Duration::from_secs(20);
    }
}
