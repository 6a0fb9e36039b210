//! Rules that span keys and sections. Promise: what can be known to be an open relay, a loop or a dead end before the first
//! message is an error here, and not a surprise later.

use std::collections::HashMap;

use postern_mail::Domain;

use crate::Config;
use crate::error::{ConfigError, Position, Warning};
use crate::table::key_at;

mod dkim;
mod dns_lists;
mod domains;
mod filters;
mod lists;
mod network;
mod numbers;

/// A rule, and the settings it looks at.
type Rule = (fn(&mut Findings<'_>), &'static [&'static str]);

const RULES: &[Rule] = &[
    (network::listeners, &["listener", "http.bind", "server.hostname"]),
    (network::networks, &["server.relay_networks", "server.trusted_networks"]),
    (network::routes, &["route", "listener", "server.hostname"]),
    (network::egress, &["outbound.egress"]),
    (domains::domains, &["domain", "route", "listener", "server.hostname", "server.postmaster", "outbound.enabled"]),
    (certificate, &["tls"]),
    (authority, &["tls.acme", "server.hostname"]),
    (self_signed, &["tls", "listener"]),
    (seals, &["arc", "policy.authenticity.enabled"]),
    (dkim::dkim, &["dkim"]),
    (auth, &["auth.mechanisms", "auth.oidc", "tls.client_ca", "listener"]),
    (lists::lists, &["policy.list"]),
    (dns_lists::lists, &["policy.dnsbl", "policy.uribl", "policy.hashbl"]),
    (filters::filters, &["policy.milter", "policy.rspamd", "policy.clamav"]),
    (numbers::points, &["policy.tag_at", "policy.hold_at", "policy.refuse_at"]),
    (other_ways_in, &["auth.mechanisms", "auth.oidc", "tls.client_ca", "tls.client_crl"]),
    (numbers::limits, &["limits"]),
    (
        numbers::retry,
        &["outbound.retry.first", "outbound.retry.longest", "outbound.retry.give_up", "outbound.delay_warning_after"],
    ),
    (numbers::bans, &["auth.ban_first", "auth.ban_longest"]),
    (numbers::unused, &["auth.unused_after", "auth.unused_notice"]),
    (numbers::guard, &["outbound.guard"]),
    (numbers::lanes, &["outbound.lanes"]),
    (numbers::providers, &["outbound.provider"]),
    (numbers::spool, &["spool"]),
    (reports, &["reports", "policy.authenticity.enabled"]),
];

/// Everything that is wrong or doubtful about a configuration whose single values are right. A rule that looks at a value about
/// which there is an error already is left out: what stands in for the value would only cause errors nobody made.
pub(crate) fn check(config: &Config, already: &[ConfigError]) -> (Vec<ConfigError>, Vec<Warning>) {
    let mut findings = Findings { config, errors: Vec::new(), warnings: Vec::new() };
    for (rule, looks_at) in RULES {
        let spoilt = |path: &str| already.iter().any(|error| is_below(&error.path, path) || is_below(path, &error.path));
        if !looks_at.iter().any(|path| spoilt(path)) {
            rule(&mut findings);
        }
    }
    (findings.errors, findings.warnings)
}

/// True when `path` is `above`, or a key or entry in it.
fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// What the checks find.
struct Findings<'a> {
    config: &'a Config,
    errors: Vec<ConfigError>,
    warnings: Vec<Warning>,
}

impl Findings<'_> {
    /// Where a setting stands, or the nearest thing around it that stands in the file.
    fn position(&self, path: &str) -> Option<Position> {
        let mut path = path;
        loop {
            if let Some(position) = self.config.position(path) {
                return Some(position);
            }
            path = path.get(..path.rfind(['.', '['])?)?;
        }
    }

    fn line(&self, path: &str) -> usize {
        self.position(path).unwrap_or_default().line
    }

    fn error(&mut self, path: &str, problem: &str) {
        self.errors.push(ConfigError {
            file: self.config.file.clone(),
            position: self.position(path).unwrap_or(Position { line: 1, column: 1 }),
            path: path.to_owned(),
            problem: format!("{path}: {problem}"),
            nearest: None,
            example: key_at(Config::TABLE, path).and_then(|key| key.example_line()),
        });
    }

    /// Notes a contradiction of two settings at the first of them that the file sets.
    fn error_at_either(&mut self, paths: [&str; 2], problem: &str) {
        let [first, second] = paths;
        self.error(if self.is_set(first) { first } else { second }, problem);
    }

    fn warn(&mut self, path: &str, text: &str) {
        self.warnings.push(Warning {
            file: self.config.file.clone(),
            position: self.position(path),
            path: path.to_owned(),
            text: text.to_owned(),
        });
    }

    /// True when the file sets it.
    fn is_set(&self, path: &str) -> bool {
        self.config.position(path).is_some()
    }
}

/// The things that occur twice, as pairs of the first and the later index.
fn twice<T: std::hash::Hash + Eq>(things: impl Iterator<Item = T>) -> Vec<(usize, usize)> {
    let mut first = HashMap::new();
    let mut pairs = Vec::new();
    for (index, thing) in things.enumerate() {
        match first.get(&thing) {
            Some(before) => pairs.push((*before, index)),
            None => {
                first.insert(thing, index);
            }
        }
    }
    pairs
}

fn certificate(findings: &mut Findings<'_>) {
    let tls = &findings.config.tls;
    match (&tls.certificate, &tls.key) {
        (Some(_), None) => findings.error("tls.certificate", "is there without tls.key; set both, or neither"),
        (None, Some(_)) => findings.error("tls.key", "is there without tls.certificate; set both, or neither"),
        (Some(_), Some(_)) if tls.acme.is_some() => {
            findings
                .error_at_either(["tls.acme", "tls.certificate"], "a certificate from files and one from an authority; set one");
        }
        _ => {}
    }
}

fn authority(findings: &mut Findings<'_>) {
    let Some(acme) = &findings.config.tls.acme else { return };
    for name in acme.names(&findings.config.server.hostname) {
        if !name.as_str().contains('.') {
            findings.error(
                "tls.acme.domains",
                &format!("no authority vouches for {name}; name what this server is called in the DNS"),
            );
        }
    }
}

fn reports(findings: &mut Findings<'_>) {
    let config = findings.config;
    for (path, wanted) in [("reports.dmarc", config.reports.dmarc), ("reports.failures", config.reports.failures)] {
        if wanted && !config.policy.authenticity.enabled {
            findings.error(path, "nothing would be found out to report on, since policy.authenticity.enabled is false");
        }
    }
}

fn seals(findings: &mut Findings<'_>) {
    let arc = &findings.config.arc;
    match (&arc.domain, &arc.key) {
        (Some(_), None) => findings.error("arc.domain", "is there without arc.key; set both, or neither"),
        (None, Some(_)) => findings.error("arc.key", "is there without arc.domain; set both, or neither"),
        (Some(_), Some(_)) if !findings.config.policy.authenticity.enabled => {
            findings.warn("arc.key", "seals nothing: with policy.authenticity.enabled = false there is nothing to tell");
        }
        _ => {}
    }
    let selector = &findings.config.arc.selector;
    if Domain::parse(selector).is_err() {
        findings.error("arc.selector", "is no name of DNS: letters, digits, hyphens and dots");
    }
}

fn self_signed(findings: &mut Findings<'_>) {
    let reached = |listener: &crate::Listener| listener.bind.iter().any(|bind| !bind.ip().is_loopback());
    let number = findings.config.listeners.iter().position(|listener| listener.kind.is_submission() && reached(listener));
    if let Some(number) = number.filter(|_| findings.config.tls.certificate.is_none() && findings.config.tls.acme.is_none()) {
        let path = format!("listener[{}].kind", number + 1);
        findings.warn(
            &path,
            "mail programs refuse the self-signed certificate that is shown here; set tls.certificate and tls.key, or tls.acme",
        );
    }
}

fn auth(findings: &mut Findings<'_>) {
    let mechanisms = &findings.config.auth.mechanisms;
    for (_, later) in twice(mechanisms.iter()) {
        findings.error(&format!("auth.mechanisms[{}]", later + 1), "is named twice");
    }
    if findings.config.usable_mechanisms().next().is_some()
        || !findings.config.listeners.iter().any(|listener| listener.kind.is_submission())
    {
        return;
    }
    let advice = if mechanisms.is_empty() {
        "name at least one"
    } else {
        "OAUTHBEARER and XOAUTH2 need an issuer (auth.oidc), EXTERNAL an authority (tls.client_ca)"
    };
    findings.error("auth.mechanisms", &format!("nobody could log in on the submission listeners; {advice}"));
}

/// Tokens and certificates: what was set up must also be offered.
fn other_ways_in(findings: &mut Findings<'_>) {
    use postern_mail::fact::Mechanism;

    let config = findings.config;
    for (_, later) in twice(config.auth.oidc.iter().map(|oidc| oidc.issuer.as_str())) {
        findings.error(&format!("auth.oidc[{}].issuer", later + 1), "is named twice");
    }
    for (number, oidc) in config.auth.oidc.iter().enumerate().filter(|(_, oidc)| oidc.audience.is_empty()) {
        let problem = format!("without an audience every token of {} would be good; name ours", oidc.issuer.as_str());
        findings.error(&format!("auth.oidc[{}].audience", number + 1), &problem);
    }
    if config.auth.oidc.len() > 1 {
        for (number, oidc) in config.auth.oidc.iter().enumerate().filter(|(_, oidc)| oidc.domains.is_empty()) {
            let problem =
                format!("with more than one issuer, {} must be kept to the domains it speaks for", oidc.issuer.as_str());
            findings.error(&format!("auth.oidc[{}].domains", number + 1), &problem);
        }
    }
    let offers = |mechanism| config.auth.mechanisms.contains(&mechanism);
    if !config.auth.oidc.is_empty() && !offers(Mechanism::OauthBearer) && !offers(Mechanism::Xoauth2) {
        findings.error("auth.oidc", "no token is ever taken, since auth.mechanisms has neither OAUTHBEARER nor XOAUTH2");
    }
    if config.tls.client_ca.is_some() && !offers(Mechanism::External) {
        findings.error("tls.client_ca", "no certificate is ever taken, since auth.mechanisms is without EXTERNAL");
    }
    if config.tls.client_crl.is_some() && config.tls.client_ca.is_none() {
        findings.warn("tls.client_crl", "does nothing without tls.client_ca");
    }
}

#[cfg(test)]
mod tests;
