//! What a domain asks of the hosts that take its mail: by DANE (RFC 7672), else by its policy (MTA-STS, RFC 8461), else nothing. Promise: where it
//! could not be found out what DNS says of a host, that host is not used until it can be; and no policy overrides what DNS says.

use std::sync::Arc;

use postern_config::{Config, StsMode, TlsMode};
use postern_delivery::{HostRule, HostTls, Named, NextHop, Place, TlsPolicy};
use postern_lookup::mta_sts::Mode;
use postern_lookup::{Exchange, Resolver, StsFault, StsPolicy};
use postern_mail::message::headers::{HEADER_BYTES_MAX, Headers};
use postern_mail::{Domain, Status, TlsBasis, TlsFailure};
use postern_spool::Stored;
use tokio::task::JoinSet;

use crate::wire::sts::{Asked, Policies};
use crate::wire::{Live, report};

/// One answer for each exchanger, in their order. `secure`: their names were validated, or there is only the domain's own.
pub(crate) async fn demands(
    live: &Live,
    sts: &Policies,
    domain: &Domain,
    (exchangers, secure): (&[Exchange], bool),
) -> Vec<HostTls> {
    let outbound = &live.config.outbound;
    let nothing = HostTls { named: Named::by_dns(secure), ..HostTls::NOTHING };
    if outbound.tls == TlsMode::None {
        return vec![nothing; exchangers.len()];
    }
    // RFC 7672 §2.2.1: whoever can forge the names of the hosts can name hosts of their own.
    let mut demands = if secure && outbound.dane {
        all_by_dns(&live.resolver, domain, (exchangers, outbound.port)).await
    } else {
        vec![nothing; exchangers.len()]
    };
    // RFC 8461 §2: what DNS says of a host comes first.
    if demands.iter().all(|demand| demand.basis == TlsBasis::Dane && !validates_nothing(demand)) {
        return demands;
    }
    let asked = sts.of(live, domain).await;
    for (demand, exchange) in demands.iter_mut().zip(exchangers) {
        if demand.basis != TlsBasis::Dane {
            *demand = by_policy(&asked, &exchange.name, secure);
        } else if validates_nothing(demand) {
            or_enforced(demand, by_policy(&asked, &exchange.name, secure));
        }
    }
    demands
}

/// Records of which none is usable ask for TLS and look at no certificate: a policy overrides no validation there.
fn validates_nothing(demand: &HostTls) -> bool {
    demand.basis == TlsBasis::Dane && demand.rule == HostRule::Demand(TlsPolicy::Require)
}

/// What a policy enforces is kept to; what it only tries out is less than what DNS says.
fn or_enforced(demand: &mut HostTls, by_policy: HostTls) {
    if matches!(by_policy.rule, HostRule::Demand(TlsPolicy::Verify) | HostRule::Closed(..)) {
        *demand = by_policy;
    }
}

/// RFC 8461 §5.
fn by_policy(asked: &Asked, host: &Domain, secure: bool) -> HostTls {
    // What names a host may be there and only not be had just now.
    let in_doubt = if secure { Named::Surely } else { Named::Unknown };
    let policy = match asked {
        Asked::Nothing | Asked::Policy(StsPolicy { mode: Mode::None, .. }) => {
            return HostTls { named: Named::by_dns(secure), ..HostTls::NOTHING };
        }
        Asked::Unknown => return HostTls { named: in_doubt, ..HostTls::NOTHING },
        // RFC 8461 §3.3: without a policy there is nothing to keep to; the domain is told of it.
        Asked::Failed(StsFault { failure, why }) => {
            return HostTls { basis: TlsBasis::Sts, rule: HostRule::Doubted(*failure, (**why).into()), named: in_doubt };
        }
        Asked::Policy(policy) => policy,
    };
    let rule = match (policy.mode, policy.names(host)) {
        (Mode::Enforce, true) => HostRule::Demand(TlsPolicy::Verify),
        (Mode::Testing, true) => HostRule::Demand(TlsPolicy::Observe),
        (Mode::Enforce, false) => HostRule::Closed(Status::new(4, 7, 5), TlsFailure::Mismatch, NOT_NAMED.into()),
        (Mode::Testing | Mode::None, false) => HostRule::Doubted(TlsFailure::Mismatch, NOT_NAMED.into()),
        (Mode::None, true) => HostRule::Hop,
    };
    let named = Named::by_dns(secure || (policy.mode == Mode::Enforce && policy.names(host)));
    HostTls { basis: TlsBasis::Sts, rule, named }
}

const NOT_NAMED: &str = "the domain's policy (MTA-STS) does not name this host";

