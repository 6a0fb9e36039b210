//! What an operator sees: one file in, one answer out.

use std::path::PathBuf;

use super::*;

fn machine() -> Machine {
    Machine::named("mx.example.org")
}

fn right(text: &str) -> Config {
    load(text, "postern.toml", &machine()).unwrap_or_else(|errors| panic!("{}", report(&errors)))
}

fn wrong(text: &str) -> String {
    report(&load(text, "postern.toml", &machine()).expect_err("there is no error in it"))
}

fn report(errors: &[ConfigError]) -> String {
    errors.iter().map(|error| format!("{error}\n")).collect()
}

fn setting(config: &Config, path: &str) -> Setting {
    let all = show(config);
    all.iter().find(|setting| setting.path == path).unwrap_or_else(|| panic!("no {path} in {all:#?}")).clone()
}

#[test]
fn an_empty_file_is_valid_and_listens_on_loopback_only() {
    let config = right("");
    assert!(config.listeners.iter().flat_map(|listener| &listener.bind).all(|bind| bind.ip().is_loopback()));
    assert!(config.http.bind.iter().all(|bind| bind.ip().is_loopback()));
    assert!(config.domains.is_empty() && config.server.relay_networks.is_empty());
    assert_eq!(config.warnings(), []);
}

#[test]
fn the_development_default_keeps_all_mail_on_this_machine() {
    let config = Config::development(&Machine::default()).unwrap();
    assert!(!config.policy.authenticity.enabled, "nothing is asked in the DNS");
    assert!(!config.outbound.enabled && config.routes.is_empty());
    assert_eq!(config.warnings(), []);
    let ports: Vec<_> = config.listeners.iter().flat_map(|listener| &listener.bind).map(ToString::to_string).collect();
    assert_eq!(ports, ["127.0.0.1:2525", "127.0.0.1:2587", "127.0.0.1:2465"]);
    let you = Mailbox::parse("You+tag@localhost").unwrap();
    assert_eq!(config.resolve(&you), Some(Resolution::Deliver(Mailbox::parse("you@localhost").unwrap())));
}

#[test]
fn all_errors_are_told_at_once_with_line_column_nearest_key_and_a_right_value() {
    let expected = include_str!("tests/many_errors.txt");
    let found = wrong(include_str!("tests/many_errors.toml"));
    assert_eq!(found, expected, "\n--- found ---\n{found}");
}

#[test]
fn what_is_no_toml_is_one_error_with_its_place() {
    let found = wrong("[server]\nhostname = \"mx.example.org\"\nuser = postern\n");
    assert!(found.starts_with("postern.toml:3:8: not TOML: "), "{found}");
    assert_eq!(found.lines().count(), 1, "{found}");
    // Columns count characters, not octets.
    let found = wrong("# ü\n\"ü\" = 1\n[limits]\nx = { \"ü\" = 1 , connections }\n");
    assert!(found.starts_with("postern.toml:4:"), "{found}");
}

#[test]
fn one_pair_of_brackets_too_few_is_told_as_such() {
    let found = wrong("[listener]\nkind = \"mx\"\n");
    assert_eq!(found, "postern.toml:1:1: listener: is written [[listener]] above the keys of each, not as a table\n");
}

#[test]
fn a_name_nobody_could_use_must_be_set() {
    let found = report(&load("", "postern.toml", &Machine::named("my machine")).unwrap_err());
    assert_eq!(found, "postern.toml:1:1: server.hostname is missing; a right value looks like: hostname = \"mx.example.org\"\n");
    assert!(load("[server]\nhostname = \"a.example\"", "postern.toml", &Machine::default()).is_ok());
}

#[test]
fn the_example_of_the_manual_loads_without_a_warning_but_for_its_weak_tls() {
    let config = right(include_str!("tests/example.toml"));
    assert_eq!(config.warnings(), []);
    assert_eq!(config.listeners.len(), 2);
    let route = config.route_for(&Host::parse("deep.corp.example").unwrap()).unwrap();
    assert_eq!((route.port, route.tls), (2626, TlsMode::Opportunistic));
    let password = PathBuf::from("/etc/postern/relay.password");
    assert_eq!(route.credentials.as_ref().unwrap().password, Password::File(password));
    assert_eq!(config.outbound.egress[0].helo, Some(Domain::parse("mx.example.org").unwrap()));
    assert_eq!(config.limits, Limits::default(), "the example names the defaults");
    assert_eq!(config.outbound.retry, Retry::default());
}

