//! Reading a parsed file against the tables of keys. Promise: reading goes on after an error, so that one run finds them all, and
//! nothing in the file is left unread without an error.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};

use postern_mail::Quoted;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{ConfigError, Position, nearest};
use crate::load::Machine;
use crate::table::{Key, Table};
use crate::value::{Secrets, Value, path_word};

/// What is gathered while a file is read.
pub(crate) struct Report<'a> {
    file: &'a str,
    /// Where each line begins, in octets.
    lines: Vec<usize>,
    text: &'a str,
    machine: &'a Machine,
    pub(crate) errors: Vec<ConfigError>,
    /// Where each setting that the file has stands, by its path.
    pub(crate) positions: BTreeMap<String, Position>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(text: &'a str, file: &'a str, machine: &'a Machine) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file, lines, text, machine, errors: Vec::new(), positions: BTreeMap::new() }
    }

    /// Line and column of an octet.
    pub(crate) fn position(&self, offset: usize) -> Position {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count()) + 1;
        Position { line, column }
    }

    /// Notes where a setting stands.
    pub(crate) fn note(&mut self, node: &Node<'_>) {
        let position = self.position(node.value.span().start);
        self.positions.insert(node.path.clone(), position);
    }

    /// Notes that the value of a setting is wrong, and shows a right one.
    pub(crate) fn wrong(&mut self, node: &Node<'_>, problem: impl AsRef<str>) {
        let position = self.position(node.value.span().start);
        self.push(position, &node.path, format!("{}: {}", node.path, problem.as_ref()), None, node.key);
    }

    fn push(
        &mut self,
        position: Position,
        path: &str,
        problem: String,
        nearest: Option<&'static str>,
        key: Option<&'static Key>,
    ) {
        let example = key.and_then(Key::example_line);
        self.errors.push(ConfigError { file: self.file.to_owned(), position, path: path.to_owned(), problem, nearest, example });
    }
}

/// A value in the file, and the key it is the value of.
pub(crate) struct Node<'a> {
    pub(crate) value: &'a Spanned<DeValue<'a>>,
    pub(crate) path: String,
    /// None for the whole file.
    pub(crate) key: Option<&'static Key>,
}

impl<'a> Node<'a> {
    /// An entry of a list, counted from 1.
    pub(crate) fn entry(&self, index: usize, value: &'a Spanned<DeValue<'a>>) -> Self {
        Self { value, path: format!("{}[{}]", self.path, index + 1), key: self.key }
    }

    /// What sort of TOML value it is, with its article.
    pub(crate) fn sort(&self) -> &'static str {
        match self.value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        }
    }
}

/// Where a value comes from when the file has none.
pub(crate) enum Fallback<T> {
    /// Nowhere: the key must be set. A table is read from nothing.
    Required,
    /// The same on every machine.
    Plain(fn() -> T),
    /// From the machine, which may have none.
    Machine(fn(&Machine) -> Option<T>),
}

/// The keys a file has set in one table.
pub(crate) struct Fields<'a> {
    entries: Option<&'a DeTable<'a>>,
    span: Range<usize>,
    path: String,
    table: &'static Table,
}

impl<'a> Fields<'a> {
    /// Opens a table: notes each key in it that is not known.
    pub(crate) fn of(node: &Node<'a>, table: &'static Table, report: &mut Report<'_>) -> Option<Self> {
        let DeValue::Table(entries) = node.value.get_ref() else {
            report.wrong(node, format!("a table is needed here, not {}", node.sort()));
            return None;
        };
        Some(Self::open(entries, node.value.span(), node.path.clone(), table, report))
    }

    /// Opens the table that a whole file is.
    pub(crate) fn open(
        entries: &'a DeTable<'a>,
        span: Range<usize>,
        path: String,
        table: &'static Table,
        report: &mut Report<'_>,
    ) -> Self {
        let fields = Self { entries: Some(entries), span, path, table };
        for name in entries.keys() {
            fields.know(name.get_ref(), name.span().start, report);
        }
        fields
    }

