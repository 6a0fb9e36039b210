//! The client's name, confirmed: one of the names of its address has that address (RFC 8601 §3). Promise: no more than [`NAMES_MAX`] names are followed, and
//! what cannot be found out is `temperror`, not `fail`.

use std::net::IpAddr;

use hickory_resolver::proto::rr::{Name, RData, RecordType};
use postern_mail::Domain;
use postern_mail::authenticity::{AuthResult, Iprev, Words};

use crate::cache::Answer;
use crate::resolver::{LookupFailure, Resolver, clock};

/// Names of one address that are looked up. More than two are seen at mass hosters only, where any of them will do.
pub const NAMES_MAX: usize = 5;

/// Looks it up.
pub(crate) async fn iprev(resolver: &Resolver, client: IpAddr) -> Iprev {
    let client = client.to_canonical();
    let found = |result, name: Option<&Domain>| Iprev { result, name: Words::new(name.map_or("", Domain::as_str)) };
    let reverse = Name::from(client).to_ascii();
    let Ok(reverse) = Domain::parse(reverse.trim_end_matches('.')) else { return found(AuthResult::PermError, None) };
    let names: Vec<Domain> = match resolver.records(clock(), &reverse, RecordType::PTR).await {
        Err(_) => return found(AuthResult::TempError, None),
        // RFC 8601 §2.7.3: without a name there is nothing to confirm.
        Ok(Answer::NoData | Answer::NoSuchName) => return found(AuthResult::PermError, None),
        Ok(Answer::Records(records)) => records
            .iter()
            .filter_map(|record| match record {
                RData::PTR(name) => Domain::parse(name.0.to_ascii().trim_end_matches('.')).ok(),
                _ => None,
            })
            .take(NAMES_MAX)
            .collect(),
    };
    let Some(first) = names.first() else { return found(AuthResult::PermError, None) };
    let mut unknown = false;
    for name in &names {
        match resolver.addresses(name).await {
            Ok(addresses) if addresses.iter().any(|own| own.to_canonical() == client) => {
                return found(AuthResult::Pass, Some(name));
            }
            Err(LookupFailure::Temporary(_)) => unknown = true,
            _ => {}
        }
    }
    found(if unknown { AuthResult::TempError } else { AuthResult::Fail }, Some(first))
}
