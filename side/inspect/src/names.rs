//! Names that lists know: the registered domain of a host, sets of domains, and the forms in which links and mail addresses are compared. Promise: what
//! leads to the same place has the same form.

use std::collections::HashSet;

use postern_mail::domain::Domain;
use url::{Position, Url};

use crate::target::unescape;

/// The domain somebody registered: one label below the longest public suffix. `None` for a suffix itself, and for a name without a known one.
#[must_use]
pub fn registered(domain: &Domain) -> Option<Domain> {
    Domain::parse(registered_name(domain.as_str())?).ok()
}

pub(crate) fn registered_name(name: &str) -> Option<&str> {
    std::str::from_utf8(psl::domain(name.as_bytes())?.as_bytes()).ok()
}

/// True when a name ends in a suffix that is on the public list.
pub(crate) fn has_known_suffix(name: &str) -> bool {
    psl::suffix(name.as_bytes()).is_some_and(|suffix| suffix.is_known())
}

/// A link without scheme, user name and fragment, its host in small letters and without percent escapes: `bad.example/a b?c`. `None`: it leads nowhere
/// by name or address.
#[must_use]
pub fn normal_url(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let host = url.host_str()?.trim_end_matches('.');
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let rest = url[Position::BeforePath..Position::AfterQuery].trim_end_matches('?');
    Some(format!("{host}{port}{}", String::from_utf8_lossy(&unescape(rest))))
}

/// A mail address as lists of addresses compare it: in small letters, without what follows a plus sign, and at Gmail, where dots mean nothing, without
/// dots.
#[must_use]
pub fn normal_address(address: &str) -> Option<String> {
    let (local, domain) = address.rsplit_once('@')?;
    let domain = Domain::parse(domain).ok()?;
    let local = local.to_lowercase();
    let local = local.split('+').next()?;
    let (local, domain) = match domain.as_str() {
        "gmail.com" | "googlemail.com" => (local.replace('.', ""), "gmail.com"),
        other => (local.to_owned(), other),
    };
    (!local.is_empty()).then(|| format!("{local}@{domain}"))
}

/// Domains, each with everything below it.
#[derive(Clone, Debug, Default)]
pub struct DomainSet(HashSet<Domain>);

impl DomainSet {
    /// The entry itself.
    #[must_use]
    pub fn has(&self, domain: &Domain) -> bool {
        self.0.contains(domain)
    }

    /// The entry that a name is, or is below; the nearest one.
    #[must_use]
    pub fn covers(&self, domain: &Domain) -> Option<&Domain> {
        self.covers_name(domain.as_str())
    }

    pub(crate) fn covers_name(&self, name: &str) -> Option<&Domain> {
        let mut rest = Some(name);
        while let Some(one) = rest {
            if let Some(entry) = self.0.get(one) {
                return Some(entry);
            }
            rest = one.split_once('.').map(|(_, parent)| parent);
        }
        None
    }
}

impl FromIterator<Domain> for DomainSet {
    fn from_iter<T: IntoIterator<Item = Domain>>(domains: T) -> Self {
        Self(domains.into_iter().collect())
    }
}
