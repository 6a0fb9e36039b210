//! `[reports]`: what is told to others about their mail. Promise: nobody is written to unless this says so.

use std::time::Duration;

use postern_mail::Mailbox;

use crate::table::section;
use crate::units::Size;

section! {
    /// What is told to others about mail in their name: reports of DMARC, and on TLS.
    pub struct Reports: Default {
        /// Whether domains that ask for aggregate reports of DMARC get them: once a day, by mail. So that they pass DMARC themselves, a `[[dkim]]` has
        /// to name the domain in `dmarc_from`, or its SPF to allow this server.
        #[key(example = "true", why = "a server that was just set up writes to nobody unasked")]
        pub dmarc: bool = false;
        /// Whether domains that ask for reports of single messages that fail get them, at once, with the header section of the message; a few an hour for each
        /// domain.
        #[key(example = "true", why = "a header section tells more than most people want to tell strangers")]
        pub failures: bool = false;
        /// The address whose mail is read for reports of DMARC and complaints as it comes, before aliases are followed. What they say of
        /// domains of ours is added up, see `postern reports show`; the mail itself is delivered as any other.
        #[key(
            example = "\"dmarc@example.org\"",
            why = "reports are mail of strangers, and nobody has to read it unasked",
            shown = "none"
        )]
        pub read_at: Option<Mailbox> = None;
        /// Whether domains that ask for reports on TLS (RFC 8460) get them: once a day, by mail, how many sessions with their hosts were encrypted
        /// and verified as they ask for, and why others were not.
        #[key(example = "true", why = "a server that was just set up writes to nobody unasked")]
        pub tls: bool = false;
        /// Whom reports are from, in From and MAIL FROM. What comes to this address alone is not reported on, so that two servers do not report on each
        /// other's reports.
        #[key(
            example = "\"dmarc-reports@example.org\"",
            why = "it is always there",
            shown = "postmaster at server.hostname"
        )]
        pub dmarc_from: Option<Mailbox> = None;
        /// Where complaints are sent, as it is told to providers who have such a service (feedback loops). Mail for it is read for complaints (RFC 5965),
        /// and goes on to whoever the domain says has it.
        #[key(example = "\"fbl@example.org\"", why = "somebody has to ask providers for it", shown = "nobody")]
        pub complaints_at: Option<Mailbox> = None;
        /// Who reports, in words.
        #[key(example = "\"Example Ltd\"", why = "everybody knows it", shown = "server.hostname")]
        pub org_name: Option<String> = None;
        /// The hour, in UTC, from which on reports of the day before are sent.
        #[key(example = "4", why = "the day is over and machines are idle", within = 0..=23)]
        pub hour: u32 = 2;
        /// Over how long they are spread, each at a moment of its own.
        #[key(
            example = "\"1h\"",
            why = "everybody sends reports at night, and nobody likes to get all at once",
            within = Duration::ZERO..=Duration::from_secs(12 * 3600)
        )]
        pub spread: Duration = Duration::from_secs(4 * 3600);
        /// Reports sent in one minute at most.
        #[key(example = "10", why = "they are to be no burden", within = 1..=10_000)]
        pub per_minute: u32 = 30;
        /// Reports sent in one night at most, of those domains with the most messages; and reports of single messages in one day.
        #[key(example = "100", why = "strangers can make as many domains as they like", within = 1..=1_000_000)]
        pub per_night: u32 = 2_000;
        /// Rows of one report. Messages beyond them are told as a number.
        #[key(example = "10000", why = "more clients than most domains have in a day", within = 1..=100_000)]
        pub rows_max: u32 = 2_000;
        /// Memory for what is counted until it is reported.
        #[key(example = "\"64MiB\"", why = "about 50,000 rows", within = Size(1 << 16)..=Size(1 << 32))]
        pub memory: Size = Size(16 << 20);
    }
}

#[cfg(test)]
mod tests {
    use crate::load::{Machine, load};

    #[test]
    fn nobody_is_written_to_unasked_and_reports_about_nothing_are_an_error() {
        let load = |text: &str| load(text, "f", &Machine::named("mx.example"));
        let config = load("").unwrap();
        assert!(!config.reports.dmarc && !config.reports.failures);
        assert!(load("reports.dmarc = true").is_ok());
        assert!(load("reports.dmarc = true\npolicy.authenticity.enabled = false").is_err());
        assert!(load("reports.hour = 24").is_err());
    }
}
