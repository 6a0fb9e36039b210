//! The records a domain needs for its mail to be taken by others, and whether they are out. Promise: what is said to be published is what would be found by whoever
//! looks; and what nobody could tell is said to be unknown, not wrong.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use postern_config::Config;
use postern_dkim::{Published, State};
use postern_lookup::{Authenticator, LookupFailure, Resolver, zone};
use postern_mail::authenticity::AuthResult;
use postern_mail::{Domain, Mailbox, Quoted};
use tokio::time::{Instant, timeout_at};

use crate::control::Answer;
use crate::control::dns::{DnsOrder, DnsPlan, DnsRecord};
use crate::own_addresses;
use crate::wire::signing::Keeper;
use crate::wire::{clock, live};

/// For all questions of one SPF record.
const SPF_WITHIN: Duration = Duration::from_secs(15);
/// For all questions, well within the time for the order.
const ALL_WITHIN: Duration = Duration::from_secs(40);

/// What is known of this server.
struct Plan<'a> {
    config: &'a Config,
    domain: Domain,
    /// What it calls itself when it sends.
    helo: Domain,
    /// Where it sends from, as far as it knows.
    addresses: Vec<IpAddr>,
}

/// A record that is wanted, and who judges what stands there.
struct Wanted {
    name: String,
    kind: &'static str,
    value: String,
    why: String,
    judge: Judge,
}

enum Judge {
    /// One of the records is this.
    Has,
    /// SPF of this domain lets our addresses send.
    Spf(Domain),
    /// A policy stands here or above.
    Dmarc(Domain),
    /// A record of DMARC stands here.
    Consent,
    /// It was looked for where keys are.
    Known(Option<Published>),
}

/// Where strangers can reach a host.
fn is_public(address: &IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => !(v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_unspecified()),
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unique_local() || v6.is_unspecified()),
    }
}

/// Each once: the kernel lists an address for each of its tables.
fn sends_from(config: &Config, of_machine: impl FnOnce() -> Vec<IpAddr>) -> Vec<IpAddr> {
    let addresses: BTreeSet<IpAddr> = match config.outbound.egress.first() {
        Some(egress) if !egress.addresses.is_empty() => egress.addresses.iter().map(IpAddr::to_canonical).collect(),
        _ => of_machine().iter().filter(|address| is_public(address)).map(IpAddr::to_canonical).collect(),
    };
    addresses.into_iter().collect()
}

fn address_kind(address: IpAddr) -> &'static str {
    if address.to_canonical().is_ipv4() { "A" } else { "AAAA" }
}

impl Plan<'_> {
    fn spf(&self) -> String {
        let mut terms = vec!["v=spf1".to_owned()];
        if self.config.domain(&self.domain).is_some() {
            terms.push("mx".to_owned());
        }
        let term = |address: &IpAddr| match address.to_canonical() {
            IpAddr::V4(v4) => format!("ip4:{v4}"),
            IpAddr::V6(v6) => format!("ip6:{v6}"),
        };
        terms.extend(self.addresses.iter().map(term));
        if self.addresses.is_empty() {
            terms.push(format!("a:{}", self.helo));
        }
        terms.push("-all".to_owned());
        terms.join(" ")
    }

    fn wanted(&self, keys: Vec<Wanted>) -> Vec<Wanted> {
        let (domain, helo) = (&self.domain, &self.helo);
        let hostname = &self.config.server.hostname;
        let mut wanted = Vec::new();
        let mut want = |name: String, kind, value: String, why: &str, judge| {
            wanted.push(Wanted { name, kind, value, why: why.to_owned(), judge });
        };
        if self.config.domain(domain).is_some() {
            want(domain.to_string(), "MX", format!("10 {hostname}."), "mail for the domain comes here", Judge::Has);
        }
        for address in &self.addresses {
            let address = address.to_canonical();
            want(helo.to_string(), address_kind(address), address.to_string(), "where this server is", Judge::Has);
            let reverse = zone::reverse_name(address);
            want(
                reverse,
                "PTR",
                format!("{helo}."),
                "large providers take nothing from an address without a name; whoever the address was rented from sets it",
                Judge::Has,
            );
        }
        want(domain.to_string(), "TXT", self.spf(), "who may send in the name of the domain (SPF)", Judge::Spf(domain.clone()));
        if helo != domain {
            want(
                helo.to_string(),
                "TXT",
                "v=spf1 a -all".to_owned(),
                "the same of reports, which have no sender",
                Judge::Spf(helo.clone()),
            );
        }
        wanted.extend(keys);
        let own = self.config.reports.read_at.as_ref();
        let reports_to = own.map_or_else(|| format!("postmaster@{domain}"), |own| in_uri(&own.to_string()));
        let policy = format!("v=DMARC1; p=none; rua=mailto:{reports_to}");
        let why = "what others do about mail that is neither signed nor sent by us (DMARC); p=quarantine or p=reject once the reports are clean";
        wanted.push(Wanted {
            name: format!("_dmarc.{domain}"),
            kind: "TXT",
            value: policy,
            why: why.to_owned(),
            judge: Judge::Dmarc(domain.clone()),
        });
        // RFC 9990 §4: where organizations differ, the other one has to agree. One record too many does no harm.
        if let Some(elsewhere) = own.and_then(Mailbox::domain).filter(|of| !(of.is_within(domain) || domain.is_within(of))) {
            wanted.push(Wanted {
                name: format!("{domain}._report._dmarc.{elsewhere}"),
                kind: "TXT",
                value: "v=DMARC1".to_owned(),
                why: "that reports about the domain may be sent to this other one".to_owned(),
                judge: Judge::Consent,
            });
        }
        wanted
    }
}

