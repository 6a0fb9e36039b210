//! The manual of settings. Promise: it is made from the one table of keys, so it cannot tell anything else than the program does.

use std::fmt::Write as _;

use crate::Config;
use crate::table::{Key, Table};

const INTRODUCTION: &str = "\
# Settings

<!-- Generated from `base/config`; change it there. -->

One TOML file, given with `postern serve --config FILE`. An empty file is valid and safe; every key below has a default unless it says
*required*. An unknown key is an error, and so is a key of a later version: nothing is silently ignored. `postern config check` tells all
errors at once, `postern config show` prints every effective value, its default and where it came from.

| type | written as |
|---|---|
| duration | `\"60s\"`, `\"10m\"`, `\"4h\"`, `\"7d\"`, `\"20ms\"`, `\"1m30s\"` |
| size | `\"50MiB\"`, `\"1KiB\"` (powers of 1024), `\"10MB\"` (powers of 1000), or a whole number of octets |
| rate | a size in a second: `\"1KiB/s\"` |
| socket address | `\"0.0.0.0:25\"`, `\"[::]:25\"` |
| network | `\"192.0.2.0/24\"`, `\"2001:db8::/32\"`, or a single address |
| host | a name (its addresses are used, not its MX) or an address |

Keys marked *restart* take effect at the next start; all others at a reload, which is all or nothing.
";

/// The text of `docs/config.md`.
#[must_use]
pub fn markdown() -> String {
    let mut text = INTRODUCTION.to_owned();
    for key in Config::TABLE.keys {
        section(&mut text, key, "", false);
    }
    let later: Vec<_> = Config::TABLE.later.iter().map(|later| (format!("[{}]", later.name), later.text)).collect();
    text.push_str("\n## Sections of later versions\n\n");
    for (name, what) in later {
        put(&mut text, format_args!("- `{name}`: {what}.\n"));
    }
    text
}

/// Writing into a `String` cannot fail.
fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(what);
}

fn section(text: &mut String, key: &Key, above: &str, restart: bool) {
    let kind = (key.kind)();
    let Some(table) = kind.table else { return };
    let path = if above.is_empty() { key.name.to_owned() } else { format!("{above}.{}", key.name) };
    let restart = restart || key.restart;
    let heading = if kind.repeated { format!("[[{path}]]") } else { format!("[{path}]") };
    put(text, format_args!("\n## `{heading}`\n\n{}\n\n", one_line(table.text)));
    keys(text, table, "", restart);
    for later in table.later {
        put(text, format_args!("- `{}`: {}. Not in this version.\n", later.name, later.text));
    }
    for key in table.keys.iter().filter(|key| is_section(key)) {
        section(text, key, &path, restart);
    }
}

/// True for a table with a heading of its own; false for one that is written within braces.
fn is_section(key: &Key) -> bool {
    (key.kind)().table.is_some() && key.example.is_empty()
}

fn keys(text: &mut String, table: &'static Table, indent: &str, restart: bool) {
    for key in table.keys.iter().filter(|key| !is_section(key)) {
        let kind = (key.kind)();
        put(text, format_args!("{indent}- **`{}`** ({}", key.name, kind.words.replace('|', "or")));
        if let Some((low, high)) = (key.within)() {
            put(text, format_args!(", {} to {}", low.trim_matches('"'), high.trim_matches('"')));
        }
        match key.default_text() {
            Some(default) if default == "(none)" => text.push_str("; default: none"),
            Some(default) if key.shown.is_some() => put(text, format_args!("; default: {default}")),
            Some(default) => put(text, format_args!("; default: `{default}`")),
            None => text.push_str("; *required*"),
        }
        if restart || key.restart {
            text.push_str("; *restart*");
        }
        put(text, format_args!(")  \n{indent}  {}  \n", one_line(key.text)));
        let question = if key.default_text().is_some() { "Why the default" } else { "Why there is no default" };
        put(text, format_args!("{indent}  {question}: {}. Example: `{} = {}`\n", key.why, key.name, key.example));
        if let Some(within) = kind.table {
            keys(text, within, &format!("{indent}  "), restart);
        }
    }
}

/// A doc comment as one paragraph.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
