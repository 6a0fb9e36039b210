//! Who runs many domains' exchangers, known by their names, and how much they take. Promise: a destination counts as a provider's
//! only when all its exchangers do, so that nobody can bring a provider into trouble by naming it beside hosts of his own.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use crate::groups::Key;
use crate::settings::Shaping;

const SHIPPED: &str = include_str!("../data/providers.txt");

/// One provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// What it is called.
    pub name: Arc<str>,
    /// Names of its exchangers; `*.` before one means every name below it.
    pub exchangers: Vec<Box<str>>,
    /// Attempts at once, over all its domains; `None` is as for any destination.
    pub connections: Option<u32>,
    /// Messages a minute, over all its domains; `None` is as for any destination.
    pub messages_per_minute: Option<u32>,
}

impl Provider {
    pub(crate) fn shaping(&self, usual: Shaping) -> Shaping {
        let window_max = self.connections.unwrap_or(usual.window_max);
        Shaping {
            window_first: usual.window_first.min(window_max),
            window_max,
            pace_per_minute: self.messages_per_minute.unwrap_or(usual.pace_per_minute),
        }
    }

    /// One line of the table.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split('|').map(str::trim);
        let (name, exchangers) = (fields.next()?, fields.next()?);
        let mut number = || match fields.next()? {
            "-" => Some(None),
            text => text.parse().ok().map(Some),
        };
        Some(Self {
            name: name.into(),
            exchangers: exchangers.split_whitespace().map(Box::from).collect(),
            connections: number()?,
            messages_per_minute: number()?,
        })
    }
}

/// All providers that are known.
#[derive(Clone, Debug, Default)]
pub struct Providers {
    known: HashMap<Arc<str>, Provider>,
    /// By a host's whole name.
    hosts: HashMap<Box<str>, Arc<str>>,
    /// By what a host's name ends with.
    below: HashMap<Box<str>, Arc<str>>,
}

impl Providers {
    /// Those that come with this program.
    #[must_use]
    pub fn shipped() -> &'static Self {
        static PROVIDERS: LazyLock<Providers> = LazyLock::new(|| {
            let mut providers = Providers::default();
            lines().filter_map(Provider::parse).for_each(|provider| providers.set(provider));
            providers
        });
        &PROVIDERS
    }

    /// Adds a provider, in place of the one of that name. Its exchangers are no others' any more.
    pub fn set(&mut self, provider: Provider) {
        let name = provider.name.clone();
        self.hosts.retain(|_, of| *of != name);
        self.below.retain(|_, of| *of != name);
        for exchanger in &provider.exchangers {
            let exchanger = exchanger.trim_end_matches('.').to_ascii_lowercase();
            match exchanger.strip_prefix("*.") {
                Some(suffix) => self.below.insert(suffix.into(), name.clone()),
                None => self.hosts.insert(exchanger.into(), name.clone()),
            };
        }
        self.known.insert(name, provider);
    }

    /// The provider of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Provider> {
        self.known.get(name)
    }

    /// The provider all these hosts belong to.
    #[must_use]
    pub fn of<'a>(&self, exchangers: impl IntoIterator<Item = &'a str>) -> Option<&Provider> {
        let mut found: Option<&Arc<str>> = None;
        for host in exchangers {
            let name = self.of_host(host)?;
            if found.is_some_and(|other| other != name) {
                return None;
            }
            found = Some(name);
        }
        self.get(found?)
    }

    fn of_host(&self, host: &str) -> Option<&Arc<str>> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        if let Some(name) = self.hosts.get(host.as_str()) {
            return Some(name);
        }
        let mut rest = host.as_str();
        while let Some((_, below)) = rest.split_once('.') {
            if let Some(name) = self.below.get(below) {
                return Some(name);
            }
            rest = below;
        }
        None
    }

    /// What lanes with these exchangers have in common: the provider, or else the very same hosts.
    pub(crate) fn key(&self, exchangers: &[Arc<str>], hash: impl FnOnce(&[String]) -> u64) -> Option<Key> {
        if let Some(provider) = self.of(exchangers.iter().map(|host| &**host)) {
            return Some(Key::Named(provider.name.clone()));
        }
        let mut hosts: Vec<String> = exchangers.iter().map(|host| host.trim_end_matches('.').to_ascii_lowercase()).collect();
        hosts.sort_unstable();
        hosts.dedup();
        (!hosts.is_empty()).then(|| Key::Hosts(hash(&hosts)))
    }
}

fn lines() -> impl Iterator<Item = &'static str> {
    SHIPPED.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_a_provider_of_its_own() {
        let shipped = Providers::shipped();
        assert!(lines().count() >= 50);
        assert_eq!(lines().count(), shipped.known.len(), "a line is no provider, or a name is there twice");
        let patterns: usize = shipped.known.values().map(|provider| provider.exchangers.len()).sum();
        assert_eq!(patterns, shipped.hosts.len() + shipped.below.len(), "a pattern is there twice");
        for provider in shipped.known.values() {
            assert!(provider.connections.is_none_or(|n| (1..=100).contains(&n)), "{}", provider.name);
            let is_usual = provider.exchangers.iter().all(|name| name.strip_prefix("*.").is_some_and(|rest| rest.contains('.')));
            assert!(is_usual, "{} claims too much", provider.name);
        }
    }

    #[test]
    fn a_provider_is_known_by_its_exchangers_however_they_are_written() {
        let name = |hosts: &[&str]| Providers::shipped().of(hosts.iter().copied()).map(|provider| provider.name.to_string());
        assert_eq!(name(&["aspmx.l.google.com", "ALT1.ASPMX.L.Google.com."]).as_deref(), Some("google"));
        assert_eq!(name(&["example-com.mail.protection.outlook.com"]).as_deref(), Some("microsoft365"));
        assert_eq!(name(&["outlook-com.olc.protection.outlook.com"]).as_deref(), Some("outlook.com"));
        assert_eq!(name(&["mta5.am0.yahoodns.net", "mta6.am0.yahoodns.net"]).as_deref(), Some("yahoo"));
        assert_eq!(name(&["mx00.t-online.de"]).as_deref(), Some("t-online"));
        assert_eq!(name(&["notgoogle.com"]), None);
        assert_eq!(name(&["google.com.example.org"]), None);
        assert_eq!(name(&[]), None);
    }

    #[test]
    fn who_names_a_provider_beside_hosts_of_his_own_is_not_the_provider() {
        let shipped = Providers::shipped();
        assert_eq!(shipped.of(["aspmx.l.google.com", "mx.attacker.example"]), None);
        assert_eq!(shipped.of(["aspmx.l.google.com", "mx1.mail.ovh.net"]), None);
    }

    #[test]
    fn own_rules_replace_those_that_come_with_the_program() {
        let mut providers = Providers::shipped().clone();
        providers.set(Provider {
            name: "google".into(),
            exchangers: vec!["*.l.google.com.".into(), "MX.google.example.".into()],
            connections: Some(3),
            messages_per_minute: None,
        });
        assert_eq!(providers.of(["aspmx.l.google.com", "mx.google.example"]).and_then(|p| p.connections), Some(3));
        assert_eq!(providers.of(["other.google.com"]), None, "the old patterns are gone");
    }
}
