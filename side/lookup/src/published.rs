//! What an author's domain publishes for DMARC and where it wants reports, and whether whoever is to get them agreed (RFC 9990 §4). Promise: the record found
//! is the one that mail was judged by, no walk asks more than eight questions, and nobody gets reports of other domains unasked.
//!
//! The library that judges does not say where the record stood, so the walk is made again; its answers are remembered from a moment ago.

use std::time::Duration;

use hickory_resolver::proto::rr::{Name, RData, RecordType};
use mail_auth::dmarc::{Alignment, DmarcRecord, FailureOptions, Policy, Psd};
use mail_auth::dns::TxtRecordParser;
use postern_mail::authenticity::Disposition;
use postern_mail::published::{DESTINATIONS_MAX, Destination, Policies, Published};
use postern_mail::{Domain, Mailbox};
use tokio::time::timeout;

use crate::Authenticator;
use crate::authenticity::Asked;

/// RFC 9989 §4.10: no more questions in one walk.
const STEPS_MAX: usize = 8;

/// DNS did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAnswer;

/// What is said of a destination outside of the domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Reports may go to these instead of it; mostly it is itself.
    Given(Vec<Destination>),
    /// Nobody there wants them.
    Refused,
}

/// RFC 9989 §4.10: the name itself, and then up to the top; of long names the middle is left out.
fn steps(domain: &str) -> Vec<&str> {
    let labels = domain.split('.').count();
    let mut steps = vec![domain];
    let mut rest = domain;
    let mut left = labels;
    while let Some((_, above)) = rest.split_once('.') {
        (rest, left) = (above, left - 1);
        if left < STEPS_MAX {
            steps.push(rest);
        }
    }
    steps
}

fn organizational<'a>(walk: &'a [(Domain, DmarcRecord)], start: &'a Domain) -> Option<Domain> {
    for (name, record) in walk {
        match record.psd {
            Psd::No => return Some(name.clone()),
            Psd::Yes if name != start => {
                // One label below, on the way to where the walk began.
                let deeper = start.as_str().strip_suffix(name.as_str())?.trim_end_matches('.');
                let label = deeper.rsplit('.').next()?;
                return Domain::parse(&format!("{label}.{name}")).ok();
            }
            _ => {}
        }
    }
    walk.last().map(|(name, _)| name.clone())
}

fn disposition(policy: Policy) -> Disposition {
    match policy {
        Policy::Reject => Disposition::Reject,
        Policy::Quarantine => Disposition::Quarantine,
        Policy::None | Policy::Unspecified => Disposition::None,
    }
}

fn destinations(uris: &[mail_auth::dmarc::Uri]) -> Vec<Destination> {
    let one = |uri: &mail_auth::dmarc::Uri| {
        let address = Mailbox::parse(uri.uri()).ok().filter(|address| address.domain().is_some())?;
        let octets_max = u64::try_from(uri.max_size()).ok().filter(|octets| *octets > 0);
        Some(Destination { address, octets_max })
    };
    uris.iter().filter_map(one).take(DESTINATIONS_MAX).collect()
}

impl Authenticator {
    async fn texts(&self, name: &str) -> Result<Vec<Vec<u8>>, NoAnswer> {
        // A name that is too long for DNS cannot be asked for, and so says nothing.
        let Ok(name) = Name::from_ascii(format!("{name}.")) else { return Ok(Vec::new()) };
        match self.ask(name, RecordType::TXT).await {
            Asked::Records(records) => {
                let text = |data: &RData| match data {
                    RData::TXT(text) => Some(text.txt_data.concat()),
                    _ => None,
                };
                Ok(records.iter().filter_map(text).collect())
            }
            Asked::Nothing => Ok(Vec::new()),
            Asked::Failed(_) => Err(NoAnswer),
        }
    }

