//! Who may send to other people's domains. The only place that makes a [`RelayPermit`].
//!
//! Promise: an authenticated client of a submission listener, or a client within `relay_networks`; nobody else, whatever the address
//! looks like. `trusted_networks` give no permit. When it cannot know: there is nothing here it could fail to know.

use std::net::IpAddr;

use ipnet::IpNet;
use postern_mail::fact::ClientFacts;
use postern_mail::proof::{Authenticated, RelayPermit};
use postern_mail::{Finding, Reply, RuleName};

use crate::policy::{Outbound, Policy};

/// As it stands in trails.
pub const RELAY: RuleName = "relay";

/// Judges a recipient that is not ours. RFC 5321 §3.6.2, §7.9: a server need not relay, and declines with 550.
#[must_use]
pub fn judge(policy: &Policy, client: &ClientFacts, who: Option<&Authenticated>) -> (Finding, Option<RelayPermit>) {
    let because = match (who, network_of(&policy.relay_networks, client.address)) {
        // There is no AUTH on `mx`, so an identity there would be a mistake of ours, and a mistake of ours must not open the relay.
        (Some(who), _) if client.listener.is_submission() => format!("authenticated as {}", who.account()),
        (_, Some(network)) => format!("{} is in the relay network {network}", client.address),
        _ => {
            let because = format!("{} is neither authenticated nor in a relay network", client.address);
            return (Finding::refuse(RELAY, because, Reply::relay_denied()), None);
        }
    };
    match policy.outbound {
        Outbound::Enabled => (Finding::pass(RELAY, because), Some(RelayPermit::mint_by_rule())),
        Outbound::Disabled => {
            (Finding::refuse(RELAY, format!("{because}, but outbound.enabled is false"), Reply::outbound_off()), None)
        }
    }
}

/// The narrowest network a client is in. A mapped IPv6 address counts as the IPv4 address it is.
#[must_use]
pub fn network_of(networks: &[IpNet], address: IpAddr) -> Option<&IpNet> {
    let address = address.to_canonical();
    networks.iter().filter(|network| network.contains(&address)).max_by_key(|network| network.prefix_len())
}
