//! Rules on `[[policy.dnsbl]]`, `[[policy.uribl]]` and `[[policy.hashbl]]`.

use std::net::Ipv4Addr;

use postern_mail::dns_list::{DnsListRule, Scoring};
use postern_mail::{DnsTarget, Domain, Secret};

use super::{Findings, twice};

pub(super) fn lists(findings: &mut Findings<'_>) {
    let policy = &findings.config.policy;
    let of = |list: &str, index: usize| format!("policy.{list}[{}]", index + 1);
    let dnsbl = policy.dnsbl.iter().enumerate().map(|(index, list)| {
        let both = u8::from(!list.points.0.is_empty()) + u8::from(!list.bits.0.is_empty());
        (of("dnsbl", index), list.rule(), list.key.clone(), both)
    });
    let uribl = policy.uribl.iter().enumerate().map(|(index, list)| {
        let both = u8::from(!list.points.0.is_empty()) + u8::from(!list.bits.0.is_empty());
        (of("uribl", index), list.rule(), list.key.clone(), both)
    });
    let hashbl = policy.hashbl.iter().enumerate().map(|(index, list)| {
        let both = u8::from(!list.points.0.is_empty()) + u8::from(!list.bits.0.is_empty());
        (of("hashbl", index), list.rule(), list.key.clone(), both)
    });
    let prefixes: Vec<_> =
        policy.hashbl.iter().enumerate().filter_map(|(index, list)| Some((index, list.prefix.clone()?))).collect();
    let all: Vec<_> = dnsbl.chain(uribl).chain(hashbl).collect();
    for (index, prefix) in prefixes {
        if Domain::parse(&format!("{prefix}.test")).is_err() {
            findings.error(
                &format!("{}.prefix", of("hashbl", index)),
                "cannot stand before the zone: letters, digits, hyphens and underscores are needed",
            );
        }
    }
    for (first, later) in twice(all.iter().map(|(_, rule, ..)| (rule.zone.clone(), rule.target))) {
        if let (Some((first, ..)), Some((later, ..))) = (all.get(first), all.get(later)) {
            let line = findings.line(&format!("{first}.zone"));
            findings
                .error(&format!("{later}.zone"), &format!("is there already (line {line}); one list for each zone and target"));
        }
    }
    for (path, rule, key, scorings) in &all {
        if *scorings != 1 {
            findings.error(&format!("{path}.points"), "one of points and bits says what the answers of a list are worth");
        }
        codes(findings, path, rule);
        if let Some(key) = key {
            can_stand(findings, path, &rule.zone, key);
        }
    }
}

fn codes(findings: &mut Findings<'_>, path: &str, rule: &DnsListRule) {
    if let Scoring::Codes(ranges) = &rule.scoring {
        for (index, range) in ranges.iter().enumerate() {
            if ranges.iter().skip(index + 1).any(|other| range.first <= other.last && other.first <= range.last) {
                findings.error(&format!("{path}.points"), &format!("a code from {} on has points twice", range.first));
            }
            if range.last >= Ipv4Addr::new(127, 255, 255, 0) || range.last == Ipv4Addr::new(127, 0, 0, 1) {
                findings.error(
                    &format!("{path}.points"),
                    &format!("{} is what a list says that cannot be used; it is never a listing", range.last),
                );
            }
        }
    }
    // A name is only what somebody says, so it cannot vouch for him.
    if rule.target != DnsTarget::Client && rule.scoring.has_negative() {
        findings.error(
            &format!("{path}.points"),
            "only a list of clients' addresses can speak for somebody; names can be made up, so negative points would be a way in",
        );
    }
}

/// A key is part of a name.
fn can_stand(findings: &mut Findings<'_>, path: &str, zone: &Domain, key: &Secret) {
    let name = std::str::from_utf8(key.expose()).ok().and_then(|key| Domain::parse(&format!("{key}.{zone}")).ok());
    if name.is_none() {
        findings.error(&format!("{path}.key"), "cannot stand before the zone: letters, digits and hyphens are needed");
    }
}
