//! What names in lists are, and which of them is found for a name of a message.

use proptest::prelude::*;

use super::super::{NetSet, NetSetBuilder, Subject};
use super::*;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

fn name(kind: NameKind, text: &str) -> Name {
    Name::parse(kind, text).unwrap()
}

fn set(entries: &[(&str, Action)]) -> NetSet {
    let mut builder = NetSetBuilder::new();
    for (subject, action) in entries {
        builder.add(&Subject::parse(subject).unwrap(), *action, "why", None);
    }
    builder.build()
}

fn blocks(entries: &[&str]) -> NetSet {
    set(&entries.iter().map(|entry| (*entry, Action::Block)).collect::<Vec<_>>())
}

fn found(set: &NetSet, asked: &AskedName) -> Option<String> {
    set.find_name(asked, NOW).map(|found| found.subject.to_string())
}

fn sender(text: &str) -> AskedName {
    AskedName::address(NameKind::Sender, &Mailbox::parse(text).unwrap())
}

fn helo(text: &str) -> AskedName {
    AskedName::helo(&HeloName::parse(text).unwrap())
}

#[test]
fn names_are_read_with_their_kind_and_print_as_they_are_read() {
    for (text, printed) in [
        ("sender:A@Bad.Test", "sender:a@bad.test"),
        ("sender:@BAD.test", "sender:@bad.test"),
        ("sender:bad.test", "sender:@bad.test"),
        ("recipient:.bad.test", "recipient:.bad.test"),
        ("from:a#b@bad.test", "from:a#b@bad.test"),
        ("helo:[192.0.2.1]", "helo:[192.0.2.1]"),
        ("helo:localhost", "helo:localhost"),
        ("ptr:*.dyn.bad.test", "ptr:*.dyn.bad.test"),
        ("domain:bücher.test", "domain:xn--bcher-kva.test"),
        ("link:https://Bad.test/A/b/", "link:bad.test/A/b"),
        ("link:bad.test/", "link:bad.test"),
        ("link:192.0.2.1/a", "link:192.0.2.1/a"),
    ] {
        let subject = Subject::parse(text).unwrap();
        assert_eq!(subject.to_string(), printed);
        assert_eq!(Subject::parse(printed), Ok(subject));
    }
    for (text, words) in [
        ("sender:a b@bad.test", "no address"),
        ("sender:\"a b\"@bad.test", "with a space"),
        ("domain:a@bad.test", "no name"),
        ("domain:-", "no name"),
        ("link:user@bad.test/a", "without a user"),
        ("link:bad.test:80/a", "without a port"),
        ("link:bad.test/\u{e4}", "ASCII"),
        ("helo:[nobody]", "address literal"),
        ("bad.test", "no IP address"),
        ("mail:bad.test", "no IP address"),
    ] {
        let told = Subject::parse(text).unwrap_err();
        assert!(told.contains(words), "{text}: {told}");
    }
    let long = format!("link:bad.test/{}", "a".repeat(NAME_BYTES_MAX));
    assert!(Subject::parse(&long).unwrap_err().contains("255 octets"));
}

#[test]
fn of_a_list_the_most_particular_entry_for_a_name_is_found() {
    let set = blocks(&["sender:a@x.bad.test", "sender:@x.bad.test", "sender:.bad.test", "domain:.test"]);
    for (from, entry) in [
        ("A@X.Bad.Test", Some("sender:a@x.bad.test")),
        ("b@x.bad.test", Some("sender:@x.bad.test")),
        ("a@y.bad.test", Some("sender:.bad.test")),
        ("a@bad.test", Some("sender:.bad.test")),
        ("a@good.test", Some("domain:.test")),
        ("a@badtest.example", None),
    ] {
        assert_eq!(found(&set, &sender(from)).as_deref(), entry, "{from}");
    }
    let recipient = AskedName::address(NameKind::Recipient, &Mailbox::parse("a@bad.test").unwrap());
    assert_eq!(found(&set, &recipient), None, "recipients are ours: domains are about those that write to them");
}

#[test]
fn a_name_alone_a_name_and_all_below_it_and_all_below_it_alone_are_three_things() {
    let cases = [("a.test", [true, false]), (".a.test", [true, true]), ("*.a.test", [false, true])];
    for (entry, expected) in cases {
        let set = blocks(&[&format!("helo:{entry}")]);
        assert_eq!(["a.test", "b.a.test"].map(|name| found(&set, &helo(name)).is_some()), expected, "{entry}");
        assert_eq!(found(&set, &helo("xa.test")), None);
    }
    assert!(found(&blocks(&["helo:[192.0.2.1]"]), &helo("[192.0.2.1]")).is_some());
    assert_eq!(found(&blocks(&["helo:.test"]), &helo("no_such..name")), None);
}