#[test]
fn show_tells_value_default_and_line() {
    let config = right("[limits]\n\nconnections = 5\nconnections_per_address = 3\n[outbound.retry]\nfirst = \"90s\"\n");
    let connections = setting(&config, "limits.connections");
    assert_eq!((connections.value.as_str(), connections.default.as_deref()), ("5", Some("10000")));
    assert_eq!(connections.origin, Origin::File { line: 3 });
    let first = setting(&config, "outbound.retry.first");
    assert_eq!((first.value.as_str(), first.default.as_deref()), ("\"1m30s\"", Some("\"5m\"")));
    assert_eq!(first.origin, Origin::File { line: 6 });
    assert_eq!(setting(&config, "limits.message_size").origin, Origin::Default);
    assert_eq!(setting(&config, "server.hostname").default.as_deref(), Some("the machine's name"));
    assert_eq!(setting(&config, "listener[1].kind").value, "\"mx\"");
}

#[test]
fn show_calls_a_domain_by_its_name() {
    let config = right("[[domain]]\nrecipients = [\"Bob\", \"alice\"]\nname = \"Example.ORG\"\n");
    let recipients = setting(&config, "domain[example.org].recipients");
    assert_eq!(recipients.value, "[\"alice\", \"bob\"]");
    assert_eq!(recipients.origin, Origin::File { line: 2 });
}

#[test]
fn a_secret_is_compared_and_never_shown() {
    let text = |password: &str| {
        format!(
            "[[route]]\nto = [\"*\"]\nhost = \"a.test\"\ntls = \"verify\"\ncredentials = {{ user = \"u\", password = \"{password}\" }}\n"
        )
    };
    let (old, new) = (right(&text("hunter2hunter2")), right(&text("correct horse")));
    for shown in [format!("{old:?}"), format!("{:?}", show(&old)), format!("{:?}", diff(&old, &new))] {
        assert!(!shown.contains("hunter2") && !shown.contains("horse"), "{shown}");
    }
    assert_eq!(setting(&old, "route[1].credentials").value, "{ user = \"u\", password = (secret) }");
    let changes = diff(&old, &new);
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(changes[0].from, changes[0].to);
    assert_eq!(diff(&old, &right(&text("hunter2hunter2"))), []);
    let found = wrong(
        "[[route]]\nto = [\"*\"]\nhost = \"a.test\"\ncredentials = { user = \"u\", password = \"sesame\", pasword = \"sesame\" }",
    );
    assert!(!found.contains("sesame"), "{found}");
}

#[test]
fn diff_tells_what_changed_and_what_needs_a_restart() {
    let old = right("[limits]\nconnections = 5\n[[domain]]\nname = \"gone.example\"\nrecipients = \"any\"\n");
    let new = right(
        "[server]\ndata_dir = \"/srv\"\n[limits]\nconnections = 6\n[[listener]]\nkind = \"mx\"\nbind = [\"127.0.0.1:0\"]\n",
    );
    let changes = diff(&old, &new);
    let find = |path: &str| changes.iter().find(|change| change.path == path).unwrap_or_else(|| panic!("{path}: {changes:#?}"));
    let connections = find("limits.connections");
    assert_eq!((connections.from.as_deref(), connections.to.as_deref()), (Some("5"), Some("6")));
    assert!(!connections.needs_restart && find("server.data_dir").needs_restart && find("listener[1].bind").needs_restart);
    let gone = find("domain[gone.example].recipients");
    assert_eq!((gone.from.as_deref(), gone.to.as_deref()), (Some("\"any\""), None));
    assert_eq!(diff(&old, &old), []);
}