    fn know(&self, name: &str, offset: usize, report: &mut Report<'_>) {
        if self.table.key(name).is_some() {
            return;
        }
        let position = report.position(offset);
        let path = self.path_of(name);
        if let Some(later) = self.table.later.iter().find(|later| later.name == name) {
            let problem = format!("{path} is not in this version ({}); remove it", later.text);
            report.push(position, &path, problem, None, None);
            return;
        }
        let place = if self.path.is_empty() { "the configuration".to_owned() } else { format!("[{}]", self.path) };
        let near = nearest(name, self.table.keys.iter().map(|key| key.name));
        let mut problem = format!("unknown key {} in {place}", Quoted::text(name));
        if near.is_none() {
            let known: Vec<_> = self.table.keys.iter().map(|key| key.name).collect();
            problem.push_str(&format!("; known are {}", known.join(", ")));
        }
        report.push(position, &path, problem, near, near.and_then(|name| self.table.key(name)));
    }

    fn path_of(&self, name: &str) -> String {
        let word = path_word(name);
        if self.path.is_empty() { word } else { format!("{}.{word}", self.path) }
    }

    fn node(&self, key: &'static Key) -> Option<Node<'a>> {
        let (_, value) = self.entries?.iter().find(|(name, _)| name.get_ref() == key.name)?;
        Some(Node { value, path: self.path_of(key.name), key: Some(key) })
    }

    /// True when the file sets this key.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.table.key(name).and_then(|key| self.node(key)).is_some()
    }

    /// Reads a key, or takes what holds without it. `None` when an error was noted.
    pub(crate) fn field<T: Value>(&self, name: &str, fallback: Fallback<T>, report: &mut Report<'_>) -> Option<T> {
        let key = self.table.key(name)?;
        let node = self.node(key);
        if let Some(node) = &node {
            report.note(node);
            if let Some(value) = T::read(node, report) {
                return Some(value);
            }
            // An error was noted, so nobody will use the configuration. What holds without the key stands in for the value, so
            // that the rest can still be read and checked.
        }
        let nested = T::kind();
        match (fallback, nested.table) {
            (Fallback::Plain(value), _) => Some(value()),
            (Fallback::Machine(value), _) => value(report.machine).or_else(|| self.missing(key, node.as_ref(), report)),
            (Fallback::Required, Some(table)) if !nested.repeated => {
                let nothing = Fields { entries: None, span: self.span.clone(), path: self.path_of(name), table };
                T::read_fields(&nothing, report)
            }
            (Fallback::Required, _) => self.missing(key, node.as_ref(), report),
        }
    }

    /// Notes that a key must be set and is not.
    fn missing<T>(&self, key: &'static Key, found: Option<&Node<'_>>, report: &mut Report<'_>) -> Option<T> {
        if found.is_some() {
            return None;
        }
        let position = report.position(self.span.start);
        let path = self.path_of(key.name);
        report.push(position, &path, format!("{path} is missing"), None, Some(key));
        None
    }

    /// Notes a problem with the table or with a key in it.
    pub(crate) fn wrong(&self, name: &str, problem: &str, report: &mut Report<'_>) {
        match self.table.key(name) {
            Some(key) => match self.node(key) {
                Some(node) => report.wrong(&node, problem),
                None => {
                    let position = report.position(self.span.start);
                    let path = self.path_of(name);
                    report.push(position, &path, format!("{path}: {problem}"), None, Some(key));
                }
            },
            None => {
                let position = report.position(self.span.start);
                report.push(position, &self.path, format!("{}: {problem}", self.path), None, None);
            }
        }
    }

    /// Notes a value outside its range.
    pub(crate) fn within<T: Value + PartialOrd>(
        &self,
        name: &str,
        value: Option<&T>,
        range: &RangeInclusive<T>,
        report: &mut Report<'_>,
    ) {
        if let Some(value) = value.filter(|value| !range.contains(value)) {
            let print = |value: &T| value.print(Secrets::Hidden);
            let problem =
                format!("{} is out of range, which is {} to {}", print(value), print(range.start()), print(range.end()));
            self.wrong(name, &problem, report);
        }
    }
}
