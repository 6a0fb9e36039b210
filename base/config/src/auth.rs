//! `[auth]`: how clients prove who they are.

use std::time::Duration;

use postern_mail::fact::Mechanism;

use crate::oidc::Oidc;
use crate::table::section;
use crate::value::choice_value;

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
        /// Passwords checked at the same time by Argon2id, each with 19 MiB of memory; 0 for as many as there are processor
        /// cores.
        #[key(
            example = "2",
            why = "more would not be faster, and would let guessing crowd out mail",
            shown = "0, one for each core",
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
        later "failures_per_address" = "guesses of one address before a ban";
        later "failures_per_network" = "guesses of one network before a ban";
        later "failures_per_account" = "guesses for one account from strangers' addresses";
        later "window" = "the time in which guesses are counted";
        later "ban_first" = "the length of a first ban";
        later "ban_factor" = "how much longer each next ban is";
        later "ban_longest" = "the length of the longest ban";
    }
}