/// An address in a URI of a record, where other characters mean something else; `!` begins a size there.
fn in_uri(address: &str) -> String {
    let mut out = String::with_capacity(address.len());
    for octet in address.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'+' | b'@' => out.push(char::from(octet)),
            _ => out.push_str(&format!("%{octet:02X}")),
        }
    }
    out
}

impl Wanted {
    fn zone_line(&self) -> String {
        let value = if self.kind == "TXT" { postern_dkim::quoted(&self.value) } else { self.value.clone() };
        format!("{}. IN {} {value}", self.name, self.kind)
    }

    async fn found(&self, resolver: &Resolver) -> Result<Vec<String>, LookupFailure> {
        let Ok(name) = Domain::parse(&self.name) else { return Ok(Vec::new()) };
        Ok(match self.kind {
            "MX" => {
                resolver.exchangers_now(&name).await?.iter().map(|(preference, host)| format!("{preference} {host}.")).collect()
            }
            "PTR" => resolver.pointers_now(&name).await?.iter().map(|name| format!("{name}.")).collect(),
            "TXT" => resolver.texts_now(&name).await?.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect(),
            kind => {
                let addresses = resolver.addresses_now(&name).await?;
                addresses
                    .into_iter()
                    .filter(|address| address_kind(*address) == kind)
                    .map(|address| address.to_string())
                    .collect()
            }
        })
    }

    /// The state, what stands there, and what to think of it.
    async fn judged(
        &self,
        plan: &Plan<'_>,
        resolver: &Resolver,
        senders: &Authenticator,
    ) -> (&'static str, Vec<String>, Option<String>) {
        if let Judge::Known(found) = &self.judge {
            return match found {
                None => ("unknown", Vec::new(), None),
                Some(Published::Yes) => ("published", Vec::new(), None),
                Some(Published::Missing) => ("missing", Vec::new(), None),
                Some(other) => ("differs", Vec::new(), Some(other.as_str().to_owned())),
            };
        }
        let found = match self.found(resolver).await {
            Ok(found) => found,
            Err(failure) => return ("unknown", Vec::new(), Some(failure.to_string())),
        };
        match &self.judge {
            Judge::Has | Judge::Known(_) => {
                let host = |value: &str| value.rsplit(' ').next().unwrap_or_default().to_ascii_lowercase();
                let is_there = found.iter().any(|one| host(one) == host(&self.value));
                let beside = (is_there && found.len() > 1).then(|| format!("beside {}", found.join(", ")));
                (
                    if is_there {
                        "published"
                    } else if found.is_empty() {
                        "missing"
                    } else {
                        "differs"
                    },
                    found,
                    beside,
                )
            }
            Judge::Consent => {
                let is_there = found.iter().any(|text| text.trim_start().starts_with("v=DMARC1"));
                (if is_there { "published" } else { "missing" }, found, None)
            }
            Judge::Spf(domain) => spf(plan, senders, domain, found).await,
            Judge::Dmarc(domain) => dmarc(resolver, domain, found).await,
        }
    }
}

