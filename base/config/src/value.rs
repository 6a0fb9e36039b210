//! The sorts of values a key can take: how each is read, printed and walked through. Promise: what is printed reads back as the
//! same value, except for secrets, which are never printed.

use std::hash::{DefaultHasher, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use postern_mail::{Domain, Mailbox, Quoted, Secret};
use toml::de::DeValue;

use crate::read::{Fields, Node, Report};
use crate::show::{Place, Walk};
use crate::table::Kind;
use crate::units::{Rate, Size, parse_duration, print_duration};

/// What becomes of secrets in printing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secrets {
    /// `(secret)`.
    Hidden,
    /// `(secret)` with a mark that changes when the secret does. Only ever compared, never shown.
    Marked,
}

/// A value of the configuration.
pub(crate) trait Value: Sized {
    /// What it is, in words, and the keys within.
    fn kind() -> Kind;

    /// Reads it. `None` when an error was noted.
    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self>;

    /// Reads it from the keys of a table; only tables can.
    fn read_fields(_fields: &Fields<'_>, _report: &mut Report<'_>) -> Option<Self> {
        None
    }

    /// Prints it as TOML.
    fn print(&self, secrets: Secrets) -> String;

    /// Visits it, or everything in it.
    fn walk(&self, place: &Place, walk: &mut Walk) {
        walk.leaf(place, self.print(walk.secrets));
    }

    /// What tells it apart from its neighbours in a list.
    fn label(&self) -> Option<String> {
        None
    }
}

/// Prints text as a TOML string.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A word of a setting's path: as it is, or quoted where it would be unclear or unsafe in print.
pub(crate) fn path_word(word: &str) -> String {
    let plain = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "_-+".contains(c));
    if plain { word.to_owned() } else { quote(word) }
}

/// Prints an inline table.
pub(crate) fn print_table<'a>(entries: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let entries: Vec<_> = entries.map(|(name, value)| format!("{name} = {value}")).collect();
    if entries.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", entries.join(", ")) }
}

/// The text of a string, or an error that says what was expected.
pub(crate) fn text_of<'a>(node: &'a Node<'_>, words: &str, report: &mut Report<'_>) -> Option<&'a str> {
    match node.value.get_ref() {
        DeValue::String(text) => Some(text),
        _ => {
            report.wrong(node, format!("{words} is written as a string, not as {}", node.sort()));
            None
        }
    }
}

/// Values that are strings in the file: what they are called, how they are read and printed.
macro_rules! text_values {
    ($($type:ty, $words:literal, $parse:expr, $print:expr;)*) => {$(
        impl $crate::value::Value for $type {
            fn kind() -> $crate::table::Kind {
                $crate::table::Kind::plain($words)
            }

            fn read(node: &$crate::read::Node<'_>, report: &mut $crate::read::Report<'_>) -> Option<Self> {
                let text = $crate::value::text_of(node, $words, report)?;
                let parse: fn(&str) -> Result<Self, String> = $parse;
                match parse(text) {
                    Ok(value) => Some(value),
                    Err(why) => {
                        report.wrong(node, format!("{} is not a {}: {why}", postern_mail::Quoted::text(text), $words));
                        None
                    }
                }
            }

            fn print(&self, _: $crate::value::Secrets) -> String {
                let print: fn(&Self) -> String = $print;
                $crate::value::quote(&print(self))
            }
        }
    )*};
}

pub(crate) use text_values;

text_values! {
    String, "text", |text| Ok(text.to_owned()), String::clone;
    PathBuf, "path", parse_path, |path| path.to_string_lossy().into_owned();
    Duration, "duration", parse_duration, |duration| print_duration(*duration);
    Rate, "rate", Rate::parse, ToString::to_string;
    Domain, "domain name", |text| Domain::parse(text).map_err(|fault| fault.to_string()), ToString::to_string;
    Mailbox, "mailbox", |text| Mailbox::parse(text).map_err(|fault| fault.to_string()), ToString::to_string;
    IpAddr, "IP address", |text| text.parse().map_err(|_| "neither IPv4 nor IPv6".to_owned()), ToString::to_string;
    SocketAddr, "socket address",
        |text| text.parse().map_err(|_| "an address and a port are needed, IPv6 in brackets".to_owned()), ToString::to_string;
    IpNet, "network", parse_network, ToString::to_string;
}

fn parse_path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() || text.contains('\0') { Err("it is empty or holds NUL".to_owned()) } else { Ok(PathBuf::from(text)) }
}

fn parse_network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    let network: IpNet = text.parse().map_err(|_| "an address, a slash and the length of the prefix are needed".to_owned())?;
    // Somebody who writes 10.1.2.3/8 may have meant either of two very different things.
    if network.addr() == network.network() {
        Ok(network)
    } else {
        Err(format!("there are bits behind the prefix; the network is {}, the address alone {}", network.trunc(), network.addr()))
    }
}

/// Whole numbers.
macro_rules! count_values {
    ($($type:ty),*) => {$(
        impl Value for $type {
            fn kind() -> Kind {
                Kind::plain("count")
            }

            fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
                let DeValue::Integer(number) = node.value.get_ref() else {
                    report.wrong(node, format!("a whole number is needed, not {}", node.sort()));
                    return None;
                };
                match Self::from_str_radix(number.as_str(), number.radix()) {
                    Ok(value) => Some(value),
                    Err(_) => {
                        report.wrong(node, format!("{number} is out of range, which is 0 to {}", Self::MAX));
                        None
                    }
                }
            }

            fn print(&self, _: Secrets) -> String {
                self.to_string()
            }
        }
    )*};
}

count_values!(u16, u32, u64);