#[test]
fn a_link_is_found_by_its_path_by_its_host_and_by_the_domain_somebody_registered() {
    let registered = Domain::parse("bad.test").unwrap();
    let link = |url: &str| AskedName::link("www.bad.test", Some(&registered), url);
    for (entry, url, is_found) in [
        ("link:bad.test", "https://www.bad.test/", true),
        ("domain:bad.test", "https://www.bad.test", true),
        ("link:test", "https://www.bad.test/", false),
        ("link:.test", "https://www.bad.test/", true),
        ("link:www.bad.test/a", "https://www.bad.test/a", true),
        ("link:www.bad.test/a/", "https://www.bad.test/a/b?c=d#e", true),
        ("link:www.bad.test/a/b?c=d", "https://u:p@www.bad.test:8443/a/b?c=d#e", true),
        ("link:www.bad.test/a", "https://www.bad.test/ab", false),
        ("link:www.bad.test/A", "https://www.bad.test/a", false),
        ("link:bad.test/a", "https://www.bad.test/a", false),
        ("sender:@www.bad.test", "https://www.bad.test/", false),
    ] {
        assert_eq!(found(&blocks(&[entry]), &link(url)).is_some(), is_found, "{entry} {url}");
    }
    let both = blocks(&["link:www.bad.test/a", "link:.bad.test", "domain:www.bad.test"]);
    assert_eq!(found(&both, &link("https://www.bad.test/a/b")).as_deref(), Some("link:www.bad.test/a"));
    assert!(name(NameKind::Link, "bad.test/a").closeness() > name(NameKind::Link, "a.b.c.bad.test").closeness());
}

#[test]
fn of_entries_for_the_same_name_the_strongest_that_has_not_ended_is_found() {
    let end = |seconds: u64| Some(UnixMillis(NOW.0 + seconds * 1000));
    let entries = [
        (Action::Allow, end(10)),
        (Action::Exempt, end(5)),
        (Action::Block, end(20)),
        (Action::Score(40), end(30)),
        (Action::Score(20), None),
        (Action::Score(10), None),
    ];
    for turned in 0..entries.len() {
        let mut builder = NetSetBuilder::new();
        for (action, until) in entries.iter().cycle().skip(turned).take(entries.len()) {
            builder.add(&Subject::parse("helo:a.test").unwrap(), *action, "", *until);
        }
        let set = builder.build();
        assert_eq!(set.len(), 4, "what can never have a say is not kept");
        let action = |seconds: u64| set.find_name(&helo("a.test"), UnixMillis(NOW.0 + seconds * 1000)).map(|found| found.action);
        let expected = [Action::Allow, Action::Block, Action::Score(40), Action::Score(20)].map(Some);
        assert_eq!([0, 10, 20, 30].map(action), expected);
    }
}

#[test]
fn all_of_many_names_are_found_and_no_others_and_they_read_back() {
    let names: Vec<String> = (0..5_000).map(|number| format!("domain:.n{number}.test")).collect();
    let set = blocks(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for number in 0..5_000 {
        let own = found(&set, &helo(&format!("mail.n{number}.test")));
        assert_eq!(own.as_deref(), names.get(number).map(String::as_str));
        assert_eq!(found(&set, &helo(&format!("mail.m{number}.test"))), None);
    }
    let mut read: Vec<String> = set.iter().map(|found| found.subject.to_string()).collect();
    let mut written = names.clone();
    read.sort_unstable();
    written.sort_unstable();
    assert_eq!(read, written);
    assert_eq!(found(&blocks(&[]), &helo("a.test")), None);
}

#[test]
fn a_name_of_very_many_labels_is_asked_for_in_a_bounded_number_of_forms() {
    let long = format!("{}test", "a.".repeat(120));
    let url = format!("http://{long}/{}", "b/".repeat(200));
    for asked in [sender(&format!("a@{long}")), helo(&long), AskedName::link(&long, None, &url)] {
        assert!(asked.forms().count() <= FORMS_MAX);
        assert!(found(&blocks(&["domain:.a.a.test"]), &asked).is_some());
    }
}

proptest! {
    #[test]
    fn any_text_is_a_name_that_reads_back_or_a_mistake(text in "\\PC{0,40}", kind in 0_usize..7) {
        if let Ok(name) = Name::parse(NameKind::ALL[kind], &text) {
            prop_assert_eq!(Subject::parse(&name.to_string()), Ok(Subject::Name(name)));
        }
    }

    #[test]
    fn any_url_is_asked_for_in_a_bounded_number_of_forms(url in "\\PC{0,200}") {
        prop_assert!(AskedName::link("a.test", None, &url).forms().count() <= FORMS_MAX);
    }
}
