//! `[auth]`: how clients prove who they are.

use std::time::Duration;

use postern_mail::fact::Mechanism;

use crate::oidc::Oidc;
use crate::table::section;
use crate::value::{choice, choice_value};

choice! {
    /// What a banned client hears.
    pub enum BanReply {
        /// Come again later.
        Later = "421",
        /// Do not come again.
        Never = "554",
        /// Nothing.
        Silence = "none",
    }
}

choice_value!(
    Mechanism,
    [
        Mechanism::External,
        Mechanism::ScramSha256Plus,
        Mechanism::ScramSha256,
        Mechanism::OauthBearer,
        Mechanism::Xoauth2,
        Mechanism::Plain,
        Mechanism::Login
    ]
);

section! {
    /// How clients prove who they are: on `submission` and `submissions` listeners only, and only under TLS.
    pub struct Auth: Default {
        /// What is offered, in this order (RFC 4954 §4). `EXTERNAL` is offered to a client that showed a certificate `[tls] client_ca`
        /// vouches for, `OAUTHBEARER` and `XOAUTH2` where `oidc` names an issuer.
        #[key(
            example = "[\"SCRAM-SHA-256-PLUS\", \"SCRAM-SHA-256\", \"PLAIN\", \"LOGIN\"]",
            why = "the strongest first, and what every mail program can do last"
        )]
        pub mechanisms: Vec<Mechanism> =
            vec![
                Mechanism::External,
                Mechanism::ScramSha256Plus,
                Mechanism::ScramSha256,
                Mechanism::OauthBearer,
                Mechanism::Xoauth2,
                Mechanism::Plain,
                Mechanism::Login,
            ];
        /// Passwords checked at the same time by Argon2id, each with 19 MiB of memory; 0 for one less than there are processor
        /// cores, and at least one.
        #[key(
            example = "2",
            why = "a core is left for mail while passwords are guessed; two checks on each core would be no faster",
            shown = "0, one for each core but one",
            within = 0..=1024,
            restart = true
        )]
        pub argon2_concurrency: u32 = 0;
        /// Checks that may wait for one of those; beyond it AUTH gets 454, and the client comes again.
        #[key(example = "64", why = "the last of them waits about two seconds", within = 0..=100_000, restart = true)]
        pub argon2_waiting_max: u32 = 64;
        /// How long one of them waits before AUTH gets 454.
        #[key(
            example = "\"10s\"",
            why = "mail programs give up soon after",
            within = Duration::from_millis(10)..=Duration::from_secs(600),
            restart = true
        )]
        pub argon2_wait: Duration = Duration::from_secs(10);
        /// How long a right password is remembered, so that a program which logs in for each message does not cost a check each
        /// time. A changed or disabled account is forgotten at once.
        #[key(
            example = "\"5m\"",
            why = "spares most checks, and is kept as a keyed hash only",
            within = Duration::ZERO..=Duration::from_secs(86_400),
            restart = true
        )]
        pub remembered: Duration = Duration::from_secs(300);
        /// How many of them.
        #[key(example = "10000", why = "about 100 octets each", within = 0..=10_000_000, restart = true)]
        pub remembered_max: u32 = 10_000;
        /// OpenID Connect issuers whose tokens are good for logging in by OAUTHBEARER and XOAUTH2.
        #[key(
            example = "[{ issuer = \"https://id.example.org\", audience = \"postern\" }]",
            why = "nobody else's word is taken for who a client is"
        )]
        pub oidc: Vec<Oidc> = Vec::new();
        /// Wrong passwords of one address (/32, /64) within `window` before nothing more of it is verified. The same wrong password
        /// for the same account from the same network counts once, so that a phone with an old password is no attack.
        #[key(example = "5", why = "people mistype two or three times", within = 1..=1_000_000)]
        pub failures_per_address: u32 = 5;
        /// Wrong passwords of one address within a day.
        #[key(example = "20", why = "who guesses slowly guesses too", within = 1..=1_000_000)]
        pub failures_per_address_daily: u32 = 20;
        /// Wrong passwords of one network (/24, /48) within `window`.
        #[key(example = "50", why = "ten addresses that each use up what they have", within = 1..=1_000_000)]
        pub failures_per_network: u32 = 50;
        /// Wrong passwords for one account within `window`, from networks it never logged in from. From half of it on strangers are slowed,
        /// beyond it they are not verified for this account; networks it has logged in from go on.
        #[key(example = "20", why = "at most some two thousand guesses a day, however many addresses guess", within = 1..=1_000_000)]
        pub failures_per_account: u32 = 20;
        /// How often one address may repeat what is known to be wrong within `window`.
        #[key(example = "120", why = "eight programs that try each minute", within = 1..=10_000_000)]
        pub repeats_per_address: u32 = 120;
        /// Accounts on which one password was wrong within `window` before strangers are no longer verified with it.
        #[key(example = "10", why = "one password on many accounts is one attack", within = 2..=100)]
        pub spray_accounts: u32 = 10;
        /// The time in which wrong passwords are counted.
        #[key(
            example = "\"15m\"",
            why = "longer than a person goes on trying",
            within = Duration::from_secs(1)..=Duration::from_secs(86_400)
        )]
        pub window: Duration = Duration::from_secs(900);
        /// The longest time an attempt is slowed, while it holds nobody's turn.
        #[key(
            example = "\"8s\"",
            why = "mail programs still wait for it",
            within = Duration::ZERO..=Duration::from_secs(60)
        )]
        pub slowed_longest: Duration = Duration::from_secs(8);
        /// How long a network stays known after an account logged in from it.
        #[key(
            example = "\"60d\"",
            why = "a holiday home is still known at the next weekend",
            within = Duration::from_secs(1)..=Duration::from_secs(3650 * 86_400),
            restart = true
        )]
        pub networks_known: Duration = Duration::from_secs(60 * 86_400);
        /// How many addresses, networks, accounts and passwords are remembered of each kind.
        #[key(
            example = "65536",
            why = "about 40 MiB when all of it is full, and 8 octets more for each name a password is tried on, up to spray_accounts; what has faded most is forgotten first",
            within = 64..=10_000_000,
            restart = true
        )]
        pub remembered_failures: u32 = 65_536;
        /// The length of a first ban, whatever it is for.
        #[key(
            example = "\"10m\"",
            why = "ends guessing, and is over before somebody who was wrongly banned has found out whom to ask",
            within = Duration::from_millis(100)..=Duration::from_secs(366 * 86_400)
        )]
        pub ban_first: Duration = Duration::from_secs(600);
        /// How much longer each next ban of the same client is.
        #[key(example = "2.0", why = "who goes on is soon gone for days, who stops is soon back", within = 1.0..=100.0)]
        pub ban_factor: f64 = 2.0;
        /// The length of the longest automatic ban. Only a person bans without end.
        #[key(
            example = "\"7d\"",
            why = "addresses change hands; who then has one is not to pay for what another did with it",
            within = Duration::from_millis(100)..=Duration::from_secs(366 * 86_400)
        )]
        pub ban_longest: Duration = Duration::from_secs(7 * 86_400);
        /// How long a ban that is over still makes the next one longer.
        #[key(
            example = "\"30d\"",
            why = "as long as most lists of hostile addresses keep theirs",
            within = Duration::ZERO..=Duration::from_secs(10 * 366 * 86_400)
        )]
        pub ban_memory: Duration = Duration::from_secs(30 * 86_400);
        /// Hosts of one /24 or /48 that are banned at a time before the network is banned as a whole; 0 for never.
        #[key(example = "8", why = "so many of 256 are no chance", within = 0..=65_536)]
        pub ban_neighbours: u32 = 8;
        /// What a banned client hears before the connection is closed: `421` (come again later), `554` (do not come again), or nothing.
        /// Behind implicit TLS it never hears anything; nor do more than sixty clients of one ban in a minute, whose connections are reset.
        #[key(example = "\"421\"", why = "a server of honest people that was banned keeps its mail and comes again")]
        pub ban_reply: BanReply = BanReply::Later;
        /// Bans in force and remembered at most. When there are more, what is over is forgotten first, then the automatic ones that
        /// end first.
        #[key(example = "100000", why = "about 50 MB, and more hosts than most botnets send to one server", within = 16..=10_000_000)]
        pub bans_max: u32 = 100_000;
        /// A password or app password that nobody has used for so long is disabled, after notice; 0s for never. The last use is known to
        /// the hour. `postern account enable` takes it back.
        #[key(
            example = "\"90d\"",
            why = "what is forgotten is stolen unnoticed; who comes back after a season asks once",
            within = Duration::ZERO..=Duration::from_secs(86_400 * 3_650)
        )]
        pub unused_after: Duration = Duration::from_secs(86_400 * 90);
        /// How long before that notice is given. One that was unused for longer already, when this is first looked at, has this long too.
        #[key(
            example = "\"14d\"",
            why = "as long as a holiday",
            within = Duration::ZERO..=Duration::from_secs(86_400 * 365)
        )]
        pub unused_notice: Duration = Duration::from_secs(86_400 * 14);
        /// Networks (/24, /48) a credential may be new in within a day; with more, and more than it was known from before, it is reported.
        #[key(example = "3", why = "home, work and a telephone", within = 1..=16)]
        pub new_networks_per_day: u32 = 3;
    }
}
