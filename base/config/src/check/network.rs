//! Checks of addresses: who can reach us, whom we trust, and where we send.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::{IpNet, Ipv6Net};
use postern_mail::client::ListenerKind;

use super::{Findings, twice};
use crate::{Config, Credentials, Target, TlsMode};

pub(super) fn listeners(findings: &mut Findings<'_>) {
    let config = findings.config;
    let mut binds: Vec<(String, SocketAddr)> = Vec::new();
    for (number, listener) in config.listeners.iter().enumerate() {
        let path = format!("listener[{}]", number + 1);
        if listener.bind.is_empty() {
            findings.error(&format!("{path}.bind"), "a listener without addresses; name at least one, or remove it");
        }
        if covers_everything(&listener.proxy_protocol_from) {
            findings.error(
                &format!("{path}.proxy_protocol_from"),
                "everybody could choose an address of their own; name your proxies",
            );
        }
        let reached = listener.bind.iter().any(|bind| !bind.ip().is_loopback());
        if listener.kind == ListenerKind::Mx && reached && !config.server.hostname.as_str().contains('.') {
            let text = format!("other servers distrust a host name without a domain: {}", config.server.hostname);
            findings.warn("server.hostname", &text);
        }
        binds.extend(listener.bind.iter().enumerate().map(|(n, bind)| (format!("{path}.bind[{}]", n + 1), *bind)));
    }
    binds.extend(config.http.bind.iter().enumerate().map(|(n, bind)| (format!("http.bind[{}]", n + 1), *bind)));
    for (number, (path, bind)) in binds.iter().enumerate() {
        let earlier = binds.iter().take(number).find(|(_, other)| clash(*other, *bind));
        if let Some((other, _)) = earlier {
            let problem = format!("{bind} is already taken by {other} (line {})", findings.line(other));
            findings.error(path, &problem);
        }
    }
    if config.http.bind.iter().any(|bind| !bind.ip().is_loopback()) {
        findings.warn(
            "http.bind",
            "what is shown here goes in clear over the network; bind to loopback and put a proxy with TLS before it",
        );
    }
}

/// True when the two cannot both be bound. Listeners on `[::]` take IPv6 only, so the families never clash.
fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let wildcard = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && one.is_ipv4() == other.is_ipv4() && (one.ip() == other.ip() || wildcard)
}

/// True when the networks together hold every IPv4 or every IPv6 address.
fn covers_everything(networks: &[IpNet]) -> bool {
    let mapped = Ipv6Net::new(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped(), 96).map(IpNet::V6);
    IpNet::aggregate(&networks.to_vec())
        .iter()
        .any(|network| network.prefix_len() == 0 || mapped.as_ref().is_ok_and(|mapped| network.contains(mapped)))
}

pub(super) fn networks(findings: &mut Findings<'_>) {
    let server = &findings.config.server;
    if covers_everything(&server.relay_networks) {
        findings
            .error("server.relay_networks", "this would be an open relay: every stranger could send spam through this server");
    }
    for (number, network) in server.relay_networks.iter().enumerate() {
        let wide = if matches!(network, IpNet::V4(_)) { 8 } else { 32 };
        if network.prefix_len() < wide && network.prefix_len() > 0 {
            let text = format!("{network} is wider than any one organisation; everybody in it can send through this server");
            findings.warn(&format!("server.relay_networks[{}]", number + 1), &text);
        }
    }
    if covers_everything(&server.trusted_networks) {
        findings.warn("server.trusted_networks", "everybody is trusted: nobody will ever be banned or greylisted");
    }
}

pub(super) fn routes(findings: &mut Findings<'_>) {
    let config = findings.config;
    let mut patterns = Vec::new();
    for (number, route) in config.routes.iter().enumerate() {
        let path = format!("route[{}]", number + 1);
        if route.to.is_empty() {
            findings.error(&format!("{path}.to"), "a route for nothing; name at least one domain, or remove it");
        }
        patterns.extend(route.to.iter().enumerate().map(|(n, pattern)| (format!("{path}.to[{}]", n + 1), pattern)));
        next_hop(findings, &path, (&route.host, route.port), route.tls, route.credentials.as_ref());
        // Mail in the queue knows its host and port, not its route: were they to differ, the mail of the strict one could go in clear.
        let same = config.routes.iter().take(number).position(|other| (&other.host, other.port) == (&route.host, route.port));
        if let Some((earlier, other)) = same.and_then(|earlier| Some((earlier, config.routes.get(earlier)?)))
            && (other.tls != route.tls || other.credentials != route.credentials)
        {
            let line = findings.line(&format!("route[{}]", earlier + 1));
            let place = format!("{} port {}", route.host, route.port);
            findings.error(
                &path,
                &format!("the route to {place} on line {line} has other tls or credentials; they must be the same"),
            );
        }
    }
    for (first, later) in twice(patterns.iter().map(|(_, pattern)| *pattern)) {
        if let (Some((other, _)), Some((path, pattern))) = (patterns.get(first), patterns.get(later)) {
            let problem = format!("{pattern} already has a route (line {})", findings.line(other));
            findings.error(path, &problem);
        }
    }
}

/// Checks a host that mail is handed to.
pub(super) fn next_hop(
    findings: &mut Findings<'_>,
    path: &str,
    (host, port): (&Target, u16),
    tls: TlsMode,
    credentials: Option<&Credentials>,
) {
    if is_own(findings.config, host, port) {
        findings.error(path, &format!("{host} port {port} is this server itself: mail would go round in a loop"));
    }
    if credentials.is_none() {
        return;
    }
    let beside_us = matches!(host, Target::Address(address) if address.is_loopback());
    match tls {
        TlsMode::None => findings.error(path, "credentials are sent under TLS only, and tls is \"none\"; take \"verify\""),
        TlsMode::Opportunistic | TlsMode::Require if !beside_us => {
            findings.warn(path, "credentials go to whoever answers; with tls = \"verify\" the host must prove its name");
        }
        _ => {}
    }
}

/// True when a listener of ours answers there.
pub(super) fn is_own(config: &Config, host: &Target, port: u16) -> bool {
    let mut binds = config.listeners.iter().flat_map(|listener| &listener.bind).filter(|bind| bind.port() == port && port != 0);
    match host {
        Target::Address(address) => binds.any(|bind| answers(bind.ip(), *address)),
        Target::Name(name) if name.as_str() == "localhost" => {
            binds.any(|bind| bind.ip().is_loopback() || bind.ip().is_unspecified())
        }
        Target::Name(name) => *name == config.server.hostname && binds.any(|bind| !bind.ip().is_loopback()),
    }
}

fn answers(bound: IpAddr, asked: IpAddr) -> bool {
    let near = asked.is_loopback() || asked.is_unspecified();
    bound == asked || (near && bound.is_unspecified() && bound.is_ipv4() == asked.is_ipv4())
}

pub(super) fn egress(findings: &mut Findings<'_>) {
    let egress = &findings.config.outbound.egress;
    if egress.len() > 1 {
        findings.error("outbound.egress", "pools of several egresses are not in this version; leave one");
    }
    for (number, one) in egress.iter().enumerate() {
        let path = format!("outbound.egress[{}].addresses", number + 1);
        let v4 = one.addresses.iter().filter(|address| address.is_ipv4()).count();
        if one.addresses.is_empty() {
            findings.error(&path, "an egress without addresses; name one, or remove it");
        } else if v4 > 1 || one.addresses.len() - v4 > 1 {
            findings.error(&path, "several addresses of one family are not in this version; leave one of each");
        }
    }
}
