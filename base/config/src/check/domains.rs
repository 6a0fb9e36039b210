//! Checks of hosted domains: that each recipient ends somewhere.

use postern_mail::{Host, LocalPart, Mailbox};

use super::{Findings, network, twice};
use crate::domain::{ALIAS_TARGETS_MAX, Expansion, expand};
use crate::value::path_word;
use crate::{Deliver, HostedDomain, LmtpAddress, Recipients};

pub(super) fn domains(findings: &mut Findings<'_>) {
    let config = findings.config;
    for (first, later) in twice(config.domains.iter().map(|domain| &domain.name)) {
        let line = findings.line(&format!("domain[{}].name", first + 1));
        if let Some(domain) = config.domains.get(later) {
            let problem = format!("{} is there already (line {line}); put both into one [[domain]]", domain.name);
            findings.error(&format!("domain[{}].name", later + 1), &problem);
        }
    }
    for (number, domain) in config.domains.iter().enumerate() {
        let path = format!("domain[{}]", number + 1);
        deliver(findings, &path, domain);
        aliases(findings, &path, domain);
        call_ahead(findings, &path, domain);
        if let Some(mailbox) = &domain.catch_all {
            let path = format!("{path}.catch_all");
            if matches!(domain.recipients, Recipients::CallAhead(_)) {
                findings.error(
                    &path,
                    "is no use with recipients = { call_ahead = true }: the host says who exists; let it have the catch-all",
                );
            }
            if matches!(domain.recipients, Recipients::Any) {
                findings.warn(&path, "has no effect: with recipients = \"any\" everybody exists");
            }
            ends_somewhere(findings, &path, mailbox);
        }
    }
    maildirs(findings);
    if let Some(domain) = &config.outbound.verp.domain
        && config.outbound.verp.enabled
        && !config.domains.iter().any(|hosted| hosted.name == *domain)
    {
        findings.error("outbound.verp.domain", &format!("{domain} is not hosted here, so what bounces would not come back"));
    }
    if let Some(mailbox) = &config.reports.complaints_at {
        if config.domains.iter().any(|hosted| Some(&hosted.name) == mailbox.domain()) {
            ends_somewhere(findings, "reports.complaints_at", mailbox);
        } else {
            findings.warn("reports.complaints_at", "has no effect: its domain is not hosted here, so no complaint comes by");
        }
    }
    if let Some(postmaster) = &config.server.postmaster {
        ends_somewhere(findings, "server.postmaster", postmaster);
    }
}

fn deliver(findings: &mut Findings<'_>, path: &str, domain: &HostedDomain) {
    let path = format!("{path}.deliver");
    match &domain.deliver {
        Deliver::Relay { host, port, tls, credentials } => {
            network::next_hop(findings, &path, (host, *port), *tls, credentials.as_ref());
        }
        Deliver::Lmtp { address: LmtpAddress::Tcp { host, port } } if network::is_own(findings.config, host, *port) => {
            findings.error(&path, &format!("{host} port {port} is this server itself, which takes no LMTP"));
        }
        Deliver::Maildir { path: template } if !template.contains("{local}") => {
            findings.warn(&path, "all mailboxes of the domain share one Maildir; {local} in the path separates them");
        }
        Deliver::Discard => findings.warn(&path, "mail for this domain is accepted and thrown away"),
        _ => {}
    }
}

/// There must be somebody to ask.
fn call_ahead(findings: &mut Findings<'_>, path: &str, domain: &HostedDomain) {
    if matches!(domain.recipients, Recipients::CallAhead(_))
        && !matches!(domain.deliver, Deliver::Lmtp { .. } | Deliver::Relay { .. })
    {
        let problem = "call_ahead asks the host that gets the mail, and there is none: deliver is neither lmtp nor relay";
        findings.error(&format!("{path}.recipients"), problem);
    }
}

/// Two domains whose Maildirs are the same read each other's mail.
fn maildirs(findings: &mut Findings<'_>) {
    let templates: Vec<_> = findings
        .config
        .domains
        .iter()
        .enumerate()
        .filter_map(|(number, domain)| match &domain.deliver {
            Deliver::Maildir { path } if !path.contains("{domain}") => Some((number, path)),
            _ => None,
        })
        .collect();
    for (first, later) in twice(templates.iter().map(|(_, path)| *path)) {
        if let (Some((first, _)), Some((later, _))) = (templates.get(first), templates.get(later)) {
            let line = findings.line(&format!("domain[{}]", first + 1));
            let text = format!("shares its Maildirs with the domain in line {line}; {{domain}} in the path separates them");
            findings.warn(&format!("domain[{}].deliver", later + 1), &text);
        }
    }
}

fn aliases(findings: &mut Findings<'_>, path: &str, domain: &HostedDomain) {
    for (name, targets) in &domain.aliases.0 {
        let path = format!("{path}.aliases.{}", path_word(&name.to_string()));
        let mailbox = Mailbox { local: name.clone(), host: Host::Name(domain.name.clone()) };
        ends_somewhere(findings, &path, &mailbox);
        let lists = matches!(&domain.recipients, Recipients::List(names) if names.contains(name));
        if lists && !targets.iter().any(|target| is_same(target, &mailbox)) {
            let text = format!("{name} is a recipient too, whose mailbox gets nothing; let the alias name it to keep a copy");
            findings.warn(&path, &text);
        }
    }
}

fn is_same(one: &Mailbox, other: &Mailbox) -> bool {
    let lower = |local: &LocalPart| local.as_str().to_lowercase();
    one.host == other.host && lower(&one.local) == lower(&other.local)
}

/// Notes what is wrong with where mail for a mailbox ends.
fn ends_somewhere(findings: &mut Findings<'_>, path: &str, mailbox: &Mailbox) {
    let elsewhere = || Expansion { targets: vec![mailbox.clone()], ..Expansion::default() };
    let expansion = expand(findings.config, mailbox).unwrap_or_else(elsewhere);
    // Aliases that name each other and nobody else end nowhere, although none of them names itself.
    if expansion == Expansion::default() {
        findings.error(path, "leads through other aliases back to itself and to nobody else");
    }
    let Expansion { targets, unknown, loops, too_many, .. } = expansion;
    if too_many {
        findings
            .error(path, &format!("grows to more than {ALIAS_TARGETS_MAX} mailboxes; a mailing list needs a program of its own"));
    }
    for mailbox in unknown {
        findings.error(path, &format!("{mailbox} does not exist; add it to the recipients of its domain"));
    }
    for mailbox in loops {
        findings.error(path, &format!("{mailbox} leads back to itself, and there is no such mailbox to keep a copy in"));
    }
    for target in targets {
        let reachable = findings.config.domain_of(&target).is_some() || findings.config.route_for(&target.host).is_some();
        if !findings.config.outbound.enabled && !reachable {
            findings.error(path, &format!("{target} is elsewhere, and with outbound.enabled = false nothing leaves"));
        }
    }
}
