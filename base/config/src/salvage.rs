//! What can still be read of a configuration that is broken: where the data is, so that a person can ask the server that runs with it.
//! Promise: each line is looked at alone, so that no mistake elsewhere hides it; nothing else is ever taken from a broken configuration.

use std::path::PathBuf;

use toml::de::{DeTable, DeValue};

/// `[server] data_dir`, where a line says so.
#[must_use]
pub fn data_dir_of_broken(text: &str) -> Option<PathBuf> {
    let mut section = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with('[') {
            let name = line.trim().trim_start_matches('[').split(']').next().unwrap_or_default();
            section = name.trim().to_owned();
            continue;
        }
        let Ok(table) = DeTable::parse(line) else { continue };
        let table = table.get_ref();
        let found = match section.as_str() {
            "server" => get(table, "data_dir"),
            "" => get(table, "server").and_then(|server| get(server.as_table()?, "data_dir")),
            _ => None,
        };
        if let Some(dir) = found.and_then(DeValue::as_str) {
            return Some(PathBuf::from(dir));
        }
    }
    None
}

fn get<'a, 'i>(table: &'a DeTable<'i>, name: &str) -> Option<&'a DeValue<'i>> {
    table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value.get_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_found_whatever_is_broken_around_it() {
        for text in [
            "[server]\nhostname = \n data_dir = \"/a\" # here\n[limits]\nconections = 5",
            "server.data_dir = '/a'\n[limits\n= = =",
            "[log]\ndata_dir = \"/b\"\n[ server ]\ndata_dir = \"/a\"",
            "server = { data_dir = \"/a\" }\n\"",
        ] {
            assert_eq!(data_dir_of_broken(text), Some(PathBuf::from("/a")), "{text}");
        }
        for text in ["", "data_dir = \"/b\"", "[server]\ndata_dir = 5", "[server]\n# data_dir = \"/b\"\n[log]\ndata_dir = \"/b\""]
        {
            assert_eq!(data_dir_of_broken(text), None, "{text}");
        }
    }
}
