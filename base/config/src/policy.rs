//! `[policy]`: whether what the rules find counts, for all of them and for single ones. Promise: a rule that guards the server itself cannot be
//! observed or switched off; asking for it is an error that says why.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use postern_mail::rule::{RULES, rule};
use postern_mail::{Domain, Mode, Modes, Quoted, RuleName};
use toml::de::DeValue;

use crate::authenticity::Authenticity;
use crate::dnsbl::{Dnsbl, Hashbl, Uribl};
use crate::error::nearest;
use crate::filter::{Clamav, Milter, Rspamd};
use crate::greylist::Greylist;
use crate::links::Links;
use crate::list::List;
use crate::read::{Node, Report};
use crate::table::{Kind, section};
use crate::units::Size;
use crate::value::{Secrets, Value, choice_value, path_word, print_table};

choice_value!(Mode, [Mode::Enforce, Mode::Observe, Mode::Off]);

section! {
    /// What the rules on mail have to say.
    pub struct Policy: Default {
        /// Whether what rules find counts (`enforce`), is only written down (`observe`), or they do not run (`off`). Rules that guard the
        /// server itself, such as the one against open relaying, are enforced whatever this says.
        #[key(example = "\"observe\"", why = "a rule that has no effect protects nobody")]
        pub mode: Mode = Mode::Enforce;
        /// Single rules that have a mode of their own, by their names: `[policy.rules.sender_identity]`, and in it `mode`.
        #[key(example = "{ sender_identity = { mode = \"observe\" } }", why = "all rules follow policy.mode")]
        pub rules: RuleModes = RuleModes::default();
        /// From so many points on mail is marked with `X-Spam-Flag: YES` and `X-Spam-Score`, and delivered; mail of accounts, relay and
        /// trusted networks is not. Points come from lists and other rules.
        #[key(example = "3.0", why = "readers can sort it away, and nothing is lost", within = 0.1..=999.0)]
        pub tag_at: f64 = 4.0;
        /// From so many points on a message is taken and held for a person: `postern held list`.
        #[key(example = "5.0", why = "one strong sign or several weak ones", within = 0.1..=999.0)]
        pub hold_at: f64 = 6.0;
        /// From so many points on it is refused, at MAIL already where they are reached there.
        #[key(example = "15.0", why = "several strong signs together, or a list that its operator trusts", within = 0.1..=999.0)]
        pub refuse_at: f64 = 10.0;
        /// Memory for messages that are looked at as a whole, all together: so much for signatures and links, and as much for filters of others. When it is used
        /// up, the next one waits for one before it, and is asked to come again after a minute.
        #[key(
            example = "\"64MiB\"",
            why = "thousands of ordinary messages at the same time, or some of the largest",
            within = Size(1 << 20)..=Size(1 << 40)
        )]
        pub examine_memory: Size = Size(256 << 20);
        /// How messages are read for links.
        #[key(example = "", why = "see its keys")]
        pub links: Links;
        /// Who is told to come again.
        #[key(example = "", why = "see its keys")]
        pub greylist: Greylist;
        /// What is found out about who mail is from.
        #[key(example = "", why = "see its keys")]
        pub authenticity: Authenticity;
        /// Forwarders whose ARC seals are believed, by the domain that seals: mail that fails DMARC is taken when the last seal is theirs and the chain holds.
        #[key(example = "[\"lists.example.net\"]", why = "anybody can seal, so nobody is believed unasked")]
        pub arc_trusted: Vec<Domain> = Vec::new();
        /// Networks, AS numbers, countries and names in files.
        #[key(example = "", why = "the server comes without opinions about networks", name = "list")]
        pub lists: Vec<List> = Vec::new();
        /// A database in the MMDB format that knows whose network an address is, such as GeoLite2-ASN or DB-IP's; needed for lists with AS numbers.
        #[key(example = "\"/var/lib/GeoIP/GeoLite2-ASN.mmdb\"", why = "such databases have licences of their own")]
        pub asn_file: Option<PathBuf> = None;
        /// A database in the MMDB format that knows the country of an address; needed for lists with countries.
        #[key(example = "\"/var/lib/GeoIP/GeoLite2-Country.mmdb\"", why = "such databases have licences of their own")]
        pub country_file: Option<PathBuf> = None;
        /// How often the files of lists and the two databases are looked at for a change.
        #[key(
            example = "\"1m\"",
            why = "soon enough for a list that is fetched each hour, and a look costs one system call a file",
            within = Duration::from_secs(1)..=Duration::from_secs(86_400)
        )]
        pub lists_check_interval: Duration = Duration::from_secs(60);
        /// Entries of all files together. With more they are not loaded.
        #[key(example = "2000000", why = "a million networks or names take about 64 MiB", within = 1..=50_000_000)]
        pub list_entries_max: u32 = 2_000_000;
        /// Lists of addresses and names that are asked by DNS.
        #[key(example = "", why = "which lists are trusted is yours to say")]
        pub dnsbl: Vec<Dnsbl> = Vec::new();
        /// Lists of domains that links are looked up in.
        #[key(example = "", why = "which lists are trusted is yours to say")]
        pub uribl: Vec<Uribl> = Vec::new();
        /// Lists of hashes that addresses and links are looked up in.
        #[key(example = "", why = "which lists are trusted is yours to say")]
        pub hashbl: Vec<Hashbl> = Vec::new();
        /// For all lists together that are asked by DNS. What has not been answered by then is held against nobody.
        #[key(
            example = "\"3s\"",
            why = "a resolver that has to ask others needs a second or two, and a client waits gladly for three",
            within = Duration::from_millis(50)..=Duration::from_secs(30)
        )]
        pub lookup_deadline: Duration = Duration::from_secs(3);
        /// An answer that takes longer is late. A list with five late ones in a row is parked: not asked for a while.
        #[key(
            example = "\"1500ms\"",
            why = "half of what all lists together may take",
            within = Duration::from_millis(10)..=Duration::from_secs(30)
        )]
        pub lookup_slow: Duration = Duration::from_millis(1500);
        /// A parked list is looked at again after this long; twice as long each time it is broken again soon, up to lookup_probe_interval.
        #[key(
            example = "\"5m\"",
            why = "a list that is mended is back soon, and one that is not costs nothing meanwhile",
            within = Duration::from_millis(100)..=Duration::from_secs(86_400)
        )]
        pub lookup_park: Duration = Duration::from_secs(300);
        /// How often the test points of each list are asked for.
        #[key(
            example = "\"1h\"",
            why = "a list that was given up and lists everybody is found before much mail is refused by it",
            within = Duration::from_secs(1)..=Duration::from_secs(86_400)
        )]
        pub lookup_probe_interval: Duration = Duration::from_secs(3600);
        /// Answers of lists kept in memory, each no longer than its time to live.
        #[key(
            example = "100000",
            why = "about 40 MiB when full, and apart from the answers that delivery needs",
            within = 0..=10_000_000
        )]
        pub lookup_cache_entries: u32 = 100_000;
        /// Filters that speak the milter protocol.
        #[key(example = "", why = "the server comes without filters of others", name = "milter")]
        pub milters: Vec<Milter> = Vec::new();
        /// Filters that are an rspamd.
        #[key(example = "", why = "the server comes without filters of others")]
        pub rspamd: Vec<Rspamd> = Vec::new();
        /// Filters that are a clamd.
        #[key(example = "", why = "the server comes without filters of others")]
        pub clamav: Vec<Clamav> = Vec::new();
    }
}

