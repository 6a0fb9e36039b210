//! Whether a client may use a name in HELO or MAIL FROM (RFC 7208). Promise: at most ten terms that ask, two answers of nothing and ten names behind each `mx`
//! and `ptr`, so that no record makes us ask without end; a record that is wrong in any place gives `permerror`, and silence `temperror`, never `fail`.
//!
//! The library that reads signatures has an SPF check of its own. It counts no void look-ups, takes a client's name unconfirmed for `%{p}`, looks for
//! AAAA records of `exists`, and remembers texts by their name alone, so that whoever publishes `exp=_dmarc.victim.example` could have the record of somebody
//! else taken for an explanation. That is why this is our own, and why nothing of it goes through the library's cache.

mod macros;
mod record;

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::proto::rr::{Name, RData, RecordType};
use postern_mail::authenticity::{AuthResult, Spf, Words};
use tokio::time::timeout;

use self::macros::{Place, Template, Values};
use self::record::{Lengths, Mechanism, Record, is_spf};
use crate::authenticity::{Asked, Authenticator};

/// RFC 7208 §4.6.4: terms that ask the DNS.
const TERMS_MAX: u32 = 10;
/// RFC 7208 §4.6.4: answers of nothing.
const VOIDS_MAX: u32 = 2;
/// RFC 7208 §4.6.4: names behind one `mx`, and names of one address.
const NAMES_MAX: usize = 10;
/// Octets of an explanation.
const EXPLANATION_MAX: usize = 500;

/// Who asks for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SpfAsked<'a> {
    /// The client.
    pub(crate) client: IpAddr,
    /// What it called itself.
    pub(crate) helo: &'a str,
    /// MAIL FROM; without it the HELO name is what is checked.
    pub(crate) mail_from: Option<&'a str>,
    /// Our own name.
    pub(crate) receiver: &'a str,
    /// Seconds since 1970.
    pub(crate) now: u64,
    /// For the client's own names, and for an explanation. Their zones are the client's, and decide nothing that is against it.
    pub(crate) aside_within: Duration,
}

/// Ends a check before a term has matched.
struct Stop(AuthResult, String);

type Step<T> = Result<T, Stop>;

fn permerror<T>(why: impl Into<String>) -> Step<T> {
    Err(Stop(AuthResult::PermError, why.into()))
}

/// What one record said.
struct Said {
    result: AuthResult,
    why: String,
    explanation: Option<String>,
}

struct Check<'a> {
    dns: &'a Authenticator,
    client: IpAddr,
    sender: String,
    asked: &'a SpfAsked<'a>,
    terms: u32,
    voids: u32,
    names: Option<Vec<String>>,
    validated: Option<String>,
}

/// Checks one identity.
pub(crate) async fn check(dns: &Authenticator, asked: &SpfAsked<'_>) -> Spf {
    let (sender, domain) = match asked.mail_from {
        Some(path) => {
            let (local, domain) = path.rsplit_once('@').unwrap_or(("", path));
            // RFC 7208 §4.3: without a local part it is the postmaster's.
            let local = if local.is_empty() { "postmaster" } else { local };
            (format!("{local}@{domain}"), domain)
        }
        None => (format!("postmaster@{}", asked.helo), asked.helo),
    };
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let mut check =
        Check { dns, client: asked.client.to_canonical(), sender, asked, terms: 0, voids: 0, names: None, validated: None };
    let said = match check.host(domain).await {
        Ok(Some(said)) => said,
        Ok(None) => Said { result: AuthResult::None, why: "the domain publishes no record".to_owned(), explanation: None },
        Err(Stop(result, why)) => Said { result, why, explanation: None },
    };
    Spf {
        domain: Words::new(domain),
        result: said.result,
        why: Words::new(&said.why),
        explanation: Words::new(&said.explanation.unwrap_or_default()),
    }
}

/// A name that can be asked for; `None` where a label is empty or too long (RFC 7208 §4.3), or where nothing is left.
fn name(text: &str) -> Option<Name> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let labels: Vec<&[u8]> = text.split('.').map(str::as_bytes).collect();
    if labels.iter().any(|label| label.is_empty() || label.len() > 63) {
        return None;
    }
    let mut name = Name::from_labels(labels).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// RFC 7208 §7.3: of a name that is too long the left labels go.
fn shortened(mut text: &str) -> &str {
    while text.len() > 253 {
        match text.split_once('.') {
            Some((_, rest)) => text = rest,
            None => break,
        }
    }
    text
}