    async fn walk(&self, domain: &Domain) -> Result<Vec<(Domain, DmarcRecord)>, NoAnswer> {
        let mut found = Vec::new();
        // As the library has it: a top-level domain alone is nobody's author.
        if !domain.as_str().contains('.') {
            return Ok(found);
        }
        for name in steps(domain.as_str()) {
            let texts = self.texts(&format!("_dmarc.{name}")).await?;
            let mut records = texts.iter().filter_map(|text| DmarcRecord::parse(text).ok());
            // RFC 9989 §4.10: of two records at one name neither counts.
            if let (Some(record), None, Ok(name)) = (records.next(), records.next(), Domain::parse(name)) {
                let ends = record.psd != Psd::Default;
                found.push((name, record));
                if ends {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// The record that applies to mail of an author.
    ///
    /// # Errors
    /// When DNS does not answer in time.
    pub async fn published(&self, author: &Domain, within: Duration) -> Result<Option<Published>, NoAnswer> {
        let walk = timeout(within, self.walk(author)).await.map_err(|_| NoAnswer)??;
        let organization = organizational(&walk, author).unwrap_or_else(|| author.clone());
        let applies = walk
            .iter()
            .find(|(name, _)| name == author)
            .or_else(|| walk.iter().find(|(name, _)| *name == organization))
            .or_else(|| walk.last());
        Ok(applies.map(|(name, record)| Published {
            domain: name.clone(),
            organization: organization.clone(),
            policies: Policies { p: disposition(record.p), sp: disposition(record.sp), np: disposition(record.np) },
            strict_dkim: record.adkim == Alignment::Strict,
            strict_spf: record.aspf == Alignment::Strict,
            failure_options: match record.fo {
                FailureOptions::All => "0",
                FailureOptions::Any => "1",
                FailureOptions::Dkim => "d",
                FailureOptions::Spf => "s",
                FailureOptions::DkimSpf => "d:s",
            },
            testing: record.t,
            destinations: destinations(record.rua()),
            failure_destinations: if record.psd == Psd::Yes { Vec::new() } else { destinations(record.ruf()) },
        }))
    }

    /// Whether reports about a domain may go to a destination.
    ///
    /// # Errors
    /// When DNS does not answer in time.
    pub async fn consent(&self, about: &Published, to: &Destination, within: Duration) -> Result<Consent, NoAnswer> {
        timeout(within, self.asked_consent(about, to)).await.map_err(|_| NoAnswer)?
    }

    async fn asked_consent(&self, about: &Published, to: &Destination) -> Result<Consent, NoAnswer> {
        let Some(host) = to.address.domain() else { return Ok(Consent::Refused) };
        let own = || Consent::Given(vec![to.clone()]);
        if *host == about.domain || *host == about.organization {
            return Ok(own());
        }
        if organizational(&self.walk(host).await?, host).unwrap_or_else(|| host.clone()) == about.organization {
            return Ok(own());
        }
        // RFC 9990 §4: the destination's own word, below its own name.
        let texts = self.texts(&format!("{}._report._dmarc.{host}", about.domain)).await?;
        let records: Vec<DmarcRecord> = texts.iter().filter_map(|text| DmarcRecord::parse(text).ok()).collect();
        if records.is_empty() {
            return Ok(Consent::Refused);
        }
        let others: Vec<Destination> =
            records.iter().flat_map(|record| destinations(record.rua())).take(DESTINATIONS_MAX).collect();
        if others.iter().any(|other| other.address.domain() != Some(host)) {
            // RFC 9990 §4: whoever is sent somewhere else by it gets none, and neither does it.
            return Ok(Consent::Refused);
        }
        Ok(if others.is_empty() { own() } else { Consent::Given(others) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_leaves_out_the_middle_of_long_names() {
        assert_eq!(steps("a.b.test"), ["a.b.test", "b.test", "test"]);
        let long = steps("1.2.3.4.5.6.7.8.9.test");
        assert_eq!(long.len(), 8);
        assert_eq!((long[0], long[1], long[7]), ("1.2.3.4.5.6.7.8.9.test", "4.5.6.7.8.9.test", "test"));
    }

    #[test]
    fn an_organization_is_below_a_public_suffix_and_else_the_highest_with_a_record() {
        let record = |text: &str| DmarcRecord::parse(text.as_bytes()).unwrap();
        let domain = |text: &str| Domain::parse(text).unwrap();
        let start = domain("a.b.c.test");
        let plain = [(domain("b.c.test"), record("v=DMARC1; p=none")), (domain("c.test"), record("v=DMARC1; p=none"))];
        assert_eq!(organizational(&plain, &start), Some(domain("c.test")));
        let suffix = [(domain("c.test"), record("v=DMARC1; p=none; psd=y"))];
        assert_eq!(organizational(&suffix, &start), Some(domain("b.c.test")));
        let own = [(domain("b.c.test"), record("v=DMARC1; p=none; psd=n"))];
        assert_eq!(organizational(&own, &start), Some(domain("b.c.test")));
        assert_eq!(organizational(&[], &start), None);
    }
}
