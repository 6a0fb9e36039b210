//! Which certificates a mail host may show by what DNS says of it (RFC 7672). Promise: a host gets a [`TlsaSet`] only where a server we believe
//! has validated every answer on the way, and where one of those answers should have come and did not, that is said and not taken for none.

use std::time::Instant;

use hickory_resolver::proto::rr::{RData, RecordType};
use postern_mail::{Domain, Tlsa, TlsaSet};

use crate::cache::Answer;
use crate::resolver::{Known, LookupFailure, Resolver, clock};

/// Records of one host that are kept. With a new and an old key, two usages and two digests there are eight.
const RECORDS_MAX: usize = 32;

impl Resolver {
    /// What binds a mail host of a domain whose exchangers were found securely; `None`: nothing does.
    ///
    /// # Errors
    /// RFC 7672 §2.1.2: it could not be found out, so the host must not be used now.
    pub async fn tlsa(&self, domain: &Domain, host: &Domain, port: u16) -> Result<Option<TlsaSet>, LookupFailure> {
        self.tlsa_at(clock(), domain, host, port).await
    }

    pub(crate) async fn tlsa_at(
        &self,
        now: Instant,
        domain: &Domain,
        host: &Domain,
        port: u16,
    ) -> Result<Option<TlsaSet>, LookupFailure> {
        if !self.is_believed() {
            return Ok(None);
        }
        for base in self.bases(now, host).await? {
            let owner = Domain::parse(&format!("_{port}._tcp.{base}"));
            // A name too long for that has no such records either.
            let Ok(owner) = owner else { continue };
            let Known { answer: Answer::Records(records), secure: true, .. } = self.known(now, &owner, RecordType::TLSA).await?
            else {
                continue;
            };
            // RFC 7672 §3.2.3: the names of a certificate below a trust anchor: where the records stood, the domain itself, and the host
            // by its other name.
            let mut also = Vec::new();
            for name in [domain, host] {
                if *name != base && !also.contains(name) {
                    also.push(name.clone());
                }
            }
            return Ok(Some(TlsaSet { base, also, records: usable(&records) }));
        }
        Ok(None)
    }

    /// Where the records of a host may stand, best first (RFC 7672 §2.2.2).
    async fn bases(&self, now: Instant, host: &Domain) -> Result<Vec<Domain>, LookupFailure> {
        let (v6, v4) = tokio::join!(self.known(now, host, RecordType::AAAA), self.known(now, host, RecordType::A));
        let (mut alias, mut has_address, mut failed) = (None, false, None);
        for known in [v6, v4] {
            match known {
                // RFC 7672 §2.2.2: with no secure address there is nothing to ask for, which also spares hosts whose name servers know
                // no such question.
                Ok(Known { answer: Answer::Records(_), secure: true, alias_of }) => {
                    return Ok(alias_of.into_iter().chain([host.clone()]).collect());
                }
                Ok(Known { answer, alias_of, .. }) => {
                    has_address |= matches!(answer, Answer::Records(_));
                    alias = alias_of.or(alias);
                }
                Err(failure) => failed = failed.or(Some(failure)),
            }
        }
        // Its addresses were found before this: who can make them fail now must not be able to make us forget what stands beside them. An
        // address that is not secure tells enough, as the other family of the name would not be either.
        if let Some(failure) = failed.filter(|_| !has_address) {
            return Err(failure);
        }
        // An alias whose target is not secure may still be secure itself, and have records at its own name.
        let Some(_) = alias else { return Ok(Vec::new()) };
        let itself = self.known(now, host, RecordType::CNAME).await?;
        Ok(if itself.secure { vec![host.clone()] } else { Vec::new() })
    }
}

fn usable(records: &[RData]) -> Box<[Tlsa]> {
    let read = |record: &RData| match record {
        RData::TLSA(tlsa) => Some(Tlsa {
            usage: tlsa.cert_usage.into(),
            selector: tlsa.selector.into(),
            matching: tlsa.matching.into(),
            data: tlsa.cert_data.as_slice().into(),
        }),
        _ => None,
    };
    records.iter().filter_map(read).filter(Tlsa::is_usable).take(RECORDS_MAX).collect()
}

#[cfg(test)]
mod tests;
