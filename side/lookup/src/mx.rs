//! Who takes mail for a domain (RFC 5321 §5.1). Promise: a domain with MX records is never reached by its own address behind their back,
//! and one that says it takes no mail gets none.

use std::net::IpAddr;
use std::time::Instant;

use hickory_resolver::proto::rr::{RData, RecordType};
use postern_mail::Domain;
use tokio::task::JoinSet;

use crate::cache::Answer;
use crate::resolver::{LookupFailure, Resolver, clock};

/// One host that takes mail for a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Its name, for TLS and for the log.
    pub name: Domain,
    /// Lower is tried first.
    pub preference: u16,
    /// At least one; IPv6 before IPv4.
    pub addresses: Vec<IpAddr>,
}

/// Where mail for a domain goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MxAnswer {
    /// Nowhere: the domain says that it takes no mail (RFC 7505 §3).
    NullMx,
    /// To these, sorted by preference. Equal ones are in the order they came: whoever delivers shuffles them with [`shuffle_equals`].
    Exchangers {
        /// At least one.
        exchangers: Vec<Exchange>,
        /// There was no MX record, and this is the domain's own address.
        implicit: bool,
        /// A server we believe has validated who they are; a domain that is its own exchanger is who it is.
        secure: bool,
    },
}

impl Resolver {
    /// Finds the hosts that take mail for a domain. At most `exchangers_max` of them, those with the lowest preference values.
    ///
    /// # Errors
    /// [`LookupFailure::NoMail`] when there are MX records and none leads to a host, or when there is neither MX nor address.
    pub async fn exchangers(&self, domain: &Domain) -> Result<MxAnswer, LookupFailure> {
        self.exchangers_at(clock(), domain).await
    }

    pub(crate) async fn exchangers_at(&self, now: Instant, domain: &Domain) -> Result<MxAnswer, LookupFailure> {
        let known = self.known(now, domain, RecordType::MX).await?;
        match known.answer {
            Answer::NoSuchName => Err(LookupFailure::NoSuchDomain),
            Answer::Records(records) => match wanted(&records) {
                None => Ok(MxAnswer::NullMx),
                Some(hosts) => self.reach(now, hosts, known.secure).await,
            },
            Answer::NoData => {
                // RFC 5321 §5.1, §5.2: without MX records the domain itself is the only exchanger, with preference 0.
                let addresses = self.addresses_at(now, domain).await?;
                let itself = Exchange { name: domain.clone(), preference: 0, addresses };
                Ok(MxAnswer::Exchangers { exchangers: vec![itself], implicit: true, secure: self.is_believed() })
            }
        }
    }

    async fn reach(&self, now: Instant, hosts: Vec<(u16, Domain)>, secure: bool) -> Result<MxAnswer, LookupFailure> {
        let mut asked = JoinSet::new();
        for (place, (preference, name)) in hosts.into_iter().take(self.settings.exchangers_max).enumerate() {
            let resolver = self.clone();
            asked.spawn(async move {
                let addresses = resolver.addresses_at(now, &name).await;
                (place, addresses.map(|addresses| Exchange { name, preference, addresses }))
            });
        }
        let mut exchangers = Vec::new();
        let mut failure = LookupFailure::NoMail;
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok((place, Ok(exchange))) => exchangers.push((place, exchange)),
                Ok((_, Err(temporary @ LookupFailure::Temporary(_)))) => failure = temporary,
                // A host without a name or an address is skipped; the others may do.
                Ok((_, Err(LookupFailure::NoSuchDomain | LookupFailure::NoMail))) => {}
                Err(panicked) => failure = LookupFailure::Temporary(postern_mail::Outage::Bug(panicked.to_string())),
            }
        }
        // RFC 5321 §5.1: MX records of which none can be used are an error, not a reason to try the domain's own address.
        if exchangers.is_empty() {
            return Err(failure);
        }
        exchangers.sort_by_key(|(place, _)| *place);
        let exchangers = exchangers.into_iter().map(|(_, exchange)| exchange).collect();
        Ok(MxAnswer::Exchangers { exchangers, implicit: false, secure })
    }
}

/// RFC 5321 §5.1: hosts of equal preference in an order that chance decides, so that they share the load. Sorted stays sorted.
pub fn shuffle_equals(exchangers: &mut [Exchange], chance: u64) {
    // The mixing of splitmix64: neighbouring numbers come out unrelated.
    let mix = |place: u64| {
        let z = chance.wrapping_add(place.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    let mut place = 0;
    exchangers.sort_by_cached_key(|exchange| {
        place += 1;
        (exchange.preference, mix(place))
    });
}

/// The hosts the MX records name, best first, each once; `None` for a null MX.
fn wanted(records: &[RData]) -> Option<Vec<(u16, Domain)>> {
    let mut hosts = Vec::new();
    let mut seen = std::collections::HashSet::new();
    let mut records: Vec<_> = records
        .iter()
        .filter_map(|record| match record {
            RData::MX(mx) => Some(mx),
            _ => None,
        })
        .collect();
    // RFC 7505 §3: a null MX stands alone. Beside other records the root is only a host that does not exist, and is skipped below.
    if matches!(records.as_slice(), [only] if only.exchange.is_root()) {
        return None;
    }
    records.sort_by_key(|mx| mx.preference);
    for mx in records {
        let text = mx.exchange.to_ascii();
        let text = text.strip_suffix('.').unwrap_or(&text);
        // RFC 2181 §10.3: the value of an MX is a host name. An address written there is read as a name by DNS and leads nowhere.
        let is_address = text.parse::<IpAddr>().is_ok();
        match Domain::parse(text) {
            Ok(name) if !is_address && seen.insert(name.clone()) => hosts.push((mx.preference, name)),
            _ => {}
        }
    }
    Some(hosts)
}

#[cfg(test)]
mod tests;
