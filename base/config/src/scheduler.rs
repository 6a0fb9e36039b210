//! `[outbound.retry]`, `[outbound.lanes]` and `[[outbound.provider]]`: when mail is tried again, and how much at once.

use std::time::Duration;

use crate::table::section;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const TINY: Duration = Duration::from_millis(1);

section! {
    /// When a message is tried again that could not be delivered.
    pub struct Retry: Default {
        /// The wait before the second try.
        // RFC 5321 §4.5.4.1: how often and how long is tried can be configured.
        #[key(
            example = "\"5m\"",
            why = "RFC 5321 §4.5.4.1 asks for 30 minutes, but a greylisted message should not wait that long",
            within = TINY..=DAY
        )]
        pub first: Duration = MINUTE.saturating_mul(5);
        /// How much longer each next wait is.
        #[key(example = "2.0", why = "soon at first, seldom later, as RFC 5321 §4.5.4.1 describes", within = 1.0..=100.0)]
        pub factor: f64 = 2.0;
        /// The longest wait.
        #[key(example = "\"4h\"", why = "a host that is back gets its mail the same day", within = TINY..=DAY.saturating_mul(7))]
        pub longest: Duration = HOUR.saturating_mul(4);
        /// The age at which a message is given back to its sender.
        #[key(example = "\"5d\"", why = "RFC 5321 §4.5.4.1 asks for four to five days", within = TINY..=DAY.saturating_mul(60))]
        pub give_up: Duration = DAY.saturating_mul(5);
        /// Each wait is longer or shorter by up to this share, at random.
        #[key(example = "0.1", why = "what failed together is not tried again together", within = 0.0..=0.5)]
        pub jitter: f64 = 0.1;
    }
}

section! {
    /// How much is sent at once, in all and to one destination (the hosts behind one domain, or one route).
    pub struct Lanes: Default {
        /// Deliveries under way at the same time, to all destinations.
        #[key(
            example = "200",
            why = "each costs a socket and a buffer; enough for thousands of messages a second at usual round trips",
            within = 1..=100_000
        )]
        pub concurrency_total: u32 = 200;
        /// Connections to one destination when it is first used; grows on success and shrinks on trouble.
        #[key(example = "5", why = "no host takes offence at five", within = 1..=10_000)]
        pub connections_per_destination_start: u32 = 5;
        /// The most it grows to.
        #[key(example = "20", why = "large providers allow about this many for each sender", within = 1..=10_000)]
        pub connections_per_destination_max: u32 = 20;
        /// Messages to one destination in a minute; 0 for no such limit.
        #[key(example = "600", why = "the window of connections adapts by itself", within = 0..=10_000_000)]
        pub messages_per_minute_per_destination: u32 = 0;
        /// How long a destination that is down waits for its next single try, at first; doubled with each failure.
        #[key(example = "\"1m\"", why = "soon enough for a restart", within = TINY..=DAY)]
        pub pause_first: Duration = MINUTE;
        /// The longest such wait. All mail to a destination shares it, so that a dead host costs one try and not one for each
        /// message.
        #[key(example = "\"30m\"", why = "a host that is back gets its mail within half an hour", within = TINY..=DAY)]
        pub pause_longest: Duration = MINUTE.saturating_mul(30);
        /// How long the window and the trouble of a destination are remembered once no mail is left for it.
        #[key(example = "\"10m\"", why = "the next message finds what the last has learnt", within = Duration::ZERO..=DAY)]
        pub remembered: Duration = MINUTE.saturating_mul(10);
        /// Destinations known at the same time. Of those without mail, the one that was used longest ago is forgotten first.
        #[key(example = "100000", why = "a few hundred octets each", within = 100..=10_000_000)]
        pub lanes_max: u32 = 100_000;
    }
}

section! {
    /// What a provider takes from us, over all domains whose exchangers are its. Many are known already; one of the same name here takes the place of
    /// that. A domain counts as a provider's when all its exchangers do.
    pub struct Provider by name {
        /// What it is called in `postern queue summary`, behind the destinations that lead there.
        #[key(example = "\"google\"", why = "a provider is spoken of by its name")]
        pub name: String;
        /// Its exchangers: a host's whole name, or `*.` and what the names end with.
        #[key(example = "[\"*.google.com\"]", why = "a provider is known by nothing else")]
        pub mx: Vec<String>;
        /// The most connections at a time, over all its domains; 0 for as many as any destination may have.
        #[key(example = "20", why = "few providers say how many they take", within = 0..=10_000)]
        pub connections: u32 = 0;
        /// Messages in a minute, over all its domains; 0 for as many as any destination may have.
        #[key(example = "600", why = "the window of connections adapts by itself", within = 0..=10_000_000)]
        pub messages_per_minute: u32 = 0;
    }
}
