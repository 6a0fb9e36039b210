//! Scopes: each part by itself, and that a narrowed scope never widens.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::*;

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

fn client(address: &str, listener: ListenerKind) -> ClientFacts {
    ClientFacts { address: address.parse().unwrap(), port: 1, listener }
}

#[test]
fn a_list_of_addresses_names_exact_ones_domains_and_what_is_below_them() {
    let holds = |entry: &str, address: &str| Addresses::parse(entry).unwrap().contains(&mailbox(address));
    assert!(holds("bob@one.example", "BOB@ONE.example") && !holds("bob@one.example", "bobby@one.example"));
    assert!(holds("one.example", "any@one.example") && !holds("one.example", "any@sub.one.example"));
    assert!(holds("*.one.example", "any@a.b.one.example") && !holds("*.one.example", "any@one.example"));
    assert!(!holds("one.example", "any@notone.example") && !holds("*.one.example", "any@notone.example"));
    for wrong in ["", "*.", "a b", "a@", "@"] {
        assert_eq!(Addresses::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn each_part_refuses_by_its_name() {
    let lan = client("10.0.0.9", ListenerKind::Submission);
    let now = UnixMillis(1_000);
    let part = |result: Result<(), Breach>| result.map_err(|breach| breach.part);
    let scope = AccountScope { listeners: Some(vec![ListenerKind::Submissions]), ..Default::default() };
    assert_eq!(part(scope.place(now, &lan)), Err(Part::Listeners));
    let scope = AccountScope { networks: Network::parse("192.0.2.0/24").map(|n| vec![n]).ok(), ..Default::default() };
    assert_eq!(part(scope.place(now, &lan)), Err(Part::Networks));
    let scope = AccountScope { valid_from: Some(UnixMillis(1_001)), ..Default::default() };
    assert_eq!(part(scope.place(now, &lan)), Err(Part::ValidFrom));
    let scope = AccountScope { valid_until: Some(now), ..Default::default() };
    assert_eq!(part(scope.place(now, &lan)), Err(Part::ValidUntil), "the end itself is outside");
    let scope = AccountScope { senders: Addresses::parse("a.example").map(|a| vec![a]), ..Default::default() };
    assert_eq!(part(scope.sender(&ReversePath::Mailbox(mailbox("x@b.example")))), Err(Part::Senders));
    assert_eq!(part(scope.sender(&ReversePath::Null)), Ok(()));
    let scope = AccountScope { recipients: Addresses::parse("a.example").map(|a| vec![a]), ..Default::default() };
    assert_eq!(scope.recipient(&mailbox("x@b.example")).unwrap_err().words, "may not send to b.example");
    let scope = AccountScope { recipients: Addresses::parse("y@b.example").map(|a| vec![a]), ..Default::default() };
    assert_eq!(scope.recipient(&mailbox("x@b.example")).unwrap_err().words, "may not send to x@b.example");
    let scope = AccountScope { message_bytes_max: Some(10), ..Default::default() };
    assert_eq!((part(scope.size(10)), part(scope.size(11))), (Ok(()), Err(Part::MessageSize)));
}

#[test]
fn an_empty_list_allows_nothing() {
    let scope = AccountScope { recipients: Some(Vec::new()), ..Default::default() };
    assert!(scope.recipient(&mailbox("x@b.example")).is_err());
}

const HOSTS: [&str; 4] = ["a.example", "b.example", "s.a.example", "c.example"];
const KINDS: [ListenerKind; 3] = [ListenerKind::Mx, ListenerKind::Submission, ListenerKind::Submissions];

fn addresses() -> impl Strategy<Value = Vec<Addresses>> {
    let entry = (0..4_usize, 0..4_usize).prop_map(|(host, form)| {
        let host = HOSTS[host];
        let text = match form {
            0 => format!("x@{host}"),
            1 => format!("y@{host}"),
            2 => host.to_owned(),
            _ => format!("*.{host}"),
        };
        Addresses::parse(&text).unwrap()
    });
    vec(entry, 0..4)
}

fn scope() -> impl Strategy<Value = AccountScope> {
    let listeners = of(vec(prop::sample::select(KINDS.to_vec()), 0..3));
    let network = (0..8_u8, 0..33_u8)
        .prop_filter_map("bits behind the prefix", |(last, prefix)| Network::parse(&format!("192.0.2.{last}/{prefix}")).ok());
    let times = (of(0..50_u64), of(0..50_u64), of(0..50_u64));
    (listeners, of(vec(network, 0..3)), of(addresses()), of(addresses()), times).prop_map(
        |(listeners, networks, senders, recipients, (size, from, until))| AccountScope {
            listeners,
            networks,
            senders,
            recipients,
            quota: Quota::default(),
            message_bytes_max: size,
            valid_from: from.map(UnixMillis),
            valid_until: until.map(UnixMillis),
        },
    )
}

proptest! {
    #[test]
    fn a_narrowed_scope_never_allows_what_its_parent_or_its_own_refuses(
        parent in scope(), child in scope(), now in 0..50_u64, size in 0..50_u64, host in 0..4_usize, last in 0..8_u8, kind in 0..3_usize,
        local in prop::sample::select(vec!["x", "y", "X"]),
    ) {
        let both = Narrowed { account: &parent, credential: Some(&child) };
        let alone = Narrowed { account: &parent, credential: None };
        let client = client(&format!("192.0.2.{last}"), KINDS[kind]);
        let who = mailbox(&format!("{local}@{}", HOSTS[host]));
        let path = ReversePath::Mailbox(who.clone());
        let ask = |scope: &Narrowed<'_>| [
            scope.place(UnixMillis(now), &client).is_ok(), scope.sender(&path).is_ok(), scope.author(&who).is_ok(),
            scope.recipient(&who).is_ok(), scope.size(size).is_ok(),
        ];
        let own = Narrowed { account: &child, credential: None };
        for ((narrowed, parent), child) in ask(&both).into_iter().zip(ask(&alone)).zip(ask(&own)) {
            prop_assert_eq!(narrowed, parent && child);
        }
        prop_assert!(both.valid_until().unwrap_or(UnixMillis(u64::MAX)) <= alone.valid_until().unwrap_or(UnixMillis(u64::MAX)));
    }
}