impl Policy {
    /// True when a filter of others is configured.
    #[must_use]
    pub fn has_filters(&self) -> bool {
        !(self.milters.is_empty() && self.rspamd.is_empty() && self.clamav.is_empty())
    }

    /// As the rules are given it.
    #[must_use]
    pub fn modes(&self) -> Modes {
        Modes::new(self.mode, self.rules.0.iter().map(|(name, mode)| (*name, *mode)).collect())
    }
}

/// The rules that have a mode of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleModes(pub BTreeMap<RuleName, Mode>);

fn read_mode(node: &Node<'_>, report: &mut Report<'_>) -> Option<Mode> {
    let DeValue::Table(keys) = node.value.get_ref() else {
        report.wrong(node, format!("a table with `mode` is needed here, not {}", node.sort()));
        return None;
    };
    let mut mode = None;
    for (name, value) in keys {
        let entry = Node { value, path: format!("{}.{}", node.path, path_word(name.get_ref())), key: node.key };
        report.note(&entry);
        if name.get_ref() == "mode" {
            mode = Mode::read(&entry, report);
        } else {
            report.wrong(&entry, format!("unknown key {}; a rule has only `mode`", Quoted::text(name.get_ref())));
        }
    }
    mode
}

impl Value for RuleModes {
    fn kind() -> Kind {
        Kind::plain("table of rules with their mode")
    }

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let DeValue::Table(entries) = node.value.get_ref() else {
            report.wrong(node, format!("a table is needed here, not {}", node.sort()));
            return None;
        };
        let mut modes = BTreeMap::new();
        let mut all_right = true;
        for (name, value) in entries {
            let entry = Node { value, path: format!("{}.{}", node.path, path_word(name.get_ref())), key: node.key };
            report.note(&entry);
            let mode = read_mode(&entry, report);
            match (rule(name.get_ref()), mode) {
                (None, _) => {
                    let free = || RULES.iter().filter(|rule| rule.guards.is_none()).map(|rule| rule.name);
                    let hint = match nearest(name.get_ref(), free()) {
                        Some(near) => format!("did you mean {near:?}?"),
                        None => format!("known are {}", free().collect::<Vec<_>>().join(", ")),
                    };
                    report.wrong(&entry, format!("there is no rule {}; {hint}", Quoted::text(name.get_ref())));
                    all_right = false;
                }
                (Some(rule), Some(mode)) => {
                    if let (Some(why), true) = (rule.guards, mode != Mode::Enforce) {
                        report.wrong(&entry, format!("the rule {} is always enforced: {why}", rule.name));
                        all_right = false;
                    }
                    modes.insert(rule.name, mode);
                }
                (Some(_), None) => all_right = false,
            }
        }
        all_right.then_some(Self(modes))
    }

    fn print(&self, secrets: Secrets) -> String {
        let entries: Vec<(&str, String)> =
            self.0.iter().map(|(name, mode)| (*name, format!("{{ mode = {} }}", mode.print(secrets)))).collect();
        print_table(entries.iter().map(|(name, mode)| (*name, mode.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Machine, load};

    fn modes(text: &str) -> Result<Modes, String> {
        load(text, "f", &Machine::named("mx.example"))
            .map(|config| config.policy.modes())
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn a_rule_may_have_a_mode_of_its_own() {
        let own = modes("[policy.rules.sender_identity]\nmode = \"observe\"\n").unwrap();
        assert_eq!(own.of("sender_identity"), Mode::Observe);
        let general = modes("[policy]\nmode = \"off\"\n").unwrap();
        assert_eq!((general.of("sender_identity"), general.of("relay")), (Mode::Off, Mode::Enforce));
    }

    #[test]
    fn what_guards_the_server_cannot_be_switched_off_and_the_error_says_why() {
        for mode in ["off", "observe"] {
            let error = modes(&format!("[policy.rules.relay]\nmode = \"{mode}\"\n")).unwrap_err();
            assert!(error.contains("open relay"), "{error}");
        }
        assert!(modes("[policy.rules.relay]\nmode = \"enforce\"\n").is_ok());
    }

    #[test]
    fn a_rule_that_there_is_not_and_a_key_that_a_rule_has_not_are_errors() {
        assert!(
            modes("[policy.rules.sender_identiti]\nmode = \"off\"\n").unwrap_err().contains("did you mean \"sender_identity\"")
        );
        assert!(modes("[policy.rules.sender_identity]\npoints = 3\n").unwrap_err().contains("only `mode`"));
    }
}