async fn all_by_dns(resolver: &Resolver, domain: &Domain, (exchangers, port): (&[Exchange], u16)) -> Vec<HostTls> {
    let mut demands = vec![HostTls::NOTHING; exchangers.len()];
    let mut asked = JoinSet::new();
    for (place, exchange) in exchangers.iter().enumerate() {
        let (resolver, domain, host) = (resolver.clone(), domain.clone(), exchange.name.clone());
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
    HostTls { basis: TlsBasis::Dane, rule, named: Named::Surely }
}

/// RFC 3463 §3.5, X.4.3: directory server failure.
fn closed(why: String) -> HostTls {
    let rule = HostRule::Closed(Status::new(4, 4, 3), TlsFailure::DnssecInvalid, why.into());
    HostTls { basis: TlsBasis::Dane, rule, named: Named::Surely }
}

/// RFC 8689 §4.2.2: takes what the domain asks for away where the sender says so in the message, since what it is worth is for him to know. Gives true
/// when anything was. What is configured here stays.
pub(crate) async fn relax(hop: &mut NextHop, stored: &Stored) -> bool {
    let Place::Hosts(hosts) = &mut hop.place else { return false };
    if hosts.iter().all(|host| matches!(host.tls.rule, HostRule::Hop | HostRule::Doubted(..))) {
        return false;
    }
    // RFC 8689 §3: the field does not count in a message that asks for REQUIRETLS.
    if stored.envelope.require_tls || !says_no(stored).await {
        return false;
    }
    hosts.iter_mut().for_each(|host| host.tls = HostTls::NOTHING);
    true
}

async fn says_no(stored: &Stored) -> bool {
    // What cannot be read says nothing.
    let Ok(start) = report::start_of(&stored.body, HEADER_BYTES_MAX).await else { return false };
    let headers = Headers::parse(&start);
    let mut fields = headers.named("TLS-Required");
    // RFC 8689 §3: one such field, with this word.
    let only = fields.next().and_then(|field| field.text());
    fields.next().is_none() && only.is_some_and(|text| text.trim().eq_ignore_ascii_case("no"))
}

/// DANE needs more than to be switched on.
pub(crate) fn say_whether_dane_is_used(config: &Config, resolver: &Resolver) {
    let outbound = &config.outbound;
    if outbound.enabled && outbound.dane && outbound.tls != TlsMode::None && !resolver.is_believed() {
        tracing::info!(
            "DANE is not used: not all name servers are on loopback or in dns.trust_ad; a validating resolver on this machine makes it possible"
        );
    }
}

/// How long others may remember a policy of ours.
const OWN_MAX_AGE_S: u64 = 7 * 86_400;

/// The policy of a domain of ours, by the name of its policy host.
pub(crate) fn own_policy(config: &Config, host: &str) -> Option<String> {
    let domain = Domain::parse(host.strip_prefix("mta-sts.")?).ok()?;
    let domain = config.domain(&domain)?;
    let mode = domain.mta_sts.as_str();
    let hosts = match domain.mta_sts_mx.as_slice() {
        [] => std::slice::from_ref(&config.server.hostname),
        hosts => hosts,
    };
    let mx: String = hosts.iter().filter(|_| domain.mta_sts != StsMode::None).map(|host| format!("mx: {host}\r\n")).collect();
    // RFC 8461 §8.3: a policy that is taken back says so.
    Some(format!("version: STSv1\r\nmode: {mode}\r\n{mx}max_age: {OWN_MAX_AGE_S}\r\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_that_mail_cannot_use_switch_no_enforced_policy_off() {
        let unusable = || HostTls { basis: TlsBasis::Dane, rule: HostRule::Demand(TlsPolicy::Require), named: Named::Surely };
        assert!(validates_nothing(&unusable()) && !validates_nothing(&closed(String::new())));
        let with = |mode: &str, host: &str| {
            let policy = StsPolicy::read(&format!("version: STSv1\nmode: {mode}\nmx: mx.d.test\nmax_age: 86400\n")).unwrap();
            let mut demand = unusable();
            or_enforced(&mut demand, by_policy(&Asked::Policy(policy), &Domain::parse(host).unwrap(), true));
            demand
        };
        assert_eq!(with("enforce", "mx.d.test").rule, HostRule::Demand(TlsPolicy::Verify));
        assert!(matches!(with("enforce", "mx.e.test").rule, HostRule::Closed(..)));
        for (mode, host) in [("testing", "mx.d.test"), ("testing", "mx.e.test"), ("none", "mx.d.test")] {
            assert_eq!(with(mode, host), unusable(), "{mode} {host}");
        }
    }

    #[test]
    fn a_policy_that_cannot_be_had_leaves_open_whether_it_names_a_host() {
        let host = Domain::parse("mx.d.test").unwrap();
        let fault = || StsFault { failure: TlsFailure::PolicyFetch, why: "503".into() };
        let named = |asked: Asked, secure| by_policy(&asked, &host, secure).named;
        assert_eq!(named(Asked::Failed(fault()), false), Named::Unknown);
        assert_eq!(named(Asked::Unknown, false), Named::Unknown);
        assert_eq!(named(Asked::Nothing, false), Named::ByNobody);
        assert_eq!(named(Asked::Failed(fault()), true), Named::Surely);
    }
}