impl Value for f64 {
    fn kind() -> Kind {
        Kind::plain("number")
    }

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let value = match node.value.get_ref() {
            DeValue::Float(number) => number.as_str().parse::<Self>().ok(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse().ok(),
            _ => None,
        };
        // Not a number compares with nothing, so no range would catch it.
        let value = value.filter(|value| value.is_finite());
        if value.is_none() {
            report.wrong(node, "a number is needed");
        }
        value
    }

    fn print(&self, _: Secrets) -> String {
        format!("{self:?}")
    }
}

impl Value for bool {
    fn kind() -> Kind {
        Kind::plain("true or false")
    }

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let value = node.value.get_ref().as_bool();
        if value.is_none() {
            report.wrong(node, format!("true or false is needed, not {}", node.sort()));
        }
        value
    }

    fn print(&self, _: Secrets) -> String {
        self.to_string()
    }
}

impl Value for Size {
    fn kind() -> Kind {
        Kind::plain("size")
    }

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        if let DeValue::Integer(_) = node.value.get_ref() {
            return u64::read(node, report).map(Self);
        }
        let text = text_of(node, "size", report)?;
        match Self::parse(text) {
            Ok(size) => Some(size),
            Err(why) => {
                report.wrong(node, format!("{} is not a size: {why}", Quoted::text(text)));
                None
            }
        }
    }

    fn print(&self, _: Secrets) -> String {
        quote(&self.to_string())
    }
}

impl Value for Secret {
    fn kind() -> Kind {
        Kind::plain("secret text")
    }

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        // No text of it may enter an error.
        text_of(node, "secret", report).map(|text| Self::new(text.as_bytes().to_vec()))
    }

    fn print(&self, secrets: Secrets) -> String {
        match secrets {
            Secrets::Hidden => "(secret)".to_owned(),
            Secrets::Marked => {
                let mut hasher = DefaultHasher::new();
                hasher.write(self.expose());
                format!("(secret {:016x})", hasher.finish())
            }
        }
    }
}

impl<T: Value> Value for Option<T> {
    fn kind() -> Kind {
        T::kind()
    }

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        T::read(node, report).map(Some)
    }

    fn print(&self, secrets: Secrets) -> String {
        self.as_ref().map_or_else(|| "(none)".to_owned(), |value| value.print(secrets))
    }
}

impl<T: Value> Value for Vec<T> {
    fn kind() -> Kind {
        let one = T::kind();
        let several = if one.words.starts_with('"') { format!("any of {}", one.words) } else { plural(&one.words) };
        Kind { words: format!("list of {several}"), repeated: true, ..one }
    }

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        if matches!(node.value.get_ref(), DeValue::String(_)) && !T::kind().repeated && T::kind().table.is_none() {
            // `to = "*"` is a list of one.
            return T::read(node, report).map(|one| vec![one]);
        }
        let DeValue::Array(entries) = node.value.get_ref() else {
            let problem = match node.key.filter(|key| key.example.is_empty()) {
                Some(_) => format!("is written [[{}]] above the keys of each, not as {}", node.path, node.sort()),
                None => format!("a list is needed here, not {}", node.sort()),
            };
            report.wrong(node, problem);
            return None;
        };
        // All entries are read before the first bad one ends it, so that each error is noted.
        let read: Vec<Option<T>> = entries
            .iter()
            .enumerate()
            .map(|(index, entry)| {
                let node = node.entry(index, entry);
                report.note(&node);
                T::read(&node, report)
            })
            .collect();
        read.into_iter().collect()
    }

    fn print(&self, secrets: Secrets) -> String {
        let entries: Vec<_> = self.iter().map(|entry| entry.print(secrets)).collect();
        format!("[{}]", entries.join(", "))
    }

    fn walk(&self, place: &Place, walk: &mut Walk) {
        if T::kind().table.is_none() || self.is_empty() {
            walk.leaf(place, self.print(walk.secrets));
            return;
        }
        for (index, entry) in self.iter().enumerate() {
            entry.walk(&place.entry(index, entry.label()), walk);
        }
    }
}

fn plural(words: &str) -> String {
    if words.ends_with("ss") { format!("{words}es") } else { format!("{words}s") }
}

/// Declares an enum of plain words.
macro_rules! choice {
    (
        $(#[doc = $about:literal])+
        $vis:vis enum $name:ident { $($(#[doc = $text:literal])+ $variant:ident = $word:literal,)+ }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        $vis enum $name { $($(#[doc = $text])+ $variant,)+ }

        impl $name {
            /// As in the configuration.
            #[must_use]
            $vis const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        $crate::value::choice_value!($name, [$($name::$variant),+]);
    };
}

/// Makes a value of an enum of plain words that has an `as_str`.
macro_rules! choice_value {
    ($name:ty, [$($variant:expr),+]) => {
        impl $crate::value::Value for $name {
            fn kind() -> $crate::table::Kind {
                $crate::table::Kind::plain(&[$($crate::value::quote($variant.as_str())),+].join(" or "))
            }

            fn read(node: &$crate::read::Node<'_>, report: &mut $crate::read::Report<'_>) -> Option<Self> {
                let text = $crate::value::text_of(node, "the choice", report)?;
                let found = [$($variant),+].into_iter().find(|choice| choice.as_str() == text);
                if found.is_none() {
                    let words = [$($crate::value::quote($variant.as_str())),+].join(", ");
                    report.wrong(node, format!("{} is none of {words}", postern_mail::Quoted::text(text)));
                }
                found
            }

            fn print(&self, _: $crate::value::Secrets) -> String {
                $crate::value::quote(self.as_str())
            }
        }
    };
}

pub(crate) use {choice, choice_value};