async fn spf(
    plan: &Plan<'_>,
    senders: &Authenticator,
    domain: &Domain,
    found: Vec<String>,
) -> (&'static str, Vec<String>, Option<String>) {
    let is_spf = |text: &String| text.split(' ').next().is_some_and(|version| version.eq_ignore_ascii_case("v=spf1"));
    let found: Vec<String> = found.into_iter().filter(is_spf).collect();
    match found.len() {
        0 => return ("missing", found, None),
        1 => {}
        // RFC 7208 §4.5.
        _ => return ("differs", found, Some("of several records none counts".to_owned())),
    }
    if plan.addresses.is_empty() {
        return (
            "unknown",
            found,
            Some("where this server sends from is not known here: name it in [[outbound.egress]] addresses".to_owned()),
        );
    }
    for address in &plan.addresses {
        match senders.spf_of(address.to_canonical(), &plan.helo, domain, SPF_WITHIN).await {
            AuthResult::Pass => {}
            AuthResult::TempError => return ("unknown", found, Some("a name server did not answer".to_owned())),
            other => return ("differs", found, Some(format!("it says {} of mail from {address}", other.as_str()))),
        }
    }
    ("published", found, None)
}

/// RFC 9989 §4.10: where there is none at the name itself, one above it counts.
async fn dmarc(resolver: &Resolver, domain: &Domain, found: Vec<String>) -> (&'static str, Vec<String>, Option<String>) {
    let policies = |found: Vec<String>| -> Vec<String> {
        found.into_iter().filter(|text| text.trim_start().starts_with("v=DMARC1")).collect()
    };
    let found = policies(found);
    match found.len() {
        0 => {}
        1 => return ("published", found, None),
        _ => return ("differs", found, Some("of several records none counts".to_owned())),
    }
    let mut above = domain.parent();
    while let Some(name) = above.filter(|name| name.as_str().contains('.')) {
        if let Ok(at) = Domain::parse(&format!("_dmarc.{name}")) {
            match resolver.texts_now(&at).await {
                Err(failure) => return ("unknown", found, Some(failure.to_string())),
                Ok(texts) => {
                    let texts = policies(texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect());
                    if texts.len() == 1 {
                        return ("published", texts, Some(format!("at {at}, which counts for this name too")));
                    }
                }
            }
        }
        above = name.parent();
    }
    ("missing", found, None)
}

/// Carries it out, with questions of its own: what was remembered a moment ago may be what has just been mended.
pub(crate) async fn carry_out(keeper: &Keeper, config: &Config, order: DnsOrder) -> Answer {
    let domain = match Domain::parse(&order.domain) {
        Ok(domain) => domain,
        Err(fault) => return Answer::Failed { exit: 2, error: format!("{}: {fault}", Quoted::text(&order.domain)) },
    };
    let signs = config.dkim.iter().find(|own| own.domain == domain);
    if config.domain(&domain).is_none() && signs.is_none() && domain != config.server.hostname {
        return Answer::nothing(format!(
            "{domain} is no domain of this server: neither a [[domain]], nor a [[dkim]], nor its name"
        ));
    }
    let set_up = || {
        let resolver = Resolver::new(live::lookup(config)).map_err(|failure| failure.to_string())?;
        let senders = Authenticator::new(&resolver).map_err(|failure| failure.to_string())?;
        Ok::<_, String>((resolver, senders))
    };
    let (resolver, senders) = match set_up() {
        Ok(both) => both,
        Err(why) => return Answer::failed(why),
    };
    let until = Instant::now() + ALL_WITHIN;
    let mut keys = Vec::new();
    if let Some(own) = signs {
        if order.check
            && let Ok(Err(why)) = timeout_at(until, keeper.look(own, &resolver, clock())).await
        {
            return Answer::failed(why);
        }
        match keeper.told(own, clock()) {
            Err(why) => return Answer::failed(why),
            Ok(told) => keys.extend(told.into_iter().filter(|told| told.state != State::Over).map(|told| Wanted {
                name: told.record.name,
                kind: "TXT",
                value: told.record.value,
                why: format!("a key that signs mail (DKIM, {}, {})", told.algorithm.as_str(), told.state.as_str()),
                judge: Judge::Known(told.looked.map(|(what, _)| what)),
            })),
        }
    }
    let helo =
        config.outbound.egress.first().and_then(|egress| egress.helo.clone()).unwrap_or_else(|| config.server.hostname.clone());
    let plan = Plan { config, domain: domain.clone(), helo, addresses: sends_from(config, own_addresses::of_machine) };
    let mut records = Vec::new();
    for wanted in plan.wanted(keys) {
        let (state, found, note) = if order.check {
            let judged = timeout_at(until, wanted.judged(&plan, &resolver, &senders)).await;
            let (state, found, note) = judged.unwrap_or_else(|_| ("unknown", Vec::new(), Some("no answer in time".to_owned())));
            (Some(state.to_owned()), found, note)
        } else {
            (None, Vec::new(), None)
        };
        let zone_line = wanted.zone_line();
        let Wanted { name, kind, value, why, .. } = wanted;
        records.push(DnsRecord { name, kind: kind.to_owned(), value, zone_line, why, state, found, note });
    }
    Answer::DnsPlan(Box::new(DnsPlan { domain: domain.to_string(), checked: order.check, records }))
}

