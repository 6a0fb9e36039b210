//! Head: what a response says about the name that was asked for. Promise: aliases are followed a bounded number of times.

use hickory_resolver::proto::op::{DnsResponse, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use super::ALIASES_MAX;
use crate::cache::Answer;

/// What a response comes to.
pub(super) enum Read {
    Done { answer: Answer, owner: Name },
    AliasOf(Name),
    Endless,
}

/// Reads the records about `target` out of a response, following the aliases that came with it; lowers `seconds` to what each record
/// used allows.
pub(super) fn read(response: &DnsResponse, mut target: Name, kind: RecordType, seconds: &mut u32) -> Read {
    for _ in 0..ALIASES_MAX {
        let about = || response.answers.iter().filter(|record| record.name == target);
        let mut records = Vec::new();
        for record in about().filter(|record| record.record_type() == kind) {
            *seconds = (*seconds).min(record.ttl);
            records.push(record.data.clone());
        }
        if !records.is_empty() {
            return Read::Done { answer: Answer::Records(records), owner: target };
        }
        let alias = about().find_map(|record| match &record.data {
            RData::CNAME(alias) => Some((alias.0.clone(), record.ttl)),
            _ => None,
        });
        match alias {
            // RFC 2181 §10.1: an alias has one target; should there be more, the first is followed.
            Some((next, ttl)) => {
                *seconds = (*seconds).min(ttl);
                target = next;
            }
            None => {
                let negative = response.negative_ttl();
                return match response.response_code {
                    // RFC 6604 §3: the code speaks of the last name of the chain.
                    ResponseCode::NXDomain => {
                        *seconds = (*seconds).min(negative.unwrap_or(0));
                        Read::Done { answer: Answer::NoSuchName, owner: target }
                    }
                    _ if negative.is_some() => {
                        *seconds = (*seconds).min(negative.unwrap_or(0));
                        Read::Done { answer: Answer::NoData, owner: target }
                    }
                    _ => Read::AliasOf(target),
                };
            }
        }
    }
    Read::Endless
}
