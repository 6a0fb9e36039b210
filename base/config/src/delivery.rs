//! `[outbound]`: how mail leaves this server.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use postern_mail::Domain;

use crate::guard::OutboundGuard;
use crate::hygiene::{Hygiene, Suppression, Verp};
use crate::next_hop::TlsMode;
use crate::scheduler::{Lanes, Provider, Retry};
use crate::table::section;
use crate::units::Size;

const TINY: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

section! {
    /// How long we wait for a host at each step (RFC 5321 §4.5.3.2).
    pub struct Timeouts: Default {
        /// For a TCP connection.
        #[key(example = "\"30s\"", why = "a host that needs longer is down; the next one is tried", within = TINY..=HOUR)]
        pub connect: Duration = Duration::from_secs(30);
        /// For the TLS handshake.
        #[key(example = "\"30s\"", why = "a handshake is three flights", within = TINY..=HOUR)]
        pub handshake: Duration = Duration::from_secs(30);
        /// For the greeting.
        #[key(example = "\"5m\"", why = "RFC 5321 §4.5.3.2.1: hosts under load delay it", within = TINY..=HOUR)]
        pub greeting: Duration = MINUTE.saturating_mul(5);
        /// For the reply to EHLO, HELO, LHLO, STARTTLS, AUTH and RSET.
        #[key(example = "\"5m\"", why = "as for MAIL", within = TINY..=HOUR)]
        pub hello: Duration = MINUTE.saturating_mul(5);
        /// For the reply to MAIL.
        #[key(example = "\"5m\"", why = "RFC 5321 §4.5.3.2.2", within = TINY..=HOUR)]
        pub mail: Duration = MINUTE.saturating_mul(5);
        /// For the reply to RCPT.
        #[key(example = "\"5m\"", why = "RFC 5321 §4.5.3.2.3", within = TINY..=HOUR)]
        pub recipient: Duration = MINUTE.saturating_mul(5);
        /// For the reply to DATA.
        #[key(example = "\"2m\"", why = "RFC 5321 §4.5.3.2.4", within = TINY..=HOUR)]
        pub data: Duration = MINUTE.saturating_mul(2);
        /// For each piece of the body to be taken.
        #[key(example = "\"3m\"", why = "RFC 5321 §4.5.3.2.5", within = TINY..=HOUR)]
        pub data_block: Duration = MINUTE.saturating_mul(3);
        /// For the reply to the end of the body.
        #[key(example = "\"10m\"", why = "RFC 5321 §4.5.3.2.6: giving up too soon makes duplicates", within = TINY..=HOUR)]
        pub data_end: Duration = MINUTE.saturating_mul(10);
        /// For the reply to QUIT.
        #[key(example = "\"5s\"", why = "nothing depends on it", within = TINY..=HOUR)]
        pub quit: Duration = Duration::from_secs(5);
        /// For one attempt with all its hosts and addresses.
        #[key(
            example = "\"1h\"",
            why = "an attempt that takes longer blocks one of few connections",
            within = TINY..=HOUR.saturating_mul(24)
        )]
        pub attempt: Duration = HOUR;
    }
}

section! {
    /// The addresses mail is sent from, and the name given with them.
    pub struct Egress by name {
        /// A name for logs and metrics.
        #[key(example = "\"main\"", why = "an egress is spoken of by its name")]
        pub name: String;
        /// Local addresses to send from: one of each family at most in this version.
        #[key(example = "[\"192.0.2.10\"]", why = "an egress without addresses would change nothing")]
        pub addresses: Vec<IpAddr>;
        /// What this server calls itself in EHLO from there.
        #[key(example = "\"mx.example.org\"", why = "one name for everything is right for most", shown = "server.hostname")]
        pub helo: Option<Domain> = None;
    }
}

