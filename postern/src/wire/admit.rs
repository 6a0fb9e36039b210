//! Asks the scheduler whether an attempt may go on, now that its hosts are known.
//!
//! Promise: nothing connects to a provider's hosts that the provider's lane has no room for, however many domains they serve.

use std::sync::Arc;

use postern_delivery::{NextHop, Place};
use postern_mail::attempt::{Attempt, Destination};
use postern_scheduler::Admission;
use tokio::sync::oneshot;

use crate::wire::Server;
use crate::wire::dispatch::Order;

/// False: the attempt is over without having been one, and the message waits for its turn.
pub(crate) async fn may_go(server: &Server, attempt: &Attempt, hop: &NextHop) -> bool {
    let (Destination::Mx(domain), Place::Hosts(hosts)) = (&attempt.destination, &hop.place) else { return true };
    let mut exchangers: Vec<Arc<str>> = Vec::with_capacity(hosts.len());
    if !hosts.iter().all(|host| is_own(&host.name, domain.as_str())) {
        exchangers.extend(hosts.iter().map(|host| Arc::from(&*host.name)));
    }
    let (answer, admission) = oneshot::channel();
    let order = Order::Admit { attempt: attempt.clone(), exchangers, answer };
    if server.dispatcher.send(order).await.is_err() {
        return true;
    }
    !matches!(admission.await, Ok(Admission::Wait))
}

/// A host that a domain names below itself is hardly anybody else's, and needs nothing to be shared.
fn is_own(host: &str, domain: &str) -> bool {
    let host = host.trim_end_matches('.');
    let ends = host.len().checked_sub(domain.len()).and_then(|at| host.get(at..).map(|end| (at, end)));
    ends.is_some_and(|(at, end)| end.eq_ignore_ascii_case(domain) && (at == 0 || host.as_bytes().get(at - 1) == Some(&b'.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_below_its_domain_is_its_own() {
        assert!(is_own("mx.example.org", "example.org") && is_own("Example.ORG.", "example.org"));
        assert!(
            !is_own("mx.badexample.org", "example.org")
                && !is_own("org", "example.org")
                && !is_own("aspmx.l.google.com", "example.org")
        );
    }
}
