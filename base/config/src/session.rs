//! `[limits]`: how much of everything a client may have. Promise: each of them is checked before work is done, and none is
//! infinite.

use std::time::Duration;

use crate::table::section;
use crate::units::{Rate, Size};

const TINY: Duration = Duration::from_millis(10);
const DAY: Duration = Duration::from_secs(86_400);

section! {
    /// How much of everything a client may have. Each limit is checked before work is done.
    pub struct Limits: Default {
        /// Open connections in total, over all listeners. Beyond it, new ones get 421 and are closed.
        #[key(example = "10000", why = "an idle connection costs at most 6 KiB, so these cost 60 MiB", within = 1..=1_000_000)]
        pub connections: u32 = 10_000;
        /// Open connections of one client address; IPv6 clients count by their /64, which one host owns whole.
        #[key(example = "50", why = "large senders open twenty to forty at once", within = 1..=1_000_000)]
        pub connections_per_address: u32 = 50;
        /// Open connections of one network: /24, or /48 for IPv6.
        #[key(example = "200", why = "a provider's pool of senders often shares one network", within = 1..=1_000_000)]
        pub connections_per_network: u32 = 200;
        /// New connections of one client address in a minute.
        #[key(
            example = "120",
            why = "two in a second is more than any server needs that reuses connections",
            within = 1..=1_000_000
        )]
        pub connections_per_minute_per_address: u32 = 120;
        /// How long a client may take for one whole command line.
        // RFC 5321 §4.5.3.2.7 DEPARTS: it asks for five minutes; a slot held that long by a silent stranger is one nobody else
        // has.
        #[key(
            example = "\"60s\"",
            why = "RFC 5321 §4.5.3.2.7 asks for five minutes, but silence holds a slot, and live servers answer within seconds",
            within = TINY..=DAY
        )]
        pub command_timeout: Duration = Duration::from_secs(60);
        /// How long a client may pause within a message body.
        #[key(example = "\"3m\"", why = "RFC 5321 §4.5.3.2.5", within = TINY..=DAY)]
        pub data_timeout: Duration = Duration::from_secs(180);
        /// How long a transaction may take from MAIL to the end of the body.
        #[key(example = "\"10m\"", why = "the largest message takes less over 1 Mbit/s", within = TINY..=DAY)]
        pub transaction_timeout: Duration = Duration::from_secs(600);
        /// How long a session may last, whatever happens in it.
        #[key(
            example = "\"1h\"",
            why = "long enough for any queue to be sent over one connection, short enough to end what never ends",
            within = TINY..=DAY
        )]
        pub session_timeout: Duration = Duration::from_secs(3600);
        /// How long a TLS handshake may take.
        #[key(
            example = "\"30s\"",
            why = "a handshake is three flights; no line is that slow",
            within = TINY..=Duration::from_secs(600)
        )]
        pub handshake_timeout: Duration = Duration::from_secs(30);
        /// A body that arrives more slowly than this, measured over a while, ends the session.
        #[key(
            example = "\"1KiB/s\"",
            why = "a modem of 1995 is faster; what is slower is a slow-reading attack",
            within = Rate(Size(0))..=Rate(Size::gib(1))
        )]
        pub data_rate_min: Rate = Rate(Size::kib(1));
        /// For this long from the start of a body its rate is not looked at.
        #[key(example = "\"10s\"", why = "a slow start is no fault", within = Duration::ZERO..=Duration::from_secs(3600))]
        pub data_rate_grace: Duration = Duration::from_secs(10);
        /// A message is not taken faster than this, once its first MiB is in.
        #[key(
            example = "\"64MiB/s\"",
            why = "half of what a line of 1 Gbit/s brings; measured: faster, one large message makes small ones beside it wait",
            within = Rate(Size::mib(1))..=Rate(Size::gib(1024))
        )]
        pub data_rate_max: Rate = Rate(Size::mib(64));
        /// How long the greeting is kept back. A client that talks before it is no mail server.
        #[key(
            example = "\"5s\"",
            why = "delays every honest sender, so it is a choice",
            within = Duration::ZERO..=Duration::from_secs(60)
        )]
        pub greeting_delay: Duration = Duration::ZERO;
        /// The largest message that is taken (RFC 1870).
        // RFC 5321 §4.5.3.1.7: at least 64 KiB must be taken.
        #[key(
            example = "\"50MiB\"",
            why = "what large providers take, grown by base64, fits",
            within = Size::kib(64)..=Size::gib(2)
        )]
        pub message_size: Size = Size::mib(50);
        /// Recipients of one message from strangers; further ones get 452 and come in another message.
        #[key(example = "100", why = "RFC 5321 §4.5.3.1.8 asks for at least 100", within = 1..=100_000)]
        pub recipients_per_message: u32 = 100;
        /// Recipients of one message from an account or a relay network.
        #[key(example = "1000", why = "programs that write to a list do not split it", within = 1..=100_000)]
        pub recipients_per_message_authenticated: u32 = 1000;
        /// Messages in one connection; then 421, and the client connects again.
        #[key(
            example = "1000",
            why = "a sender with a backlog keeps its connection, and yet one day gives its slot back",
            within = 1..=1_000_000_000
        )]
        pub messages_per_connection: u32 = 1000;
        /// Unknown commands, syntax faults, refused relays and failed AUTHs in one session; then 421.
        // RFC 4954 §9: the default lets a client try far more than three passwords before it is cut off.
        #[key(example = "10", why = "honest clients make none; a program under development makes a few", within = 1..=1000)]
        pub faults_per_session: u32 = 10;
        /// Unknown recipients in one session; then 421.
        #[key(example = "10", why = "a stale list has a few, a harvester has thousands", within = 1..=60_000)]
        pub recipients_unknown_per_session: u32 = 10;
        /// Received headers in a message; with more it is in a loop (RFC 5321 §6.3).
        #[key(example = "100", why = "RFC 5321 §6.3 asks for at least 100 where hops are only counted", within = 10..=1000)]
        pub received_max: u32 = 100;
        later "connections_reserved" = "connections kept free for authenticated and known-good clients";
        later "connections_per_listener" = "open connections of one listener";
        later "connections_per_minute_per_network" = "new connections of one network in a minute";
        later "messages_per_hour" = "messages of one client in an hour";
        later "recipients_per_hour" = "recipients of one client in an hour";
        later "bytes_per_hour" = "octets of one client in an hour";
        later "bytes_per_connection" = "octets in one connection";
        later "handshakes_per_minute_per_address" = "TLS handshakes of one client address in a minute";
    }
}
