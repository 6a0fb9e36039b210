//! Text to a configuration, or to all of its errors at once.

use std::collections::{BTreeSet, HashMap};

use postern_mail::{Domain, LocalPart, Mailbox, Quoted};
use toml::de::DeTable;

use crate::domain::folded;
use crate::error::{ConfigError, Position};
use crate::read::{Fields, Report};
use crate::value::Value;
use crate::{Config, HostedDomain, Recipients, check};

/// What is to be known of the machine.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// Its name; `None` when it has none that could be a host name, and `server.hostname` must then be set.
    pub hostname: Option<Domain>,
}

impl Machine {
    /// A machine of this name, as the system tells it.
    #[must_use]
    pub fn named(hostname: &str) -> Self {
        Self { hostname: Domain::parse(hostname.trim_end_matches('.')).ok() }
    }
}

/// What holds when `postern serve` is given no file.
pub const DEVELOPMENT: &str = include_str!("development.toml");

/// Reads a configuration. `file` is how errors call it.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file; one error only when it is no TOML.
pub fn load(text: &str, file: &str, machine: &Machine) -> Result<Config, Vec<ConfigError>> {
    let mut report = Report::new(text, file, machine);
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            let position = report.position(error.span().map_or(0, |span| span.start));
            let problem = format!("not TOML: {}", error.message().trim_end());
            let error =
                ConfigError { file: file.to_owned(), position, path: String::new(), problem, nearest: None, example: None };
            return Err(vec![error]);
        }
    };
    let fields = Fields::open(table.get_ref(), 0..0, String::new(), Config::TABLE, &mut report);
    let config = Config::read_fields(&fields, &mut report);
    let Report { mut errors, positions, .. } = report;
    // Without some of its parts, of which errors tell, there is nothing to check further.
    if let Some(mut config) = config {
        config.file = file.to_owned();
        config.positions = positions;
        index_domains(&mut config);
        let (cross, warnings) = check::check(&config, &errors);
        errors.extend(cross);
        config.warnings = warnings;
        if errors.is_empty() {
            return Ok(config);
        }
    }
    errors.sort_by_key(|error| error.position);
    Err(errors)
}

/// Makes domains found by name. The first of a name wins; the second is an error found later.
pub(crate) fn index_domains(config: &mut Config) {
    let mut index = HashMap::new();
    for (number, domain) in config.domains.iter().enumerate() {
        index.entry(domain.name.clone()).or_insert(number);
    }
    config.index = index;
}

/// Puts the names in a file of recipients into its domain.
pub(crate) fn fill_recipients(hosted: &mut HostedDomain, text: &str) -> Result<(), Vec<ConfigError>> {
    let Recipients::File { path, names } = &mut hosted.recipients else {
        return Ok(());
    };
    let mut read = BTreeSet::new();
    let mut errors = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let entry = line.split('#').next().unwrap_or_default().trim();
        if entry.is_empty() {
            continue;
        }
        let name = match Mailbox::parse(entry) {
            Ok(mailbox) if mailbox.domain() == Some(&hosted.name) => Some(mailbox.local),
            Ok(_) => None,
            Err(_) => LocalPart::parse(entry).ok(),
        };
        match name {
            Some(local) => {
                read.insert(folded(&local));
            }
            None => errors.push(ConfigError {
                file: path.display().to_string(),
                position: Position { line: number + 1, column: 1 },
                path: format!("domain[{}].recipients", hosted.name),
                problem: format!("{} is not a mailbox name of {}", Quoted::text(entry), hosted.name),
                nearest: None,
                example: Some("alice".to_owned()),
            }),
        }
    }
    if errors.is_empty() {
        *names = Some(read);
        return Ok(());
    }
    Err(errors)
}