impl Check<'_> {
    /// `check_host()`. `None`: there is no record.
    async fn host(&mut self, domain: &str) -> Step<Option<Said>> {
        // RFC 7208 §4.3: a malformed name, or one that is not fully qualified, has no record.
        let Some(asked) = name(domain).filter(|name| name.num_labels() > 1) else { return Ok(None) };
        let texts = match self.dns.ask(asked, RecordType::TXT).await {
            Asked::Records(records) => texts(&records),
            Asked::Nothing => return Ok(None),
            Asked::Failed(why) => return Err(Stop(AuthResult::TempError, why)),
        };
        let mut records = texts.iter().filter(|text| is_spf(text));
        let Some(text) = records.next() else { return Ok(None) };
        if records.next().is_some() {
            return permerror(format!("{domain} has more than one record"));
        }
        match Record::parse(text) {
            Ok(record) => self.record(domain, &record).await.map(Some),
            Err(wrong) => permerror(format!("the record of {domain} is wrong: {wrong}")),
        }
    }

    async fn record(&mut self, domain: &str, record: &Record) -> Step<Said> {
        for directive in &record.directives {
            if !self.matches(domain, &directive.mechanism).await? {
                continue;
            }
            let explanation = match (&record.explanation, directive.result) {
                (Some(template), AuthResult::Fail) => {
                    timeout(self.asked.aside_within, self.explanation(domain, template)).await.ok().flatten()
                }
                _ => None,
            };
            return Ok(Said { result: directive.result, why: directive.term.clone(), explanation });
        }
        let Some(template) = &record.redirect else {
            return Ok(Said { result: AuthResult::Neutral, why: "no term of the record matches".to_owned(), explanation: None });
        };
        self.term()?;
        let target = self.expand(domain, template).await;
        match Box::pin(self.host(&target)).await? {
            Some(said) => Ok(said),
            // RFC 7208 §6.1: a redirection to nothing is an error.
            None => permerror(format!("redirect={target} has no record")),
        }
    }

    /// RFC 7208 §4.6.4: counts a term that asks.
    fn term(&mut self) -> Step<()> {
        self.terms += 1;
        if self.terms > TERMS_MAX { permerror(format!("more than {TERMS_MAX} terms ask the DNS")) } else { Ok(()) }
    }

    /// Records of a term's name. A name that cannot be is one that does not exist.
    async fn look(&mut self, target: Option<Name>, kind: RecordType) -> Step<Vec<RData>> {
        let answer = match target {
            Some(name) => self.dns.ask(name, kind).await,
            None => Asked::Nothing,
        };
        match answer {
            Asked::Records(records) => Ok(records),
            Asked::Failed(why) => Err(Stop(AuthResult::TempError, why)),
            Asked::Nothing => {
                self.voids += 1;
                if self.voids > VOIDS_MAX {
                    return permerror(format!("more than {VOIDS_MAX} names have no answer"));
                }
                Ok(Vec::new())
            }
        }
    }

    async fn matches(&mut self, domain: &str, mechanism: &Mechanism) -> Step<bool> {
        match mechanism {
            Mechanism::All => Ok(true),
            Mechanism::Network(network, length) => Ok(within(self.client, *network, *length)),
            Mechanism::Include(template) => {
                self.term()?;
                let target = self.expand(domain, template).await;
                // RFC 7208 §5.2: only a pass matches, and a domain without a record is an error.
                match Box::pin(self.host(&target)).await? {
                    Some(said) => Ok(said.result == AuthResult::Pass),
                    None => permerror(format!("include:{target} has no record")),
                }
            }
            Mechanism::A(template, lengths) => {
                self.term()?;
                let target = self.target(domain, template.as_ref()).await;
                self.address(name(&target), *lengths).await
            }
            Mechanism::Mx(template, lengths) => {
                self.term()?;
                let target = self.target(domain, template.as_ref()).await;
                let exchanges = self.look(name(&target), RecordType::MX).await?;
                let names: Vec<Name> = exchanges
                    .iter()
                    .filter_map(|record| match record {
                        RData::MX(mx) => Some(mx.exchange.clone()),
                        _ => None,
                    })
                    .collect();
                if names.len() > NAMES_MAX {
                    return permerror(format!("{target} has more than {NAMES_MAX} exchangers"));
                }
                for name in names.into_iter().filter(|name| !name.is_root()) {
                    if self.address(Some(name), *lengths).await? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Mechanism::Ptr(template) => {
                self.term()?;
                let target = self.target(domain, template.as_ref()).await;
                Ok(self.names().await.iter().any(|name| is_below(name, &target)))
            }
            // RFC 7208 §5.7: an address of IPv4, whatever the client came by.
            Mechanism::Exists(template) => {
                self.term()?;
                let target = self.expand(domain, template).await;
                Ok(self.look(name(&target), RecordType::A).await?.iter().any(|record| matches!(record, RData::A(_))))
            }
        }
    }

    async fn address(&mut self, target: Option<Name>, lengths: Lengths) -> Step<bool> {
        let (kind, length) = if self.client.is_ipv4() { (RecordType::A, lengths.v4) } else { (RecordType::AAAA, lengths.v6) };
        let records = self.look(target, kind).await?;
        Ok(records.iter().any(|record| match record {
            RData::A(a) => within(self.client, a.0.into(), length),
            RData::AAAA(aaaa) => within(self.client, aaaa.0.into(), length),
            _ => false,
        }))
    }

    async fn target(&mut self, domain: &str, template: Option<&Template>) -> String {
        match template {
            Some(template) => self.expand(domain, template).await,
            None => domain.to_owned(),
        }
    }

    async fn expand(&mut self, domain: &str, template: &Template) -> String {
        let text = self.text(domain, template).await;
        shortened(&text).to_owned()
    }

    async fn text(&mut self, domain: &str, template: &Template) -> String {
        if template.wants_validated() && self.validated.is_none() {
            let names = self.names().await;
            // RFC 7208 §7.3: the domain itself, else a name below it, else any.
            let best = names.iter().find(|name| name.eq_ignore_ascii_case(domain));
            let best = best.or_else(|| names.iter().find(|name| is_below(name, domain))).or_else(|| names.first());
            self.validated = Some(best.map_or_else(|| "unknown".to_owned(), Clone::clone));
        }
        template.expand(&Values {
            client: self.client,
            sender: &self.sender,
            domain,
            helo: self.asked.helo,
            receiver: self.asked.receiver,
            validated: self.validated.as_deref().unwrap_or("unknown"),
            now: self.asked.now,
        })
    }

    /// The client's names that have its address (RFC 7208 §5.5). What cannot be found out has none, and the client's zone can be as slow as it
    /// likes: it would else keep the record of another domain from being read to its end.
    async fn names(&mut self) -> Vec<String> {
        if self.names.is_none() {
            let mut confirmed = Vec::new();
            // What was confirmed in time stays so.
            let _ = timeout(self.asked.aside_within, self.confirm(&mut confirmed)).await;
            self.names = Some(confirmed);
        }
        self.names.clone().unwrap_or_default()
    }

    async fn confirm(&self, confirmed: &mut Vec<String>) {
        let Asked::Records(records) = self.dns.ask(Name::from(self.client), RecordType::PTR).await else { return };
        let kind = if self.client.is_ipv4() { RecordType::A } else { RecordType::AAAA };
        for record in records.iter().take(NAMES_MAX) {
            let RData::PTR(name) = record else { continue };
            if let Asked::Records(addresses) = self.dns.ask(name.0.clone(), kind).await {
                let same = |record: &RData| match record {
                    RData::A(a) => self.client == IpAddr::from(a.0),
                    RData::AAAA(aaaa) => self.client == IpAddr::from(aaaa.0),
                    _ => false,
                };
                if addresses.iter().any(same) {
                    confirmed.push(name.0.to_ascii().trim_end_matches('.').to_owned());
                }
            }
        }
    }

    /// RFC 7208 §6.2: whatever is wrong with it, there is none then; it counts towards no limit.
    async fn explanation(&mut self, domain: &str, template: &Template) -> Option<String> {
        let target = self.expand(domain, template).await;
        let Asked::Records(records) = self.dns.ask(name(&target)?, RecordType::TXT).await else { return None };
        let texts = texts(&records);
        let [text] = texts.as_slice() else { return None };
        let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= EXPLANATION_MAX)?;
        let template = Template::parse(text, Place::Explanation)?;
        let text = self.text(domain, &template).await;
        (!text.is_empty()).then_some(text)
    }
}

/// RFC 7208 §3.3: the strings of a record, joined without anything between them.
pub(crate) fn texts(records: &[RData]) -> Vec<Vec<u8>> {
    let text = |record: &RData| match record {
        RData::TXT(txt) => Some(txt.txt_data.concat()),
        _ => None,
    };
    records.iter().filter_map(text).collect()
}

fn is_below(name: &str, domain: &str) -> bool {
    let (name, domain) = (name.to_ascii_lowercase(), domain.trim_end_matches('.').to_ascii_lowercase());
    name == domain || name.strip_suffix(&domain).is_some_and(|head| head.ends_with('.'))
}

fn within(client: IpAddr, network: IpAddr, length: u8) -> bool {
    let length = u32::from(length);
    match (client, network) {
        (IpAddr::V4(client), IpAddr::V4(network)) => {
            (client.to_bits() ^ network.to_bits()).checked_shr(32 - length.min(32)).unwrap_or(0) == 0
        }
        (IpAddr::V6(client), IpAddr::V6(network)) => {
            (client.to_bits() ^ network.to_bits()).checked_shr(128 - length.min(128)).unwrap_or(0) == 0
        }
        _ => false,
    }
}
