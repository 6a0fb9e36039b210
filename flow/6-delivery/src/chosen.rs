//! Head: which of a destination's hosts may be spoken to, and how safe the way to each must be. Promise: what a domain asks of a host is never
//! less than what is done, and a host it forbids is not connected to.

use std::sync::Arc;

use postern_mail::{TlsBasis, TlsFailure, TlsSession};

use crate::classify::{Failure, Stage};
use crate::connect::Endpoint;
use crate::connection::Connection;
use crate::dialogue::Trouble;
use crate::next_hop::{HostRule, HostTls, Named, TlsPolicy};
use crate::tally::Useless;
use crate::tls_policy::Security;

/// A host that may be spoken to.
pub(crate) struct Chosen {
    pub(crate) endpoint: Endpoint,
    pub(crate) tls: TlsPolicy,
    basis: TlsBasis,
    doubt: Option<(TlsFailure, Box<str>)>,
}

/// Those that may be, and what is said of the others. `least` is what the next hop or the message asks for.
pub(crate) fn choose(
    endpoints: Vec<(Endpoint, HostTls)>,
    hop: &TlsPolicy,
    relayed_safely: bool,
    told: &mut Vec<TlsSession>,
) -> (Vec<Chosen>, Vec<Useless>) {
    let (mut chosen, mut useless) = (Vec::with_capacity(endpoints.len()), Vec::new());
    for (endpoint, HostTls { basis, rule, named }) in endpoints {
        // RFC 8689 §4.2.1: a certificate for a name proves nothing when anybody could have put that name there.
        if relayed_safely && named != Named::Surely {
            let failure = if named == Named::Unknown { Failure::NamedUnknown } else { Failure::NotNamed };
            let trouble = Trouble::Failure(Stage::Connect, failure);
            useless.push(Useless::because(&trouble, &endpoint.to_string()));
            continue;
        }
        let (asked, doubt) = match rule {
            HostRule::Hop => (hop.clone(), None),
            HostRule::Demand(policy) => (hop.clone().or_more(policy), None),
            HostRule::Doubted(what, why) => (hop.clone(), Some((what, (*why).into()))),
            HostRule::Closed(status, what, why) => {
                let trouble = Trouble::Failure(Stage::Connect, Failure::Closed(status, what, why.to_string()));
                useless.push(Useless::because(&trouble, &endpoint.to_string()));
                told.push(TlsSession { basis, host: endpoint.name(), address: None, failure: Some((what, (*why).into())) });
                continue;
            }
        };
        // RFC 8689 §4.2.1: only over TLS to a host whose certificate was verified.
        let tls = if relayed_safely { asked.or_more(TlsPolicy::Verify) } else { asked };
        chosen.push(Chosen { endpoint, tls, basis, doubt });
    }
    (chosen, useless)
}

impl Chosen {
    /// How the host is named in evidence: with what its certificate is held to.
    pub(crate) fn by(&self) -> Arc<str> {
        match (&self.tls, self.basis) {
            (TlsPolicy::Dane(_), _) => format!("{} (DANE)", self.endpoint).into(),
            (TlsPolicy::Verify, TlsBasis::Sts) => format!("{} (MTA-STS)", self.endpoint).into(),
            _ => self.endpoint.to_string().into(),
        }
    }

    /// Notes how the TLS of a session with it went; what failed for other reasons says nothing of that.
    pub(crate) fn note(&self, opened: &Result<Connection, Trouble>, told: &mut Vec<TlsSession>) {
        if self.tls == TlsPolicy::None {
            return;
        }
        let boxed = |(what, why): (TlsFailure, String)| (what, why.into_boxed_str());
        let failure = match opened {
            Ok(connection) if connection.peer.security == Security::Clear => Some((TlsFailure::NotOffered, "".into())),
            Ok(connection) => self.doubt.clone().or_else(|| connection.doubt.clone().map(boxed)),
            Err(trouble) => match trouble.tls_failure() {
                Some(failure) => Some(boxed(failure)),
                None => return,
            },
        };
        let (host, address) = (self.endpoint.name(), self.endpoint.address());
        told.push(TlsSession { basis: self.basis, host, address, failure });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::summary;

    #[test]
    fn only_a_domain_that_names_nobody_has_its_mail_bounced_for_want_of_a_name() {
        let bounces = |named| {
            let endpoint = Endpoint::Tcp { name: "mx.d.test".into(), address: "192.0.2.1:25".parse().unwrap() };
            let host = (endpoint, HostTls { named, ..HostTls::NOTHING });
            let (chosen, useless) = choose(vec![host], &TlsPolicy::Opportunistic, true, &mut Vec::new());
            assert_eq!(chosen.len() + useless.len(), 1);
            summary(useless, true).map(|outcome| outcome.is_final())
        };
        assert_eq!(bounces(Named::Surely), None, "it is spoken to");
        assert_eq!(bounces(Named::ByNobody), Some(true));
        // What could not be asked may be answered by the next try.
        assert_eq!(bounces(Named::Unknown), Some(false));
    }
}
