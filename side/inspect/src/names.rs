//! Names that lists are asked for: the registered domain of a host, and the queries for lists of domains and addresses. Promise: at most
//! [`QUERIES_MAX`] names for a host, whatever it is.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use postern_mail::domain::Domain;

/// Names asked for one host.
pub const QUERIES_MAX: usize = 2;

/// The domain somebody registered: one label below the longest public suffix. `None` for a suffix itself, and for a name without a known one.
#[must_use]
pub fn registered(domain: &Domain) -> Option<Domain> {
    let found = psl::domain(domain.as_str().as_bytes())?;
    Domain::parse(std::str::from_utf8(found.as_bytes()).ok()?).ok()
}

/// True when a name ends in a suffix that is on the public list.
pub(crate) fn has_known_suffix(name: &str) -> bool {
    psl::suffix(name.as_bytes()).is_some_and(|suffix| suffix.is_known())
}

/// What a list of domains is asked: the registered domain; and below the `wider` ones of the list's own table (hosting providers and such), one
/// label more.
#[must_use]
pub fn queries(host: &Domain, wider: &DomainSet) -> Vec<Domain> {
    let Some(base) = registered(host) else { return Vec::new() };
    let mut asked = vec![base];
    let mut name = host.clone();
    while let Some(parent) = name.parent() {
        if wider.has(&parent) {
            if asked.first() != Some(&name) {
                asked.push(name);
            }
            break;
        }
        name = parent;
    }
    asked
}

/// What a list is asked for an address: its octets backwards.
#[must_use]
pub fn reversed(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("{d}.{c}.{b}.{a}")
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
        let mut name = Some(domain.clone());
        while let Some(one) = name {
            if let Some(entry) = self.0.get(&one) {
                return Some(entry);
            }
            name = one.parent();
        }
        None
    }
}

impl FromIterator<Domain> for DomainSet {
    fn from_iter<T: IntoIterator<Item = Domain>>(domains: T) -> Self {
        Self(domains.into_iter().collect())
    }
}
