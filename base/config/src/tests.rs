//! What an operator sees: one file in, one answer out.

use super::*;

fn machine() -> Machine {
    Machine::named("mx.example.org")
}

#[test]
fn an_empty_file_is_valid_and_listens_on_loopback_only() {
    let config = load("", "postern.toml", &machine()).unwrap();
    assert!(config.listeners.iter().flat_map(|listener| &listener.bind).all(|bind| bind.ip().is_loopback()));
    assert!(config.http.bind.iter().all(|bind| bind.ip().is_loopback()));
    assert!(config.domains.is_empty() && config.server.relay_networks.is_empty());
}

#[test]
fn the_development_default_is_right_and_keeps_all_mail_here() {
    let config = Config::development(&machine()).unwrap();
    assert!(!config.outbound.enabled && config.routes.is_empty());
    assert_eq!(
        config.resolve(&Mailbox::parse("you@localhost").unwrap()),
        Some(Resolution::Deliver(Mailbox::parse("you@localhost").unwrap()))
    );
}