section! {
    /// Policies that other domains have on TLS (MTA-STS, RFC 8461).
    pub struct MtaSts: Default {
        /// Whether they are asked for and kept to. `tls = "none"` turns this off too.
        #[key(example = "true", why = "a domain that says how it wants its mail delivered means it")]
        pub enabled: bool = true;
        /// The TCP port of the hosts that policies are fetched from. Another one is of use in tests only.
        #[key(example = "443", why = "RFC 8461 §3.3", within = 1..=u16::MAX)]
        pub port: u16 = 443;
        /// Whether these hosts may be on loopback and private networks. Of use in tests and closed networks only.
        #[key(example = "false", why = "strangers choose whom we connect to")]
        pub private_networks: bool = false;
        /// No policy holds longer than this without being fetched anew, whatever it says.
        #[key(
            example = "\"365d\"",
            why = "RFC 8461 §3.2 lets domains ask for a year; policies that go on being there are fetched again each day",
            within = HOUR..=HOUR.saturating_mul(24 * 366),
            restart = true
        )]
        pub longest: Duration = HOUR.saturating_mul(24 * 90);
        /// Policies that are remembered. Beyond it those that end first are forgotten.
        #[key(example = "10000", why = "about 10 MiB at most, and more domains with a policy than most servers send mail to", within = 1..=1_000_000, restart = true)]
        pub policies_max: u32 = 10_000;
    }
}

