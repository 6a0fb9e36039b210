//! What a domain asks of the hosts that take its mail: by DANE (RFC 7672), else what is configured. Promise: where it could not be found out
//! what a domain asks of a host, that host is not used until it can be.

use std::sync::Arc;

use postern_config::{Config, TlsMode};
use postern_delivery::{HostRule, HostTls, TlsPolicy};
use postern_lookup::{Exchange, Resolver};
use postern_mail::{Domain, Status, TlsBasis, TlsFailure};
use tokio::task::JoinSet;

/// One answer for each exchanger, in their order. `secure`: their names were validated.
pub(crate) async fn demands(
    config: &Config,
    resolver: &Resolver,
    domain: &Domain,
    (exchangers, secure): (&[Exchange], bool),
) -> Vec<HostTls> {
    let mut demands = vec![HostTls::NOTHING; exchangers.len()];
    let outbound = &config.outbound;
    // RFC 7672 §2.2.1: whoever can forge the names of the hosts can name hosts of their own.
    if !secure || !outbound.dane || outbound.tls == TlsMode::None {
        return demands;
    }
    let mut asked = JoinSet::new();
    for (place, exchange) in exchangers.iter().enumerate() {
        let (resolver, domain, host, port) = (resolver.clone(), domain.clone(), exchange.name.clone(), outbound.port);
        asked.spawn(async move { (place, by_dns(&resolver, &domain, &host, port).await) });
    }
    while let Some(answered) = asked.join_next().await {
        let Ok((place, demand)) = answered else {
            // A mistake of ours leaves nobody less safe.
            let why = "what DNS says of its certificate could not be found out";
            return vec![closed(why.to_owned()); exchangers.len()];
        };
        if let Some(slot) = demands.get_mut(place) {
            *slot = demand;
        }
    }
    demands
}

async fn by_dns(resolver: &Resolver, domain: &Domain, host: &Domain, port: u16) -> HostTls {
    let rule = match resolver.tlsa(domain, host, port).await {
        Ok(None) => return HostTls::NOTHING,
        // RFC 7672 §2.2: records of which none is usable still say that there is TLS.
        Ok(Some(set)) if set.records.is_empty() => HostRule::Demand(TlsPolicy::Require),
        Ok(Some(set)) => HostRule::Demand(TlsPolicy::Dane(Arc::new(set))),
        // RFC 7672 §2.1.2: an attacker who can make this question fail must not be able to make us forget the answer.
        Err(failure) => return closed(format!("what DNS says of its certificate (DANE) cannot be found out: {failure}")),
    };
    HostTls { basis: TlsBasis::Dane, rule }
}

/// RFC 3463 §3.5, X.4.3: directory server failure.
fn closed(why: String) -> HostTls {
    let rule = HostRule::Closed(Status::new(4, 4, 3), TlsFailure::DnssecInvalid, why.into());
    HostTls { basis: TlsBasis::Dane, rule }
}
