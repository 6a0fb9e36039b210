//! What holds and why: every effective value with its default and origin, and what differs between two configurations. Promise: a
//! secret is compared and never shown.

use crate::Config;
use crate::error::Position;
use crate::table::{Key, Table};
use crate::value::{Secrets, Value};

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The file says nothing of it.
    Default,
    /// The file.
    File {
        /// In this line, counted from 1.
        line: usize,
    },
}

/// One effective setting.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Such as `limits.connections` or `domain[example.org].recipients`; entries without a name are counted from 1.
    pub path: String,
    /// As it would be written; `(none)` where there is none, `(secret)` for a secret.
    pub value: String,
    /// What would hold without the file; absent where the key must be set.
    pub default: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
    /// What is to be said of the key.
    pub key: &'static Key,
}

/// One difference between two configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Such as `limits.connections`.
    pub path: String,
    /// The old value; absent when the old configuration has no such entry.
    pub from: Option<String>,
    /// The new value; absent when the new configuration has no such entry.
    pub to: Option<String>,
    /// True when a reload cannot bring it about.
    pub needs_restart: bool,
}

/// Every effective setting, in the order of the manual.
#[must_use]
pub fn show(config: &Config) -> Vec<Setting> {
    walk(config, Secrets::Hidden).into_iter().map(|leaf| leaf.setting(config)).collect()
}

/// What differs from `old` to `new`, in the order of the manual; entries that are gone come last.
#[must_use]
pub fn diff(old: &Config, new: &Config) -> Vec<Change> {
    // The marked form tells changed secrets apart; only the hidden form leaves this function.
    let pairs = |config: &Config| -> Vec<(Leaf, String)> {
        walk(config, Secrets::Marked).into_iter().zip(walk(config, Secrets::Hidden).into_iter().map(|leaf| leaf.value)).collect()
    };
    let mut before: std::collections::BTreeMap<String, (Leaf, String)> =
        pairs(old).into_iter().map(|pair| (pair.0.shown.clone(), pair)).collect();
    let mut changes = Vec::new();
    for (leaf, to) in pairs(new) {
        let from = before.remove(&leaf.shown);
        if from.as_ref().is_some_and(|(was, _)| was.value == leaf.value) {
            continue;
        }
        let needs_restart = leaf.restart;
        changes.push(Change { path: leaf.shown, from: from.map(|(_, value)| value), to: Some(to), needs_restart });
    }
    for (path, (leaf, from)) in before {
        changes.push(Change { path, from: Some(from), to: None, needs_restart: leaf.restart });
    }
    changes
}

fn walk(config: &Config, secrets: Secrets) -> Vec<Leaf> {
    let mut walk = Walk { secrets, leaves: Vec::new() };
    config.walk(&Place::default(), &mut walk);
    walk.leaves
}

/// A place among the settings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// With entries by their number: how the file's positions are kept.
    path: String,
    /// With entries by their label where they have one: how people are told.
    shown: String,
    key: Option<&'static Key>,
    restart: bool,
}

impl Place {
    /// The place of a key of the table that is here.
    pub(crate) fn within(&self, table: &'static Table, name: &str) -> Option<Self> {
        let key = table.key(name)?;
        let join = |path: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        Some(Self { path: join(&self.path), shown: join(&self.shown), key: Some(key), restart: self.restart || key.restart })
    }

    /// The place of an entry of the list that is here.
    pub(crate) fn entry(&self, index: usize, label: Option<String>) -> Self {
        let number = index + 1;
        let label = label.unwrap_or_else(|| number.to_string());
        Self { path: format!("{}[{number}]", self.path), shown: format!("{}[{label}]", self.shown), ..self.clone() }
    }
}

/// A walk through all settings.
#[derive(Debug)]
pub(crate) struct Walk {
    pub(crate) secrets: Secrets,
    leaves: Vec<Leaf>,
}

impl Walk {
    /// Notes one setting.
    pub(crate) fn leaf(&mut self, place: &Place, value: String) {
        if let Some(key) = place.key {
            let (path, shown) = (place.path.clone(), place.shown.clone());
            self.leaves.push(Leaf { path, shown, value, key, restart: place.restart });
        }
    }
}

#[derive(Debug)]
struct Leaf {
    path: String,
    shown: String,
    value: String,
    key: &'static Key,
    restart: bool,
}

impl Leaf {
    fn setting(self, config: &Config) -> Setting {
        let origin = config.position(&self.path).map_or(Origin::Default, |Position { line, .. }| Origin::File { line });
        Setting { path: self.shown, value: self.value, default: self.key.default_text(), origin, key: self.key }
    }
}
