//! Where a recipient ends: aliases, tags, catch-all and postmaster, and that rings of aliases end too.

use super::*;
use crate::{Machine, load};

fn config(text: &str) -> Config {
    let machine = Machine::named("mx.example.org");
    load(text, "postern.toml", &machine).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

fn resolve(config: &Config, text: &str) -> Option<Resolution> {
    config.resolve(&mailbox(text))
}

fn deliver(text: &str) -> Option<Resolution> {
    Some(Resolution::Deliver(mailbox(text)))
}

fn alias(targets: &[&str]) -> Option<Resolution> {
    Some(Resolution::Alias(targets.iter().map(|text| mailbox(text)).collect()))
}

const LISTED: &str = r#"
[[domain]]
name = "example.org"
recipients = ["alice", "Bob", "sales+eu"]
aliases = { info = ["alice@example.org", "partner@example.net"], Boss = ["bob@example.org"], bob = ["bob@example.org", "alice@example.org"] }
"#;

#[test]
fn only_who_is_listed_exists_in_any_case() {
    let config = config(LISTED);
    assert_eq!(resolve(&config, "ALICE@Example.ORG"), deliver("alice@example.org"));
    assert_eq!(resolve(&config, "carol@example.org"), Some(Resolution::Unknown));
    assert_eq!(resolve(&config, "alice@example.net"), None, "not ours");
    assert_eq!(resolve(&config, "alice@[192.0.2.1]"), None, "not ours");
    assert_eq!(resolve(&config, "alice@sub.example.org"), None, "a domain below is another domain");
}

#[test]
fn a_tag_is_the_owners_own_and_a_listed_name_with_a_sign_in_it_goes_first() {
    let config = config(LISTED);
    assert_eq!(resolve(&config, "alice+shop+2@example.org"), deliver("alice@example.org"));
    assert_eq!(resolve(&config, "sales+eu@example.org"), deliver("sales+eu@example.org"));
    assert_eq!(resolve(&config, "sales@example.org"), Some(Resolution::Unknown));
    assert_eq!(resolve(&config, "+shop@example.org"), Some(Resolution::Unknown));
    assert_eq!(resolve(&config, "info+x@example.org"), alias(&["alice@example.org", "partner@example.net"]));
}

#[test]
fn without_a_separator_there_are_no_tags() {
    let config = config("[[domain]]\nname = \"example.org\"\nrecipients = [\"alice\"]\nsubaddress_separator = \"\"\n");
    assert_eq!(resolve(&config, "alice+shop@example.org"), Some(Resolution::Unknown));
}

#[test]
fn the_host_behind_lmtp_and_relays_gets_the_address_as_it_was_given() {
    for kind in ["kind = \"lmtp\", address = \"127.0.0.1:24\"", "kind = \"relay\", host = \"10.0.0.5\""] {
        let text = format!("[[domain]]\nname = \"example.org\"\nrecipients = [\"alice\"]\ndeliver = {{ {kind} }}\n");
        let config = config(&text);
        assert_eq!(resolve(&config, "Alice+Shop@example.org"), deliver("Alice+Shop@example.org"));
    }
}

#[test]
fn an_alias_is_followed_and_may_keep_a_copy() {
    let config = config(LISTED);
    assert_eq!(resolve(&config, "info@example.org"), alias(&["alice@example.org", "partner@example.net"]));
    assert_eq!(resolve(&config, "bob@example.org"), alias(&["bob@example.org", "alice@example.org"]));
    assert_eq!(resolve(&config, "boss@example.org"), alias(&["bob@example.org", "alice@example.org"]));
}

#[test]
fn an_alias_for_one_mailbox_of_the_domain_is_that_mailbox() {
    let config =
        config("[[domain]]\nname = \"example.org\"\nrecipients = [\"alice\"]\naliases = { hello = [\"alice@example.org\"] }\n");
    assert_eq!(resolve(&config, "hello@example.org"), deliver("alice@example.org"));
}

#[test]
fn a_catch_all_gets_what_nobody_else_gets() {
    let config = config("[[domain]]\nname = \"example.org\"\nrecipients = [\"alice\"]\ncatch_all = \"alice@example.org\"\n");
    assert_eq!(resolve(&config, "whoever@example.org"), deliver("alice@example.org"));
}

#[test]
fn any_name_exists_where_everybody_does() {
    let config = config("[[domain]]\nname = \"example.org\"\nrecipients = \"any\"\n");
    assert_eq!(resolve(&config, "Whoever+tag@example.org"), deliver("whoever@example.org"));
    assert_eq!(resolve(&config, "\"a b\"@example.org"), deliver("\"a b\"@example.org"));
}

#[test]
fn postmaster_always_exists() {
    let config = config(LISTED);
    assert_eq!(resolve(&config, "PostMaster@example.org"), deliver("postmaster@example.org"));
    // `<postmaster>` without a domain has been given our host name, which is no hosted domain here.
    assert_eq!(resolve(&config, "postmaster@mx.example.org"), deliver_elsewhere());
    assert_eq!(resolve(&config, "alice@mx.example.org"), None);
}

fn deliver_elsewhere() -> Option<Resolution> {
    alias(&["postmaster@example.org"])
}

#[test]
fn postmaster_is_read_by_whom_the_configuration_names() {
    let text = format!("[server]\npostmaster = \"alice@example.org\"\n{LISTED}");
    let config = config(&text);
    assert_eq!(resolve(&config, "postmaster@example.org"), deliver("alice@example.org"));
    assert_eq!(resolve(&config, "postmaster@mx.example.org"), alias(&["alice@example.org"]));
}

#[test]
fn a_server_without_domains_has_no_postmaster_to_give_mail_to() {
    assert_eq!(resolve(&config(""), "postmaster@mx.example.org"), None);
}

#[test]
fn following_aliases_ends_even_where_they_lead_in_circles() {
    // Two domains that point at each other, made directly: loading would refuse them.
    let text = |name: &str| format!("[[domain]]\nname = \"{name}\"\nrecipients = \"any\"\n");
    let mut config = config(&(text("a.example") + &text("b.example")));
    let mut point = |index: usize, from: &str, to: &str| {
        let aliases = &mut config.domains[index].aliases.0;
        aliases.insert(LocalPart::parse(from).unwrap(), vec![mailbox(to)]);
    };
    point(0, "x", "x@b.example");
    point(1, "x", "x@a.example");
    assert_eq!(resolve(&config, "x@a.example"), Some(Resolution::Unknown));
}
