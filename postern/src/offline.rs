//! Files before the server runs, and without it: loading the configuration, and the accounts of a server that is down.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use postern_config::{Config, Machine};
use postern_state::password::Argon2id;
use postern_state::{Accounts, BanRows, Files, Lists, Store};

/// Where the configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A file.
    File(PathBuf),
    /// None was named: the development default.
    Development,
}

/// What is to be known of the machine. Looked up once: a process that is locked in may not look again, and a name must not change by a
/// reload. A service manager may hide the kernel's settings; then the file that names the machine at its start has to do.
fn machine() -> Machine {
    static NAME: OnceLock<String> = OnceLock::new();
    let name = NAME.get_or_init(|| {
        ["/proc/sys/kernel/hostname", "/etc/hostname"].iter().find_map(|path| fs::read_to_string(path).ok()).unwrap_or_default()
    });
    Machine::named(name.trim())
}

impl Source {
    /// From `--config`.
    #[must_use]
    pub(crate) fn named(file: Option<PathBuf>) -> Self {
        file.map_or(Self::Development, Self::File)
    }

    /// Reads and checks everything the configuration is made of.
    ///
    /// # Errors
    /// All errors, a line each, ready to be printed.
    pub(crate) fn load(&self) -> Result<Config, String> {
        match self.text()? {
            Some((name, text)) => configuration(&name, &text),
            None => filled(Config::development(&machine()).map_err(lines)?),
        }
    }

    /// The file's name and what stands in it; `None` where none was named.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn text(&self) -> Result<Option<(String, String)>, String> {
        let Self::File(path) = self else { return Ok(None) };
        let name = path.display().to_string();
        fs::read_to_string(path).map(|text| Some((name.clone(), text))).map_err(|error| format!("{name}: {error}"))
    }
}

fn lines(errors: Vec<postern_config::ConfigError>) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Reads and checks a configuration that is this text, and the files it names.
///
/// # Errors
/// All errors, a line each, ready to be printed.
pub(crate) fn configuration(name: &str, text: &str) -> Result<Config, String> {
    filled(postern_config::load(text, name, &machine()).map_err(lines)?)
}

fn filled(mut config: Config) -> Result<Config, String> {
    let files: Vec<_> = config.recipient_files().map(|(domain, path)| (domain.clone(), path.to_path_buf())).collect();
    let mut wrong = Vec::new();
    for (domain, path) in files {
        match fs::read_to_string(&path) {
            Ok(text) => wrong.extend(config.fill_recipients(&domain, &text).err().map(lines)),
            Err(error) => wrong.push(format!("{}: the recipients of {domain}: {error}", path.display())),
        }
    }
    if wrong.is_empty() { Ok(config) } else { Err(wrong.join("\n")) }
}

/// Opens the accounts of a server that is not running.
///
/// # Errors
/// In words.
pub(crate) fn accounts(data_dir: &Path) -> Result<Accounts, String> {
    let store = Store::open(data_dir).map_err(|failure| failure.to_string())?;
    Accounts::open(&store, Arc::new(Argon2id::default())).map_err(|failure| failure.to_string())
}

/// Opens the lists of a server that is not running: the entries of commands, and where a configuration is given, the files it names as well.
/// What is wrong with those is printed, and they are left out.
///
/// # Errors
/// In words.
pub(crate) fn lists(data_dir: &Path, files_of: Option<&Config>) -> Result<Lists, String> {
    let store = Store::open(data_dir).map_err(|failure| failure.to_string())?;
    let lists = Lists::open(&store).map_err(|failure| failure.to_string())?;
    if let Some(config) = files_of {
        let (files, wrong) = Files::read_what_can_be(crate::wire::lists::settings(config));
        for line in wrong.iter().flat_map(|why| why.lines()) {
            eprintln!("warning: not looked at: {line}");
        }
        lists.put(files);
    }
    Ok(lists)
}

/// Opens the bans of a server that is not running.
///
/// # Errors
/// In words.
pub(crate) fn bans(data_dir: &Path) -> Result<BanRows, String> {
    Ok(BanRows::of(&Store::open(data_dir).map_err(|failure| failure.to_string())?))
}
