//! Who a recipient of ours is in the end: aliases, tags, catch-all, postmaster. Promise: it ends, whatever the aliases say.

use std::collections::BTreeSet;

use postern_mail::{Host, LocalPart, Mailbox};

use super::{Deliver, HostedDomain, Recipients, folded};
use crate::Config;

/// What an alias may grow to; beyond it the configuration is refused.
pub(crate) const ALIAS_TARGETS_MAX: usize = 1000;

/// Who a recipient is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// A mailbox of the domain; where its host is asked ([`Recipients::CallAhead`]), one that may exist. For a Maildir it is in lower case and without its tag; for LMTP and relays it is as it was given,
    /// since the host behind may use both (RFC 5321 §2.3.11, RFC 5233 §1).
    Deliver(Mailbox),
    /// Other mailboxes, here or elsewhere.
    Alias(Vec<Mailbox>),
    /// Nobody.
    Unknown,
    /// The file with the names has not been read yet.
    Unavailable,
}

impl HostedDomain {
    /// Who a name of this domain is. One step only: aliases are not followed.
    #[must_use]
    pub fn resolve(&self, local: &LocalPart) -> Resolution {
        let name = folded(local);
        let base = self.without_tag(&name);
        for candidate in std::iter::once(&name).chain(base.as_ref()) {
            if let Some(targets) = self.aliases.0.get(candidate) {
                return Resolution::Alias(targets.clone());
            }
            if self.lists(candidate) {
                return self.deliver_as(local, candidate);
            }
        }
        if matches!(self.recipients, Recipients::Any | Recipients::CallAhead(_)) {
            return self.deliver_as(local, base.as_ref().unwrap_or(&name));
        }
        // RFC 5321 §4.5.1: postmaster is always there, in any case.
        if is_postmaster(&name) {
            return self.deliver_as(local, &name);
        }
        if matches!(self.recipients, Recipients::File { names: None, .. }) {
            return Resolution::Unavailable;
        }
        self.catch_all.as_ref().map_or(Resolution::Unknown, |mailbox| Resolution::Alias(vec![mailbox.clone()]))
    }

    /// True when the list or file of recipients names it.
    fn lists(&self, name: &LocalPart) -> bool {
        match &self.recipients {
            Recipients::Any | Recipients::CallAhead(_) => false,
            Recipients::List(names) => names.contains(name),
            Recipients::File { names, .. } => names.as_ref().is_some_and(|names| names.contains(name)),
        }
    }

    /// The name before the separator, where both it and the separator are there.
    fn without_tag(&self, name: &LocalPart) -> Option<LocalPart> {
        let (base, _) = name.as_str().split_once(self.subaddress_separator.0?)?;
        // A base that needs quotes is nobody's.
        LocalPart::parse(base).ok()
    }

    fn deliver_as(&self, given: &LocalPart, canonical: &LocalPart) -> Resolution {
        let local = match self.deliver {
            Deliver::Maildir { .. } | Deliver::Discard => canonical,
            Deliver::Lmtp { .. } | Deliver::Relay { .. } | Deliver::Webhook { .. } => given,
        };
        Resolution::Deliver(self.mailbox(local))
    }

    fn mailbox(&self, local: &LocalPart) -> Mailbox {
        Mailbox { local: local.clone(), host: Host::Name(self.name.clone()) }
    }
}

fn is_postmaster(name: &LocalPart) -> bool {
    name.as_str().eq_ignore_ascii_case("postmaster")
}

/// One step for any mailbox; `None` when it is not ours.
fn step(config: &Config, mailbox: &Mailbox) -> Option<Resolution> {
    let name = mailbox.domain()?;
    let Some(domain) = config.domain(name) else {
        // RFC 5321 §4.5.1: `<postmaster>` without a domain is ours too, and the session has given it our host name.
        let ours = *name == config.server.hostname && is_postmaster(&mailbox.local);
        return ours.then(|| own_postmaster(config)).flatten();
    };
    let resolution = domain.resolve(&mailbox.local);
    let local = folded(&mailbox.local);
    let unlisted = is_postmaster(&local) && !domain.lists(&local) && !domain.aliases.0.contains_key(&local);
    match (&config.server.postmaster, resolution) {
        (Some(postmaster), Resolution::Deliver(own)) if unlisted && *postmaster != own => {
            Some(Resolution::Alias(vec![postmaster.clone()]))
        }
        (_, resolution) => Some(resolution),
    }
}

fn own_postmaster(config: &Config) -> Option<Resolution> {
    let someone = config.server.postmaster.clone().or_else(|| {
        let domain = config.domains.first()?;
        Some(domain.mailbox(&LocalPart::parse("postmaster").ok()?))
    });
    someone.map(|mailbox| Resolution::Alias(vec![mailbox]))
}

/// What an alias grows to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Expansion {
    /// Mailboxes of ours and elsewhere, each once.
    pub(crate) targets: Vec<Mailbox>,
    /// Mailboxes in domains of ours that nobody has.
    pub(crate) unknown: Vec<Mailbox>,
    /// A mailbox whose name is not known yet, because a file was not read.
    pub(crate) unavailable: bool,
    /// Aliases that only lead back to themselves.
    pub(crate) loops: Vec<Mailbox>,
    /// There are more than [`ALIAS_TARGETS_MAX`] mailboxes in it.
    pub(crate) too_many: bool,
}

/// Follows the aliases from `mailbox`; `None` when it is not ours.
pub(crate) fn expand(config: &Config, mailbox: &Mailbox) -> Option<Expansion> {
    let mut expansion = Expansion::default();
    let mut seen = BTreeSet::new();
    let mut waiting = vec![mailbox.clone()];
    step(config, mailbox)?;
    while let Some(next) = waiting.pop() {
        let known = Mailbox { local: folded(&next.local), host: next.host.clone() };
        if seen.len() > ALIAS_TARGETS_MAX {
            expansion.too_many = true;
            break;
        }
        if !seen.insert(known) {
            continue;
        }
        match step(config, &next) {
            None => push(&mut expansion.targets, next),
            Some(Resolution::Deliver(own)) => push(&mut expansion.targets, own),
            Some(Resolution::Unknown) => push(&mut expansion.unknown, next),
            Some(Resolution::Unavailable) => expansion.unavailable = true,
            Some(Resolution::Alias(targets)) => follow(config, &next, targets, &mut waiting, &mut expansion),
        }
    }
    Some(expansion)
}

/// Queues what an alias names. One that names itself keeps a copy, where there is a mailbox to keep it in.
fn follow(config: &Config, from: &Mailbox, targets: Vec<Mailbox>, waiting: &mut Vec<Mailbox>, expansion: &mut Expansion) {
    for target in targets.into_iter().rev() {
        if target.host != from.host || folded(&target.local) != folded(&from.local) {
            waiting.push(target);
            continue;
        }
        let copy = config.domain_of(from).filter(|domain| {
            let name = folded(&from.local);
            domain.lists(&name) || matches!(domain.recipients, Recipients::Any | Recipients::CallAhead(_)) || is_postmaster(&name)
        });
        match copy.map(|domain| domain.deliver_as(&target.local, &folded(&target.local))) {
            Some(Resolution::Deliver(own)) => push(&mut expansion.targets, own),
            _ => push(&mut expansion.loops, target),
        }
    }
}

fn push(list: &mut Vec<Mailbox>, mailbox: Mailbox) {
    if !list.contains(&mailbox) {
        list.push(mailbox);
    }
}

#[cfg(test)]
mod tests;
