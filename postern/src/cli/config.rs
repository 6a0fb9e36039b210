//! `postern config check|show|diff`: needs no running server.

use comfy_table::{Table, presets};
use postern_config::{Change, Config, Origin, diff, show};
use serde_json::json;

use crate::cli::{ConfigVerb, Stop};
use crate::offline::Source;

pub(crate) fn run(verb: &ConfigVerb, source: Source, as_json: bool) -> Result<(), Stop> {
    let config = source.load()?;
    match verb {
        ConfigVerb::Check => {
            let lists = postern_state::Files::read(crate::wire::lists::settings(&config))?;
            let warnings: Vec<String> = config.warnings().iter().map(ToString::to_string).chain(lists.blind_spots()).collect();
            for warning in &warnings {
                eprintln!("warning: {warning}");
            }
            if as_json {
                say!("{}", json!({ "v": 1, "valid": true, "warnings": warnings }));
            } else {
                say!("valid, {} warnings", warnings.len());
            }
        }
        ConfigVerb::Show { changed } => print(&config, *changed, as_json),
        ConfigVerb::Diff { new } => {
            let new = Source::File(new.clone()).load()?;
            print_changes(&diff(&config, &new), as_json);
        }
    }
    Ok(())
}

/// What differs, a line a setting.
pub(crate) fn print_changes(changes: &[Change], as_json: bool) {
    if as_json {
        let rows: Vec<_> = changes
            .iter()
            .map(|change| json!({ "path": change.path, "from": change.from, "to": change.to, "needs_restart": change.needs_restart }))
            .collect();
        say!("{}", json!({ "v": 1, "changes": rows }));
        return;
    }
    if changes.is_empty() {
        say!("no difference");
    }
    for change in changes {
        let (from, to) = (change.from.as_deref().unwrap_or("(none)"), change.to.as_deref().unwrap_or("(none)"));
        let restart = if change.needs_restart { "  (takes a restart)" } else { "" };
        say!("{}: {from} -> {to}{restart}", change.path);
    }
}

fn origin(origin: Origin) -> String {
    match origin {
        Origin::Default => "default".to_owned(),
        Origin::File { line } => format!("line {line}"),
    }
}

fn print(config: &Config, changed: bool, as_json: bool) {
    let settings: Vec<_> = show(config).into_iter().filter(|setting| !changed || setting.origin != Origin::Default).collect();
    if as_json {
        let rows: Vec<_> = settings
            .iter()
            .map(|setting| json!({ "path": setting.path, "value": setting.value, "default": setting.default, "origin": origin(setting.origin) }))
            .collect();
        say!("{}", json!({ "v": 1, "settings": rows }));
        return;
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["setting", "value", "default", "from"]);
    for setting in &settings {
        let default = setting.default.as_deref().filter(|default| *default != setting.value).unwrap_or("");
        table.add_row([setting.path.as_str(), &setting.value, default, &origin(setting.origin)]);
    }
    say!("{table}");
    say!("\nWho can reach what:");
    for listener in &config.listeners {
        for address in &listener.bind {
            let who = if address.ip().is_loopback() { "this machine only" } else { "everyone the network lets through" };
            let what = if listener.kind.is_submission() {
                "mail from accounts, AUTH under TLS"
            } else {
                "mail for hosted domains from anyone, no AUTH"
            };
            say!("  {address}  {}: {what}; {who}", listener.kind);
        }
    }
    for address in &config.http.bind {
        let who = if address.ip().is_loopback() { "this machine only" } else { "everyone the network lets through" };
        say!("  {address}  http: metrics and health; {who}");
    }
    say!(
        "Off: VRFY, EXPN, ETRN, TURN, HELP texts, relaying without AUTH, AUTH on mx, AUTH without TLS, TLS below 1.2, source routes."
    );
    for network in &config.server.relay_networks {
        say!("Relaying without AUTH for {network}, as account network:{network}.");
    }
}
