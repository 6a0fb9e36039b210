//! Test vectors made by others, read from beside the project: they are not ours to copy. `None` where they are not there.

use std::path::Path;

use saphyr::{LoadableYamlNode as _, Yaml};

use crate::dns::TestDns;

/// One case of the SPF suite.
#[derive(Clone, Debug)]
pub struct SpfCase {
    /// Its name there.
    pub name: String,
    /// What the client calls itself.
    pub helo: String,
    /// Its address.
    pub client: String,
    /// MAIL FROM; empty for none.
    pub mail_from: String,
    /// Results that are right.
    pub results: Vec<String>,
    /// The explanation that is right; `None` where it is not looked at.
    pub explanation: Option<String>,
}

/// Cases with the zone they need.
pub struct SpfScenario {
    /// What it is about.
    pub name: String,
    /// The cases.
    pub cases: Vec<SpfCase>,
    zone: Vec<(String, Vec<Entry>)>,
}

enum Entry {
    Timeout,
    Text(Vec<Vec<u8>>),
    Mx(u16, String),
    Other(String, String),
    NoText,
}

/// One case of the ARC suite.
pub struct ArcCase {
    /// Suite and name there.
    pub name: String,
    /// The message, with CRLF.
    pub message: Vec<u8>,
    /// `pass`, `fail` or `none`; empty where the suite does not say.
    pub result: String,
    /// Keys, by name.
    pub keys: Vec<(String, String)>,
}

fn documents(file: &str) -> Option<Vec<Yaml<'static>>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors").join(file);
    let Ok(text) = std::fs::read_to_string(&path).or_else(|_| {
        // A worktree stands one folder deeper.
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors").join(file))
    }) else {
        eprintln!("skipped: vectors not present");
        return None;
    };
    let text: &'static str = Box::leak(named_once(&text).into_boxed_str());
    Some(Yaml::load_from_str(text).unwrap())
}

/// Two cases of one name are told apart, which a reader of YAML would not do.
fn named_once(text: &str) -> String {
    let mut seen = std::collections::BTreeSet::new();
    let mut out = String::new();
    for line in text.lines() {
        let is_name = line.starts_with("  ") && !line.starts_with("   ") && line.ends_with(':');
        if line.starts_with("---") {
            seen.clear();
        }
        match line.strip_suffix(':') {
            Some(bare) if is_name && !seen.insert(line.to_owned()) => out.push_str(&format!("{bare}-again:\n")),
            _ => out.push_str(&format!("{line}\n")),
        }
    }
    out
}

fn text(value: &Yaml<'_>) -> String {
    value
        .as_str()
        .map(str::to_owned)
        .or_else(|| value.as_integer().map(|number| number.to_string()))
        .or_else(|| value.as_floating_point().map(|number| number.to_string()))
        .unwrap_or_default()
}

fn entries<'a>(value: &'a Yaml<'static>, key: &str) -> Vec<(String, &'a Yaml<'static>)> {
    let table = value.as_mapping_get(key).and_then(Yaml::as_mapping);
    table.map(|table| table.iter().map(|(name, value)| (text(name), value)).collect()).unwrap_or_default()
}

/// Octets stand for themselves there.
fn octets(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
}

fn strings(value: &Yaml<'_>) -> Vec<Vec<u8>> {
    let strings: Vec<Vec<u8>> =
        value.as_vec().map_or_else(|| vec![octets(&text(value))], |list| list.iter().map(|one| octets(&text(one))).collect());
    // A record has one string at least.
    if strings.is_empty() { vec![Vec::new()] } else { strings }
}

