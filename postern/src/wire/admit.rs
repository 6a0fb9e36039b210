//! Asks the scheduler whether an attempt may go on, now that its hosts are known.
//!
//! Promise: nothing connects to a provider's hosts that the provider's lane has no room for, however many domains they serve.

use std::sync::Arc;

use postern_config::Config;
use postern_delivery::{NextHop, Place};
use postern_mail::attempt::{Attempt, Destination};
use postern_scheduler::{Admission, Provider, Providers};
use tokio::sync::oneshot;

use crate::wire::Server;
use crate::wire::dispatch::Order;

/// Those that come with the program, with what the configuration says of any.
pub(crate) fn providers(config: &Config) -> Providers {
    let mut providers = Providers::shipped().clone();
    let limit = |number: u32| (number > 0).then_some(number);
    for own in &config.outbound.provider {
        providers.set(Provider {
            name: own.name.as_str().into(),
            exchangers: own.mx.iter().map(|name| name.as_str().into()).collect(),
            connections: limit(own.connections),
            messages_per_minute: limit(own.messages_per_minute),
        });
    }
    providers
}

/// Mail of this account goes behind other mail. Asked when a message is put into its lane: a change of mind is about what comes from then on,
/// and, since it is not written down with a message, after a restart about all that waits.
pub(crate) fn is_bulk(config: &Config, account: Option<&str>) -> bool {
    account.is_some_and(|account| config.outbound.bulk_accounts.iter().any(|bulk| bulk.eq_ignore_ascii_case(account)))
}

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
    fn who_sends_bulk_mail_is_said_once_for_lanes_and_for_desks() {
        let text = "[outbound]\nbulk_accounts = [\"News@example.org\"]\n";
        let config = postern_config::load(text, "f", &postern_config::Machine::named("mx.example")).unwrap();
        assert!(
            is_bulk(&config, Some("news@example.org")) && !is_bulk(&config, Some("a@example.org")) && !is_bulk(&config, None)
        );
        let named = crate::wire::suppression::hygiene(&config).bulk_accounts;
        assert_eq!(named.iter().map(|name| &**name).collect::<Vec<_>>(), ["News@example.org"]);
    }

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
