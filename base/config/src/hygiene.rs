//! `[outbound.hygiene]`, `[outbound.suppression]` and `[outbound.verp]`: who is not written to, and how it is found out. Promise: nobody is kept from
//! being written to by what was said about us, and what a machine decides has an end.

use std::time::Duration;

use postern_mail::Domain;
use postern_mail::scope::Addresses;

use crate::table::section;
use crate::value::text_values;

const DAY: Duration = Duration::from_secs(86_400);

fn parse_addresses(text: &str) -> Result<Addresses, String> {
    Addresses::parse(text).ok_or_else(|| "neither name@example.org, nor example.org, nor *.example.org".to_owned())
}

text_values! {
    Addresses, "address or domain", parse_addresses, ToString::to_string;
}

/// Names that stand for a desk and not for a person (RFC 2142), and those that many have beside them.
fn role_names() -> Vec<String> {
    let names = "abuse accounting accounts admin administrator billing careers compliance contact devnull dns enquiries feedback ftp help hostmaster \
                 hr info inquiries investor investors it jobs legal list mail mailer-daemon marketing media no-reply noc noreply office orders \
                 postmaster press privacy purchasing root sales security service spam staff subscribe support sysadmin team tech undisclosed \
                 unsubscribe usenet uucp webmaster www";
    names.split_whitespace().map(str::to_owned).collect()
}

section! {
    /// Who is not written to by accounts and relay networks. What bounced, complained or was named is kept by the rule `suppressed`, domains as people
    /// mistype them by `mistyped`, which only tells of them unless `[policy.rules.mistyped]` enforces it.
    pub struct Hygiene: Default {
        /// Addresses that nobody gave to anybody: `name@example.net`, `example.net` for a domain, `*.example.net` for all below it. Who writes to one
        /// has it from a list that nobody asked to be on.
        #[key(example = "[\"trap@example.net\"]", why = "only you know yours")]
        pub traps: Vec<Addresses> = Vec::new();
        /// Names before the @ that stand for a desk, where nobody asked for newsletters: `outbound.bulk_accounts` may not write to them.
        #[key(
            example = "[\"info\", \"sales\"]",
            why = "mailbox providers count mail to these against a sender",
            shown = "abuse, admin, info, postmaster, sales, support and their like"
        )]
        pub role_names: Vec<String> = role_names();
    }
}

section! {
    /// Addresses that are not written to any more: `postern suppression`.
    pub struct Suppression: Default {
        /// Bounces that suppress an address: replies for good that there is no such mailbox. 0: none do.
        #[key(
            example = "1",
            why = "one may be a mistake over there; senders who go on and on are taken for spammers",
            within = 0..=1000
        )]
        pub after: u32 = 2;
        /// A bounce counts for so long.
        #[key(example = "\"7d\"", why = "newsletters come once a month", within = Duration::from_secs(1)..=DAY.saturating_mul(3660))]
        pub within: Duration = DAY.saturating_mul(35);
        /// An address that bounced is suppressed for so long. Complaints and what people order have no end.
        #[key(
            example = "\"180d\"",
            why = "who comes back to an old name is not lost for ever",
            within = Duration::from_secs(1)..=DAY.saturating_mul(3660)
        )]
        pub bounced_for: Duration = DAY.saturating_mul(90);
        /// Addresses that are remembered at most. Bounces are forgotten first, the oldest before the others; what people ordered and complaints never.
        #[key(example = "1000000", why = "about 20 MiB when it is full", within = 1..=10_000_000)]
        pub entries_max: u32 = 100_000;
    }
}

section! {
    /// Mail of accounts leaves with a sender of its own for each recipient, such as `bounce+0k3…@example.org`, so that a report that comes back late is
    /// known to be about that recipient. Reports are handed on to the account. Only it can tell what bounces after it was taken.
    pub struct Verp: Default {
        /// Whether it is done.
        #[key(
            example = "true",
            why = "the domain must be hosted here, have an MX that leads here and an SPF record that allows this server; and some receivers greylist \
                   each new sender"
        )]
        pub enabled: bool = false;
        /// The domain of these senders; it must be hosted here.
        #[key(
            example = "\"bounces.example.org\"",
            why = "a sender of the same domain is aligned for SPF",
            shown = "that of the sender, where it is hosted here"
        )]
        pub domain: Option<Domain> = None;
        /// Recipients that are remembered at most, the latest; each takes about 200 octets on disk.
        #[key(example = "5000000", why = "a month of mail of a server of middle size", within = 1000..=100_000_000)]
        pub entries_max: u32 = 500_000;
        /// A token is good for so long.
        #[key(
            example = "\"60d\"",
            why = "complaints come weeks after the message",
            within = DAY..=DAY.saturating_mul(366)
        )]
        pub good_for: Duration = DAY.saturating_mul(60);
    }
}

#[cfg(test)]
mod tests {
    use crate::load::{Machine, load};

    #[test]
    fn traps_are_addresses_or_domains_and_what_is_neither_is_an_error() {
        let load = |text: &str| load(text, "f", &Machine::named("mx.example"));
        let config = load("[outbound.hygiene]\ntraps = [\"a@b.example\", \"c.example\", \"*.d.example\"]\n").unwrap();
        assert_eq!(config.outbound.hygiene.traps.len(), 3);
        assert!(load("[outbound.hygiene]\ntraps = [\"a@\"]\n").is_err());
        assert!(config.outbound.hygiene.role_names.iter().any(|name| name == "info"));
        assert!(!config.outbound.verp.enabled);
    }

    #[test]
    fn senders_of_a_domain_that_is_not_hosted_here_are_an_error_once_they_are_used() {
        let load = |enabled: bool, domain: &str| {
            let text = format!(
                "[outbound.verp]\nenabled = {enabled}\ndomain = \"{domain}\"\n[[domain]]\nname = \"here.example\"\nrecipients = \"any\"\n"
            );
            load(&text, "f", &Machine::named("mx.example")).is_ok()
        };
        assert!(load(true, "here.example") && !load(true, "there.example") && load(false, "there.example"));
    }
}