fn zone_entry(value: &Yaml<'static>) -> Option<(bool, Entry)> {
    if value.as_str() == Some("TIMEOUT") {
        return Some((false, Entry::Timeout));
    }
    let (kind, data) = value.as_mapping()?.iter().next()?;
    Some(match text(kind).as_str() {
        "SPF" => (true, Entry::Text(strings(data))),
        "TXT" if data.as_str() == Some("NONE") => (false, Entry::NoText),
        "TXT" => (false, Entry::Text(strings(data))),
        "MX" => {
            let [preference, exchange] = data.as_vec()?.as_slice() else { return None };
            (false, Entry::Mx(text(preference).parse().ok()?, text(exchange)))
        }
        other => (false, Entry::Other(other.to_owned(), text(data))),
    })
}

/// The openspf suite for RFC 7208.
///
/// # Panics
/// When the file does not read.
#[must_use]
pub fn spf_suite() -> Option<Vec<SpfScenario>> {
    let scenario = |document: &Yaml<'static>| {
        let cases = entries(document, "tests").into_iter().map(|(name, case)| {
            let field = |key: &str| case.as_mapping_get(key).map(text);
            let result = case.as_mapping_get("result").unwrap();
            SpfCase {
                name,
                helo: field("helo").unwrap_or_default(),
                client: field("host").unwrap(),
                mail_from: field("mailfrom").unwrap_or_default(),
                results: result.as_vec().map_or_else(|| vec![text(result)], |list| list.iter().map(text).collect()),
                explanation: field("explanation"),
            }
        });
        let zone = entries(document, "zonedata").into_iter().map(|(owner, list)| {
            let all: Vec<(bool, Entry)> = list.as_vec().unwrap().iter().filter_map(zone_entry).collect();
            // Records of the type that is no more stand for texts, unless the name has texts of its own.
            let own = all.iter().any(|(old, entry)| !old && matches!(entry, Entry::Text(_) | Entry::NoText));
            (owner, all.into_iter().filter(|(old, _)| !(own && *old)).map(|(_, entry)| entry).collect())
        });
        SpfScenario {
            name: document.as_mapping_get("description").map(text).unwrap_or_default(),
            cases: cases.collect(),
            zone: zone.collect(),
        }
    };
    Some(documents("rfc7208-tests.yml")?.iter().map(scenario).collect())
}

impl SpfScenario {
    /// Has the name server say what these cases need, and nothing else.
    pub fn serve(&self, dns: &TestDns) {
        dns.clear();
        for (owner, list) in &self.zone {
            for entry in list {
                match entry {
                    Entry::Timeout => drop(dns.fails_otherwise(owner)),
                    Entry::Text(strings) => drop(dns.txt_strings(owner, strings)),
                    Entry::Mx(preference, exchange) if exchange.is_empty() => drop(dns.mx(owner, *preference, ".")),
                    Entry::Mx(preference, exchange) => drop(dns.mx(owner, *preference, exchange)),
                    Entry::Other(kind, data) => match kind.as_str() {
                        "A" | "AAAA" => drop(dns.address_of(owner, data)),
                        "PTR" => drop(dns.ptr_at(owner, data)),
                        "CNAME" => drop(dns.cname(owner, data)),
                        other => panic!("{other}"),
                    },
                    Entry::NoText => drop(dns.exists(owner)),
                }
            }
        }
    }
}

/// The validation part of the ARC suite.
///
/// # Panics
/// When the file does not read.
#[must_use]
pub fn arc_suite() -> Option<Vec<ArcCase>> {
    let documents = documents("arc-draft-validation-tests.yml")?;
    let mut cases = Vec::new();
    for document in &documents {
        let suite = document.as_mapping_get("description").map(text).unwrap_or_default();
        let keys: Vec<(String, String)> =
            entries(document, "txt-records").into_iter().map(|(name, value)| (name, text(value))).collect();
        for (name, case) in entries(document, "tests") {
            cases.push(ArcCase {
                name: format!("{suite}/{name}"),
                message: case.as_mapping_get("message").map(text).unwrap_or_default().replace('\n', "\r\n").into_bytes(),
                result: case.as_mapping_get("cv").map(text).unwrap_or_default().to_lowercase(),
                keys: keys.clone(),
            });
        }
    }
    Some(cases)
}