type Visit<'a> = &'a mut dyn FnMut(&str, &'static Key, &dyn Fn(&str) -> String);

/// Each key with its path, and the text of a file that sets it and nothing else.
fn each_key(table: &'static Table, heading: &str, visit: Visit<'_>) {
    for key in table.keys {
        let kind = (key.kind)();
        let path = if heading.is_empty() { key.name.to_owned() } else { format!("{heading}.{}", key.name) };
        match kind.table {
            Some(within) if key.example.is_empty() => each_key(within, &path, visit),
            _ => {
                let repeated = [
                    "listener",
                    "domain",
                    "route",
                    "dkim",
                    "policy.list",
                    "policy.dnsbl",
                    "policy.uribl",
                    "policy.hashbl",
                    "policy.milter",
                    "policy.rspamd",
                    "policy.clamav",
                ]
                .contains(&heading);
                let (open, close) = if repeated { ("[[", "]]") } else { ("[", "]") };
                visit(&path, key, &|value| format!("{open}{heading}{close}\n{} = {value}\n", key.name));
            }
        }
    }
}

/// Errors about this key, not about others that the file lacks.
fn errors_about(key: &str, text: &str) -> Vec<String> {
    let errors = load(text, "postern.toml", &machine()).err().unwrap_or_default();
    let about = |error: &&ConfigError| !error.problem.ends_with("is missing") || error.path.ends_with(&format!(".{key}"));
    errors.iter().filter(about).map(ToString::to_string).filter(|error| !is_about_its_partner(error)).collect()
}

#[test]
fn the_example_of_every_key_is_right_and_every_key_says_what_it_is_for() {
    let mut keys = 0;
    each_key(Config::TABLE, "", &mut |path, key, file| {
        keys += 1;
        assert!(!key.text.trim().is_empty() && !key.why.is_empty() && !key.example.is_empty(), "{path}");
        assert!(!key.why.ends_with('.'), "{path}: the manual puts the stop");
        assert_eq!(errors_about(key.name, &file(key.example)), Vec::<String>::new(), "{path}");
    });
    assert!(keys > 90, "{keys}");
}

/// A certificate alone, and a DNS list without anything its answers are worth, are errors by rules that span keys.
fn is_about_its_partner(error: &str) -> bool {
    error.contains("set both, or neither") || error.contains("one of points and bits")
}

#[test]
fn the_printed_default_of_every_key_reads_back_as_the_default() {
    let defaults = right("");
    each_key(Config::TABLE, "", &mut |path, key, file| {
        let Some(default) = (key.default)().filter(|default| default != "(none)") else { return };
        let text = file(&default);
        assert_eq!(errors_about(key.name, &text), Vec::<String>::new(), "{path}");
        if let Ok(config) = load(&text, "postern.toml", &machine()) {
            let changed: Vec<_> = diff(&defaults, &config).into_iter().filter(|change| change.path == path).collect();
            assert_eq!(changed, [], "{path}");
        }
    });
}

#[test]
fn every_number_out_of_its_range_is_an_error() {
    each_key(Config::TABLE, "", &mut |path, key, file| {
        if let Some((low, high)) = (key.within)() {
            assert_eq!(errors_about(key.name, &file(&low)).iter().filter(|e| e.contains("out of range")).count(), 0, "{path}");
            assert_eq!(errors_about(key.name, &file(&high)).iter().filter(|e| e.contains("out of range")).count(), 0, "{path}");
            let beyond = if high.starts_with('"') { "\"9999999d\"".to_owned() } else { format!("{high}0") };
            let beyond = if high.contains('B') { "\"9999TiB\"".to_owned() } else { beyond };
            let beyond = if high.contains("/s") { "\"9999TiB/s\"".to_owned() } else { beyond };
            let beyond = if high.contains('.') { "1e9".to_owned() } else { beyond };
            assert!(errors_about(key.name, &file(&beyond)).iter().any(|e| e.contains("out of range")), "{path} = {beyond}");
        }
    });
}

#[test]
fn the_manual_checked_in_is_the_one_the_keys_make() {
    let checked_in = include_str!("../../../docs/config.md");
    assert!(checked_in == markdown(), "docs/config.md is old; run cargo xtask config-doc");
}

#[test]
fn recipients_in_a_file_are_read_line_by_line() {
    let mut config = right("[[domain]]\nname = \"example.org\"\nrecipients = { file = \"/etc/postern/people\" }\n");
    let domain = Domain::parse("example.org").unwrap();
    let alice = Mailbox::parse("alice@example.org").unwrap();
    assert_eq!(config.resolve(&alice), Some(Resolution::Unavailable), "refused for now, not for good");
    let files: Vec<_> = config.recipient_files().map(|(name, path)| (name.clone(), path.to_path_buf())).collect();
    assert_eq!(files, [(domain.clone(), PathBuf::from("/etc/postern/people"))]);

    let errors = config.fill_recipients(&domain, "alice\nbob@elsewhere.example\n\n..\n").unwrap_err();
    assert_eq!(errors.iter().map(|error| error.position.line).collect::<Vec<_>>(), [2, 4]);
    assert!(errors[0].to_string().starts_with("/etc/postern/people:2:1: \"bob@elsewhere.example\" is not"), "{}", errors[0]);

    config.fill_recipients(&domain, "Alice # the boss\r\nbob@example.org\n# nobody\n").unwrap();
    assert_eq!(config.resolve(&alice), Some(Resolution::Deliver(alice.clone())));
    assert!(matches!(config.resolve(&Mailbox::parse("bob@example.org").unwrap()), Some(Resolution::Deliver(_))));
    assert_eq!(config.resolve(&Mailbox::parse("nobody@example.org").unwrap()), Some(Resolution::Unknown));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_loading_panic(text: String) {
        let _ = load(&text, "postern.toml", &machine());
    }

    #[test]
    fn no_value_of_any_key_makes_loading_panic(pick: usize, value in "[-0-9a-z\"\\[\\]{}=.,*@:/ ]{0,24}") {
        let mut files = Vec::new();
        each_key(Config::TABLE, "", &mut |_, _, file| files.push(file(&value)));
        let _ = load(&files[pick % files.len()], "postern.toml", &machine());
    }
}