section! {
    /// How mail leaves this server.
    pub struct Outbound: Default {
        /// False: nothing leaves for mail exchangers. Mail goes to hosted domains and routes only, and a recipient elsewhere is
        /// refused.
        #[key(example = "false", why = "a mail server sends mail; who may do so is a matter of accounts")]
        pub enabled: bool = true;
        /// How TLS is used towards mail exchangers: `none`, `opportunistic`, `require` or `verify`.
        #[key(
            example = "\"opportunistic\"",
            why = "many hosts have no certificate that could be verified, and some have no TLS"
        )]
        pub tls: TlsMode = TlsMode::Opportunistic;
        /// Hosts whose certificates DNS names securely are held to that (RFC 7672), whatever `tls` says, but not with `none`.
        #[key(example = "true", why = "it costs nothing where there is no validating resolver, and is the best there is where there is one")]
        pub dane: bool = true;
        /// Authorities whose certificates `verify` trusts, in PEM.
        #[key(
            example = "\"/etc/ssl/certs/ca-certificates.crt\"",
            why = "the system knows whom it trusts",
            shown = "the system's"
        )]
        pub ca_file: Option<PathBuf> = None;
        /// The TCP port of mail exchangers. Another one is of use in tests only.
        #[key(example = "25", why = "RFC 5321 §4.5.4.2", within = 1..=u16::MAX)]
        pub port: u16 = 25;
        /// Local addresses to send from.
        #[key(
            example = "[{ name = \"main\", addresses = [\"192.0.2.10\"], helo = \"mx.example.org\" }]",
            why = "the system chooses",
            shown = "the system's choice"
        )]
        pub egress: Vec<Egress> = Vec::new();
        /// The age at which the sender is told, once, that a message is delayed; 0s for never.
        #[key(
            example = "\"4h\"",
            why = "long enough for greylisting and a reboot, short enough to use the telephone the same day",
            within = Duration::ZERO..=HOUR.saturating_mul(24 * 60)
        )]
        pub delay_warning_after: Duration = HOUR.saturating_mul(4);
        /// The most of a message that is sent back with a report on it; of larger ones only the header goes back.
        #[key(
            example = "\"64KiB\"",
            why = "a sender recognises a message by less, and a report should be small",
            within = Size(0)..=Size::mib(50)
        )]
        pub report_body_max: Size = Size::kib(64);
        /// Messages over one connection before it is closed.
        #[key(example = "100", why = "large providers close at about this number", within = 1..=1_000_000)]
        pub messages_per_connection: u32 = 100;
        /// How long a connection is kept open for the next message.
        #[key(
            example = "\"10s\"",
            why = "hosts take offence at connections that do nothing for long",
            within = Duration::ZERO..=HOUR
        )]
        pub kept_idle: Duration = Duration::from_secs(10);
        /// Connections kept open for the next message, in all.
        #[key(example = "200", why = "as many as may be in use", within = 0..=100_000)]
        pub kept_connections_max: u32 = 200;
        /// Connections kept open for the next message, to one destination.
        #[key(example = "20", why = "as many as one destination may have in use", within = 0..=10_000)]
        pub kept_connections_per_destination_max: u32 = 20;
        /// Recipients in one transaction; a message with more is sent in several.
        #[key(example = "100", why = "RFC 5321 §4.5.3.1.8 lets every host take 100", within = 1..=100_000)]
        pub recipients_per_transaction: u32 = 100;
        /// Messages up to this size are written in one piece with their commands, where the host offers PIPELINING and CHUNKING.
        #[key(
            example = "\"256KiB\"",
            why = "one round trip for each message, and no more memory than that",
            within = Size(0)..=Size::mib(16)
        )]
        pub at_once_size_max: Size = Size::kib(256);
        /// Addresses tried in one attempt.
        #[key(example = "10", why = "the rest will hardly answer where these did not", within = 1..=100)]
        pub addresses_max: u32 = 10;
        /// Threads that write into Maildirs.
        #[key(example = "8", why = "each waits for the disk most of the time", within = 1..=256, restart = true)]
        pub maildir_writers: u16 = 8;
        /// Messages in any hour of an account whose scope does not say (`postern account scope`), also of a relay network's.
        #[key(
            example = "200",
            why = "nobody writes so many by hand, and a stolen password sends no more before somebody notices",
            within = 1..=1_000_000_000
        )]
        pub messages_per_hour: u32 = 200;
        /// Recipients in any day of an account whose scope does not say.
        #[key(example = "2000", why = "as for messages_per_hour", within = 1..=1_000_000_000)]
        pub recipients_per_day: u32 = 2_000;
        /// Policies on TLS of other domains.
        #[key(example = "", why = "see its keys")]
        pub mta_sts: MtaSts;
        /// Recipients in any day that an account has never written to before; what goes beyond is held.
        #[key(example = "500", why = "few people come to know so many in a day", within = 1..=1_000_000_000)]
        pub new_recipients_per_day: u32 = 200;
        /// Accounts that suddenly send otherwise.
        #[key(example = "", why = "see its keys")]
        pub guard: OutboundGuard;
        /// When a message is tried again.
        #[key(example = "", why = "see its keys")]
        pub retry: Retry;
        /// How much is sent at once.
        #[key(example = "", why = "see its keys")]
        pub lanes: Lanes;
        /// Accounts whose mail is bulk mail, as newsletters are: it goes behind everything else for the same destination, and may not be to desks
        /// (`outbound.hygiene.role_names`). A change is about mail that comes from then on, and after a restart about all that waits.
        #[key(example = "[\"news@example.org\"]", why = "what a person or a shop sends is waited for", shown = "none")]
        pub bulk_accounts: Vec<String> = Vec::new();
        /// What single providers take.
        #[key(
            example = "[{ name = \"google\", mx = [\"*.google.com\"], connections = 10 }]",
            why = "what is known of the large ones comes with the program",
            shown = "those that come with the program"
        )]
        pub provider: Vec<Provider> = Vec::new();
        /// How long we wait for a host.
        #[key(example = "", why = "see its keys")]
        pub timeouts: Timeouts;
        /// Who is not written to.
        #[key(example = "", why = "see its keys")]
        pub hygiene: Hygiene;
        /// Addresses that are not written to any more.
        #[key(example = "", why = "see its keys")]
        pub suppression: Suppression;
        /// What comes back.
        #[key(example = "", why = "see its keys")]
        pub verp: Verp;
    }
}