#[cfg(test)]
mod tests {
    use postern_config::Machine;

    use super::*;

    fn lines(text: &str, domain: &str, of_machine: &[&str]) -> Vec<String> {
        let config = postern_config::load(text, "f", &Machine::named("mx.example")).unwrap();
        let of_machine = || of_machine.iter().map(|address| address.parse().unwrap()).collect();
        let (addresses, helo) = (sends_from(&config, of_machine), config.server.hostname.clone());
        let plan = Plan { config: &config, domain: Domain::parse(domain).unwrap(), helo, addresses };
        plan.wanted(Vec::new()).iter().map(Wanted::zone_line).collect()
    }

    #[test]
    fn a_server_names_each_of_its_public_addresses_once() {
        let text = "[server]\nhostname = \"mx.a.test\"\n[[domain]]\nname = \"a.test\"\nrecipients = \"any\"\n";
        let machine = ["192.0.2.9", "127.0.0.1", "10.0.0.1", "::1", "fe80::1", "192.0.2.9", "2001:db8::9"];
        let planned = lines(text, "a.test", &machine);
        assert!(planned.contains(&"a.test. IN TXT \"v=spf1 mx ip4:192.0.2.9 ip6:2001:db8::9 -all\"".to_owned()), "{planned:?}");
        let addresses: Vec<&String> = planned.iter().filter(|line| line.contains(" IN A") || line.contains(" IN AAAA")).collect();
        assert_eq!(addresses, ["mx.a.test. IN A 192.0.2.9", "mx.a.test. IN AAAA 2001:db8::9"]);
        assert_eq!(planned.iter().filter(|line| line.contains(" IN PTR mx.a.test.")).count(), 2, "{planned:?}");
    }

    #[test]
    fn a_domain_whose_mail_is_taken_elsewhere_gets_no_exchanger_and_an_unknown_address_is_left_to_its_name() {
        let text = "[server]\nhostname = \"mx.a.test\"\n[[dkim]]\ndomain = \"b.test\"\n";
        let planned = lines(text, "b.test", &[]);
        assert!(planned.contains(&"b.test. IN TXT \"v=spf1 a:mx.a.test -all\"".to_owned()), "{planned:?}");
        assert!(!planned.iter().any(|line| line.contains(" IN MX") || line.contains(" IN PTR")), "{planned:?}");
        let egress = "[[outbound.egress]]\nname = \"main\"\naddresses = [\"198.51.100.1\"]\n";
        let planned = lines(&format!("{text}{egress}"), "b.test", &["192.0.2.9"]);
        assert!(planned.contains(&"b.test. IN TXT \"v=spf1 ip4:198.51.100.1 -all\"".to_owned()), "{planned:?}");
    }

    #[test]
    fn reports_are_asked_for_where_they_are_read_and_a_domain_elsewhere_has_to_agree() {
        let base = "[server]\nhostname = \"mx.a.test\"\n[[domain]]\nname = \"a.test\"\nrecipients = \"any\"\n[[dkim]]\ndomain = \"b.test\"\n";
        let read = format!("{base}[reports]\nread_at = \"d!marc+x@a.test\"\n");
        let policy = |domain: &str, to: &str| format!("_dmarc.{domain}. IN TXT \"v=DMARC1; p=none; rua=mailto:{to}\"");
        assert!(lines(base, "a.test", &[]).contains(&policy("a.test", "postmaster@a.test")));
        for domain in ["a.test", "b.test"] {
            let planned = lines(&read, domain, &[]);
            assert!(planned.contains(&policy(domain, "d%21marc+x@a.test")), "{planned:?}");
            let consent = "b.test._report._dmarc.a.test. IN TXT \"v=DMARC1\"".to_owned();
            assert_eq!(planned.contains(&consent), domain == "b.test", "{planned:?}");
        }
    }
}
