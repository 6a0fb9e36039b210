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
        /// Of these, kept for clients we know: those of `server.trusted_networks` and `server.relay_networks`, and those that logged in or
        /// delivered a message that was taken within `known_for`; after a restart, which forgets those, whoever comes from a network that an
        /// account logged in from. A stranger is turned away when only these are left. Never more than half of the connections.
        #[key(
            example = "1000",
            why = "a flood of strangers does not shut customers out, and a tenth is no loss to strangers",
            within = 0..=1_000_000
        )]
        pub connections_reserved: u32 = 1000;
        /// How long a client that logged in, or delivered a message that was taken, counts as known: about this long at least, and twice
        /// as long at most, since what is remembered fades over a second such time. At a restart all are forgotten.
        #[key(
            example = "\"7d\"",
            why = "who writes once a week is still known",
            within = TINY..=Duration::from_secs(40 * 86_400)
        )]
        pub known_for: Duration = Duration::from_secs(7 * 86_400);
        /// Open connections of one `[[listener]]`, over all its addresses; 0 for four fifths of `connections`, or all where there is only one listener. Known
        /// clients are counted, and not turned away by it.
        #[key(
            example = "8000",
            why = "a flood on one port leaves a fifth of the connections to the others",
            shown = "0, four fifths of connections",
            within = 0..=1_000_000
        )]
        pub connections_per_listener: u32 = 0;
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
        /// New connections of one network in a minute: /24, or /48 for IPv6. Known clients are counted, and not turned away by it.
        #[key(example = "480", why = "four times what one address may", within = 1..=1_000_000)]
        pub connections_per_minute_per_network: u32 = 480;
        /// TLS handshakes of one client address in a minute, after STARTTLS or with the connection. Known clients are counted, and not
        /// turned away by it.
        #[key(
            example = "60",
            why = "a handshake costs more than anything else before mail, and no honest stranger needs one a second",
            within = 1..=1_000_000
        )]
        pub handshakes_per_minute_per_address: u32 = 60;
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
        /// Octets in one connection. A MAIL behind it gets 452, and the client connects again; when all that came, commands and refused bodies with it, is
        /// a whole message more, the connection is closed with 421.
        #[key(
            example = "\"2GiB\"",
            why = "forty of the largest messages, and yet an end to who only wants to fill the line",
            within = Size::mib(1)..=Size::gib(1024 * 1024)
        )]
        pub bytes_per_connection: Size = Size::gib(2);
        /// Messages that one stranger's address may begin in an hour; then MAIL gets 451. Accounts, relay networks and trusted networks are not
        /// counted: they have quotas of their own.
        #[key(
            example = "3600",
            why = "one in each second, hour after hour, is more than any one server has to say to most others",
            within = 1..=1_000_000_000
        )]
        pub messages_per_hour: u32 = 3600;
        /// Recipients that one stranger's address may have accepted in an hour; then RCPT gets 450.
        #[key(example = "10000", why = "a hundred full messages", within = 1..=1_000_000_000)]
        pub recipients_per_hour: u32 = 10_000;
        /// Octets of messages of one stranger's address in an hour; then MAIL gets 452.
        #[key(
            example = "\"10GiB\"",
            why = "a line of 20 Mbit/s, filled for the whole hour",
            within = Size::mib(1)..=Size::gib(4000)
        )]
        pub bytes_per_hour: Size = Size::gib(10);
        /// Faults of one stranger's address that are remembered over its sessions, in an hour: unknown commands, syntax, refused relays,
        /// talking before the greeting. Beyond it the address is banned (`[auth] ban_first`).
        #[key(example = "60", why = "six sessions that each used up their own budget", within = 1..=1_000_000_000)]
        pub faults_per_hour: u32 = 60;
        /// Unknown recipients of one stranger's address in an hour; beyond it likewise.
        #[key(
            example = "100",
            why = "a server that passes spam on has some, a harvester has thousands",
            within = 1..=1_000_000_000
        )]
        pub recipients_unknown_per_hour: u32 = 100;
        /// How long a network whose hosts together are beyond `faults_per_hour` or `recipients_unknown_per_hour` (times `network_factor`) is
        /// refused before the greeting, but for known clients in it. No single host of it is banned for that.
        #[key(
            example = "\"10m\"",
            why = "what goes on after that is refused again with its next fault",
            within = Duration::from_millis(100)..=DAY
        )]
        pub refused_for: Duration = Duration::from_secs(600);
        /// A network (/24, /48) may have so many times of each hourly limit as one address.
        #[key(example = "4", why = "as with connections", within = 1..=65_536)]
        pub network_factor: u32 = 4;
        /// A client we know may have so many times of each hourly limit as a stranger, before it is refused.
        #[key(
            example = "10",
            why = "large providers are known, and send the bad with the good; one message that was taken is no licence to harvest",
            within = 1..=65_536
        )]
        pub known_factor: u32 = 10;
        /// Memory for everything that is counted by address and network: connections and handshakes in a minute, who is known, and all hourly
        /// limits. Each of these sixteen counts has a seventeenth of it, taken only as it is needed; the last is for tables that grow. When one is full, the address whose count has faded
        /// most of those in its corner is forgotten first, and of equals the older; so a flood of new addresses does not wash away one that is near
        /// its limit. (Counts of what is open are not in it: they are bounded by `connections`.)
        #[key(
            example = "\"32MiB\"",
            why = "fifty thousand addresses in each count",
            within = Size::kib(64)..=Size::gib(64),
            restart = true
        )]
        pub counters_memory: Size = Size::mib(32);
        /// Stress begins when strangers hold this share of the connections they may have. Until it is over, all strangers have less time and fewer faults, as the next
        /// keys say, from the next command or piece of a body on.
        #[key(example = "0.75", why = "early enough that tightening makes room before all is full", within = 0.01..=1.0)]
        pub stress_at: f64 = 0.75;
        /// Stress is over when they hold no more than this share.
        #[key(example = "0.5", why = "well below its beginning, so that it does not flicker", within = 0.0..=1.0)]
        pub stress_until: f64 = 0.5;
        /// Under stress, `command_timeout` for strangers; and they have no longer than this for a TLS handshake, for a PROXY header, and to take
        /// what is said to them.
        #[key(example = "\"10s\"", why = "live servers answer within seconds", within = TINY..=DAY)]
        pub stress_command_timeout: Duration = Duration::from_secs(10);
        /// Under stress, `data_timeout` for strangers.
        #[key(example = "\"30s\"", why = "a pause that long within a body is a broken line or an attack", within = TINY..=DAY)]
        pub stress_data_timeout: Duration = Duration::from_secs(30);
        /// Under stress, `faults_per_session` and `recipients_unknown_per_session` for strangers.
        #[key(example = "2", why = "an honest stranger makes none", within = 1..=1000)]
        pub stress_faults_per_session: u32 = 2;
        /// Unknown commands, syntax faults, refused relays and failed AUTHs in one session; then 421.
        // RFC 4954 §9: the default lets a client try far more than three passwords before it is cut off.
        #[key(example = "10", why = "honest clients make none; a program under development makes a few", within = 1..=1000)]
        pub faults_per_session: u32 = 10;
        /// Unknown recipients in one session; then 421.
        #[key(example = "10", why = "a stale list has a few, a harvester has thousands", within = 1..=60_000)]
        pub recipients_unknown_per_session: u32 = 10;
        /// Commands that do nothing for a message, in one session and since its last message was taken: NOOP, RSET, VRFY, EXPN, HELP, EHLO, and MAIL that
        /// was refused. Beyond it the session ends with 421.
        #[key(
            example = "100",
            why = "who keeps a connection alive says one a minute, and some say RSET before each message",
            within = 10..=1_000_000_000
        )]
        pub idle_commands_per_session: u32 = 100;
        /// Received headers in a message; with more it is in a loop (RFC 5321 §6.3).
        #[key(example = "100", why = "RFC 5321 §6.3 asks for at least 100 where hops are only counted", within = 10..=1000)]
        pub received_max: u32 = 100;
    }
}
