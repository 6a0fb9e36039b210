//! What stands in the DNS now, for whoever wants to know whether his records are out. Promise: it is asked for, whatever is remembered of earlier answers.

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::proto::rr::{Name, RData, RecordType};
use postern_mail::Domain;
use postern_mail::authenticity::AuthResult;

use crate::Authenticator;
use crate::cache::Answer;
use crate::resolver::{LookupFailure, Resolver, clock};
use crate::seal::seconds;
use crate::spf::{self, SpfAsked};

impl Resolver {
    async fn records_now<T>(
        &self,
        name: &Domain,
        kind: RecordType,
        read: impl Fn(&RData) -> Option<T>,
    ) -> Result<Vec<T>, LookupFailure> {
        match self.records_anew(clock(), name, kind).await? {
            Answer::Records(records) => Ok(records.iter().filter_map(read).collect()),
            Answer::NoData | Answer::NoSuchName => Ok(Vec::new()),
        }
    }

    /// TXT records, the strings of each joined. None where there are none.
    ///
    /// # Errors
    /// When nobody could tell.
    pub async fn texts_now(&self, name: &Domain) -> Result<Vec<Vec<u8>>, LookupFailure> {
        let text = |record: &RData| match record {
            RData::TXT(text) => Some(text.txt_data.concat()),
            _ => None,
        };
        self.records_now(name, RecordType::TXT, text).await
    }

    /// MX records, as preference and host; an empty host for the root.
    ///
    /// # Errors
    /// When nobody could tell.
    pub async fn exchangers_now(&self, name: &Domain) -> Result<Vec<(u16, String)>, LookupFailure> {
        let exchanger = |record: &RData| match record {
            RData::MX(mx) => Some((mx.preference, host(&mx.exchange))),
            _ => None,
        };
        self.records_now(name, RecordType::MX, exchanger).await
    }

    /// Addresses of a host of both families.
    ///
    /// # Errors
    /// When nobody could tell.
    pub async fn addresses_now(&self, name: &Domain) -> Result<Vec<IpAddr>, LookupFailure> {
        let address = |record: &RData| match record {
            RData::A(a) => Some(IpAddr::from(a.0)),
            RData::AAAA(aaaa) => Some(IpAddr::from(aaaa.0)),
            _ => None,
        };
        let mut addresses = self.records_now(name, RecordType::A, address).await?;
        addresses.extend(self.records_now(name, RecordType::AAAA, address).await?);
        Ok(addresses)
    }

    /// PTR records; see [`reverse_name`].
    ///
    /// # Errors
    /// When nobody could tell.
    pub async fn pointers_now(&self, name: &Domain) -> Result<Vec<String>, LookupFailure> {
        let pointer = |record: &RData| match record {
            RData::PTR(name) => Some(host(&name.0)),
            _ => None,
        };
        self.records_now(name, RecordType::PTR, pointer).await
    }
}

impl Authenticator {
    /// What SPF says of mail from this domain that this address hands over as `helo`.
    pub async fn spf_of(&self, client: IpAddr, helo: &Domain, domain: &Domain, within: Duration) -> AuthResult {
        let sender = format!("postmaster@{domain}");
        let asked = SpfAsked {
            client,
            helo: helo.as_str(),
            mail_from: Some(&sender),
            receiver: helo.as_str(),
            now: seconds(),
            aside_within: within / 8,
        };
        tokio::time::timeout(within, spf::check(self, &asked)).await.map_or(AuthResult::TempError, |spf| spf.result)
    }
}

fn host(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}

/// Where the names of an address stand.
#[must_use]
pub fn reverse_name(address: IpAddr) -> String {
    host(&Name::from(address.to_canonical()))
}
